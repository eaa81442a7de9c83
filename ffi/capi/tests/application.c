/* An application of the host's own: what its callbacks see, may do and must not do. */
#include "nodes.h"

static atomic_int freed, faulty;
/* Of the application that ails while this is set, and of no other. */
static atomic_int ailing;
/* What the callback "forbidden" calls into. */
static kith_node *own_node;
static kith_context *own_context;
static kith_call *kept_call;
static kith_state *kept_state;

static void on_freed(void *user_data) {
    if (user_data == &freed) {
        atomic_fetch_add(&freed, 1);
    }
}

static kith_status initialise(void *user_data, kith_call *call, kith_state *state) {
    size_t length;
    uint8_t key[32];
    const uint8_t *arguments = kith_call_arguments(call, &length);
    (void)user_data;
    if (length > 8) {
        return kith_call_reject(call, "too much");
    }
    make_key("start", key);
    return kith_state_put(state, key, arguments, length);
}

static kith_status see(kith_call *call, kith_state *state) {
    size_t length, count;
    uint8_t key[32], prefix[16];
    const uint8_t *arguments = kith_call_arguments(call, &length), *k, *v;
    kith_buffer value = {NULL, 0};
    kith_entries *page = NULL;
    int good = kith_call_member(call) != NULL && kith_call_transaction(call) != NULL && kith_call_timestamp(call) > 0 &&
               kith_call_role(call) == KITH_ADMIN && length == 3 && memcmp(arguments, "abc", 3) == 0 &&
               strcmp(kith_call_method(call, &count), "see") == 0 && count == 3 && !kith_call_is(call, "se");
    make_key("seen", key);
    good = good && kith_state_get(state, key, &value) == KITH_NOT_FOUND;
    good = good && kith_state_put(state, key, arguments, length) == KITH_OK;
    good = good && kith_state_get(state, key, &value) == KITH_OK && strcmp((char *)value.data, "abc") == 0;
    kith_buffer_free(&value);
    good = good && kith_state_key_collection("test", prefix) == KITH_OK;
    good = good && kith_state_entries(state, prefix, sizeof prefix, NULL, 10, &page) == KITH_OK;
    good = good && kith_entries_count(page) == 2 && kith_entries_at(page, 1, &k, &v, &count) == KITH_OK;
    kith_entries_free(page);
    page = NULL;
    good = good && kith_state_entries(state, prefix, sizeof prefix, NULL, 1, &page) == KITH_OK && kith_entries_count(page) == 1;
    kith_entries_free(page);
    make_key("start", key);
    good = good && kith_state_delete(state, key) == KITH_OK && kith_state_get(state, key, &value) == KITH_NOT_FOUND;
    good = good && kith_state_emit(state, "saw", (const uint8_t *)"it", 2) == KITH_OK;
    if (!good) {
        return kith_call_fault(call, "not what was expected");
    }
    return kith_call_answer(call, (const uint8_t *)"yes", 3);
}

/* Everything that needs the node is refused, whatever it is; if one of these waited, the test would hang. */
static kith_status forbidden(kith_call *call) {
    uint8_t key[32];
    kith_buffer buffer = {NULL, 0};
    kith_context *context = NULL;
    kith_node *node = NULL;
    make_key("x", key);
    if (kith_context_get(own_context, key, KITH_TENTATIVE, &buffer) != KITH_UNSUPPORTED ||
        kith_context_put(own_context, key, key, 1, NULL) != KITH_UNSUPPORTED ||
        kith_context_execute(own_context, "see", NULL, 0, NULL, NULL) != KITH_UNSUPPORTED ||
        kith_context_wait_synced(own_context, 1000) != KITH_UNSUPPORTED ||
        kith_context_leave(own_context) != KITH_UNSUPPORTED || kith_node_shutdown(own_node) != KITH_UNSUPPORTED ||
        kith_node_create_context(own_node, NULL, NULL, 0, NULL, &context) != KITH_UNSUPPORTED ||
        kith_node_open(NULL, NULL, &node) != KITH_UNSUPPORTED || kith_state_key_random(key) != KITH_UNSUPPORTED ||
        kith_log_set(KITH_LOG_OFF, NULL, NULL, NULL) != KITH_UNSUPPORTED) {
        return kith_call_fault(call, "a forbidden call was not refused");
    }
    return kith_call_answer(call, (const uint8_t *)"refused", 7);
}

static int from_another_thread(void *state) {
    uint8_t key[32];
    kith_buffer value = {NULL, 0};
    make_key("start", key);
    return kith_state_get(state, key, &value) == KITH_INVALID_ARGUMENT ? 7 : 0;
}

static kith_status execute(void *user_data, kith_call *call, kith_state *state) {
    static uint8_t large[1024 * 1024 + 4097];
    uint8_t key[32];
    make_key("written", key);
    if (kith_call_is(call, "heavy")) {
        if (user_data == &ailing && atomic_load(&ailing)) {
            return kith_call_fault(call, "the disk is full");
        }
        return kith_state_put(state, key, (const uint8_t *)"heavy", 5);
    }
    if (kith_call_is(call, "see")) {
        return see(call, state);
    } else if (kith_call_is(call, "forbidden")) {
        return forbidden(call);
    } else if (kith_call_is(call, "write and reject")) {
        kith_status status = kith_state_put(state, key, key, 1);
        return status == KITH_OK ? kith_call_reject(call, "no, after all") : status;
    } else if (kith_call_is(call, "largest")) {
        return kith_call_answer(call, large, sizeof large - 1);
    } else if (kith_call_is(call, "larger")) {
        /* Ignored, and yet it decides. */
        return kith_call_answer(call, large, sizeof large) == KITH_LIMIT_EXCEEDED ? KITH_OK : KITH_INTERNAL;
    } else if (kith_call_is(call, "value")) {
        return kith_state_put(state, key, large, 1024 * 1024);
    } else if (kith_call_is(call, "larger value")) {
        return kith_state_put(state, key, large, 1024 * 1024 + 1) == KITH_REJECTED ? KITH_OK : KITH_INTERNAL;
    } else if (kith_call_is(call, "absent")) {
        kith_buffer value = {NULL, 0};
        return kith_state_get(state, key, &value);
    } else if (kith_call_is(call, "fault")) {
        return atomic_load(&faulty) ? kith_call_fault(call, "no memory") : KITH_OK;
    } else if (kith_call_is(call, "nonsense")) {
        return (kith_status)77;
    } else if (kith_call_is(call, "keep")) {
        kept_call = call;
        kept_state = state;
        return KITH_OK;
    } else if (kith_call_is(call, "use what was kept")) {
        /* The handles are those of the thread: what it is now is what they show. */
        return kept_call == call && kept_state == state ? KITH_OK : KITH_INTERNAL;
    } else if (kith_call_is(call, "another thread")) {
        thrd_t other;
        int result = 0;
        if (thrd_create(&other, from_another_thread, state) != thrd_success || thrd_join(other, &result) != thrd_success) {
            return KITH_INTERNAL;
        }
        return result == 7 ? KITH_OK : KITH_INTERNAL;
    } else if (kith_call_is(call, "null")) {
        kith_buffer value = {NULL, 0};
        return kith_state_get(state, NULL, &value) == KITH_INVALID_ARGUMENT &&
                       kith_state_get(NULL, key, &value) == KITH_INVALID_ARGUMENT &&
                       kith_state_put(state, key, NULL, 1) == KITH_INVALID_ARGUMENT &&
                       kith_state_emit(state, NULL, NULL, 0) == KITH_INVALID_ARGUMENT &&
                       kith_call_answer(call, NULL, 1) == KITH_INVALID_ARGUMENT &&
                       kith_call_reject(NULL, NULL) == KITH_REJECTED && kith_call_fault(NULL, NULL) == KITH_BLOCKED
                   ? KITH_OK
                   : KITH_INTERNAL;
    }
    return kith_call_reject(call, "unknown method");
}

static kith_status query(void *user_data, kith_call *call, kith_state *state) {
    uint8_t key[32];
    kith_buffer value = {NULL, 0};
    kith_status status;
    (void)user_data;
    if (kith_call_member(call) != NULL || kith_call_transaction(call) != NULL || kith_call_role(call) != KITH_NO_ROLE) {
        return KITH_INTERNAL;
    }
    make_key(kith_call_method(call, NULL), key);
    if ((status = kith_state_get(state, key, &value)) != KITH_OK) {
        return kith_call_reject(call, "nothing there");
    }
    status = kith_call_answer(call, value.data, value.length);
    kith_buffer_free(&value);
    /* Thrown away. */
    return status == KITH_OK ? kith_state_delete(state, key) : status;
}

static kith_status register_with(kith_node *node, void *user_data) {
    kith_application application;
    kith_application_init(&application);
    application.user_data = user_data;
    application.free_user_data = on_freed;
    application.initialise = initialise;
    application.execute = execute;
    application.query = query;
    return kith_node_register(node, "test", &application);
}

static kith_status do_register(kith_node *node) {
    return register_with(node, &freed);
}

static kith_status call(const char *method, const char *arguments, kith_buffer *answer) {
    return kith_context_execute(own_context, method, (const uint8_t *)arguments, strlen(arguments), NULL, answer);
}

/* scenario: own_application, application_emits, methods_by_name */
static void calls_are_seen_whole_and_answered(void) {
    kith_buffer answer = {NULL, 0};
    kith_context *context = NULL;
    kith_events *events = NULL;
    kith_event *event;
    size_t length;
    CHECK_STATUS(KITH_REJECTED, kith_node_create_context(own_node, "test", (const uint8_t *)"123456789", 9, NULL, &context));
    CHECK_SAYS("too much");
    CHECK_OK(kith_node_create_context(own_node, "test", (const uint8_t *)"12345678", 8, NULL, &own_context));
    CHECK_OK(kith_context_query(own_context, "start", NULL, 0, &answer));
    CHECK(strcmp((char *)answer.data, "12345678") == 0);
    kith_buffer_free(&answer);
    CHECK_OK(kith_context_events(own_context, NULL, &events));
    CHECK_OK(call("see", "abc", &answer));
    CHECK(strcmp((char *)answer.data, "yes") == 0);
    kith_buffer_free(&answer);
    event = next_of_kind(events, KITH_EVENT_EMITTED);
    CHECK(event != NULL && strcmp(kith_event_text(event), "saw") == 0);
    CHECK(memcmp(kith_event_data(event, &length), "it", 2) == 0 && length == 2);
    kith_event_free(event);
    kith_events_free(events);
    CHECK(holds(own_context, "seen", "abc") && !holds(own_context, "start", "12345678"));
    /* What a query deletes is still there. */
    for (int i = 0; i < 2; i++) {
        CHECK_OK(kith_context_query(own_context, "seen", NULL, 0, &answer));
        kith_buffer_free(&answer);
    }
    CHECK_STATUS(KITH_REJECTED, kith_context_query(own_context, "nowhere", NULL, 0, &answer));
    CHECK_SAYS("nothing there");
}

/* scenario: application_raises */
static void refusals_leave_nothing(void) {
    kith_buffer value = {NULL, 0};
    CHECK_STATUS(KITH_REJECTED, call("write and reject", "", NULL));
    CHECK_SAYS("no, after all");
    CHECK_STATUS(KITH_REJECTED, call("absent", "", NULL));
    CHECK_STATUS(KITH_REJECTED, call("no such method", "", NULL));
    CHECK_OK(call("largest", "", &value));
    CHECK(value.length == 1024 * 1024 + 4096);
    kith_buffer_free(&value);
    CHECK(call("larger", "", NULL) != KITH_OK);
    CHECK_SAYS("at most");
    CHECK(call("larger value", "", NULL) != KITH_OK);
    CHECK_OK(call("value", "", NULL));
    CHECK_OK(call("null", "", NULL));
    CHECK_OK(call("another thread", "", NULL));
}

/* scenario: application_calls_back */
static void calls_into_the_library_are_refused_inside(void) {
    kith_buffer answer = {NULL, 0};
    CHECK_OK(call("forbidden", "", &answer));
    CHECK(strcmp((char *)answer.data, "refused") == 0);
    kith_buffer_free(&answer);
    /* And not outside. */
    CHECK(holds(own_context, "seen", "abc"));
}

/* scenario: state_ends_with_its_call */
static void handles_end_with_their_call(void) {
    uint8_t key[32];
    kith_buffer value = {NULL, 0};
    size_t length = 9;
    make_key("seen", key);
    CHECK_OK(call("keep", "", NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_state_get(kept_state, key, &value));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_call_answer(kept_call, key, 1));
    CHECK(kith_call_member(kept_call) == NULL && strcmp(kith_call_method(kept_call, &length), "") == 0 && length == 0);
    CHECK_OK(call("use what was kept", "", NULL));
}

static void a_local_fault_is_no_refusal(void) {
    atomic_store(&faulty, 1);
    CHECK_STATUS(KITH_BLOCKED, call("fault", "", NULL));
    CHECK_SAYS("no memory");
    CHECK_STATUS(KITH_BLOCKED, call("nonsense", "", NULL));
    CHECK_SAYS("77");
    atomic_store(&faulty, 0);
    CHECK_OK(call("fault", "", NULL));
}

/* scenario: application_twice */
static void registering_says_what_is_wrong(void) {
    kith_application application;
    int before = atomic_load(&freed);
    char name[66];
    memset(name, 'n', sizeof name);
    name[65] = '\0';
    kith_application_init(&application);
    application.user_data = &freed;
    application.free_user_data = on_freed;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_register(own_node, "other", &application));
    CHECK_SAYS("execute is NULL");
    application.execute = execute;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_register(own_node, "test", &application));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_register(own_node, "kv", &application));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_register(own_node, "", &application));
    CHECK(kith_node_register(own_node, name, &application) != KITH_OK);
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_register(own_node, NULL, &application));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_register(own_node, "other", NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_register(NULL, "other", &application));
    application.struct_size--;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_register(own_node, "other", &application));
    CHECK(atomic_load(&freed) == before);
    kith_application_init(&application);
    application.execute = execute;
    name[64] = '\0';
    CHECK_OK(kith_node_register(own_node, name, &application));
    CHECK_OK(kith_node_create_context(own_node, name, NULL, 0, NULL, &own_context));
    kith_context_free(own_context);
    own_context = NULL;
    /* Without initialise and query there are no arguments and no queries. */
    CHECK(kith_node_create_context(own_node, name, (const uint8_t *)"x", 1, NULL, &own_context) == KITH_REJECTED);
}

static void data_are_freed_once_with_the_node(void) {
    CHECK(atomic_load(&freed) == 0);
    CHECK_OK(kith_node_shutdown(own_node));
    CHECK_STATUS(KITH_CLOSED, do_register(own_node));
    kith_node_free(own_node);
    UNTIL(atomic_load(&freed) > 0);
    CHECK(atomic_load(&freed) == 1);
}

/* scenario: application_missing, own_application */
/* Two members; one has no application at first: it syncs, waits, and executes once it is registered. */
static void members_wait_for_their_application(void) {
    struct pair pair;
    kith_buffer value = {NULL, 0};
    kith_events *events = NULL;
    kith_event *event;
    uint8_t commitments[2][32];
    CHECK_OK(open_nodes(&pair));
    CHECK_OK(do_register(pair.one));
    CHECK_OK(kith_node_create_context(pair.one, "test", NULL, 0, NULL, &pair.mine));
    CHECK_OK(kith_context_execute(pair.mine, "see", (const uint8_t *)"abc", 3, NULL, NULL));
    CHECK_OK(join_mine(&pair));
    CHECK(!holds(pair.theirs, "seen", "abc"));
    CHECK_STATUS(KITH_APPLICATION_MISSING, kith_context_query(pair.theirs, "seen", NULL, 0, &value));
    CHECK_SAYS("test");
    CHECK_OK(kith_context_events(pair.theirs, NULL, &events));
    CHECK_OK(do_register(pair.other));
    event = next_of_kind(events, KITH_EVENT_EMITTED);
    CHECK(event != NULL);
    kith_event_free(event);
    kith_events_free(events);
    CHECK(holds(pair.theirs, "seen", "abc"));
    CHECK_OK(kith_context_wait_synced(pair.theirs, WAIT_MS));
    CHECK_OK(kith_context_commitment(pair.mine, commitments[0]));
    CHECK_OK(kith_context_commitment(pair.theirs, commitments[1]));
    CHECK(memcmp(commitments[0], commitments[1], 32) == 0);
    CHECK_OK(kith_node_shutdown(pair.one));
    CHECK_OK(kith_node_shutdown(pair.other));
    close_pair(&pair);
    UNTIL(atomic_load(&freed) == 3);
    CHECK(atomic_load(&freed) == 3);
}

static int blocked(kith_context *context) {
    kith_buffer status = {NULL, 0};
    int is = kith_context_status(context, &status) == KITH_OK && strstr((char *)status.data, "the disk is full") != NULL;
    kith_buffer_free(&status);
    return is;
}

/* scenario: local_fault */
/* What one member cannot execute stops that member alone, until an admin has it rejected for all. */
static void an_admin_skips_what_blocks_another_member(void) {
    struct pair pair;
    kith_events *events = NULL;
    kith_event *event;
    kith_transaction info;
    uint8_t heavy[32], skip[32];
    CHECK_OK(open_nodes(&pair));
    CHECK_OK(do_register(pair.one));
    CHECK_OK(register_with(pair.other, &ailing));
    CHECK_OK(kith_node_create_context(pair.one, "test", NULL, 0, NULL, &pair.mine));
    CHECK_OK(join_mine(&pair));
    CHECK_OK(kith_context_events(pair.theirs, NULL, &events));

    atomic_store(&ailing, 1);
    CHECK_OK(kith_context_execute(pair.mine, "heavy", NULL, 0, heavy, NULL));
    event = next_of_kind(events, KITH_EVENT_BLOCKED);
    CHECK(event != NULL && strstr(kith_event_text(event), "the disk is full") != NULL);
    kith_event_free(event);
    kith_events_free(events);
    CHECK(holds(pair.mine, "written", "heavy") && !holds(pair.theirs, "written", "heavy"));
    CHECK(blocked(pair.theirs) && !blocked(pair.mine));
    CHECK_STATUS(KITH_BLOCKED, kith_context_execute(pair.theirs, "value", NULL, 0, NULL, NULL));
    CHECK_STATUS(KITH_PERMISSION_DENIED, kith_context_skip(pair.theirs, heavy, NULL));

    CHECK_OK(kith_context_skip(pair.mine, heavy, skip));
    CHECK(!holds(pair.mine, "written", "heavy") && memcmp(heavy, skip, 32) != 0);
    UNTIL(!blocked(pair.theirs) && in_step(pair.mine, pair.theirs));
    CHECK(!blocked(pair.theirs) && same_state(pair.mine, pair.theirs));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(kith_context_transaction(i == 0 ? pair.mine : pair.theirs, heavy, &info));
        CHECK(info.outcome == KITH_OUTCOME_REJECTED);
    }
    /* It goes on, and it still ails: only that one call was skipped. */
    CHECK_OK(kith_context_execute(pair.theirs, "value", NULL, 0, NULL, NULL));
    CHECK_STATUS(KITH_BLOCKED, kith_context_execute(pair.theirs, "heavy", NULL, 0, NULL, NULL));
    atomic_store(&ailing, 0);
    CHECK_OK(kith_context_execute(pair.theirs, "heavy", NULL, 0, NULL, NULL));
    UNTIL(holds(pair.mine, "written", "heavy"));
    CHECK(holds(pair.mine, "written", "heavy"));
    CHECK_OK(kith_node_shutdown(pair.one));
    CHECK_OK(kith_node_shutdown(pair.other));
    close_pair(&pair);
}

/* scenario: fault_that_passes */
static void a_fault_that_passes_is_tried_again_without_anybodys_doing(void) {
    struct pair pair;
    CHECK_OK(open_nodes(&pair));
    CHECK_OK(do_register(pair.one));
    CHECK_OK(register_with(pair.other, &ailing));
    CHECK_OK(kith_node_create_context(pair.one, "test", NULL, 0, NULL, &pair.mine));
    CHECK_OK(join_mine(&pair));
    atomic_store(&ailing, 1);
    CHECK_OK(kith_context_execute(pair.mine, "heavy", NULL, 0, NULL, NULL));
    UNTIL(blocked(pair.theirs));
    CHECK(blocked(pair.theirs) && !holds(pair.theirs, "written", "heavy"));
    atomic_store(&ailing, 0);
    UNTIL(holds(pair.theirs, "written", "heavy"));
    CHECK(holds(pair.theirs, "written", "heavy") && same_state(pair.mine, pair.theirs));
    CHECK_OK(kith_node_shutdown(pair.one));
    CHECK_OK(kith_node_shutdown(pair.other));
    close_pair(&pair);
}

int main(void) {
    if (lone_node(&own_node) != KITH_OK || do_register(own_node) != KITH_OK) {
        return EXIT_FAILURE;
    }
    RUN(calls_are_seen_whole_and_answered);
    RUN(refusals_leave_nothing);
    RUN(calls_into_the_library_are_refused_inside);
    RUN(handles_end_with_their_call);
    RUN(a_local_fault_is_no_refusal);
    kith_context_free(own_context);
    RUN(registering_says_what_is_wrong);
    RUN(data_are_freed_once_with_the_node);
    RUN(members_wait_for_their_application);
    RUN(an_admin_skips_what_blocks_another_member);
    RUN(a_fault_that_passes_is_tried_again_without_anybodys_doing);
    return check_finish();
}

/* Events and logs by callback, cancelling, joining with progress, calls after the end. */
#include "nodes.h"

struct listener {
    atomic_int calls, changed, closed, freed, freed_while_running, running;
    kith_subscription *_Atomic own;
    kith_context *context;
};

static void on_event(void *user_data, const kith_event *event) {
    struct listener *this = user_data;
    kith_subscription *own;
    atomic_store(&this->running, 1);
    atomic_fetch_add(&this->calls, 1);
    if (kith_event_kind(event) == KITH_EVENT_CHANGED) {
        atomic_fetch_add(&this->changed, 1);
    }
    if (kith_event_kind(event) == KITH_EVENT_CLOSED) {
        atomic_fetch_add(&this->closed, 1);
    }
    /* Calls into the library are allowed here, blocking ones too. */
    if (this->context != NULL && kith_event_kind(event) == KITH_EVENT_CHANGED && atomic_load(&this->changed) == 1) {
        put_text(this->context, "from the callback", "x");
    }
    own = atomic_load(&this->own);
    if (own != NULL) {
        kith_subscription_free(own);
    }
    rest();
    atomic_store(&this->running, 0);
}

static void on_free(void *user_data) {
    struct listener *this = user_data;
    atomic_fetch_add(&this->freed, 1);
    atomic_fetch_add(&this->freed_while_running, atomic_load(&this->running));
}

static void open_both(kith_node **node, kith_context **context) {
    if (lone_node(node) != KITH_OK || kith_node_create_context(*node, NULL, NULL, 0, NULL, context) != KITH_OK) {
        abort();
    }
}

static void callbacks_are_told_and_may_call_back(void) {
    static struct listener told;
    kith_node *node;
    kith_context *context;
    kith_subscription *subscription = NULL;
    int calls;
    open_both(&node, &context);
    told.context = context;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_on_event(context, NULL, NULL, &told, on_free, &subscription));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_on_event(NULL, NULL, on_event, &told, on_free, &subscription));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_on_event(context, NULL, on_event, &told, on_free, NULL));
    CHECK(atomic_load(&told.freed) == 0);
    CHECK_OK(kith_context_on_event(context, NULL, on_event, &told, on_free, &subscription));
    CHECK_OK(put_text(context, "one", "1"));
    UNTIL(atomic_load(&told.changed) == 2);
    CHECK(atomic_load(&told.changed) == 2 && holds(context, "from the callback", "x"));
    kith_subscription_free(subscription);
    /* No call after it: neither now nor for what happens from now on. */
    CHECK(atomic_load(&told.running) == 0 && atomic_load(&told.freed) == 1);
    calls = atomic_load(&told.calls);
    CHECK_OK(put_text(context, "two", "2"));
    rest();
    CHECK(atomic_load(&told.calls) == calls);
    kith_subscription_free(NULL);
    close_both(node, context);
}

static void a_callback_frees_its_own_subscription(void) {
    static struct listener told;
    kith_node *node;
    kith_context *context;
    kith_subscription *subscription = NULL;
    open_both(&node, &context);
    CHECK_OK(kith_context_on_event(context, NULL, on_event, &told, on_free, &subscription));
    atomic_store(&told.own, subscription);
    CHECK_OK(put_text(context, "one", "1"));
    CHECK_OK(put_text(context, "two", "2"));
    UNTIL(atomic_load(&told.freed) == 1);
    CHECK(atomic_load(&told.freed) == 1 && atomic_load(&told.calls) == 1 && atomic_load(&told.freed_while_running) == 0);
    close_both(node, context);
}

static void the_end_of_the_node_is_the_last_event(void) {
    static struct listener told;
    kith_node *node;
    kith_context *context;
    kith_subscription *subscription = NULL;
    open_both(&node, &context);
    CHECK_OK(kith_context_on_event(context, NULL, on_event, &told, on_free, &subscription));
    CHECK_OK(kith_node_shutdown(node));
    UNTIL(atomic_load(&told.freed) == 1);
    CHECK(atomic_load(&told.closed) == 1 && atomic_load(&told.freed) == 1);
    kith_subscription_free(subscription);
    CHECK(atomic_load(&told.freed) == 1);
    close_both(node, context);
}

struct waiter {
    kith_cancel *cancel;
    kith_events *events;
    atomic_int waiting;
};

static int wait_for_an_event(void *argument) {
    struct waiter *this = argument;
    kith_event *event = NULL;
    kith_status status;
    if (kith_cancel_bind(this->cancel) != KITH_OK) {
        return 100;
    }
    atomic_store(&this->waiting, 1);
    do {
        status = kith_events_next(this->events, KITH_FOREVER, &event);
        if (status == KITH_OK) {
            kith_event_free(event);
        }
    } while (status == KITH_OK);
    return (int)status;
}

/* scenario: cancelled_wait, cancelled_has_its_kind */
static void another_thread_cancels(void) {
    kith_node *node;
    kith_context *context;
    kith_event *event;
    struct waiter waiter = {NULL, NULL, 0};
    thrd_t other;
    int result = 0;
    open_both(&node, &context);
    CHECK_OK(kith_context_events(context, NULL, &waiter.events));
    CHECK_OK(kith_cancel_new(&waiter.cancel));
    CHECK(!kith_cancel_fired(waiter.cancel));
    CHECK(thrd_create(&other, wait_for_an_event, &waiter) == thrd_success);
    UNTIL(atomic_load(&waiter.waiting) == 1);
    CHECK_OK(kith_cancel_fire(waiter.cancel));
    CHECK_OK(kith_cancel_fire(waiter.cancel));
    CHECK(thrd_join(other, &result) == thrd_success && result == KITH_CANCELLED);
    CHECK(kith_cancel_fired(waiter.cancel));
    /* Only the thread that bound it is meant, and no event is lost. */
    CHECK_OK(put_text(context, "one", "1"));
    event = next_of_kind(waiter.events, KITH_EVENT_CHANGED);
    CHECK(event != NULL);
    kith_event_free(event);
    CHECK_OK(kith_cancel_bind(waiter.cancel));
    CHECK_STATUS(KITH_CANCELLED, put_text(context, "two", "2"));
    kith_cancel_free(waiter.cancel);
    CHECK_STATUS(KITH_CANCELLED, kith_context_wait_synced(context, WAIT_MS));
    CHECK_OK(kith_cancel_bind(NULL));
    CHECK(!holds(context, "two", "2"));
    CHECK_OK(put_text(context, "two", "2"));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_cancel_new(NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_cancel_fire(NULL));
    CHECK(!kith_cancel_fired(NULL));
    kith_cancel_free(NULL);
    kith_events_free(waiter.events);
    close_both(node, context);
}

struct writer {
    kith_cancel *cancel;
    kith_context *context;
    atomic_int begun, may_end;
};

/* Writes one thing, waits until it may go on, and writes another one. */
static kith_status write_slowly(void *user_data, kith_call *call, kith_state *state) {
    struct writer *this = user_data;
    size_t length = 0;
    const uint8_t *arguments = kith_call_arguments(call, &length);
    uint8_t key[32];
    kith_status status;
    make_key("first", key);
    status = kith_state_put(state, key, arguments, length);
    atomic_fetch_add(&this->begun, 1);
    UNTIL(atomic_load(&this->may_end));
    make_key("second", key);
    return status == KITH_OK ? kith_state_put(state, key, arguments, length) : status;
}

static int write_until_cancelled(void *argument) {
    struct writer *this = argument;
    kith_status status = kith_cancel_bind(this->cancel);
    return status == KITH_OK ? (int)kith_context_execute(this->context, "write", (const uint8_t *)"1", 1, NULL, NULL) : -1;
}

static int fire_once_begun(void *argument) {
    struct writer *this = argument;
    UNTIL(atomic_load(&this->begun) == 1);
    return (int)kith_cancel_fire(this->cancel);
}

/* scenario: cancelled_write */
static void a_write_that_is_cancelled_under_way_is_finished_whole(void) {
    static struct writer writer;
    kith_node *node = NULL;
    kith_application application;
    kith_events *events = NULL;
    kith_event *event;
    thrd_t writing, firing;
    int result = 0;
    CHECK_OK(lone_node(&node));
    kith_application_init(&application);
    application.execute = write_slowly;
    application.user_data = &writer;
    CHECK_OK(kith_node_register(node, "slow", &application));
    CHECK_OK(kith_node_create_context(node, "slow", NULL, 0, NULL, &writer.context));
    CHECK_OK(kith_context_events(writer.context, NULL, &events));
    CHECK_OK(kith_cancel_new(&writer.cancel));
    CHECK(thrd_create(&firing, fire_once_begun, &writer) == thrd_success);
    CHECK(thrd_create(&writing, write_until_cancelled, &writer) == thrd_success);
    /* The caller is free while the application still waits. */
    CHECK(thrd_join(writing, &result) == thrd_success && result == KITH_CANCELLED);
    CHECK(thrd_join(firing, &result) == thrd_success && result == KITH_OK);
    CHECK(atomic_load(&writer.begun) == 1);
    atomic_store(&writer.may_end, 1);
    event = next_of_kind(events, KITH_EVENT_EXECUTED);
    CHECK(event != NULL);
    kith_event_free(event);
    CHECK(holds(writer.context, "first", "1") && holds(writer.context, "second", "1"));
    /* It goes on, and nothing of the call comes again. */
    CHECK_OK(kith_context_execute(writer.context, "write", (const uint8_t *)"2", 1, NULL, NULL));
    CHECK(holds(writer.context, "first", "2") && holds(writer.context, "second", "2"));
    CHECK(atomic_load(&writer.begun) == 2);
    kith_events_free(events);
    kith_cancel_free(writer.cancel);
    close_both(node, writer.context);
}

struct progress {
    atomic_int calls, refused;
    atomic_ullong done;
    kith_node *node;
};

static void on_progress(void *user_data, uint64_t done, uint64_t total) {
    struct progress *this = user_data;
    kith_buffer json = {NULL, 0};
    atomic_fetch_add(&this->calls, 1);
    atomic_store(&this->done, done <= total ? done : 0);
    atomic_fetch_add(&this->refused, kith_node_status(this->node, &json) == KITH_UNSUPPORTED);
}

static int fire_soon(void *cancel) {
    rest();
    return (int)kith_cancel_fire(cancel);
}

/* scenario: joining_tells_how_far, cancelled_join */
static void joining_tells_how_far_it_is_and_is_given_up(void) {
    static struct progress progress;
    kith_node *one = NULL, *two = NULL;
    kith_context *mine = NULL, *theirs = NULL;
    kith_buffer token = {NULL, 0}, ids = {NULL, 0};
    kith_join_options options;
    kith_cancel *cancel = NULL;
    thrd_t other;
    int result = 1;
    CHECK_OK(kith_test_nodes(&one, &two));
    CHECK_OK(kith_node_create_context(one, NULL, NULL, 0, "shared", &mine));
    for (int i = 0; i < 20; i++) {
        CHECK_OK(put_text(mine, "key", "value"));
    }
    CHECK_OK(kith_context_invite(mine, NULL, &token));
    kith_join_options_init(&options);
    CHECK(options.timeout_ms == 60000);
    options.on_progress = on_progress;
    options.user_data = &progress;
    progress.node = two;
    options.struct_size++;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_join_with(two, (char *)token.data, &options, &theirs));
    options.struct_size--;
    CHECK_OK(kith_node_join_with(two, (char *)token.data, &options, &theirs));
    CHECK(atomic_load(&progress.calls) > 0 && atomic_load(&progress.done) > 0);
    CHECK(atomic_load(&progress.refused) == atomic_load(&progress.calls));
    CHECK(holds(theirs, "key", "value"));
    kith_buffer_free(&token);

    /* Nobody answers any more: the one who gives up is rid of it at once, long before the time is over. */
    kith_context_free(mine);
    CHECK_OK(kith_node_create_context(one, NULL, NULL, 0, "another", &mine));
    CHECK_OK(kith_context_invite(mine, NULL, &token));
    CHECK_OK(kith_node_shutdown(one));
    CHECK_OK(kith_cancel_new(&cancel));
    CHECK_OK(kith_cancel_bind(cancel));
    CHECK(thrd_create(&other, fire_soon, cancel) == thrd_success);
    CHECK_STATUS(KITH_CANCELLED, kith_node_join(two, (char *)token.data, KITH_FOREVER, &theirs));
    CHECK(thrd_join(other, &result) == thrd_success && result == KITH_OK);
    CHECK_OK(kith_cancel_bind(NULL));
    for (int tries = 0; tries < WAIT_MS / 2; tries++) {
        kith_buffer_free(&ids);
        CHECK_OK(kith_node_contexts(two, &ids));
        if (ids.length == 32) {
            break;
        }
        rest();
    }
    CHECK(ids.length == 32);
    kith_buffer_free(&ids);
    kith_buffer_free(&token);
    kith_cancel_free(cancel);
    close_both(one, mine);
    close_both(two, theirs);
}

struct log {
    atomic_int calls, above, refused, freed;
};

static void on_log(void *user_data, uint32_t level, const char *target, const char *message) {
    struct log *this = user_data;
    kith_node *node = NULL;
    atomic_fetch_add(&this->calls, 1);
    atomic_fetch_add(&this->above, level > KITH_LOG_DEBUG || target[0] == '\0' || message[0] == '\0');
    atomic_fetch_add(&this->refused, kith_node_open(NULL, NULL, &node) == KITH_UNSUPPORTED);
}

static void on_log_freed(void *user_data) {
    struct log *this = user_data;
    atomic_fetch_add(&this->freed, 1);
}

/* scenario: logs_reach_the_host */
static void logs_are_told_up_to_their_level(void) {
    static struct log log;
    kith_node *one = NULL, *two = NULL;
    kith_context *mine = NULL, *theirs = NULL;
    kith_buffer token = {NULL, 0};
    int calls;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_log_set(KITH_LOG_TRACE + 1, on_log, &log, on_log_freed));
    CHECK_OK(kith_log_set(KITH_LOG_DEBUG, on_log, &log, on_log_freed));
    CHECK_OK(lone_node(&one));
    CHECK_OK(kith_node_create_context(one, NULL, NULL, 0, NULL, &mine));
    CHECK_OK(kith_context_invite(mine, NULL, &token));
    CHECK_OK(lone_node(&two));
    CHECK(kith_node_join(two, (char *)token.data, 100, &theirs) != KITH_OK);
    close_both(two, NULL);
    close_both(one, mine);
    kith_buffer_free(&token);
    CHECK_OK(kith_log_set(KITH_LOG_OFF, NULL, NULL, NULL));
    CHECK(atomic_load(&log.calls) > 0 && atomic_load(&log.above) == 0 && atomic_load(&log.freed) == 1);
    CHECK(atomic_load(&log.refused) == atomic_load(&log.calls));
    calls = atomic_load(&log.calls);
    CHECK_OK(lone_node(&one));
    close_both(one, NULL);
    CHECK(atomic_load(&log.calls) == calls);
}

/* scenario: closed_after_shutdown */
static void after_the_shutdown_everything_is_closed(void) {
    kith_node *node;
    kith_context *context, *other = NULL;
    kith_buffer buffer = {NULL, 0};
    kith_subscription *subscription = NULL;
    kith_events *events = NULL;
    kith_receipt *receipt = NULL;
    kith_context_info info;
    uint8_t id[32] = {0};
    size_t count;
    open_both(&node, &context);
    CHECK_OK(kith_node_context_infos(node, &info, 1, &count));
    CHECK(count == 1 && strcmp(info.application, "kv") == 0 && !info.joining);
    CHECK_OK(kith_node_shutdown(node));
    CHECK_STATUS(KITH_CLOSED, kith_node_create_context(node, NULL, NULL, 0, NULL, &other));
    CHECK_STATUS(KITH_CLOSED, kith_node_contexts(node, &buffer));
    CHECK_STATUS(KITH_CLOSED, kith_node_context(node, id, &other));
    CHECK_STATUS(KITH_CLOSED, kith_node_connect(node, "/ip4/127.0.0.1/tcp/1"));
    CHECK_STATUS(KITH_CLOSED, kith_context_execute(context, "put", NULL, 0, NULL, NULL));
    CHECK_STATUS(KITH_CLOSED, kith_context_query(context, "x", NULL, 0, &buffer));
    CHECK_STATUS(KITH_CLOSED, kith_context_get(context, id, KITH_TENTATIVE, &buffer));
    CHECK_STATUS(KITH_CLOSED, kith_context_receipt(context, id, &receipt));
    CHECK_STATUS(KITH_CLOSED, kith_context_members(context, NULL, 0, &count));
    CHECK_STATUS(KITH_CLOSED, kith_context_invite(context, NULL, &buffer));
    CHECK_STATUS(KITH_CLOSED, kith_context_skip(context, id, NULL));
    CHECK_STATUS(KITH_CLOSED, kith_context_leave(context));
    CHECK_STATUS(KITH_CLOSED, kith_context_status(context, &buffer));
    CHECK_STATUS(KITH_CLOSED, kith_context_events(context, NULL, &events));
    CHECK_STATUS(KITH_CLOSED, kith_context_on_event(context, NULL, on_event, NULL, NULL, &subscription));
    close_both(node, context);
}

int main(void) {
    RUN(callbacks_are_told_and_may_call_back);
    RUN(a_callback_frees_its_own_subscription);
    RUN(the_end_of_the_node_is_the_last_event);
    RUN(another_thread_cancels);
    RUN(a_write_that_is_cancelled_under_way_is_finished_whole);
    RUN(joining_tells_how_far_it_is_and_is_given_up);
    RUN(logs_are_told_up_to_their_level);
    RUN(after_the_shutdown_everything_is_closed);
    return check_finish();
}

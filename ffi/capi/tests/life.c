/* A node's rest (suspending, resuming, syncing once), its engine, and what is looked at in a context: checks, and where a value comes from. */
#include "nodes.h"

static const char *const only_this_machine[] = {"/ip4/127.0.0.1/tcp/0"};
static const char *folder;

static kith_status open_node(const char *name, uint32_t storage, kith_node **node) {
    char path[1024];
    kith_node_options options;
    kith_node_options_init(&options);
    options.listen = only_this_machine;
    options.listen_count = 1;
    options.discovery = false;
    options.storage = storage;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return kith_node_open(path, &options, node);
}

static kith_status waited;

static int wait_for_change(void *events) {
    kith_event *event = next_of_kind(events, KITH_EVENT_CHANGED);
    uint8_t key[32];
    size_t count = 0;
    int right = 0;
    make_key("theirs", key);
    if (event != NULL) {
        const uint8_t *keys = kith_event_keys(event, &count);
        right = count == 1 && memcmp(keys, key, 32) == 0;
    }
    waited = right ? KITH_OK : KITH_INTERNAL;
    kith_event_free(event);
    return 0;
}

/* scenario: suspended_node */
static void a_suspended_node_gives_its_directory_back_and_goes_on_where_it_was(void) {
    kith_node *node = NULL, *other = NULL;
    kith_context *context = NULL, *again = NULL;
    kith_events *events = NULL;
    kith_event *event = NULL;
    kith_buffer addresses = {NULL, 0}, buffer = {NULL, 0};
    kith_cancel *cancel = NULL;
    uint8_t key[32], id[32];
    thrd_t waiting;
    bool suspended = true;

    CHECK_OK(open_node("rest", KITH_ENGINE_AUTO, &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, "home", &context));
    CHECK_OK(kith_context_id(context, id));
    CHECK_OK(put_text(context, "before", "1"));
    CHECK_OK(kith_context_events(context, NULL, &events));
    CHECK_OK(kith_node_addresses(node, &addresses));
    CHECK_OK(kith_node_is_suspended(node, &suspended));
    CHECK(!suspended && says(node, "\"suspended\":false"));
    CHECK(thrd_create(&waiting, wait_for_change, events) == thrd_success);

    /* Like shutting down, it is done in any case: an app that ends calls them off first. */
    CHECK_OK(kith_cancel_new(&cancel));
    CHECK_OK(kith_cancel_fire(cancel));
    CHECK_OK(kith_cancel_bind(cancel));
    CHECK_OK(kith_node_suspend(node, WAIT_MS));
    CHECK_OK(kith_cancel_bind(NULL));
    kith_cancel_free(cancel);
    CHECK_OK(kith_node_suspend(node, WAIT_MS));
    CHECK_OK(kith_node_is_suspended(node, &suspended));
    CHECK(suspended && says(node, "\"suspended\":true") && says(node, "\"addresses\":[]"));
    CHECK_STATUS(KITH_CLOSED, put_text(context, "x", "y"));
    CHECK_SAYS("suspended");
    make_key("before", key);
    CHECK_STATUS(KITH_CLOSED, kith_context_get(context, key, KITH_TENTATIVE, &buffer));
    CHECK_STATUS(KITH_CLOSED, kith_node_create_context(node, NULL, NULL, 0, NULL, &again));
    CHECK_OK(kith_node_contexts(node, &buffer));
    CHECK(buffer.length == 32 && memcmp(buffer.data, id, 32) == 0);
    kith_buffer_free(&buffer);

    /* The directory is free, for a node of another process or of this one. */
    CHECK_OK(open_node("rest", KITH_ENGINE_AUTO, &other));
    CHECK_STATUS(KITH_BUSY, kith_node_resume(node));
    CHECK_OK(kith_node_context(other, id, &again));
    CHECK_OK(put_text(again, "theirs", "2"));
    CHECK_OK(kith_node_shutdown(other));
    kith_context_free(again);
    kith_node_free(other);

    CHECK_OK(kith_node_resume(node));
    CHECK_OK(kith_node_resume(node));
    CHECK_OK(kith_node_is_suspended(node, &suspended));
    CHECK(!suspended);
    CHECK_OK(kith_node_addresses(node, &buffer));
    CHECK(strcmp((char *)addresses.data, (char *)buffer.data) == 0);
    kith_buffer_free(&addresses);
    kith_buffer_free(&buffer);
    /* The stream has waited, and goes on with what was written meanwhile. */
    CHECK(thrd_join(waiting, NULL) == thrd_success);
    CHECK_STATUS(KITH_OK, waited);
    CHECK_OK(put_text(context, "after", "3"));
    event = next_of_kind(events, KITH_EVENT_CHANGED);
    CHECK(event != NULL);
    kith_event_free(event);
    CHECK(holds(context, "before", "1") && holds(context, "theirs", "2") && holds(context, "after", "3"));
    kith_events_free(events);
    CHECK_OK(kith_node_shutdown(node));
    CHECK_STATUS(KITH_CLOSED, kith_node_suspend(node, WAIT_MS));
    CHECK_STATUS(KITH_CLOSED, kith_node_resume(node));
    CHECK_STATUS(KITH_CLOSED, kith_node_sync_once(node, 1, NULL, NULL, NULL));
    kith_context_free(context);
    kith_node_free(node);
}

static atomic_int held, let_go;

static kith_status hang(void *user_data, kith_call *call, kith_state *state) {
    (void)user_data;
    (void)call;
    (void)state;
    atomic_store(&held, 1);
    UNTIL(atomic_load(&let_go));
    return KITH_OK;
}

static int call_hanging(void *context) {
    waited = kith_context_execute(context, "hang", NULL, 0, NULL, NULL);
    return 0;
}

/* scenario: suspension_in_time */
static void an_application_that_hangs_holds_the_suspension_up_but_not_its_caller(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_application application;
    thrd_t calling;
    CHECK_OK(lone_node(&node));
    kith_application_init(&application);
    application.execute = hang;
    CHECK_OK(kith_node_register(node, "hanging", &application));
    CHECK_OK(kith_node_create_context(node, "hanging", NULL, 0, NULL, &context));
    CHECK(thrd_create(&calling, call_hanging, context) == thrd_success);
    UNTIL(atomic_load(&held));
    CHECK_STATUS(KITH_TIMEOUT, kith_node_suspend(node, 100));
    CHECK_SAYS("goes on in the background");
    CHECK_STATUS(KITH_CLOSED, kith_context_execute(context, "hang", NULL, 0, NULL, NULL));
    atomic_store(&let_go, 1);
    /* What had begun is finished, and resuming waits for that. */
    CHECK(thrd_join(calling, NULL) == thrd_success);
    CHECK_STATUS(KITH_OK, waited);
    CHECK_OK(kith_node_resume(node));
    CHECK_OK(kith_context_execute(context, "hang", NULL, 0, NULL, NULL));
    CHECK_OK(kith_node_shutdown(node));
    kith_context_free(context);
    kith_node_free(node);
}

/* scenario: syncing_once */
static void syncing_once_brings_what_others_wrote(void) {
    struct pair pair;
    kith_buffer synced = {NULL, 0}, behind = {NULL, 0};
    uint8_t id[32];
    size_t peers = 7;
    bool suspended = false;
    CHECK_OK(open_pair(&pair));
    CHECK_OK(kith_context_id(pair.mine, id));
    CHECK_OK(kith_node_suspend(pair.other, WAIT_MS));
    CHECK_OK(put_text(pair.mine, "while", "you slept"));
    CHECK_OK(kith_node_sync_once(pair.other, WAIT_MS, &peers, &synced, &behind));
    CHECK(peers == 1 && synced.length == 32 && memcmp(synced.data, id, 32) == 0 && behind.length == 0);
    kith_buffer_free(&synced);
    kith_buffer_free(&behind);
    CHECK_OK(kith_node_is_suspended(pair.other, &suspended));
    CHECK(suspended);
    CHECK_OK(kith_node_resume(pair.other));
    CHECK(holds(pair.theirs, "while", "you slept"));
    /* Nobody is there: the budget is not waited for. */
    CHECK_OK(kith_node_shutdown(pair.one));
    CHECK_OK(kith_node_sync_once(pair.other, KITH_FOREVER, &peers, NULL, &behind));
    CHECK(peers == 0 && behind.length == 32);
    kith_buffer_free(&behind);
    CHECK_OK(kith_node_sync_once(pair.other, 0, NULL, NULL, NULL));
    CHECK_OK(kith_node_shutdown(pair.other));
    close_pair(&pair);
}

/* scenario: storage_engine */
static void a_directory_keeps_its_engine(void) {
    static const uint32_t engines[] = {KITH_ENGINE_SLED, KITH_ENGINE_REDB};
    static const char *const names[] = {"sled", "redb"};
    kith_node *node = NULL;
    for (int i = 0; i < 2; i++) {
        char words[40];
        snprintf(words, sizeof words, "\"storage\":\"%s\"", names[i]);
        CHECK_OK(open_node(names[i], engines[i], &node));
        CHECK(says(node, words));
        CHECK_OK(kith_node_shutdown(node));
        kith_node_free(node);
        node = NULL;
        CHECK_STATUS(KITH_INVALID_ARGUMENT, open_node(names[i], engines[1 - i], &node));
        CHECK(node == NULL);
        CHECK_OK(open_node(names[i], KITH_ENGINE_AUTO, &node));
        CHECK(says(node, words));
        CHECK_OK(kith_node_shutdown(node));
        kith_node_free(node);
    }
    CHECK_STATUS(KITH_INVALID_ARGUMENT, open_node("none", 7, &node));
    CHECK_SAYS("7 is no storage engine");
    CHECK_OK(lone_node(&node));
    CHECK(says(node, "\"storage\":null"));
    CHECK_OK(kith_node_shutdown(node));
    kith_node_free(node);
}

#define WRITTEN 20000

static atomic_int ended;
static uint8_t acknowledged[WRITTEN];
static int refused;

static int write_and_write(void *context) {
    for (int number = 0; !atomic_load(&ended) && number < WRITTEN; number++) {
        char name[16];
        kith_status status;
        snprintf(name, sizeof name, "%d", number);
        status = put_text(context, name, "x");
        acknowledged[number] = status == KITH_OK;
        if (status == KITH_CLOSED) {
            refused++;
            rest();
        }
    }
    return 0;
}

static void a_hundred_suspensions_in_mid_write_lose_nothing_that_was_acknowledged(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_events *events = NULL;
    kith_verification report;
    thrd_t writer;
    int count = 0;
    CHECK_OK(open_node("written", KITH_ENGINE_AUTO, &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(kith_context_events(context, NULL, &events));
    CHECK(thrd_create(&writer, write_and_write, context) == thrd_success);
    for (int i = 0; i < 100; i++) {
        /* Some of it is written each time. */
        kith_event *event = next_of_kind(events, KITH_EVENT_CHANGED);
        CHECK(event != NULL);
        kith_event_free(event);
        CHECK_OK(kith_node_suspend(node, WAIT_MS));
        CHECK_OK(kith_node_resume(node));
    }
    atomic_store(&ended, 1);
    CHECK(thrd_join(writer, NULL) == thrd_success);
    for (int number = 0; number < WRITTEN; number++) {
        char name[16];
        snprintf(name, sizeof name, "%d", number);
        if (acknowledged[number]) {
            CHECK(holds(context, name, "x"));
            count++;
        }
    }
    CHECK(count >= 100 && refused > 0);
    CHECK_OK(kith_context_verify(context, &report));
    CHECK(report.part == KITH_PART_NONE);
    kith_events_free(events);
    CHECK_OK(kith_node_shutdown(node));
    kith_context_free(context);
    kith_node_free(node);
}

static void a_hundred_suspensions_in_mid_catch_up_end_in_step(void) {
    static uint8_t value[2000];
    struct pair pair;
    kith_verification report;
    int interrupted = 0;
    CHECK_OK(open_pair(&pair));
    for (int i = 0; i < 1000 && interrupted < 100; i++) {
        kith_events *events = NULL;
        kith_event *event;
        uint8_t last[32] = {(uint8_t)(i / 200), (uint8_t)(i % 200), 4};
        kith_buffer there = {NULL, 0};
        kith_status found;
        CHECK_OK(kith_node_suspend(pair.other, WAIT_MS));
        for (uint8_t each = 0; each < 5; each++) {
            uint8_t key[32] = {last[0], last[1], each};
            CHECK_OK(kith_context_put(pair.mine, key, value, sizeof value, NULL));
        }
        CHECK_OK(kith_context_events(pair.theirs, NULL, &events));
        CHECK_OK(kith_node_resume(pair.other));
        /* As soon as there is somebody to catch up with. */
        event = next_of_kind(events, KITH_EVENT_PEER_CONNECTED);
        CHECK(event != NULL);
        kith_event_free(event);
        kith_events_free(events);
        CHECK_OK(kith_node_suspend(pair.other, WAIT_MS));
        /* What it has is looked at while there is nobody to get more from. */
        CHECK_OK(kith_node_suspend(pair.one, WAIT_MS));
        CHECK_OK(kith_node_resume(pair.other));
        found = kith_context_get(pair.theirs, last, KITH_TENTATIVE, &there);
        CHECK(found == KITH_OK || found == KITH_NOT_FOUND);
        interrupted += found == KITH_NOT_FOUND;
        kith_buffer_free(&there);
        CHECK_OK(kith_node_resume(pair.one));
    }
    CHECK(interrupted == 100);
    UNTIL(in_step(pair.mine, pair.theirs));
    CHECK(same_state(pair.mine, pair.theirs));
    CHECK_OK(kith_context_verify(pair.theirs, &report));
    CHECK(report.part == KITH_PART_NONE);
    CHECK_OK(kith_node_shutdown(pair.one));
    CHECK_OK(kith_node_shutdown(pair.other));
    close_pair(&pair);
}

static atomic_int otherwise;

/* Not what applications must be: it answers otherwise when it is asked again. */
static kith_status fickle(void *user_data, kith_call *call, kith_state *state) {
    (void)user_data;
    (void)state;
    return kith_call_answer(call, (const uint8_t *)"first", atomic_load(&otherwise) ? 4 : 5);
}

/* scenario: what_is_kept_is_checked */
static void what_is_kept_is_compared_with_the_history(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_application application;
    kith_verification report;
    kith_transaction transaction;
    uint8_t id[32], nothing[48] = {0};
    CHECK_OK(lone_node(&node));
    kith_application_init(&application);
    application.execute = fickle;
    CHECK_OK(kith_node_register(node, "fickle", &application));
    CHECK_OK(kith_node_create_context(node, "fickle", NULL, 0, NULL, &context));
    CHECK_OK(kith_context_execute(context, "say", NULL, 0, id, NULL));
    CHECK_OK(kith_context_verify(context, &report));
    CHECK(report.part == KITH_PART_NONE && report.transactions == 3 && report.executed == 3 && report.pending == 0);
    CHECK(!report.has_place && !report.has_kept && memcmp(report.place, nothing, 48) == 0 && report.text[0] == '\0');
    atomic_store(&otherwise, 1);
    CHECK_OK(kith_context_verify(context, &report));
    CHECK_OK(kith_context_transaction(context, id, &transaction));
    CHECK(report.part == KITH_PART_RECEIPT && report.has_place && !report.has_key);
    CHECK(memcmp(report.place, transaction.place, 48) == 0 && memcmp(report.place + 16, id, 32) == 0);
    CHECK(report.has_kept && report.has_recomputed && memcmp(report.kept, report.recomputed, 32) != 0);
    CHECK(strstr(report.text, "the receipt differs at transaction ") != NULL);
    CHECK_OK(kith_node_shutdown(node));
    CHECK_STATUS(KITH_CLOSED, kith_context_verify(context, &report));
    kith_context_free(context);
    kith_node_free(node);
}

/* How many peers a context has a link to. */
static int alone(kith_context *context) {
    kith_buffer json = {NULL, 0};
    int none;
    if (kith_context_status(context, &json) != KITH_OK) {
        return 0;
    }
    none = strstr((char *)json.data, "\"peers\":[]") != NULL;
    kith_buffer_free(&json);
    return none;
}

/* scenario: writers_of_a_key */
static void a_key_is_explained_by_its_writers(void) {
    struct pair pair;
    kith_explanation page[5];
    uint8_t key[32], absent[32], zeros[32] = {0};
    size_t count = 0;
    make_key("x", key);
    make_key("absent", absent);
    CHECK_OK(open_pair(&pair));
    CHECK_OK(put_text(pair.mine, "x", "1"));
    UNTIL(in_step(pair.mine, pair.theirs));
    CHECK_OK(kith_hub_partition(pair.hub, pair.one, pair.other));
    UNTIL(alone(pair.mine) && alone(pair.theirs));
    CHECK(alone(pair.mine) && alone(pair.theirs));
    /* Neither knows of the other's. */
    CHECK_OK(put_text(pair.mine, "x", "2"));
    CHECK_OK(put_text(pair.theirs, "x", "3"));
    CHECK(!same_state(pair.mine, pair.theirs));
    CHECK_OK(kith_hub_heal(pair.hub, pair.one, pair.other));
    UNTIL(in_step(pair.mine, pair.theirs));
    CHECK_OK(kith_context_delete(pair.mine, key, NULL));

    CHECK_OK(kith_context_explain(pair.mine, key, NULL, page, 5, &count));
    CHECK(count == 4);
    for (size_t i = 0; i < count; i++) {
        CHECK(page[i].written == (i < 3 ? KITH_WRITTEN_VALUE : KITH_WRITTEN_REMOVED));
        CHECK(page[i].unseen == (i == 2 ? KITH_UNSEEN : KITH_SEEN));
        CHECK((memcmp(page[i].hash, zeros, 32) == 0) == (i == 3));
        CHECK(page[i].transaction.outcome == KITH_OUTCOME_ACCEPTED);
        CHECK(i == 0 || memcmp(page[i].transaction.place, page[i - 1].transaction.place, 48) > 0);
    }
    CHECK_OK(kith_context_explain(pair.mine, key, page[1].transaction.place, page, 1, &count));
    CHECK(count == 1 && page[0].unseen == KITH_UNSEEN);
    CHECK_OK(kith_context_explain(pair.mine, absent, NULL, page, 5, &count));
    CHECK(count == 0);
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_explain(pair.mine, key, NULL, NULL, 5, &count));
    CHECK_OK(kith_node_shutdown(pair.one));
    CHECK_OK(kith_node_shutdown(pair.other));
    close_pair(&pair);
}

/* scenario: invitation_as_text_bytes_and_picture */
static void an_invitation_is_text_and_bytes_and_has_an_id(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_buffer token = {NULL, 0}, bytes = {NULL, 0}, again = {NULL, 0};
    kith_invitation invitation;
    uint8_t id[32];
    size_t count = 0;
    CHECK_OK(lone_node(&node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(kith_context_invite(context, NULL, &token));
    CHECK_OK(kith_invitation_to_bytes((char *)token.data, &bytes));
    CHECK(bytes.length > 100 && bytes.length < token.length);
    CHECK_OK(kith_invitation_from_bytes(bytes.data, bytes.length, &again));
    CHECK(strcmp((char *)token.data, (char *)again.data) == 0);
    CHECK_OK(kith_invitation_id((char *)token.data, id));
    CHECK_OK(kith_context_invitations(context, &invitation, 1, &count));
    CHECK(count == 1 && memcmp(invitation.id, id, 32) == 0);
    CHECK_OK(kith_context_revoke(context, id, NULL));
    bytes.data[10] ^= 1;
    kith_buffer_free(&again);
    CHECK_STATUS(KITH_INVITATION_INVALID, kith_invitation_from_bytes(bytes.data, bytes.length, &again));
    CHECK_STATUS(KITH_INVITATION_INVALID, kith_invitation_from_bytes(NULL, 0, &again));
    CHECK_STATUS(KITH_INVITATION_INVALID, kith_invitation_id("kith1nonsense", id));
    CHECK_STATUS(KITH_INVITATION_INVALID, kith_invitation_to_bytes("", &again));
    CHECK(again.data == NULL);
    kith_buffer_free(&bytes);
    kith_buffer_free(&token);
    CHECK_OK(kith_node_shutdown(node));
    kith_context_free(context);
    kith_node_free(node);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s EMPTY-FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    folder = argv[1];
    RUN(a_suspended_node_gives_its_directory_back_and_goes_on_where_it_was);
    RUN(an_application_that_hangs_holds_the_suspension_up_but_not_its_caller);
    RUN(syncing_once_brings_what_others_wrote);
    RUN(a_hundred_suspensions_in_mid_write_lose_nothing_that_was_acknowledged);
    RUN(a_hundred_suspensions_in_mid_catch_up_end_in_step);
    RUN(a_directory_keeps_its_engine);
    RUN(what_is_kept_is_compared_with_the_history);
    RUN(a_key_is_explained_by_its_writers);
    RUN(an_invitation_is_text_and_bytes_and_has_an_id);
    return check_finish();
}

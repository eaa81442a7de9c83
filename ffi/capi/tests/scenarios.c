/* Scenarios of bindings/scenarios.toml that no other test shows: opening, sharing, members, events. Invitations are in inviting.c. */
#include "nodes.h"

static const char *folder;

/* scenario: directory_that_cannot_be */
static void a_file_in_the_way_is_a_failure_of_the_store(void) {
    char path[1024];
    kith_node *node = NULL;
    FILE *file;
    snprintf(path, sizeof path, "%s/file", folder);
    file = fopen(path, "w");
    CHECK(file != NULL && fclose(file) == 0);
    CHECK_STATUS(KITH_STORAGE, open_in(folder, "file/below", &node));
    CHECK(node == NULL);
}

/* Changes the last byte of the node's high-water mark. */
static int flip(const char *name) {
    char path[1024];
    FILE *file;
    int last;
    snprintf(path, sizeof path, "%s/%s/high-water", folder, name);
    file = fopen(path, "r+b");
    if (file == NULL || fseek(file, -1, SEEK_END) != 0 || (last = fgetc(file)) == EOF || fseek(file, -1, SEEK_END) != 0) {
        return 0;
    }
    return fputc(last ^ 1, file) != EOF && fclose(file) == 0;
}

/* scenario: damaged_directory */
static void a_damaged_file_is_told_until_it_is_mended(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    uint8_t id[32];
    CHECK_OK(open_in(folder, "damaged", &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(kith_context_id(context, id));
    close_both(node, context);
    CHECK(flip("damaged"));
    CHECK_STATUS(KITH_CORRUPT, open_in(folder, "damaged", &node));
    CHECK(flip("damaged"));
    CHECK_OK(open_in(folder, "damaged", &node));
    CHECK_OK(kith_node_context(node, id, &context));
    close_both(node, context);
}

/* scenario: forgotten_node */
static void a_node_that_is_only_freed_gives_its_directory_back(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_status status = KITH_BUSY;
    uint8_t id[32];
    CHECK_OK(open_in(folder, "forgotten", &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(kith_context_id(context, id));
    kith_context_free(context);
    kith_node_free(node);
    UNTIL((status = open_in(folder, "forgotten", &node)) != KITH_BUSY);
    CHECK(status == KITH_OK);
    CHECK_OK(kith_node_context(node, id, &context));
    close_both(node, context);
}

/* scenario: node_in_memory */
static void a_node_without_a_directory_keeps_nothing(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_buffer ids = {NULL, 0};
    CHECK_OK(lone_node(&node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(put_text(context, "x", "y"));
    CHECK(holds(context, "x", "y"));
    close_both(node, context);
    CHECK_OK(lone_node(&node));
    CHECK_OK(kith_node_contexts(node, &ids));
    CHECK(ids.length == 0);
    kith_buffer_free(&ids);
    close_both(node, NULL);
}

/* scenario: unicode */
static void texts_come_back_as_they_were(void) {
    static const char *const texts[] = {
        "", "\xc3\xa4 \xc3\xb6", "\xe6\xbc\xa2\xe5\xad\x97", "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7", "e\xcc\x81", "\xd7\xa2\xd7\x91",
    };
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_member member;
    kith_invite_options options;
    kith_invitation_info info;
    kith_buffer name = {NULL, 0}, token = {NULL, 0};
    size_t count;
    CHECK_OK(lone_node(&node));
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, texts[i], &context));
        CHECK_OK(kith_context_set_display_name(context, texts[i], NULL));
        CHECK_OK(put_text(context, texts[i], texts[i]));
        CHECK_OK(kith_context_name(context, &name));
        CHECK(strcmp((char *)name.data, texts[i]) == 0);
        kith_buffer_free(&name);
        CHECK_OK(kith_context_members(context, &member, 1, &count));
        CHECK(count == 1 && strcmp(member.name, texts[i]) == 0);
        kith_invite_options_init(&options);
        options.note = texts[i];
        CHECK_OK(kith_context_invite(context, &options, &token));
        CHECK_OK(kith_node_inspect(node, (char *)token.data, &info));
        CHECK(strcmp(info.note, texts[i]) == 0 && holds(context, texts[i], texts[i]));
        kith_buffer_free(&token);
        kith_context_free(context);
    }
    /* What is no UTF-8 is refused. */
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_create_context(node, NULL, NULL, 0, "\xc3", &context));
    close_both(node, NULL);
}

static int write_many(void *context) {
    uint8_t key[32];
    make_key("counter", key);
    for (int i = 0; i < 20; i++) {
        if (put_text(context, "contended", i % 2 == 0 ? "even" : "odd") != KITH_OK ||
            kith_context_add(context, key, 1, NULL) != KITH_OK) {
            return 1;
        }
    }
    return 0;
}

/* scenario: both_write_at_once */
static void who_writes_at_once_ends_with_one_order(void) {
    struct pair pair;
    thrd_t writers[2];
    kith_transaction orders[2][200];
    size_t counts[2] = {0, 0};
    int results[2] = {1, 1};
    CHECK_OK(open_pair(&pair));
    CHECK(thrd_create(&writers[0], write_many, pair.mine) == thrd_success);
    CHECK(thrd_create(&writers[1], write_many, pair.theirs) == thrd_success);
    for (int i = 0; i < 2; i++) {
        CHECK(thrd_join(writers[i], &results[i]) == thrd_success && results[i] == 0);
    }
    UNTIL(in_step(pair.mine, pair.theirs));
    CHECK_OK(kith_context_history(pair.mine, NULL, orders[0], 200, &counts[0]));
    CHECK_OK(kith_context_history(pair.theirs, NULL, orders[1], 200, &counts[1]));
    CHECK(counts[0] == counts[1] && counts[0] > 80);
    for (size_t i = 0; i < counts[0]; i++) {
        CHECK(memcmp(orders[0][i].id, orders[1][i].id, 32) == 0 && orders[0][i].outcome == orders[1][i].outcome);
    }
    close_pair(&pair);
}

/* scenario: partition_heals */
static void who_was_cut_off_comes_together_again(void) {
    struct pair pair;
    kith_events *events = NULL;
    kith_event *event;
    CHECK_OK(open_pair(&pair));
    CHECK_OK(kith_context_events(pair.mine, NULL, &events));
    CHECK_OK(kith_hub_partition(pair.hub, pair.one, pair.other));
    event = next_of_kind(events, KITH_EVENT_PEER_DISCONNECTED);
    CHECK(event != NULL);
    kith_event_free(event);
    CHECK_OK(put_text(pair.mine, "mine", "x"));
    CHECK_OK(put_text(pair.theirs, "theirs", "y"));
    CHECK(!holds(pair.mine, "theirs", "y"));
    CHECK_OK(kith_hub_heal(pair.hub, pair.one, pair.other));
    UNTIL(in_step(pair.mine, pair.theirs));
    CHECK(holds(pair.mine, "theirs", "y") && holds(pair.theirs, "mine", "x"));
    kith_events_free(events);
    close_pair(&pair);
}

/* scenario: peer_out_of_reach, nobody_in_step */
static void a_peer_that_is_gone_is_named_with_the_reason(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_buffer address = {NULL, 0}, json = {NULL, 0};
    const char *bootstrap[1];
    kith_node_options options;
    int told = 0;
    CHECK_OK(open_in(folder, NULL, &node));
    CHECK_OK(kith_node_addresses(node, &address));
    close_both(node, NULL);
    address.data[strcspn((char *)address.data, "\n")] = '\0';
    bootstrap[0] = (char *)address.data;
    kith_node_options_init(&options);
    options.listen = (const char *const[]){NULL};
    options.listen_count = 0;
    options.discovery = false;
    options.bootstrap = bootstrap;
    options.bootstrap_count = 1;
    CHECK_OK(kith_node_open(NULL, &options, &node));
    CHECK_STATUS(KITH_UNREACHABLE, kith_node_connect(node, bootstrap[0]));
    for (int tries = 0; tries < WAIT_MS / 2 && !told; tries++) {
        CHECK_OK(kith_node_status(node, &json));
        told = strstr((char *)json.data, "refused") != NULL;
        kith_buffer_free(&json);
        rest();
    }
    CHECK(told);
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_STATUS(KITH_TIMEOUT, kith_context_wait_synced(context, 20));
    kith_buffer_free(&address);
    close_both(node, context);
}

static void strangers_are_counted(void) {
    struct pair pair;
    kith_buffer address = {NULL, 0};
    CHECK_OK(open_nodes(&pair));
    CHECK(says(pair.one, "\"strangers\":{\"linked\":0,\"ended\":0,\"refused\":0,\"unfinished\":0,\"misbehaved\":0,\"version\":0,\"timeout\":0}"));
    CHECK_OK(kith_node_addresses(pair.one, &address));
    address.data[strcspn((char *)address.data, "\n")] = '\0';
    CHECK_OK(kith_node_connect(pair.other, (char *)address.data));
    UNTIL(says(pair.one, "\"linked\":1,\"ended\":0"));
    CHECK(says(pair.one, "\"linked\":1,\"ended\":0"));
    CHECK_OK(kith_node_shutdown(pair.other));
    UNTIL(says(pair.one, "\"linked\":0,\"ended\":1"));
    CHECK(says(pair.one, "\"linked\":0,\"ended\":1"));
    kith_buffer_free(&address);
    close_pair(&pair);
}

/* scenario: member_is_removed, mistakes_are_named */
static void who_is_removed_writes_no_more(void) {
    struct pair pair;
    uint8_t them[32];
    uint32_t role = KITH_WRITER;
    CHECK_OK(open_pair(&pair));
    CHECK_OK(kith_context_me(pair.theirs, them));
    CHECK_OK(kith_context_remove(pair.mine, them, NULL));
    UNTIL(kith_context_role(pair.theirs, &role) == KITH_OK && role == KITH_NO_ROLE);
    CHECK(role == KITH_NO_ROLE);
    CHECK_STATUS(KITH_NOT_MEMBER, put_text(pair.theirs, "x", "y"));
    CHECK_STATUS(KITH_NOT_MEMBER, kith_context_remove(pair.mine, them, NULL));
    them[0] ^= 1;
    CHECK_STATUS(KITH_NOT_FOUND, kith_node_context(pair.one, them, &pair.theirs));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_connect(pair.one, "nowhere"));
    close_pair(&pair);
}

/* scenario: member_leaves, last_admin_stays */
static void who_leaves_is_gone_and_the_last_admin_stays(void) {
    struct pair pair;
    kith_events *events = NULL;
    kith_event *event;
    kith_buffer ids = {NULL, 0};
    CHECK_OK(open_pair(&pair));
    CHECK_STATUS(KITH_PERMISSION_DENIED, kith_context_leave(pair.mine));
    CHECK_OK(kith_context_events(pair.mine, NULL, &events));
    CHECK_OK(kith_context_leave(pair.theirs));
    event = next_of_kind(events, KITH_EVENT_MEMBER_LEFT);
    CHECK(event != NULL);
    kith_event_free(event);
    kith_events_free(events);
    CHECK_OK(kith_node_contexts(pair.other, &ids));
    CHECK(ids.length == 0);
    kith_buffer_free(&ids);
    CHECK_STATUS(KITH_CLOSED, put_text(pair.theirs, "x", "y"));
    CHECK_OK(kith_context_leave(pair.mine));
    close_pair(&pair);
}

/* scenario: events_after_a_restart */
static void a_cursor_outlives_its_node(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_events *events = NULL;
    kith_event *event;
    uint8_t id[32], two[32], key[32];
    uint64_t cursor;
    make_key("two", key);
    CHECK_OK(open_in(folder, "cursor", &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(kith_context_id(context, id));
    CHECK_OK(kith_context_events(context, NULL, &events));
    CHECK_OK(put_text(context, "one", "1"));
    event = next_of_kind(events, KITH_EVENT_EXECUTED);
    CHECK(event != NULL);
    cursor = kith_event_cursor(event);
    kith_event_free(event);
    kith_events_free(events);
    CHECK_OK(kith_context_put(context, key, key, 1, two));
    close_both(node, context);
    CHECK_OK(open_in(folder, "cursor", &node));
    CHECK_OK(kith_node_context(node, id, &context));
    CHECK_OK(kith_context_events(context, &cursor, &events));
    event = next_of_kind(events, KITH_EVENT_EXECUTED);
    CHECK(event != NULL && memcmp(kith_event_transaction(event), two, 32) == 0);
    kith_event_free(event);
    kith_events_free(events);
    close_both(node, context);
}

/* scenario: cursor_expired */
static void a_cursor_that_is_too_old_says_so(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_events *events = NULL;
    kith_node_options options;
    uint64_t cursor = 1;
    kith_node_options_init(&options);
    options.listen = (const char *const[]){NULL};
    options.listen_count = 0;
    options.discovery = false;
    options.event_retention = 3;
    CHECK_OK(kith_node_open(NULL, &options, &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    for (int i = 0; i < 10; i++) {
        CHECK_OK(put_text(context, "x", "y"));
    }
    CHECK_STATUS(KITH_CURSOR_EXPIRED, kith_context_events(context, &cursor, &events));
    close_both(node, context);
}

/* scenario: kinds_are_the_same */
static void the_kinds_have_their_names(void) {
    static const char *const names[] = {
        "INVALID_ARGUMENT", "NOT_FOUND", "NOT_MEMBER", "PERMISSION_DENIED", "REJECTED", "INVITATION_INVALID",
        "INVITATION_EXPIRED", "INVITATION_USED", "INVITATION_REVOKED", "UNREACHABLE", "TIMEOUT", "CLOSED", "BUSY",
        "STORAGE", "CORRUPT", "VERSION_MISMATCH", "UNSUPPORTED", "EQUIVOCATION", "CANCELLED", "BLOCKED",
        "STORAGE_FULL", "KEY_REQUIRED", "LIMIT_EXCEEDED", "CURSOR_EXPIRED", "APPLICATION_MISSING", "INTERNAL",
    };
    for (uint32_t kind = 1; kind <= KITH_INTERNAL; kind++) {
        const char *name = kith_status_name(kind);
        CHECK(strncmp(name, "KITH_", 5) == 0 && strcmp(name + 5, names[kind - 1]) == 0);
    }
    CHECK(KITH_INTERNAL == sizeof names / sizeof *names);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s EMPTY-FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    folder = argv[1];
    RUN(a_file_in_the_way_is_a_failure_of_the_store);
    RUN(a_damaged_file_is_told_until_it_is_mended);
    RUN(a_node_that_is_only_freed_gives_its_directory_back);
    RUN(a_node_without_a_directory_keeps_nothing);
    RUN(texts_come_back_as_they_were);
    RUN(who_writes_at_once_ends_with_one_order);
    RUN(who_was_cut_off_comes_together_again);
    RUN(a_peer_that_is_gone_is_named_with_the_reason);
    RUN(strangers_are_counted);
    RUN(who_is_removed_writes_no_more);
    RUN(who_leaves_is_gone_and_the_last_admin_stays);
    RUN(a_cursor_outlives_its_node);
    RUN(a_cursor_that_is_too_old_says_so);
    RUN(the_kinds_have_their_names);
    return check_finish();
}

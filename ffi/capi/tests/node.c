/* Nodes, contexts, members, invitations and events, by two nodes of one process over loopback. */
#include "nodes.h"

static const char *folder;

static kith_status open_node(const char *name, kith_node **node) {
    return open_in(folder, name, node);
}

/* scenario: keeps_over_a_restart, directory_in_use, put_get_delete, compare_and_set, what_became_of_a_transaction, counters_and_appending, not_there_yet */
static void a_context_keeps_what_it_is_told(void) {
    kith_node *node = NULL;
    kith_context *context = NULL, *again = NULL, *found = NULL;
    kith_buffer buffer = {NULL, 0};
    uint8_t key[32], id[32], me[32], transaction[32];
    uint32_t role = KITH_NO_ROLE;
    int64_t now = 0;

    CHECK_OK(open_node("keeps", &node));
    CHECK_OK(kith_node_create_context(node, "kv", NULL, 0, "a name", &context));
    CHECK_OK(kith_context_id(context, id));
    CHECK_OK(kith_context_me(context, me));
    CHECK(memcmp(id, me, 32) != 0);
    CHECK_OK(kith_context_role(context, &role));
    CHECK(role == KITH_ADMIN);
    CHECK_OK(kith_context_name(context, &buffer));
    CHECK(strcmp((char *)buffer.data, "a name") == 0 && buffer.length == 6);
    kith_buffer_free(&buffer);
    CHECK_OK(kith_context_application(context, &buffer));
    CHECK(strcmp((char *)buffer.data, "kv") == 0);
    kith_buffer_free(&buffer);

    make_key("one", key);
    CHECK_STATUS(KITH_NOT_FOUND, kith_context_get(context, key, KITH_TENTATIVE, &buffer));
    CHECK_OK(kith_context_put(context, key, (const uint8_t *)"value", 5, transaction));
    CHECK(holds(context, "one", "value"));
    CHECK_STATUS(KITH_UNSUPPORTED, kith_context_get(context, key, KITH_FINAL, &buffer));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_get(context, key, 7, &buffer));
    CHECK_OK(kith_context_append(context, key, (const uint8_t *)"!", 1, NULL));
    CHECK(holds(context, "one", "value!"));
    CHECK_STATUS(KITH_REJECTED, kith_context_compare_and_set(context, key, (const uint8_t *)"other", 5,
                                                             (const uint8_t *)"new", 3, NULL));
    CHECK_OK(kith_context_compare_and_set(context, key, (const uint8_t *)"value!", 6, NULL, 0, NULL));
    CHECK_STATUS(KITH_NOT_FOUND, kith_context_get(context, key, KITH_TENTATIVE, &buffer));
    CHECK_SAYS("there is no entry");
    CHECK_OK(kith_context_compare_and_set(context, key, NULL, 0, (const uint8_t *)"", 0, NULL));
    CHECK(holds(context, "one", ""));
    CHECK_OK(kith_context_delete(context, key, NULL));

    make_key("counter", key);
    CHECK_OK(kith_context_add(context, key, 40, NULL));
    CHECK_OK(kith_context_add(context, key, 2, &now));
    CHECK(now == 42);

    {
        kith_transaction info;
        CHECK_OK(kith_context_transaction(context, transaction, &info));
        CHECK(memcmp(info.id, transaction, 32) == 0 && memcmp(info.author, me, 32) == 0);
        CHECK(info.outcome == KITH_OUTCOME_ACCEPTED && info.sequence == 3);
        transaction[0] ^= 1;
        CHECK_STATUS(KITH_NOT_FOUND, kith_context_transaction(context, transaction, &info));
    }

    CHECK_OK(kith_node_context(node, id, &found));
    CHECK(holds(found, "counter", "*"));
    kith_context_free(found);
    CHECK_STATUS(KITH_BUSY, open_node("keeps", (kith_node **)&again));
    CHECK_OK(kith_node_shutdown(node));
    CHECK_OK(kith_node_shutdown(node));
    CHECK_STATUS(KITH_CLOSED, put_text(context, "late", "x"));
    kith_context_free(context);
    kith_node_free(node);

    CHECK_OK(open_node("keeps", &node));
    CHECK_OK(kith_node_contexts(node, &buffer));
    CHECK(buffer.length == 32 && memcmp(buffer.data, id, 32) == 0);
    kith_buffer_free(&buffer);
    CHECK_OK(kith_node_context(node, id, &again));
    CHECK(holds(again, "counter", "*"));
    id[0] ^= 1;
    CHECK_STATUS(KITH_NOT_FOUND, kith_node_context(node, id, &context));
    CHECK_OK(kith_node_shutdown(node));
    kith_context_free(again);
    kith_node_free(node);
}

/* scenario: batch_all_or_nothing */
static void a_batch_is_all_or_nothing(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_batch *batch = NULL;
    uint8_t one[32], two[32];
    make_key("one", one);
    make_key("two", two);
    CHECK_OK(open_node(NULL, &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(kith_batch_new(&batch));
    CHECK_OK(kith_batch_put(batch, one, (const uint8_t *)"a", 1));
    CHECK_OK(kith_batch_append(batch, one, (const uint8_t *)"b", 1));
    CHECK_OK(kith_batch_add(batch, two, 1));
    CHECK_OK(kith_context_batch(context, batch, NULL));
    CHECK(holds(context, "one", "ab"));
    CHECK_OK(kith_batch_delete(batch, two));
    CHECK_OK(kith_batch_compare_and_set(batch, one, (const uint8_t *)"never", 5, NULL, 0));
    CHECK_STATUS(KITH_REJECTED, kith_context_batch(context, batch, NULL));
    CHECK(holds(context, "one", "ab"));
    kith_batch_free(batch);
    CHECK_OK(kith_node_shutdown(node));
    kith_context_free(context);
    kith_node_free(node);
}

/* scenario: entries_in_pages */
static void pages_go_through_all_entries_in_order(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_entries *page = NULL;
    uint8_t after[32];
    const uint8_t *start = NULL, *key, *value;
    size_t length, seen = 0;
    CHECK_OK(open_node(NULL, &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    for (int i = 0; i < 7; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", i);
        CHECK_OK(put_text(context, name, name));
    }
    for (;;) {
        size_t count;
        CHECK_OK(kith_context_entries(context, NULL, 0, start, 3, KITH_TENTATIVE, &page));
        count = kith_entries_count(page);
        CHECK(count <= 3);
        for (size_t i = 0; i < count; i++) {
            CHECK_OK(kith_entries_at(page, i, &key, &value, &length));
            CHECK(length == 1);
            CHECK(seen == 0 || memcmp(key, after, 32) > 0);
            memcpy(after, key, 32);
            seen++;
        }
        CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_entries_at(page, count, &key, &value, &length));
        kith_entries_free(page);
        if (count == 0) {
            break;
        }
        start = after;
    }
    CHECK(seen == 7);
    make_key("3", after);
    CHECK_OK(kith_context_entries(context, after, 32, NULL, 10, KITH_TENTATIVE, &page));
    CHECK(kith_entries_count(page) == 1);
    kith_entries_free(page);
    CHECK_OK(kith_node_shutdown(node));
    kith_context_free(context);
    kith_node_free(node);
}

/* scenario: two_members_share, over_sockets, invitation_is_read, names_of_members, roles_are_obeyed, status_names_peers */
static void two_nodes_share_and_part(void) {
    kith_node *one = NULL, *two = NULL;
    kith_context *mine = NULL, *theirs = NULL;
    kith_events *events = NULL;
    kith_event *event = NULL;
    kith_buffer token = {NULL, 0}, json = {NULL, 0}, named = {NULL, 0};
    kith_invitation_info info;
    kith_invite_options invite;
    kith_invitation invitations[4];
    kith_member members[4];
    uint8_t me[32], them[32], id[32], commitments[2][32];
    size_t count = 0;
    uint32_t role = KITH_NO_ROLE;

    CHECK_OK(open_node("one", &one));
    CHECK_OK(open_node("two", &two));
    CHECK_OK(kith_node_create_context(one, NULL, NULL, 0, "shared", &mine));
    CHECK_OK(kith_context_id(mine, id));
    CHECK_OK(kith_context_me(mine, me));
    CHECK_OK(put_text(mine, "early", "by one"));
    CHECK_OK(kith_context_events(mine, NULL, &events));

    kith_invite_options_init(&invite);
    invite.note = "for the test";
    CHECK_OK(kith_context_invite(mine, &invite, &token));
    CHECK_OK(kith_node_inspect(two, (char *)token.data, &info));
    CHECK(memcmp(info.context, id, 32) == 0 && memcmp(info.inviter, me, 32) == 0);
    CHECK(info.role == KITH_WRITER && !info.member && info.expires_at > 0);
    CHECK(strcmp(info.application, "kv") == 0 && strcmp(info.note, "for the test") == 0);
    CHECK_STATUS(KITH_INVITATION_INVALID, kith_node_inspect(two, "kith1nonsense", &info));
    CHECK_OK(kith_node_addresses(one, &json));
    CHECK_OK(kith_invitation_addresses((char *)token.data, &named));
    CHECK(json.length > 0 && strcmp((char *)json.data, (char *)named.data) == 0);
    kith_buffer_free(&json);
    kith_buffer_free(&named);

    CHECK_OK(kith_node_join(two, (char *)token.data, WAIT_MS, &theirs));
    CHECK_OK(kith_context_me(theirs, them));
    CHECK(holds(theirs, "early", "by one"));
    event = next_of_kind(events, KITH_EVENT_MEMBER_JOINED);
    CHECK(event != NULL);
    CHECK(memcmp(kith_event_member(event), them, 32) == 0 && kith_event_role(event) == KITH_WRITER);
    CHECK(kith_event_transaction(event) == NULL && strcmp(kith_event_text(event), "") == 0);
    kith_event_free(event);

    CHECK_OK(put_text(theirs, "later", "by two"));
    do {
        const uint8_t *keys;
        uint8_t key[32];
        make_key("later", key);
        event = next_of_kind(events, KITH_EVENT_CHANGED);
        CHECK(event != NULL);
        keys = kith_event_keys(event, &count);
        role = count == 1 && memcmp(keys, key, 32) == 0;
        kith_event_free(event);
    } while (!role);
    CHECK(holds(mine, "later", "by two"));
    CHECK_OK(kith_context_wait_synced(theirs, WAIT_MS));
    CHECK_OK(kith_context_commitment(mine, commitments[0]));
    CHECK_OK(kith_context_commitment(theirs, commitments[1]));
    CHECK(memcmp(commitments[0], commitments[1], 32) == 0);
    CHECK_OK(kith_context_status(mine, &json));
    CHECK(strstr((char *)json.data, "\"peers\":[{") != NULL);
    kith_buffer_free(&json);
    CHECK_OK(kith_node_status(one, &json));
    CHECK(strstr((char *)json.data, "\"connected\":true") != NULL);
    kith_buffer_free(&json);

    CHECK_OK(kith_context_set_display_name(theirs, "Two", id));
    event = next_of_kind(events, KITH_EVENT_RENAMED);
    CHECK(event != NULL && memcmp(kith_event_member(event), them, 32) == 0 && strcmp(kith_event_text(event), "Two") == 0);
    kith_event_free(event);
    CHECK_STATUS(KITH_PERMISSION_DENIED, kith_context_set_name(theirs, "not by a writer", NULL));
    CHECK_OK(kith_context_set_name(mine, "renamed", NULL));
    event = next_of_kind(events, KITH_EVENT_RENAMED);
    CHECK(event != NULL && kith_event_member(event) == NULL && strcmp(kith_event_text(event), "renamed") == 0);
    kith_event_free(event);
    CHECK_OK(kith_context_name(mine, &json));
    CHECK(strcmp((char *)json.data, "renamed") == 0);
    kith_buffer_free(&json);
    CHECK_OK(kith_context_members(mine, members, 4, &count));
    CHECK(count == 2);
    CHECK(strcmp(members[memcmp(members[0].id, them, 32) == 0 ? 0 : 1].name, "Two") == 0);
    CHECK_OK(kith_context_members(mine, NULL, 0, &count));
    CHECK(count == 2);
    CHECK_OK(kith_context_invitations(mine, invitations, 4, &count));
    CHECK(count == 1 && invitations[0].uses == 1 && !invitations[0].revoked);
    CHECK(strcmp(invitations[0].note, "for the test") == 0);
    CHECK_OK(kith_context_revoke(mine, invitations[0].id, NULL));
    CHECK_OK(kith_context_invitations(mine, invitations, 4, &count));
    CHECK(count == 1 && invitations[0].revoked);

    /* Revoking cut off who had joined by it only where the joining was not seen: the member is still there. */
    CHECK_OK(kith_context_members(mine, members, 4, &count));
    CHECK(count == 2);
    CHECK_STATUS(KITH_PERMISSION_DENIED, kith_context_set_role(theirs, me, KITH_READER, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_set_role(mine, them, 9, NULL));
    CHECK_OK(kith_context_set_role(mine, them, KITH_READER, NULL));
    event = next_of_kind(events, KITH_EVENT_ROLE_CHANGED);
    CHECK(event != NULL && kith_event_role(event) == KITH_READER);
    kith_event_free(event);
    CHECK_OK(kith_context_remove(mine, them, NULL));
    event = next_of_kind(events, KITH_EVENT_MEMBER_REMOVED);
    CHECK(event != NULL && memcmp(kith_event_member(event), them, 32) == 0);
    kith_event_free(event);
    CHECK_OK(kith_context_members(mine, members, 4, &count));
    CHECK(count == 1 && memcmp(members[0].id, me, 32) == 0 && members[0].role == KITH_ADMIN);

    kith_buffer_free(&token);
    kith_events_free(events);
    CHECK_OK(kith_node_shutdown(two));
    CHECK_OK(kith_context_leave(mine));
    CHECK_STATUS(KITH_CLOSED, put_text(mine, "left", "x"));
    CHECK_OK(kith_node_shutdown(one));
    kith_context_free(mine);
    kith_context_free(theirs);
    kith_node_free(one);
    kith_node_free(two);
}

static int shut_down(void *node) {
    struct timespec moment = {0, 50 * 1000 * 1000};
    thrd_sleep(&moment, NULL);
    return kith_node_shutdown(node) == KITH_OK ? 0 : 1;
}

/* scenario: events_are_pulled, events_after_a_cursor, streams_end_with_their_node */
static void events_wait_replay_and_end(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_events *events = NULL;
    kith_event *event = NULL;
    thrd_t other;
    uint64_t cursor = 0;
    int result = 1;
    kith_status status;

    CHECK_OK(open_node(NULL, &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(kith_context_events(context, NULL, &events));
    CHECK_STATUS(KITH_TIMEOUT, kith_events_next(events, 0, &event));
    CHECK_STATUS(KITH_TIMEOUT, kith_events_next(events, 20, &event));
    CHECK(event == NULL);
    CHECK_OK(put_text(context, "one", "1"));
    event = next_of_kind(events, KITH_EVENT_EXECUTED);
    CHECK(event != NULL && !kith_event_again(event) && kith_event_transaction(event) != NULL);
    cursor = kith_event_cursor(event);
    kith_event_free(event);
    CHECK_OK(put_text(context, "two", "2"));
    kith_events_free(events);

    CHECK_OK(kith_context_events(context, &cursor, &events));
    event = next_of_kind(events, KITH_EVENT_EXECUTED);
    CHECK(event != NULL && kith_event_cursor(event) > cursor);
    kith_event_free(event);

    /* A thread that waits for an event is let go when another one shuts the node down. */
    CHECK(thrd_create(&other, shut_down, node) == thrd_success);
    do {
        status = kith_events_next(events, WAIT_MS, &event);
        if (status == KITH_OK) {
            kith_event_free(event);
        }
    } while (status == KITH_OK);
    CHECK(thrd_join(other, &result) == thrd_success && result == 0);
    CHECK_STATUS(KITH_CLOSED, status);
    kith_events_free(events);
    kith_context_free(context);
    kith_node_free(node);
}

/* scenario: mistakes_are_named, methods_by_name */
static void mistakes_are_named(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_node_options options;
    kith_invite_options invite;
    kith_buffer buffer = {NULL, 0};
    uint8_t key[32] = {0};
    static uint8_t large[1024 * 1024 + 1];
    size_t count = 0;

    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_open(NULL, NULL, NULL));
    CHECK_SAYS("node is NULL");
    kith_node_options_init(&options);
    options.struct_size = 4;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_open(NULL, &options, &node));
    CHECK_SAYS("struct_size is 4");
    kith_node_options_init(&options);
    options.durability = 9;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_open(NULL, &options, &node));
    kith_node_options_init(&options);
    options.listen_count = 1;
    options.listen = (const char *const[]){"nowhere"};
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_open(NULL, &options, &node));
    CHECK(node == NULL);

    CHECK_OK(open_node(NULL, &node));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_create_context(NULL, NULL, NULL, 0, NULL, &context));
    CHECK_SAYS("kith_node is NULL");
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_create_context(node, "\xff", NULL, 0, NULL, &context));
    CHECK_STATUS(KITH_APPLICATION_MISSING, kith_node_create_context(node, "unknown", NULL, 0, NULL, &context));
    CHECK(context == NULL);
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_put(context, NULL, NULL, 0, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_put(context, key, NULL, 1, NULL));
    CHECK_SAYS("value is NULL");
    CHECK_OK(kith_context_put(context, key, NULL, 0, NULL));
    CHECK_OK(kith_context_put(context, key, large, sizeof large - 1, NULL));
    CHECK_STATUS(KITH_LIMIT_EXCEEDED, kith_context_put(context, key, large, sizeof large, NULL));
    CHECK_SAYS("1048577");
    CHECK_STATUS(KITH_REJECTED, kith_context_execute(context, "no such method", NULL, 0, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_execute(context, "", NULL, 0, NULL, NULL));
    CHECK_STATUS(KITH_REJECTED, kith_context_query(context, "no such query", NULL, 0, &buffer));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_history(context, NULL, NULL, 5, &count));
    kith_invite_options_init(&invite);
    invite.max_uses = 0;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_invite(context, &invite, &buffer));

    /* A handle of another kind is told apart, in use and in free. */
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_role((kith_context *)node, (uint32_t *)&count));
    CHECK_SAYS("this handle is no kith_context");
    kith_context_free((kith_context *)node);
    CHECK_OK(kith_node_id(node, &buffer));
    CHECK(buffer.length > 10);
    kith_buffer_free(&buffer);
    CHECK_OK(kith_node_addresses(node, &buffer));
    CHECK(strncmp((char *)buffer.data, "/ip4/127.0.0.1/tcp/", 19) == 0);
    kith_buffer_free(&buffer);
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_connect(node, "nowhere"));

    CHECK_OK(kith_node_shutdown(node));
    kith_context_free(context);
    kith_node_free(node);
    kith_node_free(NULL);
    kith_context_free(NULL);
    kith_events_free(NULL);
    kith_event_free(NULL);
    kith_entries_free(NULL);
    kith_batch_free(NULL);
}

/* scenario: order_in_pages */
static void the_order_is_read_in_pages(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_transaction page[3];
    uint8_t place[48];
    size_t count = 0, seen = 0;
    CHECK_OK(open_node(NULL, &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    for (int i = 0; i < 6; i++) {
        CHECK_OK(put_text(context, "x", "y"));
    }
    CHECK_OK(kith_context_history(context, NULL, page, 3, &count));
    while (count > 0) {
        CHECK(count <= 3);
        for (size_t i = 0; i < count; i++) {
            CHECK(seen == 0 || memcmp(page[i].place, place, sizeof place) > 0);
            CHECK(page[i].sequence == ++seen);
            memcpy(place, page[i].place, sizeof place);
        }
        CHECK_OK(kith_context_history(context, place, page, 3, &count));
    }
    CHECK(seen == 8);
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
    RUN(a_context_keeps_what_it_is_told);
    RUN(a_batch_is_all_or_nothing);
    RUN(pages_go_through_all_entries_in_order);
    RUN(the_order_is_read_in_pages);
    RUN(two_nodes_share_and_part);
    RUN(events_wait_replay_and_end);
    RUN(mistakes_are_named);
    return check_finish();
}

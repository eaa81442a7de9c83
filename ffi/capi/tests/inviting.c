/* Scenarios of bindings/scenarios.toml: invitations that cannot be used, and joining that comes to nothing. */
#include "nodes.h"

static const char *folder;

/* Whether a node holds no context. */
static int holds_none(kith_node *node) {
    kith_buffer ids = {NULL, 0};
    int none = kith_node_contexts(node, &ids) == KITH_OK && ids.length == 0;
    kith_buffer_free(&ids);
    return none;
}

/* scenario: invitation_used_up, invitation_revoked, invitation_expired */
static void what_cannot_be_used_has_a_kind_each(void) {
    kith_hub *hub = NULL;
    kith_node *nodes[3] = {NULL, NULL, NULL};
    kith_context *mine = NULL, *theirs = NULL;
    kith_buffer used = {NULL, 0}, revoked = {NULL, 0}, expired = {NULL, 0};
    kith_invitation listed[4];
    kith_node_options options;
    kith_invite_options invite;
    size_t count;
    CHECK_OK(kith_hub_new(&hub));
    for (int i = 0; i < 3; i++) {
        kith_node_options_init(&options);
        options.hub = hub;
        options.discovery = false;
        CHECK_OK(kith_node_open(NULL, &options, &nodes[i]));
    }
    CHECK_OK(kith_node_create_context(nodes[0], NULL, NULL, 0, NULL, &mine));
    CHECK_OK(kith_context_invite(mine, NULL, &used));
    CHECK_OK(kith_node_join(nodes[1], (char *)used.data, WAIT_MS, &theirs));
    CHECK_OK(kith_context_invitations(mine, listed, 4, &count));
    CHECK(count == 1 && listed[0].uses == 1);
    kith_context_free(theirs);
    CHECK_STATUS(KITH_INVITATION_USED, kith_node_join(nodes[2], (char *)used.data, WAIT_MS, &theirs));

    CHECK_OK(kith_context_invite(mine, NULL, &revoked));
    CHECK_OK(kith_context_invitations(mine, listed, 4, &count));
    CHECK(count == 2);
    CHECK_OK(kith_context_revoke(mine, listed[listed[0].uses == 0 ? 0 : 1].id, NULL));
    CHECK_STATUS(KITH_INVITATION_REVOKED, kith_node_join(nodes[2], (char *)revoked.data, WAIT_MS, &theirs));

    kith_invite_options_init(&invite);
    invite.expires_in = 1;
    CHECK_OK(kith_context_invite(mine, &invite, &expired));
    /* Until the clock has gone on. */
    for (int i = 0; i < 5; i++) {
        rest();
    }
    CHECK_STATUS(KITH_INVITATION_EXPIRED, kith_node_join(nodes[2], (char *)expired.data, WAIT_MS, &theirs));
    CHECK(holds_none(nodes[2]));
    kith_buffer_free(&used);
    kith_buffer_free(&revoked);
    kith_buffer_free(&expired);
    for (int i = 0; i < 3; i++) {
        close_both(nodes[i], i == 0 ? mine : NULL);
    }
    kith_hub_free(hub);
}

/* scenario: invitation_garbage, invitation_of_another_version */
static void garbage_is_no_invitation(void) {
    static char endless[10006] = "kith1";
    /* Eight bytes 9: the version comes first. */
    static const char other_version[] = "kith1pyysjzgfpyysjk898e4";
    const char *const garbage[] = {"", "kith1", "kith1nonsense", "http://example.org", "\xc4\xb7ith1qqqq", endless};
    kith_node *node = NULL;
    kith_context *context = NULL, *none = NULL;
    kith_invitation_info info;
    kith_buffer token = {NULL, 0};
    memset(endless + 5, 'q', 10000);
    CHECK_OK(lone_node(&node));
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        CHECK_STATUS(KITH_INVITATION_INVALID, kith_node_inspect(node, garbage[i], &info));
        CHECK_STATUS(KITH_INVITATION_INVALID, kith_node_join(node, garbage[i], WAIT_MS, &none));
    }
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(kith_context_invite(context, NULL, &token));
    token.data[token.length - 1] = token.data[token.length - 1] == 'q' ? 'p' : 'q';
    CHECK_STATUS(KITH_INVITATION_INVALID, kith_node_inspect(node, (char *)token.data, &info));
    CHECK_STATUS(KITH_VERSION_MISMATCH, kith_node_inspect(node, other_version, &info));
    kith_buffer_free(&token);
    close_both(node, context);
}

/* scenario: joining_nobody */
static void joining_nobody_ends_and_leaves_nothing(void) {
    kith_node *one = NULL, *other = NULL;
    kith_context *mine = NULL, *theirs = NULL;
    kith_buffer token = {NULL, 0};
    kith_status status;
    CHECK_OK(kith_test_nodes(&one, &other));
    CHECK_OK(kith_node_create_context(one, NULL, NULL, 0, NULL, &mine));
    CHECK_OK(kith_context_invite(mine, NULL, &token));
    CHECK_OK(kith_node_shutdown(one));
    status = kith_node_join(other, (char *)token.data, 200, &theirs);
    CHECK(status == KITH_TIMEOUT || status == KITH_UNREACHABLE);
    CHECK(theirs == NULL && holds_none(other));
    kith_buffer_free(&token);
    close_both(one, mine);
    close_both(other, NULL);
}

struct joining {
    kith_node *node;
    const char *token;
};

static int join(void *argument) {
    struct joining *this = argument;
    kith_context *context = NULL;
    return (int)kith_node_join(this->node, this->token, KITH_FOREVER, &context);
}

/* scenario: half_joined */
static void joining_goes_on_after_a_restart_and_can_be_given_up(void) {
    kith_node *one = NULL;
    kith_context *context = NULL;
    kith_buffer token = {NULL, 0};
    kith_context_info info;
    struct joining joining = {NULL, NULL};
    thrd_t other;
    size_t count = 0;
    int result = 0;
    CHECK_OK(lone_node(&one));
    CHECK_OK(kith_node_create_context(one, NULL, NULL, 0, NULL, &context));
    CHECK_OK(kith_context_invite(context, NULL, &token));
    close_both(one, context);
    CHECK_OK(open_in(folder, "half", &joining.node));
    joining.token = (char *)token.data;
    CHECK(thrd_create(&other, join, &joining) == thrd_success);
    UNTIL(kith_node_context_infos(joining.node, &info, 1, &count) == KITH_OK && count == 1);
    CHECK_OK(kith_node_shutdown(joining.node));
    CHECK(thrd_join(other, &result) == thrd_success && result == KITH_CLOSED);
    kith_node_free(joining.node);
    kith_buffer_free(&token);

    CHECK_OK(open_in(folder, "half", &joining.node));
    CHECK_OK(kith_node_context_infos(joining.node, &info, 1, &count));
    CHECK(count == 1 && info.joining);
    CHECK_OK(kith_node_context(joining.node, info.id, &context));
    CHECK_OK(kith_context_leave(context));
    CHECK(holds_none(joining.node));
    close_both(joining.node, context);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s EMPTY-FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    folder = argv[1];
    RUN(what_cannot_be_used_has_a_kind_each);
    RUN(garbage_is_no_invitation);
    RUN(joining_nobody_ends_and_leaves_nothing);
    RUN(joining_goes_on_after_a_restart_and_can_be_given_up);
    return check_finish();
}

/* Structs that grow: programs that were built when they were shorter, and options that came later. */
#include <stddef.h>

#include "nodes.h"

/* kith_node_options as it was first. A program that was built with it gives the library no more than this. */
struct old_node_options {
    size_t struct_size;
    const char *const *listen;
    size_t listen_count;
    const char *const *bootstrap;
    size_t bootstrap_count;
    bool discovery;
    uint32_t durability;
    uint64_t event_retention;
    const kith_hub *hub;
    uint32_t storage;
};

/* Behind the old struct in a caller's memory, to see whether it is written to or read. */
struct caller {
    struct old_node_options options;
    uint8_t behind[sizeof(kith_node_options)];
};

static const char *folder;

static int untouched(const struct caller *caller, uint8_t byte) {
    for (size_t at = 0; at < sizeof caller->behind; at++) {
        if (caller->behind[at] != byte) {
            return 0;
        }
    }
    return 1;
}

static kith_status open_old(struct caller *caller, const char *path, kith_node **node) {
    caller->options.listen = (const char *const[]){NULL};
    caller->options.listen_count = 0;
    caller->options.discovery = false;
    return kith_node_open(path, (const kith_node_options *)(const void *)caller, node);
}

static void a_shorter_struct_is_filled_and_read_as_far_as_it_goes(void) {
    struct caller caller;
    kith_node *node = NULL;
    char path[1024];
    CHECK(sizeof(struct old_node_options) == offsetof(kith_node_options, storage_key));
    CHECK(sizeof(struct old_node_options) < sizeof(kith_node_options));
    snprintf(path, sizeof path, "%s/old", folder);
    /* By the function that programs of that time called, which passes no size, and by the one that passes it. What is behind is
     * neither written nor read: it would be a key of its own, and relays that are none. */
    for (int way = 0; way < 2; way++) {
        memset(&caller, 0xa5, sizeof caller);
        if (way == 0) {
            (kith_node_options_init)((kith_node_options *)(void *)&caller);
        } else {
            kith_node_options_init_sized((kith_node_options *)(void *)&caller, sizeof caller.options);
        }
        CHECK(untouched(&caller, 0xa5));
        CHECK(caller.options.struct_size == sizeof caller.options && caller.options.listen == NULL);
        CHECK(caller.options.discovery && caller.options.durability == KITH_DURABLE_POWER && caller.options.storage == KITH_ENGINE_AUTO);
        caller.options.storage = KITH_ENGINE_SLED;
        CHECK_OK(open_old(&caller, path, &node));
        CHECK(untouched(&caller, 0xa5));
        CHECK(says(node, "\"storage\":\"sled\"") && says(node, "\"key_file\":true") && says(node, "\"relays\":[]"));
        close_both(node, NULL);
    }
    caller.options.storage = KITH_ENGINE_REDB;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, open_old(&caller, path, &node));
}

static void a_size_that_no_header_had_is_refused(void) {
    struct caller caller;
    kith_node_options options;
    kith_node *node = NULL;
    kith_node_options_init(&options);
    CHECK(options.struct_size == sizeof options && options.gossip && options.autonat && options.through_relays);
    CHECK(options.hole_punching && options.storage_key == NULL && options.relays == NULL);
    memset(&caller, 0, sizeof caller);
    CHECK_STATUS(KITH_INVALID_ARGUMENT, open_old(&caller, NULL, &node));
    CHECK_SAYS("was not filled by kith_node_options_init");
    /* Between two sizes: a member would be cut. */
    kith_node_options_init_sized((kith_node_options *)(void *)&caller, sizeof caller.options + 4);
    CHECK_STATUS(KITH_INVALID_ARGUMENT, open_old(&caller, NULL, &node));
    /* A newer header's: what it has more would be ignored. It is filled all the same, with zeros. */
    memset(&caller, 0xa5, sizeof caller);
    kith_node_options_init_sized((kith_node_options *)(void *)&caller, sizeof options + 8);
    CHECK(((uint8_t *)&caller)[sizeof options] == 0 && ((uint8_t *)&caller)[sizeof options + 8] == 0xa5);
    CHECK_STATUS(KITH_INVALID_ARGUMENT, open_old(&caller, NULL, &node));
    CHECK_SAYS("a newer kith.h");
    /* Nothing is written where there is not even room for the size. */
    memset(&caller, 0xa5, sizeof caller);
    kith_node_options_init_sized((kith_node_options *)(void *)&caller, sizeof(size_t) - 1);
    CHECK(*(uint8_t *)&caller == 0xa5);
    CHECK(node == NULL);
}

static void the_others_are_filled_by_either(void) {
    kith_invite_options invite[2];
    kith_join_options join[2];
    kith_application application[2];
    memset(invite, 0, sizeof invite);
    memset(join, 0, sizeof join);
    memset(application, 0, sizeof application);
    kith_invite_options_init(&invite[0]);
    (kith_invite_options_init)(&invite[1]);
    kith_join_options_init(&join[0]);
    (kith_join_options_init)(&join[1]);
    kith_application_init(&application[0]);
    (kith_application_init)(&application[1]);
    CHECK(invite[0].struct_size == sizeof *invite && memcmp(&invite[0], &invite[1], sizeof *invite) == 0);
    CHECK(invite[0].role == KITH_WRITER && invite[0].max_uses == 1 && invite[0].expires_in == 604800000);
    CHECK(join[0].struct_size == sizeof *join && memcmp(&join[0], &join[1], sizeof *join) == 0);
    CHECK(join[0].timeout_ms == 60000);
    CHECK(application[0].struct_size == sizeof *application && memcmp(&application[0], &application[1], sizeof *application) == 0);
}

static void relays_and_the_ways_around_them_are_chosen(void) {
    kith_node_options options;
    kith_node *node = NULL;
    kith_buffer json = {NULL, 0};
    const char *relays[] = {"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWNvSZnPi3RrhrTwEY4LuuBeB6K6facKUCJcyWG1aoDd2p", "nowhere"};
    kith_node_options_init(&options);
    options.listen = (const char *const[]){"/ip4/127.0.0.1/tcp/0"};
    options.listen_count = 1;
    options.discovery = false;
    options.relays = relays;
    options.relays_count = 2;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_open(NULL, &options, &node));
    CHECK_SAYS("nowhere");
    options.relays = NULL;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_open(NULL, &options, &node));
    CHECK_SAYS("relays is NULL");
    options.relays = relays;
    options.relays_count = 1;
    options.hole_punching = false;
    options.autonat = false;
    options.gossip = false;
    CHECK_OK(kith_node_open(NULL, &options, &node));
    /* Nobody is there: the status names it, with the reason. */
    UNTIL(says(node, "\"reason\":\"Unreachable\""));
    CHECK_OK(kith_node_status(node, &json));
    CHECK(strstr((char *)json.data, "\"relay\":\"/ip4/127.0.0.1/tcp/1/p2p/12D3KooW") != NULL);
    CHECK(strstr((char *)json.data, "\"address\":null") != NULL);
    CHECK(strstr((char *)json.data, "\"reason\":\"Unreachable\"") != NULL);
    kith_buffer_free(&json);
    close_both(node, NULL);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s EMPTY-FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    folder = argv[1];
    RUN(a_shorter_struct_is_filled_and_read_as_far_as_it_goes);
    RUN(a_size_that_no_header_had_is_refused);
    RUN(the_others_are_filled_by_either);
    RUN(relays_and_the_ways_around_them_are_chosen);
    return check_finish();
}

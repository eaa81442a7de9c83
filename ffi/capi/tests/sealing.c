/* What directories and contexts are sealed under: the host's key, exports, the suites, new keys, and what is said of them. */
#include "nodes.h"

static const char *folder;
static const uint8_t first_key[32] = {1, 2, 3}, second_key[32] = {1, 2, 4}, export_key[32] = {9};

/* The path of something below the test's folder; lives until the next but one. */
static const char *below(const char *name) {
    static char paths[2][1024];
    static int turn;
    turn = 1 - turn;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", folder, name);
    return paths[turn];
}

static kith_status open_sealed(const char *name, const uint8_t *key, const char *passphrase, kith_node **node) {
    kith_node_options options;
    kith_node_options_init(&options);
    options.listen = (const char *const[]){NULL};
    options.listen_count = 0;
    options.discovery = false;
    options.storage_key = key;
    options.storage_passphrase = passphrase;
    return kith_node_open(below(name), &options, node);
}

/* Whether a file below the folder is there. */
static int is_there(const char *name) {
    FILE *file = fopen(below(name), "rb");
    if (file != NULL) {
        fclose(file);
    }
    return file != NULL;
}

/* What the file of this name below the folder has in it; at most a megabyte. The caller frees it. */
static char *contents(const char *name, size_t *length) {
    char *bytes = malloc(1 << 20);
    FILE *file = fopen(below(name), "rb");
    *length = file == NULL || bytes == NULL ? 0 : fread(bytes, 1, 1 << 20, file);
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

/* scenario: storage_key_required */
static void a_directory_opens_with_its_own_key_only(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_buffer ids = {NULL, 0};
    char *before, *after;
    size_t before_length, after_length;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, open_sealed("sealed", first_key, "and a passphrase", &node));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, open_sealed("sealed", NULL, "", &node));
    CHECK_OK(open_sealed("sealed", first_key, NULL, &node));
    CHECK(says(node, "\"sealed\":true") && says(node, "\"key_file\":false"));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, "sealed", &context));
    CHECK_OK(put_text(context, "kept", "as it was"));
    CHECK_OK(kith_node_shutdown(node));
    kith_context_free(context);
    kith_node_free(node);
    node = NULL;
    CHECK(!is_there("sealed/storage-key"));

    /* Wrong, missing, and of another sort. Nothing is changed by it. */
    before = contents("sealed/high-water", &before_length);
    CHECK(before != NULL && before_length > 0);
    CHECK_STATUS(KITH_KEY_REQUIRED, open_sealed("sealed", second_key, NULL, &node));
    CHECK_STATUS(KITH_KEY_REQUIRED, open_sealed("sealed", NULL, NULL, &node));
    CHECK_STATUS(KITH_KEY_REQUIRED, open_sealed("sealed", NULL, "a passphrase", &node));
    CHECK(node == NULL && !is_there("sealed/storage-key"));
    after = contents("sealed/high-water", &after_length);
    CHECK(after != NULL && after_length == before_length && memcmp(before, after, before_length) == 0);
    free(before);
    free(after);

    CHECK_OK(open_sealed("sealed", first_key, NULL, &node));
    CHECK_OK(kith_node_contexts(node, &ids));
    CHECK(ids.length == 32);
    CHECK_OK(kith_node_context(node, ids.data, &context));
    kith_buffer_free(&ids);
    CHECK(holds(context, "kept", "as it was"));
    close_both(node, context);

    /* Without a key there is a key file, and the status says so. */
    CHECK_OK(open_sealed("plain", NULL, NULL, &node));
    CHECK(says(node, "\"sealed\":false") && says(node, "\"key_file\":true"));
    close_both(node, NULL);
    CHECK(is_there("plain/storage-key"));
}

/* scenario: storage_key_changed */
static void the_key_is_changed_at_work(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    uint8_t id[32];
    CHECK_OK(open_sealed("changed", NULL, NULL, &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(kith_context_id(context, id));
    CHECK_OK(put_text(context, "one", "under a key file"));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_change_storage_key(node, NULL, NULL));
    CHECK_SAYS("neither a key nor a passphrase");
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_change_storage_key(node, first_key, "and a passphrase"));
    CHECK_OK(kith_node_change_storage_key(node, first_key, NULL));
    CHECK(says(node, "\"sealed\":true") && says(node, "\"key_file\":false") && !is_there("changed/storage-key"));
    CHECK_OK(put_text(context, "two", "under the first key"));
    CHECK_OK(kith_node_change_storage_key(node, NULL, "a passphrase"));
    CHECK_OK(put_text(context, "three", "under a passphrase"));
    CHECK_OK(kith_node_suspend(node, WAIT_MS));
    CHECK_STATUS(KITH_CLOSED, kith_node_change_storage_key(node, second_key, NULL));
    CHECK_OK(kith_node_resume(node));
    close_both(node, context);
    node = NULL;
    CHECK_STATUS(KITH_KEY_REQUIRED, open_sealed("changed", NULL, NULL, &node));
    CHECK_STATUS(KITH_KEY_REQUIRED, open_sealed("changed", first_key, NULL, &node));
    CHECK(node == NULL);
    CHECK_OK(open_sealed("changed", NULL, "a passphrase", &node));
    CHECK_OK(kith_node_context(node, id, &context));
    CHECK(holds(context, "one", "under a key file") && holds(context, "two", "under the first key"));
    CHECK(holds(context, "three", "under a passphrase"));
    close_both(node, context);

    /* What is kept in memory has no key. */
    CHECK_OK(lone_node(&node));
    CHECK(says(node, "\"sealed\":false") && says(node, "\"key_file\":false"));
    CHECK_STATUS(KITH_UNSUPPORTED, kith_node_change_storage_key(node, first_key, NULL));
    close_both(node, NULL);
}

/* scenario: export_import */
static void a_backup_is_the_same_member_and_waits_for_its_owner(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_exported exported = {0, 0, true}, imported = {0, 0, true};
    kith_import_options options;
    kith_buffer peer = {NULL, 0}, again = {NULL, 0};
    char backup[1024], *bytes;
    size_t length;
    uint8_t id[32], me[32], them[32];
    CHECK_OK(open_sealed("origin", first_key, NULL, &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, "moving", &context));
    CHECK_OK(kith_context_id(context, id));
    CHECK_OK(kith_context_me(context, me));
    CHECK_OK(kith_node_id(node, &peer));
    CHECK_OK(put_text(context, "said", "before the backup"));
    snprintf(backup, sizeof backup, "%s/backup", folder);
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_export(node, backup, NULL, NULL, NULL));
    CHECK(!is_there("backup"));
    CHECK_OK(kith_node_export(node, backup, export_key, NULL, &exported));
    CHECK(exported.records > 0 && exported.bytes > exported.records && !exported.moved);
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_export(node, backup, export_key, NULL, NULL));
    CHECK_SAYS("is there already");
    bytes = contents("backup", &length);
    CHECK(bytes != NULL && length > exported.bytes);
    for (size_t at = 0; at + 17 <= length; at++) {
        CHECK(memcmp(bytes + at, "before the backup", 17) != 0);
    }
    free(bytes);
    CHECK_OK(put_text(context, "said", "after it"));
    close_both(node, context);
    node = NULL;

    /* Another key opens nothing, and nothing is made. */
    CHECK_STATUS(KITH_KEY_REQUIRED, kith_node_import(backup, first_key, NULL, below("restored"), NULL, NULL));
    CHECK_STATUS(KITH_NOT_FOUND, kith_node_import(below("no backup"), export_key, NULL, below("restored"), NULL, NULL));
    CHECK_STATUS(KITH_NOT_FOUND, kith_node_adopt(below("restored"), NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_import(backup, export_key, NULL, below("origin"), NULL, NULL));
    kith_import_options_init(&options);
    CHECK(options.storage == KITH_ENGINE_AUTO && !options.adopt && options.storage_key == NULL);
    options.storage = 7;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_import(backup, export_key, NULL, below("restored"), &options, NULL));
    options.storage = KITH_ENGINE_SLED;
    options.storage_key = second_key;
    CHECK_OK(kith_node_import(backup, export_key, NULL, below("restored"), &options, &imported));
    CHECK(imported.records == exported.records && imported.bytes == exported.bytes && !imported.moved);

    /* It is who it was, with what it knew; it signs nothing, until its owner says that nobody else does. */
    CHECK_STATUS(KITH_KEY_REQUIRED, open_sealed("restored", first_key, NULL, &node));
    CHECK_OK(open_sealed("restored", second_key, NULL, &node));
    CHECK(says(node, "\"copied\":true") && says(node, "\"storage\":\"sled\""));
    CHECK_OK(kith_node_id(node, &again));
    CHECK(strcmp((char *)peer.data, (char *)again.data) == 0);
    CHECK_OK(kith_node_context(node, id, &context));
    CHECK_OK(kith_context_me(context, them));
    CHECK(memcmp(me, them, 32) == 0 && holds(context, "said", "before the backup"));
    CHECK_STATUS(KITH_BLOCKED, put_text(context, "said", "by a copy"));
    CHECK_STATUS(KITH_BUSY, kith_node_adopt(below("restored"), second_key, NULL));
    close_both(node, context);
    CHECK_STATUS(KITH_KEY_REQUIRED, kith_node_adopt(below("restored"), NULL, NULL));
    CHECK_OK(kith_node_adopt(below("restored"), second_key, NULL));
    CHECK_OK(open_sealed("restored", second_key, NULL, &node));
    CHECK(says(node, "\"copied\":false"));
    CHECK_OK(kith_node_context(node, id, &context));
    CHECK_OK(put_text(context, "said", "by the only one"));
    close_both(node, context);

    /* The same at once. */
    kith_import_options_init(&options);
    options.adopt = true;
    CHECK_OK(kith_node_import(backup, export_key, NULL, below("adopted"), &options, NULL));
    CHECK_OK(open_sealed("adopted", NULL, NULL, &node));
    CHECK(says(node, "\"copied\":false") && says(node, "\"key_file\":true") && says(node, "\"storage\":\"redb\""));
    close_both(node, NULL);
    kith_buffer_free(&peer);
    kith_buffer_free(&again);
}

/* Two members of a context that is sealed so. */
static kith_status share(struct pair *pair, uint32_t encryption) {
    kith_create_options options;
    kith_status status = open_nodes(pair);
    kith_create_options_init(&options);
    options.encryption = encryption;
    options.name = "sealed";
    if (status == KITH_OK) status = kith_node_create_context_with(pair->one, &options, &pair->mine);
    if (status == KITH_OK) status = put_text(pair->mine, "early", "before the other came");
    return status == KITH_OK ? join_mine(pair) : status;
}

/* scenario: encryption_chosen */
static void each_suite_goes_from_end_to_end(void) {
    static const uint32_t suites[] = {KITH_ENCRYPTION_OFF, KITH_ENCRYPTION_X25519, KITH_ENCRYPTION_X_WING};
    kith_create_options options;
    kith_context *none = NULL;
    kith_node *node = NULL;
    kith_security security;
    kith_buffer text = {NULL, 0};
    for (int i = 0; i < 3; i++) {
        struct pair pair;
        CHECK_OK(share(&pair, suites[i]));
        CHECK(holds(pair.theirs, "early", "before the other came"));
        CHECK_OK(put_text(pair.theirs, "mine", "by the other"));
        CHECK_OK(put_text(pair.mine, "yours", "by the one"));
        UNTIL(holds(pair.mine, "mine", "by the other") && holds(pair.theirs, "yours", "by the one"));
        UNTIL(in_step(pair.mine, pair.theirs));
        CHECK(holds(pair.mine, "mine", "by the other") && holds(pair.theirs, "yours", "by the one"));
        CHECK(same_state(pair.mine, pair.theirs));
        CHECK_OK(kith_context_security(pair.mine, &security));
        CHECK(security.suite == suites[i] && security.unopened == 0 && security.has_epoch == (i > 0));
        CHECK_OK(kith_context_security(pair.theirs, &security));
        CHECK(security.suite == suites[i] && security.unopened == 0);
        CHECK_STATUS(i == 0 ? KITH_UNSUPPORTED : KITH_OK, kith_context_rotate_keys(pair.mine));
        close_pair(&pair);
    }
    CHECK_OK(lone_node(&node));
    kith_create_options_init(&options);
    options.encryption = 3;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_node_create_context_with(node, &options, &none));
    CHECK_SAYS("3 is no encryption");
    kith_create_options_init(&options);
    options.application = "unknown";
    CHECK_STATUS(KITH_APPLICATION_MISSING, kith_node_create_context_with(node, &options, &none));
    CHECK(none == NULL);
    /* Without options: as without them. */
    CHECK_OK(kith_node_create_context_with(node, NULL, &none));
    CHECK_OK(kith_context_security(none, &security));
    CHECK(security.suite == KITH_ENCRYPTION_X25519);
    CHECK_OK(kith_context_application(none, &text));
    CHECK(strcmp((char *)text.data, "kv") == 0);
    kith_buffer_free(&text);
    close_both(node, none);
}

/* scenario: rotate_keys */
static void new_keys_are_for_all_that_follows(void) {
    struct pair pair;
    kith_security before, after, theirs;
    CHECK_OK(share(&pair, KITH_ENCRYPTION_X25519));
    CHECK_OK(put_text(pair.mine, "x", "1"));
    CHECK_OK(kith_context_security(pair.mine, &before));
    CHECK(before.has_epoch);
    CHECK_OK(kith_context_rotate_keys(pair.mine));
    CHECK_OK(kith_context_security(pair.mine, &after));
    CHECK(after.has_epoch && memcmp(before.epoch, after.epoch, 32) != 0 && after.pending[0] == '\0');
    CHECK_OK(put_text(pair.mine, "x", "2"));
    UNTIL(holds(pair.theirs, "x", "2"));
    CHECK(holds(pair.theirs, "x", "2"));
    CHECK_OK(kith_context_security(pair.theirs, &theirs));
    CHECK(theirs.has_epoch && memcmp(theirs.epoch, after.epoch, 32) == 0 && theirs.unopened == 0);
    /* The other one may do it, too, and both read on. */
    CHECK_OK(kith_context_rotate_keys(pair.theirs));
    CHECK_OK(put_text(pair.theirs, "x", "3"));
    UNTIL(holds(pair.mine, "x", "3"));
    CHECK(holds(pair.mine, "x", "3"));
    close_pair(&pair);
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_rotate_keys(NULL));
}

/* scenario: security_report */
static void it_is_said_how_it_stands_with_the_keys(void) {
    struct pair pair;
    kith_security security, later;
    kith_node *node = NULL;
    kith_context *alone = NULL;
    kith_buffer json = {NULL, 0};
    /* Before the first call there are no keys. */
    CHECK_OK(lone_node(&node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &alone));
    CHECK_OK(kith_context_security(alone, &security));
    CHECK(!security.has_epoch && security.age == 0 && security.members == 1 && security.pending[0] != '\0');
    CHECK_OK(put_text(alone, "x", "1"));
    CHECK_OK(kith_context_security(alone, &security));
    CHECK(security.has_epoch && security.members_able == 1 && security.members == 1 && security.pending[0] == '\0');
    /* The epoch gets older. */
    do {
        rest();
        CHECK_OK(kith_context_security(alone, &later));
        CHECK(later.age >= security.age && later.age < WAIT_MS);
    } while (later.age == security.age);
    CHECK(memcmp(later.epoch, security.epoch, 32) == 0);
    close_both(node, alone);

    /* Who has joined reads by shared history at first, and is given keys before the next call. */
    CHECK_OK(share(&pair, KITH_ENCRYPTION_X25519));
    CHECK_OK(kith_context_security(pair.mine, &security));
    CHECK(security.members == 2 && security.members_able == 1);
    CHECK(strcmp(security.pending, "somebody has joined") == 0);
    CHECK_OK(put_text(pair.mine, "x", "1"));
    UNTIL(holds(pair.theirs, "x", "1"));
    CHECK_OK(kith_context_security(pair.mine, &later));
    CHECK(later.members == 2 && later.members_able == 2 && later.pending[0] == '\0');
    CHECK(memcmp(later.epoch, security.epoch, 32) != 0);
    CHECK_OK(kith_context_security(pair.theirs, &security));
    CHECK(security.members_able == 2 && security.violations == 0 && security.unopened == 0);
    CHECK(security.has_epoch && memcmp(later.epoch, security.epoch, 32) == 0);
    CHECK_OK(kith_context_status(pair.theirs, &json));
    CHECK(strstr((char *)json.data, "\"unopened\":0") != NULL);
    kith_buffer_free(&json);
    close_pair(&pair);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s EMPTY-FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    folder = argv[1];
    RUN(a_directory_opens_with_its_own_key_only);
    RUN(the_key_is_changed_at_work);
    RUN(a_backup_is_the_same_member_and_waits_for_its_owner);
    RUN(each_suite_goes_from_end_to_end);
    RUN(new_keys_are_for_all_that_follows);
    RUN(it_is_said_how_it_stands_with_the_keys);
    return check_finish();
}

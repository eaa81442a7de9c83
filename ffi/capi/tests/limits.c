/* Sizes at each limit and one past it, and one context used by many threads at once. */
#include "nodes.h"

#define THREADS 64
#define ADDS 3

static kith_node *node;
static kith_context *context;
static uint8_t large[1024 * 1024 + 4097];

/* A text of so many bytes. */
static const char *text_of(size_t length) {
    static char text[512];
    memset(text, 't', sizeof text);
    text[length] = '\0';
    return text;
}

/* scenario: big_values */
static void values_and_calls(void) {
    uint8_t key[32];
    kith_buffer value = {NULL, 0};
    make_key("large", key);
    CHECK_OK(kith_context_put(context, key, large, 1024 * 1024, NULL));
    CHECK_STATUS(KITH_LIMIT_EXCEEDED, kith_context_put(context, key, large, 1024 * 1024 + 1, NULL));
    CHECK(kith_context_append(context, key, large, 1, NULL) != KITH_OK);
    CHECK_OK(kith_context_get(context, key, KITH_TENTATIVE, &value));
    CHECK(value.length == 1024 * 1024);
    kith_buffer_free(&value);
    /* What is within the limits is the application's to refuse. */
    CHECK_STATUS(KITH_REJECTED, kith_context_execute(context, text_of(255), large, 1024 * 1024 + 4096, NULL, NULL));
    CHECK_STATUS(KITH_LIMIT_EXCEEDED, kith_context_execute(context, text_of(256), NULL, 0, NULL, NULL));
    CHECK_STATUS(KITH_LIMIT_EXCEEDED, kith_context_execute(context, "x", large, 1024 * 1024 + 4097, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_execute(context, "", NULL, 0, NULL, NULL));
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_execute(context, "x", large, SIZE_MAX, NULL, NULL));
}

/* scenario: names_of_members */
static void names_and_notes(void) {
    kith_context *other = NULL;
    kith_invite_options options;
    kith_buffer token = {NULL, 0};
    kith_member member;
    size_t count;
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, text_of(128), &other));
    kith_context_free(other);
    CHECK_STATUS(KITH_LIMIT_EXCEEDED, kith_node_create_context(node, NULL, NULL, 0, text_of(129), &other));
    CHECK_OK(kith_context_set_display_name(context, text_of(128), NULL));
    CHECK_STATUS(KITH_LIMIT_EXCEEDED, kith_context_set_display_name(context, text_of(129), NULL));
    CHECK_OK(kith_context_members(context, &member, 1, &count));
    CHECK(count == 1 && strcmp(member.name, text_of(128)) == 0);
    kith_invite_options_init(&options);
    options.note = text_of(128);
    CHECK_OK(kith_context_invite(context, &options, &token));
    kith_buffer_free(&token);
    options.note = text_of(129);
    CHECK_STATUS(KITH_LIMIT_EXCEEDED, kith_context_invite(context, &options, &token));
    options.note = NULL;
    options.max_uses = 0;
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_context_invite(context, &options, &token));
}

static void keys_and_drawings(void) {
    uint8_t one[32], two[32], prefix[16];
    kith_buffer token = {NULL, 0}, text = {NULL, 0};
    CHECK_OK(kith_state_key_random(one));
    CHECK_OK(kith_state_key_random(two));
    CHECK(memcmp(one, two, 32) != 0);
    CHECK_OK(kith_state_key_collection("test", prefix));
    make_key("x", one);
    CHECK(memcmp(one, prefix, 16) == 0);
    CHECK_OK(kith_context_invite(context, NULL, &token));
    CHECK_OK(kith_invitation_qr((char *)token.data, &text));
    CHECK(text.length > 1000 && text.data[text.length - 1] == '\n');
    kith_buffer_free(&text);
    CHECK_STATUS(KITH_INVITATION_INVALID, kith_invitation_qr("kith1", &text));
    CHECK_OK(kith_invitation_addresses((char *)token.data, &text));
    kith_buffer_free(&text);
    kith_buffer_free(&token);
    CHECK_OK(kith_default_directory("kith-test", &text));
    CHECK(strstr((char *)text.data, "kith-test") != NULL);
    kith_buffer_free(&text);
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_default_directory("a/b", &text));
    CHECK_OK(kith_context_rotate_keys(context));
}

static void receipts_tell_what_was_said_and_done(void) {
    kith_receipt *receipt = NULL;
    kith_transaction transaction;
    uint8_t key[32], id[32];
    size_t length = 0;
    make_key("receipt", key);
    CHECK_OK(kith_context_put(context, key, (const uint8_t *)"v", 1, id));
    CHECK_OK(kith_context_receipt(context, id, &receipt));
    CHECK_OK(kith_receipt_transaction(receipt, &transaction));
    CHECK(memcmp(transaction.id, id, 32) == 0 && transaction.outcome == KITH_OUTCOME_ACCEPTED);
    CHECK(strcmp(kith_receipt_method(receipt), "put") == 0 && strcmp(kith_receipt_reason(receipt), "") == 0);
    CHECK(kith_receipt_arguments(receipt, &length) != NULL && length > 32);
    CHECK(kith_receipt_emitted_count(receipt) == 0);
    kith_receipt_free(receipt);
    id[0] ^= 1;
    CHECK_STATUS(KITH_NOT_FOUND, kith_context_receipt(context, id, &receipt));
}

static int add_many(void *argument) {
    uint8_t key[32];
    (void)argument;
    make_key("counter", key);
    for (int i = 0; i < ADDS; i++) {
        if (kith_context_add(context, key, 1, NULL) != KITH_OK) {
            return 1;
        }
    }
    return 0;
}

/* scenario: callers_64 */
static void many_threads_share_a_context(void) {
    thrd_t threads[THREADS];
    uint8_t key[32];
    int64_t now = 0;
    int failed = 0;
    for (int i = 0; i < THREADS; i++) {
        CHECK(thrd_create(&threads[i], add_many, NULL) == thrd_success);
    }
    for (int i = 0; i < THREADS; i++) {
        int result = 1;
        CHECK(thrd_join(threads[i], &result) == thrd_success);
        failed += result;
    }
    CHECK(failed == 0);
    make_key("counter", key);
    CHECK_OK(kith_context_add(context, key, 0, &now));
    CHECK(now == THREADS * ADDS);
}

int main(void) {
    if (lone_node(&node) != KITH_OK || kith_node_create_context(node, NULL, NULL, 0, NULL, &context) != KITH_OK) {
        return EXIT_FAILURE;
    }
    RUN(values_and_calls);
    RUN(names_and_notes);
    RUN(keys_and_drawings);
    RUN(receipts_tell_what_was_said_and_done);
    RUN(many_threads_share_a_context);
    kith_node_shutdown(node);
    kith_context_free(context);
    kith_node_free(node);
    return check_finish();
}

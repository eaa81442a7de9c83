/* A defect in the library, as a program sees it: the libraries of the tests panic when they are told to (docs/border.md). */
#include "../nodes.h"

/* Not in the header, and in no library that is shipped. */
extern kith_status kith_provoke_panic(const char *words);
extern kith_status kith_provoke_panic_later(const char *words);

#define THREADS 8
#define ROUNDS 2

static kith_context *context;
static int good[THREADS];

static int the_text_is(const char *wanted) {
    char text[200];
    return kith_last_error(text, sizeof text, NULL) == KITH_OK && strcmp(text, wanted) == 0;
}

/* Writes before and after each panic, as the others do. */
static int write_and_panic(void *argument) {
    int number = *(int *)argument;
    uint8_t key[32];
    make_key("n", key);
    for (int round = 0; round < ROUNDS; round++) {
        char words[50], wanted[100];
        snprintf(words, sizeof words, "on purpose, \xC3\xA4 %d.%d", number, round);
        snprintf(wanted, sizeof wanted, "a defect in Kith: %s", words);
        if (kith_context_add(context, key, 1, NULL) != KITH_OK) return 0;
        if (kith_provoke_panic(words) != KITH_INTERNAL || !the_text_is(wanted)) return 0;
        if (kith_context_add(context, key, 1, NULL) != KITH_OK) return 0;
        if (kith_provoke_panic_later(words) != KITH_INTERNAL || !the_text_is(wanted)) return 0;
    }
    good[number] = 1;
    return 0;
}

/* scenario: panic_in_the_library */
static void a_panic_in_the_library_is_an_error_and_the_node_goes_on(void) {
    kith_node *node = NULL;
    thrd_t threads[THREADS];
    int numbers[THREADS];
    uint8_t key[32];
    int64_t now = 0;
    CHECK_OK(lone_node(&node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK(thrd_create(&threads[i], write_and_panic, &numbers[i]) == thrd_success);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(thrd_join(threads[i], NULL) == thrd_success && good[i]);
    }
    make_key("n", key);
    CHECK_OK(kith_context_add(context, key, 1, &now));
    CHECK(now == 2 * THREADS * ROUNDS + 1);
    CHECK_STATUS(KITH_INVALID_ARGUMENT, kith_provoke_panic(NULL));
    CHECK_OK(kith_node_shutdown(node));
    kith_context_free(context);
    kith_node_free(node);
}

int main(void) {
    RUN(a_panic_in_the_library_is_an_error_and_the_node_goes_on);
    return check_finish();
}

/* What crossing the border costs from C: the yardstick for the other languages. `border CALLS` prints `figure border.c.NAME MICROSECONDS`,
 * medians over so many calls on a node in memory. */
#include <kith.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if ((call) != KITH_OK) {                                                                                       \
            char text[300];                                                                                            \
            kith_last_error(text, sizeof text, NULL);                                                                  \
            fprintf(stderr, "%s: %s\n", #call, text);                                                                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static kith_context *context, *own;
static uint8_t small_key[32], large_key[32], prefix[16];
static uint8_t large[64 * 1024];

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double timed(void (*body)(void)) {
    double start = now();
    body();
    return now() - start;
}

static void tell(const char *name, size_t calls, double *times) {
    qsort(times, calls, sizeof *times, ascending);
    printf("figure border.c.%s %f\n", name, times[calls / 2]);
    free(times);
}

static double *room(size_t calls) {
    double *times = malloc(calls * sizeof *times);
    if (times == NULL) exit(1);
    return times;
}

static void measure(const char *name, size_t calls, void (*body)(void)) {
    double *times = room(calls);
    for (size_t call = 0; call < calls / 10 + 1; call++) body();
    for (size_t call = 0; call < calls; call++) times[call] = timed(body);
    tell(name, calls, times);
}

/* Two in turns: what is compared meets the same machine. */
static void compare(const char *name, void (*body)(void), const char *other_name, void (*other)(void), size_t calls) {
    double *times = room(calls), *other_times = room(calls);
    for (size_t call = 0; call < calls / 10 + 1; call++) {
        body();
        other();
    }
    for (size_t call = 0; call < calls; call++) {
        times[call] = timed(body);
        other_times[call] = timed(other);
    }
    tell(name, calls, times);
    tell(other_name, calls, other_times);
}

static void get_small(void) {
    kith_buffer value = {NULL, 0};
    OK(kith_context_get(context, small_key, KITH_TENTATIVE, &value));
    if (value.length != 100) exit(1);
    kith_buffer_free(&value);
}

static void get_large(void) {
    kith_buffer value = {NULL, 0};
    OK(kith_context_get(context, large_key, KITH_TENTATIVE, &value));
    if (value.length != sizeof large) exit(1);
    kith_buffer_free(&value);
}

static void put_small(void) {
    OK(kith_context_put(context, small_key, large, 100, NULL));
}

static void put_large(void) {
    OK(kith_context_put(context, large_key, large, sizeof large, NULL));
}

static void page(void) {
    kith_entries *entries = NULL;
    const uint8_t *key, *value;
    size_t length;
    OK(kith_context_entries(context, prefix, sizeof prefix, NULL, 100, KITH_TENTATIVE, &entries));
    if (kith_entries_count(entries) != 100) exit(1);
    for (size_t i = 0; i < 100; i++) OK(kith_entries_at(entries, i, &key, &value, &length));
    kith_entries_free(entries);
}

static kith_status answer(void *user_data, kith_call *call, kith_state *state) {
    size_t length;
    const uint8_t *arguments = kith_call_arguments(call, &length);
    (void)user_data;
    (void)state;
    return kith_call_answer(call, arguments, length);
}

static void host(void) {
    kith_buffer value = {NULL, 0};
    OK(kith_context_query(own, "echo", small_key, 32, &value));
    if (value.length != 32) exit(1);
    kith_buffer_free(&value);
}

static void execute(void) {
    kith_buffer value = {NULL, 0};
    OK(kith_context_execute(own, "echo", small_key, 32, NULL, &value));
    if (value.length != 32) exit(1);
    kith_buffer_free(&value);
}

static void events(size_t count) {
    kith_events *stream = NULL;
    kith_event *event = NULL;
    uint64_t cursor = 0;
    size_t seen = 0;
    double start;
    for (size_t i = 0; i < count; i++) OK(kith_context_put(context, small_key, large, 100, NULL));
    OK(kith_context_events(context, &cursor, &stream));
    start = now();
    for (; seen < count; seen++) {
        OK(kith_events_next(stream, 60000, &event));
        kith_event_free(event);
    }
    printf("figure border.c.event %f\n", (now() - start) / (double)count);
    kith_events_free(stream);
}

int main(int count, char **arguments) {
    size_t calls = count > 1 ? (size_t)strtoul(arguments[1], NULL, 10) : 0;
    kith_node *node = NULL, *other = NULL;
    kith_application application;
    if (calls < 10) return 2;
    OK(kith_test_nodes(&node, &other));
    kith_application_init(&application);
    application.execute = answer;
    application.query = answer;
    OK(kith_node_register(node, "echo", &application));
    OK(kith_node_create_context(node, "kv", NULL, 0, "bench", &context));
    OK(kith_node_create_context(node, "echo", NULL, 0, "bench", &own));
    memset(large, 7, sizeof large);
    OK(kith_state_key_of("other", "small", small_key));
    OK(kith_state_key_of("other", "large", large_key));
    OK(kith_state_key_collection("page", prefix));
    OK(kith_context_put(context, small_key, large, 100, NULL));
    put_large();
    for (int i = 0; i < 100; i++) {
        char name[8];
        uint8_t key[32];
        snprintf(name, sizeof name, "%d", i);
        OK(kith_state_key_of("page", name, key));
        OK(kith_context_put(context, key, large, 100, NULL));
    }
    compare("get", get_small, "get64k", get_large, calls);
    measure("page", calls / 10, page);
    measure("host", calls, host);
    measure("execute", calls / 10, execute);
    compare("put", put_small, "put64k", put_large, calls / 10);
    events(calls / 10);
    kith_node_shutdown(node);
    kith_node_shutdown(other);
    kith_context_free(context);
    kith_context_free(own);
    kith_node_free(node);
    kith_node_free(other);
    return 0;
}

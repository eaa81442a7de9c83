/* `get` from C: prints `figure get.c.us NUMBER`, the median over so many calls. */
#include <kith.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec at;
    timespec_get(&at, TIME_UTC);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int failed(const char *what) {
    char text[300];
    kith_last_error(text, sizeof text, NULL);
    fprintf(stderr, "%s: %s\n", what, text);
    return 1;
}

int main(int count, char **arguments) {
    size_t calls = count > 2 ? (size_t)strtoul(arguments[2], NULL, 10) : 0;
    double *times = calls > 0 ? malloc(calls * sizeof *times) : NULL;
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_node_options options;
    uint8_t key[32], value[100];

    if (count < 3 || calls == 0 || times == NULL) return 2;
    memset(value, 7, sizeof value);
    kith_node_options_init(&options);
    options.listen = (const char *const[]){"/ip4/127.0.0.1/tcp/0"};
    options.listen_count = 1;
    options.discovery = false;
    if (kith_node_open(arguments[1], &options, &node) != KITH_OK) return failed("open");
    if (kith_node_create_context(node, "kv", NULL, 0, "bench", &context) != KITH_OK) return failed("create");
    if (kith_state_key_of("bench", "0", key) != KITH_OK) return failed("key");
    if (kith_context_put(context, key, value, sizeof value, NULL) != KITH_OK) return failed("put");
    for (size_t call = 0; call < calls; call++) {
        kith_buffer found = {NULL, 0};
        double start = now();
        if (kith_context_get(context, key, KITH_TENTATIVE, &found) != KITH_OK) return failed("get");
        times[call] = now() - start;
        if (found.length != sizeof value || memcmp(found.data, value, sizeof value) != 0) {
            fprintf(stderr, "another value\n");
            return 1;
        }
        kith_buffer_free(&found);
    }
    qsort(times, calls, sizeof *times, ascending);
    printf("figure get.c.us %f\n", times[calls / 2]);
    free(times);
    kith_node_shutdown(node);
    kith_context_free(context);
    kith_node_free(node);
    return 0;
}

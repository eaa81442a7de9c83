/* Unloading: `unload LIBRARY` loads the library, opens a node, and takes the library out of the process again while the node runs. The library
 * stays: its threads go on, and what was looked up in it can be called. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kith.h"

#define OK(condition)                                                                                                  \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A function's pointer is as large as any other here. */
#define LOOK_UP(name)                                                                                                  \
    do {                                                                                                               \
        void *found = dlsym(library, "kith_" #name);                                                                   \
        OK(found != NULL);                                                                                             \
        memcpy(&name, &found, sizeof found);                                                                           \
    } while (0)

int main(int argc, char **argv) {
    kith_status (*test_nodes)(kith_node **, kith_node **);
    kith_status (*node_create_context)(kith_node *, const char *, const uint8_t *, size_t, const char *, kith_context **);
    kith_status (*context_put)(kith_context *, const uint8_t *, const uint8_t *, size_t, uint8_t *);
    kith_status (*node_shutdown)(kith_node *);
    kith_node *one = NULL, *other = NULL;
    kith_context *context = NULL;
    uint8_t key[32] = {1};
    OK(argc == 2);
    for (int round = 0; round < 3; round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        OK(library != NULL);
        LOOK_UP(test_nodes);
        LOOK_UP(node_create_context);
        LOOK_UP(context_put);
        LOOK_UP(node_shutdown);
        OK(test_nodes(&one, &other) == KITH_OK);
        OK(node_create_context(one, NULL, NULL, 0, NULL, &context) == KITH_OK);
        OK(dlclose(library) == 0);
        OK(context_put(context, key, key, sizeof key, NULL) == KITH_OK);
        OK(node_shutdown(one) == KITH_OK && node_shutdown(other) == KITH_OK);
    }
    puts("it stays");
    return 0;
}

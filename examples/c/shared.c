/* A node that shares a context, told by lines on standard input what to do. `cargo xtask demo` runs it beside the same
 * program in Python, whose first lines list the commands. By hand:
 *
 *     cc -std=c11 -Iinclude examples/c/shared.c -lkith -o shared && ./shared some-directory
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kith.h"

static void must(kith_status status, const char *what) {
    if (status != KITH_OK) {
        char text[512];
        kith_last_error(text, sizeof text, NULL);
        fprintf(stderr, "%s: %s: %s\n", what, kith_status_name((uint32_t)status), text);
        exit(EXIT_FAILURE);
    }
}

static void say_hex(const char *before, const uint8_t *bytes, size_t length, const char *after) {
    fputs(before, stdout);
    for (size_t i = 0; i < length; i++) {
        printf("%02x", bytes[i]);
    }
    fputs(after, stdout);
    fflush(stdout);
}

static void put(kith_context *context, const char *collection, const char *name, const char *value) {
    uint8_t key[32], id[32];
    must(kith_state_key_of(collection, name, key), "key");
    must(kith_context_put(context, key, (const uint8_t *)value, strlen(value), id), "put");
    say_hex("ack ", id, sizeof id, "\n");
}

static void write_all(kith_context *context, int count) {
    uint8_t counter[32];
    must(kith_state_key_of("shared", "counter", counter), "key");
    for (int number = 0; number < count; number++) {
        char name[32], slot[32], text[32];
        snprintf(name, sizeof name, "%d", number);
        snprintf(slot, sizeof slot, "slot %d", number % 5);
        snprintf(text, sizeof text, "c %d", number);
        /* A key of our own, a key that the other one writes too, and a counter that both add to. */
        put(context, "c", name, text);
        put(context, "shared", slot, text);
        must(kith_context_add(context, counter, 1, NULL), "add");
        puts("added");
    }
    puts("done");
}

static void report_order(kith_context *context) {
    static const char *const outcomes[] = {"pending", "accepted", "rejected"};
    kith_transaction page[100];
    uint8_t place[sizeof page[0].place];
    size_t count = 0;
    must(kith_context_history(context, NULL, page, 100, &count), "history");
    while (count > 0) {
        for (size_t i = 0; i < count; i++) {
            say_hex("transaction ", page[i].id, sizeof page[i].id, " ");
            puts(outcomes[page[i].outcome]);
        }
        memcpy(place, page[count - 1].place, sizeof place);
        must(kith_context_history(context, place, page, 100, &count), "history");
    }
}

static void report_state(kith_context *context) {
    uint8_t after[32];
    const uint8_t *start = NULL;
    for (;;) {
        kith_entries *page = NULL;
        must(kith_context_entries(context, NULL, 0, start, 1000, KITH_TENTATIVE, &page), "entries");
        size_t count = kith_entries_count(page);
        for (size_t i = 0; i < count; i++) {
            const uint8_t *key, *value;
            size_t length;
            must(kith_entries_at(page, i, &key, &value, &length), "entry");
            say_hex("entry ", key, 32, " ");
            say_hex("", value, length, "\n");
            memcpy(after, key, sizeof after);
        }
        kith_entries_free(page);
        if (count == 0) {
            return;
        }
        start = after;
    }
}

static void say_commitment(kith_context *context) {
    uint8_t commitment[32];
    must(kith_context_commitment(context, commitment), "commitment");
    say_hex("commitment ", commitment, sizeof commitment, "\n");
}

static void say_context(const char *before, kith_context *context) {
    uint8_t id[32];
    must(kith_context_id(context, id), "id");
    say_hex(before, id, sizeof id, "\n");
}

static kith_context *open_first(kith_node *node) {
    kith_buffer ids = {NULL, 0};
    kith_context *context = NULL;
    must(kith_node_contexts(node, &ids), "contexts");
    if (ids.length < 32) {
        fprintf(stderr, "no context is kept here\n");
        exit(EXIT_FAILURE);
    }
    must(kith_node_context(node, ids.data, &context), "context");
    kith_buffer_free(&ids);
    return context;
}

static void say_token(kith_context *context) {
    kith_buffer token = {NULL, 0};
    must(kith_context_invite(context, NULL, &token), "invite");
    printf("token %s\n", (const char *)token.data);
    kith_buffer_free(&token);
}

int main(int argc, char **argv) {
    static const char *const only_this_machine[] = {"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"};
    kith_node_options options;
    kith_node *node = NULL;
    kith_context *context = NULL;
    char line[4096];

    if (argc != 2 || strcmp(kith_version(), KITH_VERSION) != 0) {
        fprintf(stderr, "usage: %s DIRECTORY (header %s, library %s)\n", argv[0], KITH_VERSION, kith_version());
        return EXIT_FAILURE;
    }
    kith_node_options_init(&options);
    options.listen = only_this_machine;
    options.listen_count = 2;
    options.discovery = false;
    must(kith_node_open(argv[1], &options, &node), "open");

    while (fgets(line, sizeof line, stdin) != NULL) {
        char *argument = line + strcspn(line, " \n");
        if (*argument != '\0') {
            *argument++ = '\0';
        }
        argument[strcspn(argument, "\n")] = '\0';
        if (strcmp(line, "create") == 0) {
            must(kith_node_create_context(node, NULL, NULL, 0, "shared", &context), "create");
            say_context("created ", context);
        } else if (strcmp(line, "invite") == 0) {
            say_token(context);
        } else if (strcmp(line, "join") == 0) {
            must(kith_node_join(node, argument, 60000, &context), "join");
            say_context("joined ", context);
        } else if (strcmp(line, "open") == 0) {
            context = open_first(node);
            say_context("opened ", context);
        } else if (strcmp(line, "write") == 0) {
            write_all(context, atoi(argument));
        } else if (strcmp(line, "commitment") == 0) {
            say_commitment(context);
        } else if (strcmp(line, "report") == 0) {
            report_order(context);
            report_state(context);
            say_commitment(context);
            puts("end");
        } else if (strcmp(line, "quit") == 0) {
            break;
        } else {
            printf("error: no such command: %s\n", line);
        }
        fflush(stdout);
    }
    must(kith_node_shutdown(node), "shutdown");
    kith_context_free(context);
    kith_node_free(node);
    return EXIT_SUCCESS;
}

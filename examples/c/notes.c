/* A shared notebook on the terminal: ./notes DIRECTORY, then `help`. Two people try it in two terminals: one says `create home` and
 * `invite`, the other one `join TOKEN`, and both write and list.
 *
 * A note lies under the key of its title in the collection "notes"; its value is the title, a line's end, and the text. The programs in
 * Python and Rust keep it in the same way, so that they share notebooks.
 *
 *     cc -std=c11 notes.c $(pkg-config --cflags --libs kith) -o notes
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kith.h>

#define WAIT_MS 60000

static const char help[] = "create NAME          a new notebook\n"
                           "invite [ROLE]        a token for one more: admin, writer (the usual) or reader\n"
                           "join TOKEN           to the notebook of somebody else\n"
                           "write TITLE TEXT     a note; a title is one word\n"
                           "read TITLE           one note\n"
                           "list                 all titles\n"
                           "watch                says from now on what happens\n"
                           "members              who is there\n"
                           "name NAME            what you are called here\n"
                           "remove MEMBER        by the beginning of an id, or by name\n"
                           "leave                deletes the notebook here\n"
                           "status               who is connected, and who lacks what\n"
                           "quit\n";

struct notebook {
    kith_node *node;
    kith_context *context;
    kith_subscription *watching;
};

static const char *role_name(uint32_t role) {
    return role == KITH_ADMIN ? "admin" : role == KITH_WRITER ? "writer" : role == KITH_READER ? "reader" : "nobody";
}

static void print_id(const uint8_t *id) {
    for (int i = 0; i < 4; i++) {
        printf("%02x", id[i]);
    }
}

/* Text of other people, without what would steer the terminal. */
static void print_text(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        putchar(c < 0x20 || c == 0x7f ? '?' : c);
    }
}

static kith_status create(struct notebook *book, const char *name) {
    kith_context *context = NULL;
    kith_status status = kith_node_create_context(book->node, "kv", NULL, 0, name, &context);
    if (status == KITH_OK) {
        kith_context_free(book->context);
        book->context = context;
        puts("created");
    }
    return status;
}

static kith_status invite(struct notebook *book, const char *role) {
    kith_invite_options options;
    kith_buffer token = {NULL, 0}, code = {NULL, 0};
    kith_status status;
    kith_invite_options_init(&options);
    options.role = strcmp(role, "admin") == 0 ? KITH_ADMIN : strcmp(role, "reader") == 0 ? KITH_READER : KITH_WRITER;
    if (*role != '\0' && strcmp(role, role_name(options.role)) != 0) {
        puts("a role is admin, writer or reader");
        return KITH_OK;
    }
    if ((status = kith_context_invite(book->context, &options, &token)) != KITH_OK) {
        return status;
    }
    /* White on black, whatever the colours of the terminal are. */
    if (isatty(STDOUT_FILENO) && kith_invitation_qr((char *)token.data, &code) == KITH_OK) {
        char *rest = (char *)code.data, *end;
        while ((end = strchr(rest, '\n')) != NULL) {
            printf("\033[97;40m%.*s\033[0m\n", (int)(end - rest), rest);
            rest = end + 1;
        }
        kith_buffer_free(&code);
    }
    printf("token %s\n", (char *)token.data);
    kith_buffer_free(&token);
    return KITH_OK;
}

static void show_progress(void *user_data, uint64_t done, uint64_t total) {
    int filled = total == 0 ? 40 : (int)(done * 40 / total);
    (void)user_data;
    fprintf(stderr, "\r[%.*s%.*s] %llu of %llu", filled, "########################################", 40 - filled,
            "                                        ", (unsigned long long)done, (unsigned long long)total);
}

static kith_status join(struct notebook *book, const char *token) {
    kith_join_options options;
    kith_context *context = NULL;
    kith_status status;
    bool terminal = isatty(STDERR_FILENO);
    kith_join_options_init(&options);
    options.timeout_ms = WAIT_MS;
    options.on_progress = terminal ? show_progress : NULL;
    status = kith_node_join_with(book->node, token, &options, &context);
    if (terminal) {
        fputc('\n', stderr);
    }
    if (status == KITH_OK) {
        kith_buffer name = {NULL, 0};
        kith_context_free(book->context);
        book->context = context;
        if ((status = kith_context_name(context, &name)) == KITH_OK) {
            fputs("joined ", stdout);
            print_text((char *)name.data, name.length);
            putchar('\n');
            kith_buffer_free(&name);
        }
    }
    return status;
}

static kith_status write_note(struct notebook *book, char *title) {
    char note[4096];
    uint8_t key[32];
    char *text = title + strcspn(title, " ");
    kith_status status;
    if (*title == '\0' || *text == '\0') {
        puts("write TITLE TEXT");
        return KITH_OK;
    }
    *text++ = '\0';
    snprintf(note, sizeof note, "%s\n%s", title, text);
    if ((status = kith_state_key_of("notes", title, key)) == KITH_OK &&
        (status = kith_context_put(book->context, key, (uint8_t *)note, strlen(note), NULL)) == KITH_OK) {
        puts("written");
    }
    return status;
}

static kith_status read_note(struct notebook *book, const char *title) {
    uint8_t key[32];
    kith_buffer note = {NULL, 0};
    kith_status status = kith_state_key_of("notes", title, key);
    if (status == KITH_OK && (status = kith_context_get(book->context, key, KITH_TENTATIVE, &note)) == KITH_OK) {
        char *text = strchr((char *)note.data, '\n');
        text = text == NULL ? (char *)note.data : text + 1;
        print_text(text, note.length - (size_t)(text - (char *)note.data));
        putchar('\n');
        kith_buffer_free(&note);
    }
    return status;
}

static kith_status list(struct notebook *book) {
    uint8_t prefix[16], after[32];
    const uint8_t *start = NULL;
    kith_status status = kith_state_key_collection("notes", prefix);
    while (status == KITH_OK) {
        kith_entries *page = NULL;
        size_t count = 0;
        status = kith_context_entries(book->context, prefix, sizeof prefix, start, 100, KITH_TENTATIVE, &page);
        count = kith_entries_count(page);
        for (size_t i = 0; status == KITH_OK && i < count; i++) {
            const uint8_t *key, *value;
            size_t length;
            if ((status = kith_entries_at(page, i, &key, &value, &length)) == KITH_OK) {
                const uint8_t *end = length == 0 ? NULL : memchr(value, '\n', length);
                print_text((const char *)value, end == NULL ? length : (size_t)(end - value));
                putchar('\n');
                memcpy(after, key, sizeof after);
                start = after;
            }
        }
        kith_entries_free(page);
        if (count == 0) {
            break;
        }
    }
    return status;
}

/* Runs on a thread of the library's own; it may call everything. */
static void say_event(void *user_data, const kith_event *event) {
    static const char *const words[] = {
        [KITH_EVENT_CHANGED] = "notes changed",         [KITH_EVENT_MEMBER_JOINED] = "somebody joined",
        [KITH_EVENT_MEMBER_LEFT] = "somebody left",     [KITH_EVENT_MEMBER_REMOVED] = "somebody was removed",
        [KITH_EVENT_ROLE_CHANGED] = "a role changed",   [KITH_EVENT_RENAMED] = "a new name: ",
        [KITH_EVENT_PEER_CONNECTED] = "connected: ",    [KITH_EVENT_PEER_DISCONNECTED] = "disconnected: ",
        [KITH_EVENT_REJECTED] = "does not count: ",     [KITH_EVENT_BLOCKED] = "stands still: ",
        [KITH_EVENT_EQUIVOCATION] = "two histories",    [KITH_EVENT_CLOSED] = "closed: ",
    };
    uint32_t kind = kith_event_kind(event);
    const char *text = kith_event_text(event);
    (void)user_data;
    if (kind < sizeof words / sizeof words[0] && words[kind] != NULL) {
        flockfile(stdout);
        printf("* %s", words[kind]);
        print_text(text, strlen(text));
        putchar('\n');
        fflush(stdout);
        funlockfile(stdout);
    }
}

static kith_status watch(struct notebook *book) {
    kith_subscription_free(book->watching);
    book->watching = NULL;
    return kith_context_on_event(book->context, NULL, say_event, NULL, NULL, &book->watching);
}

static kith_status get_members(struct notebook *book, kith_member **members, size_t *count) {
    /* More than there can be. */
    size_t room = 1024;
    kith_status status;
    *members = calloc(room, sizeof **members);
    if (*members == NULL) {
        fputs("no memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    status = kith_context_members(book->context, *members, room, count);
    *count = *count < room ? *count : room;
    return status;
}

static kith_status show_members(struct notebook *book) {
    kith_member *members;
    size_t count = 0;
    uint8_t me[32];
    kith_status status = get_members(book, &members, &count);
    if (status == KITH_OK && (status = kith_context_me(book->context, me)) == KITH_OK) {
        for (size_t i = 0; i < count; i++) {
            print_id(members[i].id);
            printf(" %s ", role_name(members[i].role));
            print_text(members[i].name, strlen(members[i].name));
            puts(memcmp(members[i].id, me, 32) == 0 ? " (you)" : "");
        }
    }
    free(members);
    return status;
}

static kith_status remove_member(struct notebook *book, const char *who) {
    kith_member *members;
    size_t count = 0, matching = 0, which = 0;
    kith_status status = get_members(book, &members, &count);
    for (size_t i = 0; status == KITH_OK && i < count; i++) {
        char hex[65];
        for (int byte = 0; byte < 32; byte++) {
            snprintf(hex + 2 * byte, 3, "%02x", members[i].id[byte]);
        }
        if (*who != '\0' && (strncmp(hex, who, strlen(who)) == 0 || strcmp(members[i].name, who) == 0)) {
            matching++;
            which = i;
        }
    }
    if (status == KITH_OK && matching != 1) {
        printf("%zu members are meant\n", matching);
    } else if (status == KITH_OK && (status = kith_context_remove(book->context, members[which].id, NULL)) == KITH_OK) {
        puts("removed");
    }
    free(members);
    return status;
}

static kith_status leave(struct notebook *book) {
    kith_status status = kith_context_leave(book->context);
    if (status == KITH_OK) {
        kith_subscription_free(book->watching);
        kith_context_free(book->context);
        book->watching = NULL;
        book->context = NULL;
        puts("left");
    }
    return status;
}

static kith_status obey(struct notebook *book, const char *command, char *argument) {
    kith_buffer json = {NULL, 0};
    kith_status status;
    if (strcmp(command, "help") == 0) {
        fputs(help, stdout);
    } else if (strcmp(command, "create") == 0) {
        return create(book, argument);
    } else if (strcmp(command, "join") == 0) {
        return join(book, argument);
    } else if (book->context == NULL) {
        puts("there is no notebook yet: create NAME or join TOKEN");
    } else if (strcmp(command, "invite") == 0) {
        return invite(book, argument);
    } else if (strcmp(command, "write") == 0) {
        return write_note(book, argument);
    } else if (strcmp(command, "read") == 0) {
        return read_note(book, argument);
    } else if (strcmp(command, "list") == 0) {
        return list(book);
    } else if (strcmp(command, "watch") == 0) {
        return watch(book);
    } else if (strcmp(command, "members") == 0) {
        return show_members(book);
    } else if (strcmp(command, "name") == 0) {
        if ((status = kith_context_set_display_name(book->context, argument, NULL)) == KITH_OK) {
            puts("named");
        }
        return status;
    } else if (strcmp(command, "remove") == 0) {
        return remove_member(book, argument);
    } else if (strcmp(command, "leave") == 0) {
        return leave(book);
    } else if (strcmp(command, "status") == 0) {
        if ((status = kith_context_status(book->context, &json)) == KITH_OK) {
            print_text((char *)json.data, json.length);
            putchar('\n');
            kith_buffer_free(&json);
        }
        return status;
    } else {
        printf("no such command: %s (try help)\n", command);
    }
    return KITH_OK;
}

static int failed(const char *what) {
    char text[512];
    kith_last_error(text, sizeof text, NULL);
    fprintf(stderr, "%s: %s\n", what, text);
    return EXIT_FAILURE;
}

int main(int argc, char **argv) {
    struct notebook book = {NULL, NULL, NULL};
    kith_buffer ids = {NULL, 0};
    kith_status status;
    bool terminal = isatty(STDIN_FILENO);
    char line[4096];

    if (argc != 2 || kith_abi_version() != KITH_ABI_VERSION) {
        fprintf(stderr, "usage: %s DIRECTORY (header %s, library %s)\n", argv[0], KITH_VERSION, kith_version());
        return EXIT_FAILURE;
    }
    if (kith_node_open(argv[1], NULL, &book.node) != KITH_OK || kith_node_contexts(book.node, &ids) != KITH_OK) {
        return failed("opening the notebook");
    }
    if (ids.length >= 32 && kith_node_context(book.node, ids.data, &book.context) != KITH_OK) {
        return failed("opening the notebook");
    }
    kith_buffer_free(&ids);
    for (;;) {
        if (terminal) {
            fputs("> ", stdout);
            fflush(stdout);
        }
        if (fgets(line, sizeof line, stdin) == NULL) {
            break;
        }
        char *argument = line + strcspn(line, " \n");
        if (*argument != '\0') {
            *argument++ = '\0';
        }
        argument[strcspn(argument, "\n")] = '\0';
        if (strcmp(line, "quit") == 0) {
            break;
        }
        if (*line != '\0' && obey(&book, line, argument) != KITH_OK) {
            char text[512];
            kith_last_error(text, sizeof text, NULL);
            printf("error: %s\n", text);
        }
        fflush(stdout);
    }
    status = kith_node_shutdown(book.node);
    kith_subscription_free(book.watching);
    kith_context_free(book.context);
    kith_node_free(book.node);
    return status == KITH_OK ? EXIT_SUCCESS : failed("closing the notebook");
}

/* An application of the host's own, in C: a board of 8 x 8 cells on which members place pieces and move them. Every member's node executes
 * every move, and all of them come to the same board: the same application is there in Python and in Rust, and all three share contexts.
 *
 * It is told on standard input what to do, line by line:
 *
 *     create NAME            -> context ID             invite                 -> token TOKEN
 *     join TOKEN             -> context ID             open                   -> context ID (the first one kept here)
 *     call METHOD [HEX]      -> ok HEX | error KIND TEXT
 *     query METHOD [HEX]     -> ok HEX | error KIND TEXT
 *     commitment             -> commitment HEX HEX     (of the state, of the history)
 *     me                     -> member HEX             synced                 -> ok (once in step with a member's node)
 *     quit
 *
 *     cc -std=c11 board.c $(pkg-config --cflags --libs kith) -o board && ./board some-directory
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kith.h>

#define SIZE 8
#define PIECES 8
#define WAIT_MS 60000

/* ---- the application ------------------------------------------------------------------------------------------ */

static kith_status key_of_cell(unsigned x, unsigned y, uint8_t key[32]) {
    char name[24];
    snprintf(name, sizeof name, "%u,%u", x, y);
    return kith_state_key_of("board", name, key);
}

static kith_status key_of_score(const uint8_t member[32], uint8_t key[32]) {
    char name[65];
    for (int i = 0; i < 32; i++) {
        snprintf(name + 2 * i, 3, "%02x", member[i]);
    }
    return kith_state_key_of("moves", name, key);
}

/* How many pieces there are, and how many of them are this member's (who may be NULL). */
static kith_status count_pieces(kith_state *state, const uint8_t *member, unsigned *all, unsigned *own) {
    uint8_t prefix[16];
    kith_entries *page = NULL;
    kith_status status = kith_state_key_collection("board", prefix);
    if (status == KITH_OK) {
        status = kith_state_entries(state, prefix, sizeof prefix, NULL, SIZE * SIZE, &page);
    }
    if (status != KITH_OK) {
        return status;
    }
    *all = (unsigned)kith_entries_count(page);
    *own = 0;
    for (size_t i = 0; i < *all; i++) {
        const uint8_t *key, *value;
        size_t length;
        if (kith_entries_at(page, i, &key, &value, &length) == KITH_OK && member != NULL && length == 32 &&
            memcmp(value, member, 32) == 0) {
            *own += 1;
        }
    }
    kith_entries_free(page);
    return KITH_OK;
}

/* Whose piece stands in a cell: KITH_NOT_FOUND if nobody's. */
static kith_status owner_of(kith_state *state, const uint8_t key[32], uint8_t owner[32]) {
    kith_buffer value = {NULL, 0};
    kith_status status = kith_state_get(state, key, &value);
    if (status == KITH_OK) {
        memset(owner, 0, 32);
        memcpy(owner, value.data, value.length < 32 ? value.length : 32);
        kith_buffer_free(&value);
    }
    return status;
}

static kith_status place(kith_call *call, kith_state *state) {
    size_t length;
    const uint8_t *arguments = kith_call_arguments(call, &length), *me = kith_call_member(call);
    uint8_t key[32], owner[32], answer;
    unsigned all, own;
    kith_status status;

    if (length != 2) {
        return kith_call_reject(call, "arguments");
    }
    if (arguments[0] >= SIZE || arguments[1] >= SIZE) {
        return kith_call_reject(call, "off the board");
    }
    if ((status = key_of_cell(arguments[0], arguments[1], key)) != KITH_OK) {
        return status;
    }
    status = owner_of(state, key, owner);
    if (status == KITH_OK) {
        return kith_call_reject(call, "occupied");
    }
    if (status != KITH_NOT_FOUND || (status = count_pieces(state, me, &all, &own)) != KITH_OK) {
        return status;
    }
    if (own >= PIECES) {
        return kith_call_reject(call, "too many pieces");
    }
    if ((status = kith_state_put(state, key, me, 32)) != KITH_OK) {
        return status;
    }
    answer = (uint8_t)(own + 1);
    return kith_call_answer(call, &answer, 1);
}

/* What a score's entry holds, 8 bytes, the lowest first; nothing if the member has not moved. */
static kith_status read_score(kith_state *state, const uint8_t key[32], uint8_t score[8]) {
    kith_buffer value = {NULL, 0};
    kith_status status = kith_state_get(state, key, &value);
    memset(score, 0, 8);
    if (status == KITH_OK) {
        memcpy(score, value.data, value.length < 8 ? value.length : 8);
        kith_buffer_free(&value);
    }
    return status == KITH_NOT_FOUND ? KITH_OK : status;
}

static kith_status move(kith_call *call, kith_state *state) {
    size_t length;
    const uint8_t *a = kith_call_arguments(call, &length), *me = kith_call_member(call);
    uint8_t from[32], to[32], key[32], owner[32], score[8];
    kith_status status;
    int across, down;

    if (length != 4) {
        return kith_call_reject(call, "arguments");
    }
    if (a[0] >= SIZE || a[1] >= SIZE || a[2] >= SIZE || a[3] >= SIZE) {
        return kith_call_reject(call, "off the board");
    }
    if ((status = key_of_cell(a[0], a[1], from)) != KITH_OK || (status = key_of_cell(a[2], a[3], to)) != KITH_OK ||
        (status = key_of_score(me, key)) != KITH_OK) {
        return status;
    }
    status = owner_of(state, from, owner);
    if (status == KITH_NOT_FOUND || (status == KITH_OK && memcmp(owner, me, 32) != 0)) {
        return kith_call_reject(call, "not yours");
    }
    if (status != KITH_OK) {
        return status;
    }
    status = owner_of(state, to, owner);
    if (status == KITH_OK && memcmp(owner, me, 32) == 0) {
        return kith_call_reject(call, "occupied");
    }
    if (status != KITH_OK && status != KITH_NOT_FOUND) {
        return status;
    }
    across = abs((int)a[0] - (int)a[2]);
    down = abs((int)a[1] - (int)a[3]);
    if ((across > down ? across : down) != 1) {
        return kith_call_reject(call, "too far");
    }
    if ((status = kith_state_delete(state, from)) != KITH_OK || (status = kith_state_put(state, to, me, 32)) != KITH_OK ||
        (status = read_score(state, key, score)) != KITH_OK) {
        return status;
    }
    for (int i = 0; i < 8 && ++score[i] == 0; i++) {
    }
    if ((status = kith_state_put(state, key, score, sizeof score)) != KITH_OK ||
        (status = kith_state_emit(state, "moved", a, 4)) != KITH_OK) {
        return status;
    }
    return kith_call_answer(call, score, sizeof score);
}

static kith_status execute(void *user_data, kith_call *call, kith_state *state) {
    (void)user_data;
    if (kith_call_is(call, "place")) {
        return place(call, state);
    }
    if (kith_call_is(call, "move")) {
        return move(call, state);
    }
    return kith_call_reject(call, kith_call_is(call, "fault") ? "on purpose" : "unknown method");
}

static kith_status query(void *user_data, kith_call *call, kith_state *state) {
    kith_status status;
    (void)user_data;
    if (kith_call_is(call, "count")) {
        unsigned all, own;
        uint8_t answer[4] = {0};
        if ((status = count_pieces(state, NULL, &all, &own)) != KITH_OK) {
            return status;
        }
        answer[0] = (uint8_t)all; /* at most 64 */
        return kith_call_answer(call, answer, sizeof answer);
    }
    if (kith_call_is(call, "score")) {
        size_t length;
        const uint8_t *member = kith_call_arguments(call, &length);
        uint8_t key[32], score[8];
        if (length != 32) {
            return kith_call_reject(call, "arguments");
        }
        if ((status = key_of_score(member, key)) != KITH_OK || (status = read_score(state, key, score)) != KITH_OK) {
            return status;
        }
        return kith_call_answer(call, score, sizeof score);
    }
    return kith_call_reject(call, "unknown method");
}

/* ---- the program around it ------------------------------------------------------------------------------------ */

/* "KITH_NOT_FOUND" is "NotFound" in the other languages. */
static void print_kind(kith_status status) {
    const char *name = kith_status_name((uint32_t)status) + strlen("KITH");
    for (; *name != '\0'; name++) {
        if (*name == '_') {
            putchar(*++name);
        } else {
            putchar(tolower((unsigned char)*name));
        }
    }
}

static void print_error(kith_status status) {
    char text[512];
    kith_last_error(text, sizeof text, NULL);
    fputs("error ", stdout);
    print_kind(status);
    printf(" %s\n", text);
}

static void print_hex(const char *before, const uint8_t *bytes, size_t length, const char *after) {
    fputs(before, stdout);
    for (size_t i = 0; i < length; i++) {
        printf("%02x", bytes[i]);
    }
    fputs(after, stdout);
}

/* Reads hexadecimal digits into bytes; how many bytes, or -1. */
static int read_hex(const char *text, uint8_t *bytes, int room) {
    int count = 0;
    while (text[0] != '\0') {
        unsigned byte;
        if (count == room || !isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            sscanf(text, "%2x", &byte) != 1) {
            return -1;
        }
        bytes[count++] = (uint8_t)byte;
        text += 2;
    }
    return count;
}

static void print_context(kith_context *context) {
    uint8_t id[32];
    if (kith_context_id(context, id) == KITH_OK) {
        print_hex("context ", id, sizeof id, "\n");
    }
}

static void ask(kith_context *context, char *line, bool reads_only) {
    uint8_t arguments[512];
    char *hex = line + strcspn(line, " ");
    kith_buffer answer = {NULL, 0};
    kith_status status;
    int length;
    if (*hex != '\0') {
        *hex++ = '\0';
    }
    length = read_hex(hex, arguments, sizeof arguments);
    if (length < 0) {
        puts("error InvalidArgument the arguments are not hexadecimal");
        return;
    }
    status = reads_only ? kith_context_query(context, line, arguments, (size_t)length, &answer)
                        : kith_context_execute(context, line, arguments, (size_t)length, NULL, &answer);
    if (status != KITH_OK) {
        print_error(status);
        return;
    }
    print_hex("ok ", answer.data, answer.length, "\n");
    kith_buffer_free(&answer);
}

static kith_status print_commitment(kith_context *context) {
    uint8_t commitment[32];
    kith_buffer json = {NULL, 0};
    const char *digest;
    kith_status status = kith_context_commitment(context, commitment);
    if (status == KITH_OK) {
        status = kith_context_status(context, &json);
    }
    if (status != KITH_OK) {
        return status;
    }
    digest = strstr((const char *)json.data, "\"digest\":\"");
    print_hex("commitment ", commitment, sizeof commitment, " ");
    printf("%.64s\n", digest == NULL ? "?" : digest + strlen("\"digest\":\""));
    kith_buffer_free(&json);
    return KITH_OK;
}

static kith_status print_token(kith_context *context) {
    kith_buffer token = {NULL, 0};
    kith_status status = kith_context_invite(context, NULL, &token);
    if (status == KITH_OK) {
        printf("token %s\n", (const char *)token.data);
        kith_buffer_free(&token);
    }
    return status;
}

static kith_status open_first(kith_node *node, kith_context **context) {
    kith_buffer ids = {NULL, 0};
    kith_status status = kith_node_contexts(node, &ids);
    if (status != KITH_OK) {
        return status;
    }
    if (ids.length >= 32) {
        status = kith_node_context(node, ids.data, context);
    }
    kith_buffer_free(&ids);
    return status;
}

static kith_status enter(kith_context **context, kith_context *entered, kith_status status) {
    if (status == KITH_OK) {
        kith_context_free(*context);
        *context = entered;
        print_context(entered);
    }
    return status;
}

static kith_status obey(kith_node *node, kith_context **context, const char *command, char *argument) {
    kith_context *entered = NULL;
    kith_status status = KITH_OK;
    if (strcmp(command, "create") == 0) {
        status = kith_node_create_context(node, "board", NULL, 0, argument, &entered);
        return enter(context, entered, status);
    }
    if (strcmp(command, "join") == 0) {
        status = kith_node_join(node, argument, WAIT_MS, &entered);
        return enter(context, entered, status);
    }
    if (*context == NULL) {
        puts("error InvalidArgument there is no context: create NAME or join TOKEN");
    } else if (strcmp(command, "open") == 0) {
        print_context(*context);
    } else if (strcmp(command, "me") == 0) {
        uint8_t me[32];
        if ((status = kith_context_me(*context, me)) == KITH_OK) {
            print_hex("member ", me, sizeof me, "\n");
        }
    } else if (strcmp(command, "invite") == 0) {
        status = print_token(*context);
    } else if (strcmp(command, "call") == 0 || strcmp(command, "query") == 0) {
        ask(*context, argument, command[0] == 'q');
    } else if (strcmp(command, "commitment") == 0) {
        status = print_commitment(*context);
    } else if (strcmp(command, "synced") == 0) {
        if ((status = kith_context_wait_synced(*context, WAIT_MS)) == KITH_OK) {
            puts("ok");
        }
    } else {
        printf("error InvalidArgument no such command: %s\n", command);
    }
    return status;
}

static int failed(const char *what, kith_status status) {
    char text[512];
    kith_last_error(text, sizeof text, NULL);
    fprintf(stderr, "%s: %s: %s\n", what, kith_status_name((uint32_t)status), text);
    return EXIT_FAILURE;
}

int main(int argc, char **argv) {
    static const char *const only_this_machine[] = {"/ip4/127.0.0.1/tcp/0"};
    kith_node_options options;
    kith_application board;
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_status status;
    char line[4096];

    if (argc != 2 || kith_abi_version() != KITH_ABI_VERSION) {
        fprintf(stderr, "usage: %s DIRECTORY (header %s, library %s)\n", argv[0], KITH_VERSION, kith_version());
        return EXIT_FAILURE;
    }
    kith_node_options_init(&options);
    options.listen = only_this_machine;
    options.listen_count = 1;
    options.discovery = false;
    if ((status = kith_node_open(argv[1], &options, &node)) != KITH_OK) {
        return failed("opening the node", status);
    }
    kith_application_init(&board);
    board.execute = execute;
    board.query = query;
    if ((status = kith_node_register(node, "board", &board)) != KITH_OK ||
        (status = open_first(node, &context)) != KITH_OK) {
        return failed("starting", status);
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *argument = line + strcspn(line, " \n");
        if (*argument != '\0') {
            *argument++ = '\0';
        }
        argument[strcspn(argument, "\n")] = '\0';
        if (strcmp(line, "quit") == 0) {
            break;
        }
        if ((status = obey(node, &context, line, argument)) != KITH_OK) {
            print_error(status);
        }
        fflush(stdout);
    }
    status = kith_node_shutdown(node);
    kith_context_free(context);
    kith_node_free(node);
    return status == KITH_OK ? EXIT_SUCCESS : failed("shutdown", status);
}

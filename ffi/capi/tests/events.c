/* Every kind of event, with all that it says: those that are kept, from a history in which each has happened, and those that pass. */
#include "nodes.h"

static const char *folder;

/* From where tests are run: the root of the repository. */
#define HISTORY "bindings/events/history.kith"
#define LINES "bindings/events/events.txt"

enum { LONGEST = 4096 };

/* What a kind is called, and which of its accessors say something, in the order of the line: t transaction, o the other one, m member, r role,
   a again, k keys, x text, d data. Those that are not named must be empty. */
static const struct {
    uint32_t kind;
    const char *name, *says;
} kept[] = {
    {KITH_EVENT_EXECUTED, "Executed", " transaction=%t member=%m again=%a"},
    {KITH_EVENT_CHANGED, "Changed", " keys=%k"},
    {KITH_EVENT_REORDERED, "Reordered", " first=%t"},
    {KITH_EVENT_REJECTED, "Rejected", " transaction=%t reason=%x"},
    {KITH_EVENT_MEMBER_JOINED, "MemberJoined", " member=%m role=%r"},
    {KITH_EVENT_MEMBER_LEFT, "MemberLeft", " member=%m"},
    {KITH_EVENT_MEMBER_REMOVED, "MemberRemoved", " member=%m"},
    {KITH_EVENT_ROLE_CHANGED, "RoleChanged", " member=%m role=%r"},
    {KITH_EVENT_RENAMED, "Renamed", " member=%m name=%x"},
    {KITH_EVENT_EQUIVOCATION, "Equivocation", " member=%m one=%t other=%o"},
    {KITH_EVENT_BLOCKED, "Blocked", " cause=%x"},
    {KITH_EVENT_EMITTED, "Emitted", " transaction=%t name=%x data=%d"},
    {KITH_EVENT_CLOSED, "Closed", " reason=%x"},
    {KITH_EVENT_KEY_TROUBLE, "KeyTrouble", " member=%m transaction=%t what=%x"},
    {KITH_EVENT_KEY_VIOLATION, "KeyViolation", " member=%m transaction=%t"},
};

enum { KINDS = sizeof kept / sizeof *kept };

static void add(char line[LONGEST], const char *text) {
    size_t length = strlen(line);
    snprintf(line + length, LONGEST - length, "%s", text);
}

static void add_hex(char line[LONGEST], const uint8_t *bytes, size_t count) {
    char digits[3];
    if (bytes == NULL) {
        add(line, "-");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(digits, sizeof digits, "%02x", bytes[i]);
        add(line, digits);
    }
}

static const char *role_name(uint32_t role) {
    return role == KITH_ADMIN ? "admin" : role == KITH_WRITER ? "writer" : role == KITH_READER ? "reader" : "none";
}

/* What an accessor says of an event. */
static void add_what(char line[LONGEST], const kith_event *event, char what) {
    size_t count = 0;
    const uint8_t *bytes;
    switch (what) {
    case 't': add_hex(line, kith_event_transaction(event), 32); break;
    case 'o': add_hex(line, kith_event_other_transaction(event), 32); break;
    case 'm': add_hex(line, kith_event_member(event), 32); break;
    case 'r': add(line, role_name(kith_event_role(event))); break;
    case 'a': add(line, kith_event_again(event) ? "true" : "false"); break;
    case 'x': add(line, kith_event_text(event)); break;
    case 'd':
        bytes = kith_event_data(event, &count);
        add_hex(line, bytes, count);
        break;
    case 'k':
        bytes = kith_event_keys(event, &count);
        for (size_t i = 0; i < count; i++) {
            add(line, i == 0 ? "" : ",");
            add_hex(line, bytes + 32 * i, 32);
        }
        break;
    default: add(line, "?"); break;
    }
}

/* Whether an accessor says nothing of an event. */
static int is_empty(const kith_event *event, char what) {
    size_t count = 1;
    switch (what) {
    case 't': return kith_event_transaction(event) == NULL;
    case 'o': return kith_event_other_transaction(event) == NULL;
    case 'm': return kith_event_member(event) == NULL;
    case 'r': return kith_event_role(event) == KITH_NO_ROLE;
    case 'a': return !kith_event_again(event);
    case 'x': return strcmp(kith_event_text(event), "") == 0;
    case 'd': return kith_event_data(event, &count) != NULL && count == 0;
    case 'k': return kith_event_keys(event, &count) != NULL && count == 0;
    default: return 0;
    }
}

/* The event as a line of the list; the number of its kind in `kept`, or -1 if it is none of them or says what it should not. */
static int told(const kith_event *event, char line[LONGEST]) {
    int found = -1;
    for (int i = 0; i < KINDS; i++) {
        found = kept[i].kind == kith_event_kind(event) ? i : found;
    }
    if (found < 0) {
        return -1;
    }
    snprintf(line, LONGEST, "%llu %s", (unsigned long long)kith_event_cursor(event), kept[found].name);
    for (const char *at = kept[found].says; *at != '\0'; at++) {
        char one[2] = {*at, '\0'};
        if (*at == '%') {
            add_what(line, event, *++at);
        } else {
            add(line, one);
        }
    }
    for (const char *what = "tomraxdk"; *what != '\0'; what++) {
        char named[3] = {'%', *what, '\0'};
        if (strstr(kept[found].says, named) == NULL && !is_empty(event, *what)) {
            printf("%s has something in `%c`\n", kept[found].name, *what);
            return -1;
        }
    }
    return kith_event_done(event) == 0 && kith_event_total(event) == 0 ? found : -1;
}

static const uint8_t history_key[32] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};

/* The recorded history's context, on a node in `name` under the tests' folder. */
static kith_status open_history(const char *name, kith_node **node, kith_context **context) {
    char path[1024];
    kith_buffer ids = {NULL, 0};
    kith_status status;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    status = kith_node_import(HISTORY, history_key, NULL, path, NULL, NULL);
    if (status == KITH_OK) {
        status = open_in(folder, name, node);
    }
    if (status == KITH_OK) {
        status = kith_node_contexts(*node, &ids);
    }
    if (status == KITH_OK) {
        status = ids.length == 32 ? kith_node_context(*node, ids.data, context) : KITH_INTERNAL;
        kith_buffer_free(&ids);
    }
    return status;
}

/* scenario: every_kept_event */
static void every_kind_of_event_that_is_kept_comes_with_all_it_says(void) {
    char wanted[LONGEST], line[LONGEST];
    int seen[KINDS] = {0}, closed = 0, advised = 0;
    uint64_t beginning = 0;
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_events *events = NULL;
    kith_event *event = NULL;
    FILE *list = fopen(LINES, "r");
    CHECK(list != NULL);
    CHECK_OK(open_history("imported", &node, &context));
    CHECK_OK(kith_context_events(context, &beginning, &events));
    while (fgets(wanted, sizeof wanted, list) != NULL) {
        int kind;
        wanted[strcspn(wanted, "\n")] = '\0';
        CHECK_OK(kith_events_next(events, WAIT_MS, &event));
        kind = told(event, line);
        CHECK(kind >= 0);
        if (strcmp(line, wanted) != 0) {
            printf("it says:  %s\nit is:    %s\n", line, wanted);
            CHECK(strcmp(line, wanted) == 0);
        }
        seen[kind] = 1;
        closed = kith_event_kind(event) == KITH_EVENT_CLOSED;
        if (kith_event_kind(event) == KITH_EVENT_KEY_TROUBLE) {
            CHECK(strstr(kith_event_text(event), "nothing is to be done") != NULL);
            advised |= strstr(kith_event_text(event), "remove the member") != NULL ? 1 : 0;
            advised |= strstr(kith_event_text(event), "rotate the keys") != NULL ? 2 : 0;
        }
        kith_event_free(event);
    }
    CHECK(closed && advised == 3);
    CHECK(kith_events_next(events, WAIT_MS, &event) == KITH_CLOSED);
    for (int i = 0; i < KINDS; i++) {
        CHECK(seen[i]);
    }
    fclose(list);
    kith_events_free(events);
    close_both(node, context);
}

/* scenario: events_that_pass */
static void who_comes_and_goes_and_how_far_catching_up_is(void) {
    struct pair pair;
    kith_events *events = NULL;
    kith_event *event;
    kith_buffer peer = {NULL, 0};
    uint8_t me[32];
    uint64_t done = 0, total = 0;
    CHECK_OK(open_pair(&pair));
    CHECK_OK(kith_node_id(pair.one, &peer));
    CHECK_OK(kith_context_me(pair.mine, me));
    CHECK_OK(kith_context_events(pair.theirs, NULL, &events));
    CHECK_OK(kith_hub_partition(pair.hub, pair.one, pair.other));
    event = next_of_kind(events, KITH_EVENT_PEER_DISCONNECTED);
    CHECK(event != NULL && strcmp(kith_event_text(event), (char *)peer.data) == 0);
    CHECK(kith_event_member(event) == NULL && strcmp(kith_event_reason(event), "gone: the peers were partitioned") == 0);
    kith_event_free(event);
    for (int i = 0; i < 30; i++) {
        CHECK_OK(put_text(pair.mine, "x", i % 2 == 0 ? "even" : "odd"));
    }
    CHECK_OK(kith_hub_heal(pair.hub, pair.one, pair.other));
    event = next_of_kind(events, KITH_EVENT_PEER_CONNECTED);
    CHECK(event != NULL && strcmp(kith_event_text(event), (char *)peer.data) == 0 && strcmp(kith_event_reason(event), "") == 0);
    CHECK(kith_event_member(event) != NULL && memcmp(kith_event_member(event), me, 32) == 0);
    kith_event_free(event);
    while (total < 30 || done < total) {
        event = next_of_kind(events, KITH_EVENT_SYNC_PROGRESS);
        CHECK(event != NULL && strcmp(kith_event_text(event), (char *)peer.data) == 0);
        done = kith_event_done(event);
        total = kith_event_total(event);
        CHECK(done <= total);
        kith_event_free(event);
    }
    event = next_of_kind(events, KITH_EVENT_SYNCED);
    CHECK(event != NULL && strcmp(kith_event_text(event), (char *)peer.data) == 0);
    kith_event_free(event);
    kith_buffer_free(&peer);
    kith_events_free(events);
    close_pair(&pair);
}

/* scenario: events_that_pass */
static void who_reads_too_slowly_is_told_how_many_events_are_missing(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_events *events = NULL;
    kith_event *event = NULL;
    kith_node_options options;
    uint64_t cursor;
    kith_node_options_init(&options);
    options.listen = (const char *const[]){NULL};
    options.listen_count = 0;
    options.discovery = false;
    options.event_retention = 3;
    CHECK_OK(kith_node_open(NULL, &options, &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(put_text(context, "x", "before"));
    CHECK_OK(kith_context_events(context, NULL, &events));
    for (int i = 0; i < 20; i++) {
        CHECK_OK(put_text(context, "x", "y"));
    }
    CHECK_OK(kith_events_next(events, WAIT_MS, &event));
    CHECK(kith_event_kind(event) == KITH_EVENT_LAGGED && kith_event_done(event) == 17 && kith_event_total(event) == 0);
    cursor = kith_event_cursor(event);
    kith_event_free(event);
    CHECK_OK(kith_events_next(events, WAIT_MS, &event));
    CHECK(kith_event_kind(event) == KITH_EVENT_EXECUTED && kith_event_cursor(event) == cursor + 1);
    kith_event_free(event);
    kith_events_free(events);
    close_both(node, context);
}

struct heard {
    atomic_int all, closed, after_closed, freed;
};

static void hear(void *user_data, const kith_event *event) {
    struct heard *this = user_data;
    atomic_fetch_add(&this->after_closed, atomic_load(&this->closed));
    atomic_fetch_add(&this->closed, kith_event_kind(event) == KITH_EVENT_CLOSED);
    atomic_fetch_add(&this->all, 1);
}

static void hear_no_more(void *user_data) {
    struct heard *this = user_data;
    atomic_fetch_add(&this->freed, 1);
}

/* The history goes on behind Closed: for what comes in late, the store notes that it reorders. */
static void callbacks_are_told_nothing_after_the_last_event(void) {
    static struct heard heard;
    char line[LONGEST];
    int lines = 0;
    uint64_t beginning = 0;
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_subscription *subscription = NULL;
    FILE *list = fopen(LINES, "r");
    CHECK(list != NULL);
    while (fgets(line, sizeof line, list) != NULL) {
        lines++;
    }
    fclose(list);
    CHECK_OK(open_history("heard", &node, &context));
    CHECK_OK(kith_context_on_event(context, &beginning, hear, &heard, hear_no_more, &subscription));
    /* What is freed is called no more: the end came by itself, with the node still open. */
    UNTIL(atomic_load(&heard.freed) == 1);
    CHECK(atomic_load(&heard.closed) == 1 && atomic_load(&heard.after_closed) == 0 && atomic_load(&heard.all) == lines);
    kith_subscription_free(subscription);
    close_both(node, context);
}

enum { READERS = 5, EACH = 12, READ = READERS * EACH };

struct reader {
    kith_events *events;
    /* What it was given, by cursor and kind. */
    uint64_t given[EACH];
};

static uint64_t cursor_and_kind(const kith_event *event) {
    return kith_event_cursor(event) << 8 | kith_event_kind(event);
}

static int read_events(void *argument) {
    struct reader *this = argument;
    kith_event *event = NULL;
    for (int i = 0; i < EACH; i++) {
        kith_status status = kith_events_next(this->events, WAIT_MS, &event);
        if (status != KITH_OK) {
            return (int)status;
        }
        this->given[i] = cursor_and_kind(event);
        kith_event_free(event);
    }
    return 0;
}

/* scenario: readers_share_a_stream */
static void threads_that_read_one_stream_share_it(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_events *events = NULL;
    kith_event *event = NULL;
    struct reader readers[READERS];
    thrd_t threads[READERS];
    uint64_t beginning = 0, wanted[READ];
    CHECK_OK(lone_node(&node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    for (int i = 0; i < 50; i++) {
        CHECK_OK(put_text(context, "x", i % 2 == 0 ? "even" : "odd"));
    }
    CHECK_OK(kith_context_events(context, &beginning, &events));
    for (int i = 0; i < READ; i++) {
        CHECK_OK(kith_events_next(events, WAIT_MS, &event));
        wanted[i] = cursor_and_kind(event);
        kith_event_free(event);
    }
    kith_events_free(events);
    for (int round = 0; round < 20; round++) {
        CHECK_OK(kith_context_events(context, &beginning, &events));
        for (int i = 0; i < READERS; i++) {
            readers[i].events = events;
            CHECK(thrd_create(&threads[i], read_events, &readers[i]) == thrd_success);
        }
        for (int i = 0; i < READERS; i++) {
            int result = 0;
            CHECK(thrd_join(threads[i], &result) == thrd_success && result == 0);
        }
        for (int i = 0; i < READ; i++) {
            int times = 0;
            for (int k = 0; k < READ; k++) {
                times += readers[k / EACH].given[k % EACH] == wanted[i];
            }
            CHECK(times == 1);
        }
        kith_events_free(events);
    }
    close_both(node, context);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s EMPTY-FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    folder = argv[1];
    RUN(every_kind_of_event_that_is_kept_comes_with_all_it_says);
    RUN(who_comes_and_goes_and_how_far_catching_up_is);
    RUN(who_reads_too_slowly_is_told_how_many_events_are_missing);
    RUN(callbacks_are_told_nothing_after_the_last_event);
    RUN(threads_that_read_one_stream_share_it);
    return check_finish();
}

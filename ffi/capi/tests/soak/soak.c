/* The same things again and again, through C: heap, threads and file handles stay where they were. A short form; KITH_SOAK in the
 * environment makes it the long one. */
#include <dirent.h>
#include <malloc.h>

#include "../nodes.h"

#define KIB 1024L

static const char *folder;

static int times(int brief, int at_length) {
    return getenv("KITH_SOAK") != NULL ? at_length : brief;
}

/* What is used now. The heap is what is allocated and not freed, whatever the allocator keeps for later. */
struct usage {
    long heap, handles, threads;
};

static long names_in(const char *path) {
    DIR *directory = opendir(path);
    long count = 0;
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return count;
}

static struct usage used(void) {
    struct mallinfo2 info = mallinfo2();
    return (struct usage){(long)(info.uordblks + info.hblkhd), names_in("/proc/self/fd"), names_in("/proc/self/task")};
}

/* Whether no more has come than may; prints what has. */
static int flat(struct usage before, const char *what, int count, long heap, long handles, long threads) {
    struct usage now = used();
    printf("%d %s: heap %+ld KiB, handles %ld to %ld, threads %ld to %ld\n", count, what, (now.heap - before.heap) / KIB,
           before.handles, now.handles, before.threads, now.threads);
    return now.heap - before.heap <= heap && now.handles - before.handles <= handles &&
           now.threads - before.threads <= threads;
}

/* Whether no more handles and threads have come than may. */
static int few(struct usage before, long handles, long threads) {
    struct usage now = used();
    return now.handles - before.handles <= handles && now.threads - before.threads <= threads;
}

static int nothing(void *gate) {
    mtx_lock(gate);
    mtx_unlock(gate);
    return 0;
}

/* The control: each measure sees a leak of its kind. */
static void what_stays_is_seen(void) {
    struct usage before = used();
    void *kept[100];
    FILE *files[10];
    thrd_t threads[10];
    mtx_t gate;
    for (int i = 0; i < 100; i++) {
        CHECK((kept[i] = malloc(1000)) != NULL);
    }
    CHECK(flat(before, "blocks", 100, 110 * KIB, 0, 0) && !flat(before, "blocks", 100, 90 * KIB, 0, 0));
    for (int i = 0; i < 100; i++) {
        free(kept[i]);
    }
    for (int i = 0; i < 10; i++) {
        CHECK((files[i] = fopen("/dev/null", "rb")) != NULL);
    }
    CHECK(flat(before, "files", 10, 110 * KIB, 10, 0) && !flat(before, "files", 10, 110 * KIB, 9, 0));
    for (int i = 0; i < 10; i++) {
        fclose(files[i]);
    }
    CHECK(mtx_init(&gate, mtx_plain) == thrd_success && mtx_lock(&gate) == thrd_success);
    for (int i = 0; i < 10; i++) {
        CHECK(thrd_create(&threads[i], nothing, &gate) == thrd_success);
    }
    CHECK(flat(before, "threads", 10, 110 * KIB, 0, 10) && !flat(before, "threads", 10, 110 * KIB, 0, 9));
    mtx_unlock(&gate);
    for (int i = 0; i < 10; i++) {
        thrd_join(threads[i], NULL);
    }
    mtx_destroy(&gate);
}

static int calls(kith_node *node, kith_context *context, int count) {
    uint8_t key[32], id[32];
    const uint8_t *k, *v;
    size_t length;
    make_key("one", key);
    for (int i = 0; i < count; i++) {
        kith_buffer value = {NULL, 0};
        kith_entries *page = NULL;
        kith_cancel *cancel = NULL;
        kith_batch *batch = NULL;
        kith_context *again = NULL;
        kith_transaction transaction;
        int good = kith_context_get(context, key, KITH_TENTATIVE, &value) == KITH_OK && value.length == 1000 &&
                   kith_context_entries(context, NULL, 0, NULL, 10, KITH_TENTATIVE, &page) == KITH_OK &&
                   kith_entries_at(page, 0, &k, &v, &length) == KITH_OK &&
                   kith_context_get(context, NULL, KITH_TENTATIVE, &value) == KITH_INVALID_ARGUMENT &&
                   kith_context_compare_and_set(context, key, NULL, 0, key, 32, NULL) == KITH_REJECTED &&
                   kith_context_id(context, id) == KITH_OK && kith_node_context(node, id, &again) == KITH_OK &&
                   kith_context_transaction(context, key, &transaction) == KITH_NOT_FOUND &&
                   kith_cancel_new(&cancel) == KITH_OK && kith_cancel_bind(cancel) == KITH_OK &&
                   kith_cancel_fire(cancel) == KITH_OK &&
                   kith_context_wait_synced(context, WAIT_MS) == KITH_CANCELLED && kith_cancel_bind(NULL) == KITH_OK &&
                   kith_batch_new(&batch) == KITH_OK && kith_batch_put(batch, key, id, 32) == KITH_OK;
        kith_buffer_free(&value);
        kith_entries_free(page);
        kith_cancel_free(cancel);
        kith_batch_free(batch);
        kith_context_free(again);
        if (!good) {
            return 0;
        }
    }
    return 1;
}

static void calls_leave_nothing(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    uint8_t key[32], value[1000] = {0};
    int count = times(1000, 100000);
    struct usage before;
    make_key("one", key);
    CHECK_OK(lone_node(&node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK_OK(kith_context_put(context, key, value, sizeof value, NULL));
    CHECK(calls(node, context, 300));
    before = used();
    CHECK(calls(node, context, count));
    CHECK(flat(before, "calls", count, 128 * KIB, 2, 8));
    kith_node_shutdown(node);
    kith_context_free(context);
    kith_node_free(node);
}

static atomic_int released;

static void on_event(void *user_data, const kith_event *event) {
    (void)user_data;
    (void)event;
}

static void on_released(void *user_data) {
    free(user_data);
    atomic_fetch_add(&released, 1);
}

static void on_log(void *user_data, uint32_t level, const char *target, const char *message) {
    (void)user_data;
    (void)level;
    (void)target;
    (void)message;
}

static int subscriptions(kith_context *context, int count) {
    for (int i = 0; i < count; i++) {
        kith_events *events = NULL;
        kith_subscription *subscription = NULL;
        kith_event *event = NULL;
        void *data = malloc(100);
        if (kith_context_events(context, NULL, &events) != KITH_OK ||
            kith_context_on_event(context, NULL, on_event, data, on_released, &subscription) != KITH_OK) {
            return 0;
        }
        if (i % 100 == 0) {
            /* One of them is used, and freed in the middle of it. */
            if (put_text(context, "seen", "x") != KITH_OK || (event = next_of_kind(events, KITH_EVENT_EXECUTED)) == NULL) {
                return 0;
            }
            kith_event_free(event);
        }
        kith_events_free(events);
        kith_subscription_free(subscription);
        if (kith_log_set(KITH_LOG_WARN, on_log, malloc(100), on_released) != KITH_OK) {
            return 0;
        }
    }
    return kith_log_set(KITH_LOG_OFF, NULL, NULL, NULL) == KITH_OK;
}

static void subscriptions_leave_nothing(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_node_options options;
    char path[1024];
    int count = times(1000, 100000), warm = 300;
    struct usage before;
    snprintf(path, sizeof path, "%s/subscriptions", folder);
    kith_node_options_init(&options);
    options.listen = (const char *const[]){NULL};
    options.listen_count = 0;
    options.discovery = false;
    options.event_retention = 50;
    CHECK_OK(kith_node_open(path, &options, &node));
    CHECK_OK(kith_node_create_context(node, NULL, NULL, 0, NULL, &context));
    CHECK(subscriptions(context, warm));
    before = used();
    CHECK(subscriptions(context, count));
    UNTIL(atomic_load(&released) == 2 * (warm + count));
    CHECK(atomic_load(&released) == 2 * (warm + count));
    /* The store's cache holds what was written meanwhile. */
    CHECK(flat(before, "subscriptions, by pull and by callback", count, 256 * KIB + count / 100 * 16 * KIB, 8, 8));
    kith_node_shutdown(node);
    kith_context_free(context);
    kith_node_free(node);
}

static kith_status execute(void *user_data, kith_call *call, kith_state *state) {
    uint8_t key[32];
    kith_buffer value = {NULL, 0};
    kith_entries *page = NULL;
    (void)user_data;
    make_key("one", key);
    if (kith_state_put(state, key, key, 32) != KITH_OK || kith_state_get(state, key, &value) != KITH_OK ||
        kith_state_entries(state, NULL, 0, NULL, 10, &page) != KITH_OK) {
        return KITH_INTERNAL;
    }
    kith_buffer_free(&value);
    kith_entries_free(page);
    return kith_call_reject(call, "no");
}

static kith_status query(void *user_data, kith_call *call, kith_state *state) {
    uint8_t answer[100] = {0};
    (void)user_data;
    (void)state;
    return kith_call_answer(call, answer, sizeof answer);
}

static int rounds(kith_context *context, int count) {
    for (int i = 0; i < count; i++) {
        kith_buffer answer = {NULL, 0};
        /* What is refused is executed like any other call, and not kept. */
        if (kith_context_execute(context, "refuse", NULL, 0, NULL, NULL) != KITH_REJECTED ||
            kith_context_query(context, "ask", NULL, 0, &answer) != KITH_OK) {
            return 0;
        }
        kith_buffer_free(&answer);
    }
    return 1;
}

static void rounds_with_a_host_application_leave_nothing(void) {
    kith_node *node = NULL;
    kith_context *context = NULL;
    kith_application application;
    int count = times(1000, 100000);
    struct usage before;
    kith_application_init(&application);
    application.execute = execute;
    application.query = query;
    CHECK_OK(lone_node(&node));
    CHECK_OK(kith_node_register(node, "picky", &application));
    CHECK_OK(kith_node_create_context(node, "picky", NULL, 0, NULL, &context));
    CHECK(rounds(context, 300));
    before = used();
    CHECK(rounds(context, count));
    CHECK(flat(before, "rounds with a host's application", count, 128 * KIB, 2, 8));
    kith_node_shutdown(node);
    kith_context_free(context);
    kith_node_free(node);
}

static int joins_and_leaves(kith_node *other, kith_context *mine, int count) {
    for (int i = 0; i < count; i++) {
        kith_context *theirs = NULL;
        kith_buffer token = {NULL, 0};
        int good = kith_context_invite(mine, NULL, &token) == KITH_OK &&
                   kith_node_join(other, (char *)token.data, WAIT_MS, &theirs) == KITH_OK &&
                   put_text(theirs, "joined", "and left") == KITH_OK && kith_context_leave(theirs) == KITH_OK;
        kith_buffer_free(&token);
        kith_context_free(theirs);
        if (!good) {
            return 0;
        }
    }
    return 1;
}

static void joins_and_leaves_leave_only_their_history(void) {
    kith_node *one = NULL, *other = NULL;
    kith_context *mine = NULL;
    kith_buffer held = {NULL, 0};
    int count = times(20, 300);
    struct usage before;
    CHECK_OK(kith_test_nodes(&one, &other));
    CHECK_OK(kith_node_create_context(one, NULL, NULL, 0, NULL, &mine));
    CHECK(joins_and_leaves(other, mine, 10));
    before = used();
    CHECK(joins_and_leaves(other, mine, count));
    CHECK_OK(kith_node_contexts(other, &held));
    CHECK(held.length == 0);
    kith_buffer_free(&held);
    /* All that ever happened stays: who was invited, added, given keys and gone, and what was said, about 18 KiB a round, in the memory of a
     * node that keeps nothing on disk. Beside it what was judged of parts of the history is kept at hand, up to 64 of them or 4,096 of their
     * governing transactions, about 1.2 MiB: it comes and goes. Heap after 20, 40, 80, 160 and 240 rounds: 1.0, 2.0, 2.6, 3.2, 5.1 MiB; and less than before
     * once both nodes are closed. */
    CHECK(flat(before, "joins and leaves", count, 1280 * KIB + count * 20 * KIB, 4, 8));
    kith_node_shutdown(one);
    kith_node_shutdown(other);
    kith_context_free(mine);
    kith_node_free(one);
    kith_node_free(other);
}

static int nodes(int count) {
    for (int i = 0; i < count; i++) {
        kith_node *node = NULL;
        kith_context *context = NULL;
        int good = lone_node(&node) == KITH_OK && kith_node_create_context(node, NULL, NULL, 0, NULL, &context) == KITH_OK &&
                   kith_node_shutdown(node) == KITH_OK;
        kith_context_free(context);
        kith_node_free(node);
        if (!good) {
            return 0;
        }
    }
    return 1;
}

/* Whether nodes leave nothing, of which so many come and go, after a few. */
static void gone(int (*come_and_go)(int), int few_first, int count, const char *what) {
    struct usage first = used(), before;
    CHECK(come_and_go(few_first));
    /* Where other work goes on beside, some handles stay for a fraction of a second after shutdown (seen up to 0.2 s; which ones is not known). */
    UNTIL(few(first, 2, 8));
    before = used();
    CHECK(come_and_go(count));
    UNTIL(few(before, 2, 8));
    CHECK(flat(before, what, count, 256 * KIB + count * 64L, 2, 8));
}

static void nodes_leave_nothing(void) {
    gone(nodes, 5, times(15, 100000), "nodes opened and closed");
}

/* Nodes that are freed while they begin anew: when resuming has just ended, and, cancelled, while it goes on in the background. */
static int nodes_in_the_middle(int count) {
    kith_cancel *cancel = NULL;
    int good = kith_cancel_new(&cancel) == KITH_OK && kith_cancel_fire(cancel) == KITH_OK;
    for (int i = 0; good && i < count; i++) {
        kith_node *node = NULL;
        kith_status resumed;
        good = lone_node(&node) == KITH_OK && kith_node_suspend(node, WAIT_MS) == KITH_OK &&
               kith_cancel_bind(i % 2 == 0 ? cancel : NULL) == KITH_OK;
        resumed = kith_node_resume(node);
        good = good && (resumed == KITH_OK || resumed == KITH_CANCELLED) && kith_cancel_bind(NULL) == KITH_OK;
        kith_node_free(node);
    }
    kith_cancel_free(cancel);
    return good;
}

static void nodes_freed_while_they_begin_leave_nothing(void) {
    gone(nodes_in_the_middle, 20, times(100, 20000), "nodes freed while they begin");
}

int main(int argc, char **argv) {
    folder = argc > 1 ? argv[1] : ".";
    RUN(what_stays_is_seen);
    RUN(calls_leave_nothing);
    RUN(subscriptions_leave_nothing);
    RUN(rounds_with_a_host_application_leave_nothing);
    RUN(nodes_leave_nothing);
    RUN(nodes_freed_while_they_begin_leave_nothing);
    RUN(joins_and_leaves_leave_only_their_history);
    return check_finish();
}

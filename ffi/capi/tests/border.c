/* What happens at the border to threads that end and processes that fork (docs/border.md). */
#define _DEFAULT_SOURCE
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nodes.h"

#define THREADS 64

static const char *folder;
static kith_node *node;
static kith_context *context;

struct ending {
    kith_cancel *cancel;
    int good;
};

/* Leaves behind what a thread can leave behind: the text of a failure, and a cancel that is still bound. */
static int end_without_tidying(void *argument) {
    struct ending *this = argument;
    uint8_t key[32];
    make_key("ends", key);
    this->good = kith_cancel_bind(this->cancel) == KITH_OK && kith_context_add(context, key, 1, NULL) == KITH_OK &&
                 kith_context_put(context, NULL, NULL, 0, NULL) == KITH_INVALID_ARGUMENT;
    thrd_exit(0);
}

static void threads_that_end_leave_nothing(void) {
    static struct ending endings[THREADS];
    thrd_t threads[THREADS];
    uint8_t key[32];
    int64_t now = 0;
    make_key("ends", key);
    for (int i = 0; i < THREADS; i++) {
        CHECK_OK(kith_cancel_new(&endings[i].cancel));
        CHECK(thrd_create(&threads[i], end_without_tidying, &endings[i]) == thrd_success);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(thrd_join(threads[i], NULL) == thrd_success && endings[i].good);
        /* Whoever it was bound to is gone. */
        CHECK_OK(kith_cancel_fire(endings[i].cancel));
        kith_cancel_free(endings[i].cancel);
    }
    CHECK_OK(kith_context_add(context, key, 0, &now));
    CHECK(now == THREADS);
}

/* What a forked process sees: 0 if everything is as documented. It must not hang, and it must not touch the files. */
static int in_the_child(void) {
    uint8_t key[32];
    kith_buffer buffer = {NULL, 0};
    kith_events *events = NULL;
    kith_node *another = NULL;
    /* Without the library, since a call of it may be under way in the parent. */
    memset(key, 1, sizeof key);
    if (kith_context_get(context, key, KITH_TENTATIVE, &buffer) != KITH_UNSUPPORTED) return 1;
    if (kith_context_put(context, key, key, 1, NULL) != KITH_UNSUPPORTED) return 2;
    if (kith_context_events(context, NULL, &events) != KITH_UNSUPPORTED) return 3;
    if (kith_context_wait_synced(context, KITH_FOREVER) != KITH_UNSUPPORTED) return 4;
    if (kith_node_contexts(node, &buffer) != KITH_UNSUPPORTED) return 5;
    if (kith_node_status(node, &buffer) != KITH_UNSUPPORTED) return 6;
    if (kith_node_shutdown(node) != KITH_UNSUPPORTED) return 7;
    if (open_in(folder, "child", &another) != KITH_UNSUPPORTED) return 8;
    kith_context_free(context);
    kith_node_free(node);
    return 0;
}

static void a_forked_process_has_no_node_and_harms_none(void) {
    uint8_t id[32];
    CHECK_OK(put_text(context, "before", "x"));
    for (int round = 0; round < 5; round++) {
        int ends[2];
        unsigned char seen = 99;
        pid_t child;
        CHECK(pipe(ends) == 0);
        child = fork();
        if (child == 0) {
            alarm(30); /* one that hangs ends all the same, and has said nothing */
            seen = (unsigned char)in_the_child();
            /* Killed, so that nobody looks for what it leaks: all that threads held which it does not have. */
            if (write(ends[1], &seen, 1) != 1) {
                _exit(1);
            }
            kill(getpid(), SIGKILL);
        }
        CHECK(child > 0 && close(ends[1]) == 0);
        CHECK_OK(put_text(context, "meanwhile", "y"));
        CHECK(read(ends[0], &seen, 1) == 1);
        if (seen != 0) {
            printf("the child saw %d\n", seen);
        }
        CHECK(seen == 0 && waitpid(child, NULL, 0) == child && close(ends[0]) == 0);
        CHECK_OK(put_text(context, "after", "z"));
    }
    /* The lock is still ours, and then it is free. */
    CHECK_STATUS(KITH_BUSY, open_in(folder, "forks", &(kith_node *){NULL}));
    CHECK_OK(kith_context_id(context, id));
    CHECK_OK(kith_node_shutdown(node));
    kith_context_free(context);
    kith_node_free(node);
    CHECK_OK(open_in(folder, "forks", &node));
    CHECK_OK(kith_node_context(node, id, &context));
    CHECK(holds(context, "before", "x") && holds(context, "meanwhile", "y") && holds(context, "after", "z"));
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s EMPTY-FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    folder = argv[1];
    if (open_in(folder, "forks", &node) != KITH_OK || kith_node_create_context(node, NULL, NULL, 0, NULL, &context) != KITH_OK) {
        return EXIT_FAILURE;
    }
    RUN(threads_that_end_leave_nothing);
    RUN(a_forked_process_has_no_node_and_harms_none);
    kith_node_shutdown(node);
    kith_context_free(context);
    kith_node_free(node);
    return check_finish();
}

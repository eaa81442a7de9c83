/* A small frame for tests: each test is a function, run in order; the closing line has the count. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kith.h"

static int check_failed_here;
static int check_passed;
static int check_failed;
static int check_skipped;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                             \
            check_failed_here = 1;                                                                                     \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

/* The status is the wanted one; if not, says which it was and why. */
#define CHECK_STATUS(wanted, call)                                                                                     \
    do {                                                                                                               \
        kith_status check_status = (call);                                                                             \
        if (check_status != (wanted)) {                                                                                \
            char check_text[300];                                                                                      \
            kith_last_error(check_text, sizeof check_text, NULL);                                                      \
            printf("%s:%d: %s is %s (%s), not %s\n", __FILE__, __LINE__, #call,                                        \
                   kith_status_name((uint32_t)check_status), check_text, kith_status_name((uint32_t)(wanted)));        \
            check_failed_here = 1;                                                                                     \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

#define CHECK_OK(call) CHECK_STATUS(KITH_OK, call)

/* The text of the last failure has these words in it. */
#define CHECK_SAYS(words)                                                                                              \
    do {                                                                                                               \
        char check_text[300];                                                                                          \
        kith_last_error(check_text, sizeof check_text, NULL);                                                          \
        if (strstr(check_text, (words)) == NULL) {                                                                     \
            printf("%s:%d: \"%s\" does not say \"%s\"\n", __FILE__, __LINE__, check_text, (words));                    \
            check_failed_here = 1;                                                                                     \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

#define RUN(test)                                                                                                      \
    do {                                                                                                               \
        check_failed_here = 0;                                                                                         \
        test();                                                                                                        \
        printf("%s %s\n", check_failed_here ? "FAILED" : "ok", #test);                                                 \
        fflush(stdout);                                                                                                \
        if (check_failed_here) {                                                                                       \
            check_failed++;                                                                                            \
        } else {                                                                                                       \
            check_passed++;                                                                                            \
        }                                                                                                              \
    } while (0)

/* Instead of RUN, where something is missing that the test needs. */
#define SKIP(test, why)                                                                                                \
    do {                                                                                                               \
        printf("skipped %s: %s\n", #test, why);                                                                        \
        check_skipped++;                                                                                               \
    } while (0)

static inline int check_finish(void) {
    printf("%d passed, %d failed, %d skipped\n", check_passed, check_failed, check_skipped);
    return check_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif

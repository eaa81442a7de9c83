/* What the tests of nodes share: nodes on this machine only, and waiting for events. */
#ifndef NODES_H
#define NODES_H

#include <stdatomic.h>
#include <threads.h>
#include <time.h>

#include "check.h"

#define WAIT_MS 60000

static inline void make_key(const char *name, uint8_t key[32]) {
    kith_state_key_of("test", name, key);
}

static inline kith_status put_text(kith_context *context, const char *name, const char *value) {
    uint8_t key[32];
    make_key(name, key);
    return kith_context_put(context, key, (const uint8_t *)value, strlen(value), NULL);
}

/* Whether the value under a key is this text. */
static inline int holds(kith_context *context, const char *name, const char *wanted) {
    uint8_t key[32];
    kith_buffer value = {NULL, 0};
    int same;
    make_key(name, key);
    if (kith_context_get(context, key, KITH_TENTATIVE, &value) != KITH_OK) {
        return 0;
    }
    same = strcmp((const char *)value.data, wanted) == 0;
    kith_buffer_free(&value);
    return same;
}

/* Pulls events until one has this kind; NULL if none comes in time. The caller frees it. */
static inline kith_event *next_of_kind(kith_events *events, uint32_t kind) {
    kith_event *event = NULL;
    while (kith_events_next(events, WAIT_MS, &event) == KITH_OK) {
        if (kith_event_kind(event) == kind) {
            return event;
        }
        kith_event_free(event);
    }
    return NULL;
}

/* A node that keeps everything in memory and is reached by nobody. */
static inline kith_status lone_node(kith_node **node) {
    kith_node_options options;
    kith_node_options_init(&options);
    options.listen = (const char *const[]){NULL};
    options.listen_count = 0;
    options.discovery = false;
    return kith_node_open(NULL, &options, node);
}

/* A node on this machine only, in a folder of this name below `folder`; NULL: in memory. */
static inline kith_status open_in(const char *folder, const char *name, kith_node **node) {
    static const char *const only_this_machine[] = {"/ip4/127.0.0.1/tcp/0"};
    char path[1024];
    kith_node_options options;
    kith_node_options_init(&options);
    options.listen = only_this_machine;
    options.listen_count = 1;
    options.discovery = false;
    if (name == NULL) {
        return kith_node_open(NULL, &options, node);
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return kith_node_open(path, &options, node);
}

/* Two nodes that meet at a hub of their own, and a context of the first one that the second one has joined. */
struct pair {
    kith_hub *hub;
    kith_node *one, *other;
    kith_context *mine, *theirs;
};

static inline kith_status hub_node(const kith_hub *hub, kith_node **node) {
    kith_node_options options;
    kith_node_options_init(&options);
    options.hub = hub;
    options.discovery = false;
    return kith_node_open(NULL, &options, node);
}

/* The nodes of a pair, which have no context yet. */
static inline kith_status open_nodes(struct pair *pair) {
    kith_status status;
    memset(pair, 0, sizeof *pair);
    status = kith_hub_new(&pair->hub);
    if (status == KITH_OK) status = hub_node(pair->hub, &pair->one);
    if (status == KITH_OK) status = hub_node(pair->hub, &pair->other);
    return status;
}

/* The second node joins the context that the first one has. */
static inline kith_status join_mine(struct pair *pair) {
    kith_buffer token = {NULL, 0};
    kith_status status = kith_context_invite(pair->mine, NULL, &token);
    if (status == KITH_OK) status = kith_node_join(pair->other, (char *)token.data, WAIT_MS, &pair->theirs);
    kith_buffer_free(&token);
    return status;
}

static inline kith_status open_pair(struct pair *pair) {
    kith_status status = open_nodes(pair);
    if (status == KITH_OK) status = kith_node_create_context(pair->one, NULL, NULL, 0, NULL, &pair->mine);
    return status == KITH_OK ? join_mine(pair) : status;
}

/* Also when one of them was shut down before. */
static inline void close_pair(struct pair *pair) {
    kith_node_shutdown(pair->one);
    kith_node_shutdown(pair->other);
    kith_context_free(pair->mine);
    kith_context_free(pair->theirs);
    kith_node_free(pair->one);
    kith_node_free(pair->other);
    kith_hub_free(pair->hub);
}

/* Whether the node's status has these words. */
static inline int says(kith_node *node, const char *words) {
    kith_buffer json = {NULL, 0};
    int found;
    if (kith_node_status(node, &json) != KITH_OK) {
        return 0;
    }
    found = strstr((const char *)json.data, words) != NULL;
    kith_buffer_free(&json);
    return found;
}

static inline void close_both(kith_node *node, kith_context *context) {
    kith_node_shutdown(node);
    kith_context_free(context);
    kith_node_free(node);
}

/* Whether both are in the same state. */
static inline int same_state(kith_context *one, kith_context *other) {
    uint8_t states[2][32];
    return kith_context_commitment(one, states[0]) == KITH_OK && kith_context_commitment(other, states[1]) == KITH_OK &&
           memcmp(states[0], states[1], 32) == 0;
}

/* Whether the two statuses have the same text behind a name; a digest or a commitment is 64 digits. */
static inline int same_digits(const kith_buffer statuses[2], const char *name) {
    const char *one = strstr((const char *)statuses[0].data, name), *other = strstr((const char *)statuses[1].data, name);
    return one != NULL && other != NULL && strncmp(one, other, strlen(name) + 64) == 0;
}

/* Whether they hold the same history, all executed. Equal commitments alone say less: the states may be equal before the histories are. */
static inline int in_step(kith_context *one, kith_context *other) {
    kith_buffer statuses[2] = {{NULL, 0}, {NULL, 0}};
    int same = kith_context_status(one, &statuses[0]) == KITH_OK && kith_context_status(other, &statuses[1]) == KITH_OK;
    for (int i = 0; same && i < 2; i++) {
        same = strstr((const char *)statuses[i].data, "\"pending\":0,") != NULL &&
               strstr((const char *)statuses[i].data, "\"unopened\":0,") != NULL;
    }
    same = same && same_digits(statuses, "\"digest\":\"") && same_digits(statuses, "\"commitment\":\"");
    kith_buffer_free(&statuses[0]);
    kith_buffer_free(&statuses[1]);
    return same;
}

static inline void rest(void) {
    struct timespec moment = {0, 2 * 1000 * 1000};
    thrd_sleep(&moment, NULL);
}

/* Waits for a condition; what comes of it is checked by who waits. */
#define UNTIL(condition)                                                                                               \
    for (int until_tries = 0; !(condition) && until_tries < WAIT_MS / 2; until_tries++) {                              \
        rest();                                                                                                        \
    }

#endif

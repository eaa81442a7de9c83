/**
 * @file
 * Kith: contexts that peers share, with no server between them.
 *
 * Generated from ffi/capi by `cargo xtask bindings`; changes here are lost.
 *
 * Rules that hold for every function:
 *  - A call returns kith_status. Outputs are written only when it is KITH_OK; kith_last_error has the text of a failure.
 *  - Order of arguments: the receiver, inputs, outputs. A const receiver is not changed.
 *  - Every pointer is checked: NULL where something is needed is KITH_INVALID_ARGUMENT.
 *  - What comes out of `..._open`, `..._create` and the like is the caller's, and goes back by the `..._free` of its
 *    kind, once. NULL to a free does nothing. No other thread may be in a call with a handle while it is freed.
 *  - Handles of all kinds may be used from any thread, and from several at once, unless the function says otherwise.
 *  - Text is UTF-8 and ends in NUL. Bytes are a pointer and a length; a pointer to no bytes may be NULL.
 *  - Ids of contexts, members and transactions, and keys of the state, are 32 bytes.
 *  - Calls block until they are done. Where that may take long, there is a timeout in milliseconds.
 */

#ifndef KITH_H
#define KITH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The version of this header; kith_version() is the library's. */
#define KITH_VERSION "0.1.0"
/** Its first number. */
#define KITH_VERSION_MAJOR 0
/** Its second number. */
#define KITH_VERSION_MINOR 1
/** Its third number. */
#define KITH_VERSION_PATCH 0

/**
 * Payloads of the context are not sealed. Between nodes everything is encrypted by the links all the same.
 */
#define KITH_ENCRYPTION_OFF 0

/**
 * A group double ratchet over X25519.
 */
#define KITH_ENCRYPTION_X25519 1

/**
 * The same over X-Wing, which also withstands quantum computers; its keys are about 13 times as large.
 */
#define KITH_ENCRYPTION_X_WING 2

/**
 * A call was executed at its place (transaction, member; again). It may come again with another outcome after KITH_EVENT_REORDERED.
 */
#define KITH_EVENT_EXECUTED 1

/**
 * Entries of the state changed (keys).
 */
#define KITH_EVENT_CHANGED 2

/**
 * Something was inserted into the order before what was there (transaction: the first one that moved).
 */
#define KITH_EVENT_REORDERED 3

/**
 * A transaction of this node's own was accepted when it was made, and counts no more (transaction, text: why).
 */
#define KITH_EVENT_REJECTED 4

/**
 * Somebody became a member (member, role).
 */
#define KITH_EVENT_MEMBER_JOINED 5

/**
 * A member left (member).
 */
#define KITH_EVENT_MEMBER_LEFT 6

/**
 * A member was removed (member).
 */
#define KITH_EVENT_MEMBER_REMOVED 7

/**
 * A member has another role (member, role).
 */
#define KITH_EVENT_ROLE_CHANGED 8

/**
 * A member has signed two histories (member, transaction and other transaction: two with the same number).
 */
#define KITH_EVENT_EQUIVOCATION 9

/**
 * Applying stands still (text: why).
 */
#define KITH_EVENT_BLOCKED 10

/**
 * The application says something (transaction, text: the name, data).
 */
#define KITH_EVENT_EMITTED 11

/**
 * How far catch-up with a peer is (text: the peer; done, total: transactions). Not replayed.
 */
#define KITH_EVENT_SYNC_PROGRESS 12

/**
 * Everything that a peer has is here (text: the peer). Not replayed.
 */
#define KITH_EVENT_SYNCED 13

/**
 * A member's node is connected (text: the peer, member). Not replayed.
 */
#define KITH_EVENT_PEER_CONNECTED 14

/**
 * It is no more (text: the peer, reason). Not replayed.
 */
#define KITH_EVENT_PEER_DISCONNECTED 15

/**
 * The reader was too slow and events were dropped (done: how many): start again from the cursor. Not replayed.
 */
#define KITH_EVENT_LAGGED 16

/**
 * The context is closed here (text: why). The last event.
 */
#define KITH_EVENT_CLOSED 17

/**
 * A member calls itself something else (member, text: the name), or the context is called something else (no member, text).
 */
#define KITH_EVENT_RENAMED 18

/**
 * Keys or a message that a member made cannot be opened here (member, transaction, text: what is wrong and what to do about it). Nothing is lost: what it says
 * comes from another member, or from that one, as soon as one is connected. If it happens again and again with one member, its device or its build is at fault.
 */
#define KITH_EVENT_KEY_TROUBLE 19

/**
 * A member sent a message under keys that were not to be used (member, transaction): a removed member may be able to read it. Its build is at fault, or it
 * does so on purpose: have it updated, or remove it.
 */
#define KITH_EVENT_KEY_VIOLATION 20

/**
 * An event that this version of the header does not know.
 */
#define KITH_EVENT_OTHER 0

/**
 * The transaction is not executed yet.
 */
#define KITH_OUTCOME_PENDING 0

/**
 * The transaction counts.
 */
#define KITH_OUTCOME_ACCEPTED 1

/**
 * The transaction does nothing at its place.
 */
#define KITH_OUTCOME_REJECTED 2

/**
 * Nothing is logged.
 */
#define KITH_LOG_OFF 0

/**
 * What went wrong and loses something.
 */
#define KITH_LOG_ERROR 1

/**
 * What went wrong and is dealt with.
 */
#define KITH_LOG_WARN 2

/**
 * What happens.
 */
#define KITH_LOG_INFO 3

/**
 * How it happens.
 */
#define KITH_LOG_DEBUG 4

/**
 * Everything.
 */
#define KITH_LOG_TRACE 5

/**
 * What a member may do: everything.
 */
#define KITH_ADMIN 3

/**
 * What a member may do: call the application's methods.
 */
#define KITH_WRITER 2

/**
 * What a member may do: read, and admit those who hold an invitation.
 */
#define KITH_READER 1

/**
 * No role: not a member, yet or any more.
 */
#define KITH_NO_ROLE 0

/**
 * Reads see everything that is known, in an order that may still move.
 */
#define KITH_TENTATIVE 0

/**
 * Reads see only what never changes again. KITH_UNSUPPORTED until finality is there.
 */
#define KITH_FINAL 1

/**
 * What was acknowledged survives the loss of power.
 */
#define KITH_DURABLE_POWER 0

/**
 * What was acknowledged survives the death of the process.
 */
#define KITH_DURABLE_PROCESS 1

/**
 * The engine that a directory has; a new one is redb's.
 */
#define KITH_ENGINE_AUTO 0

/**
 * sled.
 */
#define KITH_ENGINE_SLED 1

/**
 * redb.
 */
#define KITH_ENGINE_REDB 2

/**
 * A timeout that is never over.
 */
#define KITH_FOREVER UINT64_MAX

/**
 * Nothing differs.
 */
#define KITH_PART_NONE 0

/**
 * The signed transaction itself: it is not what its id says, or is not there.
 */
#define KITH_PART_TRANSACTION 1

/**
 * Its signature.
 */
#define KITH_PART_SIGNATURE 2

/**
 * Where it stands in the graph.
 */
#define KITH_PART_POSITION 3

/**
 * Its row in the order.
 */
#define KITH_PART_ORDER 4

/**
 * Which role it was judged by.
 */
#define KITH_PART_STANDING 5

/**
 * What it answered, emitted, or was rejected for.
 */
#define KITH_PART_RECEIPT 6

/**
 * What is noted of its reads.
 */
#define KITH_PART_READS 7

/**
 * A value that it wrote.
 */
#define KITH_PART_VALUE 8

/**
 * The members, roles and invitations.
 */
#define KITH_PART_MEMBERSHIP 9

/**
 * The running hash of the state.
 */
#define KITH_PART_COMMITMENT 10

/**
 * How many transactions there are.
 */
#define KITH_PART_COUNT 11

/**
 * The transaction set the key to a value.
 */
#define KITH_WRITTEN_VALUE 1

/**
 * The transaction removed the key.
 */
#define KITH_WRITTEN_REMOVED 2

/**
 * The transaction read the key and was rejected.
 */
#define KITH_WRITTEN_NOTHING 3

/**
 * The author had seen the transaction before.
 */
#define KITH_SEEN 0

/**
 * The author had not seen the transaction before, which sorts before it all the same: neither knew of the other, and the order alone says which comes last.
 */
#define KITH_UNSEEN 1

/**
 * That was not found out within 1,000 steps through the history.
 */
#define KITH_SEEN_UNKNOWN 2

/**
 * The number of the binary interface, which is also in the library's SONAME. Programs built for one number run with
 * every library of that number.
 */
#define KITH_ABI_VERSION 0

/**
 * What a call returns: KITH_OK, or why it failed. The numbers never change; kith_last_error has the text.
 */
typedef enum {
    /**
     * It worked.
     */
    KITH_OK = 0,
    /**
     * An argument is NULL or has the wrong shape or size; the text says which.
     */
    KITH_INVALID_ARGUMENT = 1,
    /**
     * The thing that was named does not exist.
     */
    KITH_NOT_FOUND = 2,
    /**
     * The caller, or the member that was named, is no member of the context.
     */
    KITH_NOT_MEMBER = 3,
    /**
     * The member's role does not allow this.
     */
    KITH_PERMISSION_DENIED = 4,
    /**
     * The application refused the call.
     */
    KITH_REJECTED = 5,
    /**
     * The invitation is damaged, or is not for this.
     */
    KITH_INVITATION_INVALID = 6,
    /**
     * The invitation's time is over.
     */
    KITH_INVITATION_EXPIRED = 7,
    /**
     * The invitation's uses are used up.
     */
    KITH_INVITATION_USED = 8,
    /**
     * An admin has revoked the invitation.
     */
    KITH_INVITATION_REVOKED = 9,
    /**
     * No peer that could answer was reached.
     */
    KITH_UNREACHABLE = 10,
    /**
     * It took longer than the caller allowed.
     */
    KITH_TIMEOUT = 11,
    /**
     * The node, context or stream has been closed.
     */
    KITH_CLOSED = 12,
    /**
     * Somebody else holds what is needed (another process has the directory), or a queue is full.
     */
    KITH_BUSY = 13,
    /**
     * The store failed; the text has the cause.
     */
    KITH_STORAGE = 14,
    /**
     * Stored data does not verify.
     */
    KITH_CORRUPT = 15,
    /**
     * Two sides, or the store and this library, do not speak the same version.
     */
    KITH_VERSION_MISMATCH = 16,
    /**
     * This library cannot do that.
     */
    KITH_UNSUPPORTED = 17,
    /**
     * A member has signed two histories.
     */
    KITH_EQUIVOCATION = 18,
    /**
     * The caller cancelled.
     */
    KITH_CANCELLED = 19,
    /**
     * Applying stands still after a local fault; the text has the cause.
     */
    KITH_BLOCKED = 20,
    /**
     * No space is left where the store lives.
     */
    KITH_STORAGE_FULL = 21,
    /**
     * The store is sealed and the key is missing or wrong.
     */
    KITH_KEY_REQUIRED = 22,
    /**
     * A limit was passed; the text says which.
     */
    KITH_LIMIT_EXCEEDED = 23,
    /**
     * The cursor is older than what is kept.
     */
    KITH_CURSOR_EXPIRED = 24,
    /**
     * The host has not registered the application of this context.
     */
    KITH_APPLICATION_MISSING = 25,
    /**
     * A defect in Kith.
     */
    KITH_INTERNAL = 26,
} kith_status;

/**
 * Several operations that are carried out together, all or none. Unlike other handles, a batch is built by one thread at a time: the
 * functions wait for each other, but their order is then a matter of luck.
 */
typedef struct kith_batch kith_batch;

/**
 * What an application is asked. Valid until its callback returns, and only on the thread of the callback.
 */
typedef struct kith_call kith_call;

/**
 * Ends blocking calls from another thread: a thread binds it (kith_cancel_bind), any thread fires it. It fires once and stays fired.
 */
typedef struct kith_cancel kith_cancel;

/**
 * A context: an application's state that its members share. All functions may be called from any thread, and from
 * several at once.
 */
typedef struct kith_context kith_context;

/**
 * A page of entries of the state. It does not change.
 */
typedef struct kith_entries kith_entries;

/**
 * One event. It does not change.
 */
typedef struct kith_event kith_event;

/**
 * A stream of a context's events. Several threads may pull from it; each event goes to one of them.
 */
typedef struct kith_events kith_events;

/**
 * Where nodes of this process meet without sockets (kith_node_options.hub).
 */
typedef struct kith_hub kith_hub;

/**
 * A node: a store, an endpoint in the network, and any number of contexts. All functions may be called from any thread,
 * and from several at once.
 */
typedef struct kith_node kith_node;

/**
 * A transaction with what it said and did at its place. It does not change.
 */
typedef struct kith_receipt kith_receipt;

/**
 * The state during one call of an application. Valid until its callback returns, and only on the thread of the callback.
 */
typedef struct kith_state kith_state;

/**
 * A callback that is told of a context's events. Freed with kith_subscription_free.
 */
typedef struct kith_subscription kith_subscription;

/**
 * Gives `user_data` back, when the library does not use it any more.
 */
typedef void (*kith_free_callback)(void *user_data);

/**
 * A function of an application. It reads the call (kith_call_…), uses the state (kith_state_…), sets an answer if there is one
 * (kith_call_answer), and returns
 *  - KITH_OK: done;
 *  - KITH_REJECTED (`return kith_call_reject(call, "…");`), or KITH_INVALID_ARGUMENT, KITH_NOT_FOUND, KITH_NOT_MEMBER,
 *    KITH_PERMISSION_DENIED, KITH_LIMIT_EXCEEDED: the call is refused, by every member alike, and what it wrote is undone;
 *  - KITH_BLOCKED (`return kith_call_fault(call, "…");`) or anything else: something is wrong on this machine only.
 *
 * The same inputs must give the same result on every member, in every language: no clock, no chance, no floats from outside, no I/O.
 * It runs on threads of the node's own, whose names begin with kith-: one call of a context at a time, but several contexts at once.
 * The rest of the library refuses calls from inside it (KITH_UNSUPPORTED), but for keys, events, entries, buffers, kith_cancel and texts of failures.
 * It must return: no longjmp, no exception out of it.
 */
typedef kith_status (*kith_application_callback)(void *user_data, kith_call *call, kith_state *state);

/**
 * An application of the host's own. Filled by kith_application_init, then changed.
 */
typedef struct {
    /**
     * sizeof(kith_application), set by kith_application_init.
     */
    size_t struct_size;
    /**
     * Handed to the callbacks; used on several threads at once.
     */
    void *user_data;
    /**
     * Called once, from any thread, when nothing uses `user_data` any more: at the latest when the node has been shut down and freed.
     * May be NULL.
     */
    kith_free_callback free_user_data;
    /**
     * Sets up the state of a new context from the creator's arguments. NULL: there are no arguments and nothing to set up.
     */
    kith_application_callback initialise;
    /**
     * Executes a call. Needed.
     */
    kith_application_callback execute;
    /**
     * Answers a read-only call, on this member only; what it writes is thrown away. NULL: there is no query.
     */
    kith_application_callback query;
} kith_application;

/**
 * Bytes or text that the library allocated and the caller owns. Freed with kith_buffer_free. Behind the last byte there
 * is a NUL, which `length` does not count, so a text is a C string.
 */
typedef struct {
    /**
     * The first byte.
     */
    uint8_t *data;
    /**
     * How many there are.
     */
    size_t length;
} kith_buffer;

/**
 * A transaction of a context's history.
 */
typedef struct {
    /**
     * Its id.
     */
    uint8_t id[32];
    /**
     * The member that signed it.
     */
    uint8_t author[32];
    /**
     * Its place in the order. Places compare like their bytes.
     */
    uint8_t place[48];
    /**
     * Its number in its author's chain.
     */
    uint64_t sequence;
    /**
     * The author's clock, ms since 1970. The author may lie.
     */
    uint64_t timestamp;
    /**
     * The number of its kind.
     */
    uint32_t kind;
    /**
     * KITH_OUTCOME_…: what it did at its place.
     */
    uint32_t outcome;
} kith_transaction;

/**
 * What a context is created with. Filled by kith_create_options_init, then changed.
 */
typedef struct {
    /**
     * sizeof(kith_create_options), set by kith_create_options_init.
     */
    size_t struct_size;
    /**
     * The application: "kv" (or NULL for it), or one that was registered.
     */
    const char *application;
    /**
     * What the application is set up with; NULL with a length of 0: nothing, as "kv" needs it.
     */
    const uint8_t *arguments;
    /**
     * How many bytes there are.
     */
    size_t arguments_length;
    /**
     * What people call the context, at most 128 bytes; NULL: nothing.
     */
    const char *name;
    /**
     * KITH_ENCRYPTION_…: how what is written is sealed, for good. At first KITH_ENCRYPTION_X25519.
     */
    uint32_t encryption;
    /**
     * Not used; zeros.
     */
    uint8_t reserved[4];
} kith_create_options;

/**
 * Told how far joining is: transactions received, and transactions expected. It runs on a thread of the node's, must not block, and the library
 * refuses calls from inside it (KITH_UNSUPPORTED), but for kith_cancel_fire.
 */
typedef void (*kith_progress_callback)(void *user_data, uint64_t done, uint64_t total);

/**
 * How to join. Filled by kith_join_options_init, then changed.
 */
typedef struct {
    /**
     * sizeof(kith_join_options), set by kith_join_options_init.
     */
    size_t struct_size;
    /**
     * After how many ms to give up. At first a minute.
     */
    uint64_t timeout_ms;
    /**
     * Told how far it is; NULL: nobody is.
     */
    kith_progress_callback on_progress;
    /**
     * Handed to `on_progress`, which is not called any more once joining has returned.
     */
    void *user_data;
} kith_join_options;

/**
 * Told of something that the library says about itself: which part of it (`target`), and the text. Texts are valid until it returns; some of what
 * they say comes from peers. It runs on the thread that has something to say, one of the caller's or of the library's, and on several
 * at once. It should be quick, and the library refuses calls from inside it (KITH_UNSUPPORTED).
 */
typedef void (*kith_log_callback)(void *user_data, uint32_t level, const char *target, const char *message);

/**
 * A member of a context.
 */
typedef struct {
    /**
     * Who.
     */
    uint8_t id[32];
    /**
     * The transaction that added it.
     */
    uint8_t added[32];
    /**
     * What it may do.
     */
    uint32_t role;
    /**
     * What it calls itself; empty: nothing. Nobody vouches for it: two members may have the same.
     */
    char name[129];
} kith_member;

/**
 * What an invitation allows. Filled by kith_invite_options_init, then changed.
 */
typedef struct {
    /**
     * sizeof(kith_invite_options), set by kith_invite_options_init.
     */
    size_t struct_size;
    /**
     * The role that it gives. At first KITH_WRITER.
     */
    uint32_t role;
    /**
     * How many may join by it. At first 1.
     */
    uint32_t max_uses;
    /**
     * For how many ms it may be used; KITH_FOREVER: no end. At first a week.
     */
    uint64_t expires_in;
    /**
     * For people, at most 128 bytes; NULL: none.
     */
    const char *note;
} kith_invite_options;

/**
 * An invitation of a context, as its members see it.
 */
typedef struct {
    /**
     * Names the invitation; for kith_context_revoke.
     */
    uint8_t id[32];
    /**
     * The member who invites.
     */
    uint8_t inviter[32];
    /**
     * The role that it gives.
     */
    uint32_t role;
    /**
     * How many may join by it.
     */
    uint32_t max_uses;
    /**
     * How many have.
     */
    uint32_t uses;
    /**
     * Whether it was revoked.
     */
    bool revoked;
    /**
     * ms since 1970; 0: no end.
     */
    uint64_t expires_at;
    /**
     * For people.
     */
    char note[129];
} kith_invitation;

/**
 * What a node is opened with. Filled by kith_node_options_init, then changed.
 */
typedef struct {
    /**
     * sizeof(kith_node_options), set by kith_node_options_init.
     */
    size_t struct_size;
    /**
     * Where to listen, as multiaddresses ("/ip4/127.0.0.1/tcp/0"; port 0: the system chooses). NULL: all addresses of
     * this machine, TCP and QUIC. Not NULL with listen_count 0: nowhere.
     */
    const char *const *listen;
    /**
     * How many there are.
     */
    size_t listen_count;
    /**
     * Peers to connect to, as multiaddresses with /p2p/….
     */
    const char *const *bootstrap;
    /**
     * How many there are.
     */
    size_t bootstrap_count;
    /**
     * Whether to find peers in the local network, and be found. At first true.
     */
    bool discovery;
    /**
     * KITH_DURABLE_POWER (at first) or KITH_DURABLE_PROCESS.
     */
    uint32_t durability;
    /**
     * How many batches of events are kept for those who start after a cursor. 0: the library's default.
     */
    uint64_t event_retention;
    /**
     * Not NULL: the node meets only the nodes of this hub, without sockets; `listen` NULL is then an address of the hub's.
     */
    const kith_hub *hub;
    /**
     * KITH_ENGINE_AUTO (at first), KITH_ENGINE_SLED or KITH_ENGINE_REDB: what keeps the directory. A directory of another engine is
     * KITH_INVALID_ARGUMENT.
     */
    uint32_t storage;
    /**
     * What everything in the directory is sealed under: 32 bytes that the host keeps, best in the system's keystore. A directory that is sealed
     * under another key, or under one where none is given, is KITH_KEY_REQUIRED. NULL, and no passphrase: a key file beside the store (`storage-key`, readable
     * by its owner only), which is made with it; kith_node_status says so. kith_node_change_storage_key seals it under another one. Of a node without a
     * directory it is not looked at. The library keeps a copy while the node lives, and wipes that; these bytes are the caller's to wipe.
     */
    const uint8_t *storage_key;
    /**
     * In the place of the key: a passphrase of 1 to 1,024 bytes, from which it is worked out whenever the store is opened (32 MiB and some tenths
     * of a second). The bytes count: normalise what people type (NFC). NULL: none. Both are KITH_INVALID_ARGUMENT.
     */
    const char *storage_passphrase;
    /**
     * Relays to be reached through, as multiaddresses with /p2p/…; at most 4. The node keeps a place at each, names them in invitations, and says in
     * kith_node_status how it stands with them. A relay sees neither contexts nor what is said. At first NULL: none.
     */
    const char *const *relays;
    /**
     * How many there are.
     */
    size_t relays_count;
    /**
     * Whether others are dialled through relays; always where `relays` are named. At first true.
     */
    bool through_relays;
    /**
     * Whether a direct connection is tried where a link goes through a relay. At first true.
     */
    bool hole_punching;
    /**
     * Whether peers are asked which of the node's addresses they reach (AutoNAT), so that others are told of these. At first true.
     */
    bool autonat;
    /**
     * Whether contexts with more than 8 members gossip. Without it they are in step a few seconds later. At first true.
     */
    bool gossip;
    /**
     * Not used; zeros.
     */
    uint8_t reserved[4];
} kith_node_options;

/**
 * What an invitation says.
 */
typedef struct {
    /**
     * The context.
     */
    uint8_t context[32];
    /**
     * The member who invites.
     */
    uint8_t inviter[32];
    /**
     * The role that it gives.
     */
    uint32_t role;
    /**
     * Whether this node is a member of the context already.
     */
    bool member;
    /**
     * ms since 1970; 0: no end.
     */
    uint64_t expires_at;
    /**
     * The name of the application.
     */
    char application[65];
    /**
     * For people.
     */
    char note[129];
} kith_invitation_info;

/**
 * A context that a node holds.
 */
typedef struct {
    /**
     * Its id.
     */
    uint8_t id[32];
    /**
     * Whether joining it has not come to its end.
     */
    bool joining;
    /**
     * The name of its application; empty before the context's first transaction is here.
     */
    char application[65];
    /**
     * What it is called; empty before the context's first transaction is here.
     */
    char name[129];
} kith_context_info;

/**
 * What was exported or imported.
 */
typedef struct {
    /**
     * How many records there are.
     */
    uint64_t records;
    /**
     * How many bytes they have, keys and values.
     */
    uint64_t bytes;
    /**
     * Whether it is a move, so that what is imported signs.
     */
    bool moved;
} kith_exported;

/**
 * How an export is taken in. Filled by kith_import_options_init, then changed.
 */
typedef struct {
    /**
     * sizeof(kith_import_options), set by kith_import_options_init.
     */
    size_t struct_size;
    /**
     * What the new directory is sealed under, as in kith_node_options.
     */
    const uint8_t *storage_key;
    /**
     * The same, as a passphrase.
     */
    const char *storage_passphrase;
    /**
     * KITH_ENGINE_…: what keeps the new directory. At first KITH_ENGINE_AUTO: redb.
     */
    uint32_t storage;
    /**
     * Whether the new directory signs although the export is a backup. At first false. Only the owner can know that the directory it was made of, and every
     * other copy, is gone for good, and that nothing was written there after the backup: else its history is forked, and the others remove the
     * member. Without it, the directory catches up with what was published after the backup, and kith_node_adopt is safe then.
     */
    bool adopt;
    /**
     * Not used; zeros.
     */
    uint8_t reserved[3];
} kith_import_options;

/**
 * How it stands with a context's keys.
 */
typedef struct {
    /**
     * The epoch under whose keys this member would send now: the transaction that made it.
     */
    uint8_t epoch[32];
    /**
     * Whether there is one; else it is made first, and `epoch` and `age` are zeros.
     */
    bool has_epoch;
    /**
     * KITH_ENCRYPTION_…: how what is written is sealed.
     */
    uint32_t suite;
    /**
     * For how many ms this node has known that epoch.
     */
    uint64_t age;
    /**
     * How many members were given its keys, this one included. The others read by shared history.
     */
    uint64_t members_able;
    /**
     * How many members there are.
     */
    uint64_t members;
    /**
     * How many calls were sent under keys that were not to be used, by anybody.
     */
    uint64_t violations;
    /**
     * How many calls are sealed and not opened here.
     */
    uint64_t unopened;
    /**
     * Why new keys are made before this member's next call, for people; empty: they are not.
     */
    char pending[129];
} kith_security;

/**
 * Told of an event. It runs on a thread named kith-events, one for each subscription, one event after another, and may take its time and call
 * everything in the library, kith_subscription_free of its own subscription too. The event is the library's, and valid until the callback
 * returns.
 */
typedef void (*kith_event_callback)(void *user_data, const kith_event *event);

/**
 * What a check of a context has looked at, and the first difference.
 */
typedef struct {
    /**
     * How many transactions were looked at, in order.
     */
    uint64_t transactions;
    /**
     * How many of them were executed once more.
     */
    uint64_t executed;
    /**
     * How many are in the order and were not looked at, since they are still to be executed.
     */
    uint64_t pending;
    /**
     * How many keys of the state were looked at, deleted ones included.
     */
    uint64_t keys;
    /**
     * KITH_PART_…: what differs. KITH_PART_NONE: nothing does, and all that follows is empty.
     */
    uint32_t part;
    /**
     * Whether it differs at a place; else it is of the context as a whole.
     */
    bool has_place;
    /**
     * Whether it is of a key.
     */
    bool has_key;
    /**
     * Whether anything is kept there.
     */
    bool has_kept;
    /**
     * Whether anything should be there.
     */
    bool has_recomputed;
    /**
     * The place in the order; its last 32 bytes are the transaction's id.
     */
    uint8_t place[48];
    /**
     * The key.
     */
    uint8_t key[32];
    /**
     * The BLAKE3 hash of what is kept.
     */
    uint8_t kept[32];
    /**
     * The BLAKE3 hash of what was recomputed.
     */
    uint8_t recomputed[32];
    /**
     * The difference, for people.
     */
    char text[385];
} kith_verification;

/**
 * What one transaction has to do with a key.
 */
typedef struct {
    /**
     * The transaction; kith_context_receipt has more of it.
     */
    kith_transaction transaction;
    /**
     * KITH_WRITTEN_…: what it left of the key.
     */
    uint32_t written;
    /**
     * KITH_SEEN, KITH_UNSEEN or KITH_SEEN_UNKNOWN: whether its author knew of the transaction before.
     */
    uint32_t unseen;
    /**
     * With KITH_WRITTEN_VALUE: the BLAKE3 hash of the value.
     */
    uint8_t hash[32];
} kith_explanation;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Sets the members that this struct had first to NULL, for programs that were built when it had no others. With this header the macro of the
 * same name is used, which says how long the struct is.
 *
 * Needs:
 * `application` is NULL or may be written.
 */
void kith_application_init(kith_application *application);

/**
 * Sets all members of a struct of this size to NULL: what kith_application_init is in this header. `size` is sizeof(kith_application), as the
 * caller's header has it; no more is written.
 *
 * Needs:
 * `application` is NULL, or `size` bytes may be written there.
 */
void kith_application_init_sized(kith_application *application,
                                 size_t size);

/**
 * Sets a `kith_application` to its defaults, as long as it is in this header. NULL: nothing happens.
 */
#define kith_application_init(place) kith_application_init_sized((place), sizeof(kith_application))

/**
 * Registers an application of the host's own under a name of 1 to 64 bytes. Contexts of that application that wait for it begin to
 * execute. A name that is taken is KITH_INVALID_ARGUMENT. The struct is copied. If this fails, `user_data` stays the caller's.
 *
 * Needs:
 * `node` is a node of this library or NULL; `name` ends in NUL; `application` is NULL or was filled by kith_application_init, and its callbacks
 * and `user_data` may be used from any thread.
 */
kith_status kith_node_register(kith_node *node,
                               const char *name,
                               const kith_application *application);

/**
 * Copies the text of the last call of this thread that failed into `buffer`, ended by NUL and cut at a character
 * if `length` bytes are too few. `needed`, unless NULL, gets the length of the whole text with its NUL. With a
 * `length` of 0, `buffer` may be NULL. Calls that succeed leave the text as it is.
 *
 * Needs:
 * `buffer` has room for `length` bytes.
 */
kith_status kith_last_error(char *buffer,
                            size_t length,
                            size_t *needed);

/**
 * Frees what a buffer holds and empties it. NULL, and a buffer that was freed before, are left alone.
 *
 * Needs:
 * `buffer` is NULL, was filled by this library, or is all zeros.
 */
void kith_buffer_free(kith_buffer *buffer);

/**
 * The method that is called, in UTF-8; empty in `initialise`. `length`, unless NULL, gets its bytes: the name comes from other members and
 * may have a NUL inside. kith_call_is compares all of it.
 *
 * Needs:
 * `call` is what the callback was handed, or NULL.
 */
const char *kith_call_method(const kith_call *call,
                             size_t *length);

/**
 * Whether this is the method that is called.
 *
 * Needs:
 * `call` is what the callback was handed, or NULL; `method` is NULL or ends in NUL.
 */
bool kith_call_is(const kith_call *call, const char *method);

/**
 * The arguments, in the application's own format. `length` gets how many bytes. In `initialise`: what the context is created with.
 *
 * Needs:
 * `call` is what the callback was handed, or NULL; `length` may be written or is NULL.
 */
const uint8_t *kith_call_arguments(const kith_call *call,
                                   size_t *length);

/**
 * The member who calls, 32 bytes; NULL in `initialise` and `query`.
 *
 * Needs:
 * `call` is what the callback was handed, or NULL.
 */
const uint8_t *kith_call_member(const kith_call *call);

/**
 * The caller's role at this place in the order; KITH_NO_ROLE in `initialise` and `query`.
 *
 * Needs:
 * `call` is what the callback was handed, or NULL.
 */
uint32_t kith_call_role(const kith_call *call);

/**
 * The transaction that carries the call, 32 bytes; NULL in `initialise` and `query`.
 *
 * Needs:
 * `call` is what the callback was handed, or NULL.
 */
const uint8_t *kith_call_transaction(const kith_call *call);

/**
 * The author's clock, ms since 1970: signed, hence the same everywhere, but the author may lie. 0 in `initialise` and `query`.
 *
 * Needs:
 * `call` is what the callback was handed, or NULL.
 */
uint64_t kith_call_timestamp(const kith_call *call);

/**
 * Sets the answer of a callback that will return KITH_OK: at most 1 MiB + 4 KiB, which are copied. Without it the answer has no bytes.
 *
 * Needs:
 * `call` is what the callback was handed, or NULL; `answer` has `length` bytes.
 */
kith_status kith_call_answer(kith_call *call,
                             const uint8_t *answer,
                             size_t length);

/**
 * Says why the call is refused, and gives KITH_REJECTED (whatever happens): `return kith_call_reject(call, "occupied");`.
 * Every member must refuse it alike.
 *
 * Needs:
 * `call` is what the callback was handed, or NULL; `reason` is NULL or ends in NUL.
 */
kith_status kith_call_reject(kith_call *call,
                             const char *reason);

/**
 * Says what is wrong on this machine only (no memory, say), and gives KITH_BLOCKED (whatever happens):
 * `return kith_call_fault(call, "no memory");`. The context applies nothing more here, and tries again every few seconds, until the
 * callback answers, or an admin skips the call (kith_context_skip).
 *
 * Needs:
 * `call` is what the callback was handed, or NULL; `cause` is NULL or ends in NUL.
 */
kith_status kith_call_fault(kith_call *call,
                            const char *cause);

/**
 * The value under a key of 32 bytes; KITH_NOT_FOUND if there is none. Reads see what the same call has written.
 *
 * Of all functions with a kith_state: KITH_REJECTED (a limit) and KITH_BLOCKED (the store of this machine fails) decide what the call did,
 * whatever the callback makes of them.
 *
 * Needs:
 * `state` is what the callback was handed, or NULL; `key` has 32 bytes.
 */
kith_status kith_state_get(kith_state *state,
                           const uint8_t *key,
                           kith_buffer *value);

/**
 * Sets a key of 32 bytes to a value of at most 1 MiB.
 *
 * Needs:
 * `state` is what the callback was handed, or NULL; `key` has 32 bytes, `value` has `value_length`.
 */
kith_status kith_state_put(kith_state *state, const uint8_t *key, const uint8_t *value, size_t value_length);

/**
 * Removes a key of 32 bytes; nothing happens if it is absent.
 *
 * Needs:
 * `state` is what the callback was handed, or NULL; `key` has 32 bytes.
 */
kith_status kith_state_delete(kith_state *state, const uint8_t *key);

/**
 * A page of entries in key order: those whose keys begin with `prefix` and sort after `after` (32 bytes, or NULL for the start), at
 * most `limit`, at most 1,000 and at most 1 MiB. A page without entries is the end. It goes back by kith_entries_free.
 *
 * Needs:
 * `state` is what the callback was handed, or NULL; `prefix` has `prefix_length` bytes; `after` is NULL or has 32 bytes.
 */
kith_status kith_state_entries(kith_state *state,
                               const uint8_t *prefix,
                               size_t prefix_length,
                               const uint8_t *after,
                               size_t limit,
                               kith_entries **entries);

/**
 * Hands a named message (a name of at most 255 bytes) to the hosts of all members, once the call is accepted: KITH_EVENT_EMITTED.
 *
 * Needs:
 * `state` is what the callback was handed, or NULL; `name` ends in NUL; `data` has `length` bytes.
 */
kith_status kith_state_emit(kith_state *state,
                            const char *name,
                            const uint8_t *data,
                            size_t length);

/**
 * A fresh one, which has not fired.
 *
 * Needs:
 * `cancel` is NULL or may be written.
 */
kith_status kith_cancel_new(kith_cancel **cancel);

/**
 * Binds `cancel` to the calling thread, in the place of what it had bound: once it has fired, each blocking call of this thread ends
 * with KITH_CANCELLED, the one under way and those to come. NULL: from now on they are not cancelled. What becomes of a cancelled call:
 * kith_node_join gives the joining up, and nothing of the context stays (unless it had just come to its end); kith_events_next loses no event; other calls may still be
 * finished in the background, but never by half: a write that has begun is, and its events come. kith_node_shutdown is not cancelled. The binding outlives the handle.
 *
 * Needs:
 * `cancel` is one of this library or NULL.
 */
kith_status kith_cancel_bind(const kith_cancel *cancel);

/**
 * Fires: see kith_cancel_bind. Does not block. Twice is fine. From any thread and any callback, but not from a signal handler.
 *
 * Needs:
 * `cancel` is one of this library or NULL.
 */
kith_status kith_cancel_fire(kith_cancel *cancel);

/**
 * Whether it has fired; false for NULL.
 *
 * Needs:
 * `cancel` is one of this library or NULL.
 */
bool kith_cancel_fired(const kith_cancel *cancel);

/**
 * Frees the handle. Threads that have bound it keep it bound.
 *
 * Needs:
 * `cancel` is one of this library or NULL, and is not used any more.
 */
void kith_cancel_free(kith_cancel *cancel);

/**
 * Frees the handle. The context lives on with its node.
 *
 * Needs:
 * `context` is a context of this library or NULL, and is not used any more.
 */
void kith_context_free(kith_context *context);

/**
 * The context's id, 32 bytes.
 *
 * Needs:
 * `context` is a context of this library or NULL; `id` has room for 32 bytes.
 */
kith_status kith_context_id(const kith_context *context, uint8_t *id);

/**
 * This node's member in the context, 32 bytes.
 *
 * Needs:
 * `context` is a context of this library or NULL; `member` has room for 32 bytes.
 */
kith_status kith_context_me(const kith_context *context, uint8_t *member);

/**
 * This node's role in the context: KITH_ADMIN, KITH_WRITER, KITH_READER or KITH_NO_ROLE.
 *
 * Needs:
 * `context` is a context of this library or NULL.
 */
kith_status kith_context_role(const kith_context *context, uint32_t *role);

/**
 * The name of the context's application. Empty before the context's first transaction is here.
 *
 * Needs:
 * `context` is a context of this library or NULL.
 */
kith_status kith_context_application(const kith_context *context, kith_buffer *application);

/**
 * What the context is called.
 *
 * Needs:
 * `context` is a context of this library or NULL.
 */
kith_status kith_context_name(const kith_context *context, kith_buffer *name);

/**
 * Carries out a method call of the application. When it returns KITH_OK, the call is executed, durable and on its way to the other
 * members. What the application refuses is KITH_REJECTED, and not published. `transaction` (room for 32 bytes) and `answer` may be NULL.
 *
 * Needs:
 * `context` is a context of this library or NULL; `method` ends in NUL; `arguments` has `arguments_length` bytes.
 */
kith_status kith_context_execute(kith_context *context,
                                 const char *method,
                                 const uint8_t *arguments,
                                 size_t arguments_length,
                                 uint8_t *transaction,
                                 kith_buffer *answer);

/**
 * A read-only call of the application, on this member only.
 *
 * Needs:
 * `context` is a context of this library or NULL; `method` ends in NUL; `arguments` has `arguments_length` bytes.
 */
kith_status kith_context_query(const kith_context *context,
                               const char *method,
                               const uint8_t *arguments,
                               size_t arguments_length,
                               kith_buffer *answer);

/**
 * The value under a key of 32 bytes; KITH_NOT_FOUND if there is none. `level`: KITH_TENTATIVE or KITH_FINAL.
 *
 * Needs:
 * `context` is a context of this library or NULL; `key` has 32 bytes.
 */
kith_status kith_context_get(const kith_context *context,
                             const uint8_t *key,
                             uint32_t level,
                             kith_buffer *value);

/**
 * A page of entries in key order: those whose keys begin with `prefix` and sort after `after` (32 bytes, or NULL for the start), at
 * most `limit`, at most 1,000 and at most 1 MiB. A page without entries is the end.
 *
 * Needs:
 * `context` is a context of this library or NULL; `prefix` has `prefix_length` bytes; `after` is NULL or has 32 bytes.
 */
kith_status kith_context_entries(const kith_context *context,
                                 const uint8_t *prefix,
                                 size_t prefix_length,
                                 const uint8_t *after,
                                 size_t limit,
                                 uint32_t level,
                                 kith_entries **entries);

/**
 * How many entries a page has; 0 for NULL.
 *
 * Needs:
 * `entries` is a page of this library or NULL.
 */
size_t kith_entries_count(const kith_entries *entries);

/**
 * An entry of a page. `key` (32 bytes) and `value` (`value_length` bytes) point into the page and live until it is freed.
 *
 * Needs:
 * `entries` is a page of this library or NULL.
 */
kith_status kith_entries_at(const kith_entries *entries,
                            size_t index,
                            const uint8_t **key,
                            const uint8_t **value,
                            size_t *value_length);

/**
 * Frees a page.
 *
 * Needs:
 * `entries` is a page of this library or NULL, and is not used any more.
 */
void kith_entries_free(kith_entries *entries);

/**
 * How it stands with a transaction, by its id of 32 bytes; KITH_NOT_FOUND if it is not in the history.
 *
 * Needs:
 * `context` is a context of this library or NULL; `id` has 32 bytes.
 */
kith_status kith_context_transaction(const kith_context *context,
                                     const uint8_t *id,
                                     kith_transaction *transaction);

/**
 * A page of the order: the transactions after a place (48 bytes, or NULL for the start), at most `capacity` and at most 1,000.
 * `count` gets how many were written; 0 is the end.
 *
 * Needs:
 * `context` is a context of this library or NULL; `after` is NULL or has 48 bytes; `transactions` has room for `capacity`.
 */
kith_status kith_context_history(const kith_context *context,
                                 const uint8_t *after,
                                 kith_transaction *transactions,
                                 size_t capacity,
                                 size_t *count);

/**
 * The state commitment, 32 bytes: equal on all members that hold the same history. It is of the state alone, and may be equal before
 * the histories are: the digest in `kith_context_status` is of these.
 *
 * Needs:
 * `context` is a context of this library or NULL; `commitment` has room for 32 bytes.
 */
kith_status kith_context_commitment(const kith_context *context,
                                    uint8_t *commitment);

/**
 * How it stands with the context, as a JSON object: transactions, pending, unopened (sealed, in the order, and not opened: nothing that they say is known
 * here, until a member shares it), waiting, missing, blocked, frozen, commitment, digest, and peers: of each connected one peer, member, equal,
 * lacking, lacks, since.
 *
 * Needs:
 * `context` is a context of this library or NULL.
 */
kith_status kith_context_status(const kith_context *context,
                                kith_buffer *json);

/**
 * Blocks until all that is written here by now is durable with each connected member, and what these held is here, for at most
 * `timeout_ms`: then KITH_TIMEOUT, also where no member is connected. What either side writes meanwhile is not waited for.
 *
 * Needs:
 * `context` is a context of this library or NULL.
 */
kith_status kith_context_wait_synced(const kith_context *context,
                                     uint64_t timeout_ms);

/**
 * Sets all options of a struct of this size to their defaults: what kith_create_options_init is in this header. `size` is sizeof(kith_create_options), as
 * the caller's header has it; no more is written.
 *
 * Needs:
 * `options` is NULL, or `size` bytes may be written there.
 */
void kith_create_options_init_sized(kith_create_options *options,
                                    size_t size);

/**
 * Sets a `kith_create_options` to its defaults, as long as it is in this header. NULL: nothing happens.
 */
#define kith_create_options_init(place) kith_create_options_init_sized((place), sizeof(kith_create_options))

/**
 * Creates a context like kith_node_create_context, with options. NULL: the defaults.
 *
 * Needs:
 * `node` is a node of this library or NULL; `options` is NULL or was filled by kith_create_options_init, its texts end in NUL, and its `arguments` have
 * `arguments_length` bytes.
 */
kith_status kith_node_create_context_with(kith_node *node,
                                          const kith_create_options *options,
                                          kith_context **context);

/**
 * A stream of the events from now on, or, if `after` is not NULL, of those after that cursor and then from now on.
 * KITH_CURSOR_EXPIRED if what followed the cursor is not kept any more: then start from now and read the state again.
 *
 * Needs:
 * `context` is a context of this library or NULL.
 */
kith_status kith_context_events(const kith_context *context,
                                const uint64_t *after,
                                kith_events **events);

/**
 * The next event. Blocks until there is one, for at most `timeout_ms`: then KITH_TIMEOUT. After the node was shut down it gives what is
 * left, then KITH_CLOSED, and so it does after KITH_EVENT_CLOSED. Each event goes back by kith_event_free.
 *
 * Needs:
 * `events` is a stream of this library or NULL.
 */
kith_status kith_events_next(kith_events *events,
                             uint64_t timeout_ms,
                             kith_event **event);

/**
 * Ends the subscription. Does not block.
 *
 * Needs:
 * `events` is a stream of this library or NULL, and is not used any more.
 */
void kith_events_free(kith_events *events);

/**
 * Frees an event, and with it what its accessors pointed to.
 *
 * Needs:
 * `event` is an event of this library or NULL, and is not used any more.
 */
void kith_event_free(kith_event *event);

/**
 * What happened: KITH_EVENT_…. KITH_EVENT_OTHER for NULL.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
uint32_t kith_event_kind(const kith_event *event);

/**
 * Where in the stream it is: a stream that starts after this cursor goes on behind it. Events that happened together share a cursor.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
uint64_t kith_event_cursor(const kith_event *event);

/**
 * The transaction's id, 32 bytes; NULL if the event has none. Like all pointers of an event it lives as long as the event.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
const uint8_t *kith_event_transaction(const kith_event *event);

/**
 * Of KITH_EVENT_EQUIVOCATION: the other one of two transactions, 32 bytes; NULL if the event has none.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
const uint8_t *kith_event_other_transaction(const kith_event *event);

/**
 * The member's id, 32 bytes; NULL if the event has none.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
const uint8_t *kith_event_member(const kith_event *event);

/**
 * The member's role; KITH_NO_ROLE if the event has none.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
uint32_t kith_event_role(const kith_event *event);

/**
 * Of KITH_EVENT_EXECUTED: whether the transaction was executed before, at another place or on another state.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
bool kith_event_again(const kith_event *event);

/**
 * The keys that changed: 32 bytes each, one after the other; `count`, unless NULL, gets how many.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
const uint8_t *kith_event_keys(const kith_event *event, size_t *count);

/**
 * The event's text: a reason, a cause, a peer, a name. Never NULL; empty if the event has none.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
const char *kith_event_text(const kith_event *event);

/**
 * Of KITH_EVENT_PEER_DISCONNECTED: why. One of these words, which stay the same, then ": " and, for people, what exactly it was:
 * - closed: by this side, which suspends, shuts down, leaves, or reads its store anew;
 * - gone: by the other side, or the connection is lost;
 * - refused: one of them is no member any more in the other's eyes;
 * - misbehaved: it sent what no honest node sends;
 * - version: it speaks another version of sync;
 * - limit: it sent more than it may, or takes nothing, or comes too fast for this side;
 * - timeout: it stands still where something is due.
 *
 * Never NULL; empty if the event has none.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
const char *kith_event_reason(const kith_event *event);

/**
 * Of KITH_EVENT_EMITTED: the data; `length`, unless NULL, gets how many bytes.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
const uint8_t *kith_event_data(const kith_event *event, size_t *length);

/**
 * Of KITH_EVENT_SYNC_PROGRESS: how many transactions are here. Of KITH_EVENT_LAGGED: how many events are missing.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
uint64_t kith_event_done(const kith_event *event);

/**
 * Of KITH_EVENT_SYNC_PROGRESS: how many transactions there will be.
 *
 * Needs:
 * `event` is an event of this library or NULL.
 */
uint64_t kith_event_total(const kith_event *event);

/**
 * Sets the options that this struct had first to their defaults, for programs that were built when it had no others. With this header the macro of the
 * same name is used, which says how long the struct is.
 *
 * Needs:
 * `options` is NULL or may be written.
 */
void kith_join_options_init(kith_join_options *options);

/**
 * Sets all options of a struct of this size to their defaults: what kith_join_options_init is in this header. `size` is sizeof(kith_join_options), as the
 * caller's header has it; no more is written.
 *
 * Needs:
 * `options` is NULL, or `size` bytes may be written there.
 */
void kith_join_options_init_sized(kith_join_options *options,
                                  size_t size);

/**
 * Sets a `kith_join_options` to its defaults, as long as it is in this header. NULL: nothing happens.
 */
#define kith_join_options_init(place) kith_join_options_init_sized((place), sizeof(kith_join_options))

/**
 * Joins a context like kith_node_join, with options. NULL: the defaults.
 *
 * Needs:
 * `node` is a node of this library or NULL; `invitation` ends in NUL; `options` is NULL or was filled by kith_join_options_init.
 */
kith_status kith_node_join_with(kith_node *node,
                                const char *invitation,
                                const kith_join_options *options,
                                kith_context **context);

/**
 * The key of an item of a collection, 32 bytes. All keys of a collection share their first 16 bytes, and only they have them.
 *
 * Needs:
 * Texts end in NUL; `key` has room for 32 bytes.
 */
kith_status kith_state_key_of(const char *collection,
                              const char *name,
                              uint8_t *key);

/**
 * The first 16 bytes of the keys of a collection: the prefix for kith_context_entries.
 *
 * Needs:
 * `collection` ends in NUL; `prefix` has room for 16 bytes.
 */
kith_status kith_state_key_collection(const char *collection, uint8_t *prefix);

/**
 * A fresh random key, 32 bytes. Not for applications, which know no chance.
 *
 * Needs:
 * `key` has room for 32 bytes.
 */
kith_status kith_state_key_random(uint8_t *key);

/**
 * Sets a key of 32 bytes to a value of at most 1 MiB. Only for contexts of the application "kv", like the functions that follow.
 * `transaction` may be NULL, or has room for the 32 bytes of the id.
 *
 * Needs:
 * `context` is a context of this library or NULL; `key` has 32 bytes, `value` has `value_length`.
 */
kith_status kith_context_put(kith_context *context,
                             const uint8_t *key,
                             const uint8_t *value,
                             size_t value_length,
                             uint8_t *transaction);

/**
 * Removes a key; nothing happens if it is absent.
 *
 * Needs:
 * `context` is a context of this library or NULL; `key` has 32 bytes; `transaction` is NULL or has room for 32 bytes.
 */
kith_status kith_context_delete(kith_context *context,
                                const uint8_t *key,
                                uint8_t *transaction);

/**
 * Adds to a counter: a value of 8 bytes, little-endian, signed; an absent one is 0. `now`, unless NULL, gets its new value, which may
 * still move with the order.
 *
 * Needs:
 * `context` is a context of this library or NULL; `key` has 32 bytes.
 */
kith_status kith_context_add(kith_context *context,
                             const uint8_t *key,
                             int64_t number,
                             int64_t *now);

/**
 * Sets a key to a value if its value is the expected one; KITH_REJECTED otherwise. `expected` NULL: the key must be absent. `value`
 * NULL: the key is removed. (For a value of no bytes the pointer is not NULL and the length 0.)
 *
 * Needs:
 * `context` is a context of this library or NULL; `key` has 32 bytes, `expected` and `value` have theirs.
 */
kith_status kith_context_compare_and_set(kith_context *context,
                                         const uint8_t *key,
                                         const uint8_t *expected,
                                         size_t expected_length,
                                         const uint8_t *value,
                                         size_t value_length,
                                         uint8_t *transaction);

/**
 * Appends to a value; an absent one is empty. The result has at most 1 MiB.
 *
 * Needs:
 * `context` is a context of this library or NULL; `key` has 32 bytes, `data` has `length`.
 */
kith_status kith_context_append(kith_context *context,
                                const uint8_t *key,
                                const uint8_t *data,
                                size_t length,
                                uint8_t *transaction);

/**
 * A batch without operations.
 *
 * Needs:
 * `batch` is NULL or may be written.
 */
kith_status kith_batch_new(kith_batch **batch);

/**
 * Frees a batch.
 *
 * Needs:
 * `batch` is a batch of this library or NULL, and is not used any more.
 */
void kith_batch_free(kith_batch *batch);

/**
 * Adds the operation of kith_context_put to a batch.
 *
 * Needs:
 * `batch` is a batch of this library or NULL; `key` has 32 bytes, `value` has `value_length`.
 */
kith_status kith_batch_put(kith_batch *batch, const uint8_t *key, const uint8_t *value, size_t value_length);

/**
 * Adds the operation of kith_context_delete to a batch.
 *
 * Needs:
 * `batch` is a batch of this library or NULL; `key` has 32 bytes.
 */
kith_status kith_batch_delete(kith_batch *batch, const uint8_t *key);

/**
 * Adds the operation of kith_context_add to a batch.
 *
 * Needs:
 * `batch` is a batch of this library or NULL; `key` has 32 bytes.
 */
kith_status kith_batch_add(kith_batch *batch, const uint8_t *key, int64_t number);

/**
 * Adds the operation of kith_context_compare_and_set to a batch.
 *
 * Needs:
 * `batch` is a batch of this library or NULL; `key` has 32 bytes, `expected` and `value` have theirs.
 */
kith_status kith_batch_compare_and_set(kith_batch *batch,
                                       const uint8_t *key,
                                       const uint8_t *expected,
                                       size_t expected_length,
                                       const uint8_t *value,
                                       size_t value_length);

/**
 * Adds the operation of kith_context_append to a batch.
 *
 * Needs:
 * `batch` is a batch of this library or NULL; `key` has 32 bytes, `data` has `length`.
 */
kith_status kith_batch_append(kith_batch *batch, const uint8_t *key, const uint8_t *data, size_t length);

/**
 * Carries out a batch, all of it or, if one operation is refused, nothing. The batch stays as it is, and the caller's.
 *
 * Needs:
 * `context` is a context and `batch` a batch of this library, or NULL; `transaction` is NULL or has room for 32 bytes.
 */
kith_status kith_context_batch(kith_context *context,
                               const kith_batch *batch,
                               uint8_t *transaction);

/**
 * Puts the node to rest, for systems that stop apps in the background: finishes what was begun, closes connections, sockets and the store, and
 * gives back its files and their locks, so that another process may open the directory. Blocks until that is done, whatever the thread has
 * bound by kith_cancel_bind. Handles stay good and streams of events wait. Until kith_node_resume, calls that need the store or the network are KITH_CLOSED;
 * kith_node_contexts, kith_node_status and what handles know by themselves go on. Twice is fine. A node without a directory keeps its
 * store in memory.
 *
 * KITH_TIMEOUT if that is not done within `deadline_ms`, since an application does not return from a call: it goes on in the background. KITH_STORAGE if the
 * store cannot be closed in order: the node is suspended all the same, files and locks are given back, and resuming opens the store anew.
 *
 * Needs:
 * `node` is a node of this library or NULL.
 */
kith_status kith_node_suspend(kith_node *node,
                              uint64_t deadline_ms);

/**
 * Takes a suspended node up again: opens the store, listens at the ports from before where they are free, and dials the known peers. Blocks
 * while the store opens. A directory that another process has open by now is KITH_BUSY, and the node stays suspended. Of a node that is not
 * suspended nothing changes. Cancelling it lets it finish in the background.
 *
 * Needs:
 * `node` is a node of this library or NULL.
 */
kith_status kith_node_resume(kith_node *node);

/**
 * Whether the node is suspended, or is being so. Also true once it is shut down.
 *
 * Needs:
 * `node` is a node of this library or NULL.
 */
kith_status kith_node_is_suspended(const kith_node *node, bool *suspended);

/**
 * For the short times in which systems let apps run in the background: dials all known members' nodes at once, and returns when every context is in step
 * with those that are reached, when nobody is reached, or when the budget (at most a day) is used up. A suspended node is resumed for it and suspended
 * again, which may take up to 10 s more; an error of that is the answer, its text says how far the round had come, and what is there the next one tells. Cancelling it
 * lets it finish in the background.
 *
 * Of the outputs each may be NULL. `peers`: how many peers are connected at its end. `synced`: the ids (32 bytes each, one after the other) of the contexts that
 * hold what a connected member's node holds, and nothing else is known of; `behind`: of those of which that is not known.
 *
 * Needs:
 * `node` is a node of this library or NULL; the outputs are NULL or may be written.
 */
kith_status kith_node_sync_once(kith_node *node,
                                uint64_t budget_ms,
                                size_t *peers,
                                kith_buffer *synced,
                                kith_buffer *behind);

/**
 * Has `callback` told of what the library logs, up to `level` (KITH_LOG_…; what is above it costs nothing), for the whole process and
 * in the place of what was set before. NULL: nothing is told any more. When this returns the callback before is not running and will not
 * be called, and its `user_data` is freed by its `free_user_data`, unless that is NULL. If this fails, nothing has changed.
 *
 * Needs:
 * `callback` and `user_data` may be used from any thread.
 */
kith_status kith_log_set(uint32_t level,
                         kith_log_callback callback,
                         void *user_data,
                         kith_free_callback free_user_data);

/**
 * The members of the context. At most `capacity` are written; `count` gets how many there are. There are at most 1,024.
 *
 * Needs:
 * `context` is a context of this library or NULL; `members` has room for `capacity`.
 */
kith_status kith_context_members(const kith_context *context,
                                 kith_member *members,
                                 size_t capacity,
                                 size_t *count);

/**
 * Gives a member (32 bytes) another role. Needs an admin; an admin is demoted only by a senior one or by itself.
 * `transaction`, unless NULL, gets the id of the transaction (32 bytes).
 *
 * Needs:
 * `context` is a context of this library or NULL; `member` has 32 bytes; `transaction` is NULL or has room for 32 bytes.
 */
kith_status kith_context_set_role(kith_context *context,
                                  const uint8_t *member,
                                  uint32_t role,
                                  uint8_t *transaction);

/**
 * Gives the context a name for people, at most 128 bytes. Needs an admin. `transaction`, unless NULL, gets the id of the transaction (32
 * bytes).
 *
 * Needs:
 * `context` is a context of this library or NULL; `name` ends in NUL; `transaction` is NULL or has room for 32 bytes.
 */
kith_status kith_context_set_name(kith_context *context,
                                  const char *name,
                                  uint8_t *transaction);

/**
 * Says what this member calls itself, in at most 128 bytes; empty takes it back. `transaction`, unless NULL, gets the id of the
 * transaction (32 bytes).
 *
 * Needs:
 * `context` is a context of this library or NULL; `name` ends in NUL; `transaction` is NULL or has room for 32 bytes.
 */
kith_status kith_context_set_display_name(kith_context *context,
                                          const char *name,
                                          uint8_t *transaction);

/**
 * Removes a member (32 bytes). Needs an admin; an admin is removed only by a senior one. What the member wrote and this node has not
 * seen does not count. `transaction`, unless NULL, gets the id of the transaction (32 bytes).
 *
 * Needs:
 * `context` is a context of this library or NULL; `member` has 32 bytes; `transaction` is NULL or has room for 32 bytes.
 */
kith_status kith_context_remove(kith_context *context,
                                const uint8_t *member,
                                uint8_t *transaction);

/**
 * Leaves the context: tells the others and deletes this node's copy. The last admin of a context with other members has to make another
 * one admin first (KITH_PERMISSION_DENIED). The handle is still to be freed.
 *
 * Needs:
 * `context` is a context of this library or NULL.
 */
kith_status kith_context_leave(kith_context *context);

/**
 * Makes an invitation; `token` gets its text, to be handed to who shall join. Needs an admin. `options` may be NULL: one writer, a week.
 *
 * Needs:
 * `context` is a context of this library or NULL; `options` is NULL or was filled by kith_invite_options_init.
 */
kith_status kith_context_invite(kith_context *context,
                                const kith_invite_options *options,
                                kith_buffer *token);

/**
 * The invitations of the context. At most `capacity` are written; `count` gets how many there are.
 *
 * Needs:
 * `context` is a context of this library or NULL; `invitations` has room for `capacity`.
 */
kith_status kith_context_invitations(const kith_context *context,
                                     kith_invitation *invitations,
                                     size_t capacity,
                                     size_t *count);

/**
 * Takes an invitation back, by its id of 32 bytes (of kith_invitation). Needs an admin. Who joined by it without this having been seen
 * is out. `transaction`, unless NULL, gets the id of the transaction (32 bytes).
 *
 * Needs:
 * `context` is a context of this library or NULL; `invitation` has 32 bytes; `transaction` is NULL or has room for 32 bytes.
 */
kith_status kith_context_revoke(kith_context *context,
                                const uint8_t *invitation,
                                uint8_t *transaction);

/**
 * Rejects a call for all members, by its transaction's id of 32 bytes: the way out when a local fault stops applying (KITH_EVENT_BLOCKED). Needs
 * an admin. `transaction`, unless NULL, gets the id of the skipping transaction (32 bytes).
 *
 * Needs:
 * `context` is a context of this library or NULL; `skipped` has 32 bytes; `transaction` is NULL or has room for 32 bytes.
 */
kith_status kith_context_skip(kith_context *context,
                              const uint8_t *skipped,
                              uint8_t *transaction);

/**
 * Makes new keys: for this member, and for all that is sent from now on, by anybody who has heard of it. For when a device may have been copied: who has
 * the copy, and no more than listens, opens nothing that follows. Durable and on its way when it returns. KITH_UNSUPPORTED in a context whose payloads
 * are not sealed. How it stands with the keys: kith_context_security.
 *
 * Needs:
 * `context` is a context of this library or NULL.
 */
kith_status kith_context_rotate_keys(kith_context *context);

/**
 * Names the invitation, 32 bytes; for kith_context_revoke.
 *
 * Needs:
 * `invitation` ends in NUL; `id` has room for 32 bytes.
 */
kith_status kith_invitation_id(const char *invitation, uint8_t *id);

/**
 * An invitation as bytes, shorter than its text.
 *
 * Needs:
 * `invitation` ends in NUL.
 */
kith_status kith_invitation_to_bytes(const char *invitation, kith_buffer *bytes);

/**
 * The text of an invitation, from what kith_invitation_to_bytes gave.
 *
 * Needs:
 * `bytes` has `length` bytes.
 */
kith_status kith_invitation_from_bytes(const uint8_t *bytes, size_t length, kith_buffer *invitation);

/**
 * The addresses of members that an invitation names, one a line.
 *
 * Needs:
 * `invitation` ends in NUL.
 */
kith_status kith_invitation_addresses(const char *invitation, kith_buffer *addresses);

/**
 * An invitation as a QR code for a terminal: lines of half blocks, for light characters on a dark ground. At most 100 columns; a usual
 * one has less than 80.
 *
 * Needs:
 * `invitation` ends in NUL.
 */
kith_status kith_invitation_qr(const char *invitation,
                               kith_buffer *drawing);

/**
 * Opens a node in a directory, which is made if it does not exist. A directory that another node has open is KITH_BUSY at once.
 * With `path` NULL everything is kept in memory and gone when the node is closed. `options` may be NULL: the defaults.
 * Blocks while the store opens.
 *
 * Needs:
 * `path` is NULL or ends in NUL; `options` is NULL or was filled by kith_node_options_init.
 */
kith_status kith_node_open(const char *path,
                           const kith_node_options *options,
                           kith_node **node);

/**
 * Closes the node: finishes what was begun, closes connections and the store, and releases its files. Blocks until that is
 * done. From then on all calls with the node and its contexts are KITH_CLOSED. Twice is fine. The handle is still to be freed.
 *
 * Needs:
 * `node` is a node of this library or NULL.
 */
kith_status kith_node_shutdown(kith_node *node);

/**
 * Frees a node. One that was not shut down closes in the background, which does not block; call kith_node_shutdown before, to
 * know that it has closed. Contexts of the node are freed on their own, before or after.
 *
 * Needs:
 * `node` is a node of this library or NULL, and is not used any more.
 */
void kith_node_free(kith_node *node);

/**
 * The node's id in the network, as text.
 *
 * Needs:
 * `node` is a node of this library or NULL.
 */
kith_status kith_node_id(const kith_node *node, kith_buffer *id);

/**
 * Where the node listens: multiaddresses with /p2p/…, one a line.
 *
 * Needs:
 * `node` is a node of this library or NULL.
 */
kith_status kith_node_addresses(const kith_node *node, kith_buffer *addresses);

/**
 * How it stands with the node and the peers it knows, as a JSON object:
 *  - id; addresses; contexts: their ids;
 *  - peers: of each peer, connected, relayed (the link goes through a relay), addresses, last_failure, next_attempt_in (ms);
 *  - relays: of each of kith_node_options.relays relay (as it was given), address (where others reach this node through it; null: it gives no
 *    place), longest (ms that a connection through it may last, if it says so), most_bytes (that may go through one), reason (why it gave no place the last
 *    time, as a kind: "Unreachable", "Timeout", "Busy" …), last_failure (the same for people), next_attempt_in (ms);
 *  - sealed: whether everything in the directory is sealed under a key that the host keeps; key_file: whether that key lies in a file beside the store, since
 *    the host gave none, so that whoever can read the directory can read everything in it;
 *  - copied: whether the directory is a copy of another node's, or an import that nobody has adopted: it signs nothing (kith_node_adopt);
 *  - strangers: nodes that connected and did not prove to be a member's, counted since the node was opened or resumed (anybody may connect, so there are no events of
 *    it): linked (now), ended (links that are over for no reason of these:), refused (too many connections), unfinished (no link came of them: the other side went, or
 *    is no node of Kith; members drop all connections but the first), misbehaved (the protocol or its limits were broken), version (no common one), timeout;
 *  - suspended: then there are no peers and no addresses;
 *  - storage: "sled", "redb", or null: in memory.
 *
 * Needs:
 * `node` is a node of this library or NULL.
 */
kith_status kith_node_status(const kith_node *node,
                             kith_buffer *json);

/**
 * Connects to a peer by a multiaddress with /p2p/…, and keeps it connected from then on. Blocks until it is reached or not.
 *
 * Needs:
 * `node` is a node of this library or NULL; `address` ends in NUL.
 */
kith_status kith_node_connect(const kith_node *node,
                              const char *address);

/**
 * Creates a context with this node as its first member and admin. `application` is "kv" (or NULL for it) or one that
 * was registered; `arguments` are what the application is set up with, none for "kv"; `name` is what people call the context, at most 128 bytes, or NULL.
 * What is written there is sealed as by default (KITH_ENCRYPTION_X25519): kith_node_create_context_with for another way.
 *
 * Needs:
 * `node` is a node of this library or NULL; texts end in NUL; `arguments` has `arguments_length` bytes.
 */
kith_status kith_node_create_context(kith_node *node,
                                     const char *application,
                                     const uint8_t *arguments,
                                     size_t arguments_length,
                                     const char *name,
                                     kith_context **context);

/**
 * Reads an invitation. Joins nothing.
 *
 * Needs:
 * `node` is a node of this library or NULL; `invitation` ends in NUL.
 */
kith_status kith_node_inspect(const kith_node *node, const char *invitation, kith_invitation_info *info);

/**
 * Joins a context by an invitation. Blocks until this node is a member and has caught up, for at most `timeout_ms`. If it fails,
 * nothing of the context stays. Joining a context that this node is a member of gives that context.
 *
 * Needs:
 * `node` is a node of this library or NULL; `invitation` ends in NUL.
 */
kith_status kith_node_join(kith_node *node,
                           const char *invitation,
                           uint64_t timeout_ms,
                           kith_context **context);

/**
 * The ids of the contexts that this node holds: 32 bytes each, one after the other.
 *
 * Needs:
 * `node` is a node of this library or NULL.
 */
kith_status kith_node_contexts(const kith_node *node, kith_buffer *ids);

/**
 * The contexts that this node holds, with their names. At most `capacity` are written; `count` gets how many there are.
 *
 * Needs:
 * `node` is a node of this library or NULL; `contexts` has room for `capacity`.
 */
kith_status kith_node_context_infos(const kith_node *node,
                                    kith_context_info *contexts,
                                    size_t capacity,
                                    size_t *count);

/**
 * A context that this node holds, by its id of 32 bytes; KITH_NOT_FOUND if it does not. Each call gives a handle of its own, to be freed.
 *
 * Needs:
 * `node` is a node of this library or NULL; `id` has 32 bytes.
 */
kith_status kith_node_context(const kith_node *node,
                              const uint8_t *id,
                              kith_context **context);

/**
 * Sets the options that this struct had first to their defaults, for programs that were built when it had no others. With this header the macro of the
 * same name is used, which says how long the struct is.
 *
 * Needs:
 * `options` is NULL or may be written.
 */
void kith_node_options_init(kith_node_options *options);

/**
 * Sets all options of a struct of this size to their defaults: what kith_node_options_init is in this header. `size` is sizeof(kith_node_options), as the
 * caller's header has it; no more is written.
 *
 * Needs:
 * `options` is NULL, or `size` bytes may be written there.
 */
void kith_node_options_init_sized(kith_node_options *options,
                                  size_t size);

/**
 * Sets a `kith_node_options` to its defaults, as long as it is in this header. NULL: nothing happens.
 */
#define kith_node_options_init(place) kith_node_options_init_sized((place), sizeof(kith_node_options))

/**
 * Sets the options that this struct had first to their defaults, for programs that were built when it had no others. With this header the macro of the
 * same name is used, which says how long the struct is.
 *
 * Needs:
 * `options` is NULL or may be written.
 */
void kith_invite_options_init(kith_invite_options *options);

/**
 * Sets all options of a struct of this size to their defaults: what kith_invite_options_init is in this header. `size` is sizeof(kith_invite_options), as the
 * caller's header has it; no more is written.
 *
 * Needs:
 * `options` is NULL, or `size` bytes may be written there.
 */
void kith_invite_options_init_sized(kith_invite_options *options,
                                    size_t size);

/**
 * Sets a `kith_invite_options` to its defaults, as long as it is in this header. NULL: nothing happens.
 */
#define kith_invite_options_init(place) kith_invite_options_init_sized((place), sizeof(kith_invite_options))

/**
 * The directory for a program's node on this system, for kith_node_open; nothing is made there. `name` is the program's, 1 to 64 bytes that
 * can be a folder's name. Linux and other Unix: $XDG_DATA_HOME/NAME, else ~/.local/share/NAME; macOS: ~/Library/Application Support/NAME; Windows:
 * NAME in %LOCALAPPDATA%; Android and iOS: KITH_UNSUPPORTED, the host knows its own.
 *
 * Needs:
 * `name` ends in NUL.
 */
kith_status kith_default_directory(const char *name,
                                   kith_buffer *path);

/**
 * What a transaction said and did, by its id of 32 bytes; KITH_NOT_FOUND if it is not in the history. It goes back by kith_receipt_free.
 *
 * Needs:
 * `context` is a context of this library or NULL; `id` has 32 bytes.
 */
kith_status kith_context_receipt(const kith_context *context,
                                 const uint8_t *id,
                                 kith_receipt **receipt);

/**
 * Frees a receipt, and with it what its accessors pointed to.
 *
 * Needs:
 * `receipt` is a receipt of this library or NULL, and is not used any more.
 */
void kith_receipt_free(kith_receipt *receipt);

/**
 * The transaction.
 *
 * Needs:
 * `receipt` is a receipt of this library or NULL.
 */
kith_status kith_receipt_transaction(const kith_receipt *receipt, kith_transaction *transaction);

/**
 * Of a call: the method. Never NULL; empty if the transaction is no call.
 *
 * Needs:
 * `receipt` is a receipt of this library or NULL.
 */
const char *kith_receipt_method(const kith_receipt *receipt);

/**
 * Of a call: the arguments; `length`, unless NULL, gets how many bytes.
 *
 * Needs:
 * `receipt` is a receipt of this library or NULL.
 */
const uint8_t *kith_receipt_arguments(const kith_receipt *receipt, size_t *length);

/**
 * Of a call that counts: the application's answer; `length`, unless NULL, gets how many bytes.
 *
 * Needs:
 * `receipt` is a receipt of this library or NULL.
 */
const uint8_t *kith_receipt_answer(const kith_receipt *receipt, size_t *length);

/**
 * Why the transaction does nothing at its place. Never NULL; empty if it counts or is not executed yet.
 *
 * Needs:
 * `receipt` is a receipt of this library or NULL.
 */
const char *kith_receipt_reason(const kith_receipt *receipt);

/**
 * How many messages the call emitted.
 *
 * Needs:
 * `receipt` is a receipt of this library or NULL.
 */
size_t kith_receipt_emitted_count(const kith_receipt *receipt);

/**
 * A message that the call emitted. What is given points into the receipt and lives until it is freed.
 *
 * Needs:
 * `receipt` is a receipt of this library or NULL.
 */
kith_status kith_receipt_emitted_at(const kith_receipt *receipt,
                                    size_t index,
                                    const char **name,
                                    const uint8_t **data,
                                    size_t *length);

/**
 * Seals the directory under another key of 32 bytes, or under a passphrase (the other one is NULL), while everything goes on: at once, however much
 * there is, since only the random key that the records are sealed under is sealed anew. A crash leaves a directory that the old key opens, or the
 * new one. When this has returned only the new one does, and a key file is gone. KITH_UNSUPPORTED for a node without a directory, KITH_CLOSED
 * while it is suspended. Cancelling it lets it finish in the background.
 *
 * Who has a copy of the directory from before and the old key reads that copy, and with the random key in it later ones: after a theft of both, export the
 * directory and import it into a new one.
 *
 * Needs:
 * `node` is a node of this library or NULL; `key` is NULL or has 32 bytes; `passphrase` is NULL or ends in NUL.
 */
kith_status kith_node_change_storage_key(kith_node *node,
                                         const uint8_t *key,
                                         const char *passphrase);

/**
 * Exports everything to a new file that only its owner can read, sealed under a key of 32 bytes or a passphrase (the other one is NULL): a backup,
 * while the node goes on; with sled changes wait meanwhile. Blocks while it is written. kith_node_import makes a directory of it. KITH_INVALID_ARGUMENT if the file is
 * there already. `exported` may be NULL. Cancelling it lets it finish in the background.
 *
 * Needs:
 * `node` is a node of this library or NULL; `path` ends in NUL; `key` is NULL or has 32 bytes; `passphrase` is NULL or ends in NUL; `exported`
 * is NULL or may be written.
 */
kith_status kith_node_export(const kith_node *node,
                             const char *path,
                             const uint8_t *key,
                             const char *passphrase,
                             kith_exported *exported);

/**
 * Sets all options of a struct of this size to their defaults: what kith_import_options_init is in this header. `size` is sizeof(kith_import_options), as
 * the caller's header has it; no more is written.
 *
 * Needs:
 * `options` is NULL, or `size` bytes may be written there.
 */
void kith_import_options_init_sized(kith_import_options *options,
                                    size_t size);

/**
 * Sets a `kith_import_options` to its defaults, as long as it is in this header. NULL: nothing happens.
 */
#define kith_import_options_init(place) kith_import_options_init_sized((place), sizeof(kith_import_options))

/**
 * Makes a node's directory at `path` of the export at `from`, which is sealed under a key of 32 bytes or a passphrase (the other one is NULL). It is there whole
 * or not at all: on an error nothing is. A node that is opened in it is the same member, and signs nothing (kith_node_status: copied) until kith_node_adopt, unless
 * the export is a move. Blocks while it is written; it needs no node, and cannot be cancelled.
 *
 * KITH_NOT_FOUND if the file is not there; KITH_INVALID_ARGUMENT if the directory is there and not empty, or the file is no export; KITH_KEY_REQUIRED if it needs
 * another key; KITH_VERSION_MISMATCH if a newer library has written it; KITH_CORRUPT if anything of it is damaged, missing or too much.
 *
 * `options` may be NULL: the defaults, which seal the directory under a key file. `imported` may be NULL.
 *
 * Needs:
 * Texts end in NUL; `key` is NULL or has 32 bytes; `passphrase` is NULL or ends in NUL; `options` is NULL or was filled by kith_import_options_init, and its
 * key and passphrase are as these; `imported` is NULL or may be written.
 */
kith_status kith_node_import(const char *from,
                             const uint8_t *key,
                             const char *passphrase,
                             const char *path,
                             const kith_import_options *options,
                             kith_exported *imported);

/**
 * Says that a directory is the only one that signs as its members, which only its owner can know: after it was copied to where it belongs by other means, or for
 * a backup whose origin is gone for good, with the dangers of kith_import_options.adopt. `key` (32 bytes) or `passphrase` is the directory's own; both
 * NULL: it has a key file. Blocks while the store is opened; it needs no node, and cannot be cancelled. KITH_BUSY if a node has the directory open,
 * KITH_NOT_FOUND if there never was one, KITH_KEY_REQUIRED for another key.
 *
 * Needs:
 * `path` ends in NUL; `key` is NULL or has 32 bytes; `passphrase` is NULL or ends in NUL.
 */
kith_status kith_node_adopt(const char *path,
                            const uint8_t *key,
                            const char *passphrase);

/**
 * How it stands with the context's keys.
 *
 * Needs:
 * `context` is a context of this library or NULL; `security` is NULL or may be written.
 */
kith_status kith_context_security(const kith_context *context, kith_security *security);

/**
 * The name of a status as it stands in this header, for logs: "KITH_NOT_FOUND". Never NULL; lives forever.
 * A number that is no status gives "KITH_UNKNOWN".
 */
const char *kith_status_name(uint32_t status);

/**
 * Has `callback` told of the events from now on, or, if `after` is not NULL, of those after that cursor and then from now on
 * (KITH_CURSOR_EXPIRED as in kith_context_events). The last one is KITH_EVENT_CLOSED, when the context or the node is closed.
 * `free_user_data`, unless NULL, is called once, when no call can come any more. If this fails, `user_data` stays the caller's.
 *
 * Needs:
 * `context` is a context of this library or NULL; `after` is NULL or can be read; `callback` and `user_data` may be used from another thread.
 */
kith_status kith_context_on_event(const kith_context *context,
                                  const uint64_t *after,
                                  kith_event_callback callback,
                                  void *user_data,
                                  kith_free_callback free_user_data,
                                  kith_subscription **subscription);

/**
 * Ends the subscription, and waits until the callback has returned: after that no call comes, and `user_data` is freed. From inside
 * an event callback (its own or another one) it does not wait: the call under way is the last one, and `user_data` is freed after it.
 *
 * Needs:
 * `subscription` is one of this library or NULL, and is not used any more.
 */
void kith_subscription_free(kith_subscription *subscription);

/**
 * A fresh hub.
 *
 * Needs:
 * `hub` is NULL or may be written.
 */
kith_status kith_hub_new(kith_hub **hub);

/**
 * Frees the handle. Nodes that were opened with the hub go on to meet there.
 *
 * Needs:
 * `hub` is a hub of this library or NULL, and is not used any more.
 */
void kith_hub_free(kith_hub *hub);

/**
 * Breaks the link between two nodes and keeps them apart until kith_hub_heal.
 *
 * Needs:
 * `hub` is a hub of this library or NULL, and so are the nodes.
 */
kith_status kith_hub_partition(const kith_hub *hub, const kith_node *one, const kith_node *other);

/**
 * Lets two nodes meet again; they do so by themselves.
 *
 * Needs:
 * `hub` is a hub of this library or NULL, and so are the nodes.
 */
kith_status kith_hub_heal(const kith_hub *hub, const kith_node *one, const kith_node *other);

/**
 * For tests: two nodes that keep everything in memory and reach each other and nobody else. They meet when one joins a context of the
 * other. Both are to be shut down and freed as others are.
 *
 * Needs:
 * `one` and `other` are NULL or may be written.
 */
kith_status kith_test_nodes(kith_node **one,
                            kith_node **other);

/**
 * Recomputes the order, every receipt, every value and the state commitment from the history, compares them with what is kept, and names the first
 * difference. Nothing is changed. Returns KITH_OK when it has looked at everything, also if something differs: see `part`.
 *
 * All calls are executed once more, so it blocks for as long as executing the history did; other callers of the context wait for a slice of it at
 * most, other contexts not at all. Cancelling (kith_cancel_bind) ends it. A record that the store cannot read is KITH_CORRUPT.
 *
 * Needs:
 * `context` is a context of this library or NULL; `verification` is NULL or may be written.
 */
kith_status kith_context_verify(const kith_context *context,
                                kith_verification *verification);

/**
 * Why a key (32 bytes) has its value: a page of the calls that wrote it, in order, after a place (48 bytes, or NULL for the start), at most `capacity` and at most
 * 1,000. `count` gets how many were written; 0 is the end. Calls that were rejected for what they read of the key are among them. (Who was not permitted has
 * read nothing; that is in kith_context_history.)
 *
 * Needs:
 * `context` is a context of this library or NULL; `key` has 32 bytes; `after` is NULL or has 48 bytes; `explanations` has room for `capacity`.
 */
kith_status kith_context_explain(const kith_context *context,
                                 const uint8_t *key,
                                 const uint8_t *after,
                                 kith_explanation *explanations,
                                 size_t capacity,
                                 size_t *count);

/**
 * The version of the library that runs, like "0.1.0". Never NULL; lives forever. Compare it with KITH_VERSION, the
 * version of the header.
 */
const char *kith_version(void);

/**
 * The number of the binary interface of the library that runs. Compare it with KITH_ABI_VERSION.
 */
uint32_t kith_abi_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KITH_H */

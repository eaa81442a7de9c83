/*
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
#define KITH_VERSION_MAJOR 0
#define KITH_VERSION_MINOR 1
#define KITH_VERSION_PATCH 0

/**
 * The number of the binary interface, which is also in the library's SONAME. Programs built for one number run with
 * every library of that number.
 */
#define KITH_ABI_VERSION 0

/**
 * What a call returns: KITH_OK, or why it failed. The numbers never change; kith_last_error has the text.
 */
typedef enum kith_status {
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
 * Bytes that the library allocated and the caller owns. Freed with kith_buffer_free. `data` is NULL when `length` is 0.
 */
typedef struct kith_buffer {
    /**
     * The first byte.
     */
    uint8_t *data;
    /**
     * How many there are.
     */
    size_t length;
} kith_buffer;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Copies the text of the last call of this thread that failed into `buffer`, ended by NUL and cut at a character
 * if `length` bytes are too few. `needed`, unless NULL, gets the length of the whole text with its NUL. With a
 * `length` of 0, `buffer` may be NULL. Calls that succeed leave the text as it is.
 *
 * # Safety
 * `buffer` has room for `length` bytes.
 */
enum kith_status kith_last_error(char *buffer,
                                 size_t length,
                                 size_t *needed);

/**
 * Frees what a buffer holds and empties it. NULL, an empty buffer and one that was freed before are left alone.
 *
 * # Safety
 * `buffer` is NULL or was filled by this library.
 */
void kith_buffer_free(struct kith_buffer *buffer);

/**
 * The name of a status as it stands in this header, for logs: "KITH_NOT_FOUND". Never NULL; lives forever.
 * A number that is no status gives "KITH_UNKNOWN".
 */
const char *kith_status_name(uint32_t status);

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

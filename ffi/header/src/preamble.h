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

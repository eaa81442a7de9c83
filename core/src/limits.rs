//! Every limit in one place. Each is tested at the edge and one past it.

/// Longest method name, in bytes of UTF-8.
pub const METHOD: usize = 255;
/// Largest value in the state, in bytes.
pub const VALUE: usize = 1 << 20;
/// Largest arguments of a call, and largest output, in bytes.
pub const ARGUMENTS: usize = (1 << 20) + 4096;
/// Most entries in one page.
pub const PAGE_ENTRIES: usize = 1000;
/// Most bytes (keys and values) in one page, unless a single entry is larger.
pub const PAGE_BYTES: usize = 1 << 20;
/// Most parents of a transaction, besides the author's own previous one.
pub const PARENTS: usize = 16;
/// Most members of a context.
pub const MEMBERS: usize = 1024;
/// Most bytes that one transaction writes.
pub const WRITE_BYTES: usize = 4 << 20;
/// Most keys that one transaction writes.
pub const WRITE_KEYS: usize = 10_000;
/// Most keys and ranges that one transaction reads.
pub const READ_KEYS: usize = 100_000;
/// Room for transactions that wait for their parents, in bytes for each context.
pub const WAITING: usize = 32 << 20;
/// The share of the waiting room that one delivering peer can fill, in bytes.
pub const WAITING_FOR_EACH_PEER: usize = 8 << 20;
/// Largest frame on a stream, in bytes.
pub const FRAME: usize = 4 << 20;
/// Largest invitation token, in bytes.
pub const INVITATION: usize = 600;
/// Longest note of an invitation, in bytes of UTF-8.
pub const NOTE: usize = 128;
/// Longest name of an application, in bytes of UTF-8.
pub const APPLICATION_NAME: usize = 64;
/// Longest run of one author's transactions that a single signature covers.
pub const RUN: usize = 256;
/// Largest payload of a transaction, in bytes: arguments, method name and their framing.
pub const PAYLOAD: usize = ARGUMENTS + METHOD + 64;
/// Most tips of one author that a `Remove` or `SetRole` names.
pub const TIPS: usize = 64;

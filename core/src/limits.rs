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
/// Largest `Epoch`: 32 KiB of wraps, and the rest.
pub const EPOCH: usize = (32 << 10) + 4096;
/// Largest public ratchet key, with its number.
pub const RATCHET_KEY: usize = 2048;
/// Most tips of one author that a `Remove` or `SetRole` names.
pub const TIPS: usize = 64;
/// Aim for the length of a run in catch-up. Short enough for the headers that are kept where a step ends in the middle of one to be
/// few, long enough for verifying to cost little.
pub const SYNC_RUN: usize = 16;
/// Aim for the size of a batch of transactions in catch-up, in bytes before compression.
pub const SYNC_BATCH: usize = 1 << 20;
/// The same on a link through a relay, which may cut it after 128 KiB: each batch that arrives whole is a step.
pub const SYNC_BATCH_NARROW: usize = 32 << 10;
/// Most bytes of a batch before compression; checked before it is decompressed.
pub const SYNC_BATCH_MOST: usize = 3 << 20;
/// Most bytes of batches (before compression) that a peer may send ahead of what was made durable here.
pub const SYNC_WINDOW: usize = 6 << 20;
/// Most batches that a peer may send ahead of what was made durable here.
pub const SYNC_WINDOW_BATCHES: usize = 64;
/// Largest message for gossip.
pub const GOSSIP: usize = 64 << 10;
/// With more members than this a context gossips, and its nodes push to so many others directly.
pub const DIRECT: usize = 8;
/// Most transactions that are asked for by id at once.
pub const SYNC_WANTED: usize = 256;
/// Most tips in one page of a state vector, unless one author has more.
pub const SYNC_VECTOR_PAGE: usize = 4096;
/// Most tips in a whole state vector.
pub const SYNC_VECTOR: usize = 1 << 16;
/// Most new transactions that wait to be pushed to one peer.
pub const SYNC_PUSHES: usize = 4096;
/// Most transactions by which a member shows whose word made it one, and a former member is shown that it was removed.
pub const SYNC_LINEAGE: usize = 32;
/// Most transactions that a joiner gets to prove that it is a member.
pub const SYNC_SUPPORTING: usize = 8;
/// Most transactions of the evidence that a former member gets.
pub const SYNC_EVIDENCE: usize = 4096;
/// Most bytes of the evidence.
pub const SYNC_EVIDENCE_BYTES: usize = 8 << 20;
/// Most bytes of such transactions in one message.
pub const SYNC_COVERED: usize = 2 << 20;
/// Most channels that are open on one link.
pub const SYNC_CHANNELS: usize = 1024;
/// Most wrong openings that one link answers before it is cut.
pub const SYNC_WRONG_OPENINGS: usize = 4096;
/// Most sealed transactions that each side of a session remembers to be unopened at the other.
pub const SYNC_SHARES: usize = 4096;
/// Longest wrap of an epoch's seed for one member, in bytes.
pub const WRAP: usize = 1200;
/// Longest way from a wrap to the root of an epoch's wraps.
pub const WRAP_PATH: usize = 10;
/// Up to so many bytes all wraps of an epoch go to each of its recipients, who hands them on; of more each gets its own, from the author.
pub const WRAPS_SHARED: usize = 256 << 10;
/// Most epochs whose wraps each side of a session remembers to have asked for, and to have been asked for.
pub const SYNC_WRAPS: usize = 256;
/// Longest peer id, in bytes.
pub const PEER_ID: usize = 128;

//! Switches that break single rules on purpose, so that the tests can show that they would notice.

#[cfg(feature = "fault-switches")]
use std::sync::atomic::{AtomicU8, Ordering};

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// All rules hold.
    None = 0,
    /// Ties in the order are broken by arrival, not by id.
    TieBreakByArrival = 1,
    /// Calls that read a changed entry do not run again.
    SkipRerun = 2,
    /// A removal does not count against what sorts before it.
    RemovalWithoutLast = 3,
    /// A lamport number is taken as it is given.
    ForgetLamport = 4,
    /// A parent need not be whose and which it is said to be.
    ForgetParent = 5,
    /// Batches are not flushed before what they hold is sent.
    FlushLate = 6,
    /// What was published is not noted beside the store.
    ForgetMark = 7,
    /// An invitation is good for one more than its uses.
    UseOnceMore = 8,
    /// What waits for its past is dropped, and nobody is asked.
    DropFromRoom = 9,
    /// Who names an author in its state vector is taken to have all of that author's transactions.
    TrustVector = 10,
    /// A reader's calls count.
    ReadersWrite = 11,
    /// Callers are answered before the batch is stored.
    AnswerEarly = 12,
    /// What is still to be executed is forgotten with the process.
    ForgetPending = 13,
    /// A call reads what is newest, not what was there at its place.
    ReadNewest = 14,
    /// Removing an entry leaves it in the commitment.
    CommitDeleted = 15,
    /// What covers a transaction without a signature is not kept.
    ForgetCover = 16,
    /// The key of a message stays after it was opened.
    KeepKeys = 17,
    /// A removal changes nothing of the keys.
    KeepEpoch = 18,
    /// Nobody is asked for what cannot be opened.
    AskNobody = 19,
    /// What is sealed with a chain is stored, and the chain as it was.
    SealTwice = 20,
    /// Any admin's word that this member was removed is believed, though its history does not have it.
    BelieveJuniors = 21,
    /// What a peer shares of a sealed call is taken for what it says.
    TrustShares = 22,
    /// Whoever asks to be let in is told to ask another one.
    AdmitNobody = 23,
    /// An invitation is refused as used up once it has been used at all.
    UseOnce = 24,
    /// The checksum of a stored record is not compared.
    BelieveRecords = 25,
    /// A demotion leaves a member its role.
    KeepRole = 26,
    /// Old events are never deleted.
    KeepEvents = 27,
    /// A call that was let in has used its key, and what it says is not kept.
    ForgetPlaintext = 28,
    /// No signature on a transaction is verified.
    TakeSignatures = 29,
    /// A row that cannot be read is taken for one that is not there.
    UnreadIsAbsent = 30,
    /// A check of the tables does not look whether what the history is said to hold is there.
    LookAtNoIds = 31,
    /// However much a peer has not acknowledged, more is sent.
    SendAhead = 32,
    /// What an admin may do, any member may.
    AnybodyGoverns = 33,
    /// A new ratchet key is the old one, under a new number.
    KeepRatchet = 34,
    /// An epoch is sealed to the first key of each member, whatever it has published since.
    SealToOld = 35,
    /// A message's nonce hangs on its key alone, and not on what it says.
    SameNonce = 36,
    /// An author's chains in epochs that it has left stay.
    KeepChains = 37,
    /// Old ratchet keys stay.
    KeepRatchets = 38,
    /// An old ratchet key stays until all have seen a newer one, however long that takes.
    KeepForWeeks = 39,
    /// The root between two members stays what it was after the first wrap.
    KeepRoot = 40,
    /// Who has got an epoch's wraps at last tells nobody of those that have asked for them before.
    TellNobody = 41,
    /// A session that ends is begun again at once if its peer was in step before, however short it was.
    MeetAtOnce = 42,
}

impl Fault {
    /// Each broken rule, which the simulator has to find.
    pub const ALL: [Self; 42] = [
        Self::TieBreakByArrival,
        Self::SkipRerun,
        Self::RemovalWithoutLast,
        Self::ForgetLamport,
        Self::ForgetParent,
        Self::FlushLate,
        Self::ForgetMark,
        Self::UseOnceMore,
        Self::DropFromRoom,
        Self::TrustVector,
        Self::ReadersWrite,
        Self::AnswerEarly,
        Self::ForgetPending,
        Self::ReadNewest,
        Self::CommitDeleted,
        Self::ForgetCover,
        Self::KeepKeys,
        Self::KeepEpoch,
        Self::AskNobody,
        Self::SealTwice,
        Self::BelieveJuniors,
        Self::TrustShares,
        Self::AdmitNobody,
        Self::UseOnce,
        Self::BelieveRecords,
        Self::KeepRole,
        Self::KeepEvents,
        Self::ForgetPlaintext,
        Self::TakeSignatures,
        Self::UnreadIsAbsent,
        Self::LookAtNoIds,
        Self::SendAhead,
        Self::AnybodyGoverns,
        Self::KeepRatchet,
        Self::SealToOld,
        Self::SameNonce,
        Self::KeepChains,
        Self::KeepRatchets,
        Self::KeepForWeeks,
        Self::KeepRoot,
        Self::TellNobody,
        Self::MeetAtOnce,
    ];
}

#[cfg(feature = "fault-switches")]
static CURRENT: AtomicU8 = AtomicU8::new(0);

#[cfg(feature = "fault-switches")]
/// Breaks a rule, for the whole process.
pub fn set(fault: Fault) {
    CURRENT.store(fault as u8, Ordering::SeqCst);
}

#[cfg(not(feature = "fault-switches"))]
pub(crate) const fn is(_: Fault) -> bool {
    false
}

#[cfg(feature = "fault-switches")]
pub(crate) fn is(fault: Fault) -> bool {
    CURRENT.load(Ordering::SeqCst) == fault as u8
}

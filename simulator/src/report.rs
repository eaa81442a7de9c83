//! What came of a world, in numbers.

use std::hash::Hasher;

use crate::booty::Stolen;

/// What came of a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Happenings.
    pub events: u64,
    /// Rounds of contexts.
    pub rounds: u64,
    /// Transactions of the longest history.
    pub transactions: u64,
    /// The most transactions that some node held and could prove by what is kept for that alone.
    pub covered: u64,
    /// Calls that were acknowledged.
    pub acknowledged: u64,
    /// Starts after a crash.
    pub restarts: u64,
    /// Processes that died in a write.
    pub died_writing: u64,
    /// Frames.
    pub frames: u64,
    /// Full comparisons with a replay.
    pub replays: u64,
    /// Epochs whose keys were tried to be had by those who must not have them, and the same by those who may.
    pub thefts: (u64, u64),
    /// Calls that were sealed with a key with which another one was, by who was set back with all that could tell.
    pub twice: u64,
    /// Members whose newest ratchet key all others had seen: their old ones are gone.
    pub forgotten: u64,
    /// What came of copied devices.
    pub stolen: Stolen,
    /// Those of these epochs that have their wraps apart from the transaction.
    pub apart: u64,
    /// Answers about wraps that went astray.
    pub astray: u64,
    /// Epochs whose wraps somebody waits for at the end.
    pub wanted: u64,
    /// Members that had replaced a ratchet key more than a week ago, with somebody away who has not heard of that: it is gone.
    pub outlived: u64,
    /// Messages that ask for what is sealed and not opened.
    pub lacking: u64,
    /// Calls that could not be opened at the end, which a liar sent.
    pub unopened: u64,
    /// ms of virtual time until all were equal.
    pub equal_after: u64,
    /// Rounds of all nodes from when nothing failed any more until all were equal.
    pub healing: u64,
    /// ms for which the longest sleep went on once the faults had stopped.
    pub slept: u64,
    /// Nodes whose state is another one than the others', since their application is.
    pub diverged: u64,
    /// Removed members in whose stores was looked for what follows their removal.
    pub parted: u64,
    /// Joiners that were told why they are not let in.
    pub refused: u64,
    /// Answers of liars that said of sealed calls what they do not say.
    pub false_shares: u64,
    /// Epochs and ratchet keys of liars that are not what they must be.
    pub false_keys: u64,
    /// Torn stores that were right, and those of which that was told.
    pub torn: (u64, u64),
    /// Reads that failed.
    pub failed_reads: u64,
    /// What came nearest to its limit, in hundredths of it.
    pub fullest: (usize, &'static str),
    /// A fingerprint of everything that happened.
    pub trace: u64,
}

/// A fingerprint that goes on from the one before; the same in each process and on each machine of 64 bits.
pub(crate) struct Print(pub(crate) u64);

impl Hasher for Print {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The upper half decides on the lower one too, in the next step.
        self.0 = (self.0.rotate_left(29) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

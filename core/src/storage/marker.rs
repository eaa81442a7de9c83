//! What every batch writes about itself, and what was acknowledged of it: together they show a store that went back.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use super::Keyspace;
use crate::storage::files::{Files, io_error};
use crate::storage::sealing::Sealer;
use crate::{Error, Result};

/// Written in the same transaction as each batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Marker {
    /// How many batches there have been.
    pub(crate) batch: u64,
    /// A hash over all batches, each over the one before it.
    pub(crate) digest: [u8; 32],
    /// No chunk with this id or a greater one belongs to anything.
    pub(crate) next_chunk: u64,
    /// For each key space: how many records it has, and the sum of their checksums.
    pub(crate) sums: [Sum; Keyspace::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Sum {
    pub(crate) records: u64,
    pub(crate) checksums: u64,
    /// A damaged record was replaced, so that what it had counted for is not known: not to be compared.
    pub(crate) unknown: bool,
}

impl Sum {
    /// Compares what was found in a key space with what the marker says of it: nothing is missing, and nothing older.
    pub(crate) fn check(&self, found: Sum, keyspace: Keyspace) -> Result<()> {
        if self.unknown || *self == found {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "the key space `{}` has {} records where {} were written, or older ones",
            keyspace.name(),
            found.records,
            self.records
        )))
    }

    pub(crate) fn add(&mut self, checksum: [u8; 8]) {
        self.records = self.records.wrapping_add(1);
        self.checksums = self.checksums.wrapping_add(u64::from_le_bytes(checksum));
    }

    pub(crate) fn remove(&mut self, checksum: [u8; 8]) {
        self.records = self.records.wrapping_sub(1);
        self.checksums = self.checksums.wrapping_sub(u64::from_le_bytes(checksum));
    }
}

impl Marker {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        borsh::to_vec(self).map_err(|error| Error::internal(format!("encoding the marker: {error}")))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        borsh::from_slice(bytes).map_err(|_| Error::corrupt("the store's marker is damaged"))
    }
}

/// What was acknowledged as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) batch: u64,
    pub(crate) digest: [u8; 32],
    /// The store was closed in order, and not opened since.
    pub(crate) clean: bool,
}

impl Acknowledged {
    /// Whether a store that has this marker has all that was acknowledged.
    pub(crate) fn check(&self, found: &Marker) -> Result<()> {
        if found.batch < self.batch || (found.batch == self.batch && found.digest != self.digest) {
            return Err(Error::corrupt(format!(
                "the store has gone back: batch {} was acknowledged, and batch {} is the last one here",
                self.batch, found.batch
            )));
        }
        Ok(())
    }
}

const SLOT: usize = 64;
/// The two slots lie in two sectors of the medium.
const SLOT_DISTANCE: u64 = 4096;

/// The file `acknowledged`: two slots, written in turn. It is written after the sync that makes a batch durable, so what
/// it says can never be ahead of the truth; it is not synced itself, so it may be behind.
#[derive(Debug)]
pub(crate) struct Progress {
    path: PathBuf,
    file: File,
    sealer: Arc<Sealer>,
    writes: u64,
    last: Acknowledged,
}

impl Progress {
    pub(crate) fn open(path: &Path, sealer: &Arc<Sealer>) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.map_err(|error| io_error("opening the file `acknowledged`", &error))?;
        let mut bytes = Vec::new();
        let read = (&mut file).take(2 * SLOT_DISTANCE).read_to_end(&mut bytes);
        read.map_err(|error| io_error("reading the file `acknowledged`", &error))?;
        let second = bytes.get(SLOT_DISTANCE as usize..).unwrap_or_default();
        let slots = [decode_slot(sealer, &bytes), decode_slot(sealer, second)];
        let (writes, last) =
            slots.into_iter().flatten().max_by_key(|(writes, _)| *writes).unwrap_or_default();
        Ok(Self { path: path.to_owned(), file, sealer: Arc::clone(sealer), writes, last })
    }

    pub(crate) const fn last(&self) -> Acknowledged {
        self.last
    }

    pub(crate) fn write(&mut self, acknowledged: Acknowledged) -> Result<()> {
        self.writes += 1;
        let slot = encode_slot(&self.sealer, self.writes, &acknowledged);
        let written = self.file.seek(SeekFrom::Start(self.writes % 2 * SLOT_DISTANCE));
        let written = written.and_then(|_| self.file.write_all(&slot));
        written.map_err(|error| io_error("writing the file `acknowledged`", &error))?;
        self.last = acknowledged;
        Ok(())
    }

    pub(crate) fn write_durably(&mut self, files: &Files, acknowledged: Acknowledged) -> Result<()> {
        self.write(acknowledged)?;
        let synced = files.sync_file(&self.path, &self.file);
        synced.map_err(|error| io_error("syncing the file `acknowledged`", &error))
    }
}

pub(super) fn slot_checksum(sealer: &Sealer, slot: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_keyed(sealer.mac());
    hasher.update(b"acknowledged").update(slot);
    let mut sum = [0; 8];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    sum
}

pub(super) fn encode_slot(sealer: &Sealer, writes: u64, acknowledged: &Acknowledged) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&writes.to_le_bytes());
    slot[8..16].copy_from_slice(&acknowledged.batch.to_le_bytes());
    slot[16..48].copy_from_slice(&acknowledged.digest);
    slot[48] = u8::from(acknowledged.clean);
    let sum = slot_checksum(sealer, &slot[..56]);
    slot[56..].copy_from_slice(&sum);
    slot
}

pub(super) fn decode_slot(sealer: &Sealer, bytes: &[u8]) -> Option<(u64, Acknowledged)> {
    let slot = bytes.first_chunk::<SLOT>()?;
    let number = |at: usize| slot[at..].first_chunk().copied().map(u64::from_le_bytes);
    let acknowledged =
        Acknowledged { batch: number(8)?, digest: *slot[16..].first_chunk()?, clean: slot[48] == 1 };
    (slot[56..] == slot_checksum(sealer, &slot[..56])).then_some((number(0)?, acknowledged))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(key: u8) -> Arc<Sealer> {
        Arc::new(Sealer::plain(zeroize::Zeroizing::new([key; 32])))
    }

    fn acknowledged(batch: u64) -> Acknowledged {
        Acknowledged { batch, digest: [batch as u8; 32], clean: batch.is_multiple_of(2) }
    }

    #[test]
    fn the_last_write_is_found_and_a_torn_one_leaves_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("acknowledged");
        assert_eq!(Progress::open(&path, &sealer(5)).unwrap().last(), Acknowledged::default());
        for batch in 1..6 {
            let mut progress = Progress::open(&path, &sealer(5)).unwrap();
            progress.write(acknowledged(batch)).unwrap();
            assert_eq!(progress.last(), acknowledged(batch));
            let good = std::fs::read(&path).unwrap();
            let mut torn = good.clone();
            torn[(progress.writes % 2 * SLOT_DISTANCE) as usize + 20] ^= 1;
            std::fs::write(&path, torn).unwrap();
            let before = if batch == 1 { Acknowledged::default() } else { acknowledged(batch - 1) };
            assert_eq!(Progress::open(&path, &sealer(5)).unwrap().last(), before);
            std::fs::write(&path, good).unwrap();
            assert_eq!(Progress::open(&path, &sealer(5)).unwrap().last(), acknowledged(batch));
        }
        assert_eq!(Progress::open(&path, &sealer(6)).unwrap().last(), Acknowledged::default());
    }

    #[test]
    fn the_marker_comes_back() {
        let mut marker = Marker { batch: 3, digest: [4; 32], next_chunk: 5, ..Marker::default() };
        marker.sums[2].add([1; 8]);
        marker.sums[2].add([2; 8]);
        marker.sums[2].remove([1; 8]);
        assert_eq!(marker.sums[2], Sum { records: 1, checksums: u64::from_le_bytes([2; 8]), unknown: false });
        assert_eq!(Marker::decode(&marker.encode().unwrap()).unwrap(), marker);
        assert!(Marker::decode(&marker.encode().unwrap()[1..]).is_err());
    }
}

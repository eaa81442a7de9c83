//! Exports: whole between any two engines, and whatever happens to the stream on the way is told, with nothing left behind.

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use super::workload::{Shape, batch, check};
use crate::replica::{ContextId, MemberId, TransactionId};
use crate::storage::export::{read, write};
use crate::storage::{
    Batch, Durability, HighWater, ImportOptions, Keyspace, Mark, MemoryStore, Purpose, SCHEMA, StorageEngine,
    StorageKey, Store, adopt, export, import, open,
};
use crate::{ErrorKind, Result};

const ENGINES: [StorageEngine; 2] = [StorageEngine::Sled, StorageEngine::Redb];
const MARK: Mark = Mark { sequence: 7, id: TransactionId([3; 32]) };
const OF: (ContextId, MemberId) = (ContextId([1; 32]), MemberId([2; 32]));

fn key() -> StorageKey {
    StorageKey::new([9; 32])
}

/// A directory with so many batches in it, and a mark.
fn made(engine: StorageEngine, batches: u64, shape: Shape) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), engine, None, None).unwrap();
    for number in 1..=batches {
        store.commit(&batch(1, number, shape), Durability::Process).unwrap();
    }
    let mut keys = Batch::default();
    keys.put(Keyspace::Keys, [&[0; 4][..], b"node"].concat(), [5; 32]);
    store.commit(&keys, Durability::Power).unwrap();
    let marks = HighWater::open_beside(directory.path(), false, store.sealing()).unwrap();
    marks.raise(&[(OF.0, OF.1, MARK)]).unwrap();
    store.close().unwrap();
    directory
}

/// Whether the directory has everything, and whether it signs.
fn look(directory: &Path, batches: u64, shape: Shape) -> bool {
    let store = open(directory, StorageEngine::Auto, None, None).unwrap();
    assert_eq!(check(&*store, 1, shape, batches), Ok(batches));
    let marks = HighWater::open_beside(directory, true, store.sealing()).unwrap();
    assert_eq!(marks.get(&OF.0, &OF.1), Some(MARK));
    store.close().unwrap();
    !marks.copied()
}

fn options(engine: StorageEngine) -> ImportOptions {
    ImportOptions { engine, ..ImportOptions::default() }
}

#[test]
fn a_store_goes_whole_from_any_engine_to_any_other() {
    for from in ENGINES {
        let source = made(from, 12, Shape::Mixed);
        for to in ENGINES {
            let root = tempfile::tempdir().unwrap();
            let file = root.path().join("export");
            let target = root.path().join("deep/node");
            let exported = export(source.path(), None, &file, &key(), Purpose::Backup).unwrap();
            let imported = import(&file, &key(), &target, &options(to)).unwrap();
            assert_eq!(exported, imported);
            assert!(exported.records > 100 && !exported.moved);
            assert!(!look(&target, 12, Shape::Mixed), "a backup signs nothing");
            assert!(look(source.path(), 12, Shape::Mixed), "and what it was made of goes on");
            // Until its owner says that it may.
            adopt(&target, None).unwrap();
            assert!(look(&target, 12, Shape::Mixed));
            let refused = open(&target, ENGINES[usize::from(to == ENGINES[0])], None, None).err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            }
        }
    }
}

#[test]
fn a_move_signs_at_one_place_only() {
    for (from, to) in [(ENGINES[0], ENGINES[1]), (ENGINES[1], ENGINES[0])] {
        let source = made(from, 3, Shape::Small);
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("export");
        let moved = export(source.path(), None, &file, &key(), Purpose::Move).unwrap();
        assert!(moved.moved);
        assert!(!look(source.path(), 3, Shape::Small), "what has moved signs nothing");
        let again =
            export(source.path(), None, &root.path().join("again"), &key(), Purpose::Move).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::InvalidArgument, "nor does it move twice");
        assert!(!root.path().join("again").exists() && !root.path().join("again.partial").exists());
        let target = root.path().join("node");
        assert!(import(&file, &key(), &target, &options(to)).unwrap().moved);
        assert!(look(&target, 3, Shape::Small));
    }
}

#[test]
fn nothing_is_written_over_and_what_is_missing_is_said() {
    let source = made(ENGINES[0], 1, Shape::Small);
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("export");
    export(source.path(), None, &file, &key(), Purpose::Backup).unwrap();
    let again = export(source.path(), None, &file, &key(), Purpose::Backup).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::InvalidArgument);
    let nowhere = root.path().join("nowhere");
    let missing = export(&nowhere, None, &root.path().join("e"), &key(), Purpose::Backup).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(!nowhere.exists());
    assert_eq!(
        import(&nowhere, &key(), &nowhere, &options(ENGINES[0])).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let full = root.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("something"), b"of the user's").unwrap();
    let refused = import(&file, &key(), &full, &options(ENGINES[0])).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    // An empty one is used, and what an import that was killed has left is no hindrance.
    let empty = root.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    std::fs::create_dir_all(root.path().join("empty.importing/store")).unwrap();
    import(&file, &key(), &empty, &options(ENGINES[1])).unwrap();
    look(&empty, 1, Shape::Small);
    let held = open(&empty, StorageEngine::Auto, None, None).unwrap();
    let busy = export(&empty, None, &root.path().join("b"), &key(), Purpose::Backup).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    held.close().unwrap();
}

#[test]
fn only_the_key_of_the_export_opens_it_and_a_passphrase_is_one() {
    let source = made(ENGINES[1], 1, Shape::Small);
    let root = tempfile::tempdir().unwrap();
    let words = StorageKey::from_passphrase("words").unwrap();
    for (right, wrong) in [(key(), words.clone()), (words, key())] {
        let file = root.path().join(format!("{:p}", &right));
        export(source.path(), None, &file, &right, Purpose::Backup).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"\xffcounte"), "it is sealed");
        let target = root.path().join("node");
        for wrong in [&wrong, &StorageKey::new([1; 32])] {
            let refused = import(&file, wrong, &target, &options(ENGINES[0])).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::KeyRequired);
            assert!(!target.exists());
        }
        import(&file, &right, &target, &options(ENGINES[0])).unwrap();
        std::fs::remove_dir_all(&target).unwrap();
        std::fs::remove_file(&file).unwrap();
    }
}

/// An export of a small store in memory.
fn stream(records: u32, size: usize) -> Vec<u8> {
    let store = MemoryStore::new();
    let mut batch = Batch::default();
    for number in 0..records {
        batch.put(Keyspace::State, number.to_be_bytes(), vec![number as u8; size]);
    }
    store.commit(&batch, Durability::Power).unwrap();
    let mut bytes = Vec::new();
    write(&store, None, Purpose::Backup, &key(), &mut bytes).unwrap();
    bytes
}

/// What an import of a stream comes to; whatever it is, nothing is left of one that failed.
fn outcome(mut from: impl Read) -> Result<u64> {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("node");
    let imported = read(&mut from, &key(), &target, &options(StorageEngine::Redb));
    match imported {
        Ok(imported) => {
            let store: Arc<dyn Store> = open(&target, StorageEngine::Auto, None, None)?;
            let found = store.snapshot()?.scan(Keyspace::State, &[], None, false, usize::MAX)?;
            assert_eq!(found.len() as u64, imported.records);
            Ok(imported.records)
        }
        Err(error) => {
            let left = std::fs::read_dir(root.path()).unwrap().count();
            assert_eq!(left, 0, "something is left after {error}");
            Err(error)
        }
    }
}

/// Where the frames of a stream begin, and its end.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let length = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut at = 16 + length(12) + 32;
    let mut frames = vec![at];
    while at < bytes.len() {
        at += 4 + length(at);
        frames.push(at);
    }
    frames
}

#[test]
fn any_flipped_bit_and_any_cut_is_told() {
    let good = stream(3, 40);
    assert_eq!(outcome(Cursor::new(&good)).unwrap(), 3);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        let kind = outcome(Cursor::new(&bad)).unwrap_err().kind();
        let expected = match at {
            0..8 => ErrorKind::InvalidArgument,
            8..12 if u32::from_le_bytes(bad[8..12].try_into().unwrap()) > 1 => ErrorKind::VersionMismatch,
            _ => ErrorKind::Corrupt,
        };
        assert_eq!(kind, expected, "byte {at}");
        assert_eq!(outcome(Cursor::new(&good[..at])).unwrap_err().kind(), ErrorKind::Corrupt, "cut at {at}");
    }
}

#[test]
fn frames_that_are_moved_doubled_left_out_or_of_another_export_are_told() {
    let good = stream(6, 200 << 10);
    let at = frames(&good);
    let parts: Vec<&[u8]> = at.windows(2).map(|w| &good[w[0]..w[1]]).collect();
    assert!(parts.len() >= 4, "{} frames", parts.len());
    let head = &good[..at[0]];
    let other = stream(6, 200 << 10);
    let others = frames(&other);
    let of_another = &other[others[1]..others[2]];
    let end = parts.len() - 1;
    let made = |parts: &[&[u8]]| [head, &parts.concat()].concat();
    assert_eq!(made(&parts), good);
    let swapped = {
        let mut p = parts.clone();
        p.swap(0, 1);
        p
    };
    let doubled = {
        let mut p = parts.clone();
        p.insert(1, parts[1]);
        p
    };
    let left_out = {
        let mut p = parts.clone();
        p.remove(1);
        p
    };
    let foreign = {
        let mut p = parts.clone();
        p[1] = of_another;
        p
    };
    let no_end = parts[..end].to_vec();
    let end_twice = {
        let mut p = parts.clone();
        p.push(parts[end]);
        p
    };
    let end_first = vec![parts[end]];
    for bad in [swapped, doubled, left_out, foreign, no_end, end_twice, end_first] {
        let error = outcome(Cursor::new(made(&bad))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    assert_eq!(outcome(Cursor::new([&good[..], b"more"].concat())).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// Endless data, with a good beginning of any length, ends in an error, without the memory that lengths announce.
#[test]
fn endless_data_is_told() {
    let good = stream(3, 40);
    for length in [0, 8, 12, 16, frames(&good)[0], frames(&good)[1], good.len()] {
        for byte in [0, 1, 0xff] {
            let endless = Cursor::new(&good[..length]).chain(std::io::repeat(byte));
            let error = outcome(endless).unwrap_err();
            assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
        }
    }
}

#[test]
fn another_version_or_schema_is_a_version_mismatch() {
    let mut newer = stream(1, 1);
    newer[8] = 2;
    assert_eq!(outcome(Cursor::new(&newer)).unwrap_err().kind(), ErrorKind::VersionMismatch);
    for (schema, from) in [(SCHEMA + 1, "newer"), (SCHEMA - 1, "too old")] {
        let mut bytes = stream(1, 1);
        bytes[16..20].copy_from_slice(&schema.to_le_bytes());
        let length = 16 + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        let hash = blake3::derive_key("kith 2026 export", &bytes[..length]);
        bytes[length..length + 32].copy_from_slice(&hash);
        let error = outcome(Cursor::new(&bytes)).unwrap_err();
        // An older one is read as far as its frames, whose header this one is not.
        let expected = if from == "newer" { ErrorKind::VersionMismatch } else { ErrorKind::Corrupt };
        assert_eq!(error.kind(), expected, "{from}: {error}");
    }
}

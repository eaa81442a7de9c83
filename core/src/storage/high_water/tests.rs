use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::files::{Event, Observer};
use super::*;

const CONTEXT: ContextId = ContextId([1; 32]);
const AUTHOR: MemberId = MemberId([2; 32]);

fn mark(sequence: u64, id: u8) -> Mark {
    Mark { sequence, id: TransactionId([id; 32]) }
}

#[test]
fn marks_come_back_and_only_rise() {
    let directory = tempfile::tempdir().unwrap();
    let marks = HighWater::open(directory.path()).unwrap();
    assert!(marks.fresh() && !marks.copied());
    assert_eq!(marks.get(&CONTEXT, &AUTHOR), None);
    marks.raise(&[(CONTEXT, AUTHOR, mark(3, 3)), (CONTEXT, AUTHOR, mark(4, 4))]).unwrap();
    marks.raise(&[(CONTEXT, AUTHOR, mark(2, 2)), (CONTEXT, AUTHOR, mark(4, 4))]).unwrap();
    drop(marks);
    let marks = HighWater::open(directory.path()).unwrap();
    assert!(!marks.fresh() && !marks.copied());
    assert_eq!(marks.get(&CONTEXT, &AUTHOR), Some(mark(4, 4)));
    assert_eq!(marks.get(&CONTEXT, &MemberId([3; 32])), None);
}

#[test]
fn a_second_transaction_with_the_same_sequence_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let marks = HighWater::open(directory.path()).unwrap();
    marks.raise(&[(CONTEXT, AUTHOR, mark(4, 4))]).unwrap();
    let other = MemberId([9; 32]);
    let refused = marks.raise(&[(CONTEXT, other, mark(1, 1)), (CONTEXT, AUTHOR, mark(4, 5))]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Equivocation);
    assert_eq!(marks.get(&CONTEXT, &other), None);
    let refused = marks.raise(&[(CONTEXT, other, mark(1, 1)), (CONTEXT, other, mark(1, 2))]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Equivocation);
    assert_eq!(marks.get(&CONTEXT, &other), None);
}

#[test]
fn a_copied_directory_is_recognised_and_a_moved_one_is_not() {
    let root = tempfile::tempdir().unwrap();
    let (first, moved, copy) = (root.path().join("a"), root.path().join("b"), root.path().join("c"));
    HighWater::open(&first).unwrap().raise(&[(CONTEXT, AUTHOR, mark(1, 1))]).unwrap();
    fs::rename(&first, &moved).unwrap();
    assert!(!HighWater::open(&moved).unwrap().copied());

    fs::create_dir(&copy).unwrap();
    fs::copy(moved.join(NAME), copy.join(NAME)).unwrap();
    let marks = HighWater::open(&copy).unwrap();
    assert!(marks.copied());
    assert_eq!(marks.get(&CONTEXT, &AUTHOR), Some(mark(1, 1)));
    marks.raise(&[(CONTEXT, AUTHOR, mark(2, 2))]).unwrap();
    assert!(HighWater::open(&copy).unwrap().copied(), "writing does not make a copy an original");
    marks.adopt().unwrap();
    assert!(!HighWater::open(&copy).unwrap().copied());
}

#[test]
fn another_machine_or_directory_is_another_place_and_another_device_number_is_not() {
    let here = Origin { device: 1, inode: 2, machine: Some([3; 32]) };
    assert!(here.same_place(&here));
    assert!(here.same_place(&Origin { device: 9, ..here.clone() }));
    assert!(here.same_place(&Origin { machine: None, ..here.clone() }));
    assert!(!here.same_place(&Origin { inode: 9, ..here.clone() }));
    assert!(!here.same_place(&Origin { machine: Some([9; 32]), ..here.clone() }));
}

#[test]
fn any_damage_is_corrupt_and_a_newer_version_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    HighWater::open(directory.path()).unwrap().raise(&[(CONTEXT, AUTHOR, mark(1, 1))]).unwrap();
    let good = fs::read(&path).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode(&bad, None).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert_eq!(HighWater::open(directory.path()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    fs::write(&path, [&good[..], &[0]].concat()).unwrap();
    assert_eq!(HighWater::open(directory.path()).unwrap_err().kind(), ErrorKind::Corrupt);
    let newer = slots::tests::of_a_later_version(&good);
    assert_eq!(decode(&newer, None).unwrap_err().kind(), ErrorKind::VersionMismatch);
}

#[test]
fn more_marks_than_fit_make_the_file_grow_and_none_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let length = || fs::metadata(directory.path().join(NAME)).unwrap().len();
    let author = |n: u64| MemberId(*blake3::hash(&n.to_le_bytes()).as_bytes());
    let mut marks = HighWater::open(directory.path()).unwrap();
    let start = length();
    for n in 0..100 {
        marks.raise(&[(CONTEXT, author(n), mark(n + 1, n as u8))]).unwrap();
        if n % 30 == 29 {
            drop(marks);
            marks = HighWater::open(directory.path()).unwrap();
        }
    }
    assert!(length() > start, "this test is about growing");
    let found = HighWater::open(directory.path()).unwrap();
    assert!((0..100).all(|n| found.get(&CONTEXT, &author(n)) == Some(mark(n + 1, n as u8))));
}

/// Counts syncs, and fails the one it is told to.
#[derive(Default)]
struct Watch {
    events: AtomicUsize,
    file_syncs: AtomicUsize,
    directory_syncs: AtomicUsize,
    fail_at: AtomicUsize,
    slow: AtomicBool,
}

impl Observer for Watch {
    fn before(&self, event: Event<'_>) -> io::Result<()> {
        if self.events.fetch_add(1, Ordering::SeqCst) + 1 == self.fail_at.load(Ordering::SeqCst) {
            return Err(io::Error::other("on purpose"));
        }
        match event {
            Event::SyncFile(_) => self.file_syncs.fetch_add(1, Ordering::SeqCst),
            Event::SyncDirectory(_) => self.directory_syncs.fetch_add(1, Ordering::SeqCst),
            _ => 0,
        };
        while self.slow.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        Ok(())
    }
}

#[test]
fn it_is_durable_on_return_and_concurrent_callers_share_the_work() {
    let directory = tempfile::tempdir().unwrap();
    let watch = Arc::new(Watch::default());
    let marks = HighWater::open_with(directory.path(), Files::observed(watch.clone()), false, None).unwrap();
    let syncs = || (watch.file_syncs.load(Ordering::SeqCst), watch.directory_syncs.load(Ordering::SeqCst));
    let before = syncs();
    marks.raise(&[(CONTEXT, AUTHOR, mark(1, 1))]).unwrap();
    assert_eq!(syncs(), (before.0 + 1, before.1), "one sync for a write");

    let rounds = marks.rounds();
    watch.slow.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let (watch, marks) = (&watch, &marks);
        let events = watch.events.load(Ordering::SeqCst);
        scope.spawn(|| marks.raise(&[(CONTEXT, AUTHOR, mark(2, 2))]).unwrap());
        while watch.events.load(Ordering::SeqCst) == events {
            std::thread::yield_now();
        }
        let author = |n: u8| MemberId([n; 32]);
        for n in 10..20 {
            scope.spawn(move || marks.raise(&[(CONTEXT, author(n), mark(1, n))]).unwrap());
        }
        while (10..20).any(|n| marks.get(&CONTEXT, &author(n)).is_none()) {
            std::thread::yield_now();
        }
        watch.slow.store(false, Ordering::SeqCst);
    });
    assert_eq!(marks.rounds() - rounds, 2, "one for the first caller, one for the ten others");
}

#[test]
fn a_failure_at_any_step_leaves_the_old_or_the_new_marks_and_poisons() {
    assert_eq!(failures_of_a_raise(1), 2, "write, sync");
    assert_eq!(failures_of_a_raise(100), 4, "a file that grows: write, sync, rename, sync of the directory");
}

/// Fails each step of a raise of so many marks, and says how many there were.
fn failures_of_a_raise(count: u8) -> usize {
    let mut failures = 0;
    for step in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let watch = Arc::new(Watch::default());
        let marks =
            HighWater::open_with(directory.path(), Files::observed(watch.clone()), false, None).unwrap();
        marks.raise(&[(CONTEXT, AUTHOR, mark(1, 1))]).unwrap();
        watch.fail_at.store(watch.events.load(Ordering::SeqCst) + step, Ordering::SeqCst);
        let mut new = vec![(CONTEXT, AUTHOR, mark(2, 2))];
        new.extend((1..count).map(|n| (CONTEXT, MemberId([n + 2; 32]), mark(1, n))));
        if marks.raise(&new).is_ok() {
            break;
        }
        failures += 1;
        assert!(marks.raise(&[(CONTEXT, AUTHOR, mark(3, 3))]).is_err(), "a failed sync is not tried again");
        let found = HighWater::open(directory.path()).unwrap().get(&CONTEXT, &AUTHOR).unwrap();
        assert!([1, 2].contains(&found.sequence));
    }
    failures
}

#[test]
fn a_used_store_without_marks_is_a_copy_for_good_until_it_is_adopted() {
    let root = tempfile::tempdir().unwrap();
    let (new, used) = (root.path().join("new"), root.path().join("used"));
    assert!(!HighWater::open_beside(&new, false, None).unwrap().copied());
    assert!(!HighWater::open_beside(&new, true, None).unwrap().copied(), "its marks are there");
    for opening in 0..2 {
        let marks = HighWater::open_beside(&used, true, None).unwrap();
        assert!(marks.copied(), "opening {opening}");
        marks.raise(&[(CONTEXT, AUTHOR, mark(1, 1))]).unwrap();
    }
    HighWater::open_beside(&used, true, None).unwrap().adopt().unwrap();
    assert!(!HighWater::open_beside(&used, true, None).unwrap().copied());
}

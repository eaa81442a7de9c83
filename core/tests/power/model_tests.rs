//! The model itself: which media it has for known calls, all of them and no other.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Settings;
use super::log::Op;
use super::model::{Model, PAGE, Survivors, Tree};
use super::workload::Random;

fn model(ops: &[Op]) -> Model {
    let empty = tempfile::tempdir().unwrap();
    let mut model = Model::of(empty.path());
    model.root_is(1);
    ops.iter().for_each(|op| model.apply(op).unwrap());
    model
}

fn media(ops: &[Op], journal: bool) -> BTreeSet<Tree> {
    let model = model(ops);
    let mut random = Random(1);
    let shares = [0, 60, 128, 200, 255].iter().cycle().take(4_000);
    shares.map(|share| model.image(Survivors::Some { share: *share, journal }, &mut random)).collect()
}

fn create(name: &str, file: u64) -> Op {
    Op::Create { path: PathBuf::from(name), file }
}

fn write(file: u64, at: u64, length: usize, byte: u8) -> Op {
    Op::Write { file, at, bytes: vec![byte; length] }
}

fn sync(file: u64) -> Op {
    Op::Sync { file, failed: false }
}

fn failed(file: u64) -> Op {
    Op::Sync { file, failed: true }
}

fn entries() -> Op {
    Op::SyncDirectory { directory: 1, failed: false }
}

/// The first byte of each page of the file `f`, in every medium.
fn pages(ops: &[Op]) -> BTreeSet<Vec<u8>> {
    let contents = media(ops, true).into_iter().map(|tree| tree["f"].clone().unwrap());
    contents.map(|content| content.chunks(PAGE).map(|page| page[0]).collect()).collect()
}

fn set<const N: usize>(pages: [&[u8]; N]) -> BTreeSet<Vec<u8>> {
    pages.iter().map(|pages| pages.to_vec()).collect()
}

pub fn every_medium_and_no_other(_: &Settings) {
    let begin = [create("f", 2), entries()];
    let after = |ops: &[Op]| pages(&[&begin[..], ops].concat());
    let two = 2 * PAGE;
    assert_eq!(after(&[write(2, 0, two, 1)]), set([&[], &[1], &[0, 1], &[1, 1]]), "any subset of pages");
    assert_eq!(after(&[write(2, 0, two, 1), sync(2)]), set([&[1, 1]]), "what was synced is there");
    let over = [write(2, 0, two, 1), sync(2), write(2, 0, two, 2), write(2, 0, two, 3)];
    let all = [1, 2, 3].map(|first| [1, 2, 3].map(|second| vec![first, second]));
    assert_eq!(after(&over), all.into_iter().flatten().collect(), "each page as any write has left it");
    let cut = [write(2, 0, two, 1), sync(2), Op::Length { file: 2, length: 0 }];
    assert_eq!(after(&cut), set([&[1, 1], &[]]));
    let again = [&cut[..], &[write(2, 0, PAGE, 2)]].concat();
    assert_eq!(after(&again), set([&[1, 1], &[], &[2]]), "no new page in what was not cut off yet");
    let longer = [
        write(2, 0, PAGE, 1),
        sync(2),
        Op::Length { file: 2, length: two as u64 },
        write(2, PAGE as u64, PAGE, 2),
    ];
    assert_eq!(after(&longer), set([&[1], &[1, 0], &[1, 2]]), "nothing beyond an end that was not moved");
    // Writing out without waiting makes nothing durable.
    assert_eq!(after(&[write(2, 0, PAGE, 1), Op::Range]), set([&[], &[1]]));
}

pub fn directories_and_failed_syncs(_: &Settings) {
    let names = |ops: &[Op], journal: bool| -> BTreeSet<String> {
        media(ops, journal).iter().map(|tree| tree.keys().cloned().collect::<Vec<_>>().join(" ")).collect()
    };
    let all = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let rename = Op::Rename { from: "a".into(), to: "b".into() };
    let ops = [create("a", 2), entries(), rename, create("c", 3), Op::Remove { path: "b".into() }];
    for journal in [true, false] {
        assert_eq!(names(&ops, journal), all(&["a", "b", "b c", "c"]), "in order, and a rename is one");
        assert_eq!(names(&[&ops[..], &[entries()]].concat(), journal), all(&["c"]));
    }
    // Two directories: in one journal the order is one; otherwise each keeps only its own.
    let make = Op::MakeDirectory { path: "d".into(), directory: 4 };
    let ops = [make, entries(), create("a", 5), create("d/b", 6)];
    assert_eq!(names(&ops, true), all(&["d", "a d", "a d d/b"]));
    assert_eq!(names(&ops, false), all(&["d", "a d", "a d d/b", "d d/b"]));
    let synced = [&ops[..], &[Op::SyncDirectory { directory: 4, failed: false }]].concat();
    assert_eq!(names(&synced, true), all(&["a d d/b"]));
    assert_eq!(names(&synced, false), all(&["d d/b", "a d d/b"]));

    // A sync that failed: later ones do not make good what it has left, but for what is written again.
    let begin = [create("f", 2), entries(), write(2, 0, PAGE, 1), sync(2), write(2, 0, PAGE, 2), failed(2)];
    let after = |ops: &[Op]| pages(&[&begin[..], ops].concat());
    assert_eq!(after(&[sync(2)]), set([&[1], &[2]]));
    assert_eq!(after(&[write(2, 1, 1, 3), sync(2)]), set([&[2]]));
    // The control: the same without the failure.
    let good = [create("f", 2), entries(), write(2, 0, PAGE, 2), sync(2)];
    assert_eq!(pages(&good), set([&[2]]));
}

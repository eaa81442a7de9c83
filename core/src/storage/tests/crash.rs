//! Loss of power, by the model: every image opens, has all that was acknowledged and nothing in part.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::power_loss::{Capture, Recorder, Survivors};
use super::workload::{Random, Shape, batch, check};
use crate::storage::files::Files;
use crate::storage::{Durability, SledOptions, SledStore, Store, Verify};

/// What became of the images of one run.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) images: usize,
    pub(super) bad: Vec<String>,
}

/// One run: so many batches of a shape, one in `power_every` with [`Durability::Power`], and images of moments on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) seed: u64,
    pub(super) batches: u64,
    pub(super) shape: Shape,
    pub(super) power_every: u64,
    /// An image of the moment after one batch in so many, and of the moment before one sync (or the like) in so many.
    pub(super) pause_every: u64,
    pub(super) capture_every: u64,
}

pub(super) fn quiet(options: SledOptions) -> SledOptions {
    // The timer would make a run depend on time.
    SledOptions { flush_every: Duration::from_secs(3600), ..options }
}

pub(super) fn power_loss(run: Run, options: SledOptions) -> Outcome {
    let root = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(root.path());
    let files = Files::observed(recorder.clone());
    recorder.capture_every.store(run.capture_every, Ordering::SeqCst);
    let options = SledOptions { files, ..quiet(options) };
    let store = SledStore::open(&root.path().join("node"), options.clone()).unwrap();
    for number in 1..=run.batches {
        let durability = if number % run.power_every == 0 { Durability::Power } else { Durability::Process };
        store.commit(&batch(run.seed, number, run.shape), durability).unwrap();
        if durability == Durability::Power {
            recorder.acknowledged.store(number, Ordering::SeqCst);
        }
        if number % run.pause_every == 0 || number == run.batches {
            recorder.capture();
        }
    }
    let captures = recorder.take_captures();
    store.close().unwrap();
    let mut outcome = Outcome::default();
    let mut random = Random(run.seed);
    for capture in captures {
        let shares = [30, 128, 230];
        let some = shares.map(|share| Survivors::Some(share, random.next()));
        for survivors in [Survivors::Synced, Survivors::Current].into_iter().chain(some) {
            outcome.images += 1;
            if let Err(what) = open_image(&capture, survivors, run, &options) {
                outcome.bad.push(format!("{survivors:?} of {run:?}: {what}"));
            }
        }
    }
    outcome
}

fn open_image(
    capture: &Capture,
    survivors: Survivors,
    run: Run,
    options: &SledOptions,
) -> Result<(), String> {
    let image = tempfile::tempdir().unwrap();
    capture.write(image.path(), survivors);
    let options = SledOptions { files: Files::default(), verify: Verify::Always, ..options.clone() };
    let node = image.path().join("node");
    let store = SledStore::open(&node, options).map_err(|error| error.to_string())?;
    check(&store, run.seed, run.shape, capture.acknowledged)?;
    // It is usable, too.
    let count = check(&store, run.seed, run.shape, 0)?;
    let next = store.commit(&batch(run.seed, count + 1, run.shape), Durability::Power);
    next.map_err(|error| error.to_string())?;
    check(&store, run.seed, run.shape, count + 1).map(drop)
}

fn all_good(runs: &[Run]) {
    let mut images = 0;
    for run in runs {
        let outcome = power_loss(*run, SledOptions::default());
        assert!(outcome.bad.is_empty(), "{} of {}: {:#?}", outcome.bad.len(), outcome.images, outcome.bad);
        images += outcome.images;
    }
    println!("{images} images, all good");
    assert!(images >= 60);
}

#[test]
fn small_batches_survive() {
    all_good(&[1, 2].map(|seed| Run {
        seed,
        batches: 80,
        shape: Shape::Small,
        power_every: 4,
        pause_every: 13,
        capture_every: 9,
    }));
}

#[test]
fn chunks_and_intents_survive() {
    all_good(&[3, 4].map(|seed| Run {
        seed,
        batches: 30,
        shape: Shape::Mixed,
        power_every: 3,
        pause_every: 13,
        capture_every: 11,
    }));
}

#[test]
fn much_without_power_in_between_survives() {
    all_good(&[LONG]);
}

/// 3 MB in 350 batches, with no flush but those that the barriers ask for.
pub(super) const LONG: Run = Run {
    seed: 5,
    batches: 350,
    shape: Shape::Middle,
    power_every: 10_000,
    pause_every: 30,
    capture_every: 0,
};

/// Images from before, while and after the store comes into being.
#[test]
fn creation_survives() {
    all_good(&[7, 8].map(|seed| Run {
        seed,
        batches: 8,
        shape: Shape::Small,
        power_every: 1,
        pause_every: 13,
        capture_every: 1,
    }));
}

/// A failure at each step of the creation, as a crash there would leave it: the next opening has an empty, working store.
#[test]
fn creation_that_broke_off_is_done_again() {
    struct FailAt(std::sync::atomic::AtomicU64);
    impl crate::storage::files::Observer for FailAt {
        fn before(&self, _: crate::storage::files::Event<'_>) -> std::io::Result<()> {
            let left = self.0.fetch_sub(1, Ordering::SeqCst);
            if left == 1 { Err(std::io::Error::other("on purpose")) } else { Ok(()) }
        }
    }
    let mut failures = 0;
    for step in 1.. {
        let root = tempfile::tempdir().unwrap();
        let node = root.path().join("node");
        let files = Files::observed(Arc::new(FailAt(step.into())));
        let first = SledStore::open(&node, SledOptions { files, ..SledOptions::default() });
        let failed = first.is_err();
        drop(first);
        let store = SledStore::open(&node, SledOptions::default()).unwrap();
        assert_eq!(check(&store, 1, Shape::Small, 0), Ok(0));
        store.commit(&batch(1, 1, Shape::Small), Durability::Power).unwrap();
        assert_eq!(check(&store, 1, Shape::Small, 1), Ok(1));
        if !failed {
            break;
        }
        failures += 1;
    }
    assert!(failures >= 10, "only {failures} steps can fail");
}

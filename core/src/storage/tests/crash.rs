//! Loss of power, by the model: every image opens, has all that was acknowledged and nothing in part.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::power_loss::{Capture, Recorder, Survivors};
use super::workload::{Random, Shape, batch, check};
use crate::Result;
use crate::storage::files::Files;
use crate::storage::{Durability, RedbOptions, RedbStore, SledOptions, SledStore, Store, Verify};

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

/// An engine with its options.
pub(super) trait Tested {
    fn open(&self, node: &Path, files: Files, verify: Verify) -> Result<Arc<dyn Store>>;
}

impl Tested for SledOptions {
    fn open(&self, node: &Path, files: Files, verify: Verify) -> Result<Arc<dyn Store>> {
        let options = SledOptions { files, verify, ..quiet(self.clone()) };
        Ok(Arc::new(SledStore::open(node, options)?))
    }
}

impl Tested for RedbOptions {
    fn open(&self, node: &Path, files: Files, verify: Verify) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(RedbStore::open(node, RedbOptions { files, verify, ..self.clone() })?))
    }
}

pub(super) fn power_loss(run: Run, options: impl Tested) -> Outcome {
    let root = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(root.path());
    let files = Files::observed(recorder.clone());
    recorder.capture_every.store(run.capture_every, Ordering::SeqCst);
    let store = options.open(&root.path().join("node"), files, Verify::default()).unwrap();
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
    options: &impl Tested,
) -> std::result::Result<(), String> {
    let image = tempfile::tempdir().unwrap();
    capture.write(image.path(), survivors);
    let store = options.open(&image.path().join("node"), Files::default(), Verify::Always);
    let store = store.map_err(|error| error.to_string())?;
    let store = &*store;
    check(store, run.seed, run.shape, capture.acknowledged)?;
    // It is usable, too.
    let count = check(store, run.seed, run.shape, 0)?;
    let next = store.commit(&batch(run.seed, count + 1, run.shape), Durability::Power);
    next.map_err(|error| error.to_string())?;
    check(store, run.seed, run.shape, count + 1).map(drop)
}

fn all_good(options: impl Tested + Clone, runs: &[Run]) {
    let mut images = 0;
    for run in runs {
        let outcome = power_loss(*run, options.clone());
        assert!(outcome.bad.is_empty(), "{} of {}: {:#?}", outcome.bad.len(), outcome.images, outcome.bad);
        images += outcome.images;
    }
    println!("{images} images, all good");
    assert!(images >= 60);
}

fn small_batches(options: impl Tested + Clone) {
    let run = |seed| Run {
        seed,
        batches: 80,
        shape: Shape::Small,
        power_every: 4,
        pause_every: 13,
        capture_every: 9,
    };
    all_good(options, &[1, 2].map(run));
}

/// For sled these are chunks and intents.
fn large_batches(options: impl Tested + Clone) {
    let run = |seed| Run {
        seed,
        batches: 30,
        shape: Shape::Mixed,
        power_every: 3,
        pause_every: 13,
        capture_every: 11,
    };
    all_good(options, &[3, 4].map(run));
}

/// Images from before, while and after the store comes into being.
fn creation(options: impl Tested + Clone) {
    let run = |seed| Run {
        seed,
        batches: 8,
        shape: Shape::Small,
        power_every: 1,
        pause_every: 13,
        capture_every: 1,
    };
    all_good(options, &[7, 8].map(run));
}

mod sled {
    use super::*;

    #[test]
    fn small_batches_survive() {
        small_batches(SledOptions::default());
    }

    #[test]
    fn chunks_and_intents_survive() {
        large_batches(SledOptions::default());
    }

    #[test]
    fn much_without_power_in_between_survives() {
        all_good(SledOptions::default(), &[LONG]);
    }

    #[test]
    fn creation_survives() {
        creation(SledOptions::default());
    }

    #[test]
    fn creation_that_broke_off_is_done_again() {
        broken_off(SledOptions::default());
    }
}

mod redb {
    use super::*;

    #[test]
    fn small_batches_survive() {
        small_batches(RedbOptions::default());
    }

    #[test]
    fn large_batches_survive() {
        large_batches(RedbOptions::default());
    }

    #[test]
    fn many_batches_survive() {
        all_good(RedbOptions::default(), &[LONG]);
    }

    #[test]
    fn creation_survives() {
        creation(RedbOptions::default());
    }

    #[test]
    fn creation_that_broke_off_is_done_again() {
        broken_off(RedbOptions::default());
    }

    /// The control: with syncs that do nothing, something is lost or torn.
    #[test]
    fn without_syncs_it_does_not_survive() {
        let run = Run {
            seed: 9,
            batches: 40,
            shape: Shape::Small,
            power_every: 1,
            pause_every: 5,
            capture_every: 0,
        };
        let outcome = power_loss(run, WithoutSyncs);
        assert!(!outcome.bad.is_empty(), "{} images, all good", outcome.images);
    }

    struct WithoutSyncs;

    impl Tested for WithoutSyncs {
        /// The recorder sees no sync of this store; what opens the images afterwards matters not.
        fn open(&self, node: &Path, _files: Files, verify: Verify) -> Result<Arc<dyn Store>> {
            RedbOptions::default().open(node, Files::default(), verify)
        }
    }
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

/// A failure at each step of the creation, as a crash there would leave it: the next opening has an empty, working store.
fn broken_off(options: impl Tested) {
    struct FailAt(AtomicI64);
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
        let countdown = Arc::new(FailAt(AtomicI64::new(step)));
        let files = Files::observed(countdown.clone());
        let first = options.open(&node, files, Verify::default());
        let failed = first.is_err();
        drop(first);
        let store = options.open(&node, Files::default(), Verify::default()).unwrap();
        let store = &*store;
        assert_eq!(check(store, 1, Shape::Small, 0), Ok(0));
        store.commit(&batch(1, 1, Shape::Small), Durability::Power).unwrap();
        assert_eq!(check(store, 1, Shape::Small, 1), Ok(1));
        if countdown.0.load(Ordering::SeqCst) > 0 {
            assert!(!failed);
            break;
        }
        // A step that is done once more later on may fail without harm.
        failures += u32::from(failed);
    }
    assert!(failures >= 10, "only {failures} steps can fail");
}

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::*;

/// Set by `cargo xtask fuzz --seeds`: the seeds are written into the corpus, not compared with it.
const WRITE: &str = "KITH_FUZZ_SEEDS";

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

/// A name for each decoder, and inputs that it has to take: its seeds, and each with a byte more and one less.
fn inputs(decoder: &Decoder) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for seed in (decoder.seeds)() {
        all.push([&seed[..], &[0]].concat());
        all.push(seed[..seed.len().saturating_sub(1)].to_vec());
        all.push(seed);
    }
    all
}

fn decoders() -> impl Iterator<Item = &'static Decoder> {
    TARGETS.iter().flat_map(|(_, decoders)| decoders.iter())
}

#[test]
fn real_values_pass_every_check() {
    let mut names = std::collections::BTreeSet::new();
    for decoder in decoders() {
        assert!(names.insert(decoder.name), "two decoders of the name {}", decoder.name);
        assert!(!(decoder.seeds)().is_empty(), "{} has no seed", decoder.name);
        for bytes in inputs(decoder) {
            (decoder.check)(&Input { bytes: &bytes, lenient: false });
        }
    }
}

/// The control of all of them.
#[test]
fn every_check_finds_a_decoder_that_does_not_look_at_the_last_byte() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let missed: Vec<&str> = decoders()
        .filter(|decoder| {
            let found =
                |bytes: &Vec<u8>| catch_unwind(|| (decoder.check)(&Input { bytes, lenient: true })).is_err();
            !inputs(decoder).iter().any(found)
        })
        .map(|decoder| decoder.name)
        .collect();
    std::panic::set_hook(hook);
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn the_corpus_passes_and_holds_the_seeds() {
    for (target, _) in TARGETS {
        for (name, seed) in seeds(target) {
            let path = corpus(target).join(name);
            if std::env::var_os(WRITE).is_some() {
                std::fs::create_dir_all(corpus(target)).unwrap();
                std::fs::write(&path, &seed).unwrap();
            }
            let kept = std::fs::read(&path).unwrap_or_default();
            assert_eq!(kept, seed, "{}: `cargo xtask fuzz --seeds` writes it anew", path.display());
        }
        for entry in std::fs::read_dir(corpus(target)).unwrap() {
            let path = entry.unwrap().path();
            let input = std::fs::read(&path).unwrap();
            assert!(catch_unwind(|| run(target, &input, false)).is_ok(), "{}", path.display());
        }
    }
}

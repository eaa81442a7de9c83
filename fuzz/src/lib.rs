//! What the fuzz targets share: see `docs/testing.md`. `cargo xtask fuzz` builds and runs them.

pub mod capi;
pub mod heap;
pub mod line;
pub mod session;
pub mod world;

use std::sync::OnceLock;

/// The control of a run (`KITH_FUZZ_DEFECT`): each target has to find it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defect {
    /// There is none.
    None,
    /// A rule of what is under test is broken: decoders do not look at their last byte, the engine takes lamport numbers as given, a
    /// caller uses a buffer that it has freed.
    Broken,
    /// As much memory is taken as the first bytes of an input say.
    Greedy,
}

/// The control of this run.
pub fn defect() -> Defect {
    static DEFECT: OnceLock<Defect> = OnceLock::new();
    *DEFECT.get_or_init(|| match std::env::var("KITH_FUZZ_DEFECT").as_deref() {
        Err(_) => Defect::None,
        Ok("broken") => Defect::Broken,
        Ok("greedy") => Defect::Greedy,
        Ok(other) => panic!("KITH_FUZZ_DEFECT is broken or greedy, not {other}"),
    })
}

/// Whether to say what an input does (`KITH_FUZZ_SHOW`), for who looks at one that was found.
pub fn show() -> bool {
    static SHOW: OnceLock<bool> = OnceLock::new();
    *SHOW.get_or_init(|| std::env::var_os("KITH_FUZZ_SHOW").is_some())
}

/// An input of a target of decoders. What it takes of memory has a bound that hangs on the length of the input alone.
pub fn decoders(target: &str, input: &[u8]) {
    let most = heap::FIXED + heap::EACH * input.len();
    let taken = heap::most_during(|| {
        kith_core::fuzzing::run(target, input, defect() == Defect::Broken);
        if defect() == Defect::Greedy {
            let claimed = input.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes) >> 4);
            drop(std::hint::black_box(Vec::<u8>::with_capacity(claimed as usize)));
        }
    });
    assert!(taken <= most, "{taken} bytes of memory for an input of {}: more than {most}", input.len());
}

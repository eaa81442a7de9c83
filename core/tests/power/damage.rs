//! One bit flipped, one page zeroed, the tail cut off, in each file of a store: the right data, or `Corrupt`, and never a panic. A record
//! may vanish from a store that was closed in order, if `verify` finds that out.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kith_core::ErrorKind;
use kith_core::storage::{Batch, Durability, Keyspace, Store, Verify};

use super::Settings;
use super::engines::Engine;
use super::model::{self, PAGE, Tree};
use super::recording::scratch;
use super::workload::Random;

const KEYS: u32 = 120;

fn content(number: u32, round: u32) -> Vec<u8> {
    vec![number as u8; ((number + round) as usize * 37) % 6_000]
}

fn expected(number: u32) -> Vec<u8> {
    content(number, if number.is_multiple_of(10) { 2 } else { 1 })
}

fn put_round(store: &dyn Store, round: u32) {
    for number in (0..KEYS).filter(|number| round < 2 || number.is_multiple_of(10)) {
        let mut batch = Batch::default();
        batch.put(Keyspace::State, number.to_be_bytes(), content(number, round));
        store.commit(&batch, Durability::Process).unwrap();
    }
}

/// The files of a store: closed in order, or as they are while it is open.
fn made(engine: Engine, closed: bool) -> Tree {
    let directory = scratch();
    // At its last opening an engine may note where its pages are: so some was written before, and some is behind.
    for round in 0..2 {
        let store = engine.open(directory.path()).unwrap();
        put_round(&*store, round);
        store.close().unwrap();
    }
    let store = engine.open(directory.path()).unwrap();
    put_round(&*store, 2);
    let mut last = Batch::default();
    last.delete(Keyspace::State, "nothing");
    store.commit(&last, Durability::Power).unwrap();
    if closed {
        store.close().unwrap();
    }
    model::tree_of(directory.path())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    Flip,
    Zero,
    Cut,
}

/// `None`: this damage changes nothing here.
fn damage(bytes: &[u8], kind: Damage, random: &mut Random) -> Option<Vec<u8>> {
    let mut damaged = bytes.to_vec();
    let used = bytes.iter().rposition(|byte| *byte != 0)? as u64 + 1;
    match kind {
        Damage::Flip => {
            let bit = random.below(used * 8);
            damaged[bit as usize / 8] ^= 1 << (bit % 8);
        }
        Damage::Zero => {
            let from = random.below(used.div_ceil(PAGE as u64)) as usize * PAGE;
            let to = bytes.len().min(from + PAGE);
            damaged[from..to].fill(0);
        }
        Damage::Cut => damaged.truncate(random.below(used) as usize),
    }
    (damaged != bytes).then_some(damaged)
}

/// How the store took it: `Err` if wrong.
fn look(engine: Engine, image: &Tree) -> Result<&'static str, String> {
    let at = scratch();
    model::write(image, at.path());
    let store = match engine.open(at.path()) {
        Ok(store) => store,
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok("refused"),
        Err(error) => return Err(format!("opening is no `Corrupt` but {error}")),
    };
    let (mut damaged, mut gone) = (false, false);
    let mut found = BTreeMap::new();
    for number in 0..KEYS {
        match store.snapshot().and_then(|snapshot| snapshot.get(Keyspace::State, &number.to_be_bytes())) {
            Ok(Some(value)) if value == expected(number) => {
                found.insert(number.to_be_bytes().to_vec(), value);
            }
            Ok(Some(_)) => return Err(format!("wrong bytes under {number}")),
            Ok(None) => gone = true,
            Err(error) if error.kind() == ErrorKind::Corrupt => damaged = true,
            Err(error) => return Err(format!("reading is no `Corrupt` but {error}")),
        }
    }
    match store.snapshot().and_then(|snapshot| snapshot.scan(Keyspace::State, &[], None, false, 1_000)) {
        Ok(entries) if !damaged && entries.iter().cloned().collect::<BTreeMap<_, _>>() == found => {}
        Ok(_) if gone => {}
        Ok(entries) => {
            return Err(format!("a scan has {} entries, {} can be read", entries.len(), found.len()));
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => damaged = true,
        Err(error) => return Err(format!("scanning is no `Corrupt` but {error}")),
    }
    if gone {
        // A record under a key that is none any more cannot be told from one that never was, but by counting: `verify` does.
        drop(store);
        return match engine.open_with(at.path(), Verify::Always) {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok("vanished"),
            Err(error) => Err(format!("verifying is no `Corrupt` but {error}")),
            Ok(_) => Err("a record is gone, and verifying does not find it".to_owned()),
        };
    }
    Ok(if damaged { "partly" } else { "right" })
}

pub fn every_engine(settings: &Settings) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let (mut wrong, mut seen) = (Vec::new(), BTreeMap::<_, u64>::new());
    for engine in Engine::OFFERED {
        if settings.engine.is_some_and(|wanted| wanted != *engine) {
            continue;
        }
        for closed in [true, false] {
            let whole = made(*engine, closed);
            assert_eq!(look(*engine, &whole), Ok("right"), "the control: undamaged");
            for (path, bytes) in whole.iter().filter_map(|(path, bytes)| Some((path, bytes.as_ref()?))) {
                let large = bytes.len() > 2 * PAGE;
                let places = if settings.all || large { 40 } else { 8 };
                for kind in [Damage::Flip, Damage::Zero, Damage::Cut] {
                    for place in 0..places {
                        let mut random = Random(settings.seed ^ place << 20 ^ (kind as u64) << 40);
                        let Some(damaged) = damage(bytes, kind, &mut random) else { continue };
                        let mut image = whole.clone();
                        image.insert(path.clone(), Some(damaged));
                        let looked = catch_unwind(AssertUnwindSafe(|| look(*engine, &image)));
                        match looked.unwrap_or_else(|_| Err("it panics".to_owned())) {
                            Ok(how) => {
                                *seen.entry((engine.name(), closed, path.clone(), kind, how)).or_default() +=
                                    1
                            }
                            Err(what) => wrong.push(format!(
                                "{} closed: {closed}, {path}, {kind:?} {place}: {what}",
                                engine.name()
                            )),
                        }
                    }
                }
            }
        }
    }
    std::panic::set_hook(hook);
    let mut sums = BTreeMap::<_, u64>::new();
    for ((engine, closed, path, kind, how), count) in seen {
        if path.ends_with("store/db") {
            println!("    {engine}, closed: {closed}, {path}, {kind:?}: {count} {how}");
        }
        *sums.entry((engine, how)).or_default() += count;
    }
    println!("{sums:?}, {} wrong", wrong.len());
    wrong.iter().take(20).for_each(|wrong| println!("    {wrong}"));
    assert!(wrong.is_empty(), "{} are wrong", wrong.len());
    // The damage has to meet what counts, and what does not.
    for engine in sums.keys().map(|(engine, _)| *engine).collect::<Vec<_>>() {
        assert!(sums.contains_key(&(engine, "refused")) && sums.contains_key(&(engine, "right")), "{sums:?}");
    }
}

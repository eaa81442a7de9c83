//! Batches whose effect is known from their number, and the check that a store has exactly the first so many of them.

use std::collections::BTreeMap;

use crate::storage::{Batch, Keyspace, Snapshot, Store};

/// A small generator with a seed: the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What the batches look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A few small values in three key spaces.
    Small,
    /// About 1,500 bytes a value: many batches between two flushes, several segments of log.
    Middle,
    /// Small ones, values of up to 300 KB, and now and then a thousand keys at once.
    Mixed,
}

pub(super) const SPACES: [Keyspace; 3] = [Keyspace::State, Keyspace::Versions, Keyspace::Transactions];
const COUNTER: &[u8] = b"\xffcounter";

/// Batch `number` (from 1) of a seed.
pub(super) fn batch(seed: u64, number: u64, shape: Shape) -> Batch {
    let mut random = Random(seed ^ number.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let mut batch = Batch::default();
    for space in SPACES {
        batch.put(space, COUNTER, number.to_be_bytes());
    }
    let (writes, size, keys) = match (shape, random.below(8)) {
        (Shape::Small, _) | (Shape::Mixed, 0..=4) => (1 + random.below(8), 60, 50),
        (Shape::Middle, _) => (6, 1_500, 400),
        (Shape::Mixed, 5..=6) => (1 + random.below(3), 300_000, 10),
        (Shape::Mixed, _) => (1_000, 200, 3_000),
    };
    for _ in 0..writes {
        let space = SPACES[random.below(3) as usize];
        let key = (random.below(keys) as u32).to_be_bytes();
        if random.below(5) == 0 {
            batch.delete(space, key);
        } else {
            let length = random.below(size + 1) as usize;
            let seed = random.next().to_le_bytes();
            batch.put(space, key, seed.into_iter().cycle().take(length).collect::<Vec<u8>>());
        }
    }
    batch
}

type Content = BTreeMap<(Keyspace, Vec<u8>), Vec<u8>>;

/// What a store has after the first `count` batches.
fn expected(seed: u64, count: u64, shape: Shape) -> Content {
    let mut content = Content::new();
    for number in 1..=count {
        for write in batch(seed, number, shape).writes {
            let key = (write.keyspace, write.key.clone());
            match &write.value {
                Some(value) => content.insert(key, value.clone()),
                None => content.remove(&key),
            };
        }
    }
    content
}

fn counter(snapshot: &dyn Snapshot) -> crate::Result<u64> {
    let found = snapshot.get(SPACES[0], COUNTER)?;
    Ok(found.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap())))
}

/// How many batches the store has, if it has exactly the effect of the first so many, and at least those acknowledged.
pub(super) fn check(store: &dyn Store, seed: u64, shape: Shape, acknowledged: u64) -> Result<u64, String> {
    let check = || -> crate::Result<Result<u64, String>> {
        let snapshot = store.snapshot()?;
        let count = counter(&*snapshot)?;
        if count < acknowledged {
            return Ok(Err(format!("batch {acknowledged} was acknowledged and {count} is the last one")));
        }
        let mut found = Content::new();
        for space in SPACES {
            for (key, value) in snapshot.scan(space, &[], None, false, usize::MAX)? {
                found.insert((space, key), value);
            }
        }
        Ok(if found == expected(seed, count, shape) {
            Ok(count)
        } else {
            Err(format!("torn at batch {count}"))
        })
    };
    check().unwrap_or_else(|error| Err(error.to_string()))
}

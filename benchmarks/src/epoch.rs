//! What a new epoch costs in a context of a thousand members: its author, which wraps a seed for each of the others, and one of them, which
//! takes it in. The keys alone: without a node, a store or a network.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use kith_core::encryption::{Change, Epoch, Key, Leaf, Recipient, Ring, Rows, Scope, Secret, Suite, Trouble};
use kith_core::replica::{ContextId, MemberId, TransactionId};
use zeroize::Zeroizing;

use crate::{Result, check, figure};

const MEMBERS: usize = 1_000;
/// The shortest of so many is the figure: what else the machine does takes none away.
const TIMES: usize = 7;
const ID: TransactionId = TransactionId([7; 32]);

/// Always of this size: under a thousand the wraps go another way.
pub(crate) fn measure() -> Result<()> {
    for (suite, name) in [(Suite::X25519, "x25519"), (Suite::XWing, "xwing")] {
        let world = World::new(suite, MEMBERS);
        let (make, (epoch, wraps, changes)) = shortest(|| world.make())?;
        let members = world.members.len();
        // A root for each of the others, a chain for each, the key of the envelopes, and all wraps for those who ask.
        check(changes == 2 * members + 1, || format!("{changes} rows of {members} members"))?;
        let place = members / 2;
        let leaf = Leaf::of(&world.scope, &world.author, &wraps, place).ok_or("no such wrap")?;
        let (take, rows) = shortest(|| world.take(&epoch, &leaf))?;
        // A chain for each, and its own ratchet keys, the epoch and the key of the envelopes.
        check(rows == members + 3, || format!("{rows} rows of {members} members"))?;
        let another = Leaf::of(&world.scope, &world.author, &wraps, place - 1).ok_or("no such wrap")?;
        check(world.take(&epoch, &another).is_err(), || "another's wrap is taken in".into())?;
        figure(&format!("epoch.{name}.make.ms"), make);
        figure(&format!("epoch.{name}.take.ms"), take);
        figure(&format!("epoch.{name}.wraps.bytes"), wraps.len() as f64);
    }
    Ok(())
}

/// Milliseconds, and what came out the last time.
fn shortest<T>(what: impl Fn() -> Result<T>) -> Result<(f64, T)> {
    let mut best = f64::INFINITY;
    let mut last = None;
    for _ in 0..TIMES {
        let started = Instant::now();
        let made = black_box(what()?);
        best = best.min(started.elapsed().as_secs_f64() * 1e3);
        last = Some(made);
    }
    Ok((best, last.ok_or("it was never done")?))
}

#[derive(Default)]
struct Memory(BTreeMap<Key, Vec<u8>>);

impl Rows for Memory {
    fn row(&self, key: &Key) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        Ok(self.0.get(key).cloned().map(Zeroizing::new))
    }
}

impl Memory {
    fn apply(&mut self, change: Change) {
        match change.value {
            Some(value) => self.0.insert(change.key, value.to_vec()),
            None => self.0.remove(&change.key),
        };
    }
}

/// The author of the epoch, one of those it is for, and who all of them are.
struct World {
    scope: Scope,
    author: MemberId,
    authors: Memory,
    reader: MemberId,
    readers: Memory,
    recipients: Vec<Recipient>,
    members: Vec<MemberId>,
}

impl World {
    fn new(suite: Suite, count: usize) -> Self {
        let scope = Scope { suite, context: ContextId([9; 32]) };
        let author = MemberId([0; 32]);
        let member = |number: usize| {
            let mut id = [1; 32];
            id[..4].copy_from_slice(&(number as u32).to_be_bytes());
            MemberId(id)
        };
        let reader = member(count / 2);
        let mut authors = Memory::default();
        authors.apply(Ring { scope, me: author, rows: &authors }.start(&secret(1)).1);
        let mut readers = Memory::default();
        let (key, change) = Ring { scope, me: reader, rows: &readers }.start(&secret(2));
        readers.apply(change);
        // One key for all: sealing to it costs what sealing to a thousand costs.
        let to =
            |number| Recipient { member: member(number), added: TransactionId([1; 32]), key: key.clone() };
        let recipients: Vec<_> = (0..count - 1).map(to).collect();
        let mut members: Vec<_> = recipients.iter().map(|to| to.member).chain([author]).collect();
        members.sort();
        Self { scope, author, authors, reader, readers, recipients, members }
    }

    /// The epoch, its wraps, and how many rows its author writes.
    fn make(&self) -> Result<(Epoch, Vec<u8>, usize)> {
        let ring = Ring { scope: self.scope, me: self.author, rows: &self.authors };
        let draft = ring.draft_epoch(&self.recipients, &secret(3))?;
        let (epoch, wraps) = (draft.epoch.clone(), draft.wraps.clone());
        Ok((epoch, wraps, ring.begin_epoch(draft, &ID).len()))
    }

    /// How many rows the other one writes.
    fn take(&self, epoch: &Epoch, leaf: &Leaf) -> Result<usize> {
        let ring = Ring { scope: self.scope, me: self.reader, rows: &self.readers };
        Ok(ring.receive_epoch(&ID, &self.author, epoch, &self.members, Some(leaf))?.len())
    }
}

fn secret(number: u8) -> Secret {
    Secret::new([number; 32])
}

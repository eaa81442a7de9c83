//! What a new epoch costs in contexts of two to a thousand members: its author, which wraps a seed for each of the others, and one of them,
//! which takes it in; and what a message under it costs. The keys alone: without a node, a store or a network.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use ed25519_dalek::SigningKey;
use kith_core::encryption::{Epoch, Leaf, Recipient, Scope, Secret, Suite, Trouble, Wraps};
use kith_core::keyring::{Change, Key, Ring, Rows};
use kith_core::replica::{ContextId, HEADER_VERSION, Header, Kind, MemberId, Transaction, TransactionId};
use zeroize::Zeroizing;

use crate::{Result, check, figure};

/// Of the last ones the wraps go another way.
const MEMBERS: [usize; 5] = [2, 16, 128, 512, 1_000];
/// The shortest of so many is the figure: what else the machine does takes none away.
const TIMES: usize = 7;
/// A message is sealed and opened so often in each of these.
const MESSAGES: usize = 200;
const ID: TransactionId = TransactionId([7; 32]);

/// Always of this size, whatever share of the others is measured.
pub(crate) fn measure() -> Result<()> {
    for (suite, name) in [(Suite::X25519, "x25519"), (Suite::XWing, "xwing")] {
        for count in MEMBERS {
            let mut world = World::new(suite, count);
            let (make, (epoch, wraps, mut made)) = shortest(|| world.make())?;
            let apart = matches!(epoch.wraps, Wraps::Root(_));
            // A root for each of the others, a chain for each, the key of the envelopes, and all wraps for those who ask.
            check(made.len() == 2 * count + usize::from(apart), || format!("{} rows", made.len()))?;
            let leaf = |place| Leaf::of(&world.scope, &world.author, &wraps, place).ok_or("no such wrap");
            let own = if apart { Some(leaf(world.place)?) } else { None };
            let (take, mut taken) = shortest(|| world.take(&epoch, own.as_ref()))?;
            // A chain for each, and its own ratchet keys, the root and the key of the envelopes.
            check(taken.len() == count + 3, || format!("{} rows", taken.len()))?;
            if apart {
                let another = leaf(world.place - 1)?;
                check(world.take(&epoch, Some(&another)).is_err(), || "another's wrap is taken in".into())?;
            }
            let bytes = borsh::to_vec(&epoch)?.len() + if apart { wraps.len() } else { 0 };
            figure(&format!("epoch.{name}.{count}.make.ms"), make);
            figure(&format!("epoch.{name}.{count}.take.ms"), take);
            figure(&format!("epoch.{name}.{count}.bytes"), bytes as f64);

            made.drain(..).for_each(|change| world.authors.apply(change));
            taken.drain(..).for_each(|change| world.readers.apply(change));
            let (seal, message) = shortest(|| often(|| world.seal()))?;
            let (open, text) = shortest(|| often(|| world.open(&message)))?;
            check(text == world.text, || "another text".into())?;
            figure(&format!("epoch.{name}.{count}.seal.us"), seal * 1e3 / MESSAGES as f64);
            figure(&format!("epoch.{name}.{count}.open.us"), open * 1e3 / MESSAGES as f64);
        }
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

/// What came out the last time.
fn often<T>(what: impl Fn() -> Result<T>) -> Result<T> {
    for _ in 1..MESSAGES {
        black_box(what()?);
    }
    what()
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
    signer: SigningKey,
    author: MemberId,
    authors: Memory,
    /// Which of the author's recipients the reader is.
    place: usize,
    readers: Memory,
    recipients: Vec<Recipient>,
    members: Vec<MemberId>,
    /// 1 KiB to be sealed.
    text: Vec<u8>,
}

impl World {
    fn new(suite: Suite, count: usize) -> Self {
        let scope = Scope { suite, context: ContextId([9; 32]) };
        let signer = SigningKey::from_bytes(&[5; 32]);
        let author = MemberId(signer.verifying_key().to_bytes());
        let member = |number: usize| {
            let mut id = [1; 32];
            id[..4].copy_from_slice(&(number as u32).to_be_bytes());
            MemberId(id)
        };
        let place = (count - 1) / 2;
        let mut authors = Memory::default();
        authors.apply(Ring { scope, me: author, rows: &authors }.start(&secret(1)).1);
        let mut readers = Memory::default();
        let (key, change) = Ring { scope, me: member(place), rows: &readers }.start(&secret(2));
        readers.apply(change);
        // One key for all: sealing to it costs what sealing to a thousand costs.
        let to =
            |number| Recipient { member: member(number), added: TransactionId([1; 32]), key: key.clone() };
        let recipients: Vec<_> = (0..count - 1).map(to).collect();
        let mut members: Vec<_> = recipients.iter().map(|to| to.member).chain([author]).collect();
        members.sort();
        Self {
            scope,
            signer,
            author,
            authors,
            place,
            readers,
            recipients,
            members,
            text: (0..1024_u32).map(|at| at as u8).collect(),
        }
    }

    fn of_author(&self) -> Ring<'_, Memory> {
        Ring { scope: self.scope, me: self.author, rows: &self.authors }
    }

    fn of_reader(&self) -> Ring<'_, Memory> {
        Ring { scope: self.scope, me: self.recipients[self.place].member, rows: &self.readers }
    }

    /// The epoch, its wraps, and the rows that its author writes.
    fn make(&self) -> Result<(Epoch, Vec<u8>, Vec<Change>)> {
        let draft = self.of_author().draft_epoch(&self.recipients, &secret(3))?;
        let (epoch, wraps) = (draft.epoch.clone(), draft.wraps.clone());
        Ok((epoch, wraps, self.of_author().begin_epoch(draft, &ID)))
    }

    /// The rows that the other one writes.
    fn take(&self, epoch: &Epoch, leaf: Option<&Leaf>) -> Result<Vec<Change>> {
        Ok(self.of_reader().receive_epoch(&ID, &self.author, epoch, &self.members, leaf)?)
    }

    /// Always the same message, the first: sealed, and signed.
    fn seal(&self) -> Result<Transaction> {
        let header = Header {
            version: HEADER_VERSION,
            context: self.scope.context,
            author: self.author,
            sequence: 2,
            previous: ID,
            parents: Vec::new(),
            lamport: 2,
            timestamp: 0,
            kind: Kind::Call as u8,
            epoch: [0; 32],
            counter: 0,
            commitment: [0; 32],
            payload_hash: [0; 32],
            payload_len: 0,
        };
        Ok(self.of_author().seal(&ID, header, &self.text, &self.signer)?.0)
    }

    /// Checked, with its signature, and opened.
    fn open(&self, message: &Transaction) -> Result<Vec<u8>> {
        message.check_signed()?;
        Ok(self.of_reader().open(message)?.0.plaintext().to_vec())
    }
}

fn secret(number: u8) -> Secret {
    Secret::new([number; 32])
}

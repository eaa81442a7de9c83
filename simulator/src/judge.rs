//! The invariants: after each step what that step may have broken.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use kith_core::encryption::{Scope, Suite, seal_again};
use kith_core::keyring::Key;
use kith_core::limits;
use kith_core::node::machine::Machine;
use kith_core::replica::{Kind, MemberId, Payload, Place, Transaction, TransactionId};
use kith_core::storage::{ContextTables, Keyspace};
use kith_core::sync::Kept;
use kith_oracle::oracle::Oracle;
use kith_oracle::words;

use crate::booty::ratchets;
use crate::disk::RecordKey;
use crate::joining::Reasons;
use crate::ledger::{Ledger, Prints};
use crate::node::{EVENTS, NUMBER, Node, QUEUE};
use crate::thief::row;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// At which node.
    pub node: usize,
    /// When, in ms.
    pub at: u64,
    /// What is the matter.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} does not hold at node {} after {} ms: {}",
            self.invariant, self.node, self.at, self.detail
        )
    }
}

/// What is known of all nodes together.
#[derive(Default)]
pub struct Judge {
    /// What each history leads to, and where that was seen first.
    orders: HashMap<[u8; 32], (Prints, usize)>,
    /// The same of what comes out of applications: calls' receipts, and the commitment.
    outcomes: HashMap<[u8; 32], (u128, [u8; 32], usize)>,
    /// Why who comes with an invitation may be refused.
    pub(crate) reasons: Reasons,
    /// What honest members have signed.
    signed: HashMap<(MemberId, u64), TransactionId>,
    /// Of each member, what others have of it.
    elsewhere: HashMap<MemberId, BTreeSet<TransactionId>>,
    /// The order of each node, as its rows were written.
    ledgers: HashMap<usize, Ledger>,
    /// Signatures that have been verified.
    pub(crate) verified: HashMap<TransactionId, [u8; 64]>,
    /// Histories that were replayed, with what they gave.
    pub(crate) replayed: HashMap<[u8; 32], Rc<Oracle>>,
    /// What came nearest to its limit, in hundredths of it.
    pub(crate) fullest: (usize, &'static str),
    /// How many replays there were.
    pub replays: usize,
    /// What honest members have sealed at each position of their chains.
    positions: HashMap<(MemberId, [u8; 32], u32), TransactionId>,
    /// Those whose position has been looked at: the id of a transaction is of its header, in which that stands.
    placed: HashSet<TransactionId>,
    /// Calls whose key stream is known, the beginnings of those, and how many calls there are at one position.
    streamed: HashSet<TransactionId>,
    streams: HashMap<Vec<u8>, TransactionId>,
    sealed_at: HashMap<(MemberId, [u8; 32], u32), u32>,
    /// How many calls were sealed with a key with which another one was.
    pub(crate) twice: u64,
    /// Every value that any row of a node's keys ever had.
    pub hoards: BTreeMap<usize, Hoard>,
    /// Since when each node has had each of its ratchet keys, in virtual time.
    pub(crate) ratchets: BTreeMap<(usize, u32), u64>,
    /// The time.
    pub(crate) now: u64,
    /// Who is honest, of each node, as it was last.
    nodes: Vec<(MemberId, bool)>,
    /// Those that seal what they say, and say it once.
    pub(crate) honest: BTreeSet<MemberId>,
}

/// All that a thief of a node's disk has ever found in its rows of keys.
pub type Hoard = BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>;

pub(crate) type Check = std::result::Result<(), (&'static str, String)>;

pub(crate) fn must(holds: bool, invariant: &'static str, detail: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err((invariant, detail())) }
}

pub(crate) fn broken(error: kith_core::Error) -> (&'static str, String) {
    ("reading-works", error.to_string())
}

fn no_fork_of_the_honest(transaction: Option<&Transaction>, nodes: &[(MemberId, bool)]) -> Check {
    let payload = transaction.and_then(|t| Payload::decode(t.header.kind, t.plaintext()));
    let Some(Payload::Fork(fork)) = payload else { return Ok(()) };
    let honest = nodes.iter().any(|(member, honest)| *member == fork.member && *honest);
    must(!honest, "no-honest-member-is-removed-for-a-fork", || format!("a fork of {} counts", fork.member))
}

impl Judge {
    /// What a round, or a start, of a node may have broken.
    pub fn step(&mut self, node: &mut Node, nodes: &[(MemberId, bool)], written: &[RecordKey]) -> Check {
        if self.nodes != nodes {
            self.nodes = nodes.to_vec();
            let honest = nodes.iter().filter(|(_, honest)| *honest).map(|(member, _)| *member);
            self.honest = honest.collect();
        }
        let Some(machine) = &node.machine else { return Ok(()) };
        let replica = machine.replica();
        self.queues(node, machine)?;
        must(replica.transactions() >= node.transactions, "history-only-grows", || {
            format!("{} transactions after {}", replica.transactions(), node.transactions)
        })?;
        node.transactions = replica.transactions();
        let snapshot = node.disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let ledger = self.ledgers.entry(node.number).or_default();
        let mut governs = false;
        for (space, key) in written {
            let place = key.get(4..).and_then(Place::from_key).filter(|_| *space == Keyspace::Order);
            let Some(place) = place else { continue };
            let counts = ledger.take(replica, &tables, place).map_err(broken)?;
            governs |= counts != Some(Some(Kind::Call));
            if counts == Some(Some(Kind::Fork)) {
                let transaction = replica.transaction(&tables, &place.id).map_err(broken)?;
                no_fork_of_the_honest(transaction.as_ref(), nodes)?;
            }
        }
        if governs {
            self.reasons.note(replica);
        }
        let changed = ledger.is_fresh() || !written.is_empty();
        let settled = replica.pending() == 0;
        let prints = ledger.prints();
        let beyond = settled.then(|| ledger.beyond_its_role(&TransactionId(replica.context().0))).flatten();
        if let Some(detail) = beyond {
            return Err(("roles-are-obeyed", detail));
        }
        for (space, key) in written {
            match space {
                Keyspace::Transactions => self.admitted(node, nodes, key)?,
                Keyspace::Keys => self.hoard(node, key),
                _ => {}
            }
        }
        // Who has not opened the same does not hold the same, whatever the headers say.
        if !changed || !settled || replica.unopened() > 0 {
            return Ok(());
        }
        let (digest, commitment) = (replica.digest(), replica.commitment());
        let (first, other) = *self.orders.entry(digest).or_insert((prints, node.number));
        let differs =
            |what: &str, other: usize| format!("the {what} than node {other}'s for the same history");
        must(first.order == prints.order, "same-history-same-order", || differs("order is another", other))?;
        must(first.governance == prints.governance, "same-history-same-receipts", || {
            differs("receipts of what governs are others", other)
        })?;
        if node.standing.differs {
            return Ok(());
        }
        let (calls, first, other) =
            *self.outcomes.entry(digest).or_insert((prints.calls, commitment, node.number));
        must(calls == prints.calls, "same-history-same-receipts", || {
            differs("receipts of calls are others", other)
        })?;
        must(first == commitment, "same-history-same-state", || differs("commitment is another one", other))
    }

    /// Nothing is kept for later beyond its limit.
    fn queues(&mut self, node: &Node, machine: &Machine) -> Check {
        let room = machine.waiting();
        let mut kept = machine.kept();
        let own = [
            ("bytes that wait for their past", room.bytes(), limits::WAITING),
            ("commands", node.inbox.len(), QUEUE + 64),
        ];
        kept.extend(own.map(|(what, count, most)| Kept { what, count, most }));
        let near = |kept: &&Kept| 100 * kept.count >= self.fullest.0 * kept.most.max(1);
        let nearest = kept.iter().filter(near).map(|kept| (100 * kept.count / kept.most.max(1), kept.what));
        self.fullest = nearest.fold(self.fullest, Ord::max);
        // Of these there are as many as there may be, soon.
        let (count, most) = (node.disk.rows(Keyspace::Events), EVENTS as usize);
        kept.push(Kept { what: "batches of events", count, most });
        let beyond = kept.into_iter().find(|kept| kept.count > kept.most);
        must(beyond.is_none(), "queues-stay-bounded", || format!("{beyond:?}"))
    }

    fn admitted(&mut self, node: &Node, nodes: &[(MemberId, bool)], key: &[u8]) -> Check {
        let (Some(author), Some(sequence), Some(id)) = (key.get(4..36), key.get(36..44), key.get(44..76))
        else {
            return Ok(());
        };
        let Ok(author) = MemberId::from_slice(author) else { return Ok(()) };
        let sequence = sequence.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let id = TransactionId(id.try_into().unwrap_or_default());
        if author != node.me {
            self.elsewhere.entry(author).or_default().insert(id);
        }
        if nodes.iter().any(|(member, honest)| *member == author && *honest) {
            let first = *self.signed.entry((author, sequence)).or_insert(id);
            must(first == id, "one-transaction-a-sequence", || {
                format!("an honest member has signed {first} and {id} as its {sequence}.")
            })?;
            self.sealed_once(node, author, &id)?;
        }
        self.streams_once(node, id)
    }

    /// What is between a text and what was sent of it is the key stream: none is there twice, whoever sealed, also if it was set back to where it had
    /// sealed something else, or is one of two.
    fn streams_once(&mut self, node: &Node, id: TransactionId) -> Check {
        let Some(machine) = &node.machine else { return Ok(()) };
        if self.streamed.contains(&id) {
            return Ok(());
        }
        let snapshot = node.disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let replica = machine.replica();
        let Some(found) = replica.transaction(&tables, &id).map_err(broken)? else { return Ok(()) };
        let (true, Some(key)) = (found.header.is_sealed() && found.is_opened(), &found.key) else {
            return Ok(());
        };
        let sealed = Suite::from_number(replica.suite()).and_then(|suite| {
            let scope = Scope { suite, context: replica.context() };
            seal_again(&scope, &found.header, found.plaintext(), key).ok()
        });
        let right = |sealed: &Vec<u8>| words::payload_hash(sealed) == found.header.payload_hash;
        let Some(sealed) = sealed.filter(right) else {
            return Err(("what-was-sent-can-be-sent-again", format!("not {id}")));
        };
        self.streamed.insert(id);
        let stream: Vec<u8> =
            sealed.iter().zip(found.plaintext()).map(|(sealed, said)| sealed ^ said).take(8).collect();
        let position = (found.header.author, found.header.epoch, found.header.counter);
        let sealed_there = self.sealed_at.entry(position).or_default();
        *sealed_there += 1;
        self.twice += u64::from(*sealed_there > 1);
        let first = *self.streams.entry(stream).or_insert(id);
        must(first == id, "no-key-stream-is-used-twice", || format!("{first} and {id} have the same"))
    }

    /// No two ciphertexts of an honest member have one key.
    fn sealed_once(&mut self, node: &Node, author: MemberId, id: &TransactionId) -> Check {
        let Some(machine) = node.machine.as_ref().filter(|_| !self.placed.contains(id)) else {
            return Ok(());
        };
        let snapshot = node.disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let Ok(Some(found)) = machine.replica().transaction(&tables, id) else { return Ok(()) };
        self.placed.insert(*id);
        if !found.header.is_sealed() {
            return Ok(());
        }
        let at = (author, found.header.epoch, found.header.counter);
        let first = *self.positions.entry(at).or_insert(*id);
        must(first == *id, "one-ciphertext-a-position", || {
            format!("an honest member has sealed {first} and {id} under one key")
        })
    }

    fn hoard(&mut self, node: &Node, key: &[u8]) {
        let snapshot = node.disk.intact();
        if let Ok(Some(value)) = snapshot.get(Keyspace::Keys, key) {
            if key.get(4..) == Some(&row(&Key::Ratchet)[..]) {
                for number in ratchets(&value).into_keys() {
                    self.ratchets.entry((node.number, number)).or_insert(self.now);
                }
            }
            let rows = self.hoards.entry(node.number).or_default();
            rows.entry(key.get(4..).unwrap_or_default().to_vec()).or_default().insert(value);
        }
    }

    /// What a node holds after its process has started again.
    pub fn after_start(&mut self, node: &Node) -> Check {
        let Some(machine) = &node.machine else { return Ok(()) };
        let snapshot = node.disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let ledger = Ledger::read(machine.replica(), &tables).map_err(broken)?;
        self.ledgers.insert(node.number, ledger);
        self.reads(node)?;
        if node.standing.rolled_back || node.standing.clone {
            return Ok(());
        }
        let lacks = |id: &&TransactionId| matches!(machine.replica().has(&tables, id), Ok(false));
        let lost = node.acknowledged.iter().find(lacks);
        must(lost.is_none(), "acknowledged-survives-crashes", || format!("{lost:?} is gone"))?;
        let sent = self.elsewhere.get(&node.me).into_iter().flatten().find(lacks);
        must(sent.is_none(), "only-what-is-durable-is-sent", || format!("others have {sent:?}"))
    }

    /// What a node has let in with a key of its own it has the plaintext of: both are of one batch.
    pub(crate) fn reads(&self, node: &Node) -> Check {
        let Some(machine) = &node.machine else { return Ok(()) };
        let snapshot = node.disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let lost = crate::thief::lost(machine.replica(), &tables, &self.honest).map_err(broken)?;
        must(lost.is_none(), "what-is-let-in-is-read", || lost.unwrap_or_default())
    }
}

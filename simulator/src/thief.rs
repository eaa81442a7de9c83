//! Who must not have keys, and tries to have them with all that its disk ever held.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, BTreeSet};

use kith_core::Result;
use kith_core::encryption::{Epoch, Leaf, Scope, Suite, Trouble, Wraps};
use kith_core::keyring::{Key, Ring, Rows};
use kith_core::replica::{Kind, MemberId, Payload, Replica, StateRead, Table, Transaction, TransactionId};
use kith_core::storage::ContextTables;
use kith_oracle::oracle::Oracle;
use zeroize::Zeroizing;

use crate::judge::Hoard;
use crate::node::NUMBER;
use crate::replays::history;
use crate::world::{Go, World};

/// Of how many epochs the keys are tried: each takes a replay of what is before it.
const EPOCHS: usize = 8;

/// What a row of keys is called in the store.
pub(crate) fn row(key: &Key) -> Vec<u8> {
    [b"ring/", &key.encode()[..]].concat()
}

/// A few rows, to be tried together.
#[derive(Default)]
pub(crate) struct Loot(pub(crate) BTreeMap<Key, Vec<u8>>);

impl Rows for Loot {
    fn row(&self, key: &Key) -> std::result::Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        Ok(self.0.get(key).cloned().map(Zeroizing::new))
    }
}

/// An epoch, as all that listen know it, and who may have its keys.
pub(crate) struct Target {
    pub(crate) id: TransactionId,
    pub(crate) author: MemberId,
    pub(crate) epoch: Epoch,
    pub(crate) members: Vec<MemberId>,
    /// All wraps, where the transaction has only their root and somebody ever had them.
    pub(crate) wraps: Option<Vec<u8>>,
}

impl Target {
    /// Whether somebody has its keys, or gets them with all that it ever had, whoever a wrap is for.
    /// (Of the wraps for ghosts one is enough.)
    fn is_had(&self, scope: Scope, hoard: &Hoard, nodes: &BTreeSet<MemberId>) -> bool {
        if self.members.iter().any(|author| hoard.contains_key(&row(&Key::Chain(self.id, *author)))) {
            return true;
        }
        let none = BTreeSet::new();
        let ratchets = hoard.get(&row(&Key::Ratchet)).unwrap_or(&none);
        let roots = hoard.get(&row(&Key::From(self.author))).unwrap_or(&none);
        let recipients = self.members.iter().filter(|me| **me != self.author);
        let ghost = recipients.clone().find(|me| !nodes.contains(me));
        let tried = recipients.enumerate().filter(|(_, me)| nodes.contains(me) || Some(*me) == ghost);
        tried.into_iter().any(|(index, me)| {
            let leaf = self.wraps.as_ref().and_then(|all| Leaf::of(&scope, &self.author, all, index));
            ratchets.iter().any(|ratchet| {
                roots.iter().map(Some).chain([None]).any(|root| {
                    let mut rows = Loot([(Key::Ratchet, ratchet.clone())].into());
                    rows.0.extend(root.map(|root| (Key::From(self.author), root.clone())));
                    let ring = Ring { scope, me: *me, rows: &rows };
                    ring.receive_epoch(&self.id, &self.author, &self.epoch, &self.members, leaf.as_ref())
                        .is_ok()
                })
            })
        })
    }
}

/// So many epochs, the latest first.
pub(crate) fn targets(scope: Scope, all: &[Transaction], known: &Oracle, most: usize) -> Vec<Target> {
    let mut epochs: Vec<&Transaction> = all.iter().filter(|t| t.header.kind == Kind::Epoch as u8).collect();
    epochs.sort_by_key(|epoch| std::cmp::Reverse(epoch.header.lamport));
    let target = |transaction: &&Transaction| {
        let id = transaction.header.id();
        let Some(Payload::Epoch(bytes)) = Payload::decode(transaction.header.kind, transaction.plaintext())
        else {
            return None;
        };
        let epoch = Epoch::decode(&scope, &bytes).ok()?;
        let members = members(known, &id);
        Some(Target { id, author: transaction.header.author, epoch, members, wraps: None })
    };
    epochs.iter().take(most).filter_map(target).collect()
}

/// Who is a member to somebody that has seen this much.
fn members(known: &Oracle, id: &TransactionId) -> Vec<MemberId> {
    known.before(id).map(|governance| governance.members.into_keys().collect()).unwrap_or_default()
}

impl World {
    /// The last messages of those that are honest are sealed for nobody who was no member to them.
    fn sealed_for_members(&self, all: &[Transaction], known: &Oracle) -> Go {
        let mut calls: Vec<&Transaction> = all.iter().filter(|t| t.header.is_sealed()).collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.header.lamport));
        let honest = |author: &MemberId| {
            self.nodes
                .iter()
                .filter(|node| node.me == *author)
                .all(|node| node.is_honest() && !node.standing.rolled_back)
        };
        for call in calls.into_iter().filter(|call| honest(&call.header.author)).take(EPOCHS) {
            let id = call.header.id();
            let now = members(known, &id);
            let had = members(known, &TransactionId(call.header.epoch));
            if let Some(gone) = had.iter().find(|member| !now.contains(member)) {
                let detail = format!("{id} is sealed for {gone}, who was no member to its author");
                return Err(("what-follows-a-removal-is-not-for-the-removed", 0, detail));
            }
        }
        Ok(())
    }

    /// Everybody who was no member when an epoch was made tries to have its keys. So do those who were, which shows that the trying is good for something.
    pub(crate) fn steal(&mut self) -> Go {
        let Some(suite) = Suite::from_number(self.plan.suite) else { return Ok(()) };
        let Some(first) = self.members().first().copied() else { return Ok(()) };
        let node = &self.nodes[first];
        let Some(machine) = &node.machine else { return Ok(()) };
        let snapshot = node.disk.intact();
        let all = history(machine.replica(), &ContextTables::new(&*snapshot, NUMBER));
        let all = all.map_err(|error| ("reading-works", first, error.to_string()))?;
        let known = self.judge.oracle(machine.replica(), &all);
        let context = machine.replica().context();
        let unopened = machine.replica().unopened();
        drop(snapshot);
        self.report.unopened = unopened;
        let scope = Scope { suite, context };
        self.sealed_for_members(&all, &known)?;
        let stolen = self.use_booty(scope, &all, &known)?;
        let mut latest = targets(scope, &all, &known, EPOCHS);
        self.find_wraps(&mut latest);
        self.report.stolen = stolen;
        let nodes: BTreeSet<MemberId> = self.nodes.iter().map(|node| node.me).collect();
        for target in latest {
            self.report.apart += u64::from(matches!(target.epoch.wraps, Wraps::Root(_)));
            for (number, hoard) in &self.judge.hoards {
                let node = &self.nodes[*number];
                if node.me == target.author {
                    continue;
                }
                let had = target.is_had(scope, hoard, &nodes);
                if target.members.contains(&node.me) {
                    self.report.thefts.1 += u64::from(had);
                    continue;
                }
                self.report.thefts.0 += 1;
                if had {
                    let detail =
                        format!("{} was no member when {} was made, and has its keys", node.me, target.id);
                    return Err(("who-is-no-member-opens-nothing", *number, detail));
                }
            }
        }
        Ok(())
    }

    /// All wraps of the epochs that do not carry them, where a node ever had them.
    pub(crate) fn find_wraps(&self, targets: &mut [Target]) {
        for target in targets {
            let kept = self.judge.hoards.values().find_map(|hoard| hoard.get(&row(&Key::Wraps(target.id))));
            // Behind the version of the row and the length.
            target.wraps =
                kept.and_then(|rows| rows.first()).and_then(|row| row.get(5..)).map(<[u8]>::to_vec);
        }
    }

    fn reads(&self, number: usize, id: &TransactionId) -> bool {
        let node = &self.nodes[number];
        let Some(machine) = &node.machine else { return false };
        let snapshot = node.disk.intact();
        let found = machine.replica().transaction(&ContextTables::new(&*snapshot, NUMBER), id);
        matches!(found, Ok(Some(found)) if found.is_opened())
    }

    /// What a node holds, cannot read, and was sent by somebody honest.
    pub(crate) fn cannot_read(&self, number: usize) -> Option<String> {
        let node = &self.nodes[number];
        let replica = node.machine.as_ref()?.replica();
        if replica.unopened() == 0 {
            return None;
        }
        let snapshot = node.disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let unopened = replica.unopened_places(&tables, None, usize::MAX).ok()?;
        let members = self.members();
        // Who goes before anybody has asked for the wraps that it alone has takes them along.
        let to_be_had = |author: &MemberId, id: &TransactionId| {
            let mut nodes = self.nodes.iter().filter(|other| other.me == *author);
            let honest = nodes.clone().any(|other| !other.standing.gone && other.is_honest());
            let stays = self.plan.ghosts == 0 || nodes.any(|other| members.contains(&other.number));
            honest && (stays || members.iter().any(|member| self.reads(*member, id)))
        };
        let id = unopened.iter().map(|place| place.id).find(|id| {
            let at = replica.location(&tables, id).ok().flatten();
            at.is_some_and(|at| to_be_had(&at.author, id))
        })?;
        Some(format!("{} calls are not opened, {id} by an honest member among them", unopened.len()))
    }
}

/// A key that was used, or of a message that is known otherwise, and is still there.
pub(crate) fn not_gone(
    history: &[Transaction],
    tables: &dyn StateRead,
    honest: &BTreeSet<MemberId>,
) -> Result<Option<String>> {
    let mut chains: HashMap<(MemberId, [u8; 32]), Option<Vec<u8>>> = HashMap::new();
    for sealed in history.iter().filter(|t| t.header.is_sealed()) {
        let header = &sealed.header;
        if sealed.key.is_none() && !(honest.contains(&header.author) && sealed.is_opened()) {
            continue;
        }
        let chain = match chains.entry((header.author, header.epoch)) {
            Entry::Occupied(chain) => chain.into_mut(),
            Entry::Vacant(place) => {
                let key = row(&Key::Chain(TransactionId(header.epoch), header.author));
                place.insert(tables.get(Table::Keys, &key)?)
            }
        };
        if chain.as_ref().is_some_and(|chain| holds(chain, header.counter)) {
            return Ok(Some(format!("the key of {} is in the chain still", header.id())));
        }
    }
    Ok(None)
}

/// A call by one of these whose key was used up here, and whose plaintext is not.
pub(crate) fn lost(
    replica: &Replica,
    tables: &dyn StateRead,
    honest: &BTreeSet<MemberId>,
) -> Result<Option<String>> {
    for place in replica.unopened_places(tables, None, usize::MAX)? {
        let Some(sealed) = replica.transaction(tables, &place.id)? else { continue };
        let (author, counter) = (sealed.header.author, sealed.header.counter);
        let key = row(&Key::Chain(TransactionId(sealed.header.epoch), author));
        let kept = tables.get(Table::Keys, &key)?.filter(|_| honest.contains(&author));
        if kept.is_some_and(|kept| !holds(&kept, counter)) {
            return Ok(Some(format!("the key of {} is used, and nobody here knows what it says", place.id)));
        }
    }
    Ok(None)
}

/// Whether the row of a chain leads to the key of a message: version, next counter, the chain's key, and those that were passed over.
pub(crate) fn holds(row: &[u8], counter: u32) -> bool {
    let number =
        |at: usize| row.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
    let has_key = row.get(5) == Some(&1);
    let skipped = if has_key { 38 } else { 6 };
    let passed = (0..number(skipped) as usize).any(|n| number(skipped + 4 + 36 * n) == counter);
    (has_key && counter >= number(1)) || passed
}

//! A thief with a copy of a device: the rows of keys of one moment, and all that is sent, before and after.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use kith_core::encryption::{Epoch, Leaf, RatchetKey, Scope, Wraps};
use kith_core::keyring::{Key, Ring};
use kith_core::replica::{Kind, MemberId, Payload, Transaction, TransactionId};
use kith_core::storage::ContextTables;
use kith_oracle::oracle::Oracle;

use crate::node::NUMBER;
use crate::replays::history;
use crate::superseded::rows;
use crate::thief::{Loot, Target, holds, not_gone, targets};
use crate::world::{Failed, Go, World};

/// What was taken, and from whom.
pub(crate) struct Booty {
    node: usize,
    member: MemberId,
    rows: BTreeMap<Key, Vec<u8>>,
    /// What its history was then.
    held: BTreeSet<TransactionId>,
}

/// The rows of keys that a thief has, and what it makes of the wraps that it hears.
struct Thief<'a> {
    booty: &'a Booty,
    scope: Scope,
    /// The private ratchet keys, by number.
    ratchets: BTreeMap<u32, [u8; 32]>,
    /// Where the chains of roots from others stand, then and later.
    roots: BTreeMap<MemberId, Vec<Vec<u8>>>,
    /// Chains that it had or has derived.
    chains: HashMap<(TransactionId, MemberId), Vec<Vec<u8>>>,
    /// The epochs whose wraps it has opened.
    opened: BTreeSet<TransactionId>,
    /// Of its epochs before the theft, those that what was on the disk leads to by the rules.
    left: BTreeSet<TransactionId>,
}

/// As a row of ratchet keys is written: version, how many, each with its number; and whether the newest is exposed.
pub(crate) fn ratchets(row: &[u8]) -> BTreeMap<u32, [u8; 32]> {
    let count = row.get(1..5).and_then(|count| count.try_into().ok()).map_or(0, u32::from_le_bytes);
    let key = |n: usize| {
        let at = 5 + 36 * n;
        let number = u32::from_le_bytes(row.get(at..at + 4)?.try_into().ok()?);
        Some((number, row.get(at + 4..at + 36)?.try_into().ok()?))
    };
    (0..count as usize).filter_map(key).collect()
}

/// Step, number of the ratchet key.
fn head(wrap: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_le_bytes(wrap.get(at..at + 4)?.try_into().ok()?));
    number(0).zip(number(4))
}

/// A row with the root from a member, as if it were for this step: behind the version and the admission.
fn at_step(root: &[u8], step: u32) -> Option<Vec<u8>> {
    let mut row = root.to_vec();
    row.get_mut(33..37)?.copy_from_slice(&step.to_le_bytes());
    Some(row)
}

impl<'a> Thief<'a> {
    fn new(booty: &'a Booty, scope: Scope) -> Self {
        let mut thief = Self {
            booty,
            scope,
            ratchets: booty.rows.get(&Key::Ratchet).map(|row| ratchets(row)).unwrap_or_default(),
            roots: BTreeMap::new(),
            chains: HashMap::new(),
            opened: BTreeSet::new(),
            left: BTreeSet::new(),
        };
        for (key, row) in &booty.rows {
            match key {
                Key::From(author) => thief.roots.entry(*author).or_default().push(row.clone()),
                Key::Chain(epoch, author) => {
                    thief.chains.entry((*epoch, *author)).or_default().push(row.clone());
                }
                _ => {}
            }
        }
        thief
    }

    fn newest(&self) -> u32 {
        self.ratchets.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// The wrap of an epoch that is for the device's owner.
    fn wrap(&self, target: &Target) -> Option<(Vec<u8>, Option<Leaf>)> {
        let others = target.members.iter().filter(|member| **member != target.author);
        let index = others.clone().position(|member| *member == self.booty.member)?;
        match (&target.epoch.wraps, &target.wraps) {
            (Wraps::Inline(wraps), _) => {
                Some((wraps.chunks(self.scope.suite.wrap()).nth(index)?.to_vec(), None))
            }
            (Wraps::Root(_), all) => {
                let leaf = Leaf::of(&self.scope, &target.author, all.as_ref()?, index)?;
                Some((leaf.wrap.clone(), Some(leaf)))
            }
        }
    }

    /// Tries the wrap with each private key that it has, whatever number that has, and each root, whatever step that is for.
    fn unwrap(&mut self, target: &Target) {
        let Some((wrap, leaf)) = self.wrap(target) else { return };
        let Some((step, number)) = head(&wrap) else { return };
        let roots = self.roots.get(&target.author).cloned().unwrap_or_default();
        let roots: Vec<Option<Vec<u8>>> =
            if step == 0 { vec![None] } else { roots.iter().map(|root| at_step(root, step)).collect() };
        for (private, root) in self.ratchets.values().flat_map(|key| roots.iter().map(move |r| (key, r))) {
            let row = [&[1, 1, 0, 0, 0][..], &number.to_le_bytes(), private, &[1]].concat();
            let mut rows = Loot([(Key::Ratchet, row)].into());
            rows.0.extend(root.iter().map(|root| (Key::From(target.author), root.clone())));
            let ring = Ring { scope: self.scope, me: self.booty.member, rows: &rows };
            let taken =
                ring.receive_epoch(&target.id, &target.author, &target.epoch, &target.members, leaf.as_ref());
            let Ok(changes) = taken else { continue };
            for (key, value) in changes.into_iter().filter_map(|change| Some((change.key, change.value?))) {
                match key {
                    Key::From(author) => self.roots.entry(author).or_default().push(value.to_vec()),
                    Key::Chain(epoch, author) => {
                        self.chains.entry((epoch, author)).or_default().push(value.to_vec());
                    }
                    _ => {}
                }
            }
            self.opened.insert(target.id);
            return;
        }
    }

    /// Which epochs from before the theft the ratchet keys lead to that were there: a first wrap hangs on its key alone, each later one on the
    /// one before it too.
    fn leads_to(&mut self, targets: &[Target]) {
        let mut reached: BTreeMap<MemberId, u32> = BTreeMap::new();
        for target in targets {
            let Some((step, number)) = self.wrap(target).and_then(|(wrap, _)| head(&wrap)) else { continue };
            let goes_on = step == 0 || reached.get(&target.author) == Some(&step);
            if goes_on && self.ratchets.contains_key(&number) {
                reached.insert(target.author, step + 1);
                self.left.insert(target.id);
            } else if step == 0 {
                reached.remove(&target.author);
            }
        }
    }

    fn reads(&self, sealed: &Transaction) -> bool {
        let of = (TransactionId(sealed.header.epoch), sealed.header.author);
        let rows = self.chains.get(&of).into_iter().flatten();
        rows.into_iter().any(|row| holds(row, sealed.header.counter))
    }
}

/// The number of the ratchet key that a transaction publishes.
pub(crate) fn publishes(scope: &Scope, transaction: &Transaction) -> Option<u32> {
    match Payload::decode(transaction.header.kind, transaction.plaintext())? {
        Payload::Epoch(bytes) => Some(Epoch::decode(scope, &bytes).ok()?.ratchet_key.index),
        Payload::RefreshKey(bytes) => Some(borsh::from_slice::<RatchetKey>(&bytes).ok()?.index),
        _ => None,
    }
}

/// Whether an epoch could be sent under by the author of a message that has it in its past: nobody whom it was made for is gone, and whatever may
/// have ended a membership is before it.
fn usable(known: &Oracle, epoch: &Target, message: &TransactionId) -> bool {
    let (Some(message), Some(at)) = (known.history.get(message), known.history.get(&epoch.id)) else {
        return false;
    };
    let cuts = [Kind::Remove as u8, Kind::Leave as u8, Kind::Fork as u8];
    let cut = |id: &&TransactionId| known.history.get(id).is_some_and(|known| cuts.contains(&known.kind()));
    let Some(governance) = known.before(&message.id) else { return false };
    message.past.all().iter().filter(cut).all(|cut| at.past.contains(cut))
        && epoch.members.iter().all(|member| governance.members.contains_key(member))
}

impl World {
    /// A device is copied, as it is. What its keys were used for is not to be had of it any more.
    pub(crate) fn copied(&mut self, number: usize) -> Go {
        let node = &self.nodes[number];
        let Some(machine) = node.machine.as_ref().filter(|_| node.joined && !node.disk.is_dead()) else {
            return Ok(());
        };
        let snapshot = node.disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let failed = |error: kith_core::Error| ("reading-works", number, error.to_string());
        let held = history(machine.replica(), &tables).map_err(failed)?;
        if let Some(detail) = not_gone(&held, &tables, &self.judge.honest).map_err(failed)? {
            return Err(("used-keys-are-gone", number, detail));
        }
        self.booty.push(Booty {
            node: number,
            member: node.me,
            rows: rows(&tables).map_err(failed)?,
            held: held.iter().map(|transaction| transaction.header.id()).collect(),
        });
        Ok(())
    }

    /// What the thieves of devices can do with them, once all is said.
    pub(crate) fn use_booty(
        &self,
        scope: Scope,
        all: &[Transaction],
        known: &Oracle,
    ) -> std::result::Result<Stolen, Failed> {
        let mut stolen = Stolen::default();
        let honest: Vec<&Booty> = self.booty.iter().filter(|booty| self.is_steady(&booty.member)).collect();
        if honest.is_empty() {
            return Ok(stolen);
        }
        let mut epochs = targets(scope, all, known, usize::MAX);
        epochs.reverse();
        self.find_wraps(&mut epochs);
        for booty in honest {
            self.use_one(booty, scope, all, &epochs, known, &mut stolen)
                .map_err(|(invariant, detail)| (invariant, booty.node, detail))?;
        }
        Ok(stolen)
    }

    /// Whether a member is honest at each of its nodes, and none was set back: then its keys come one after the other.
    pub(crate) fn is_steady(&self, member: &MemberId) -> bool {
        let nodes = self.nodes.iter().filter(|node| node.me == *member);
        nodes.into_iter().all(|node| node.is_honest() && !node.standing.rolled_back)
    }

    fn use_one(
        &self,
        booty: &Booty,
        scope: Scope,
        all: &[Transaction],
        targets: &[Target],
        known: &Oracle,
        stolen: &mut Stolen,
    ) -> std::result::Result<(), (&'static str, String)> {
        let mut thief = Thief::new(booty, scope);
        thief.leads_to(targets);
        targets.iter().for_each(|target| thief.unwrap(target));
        let new_keys = all.iter().filter(|t| {
            t.header.author == booty.member && publishes(&scope, t).is_some_and(|key| key > thief.newest())
        });
        let new_keys: Vec<TransactionId> = new_keys.map(|t| t.header.id()).collect();
        let mut healed: Vec<&Target> = Vec::new();
        for target in targets {
            let opened = thief.opened.contains(&target.id);
            if booty.held.contains(&target.id) {
                stolen.before += u64::from(!opened);
                if opened && !thief.left.contains(&target.id) {
                    let detail = format!("{} opens with keys that were forgotten before", target.id);
                    return Err(("what-was-forgotten-opens-nothing", detail));
                }
                continue;
            }
            let past = known.history.get(&target.id).map(|known| &known.past);
            let seen = past.is_some_and(|past| new_keys.iter().any(|key| past.contains(key)));
            let own = target.author == booty.member;
            if own || seen || !target.members.contains(&booty.member) {
                if opened && self.is_steady(&target.author) {
                    let detail = format!(
                        "{} was made for {}'s new key, or without it, and a copy of its device opens it",
                        target.id, booty.member
                    );
                    return Err(("new-keys-lock-a-thief-out", detail));
                }
                stolen.healed += u64::from(target.members.contains(&booty.member));
                healed.push(target);
            } else {
                stolen.read += u64::from(opened);
            }
        }
        let rank =
            |target: &&Target| Some((known.history.get(&target.id)?.place().lamport, Reverse(target.id)));
        let of = |id: &TransactionId| targets.iter().find(|target| target.id == *id);
        for call in all.iter().filter(|t| t.header.is_sealed() && self.is_steady(&t.header.author)) {
            let id = call.header.id();
            if booty.held.contains(&id) || !thief.reads(call) {
                continue;
            }
            let Some(past) = known.history.get(&id).map(|known| &known.past) else { continue };
            let under = of(&TransactionId(call.header.epoch)).and_then(|target| rank(&target));
            let better = healed.iter().filter(|target| past.contains(&target.id) && rank(target) > under);
            if let Some(better) = better.into_iter().find(|target| usable(known, target, &id)) {
                let detail =
                    format!("{id} is not sealed under {}, and a copy of a device opens it", better.id);
                return Err(("new-keys-lock-a-thief-out", detail));
            }
        }
        Ok(())
    }
}

/// What thieves of devices have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stolen {
    /// Epochs from after a theft that the copy opens, since its owner has not got new keys before.
    pub read: u64,
    /// Those that it does not open, since it has.
    pub healed: u64,
    /// Epochs from before whose wraps it does not open.
    pub before: u64,
}

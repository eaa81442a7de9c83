//! Wraps that an `Epoch` has only the root of: which are still to come, who gets what of those that are here, and opening them in the order of
//! their author's chain, since each goes on from the one before.

use std::collections::BTreeSet;

use super::super::ring::{Change, Key};
use super::super::seen::Seen;
use super::{HELD, Keeper, Stored, writes};
use crate::Result;
use crate::encryption::{Epoch, Leaf, Pair, Scope, Trouble, Wrapped};
use crate::limits;
use crate::replica::faults::{self, Fault};
use crate::replica::{
    Header, MemberId, MessageKey, Past, Replica, StateRead, TableWrite, Transaction, TransactionId,
    transaction,
};

/// An epoch, for somebody who is to have a wrap of it.
struct Place {
    scope: Scope,
    author: MemberId,
    epoch: Epoch,
    members: Vec<MemberId>,
    /// Which wrap it is.
    index: usize,
}

/// An epoch whose wrap was opened, or cannot be.
pub(crate) struct Unwrapped {
    pub(crate) epoch: TransactionId,
    /// Whether its keys are here now.
    pub(crate) opened: bool,
    pub(crate) writes: Vec<TableWrite>,
}

/// A content, the key of its message, and what is to be stored with it.
pub(crate) type Read = (Vec<u8>, MessageKey, Vec<TableWrite>);

impl Keeper {
    /// Of which epochs this member's wrap is still to come, in the order in which they came.
    pub(crate) fn wanted(&self, tables: &dyn StateRead) -> Result<Vec<TransactionId>> {
        if let Some(wanted) = &*self.wanted.borrow() {
            return Ok(wanted.clone());
        }
        let wanted: Vec<TransactionId> = Self::row(tables, &Key::Wanted)?.unwrap_or_default();
        *self.wanted.borrow_mut() = Some(wanted.clone());
        Ok(wanted)
    }

    fn set_wanted(&self, wanted: Vec<TransactionId>) -> Change {
        let change =
            if wanted.is_empty() { Change::end(Key::Wanted) } else { Change::put(Key::Wanted, &wanted) };
        *self.wanted.borrow_mut() = Some(wanted);
        change
    }

    /// What was kept of an epoch whose wrap will not be opened, goes.
    fn forget_wrap(&self, past: &Past<'_>, id: &TransactionId) -> Result<Vec<Change>> {
        let mut changes = vec![Change::end(Key::Leaf(*id)), Change::end(Key::Wraps(*id))];
        if let Some(act) = past.epoch(id) {
            let members: Vec<MemberId> = past.members_at(act.number)?.members.keys().copied().collect();
            let rows = Stored::new(past.tables);
            let ring = self.ring(self.scope(past.replica)?, &rows);
            changes.extend(rows.told(ring.forget_passed(id, &members))?);
        }
        Ok(changes)
    }

    /// A message became known by another way than its own key: that key is not to be had any more, now or once the wrap of its epoch comes.
    pub(crate) fn pass(
        &self,
        replica: &Replica,
        tables: &dyn StateRead,
        header: &Header,
    ) -> Result<Vec<TableWrite>> {
        let rows = Stored::new(tables);
        let may_come = self.wanted(tables)?.contains(&TransactionId(header.epoch));
        let change = rows.told(self.ring(self.scope(replica)?, &rows).pass(header, may_come))?;
        Ok(writes(change))
    }

    /// The wrap of an epoch is to be asked for. Of so many epochs that their keys would not be held either, the oldest is given up.
    pub(super) fn want(&self, past: &Past<'_>, id: &TransactionId) -> Result<Vec<Change>> {
        let mut wanted = self.wanted(past.tables)?;
        let mut changes = Vec::new();
        if !wanted.contains(id) {
            wanted.push(*id);
        }
        while wanted.len() > HELD {
            changes.extend(self.forget_wrap(past, &wanted.remove(0))?);
        }
        changes.push(self.set_wanted(wanted));
        Ok(changes)
    }

    fn place(
        &self,
        replica: &Replica,
        tables: &dyn StateRead,
        id: &TransactionId,
        of: &MemberId,
    ) -> Result<Option<Place>> {
        let past = replica.everything(tables);
        let Some(act) = past.epoch(id) else { return Ok(None) };
        let Some(found) = transaction(tables, id)? else { return Ok(None) };
        let scope = self.scope(replica)?;
        let Ok(epoch) = Epoch::decode(&scope, found.plaintext()) else { return Ok(None) };
        let members: Vec<MemberId> = past.members_at(act.number)?.members.keys().copied().collect();
        let index = members.iter().filter(|member| **member != act.author).position(|member| member == of);
        // Any other epoch is not usable; and what proves a wrap is how many there are.
        let whole = epoch.recipients as usize + 1 == members.len() && members.contains(&act.author);
        let Some(index) = index.filter(|_| whole) else { return Ok(None) };
        Ok(Some(Place { scope, author: act.author, epoch, members, index }))
    }

    /// What a member gets of an epoch's wraps: if it was a member when that was made, by the same admission as now, and they are here.
    pub(crate) fn wraps_for(
        &self,
        replica: &Replica,
        tables: &dyn StateRead,
        id: &TransactionId,
        to: &MemberId,
    ) -> Result<Option<Wrapped>> {
        if replica.suite() == 0 || !replica.has_keys(tables, to, id)? {
            return Ok(None);
        }
        let Some(all) = Self::row::<Vec<u8>>(tables, &Key::Wraps(*id))? else { return Ok(None) };
        let Some(at) = self.place(replica, tables, id, to)? else { return Ok(None) };
        Ok(at.epoch.wrapped(&at.scope, &at.author, at.index, &all))
    }

    /// Whether each recipient of an epoch gets all of its wraps and hands them on: else its author alone has them.
    pub(crate) fn is_handed_on(&self, past: &Past<'_>, id: &TransactionId) -> Result<bool> {
        let scope = self.scope(past.replica)?;
        let seen = Seen::new(past, scope, &self.known);
        let said = seen.said(id);
        let shared = |recipients| recipients as usize * scope.suite.wrap() <= limits::WRAPS_SHARED;
        seen.or_failure(said.is_some_and(|said| shared(said.recipients)))
    }

    /// Whether what a peer gives belongs to the epoch, as its author has signed it, and is for this member.
    pub(crate) fn proves(
        &self,
        replica: &Replica,
        tables: &dyn StateRead,
        id: &TransactionId,
        given: &Wrapped,
    ) -> Result<bool> {
        let at = self.place(replica, tables, id, &self.me)?;
        Ok(at.is_some_and(|at| at.epoch.proves(&at.scope, &at.author, at.index, given)))
    }

    /// Keeps what a peer gave, which is proved: this member's own until it is opened, and all of them for others, as long as the keys.
    pub(crate) fn keep_wraps(
        &self,
        tables: &dyn StateRead,
        id: &TransactionId,
        given: Wrapped,
    ) -> Result<Vec<TableWrite>> {
        if !self.wanted(tables)?.contains(id) {
            return Ok(Vec::new());
        }
        Ok(writes([match given {
            Wrapped::Own(leaf) => Change::put(Key::Leaf(*id), &leaf),
            Wrapped::All(all) => Change::put(Key::Wraps(*id), &all),
        }]))
    }

    /// The author of an epoch has not got its wraps: nobody will have them.
    pub(crate) fn give_up(&self, past: &Past<'_>, id: &TransactionId) -> Result<Vec<TableWrite>> {
        let mut wanted = self.wanted(past.tables)?;
        wanted.retain(|other| other != id);
        let mut changes = self.forget_wrap(past, id)?;
        changes.push(self.set_wanted(wanted));
        Ok(writes(changes))
    }

    /// Opens one wrap that has come, if there is one whose turn it is: to be asked until there is none.
    pub(crate) fn unwrap(&mut self, past: &Past<'_>) -> Result<Option<Unwrapped>> {
        let mut waiting = BTreeSet::new();
        for id in self.wanted(past.tables)? {
            let Some(author) = past.epoch(&id).map(|act| act.author) else { continue };
            let Some((at, leaf)) = self.leaf(past, &id)? else {
                waiting.insert(author);
                continue;
            };
            // Who begins anew does not go on from what has not come.
            let anew = Pair::head(&leaf.wrap).is_ok_and(|(step, _)| step == 0);
            if anew || !waiting.contains(&author) {
                return self.unwrap_one(past, id, &at, &leaf, anew).map(Some);
            }
        }
        Ok(None)
    }

    fn leaf(&self, past: &Past<'_>, id: &TransactionId) -> Result<Option<(Place, Leaf)>> {
        let own: Option<Leaf> = Self::row(past.tables, &Key::Leaf(*id))?;
        let all: Option<Vec<u8>> =
            if own.is_some() { None } else { Self::row(past.tables, &Key::Wraps(*id))? };
        if own.is_none() && all.is_none() {
            return Ok(None);
        }
        let Some(at) = self.place(past.replica, past.tables, id, &self.me)? else { return Ok(None) };
        let leaf = own.or_else(|| Leaf::of(&at.scope, &at.author, &all?, at.index));
        Ok(leaf.map(|leaf| (at, leaf)))
    }

    fn unwrap_one(
        &mut self,
        past: &Past<'_>,
        id: TransactionId,
        at: &Place,
        leaf: &Leaf,
        anew: bool,
    ) -> Result<Unwrapped> {
        let rows = Stored::new(past.tables);
        let ring = self.ring(at.scope, &rows);
        let taken = ring.receive_epoch(&id, &at.author, &at.epoch, &at.members, Some(leaf));
        let mut changes = Vec::new();
        let wanted = self.wanted(past.tables)?;
        let opened = match taken {
            Ok(taken) => {
                if !taken.is_empty() {
                    changes.extend(taken);
                    changes.extend(self.hold(past, &ring, id, None)?);
                }
                true
            }
            Err(trouble) => {
                // Who cannot open them hands them on to nobody.
                rows.told(self.note(&id, at.author, trouble))?;
                false
            }
        };
        // After a beginning anew, nothing that came before it from this author goes on any more.
        let from = |other: &TransactionId| past.epoch(other).is_some_and(|act| act.author == at.author);
        let reached = wanted.iter().position(|other| *other == id).unwrap_or(0);
        let mut still = Vec::new();
        for (place, other) in wanted.into_iter().enumerate() {
            if other == id && opened {
                changes.push(Change::end(Key::Leaf(id)));
            } else if other == id || opened && anew && place < reached && from(&other) {
                changes.extend(self.forget_wrap(past, &other)?);
            } else {
                still.push(other);
            }
        }
        changes.push(self.set_wanted(still));
        Ok(Unwrapped { epoch: id, opened, writes: writes(changes) })
    }

    /// What a message says, the key of it, and what is to be stored with that; none if its keys are not here, or it is wrong.
    pub(crate) fn read(
        &mut self,
        replica: &Replica,
        tables: &dyn StateRead,
        sealed: &Transaction,
    ) -> Result<Option<Read>> {
        let rows = Stored::new(tables);
        match self.ring(self.scope(replica)?, &rows).open(sealed) {
            Ok((mut opened, key, change)) => {
                let kept = Some(change).filter(|_| !faults::is(Fault::KeepKeys));
                self.sent.keep(sealed.header.id(), &sealed.payload);
                Ok(Some((std::mem::take(&mut opened.payload), key, writes(kept))))
            }
            Err(trouble @ (Trouble::State | Trouble::StateVersion)) => rows.told(Err(trouble)),
            Err(Trouble::NoKeys) => Ok(None),
            Err(trouble) => {
                self.troubles.push((sealed.header.id(), sealed.header.author, trouble));
                Ok(None)
            }
        }
    }
}

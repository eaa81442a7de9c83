//! This member's own ratchet key: when it gets a new one, and when the old ones go.

use super::super::ring::{Change, Key};
use super::super::seen::Seen;
use super::epochs::follows;
use super::{Book, DAY, FORGET, Keeper, SET_BACK, Stored, TIDY, writes};
use crate::Result;
use crate::encryption::{Scope, Secret};
use crate::replica::faults::{self, Fault};
use crate::replica::{KeyAct, Past, Payload, StateRead, TableWrite, TransactionId, transaction};

/// Who was away for longer gets a new key of its own once it has caught up, whether it writes or not.
const ASLEEP: u64 = 3 * DAY;

impl Keeper {
    /// The time, whatever the clock says none of those that mean something else.
    pub(super) fn time(&self) -> u64 {
        self.now.clamp(1, SET_BACK - 1)
    }

    /// A new ratchet key, to be written.
    pub(crate) fn draft_refresh(&mut self, past: &Past<'_>, entropy: [u8; 32]) -> Result<Payload> {
        let scope = self.scope(past.replica)?;
        let published = self.published(past, scope)?;
        let rows = Stored::new(past.tables);
        let ring = self.ring(scope, &rows);
        let (key, change) = rows.told(ring.refresh_after(published, &Secret::new(entropy)))?;
        let said = borsh::to_vec(&key).unwrap_or_default();
        self.refreshed = Some((said.clone(), change));
        Ok(Payload::RefreshKey(said))
    }

    /// The number of this member's key that others seal to.
    fn published(&self, past: &Past<'_>, scope: Scope) -> Result<u32> {
        Ok(self.own_acts(past, scope)?.last().map_or(0, |(number, _)| *number))
    }

    /// The keys of its own that this member has published after its first one, each by its number and with the act that says so.
    fn own_acts(&self, past: &Past<'_>, scope: Scope) -> Result<Vec<(u32, KeyAct)>> {
        let seen = Seen::new(past, scope, &self.known);
        let added = past.members().find(|(member, _)| **member == self.me).map(|(_, added)| added);
        let mut acts: Vec<(u32, KeyAct)> = Vec::new();
        for act in past.key_acts().filter(|act| act.author == self.me) {
            let newest = acts.last().map_or(0, |(number, _)| *number);
            let said = seen.said(&act.id).filter(|said| follows(newest, said.index));
            if let Some(said) = said.filter(|_| added.is_some_and(|added| past.precedes(&added, &act.id))) {
                acts.push((said.index, act));
            }
        }
        seen.or_failure(acts)
    }

    /// New keys are to be made before the next call.
    pub(crate) fn ask(&self, tables: &dyn StateRead) -> Result<Vec<TableWrite>> {
        let book = Book { asked: true, ..Self::book(tables)? };
        Ok(writes([Self::keep(&book)]))
    }

    /// A transaction of this member's own came that was not made here: the store was set back. Should it sign again, it is under new keys: some of those
    /// that it has were used by what it has lost, and others know keys of it that it has not.
    pub(super) fn set_back(tables: &dyn StateRead) -> Result<Option<Change>> {
        let book = Self::book(tables)?;
        let anew = Book { asked: true, refreshed: SET_BACK, ..book.clone() };
        Ok((anew != book).then(|| Self::keep(&anew)))
    }

    /// The context is opened: whether this member was away for long.
    pub(crate) fn wake(&mut self, tables: &dyn StateRead) -> Result<()> {
        let awake: Option<u64> = Self::row(tables, &Key::Awake)?;
        self.slept = awake.is_some_and(|at| self.ago(at) > ASLEEP);
        Ok(())
    }

    /// Whether a key of this member's own is due because it was away; it is asked once.
    pub(crate) fn has_slept(&mut self, past: &Past<'_>) -> Result<bool> {
        if !std::mem::take(&mut self.slept) || !past.is_member(&self.me) || past.replica.suite() == 0 {
            return Ok(false);
        }
        let refreshed = Self::book(past.tables)?.refreshed;
        Ok(Self::has_keys(past.tables)? && refreshed != SET_BACK && self.ago(refreshed) > DAY)
    }

    /// What need not be kept any more; and that this node is at work.
    pub(crate) fn tidy(&mut self, past: &Past<'_>) -> Result<Vec<TableWrite>> {
        if past.replica.suite() == 0 || self.tidied.is_some_and(|at| self.now.abs_diff(at) < TIDY) {
            return Ok(Vec::new());
        }
        self.tidied = Some(self.now);
        let forgotten = self.forget(past)?;
        Ok(writes(forgotten.into_iter().chain([Change::put(Key::Awake, &self.now)])))
    }

    /// Old ratchet keys go once nobody seals to them: with each one that is newer it is looked whether all have seen that, or have had a week to.
    fn forget(&self, past: &Past<'_>) -> Result<Option<Change>> {
        let scope = self.scope(past.replica)?;
        let rows = Stored::new(past.tables);
        let ring = self.ring(scope, &rows);
        if !past.is_member(&self.me) || !Self::has_keys(past.tables)? {
            return Ok(None);
        }
        let (oldest, newest) = rows.told(ring.own_keys())?;
        if oldest == newest || faults::is(Fault::KeepRatchets) {
            return Ok(None);
        }
        let published = self.own_acts(past, scope)?;
        if published.last().is_none_or(|(number, _)| *number != newest) {
            return Ok(None);
        }
        for (number, act) in published.into_iter().rev().take_while(|(number, _)| *number > oldest) {
            if past.all_have_seen(act.number)? || self.is_week_old(past, &act.id)? {
                return rows.told(ring.forget_keys(number)).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether this member wrote that more than a week ago, by its own clock then and now.
    fn is_week_old(&self, past: &Past<'_>, id: &TransactionId) -> Result<bool> {
        let unknown = Self::book(past.tables)?.refreshed == SET_BACK || faults::is(Fault::KeepForWeeks);
        let written = transaction(past.tables, id)?.map(|written| written.header.timestamp);
        Ok(!unknown && written.is_some_and(|written| self.ago(written) > FORGET))
    }
}

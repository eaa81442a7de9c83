//! Calls that are sealed: until one is opened it is in the order and does nothing, and opening it is a late arrival.

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::SigningKey;

use super::content::MessageKey;
use super::engine::{Replica, Step};
use super::faults::{self, Fault};
use super::past::Past;
use super::receipt::Place;
use super::state_read::{StateRead, Table};
use super::tables::{self, damaged};
use super::transaction::{Header, Transaction};
use super::view::{TableWrite, View, prefix_end, successor};
use super::{MemberId, TransactionId};
use crate::Result;
use crate::application::Application;

/// What seals, opens and takes keys while transactions are let in. It changes nothing itself: what it gives is stored with the transaction.
pub(crate) trait Keyring {
    /// Seals and signs a call of one's own. Of the header, all is given but what follows from sealing.
    fn seal(
        &mut self,
        tables: &dyn StateRead,
        header: Header,
        plaintext: &[u8],
        signer: &SigningKey,
    ) -> Result<Transaction>;

    /// A sealed call is let in. What it says and the key of its message, if that is not known already and the keys are here.
    fn open(&mut self, past: &Past<'_>, transaction: &Transaction) -> Result<Taken>;

    /// An `Epoch` or a `RefreshKey` has been let in.
    fn take_keys(
        &mut self,
        past: &Past<'_>,
        id: &TransactionId,
        transaction: &Transaction,
    ) -> Result<Vec<TableWrite>>;
}

/// What a keyring makes of a sealed call.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// What it says, and what it can be sealed with again.
    pub(crate) opened: Option<(Vec<u8>, MessageKey)>,
    pub(crate) writes: Vec<TableWrite>,
    /// Whether its author should not have sent it so.
    pub(crate) violation: bool,
}

/// What is kept of a sealed context in addition to its core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Sealed {
    /// How many calls are not opened.
    pub(crate) unopened: u64,
    /// How many messages were sent under keys that were not to be used.
    pub(crate) violations: u64,
}

impl Replica {
    /// The suite of the context: 0 where payloads are not sealed, or genesis is not here yet.
    #[must_use]
    pub fn suite(&self) -> u8 {
        self.acts.suite()
    }

    /// How many calls of the history are sealed and not opened here.
    #[must_use]
    pub const fn unopened(&self) -> u64 {
        self.sealed.unopened
    }

    /// How many calls were sent under keys that were not to be used, by what their authors had seen.
    #[must_use]
    pub const fn violations(&self) -> u64 {
        self.sealed.violations
    }

    /// Grows whenever there is one more that is not opened; local to this process.
    #[must_use]
    pub const fn unopened_changes(&self) -> u64 {
        self.unopened_changes
    }

    /// A page of those that are not opened: places after one, ascending.
    pub fn unopened_places(
        &self,
        tables: &dyn StateRead,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>> {
        let from =
            after.map_or_else(|| tables::UNOPENED.to_vec(), |place| successor(&tables::unopened_key(place)));
        let rows = tables.scan(Table::Meta, &from, prefix_end(tables::UNOPENED).as_deref(), false, limit)?;
        let place = |row: &[u8]| row.get(tables::UNOPENED.len()..).and_then(Place::from_key);
        rows.iter().map(|(row, _)| place(row).ok_or_else(|| damaged("a place"))).collect()
    }

    /// Takes what sealed calls say, by whatever way it came: each is executed at its place. What does not open a commitment, or is known, is left
    /// aside.
    pub fn open_late(
        &mut self,
        tables: &dyn StateRead,
        contents: Vec<(TransactionId, Vec<u8>)>,
        application: Option<&dyn Application>,
    ) -> Result<Step> {
        let contents = contents.into_iter().map(|(id, content)| (id, content, None)).collect();
        self.open_late_with(tables, contents, application)
    }

    /// The same, with the keys of the messages where they are known: then they can be sent again as they came.
    pub(crate) fn open_late_with(
        &mut self,
        tables: &dyn StateRead,
        contents: Vec<(TransactionId, Vec<u8>, Option<MessageKey>)>,
        application: Option<&dyn Application>,
    ) -> Result<Step> {
        let mut view = View::new(tables);
        let mut step = Step::default();
        let last = self.core.last;
        for (id, content, key) in contents {
            let Some(position) = tables::position(&view, &id)? else { continue };
            let place = Place::tail(position.lamport, id);
            if view.get(Table::Meta, &tables::unopened_key(&place))?.is_none() {
                continue;
            }
            let Some(mut transaction) = tables::transaction(&view, &id)? else { continue };
            if transaction.header.check_content(&content).is_err() && !faults::is(Fault::TrustShares) {
                continue;
            }
            (transaction.payload, transaction.key) = (content, key);
            let row = tables::transaction_key(&position.author, position.sequence, &id);
            view.put(Table::Transactions, row, transaction.to_row());
            view.delete(Table::Meta, tables::unopened_key(&place));
            self.sealed.unopened = self.sealed.unopened.saturating_sub(1);
            self.pending.insert(place, id);
            if last.is_some_and(|last| place < last) {
                step.reordered = Some(step.reordered.map_or(place, |first| place.min(first)));
            }
            step.opened.push(id);
        }
        self.settle(view, step, None, application)
    }

    /// A sealed call is let in: it is executed if it is opened, and else remembered.
    pub(super) fn call_let_in(&mut self, view: &mut View<'_>, place: Place, opened: bool, step: &mut Step) {
        if opened {
            self.pending.insert(place, place.id);
            return;
        }
        view.put(Table::Meta, tables::unopened_key(&place), Vec::new());
        self.sealed.unopened += 1;
        self.unopened_changes += 1;
        step.unopened.push(place.id);
    }

    pub(super) fn is_unopened(tables: &dyn StateRead, place: &Place) -> Result<bool> {
        Ok(tables.get(Table::Meta, &tables::unopened_key(place))?.is_some())
    }

    /// Whether a member may be expected to have the keys of an epoch: it was a member when that was made, by the same admission as now.
    pub(crate) fn has_keys(
        &self,
        tables: &dyn StateRead,
        member: &MemberId,
        epoch: &TransactionId,
    ) -> Result<bool> {
        let Some(facts) = self.governance.members.get(member) else { return Ok(false) };
        let Some(number) = self.acts.number(epoch) else { return Ok(false) };
        let members = self.everything(tables).members_at(number)?;
        Ok(members.members.get(member).is_some_and(|then| then.added == facts.added))
    }
}

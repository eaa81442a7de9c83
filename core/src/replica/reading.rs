//! What a replica can be asked.

use super::engine::Replica;
use super::execution::{StateAt, entries_before, key_range, value_before};
use super::governance::{InvitationState, Member};
use super::history::reaches;
use super::payload::Tip;
use super::receipt::{Place, Receipt};
use super::state_read::{StateRead, Table};
use super::tables::{self, damaged};
use super::transaction::Transaction;
use super::view::{prefix_end, successor};
use super::{ContextId, MemberId, StateKey, TransactionId};
use crate::application::{Application, guarded};
use crate::{Error, ErrorKind, Result, limits};

/// Where a transaction is in its author's chain and in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Who signed it.
    pub author: MemberId,
    /// Its number.
    pub sequence: u64,
    /// Its lamport number.
    pub lamport: u64,
    /// What it is.
    pub kind: u8,
}

impl Replica {
    /// The context.
    #[must_use]
    pub const fn context(&self) -> ContextId {
        self.context
    }

    /// The name of the application; empty before genesis is here.
    #[must_use]
    pub fn application(&self) -> &str {
        &self.core.application
    }

    /// What the context is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.governance.name.as_ref().unwrap_or(&self.core.name)
    }

    /// Proves to peers that one may know that the context exists.
    #[must_use]
    pub const fn access_key(&self) -> &[u8; 32] {
        &self.core.access_key
    }

    /// How many transactions the history has.
    #[must_use]
    pub const fn transactions(&self) -> u64 {
        self.core.transactions
    }

    /// How many transactions are in the order and not executed.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The first transaction in the order that is not executed.
    #[must_use]
    pub fn first_pending(&self) -> Option<TransactionId> {
        self.pending.first_key_value().map(|(_, id)| *id)
    }

    /// The members at the end of the order.
    pub fn members(&self) -> impl Iterator<Item = (&MemberId, &Member)> {
        self.governance.members.iter()
    }

    /// One member at the end of the order.
    #[must_use]
    pub fn member(&self, member: &MemberId) -> Option<&Member> {
        self.governance.members.get(member)
    }

    /// The `Add` that made somebody a member, also of one that is none any more (genesis for the creator).
    #[must_use]
    pub fn added(&self, member: &MemberId) -> Option<TransactionId> {
        self.governance.added(member)
    }

    /// What added a member and what made it an admin; of one that is none any more, what did so before. Genesis for the creator.
    #[must_use]
    pub fn made(&self, member: &MemberId) -> Vec<TransactionId> {
        self.governance.made(member)
    }

    /// Whether the key was a member's that was removed.
    #[must_use]
    pub fn is_removed(&self, member: &MemberId) -> bool {
        self.governance.removed.contains(member)
    }

    /// Whether one member may remove another as things stand at the end of the order: it is an admin, and the other is none, junior to it or itself.
    #[must_use]
    pub fn may_remove(&self, author: &MemberId, member: &MemberId) -> bool {
        self.governance.may_remove(&self.acts, author, member)
    }

    /// The invitations at the end of the order.
    pub fn invitations(&self) -> impl Iterator<Item = (&TransactionId, &InvitationState)> {
        self.governance.invitations.iter()
    }

    /// One invitation at the end of the order.
    #[must_use]
    pub fn invitation(&self, invite: &TransactionId) -> Option<&InvitationState> {
        self.governance.invitations.get(invite)
    }

    /// All tips of each author that wrote something.
    pub fn tips(&self) -> impl Iterator<Item = (&MemberId, Vec<Tip>)> {
        self.tips.iter().map(|(author, tips)| (author, tips.iter().copied().collect()))
    }

    /// The tips of one author.
    #[must_use]
    pub fn tips_of(&self, author: &MemberId) -> Vec<Tip> {
        self.tips.get(author).map(|tips| tips.iter().copied().collect()).unwrap_or_default()
    }

    /// Whether some chain of an author's goes as far as this sequence; if not, the history has nothing of it there.
    #[must_use]
    pub fn reaches(&self, author: &MemberId, sequence: u64) -> bool {
        reaches(&self.tips, author, sequence)
    }

    /// Names the whole history: equal digests, equal histories.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("kith 2026 history digest");
        for (author, tips) in &self.tips {
            for tip in tips {
                hasher.update(&author.0).update(&tip.sequence.to_le_bytes()).update(&tip.id.0);
            }
        }
        *hasher.finalize().as_bytes()
    }

    /// Whether the history has a transaction.
    pub fn has(&self, tables: &dyn StateRead, id: &TransactionId) -> Result<bool> {
        Ok(tables::position(tables, id)?.is_some())
    }

    /// Where a transaction is.
    pub fn location(&self, tables: &dyn StateRead, id: &TransactionId) -> Result<Option<Location>> {
        Ok(tables::position(tables, id)?.map(|position| Location {
            author: position.author,
            sequence: position.sequence,
            lamport: position.lamport,
            kind: position.kind,
        }))
    }

    /// A transaction of the history.
    pub fn transaction(&self, tables: &dyn StateRead, id: &TransactionId) -> Result<Option<Transaction>> {
        let found = transaction(tables, id)?;
        found.map(|transaction| self.covers.attach(tables, id, transaction)).transpose()
    }

    /// How many transactions are proved by headers that are kept for it.
    #[must_use]
    pub fn covers(&self) -> usize {
        self.covers.len()
    }

    /// At most `limit` transactions of an author on all branches, ascending by (sequence, id), all of them greater than `after`.
    pub fn chain(
        &self,
        tables: &dyn StateRead,
        author: &MemberId,
        after: Tip,
        limit: usize,
    ) -> Result<Vec<(TransactionId, Transaction)>> {
        let start = successor(&tables::transaction_key(author, after.sequence, &after.id));
        let rows =
            tables.scan(Table::Transactions, &start, prefix_end(&author.0).as_deref(), false, limit)?;
        rows.into_iter()
            .map(|(key, row)| {
                let id = tables::id_of_transaction_key(&key)?;
                Ok((id, self.covers.attach(tables, &id, Transaction::from_row(&row)?)?))
            })
            .collect()
    }

    /// The accepted transactions that removed somebody, then those that demoted it; of both what came last is first.
    #[must_use]
    pub fn removal_of(&self, member: &MemberId) -> Vec<TransactionId> {
        self.governance.cutters(&self.acts, member)
    }

    /// A page of the order: places after one, ascending.
    pub fn order(&self, tables: &dyn StateRead, after: Option<&Place>, limit: usize) -> Result<Vec<Place>> {
        order(tables, after, limit)
    }

    /// What a transaction did, if it was executed.
    pub fn receipt(&self, tables: &dyn StateRead, id: &TransactionId) -> Result<Option<Receipt>> {
        receipt(tables, id)
    }

    /// The value under a key at the end of the order.
    pub fn value(&self, tables: &dyn StateRead, key: &StateKey) -> Result<Option<Vec<u8>>> {
        value(tables, key)
    }

    /// A page of entries at the end of the order, in key order: those with a prefix, after a key.
    pub fn entries(
        &self,
        tables: &dyn StateRead,
        prefix: &[u8],
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, Vec<u8>)>> {
        entries(tables, prefix, after, limit)
    }

    /// A read-only call of the application on the state at the end of the order. A failure of the store is told as what
    /// it is, whatever the application makes of it; [`ErrorKind::Blocked`] is a fault of the application's own.
    pub fn query(
        &self,
        tables: &dyn StateRead,
        method: &str,
        arguments: &[u8],
        application: Option<&dyn Application>,
    ) -> Result<Vec<u8>> {
        let application = application.ok_or_else(|| {
            let name = &self.core.application;
            Error::new(ErrorKind::ApplicationMissing, format!("the application `{name}` is not registered"))
        })?;
        let mut state = StateAt::new(tables, None);
        let answer = guarded(|| application.query(method, arguments, &mut state));
        state.answer(answer)
    }
}

/// A transaction of the history.
pub fn transaction(tables: &dyn StateRead, id: &TransactionId) -> Result<Option<Transaction>> {
    tables::transaction(tables, id)
}

/// A page of the order: places after one, ascending.
pub fn order(tables: &dyn StateRead, after: Option<&Place>, limit: usize) -> Result<Vec<Place>> {
    let from = after.map_or_else(Vec::new, |place| successor(&place.key()));
    let rows = tables.scan(Table::Order, &from, None, false, limit)?;
    rows.iter().map(|(key, _)| Place::from_key(key).ok_or_else(|| damaged("a place"))).collect()
}

/// What a transaction did, if it was executed.
pub fn receipt(tables: &dyn StateRead, id: &TransactionId) -> Result<Option<Receipt>> {
    let Some(position) = tables::position(tables, id)? else { return Ok(None) };
    let place = Place::tail(position.lamport, *id);
    Ok(tables::effects(tables, &place)?.map(|effects| effects.receipt))
}

/// The value under a key at the end of the order.
pub fn value(tables: &dyn StateRead, key: &StateKey) -> Result<Option<Vec<u8>>> {
    value_before(tables, key, None)
}

/// A page of entries at the end of the order, in key order: those with a prefix of at most 32 bytes, after a key; at most
/// [`limits::PAGE_ENTRIES`] and about [`limits::PAGE_BYTES`].
pub fn entries(
    tables: &dyn StateRead,
    prefix: &[u8],
    after: Option<&StateKey>,
    limit: usize,
) -> Result<Vec<(StateKey, Vec<u8>)>> {
    if prefix.len() > 32 {
        return Err(Error::invalid_argument(format!("a prefix has at most 32 bytes, not {}", prefix.len())));
    }
    let Some((from, to)) = key_range(prefix, after) else { return Ok(Vec::new()) };
    let limit = limit.min(limits::PAGE_ENTRIES);
    Ok(entries_before(tables, &from, &to, None, limit, limits::PAGE_BYTES)?.0)
}

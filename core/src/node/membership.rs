//! What sync reads of a context, and who is what to it.

use std::collections::BTreeSet;

use crate::Result;
use crate::encryption::Wrapped;
use crate::keyring::Keeper;
use crate::limits;
use crate::node::machine::Surroundings;
use crate::replica::payload::Add;
use crate::replica::{
    Header, Kind, Malformed, MemberId, Payload, Place, Replica, Role, StateRead, Tip, Transaction,
    TransactionId,
};
use crate::sync::{History, Passing, Position, Standing, Tips, Verified};

/// A context's history as sync sees it: the replica and its tables, between two batches, when all of it is durable.
pub(crate) struct Held<'a> {
    pub(crate) replica: &'a Replica,
    pub(crate) tables: &'a dyn StateRead,
    pub(crate) verified: &'a Verified,
    pub(crate) surroundings: &'a dyn Surroundings,
    pub(crate) keeper: &'a Keeper,
    pub(crate) passing: &'a Passing,
    /// Whether keys are on the way.
    pub(crate) awaits: bool,
}

impl Held<'_> {
    /// What removed and demoted a former member, and what made the authors of that admins, and theirs, and so on to the creator.
    fn removal(&self, member: &MemberId) -> Result<Vec<TransactionId>> {
        let mut ids = self.replica.removal_of(member);
        // Who was removed and added again many times needs the newest, and room for what proves that.
        ids.truncate(limits::SYNC_LINEAGE / 2);
        let (mut next, mut authors) = (0, BTreeSet::new());
        while ids.len() < limits::SYNC_LINEAGE
            && let Some(id) = ids.get(next)
        {
            next += 1;
            let Some(author) = self.position(id)?.map(|position| position.author) else { continue };
            if !authors.insert(author) {
                continue;
            }
            for made in self.replica.made(&author) {
                // Everybody has genesis.
                let found = self.replica.location(self.tables, &made)?;
                if found.is_some_and(|at| at.kind != Kind::Genesis as u8) && !ids.contains(&made) {
                    ids.push(made);
                }
            }
        }
        ids.truncate(limits::SYNC_LINEAGE);
        Ok(ids)
    }

    /// By whose word a member is one: its `Add`, that of its author, and so on to the creator.
    pub(crate) fn lineage(&self, member: &MemberId) -> Result<Vec<TransactionId>> {
        let mut ids: Vec<TransactionId> = Vec::new();
        let mut next = *member;
        while ids.len() < limits::SYNC_LINEAGE
            && let Some(add) = self.replica.added(&next).filter(|add| !ids.contains(add))
            && let Some(position) = self.replica.location(self.tables, &add)?
            && position.kind == Kind::Add as u8
        {
            ids.push(add);
            next = position.author;
        }
        Ok(ids)
    }

    /// Whether transactions that somebody handed over make it a member: an `Add` by a member, or by one whose own `Add` is there as
    /// well, and so on to one that is a member here.
    ///
    /// This side may be far behind (a backup was restored) and know none of the present members. Each of the chain is vouched
    /// for by somebody who is, or may well be, a member still, and could hand on by itself whatever the last of the chain
    /// learns here. What is in the history has been judged, and says nothing again; nor does the word of a removed member.
    fn vouched(&self, member: &MemberId, supporting: &[Transaction]) -> Result<Option<Role>> {
        let (mut wanted, mut role) = (*member, None);
        for _ in supporting {
            let Some((transaction, add)) = supporting.iter().find_map(|transaction| {
                let payload = Payload::decode(transaction.header.kind, transaction.plaintext());
                match payload {
                    Some(Payload::Add(add)) if add.member == wanted => Some((transaction, add)),
                    _ => None,
                }
            }) else {
                return Ok(None);
            };
            let author = transaction.header.author;
            let known = self.replica.has(self.tables, &transaction.header.id())?;
            if known || !self.counts(transaction, &add) || self.replica.is_removed(&author) {
                return Ok(None);
            }
            let role = *role.get_or_insert(add.role);
            if self.replica.member(&author).is_some() {
                return Ok(Some(role));
            }
            wanted = author;
        }
        Ok(None)
    }

    /// What removed the one by whose word somebody says that it is a member, or by whose word that one was, and so on. It may never hear of that
    /// otherwise: nobody else knows it, and the removed one says nothing more.
    fn let_in_by_removed(
        &self,
        member: &MemberId,
        supporting: &[Transaction],
    ) -> Result<Option<Vec<TransactionId>>> {
        let context = self.replica.context();
        let mut wanted = *member;
        for _ in supporting {
            let author = supporting.iter().find_map(|transaction| {
                match Payload::decode(transaction.header.kind, transaction.plaintext()) {
                    Some(Payload::Add(add)) if add.member == wanted && add.consents(&context) => {
                        Some(transaction.header.author)
                    }
                    _ => None,
                }
            });
            match author {
                Some(author) if self.replica.is_removed(&author) => return self.removal(&author).map(Some),
                Some(author) => wanted = author,
                None => break,
            }
        }
        Ok(None)
    }

    /// Whether nothing that is known here speaks against an `Add`.
    fn counts(&self, transaction: &Transaction, add: &Add) -> bool {
        let context = self.replica.context();
        let invitation = match &add.redeemed {
            None => true,
            Some(redeemed) => self.replica.invitation(&redeemed.invite).is_none_or(|invitation| {
                !invitation.revoked
                    && invitation.uses < invitation.invite.max_uses
                    && add.redeems(&context, &invitation.invite)
            }),
        };
        transaction.header.belongs_to() == context && add.consents(&context) && invitation
    }
}

impl History for Held<'_> {
    fn verify(
        &self,
        header: &Header,
        id: &TransactionId,
        signature: &[u8; 64],
    ) -> std::result::Result<(), Malformed> {
        self.verified.verify(id, signature, || self.surroundings.verify(header, id, signature))
    }

    fn digest(&self) -> Result<[u8; 32]> {
        Ok(self.replica.digest())
    }

    fn tips(&self, after: Option<&MemberId>, limit: usize) -> Result<Vec<Tips>> {
        let later = self.replica.tips().filter(|(author, _)| after.is_none_or(|after| *author > after));
        Ok(later.take(limit).map(|(author, tips)| Tips { author: *author, tips }).collect())
    }

    fn reaches(&self, author: &MemberId, sequence: u64) -> Result<bool> {
        Ok(self.replica.reaches(author, sequence))
    }

    fn position(&self, id: &TransactionId) -> Result<Option<Position>> {
        let location = self.replica.location(self.tables, id)?;
        Ok(location.map(|at| Position { author: at.author, sequence: at.sequence, lamport: at.lamport }))
    }

    fn transaction(&self, id: &TransactionId) -> Result<Option<Transaction>> {
        self.replica.transaction(self.tables, id)
    }

    fn chain(
        &self,
        author: &MemberId,
        after: Tip,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(TransactionId, Transaction)>> {
        let mut found: Vec<(TransactionId, Transaction)> = Vec::new();
        let mut size = 0;
        let mut after = after;
        while found.len() < limit {
            let page = (limit - found.len()).min(16);
            let rows = self.replica.chain(self.tables, author, after, page)?;
            let ended = rows.len() < page;
            for (id, transaction) in rows {
                size += transaction.payload.len() + 512;
                if size > bytes && !found.is_empty() {
                    return Ok(found);
                }
                after = Tip { sequence: transaction.header.sequence, id };
                found.push((id, transaction));
            }
            if ended {
                break;
            }
        }
        Ok(found)
    }

    fn show(
        &self,
        to: &MemberId,
        id: &TransactionId,
        transaction: Transaction,
    ) -> Result<Option<Transaction>> {
        self.keeper.show(self.replica, self.tables, to, id, transaction)
    }

    fn has_keys(&self, who: &MemberId, epoch: &TransactionId) -> Result<bool> {
        self.replica.has_keys(self.tables, who, epoch)
    }

    fn passing(&self) -> Option<&Passing> {
        Some(self.passing)
    }

    fn may_read(&self, who: &MemberId) -> bool {
        self.replica.member(who).is_some()
    }

    fn unopened(&self, after: Option<&Place>, limit: usize) -> Result<Vec<Place>> {
        self.replica.unopened_places(self.tables, after, limit)
    }

    fn unopened_changes(&self) -> u64 {
        self.replica.unopened_changes()
    }

    fn wraps_for(&self, epoch: &TransactionId, member: &MemberId) -> Result<Option<Wrapped>> {
        self.keeper.wraps_for(self.replica, self.tables, epoch, member)
    }

    fn proves(&self, epoch: &TransactionId, given: &Wrapped) -> Result<bool> {
        self.keeper.proves(self.replica, self.tables, epoch, given)
    }

    fn awaits_keys(&self) -> bool {
        self.awaits
    }

    fn standing(&self, member: &MemberId, supporting: &[Transaction]) -> Result<Standing> {
        if let Some(facts) = self.replica.member(member) {
            return Ok(Standing::Member(facts.role));
        }
        if self.replica.is_removed(member) {
            return Ok(Standing::Removed(self.removal(member)?));
        }
        if self.replica.transactions() == 0 {
            // There is nothing to give away, and nothing to judge by yet.
            return Ok(Standing::Member(Role::Reader));
        }
        if let Some(role) = self.vouched(member, supporting)? {
            return Ok(Standing::Member(role));
        }
        let removal = self.let_in_by_removed(member, supporting)?;
        Ok(removal.map_or(Standing::Unknown, Standing::Removed))
    }
}

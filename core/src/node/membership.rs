//! What sync reads of a context, and who is what to it.

use crate::Result;
use crate::limits;
use crate::replica::payload::Add;
use crate::replica::{
    Header, Kind, Malformed, MemberId, Payload, Replica, StateRead, Tip, Transaction, TransactionId,
};
use crate::sync::{History, Position, Standing, Tips, Verified};

/// A context's history as sync sees it: the replica and its tables, between two batches, when all of it is durable.
pub(crate) struct Held<'a> {
    pub(crate) replica: &'a Replica,
    pub(crate) tables: &'a dyn StateRead,
    pub(crate) verified: &'a Verified,
}

impl Held<'_> {
    /// The `Add` of a member and what proves it, as far as they are in the history.
    pub(crate) fn admission(&self, member: &MemberId) -> Result<Vec<TransactionId>> {
        let Some(facts) = self.replica.member(member) else { return Ok(Vec::new()) };
        let mut ids = vec![facts.added.id];
        if let Some(Payload::Add(Add { redeemed: Some(redeemed), .. })) = self.payload(&facts.added.id)? {
            ids.push(redeemed.invite);
        }
        ids.truncate(limits::SYNC_SUPPORTING);
        Ok(ids)
    }

    fn payload(&self, id: &TransactionId) -> Result<Option<Payload>> {
        let transaction = self.replica.transaction(self.tables, id)?;
        Ok(transaction.and_then(|t| Payload::decode(t.header.kind, t.plaintext())))
    }

    /// Whether transactions that somebody handed over make it a member: an `Add` by a member, by an invitation that counts here.
    fn vouched(&self, member: &MemberId, supporting: &[Transaction]) -> Option<crate::replica::Role> {
        let context = self.replica.context();
        supporting.iter().find_map(|transaction| {
            let Some(Payload::Add(add)) = Payload::decode(transaction.header.kind, transaction.plaintext())
            else {
                return None;
            };
            let by_member = self.replica.member(&transaction.header.author).is_some();
            let here =
                transaction.header.belongs_to() == context && transaction.header.kind == Kind::Add as u8;
            let invitation = self.replica.invitation(&add.redeemed.as_ref()?.invite)?;
            let counts = !invitation.revoked
                && invitation.uses < invitation.invite.max_uses
                && add.redeems(&context, &invitation.invite);
            (here && by_member && add.member == *member && add.consents(&context) && counts)
                .then_some(add.role)
        })
    }
}

impl History for Held<'_> {
    fn verify(
        &self,
        header: &Header,
        id: &TransactionId,
        signature: &[u8; 64],
    ) -> std::result::Result<(), Malformed> {
        self.verified.verify(header, id, signature)
    }

    fn digest(&self) -> Result<[u8; 32]> {
        Ok(self.replica.digest())
    }

    fn tips(&self, after: Option<&MemberId>, limit: usize) -> Result<Vec<Tips>> {
        let later = self.replica.tips().filter(|(author, _)| after.is_none_or(|after| *author > after));
        Ok(later.take(limit).map(|(author, tips)| Tips { author: *author, tips }).collect())
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

    fn standing(&self, member: &MemberId, supporting: &[Transaction]) -> Result<Standing> {
        if let Some(facts) = self.replica.member(member) {
            return Ok(Standing::Member(facts.role));
        }
        if self.replica.is_removed(member) {
            let mut evidence = self.replica.removal_of(member);
            let authors: Vec<_> = evidence.iter().filter_map(|id| self.position(id).ok().flatten()).collect();
            for position in authors {
                evidence.extend(self.admission(&position.author)?);
            }
            evidence.truncate(limits::SYNC_SUPPORTING);
            return Ok(Standing::Removed(evidence));
        }
        Ok(self.vouched(member, supporting).map_or(Standing::Unknown, Standing::Member))
    }
}

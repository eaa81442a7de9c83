//! Publishing the proof when a member has signed two histories.

use super::Actor;
use super::stage::Stage;
use crate::replica::payload::{Fork, SignedRun};
use crate::replica::{MemberId, Payload, Tip, TransactionId, View};
use crate::{ErrorKind, Result, limits};

impl Actor {
    /// Writes a `Fork` for each member whose equivocation has come to light, unless somebody else's counts already.
    pub(super) fn stage_forks(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        let me = self.start.shared.me;
        for (member, (one, other)) in std::mem::take(&mut stage.forks) {
            let mute = self.replica.member(&me).is_none() || self.start.frozen.is_some() || self.leaving;
            if mute || member == me || self.replica.is_removed(&member) {
                continue;
            }
            let (Some(one), Some(other)) =
                (self.signed_run(view, &member, one)?, self.signed_run(view, &member, other)?)
            else {
                continue;
            };
            let mut last = self.replica.tips_of(&member);
            last.truncate(limits::TIPS);
            match self.write(Payload::Fork(Fork { member, one, other, last }), view, stage) {
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Storage | ErrorKind::Corrupt) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%member, %error, "an equivocation could not be proved to the others")
                }
            }
        }
        Ok(())
    }

    /// Headers from a transaction on, up to the first one whose signature is kept.
    fn signed_run(
        &self,
        view: &View<'_>,
        member: &MemberId,
        first: TransactionId,
    ) -> Result<Option<SignedRun>> {
        let mut headers = Vec::new();
        let mut next = Some(first);
        while let Some(id) = next.filter(|_| headers.len() < limits::RUN) {
            let Some(transaction) = self.replica.transaction(view, &id)? else { return Ok(None) };
            let after = Tip { sequence: transaction.header.sequence, id: TransactionId([u8::MAX; 32]) };
            headers.push(transaction.header);
            if let Some(signature) = transaction.signature {
                return Ok(Some(SignedRun { headers, signature }));
            }
            let following = self.replica.chain(view, member, after, limits::TIPS)?;
            next = following.into_iter().find(|(_, t)| t.header.previous == id).map(|(id, _)| id);
        }
        Ok(None)
    }
}

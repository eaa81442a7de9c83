//! What callers and peers make a context's thread write.

use std::collections::VecDeque;

use ed25519_dalek::SigningKey;

use super::Actor;
use super::sessions::Delivery;
use super::stage::Stage;
use crate::application::Application;
use crate::invitation::{Invitation, Unsigned};
use crate::network::LinkId;
use crate::node::command::{Command, Reply};
use crate::node::events::Event;
use crate::node::info::{Executed, IssuedInvitation, MemberInfo};
use crate::node::options::InviteOptions;
use crate::replica::faults::{self, Fault};
use crate::replica::payload::{Add, Invite, Remove, SetRole};
use crate::replica::{
    Blocked, Keyring, Kind, MemberId, NoRoom, Payload, Rejection, Role, Signer, StateRead, Tip, Transaction,
    TransactionId, Verdict, View,
};
use crate::storage::{ContextTables, Mark};
use crate::sync::Refusal;
use crate::{Error, ErrorKind, Result, limits};

impl Actor {
    /// Carries out a command in the view, or keeps it for after the batch.
    pub(super) fn stage_command(
        &mut self,
        command: Command,
        view: &mut View<'_>,
        stage: &mut Stage,
    ) -> Result<()> {
        match command {
            Command::Call { call, reply } => {
                let written = self.write(Payload::Call(call), view, stage);
                self.later(written, reply, stage, |(transaction, output)| Executed { transaction, output })
            }
            Command::Author { payload, reply } => {
                let meant = self.check_meant(&payload, view);
                let written = meant.and_then(|()| self.write(payload, view, stage));
                self.later(written, reply, stage, |(id, _)| id)
            }
            Command::SetRole { member, role, reply } => {
                let present = self.replica.member(&member).map(|facts| facts.role);
                let last = (Some(role) < present).then(|| self.tips(&member));
                let payload = Payload::SetRole(SetRole { member, role, last });
                let written = self.write(payload, view, stage);
                self.later(written, reply, stage, |(id, _)| id)
            }
            Command::Remove { member, reply } => {
                // The rules let an admin remove also who has left; to the host that is a mistake.
                if self.replica.member(&member).is_none() {
                    let _ = reply.send(Err(Rejection::UnknownMember.into()));
                    return Ok(());
                }
                let payload = Payload::Remove(Remove { member, last: self.tips(&member) });
                let written = self.write(payload, view, stage);
                self.later(written, reply, stage, |(id, _)| id)
            }
            Command::Invite { options, addresses, reply } => {
                let written = self.invite(options, addresses, view, stage);
                self.later(written, reply, stage, |invitation| invitation)
            }
            Command::Leave { reply } => {
                let written = self.leave(view, stage);
                self.later(written, reply, stage, |()| ())
            }
            Command::RotateKeys { reply } => {
                let written = self.rotate_keys(view, stage);
                self.later(written, reply, stage, |()| ())
            }
            Command::Verify { reply } => {
                self.verifying.ask(reply);
                Ok(())
            }
            // Every round looks for an application that is missing.
            Command::ApplicationRegistered => Ok(()),
            Command::Stop
            | Command::Opened { .. }
            | Command::Message { .. }
            | Command::Gossip { .. }
            | Command::Closed { .. } => Ok(()),
            question => {
                stage.questions.push(question);
                Ok(())
            }
        }
    }

    /// Whether what a caller refers to is there, and is such a thing: a transaction that refers to something else would be invalid.
    fn check_meant(&self, payload: &Payload, view: &View<'_>) -> Result<()> {
        let Payload::Skip(skip) = payload else { return Ok(()) };
        match self.replica.location(view, &skip.transaction)? {
            None => Err(Error::not_found(format!("there is no transaction {}", skip.transaction))),
            Some(at) if at.kind != Kind::Call as u8 => {
                Err(Error::invalid_argument(format!("transaction {} is no call", skip.transaction)))
            }
            Some(_) => Ok(()),
        }
    }

    /// What a command wrote is answered after the batch; what it was refused for, now. Only a failing store ends the round.
    fn later<T, U: Send + 'static>(
        &self,
        written: Result<T>,
        reply: Reply<U>,
        stage: &mut Stage,
        value: impl FnOnce(T) -> U,
    ) -> Result<()> {
        match written {
            Ok(written) => stage.answer_later(reply, value(written)),
            Err(error) => {
                let broken =
                    matches!(error.kind(), ErrorKind::Storage | ErrorKind::Corrupt | ErrorKind::StorageFull);
                if broken {
                    stage.fail_later(reply);
                    return Err(error);
                }
                let _ = reply.send(Err(error));
            }
        }
        Ok(())
    }

    /// The tips of a member that this node has seen.
    fn tips(&self, member: &MemberId) -> Vec<Tip> {
        self.replica.tips_of(member)
    }

    /// Signs and carries out a transaction of this node's own; before a call whatever keys it takes.
    pub(super) fn write(
        &mut self,
        payload: Payload,
        view: &mut View<'_>,
        stage: &mut Stage,
    ) -> Result<(TransactionId, Vec<u8>)> {
        self.may_write()?;
        if let Payload::Call(_) = &payload {
            self.prepare_keys(view, stage)?;
        }
        self.author(payload, view, stage)
    }

    pub(super) fn may_write(&self) -> Result<()> {
        if let Some(reason) = &self.removed {
            return Err(Error::not_member(reason.clone()));
        }
        if let Some(reason) = &self.start.frozen {
            return Err(Error::blocked(format!("nothing is signed in this context: {reason}")));
        }
        if self.leaving {
            return Err(Error::closed("this node is leaving the context"));
        }
        Ok(())
    }

    pub(super) fn author(
        &mut self,
        payload: Payload,
        view: &mut View<'_>,
        stage: &mut Stage,
    ) -> Result<(TransactionId, Vec<u8>)> {
        let mut fresh = fresh_keys(self.start.surroundings.random()?);
        let mut signer =
            Signer { key: &self.start.key, timestamp: self.start.clock.now(), random: &mut fresh };
        let application = self.application();
        let application: Option<&dyn Application> = application.as_deref();
        let keyring: Option<&mut dyn Keyring> = Some(&mut self.keeper);
        let (written, mut step) =
            self.replica.author_with(&mut signer, payload, view, application, keyring)?;
        let last = written.last().ok_or_else(|| Error::internal("nothing was written"))?;
        let id = last.header.id();
        stage.published = Some(Mark { sequence: last.header.sequence, id });
        let output = step.executed.iter().find(|outcome| outcome.id == id);
        let output = output.and_then(|outcome| outcome.receipt.outcome.clone().ok()).unwrap_or_default();
        stage.added.extend(step.admitted.iter().copied());
        view.apply(std::mem::take(&mut step.writes));
        stage.absorb(step, &self.start.shared.me);
        Ok((id, output))
    }

    fn invite(
        &mut self,
        options: InviteOptions,
        addresses: Vec<String>,
        view: &mut View<'_>,
        stage: &mut Stage,
    ) -> Result<Invitation> {
        let secret = self.start.surroundings.random()?;
        let key = SigningKey::from_bytes(&secret);
        let lifetime =
            options.expires_in.map(|lifetime| u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX));
        let not_after = lifetime.map_or(0, |lifetime| self.start.clock.now().saturating_add(lifetime).max(1));
        let payload = Payload::Invite(Invite {
            key: MemberId(key.verifying_key().to_bytes()),
            role: options.role,
            not_after,
            max_uses: options.max_uses,
            note: options.note.clone(),
        });
        let (invite, _) = self.write(payload, view, stage)?;
        let unsigned = Unsigned {
            context: self.start.shared.id,
            access_key: *self.replica.access_key(),
            invite,
            secret,
            suite: self.replica.suite(),
            application: self.replica.application().to_string(),
            role: options.role,
            not_after,
            note: options.note,
            addresses,
        };
        Invitation::sign(unsigned, &self.start.key)
    }

    fn leave(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        let me = &self.start.shared.me;
        let Some(own) = self.replica.member(me).filter(|_| self.removed.is_none()) else {
            // Nobody needs to be told.
            self.start.shared.left.send_replace(true);
            return Ok(());
        };
        let others: Vec<Role> =
            self.replica.members().filter(|(member, _)| *member != me).map(|(_, facts)| facts.role).collect();
        if own.role == Role::Admin && !others.is_empty() && !others.contains(&Role::Admin) {
            return Err(Error::permission_denied("the last admin names another one before it leaves"));
        }
        if others.is_empty() {
            self.start.shared.left.send_replace(true);
        }
        self.write(Payload::Leave, view, stage)?;
        self.leaving = true;
        Ok(())
    }

    /// Hands what sessions delivered to the replica, and with it whatever waited for it, until the round is full.
    pub(super) fn stage_deliveries(
        &mut self,
        view: &mut View<'_>,
        most: usize,
        stage: &mut Stage,
    ) -> Result<()> {
        let mut deliveries = std::mem::take(&mut stage.deliveries).into_iter();
        while let Some(Delivery { link, token, mut transactions }) = deliveries.next() {
            let told = stage.added.len();
            while !transactions.is_empty() && view.size() < most {
                let slice = slice(&transactions);
                let mut next: Vec<(LinkId, Transaction)> =
                    transactions.drain(..slice).map(|transaction| (link, transaction)).collect();
                while !next.is_empty() {
                    next = self.take_in(next, view, stage)?;
                }
            }
            if transactions.is_empty() {
                let new = stage.added.split_off(told);
                stage.added.append(&mut self.held_back);
                stage.added.extend(new);
                stage.delivered.push((link, token));
            } else {
                self.held_back.extend(stage.added.drain(told..));
                self.left_over.push_back(Delivery { link, token, transactions });
                self.left_over.extend(deliveries);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives those that need not wait any more.
    fn take_in(
        &mut self,
        arrived: Vec<(LinkId, Transaction)>,
        view: &mut View<'_>,
        stage: &mut Stage,
    ) -> Result<Vec<(LinkId, Transaction)>> {
        let (links, transactions): (Vec<LinkId>, Vec<Transaction>) = arrived.into_iter().unzip();
        let application = self.application();
        let application: Option<&dyn Application> = application.as_deref();
        let keyring: Option<&mut dyn Keyring> = Some(&mut self.keeper);
        let mut step = self.replica.receive_with(view, &transactions, application, keyring)?;
        view.apply(std::mem::take(&mut step.writes));
        let mut free = Vec::new();
        let verdicts = std::mem::take(&mut step.verdicts);
        for ((id, verdict), (link, transaction)) in
            verdicts.into_iter().zip(links.into_iter().zip(transactions))
        {
            match verdict {
                Verdict::Valid => {
                    stage.added.push(id);
                    let freed = self.room.arrived(&id).into_iter();
                    free.extend(freed.map(|(from, transaction)| (LinkId(from), transaction)));
                    self.check_own(&transaction, stage);
                }
                Verdict::Known => {}
                Verdict::NotYet(_) if faults::is(Fault::DropFromRoom) => {}
                // Its session ended in this round: nobody is left to be asked, and nothing would ever make it leave the room.
                Verdict::NotYet(_) if !self.sessions.contains_key(&link) => {}
                Verdict::NotYet(missing) => {
                    match self.room.wait(id, transaction, link.0, missing.iter().copied()) {
                        Ok(()) => stage.missing.entry(link).or_default().extend(missing),
                        Err(NoRoom::ForPeer | NoRoom::AtAll) => stage.dropped.push(link),
                    }
                }
                Verdict::Invalid(reason) => {
                    let dropped = self.room.hopeless(&id).len();
                    tracing::warn!(%id, %reason, dropped, "an invalid transaction was refused");
                    stage.liars.push((link, reason.to_string()));
                }
            }
        }
        stage.absorb(step, &self.start.shared.me);
        // Which application it is has just come with genesis.
        if matches!(stage.blocked, Some(Some(Blocked::ApplicationMissing(_)))) && self.application().is_some()
        {
            self.resume(view, stage)?;
        }
        Ok(free)
    }

    /// A transaction of this node's own that the store did not have: the store is behind what was published.
    fn check_own(&self, transaction: &Transaction, stage: &mut Stage) {
        if transaction.header.author == self.start.shared.me && self.start.frozen.is_none() {
            stage.freeze.get_or_insert_with(|| {
                "a peer has a transaction of this member's own that this store does not: a backup was restored, or the directory copied"
                    .into()
            });
        }
    }

    /// Carries out joiners' requests.
    pub(super) fn stage_admissions(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        for (link, request) in std::mem::take(&mut stage.requests) {
            let outcome = self.admit(request, view, stage)?;
            stage.admitted.push((link, outcome));
        }
        Ok(())
    }

    fn admit(
        &mut self,
        request: Add,
        view: &mut View<'_>,
        stage: &mut Stage,
    ) -> Result<std::result::Result<Vec<TransactionId>, Refusal>> {
        let Some(redeemed) = request.redeemed.clone() else { return Ok(Err(Refusal::InvitationInvalid)) };
        if let Some(facts) = self.replica.member(&request.member) {
            return Ok(Ok(vec![facts.added.id, redeemed.invite]));
        }
        let cannot = self.replica.member(&self.start.shared.me).is_none()
            || self.start.frozen.is_some()
            || self.leaving
            || faults::is(Fault::AdmitNobody);
        if cannot {
            return Ok(Err(Refusal::NotNow));
        }
        let Some(invitation) = self.replica.invitation(&redeemed.invite) else {
            let known = self.replica.has(view, &redeemed.invite)?;
            return Ok(Err(if known { Refusal::InvitationInvalid } else { Refusal::NotNow }));
        };
        if invitation.uses > 0 && faults::is(Fault::UseOnce) {
            return Ok(Err(Refusal::InvitationUsed));
        }
        let not_after = invitation.invite.not_after;
        if not_after > 0 && self.start.clock.now() >= not_after {
            return Ok(Err(Refusal::InvitationExpired));
        }
        if !request.redeems(&self.start.shared.id, &invitation.invite) {
            return Ok(Err(Refusal::InvitationInvalid));
        }
        // Who comes again has handed in its keys before: what counts is why it has to come again.
        if self.replica.is_removed(&request.member) {
            return Ok(Err(Refusal::Removed));
        }
        if invitation.revoked {
            return Ok(Err(Refusal::InvitationRevoked));
        }
        let more = u32::from(faults::is(Fault::UseOnceMore));
        if invitation.uses >= invitation.invite.max_uses + more {
            return Ok(Err(Refusal::InvitationUsed));
        }
        if !self.keeper.admits(&self.replica.everything(view), &request) {
            return Ok(Err(Refusal::InvitationInvalid));
        }
        match self.write(Payload::Add(request), view, stage) {
            Ok((add, _)) => Ok(Ok(vec![add, redeemed.invite])),
            Err(error) => match refusal(error.kind()) {
                Some(refusal) => Ok(Err(refusal)),
                None => Err(error),
            },
        }
    }

    /// Tries again what stands still: a local fault after a while, a missing application once it is there.
    pub(super) fn stage_retry(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        let due = match &self.blocked {
            Some((Blocked::Fault(..), since)) => self.now().saturating_sub(*since) >= super::RETRY,
            Some((Blocked::ApplicationMissing(_), _)) => self.application().is_some(),
            None => false,
        };
        if due { self.resume(view, stage) } else { Ok(()) }
    }

    fn resume(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        let application = self.application();
        let mut step = self.replica.resume(view, application.as_deref())?;
        view.apply(std::mem::take(&mut step.writes));
        stage.absorb(step, &self.start.shared.me);
        Ok(())
    }

    /// Notes whether applying stands still; says so once.
    pub(super) fn note_blocked(&mut self, stage: &mut Stage) {
        let Some(blocked) = stage.blocked.take() else { return };
        let known = self.blocked.as_ref().map(|(blocked, _)| blocked);
        if let Some(blocked) = blocked.as_ref().filter(|blocked| Some(*blocked) != known) {
            stage.events.push(Event::Blocked { cause: super::describe(blocked) });
        }
        let now = self.now();
        self.blocked = blocked.map(|blocked| (blocked, now));
    }

    /// Answers what is asked of the context as it is now.
    pub(super) fn answer(&mut self, question: Command, tables: &ContextTables<'_>) {
        // Callers who went away have lost interest.
        match question {
            Command::Query { method, arguments, reply } => {
                let application = self.application();
                let tables: &dyn StateRead = tables;
                let _ = reply.send(self.replica.query(tables, &method, &arguments, application.as_deref()));
            }
            Command::Members { reply } => {
                let info = |(id, facts): (&MemberId, &crate::replica::Member)| MemberInfo {
                    id: *id,
                    role: facts.role,
                    added: facts.added.id,
                    name: facts.name.clone(),
                };
                let _ = reply.send(Ok(self.replica.members().map(info).collect()));
            }
            Command::Invitations { reply } => {
                let info =
                    |(id, state): (&TransactionId, &crate::replica::InvitationState)| IssuedInvitation {
                        id: *id,
                        inviter: state.inviter,
                        role: state.invite.role,
                        expires_at: (state.invite.not_after > 0).then_some(state.invite.not_after),
                        max_uses: state.invite.max_uses,
                        uses: state.uses,
                        revoked: state.revoked,
                        note: state.invite.note.clone(),
                    };
                let _ = reply.send(Ok(self.replica.invitations().map(info).collect()));
            }
            Command::Status { reply } => {
                let _ = reply.send(Ok(self.status()));
            }
            Command::Security { reply } => {
                let _ = reply.send(self.security(tables));
            }
            Command::Commitment { reply } => {
                let _ = reply.send(Ok(self.replica.commitment()));
            }
            _ => {}
        }
    }
}

/// How many of what was delivered to take in at once: few enough to end a round where it is full. Where there is a signature among
/// them up to the last one, since of what follows it the headers that prove it would have to be kept for a while.
fn slice(transactions: &VecDeque<Transaction>) -> usize {
    const MOST: usize = limits::SYNC_RUN;
    const BYTES: usize = 8 << 10;
    let mut bytes = 0;
    let fits = |transaction: &&Transaction| {
        let before = bytes;
        bytes += transaction.payload.len();
        before < BYTES
    };
    let most = transactions.iter().take(MOST).take_while(fits).count();
    let signed = |index: &usize| transactions.get(*index).is_some_and(|t| t.signature.is_some());
    (0..most).rev().find(signed).map_or(most, |last| last + 1)
}

/// Fresh random commitment keys, from one draw of randomness.
pub(crate) fn fresh_keys(seed: [u8; 32]) -> impl FnMut() -> [u8; 32] {
    let mut count = 0u64;
    move || {
        count += 1;
        *blake3::keyed_hash(&seed, &count.to_le_bytes()).as_bytes()
    }
}

fn refusal(kind: ErrorKind) -> Option<Refusal> {
    Some(match kind {
        ErrorKind::InvitationInvalid | ErrorKind::InvalidArgument => Refusal::InvitationInvalid,
        ErrorKind::InvitationUsed => Refusal::InvitationUsed,
        ErrorKind::InvitationRevoked => Refusal::InvitationRevoked,
        ErrorKind::PermissionDenied => Refusal::Removed,
        ErrorKind::LimitExceeded => Refusal::Full,
        ErrorKind::NotMember
        | ErrorKind::Blocked
        | ErrorKind::Equivocation
        | ErrorKind::ApplicationMissing => Refusal::NotNow,
        _ => return None,
    })
}

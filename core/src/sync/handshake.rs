//! Who the other side is: proof of a member key, or a request to be added. Nothing of the history goes out before.

use ed25519_dalek::SigningKey;

use super::kept::Kept;
use super::message::Message;
use super::proof::{Binding, Covered};
use super::session::{Session, Step, Stop, Turn};
use super::{Ended, Failure, Local, Output, Refusal, SessionEvent, Standing};
use crate::limits;
use crate::replica::payload::Add;
use crate::replica::{MemberId, Role, Transaction, TransactionId};
use crate::{Error, Result};

/// How long a peer has to prove a key.
pub(super) const PROOF_TIME: u64 = 30_000;
/// How long a joiner waits to be admitted.
pub(super) const ADMISSION_TIME: u64 = 60_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The peer's proof or request is to come.
    Proving,
    /// The peer's request is with the node.
    Admitting(MemberId),
    /// This side is a joiner, the peer has proved a key, and its answer is to come.
    Asking,
    /// Both may see the history.
    Through,
}

pub(super) struct Handshake {
    joiner: bool,
    stage: Stage,
    deadline: Option<u64>,
    proved: Option<(MemberId, Option<Role>)>,
    /// What the peer handed over with its proof: it may be what makes it a member until its `Add` is in the history.
    supporting: Vec<Transaction>,
    /// Evidence so far, and its bytes.
    evidence: (Vec<Transaction>, usize),
}

impl Handshake {
    pub(super) fn kept(&self, all: &mut Vec<Kept>) {
        Kept::note(all, "what makes the peer a member", self.supporting.len(), limits::SYNC_LINEAGE);
        Kept::note(all, "evidence", self.evidence.0.len(), limits::SYNC_EVIDENCE);
    }

    pub(super) fn begin(
        binding: &Binding,
        key: &SigningKey,
        local: Local,
        turn: &mut Turn<'_>,
    ) -> Result<Self> {
        let member = MemberId(key.verifying_key().to_bytes());
        let joiner = matches!(local, Local::Joiner { .. });
        let signature = binding.prove(key, joiner);
        turn.send(&match local {
            Local::Member { supporting } => {
                let (supporting, _) =
                    Covered::read_all(turn.history, first(&supporting, limits::SYNC_LINEAGE))?;
                Message::Prove { member, signature, supporting }
            }
            Local::Joiner { request } if request.member == member => {
                Message::Join { request: *request, signature }
            }
            Local::Joiner { .. } => {
                return Err(Error::invalid_argument("the request to be added is for another key"));
            }
        });
        let time = if joiner { ADMISSION_TIME } else { PROOF_TIME };
        Ok(Self {
            joiner,
            stage: Stage::Proving,
            deadline: Some(turn.now.saturating_add(time)),
            proved: None,
            supporting: Vec::new(),
            evidence: (Vec::new(), 0),
        })
    }

    pub(super) fn is_through(&self) -> bool {
        self.stage == Stage::Through
    }

    pub(super) fn proved(&self) -> Option<(MemberId, Option<Role>)> {
        self.proved
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    pub(super) fn tick(&self, turn: &Turn<'_>) -> Step {
        match self.deadline {
            Some(deadline) if turn.now >= deadline => Err(Failure::Timeout.into()),
            _ => Ok(()),
        }
    }

    fn through(&mut self) {
        self.stage = Stage::Through;
        self.deadline = None;
    }
}

impl Session {
    pub(super) fn take_handshake(&mut self, message: Message, turn: &mut Turn<'_>) -> Step {
        let stage = self.handshake.stage;
        match (message, stage) {
            (Message::Prove { member, signature, supporting }, Stage::Proving) => {
                self.take_proof(member, &signature, supporting, turn)
            }
            (Message::Join { request, signature }, Stage::Proving) => {
                self.take_join(request, &signature, turn)
            }
            (Message::Admitted { transactions }, Stage::Asking) => {
                let transactions = self.check_all(transactions)?;
                self.handshake.through();
                turn.event(SessionEvent::Admitted(transactions));
                self.begin_rounds(turn)
            }
            // Also after this side has accepted the peer: it may learn later than the peer that it was removed.
            (Message::Refused { reason }, _) => Err(Stop::Ended(Ended::RefusedByPeer(reason))),
            (Message::Evidence { transactions, last }, _) => {
                let bytes: usize = transactions.iter().map(Covered::length).sum();
                let transactions = self.check_all(transactions)?;
                let evidence = &mut self.handshake.evidence;
                evidence.0.extend(transactions);
                evidence.1 += bytes;
                if evidence.0.len() > limits::SYNC_EVIDENCE || evidence.1 > limits::SYNC_EVIDENCE_BYTES {
                    return Err(Failure::Garbage.into());
                }
                if !last {
                    return Ok(());
                }
                turn.event(SessionEvent::Evidence(std::mem::take(&mut evidence.0)));
                Err(Stop::Ended(Ended::RefusedByPeer(Refusal::Removed)))
            }
            _ => Err(Failure::Protocol.into()),
        }
    }

    fn check_all(&self, transactions: Vec<Covered>) -> std::result::Result<Vec<Transaction>, Failure> {
        let checked: Option<Vec<_>> =
            transactions.into_iter().map(|covered| covered.check(&self.binding.context)).collect();
        checked.ok_or(Failure::BadTransaction)
    }

    fn take_proof(
        &mut self,
        member: MemberId,
        signature: &[u8; 64],
        supporting: Vec<Covered>,
        turn: &mut Turn<'_>,
    ) -> Step {
        if !self.binding.proves(&member, false, signature) {
            return Err(Failure::Proof.into());
        }
        let supporting = self.check_all(supporting)?;
        self.handshake.supporting = supporting;
        if self.handshake.joiner {
            // A joiner has no history to judge by, and none to give away. It judges once it has.
            self.handshake.stage = Stage::Asking;
            self.handshake.proved = Some((member, None));
            turn.event(SessionEvent::Proved { member, role: None });
            return Ok(());
        }
        match turn.history.standing(&member, &self.handshake.supporting)? {
            Standing::Member(role) => self.accept(member, role, turn),
            Standing::Removed(evidence) => refuse_removed(&evidence, turn),
            Standing::Unknown => refuse(Refusal::NotMember, turn),
        }
    }

    fn accept(&mut self, member: MemberId, role: Role, turn: &mut Turn<'_>) -> Step {
        self.handshake.proved = Some((member, Some(role)));
        self.handshake.through();
        turn.event(SessionEvent::Proved { member, role: Some(role) });
        self.begin_rounds(turn)
    }

    fn take_join(&mut self, request: Add, signature: &[u8; 64], turn: &mut Turn<'_>) -> Step {
        let proved = self.binding.proves(&request.member, true, signature);
        if !proved || !request.consents(&self.binding.context) {
            return Err(Failure::Proof.into());
        }
        if self.handshake.joiner {
            return refuse(Refusal::NotNow, turn);
        }
        if request.redeemed.is_none() {
            return refuse(Refusal::InvitationInvalid, turn);
        }
        self.handshake.stage = Stage::Admitting(request.member);
        self.handshake.deadline = None;
        turn.out.push(Output::Admit(Box::new(request)));
        Ok(())
    }

    pub(super) fn take_admitted(&mut self, transactions: &[TransactionId], turn: &mut Turn<'_>) -> Step {
        let Stage::Admitting(member) = self.handshake.stage else { return Ok(()) };
        let (transactions, _) =
            Covered::read_all(turn.history, first(transactions, limits::SYNC_SUPPORTING))?;
        match turn.history.standing(&member, &[])? {
            Standing::Member(role) => {
                turn.send(&Message::Admitted { transactions });
                self.accept(member, role, turn)
            }
            Standing::Removed(evidence) => refuse_removed(&evidence, turn),
            Standing::Unknown => refuse(Refusal::NotMember, turn),
        }
    }

    pub(super) fn take_refused(&mut self, reason: Refusal, turn: &mut Turn<'_>) -> Step {
        match self.handshake.stage {
            Stage::Admitting(_) => refuse(reason, turn),
            _ => Ok(()),
        }
    }

    /// Judges a proved peer by what the history says now.
    pub(super) fn judge_again(&mut self, turn: &mut Turn<'_>) -> Step {
        let (Some((member, before)), Stage::Through) = (self.handshake.proved, self.handshake.stage) else {
            return Ok(());
        };
        match turn.history.standing(&member, &self.handshake.supporting)? {
            Standing::Member(role) => {
                self.handshake.proved = Some((member, Some(role)));
                if before.is_none() {
                    turn.event(SessionEvent::Proved { member, role: Some(role) });
                }
                Ok(())
            }
            Standing::Removed(evidence) => refuse_removed(&evidence, turn),
            Standing::Unknown => refuse(Refusal::NotMember, turn),
        }
    }

    /// What the peer is now, if it has proved a key that is no member's.
    pub(super) fn standing_if_no_member(&self, turn: &Turn<'_>) -> Result<Option<Standing>> {
        let Some((member, _)) = self.handshake.proved else { return Ok(None) };
        if turn.history.may_read(&member) {
            return Ok(None);
        }
        turn.history.standing(&member, &self.handshake.supporting).map(Some)
    }

    /// Whether the peer's key was proved, but could not be judged for want of a history.
    pub(super) fn is_unjudged(&self) -> bool {
        self.handshake.proved.is_some_and(|(_, role)| role.is_none())
    }
}

fn first(ids: &[TransactionId], most: usize) -> &[TransactionId] {
    &ids[..ids.len().min(most)]
}

fn refuse(reason: Refusal, turn: &mut Turn<'_>) -> Step {
    turn.send(&Message::Refused { reason });
    Err(Stop::Ended(Ended::Refused(reason)))
}

/// Tells a former member what removed it, and nothing else.
fn refuse_removed(evidence: &[TransactionId], turn: &mut Turn<'_>) -> Step {
    let mut left = first(evidence, limits::SYNC_EVIDENCE);
    let mut bytes = 0;
    loop {
        let (transactions, read) = Covered::read_all(turn.history, left)?;
        left = &left[read..];
        bytes += transactions.iter().map(Covered::length).sum::<usize>();
        let last = left.is_empty() || read == 0 || bytes + limits::SYNC_COVERED > limits::SYNC_EVIDENCE_BYTES;
        turn.send(&Message::Evidence { transactions, last });
        if last {
            return Err(Stop::Ended(Ended::Refused(Refusal::Removed)));
        }
    }
}

//! One replay of all governing transactions: the rules of the table in `docs/replica.md`, and what each does.

use std::collections::BTreeMap;

use super::{
    Act, Acts, Asked, Cap, Chains, Governance, Held, InvitationState, Member, Named, Place, Rejection, Tip,
    What, Word, numbers, standing,
};
use crate::replica::{MemberId, Role, TransactionId, faults};
use crate::{Result, limits};

/// (lamport, id) of what first made the author of a cutter an admin.
pub(super) type Rank = (u64, TransactionId);

/// An accepted cutter that is not decided.
pub(super) struct Candidate {
    pub(super) rank: Rank,
    pub(super) number: u32,
    pub(super) word: Word,
}

/// One replay under a set of decided cutters.
pub(super) struct Replay<'a> {
    acts: &'a Acts,
    chains: &'a dyn Chains,
    decided: &'a BTreeMap<u32, Word>,
    revocations: BTreeMap<TransactionId, Vec<u32>>,
    pub(super) candidates: Vec<Candidate>,
    /// The accepted proofs against each member so far: their numbers, and the sequences at which the histories part.
    proofs: BTreeMap<MemberId, Vec<(u32, u64)>>,
    outcome: Governance,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        acts: &'a Acts,
        chains: &'a dyn Chains,
        decided: &'a BTreeMap<u32, Word>,
    ) -> Result<Self> {
        let mut outcome = Governance { verdicts: vec![None; acts.next() as usize], ..Governance::default() };
        let mut revocations: BTreeMap<TransactionId, Vec<u32>> = BTreeMap::new();
        for (number, word) in decided {
            let Some(act) = acts.get(*number) else { continue };
            let mut cap = |member: &MemberId, most, from, last: &Vec<Tip>| {
                let cap = Cap { act: *number, word: word.clone(), most, from, last: last.clone() };
                outcome.caps.entry(*member).or_default().push(cap);
            };
            match &act.what {
                What::Remove { member, last } => cap(member, None, 0, last),
                What::Fork { member, parted, last } => cap(member, None, *parted, last),
                What::SetRole { member, role, last: Some(last) } => cap(member, Some(*role), 0, last),
                What::RevokeInvite(invite) => revocations.entry(*invite).or_default().push(*number),
                What::Skip(transaction) => {
                    outcome.skipped.insert(*transaction);
                }
                _ => {}
            }
        }
        Ok(Self {
            acts,
            chains,
            decided,
            revocations,
            candidates: Vec::new(),
            proofs: BTreeMap::new(),
            outcome,
        })
    }

    pub(super) fn step(&mut self, number: u32, act: &Act) -> Result<()> {
        let decided = self.decided.contains_key(&number);
        if !decided {
            if let Err(rejection) = self.permitted(number, act)? {
                self.outcome.verdicts[number as usize] = Some(rejection);
                return Ok(());
            }
            if cuts(act) {
                self.candidates.push(Candidate { rank: self.rank(act), number, word: self.word(act) });
            }
        }
        if let What::Fork { member, parted, .. } = &act.what {
            self.proofs.entry(*member).or_default().push((number, *parted));
        }
        self.take_effect(act);
        self.keep_an_admin(act);
        Ok(())
    }

    /// The rules of the table in `docs/replica.md`.
    fn permitted(&self, number: u32, act: &Act) -> Result<std::result::Result<(), Rejection>> {
        let held = self.outcome.members.get(&act.author).map(|facts| self.held(facts));
        let asked = Asked {
            author: &act.author,
            sequence: act.sequence,
            id: &act.id,
            frontier: &[number],
            act: Some(number),
        };
        let standing =
            standing(held.as_ref(), self.outcome.caps.get(&act.author), self.acts, self.chains, &asked)?;
        let needed = match act.what {
            What::Nothing => return Ok(Err(Rejection::NotInForce)),
            What::Genesis { .. } => return Ok(Ok(())),
            What::Fork { ref member, parted, .. } => {
                let known = self.proofs.get(member).into_iter().flatten();
                let again = known.clone().any(|(other, from)| *from <= parted && act.past.contains(*other));
                let says_nothing = again && !self.outcome.members.contains_key(member);
                return Ok(if says_nothing { Err(Rejection::UnknownMember) } else { Ok(()) });
            }
            What::Leave
            | What::Epoch
            | What::RefreshKey
            | What::Add { invite: Some(_), .. }
            | What::SetName { whose: Named::Author, .. } => Role::Reader,
            _ if faults::is(faults::Fault::AnybodyGoverns) => Role::Reader,
            _ => Role::Admin,
        };
        if let Err(rejection) = standing.at_least(needed) {
            return Ok(Err(rejection));
        }
        if let Err(rejection) = self.sensible(number, act) {
            return Ok(Err(rejection));
        }
        // Nobody acts as an admin from before it was made one.
        let knows = || self.made(&act.author).iter().any(|made| act.past.contains(*made));
        Ok(if needed == Role::Admin && !knows() { Err(Rejection::NotPermitted) } else { Ok(()) })
    }

    /// What is asked of a transaction whose author has the standing for it.
    fn sensible(&self, number: u32, act: &Act) -> std::result::Result<(), Rejection> {
        let refuse_if = |refused, rejection| if refused { Err(rejection) } else { Ok(()) };
        let members = &self.outcome.members;
        match &act.what {
            What::Invite(invite) => {
                let taken = self.outcome.invitations.values().any(|other| other.invite.key == invite.key);
                refuse_if(taken, Rejection::InvitationInvalid)
            }
            What::RevokeInvite(invite) => {
                refuse_if(!self.outcome.invitations.contains_key(invite), Rejection::InvitationInvalid)
            }
            What::Add { member, invite, .. } => {
                let invitation = match invite {
                    Some(invite) => Some(self.redeemable(number, invite)?),
                    None => None,
                };
                refuse_if(members.contains_key(member), Rejection::AlreadyMember)?;
                if let Some(invitation) = invitation {
                    refuse_if(self.outcome.removed.contains(member), Rejection::RemovedKey)?;
                    let more = u32::from(faults::is(faults::Fault::UseOnceMore));
                    refuse_if(
                        invitation.uses >= invitation.invite.max_uses + more,
                        Rejection::InvitationUsed,
                    )?;
                }
                refuse_if(members.len() >= limits::MEMBERS, Rejection::Full)
            }
            // Also of one that is no member any more: who is removed must not get round that by leaving at an earlier place.
            What::Remove { member, .. } | What::SetRole { member, last: Some(_), .. } => {
                let facts = members.get(member).or_else(|| self.outcome.former.get(member));
                let held = self.held(facts.ok_or(Rejection::UnknownMember)?);
                refuse_if(!self.word(act).binds(member, &held, self.acts), Rejection::NotSenior)
            }
            What::SetRole { member, last: None, .. } => {
                refuse_if(!members.contains_key(member), Rejection::UnknownMember)
            }
            What::Genesis { .. }
            | What::Leave
            | What::Epoch
            | What::RefreshKey
            | What::Fork { .. }
            | What::Skip(_)
            | What::SetName { .. }
            | What::Nothing => Ok(()),
        }
    }

    /// The invitation, if it counts at this place for this `Add`.
    fn redeemable(
        &self,
        add: u32,
        invite: &TransactionId,
    ) -> std::result::Result<&InvitationState, Rejection> {
        let invitation = self.outcome.invitations.get(invite).ok_or(Rejection::InvitationInvalid)?;
        let before = |revocation: &u32| self.acts.get(*revocation).is_some_and(|act| act.past.contains(add));
        if !self.revocations.get(invite).is_none_or(|all| all.iter().all(before)) {
            return Err(Rejection::InvitationRevoked);
        }
        if self.role(&invitation.inviter) != Some(Role::Admin) {
            return Err(Rejection::InvitationInvalid);
        }
        Ok(invitation)
    }

    fn role(&self, member: &MemberId) -> Option<Role> {
        self.outcome.members.get(member).map(|facts| facts.role)
    }

    /// What made a member an admin.
    fn made(&self, member: &MemberId) -> Vec<u32> {
        self.outcome.members.get(member).map_or_else(Vec::new, |facts| self.held(facts).made)
    }

    fn held(&self, facts: &Member) -> Held {
        Held { role: facts.role, made: numbers(self.acts, &facts.made) }
    }

    fn word(&self, act: &Act) -> Word {
        match act.what {
            What::Fork { .. } => Word::Proof,
            _ => Word::Admin { author: act.author, made: self.made(&act.author) },
        }
    }

    fn rank(&self, act: &Act) -> Rank {
        if let What::Fork { .. } = act.what {
            return (0, TransactionId::default());
        }
        let made = self.made(&act.author);
        let made = made.iter().filter_map(|number| self.acts.get(*number));
        made.map(|made| (made.place.lamport, made.id)).min().unwrap_or((u64::MAX, act.id))
    }

    fn take_effect(&mut self, act: &Act) {
        let place = act.place;
        match &act.what {
            What::Genesis { .. } => self.admit(act.author, Role::Admin, place),
            What::Invite(invite) => {
                let state =
                    InvitationState { invite: invite.clone(), inviter: act.author, uses: 0, revoked: false };
                self.outcome.invitations.insert(act.id, state);
            }
            What::RevokeInvite(invite) => {
                if let Some(invitation) = self.outcome.invitations.get_mut(invite) {
                    invitation.revoked = true;
                }
            }
            What::Add { member, role, invite, .. } => {
                if let Some(invitation) = invite.and_then(|invite| self.outcome.invitations.get_mut(&invite))
                {
                    invitation.uses += 1;
                }
                self.outcome.removed.remove(member);
                self.admit(*member, *role, place);
            }
            What::Remove { member, .. } | What::Fork { member, .. } => {
                self.outcome.removed.insert(*member);
                self.dismiss(member, place);
            }
            What::Leave => self.dismiss(&act.author, place),
            What::SetRole { member, role: named, last } => {
                let present = self.role(member);
                let lowers = last.is_some() && !faults::is(faults::Fault::KeepRole);
                let role = if lowers { present.min(Some(*named)) } else { present.max(Some(*named)) };
                if let Some(role) = role.filter(|_| present.is_some()) {
                    self.set_role(*member, role, last.is_none() && *named == Role::Admin, act);
                }
            }
            What::SetName { whose: Named::Context, name } => self.outcome.name = Some(name.clone()),
            What::SetName { whose: Named::Author, name } => {
                if let Some(facts) = self.outcome.members.get_mut(&act.author) {
                    facts.name.clone_from(name);
                }
            }
            What::Skip(_) | What::Epoch | What::RefreshKey | What::Nothing => {}
        }
    }

    fn admit(&mut self, member: MemberId, role: Role, place: Place) {
        let made = if role == Role::Admin { vec![place.id] } else { Vec::new() };
        self.outcome.former.remove(&member);
        self.outcome.members.insert(member, Member { role, added: place, made, name: String::new() });
        self.mark(member, place);
    }

    fn dismiss(&mut self, member: &MemberId, place: Place) {
        if let Some(facts) = self.outcome.members.remove(member) {
            self.outcome.former.insert(*member, facts);
            self.mark(*member, place);
        }
    }

    fn set_role(&mut self, member: MemberId, role: Role, makes_admin: bool, act: &Act) {
        let known = self.made(&member).iter().any(|made| act.past.contains(*made));
        let Some(facts) = self.outcome.members.get_mut(&member) else { return };
        if facts.role != role {
            facts.made.clear();
            facts.role = role;
        }
        if makes_admin && !known {
            facts.made.push(act.id);
        }
        self.mark(member, act.place);
    }

    fn mark(&mut self, member: MemberId, place: Place) {
        let held = self.outcome.members.get(&member).map(|facts| self.held(facts));
        let timeline = self.outcome.timelines.entry(member).or_default();
        match timeline.last_mut() {
            Some((_, last)) if *last == held => {}
            Some((at, last)) if *at == place => *last = held,
            _ => timeline.push((place, held)),
        }
    }

    /// Where nobody is an admin any more, the member added first among the writers (else the readers) becomes one.
    fn keep_an_admin(&mut self, act: &Act) {
        let members = &self.outcome.members;
        if members.values().any(|facts| facts.role == Role::Admin) {
            return;
        }
        let heir = members.iter().min_by_key(|(_, facts)| (std::cmp::Reverse(facts.role), facts.added));
        if let Some(heir) = heir.map(|(member, _)| *member) {
            self.set_role(heir, Role::Admin, true, act);
        }
    }

    pub(super) fn finish(self) -> Governance {
        Governance { decided: self.decided.clone(), ..self.outcome }
    }
}

/// Whether this acts on others wherever they sort.
fn cuts(act: &Act) -> bool {
    match &act.what {
        What::Remove { .. } | What::Fork { .. } | What::RevokeInvite(_) | What::Skip(_) => true,
        What::SetRole { last, .. } => last.is_some(),
        _ => false,
    }
}

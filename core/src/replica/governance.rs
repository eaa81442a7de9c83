//! Who may do what, at each place in the order.
//!
//! All governing transactions are judged together, by a replay of all of them: a removal counts against what was
//! written without knowledge of it, also where that sorts before. The rules are in `docs/replica.md`, word by word.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};

use super::acts::{Act, Acts, What};
use super::commitment::{Entries, SetHash};
use super::faults;
use super::payload::{Invite, Named, Tip};
use super::receipt::{Place, Rejection};
use super::tables::encode;
use super::{MemberId, Role, TransactionId};
use crate::{Result, limits};

/// A member at the end of the order.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// The transaction that added it, and where.
    pub added: Place,
    /// The transactions that made it an admin, none of them in the causal past of another, by place; empty if it is no admin.
    pub made: Vec<TransactionId>,
    /// What it calls itself; empty: nothing.
    pub name: String,
}

/// An invitation at the end of the order.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct InvitationState {
    /// What it says.
    pub invite: Invite,
    /// Who invites.
    pub inviter: MemberId,
    /// How often it was used.
    pub uses: u32,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// What a member is from a place on, as far as others' word over it depends on that: `made` in local numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    role: Role,
    made: Vec<u32>,
}

/// Whose word a decided cutter is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// A proof speaks for itself.
    Proof,
    /// What made its author an admin, when it was decided.
    Admin { author: MemberId, made: Vec<u32> },
}

/// What a removal or demotion does to what its target wrote without knowing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cap {
    act: u32,
    word: Word,
    most: Option<Role>,
    /// What has a smaller sequence is left alone.
    from: u64,
    last: Vec<Tip>,
}

/// Whether a transaction is one of some tips of its author, or before one of them in the author's own chain.
pub(crate) trait Chains {
    fn covered(&self, author: &MemberId, sequence: u64, id: &TransactionId, last: &[Tip]) -> Result<bool>;
}

/// The outcome of judging all governing transactions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Governance {
    /// For each author, what it is after the place of each accepted transaction that changed it.
    timelines: BTreeMap<MemberId, Vec<(Place, Option<Held>)>>,
    caps: BTreeMap<MemberId, Vec<Cap>>,
    skipped: BTreeSet<TransactionId>,
    decided: BTreeMap<u32, Word>,
    verdicts: Vec<Option<Rejection>>,
    pub(crate) members: BTreeMap<MemberId, Member>,
    /// Who was a member and is none, as it was when it ceased to be one.
    former: BTreeMap<MemberId, Member>,
    pub(crate) removed: BTreeSet<MemberId>,
    pub(crate) invitations: BTreeMap<TransactionId, InvitationState>,
    /// What the context is called, if that was said after its genesis.
    pub(crate) name: Option<String>,
}

/// A transaction whose standing is asked for.
pub(crate) struct Asked<'a> {
    pub(crate) author: &'a MemberId,
    pub(crate) sequence: u64,
    pub(crate) id: &'a TransactionId,
    pub(crate) frontier: &'a [u32],
    /// Its own number, if it governs.
    pub(crate) act: Option<u32>,
}

impl Governance {
    /// Judges all of them.
    pub(crate) fn judge(acts: &Acts, chains: &dyn Chains) -> Result<Self> {
        let mut order: Vec<u32> = (0..acts.next()).collect();
        order.sort_by_key(|number| acts.get(*number).map(|act| act.place));
        let mut decided = BTreeMap::new();
        loop {
            let mut replay = Replay::new(acts, chains, &decided)?;
            for number in &order {
                if let Some(act) = acts.get(*number) {
                    replay.step(*number, act)?;
                }
            }
            let Some(first) = replay.candidates.iter().map(|candidate| candidate.rank).min() else {
                return Ok(replay.finish());
            };
            let candidates = replay.candidates.into_iter().filter(|candidate| candidate.rank == first);
            decided.extend(candidates.map(|candidate| (candidate.number, candidate.word)));
        }
    }

    /// What the author is by the state just before a place.
    fn held_before(&self, author: &MemberId, place: &Place) -> Option<&Held> {
        let timeline = self.timelines.get(author)?;
        let after = timeline.partition_point(|(at, _)| at < place);
        timeline.get(after.checked_sub(1)?)?.1.as_ref()
    }

    /// The standing of a transaction that does not govern.
    pub(crate) fn standing(
        &self,
        acts: &Acts,
        chains: &dyn Chains,
        asked: &Asked<'_>,
        place: &Place,
    ) -> Result<Standing> {
        standing(self.held_before(asked.author, place), self.caps.get(asked.author), acts, chains, asked)
    }

    pub(crate) fn is_skipped(&self, id: &TransactionId) -> bool {
        self.skipped.contains(id)
    }

    pub(crate) fn skips(&self) -> &BTreeSet<TransactionId> {
        &self.skipped
    }

    /// Why a governing transaction is rejected, if it is.
    pub(crate) fn verdict(&self, number: u32) -> Option<&Rejection> {
        self.verdicts.get(number as usize).and_then(Option::as_ref)
    }

    /// Where the standing of an author's transactions may differ between two outcomes: everywhere (`Some(None)`), from a place on,
    /// or nowhere.
    pub(crate) fn differs(&self, other: &Self, author: &MemberId) -> Option<Option<Place>> {
        if self.caps.get(author) != other.caps.get(author) {
            return Some(None);
        }
        let none = Vec::new();
        let one = self.timelines.get(author).unwrap_or(&none);
        let two = other.timelines.get(author).unwrap_or(&none);
        let shared = one.iter().zip(two).take_while(|(a, b)| a == b).count();
        let first =
            [one.get(shared), two.get(shared)].into_iter().flatten().map(|(place, _)| *place).min()?;
        Some(Some(first))
    }

    /// All authors that ever had a role.
    pub(crate) fn authors(&self) -> impl Iterator<Item = &MemberId> {
        self.timelines.keys().chain(self.caps.keys())
    }

    /// The accepted transactions that removed a member.
    pub(crate) fn cutters(&self, acts: &Acts, removed: &MemberId) -> Vec<TransactionId> {
        let decided = self.decided.keys().filter_map(|number| acts.get(*number));
        let removes = |act: &&Act| matches!(&act.what, What::Remove { member, .. } | What::Fork { member, .. } if member == removed);
        decided.filter(removes).map(|act| act.id).collect()
    }

    /// The hash of everything that authorisation reads.
    pub(crate) fn commitment(&self, acts: &Acts) -> SetHash {
        let mut hash = SetHash::default();
        for (key, value) in self.entries(acts) {
            hash.add(Entries::Governance, &key, &value);
        }
        hash
    }

    /// Everything that authorisation reads, at the end of the order: `m` members, `f` former ones, `r` removed keys, `i` invitations, `c` cutters
    /// that are decided, `n` the name.
    fn entries(&self, acts: &Acts) -> Vec<(Vec<u8>, Vec<u8>)> {
        let key = |table: u8, id: &[u8; 32]| [&[table], &id[..]].concat();
        let mut entries = Vec::new();
        entries.extend(self.members.iter().map(|(member, facts)| (key(b'm', &member.0), encode(facts))));
        entries.extend(self.former.iter().map(|(member, facts)| (key(b'f', &member.0), encode(facts))));
        entries.extend(self.removed.iter().map(|member| (key(b'r', &member.0), Vec::new())));
        entries.extend(self.invitations.iter().map(|(invite, facts)| (key(b'i', &invite.0), encode(facts))));
        let cutters = self.decided.keys().filter_map(|number| acts.get(*number));
        entries.extend(cutters.map(|act| (key(b'c', &act.id.0), Vec::new())));
        entries.extend(self.name.iter().map(|name| (vec![b'n'], encode(name))));
        entries
    }
}

/// What a transaction's author may do with it.
pub(crate) struct Standing {
    by_state: Option<Role>,
    pub(crate) role: Option<Role>,
}

impl Standing {
    /// The role, if it suffices.
    pub(crate) fn at_least(&self, needed: Role) -> std::result::Result<Role, Rejection> {
        match self.role {
            Some(role) if role >= needed => Ok(role),
            _ if self.by_state.is_none() => Err(Rejection::NotMember),
            _ if self.by_state >= Some(needed) => Err(Rejection::Cut),
            _ => Err(Rejection::NotPermitted),
        }
    }
}

fn standing(
    held: Option<&Held>,
    caps: Option<&Vec<Cap>>,
    acts: &Acts,
    chains: &dyn Chains,
    asked: &Asked<'_>,
) -> Result<Standing> {
    let by_state = held.map(|held| held.role);
    let mut role = by_state;
    for cap in caps.into_iter().flatten() {
        // Who removes somebody does not unmake what it has seen that one do as an admin.
        let seen = asked.act.is_some_and(|number| acts.in_past(number, &[cap.act]));
        if role > cap.most
            && asked.sequence >= cap.from
            && !seen
            && held.is_some_and(|held| cap.word.binds(asked.author, held, acts))
            && !acts.in_past(cap.act, asked.frontier)
            && !chains.covered(asked.author, asked.sequence, asked.id, &cap.last)?
        {
            role = cap.most;
        }
    }
    Ok(Standing { by_state, role })
}

impl Word {
    /// Whether it is above what a member was: an admin gives way to itself and to a senior alone.
    fn binds(&self, member: &MemberId, held: &Held, acts: &Acts) -> bool {
        match self {
            Self::Proof => true,
            Self::Admin { author, made } => {
                held.role < Role::Admin || author == member || is_senior(made, &held.made, acts)
            }
        }
    }
}

/// Whether one of what made the senior an admin is in the causal past of everything that made the junior one.
fn is_senior(senior: &[u32], junior: &[u32], acts: &Acts) -> bool {
    let precedes = |one: u32| junior.iter().all(|other| *other != one && acts.in_past(one, &[*other]));
    senior.iter().any(|one| precedes(*one))
}

/// (lamport, id) of what first made the author of a cutter an admin.
type Rank = (u64, TransactionId);

/// An accepted cutter that is not decided.
struct Candidate {
    rank: Rank,
    number: u32,
    word: Word,
}

/// One replay under a set of decided cutters.
struct Replay<'a> {
    acts: &'a Acts,
    chains: &'a dyn Chains,
    decided: &'a BTreeMap<u32, Word>,
    revocations: BTreeMap<TransactionId, Vec<u32>>,
    candidates: Vec<Candidate>,
    outcome: Governance,
}

impl<'a> Replay<'a> {
    fn new(acts: &'a Acts, chains: &'a dyn Chains, decided: &'a BTreeMap<u32, Word>) -> Result<Self> {
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
        Ok(Self { acts, chains, decided, revocations, candidates: Vec::new(), outcome })
    }

    fn step(&mut self, number: u32, act: &Act) -> Result<()> {
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
            What::Genesis | What::Fork { .. } => return Ok(Ok(())),
            What::Leave | What::Add { invite: Some(_), .. } | What::SetName { whose: Named::Author, .. } => {
                Role::Reader
            }
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
            What::Genesis
            | What::Leave
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
        Held { role: facts.role, made: facts.made.iter().filter_map(|id| self.acts.number(id)).collect() }
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
            What::Genesis => self.admit(act.author, Role::Admin, place),
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
            What::Add { member, role, invite } => {
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
                let role = if last.is_some() { present.min(Some(*named)) } else { present.max(Some(*named)) };
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
            What::Skip(_) | What::Nothing => {}
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

    fn finish(self) -> Governance {
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

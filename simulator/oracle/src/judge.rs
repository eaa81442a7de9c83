//! The oracle's view of who may do what: the chapter "Governance" of `docs/replica.md`, word by word.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use kith_core::replica::payload::{Add, Fork, Named, Remove, SetName, SetRole, Tip};
use kith_core::replica::{MemberId, Payload, Place, Rejection, Role, TransactionId};

use super::oracle::{History, Known};
use super::words::governs;

const MEMBERS: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub role: Role,
    /// Place and id of the accepted transaction that added them.
    pub added: Place,
    /// The transactions that made them an admin, while they are one; none is in the past of another.
    pub made: Vec<TransactionId>,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    pub uses: u32,
    pub revoked: bool,
}

/// Members and invitations at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Governance {
    pub members: BTreeMap<MemberId, Member>,
    /// Who was a member and is none, as it was at its end.
    pub former: BTreeMap<MemberId, Member>,
    pub removed: BTreeSet<MemberId>,
    /// By the accepted `Invite`.
    pub invitations: BTreeMap<TransactionId, Invitation>,
    /// Of the context, if it was said after genesis.
    pub name: Option<String>,
}

impl Governance {
    fn dismiss(&mut self, member: &MemberId) {
        if let Some(facts) = self.members.remove(member) {
            self.former.insert(*member, facts);
        }
    }
}

pub struct Judgement {
    /// For each transaction the author's standing, or why it is rejected before anything is executed.
    pub outcomes: HashMap<TransactionId, Result<Role, Rejection>>,
    pub governance: Governance,
    pub decided: HashSet<TransactionId>,
    pub rounds: usize,
}

type Rank = (u64, TransactionId);

/// What made the author of each decided cutter an admin, when it was decided.
type Decided = HashMap<TransactionId, Vec<TransactionId>>;

/// An accepted cutter that is not decided.
struct Cutter {
    rank: Rank,
    id: TransactionId,
    made: Vec<TransactionId>,
}

/// Replays with ever more decided cutters until nothing new is accepted.
pub fn judge(history: &History, order: &[(Place, TransactionId)], sealed: bool) -> Judgement {
    let mut decided = Decided::new();
    for rounds in 1.. {
        let mut replay = Replay::new(history, &decided, sealed);
        for (_, id) in order {
            replay.step(&history[id]);
        }
        let Some(smallest) = replay.cutters.iter().map(|cutter| cutter.rank).min() else {
            let Replay { outcomes, governance, .. } = replay;
            // Genesis has no standing of its own; it is the creator's first word.
            return Judgement { outcomes, governance, decided: decided.into_keys().collect(), rounds };
        };
        let new = replay.cutters.into_iter().filter(|cutter| cutter.rank == smallest);
        decided.extend(new.map(|cutter| (cutter.id, cutter.made)).collect::<Vec<_>>());
    }
    unreachable!("each round decides a transaction and there are finitely many")
}

struct Replay<'a> {
    history: &'a History,
    decided: &'a Decided,
    /// Whether keys are in force.
    sealed: bool,
    governance: Governance,
    outcomes: HashMap<TransactionId, Result<Role, Rejection>>,
    cutters: Vec<Cutter>,
}

impl<'a> Replay<'a> {
    fn new(history: &'a History, decided: &'a Decided, sealed: bool) -> Self {
        Self {
            history,
            decided,
            sealed,
            governance: Governance::default(),
            outcomes: HashMap::new(),
            cutters: Vec::new(),
        }
    }

    fn step(&mut self, t: &Known) {
        let governs = governs(t.kind());
        let outcome = if !governs {
            self.ordinary(t)
        } else if self.decided.contains_key(&t.id) {
            self.take_effect(t);
            Ok(Role::Admin)
        } else {
            let outcome = self.rules(t);
            if outcome.is_ok() {
                if let Some(rank) = self.cutter_rank(t) {
                    let made = self.made(&t.author());
                    self.cutters.push(Cutter { rank, id: t.id, made });
                }
                self.take_effect(t);
            }
            outcome
        };
        self.outcomes.insert(t.id, outcome);
    }

    fn decided_cutters(&self) -> impl Iterator<Item = &'a Known> {
        self.decided.keys().map(|id| &self.history[id])
    }

    /// The role that each decided cutter leaves to `t`: none for "no role at all".
    fn caps(&self, t: &Known) -> Vec<Option<Role>> {
        let mut caps = Vec::new();
        for cutter in self.decided_cutters() {
            match &cutter.payload {
                Some(Payload::Remove(Remove { member, last }))
                    if *member == t.author() && self.above(cutter, t) && self.beyond(cutter, last, t) =>
                {
                    caps.push(None);
                }
                Some(Payload::SetRole(SetRole { member, role, last: Some(last) }))
                    if *member == t.author() && self.above(cutter, t) && self.beyond(cutter, last, t) =>
                {
                    caps.push(Some(*role));
                }
                Some(Payload::Fork(Fork { member, one, last, .. }))
                    if *member == t.author()
                        && t.transaction.header.sequence >= one.headers[0].sequence
                        && self.beyond(cutter, last, t) =>
                {
                    caps.push(None);
                }
                _ => {}
            }
        }
        caps
    }

    /// Whether what the author of `t` is just before `t` gives way to the word of the cutter.
    fn above(&self, cutter: &Known, t: &Known) -> bool {
        let Some(target) = self.governance.members.get(&t.author()) else { return true };
        let word = &self.decided[&cutter.id];
        target.role < Role::Admin || cutter.author() == t.author() || self.is_senior(word, &target.made)
    }

    /// Whether `t` was written without knowledge of the cutter, is not covered by its `last`, and does not govern with the
    /// cutter's knowledge.
    fn beyond(&self, cutter: &Known, last: &[Tip], t: &Known) -> bool {
        let governs = governs(t.kind());
        let covered = last.iter().any(|tip| self.in_chain(t.id, tip.id));
        let seen = governs && cutter.past.contains(&t.id);
        !(t.has_seen(&cutter.id) || covered || seen)
    }

    /// Whether `id` is `tip` or before it in the author's own chain.
    fn in_chain(&self, id: TransactionId, tip: TransactionId) -> bool {
        let mut at = tip;
        loop {
            if at == id {
                return true;
            }
            let header = &self.history[&at].transaction.header;
            if header.sequence == 1 {
                return false;
            }
            at = header.previous;
        }
    }

    /// The author's standing, if it is at least `needed`.
    fn standing(&self, t: &Known, needed: Role) -> Result<Role, Rejection> {
        let Some(by_state) = self.governance.members.get(&t.author()).map(|member| member.role) else {
            return Err(Rejection::NotMember);
        };
        let mut standing = Some(by_state);
        for cap in self.caps(t) {
            standing = standing.min(cap);
        }
        match standing {
            Some(role) if role >= needed => Ok(role),
            _ if by_state >= needed => Err(Rejection::Cut),
            _ => Err(Rejection::NotPermitted),
        }
    }

    fn ordinary(&self, t: &Known) -> Result<Role, Rejection> {
        match &t.payload {
            Some(Payload::Call(_)) => {
                let role = self.standing(t, Role::Writer)?;
                let skipped = self
                    .decided_cutters()
                    .any(|cutter| matches!(&cutter.payload, Some(Payload::Skip(s)) if s.transaction == t.id));
                if skipped { Err(Rejection::Skipped) } else { Ok(role) }
            }
            Some(Payload::Note) => self.standing(t, Role::Reader),
            _ => Err(Rejection::NotInForce),
        }
    }

    /// The rules of the table, and last: what needs an admin knows what made its author one.
    fn rules(&self, t: &Known) -> Result<Role, Rejection> {
        let role = self.rules_of_kind(t)?;
        let as_admin = match t.payload.as_ref() {
            Some(Payload::Genesis(_) | Payload::Fork(_) | Payload::Leave) => false,
            Some(Payload::Epoch(_) | Payload::RefreshKey(_)) => false,
            Some(Payload::Add(add)) => add.redeemed.is_none(),
            Some(Payload::SetName(set)) => set.whose == Named::Context,
            _ => true,
        };
        let knows = self.made(&t.author()).iter().any(|made| t.past.contains(made));
        if as_admin && !knows { Err(Rejection::NotPermitted) } else { Ok(role) }
    }

    fn made(&self, member: &MemberId) -> Vec<TransactionId> {
        self.governance.members.get(member).map(|member| member.made.clone()).unwrap_or_default()
    }

    fn rules_of_kind(&self, t: &Known) -> Result<Role, Rejection> {
        let state = &self.governance;
        match t.payload.as_ref().ok_or(Rejection::NotInForce)? {
            Payload::Genesis(_) => Ok(Role::Admin),
            Payload::Fork(fork) => {
                // Who is gone, and was proved as much in what this one has seen, need not be proved again.
                let proved = self.outcomes.iter().any(|(id, outcome)| {
                    let before = &self.history[id];
                    let as_much = |other: &Fork| {
                        other.member == fork.member
                            && other.one.headers[0].sequence <= fork.one.headers[0].sequence
                    };
                    outcome.is_ok()
                        && matches!(&before.payload, Some(Payload::Fork(other)) if as_much(other))
                        && t.past.contains(id)
                });
                let gone = !state.members.contains_key(&fork.member);
                if proved && gone { Err(Rejection::UnknownMember) } else { Ok(Role::Admin) }
            }
            Payload::Invite(invite) => {
                let role = self.standing(t, Role::Admin)?;
                let taken = state.invitations.keys().any(|id| {
                    matches!(&self.history[id].payload, Some(Payload::Invite(other)) if other.key == invite.key)
                });
                if taken { Err(Rejection::InvitationInvalid) } else { Ok(role) }
            }
            Payload::RevokeInvite(revoke) => {
                let role = self.standing(t, Role::Admin)?;
                if state.invitations.contains_key(&revoke.invite) {
                    Ok(role)
                } else {
                    Err(Rejection::InvitationInvalid)
                }
            }
            Payload::Add(add) => match &add.redeemed {
                Some(redeemed) => {
                    let role = self.standing(t, Role::Reader)?;
                    self.redeeming(t, add, &redeemed.invite)?;
                    Ok(role)
                }
                None => {
                    let role = self.standing(t, Role::Admin)?;
                    self.room_for(add)?;
                    Ok(role)
                }
            },
            Payload::Remove(remove) => {
                let role = self.standing(t, Role::Admin)?;
                self.give_way(t, &remove.member)?;
                Ok(role)
            }
            Payload::Epoch(_) | Payload::RefreshKey(_) if !self.sealed => Err(Rejection::NotInForce),
            Payload::Leave | Payload::Epoch(_) | Payload::RefreshKey(_) => self.standing(t, Role::Reader),
            Payload::SetRole(set) => {
                let role = self.standing(t, Role::Admin)?;
                if set.last.is_some() {
                    self.give_way(t, &set.member)?;
                } else if !state.members.contains_key(&set.member) {
                    return Err(Rejection::UnknownMember);
                }
                Ok(role)
            }
            Payload::SetName(set) if set.whose == Named::Author => self.standing(t, Role::Reader),
            Payload::Skip(_) | Payload::SetName(_) => self.standing(t, Role::Admin),
            _ => Err(Rejection::NotInForce),
        }
    }

    fn redeeming(&self, t: &Known, add: &Add, invite: &TransactionId) -> Result<(), Rejection> {
        let state = &self.governance;
        let invitation = state.invitations.get(invite).ok_or(Rejection::InvitationInvalid)?;
        let revoked = self.decided_cutters().any(|cutter| {
            matches!(&cutter.payload, Some(Payload::RevokeInvite(v)) if v.invite == *invite)
                && !cutter.has_seen(&t.id)
        });
        if revoked {
            return Err(Rejection::InvitationRevoked);
        }
        let known = &self.history[invite];
        let inviter = state.members.get(&known.author());
        if inviter.is_none_or(|inviter| inviter.role != Role::Admin) {
            return Err(Rejection::InvitationInvalid);
        }
        if state.members.contains_key(&add.member) {
            return Err(Rejection::AlreadyMember);
        }
        if state.removed.contains(&add.member) {
            return Err(Rejection::RemovedKey);
        }
        let Some(Payload::Invite(terms)) = &known.payload else {
            unreachable!("only what decodes is accepted");
        };
        if invitation.uses >= terms.max_uses {
            return Err(Rejection::InvitationUsed);
        }
        self.room_for(add)
    }

    fn room_for(&self, add: &Add) -> Result<(), Rejection> {
        let members = &self.governance.members;
        if members.contains_key(&add.member) {
            Err(Rejection::AlreadyMember)
        } else if members.len() >= MEMBERS {
            Err(Rejection::Full)
        } else {
            Ok(())
        }
    }

    /// Whoever is or was a member gives way to an admin; as an admin only to itself and to a senior: one that something made an
    /// admin which is in the causal past of everything that made the other one.
    fn give_way(&self, t: &Known, target: &MemberId) -> Result<(), Rejection> {
        let state = &self.governance;
        let facts = state.members.get(target).or(state.former.get(target)).ok_or(Rejection::UnknownMember)?;
        let gives_way = facts.role < Role::Admin
            || t.author() == *target
            || self.is_senior(&self.made(&t.author()), &facts.made);
        if gives_way { Ok(()) } else { Err(Rejection::NotSenior) }
    }

    fn is_senior(&self, made: &[TransactionId], junior: &[TransactionId]) -> bool {
        made.iter().any(|one| junior.iter().all(|other| self.history[other].past.contains(one)))
    }

    /// The rank of a transaction that was just accepted, if it acts on others wherever those sort.
    fn cutter_rank(&self, t: &Known) -> Option<Rank> {
        match t.payload.as_ref()? {
            Payload::Fork(_) => return Some((0, TransactionId::default())),
            Payload::Remove(_) | Payload::RevokeInvite(_) | Payload::Skip(_) => {}
            Payload::SetRole(set) if set.last.is_some() => {}
            _ => return None,
        }
        let made = &self.governance.members.get(&t.author())?.made;
        made.iter().map(|id| (self.history[id].transaction.header.lamport, *id)).min()
    }

    fn take_effect(&mut self, t: &Known) {
        let state = &mut self.governance;
        match t.payload.as_ref() {
            Some(Payload::Genesis(_)) => {
                let creator =
                    Member { role: Role::Admin, added: t.place(), made: vec![t.id], name: String::new() };
                state.members.insert(t.author(), creator);
            }
            Some(Payload::Invite(_)) => {
                state.invitations.insert(t.id, Invitation { uses: 0, revoked: false });
            }
            Some(Payload::RevokeInvite(revoke)) => {
                if let Some(invitation) = state.invitations.get_mut(&revoke.invite) {
                    invitation.revoked = true;
                }
            }
            Some(Payload::Add(add)) => {
                let made = if add.role == Role::Admin { vec![t.id] } else { Vec::new() };
                state.members.insert(
                    add.member,
                    Member { role: add.role, added: t.place(), made, name: String::new() },
                );
                state.former.remove(&add.member);
                state.removed.remove(&add.member);
                if let Some(invitation) =
                    add.redeemed.as_ref().and_then(|redeemed| state.invitations.get_mut(&redeemed.invite))
                {
                    invitation.uses += 1;
                }
            }
            Some(Payload::Remove(Remove { member, .. })) => {
                state.dismiss(member);
                state.removed.insert(*member);
            }
            Some(Payload::Fork(fork)) => {
                state.dismiss(&fork.member);
                state.removed.insert(fork.member);
            }
            Some(Payload::SetName(SetName { whose: Named::Context, name })) => {
                state.name = Some(name.clone());
            }
            Some(Payload::SetName(SetName { whose: Named::Author, name })) => {
                state.members.get_mut(&t.author()).expect("a member").name.clone_from(name);
            }
            Some(Payload::Leave) => {
                state.dismiss(&t.author());
            }
            Some(Payload::SetRole(set)) => {
                if let Some(member) = state.members.get_mut(&set.member) {
                    match &set.last {
                        Some(_) if set.role < member.role => {
                            member.role = set.role;
                            member.made.clear();
                        }
                        None if set.role == Role::Admin => {
                            if !member.made.iter().any(|made| t.past.contains(made)) {
                                member.made.push(t.id);
                            }
                            member.role = Role::Admin;
                        }
                        None if set.role > member.role => member.role = set.role,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        self.succession(t);
    }

    /// A context with members has an admin.
    fn succession(&mut self, t: &Known) {
        let members = &mut self.governance.members;
        if members.values().any(|member| member.role == Role::Admin) {
            return;
        }
        let heir = members.values_mut().min_by_key(|m| (std::cmp::Reverse(m.role), m.added));
        if let Some(heir) = heir {
            heir.role = Role::Admin;
            heir.made = vec![t.id];
        }
    }
}

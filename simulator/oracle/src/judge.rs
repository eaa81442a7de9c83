//! The oracle's view of who may do what: the chapter "Governance" of `docs/replica.md`, word by word.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use kith_core::replica::payload::{Add, Fork, Remove, SetRole, Tip};
use kith_core::replica::{MemberId, Payload, Place, Rejection, Role, TransactionId};

use super::oracle::{History, Known};

const MEMBERS: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub role: Role,
    /// Place and id of the accepted transaction that added them.
    pub added: Place,
    /// The transactions that made them an admin, while they are one; none is in the past of another.
    pub made: Vec<TransactionId>,
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
    pub removed: BTreeSet<MemberId>,
    /// By the accepted `Invite`.
    pub invitations: BTreeMap<TransactionId, Invitation>,
}

pub struct Judgement {
    /// For each transaction the author's standing, or why it is rejected before anything is executed.
    pub outcomes: HashMap<TransactionId, Result<Role, Rejection>>,
    pub governance: Governance,
    pub decided: HashSet<TransactionId>,
    pub rounds: usize,
}

type Rank = (u64, TransactionId);

/// Replays with ever more decided cutters until nothing new is accepted.
pub fn judge(history: &History, order: &[(Place, TransactionId)]) -> Judgement {
    let mut decided = HashSet::new();
    for rounds in 1.. {
        let mut replay = Replay::new(history, &decided);
        for (_, id) in order {
            replay.step(&history[id]);
        }
        let Some(smallest) = replay.cutters.iter().map(|(rank, _)| *rank).min() else {
            let Replay { outcomes, governance, .. } = replay;
            // Genesis has no standing of its own; it is the creator's first word.
            return Judgement { outcomes, governance, decided, rounds };
        };
        let new: Vec<TransactionId> =
            replay.cutters.iter().filter(|(rank, _)| *rank == smallest).map(|(_, id)| *id).collect();
        decided.extend(new);
    }
    unreachable!("each round decides a transaction and there are finitely many")
}

struct Replay<'a> {
    history: &'a History,
    decided: &'a HashSet<TransactionId>,
    governance: Governance,
    outcomes: HashMap<TransactionId, Result<Role, Rejection>>,
    /// The accepted cutters that are not decided, with their ranks.
    cutters: Vec<(Rank, TransactionId)>,
}

impl<'a> Replay<'a> {
    fn new(history: &'a History, decided: &'a HashSet<TransactionId>) -> Self {
        Self {
            history,
            decided,
            governance: Governance::default(),
            outcomes: HashMap::new(),
            cutters: Vec::new(),
        }
    }

    fn step(&mut self, t: &Known) {
        let governs = t.kind().is_some_and(kith_core::replica::Kind::governs);
        let outcome = if !governs {
            self.ordinary(t)
        } else if self.decided.contains(&t.id) {
            self.take_effect(t);
            Ok(Role::Admin)
        } else {
            let outcome = self.rules(t);
            if outcome.is_ok() {
                if let Some(rank) = self.cutter_rank(t) {
                    self.cutters.push((rank, t.id));
                }
                self.take_effect(t);
            }
            outcome
        };
        self.outcomes.insert(t.id, outcome);
    }

    fn decided_cutters(&self) -> impl Iterator<Item = &'a Known> {
        self.decided.iter().map(|id| &self.history[id])
    }

    /// The role that each decided cutter leaves to `t`: none for "no role at all".
    fn caps(&self, t: &Known) -> Vec<Option<Role>> {
        let mut caps = Vec::new();
        for cutter in self.decided_cutters() {
            match &cutter.payload {
                Some(Payload::Remove(Remove { member, last }))
                    if *member == t.author() && self.beyond(cutter, last, t) =>
                {
                    caps.push(None);
                }
                Some(Payload::SetRole(SetRole { member, role, last }))
                    if *member == t.author() && self.beyond(cutter, last, t) =>
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

    /// Whether `t` was written without knowledge of the cutter, is not covered by its `last`, and does not govern with the
    /// cutter's knowledge.
    fn beyond(&self, cutter: &Known, last: &[Tip], t: &Known) -> bool {
        let governs = t.kind().is_some_and(kith_core::replica::Kind::governs);
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

    /// The rules of the table, and last: a cutter that is no `Fork` knows what made its author an admin.
    fn rules(&self, t: &Known) -> Result<Role, Rejection> {
        let role = self.rules_of_kind(t)?;
        let is_fork = matches!(t.payload, Some(Payload::Fork(_)));
        let knows = || self.governance.members[&t.author()].made.iter().any(|made| t.past.contains(made));
        if !is_fork && self.cutter_rank(t).is_some() && !knows() {
            return Err(Rejection::NotPermitted);
        }
        Ok(role)
    }

    fn rules_of_kind(&self, t: &Known) -> Result<Role, Rejection> {
        let state = &self.governance;
        match t.payload.as_ref().ok_or(Rejection::NotInForce)? {
            Payload::Genesis(_) | Payload::Fork(_) => Ok(Role::Admin),
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
                let target = state.members.get(&remove.member).ok_or(Rejection::UnknownMember)?;
                if target.role == Role::Admin {
                    self.give_way(t, &remove.member)?;
                }
                Ok(role)
            }
            Payload::Leave => self.standing(t, Role::Reader),
            Payload::SetRole(set) => {
                let role = self.standing(t, Role::Admin)?;
                let target = state.members.get(&set.member).ok_or(Rejection::UnknownMember)?;
                if target.role == Role::Admin && set.role < Role::Admin {
                    self.give_way(t, &set.member)?;
                }
                Ok(role)
            }
            Payload::Skip(_) => self.standing(t, Role::Admin),
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

    /// An admin gives way to itself and to a senior: one that something made an admin which is in the causal past of
    /// everything that made the other one.
    fn give_way(&self, t: &Known, target: &MemberId) -> Result<(), Rejection> {
        let made = |member: &MemberId| self.governance.members[member].made.clone();
        let junior = made(target);
        let senior = made(&t.author())
            .iter()
            .any(|one| junior.iter().all(|other| self.history[other].past.contains(one)));
        if t.author() == *target || senior { Ok(()) } else { Err(Rejection::NotSenior) }
    }

    /// The rank of a transaction that was just accepted, if it acts on others wherever those sort.
    fn cutter_rank(&self, t: &Known) -> Option<Rank> {
        match t.payload.as_ref()? {
            Payload::Fork(_) => return Some((0, TransactionId::default())),
            Payload::Remove(_) | Payload::RevokeInvite(_) | Payload::Skip(_) => {}
            Payload::SetRole(set) if set.role < self.governance.members.get(&set.member)?.role => {}
            _ => return None,
        }
        let made = &self.governance.members.get(&t.author())?.made;
        made.iter().map(|id| (self.history[id].transaction.header.lamport, *id)).min()
    }

    fn take_effect(&mut self, t: &Known) {
        let state = &mut self.governance;
        match t.payload.as_ref() {
            Some(Payload::Genesis(_)) => {
                let creator = Member { role: Role::Admin, added: t.place(), made: vec![t.id] };
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
                state.members.insert(add.member, Member { role: add.role, added: t.place(), made });
                state.removed.remove(&add.member);
                if let Some(invitation) =
                    add.redeemed.as_ref().and_then(|redeemed| state.invitations.get_mut(&redeemed.invite))
                {
                    invitation.uses += 1;
                }
            }
            Some(Payload::Remove(Remove { member, .. })) => {
                state.members.remove(member);
                state.removed.insert(*member);
            }
            Some(Payload::Fork(fork)) => {
                state.members.remove(&fork.member);
                state.removed.insert(fork.member);
            }
            Some(Payload::Leave) => {
                state.members.remove(&t.author());
            }
            Some(Payload::SetRole(set)) => {
                if let Some(member) = state.members.get_mut(&set.member) {
                    if set.role < Role::Admin {
                        member.made.clear();
                    } else if !member.made.iter().any(|made| t.past.contains(made)) {
                        member.made.push(t.id);
                    }
                    member.role = set.role;
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

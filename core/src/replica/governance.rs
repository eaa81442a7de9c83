//! Who may do what, at each place in the order.
//!
//! All governing transactions are judged together, by a replay of all of them: a removal counts against what was
//! written without knowledge of it, also where that sorts before. The rules are in `docs/replica.md`, word by word.

mod replay;

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};

use self::replay::Replay;
use super::acts::{Act, Acts, What};
use super::commitment::{Entries, SetHash};
use super::faults::{self, Fault};
use super::payload::{Invite, Named, Tip};
use super::receipt::{Place, Rejection};
use super::tables::encode;
use super::{MemberId, Role, TransactionId};
use crate::Result;

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
    /// What made somebody a member, also if it is none any more.
    pub(crate) fn added(&self, member: &MemberId) -> Option<TransactionId> {
        let facts = self.members.get(member).or_else(|| self.former.get(member))?;
        Some(facts.added.id)
    }

    /// The same, and what made it an admin.
    pub(crate) fn made(&self, member: &MemberId) -> Vec<TransactionId> {
        let facts = self.members.get(member).or_else(|| self.former.get(member));
        let mut made: Vec<TransactionId> = facts.map(|facts| facts.made.clone()).unwrap_or_default();
        made.extend(facts.map(|facts| facts.added.id).filter(|added| !made.contains(added)));
        made
    }

    /// Judges all of them.
    pub(crate) fn judge(acts: &Acts, chains: &dyn Chains) -> Result<Self> {
        Self::judge_only(acts, chains, |_| true)
    }

    /// Judges some of them, as if there were no others; with each, its causal past is to be among them.
    pub(crate) fn judge_only(acts: &Acts, chains: &dyn Chains, among: impl Fn(u32) -> bool) -> Result<Self> {
        let mut order: Vec<u32> = (0..acts.next()).filter(|number| among(*number)).collect();
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

    /// Whether one may remove another, at the end of the order.
    pub(crate) fn may_remove(&self, acts: &Acts, author: &MemberId, member: &MemberId) -> bool {
        let (Some(author_facts), Some(facts)) = (self.members.get(author), self.members.get(member)) else {
            return false;
        };
        let word = Word::Admin { author: *author, made: numbers(acts, &author_facts.made) };
        let held = Held { role: facts.role, made: numbers(acts, &facts.made) };
        let gives_way = word.binds(member, &held, acts) || faults::is(Fault::BelieveJuniors);
        author_facts.role == Role::Admin && gives_way
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

    /// What is said of one that is about keys alone, given what is decided; all before it have been judged.
    pub(crate) fn judge_keys(&mut self, acts: &Acts, chains: &dyn Chains, number: u32) -> Result<()> {
        let Some(act) = acts.get(number) else { return Ok(()) };
        let asked = Asked {
            author: &act.author,
            sequence: act.sequence,
            id: &act.id,
            frontier: &[number],
            act: Some(number),
        };
        let rejection = match act.what {
            What::Nothing => Some(Rejection::NotInForce),
            _ => self.standing(acts, chains, &asked, &act.place)?.at_least(Role::Reader).err(),
        };
        self.verdicts.resize(number as usize, None);
        self.verdicts.push(rejection);
        Ok(())
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

    /// The accepted transactions that removed a member, and behind them those that demoted it before: who was an admin as far as it knows need not
    /// give way to who removed it. What came last is first in both.
    pub(crate) fn cutters(&self, acts: &Acts, removed: &MemberId) -> Vec<TransactionId> {
        let decided = || self.decided.keys().rev().filter_map(|number| acts.get(*number));
        let removes = |act: &&Act| matches!(&act.what, What::Remove { member, .. } | What::Fork { member, .. } if member == removed);
        let demotes = |act: &&Act| matches!(&act.what, What::SetRole { member, last: Some(_), .. } if member == removed);
        decided().filter(removes).chain(decided().filter(demotes)).map(|act| act.id).collect()
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

fn numbers(acts: &Acts, made: &[TransactionId]) -> Vec<u32> {
    made.iter().filter_map(|id| acts.number(id)).collect()
}

/// Whether one of what made the senior an admin is in the causal past of everything that made the junior one.
fn is_senior(senior: &[u32], junior: &[u32], acts: &Acts) -> bool {
    let precedes = |one: u32| junior.iter().all(|other| *other != one && acts.in_past(one, &[*other]));
    senior.iter().any(|one| precedes(*one))
}

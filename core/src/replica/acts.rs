//! The governing transactions that are known, and which of them is in whose causal past.

mod numbers;

use std::collections::{BTreeSet, HashMap};

pub(crate) use self::numbers::Numbers;

use super::history::Invalid;
use super::payload::{Invite, KeyPackage, Named, Payload, Tip};
use super::receipt::Place;
use super::{MemberId, Role, TransactionId};
use crate::encryption::{Suite, check_keys};

/// A governing transaction, as far as judging needs it.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub(crate) id: TransactionId,
    pub(crate) place: Place,
    pub(crate) author: MemberId,
    pub(crate) sequence: u64,
    pub(crate) what: What,
    /// The governing transactions of its causal past, itself included.
    pub(crate) past: Numbers,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Genesis {
        suite: u8,
        ratchet_key: Vec<u8>,
    },
    Invite(Invite),
    RevokeInvite(TransactionId),
    Add {
        member: MemberId,
        role: Role,
        invite: Option<TransactionId>,
        ratchet_key: Vec<u8>,
    },
    Remove {
        member: MemberId,
        last: Vec<Tip>,
    },
    Leave,
    SetRole {
        member: MemberId,
        role: Role,
        /// Only where it lowers the role.
        last: Option<Vec<Tip>>,
    },
    Fork {
        member: MemberId,
        /// The sequence at which the histories part.
        parted: u64,
        last: Vec<Tip>,
    },
    Skip(TransactionId),
    SetName {
        whose: Named,
        name: String,
    },
    /// Keys for all members: decides nothing, but it matters what came before it and after it.
    Epoch,
    /// The same of the author's own key.
    RefreshKey,
    /// The payload says nothing that is in force.
    Nothing,
}

impl What {
    /// Whether it is about keys alone: it does not change who may do what.
    pub(crate) const fn is_keys(&self) -> bool {
        matches!(self, Self::Epoch | Self::RefreshKey | Self::Nothing)
    }
}

impl From<Option<Payload>> for What {
    fn from(payload: Option<Payload>) -> Self {
        match payload {
            Some(Payload::Genesis(genesis)) => {
                Self::Genesis { suite: genesis.suite, ratchet_key: genesis.key_package.ratchet_key }
            }
            Some(Payload::Invite(invite)) => Self::Invite(invite),
            Some(Payload::RevokeInvite(revoke)) => Self::RevokeInvite(revoke.invite),
            Some(Payload::Add(add)) => Self::Add {
                member: add.member,
                role: add.role,
                invite: add.redeemed.map(|redeemed| redeemed.invite),
                ratchet_key: add.key_package.ratchet_key,
            },
            Some(Payload::Remove(remove)) => Self::Remove { member: remove.member, last: remove.last },
            Some(Payload::Leave) => Self::Leave,
            Some(Payload::SetRole(set)) => {
                Self::SetRole { member: set.member, role: set.role, last: set.last }
            }
            Some(Payload::Fork(fork)) => Self::Fork {
                member: fork.member,
                parted: fork.one.headers.first().map_or(0, |header| header.sequence),
                last: fork.last,
            },
            Some(Payload::Skip(skip)) => Self::Skip(skip.transaction),
            Some(Payload::SetName(set)) => Self::SetName { whose: set.whose, name: set.name },
            Some(Payload::Epoch(_)) => Self::Epoch,
            Some(Payload::RefreshKey(_)) => Self::RefreshKey,
            _ => Self::Nothing,
        }
    }
}

/// All governing transactions that are known, by local number (the order of arrival, so ancestors come first).
#[derive(Clone, Debug, Default)]
pub(crate) struct Acts {
    list: Vec<Act>,
    numbers: HashMap<TransactionId, u32>,
    /// Those that say who may do what.
    deciding: Numbers,
}

impl Acts {
    pub(crate) fn push(&mut self, mut act: Act) {
        if matches!(act.what, What::Epoch | What::RefreshKey) && self.suite() == 0 {
            act.what = What::Nothing;
        }
        if !act.what.is_keys() {
            self.deciding.insert(self.next());
        }
        self.numbers.insert(act.id, self.next());
        self.list.push(act);
    }

    /// The suite of the context; 0 while it is not known.
    pub(crate) fn suite(&self) -> u8 {
        match self.list.first().map(|act| &act.what) {
            Some(What::Genesis { suite, .. }) => *suite,
            _ => 0,
        }
    }

    /// Of some, those that say who may do what.
    pub(crate) fn deciding(&self, of: &Numbers) -> Numbers {
        self.deciding.common(of)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Act)> {
        (0..).zip(&self.list)
    }

    /// Whether some of them, as all of an `Add`'s causal past, have handed in this first key before.
    pub(crate) fn is_used(&self, key: &[u8], among: impl Fn(u32) -> bool) -> bool {
        let first = |what: &What| match what {
            What::Genesis { ratchet_key, .. } | What::Add { ratchet_key, .. } => ratchet_key == key,
            _ => false,
        };
        self.iter().any(|(number, act)| first(&act.what) && among(number))
    }

    /// Whether an `Add` that was signed at this time, with this behind it, may bring these keys. Two that know nothing of each other may bring the
    /// same: a joiner asks more than one member.
    pub(crate) fn admits(&self, keys: &KeyPackage, time: u64, past: &Numbers) -> Result<(), Invalid> {
        if keys.suite != self.suite() {
            return Err(Invalid::Suite);
        }
        let Some(suite) = Suite::from_number(keys.suite) else { return Ok(()) };
        let used = self.is_used(&keys.ratchet_key, |number| past.contains(number));
        check_keys(suite, keys, time, used).map_err(|_| Invalid::Keys)
    }

    pub(crate) fn pop(&mut self) {
        if let Some(act) = self.list.pop() {
            self.numbers.remove(&act.id);
            self.deciding.remove(self.next());
        }
    }

    /// The number that the next one gets. There are never 2³² of them.
    pub(crate) fn next(&self) -> u32 {
        u32::try_from(self.list.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn number(&self, id: &TransactionId) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Act> {
        self.list.get(number as usize)
    }

    pub(crate) fn by_id(&self, id: &TransactionId) -> Option<&Act> {
        self.number(id).and_then(|number| self.get(number))
    }

    /// Whether a governing transaction is in the causal past that ends at this frontier.
    pub(crate) fn in_past(&self, number: u32, frontier: &[u32]) -> bool {
        frontier.iter().any(|head| self.get(*head).is_some_and(|act| act.past.contains(number)))
    }

    /// The maximal ones of several frontiers.
    pub(crate) fn join<'a>(&self, frontiers: impl IntoIterator<Item = &'a [u32]>) -> Vec<u32> {
        let all: BTreeSet<u32> = frontiers.into_iter().flatten().copied().collect();
        let below = |number: u32| {
            all.iter()
                .any(|other| *other > number && self.get(*other).is_some_and(|act| act.past.contains(number)))
        };
        all.iter().copied().filter(|number| !below(*number)).collect()
    }

    /// All that the frontier's causal past holds.
    pub(crate) fn past(&self, frontier: &[u32]) -> Numbers {
        let mut past = Numbers::default();
        frontier.iter().filter_map(|head| self.get(*head)).for_each(|act| past.extend(&act.past));
        past
    }
}

//! Under which epoch one may send, which one to take, and when there must be a new one. Pure functions over a causally closed view of the
//! history: of a member that is about to send, all that it has; of a message, its causal past.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::MESSAGES;
use crate::replica::{MemberId, TransactionId};

/// A causally closed part of the history, as the rules see it. What is accepted is judged by this part alone.
pub trait View {
    /// All `Epoch` transactions.
    fn epochs(&self) -> Vec<TransactionId>;
    /// Who made an epoch, and its lamport number; none if it is no epoch of this view.
    fn epoch(&self, epoch: &TransactionId) -> Option<(MemberId, u64)>;
    /// Whether the epoch decodes, with as many wraps as there are other members in its own causal past.
    fn well_formed(&self, epoch: &TransactionId) -> bool;
    /// The members in the epoch's own causal past: its recipients and its author.
    fn members_at(&self, epoch: &TransactionId) -> Vec<MemberId>;
    /// Whether `one` is in the causal past of `other`, and is not it.
    fn precedes(&self, one: &TransactionId, other: &TransactionId) -> bool;
    /// The accepted `Remove`s, `Leave`s and `Fork`s.
    fn cuts(&self) -> Vec<TransactionId>;
    /// Whether this is a member now.
    fn is_member(&self, member: &MemberId) -> bool;
}

/// Why nobody may send under an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unusable {
    /// It is not in the view.
    Unknown,
    /// It is not what an epoch must be, or its author or somebody that it does not know as a member made it.
    Malformed,
    /// A removal, a leaving or a fork does not precede it: who was cut has its keys.
    Cut(TransactionId),
    /// A recipient is no member.
    Recipient(MemberId),
}

/// Whether messages may be sealed under an epoch.
pub fn usable(view: &impl View, epoch: &TransactionId) -> Result<(), Unusable> {
    usable_after(view, &view.cuts(), epoch)
}

fn usable_after(view: &impl View, cuts: &[TransactionId], epoch: &TransactionId) -> Result<(), Unusable> {
    let (author, _) = view.epoch(epoch).ok_or(Unusable::Unknown)?;
    let members = view.members_at(epoch);
    if !view.well_formed(epoch) || !members.contains(&author) {
        return Err(Unusable::Malformed);
    }
    if let Some(cut) = cuts.iter().find(|cut| !view.precedes(cut, epoch)) {
        return Err(Unusable::Cut(*cut));
    }
    match members.into_iter().find(|member| !view.is_member(member)) {
        Some(gone) => Err(Unusable::Recipient(gone)),
        None => Ok(()),
    }
}

/// The place of an epoch among others: the greatest lamport is the best, then the lowest id.
fn rank(view: &impl View, epoch: &TransactionId) -> Option<(u64, Reverse<TransactionId>)> {
    view.epoch(epoch).map(|(_, lamport)| (lamport, Reverse(*epoch)))
}

/// The epoch under which a member sends: the best of all that are usable, if it is a recipient of that and has not been in a better one. It does
/// not fall back to a lesser one: that may be from before others were healed, and two epochs would go on side by side.
pub fn best(view: &impl View, member: &MemberId, last: Option<&TransactionId>) -> Option<TransactionId> {
    fits(view, best_usable(view)?, member, last)
}

/// The best of all that are usable, whoever its recipients are.
pub fn best_usable(view: &impl View) -> Option<TransactionId> {
    usable_of(view, view.epochs()).next()
}

/// Those of these epochs that are usable, the best first. A member may make any number of epochs: each is looked at once, what ended memberships is
/// asked for once, and no more epochs are put in order than are wanted.
pub(crate) fn usable_of<'a>(
    view: &'a impl View,
    epochs: impl IntoIterator<Item = TransactionId>,
) -> impl Iterator<Item = TransactionId> + 'a {
    let cuts = view.cuts();
    let mut ranked: BinaryHeap<_> = epochs.into_iter().filter_map(|epoch| rank(view, &epoch)).collect();
    let best_first = std::iter::from_fn(move || ranked.pop().map(|(_, Reverse(epoch))| epoch));
    best_first.filter(move |epoch| usable_after(view, &cuts, epoch).is_ok())
}

fn fits(
    view: &impl View,
    best: TransactionId,
    member: &MemberId,
    last: Option<&TransactionId>,
) -> Option<TransactionId> {
    let floor = last.and_then(|last| rank(view, last));
    (rank(view, &best) >= floor && view.members_at(&best).contains(member)).then_some(best)
}

/// What a member knows of its own sending in the epoch that is the best.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Its own messages in it.
    pub sent: u32,
    /// Since when it knows the epoch, in ms.
    pub age: u64,
    /// How many members there are.
    pub members: usize,
    /// The host asked for new keys, or a rollback was found.
    pub asked: bool,
    /// Its own keys of it are not here: the wrap did not open, or nobody has it.
    pub locked_out: bool,
    /// Somebody who is a member now is no recipient of it.
    pub joined: bool,
}

/// What to do before a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Send under this epoch.
    Send(TransactionId),
    /// Make a new epoch, and send under that.
    Rotate(Rotate),
}

/// Why a new epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rotate {
    /// The best is not for this member, or worse than one that it was in; or none is usable.
    NoneFits,
    /// As many messages as there may be were sent in this one.
    Messages,
    /// It is old.
    Age,
    /// It was asked for.
    Asked,
    /// Its author gave this member no keys.
    LockedOut,
    /// Somebody has joined since, and gets what follows sealed.
    Joined,
}

const DAY: u64 = 24 * 60 * 60 * 1000;

/// Whether to send under the epoch that is the [`best`], given how it was used.
#[must_use]
pub fn decide(best: Option<TransactionId>, usage: &Usage) -> Choice {
    let Some(epoch) = best else { return Choice::Rotate(Rotate::NoneFits) };
    let old = if usage.members <= 64 { DAY } else { 7 * DAY };
    if usage.locked_out {
        Choice::Rotate(Rotate::LockedOut)
    } else if usage.joined {
        Choice::Rotate(Rotate::Joined)
    } else if usage.asked {
        Choice::Rotate(Rotate::Asked)
    } else if usage.sent >= MESSAGES {
        Choice::Rotate(Rotate::Messages)
    } else if usage.age > old {
        Choice::Rotate(Rotate::Age)
    } else {
        Choice::Send(epoch)
    }
}

/// What is wrong with how a message was sent. It is a message all the same; every member says the same of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Its epoch was not usable.
    Unusable(Unusable),
    /// Its author is no recipient of the epoch.
    NotRecipient,
    /// Its author could have sent under a better epoch, or had already.
    Stale,
    /// The counter is not the next one, or beyond what an epoch allows.
    Counter,
}

/// Judges a message by its own causal past, of which the [`best_usable`] epoch is known. `before` is the epoch and counter of the author's
/// previous sealed message, by its own chain.
pub fn violation(
    past: &impl View,
    best: Option<TransactionId>,
    author: &MemberId,
    epoch: &TransactionId,
    counter: u32,
    before: Option<(TransactionId, u32)>,
) -> Option<Violation> {
    let last = before.as_ref().map(|(last, _)| last);
    if best.and_then(|best| fits(past, best, author, last)) != Some(*epoch) {
        return Some(match usable(past, epoch) {
            Err(why) => Violation::Unusable(why),
            Ok(()) if !past.members_at(epoch).contains(author) => Violation::NotRecipient,
            Ok(()) => Violation::Stale,
        });
    }
    let due = match before {
        Some((last, counter)) if last == *epoch => counter.checked_add(1),
        _ => Some(0),
    };
    (due != Some(counter) || counter >= MESSAGES).then_some(Violation::Counter)
}

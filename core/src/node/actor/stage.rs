//! What one round of a context's thread collects until its batch is durable.

use std::collections::{BTreeMap, VecDeque};

use super::sessions::Delivery;
use crate::encryption::Wrapped;
use crate::network::LinkId;
use crate::node::command::{Command, Reply};
use crate::node::events::Event;
use crate::replica::payload::Add;
use crate::replica::{Blocked, Kind, MemberId, MembershipChange, Step, Transaction, TransactionId};
use crate::storage::Mark;
use crate::sync::Refusal;
use crate::{Error, Result};

type Answer = Box<dyn FnOnce(Result<()>) + Send>;

/// See the module.
#[derive(Default)]
pub(super) struct Stage {
    /// Members whose equivocation came to light, and what proves it.
    pub(super) forks: BTreeMap<MemberId, (TransactionId, TransactionId)>,
    /// What callers want and is not staged yet.
    pub(super) commands: VecDeque<Command>,
    /// Callers who wait for the batch.
    answers: Vec<Answer>,
    /// Callers who wait for what will be true after it.
    pub(super) questions: Vec<Command>,
    pub(super) events: Vec<Event>,
    pub(super) deliveries: Vec<Delivery>,
    /// What peers show to prove that this member was removed.
    pub(super) evidence: Vec<Transaction>,
    /// What sealed calls say, as peers share it.
    pub(super) shares: Vec<(TransactionId, Vec<u8>)>,
    /// Whether there were any, and what was opened by them.
    pub(super) heard_shares: bool,
    pub(super) opened: Vec<TransactionId>,
    /// What peers gave of epochs' wraps; and who has none of which.
    pub(super) wraps: Vec<(TransactionId, Wrapped)>,
    pub(super) no_wraps: Vec<(TransactionId, MemberId)>,
    /// Of which epochs there are wraps now.
    pub(super) wrapped: Vec<TransactionId>,
    /// Members that cannot open the keys that this one made for them.
    pub(super) complaints: Vec<MemberId>,
    /// Joiners' requests, by the link that they came over.
    pub(super) requests: Vec<(LinkId, Add)>,
    pub(super) admitted: Vec<(LinkId, std::result::Result<Vec<TransactionId>, Refusal>)>,
    /// New in the history.
    pub(super) added: Vec<TransactionId>,
    /// How many of these are in a batch already.
    counted: usize,
    pub(super) delivered: Vec<(LinkId, u64)>,
    pub(super) missing: BTreeMap<LinkId, Vec<TransactionId>>,
    /// Links whose deliveries found no room.
    pub(super) dropped: Vec<LinkId>,
    /// Links over which something came that no honest member passes on, and what was wrong.
    pub(super) liars: Vec<(LinkId, String)>,
    /// The last transaction of this node's own.
    pub(super) published: Option<Mark>,
    /// Why nothing is signed from now on.
    pub(super) freeze: Option<String>,
    pub(super) membership_changed: bool,
    pub(super) blocked: Option<Option<Blocked>>,
}

impl Stage {
    /// Answers with a value once the batch is durable.
    pub(super) fn answer_later<T: Send + 'static>(&mut self, reply: Reply<T>, value: T) {
        self.answers.push(Box::new(move |outcome: Result<()>| {
            // A caller who went away has lost interest.
            let _ = reply.send(outcome.map(|()| value));
        }));
    }

    /// Answers with what the whole round fails with.
    pub(super) fn fail_later<T: Send + 'static>(&mut self, reply: Reply<T>) {
        self.answers.push(Box::new(move |outcome: Result<()>| {
            if let Err(error) = outcome {
                let _ = reply.send(Err(error));
            }
        }));
    }

    /// How many are new in the history since this was last asked. What was told of is never taken back.
    pub(super) fn count_added(&mut self) -> usize {
        self.added.len() - std::mem::replace(&mut self.counted, self.added.len())
    }

    pub(super) fn answer(&mut self) {
        self.answers.drain(..).for_each(|answer| answer(Ok(())));
    }

    /// Tells everybody in the round why it came to nothing, also those whose turn did not come.
    pub(super) fn fail(&mut self, error: &Error) {
        self.answers.drain(..).for_each(|answer| answer(Err(error.clone())));
        self.commands.drain(..).chain(self.questions.drain(..)).for_each(|command| command.refuse(error));
    }

    /// Takes in what a step of the replica did, but for its writes.
    pub(super) fn absorb(&mut self, step: Step, me: &MemberId) {
        // An admission that counted and counts no more: its last use went to somebody else, or it was revoked.
        let lost = step.executed.iter().find_map(|outcome| match &outcome.receipt.outcome {
            Err(rejection) if outcome.kind == Kind::Add as u8 && outcome.again => Some(rejection.to_string()),
            _ => None,
        });
        for (member, transaction) in &step.violations {
            self.events.push(Event::KeyViolation { member: *member, transaction: *transaction });
        }
        if let Some(place) = step.reordered {
            self.events.push(Event::Reordered { from: place.id });
        }
        for outcome in step.executed {
            let call = outcome.kind == Kind::Call as u8;
            if call {
                self.events.push(Event::Executed {
                    transaction: outcome.id,
                    member: outcome.author,
                    again: outcome.again,
                });
            }
            match outcome.receipt.outcome {
                Ok(_) => {
                    let emitted = outcome.receipt.emitted.into_iter();
                    self.events.extend(emitted.map(|(name, data)| Event::Emitted {
                        transaction: outcome.id,
                        name,
                        data,
                    }));
                }
                Err(rejection) if outcome.author == *me => {
                    self.events
                        .push(Event::Rejected { transaction: outcome.id, reason: rejection.to_string() });
                }
                Err(_) => {}
            }
        }
        if !step.changed.is_empty() {
            self.events.push(Event::Changed { keys: step.changed.into_iter().collect() });
        }
        self.membership_changed |= !step.membership.is_empty();
        for change in step.membership {
            let gone = match &change {
                MembershipChange::Left { member } if member == me => Some(match &lost {
                    Some(why) => format!("the admission does not count: {why}"),
                    None => "this node has left the context".into(),
                }),
                MembershipChange::Removed { member } if member == me => {
                    Some("this member was removed".into())
                }
                _ => None,
            };
            self.events.push(match change {
                MembershipChange::Joined { member, role } => Event::MemberJoined { member, role },
                MembershipChange::Left { member } => Event::MemberLeft { member },
                MembershipChange::Removed { member } => Event::MemberRemoved { member },
                MembershipChange::RoleChanged { member, role } => Event::RoleChanged { member, role },
                MembershipChange::Renamed { member, name } => Event::Renamed { member: Some(member), name },
                MembershipChange::ContextRenamed { name } => Event::Renamed { member: None, name },
            });
            if let Some(reason) = gone {
                self.events.push(Event::Closed { reason });
            }
        }
        for (member, one, other) in step.equivocations {
            self.events.push(Event::Equivocation { member, one, other });
            self.forks.entry(member).or_insert((one, other));
        }
        self.blocked = Some(step.blocked);
    }
}

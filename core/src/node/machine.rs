//! One context of a node without threads, clocks, sockets and files: what a context's thread runs, for those who drive it
//! by themselves. The simulator does; nothing else should, and nothing here is promised to stay.
//!
//! Everything comes in through [`Machine::round`], and out of what it gives: the rounds are the very ones that a node's thread
//! runs. Only time, randomness, the store and the high-water mark are the driver's.

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use ed25519_dalek::SigningKey;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::actor::{Actor, FROZEN, Start};
use super::command::{Command, Load, Reply};
use super::info::ContextStatus;
use super::options::{Clock, InviteOptions};
use super::parting::Parting;
pub use super::reopening::Reopening;
use super::shared::{ContextShared, Facts, InStep, Joining, Running};
use super::switchboard::ToSwitchboard;
use crate::application::Application;
use crate::invitation::Invitation;
use crate::network::{LinkId, PeerId};
use crate::replica::payload::{CallPayload, KeyPackage};
use crate::replica::{
    ContextId, Header, Malformed, MemberId, Payload, Replica, Role, StateRead, Step, TableWrite, Transaction,
    TransactionId, WaitingRoom,
};
use crate::storage::{Durability, HighWater, Keyspace, Mark, Store, context_key};
use crate::sync::{Binding, Channel, Kept, Status};
use crate::{Error, Result};

/// What a context takes from its surroundings.
pub trait Surroundings: Send {
    /// Time in ms from any fixed start; it only moves on.
    fn now(&self) -> u64;
    /// 32 fresh random bytes.
    fn random(&self) -> Result<[u8; 32]>;
    /// The application of this name, if the host has registered it.
    fn application(&self, name: &str) -> Option<Arc<dyn Application>>;
    /// Verifies a signature on a header with this id. Only the simulator does it otherwise: its nodes, which are one process, tell each other
    /// which signatures are good.
    fn verify(&self, header: &Header, id: &TransactionId, signature: &[u8; 64]) -> Signed {
        header.verify(id, signature)
    }
}

/// Whether a signature is good.
pub type Signed = std::result::Result<(), Malformed>;

/// Where it is kept what was published under this node's keys.
pub trait Marks: Send + Sync {
    /// What was last published by this author in this context.
    fn get(&self, context: &ContextId, author: &MemberId) -> Option<Mark>;
    /// Notes what is about to be published; durable on return.
    fn raise(&self, context: &ContextId, author: &MemberId, mark: Mark) -> Result<()>;
}

impl Marks for HighWater {
    fn get(&self, context: &ContextId, author: &MemberId) -> Option<Mark> {
        Self::get(self, context, author)
    }

    fn raise(&self, context: &ContextId, author: &MemberId, mark: Mark) -> Result<()> {
        Self::raise(self, &[(*context, *author, mark)])
    }
}

/// What a context is opened with.
#[allow(missing_docs)]
pub struct Setup {
    pub context: ContextId,
    pub key: SigningKey,
    /// The context's number in the store.
    pub number: u32,
    /// While joining.
    pub invitation: Option<Invitation>,
    /// Whether this node has left, and only tells of it.
    pub leaving: bool,
    pub store: Arc<dyn Store>,
    pub marks: Arc<dyn Marks>,
    pub durability: Durability,
    pub event_retention: u64,
    /// Why nothing is to be signed, if that is known.
    pub frozen: Option<String>,
    pub clock: Clock,
    pub surroundings: Box<dyn Surroundings>,
    /// Never used by a round.
    pub runtime: tokio::runtime::Handle,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("context", &self.context).finish_non_exhaustive()
    }
}

/// What a caller wants.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Wish {
    Call(CallPayload),
    Author(Payload),
    SetRole { member: MemberId, role: Role },
    Remove { member: MemberId },
    Invite(InviteOptions),
    RotateKeys,
    Leave,
}

/// What comes over the network.
#[derive(Debug)]
#[allow(missing_docs)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, on its way into a round")]
pub enum Heard {
    Opened { link: LinkId, peer: PeerId, channel: Channel, binding: Box<Binding> },
    Message { link: LinkId, channel: Channel, message: Vec<u8> },
    Closed { link: LinkId, channel: Channel },
}

/// An input of a round. A wish carries a number, under which it is answered.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Input {
    Wish(u64, Wish),
    Heard(Heard),
    ApplicationRegistered,
}

/// What a wish came to.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Answer {
    Written(TransactionId),
    Invited(Box<Invitation>),
    Rotated,
    Left,
}

/// What the context wants done on the network.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Order {
    Send {
        link: LinkId,
        channel: Channel,
        message: Vec<u8>,
    },
    Close {
        link: LinkId,
        channel: Channel,
    },
    /// The peer holds the same: see [`Reopening::in_step`].
    InStep {
        link: LinkId,
    },
}

/// What a round gave.
#[derive(Debug, Default)]
pub struct Round {
    /// By the wishes' numbers. A wish whose answer is lost is [`crate::ErrorKind::Internal`].
    pub answers: Vec<(u64, Result<Answer>)>,
    /// In this order.
    pub orders: Vec<Order>,
}

/// How far joining is.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Joined {
    UnderWay,
    Done,
    Failed(Error),
}

/// A context that is driven from outside.
pub struct Machine {
    actor: Actor,
    shared: Arc<ContextShared>,
    orders: mpsc::UnboundedReceiver<ToSwitchboard>,
    pending: Vec<(u64, Pending)>,
    /// Kept so that the queue counts as open.
    _commands: mpsc::Receiver<Command>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("context", &self.shared.id).finish_non_exhaustive()
    }
}

/// What a wish came to, once it is answered.
type Pending = Box<dyn FnMut() -> Option<Result<Answer>>>;

impl Machine {
    /// Opens a context on its store, which may hold nothing of it yet.
    pub fn open(setup: Setup) -> Result<Self> {
        let frozen = setup
            .store
            .snapshot()?
            .get(Keyspace::Meta, &context_key(setup.number, FROZEN))?
            .map(|reason| String::from_utf8_lossy(&reason).into_owned());
        let (switchboard, orders) = mpsc::unbounded_channel();
        let (commands, queue) = mpsc::channel(1);
        let joining = if setup.invitation.is_some() { Joining::UnderWay } else { Joining::Done };
        let shared = Arc::new(ContextShared {
            id: setup.context,
            me: MemberId(setup.key.verifying_key().to_bytes()),
            number: setup.number,
            runtime: setup.runtime,
            running: watch::Sender::new(Some(Running { store: Arc::clone(&setup.store), commands })),
            latest: watch::Sender::new(0),
            passing: broadcast::Sender::new(1),
            in_step: watch::Sender::new(InStep::default()),
            joining: watch::Sender::new(joining),
            joiners: AtomicUsize::new(0),
            progress: watch::Sender::new((0, 0)),
            left: watch::Sender::new(false),
            facts: Mutex::new(Facts::default()),
            closed: watch::Sender::new(None),
            registry: std::sync::Weak::new(),
        });
        let actor = Actor::new(Start {
            shared: Arc::clone(&shared),
            store: setup.store,
            key: setup.key,
            invitation: setup.invitation,
            high_water: Some(setup.marks),
            durability: setup.durability,
            event_retention: setup.event_retention,
            switchboard,
            leaving: setup.leaving,
            frozen: frozen.or(setup.frozen),
            clock: setup.clock,
            surroundings: setup.surroundings,
            gossips: false,
        })?;
        Ok(Self { actor, shared, orders, pending: Vec::new(), _commands: queue })
    }

    /// One round: what a context's thread does with what has come, and with the time.
    pub fn round(&mut self, inputs: Vec<Input>) -> Round {
        let commands = inputs.into_iter().map(|input| command(input, &mut self.pending)).collect();
        self.actor.round(commands);
        let mut answers = Vec::new();
        self.pending.retain_mut(|(number, answer)| match answer() {
            Some(answer) => {
                answers.push((*number, answer));
                false
            }
            None => true,
        });
        let mut orders = Vec::new();
        while let Ok(order) = self.orders.try_recv() {
            orders.extend(match order {
                ToSwitchboard::Send { link, channel, message } => {
                    Some(Order::Send { link, channel, message })
                }
                ToSwitchboard::Close { link, channel, .. } => Some(Order::Close { link, channel }),
                ToSwitchboard::InStep { link, .. } => Some(Order::InStep { link }),
                _ => None,
            });
        }
        Round { answers, orders }
    }

    /// When the next round is due though nothing comes; 0: at once.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.actor.due()
    }

    /// The replica, as the last round left it.
    #[must_use]
    pub const fn replica(&self) -> &Replica {
        self.actor.replica()
    }

    /// What waits for its past.
    #[must_use]
    pub const fn waiting(&self) -> &WaitingRoom {
        self.actor.room()
    }

    /// The sessions with peers.
    #[must_use]
    pub fn sessions(&self) -> Vec<(LinkId, Status)> {
        self.actor.statuses()
    }

    /// What is kept for later, each beside its limit; what is empty is left out.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        self.actor.kept()
    }

    /// How many more commands a round takes, as in a node.
    #[must_use]
    pub fn room(&self) -> usize {
        self.actor.room_for_commands()
    }

    /// What a host is told.
    #[must_use]
    pub fn status(&self) -> ContextStatus {
        self.actor.status()
    }

    /// Why this node takes part no more, where a peer said so and the history does not.
    #[must_use]
    pub fn removed(&self) -> Option<&str> {
        self.actor.removed()
    }

    /// How far joining is.
    #[must_use]
    pub fn joined(&self) -> Joined {
        match &*self.shared.joining.borrow() {
            Joining::UnderWay => Joined::UnderWay,
            Joining::Done => Joined::Done,
            Joining::Failed(error) => Joined::Failed(error.clone()),
        }
    }

    /// Whether somebody is known to have heard that this node has left.
    #[must_use]
    pub fn left(&self) -> bool {
        *self.shared.left.borrow()
    }

    /// Why the context is closed, once it is: then its store has to be opened again.
    #[must_use]
    pub fn closed(&self) -> Option<String> {
        self.shared.closed.borrow().clone()
    }
}

/// A creator's first keys: what goes into genesis, and what is to be stored.
pub fn first_keys(suite: u8, me: MemberId, entropy: [u8; 32]) -> Result<(KeyPackage, Vec<TableWrite>)> {
    crate::keyring::Keeper::first_keys(suite, ContextId::default(), me, entropy)
}

/// What a member makes of transactions with the keys that are in its tables, as a round does; nothing is stored. For who asks what a round would write.
pub fn receive(
    me: MemberId,
    replica: &mut Replica,
    tables: &dyn StateRead,
    transactions: &[Transaction],
    application: &dyn Application,
) -> Result<Step> {
    let mut keeper = crate::keyring::Keeper::new(replica.context(), me);
    replica.receive_with(tables, transactions, Some(application), Some(&mut keeper))
}

/// A transaction that a member has, as it goes to another one; `None`: not at all.
pub fn shown(
    replica: &Replica,
    tables: &dyn StateRead,
    to: &MemberId,
    transaction: Transaction,
) -> Result<Option<Transaction>> {
    let id = transaction.header.id();
    crate::keyring::Keeper::new(replica.context(), *to).show(replica, tables, to, &id, transaction)
}

/// What is never answered was dropped.
fn expect<T: 'static>(number: u64, pending: &mut Vec<(u64, Pending)>, answer: fn(T) -> Answer) -> Reply<T> {
    let (reply, mut receiver) = oneshot::channel::<Result<T>>();
    pending.push((
        number,
        Box::new(move || match receiver.try_recv() {
            Ok(outcome) => Some(outcome.map(answer)),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => {
                Some(Err(Error::internal("a caller was not answered")))
            }
        }),
    ));
    reply
}

fn command(input: Input, pending: &mut Vec<(u64, Pending)>) -> Command {
    match input {
        Input::Wish(number, wish) => match wish {
            Wish::Call(call) => {
                Command::Call { call, reply: expect(number, pending, |e| Answer::Written(e.transaction)) }
            }
            Wish::Author(payload) => {
                Command::Author { payload, reply: expect(number, pending, Answer::Written) }
            }
            Wish::SetRole { member, role } => {
                Command::SetRole { member, role, reply: expect(number, pending, Answer::Written) }
            }
            Wish::Remove { member } => {
                Command::Remove { member, reply: expect(number, pending, Answer::Written) }
            }
            Wish::Invite(options) => Command::Invite {
                options,
                addresses: Vec::new(),
                reply: expect(number, pending, |invitation| Answer::Invited(Box::new(invitation))),
            },
            Wish::RotateKeys => Command::RotateKeys { reply: expect(number, pending, |()| Answer::Rotated) },
            Wish::Leave => Command::Leave { reply: expect(number, pending, |()| Answer::Left) },
        },
        Input::Heard(Heard::Opened { link, peer, channel, binding }) => {
            Command::Opened { link, peer, channel, binding: *binding }
        }
        Input::Heard(Heard::Message { link, channel, message }) => {
            Command::Message { link, channel, message, load: Load::none() }
        }
        Input::Heard(Heard::Closed { link, channel }) => {
            Command::Closed { link, channel, why: Parting::Gone.because("the session was closed elsewhere") }
        }
        Input::ApplicationRegistered => Command::ApplicationRegistered,
    }
}

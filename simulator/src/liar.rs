//! A member that has turned: it holds its key and its history, runs the real sessions, and lies in them.

mod bag;
mod keys;
mod lies;

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use kith_core::Result;
use kith_core::network::LinkId;
use kith_core::replica::{ContextId, MemberId, Role, Transaction, TransactionId};
use kith_core::sync::{Binding, Channel, Local, Output, Session};

use self::bag::{Bag, Shown};
pub use self::lies::Lie;
use crate::dice::Dice;

/// What goes out: to which link and channel.
pub type Outgoing = Vec<(LinkId, Channel, Vec<u8>)>;

/// See the module.
pub struct Liar {
    key: SigningKey,
    me: MemberId,
    context: ContextId,
    role: Role,
    invitation: Option<(TransactionId, SigningKey)>,
    bag: Bag,
    sessions: BTreeMap<LinkId, (Channel, Session)>,
    dice: Dice,
    counter: u64,
    /// Whether it says of sealed calls what they do not say.
    false_shares: bool,
    /// How often it has.
    pub(crate) shared_falsely: u64,
    /// How many epochs and keys of its own it has made that are none.
    pub(crate) key_lies: u64,
}

impl std::fmt::Debug for Liar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Liar").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Liar {
    /// A member turns, with all that it holds.
    pub fn new(
        key: SigningKey,
        context: ContextId,
        role: Role,
        invitation: Option<(TransactionId, SigningKey)>,
        history: impl IntoIterator<Item = Transaction>,
        dice: Dice,
    ) -> Self {
        let mut bag = Bag::default();
        history.into_iter().for_each(|transaction| {
            bag.keep(transaction);
        });
        let me = MemberId(key.verifying_key().to_bytes());
        Self {
            key,
            me,
            context,
            role,
            invitation,
            bag,
            sessions: BTreeMap::new(),
            dice,
            counter: 0,
            false_shares: false,
            shared_falsely: 0,
            key_lies: 0,
        }
    }

    /// A channel is open.
    pub fn opened(&mut self, link: LinkId, channel: Channel, binding: Binding, now: u64) -> Outgoing {
        let local = Local::Member { supporting: Vec::new() };
        match Session::new(binding, &self.key, local, self.dice.number(), &Shown(&self.bag, link), now) {
            Ok((session, outputs)) => {
                self.sessions.insert(link, (channel, session));
                self.carry_out(link, outputs, now)
            }
            Err(_) => Vec::new(),
        }
    }

    /// A channel is closed.
    pub fn closed(&mut self, link: LinkId) {
        self.sessions.remove(&link);
    }

    /// A message came.
    pub fn message(&mut self, link: LinkId, message: &[u8], now: u64) -> Outgoing {
        let channel = self.sessions.get(&link).map(|(channel, _)| *channel);
        if let (Some(channel), Some(answer)) = (channel, self.share_falsely(message)) {
            self.shared_falsely += 1;
            return vec![(link, channel, answer)];
        }
        self.with(link, now, |session, history| session.receive(message, history, now))
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64) -> Outgoing {
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        links.into_iter().flat_map(|link| self.with(link, now, |s, history| s.tick(history, now))).collect()
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.sessions.values().filter_map(|(_, session)| session.deadline()).min()
    }

    fn with(
        &mut self,
        link: LinkId,
        now: u64,
        input: impl FnOnce(&mut Session, &Shown<'_>) -> Result<Vec<Output>>,
    ) -> Outgoing {
        let Some((_, session)) = self.sessions.get_mut(&link) else { return Vec::new() };
        let outputs = input(session, &Shown(&self.bag, link)).unwrap_or_default();
        self.carry_out(link, outputs, now)
    }

    fn carry_out(&mut self, link: LinkId, outputs: Vec<Output>, now: u64) -> Outgoing {
        let mut out = Outgoing::new();
        let mut delivered = Vec::new();
        let Some(channel) = self.sessions.get(&link).map(|(channel, _)| *channel) else { return out };
        for output in outputs {
            match output {
                Output::Send { message, .. } => out.push((link, channel, message)),
                Output::Deliver { token, transactions } => {
                    transactions.into_iter().for_each(|transaction| {
                        self.bag.keep(transaction);
                    });
                    delivered.push(token);
                }
                Output::Ended(_) => {
                    self.sessions.remove(&link);
                }
                _ => {}
            }
        }
        for token in delivered {
            out.extend(self.with(link, now, |session, history| session.delivered(token, history, now)));
        }
        out
    }

    fn show(&mut self, ids: &[TransactionId], now: u64) -> Outgoing {
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        links
            .into_iter()
            .flat_map(|link| {
                self.with(link, now, |session, history| {
                    let shown: Vec<TransactionId> =
                        ids.iter().copied().filter(|id| !history.hides(id)).collect();
                    let mut outputs = session.added(&shown, 0, history, now)?;
                    outputs.extend(session.compare(history, now)?);
                    Ok(outputs)
                })
            })
            .collect()
    }
}

//! One connection to one peer: channels, each for a context that both sides turn out to know of.
//!
//! Who opens a channel shows that it knows the context's access key by a MAC over both sides' nonces and names; who answers
//! shows the same. One that does not host the context answers with random bytes and forgets the opening, so that without
//! the key both look the same, whatever is sent afterwards.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use super::proof::{Binding, Direction};
use crate::limits;
use crate::replica::ContextId;

/// Names a channel on its link, the same on both sides. The side with the smaller peer id opens the even ones.
pub type Channel = u32;

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Frame {
    Hello { nonce: [u8; 32] },
    Open { channel: Channel, mac: [u8; 32] },
    Answer { channel: Channel, mac: [u8; 32] },
    Close { channel: Channel },
    Message { channel: Channel, message: Vec<u8> },
}

impl Frame {
    pub(super) fn encode(&self) -> Vec<u8> {
        // Writing into a vector cannot fail.
        borsh::to_vec(self).unwrap_or_default()
    }
}

/// What a [`Link`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkOutput {
    /// To go to the peer.
    Send(Vec<u8>),
    /// Both sides know of the context: a [`super::Session`] begins.
    Opened {
        /// Names it on this link.
        channel: Channel,
        /// Ties what is signed to this channel.
        binding: Binding,
    },
    /// The peer closed the channel: its session is over.
    Closed {
        /// Which.
        channel: Channel,
        /// Of which context.
        context: ContextId,
    },
    /// For the session of this channel.
    Message {
        /// Which.
        channel: Channel,
        /// Of which context.
        context: ContextId,
        /// For [`super::Session::receive`].
        message: Vec<u8>,
    },
}

/// Why a link is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum LinkError {
    #[error("a frame does not decode")]
    Garbage,
    #[error("a frame came where the protocol has none")]
    Protocol,
    #[error("the peer guesses contexts")]
    TooManyOpenings,
    #[error("the peer's id is this node's own, or too long")]
    PeerId,
}

struct Hosted {
    access_key: [u8; 32],
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No channel.
    Closed,
    /// To be opened once the peer's nonce is known.
    Wanted,
    /// Opened from here; the answer is to come.
    Opening(Channel),
    /// Both sides have shown the key.
    Open(Channel),
}

/// See the module's text. All its memory is bounded by the number of hosted contexts.
pub struct Link {
    own: Vec<u8>,
    remote: Vec<u8>,
    own_nonce: [u8; 32],
    remote_nonce: Option<[u8; 32]>,
    next: Channel,
    hosted: BTreeMap<ContextId, Hosted>,
    channels: BTreeMap<Channel, ContextId>,
    wrong_openings: usize,
    narrow: bool,
}

impl Link {
    /// A link between these peer ids, with 32 fresh random bytes; and the first frame to send.
    pub fn new(own_peer: &[u8], remote_peer: &[u8], nonce: [u8; 32]) -> Result<(Self, Vec<u8>), LinkError> {
        if own_peer == remote_peer || own_peer.len().max(remote_peer.len()) > limits::PEER_ID {
            return Err(LinkError::PeerId);
        }
        let link = Self {
            own: own_peer.to_vec(),
            remote: remote_peer.to_vec(),
            own_nonce: nonce,
            remote_nonce: None,
            next: if own_peer < remote_peer { 0 } else { 1 },
            hosted: BTreeMap::new(),
            channels: BTreeMap::new(),
            wrong_openings: 0,
            narrow: false,
        };
        Ok((link, Frame::Hello { nonce }.encode()))
    }

    /// The link goes through a relay: what is sent on channels from now on goes in small batches.
    pub fn narrow(&mut self) {
        self.narrow = true;
    }

    /// Hosts a context (or joins it). With `open`, asks the peer for it; without, only answers: a peer that does not know
    /// the access key then sees nothing at all, not even how many contexts there are. So the side that dialled opens.
    pub fn add(&mut self, context: ContextId, access_key: [u8; 32], open: bool) -> Vec<LinkOutput> {
        let hosted = self.hosted.entry(context).or_insert(Hosted { access_key, state: State::Closed });
        hosted.access_key = access_key;
        if open { self.open(&context) } else { Vec::new() }
    }

    /// Asks the peer for a hosted context that has no channel. Nothing comes of it if the peer does not host it.
    pub fn open(&mut self, context: &ContextId) -> Vec<LinkOutput> {
        let Some(hosted) = self.hosted.get_mut(context) else { return Vec::new() };
        if !matches!(hosted.state, State::Closed | State::Wanted) {
            return Vec::new();
        }
        hosted.state = State::Wanted;
        if self.remote_nonce.is_none() || self.channels.len() >= limits::SYNC_CHANNELS {
            return Vec::new();
        }
        let channel = self.next;
        let Some(next) = channel.checked_add(2) else { return Vec::new() };
        self.next = next;
        self.channels.insert(channel, *context);
        let binding = self.binding(*context, channel, true);
        let Some(hosted) = self.hosted.get_mut(context) else { return Vec::new() };
        hosted.state = State::Opening(channel);
        let mac = binding.mac(&hosted.access_key, Direction::Open);
        vec![LinkOutput::Send(Frame::Open { channel, mac }.encode())]
    }

    /// No longer hosts a context; closes its channel, of which nothing more is heard.
    pub fn remove(&mut self, context: &ContextId) -> Vec<LinkOutput> {
        let outputs = match self.channel_of(context) {
            Some(channel) => self.close(channel),
            None => Vec::new(),
        };
        self.hosted.remove(context);
        outputs
    }

    /// The channel of a context, if both sides have shown the key.
    #[must_use]
    pub fn open_channel(&self, context: &ContextId) -> Option<Channel> {
        match self.hosted.get(context)?.state {
            State::Open(channel) => Some(channel),
            _ => None,
        }
    }

    /// The frame that carries a session's message; `None` if the channel is closed by now.
    #[must_use]
    pub fn message(&self, channel: Channel, message: Vec<u8>) -> Option<Vec<u8>> {
        let context = self.channels.get(&channel)?;
        (self.open_channel(context)? == channel).then(|| Frame::Message { channel, message }.encode())
    }

    /// Closes a channel, as a session's end asks. [`Self::open`] may open another one for the context.
    pub fn close(&mut self, channel: Channel) -> Vec<LinkOutput> {
        if self.forget(channel).is_none() {
            return Vec::new();
        }
        vec![LinkOutput::Send(Frame::Close { channel }.encode())]
    }

    /// Takes a frame from the peer; `random` are 32 fresh random bytes. After an error the link is to be cut.
    pub fn receive(&mut self, frame: &[u8], random: [u8; 32]) -> Result<Vec<LinkOutput>, LinkError> {
        if frame.len() > limits::FRAME {
            return Err(LinkError::Garbage);
        }
        let frame: Frame = borsh::from_slice(frame).map_err(|_| LinkError::Garbage)?;
        if let Frame::Hello { nonce } = frame {
            if self.remote_nonce.is_some() || nonce == self.own_nonce {
                return Err(LinkError::Protocol);
            }
            self.remote_nonce = Some(nonce);
            let wanted: Vec<ContextId> = self
                .hosted
                .iter()
                .filter(|(_, hosted)| hosted.state == State::Wanted)
                .map(|(id, _)| *id)
                .collect();
            return Ok(wanted.iter().flat_map(|context| self.open(context)).collect());
        }
        if self.remote_nonce.is_none() {
            return Err(LinkError::Protocol);
        }
        match frame {
            Frame::Hello { .. } => Err(LinkError::Protocol),
            Frame::Open { channel, mac } => self.opened_by_peer(channel, mac, random),
            Frame::Answer { channel, mac } => Ok(self.answered(channel, mac)),
            Frame::Close { channel } => Ok(match self.channels.get(&channel) {
                Some(context) if self.open_channel(context) == Some(channel) => {
                    let context = *context;
                    self.forget(channel);
                    vec![LinkOutput::Closed { channel, context }]
                }
                _ => Vec::new(),
            }),
            // What comes for a channel that is not open may have crossed its closing, or be a stranger's: it is not
            // looked at.
            Frame::Message { channel, message } => Ok(match self.channels.get(&channel) {
                Some(context) if self.open_channel(context) == Some(channel) => {
                    vec![LinkOutput::Message { channel, context: *context, message }]
                }
                _ => Vec::new(),
            }),
        }
    }

    fn opened_by_peer(
        &mut self,
        channel: Channel,
        mac: [u8; 32],
        random: [u8; 32],
    ) -> Result<Vec<LinkOutput>, LinkError> {
        if channel % 2 == self.next % 2 || self.channels.contains_key(&channel) {
            return Err(LinkError::Protocol);
        }
        // Every context is tried, also after a match: the time taken says nothing about which.
        let mut found = None;
        for (context, hosted) in &self.hosted {
            let expected = self.binding(*context, channel, false).mac(&hosted.access_key, Direction::Open);
            if blake3::Hash::from_bytes(expected) == blake3::Hash::from_bytes(mac) {
                found = Some((*context, hosted.access_key, hosted.state));
            }
        }
        let Some((context, access_key, state)) = found else {
            self.wrong_openings += 1;
            if self.wrong_openings > limits::SYNC_WRONG_OPENINGS {
                return Err(LinkError::TooManyOpenings);
            }
            return Ok(vec![LinkOutput::Send(Frame::Answer { channel, mac: random }.encode())]);
        };
        let mut outputs = Vec::new();
        match state {
            State::Closed | State::Wanted if self.channels.len() < limits::SYNC_CHANNELS => {}
            // Both opened at once. The smaller peer id's channel counts, which both sides know when they see the
            // other's opening.
            State::Opening(own) if self.own > self.remote => {
                self.forget(own);
                outputs.push(LinkOutput::Send(Frame::Close { channel: own }.encode()));
            }
            _ => {
                outputs.push(LinkOutput::Send(Frame::Answer { channel, mac: random }.encode()));
                return Ok(outputs);
            }
        }
        let binding = self.binding(context, channel, false);
        let mac = binding.mac(&access_key, Direction::Answer);
        self.channels.insert(channel, context);
        if let Some(hosted) = self.hosted.get_mut(&context) {
            hosted.state = State::Open(channel);
        }
        outputs.push(LinkOutput::Send(Frame::Answer { channel, mac }.encode()));
        outputs.push(LinkOutput::Opened { channel, binding });
        Ok(outputs)
    }

    fn answered(&mut self, channel: Channel, mac: [u8; 32]) -> Vec<LinkOutput> {
        let Some(context) = self.channels.get(&channel).copied() else { return Vec::new() };
        let binding = self.binding(context, channel, true);
        let Some(hosted) = self.hosted.get_mut(&context) else { return Vec::new() };
        if hosted.state != State::Opening(channel) {
            return Vec::new();
        }
        let expected = binding.mac(&hosted.access_key, Direction::Answer);
        if blake3::Hash::from_bytes(expected) == blake3::Hash::from_bytes(mac) {
            hosted.state = State::Open(channel);
            return vec![LinkOutput::Opened { channel, binding }];
        }
        self.close(channel)
    }

    fn channel_of(&self, context: &ContextId) -> Option<Channel> {
        match self.hosted.get(context)?.state {
            State::Opening(channel) | State::Open(channel) => Some(channel),
            State::Closed | State::Wanted => None,
        }
    }

    fn forget(&mut self, channel: Channel) -> Option<ContextId> {
        let context = self.channels.remove(&channel)?;
        if self.channel_of(&context) == Some(channel)
            && let Some(hosted) = self.hosted.get_mut(&context)
        {
            hosted.state = State::Closed;
        }
        Some(context)
    }

    fn binding(&self, context: ContextId, channel: Channel, opener: bool) -> Binding {
        let own = (self.own_nonce, self.own.clone());
        let remote = (self.remote_nonce.unwrap_or_default(), self.remote.clone());
        let (opened, answered) = if opener { (own, remote) } else { (remote, own) };
        Binding {
            context,
            channel,
            opener,
            opener_nonce: opened.0,
            answerer_nonce: answered.0,
            opener_peer: opened.1,
            answerer_peer: answered.1,
            narrow: self.narrow,
        }
    }
}

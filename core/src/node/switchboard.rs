//! Joins the network's links to the contexts' threads: channels in, channels out. Async, and never waits for a context or
//! a peer: what cannot be taken is cut off, and catch-up repairs it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::actor::random_bytes;
use super::command::{Command, Load};
use super::gossip::EnvelopeKeys;
use super::parting::{self, Parting};
use super::registry::Peers;
use super::reopening::Reopening;
use crate::network::{self, Judgement, LinkId, MessageName, Network, PeerId, Topic};
use crate::replica::ContextId;
use crate::sync::{Channel, Link, LinkOutput};

/// Most bytes that wait to be sent on one link before the link is cut.
const OUTBOUND: usize = 64 << 20;
/// Steps of gossip that wait for the network; more are dropped.
const GOSSIP: usize = 1024;

/// What contexts' threads tell the switchboard.
pub(crate) enum ToSwitchboard {
    /// All contexts that the node had are here.
    TakenUp,
    /// A context is here; with `ask`, peers that are connected are asked for it.
    Host { context: ContextId, access_key: [u8; 32], commands: mpsc::Sender<Command>, ask: bool },
    /// It is gone.
    Unhost { context: ContextId },
    /// A session's message.
    Send { link: LinkId, channel: Channel, message: Vec<u8> },
    /// A session is over.
    Close { link: LinkId, context: ContextId, channel: Channel },
    /// The peer is a member's: worth remembering.
    Proved { link: LinkId },
    /// The peer's history is the same.
    InStep { link: LinkId, context: ContextId },
    /// Asks a peer for a context again.
    Reopen { link: LinkId, context: ContextId },
    /// What a context's envelopes are opened with; `None`: it does not gossip.
    Gossip { context: ContextId, keys: Option<EnvelopeKeys> },
    /// An envelope for everybody on a topic.
    Publish { topic: Topic, bytes: Vec<u8> },
    /// Ends the task.
    Stop,
}

/// What is to be done in gossip, in order.
enum Gossip {
    Subscribe(Topic),
    Unsubscribe(Topic),
    Publish(Topic, Vec<u8>),
    Judge(MessageName, Judgement),
}

struct Hosted {
    access_key: [u8; 32],
    commands: mpsc::Sender<Command>,
    /// Bytes of messages in the queue.
    taken: Arc<AtomicUsize>,
    ask: bool,
}

struct Line {
    link: Link,
    peer: PeerId,
    outbound: bool,
    writer: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    writing: JoinHandle<()>,
    /// When sessions that end are begun again, by context.
    reopening: BTreeMap<ContextId, Reopening>,
    /// Why this side cuts it.
    cut: Option<(Parting, String)>,
    /// Whether the peer has proved to be a member's.
    proved: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

pub(crate) struct Switchboard {
    network: Network,
    own: PeerId,
    peers: Arc<Peers>,
    hosted: HashMap<ContextId, Hosted>,
    lines: HashMap<LinkId, Line>,
    gossip: mpsc::Sender<Gossip>,
    topics: HashMap<Topic, (ContextId, Arc<EnvelopeKeys>)>,
    itself: mpsc::UnboundedSender<ToSwitchboard>,
    started: Instant,
}

impl Switchboard {
    pub(crate) fn new(
        network: Network,
        peers: Arc<Peers>,
        itself: mpsc::UnboundedSender<ToSwitchboard>,
    ) -> Self {
        let own = network.peer_id();
        let (gossip, steps) = mpsc::channel(GOSSIP);
        tokio::spawn(carry_gossip(network.clone(), steps));
        let (hosted, lines, topics) = Default::default();
        let started = Instant::now();
        Self { network, own, peers, hosted, lines, gossip, topics, itself, started }
    }

    pub(crate) async fn run(
        mut self,
        mut events: network::Events,
        mut orders: mpsc::UnboundedReceiver<ToSwitchboard>,
    ) {
        // A peer asks for a context once on a link. One that comes back at once would ask for contexts whose threads are being started, be told
        // that they are not here, and have no session until the link is lost.
        loop {
            match orders.recv().await {
                None | Some(ToSwitchboard::Stop) => return,
                Some(ToSwitchboard::TakenUp) => break,
                Some(order) => self.order(order),
            }
        }
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    None | Some(ToSwitchboard::Stop) => return,
                    Some(order) => self.order(order),
                },
                event = events.recv() => {
                    let Some(event) = event else { return };
                    // What was done here may be why the peer did this: it comes first. No more than waits now, or contexts that write all the time
                    // would keep the network waiting.
                    for _ in 0..orders.len() {
                        match orders.try_recv() {
                            Ok(ToSwitchboard::Stop) => return,
                            Ok(order) => self.order(order),
                            Err(_) => break,
                        }
                    }
                    self.event(event);
                }
            }
        }
    }

    fn order(&mut self, order: ToSwitchboard) {
        match order {
            ToSwitchboard::Host { context, access_key, commands, ask } => {
                let taken = Arc::default();
                self.hosted.insert(context, Hosted { access_key, commands, taken, ask });
                let links: Vec<LinkId> = self.lines.keys().copied().collect();
                for link in links {
                    self.on_line(link, |line| line.link.add(context, access_key, ask || line.outbound));
                }
            }
            ToSwitchboard::Gossip { context, keys } => self.gossip_about(context, keys),
            ToSwitchboard::Publish { topic, bytes } => self.gossip(Gossip::Publish(topic, bytes)),
            ToSwitchboard::Unhost { context } => {
                self.gossip_about(context, None);
                self.hosted.remove(&context);
                let links: Vec<LinkId> = self.lines.keys().copied().collect();
                for link in links {
                    self.on_line(link, |line| {
                        line.reopening.remove(&context);
                        line.link.remove(&context)
                    });
                }
            }
            ToSwitchboard::Send { link, channel, message } => {
                let Some(line) = self.lines.get(&link) else { return };
                if let Some(frame) = line.link.message(channel, message) {
                    self.send(link, frame);
                }
            }
            ToSwitchboard::Close { link, context, channel } => {
                self.on_line(link, |line| line.link.close(channel));
                self.open_later(link, context);
            }
            ToSwitchboard::Proved { link } => {
                if let Some(line) = self.lines.get_mut(&link) {
                    if !std::mem::replace(&mut line.proved, true) {
                        self.peers.strangers.proved();
                    }
                    self.peers.befriend(line.peer);
                }
            }
            ToSwitchboard::InStep { link, context } => {
                let now = self.now();
                if let (Some(line), true) = (self.lines.get_mut(&link), self.hosted.contains_key(&context)) {
                    line.reopening.entry(context).or_default().in_step(now);
                }
            }
            ToSwitchboard::Reopen { link, context } => {
                if self.hosted.contains_key(&context) {
                    self.on_line(link, |line| line.link.open(&context));
                }
            }
            ToSwitchboard::TakenUp | ToSwitchboard::Stop => {}
        }
    }

    /// Time in ms from any fixed start.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The side that dialled opens channels, so it is the one that opens them again.
    fn open_later(&mut self, link: LinkId, context: ContextId) {
        let now = self.now();
        let (Some(hosted), Some(line)) = (self.hosted.get(&context), self.lines.get_mut(&link)) else {
            return;
        };
        if !line.outbound && !hosted.ask {
            return;
        }
        let pause = Duration::from_millis(line.reopening.entry(context).or_default().ended(now));
        let itself = self.itself.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            // The switchboard may be gone by then.
            let _ = itself.send(ToSwitchboard::Reopen { link, context });
        });
    }

    fn event(&mut self, event: network::Event) {
        match event {
            network::Event::LinkUp { link, peer, address, outbound } => {
                let relayed = network::is_relayed(&address);
                if outbound {
                    self.peers.learn(peer, vec![address]);
                }
                self.link_up(link, peer, outbound, relayed);
            }
            network::Event::LinkDown { link, reason, fault, .. } => {
                tracing::debug!(%link, %reason, "a link is down");
                if let Some(mut line) = self.lines.remove(&link) {
                    let cut = line.cut.take();
                    let (parting, why) = cut.unwrap_or_else(|| parting::of_link(fault, &reason));
                    if !line.proved {
                        self.peers.strangers.left(parting);
                    }
                    for (context, hosted) in &self.hosted {
                        if let Some(channel) = line.link.open_channel(context) {
                            say_closed(hosted, link, channel, why.clone());
                        }
                    }
                }
            }
            network::Event::Frame { link, bytes } => {
                let Ok(random) = random_bytes() else { return };
                let mut failed = None;
                self.on_line(link, |line| match line.link.receive(&bytes, random) {
                    Ok(outputs) => outputs,
                    Err(error) => {
                        failed = Some(error);
                        Vec::new()
                    }
                });
                if let Some(error) = failed {
                    tracing::warn!(%link, %error, "a peer broke the protocol");
                    self.cut(link, Parting::Misbehaved, error);
                }
            }
            network::Event::Addresses { peer, addresses } => self.peers.learn(peer, addresses),
            network::Event::Discovered { peer, addresses } => {
                let network = self.network.clone();
                tokio::spawn(async move {
                    // Who is found in the local network may be gone again, or be nobody: not worth a word.
                    let _ = network.connect_peer(peer, &addresses).await;
                });
            }
            network::Event::Gossip { topic, bytes, name } => self.gossiped(topic, &bytes, name),
            network::Event::Listening { .. } => self.peers.listening(),
            network::Event::DialFailed { .. } => {}
        }
    }

    fn link_up(&mut self, link: LinkId, peer: PeerId, outbound: bool, relayed: bool) {
        let unused = "the link cannot be used";
        let Ok(nonce) = random_bytes() else { return self.cut(link, Parting::Closed, unused) };
        let (mut state, hello) = match Link::new(&self.own.to_bytes(), &peer.to_bytes(), nonce) {
            Ok(made) => made,
            Err(error) => {
                tracing::warn!(%peer, %error, "a link cannot be used");
                return self.cut(link, Parting::Closed, unused);
            }
        };
        if relayed {
            state.narrow();
        }
        let (writer, mut frames) = mpsc::unbounded_channel::<Vec<u8>>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (network, count) = (self.network.clone(), Arc::clone(&waiting));
        let writing = tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                let length = frame.len();
                let sent = network.send(link, frame).await;
                count.fetch_sub(length, Ordering::Relaxed);
                if sent.is_err() {
                    return;
                }
            }
        });
        let (reopening, cut, proved) = Default::default();
        let line = Line { link: state, peer, outbound, writer, waiting, writing, reopening, cut, proved };
        self.peers.strangers.came();
        self.lines.insert(link, line);
        self.send(link, hello);
        let contexts: Vec<(ContextId, [u8; 32], bool)> =
            self.hosted.iter().map(|(context, hosted)| (*context, hosted.access_key, hosted.ask)).collect();
        for (context, access_key, ask) in contexts {
            self.on_line(link, |line| line.link.add(context, access_key, outbound || ask));
        }
    }

    /// Does something with a link's state and carries out what comes of it.
    fn on_line(&mut self, link: LinkId, input: impl FnOnce(&mut Line) -> Vec<LinkOutput>) {
        let Some(line) = self.lines.get_mut(&link) else { return };
        let outputs = input(line);
        let peer = line.peer;
        for output in outputs {
            match output {
                LinkOutput::Send(frame) => self.send(link, frame),
                LinkOutput::Opened { channel, binding } => {
                    let context = binding.context;
                    self.hand_to_context(
                        link,
                        context,
                        channel,
                        Some(Command::Opened { link, peer, channel, binding }),
                    );
                }
                LinkOutput::Closed { channel, context } => {
                    if let Some(hosted) = self.hosted.get(&context) {
                        say_closed(
                            hosted,
                            link,
                            channel,
                            Parting::Gone.because("the other side closed the session"),
                        );
                    }
                    self.open_later(link, context);
                }
                LinkOutput::Message { channel, context, message } => {
                    let taken = self.hosted.get(&context).map(|hosted| Arc::clone(&hosted.taken));
                    let load = taken.and_then(|taken| Load::take(&taken, message.len()));
                    let command = load.map(|load| Command::Message { link, channel, message, load });
                    self.hand_to_context(link, context, channel, command);
                }
            }
        }
    }

    /// A context that does not keep up loses the channel, not the others their links. `None`: there is no room for it.
    fn hand_to_context(
        &mut self,
        link: LinkId,
        context: ContextId,
        channel: Channel,
        command: Option<Command>,
    ) {
        let Some(hosted) = self.hosted.get(&context) else { return };
        let taken = command.is_some_and(|command| hosted.commands.try_send(command).is_ok());
        if !taken {
            tracing::debug!(%context, %link, "a context does not keep up: its channel is closed");
            say_closed(
                hosted,
                link,
                channel,
                Parting::Limit.because("more came than the context keeps up with"),
            );
            self.on_line(link, |line| line.link.close(channel));
            self.open_later(link, context);
        }
    }

    fn send(&mut self, link: LinkId, frame: Vec<u8>) {
        let Some(line) = self.lines.get(&link) else { return };
        let length = frame.len();
        let waiting = line.waiting.fetch_add(length, Ordering::Relaxed) + length;
        if waiting > OUTBOUND || line.writer.send(frame).is_err() {
            tracing::warn!(%link, waiting, "a peer does not take what it is sent");
            self.cut(link, Parting::Limit, "it does not take what it is sent");
        }
    }

    fn gossip(&self, step: Gossip) {
        if self.gossip.try_send(step).is_err() {
            tracing::debug!("the network does not keep up with gossip");
        }
    }

    fn gossip_about(&mut self, context: ContextId, keys: Option<EnvelopeKeys>) {
        let after = keys.as_ref().map(EnvelopeKeys::topics).unwrap_or_default();
        let before: Vec<Topic> =
            self.topics.iter().filter(|(_, (of, _))| *of == context).map(|(topic, _)| *topic).collect();
        for topic in before.iter().filter(|topic| !after.contains(topic)) {
            self.topics.remove(topic);
            self.gossip(Gossip::Unsubscribe(*topic));
        }
        let Some(keys) = keys.map(Arc::new) else { return };
        for topic in after {
            self.topics.insert(topic, (context, Arc::clone(&keys)));
            if !before.contains(&topic) {
                self.gossip(Gossip::Subscribe(topic));
            }
        }
    }

    /// Passes on what opens, and hands it to its context like a push.
    fn gossiped(&self, topic: Topic, bytes: &[u8], name: MessageName) {
        let known =
            self.topics.get(&topic).and_then(|(context, keys)| Some((self.hosted.get(context)?, keys)));
        let Some((hosted, keys)) = known else { return self.gossip(Gossip::Judge(name, Judgement::Ignore)) };
        let content = keys.open(topic, bytes);
        let judgement = if content.is_some() { Judgement::Accept } else { Judgement::Reject };
        self.gossip(Gossip::Judge(name, judgement));
        let length = content.as_ref().map_or(0, Vec::len);
        if let Some(load) = Load::take(&hosted.taken, length) {
            // A context that does not keep up learns of it by comparing.
            let _ = hosted.commands.try_send(Command::Gossip { content, load });
        }
    }

    /// The first reason counts.
    fn cut(&mut self, link: LinkId, parting: Parting, what: impl Display) {
        if let Some(line) = self.lines.get_mut(&link) {
            line.cut.get_or_insert_with(|| (parting, parting.because(what)));
        }
        let network = self.network.clone();
        tokio::spawn(async move {
            // It may be down already.
            let _ = network.disconnect(link).await;
        });
    }
}

async fn carry_gossip(network: Network, mut steps: mpsc::Receiver<Gossip>) {
    while let Some(step) = steps.recv().await {
        let done = match step {
            Gossip::Subscribe(topic) => network.subscribe(topic).await,
            Gossip::Unsubscribe(topic) => network.unsubscribe(topic).await,
            Gossip::Publish(topic, bytes) => network.publish(topic, bytes).await,
            Gossip::Judge(name, judgement) => network.judge(name, judgement).await,
        };
        if done.is_err() {
            return;
        }
    }
}

/// Tells a context that a channel is closed, as soon as its queue has a place.
fn say_closed(hosted: &Hosted, link: LinkId, channel: Channel, why: String) {
    let commands = hosted.commands.clone();
    if let Err(error) = commands.try_send(Command::Closed { link, channel, why }) {
        tokio::spawn(async move {
            // The thread may be gone by then.
            let _ = commands.send(error.into_inner()).await;
        });
    }
}

#[cfg(test)]
mod tests;

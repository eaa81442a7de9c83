//! A peer of gossip that is no member of anything: it connects, says hello as a node does, and listens on every topic that it hears of. It notes
//! every byte that comes to it, and the messages.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, TopicHash, ValidationMode};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Swarm, Transport, noise, ping, tcp, yamux};
use tokio::sync::mpsc;

use super::common::{Talk, protocol, secret, soon};
use super::relay::{Seen, Tapped, streams};

#[derive(libp2p::swarm::NetworkBehaviour)]
struct Bare {
    streams: libp2p_stream::Behaviour,
    ping: ping::Behaviour,
    gossip: gossipsub::Behaviour,
}

pub(crate) struct Stranger {
    seen: Seen,
    messages: Arc<Mutex<Vec<Vec<u8>>>>,
    topics: Arc<Mutex<Vec<String>>>,
    publish: mpsc::UnboundedSender<(String, Vec<u8>)>,
    _link: Talk,
}

impl Stranger {
    /// Connects with the node at this address.
    pub(crate) async fn beside(address: &str) -> Self {
        let address: Multiaddr = address.parse().unwrap();
        let Some(libp2p::multiaddr::Protocol::P2p(peer)) = address.iter().last() else { panic!("no peer") };
        let own = secret();
        let key = libp2p::identity::Keypair::ed25519_from_bytes(own).unwrap();
        let me = key.public().to_peer_id();
        let chooses = me > peer;
        let (seen, messages, topics) = (Seen::default(), Arc::default(), Arc::default());
        let tap = Arc::clone(&seen);
        let transport = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(&key).unwrap())
            .multiplex(yamux::Config::default())
            .map(move |(peer, muxer): (PeerId, _), _| {
                (peer, StreamMuxerBox::new(Tapped::new(muxer, Arc::clone(&tap))))
            })
            .boxed();
        let streams = libp2p_stream::Behaviour::new();
        let mut control = streams.new_control();
        let config = gossipsub::ConfigBuilder::default()
            .validation_mode(ValidationMode::Anonymous)
            .message_id_fn(|message| blake3::hash(&message.data).as_bytes().to_vec().into())
            .heartbeat_interval(Duration::from_millis(500))
            .build()
            .unwrap();
        let gossip = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config).unwrap();
        let settings = libp2p::swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(Duration::from_secs(600));
        let behaviour = Bare { streams, ping: ping::Behaviour::default(), gossip };
        let mut swarm = Swarm::new(transport, behaviour, me, settings);
        let (publish, orders) = mpsc::unbounded_channel();
        swarm.dial(address).unwrap();
        tokio::spawn(live(swarm, Arc::clone(&messages), Arc::clone(&topics), orders));
        let mut link = Talk(soon(control.open_stream(peer, protocol())).await.unwrap());
        link.greet(chooses).await;
        Self { seen, messages, topics, publish, _link: link }
    }

    /// Everything that came and went, stream by stream.
    pub(crate) fn streams(&self) -> Vec<Vec<u8>> {
        streams(&self.seen)
    }

    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        self.messages.lock().unwrap().clone()
    }

    pub(crate) fn topics(&self) -> Vec<String> {
        self.topics.lock().unwrap().clone()
    }

    pub(crate) fn publish(&self, topic: &str, bytes: Vec<u8>) {
        self.publish.send((topic.to_owned(), bytes)).unwrap();
    }
}

async fn live(
    mut swarm: Swarm<Bare>,
    messages: Arc<Mutex<Vec<Vec<u8>>>>,
    topics: Arc<Mutex<Vec<String>>>,
    mut orders: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
) {
    loop {
        tokio::select! {
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BareEvent::Gossip(gossipsub::Event::Subscribed { topic, .. })) => {
                    let name = topic.into_string();
                    swarm.behaviour_mut().gossip.subscribe(&IdentTopic::new(name.clone())).unwrap();
                    topics.lock().unwrap().push(name);
                }
                SwarmEvent::Behaviour(BareEvent::Gossip(gossipsub::Event::Message { message, .. })) => {
                    assert!(message.source.is_none() && message.sequence_number.is_none(), "no author");
                    messages.lock().unwrap().push(message.data);
                }
                _ => {}
            },
            order = orders.recv() => match order {
                Some((topic, bytes)) => {
                    // Whether somebody takes it is for the test to see.
                    let _ = swarm.behaviour_mut().gossip.publish(TopicHash::from_raw(topic), bytes);
                }
                None => return,
            },
        }
    }
}

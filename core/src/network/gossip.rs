//! Gossip: what one node publishes on a topic reaches the others on it by way of each other. What it says is not looked at here, and nothing in
//! it names its author.

use std::time::Duration;

use libp2p::gossipsub::{
    self, Behaviour, ConfigBuilder, IdentTopic, IdentityTransform, MaxCountSubscriptionFilter, Message,
    MessageAcceptance, MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds, TopicHash,
    TopicScoreParams, TopicSubscriptionFilter, ValidationMode,
};

use super::engine::Engine;
use super::{Event, PeerId};
use crate::{Error, Result, limits};

/// The longest message, with what gossipsub adds.
const MESSAGE: usize = limits::GOSSIP + 1024;
/// Topics that one peer may be on, and that this node may.
const TOPICS: usize = 256;
/// Messages that wait for the consumer; more are dropped.
const WAITING: usize = 64;
/// How often the mesh is mended. Nothing is sent where nothing is amiss.
const HEARTBEAT: Duration = Duration::from_secs(5);

pub(super) type Gossip = Behaviour<IdentityTransform, MaxCountSubscriptionFilter<Ours>>;

/// Names what nodes gossip about: as text, 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(pub [u8; 32]);

impl Topic {
    fn ident(self) -> IdentTopic {
        IdentTopic::new(self.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    fn of(hash: &TopicHash) -> Option<Self> {
        let text = hash.as_str().as_bytes();
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut topic = [0; 32];
        if text.len() != 2 * topic.len() {
            return None;
        }
        for (byte, pair) in topic.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(topic))
    }
}

/// Names a message that has come, until it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageName {
    id: MessageId,
    from: libp2p::PeerId,
}

/// What a node makes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Good: it is passed on.
    Accept,
    /// Nothing of use: it goes no further.
    Ignore,
    /// Wrong: it goes no further, and who sent it counts for less.
    Reject,
}

/// Takes subscriptions to topics of our form only: others could be of any length.
#[derive(Clone, Debug, Default)]
pub(super) struct Ours;

impl TopicSubscriptionFilter for Ours {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        Topic::of(topic).is_some()
    }
}

pub(super) fn behaviour() -> Result<Gossip> {
    let wrong = |error: &dyn std::fmt::Display| Error::internal(format!("gossip: {error}"));
    let config = ConfigBuilder::default()
        // No author, no number, no signature: the name of a message is the hash of what it says.
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message: &Message| MessageId::from(blake3::hash(&message.data).as_bytes().to_vec()))
        // Only what opens is passed on.
        .validate_messages()
        .max_transmit_size(MESSAGE)
        .heartbeat_interval(HEARTBEAT)
        // Members of many contexts have direct links, too: the mesh is enough.
        .flood_publish(false)
        .connection_handler_queue_len(256)
        .max_publish_messages(64)
        .build()
        .map_err(|e| wrong(&e))?;
    let filter = MaxCountSubscriptionFilter {
        filter: Ours,
        max_subscribed_topics: 2 * TOPICS,
        max_subscriptions_per_request: 2 * TOPICS,
    };
    let mut gossip = Behaviour::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
        .map_err(|e| wrong(&e))?;
    let scores = PeerScoreParams {
        // Whole families sit behind one address.
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_threshold: 6.0,
        ..PeerScoreParams::default()
    };
    gossip.with_peer_score(scores, PeerScoreThresholds::default()).map_err(|e| wrong(&e))?;
    Ok(gossip)
}

/// Contexts may be silent for weeks: a peer counts for less only for what it sends that is wrong.
fn scores() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -20.0,
        invalid_message_deliveries_decay: 0.95,
        ..TopicScoreParams::default()
    }
}

impl Engine {
    fn gossip(&mut self) -> Option<&mut Gossip> {
        self.swarm.behaviour_mut().gossip.as_mut()
    }

    pub(super) fn subscribe(&mut self, topic: Topic) {
        let Some(gossip) = self.gossip() else { return };
        let ident = topic.ident();
        if gossip.topics().count() >= TOPICS {
            tracing::warn!("no gossip about another context: there is room for {TOPICS}");
            return;
        }
        match gossip.subscribe(&ident) {
            Ok(_) => {
                if let Err(error) = gossip.set_topic_params(ident, scores()) {
                    tracing::warn!(error, "peers are not judged by what they send");
                }
            }
            Err(error) => tracing::warn!(%error, "no gossip about a context"),
        }
    }

    pub(super) fn unsubscribe(&mut self, topic: Topic) {
        if let Some(gossip) = self.gossip() {
            gossip.unsubscribe(&topic.ident());
        }
    }

    pub(super) fn publish(&mut self, topic: Topic, bytes: Vec<u8>) {
        let Some(gossip) = self.gossip() else { return };
        if let Err(error) = gossip.publish(topic.ident(), bytes) {
            // Nobody is there to hear of it, or nobody has room: catch-up repairs it.
            tracing::debug!(%error, "a message was not gossiped");
        }
    }

    pub(super) fn judge(&mut self, name: &MessageName, judgement: Judgement) {
        let acceptance = match judgement {
            Judgement::Accept => MessageAcceptance::Accept,
            Judgement::Ignore => MessageAcceptance::Ignore,
            Judgement::Reject => MessageAcceptance::Reject,
        };
        if let Some(gossip) = self.gossip() {
            // It may be forgotten by now.
            let _ = gossip.report_message_validation_result(&name.id, &name.from, acceptance);
        }
    }

    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        let gossipsub::Event::Message { propagation_source: from, message_id: id, message } = event else {
            return;
        };
        let name = MessageName { id, from };
        let waiting = self.hints.iter().filter(|hint| matches!(hint, Event::Gossip { .. })).count();
        match (Topic::of(&message.topic), PeerId::checked(from)) {
            (Some(topic), Some(_)) if waiting < WAITING => {
                self.hint(Event::Gossip { topic, bytes: message.data, name });
            }
            _ => self.judge(&name, Judgement::Ignore),
        }
    }
}

/// Names of topics as peers send them.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn topic_text(input: &crate::fuzzing::Input<'_>) {
    let decode = |bytes: &[u8]| Topic::of(&TopicHash::from_raw(std::str::from_utf8(bytes).ok()?));
    input.canonical(decode, |topic| topic.ident().hash().into_string().into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn topics_come_back_and_nothing_else_is_one(bytes: [u8; 32], text in ".{0,80}") {
            let topic = Topic(bytes);
            prop_assert_eq!(Topic::of(&topic.ident().hash()), Some(topic));
            let other = TopicHash::from_raw(text.clone());
            prop_assert!(Topic::of(&other).is_none_or(|topic| topic.ident().hash() == other), "{}", text);
        }
    }
}

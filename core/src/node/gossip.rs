//! What a context's envelopes are sealed and opened with, and the topics that follow from it. Whoever lacks the key learns neither.

use crate::encryption::{Envelope, Scope, Secret, envelope_tag, first_envelope_key, gossip_topic};
use crate::limits;
use crate::network::Topic;

/// The keys of a context's envelopes: the newest to seal with, and those that still open.
#[derive(Clone)]
pub(crate) struct EnvelopeKeys {
    scope: Scope,
    seal: Secret,
    older: Vec<Secret>,
}

impl EnvelopeKeys {
    /// Of usable epochs, the best first: that one seals. `None` if there is none.
    pub(crate) fn of_epochs(scope: Scope, keys: Vec<Secret>) -> Option<Self> {
        let mut keys = keys.into_iter();
        Some(Self { scope, seal: keys.next()?, older: keys.collect() })
    }

    /// Where payloads are not sealed there are no epochs: what follows from the access key. Whoever was ever a member has it.
    pub(crate) fn unsealed(scope: Scope, access_key: &[u8; 32]) -> Self {
        let seal = first_envelope_key(&scope, &Secret::new(*access_key));
        Self { scope, seal, older: Vec::new() }
    }

    fn all(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.seal).chain(&self.older)
    }

    /// One for each key.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        self.all().map(|key| Topic(gossip_topic(&self.scope, key))).collect()
    }

    /// A sealed envelope and its topic; `None` if it is larger than what is gossiped.
    pub(crate) fn seal(&self, content: &[u8]) -> Option<(Topic, Vec<u8>)> {
        let envelope = Envelope::seal(&self.scope, &self.seal, content).ok()?;
        let bytes = borsh::to_vec(&envelope).ok()?;
        (bytes.len() <= limits::GOSSIP).then(|| (Topic(gossip_topic(&self.scope, &self.seal)), bytes))
    }

    /// What is in an envelope that came on a topic; `None` if it does not open.
    pub(crate) fn open(&self, topic: Topic, bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.len() > limits::GOSSIP {
            return None;
        }
        let envelope: Envelope = borsh::from_slice(bytes).ok()?;
        let key = self.all().find(|key| {
            Topic(gossip_topic(&self.scope, key)) == topic && envelope_tag(&self.scope, key) == envelope.tag
        })?;
        envelope.open(&self.scope, key).ok()
    }
}

impl PartialEq for EnvelopeKeys {
    fn eq(&self, other: &Self) -> bool {
        self.scope == other.scope && self.all().map(Secret::expose).eq(other.all().map(Secret::expose))
    }
}

/// What is gossiped, as it comes, and sealed by a member around anything.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing {
    use super::{EnvelopeKeys, Scope};
    use crate::encryption::{Envelope, Suite};
    use crate::fuzzing::{Input, encoded};
    use crate::limits;
    use crate::replica::ContextId;

    fn keys() -> EnvelopeKeys {
        EnvelopeKeys::unsealed(Scope { suite: Suite::X25519, context: ContextId([1; 32]) }, &[2; 32])
    }

    pub(crate) fn envelope(input: &Input<'_>) {
        let (really, input) = input.choose();
        let keys = keys();
        let topic = keys.topics()[0];
        if really % 2 == 0 {
            let opened = input.canonical(
                |bytes| keys.open(topic, bytes),
                |content| keys.seal(content).map(|(_, sealed)| sealed).unwrap_or_default(),
            );
            assert!(opened.is_none() || input.bytes.len() <= limits::GOSSIP);
            return;
        }
        let Some((named, sealed)) = keys.seal(input.bytes) else {
            assert!(input.bytes.len() > limits::GOSSIP / 2, "it would have fitted");
            return;
        };
        assert_eq!(named, topic);
        let envelope: Envelope = borsh::from_slice(&sealed).expect("it was just encoded");
        assert_eq!(encoded(&envelope), sealed);
        let mut opened = keys.open(topic, &sealed).expect("what was sealed opens");
        opened.truncate(opened.len() - usize::from(input.lenient && !opened.is_empty()));
        assert_eq!(opened, input.bytes);
    }

    pub(crate) fn envelopes() -> Vec<Vec<u8>> {
        let (_, sealed) = keys().seal(b"a batch").unzip();
        vec![[&[0][..], &sealed.unwrap_or_default()].concat(), [&[1][..], b"a batch"].concat()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encryption::Suite;
    use crate::replica::ContextId;

    fn keys(context: u8, access_key: u8) -> EnvelopeKeys {
        let scope = Scope { suite: Suite::X25519, context: ContextId([context; 32]) };
        EnvelopeKeys::unsealed(scope, &[access_key; 32])
    }

    #[test]
    fn who_has_the_key_opens_and_nobody_else() {
        let mine = keys(1, 2);
        let (topic, bytes) = mine.seal(b"a transaction").unwrap();
        assert_eq!(mine.seal(b"a transaction").unwrap(), (topic, bytes.clone()), "the same bytes each time");
        assert_eq!(mine.open(topic, &bytes).unwrap(), b"a transaction");
        for other in [keys(1, 3), keys(3, 2)] {
            assert!(other.open(topic, &bytes).is_none() && other.topics() != mine.topics());
            assert!(mine.open(other.topics()[0], &bytes).is_none(), "on another topic it is nothing");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(mine.open(topic, &damaged).is_none(), "at {at}");
        }
        // An epoch later the old key still opens.
        let later =
            EnvelopeKeys::of_epochs(mine.scope, vec![Secret::new([9; 32]), mine.seal.clone()]).unwrap();
        assert_eq!(later.open(topic, &bytes).unwrap(), b"a transaction");
        assert_ne!(later.seal(b"x").unwrap().0, topic);
        assert!(mine != later && mine == keys(1, 2));
        // Once it is dropped, as after a removal, it does not.
        let cut = EnvelopeKeys::of_epochs(mine.scope, vec![Secret::new([9; 32])]).unwrap();
        assert!(cut.open(topic, &bytes).is_none() && !cut.topics().contains(&topic));
        assert!(EnvelopeKeys::of_epochs(mine.scope, Vec::new()).is_none());
    }

    #[test]
    fn what_is_too_large_is_not_gossiped() {
        let mine = keys(1, 2);
        let (mut most, mut over) = (0, limits::GOSSIP);
        while over - most > 1 {
            let middle = (most + over) / 2;
            if mine.seal(&vec![1; middle]).is_some() { most = middle } else { over = middle }
        }
        let (topic, bytes) = mine.seal(&vec![1; most]).unwrap();
        assert!(bytes.len() <= limits::GOSSIP && most > limits::GOSSIP / 2);
        assert_eq!(mine.open(topic, &bytes).unwrap().len(), most);
        assert!(mine.seal(&vec![1; most + 1]).is_none());
        assert!(mine.open(topic, &vec![0; limits::GOSSIP + 1]).is_none());
    }
}

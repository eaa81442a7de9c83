//! When relays are asked for a place, and what has come of it. Pure: time comes in, decisions go out.

use std::time::Duration;

use super::dial::{SHORTEST, wait};
use crate::Error;

/// The longest wait before a relay is asked again.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
/// A place that was lost sooner proves nothing.
const STEADY: Duration = Duration::from_secs(5);

/// The relays of a node. `P` names a peer, `A` is an address, `L` names an attempt. All times are since one fixed start.
pub(super) struct Relays<P, A, L> {
    each: Vec<Relay<P, A, L>>,
    random: u64,
}

pub(super) struct Relay<P, A, L> {
    pub(super) peer: P,
    /// The relay's own.
    pub(super) address: A,
    pub(super) last_failure: Option<Error>,
    /// How long a connection may last, and how many bytes it may carry.
    pub(super) limit: (Option<Duration>, Option<u64>),
    phase: Phase<L>,
    failures: u32,
    tried: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase<L> {
    Waiting { until: Duration },
    Asking(L),
    Reserved(L, Duration),
}

impl<P, A, L> Relay<P, A, L> {
    pub(super) fn is_reserved(&self) -> bool {
        matches!(self.phase, Phase::Reserved(..))
    }

    pub(super) fn next_attempt(&self) -> Option<Duration> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Asking(_) | Phase::Reserved(..) => None,
        }
    }
}

impl<P: Eq + Copy, A: Clone, L: Eq + Copy> Relays<P, A, L> {
    pub(super) fn new(relays: Vec<(P, A)>, seed: u64) -> Self {
        let each = relays.into_iter().map(|(peer, address)| Relay {
            peer,
            address,
            last_failure: None,
            limit: (None, None),
            phase: Phase::Waiting { until: Duration::ZERO },
            failures: 0,
            tried: false,
        });
        Self { each: each.collect(), random: seed }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Relay<P, A, L>> {
        self.each.iter()
    }

    /// Whether that attempt is of a relay.
    pub(super) fn has(&self, attempt: L) -> bool {
        self.each.iter().any(|relay| relay.attempt() == Some(attempt))
    }

    /// Whether each has given a place, or has not at least once.
    pub(super) fn all_tried(&self) -> bool {
        self.each.iter().all(|relay| relay.tried)
    }

    /// Those to be asked now. Each is to be told of by [`Self::asked`] or [`Self::failed`].
    pub(super) fn due(&self, now: Duration) -> Vec<(P, A)> {
        let due = self.each.iter().filter(|relay| relay.next_attempt().is_some_and(|until| until <= now));
        due.map(|relay| (relay.peer, relay.address.clone())).collect()
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.each.iter().filter_map(Relay::next_attempt).min()
    }

    pub(super) fn asked(&mut self, peer: P, attempt: L) {
        if let Some(relay) = self.of(peer) {
            relay.phase = Phase::Asking(attempt);
        }
    }

    /// The relay has given a place, or has given it again. Says whether it is new.
    pub(super) fn reserved(
        &mut self,
        peer: P,
        limit: (Option<Duration>, Option<u64>),
        now: Duration,
    ) -> bool {
        let Some(relay) = self.of(peer) else { return false };
        relay.limit = limit;
        let Phase::Asking(attempt) = relay.phase else { return false };
        relay.phase = Phase::Reserved(attempt, now);
        (relay.last_failure, relay.tried) = (None, true);
        true
    }

    /// Why the relay cannot be reached, ahead of the end of the attempt.
    pub(super) fn explain(&mut self, peer: P, reason: Error) {
        if let Some(relay) = self.of(peer) {
            relay.last_failure = Some(reason);
        }
    }

    /// The attempt, or the place that came of it, is over. Says whether there was a place.
    pub(super) fn over(&mut self, attempt: L, reason: Option<Error>, now: Duration) -> bool {
        let Some(at) = self.each.iter().position(|relay| relay.attempt() == Some(attempt)) else {
            return false;
        };
        let relay = &mut self.each[at];
        let before = relay.phase;
        relay.last_failure = reason.or(relay.last_failure.take()).or_else(|| {
            Some(Error::new(crate::ErrorKind::Unreachable, "the connection with the relay is gone"))
        });
        relay.tried = true;
        let lasted = match before {
            Phase::Reserved(_, since) => now.saturating_sub(since),
            _ => Duration::ZERO,
        };
        relay.failures = if lasted < STEADY { relay.failures.saturating_add(1) } else { 1 };
        let wait = wait(relay.failures - 1, LONGEST, &mut self.random).max(SHORTEST);
        relay.phase = Phase::Waiting { until: now + wait };
        matches!(before, Phase::Reserved(..))
    }

    /// It could not even be asked.
    pub(super) fn failed(&mut self, peer: P, reason: Error, now: Duration) {
        let Some(at) = self.each.iter().position(|relay| relay.peer == peer) else { return };
        let relay = &mut self.each[at];
        (relay.last_failure, relay.tried) = (Some(reason), true);
        relay.failures = relay.failures.saturating_add(1);
        let wait = wait(relay.failures - 1, LONGEST, &mut self.random);
        relay.phase = Phase::Waiting { until: now + wait };
    }

    fn of(&mut self, peer: P) -> Option<&mut Relay<P, A, L>> {
        self.each.iter_mut().find(|relay| relay.peer == peer)
    }
}

impl<P, A, L: Copy> Relay<P, A, L> {
    fn attempt(&self) -> Option<L> {
        match self.phase {
            Phase::Asking(attempt) | Phase::Reserved(attempt, _) => Some(attempt),
            Phase::Waiting { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused() -> Error {
        Error::busy("full")
    }

    #[test]
    fn a_place_is_asked_for_again_after_it_was_lost_and_says_why() {
        let mut relays: Relays<u8, u8, u8> = Relays::new(vec![(1, 10), (2, 20)], 7);
        let second = Duration::from_secs(1);
        assert_eq!(relays.due(Duration::ZERO), [(1, 10), (2, 20)]);
        relays.asked(1, 100);
        relays.asked(2, 200);
        assert!(relays.due(second).is_empty() && !relays.all_tried());
        assert!(relays.reserved(1, (None, None), second));
        assert!(!relays.reserved(1, (None, None), second), "renewed");
        assert!(!relays.over(200, Some(refused()), second));
        assert!(relays.all_tried());
        assert_eq!(relays.iter().nth(1).unwrap().last_failure.as_ref().unwrap().message(), "full");
        relays.explain(1, Error::closed("cut"));
        assert!(relays.over(100, None, 2 * second));
        assert!(!relays.over(100, None, 2 * second), "once");
        assert_eq!(relays.iter().next().unwrap().last_failure.as_ref().unwrap().message(), "cut");
        assert!(relays.next().unwrap() >= second + SHORTEST);
    }

    proptest! {
        /// Whatever relays do, each is asked again within the longest wait, and never sooner than the shortest.
        #[test]
        fn nobody_is_given_up_and_nobody_is_hammered(ends: Vec<(bool, u16)>, seed: u64) {
            let mut relays: Relays<u8, u8, usize> = Relays::new(vec![(1, 10)], seed);
            let mut now = Duration::ZERO;
            for (attempt, (reserves, lasts)) in ends.into_iter().enumerate() {
                let next = relays.next().unwrap();
                prop_assert!(attempt == 0 || next >= now + SHORTEST);
                prop_assert!(next <= now + LONGEST);
                now = now.max(next);
                prop_assert_eq!(relays.due(now), vec![(1, 10)]);
                relays.asked(1, attempt);
                prop_assert!(relays.due(now).is_empty() && relays.next().is_none());
                if reserves {
                    relays.reserved(1, (None, None), now);
                    now += Duration::from_secs(lasts.into());
                }
                prop_assert_eq!(relays.over(attempt, Some(refused()), now), reserves);
            }
        }
    }
}

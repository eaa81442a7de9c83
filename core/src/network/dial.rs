//! When a peer that is to be kept connected is dialled. Pure: time comes in, decisions go out.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Error;

/// The shortest wait before a further attempt.
pub(super) const SHORTEST: Duration = Duration::from_millis(500);
/// The longest one.
pub(super) const LONGEST: Duration = Duration::from_secs(300);
/// A link that lasted less than this did not prove that things are well.
pub(super) const STEADY: Duration = Duration::from_secs(5);
/// The longest wait after links that came up and did not last.
pub(super) const LONGEST_AFTER_LINK: Duration = Duration::from_secs(8);

/// The policy for all known peers. `P` names a peer, `A` is an address. All times are since one fixed start.
pub(super) struct Dialer<P, A> {
    peers: BTreeMap<P, Known<A>>,
    at_once: usize,
    random: u64,
}

/// How it stands with one known peer.
pub(super) struct Known<A> {
    pub(super) addresses: Vec<A>,
    pub(super) last_failure: Option<Error>,
    phase: Phase,
    failures: u32,
    flaps: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Linked { since: Duration },
    Dialing,
    Waiting { until: Duration },
}

impl<A> Known<A> {
    /// When it is dialled next; `None` while it is linked or cannot be dialled.
    pub(super) fn next_attempt(&self, now: Duration) -> Option<Duration> {
        match self.phase {
            Phase::Linked { .. } => None,
            Phase::Dialing => Some(now),
            Phase::Waiting { .. } if self.addresses.is_empty() => None,
            Phase::Waiting { until } => Some(until),
        }
    }
}

impl<P: Ord + Copy, A: Clone> Dialer<P, A> {
    /// Dials at most `at_once` peers at the same time.
    pub(super) fn new(at_once: usize, seed: u64) -> Self {
        Self { peers: BTreeMap::new(), at_once, random: seed }
    }

    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn get(&self, peer: P) -> Option<&Known<A>> {
        self.peers.get(&peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (P, &Known<A>)> {
        self.peers.iter().map(|(peer, known)| (*peer, known))
    }

    /// The peer is to be kept connected. New addresses are a new chance: it is dialled at once.
    pub(super) fn know(&mut self, peer: P, addresses: Vec<A>, linked: bool, now: Duration)
    where
        A: PartialEq,
    {
        let fresh = if linked { Phase::Linked { since: now } } else { Phase::Waiting { until: now } };
        match self.peers.get_mut(&peer) {
            None => {
                let known = Known { addresses, last_failure: None, phase: fresh, failures: 0, flaps: 0 };
                self.peers.insert(peer, known);
            }
            Some(known) => {
                let news = addresses.iter().any(|address| !known.addresses.contains(address));
                known.addresses = addresses;
                if news && matches!(known.phase, Phase::Waiting { .. }) {
                    known.phase = Phase::Waiting { until: now };
                    known.failures = 0;
                }
            }
        }
    }

    /// The peer is not dialled any more.
    pub(super) fn forget(&mut self, peer: P) {
        self.peers.remove(&peer);
    }

    /// Those that wait and whose addresses fit are dialled at once: something has changed for the better.
    pub(super) fn retry(&mut self, now: Duration, fits: impl Fn(&[A]) -> bool) {
        for known in self.peers.values_mut().filter(|known| fits(&known.addresses)) {
            if matches!(known.phase, Phase::Waiting { .. }) {
                known.phase = Phase::Waiting { until: now };
                known.failures = 0;
            }
        }
    }

    /// A link with the peer is up, whoever dialled.
    pub(super) fn linked(&mut self, peer: P, now: Duration) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.phase = Phase::Linked { since: now };
            known.failures = 0;
            known.last_failure = None;
        }
    }

    /// The link with the peer is gone.
    pub(super) fn lost(&mut self, peer: P, now: Duration) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let Phase::Linked { since } = known.phase else { return };
        known.flaps = if now.saturating_sub(since) < STEADY { known.flaps.saturating_add(1) } else { 0 };
        let wait = wait(known.flaps, LONGEST_AFTER_LINK, &mut self.random);
        known.phase = Phase::Waiting { until: now + wait };
    }

    /// The attempt that [`Self::due`] asked for came to nothing.
    pub(super) fn failed(&mut self, peer: P, reason: Error, now: Duration) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.phase != Phase::Dialing {
            return;
        }
        let wait = wait(known.failures, LONGEST, &mut self.random);
        known.failures = known.failures.saturating_add(1);
        known.last_failure = Some(reason);
        known.phase = Phase::Waiting { until: now + wait };
    }

    /// Who is to be dialled now. Each of them counts as under way until [`Self::linked`] or [`Self::failed`].
    pub(super) fn due(&mut self, now: Duration) -> Vec<(P, Vec<A>)> {
        let room = self.at_once.saturating_sub(self.under_way());
        let mut due: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, known)| !known.addresses.is_empty())
            .filter_map(|(peer, known)| match known.phase {
                Phase::Waiting { until } if until <= now => Some((until, *peer)),
                _ => None,
            })
            .collect();
        // Who has waited longest comes first, so that nobody starves.
        due.sort_unstable();
        due.truncate(room);
        due.into_iter()
            .filter_map(|(_, peer)| {
                let known = self.peers.get_mut(&peer)?;
                known.phase = Phase::Dialing;
                Some((peer, known.addresses.clone()))
            })
            .collect()
    }

    /// When [`Self::due`] has something to say next, unless something else happens before.
    pub(super) fn next(&self) -> Option<Duration> {
        if self.under_way() >= self.at_once {
            return None;
        }
        self.peers
            .values()
            .filter(|known| !known.addresses.is_empty())
            .filter_map(|known| match known.phase {
                Phase::Waiting { until } => Some(until),
                _ => None,
            })
            .min()
    }

    fn under_way(&self) -> usize {
        self.peers.values().filter(|known| known.phase == Phase::Dialing).count()
    }
}

/// Doubles with each failure; anywhere in the upper half of that, so that peers that lost each other at the same moment
/// do not knock in step.
pub(super) fn wait(failures: u32, longest: Duration, random: &mut u64) -> Duration {
    let most = SHORTEST.saturating_mul(2u32.saturating_pow(failures.min(20) + 1)).min(longest);
    let least = (most / 2).max(SHORTEST);
    least + (most - least).mul_f64(unit(random))
}

/// SplitMix64, as a number in 0..1. Good enough to spread attempts; secures nothing.
fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dialer(seed: u64) -> Dialer<u8, u8> {
        Dialer::new(8, seed)
    }

    fn refused() -> Error {
        Error::closed("refused")
    }

    #[test]
    fn a_known_peer_is_dialled_at_once_and_one_without_addresses_never() {
        let mut dialer = dialer(1);
        dialer.know(1, vec![9], false, Duration::ZERO);
        dialer.know(2, vec![], false, Duration::ZERO);
        assert_eq!(dialer.due(Duration::ZERO), vec![(1, vec![9])]);
        assert_eq!(dialer.due(LONGEST), vec![]);
        assert_eq!(dialer.next(), None);
        dialer.know(2, vec![3], false, LONGEST);
        assert_eq!(dialer.due(LONGEST), vec![(2, vec![3])]);
    }

    #[test]
    fn new_addresses_are_a_new_chance() {
        let mut dialer = dialer(1);
        let mut now = Duration::ZERO;
        dialer.know(1, vec![9], false, now);
        for _ in 0..12 {
            now = dialer.next().unwrap();
            assert_eq!(dialer.due(now).len(), 1);
            dialer.failed(1, refused(), now);
        }
        dialer.know(1, vec![9], false, now);
        assert!(dialer.due(now).is_empty());
        dialer.know(1, vec![9, 10], false, now);
        assert_eq!(dialer.due(now), vec![(1, vec![9, 10])]);
    }

    #[test]
    fn a_link_that_does_not_last_slows_down_but_not_for_long() {
        let mut dialer = dialer(3);
        let mut now = Duration::ZERO;
        dialer.know(1, vec![9], false, now);
        let mut waits = Vec::new();
        for _ in 0..20 {
            now = now.max(dialer.next().unwrap());
            assert_eq!(dialer.due(now).len(), 1);
            dialer.linked(1, now);
            dialer.lost(1, now);
            waits.push(dialer.next().unwrap() - now);
        }
        assert!(waits[0] < waits[19]);
        assert!(waits.iter().all(|wait| *wait <= LONGEST_AFTER_LINK));
        now = dialer.next().unwrap();
        dialer.due(now);
        dialer.linked(1, now);
        dialer.lost(1, now + STEADY);
        assert!(dialer.next().unwrap() - now - STEADY <= 2 * SHORTEST);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Know(u8, u8),
        Forget(u8),
        Linked(u8),
        Lost(u8),
        Failed(u8),
        Due,
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let peer = 0u8..12;
        prop_oneof![
            1 => (peer.clone(), 0u8..3).prop_map(|(p, a)| Step::Know(p, a)),
            1 => peer.clone().prop_map(Step::Forget),
            1 => peer.clone().prop_map(Step::Linked),
            1 => peer.clone().prop_map(Step::Lost),
            4 => peer.prop_map(Step::Failed),
            4 => Just(Step::Due),
            4 => (0u64..400_000).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn waits_double_within_bounds_and_a_success_starts_over(seed: u64, rounds in 1usize..30) {
            let mut dialer = dialer(seed);
            let mut now = Duration::ZERO;
            dialer.know(1, vec![9], false, now);
            for round in 0..rounds {
                now = dialer.next().unwrap();
                prop_assert_eq!(dialer.due(now).len(), 1);
                dialer.failed(1, refused(), now);
                let wait = dialer.next().unwrap() - now;
                let most = SHORTEST.saturating_mul(1 << (round.min(20) + 1)).min(LONGEST);
                prop_assert!(wait >= SHORTEST && wait <= LONGEST, "{:?}", wait);
                prop_assert!(wait >= most / 2 && wait <= most, "{:?} of {:?}", wait, most);
            }
            now = dialer.next().unwrap();
            dialer.due(now);
            dialer.linked(1, now);
            prop_assert!(dialer.get(1).unwrap().last_failure.is_none());
            prop_assert!(dialer.next().is_none());
            now += STEADY;
            dialer.lost(1, now);
            prop_assert!(dialer.next().unwrap() - now <= 2 * SHORTEST);
        }

        #[test]
        fn whatever_happens_every_peer_that_can_be_dialled_is_dialled_in_time(
            seed: u64, steps in proptest::collection::vec(step(), 0..200)
        ) {
            let mut dialer: Dialer<u8, u8> = Dialer::new(3, seed);
            let mut now = Duration::ZERO;
            let mut linked = std::collections::BTreeSet::new();
            for step in steps {
                match step {
                    Step::Know(p, a) => dialer.know(p, vec![1; a.into()], linked.contains(&p), now),
                    Step::Forget(p) => dialer.forget(p),
                    Step::Linked(p) => { linked.insert(p); dialer.linked(p, now) }
                    Step::Lost(p) => { linked.remove(&p); dialer.lost(p, now) }
                    Step::Failed(p) => dialer.failed(p, refused(), now),
                    Step::Due => for (p, addresses) in dialer.due(now) {
                        prop_assert!(!linked.contains(&p), "a linked peer is not dialled");
                        prop_assert!(!addresses.is_empty());
                    }
                    Step::Pass(ms) => now += Duration::from_millis(ms),
                }
                prop_assert!(dialer.under_way() <= 3);
                let waiting = dialer.peers.iter().filter(|(p, k)| !linked.contains(p) && !k.addresses.is_empty());
                for (_, known) in waiting {
                    let next = known.next_attempt(now);
                    prop_assert!(next.is_some_and(|next| next <= now + LONGEST), "nobody is given up");
                }
            }
            // Once those under way have failed, everybody gets a turn within the longest wait.
            let mut left: std::collections::BTreeSet<u8> = dialer
                .peers
                .iter()
                .filter(|(p, k)| !linked.contains(p) && !k.addresses.is_empty())
                .map(|(p, _)| *p)
                .collect();
            let end = now + LONGEST;
            for p in 0..12 { dialer.failed(p, refused(), now) }
            while !left.is_empty() {
                now = now.max(dialer.next().unwrap());
                prop_assert!(now <= end);
                for (p, _) in dialer.due(now) {
                    left.remove(&p);
                    dialer.failed(p, refused(), now);
                }
            }
        }
    }

    #[test]
    fn waits_of_two_peers_differ() {
        let mut random = 1;
        let waits: Vec<_> = (0..100).map(|_| wait(5, LONGEST, &mut random)).collect();
        let distinct: std::collections::BTreeSet<_> = waits.iter().collect();
        assert!(distinct.len() > 90);
    }
}

//! How long it takes until a session that has ended is begun again on the same connection.

use crate::replica::faults::{self, Fault};

/// The first pause, in ms. Each is twice the one before, up to the last.
const FIRST: u64 = 200;
const LAST: u64 = 60_000;

/// Of one context on one connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reopening {
    /// How many sessions have ended since one has lasted.
    ended: u32,
    /// Since when this one has held what the peer holds.
    in_step: Option<u64>,
}

impl Reopening {
    /// Both hold the same. Times are in ms from any fixed start.
    pub fn in_step(&mut self, now: u64) {
        self.in_step.get_or_insert(now);
    }

    /// A session is over: the pause until the next one, in ms.
    ///
    /// The pauses begin anew only when one has lasted: whoever is in step at once and then says what ends the session would be met again at once,
    /// as often as it likes.
    pub fn ended(&mut self, now: u64) -> u64 {
        let lasts = |since: u64| now.saturating_sub(since) >= LAST || faults::is(Fault::MeetAtOnce);
        if self.in_step.take().is_some_and(lasts) {
            self.ended = 0;
        }
        self.ended = self.ended.saturating_add(1);
        (FIRST << (self.ended - 1).min(16)).min(LAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_session_has_lasted() {
        let mut reopening = Reopening::default();
        let mut now = 5;
        let mut pauses = Vec::new();
        for lasts in [None, Some(0), Some(LAST - 1), Some(10), Some(LAST), None, Some(3 * LAST)] {
            if let Some(time) = lasts {
                reopening.in_step(now);
                // It is said again and again.
                reopening.in_step(now + time / 2);
                now += time;
            }
            pauses.push(reopening.ended(now));
        }
        assert_eq!(pauses, [200, 400, 800, 1_600, 200, 400, 200]);
        let all: u64 = (0..60).map(|_| reopening.ended(now)).sum();
        assert!(all > 50 * LAST && reopening.ended(now) == LAST, "{all}");
        reopening.ended = u32::MAX;
        assert_eq!(reopening.ended(now), LAST);
    }
}

//! A simulated network: wires between nodes, each with two ends that go up and down on their own, and the weather over them.

use std::collections::VecDeque;

use kith_core::network::LinkId;

use crate::dice::Dice;

/// A wire whose peer is not reached for so long is given up by both ends.
pub const PATIENCE: u64 = 12_000;
/// Most bytes that wait on a wire in one direction before it is cut.
pub const OUTBOUND: usize = 64 << 20;

/// Frames on their way in one direction.
#[derive(Debug, Default)]
pub struct Lane {
    frames: VecDeque<(u64, Vec<u8>)>,
    /// When the newest of them arrives.
    last: u64,
    /// Bytes on the way.
    pub bytes: usize,
    /// Since when nothing passes.
    pub blocked_since: Option<u64>,
    /// Whether a delivery is scheduled.
    pub scheduled: bool,
}

/// One connection. End 0 has dialled.
#[derive(Debug)]
pub struct Wire {
    /// The nodes.
    pub ends: [usize; 2],
    /// What each node calls it.
    pub links: [LinkId; 2],
    /// Which ends are up.
    pub up: [bool; 2],
    /// From end 0 to end 1, and back.
    pub lanes: [Lane; 2],
    /// ms from end to end.
    pub latency: u64,
    /// Bytes in a ms.
    pub rate: u64,
}

impl Wire {
    /// A frame leaves `side`; when the first frame of the lane arrives, if that has to be scheduled.
    pub fn send(
        &mut self,
        side: usize,
        frame: Vec<u8>,
        now: u64,
        weather: &Weather,
        dice: &mut Dice,
    ) -> Option<u64> {
        let takes = self.latency
            + dice.below(1 + self.latency as usize / 2) as u64
            + frame.len() as u64 / self.rate.max(1);
        let lane = &mut self.lanes[side];
        for frame in weather.strike(frame, now, dice) {
            let at = (now + takes).max(lane.last);
            lane.last = at;
            lane.bytes += frame.len();
            lane.frames.push_back((at, frame));
            let length = lane.frames.len();
            if length > 1 && weather.reorders(now, dice) {
                // The times stay in order; what they carry does not.
                let (one, other) = (lane.frames[length - 2].0, lane.frames[length - 1].0);
                lane.frames.swap(length - 2, length - 1);
                lane.frames[length - 2].0 = one;
                lane.frames[length - 1].0 = other;
            }
        }
        let first = lane.frames.front().map(|(at, _)| *at);
        first.filter(|_| !std::mem::replace(&mut lane.scheduled, true))
    }

    /// The frames of a lane that have arrived by now; then when the next one does.
    pub fn arrived(&mut self, side: usize, now: u64) -> (Vec<Vec<u8>>, Option<u64>) {
        let lane = &mut self.lanes[side];
        let mut frames = Vec::new();
        while lane.frames.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, frame)) = lane.frames.pop_front() {
                lane.bytes -= frame.len();
                frames.push(frame);
            }
        }
        let next = lane.frames.front().map(|(at, _)| *at);
        lane.scheduled = next.is_some();
        (frames, next)
    }
}

/// What happens to single frames, in thousandths. A real transport does none of this; the layers above bear it all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Until when.
    pub until: u64,
    /// Frames that never arrive.
    pub loss: u64,
    /// Frames that arrive twice.
    pub twice: u64,
    /// Frames that overtake the one before.
    pub overtake: u64,
    /// Frames with a flipped bit, or cut short.
    pub damage: u64,
}

impl Weather {
    fn strike(&self, mut frame: Vec<u8>, now: u64, dice: &mut Dice) -> Vec<Vec<u8>> {
        if now >= self.until {
            return vec![frame];
        }
        if dice.per_mille(self.loss) {
            return Vec::new();
        }
        if dice.per_mille(self.damage) && !frame.is_empty() {
            let at = dice.below(frame.len());
            if dice.one_in(2) {
                frame.truncate(at);
            } else {
                frame[at] ^= 1 << dice.below(8);
            }
        }
        if dice.per_mille(self.twice) { vec![frame.clone(), frame] } else { vec![frame] }
    }

    fn reorders(&self, now: u64, dice: &mut Dice) -> bool {
        now < self.until && dice.per_mille(self.overtake)
    }
}

/// A border across which nothing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The nodes on one side, by bits.
    pub group: u64,
    /// Only what leaves the group is stopped.
    pub one_way: bool,
    /// Opens and closes after so many ms, if not 0.
    pub flaps: u64,
    /// Until when.
    pub until: u64,
}

impl Partition {
    /// Whether it stops what goes from one node to another.
    #[must_use]
    pub fn stops(&self, from: usize, to: usize, now: u64) -> bool {
        let inside = |node: usize| self.group >> (node % 64) & 1 == 1;
        let closed = self.flaps == 0 || (now / self.flaps).is_multiple_of(2);
        now < self.until && closed && inside(from) != inside(to) && (!self.one_way || inside(from))
    }
}

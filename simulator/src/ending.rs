//! What happens once the faults have stopped: the last that is said, what is looked at when all are equal, and silence.

use kith_core::node::machine::Machine;

use crate::calls::call;
use crate::dice::Dice;
use crate::network::Weather;
use crate::replays::verification;
use crate::world::{Go, World};

/// How long the members may take to become equal once the faults stop, in ms.
const HEALING: u64 = 6 * 3_600_000;
/// How many rounds each node may have for that, on average. Those that lie are cut off by then, and whoever else is met again and again, since
/// its answers end the sessions, is met ever more seldom. A hundred are the most that were seen, and ten in the middle.
const ROUNDS: u64 = 300;
/// How long a joiner may be neither let in nor refused after that: it asks once a minute at least.
const ASKING: u64 = 20 * 60_000;
/// Who sleeps for longer is away when old ratchet keys have to go though it has not heard of the new ones.
const WEEKS: u64 = 8 * 86_400_000;
/// How long nothing may be sent once all are equal.
const SILENCE: u64 = 2 * 3_600_000;

impl World {
    /// Counts from when there had been so many rounds.
    pub(crate) fn become_equal(&mut self, since: u64) -> Go {
        let invariant = "connected-members-become-equal";
        let most = since + ROUNDS * self.nodes.len() as u64;
        self.comes_to_an_end(HEALING, most, invariant, Self::apart)?;
        // Also where they were at the first look.
        let rounds = self.report.rounds - since;
        let detail = format!("it took {rounds} rounds of {} nodes", self.nodes.len());
        if self.report.rounds > most { Err((invariant, 0, detail)) } else { Ok(()) }
    }

    pub(crate) fn be_let_in(&mut self) -> Go {
        self.comes_to_an_end(ASKING, u64::MAX, "who-asks-is-let-in-or-told-why", Self::still_asks)
    }

    /// What is found now is not found any more within this time, in ms, and before there were so many rounds.
    fn comes_to_an_end(
        &mut self,
        time: u64,
        rounds: u64,
        invariant: &'static str,
        find: impl Fn(&Self) -> Option<(usize, String)>,
    ) -> Go {
        let deadline = self.now() + time;
        while let Some((node, detail)) = find(self) {
            if self.now() >= deadline || self.report.rounds > rounds {
                return Err((invariant, node, detail));
            }
            self.until(self.now() + 1_000)?;
        }
        Ok(())
    }

    /// Who sleeps for longer than the faults last sleeps on, for weeks, while the others live; what they say meanwhile it hears of when it wakes.
    pub(crate) fn sleep_on(&mut self) -> Go {
        let now = self.now();
        let wakes = self.nodes.iter().map(|node| node.asleep_until).max().unwrap_or(0);
        if wakes > now {
            self.report.slept = wakes - now;
            let mut dice = Dice::new(self.plan.seed, "weeks");
            if wakes - now > WEEKS && !dice.one_in(8) {
                return self.live_for_weeks(wakes, &mut dice);
            }
            self.until(now + (wakes - now) / 2)?;
            self.speak();
            self.until(wakes)?;
        }
        Ok(())
    }

    /// The same, with members that say something every few days.
    fn live_for_weeks(&mut self, wakes: u64, dice: &mut Dice) -> Go {
        const DAY: u64 = 86_400_000;
        // What no state makes an application refuse.
        let what = call(0, 5, 2);
        loop {
            let next = self.now() + dice.between(DAY, 5 * DAY);
            if next + DAY > wakes {
                break;
            }
            self.until(next)?;
            self.say(&what);
        }
        // It is looked for what can go once a minute at most, and when something is written.
        self.until(wakes - 3 * 60_000)?;
        self.say(&what);
        self.until(wakes - 60_000)?;
        let before: Vec<u64> = self.nodes.iter().map(|node| node.transactions).collect();
        self.say(&what);
        self.until(wakes - 30_000)?;
        self.keys_of_weeks_are_gone(&before)?;
        self.until(wakes)
    }

    /// An application that is another one on a single node harms nobody else, and whoever looks finds out where: the histories are equal and the
    /// commitments are not, and `verify` names what differs. At all others it finds nothing.
    pub(crate) fn divergence_is_told(&mut self) -> Go {
        let members = self.members();
        let machine = |number: &usize| self.nodes[*number].machine.as_ref();
        let Some(right) = members.iter().find(|number| !self.nodes[**number].standing.differs) else {
            return Ok(());
        };
        let Some(commitment) = machine(right).map(|machine| machine.replica().commitment()) else {
            return Ok(());
        };
        let wrong: Vec<usize> =
            members.iter().copied().filter(|number| self.nodes[*number].standing.differs).collect();
        let mut diverged = 0;
        for number in wrong.iter().chain(wrong.first().map(|_| right)) {
            let Some(replica) = machine(number).map(Machine::replica) else { continue };
            let found = verification(&self.nodes[*number].disk, replica)
                .map_err(|error| ("reading-works", *number, error.to_string()))?;
            let same = replica.commitment() == commitment;
            diverged += u64::from(!same);
            // What was answered may differ where what was written does not.
            let told = found.difference.is_some() || (same && number != right);
            if told == (number == right) {
                let detail =
                    format!("the commitment is the same: {same}; verify says {:?}", found.difference);
                return Err(("a-divergence-is-told", *number, detail));
            }
        }
        self.report.diverged += diverged;
        Ok(())
    }

    /// Before they are cut off, liars say that who made the context was removed, and show what its history will not have.
    pub(crate) fn last_lies(&mut self) -> Go {
        let mut some = false;
        for number in 0..self.nodes.len() {
            if let Some(liar) = &mut self.nodes[number].liar {
                let out = liar.show_removal();
                self.liar_says(number, out)?;
                some = true;
            }
        }
        if some { self.until(self.now() + 2_000) } else { Ok(()) }
    }

    /// Every member says something, three times in a row and while pushes overtake each other: it is after everything that it knows, so
    /// whoever lacks any of that finds out, and nothing but asking brings it then.
    pub(crate) fn last_words(&mut self) -> Go {
        self.weather = Weather { until: self.now() + 1_000, overtake: 300, ..Weather::default() };
        for _ in 0..3 {
            self.speak();
            self.until(self.now() + 4)?;
        }
        Ok(())
    }

    /// Once all are equal, nothing is sent any more, and nothing waits.
    pub(crate) fn be_silent(&mut self) -> Go {
        // What is on its way arrives, and pauses that began before come to their end.
        self.until(self.now() + HEALING / 6)?;
        if let Some((node, detail)) = self.apart() {
            return Err(("equal-members-stay-equal", node, detail));
        }
        let members = self.members();
        for node in &members {
            let waits = self.nodes[*node].machine.as_ref().map_or(0, |machine| machine.waiting().len());
            if waits > 0 {
                return Err(("waiting-rooms-empty", *node, format!("{waits} transactions wait")));
            }
        }
        // Who is no member may go on asking.
        self.silent = Some(members);
        self.until(self.now() + SILENCE)?;
        if self.spoken > 0 {
            return Err(("idle-is-silent", 0, format!("{} frames were sent between members", self.spoken)));
        }
        Ok(())
    }
}

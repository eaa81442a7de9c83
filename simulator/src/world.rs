//! A world: virtual time, the queue of what is to happen in it, and the rounds of its nodes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::Hash as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kith_core::ErrorKind;
use kith_core::network::LinkId;
use kith_core::node::machine::{Input, Joined, Machine, Order, Round};
use kith_core::replica::MemberId;

use crate::astray::Answers;
use crate::booty::Booty;
use crate::dice::Dice;
use crate::judge::{Judge, Violation};
use crate::network::{Partition, Weather, Wire};
use crate::node::{Good, Node};
use crate::plan::Plan;
use crate::report::{Print, Report};

/// After how many rounds there is the first full comparison.
const SAMPLE: usize = 500;

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Happening {
    Step(usize),
    Wake(usize),
    /// A round is over that an application has held up.
    Over(usize),
    Deliver {
        wire: usize,
        side: usize,
    },
    Down {
        wire: usize,
        side: usize,
    },
    Dial(usize),
    Reopen {
        node: usize,
        link: LinkId,
    },
    Start(usize),
    Well(usize),
    /// A message is sent that was held back.
    Late(usize),
}

/// Whom a wish was for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Plain,
    Invitation { joiner: usize },
    Leaving,
}

pub(crate) type Failed = (&'static str, usize, String);
pub(crate) type Go = std::result::Result<(), Failed>;

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) dice: Dice,
    /// Of what no engine does.
    pub(crate) tears: Dice,
    pub(crate) time: Arc<AtomicU64>,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    counter: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) wires: Vec<Wire>,
    /// Pairs that keep a wire, and the wire that they have.
    pub(crate) edges: BTreeMap<usize, (usize, usize, Option<usize>)>,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) weather: Weather,
    pub(crate) wishes: BTreeMap<u64, Purpose>,
    pub(crate) last_invitation: Option<kith_core::invitation::Invitation>,
    pub(crate) judge: Judge,
    pub(crate) booty: Vec<Booty>,
    pub(crate) answers: Answers,
    pub(crate) report: Report,
    runtime: tokio::runtime::Runtime,
    /// Whether each happening is printed (`KITH_TRACE`).
    tells: bool,
    pub(crate) healing: bool,
    /// Between whom nothing may be sent any more, and how many frames were.
    pub(crate) silent: Option<Vec<usize>>,
    pub(crate) spoken: u64,
    steps_until_sample: usize,
    /// Samples get rarer: a replay takes the longer the more there is.
    sample_after: usize,
}

/// What a panic says.
pub(crate) fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// Runs a plan. How long it takes is bounded by the plan.
pub fn run(plan: &Plan) -> std::result::Result<Report, Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| Violation {
        invariant: "the-simulator-runs",
        node: 0,
        at: 0,
        detail: error.to_string(),
    })?;
    let good: Option<Good> = plan.shares.then(Good::default);
    let mut world = World {
        dice: Dice::new(plan.seed, "world"),
        tears: Dice::new(plan.seed, "tears"),
        time: Arc::default(),
        queue: BinaryHeap::new(),
        counter: 0,
        nodes: (0..plan.nodes)
            .map(|number| Node { good: good.clone(), ..Node::new(number, plan.seed) })
            .collect(),
        wires: Vec::new(),
        edges: BTreeMap::new(),
        partitions: Vec::new(),
        weather: Weather::default(),
        wishes: BTreeMap::new(),
        last_invitation: None,
        judge: Judge::default(),
        booty: Vec::new(),
        answers: Answers::default(),
        report: Report::default(),
        runtime,
        tells: std::env::var_os("KITH_TRACE").is_some(),
        healing: false,
        silent: None,
        spoken: 0,
        steps_until_sample: SAMPLE,
        sample_after: SAMPLE,
        plan: plan.clone(),
    };
    // What panics outside a node's round, as in a link, is a defect of the same kind, and its seed is to be told.
    let outcome = catch_unwind(AssertUnwindSafe(|| world.live()))
        .unwrap_or_else(|panic| Err(("nothing-panics", 0, said(&*panic))));
    let at = world.now();
    outcome.map_err(|(invariant, node, detail)| Violation { invariant, node, at, detail })?;
    world.report.replays = world.judge.replays as u64;
    world.report.failed_reads = world.nodes.iter().map(|node| node.disk.failed_reads()).sum();
    world.report.twice = world.judge.twice;
    world.report.fullest = world.judge.fullest;
    Ok(world.report)
}

impl World {
    pub(crate) fn handle(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    pub(crate) fn now(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    pub(crate) fn at(&mut self, time: u64, what: Happening) {
        self.counter += 1;
        self.queue.push(Reverse((time, self.counter, what)));
    }

    pub(crate) fn after(&mut self, delay: u64, what: Happening) {
        self.at(self.now().saturating_add(delay), what);
    }

    fn live(&mut self) -> Go {
        self.create()?;
        for index in 0..self.plan.steps.len() {
            self.at(self.plan.steps[index].at, Happening::Step(index));
        }
        self.until(self.plan.until)?;
        for node in 0..self.nodes.len() {
            self.compare(node)?;
        }
        self.last_lies()?;
        self.heal()?;
        self.sleep_on()?;
        let peace = self.report.rounds;
        self.until(self.now() + 20_000)?;
        self.last_words()?;
        self.become_equal(peace)?;
        self.report.healing = self.report.rounds - peace;
        self.be_let_in()?;
        self.become_equal(self.report.rounds)?;
        self.refused_rightly()?;
        self.report.equal_after = self.now();
        self.divergence_is_told()?;
        self.steal()?;
        self.removed_have_nothing_that_follows()?;
        for node in 0..self.nodes.len() {
            self.compare(node)?;
        }
        self.be_silent()?;
        self.nothing_is_wanted_in_vain()?;
        self.keys_are_forgotten()
    }

    /// Lives until a time.
    pub(crate) fn until(&mut self, end: u64) -> Go {
        while let Some(Reverse((at, _, _))) = self.queue.peek() {
            if *at > end {
                break;
            }
            let Some(Reverse((at, _, what))) = self.queue.pop() else { break };
            self.time.fetch_max(at, Ordering::Relaxed);
            self.report.events += 1;
            self.trace(at, what);
            match what {
                Happening::Step(index) => self.act(self.plan.steps[index].act)?,
                Happening::Wake(node) => self.wake(node)?,
                Happening::Over(node) => self.over(node)?,
                Happening::Deliver { wire, side } => self.deliver(wire, side)?,
                Happening::Down { wire, side } => self.down(wire, side),
                Happening::Dial(edge) => self.dial(edge),
                Happening::Reopen { node, link } => self.reopen(node, link)?,
                Happening::Start(node) => self.start(node)?,
                Happening::Well(node) => self.well(node),
                Happening::Late(number) => self.too_late(number)?,
            }
        }
        self.time.fetch_max(end, Ordering::Relaxed);
        Ok(())
    }

    fn trace(&mut self, at: u64, what: Happening) {
        if self.tells {
            eprintln!("{at:>9} {what:?}");
        }
        let mut print = Print(self.report.trace);
        (at, what).hash(&mut print);
        self.report.trace = print.0;
    }

    /// A node is to look at what has come, or at the time.
    pub(crate) fn want_wake(&mut self, node: usize, at: u64) {
        let at = at.max(self.now()).max(self.nodes[node].busy_until).max(self.nodes[node].asleep_until);
        if self.nodes[node].wake.is_none_or(|wake| wake > at) {
            self.nodes[node].wake = Some(at);
            self.at(at, Happening::Wake(node));
        }
    }

    fn wake(&mut self, number: usize) -> Go {
        let now = self.now();
        if self.nodes[number].wake != Some(now) {
            return Ok(());
        }
        self.nodes[number].wake = None;
        if now < self.nodes[number].asleep_until {
            self.want_wake(number, self.nodes[number].asleep_until);
            return Ok(());
        }
        if let Some(liar) = &mut self.nodes[number].liar {
            let out = liar.tick(now);
            let deadline = liar.deadline();
            self.liar_says(number, out)?;
            if let Some(deadline) = deadline {
                self.want_wake(number, deadline.max(now + 1_000));
            }
            return Ok(());
        }
        let node = &mut self.nodes[number];
        let Some(machine) = &mut node.machine else { return Ok(()) };
        let count = node.inbox.len().min(machine.room());
        let inputs: Vec<Input> = node.inbox.drain(..count).collect();
        self.report.rounds += 1;
        let round = match catch_unwind(AssertUnwindSafe(|| machine.round(inputs))) {
            Ok(round) => round,
            Err(panic) => return Err(("nothing-panics", number, said(&*panic))),
        };
        let dead = self.nodes[number].disk.is_dead();
        if dead {
            self.nodes[number].machine = None;
            // What was told before the process died, was told.
            for (wish, answer) in round.answers.into_iter().filter(|(_, answer)| answer.is_ok()) {
                self.answered(number, wish, answer)?;
            }
            self.report.died_writing += 1;
            let (power, down) = self.nodes[number].dying();
            self.crash(number, power, down);
            return Ok(());
        }
        if self.nodes[number].machine.as_ref().and_then(Machine::closed).is_some() {
            self.crash(number, false, 1_000);
            return Ok(());
        }
        let hung = self.nodes[number].application.hung_for();
        if hung > 0 {
            self.look(number)?;
            self.nodes[number].busy_until = now + hung;
            self.nodes[number].held_up = Some((now + hung, round));
            self.at(now + hung, Happening::Over(number));
            return Ok(());
        }
        self.finish_round(number, round)
    }

    /// What a context's thread could not do while an application kept it.
    fn over(&mut self, number: usize) -> Go {
        let now = self.now();
        let Some((until, round)) = self.nodes[number].held_up.take() else { return Ok(()) };
        let asleep_until = self.nodes[number].asleep_until;
        if until > now || asleep_until > now {
            self.nodes[number].held_up = Some((until, round));
            if until <= now {
                self.at(asleep_until, Happening::Over(number));
            }
            return Ok(());
        }
        self.finish_round(number, round)
    }

    fn finish_round(&mut self, number: usize, round: Round) -> Go {
        let now = self.now();
        let deadline = self.nodes[number].machine.as_ref().and_then(Machine::deadline);
        self.look(number)?;
        for (wish, answer) in round.answers {
            self.answered(number, wish, answer)?;
        }
        for order in round.orders {
            let node = &mut self.nodes[number];
            match order {
                Order::Send { link, channel, message } => {
                    self.report.lacking += u64::from(message.first() == Some(&crate::LACKING));
                    if let Some(message) = self.strays(number, link, channel, message) {
                        self.say_on(number, link, channel, message)?;
                    }
                }
                Order::Close { link, channel } => {
                    let peer = node.peer;
                    let Some(line) = node.lines.get_mut(&link) else { continue };
                    let outputs = line.link.close(channel);
                    let mut orders = node.carry_out(link, outputs, peer, now);
                    orders.extend(node.reopen_later(link, now));
                    self.line_orders(number, link, orders)?;
                }
                Order::InStep { link } => {
                    if let Some(line) = node.lines.get_mut(&link) {
                        line.reopening.in_step(now);
                    }
                }
            }
        }
        self.notice(number)?;
        self.steps_until_sample -= 1;
        if self.steps_until_sample == 0 {
            self.sample_after *= 3;
            self.steps_until_sample = self.sample_after;
            self.compare(number)?;
        }
        let (takes, until) = self.nodes[number].slow_disk;
        let takes = if now < until { takes } else { self.dice.below(2) as u64 };
        self.nodes[number].busy_until = now + takes;
        if !self.nodes[number].inbox.is_empty() {
            self.want_wake(number, now + takes);
        } else if let Some(deadline) = deadline {
            self.want_wake(number, deadline);
        }
        Ok(())
    }

    /// The invariants that a round may have broken.
    pub(crate) fn look(&mut self, number: usize) -> Go {
        let honest: Vec<(MemberId, bool)> =
            self.nodes.iter().map(|node| (node.me, node.is_honest())).collect();
        let node = &mut self.nodes[number];
        let written = node.disk.take_written();
        self.judge.now = self.time.load(Ordering::Relaxed);
        self.judge.step(node, &honest, &written).map_err(|(invariant, detail)| (invariant, number, detail))
    }

    pub(crate) fn compare(&mut self, number: usize) -> Go {
        let node = &self.nodes[number];
        self.judge.replay(node).map_err(|(invariant, detail)| (invariant, number, detail))
    }

    /// What a host sees: that joining is done, has failed, that leaving is done.
    fn notice(&mut self, number: usize) -> Go {
        let node = &mut self.nodes[number];
        let Some(machine) = &node.machine else { return Ok(()) };
        self.report.transactions = self.report.transactions.max(machine.replica().transactions());
        self.report.covered = self.report.covered.max(machine.replica().covers() as u64);
        if node.asks() {
            match machine.joined() {
                Joined::Done => node.joined = true,
                Joined::Failed(error) => {
                    self.refused(number, error.kind())?;
                    self.goes(number);
                }
                Joined::UnderWay => {}
            }
        } else if node.leaving && machine.left() {
            self.goes(number);
        }
        Ok(())
    }

    /// A node gives the context up, with all that it kept of it.
    fn goes(&mut self, number: usize) {
        self.cut_all(number);
        let node = &mut self.nodes[number];
        node.machine = None;
        node.held_up = None;
        node.standing.gone = true;
    }

    /// Takes up the process again, on what its disk holds.
    pub(crate) fn start(&mut self, number: usize) -> Go {
        let node = &mut self.nodes[number];
        if node.is_up() || node.standing.gone || node.standing.liar || node.context.is_none() {
            return Ok(());
        }
        self.try_torn(number)?;
        self.report.restarts += 1;
        let handle = self.handle();
        let node = &mut self.nodes[number];
        let opened = catch_unwind(AssertUnwindSafe(|| node.open(&self.time, self.plan.power, &handle)));
        match opened {
            Err(_) => return Err(("nothing-panics", number, "opening a context".into())),
            Ok(Err(error)) => {
                let told =
                    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Storage | ErrorKind::StorageFull);
                if !told {
                    return Err(("opening-works", number, error.to_string()));
                }
                self.report.died_writing += u64::from(self.nodes[number].disk.is_dead());
                // Told, not guessed: somebody has to see to the disk, and the store is opened anew.
                self.nodes[number].disk.start(None);
                self.after(5_000, Happening::Start(number));
                return Ok(());
            }
            Ok(Ok(())) => {}
        }
        self.judge
            .after_start(&self.nodes[number])
            .map_err(|(invariant, detail)| (invariant, number, detail))?;
        self.look(number)?;
        self.want_wake(number, self.now());
        let edges: Vec<usize> = self.edges_of(number);
        for edge in edges {
            self.after(10, Happening::Dial(edge));
        }
        Ok(())
    }
}

//! Five nodes, each a process of its own in a network namespace of its own, write while their network is bad and gets worse: packets are late,
//! lost and overtake each other, lines are cut in both directions or in one, cables pulled, lines narrow; and processes are killed with SIGKILL
//! and started again. At the end all hold the same, with every write that was acknowledged; and memory and file handles are where they
//! were at the start.
//!
//! `cargo xtask netns --minutes 10` is the long form. It needs root, `ip`, `tc` and `/dev/net/tun`; where the machine does not
//! allow it the test is skipped and says why, but never with CI=true.

mod member;
#[path = "../processes/mod.rs"]
mod processes;
mod space;
mod wire;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use processes::{Heard, Process};
use space::{Spaces, address};
use wire::{Weather, Wire};

const NAME: &str = "five_nodes_in_a_bad_network_end_equal";
const NODES: usize = 5;
/// How long the nodes may take to become equal once the network is well: dialling again has pauses.
const PATIENCE: Duration = Duration::from_secs(180);
/// Writers at each node: see `member`.
const CALLERS: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["member", directory, address] = words[..] {
        member::run(Path::new(directory), address);
        return ExitCode::SUCCESS;
    }
    if words.contains(&"--list") {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    let number = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        Some(words.get(at + 1)?.parse::<u64>().expect("a number"))
    };
    let seconds = number("--minutes").map(|minutes| 60 * minutes).or(number("--seconds")).unwrap_or(45);
    let seed = number("--seed").unwrap_or(1);
    println!("running 1 test");
    let (word, counts, code) = match Spaces::new(NODES) {
        Err(why) if std::env::var("CI").is_ok_and(|value| value == "true") => {
            println!("test {NAME} ... FAILED: this machine does not allow it, and CI skips nothing: {why}");
            ("FAILED", (0, 1, 0), ExitCode::FAILURE)
        }
        Err(why) => {
            println!("test {NAME} ... ignored, this machine does not allow it: {why}");
            ("ok", (0, 0, 1), ExitCode::SUCCESS)
        }
        Ok((spaces, ends)) => {
            let work = std::panic::AssertUnwindSafe(|| World::new(&spaces, ends, seed).run(seconds));
            let ended = std::panic::catch_unwind(work);
            drop(spaces);
            match ended {
                Ok(()) => ("ok", (1, 0, 0), ExitCode::SUCCESS),
                Err(_) => {
                    println!("the same again: cargo xtask netns --seconds {seconds} --seed {seed}");
                    ("FAILED", (0, 1, 0), ExitCode::FAILURE)
                }
            }
        }
    };
    let (passed, failed, ignored) = counts;
    println!("test {NAME} ... {word}");
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out"
    );
    code
}

/// Bytes of memory that a transaction may take: the engine's table of pages, and what a replica keeps (docs/benchmarks.md: 288).
const EACH: u64 = 400;
/// What a node may take that has just begun: the engine's cache, which fills up to 80 MiB, and what the allocator keeps.
const FILLING: u64 = 96 << 20;
/// The same once the cache is full.
const FULL: u64 = 24 << 20;
/// From how many seconds on there is a second look in the middle, when the cache is full.
const LONG: u64 = 300;

/// What goes wrong for a while.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    KillTwo,
    Split,
    OneWay,
    Alone,
    Cable,
    Narrow,
    Loss,
    Delay,
}

const FAULTS: [Fault; 9] = [
    Fault::Kill,
    Fault::Split,
    Fault::Loss,
    Fault::Cable,
    Fault::KillTwo,
    Fault::OneWay,
    Fault::Narrow,
    Fault::Alone,
    Fault::Delay,
];

/// What a process uses of the machine.
#[derive(Clone, Copy, Debug)]
struct Use {
    resident: u64,
    handles: usize,
    threads: usize,
}

impl Use {
    fn of(process: u32) -> Self {
        let place = Path::new("/proc").join(process.to_string());
        let pages = std::fs::read_to_string(place.join("statm")).expect("the process lives");
        let count = |what: &str| std::fs::read_dir(place.join(what)).expect("the process lives").count();
        Self {
            resident: pages.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).expect("a number") * 4096,
            handles: count("fd"),
            threads: count("task"),
        }
    }

    /// What is more than may be. Each transaction may take [`EACH`]; `room` is for what does not hang on their number.
    fn excess(self, before: Self, room: u64, transactions: u64) -> Option<String> {
        let most = before.resident + room + EACH * transactions;
        if self.resident > most {
            return Some(format!("{} bytes of memory; at most {most}", self.resident));
        }
        if self.handles > before.handles + 8 {
            return Some(format!("{} handles after {}", self.handles, before.handles));
        }
        (self.threads > before.threads + 16)
            .then(|| format!("{} threads after {}", self.threads, before.threads))
    }
}

struct Member {
    directory: tempfile::TempDir,
    process: Option<Process>,
    heard: Heard,
    kills: usize,
}

impl Member {
    /// Orders, and waits for the answer; what it says of its calls meanwhile is heard.
    fn ask(&mut self, order: &str, word: &str) -> String {
        let process = self.process.as_mut().expect("it is up");
        process.order(order);
        process.hear_until(word, |line| self.heard.hear(line))
    }

    fn order(&mut self, order: &str) {
        self.process.as_mut().expect("it is up").order(order);
    }
}

struct World<'a> {
    spaces: &'a Spaces,
    wire: Arc<Wire>,
    members: Vec<Member>,
    dice: u64,
    puts: usize,
    /// Calls that were under way when their process was killed.
    mid_call: usize,
}

impl<'a> World<'a> {
    fn new(spaces: &'a Spaces, ends: Vec<std::fs::File>, seed: u64) -> Self {
        let wire = Wire::start(ends, well(), seed);
        let member = |_| Member {
            directory: tempfile::tempdir().expect("a directory"),
            process: None,
            heard: Heard::default(),
            kills: 0,
        };
        let members = (0..NODES).map(member).collect();
        let mut world = Self { spaces, wire, members, dice: seed, puts: 0, mid_call: 0 };
        (0..NODES).for_each(|node| world.start(node));
        world
    }

    fn roll(&mut self, below: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) as usize % below
    }

    fn start(&mut self, node: usize) {
        let program = std::env::current_exe().expect("this program");
        let mut command = self.spaces.command(node, &program);
        let member = &mut self.members[node];
        // One heap, so that what is resident is what is in use: with one for each thread, what they have freed stays for long.
        command.env("MALLOC_ARENA_MAX", "1");
        command.arg("member").arg(member.directory.path()).arg(address(node));
        member.process = Some(Process::start(&mut command));
    }

    fn kill(&mut self, node: usize) {
        let member = &mut self.members[node];
        let Some(mut process) = member.process.take() else { return };
        process.kill().iter().for_each(|line| member.heard.hear(line));
        member.kills += 1;
        self.mid_call += member.heard.under_way();
        // What was under way was not acknowledged, and may be there or not.
        member.heard.begun = member.heard.acknowledged.len();
    }

    fn run(mut self, seconds: u64) {
        let began = Instant::now();
        self.meet();
        self.write();
        self.pass(Duration::from_secs(3));
        self.stop();
        let transactions = self.equal("before anything goes wrong");
        let before: Vec<Use> = self.uses();
        println!(
            "{:?}: all equal, {transactions} transactions; node 0 uses {:?}",
            began.elapsed(),
            before[0]
        );

        self.write();
        let (storm, mut faults, mut middle) = (Instant::now(), 0, None);
        // Each fault once at least; then at random until the time is over.
        while faults < FAULTS.len() || storm.elapsed() < Duration::from_secs(seconds) {
            let at = if faults < FAULTS.len() { faults } else { self.roll(FAULTS.len()) };
            self.suffer(FAULTS[at]);
            faults += 1;
            self.pass(Duration::from_millis(1_500));
            if seconds >= LONG && middle.is_none() && storm.elapsed() > Duration::from_secs(seconds / 2) {
                self.stop();
                middle = Some((self.equal("in the middle"), self.uses()[0]));
                self.write();
            }
        }
        self.stop();
        let calm = Instant::now();
        let after = self.equal("after all that went wrong");
        println!("{:?}: {faults} faults, all equal {:?} after the last", began.elapsed(), calm.elapsed());
        self.acknowledged_are_everywhere(after);
        let traffic = self.wire.traffic();
        println!("{traffic:?}, {} calls under way at {} kills", self.mid_call, self.kills());
        assert!(traffic.lost > 0 && traffic.cut > 0 && self.kills() > 0, "the network was too good");

        self.as_at_the_start(&before, after - transactions);
        // Node 0 is never killed.
        if let Some((then, before)) = middle {
            let now = self.uses()[0];
            println!("node 0 from the middle on, {} transactions: {before:?}, {now:?}", after - then);
            assert_eq!(now.excess(before, FULL, after - then), None);
        }
        self.a_leak_would_be_seen(&before, after - transactions);
        self.members.iter_mut().for_each(|member| drop(member.process.take()));
    }

    fn kills(&self) -> usize {
        self.members.iter().map(|member| member.kills).sum()
    }

    /// One makes the context, the others join it, and each knows where the others are.
    fn meet(&mut self) {
        self.members[0].ask("create", "created");
        for node in 1..NODES {
            let token = self.members[0].ask("invite", "token");
            self.members[node].ask(&format!("join {token}"), "joined");
        }
        for node in 0..NODES {
            let addresses = self.members[node].ask("addresses", "addresses");
            let address = addresses.split(' ').find(|address| address.contains("quic")).expect("it listens");
            for other in node + 1..NODES {
                self.members[other].ask(&format!("connect {address}"), "connected");
            }
        }
    }

    fn write(&mut self) {
        self.members
            .iter_mut()
            .filter(|member| member.process.is_some())
            .for_each(|member| member.order("write"));
    }

    /// Lets time pass, and hears what is said.
    fn pass(&mut self, time: Duration) {
        std::thread::sleep(time);
        for Member { process, heard, .. } in &mut self.members {
            let said = process.as_mut().map(Process::said).unwrap_or_default();
            said.iter().for_each(|line| heard.hear(line));
        }
    }

    fn stop(&mut self) {
        for member in &mut self.members {
            member.order("stop");
            for _ in 0..CALLERS {
                let process = member.process.as_mut().expect("it is up");
                process.hear_until("stopped", |line| member.heard.hear(line));
            }
            assert_eq!(member.heard.under_way(), 0, "a call was never answered");
        }
    }

    fn suffer(&mut self, fault: Fault) {
        let (one, time) = (1 + self.roll(NODES - 1), Duration::from_millis(1_500 + self.roll(3_000) as u64));
        let another = 1 + (one + self.roll(NODES - 2)) % (NODES - 1);
        let others = |of: usize| (0..NODES).filter(move |node| *node != of);
        match fault {
            Fault::Kill | Fault::KillTwo => {
                let victims = if matches!(fault, Fault::Kill) { vec![one] } else { vec![one, another] };
                victims.iter().for_each(|node| self.kill(*node));
                self.pass(time);
                for node in victims {
                    self.start(node);
                    self.members[node].order("write");
                }
            }
            Fault::Split => {
                let near = [0, one];
                let far: Vec<usize> = (0..NODES).filter(|node| !near.contains(node)).collect();
                let pairs = near.iter().flat_map(|a| far.iter().flat_map(move |b| [(*a, *b), (*b, *a)]));
                self.cut(pairs.collect(), (one, far[0]), time);
            }
            Fault::Alone => {
                self.cut(others(one).flat_map(|node| [(one, node), (node, one)]).collect(), (one, 0), time);
            }
            // It hears and is not heard.
            Fault::OneWay => self.cut(others(one).map(|node| (one, node)).collect(), (one, 0), time),
            Fault::Cable => {
                self.spaces.cable(one, false);
                self.pass(time);
                self.spaces.cable(one, true);
            }
            Fault::Narrow => {
                self.spaces.narrow(one, Some(64));
                self.pass(time);
                self.spaces.narrow(one, None);
            }
            Fault::Loss => {
                self.wire.change(|weather| weather.loss = 200);
                self.pass(time);
            }
            Fault::Delay => {
                self.wire.change(|weather| {
                    (weather.delay, weather.jitter) =
                        (Duration::from_millis(250), Duration::from_millis(200));
                });
                self.pass(time);
            }
        }
        self.wire.change(|weather| *weather = well());
    }

    /// Cuts lines; what is written at one end meanwhile does not come to the other.
    fn cut(&mut self, pairs: Vec<(usize, usize)>, (from, to): (usize, usize), time: Duration) {
        self.wire.change(|weather| weather.cut = pairs);
        // What was under way is to have arrived.
        self.pass(Duration::from_millis(100));
        self.puts += 1;
        let id = self.members[from].ask(&format!("put cut-{}", self.puts), "put");
        self.pass(time);
        let there = self.members[to].ask(&format!("has {id}"), "has");
        assert_eq!(there, "0", "a cut line carries");
        self.members[from].heard.acknowledged.insert(id);
        self.members[from].heard.begun += 1;
    }

    fn states(&mut self) -> Vec<String> {
        self.members.iter_mut().map(|member| member.ask("state", "state")).collect()
    }

    /// Waits until all hold the same history, and checks that all make the same of it. Gives the number of its transactions.
    fn equal(&mut self, when: &str) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let states = self.states();
            let parts: Vec<Vec<&str>> = states.iter().map(|state| state.split(' ').collect()).collect();
            let same = parts.iter().all(|part| part[0] == parts[0][0] && part[4] == "0");
            if same {
                assert!(
                    states.iter().all(|state| *state == states[0]),
                    "one history, two states: {states:?}"
                );
                assert_eq!(parts[0][3].parse(), Ok(NODES), "not all are members");
                return parts[0][2].parse().expect("a number");
            }
            assert!(Instant::now() < deadline, "{when}: never equal: {states:#?}");
            // Nothing tells a parent when other processes are equal: ask again in a moment.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn acknowledged_are_everywhere(&mut self, transactions: u64) {
        let all: Vec<String> =
            self.members.iter().flat_map(|member| member.heard.acknowledged.iter().cloned()).collect();
        for node in 0..NODES {
            let mut found = 0;
            for ids in all.chunks(200) {
                found +=
                    self.members[node].ask(&format!("has {}", ids.join(" ")), "has").parse().unwrap_or(0);
            }
            assert_eq!(found, all.len(), "node {node} has lost what was acknowledged");
        }
        println!(
            "{} acknowledged writes of {transactions} transactions, all of them at each node",
            all.len()
        );
        assert!(!all.is_empty() && all.len() as u64 <= transactions);
    }

    fn uses(&self) -> Vec<Use> {
        self.members
            .iter()
            .filter_map(|member| member.process.as_ref())
            .map(|process| Use::of(process.id()))
            .collect()
    }

    /// Memory and handles are where they were. Connections that are being closed keep their handles for a while.
    fn as_at_the_start(&self, before: &[Use], transactions: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.uses();
            let excess = now.iter().zip(before).enumerate().find_map(|(node, (now, before))| {
                now.excess(*before, FILLING, transactions).map(|excess| format!("node {node}: {excess}"))
            });
            match excess {
                None => {
                    for (node, (now, before)) in now.iter().zip(before).enumerate() {
                        println!(
                            "node {node} ({} kills): memory {} → {} KiB, handles {} → {}, threads {} → {}",
                            self.members[node].kills,
                            before.resident >> 10,
                            now.resident >> 10,
                            before.handles,
                            now.handles,
                            before.threads,
                            now.threads
                        );
                    }
                    return;
                }
                Some(excess) => assert!(Instant::now() < deadline, "{excess}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The control of that.
    fn a_leak_would_be_seen(&mut self, before: &[Use], transactions: u64) {
        self.members[0].ask("leak", "leaked");
        let now = self.uses()[0];
        assert!(now.excess(before[0], FILLING, transactions).is_some(), "a leak is not seen: {now:?}");
        let handles_only = Use { resident: before[0].resident, ..now };
        assert!(
            handles_only.excess(before[0], FILLING, transactions).is_some(),
            "handles that leak are not seen: {now:?}"
        );
    }
}

/// As good as it ever is.
fn well() -> Weather {
    Weather { delay: Duration::from_millis(5), jitter: Duration::from_millis(5), loss: 10, cut: Vec::new() }
}

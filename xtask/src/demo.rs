//! A Python node and a C node share a context: two processes, two directories, and only the invitation's token goes from
//! one to the other. Both write at once, also to the same keys and the same counter; the C node is killed in mid-write and
//! started again; at the end both must hold the same order, state and commitment.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::c::Installed;
use crate::count::Count;
use crate::tools::{During, Failed, Guarded, Options, Result, command, empty_folder, headline, root, start};
use crate::{python, setup};

/// How long one answer may take. Far more than it takes: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many rounds of three writes each side does at first.
const ROUNDS: usize = 200;
/// After how many acknowledged transactions of its own the C node is killed.
const KILLED_AFTER: usize = 60;
/// How many rounds the C node does after it came back.
const ROUNDS_AFTER: usize = 50;

pub(crate) fn test(options: &Options) -> Result<Count> {
    run(options).map(|()| Count { passed: 1, ..Count::default() })
}

/// Builds what is needed, and runs the demo.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::programs()?;
    let wheel = python::wheel(options)?;
    let interpreter = python::environment("venv-demo", &wheel)?;
    let installed = Installed::from(&options.output(), "demo-lib")?;
    let folder = empty_folder("demo")?;
    headline("compiling examples/c/shared.c");
    let c_program = folder.join("shared");
    installed.compile("gcc", &root().join("examples/c/shared.c"), &c_program, &["-O2"])?;

    headline("demo");
    let begun = Instant::now();
    let python_script = root().join("examples/python/shared.py");
    let directories = [folder.join("python-node"), folder.join("c-node")];
    let start_python = || {
        let mut python = command(&interpreter);
        python.arg("-I").arg(&python_script).arg(&directories[0]);
        Program::start("Python", python)
    };
    let start_c = || {
        let mut c = command(&c_program);
        c.arg(&directories[1]);
        Program::start("C", c)
    };
    scenario(start_python, start_c)?;
    println!("everything is equal, after {:.1} s", begun.elapsed().as_secs_f64());
    remove(&folder)
}

fn remove(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).during("removing the demo's folder")
}

fn scenario(start_python: impl Fn() -> Result<Program>, start_c: impl Fn() -> Result<Program>) -> Result<()> {
    let mut python = start_python()?;
    let mut c = start_c()?;
    println!("two processes run: a Python node and a C node");

    python.say("create")?;
    let id = python.answer("created")?;
    python.say("invite")?;
    let token = python.answer("token")?;
    println!("Python made context {}… and an invitation of {} characters", start_of(&id), token.len());
    c.say(&format!("join {token}"))?;
    if c.answer("joined")? != id {
        return Err(Failed("the C node joined another context".into()));
    }
    println!("C joined it");

    println!("both write at once: {ROUNDS} rounds of a key of their own, a shared key and a shared counter");
    python.say(&format!("write {ROUNDS}"))?;
    c.say(&format!("write {ROUNDS}"))?;
    c.until(|seen| seen.acknowledged.len() >= KILLED_AFTER)?;
    let before = c.kill()?;
    if before.done {
        return Err(Failed("the C node had finished before it was killed".into()));
    }
    println!(
        "C was killed (SIGKILL) in mid-write, after {} acknowledged transactions",
        before.acknowledged.len()
    );

    let mut c = start_c()?;
    c.say("open")?;
    if c.answer("opened")? != id {
        return Err(Failed("the C node came back with another context".into()));
    }
    println!("C was started again and has its context; it writes {ROUNDS_AFTER} rounds more");
    c.say(&format!("write {ROUNDS_AFTER}"))?;
    python.until(|seen| seen.done)?;
    c.until(|seen| seen.done)?;

    let commitment = agreed(&mut python, &mut c)?;
    println!("both name the same state: {}…", start_of(&commitment));
    let reports = [python.report()?, c.report()?];
    // Python has told of the moves of the order since the beginning; its report ends with the counter.
    let acknowledged = [&before, &python.seen, &c.seen];
    compare(&reports, &acknowledged)?;
    python.quit()?;
    c.quit()
}

/// Waits until both sides name the same state.
fn agreed(python: &mut Program, c: &mut Program) -> Result<String> {
    let begun = Instant::now();
    loop {
        let [one, other] = [python.commitment()?, c.commitment()?];
        if one == other {
            return Ok(one);
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failed(format!("the states do not become equal: Python {one}, C {other}")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Compares what both sides hold in the end, and requires that the demo showed what it is for.
fn compare(reports: &[Report; 2], acknowledged: &[&Seen; 3]) -> Result<()> {
    let [python, c] = reports;
    for (index, (one, other)) in python.order.iter().zip(&c.order).enumerate() {
        if one != other {
            return Err(Failed(format!("the orders differ at place {index}: Python {one:?}, C {other:?}")));
        }
    }
    if python.order.len() != c.order.len() {
        return Err(Failed(format!("Python holds {} transactions, C {}", python.order.len(), c.order.len())));
    }
    if python.state != c.state {
        let differs =
            |(key, value): (&String, &String)| (c.state.get(key) != Some(value)).then(|| key.clone());
        let only: Vec<_> = python.state.iter().filter_map(differs).take(3).collect();
        return Err(Failed(format!("the states differ, first at {only:?}")));
    }
    if python.commitment != c.commitment {
        return Err(Failed("the commitments differ".into()));
    }
    if python.order.is_empty() || python.state.is_empty() {
        return Err(Failed("there is nothing to compare".into()));
    }
    println!("both hold the same {} transactions in the same order", python.order.len());
    println!(
        "both hold the same {} entries and commitment {}…",
        python.state.len(),
        start_of(&python.commitment)
    );

    let held: HashSet<&str> = python.order.iter().map(|(id, _)| id.as_str()).collect();
    let mut total = 0;
    for seen in acknowledged {
        for id in &seen.acknowledged {
            total += 1;
            if !held.contains(id.as_str()) {
                return Err(Failed(format!("transaction {id} was acknowledged and is lost")));
            }
        }
    }
    println!("all {total} acknowledged writes are there, also those from before the kill");
    counter(python, acknowledged)?;
    let moves: usize = acknowledged.iter().map(|seen| seen.reordered).sum();
    let again: usize = acknowledged.iter().map(|seen| seen.again).sum();
    if moves == 0 || again == 0 {
        return Err(Failed(format!(
            "the order moved {moves} times and {again} calls were executed again: the demo needs both"
        )));
    }
    println!("the order moved {moves} times; {again} calls on the contended counter were executed again");
    Ok(())
}

/// The counter is what the accepted additions of both say, both added, and nothing acknowledged is missing.
fn counter(report: &Report, acknowledged: &[&Seen; 3]) -> Result<()> {
    let [mine, others] = report.additions;
    let told: usize = acknowledged.iter().map(|seen| seen.added).sum();
    if report.counter != i64::try_from(mine + others).ok() {
        return Err(Failed(format!(
            "the counter is {:?}, and {mine} + {others} additions are in the order",
            report.counter
        )));
    }
    // The one addition under way when the process died may have been made without its caller having been told.
    if mine == 0 || others == 0 || mine + others < told || mine + others > told + 1 {
        return Err(Failed(format!(
            "{mine} + {others} additions are in the order, {told} were acknowledged"
        )));
    }
    println!("the counter is {}: {mine} additions by Python and {others} by C", mine + others);
    Ok(())
}

fn start_of(hex: &str) -> &str {
    hex.get(..16).unwrap_or(hex)
}

/// What a program has told so far without having been asked.
#[derive(Default)]
struct Seen {
    acknowledged: Vec<String>,
    added: usize,
    reordered: usize,
    again: usize,
    done: bool,
}

/// What a program holds.
#[derive(Default)]
struct Report {
    /// Ids and outcomes, in their order.
    order: Vec<(String, String)>,
    state: BTreeMap<String, String>,
    commitment: String,
    /// Only told by Python.
    counter: Option<i64>,
    /// Accepted additions by the program that reports, and by the other one; only told by Python.
    additions: [usize; 2],
}

/// A running program that is told by lines what to do.
struct Program {
    name: &'static str,
    child: Guarded,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Seen,
}

impl Program {
    fn start(name: &'static str, mut command: Command) -> Result<Self> {
        let mut child = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let input = child.0.stdin.take();
        let output = child.0.stdout.take().ok_or_else(|| Failed(format!("{name} has no output")))?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { name, child, input, lines, seen: Seen::default() })
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().ok_or_else(|| Failed(format!("{} has no input", self.name)))?;
        writeln!(input, "{line}").and_then(|()| input.flush()).during(format!("telling {}", self.name))
    }

    /// The next line, split at its first space; empty if it was told unasked and is remembered.
    fn next(&mut self) -> Result<(String, String)> {
        let line = match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                return Err(Failed(format!("{} says nothing for {} s", self.name, PATIENCE.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.0.wait().during("waiting")?;
                return Err(Failed(format!("{} ended ({status})", self.name)));
            }
        };
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        if self.remember(word, rest) {
            return Ok((String::new(), String::new()));
        }
        Ok((word.to_owned(), rest.to_owned()))
    }

    fn remember(&mut self, word: &str, rest: &str) -> bool {
        match (word, rest) {
            ("ack", id) => self.seen.acknowledged.push(id.to_owned()),
            ("added", _) => self.seen.added += 1,
            ("event", "reordered") => self.seen.reordered += 1,
            ("event", "again") => self.seen.again += 1,
            ("done", _) => self.seen.done = true,
            _ => return false,
        }
        true
    }

    /// Waits for an answer that begins with this word.
    fn answer(&mut self, wanted: &str) -> Result<String> {
        loop {
            let (word, rest) = self.next()?;
            if word == wanted {
                return Ok(rest);
            }
            if !word.is_empty() {
                return Err(Failed(format!("{} said `{word} {rest}` where `{wanted}` was due", self.name)));
            }
        }
    }

    /// Waits until what was told suffices.
    fn until(&mut self, enough: impl Fn(&Seen) -> bool) -> Result<()> {
        while !enough(&self.seen) {
            let (word, rest) = self.next()?;
            if !word.is_empty() {
                return Err(Failed(format!("{} said `{word} {rest}` unasked", self.name)));
            }
        }
        Ok(())
    }

    fn commitment(&mut self) -> Result<String> {
        self.say("commitment")?;
        self.answer("commitment")
    }

    fn report(&mut self) -> Result<Report> {
        self.say("report")?;
        let mut report = Report::default();
        loop {
            let (word, rest) = self.next()?;
            let words: Vec<&str> = rest.split(' ').collect();
            match (word.as_str(), words.as_slice()) {
                ("transaction", [id, outcome, more @ ..]) => {
                    report.order.push(((*id).to_owned(), (*outcome).to_owned()));
                    if let ("accepted", ["add", author]) = (*outcome, more) {
                        report.additions[usize::from(*author != "me")] += 1;
                    }
                }
                ("entry", [key, value]) => {
                    report.state.insert((*key).to_owned(), (*value).to_owned());
                }
                ("counter", [number]) => report.counter = number.parse().ok(),
                ("commitment", [commitment]) => (*commitment).clone_into(&mut report.commitment),
                ("end", _) => return Ok(report),
                ("", _) => {}
                _ => return Err(Failed(format!("{} said `{word} {rest}` in its report", self.name))),
            }
        }
    }

    /// Kills the process at once, and reads what it had said.
    fn kill(mut self) -> Result<Seen> {
        self.child.0.kill().during(format!("killing {}", self.name))?;
        let status = self.child.0.wait().during("waiting for the killed process")?;
        if std::os::unix::process::ExitStatusExt::signal(&status) != Some(9) {
            return Err(Failed(format!("{} was to be killed, and ended with {status}", self.name)));
        }
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            // A last line that the kill cut off names no whole id, and promises nothing.
            if word != "ack" || rest.len() == 64 {
                self.remember(word, rest);
            }
        }
        Ok(std::mem::take(&mut self.seen))
    }

    fn quit(mut self) -> Result<()> {
        self.say("quit")?;
        drop(self.input.take());
        let begun = Instant::now();
        loop {
            match self.child.0.try_wait().during(format!("waiting for {}", self.name))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(Failed(format!("{} ended with {status}", self.name))),
                None if begun.elapsed() > PATIENCE => {
                    return Err(Failed(format!("{} does not end", self.name)));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report =
            Report { commitment: "c".into(), counter: Some(2), additions: [1, 1], ..Report::default() };
        report.order = vec![("1".into(), "accepted".into()), ("2".into(), "accepted".into())];
        report.state.insert("key".into(), "value".into());
        report
    }

    fn seen(id: &str) -> Seen {
        Seen { acknowledged: vec![id.into()], added: 1, reordered: 1, again: 1, done: true }
    }

    fn check(change: impl Fn(&mut [Report; 2], &mut [Seen; 3])) -> Result<(), String> {
        let (mut reports, mut acknowledged) = ([report(), report()], [seen("1"), seen("2"), Seen::default()]);
        change(&mut reports, &mut acknowledged);
        let [one, two, three] = &acknowledged;
        compare(&reports, &[one, two, three]).map_err(|Failed(message)| message)
    }

    #[test]
    fn equal_reports_that_show_what_they_shall_pass() {
        assert_eq!(check(|_, _| {}), Ok(()));
    }

    #[test]
    fn every_difference_is_found() {
        let fails = |change: fn(&mut [Report; 2], &mut [Seen; 3]), words: &str| {
            let message = check(change).unwrap_err();
            assert!(message.contains(words), "{message}");
        };
        fails(|reports, _| reports[1].order.swap(0, 1), "orders differ at place 0");
        fails(|reports, _| reports[1].order[1].1 = "rejected".into(), "orders differ at place 1");
        fails(|reports, _| drop(reports[1].order.pop()), "2 transactions, C 1");
        fails(|reports, _| drop(reports[1].state.insert("key".into(), "other".into())), "states differ");
        fails(|reports, _| drop(reports[0].state.insert("more".into(), "other".into())), "states differ");
        fails(|reports, _| reports[0].commitment = "d".into(), "commitments differ");
        fails(|_, seen| seen[2].acknowledged.push("3".into()), "3 was acknowledged and is lost");
        fails(|reports, _| reports[0].counter = Some(3), "counter is Some(3)");
        fails(|reports, _| reports[0].additions = [2, 0], "2 + 0 additions");
        fails(|_, seen| seen[0].added = 3, "4 were acknowledged");
        fails(|_, seen| (seen[0].added, seen[1].added) = (0, 0), "0 were acknowledged");
        fails(|_, seen| (seen[0].reordered, seen[1].reordered) = (0, 0), "the order moved 0 times");
        fails(|_, seen| (seen[0].again, seen[1].again) = (0, 0), "0 calls were executed again");
    }
}

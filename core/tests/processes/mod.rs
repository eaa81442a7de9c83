//! A test's own program, started once more as a process that takes orders: a line each on its standard input, answered by lines on its
//! standard output.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a process may take for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// In the process: says a line. One call for each: what was said before a kill is heard.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}

/// The process, as the test sees it. It dies with this.
pub(crate) struct Process {
    child: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts it, and waits until it says that it is ready.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process starts");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("its output"));
        std::thread::spawn(move || {
            for line in out.lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let orders = child.stdin.take().expect("its input");
        let mut process = Self { child, orders, lines };
        process.until("ready");
        process
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("the process listens");
    }

    pub(crate) fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the process answers")
    }

    /// What it has said, without waiting for more.
    pub(crate) fn said(&mut self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// The rest of the first line that begins with a word; what comes before it is lost.
    pub(crate) fn until(&mut self, word: &str) -> String {
        self.hear_until(word, |_| {})
    }

    /// The same; what comes before it is heard.
    pub(crate) fn hear_until(&mut self, word: &str, mut hear: impl FnMut(&str)) -> String {
        loop {
            let line = self.line();
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_string();
            }
            hear(&line);
        }
    }

    /// SIGKILL; gives what it had said before, up to the end.
    pub(crate) fn kill(&mut self) -> Vec<String> {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("it is dead");
        let mut said = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            said.push(line);
        }
        said
    }
}

/// What a process has said of its calls.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) begun: usize,
    pub(crate) acknowledged: BTreeSet<String>,
}

impl Heard {
    pub(crate) fn hear(&mut self, line: &str) {
        self.begun += usize::from(line == "begun");
        if let Some(id) = line.strip_prefix("ack ") {
            self.acknowledged.insert(id.to_string());
        }
    }

    pub(crate) fn under_way(&self) -> usize {
        self.begun - self.acknowledged.len()
    }
}

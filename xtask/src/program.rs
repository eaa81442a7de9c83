//! A running program that is told by lines what to do, and answers in lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::tools::{During, Failed, Guarded, Result, start};

/// How long one answer may take. Far more than it takes: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Program {
    pub(crate) name: String,
    child: Guarded,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    pub(crate) fn start(name: &str, mut command: Command) -> Result<Self> {
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
        Ok(Self { name: name.to_owned(), child, input, lines })
    }

    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().ok_or_else(|| Failed(format!("{} has no input", self.name)))?;
        writeln!(input, "{line}").and_then(|()| input.flush()).during(format!("telling {}", self.name))
    }

    /// The next line.
    pub(crate) fn line(&mut self) -> Result<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                Err(Failed(format!("{} says nothing for {} s", self.name, PATIENCE.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.0.wait().during("waiting")?;
                Err(Failed(format!("{} ended ({status})", self.name)))
            }
        }
    }

    /// Says a line and takes the answer to it.
    pub(crate) fn ask(&mut self, line: &str) -> Result<String> {
        self.say(line)?;
        self.line()
    }

    /// What follows this word in the answer; another answer is an error.
    pub(crate) fn answer(&mut self, line: &str, word: &str) -> Result<String> {
        let answer = self.ask(line)?;
        match answer.split_once(' ').unwrap_or((&answer, "")) {
            (first, rest) if first == word => Ok(rest.to_owned()),
            _ => Err(Failed(format!("{} was told `{line}` and said `{answer}`, not `{word} …`", self.name))),
        }
    }

    /// All lines of an answer up to one that begins with this word, which is the last one.
    pub(crate) fn until(&mut self, line: &str, last: &str) -> Result<Vec<String>> {
        self.say(line)?;
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if line.starts_with("error") {
                return Err(Failed(format!("{} said `{line}`", self.name)));
            }
            let ends = line.split(' ').next() == Some(last);
            lines.push(line);
            if ends {
                return Ok(lines);
            }
        }
    }

    /// Tells it to quit, and waits until it has ended well.
    pub(crate) fn stop(&mut self) -> Result<()> {
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

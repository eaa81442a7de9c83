//! A running program that is told by lines what to do, and answers in lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::terminal::Terminal;
use crate::tools::{During, Failed, Guarded, Result, start};

/// How long one answer may take. Far more than it takes: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Program {
    pub(crate) name: String,
    child: Guarded,
    input: Option<Box<dyn Write + Send>>,
    lines: Receiver<String>,
    /// What it has written to its terminal as errors, if it has one, and nobody has asked for.
    errors: Arc<Mutex<String>>,
}

/// What asks a person for a line.
const PROMPT: &str = "> ";

impl Program {
    pub(crate) fn start(name: &str, mut command: Command) -> Result<Self> {
        let mut child = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let input = child.0.stdin.take().map(|input| Box::new(input) as Box<dyn Write + Send>);
        let output = child.0.stdout.take().ok_or_else(|| Failed(format!("{name} has no output")))?;
        let lines = lines_of(output, "");
        Ok(Self { name: name.to_owned(), child, input, lines, errors: Arc::default() })
    }

    /// Starts it as a person would: what it reads and writes is a terminal. What it writes as errors goes to another one, so that the two do not
    /// run into each other.
    pub(crate) fn on_terminal(name: &str, mut command: Command) -> Result<Self> {
        let (terminal, errors) = (Terminal::open()?, Terminal::open()?);
        command.stdin(terminal.stdio()?).stdout(terminal.stdio()?).stderr(errors.stdio()?);
        let child = start(&mut command)?;
        let (input, output) = terminal.ours()?;
        let (_, mut written) = errors.ours()?;
        let errors = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&errors);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length) = written.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]);
                kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
                if length == 0 {
                    break;
                }
            }
        });
        let lines = lines_of(output, PROMPT);
        Ok(Self { name: name.to_owned(), child, input: Some(Box::new(input)), lines, errors })
    }

    /// What it has written to its terminal as errors since this was asked last.
    pub(crate) fn errors(&self) -> String {
        std::mem::take(&mut *self.errors.lock().unwrap_or_else(PoisonError::into_inner))
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

    /// Waits until it says this line, and forgets what it says before.
    pub(crate) fn said_unasked(&mut self, wanted: &str) -> Result<()> {
        while self.line()? != wanted {}
        Ok(())
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

/// What is written, line by line, without what asks for input.
fn lines_of(output: impl Read + Send + 'static, prompt: &'static str) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(mut line) = line else { break };
            while !prompt.is_empty() && line.starts_with(prompt) {
                line.drain(..prompt.len());
            }
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

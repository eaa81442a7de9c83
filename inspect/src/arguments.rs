//! The words of the command line.

use std::path::PathBuf;

pub(crate) const HELP: &str = "\
kith-inspect DIRECTORY [summary]            the node and its contexts
kith-inspect DIRECTORY members              members and invitations of each context
kith-inspect DIRECTORY history              the history in order: accepted, rejected, written without having seen what sorts before
kith-inspect DIRECTORY history --svg FILE   the same of one context as a picture: one lane a member
kith-inspect DIRECTORY sizes                rows and bytes in each key space
kith-inspect DIRECTORY check                reads every record and verifies each context against its history
kith-inspect DIRECTORY bundle --output FILE a file to send to those who help: no keys, values, names, notes, tokens, addresses

--json           for programs
--context ID     only contexts whose id begins so
--last N         of a history only the last N transactions, 1 to 20000 (1000)
--scratch DIR    where the directory is copied to while it is looked at (the system's place for temporary files)

The directory is not changed. One that a node has open is refused as Busy.
Ends with 0; with 1 if it fails, 2 if it does not understand, 3 if `check` found something.";

/// The longest part of a history that is looked at: which transaction has seen which is a table of that length squared, in bits.
const LONGEST: usize = 20_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Summary,
    Members,
    History,
    Sizes,
    Check,
    Bundle,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) directory: PathBuf,
    pub(crate) task: Task,
    pub(crate) json: bool,
    pub(crate) context: Option<String>,
    pub(crate) last: usize,
    pub(crate) svg: Option<PathBuf>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) scratch: Option<PathBuf>,
}

/// `None`: help is asked for. An error says what is not understood.
pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let (mut plain, mut json, mut last) = (Vec::new(), false, 1000);
    let (mut context, mut svg, mut output, mut scratch) = (None, None, None, None);
    let mut words = words;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "help" | "--help" | "-h" => return Ok(None),
            "--json" => json = true,
            "--context" => context = Some(value()?.to_ascii_lowercase()),
            "--svg" => svg = Some(PathBuf::from(value()?)),
            "--output" => output = Some(PathBuf::from(value()?)),
            "--scratch" => scratch = Some(PathBuf::from(value()?)),
            "--last" => {
                let number = value()?.parse::<usize>().ok().filter(|n| (1..=LONGEST).contains(n));
                last = number.ok_or_else(|| format!("--last is a number from 1 to {LONGEST}"))?;
            }
            option if option.starts_with("--") => return Err(format!("{option} is no option")),
            _ => plain.push(word),
        }
    }
    let mut plain = plain.into_iter();
    let directory = PathBuf::from(plain.next().ok_or("a directory is needed")?);
    let task = match plain.next().as_deref() {
        None | Some("summary" | "contexts") => Task::Summary,
        Some("members") => Task::Members,
        Some("history") => Task::History,
        Some("sizes") => Task::Sizes,
        Some("check") => Task::Check,
        Some("bundle") => Task::Bundle,
        Some(other) => return Err(format!("`{other}` is no task")),
    };
    if let Some(other) = plain.next() {
        return Err(format!("`{other}` is one word too many"));
    }
    if svg.is_some() && task != Task::History {
        return Err("--svg belongs to `history`".into());
    }
    if output.is_some() != (task == Task::Bundle) {
        return Err("`bundle` needs --output FILE, and nothing else has it".into());
    }
    Ok(Some(Arguments { directory, task, json, context, last, svg, output, scratch }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Option<Arguments>, String> {
        parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn words_come_in_any_order() {
        let one = of("--json d history --last 7 --context AB").unwrap().unwrap();
        assert_eq!(Some(&one), of("d --last 7 history --context ab --json").unwrap().as_ref());
        assert_eq!((one.task, one.last, one.context.as_deref()), (Task::History, 7, Some("ab")));
        assert_eq!(of("d").unwrap().unwrap().task, Task::Summary);
        assert!(of("d --help").unwrap().is_none());
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for line in [
            "",
            "d x",
            "d check more",
            "d --last",
            "d history --last 0",
            "d history --last 20001",
            "d --what",
            "d check --svg f",
            "d bundle",
            "d check --output f",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}

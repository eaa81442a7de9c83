//! The words of the command line.

use std::path::PathBuf;

use kith_core::storage::StorageEngine;

pub(crate) const HELP: &str = "\
kith-inspect DIRECTORY [summary]            the node and its contexts
kith-inspect DIRECTORY members              members and invitations of each context
kith-inspect DIRECTORY history              the history in order: accepted, rejected, written without having seen what sorts before
kith-inspect DIRECTORY history --svg FILE   the same of one context as a picture: one lane a member
kith-inspect DIRECTORY sizes                rows and bytes in each key space
kith-inspect DIRECTORY check                reads every record and verifies each context against its history
kith-inspect DIRECTORY bundle --output FILE a file to send to those who help: no keys, values, names, notes, tokens, addresses

kith-inspect DIRECTORY export --output FILE  a backup of everything, sealed under a key of its own
kith-inspect NEW import --input FILE         makes a directory of an export; it signs nothing, unless the export is a move
kith-inspect DIRECTORY adopt                 says that this directory is the only one that signs as its members, which only its owner can know

--export-key-file FILE, --export-passphrase-file FILE  what an export is sealed under
--move           the directory that is exported signs nothing any more, and the one that is imported does in its place
--engine ENGINE  of the new directory: sled, redb or auto (auto)

--json           for programs
--context ID     only contexts whose id begins so
--last N         of a history only the last N transactions, 1 to 20000 (1000)
--key-file FILE  the storage key of a directory whose host keeps it: 32 bytes, or 64 hexadecimal digits
--passphrase-file FILE  the passphrase of one that is sealed under such; an end of line behind it does not count
                 (without either, the key file in the directory)
--scratch DIR    where the directory is copied to while it is looked at (the system's place for temporary files)

But for `--move`, `import` and `adopt` the directory is not changed. One that a node has open is refused as Busy.
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
    Export,
    Import,
    Adopt,
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
    pub(crate) key: Option<KeyFile>,
    pub(crate) input: Option<PathBuf>,
    pub(crate) export_key: Option<KeyFile>,
    pub(crate) moves: bool,
    pub(crate) engine: StorageEngine,
}

/// Where the storage key stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KeyFile {
    Key(PathBuf),
    Passphrase(PathBuf),
}

/// `None`: help is asked for. An error says what is not understood.
pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let (mut plain, mut json, mut last) = (Vec::new(), false, 1000);
    let (mut context, mut svg, mut output, mut scratch, mut key) = (None, None, None, None, None);
    let (mut input, mut export_key, mut moves, mut engine) = (None, None, false, None);
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
            "--key-file" => key = Some(KeyFile::Key(PathBuf::from(value()?))),
            "--passphrase-file" => key = Some(KeyFile::Passphrase(PathBuf::from(value()?))),
            "--input" => input = Some(PathBuf::from(value()?)),
            "--export-key-file" => export_key = Some(KeyFile::Key(PathBuf::from(value()?))),
            "--export-passphrase-file" => export_key = Some(KeyFile::Passphrase(PathBuf::from(value()?))),
            "--move" => moves = true,
            "--engine" => {
                engine =
                    Some(value()?.parse().map_err(|error: kith_core::Error| error.message().to_string())?)
            }
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
        Some("export") => Task::Export,
        Some("import") => Task::Import,
        Some("adopt") => Task::Adopt,
        Some(other) => return Err(format!("`{other}` is no task")),
    };
    if let Some(other) = plain.next() {
        return Err(format!("`{other}` is one word too many"));
    }
    if svg.is_some() && task != Task::History {
        return Err("--svg belongs to `history`".into());
    }
    if output.is_some() != matches!(task, Task::Bundle | Task::Export) {
        return Err("`bundle` and `export` need --output FILE, and nothing else has it".into());
    }
    if input.is_some() != (task == Task::Import) {
        return Err("`import` needs --input FILE, and nothing else has it".into());
    }
    if export_key.is_some() != matches!(task, Task::Export | Task::Import) {
        return Err("`export` and `import` need --export-key-file or --export-passphrase-file, and nothing else has them".into());
    }
    if moves && task != Task::Export || engine.is_some() && task != Task::Import {
        return Err("--move belongs to `export`, and --engine to `import`".into());
    }
    let engine = engine.unwrap_or_default();
    Ok(Some(Arguments {
        directory,
        task,
        json,
        context,
        last,
        svg,
        output,
        scratch,
        key,
        input,
        export_key,
        moves,
        engine,
    }))
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
        let key = of("d check --key-file k").unwrap().unwrap().key;
        assert_eq!(key, Some(KeyFile::Key("k".into())));
        let import = of("d import --input f --export-key-file k --engine redb").unwrap().unwrap();
        assert_eq!((import.task, import.engine), (Task::Import, StorageEngine::Redb));
        assert!(of("d export --output f --export-passphrase-file p --move").unwrap().unwrap().moves);
        let key = of("--passphrase-file p d").unwrap().unwrap().key;
        assert_eq!(key, Some(KeyFile::Passphrase("p".into())));
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
            "d export --output f",
            "d export --export-key-file k",
            "d import --export-key-file k",
            "d import --input f --export-key-file k --engine rocksdb",
            "d check --export-key-file k",
            "d check --engine sled",
            "d import --input f --export-key-file k --move",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}

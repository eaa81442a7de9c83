//! What the recorder has noted, read back.

use std::path::PathBuf;

/// One call that changed what is below the recorded directory, or a note of the process itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Write {
        file: u64,
        at: u64,
        bytes: Vec<u8>,
    },
    Length {
        file: u64,
        length: u64,
    },
    Sync {
        file: u64,
        failed: bool,
    },
    SyncDirectory {
        directory: u64,
        failed: bool,
    },
    Create {
        path: PathBuf,
        file: u64,
    },
    MakeDirectory {
        path: PathBuf,
        directory: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    RemoveDirectory {
        path: PathBuf,
    },
    Mark(String),
    /// Writing that was begun and not waited for by the device: it makes nothing durable.
    Range,
    /// A fault that was asked for has happened.
    Fault {
        number: u64,
    },
}

const HEAD: usize = 32;

/// Reads a log; a call that is not modelled, and a log that does not parse, is an error.
pub fn read(bytes: &[u8]) -> Result<Vec<Op>, String> {
    let mut rest = bytes;
    let mut ops = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<HEAD>() {
        let number = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
        let kind = u32::from_ne_bytes(head[..4].try_into().unwrap());
        let failed = head[4..8] != [0; 4];
        let (file, at, length) = (number(8), number(16), number(24) as usize);
        let (data, after) = after.split_at_checked(length).ok_or("the log ends within a note")?;
        let text = || String::from_utf8_lossy(data).into_owned();
        let path = || PathBuf::from(text());
        ops.push(match kind {
            1 => Op::Write { file, at, bytes: data.to_vec() },
            2 => Op::Length { file, length: at },
            3 => Op::Sync { file, failed },
            4 => Op::SyncDirectory { directory: file, failed },
            5 => Op::Create { path: path(), file },
            6 => Op::MakeDirectory { path: path(), directory: file },
            7 => {
                let both = text();
                let (from, to) = both.split_once('\0').ok_or("a rename without a target")?;
                Op::Rename { from: from.into(), to: to.into() }
            }
            8 => Op::Remove { path: path() },
            9 => Op::RemoveDirectory { path: path() },
            10 => Op::Mark(text().trim_end().to_owned()),
            11 => Op::Range,
            12 => return Err(format!("the process made a call that is not modelled: {}", text())),
            13 => Op::Fault { number: at },
            other => return Err(format!("a note of an unknown kind {other}")),
        });
        rest = after;
    }
    if rest.is_empty() { Ok(ops) } else { Err("the log ends within a note".to_owned()) }
}

//! What a node has published under its own keys, kept outside the store, so that a store that is older than what was
//! published (a restored backup, a copied directory) is recognised before anything is signed twice.
//!
//! The file `high-water` in the node's directory has two slots, written in turn and in place: one sync for a write. Only when
//! it has to grow is it written anew: to a new file, synced, renamed, the directory synced.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod slots;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use borsh::{BorshDeserialize, BorshSerialize};
use once_cell::sync::OnceCell;

use self::slots::Layout;
use super::files::{Files, io_error, read_at_most};
use super::sealing::Sealing;
use super::shared_work::SharedWork;
use super::storage_key::{Secret, cipher, fill};
use crate::replica::{ContextId, MemberId, TransactionId};
use crate::{Error, ErrorKind, Result};

const NAME: &str = "high-water";
/// Room for 600,000 marks in each slot.
const LARGEST: u64 = 256 << 20;

/// The last transaction that was published under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Mark {
    /// Its sequence.
    pub sequence: u64,
    /// Its id.
    pub id: TransactionId,
}

/// Where the file was first written. The device is kept to be shown, and not compared: many systems number their
/// devices anew at each start.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Origin {
    device: u64,
    inode: u64,
    machine: Option<[u8; 32]>,
}

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Content {
    origin: Origin,
    marks: Published,
}

/// What was last published under the keys of a node.
pub(crate) type Published = BTreeMap<(ContextId, MemberId), Mark>;

/// The file, as far as it is known.
#[derive(Debug, Default)]
struct Place {
    layout: Option<Layout>,
    /// Open from the first write on.
    file: Option<File>,
}

/// The marks of one node's directory. Whoever opens them holds the directory's lock.
#[derive(Debug)]
pub struct HighWater {
    path: PathBuf,
    files: Files,
    content: Mutex<Content>,
    place: Mutex<Place>,
    here: Origin,
    writing: SharedWork,
    fresh: bool,
    /// What the content is sealed under: the names of contexts and members are in it.
    key: Option<Secret>,
}

impl HighWater {
    /// Reads the marks in the directory, or starts with none. [`ErrorKind::Corrupt`] if they are damaged: signing
    /// without them would be a risk.
    pub fn open(directory: &Path) -> Result<Self> {
        Self::open_with(directory, Files::default(), false, None)
    }

    /// As [`HighWater::open`], beside a store, and sealed as that one is. If it was `used` and there are no marks, somebody has removed them or
    /// restored the store without them, and what was published since is not known: the directory is then a copy
    /// ([`HighWater::copied`]), until [`HighWater::adopt`].
    pub fn open_beside(directory: &Path, used: bool, sealing: Option<&Sealing>) -> Result<Self> {
        let key = sealing.and_then(|sealing| sealing.subkey("kith 2026 storage: high-water mark"));
        Self::open_with(directory, Files::default(), used, key)
    }

    pub(crate) fn open_with(directory: &Path, files: Files, used: bool, key: Option<Secret>) -> Result<Self> {
        fs::create_dir_all(directory).map_err(|error| io_error("creating the directory", &error))?;
        let here = Origin::of(directory)?;
        let path = directory.join(NAME);
        let found =
            read_at_most(&path, LARGEST).map_err(|error| io_error("reading the high-water mark", &error))?;
        let fresh = found.is_none();
        let (layout, content) = match found {
            Some(bytes) => {
                let (layout, content) = decode(&bytes, key.as_ref())?;
                (Some(layout), content)
            }
            None => {
                let origin = if used { Origin::UNKNOWN } else { here.clone() };
                (None, Content { origin, marks: BTreeMap::new() })
            }
        };
        let marks = Self {
            path,
            files,
            content: Mutex::new(content),
            place: Mutex::new(Place { layout, file: None }),
            here,
            writing: SharedWork::default(),
            fresh,
            key,
        };
        if fresh {
            marks.write(marks.writing.ask())?;
        }
        Ok(marks)
    }

    /// Each change is one assignment: right after a panic, too.
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was last published by this author in this context.
    #[must_use]
    pub fn get(&self, context: &ContextId, author: &MemberId) -> Option<Mark> {
        self.content().marks.get(&(*context, *author)).copied()
    }

    /// Notes what is about to be published. On return it is durable; callers at the same time share the work. A mark
    /// below the present one changes nothing; another transaction with the present one's sequence is
    /// [`ErrorKind::Equivocation`], and then none of these marks is noted. After a failed write every later call fails
    /// until the marks are opened again.
    pub fn raise(&self, marks: &[(ContextId, MemberId, Mark)]) -> Result<()> {
        let ticket = {
            let mut content = self.content();
            let mut raised = BTreeMap::new();
            for (context, author, mark) in marks {
                let key = (*context, *author);
                let present = raised.get(&key).or_else(|| content.marks.get(&key));
                match present {
                    Some(present) if present.sequence == mark.sequence && present.id != mark.id => {
                        return Err(Error::new(
                            ErrorKind::Equivocation,
                            format!("{author} has already published another transaction {}", mark.sequence),
                        ));
                    }
                    Some(present) if present.sequence >= mark.sequence => {}
                    _ => {
                        raised.insert(key, *mark);
                    }
                }
            }
            content.marks.append(&mut raised);
            self.writing.ask()
        };
        self.write(ticket)
    }

    /// Whether the directory is a copy: on another machine, or another directory than the one these marks began in, or
    /// with a used store whose marks are gone.
    #[must_use]
    pub fn copied(&self) -> bool {
        !self.content().origin.same_place(&self.here)
    }

    /// Whether there were no marks at all: with a store that is not new, somebody has removed them.
    #[must_use]
    pub const fn fresh(&self) -> bool {
        self.fresh
    }

    /// Takes this place as the marks' own from now on: for a directory that was moved, not copied, which only its owner
    /// can know.
    pub fn adopt(&self) -> Result<()> {
        let ticket = {
            self.content().origin = self.here.clone();
            self.writing.ask()
        };
        self.write(ticket)
    }

    /// What was last published, of all contexts and members.
    pub(crate) fn published(&self) -> Published {
        self.content().marks.clone()
    }

    /// Makes this place a copy, durably, and gives what was published until then: nothing is signed here any more.
    pub(crate) fn give_up(&self) -> Result<Published> {
        let (published, ticket) = {
            let mut content = self.content();
            content.origin = Origin::UNKNOWN;
            (content.marks.clone(), self.writing.ask())
        };
        self.write(ticket)?;
        Ok(published)
    }

    fn write(&self, ticket: u64) -> Result<()> {
        self.writing.wait(ticket, || {
            let bytes = encode(&self.content(), self.key.as_ref())?;
            // Whoever writes is alone; after a panic nobody writes any more.
            let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            let written = match place.layout.and_then(|layout| layout.next(&bytes)) {
                Some((layout, at, slot)) => self.write_slot(&mut place, layout, at, &slot),
                None => {
                    let (layout, whole) = slots::create(&bytes, place.layout)?;
                    // Not every system replaces a file that is open.
                    *place = Place::default();
                    let replaced = self.files.replace(&self.path, &whole);
                    replaced.map(|()| place.layout = Some(layout))
                }
            };
            written.map_err(|error| io_error("writing the high-water mark", &error))
        })
    }

    fn write_slot(&self, place: &mut Place, layout: Layout, at: u64, slot: &[u8]) -> io::Result<()> {
        let file = match &mut place.file {
            Some(file) => file,
            none => none.insert(OpenOptions::new().write(true).open(&self.path)?),
        };
        self.files.write_at(file, at, slot)?;
        self.files.sync_file(&self.path, file)?;
        place.layout = Some(layout);
        Ok(())
    }

    /// How often the file was written.
    #[cfg(test)]
    pub(crate) fn rounds(&self) -> u64 {
        self.writing.rounds()
    }
}

const AAD: &[u8] = b"kith 2026 high-water mark";

fn encode(content: &Content, key: Option<&Secret>) -> Result<Vec<u8>> {
    let bytes =
        borsh::to_vec(content).map_err(|error| Error::internal(format!("encoding marks: {error}")))?;
    let Some(key) = key else { return Ok(bytes) };
    let mut nonce = [0; 24];
    fill(&mut nonce)?;
    let sealed = cipher(key).seal(&nonce, AAD, &bytes);
    let sealed = sealed.map_err(|_| Error::internal("marks cannot be sealed"))?;
    Ok([&nonce[..], &sealed].concat())
}

fn decode(file: &[u8], key: Option<&Secret>) -> Result<(Layout, Content)> {
    let (layout, mut content) = slots::read(file)?;
    if let Some(key) = key {
        let (nonce, sealed) = content.split_first_chunk::<24>().ok_or_else(damaged)?;
        let opened = cipher(key).open(nonce, AAD, sealed);
        content = opened.map_err(|_| {
            Error::corrupt(
                "the file `high-water` does not belong to the store beside it: restore both from a backup of the same \
                 time, or join again under new keys",
            )
        })?;
    }
    Ok((layout, borsh::from_slice(&content).map_err(|_| damaged())?))
}

fn damaged() -> Error {
    Error::corrupt(
        "the file `high-water` is damaged; restore it from a backup of the same time as the store, or join again \
         under new keys",
    )
}

impl Origin {
    /// No place: nothing is here.
    const UNKNOWN: Self = Self { device: 0, inode: u64::MAX, machine: None };

    #[cfg(unix)]
    fn of(directory: &Path) -> Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let found = fs::metadata(directory).map_err(|error| io_error("looking at the directory", &error))?;
        Ok(Self { device: found.dev(), inode: found.ino(), machine: machine() })
    }

    /// Elsewhere the machine has to do.
    #[cfg(not(unix))]
    fn of(_directory: &Path) -> Result<Self> {
        Ok(Self { device: 0, inode: 0, machine: machine() })
    }

    fn same_place(&self, other: &Self) -> bool {
        let machines_differ = matches!((&self.machine, &other.machine), (Some(a), Some(b)) if a != b);
        !machines_differ && self.inode == other.inode
    }
}

/// A hash of the machine's id, where the system has one: the id itself is nobody's business. Read once; a read that fails is
/// tried again by whoever asks next.
fn machine() -> Option<[u8; 32]> {
    static MACHINE: OnceCell<[u8; 32]> = OnceCell::new();
    let read = || -> io::Result<[u8; 32]> {
        let id = fs::read("/etc/machine-id").or_else(|_| fs::read("/var/lib/dbus/machine-id"))?;
        if id.len() < 32 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(blake3::derive_key("kith 2026 machine id of a directory", id.trim_ascii()))
    };
    MACHINE.get_or_try_init(read).ok().copied()
}

#[cfg(test)]
mod tests;

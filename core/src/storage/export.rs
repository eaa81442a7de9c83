//! A whole store as one stream: to back it up, and to move it to another engine or directory.
//!
//! ```text
//! magic     8 bytes   KITHEXPO
//! version   u32 LE
//! length    u32 LE    of the header
//! header    borsh: schema, and the stream's key, wrapped under the storage key that the export was given
//! hash      32 bytes  of all before it: damage there is told from a wrong key
//! frames    length u32 LE | sealed, again and again
//! ```
//!
//! A frame is sealed with XChaCha20-Poly1305 under a key that is random for each export, with its number and whether it is the last as nonce, and the hash
//! as associated data. So one that is changed, missing, doubled, in another place or of another export does not open, and a stream that
//! was cut off has no last frame. Lengths are looked at before memory is taken.
//!
//! Where an export goes it is a **copy**: two directories that sign as one member would fork its history. A store that was imported signs
//! nothing, as any copy ([`super::HighWater`]), unless the export was a move, which leaves the directory that it was made of signing nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

use super::files::{Files, io_error, parent};
use super::format::SCHEMA;
use super::high_water::{Mark, Published};
use super::storage_key::{self, Wrap, cipher};
use super::{
    Batch, DirectoryLock, Durability, HighWater, Keyspace, MAX_KEY, MAX_VALUE, Snapshot, StorageEngine,
    StorageKey, Store,
};
use crate::aead::{NONCE, XChaCha20Poly1305};
use crate::replica::{ContextId, MemberId};
use crate::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"KITHEXPO";
const VERSION: u32 = 1;
const LONGEST_HEADER: u32 = 4096;
/// A frame is closed when it has as much; one record can be longer.
const FRAME: usize = 256 << 10;
/// A whole record, what it needs around it, and a frame that was nearly full.
const LONGEST_FRAME: usize = MAX_VALUE + MAX_KEY + FRAME + 1024;
/// So many records or so much in them makes a batch.
const BATCH: usize = 4 << 20;
const PAGE: usize = 64;

/// What an export is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A copy to go back to. The directory goes on, and what is imported signs nothing until its owner says that nobody else does.
    Backup,
    /// The directory moves: what is imported goes on in its place, and the directory itself signs nothing any more.
    Move,
}

/// What was exported or imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// How many records there are.
    pub records: u64,
    /// How many bytes they have, keys and values.
    pub bytes: u64,
    /// Whether it is a move, so that what is imported signs.
    pub moved: bool,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Header {
    schema: u32,
    wrap: Wrap,
}

#[derive(BorshSerialize, BorshDeserialize)]
enum Frame {
    Records(Vec<Row>),
    Last(End),
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Row {
    keyspace: u8,
    key: Vec<u8>,
    value: Vec<u8>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct End {
    records: u64,
    bytes: u64,
    moved: bool,
    /// What was published under the node's keys.
    marks: Vec<((ContextId, MemberId), Mark)>,
}

fn nonce(number: u64, last: bool) -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce[8] = u8::from(last);
    nonce
}

/// Everything of a store, and of the marks beside it, into a stream. With sled commits wait meanwhile. With [`Purpose::Move`] the marks are given up, durably,
/// before the stream ends: a crash leaves a directory that signs nothing and a stream without an end, never two that sign.
pub(crate) fn write(
    store: &dyn Store,
    marks: Option<&HighWater>,
    purpose: Purpose,
    key: &StorageKey,
    to: &mut dyn Write,
) -> Result<Exported> {
    if purpose == Purpose::Move && marks.is_none_or(HighWater::copied) {
        return Err(Error::invalid_argument(
            "only the directory that signs can move: of a copy only a backup can be made",
        ));
    }
    let mut stream = Writer::begin(key, to)?;
    let mut done = Exported { records: 0, bytes: 0, moved: purpose == Purpose::Move };
    {
        let snapshot = store.snapshot()?;
        for keyspace in Keyspace::ALL.into_iter().filter(|keyspace| *keyspace != Keyspace::Chunks) {
            write_space(&mut stream, &*snapshot, keyspace, &mut done)?;
        }
        stream.flush()?;
    }
    let marks = match (marks, purpose) {
        (Some(marks), Purpose::Move) => marks.give_up()?,
        (Some(marks), Purpose::Backup) => marks.published(),
        (None, _) => Published::new(),
    };
    let Exported { records, bytes, moved } = done;
    stream.seal(&Frame::Last(End { records, bytes, moved, marks: marks.into_iter().collect() }), true)?;
    stream.to.flush().map_err(|error| io_error("writing the export", &error))?;
    Ok(done)
}

fn write_space(
    stream: &mut Writer<'_>,
    snapshot: &dyn Snapshot,
    keyspace: Keyspace,
    done: &mut Exported,
) -> Result<()> {
    let mut from = Vec::new();
    loop {
        let rows = snapshot.scan(keyspace, &from, None, false, PAGE)?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        from.clone_from(last);
        from.push(0);
        for (key, value) in rows {
            done.records += 1;
            done.bytes += (key.len() + value.len()) as u64;
            stream.add(Row { keyspace: keyspace as u8, key, value })?;
        }
    }
}

struct Writer<'a> {
    to: &'a mut dyn Write,
    cipher: XChaCha20Poly1305,
    hash: [u8; 32],
    number: u64,
    rows: Vec<Row>,
    size: usize,
}

impl<'a> Writer<'a> {
    fn begin(key: &StorageKey, to: &'a mut dyn Write) -> Result<Self> {
        let secret = storage_key::random()?;
        let header = Header { schema: SCHEMA, wrap: Wrap::under_host_key(&secret, key)? };
        let header = encode(&header)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header);
        let hash = hash(&bytes);
        bytes.extend_from_slice(&hash);
        to.write_all(&bytes).map_err(|error| io_error("writing the export", &error))?;
        Ok(Self { to, cipher: cipher(&secret), hash, number: 0, rows: Vec::new(), size: 0 })
    }

    fn add(&mut self, row: Row) -> Result<()> {
        self.size += row.key.len() + row.value.len() + 16;
        self.rows.push(row);
        if self.size >= FRAME { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.size = 0;
        if rows.is_empty() { Ok(()) } else { self.seal(&Frame::Records(rows), false) }
    }

    fn seal(&mut self, frame: &Frame, last: bool) -> Result<()> {
        let plain = Zeroizing::new(encode(frame)?);
        let sealed = self.cipher.seal(&nonce(self.number, last), &self.hash, &plain);
        let sealed = sealed.map_err(|_| Error::internal("a frame cannot be sealed"))?;
        let length = u32::try_from(sealed.len()).map_err(|_| Error::internal("a frame is too long"))?;
        self.number += 1;
        let written = self.to.write_all(&length.to_le_bytes()).and_then(|()| self.to.write_all(&sealed));
        written.map_err(|error| io_error("writing the export", &error))
    }
}

fn encode(value: &impl BorshSerialize) -> Result<Vec<u8>> {
    borsh::to_vec(value).map_err(|error| Error::internal(format!("encoding an export: {error}")))
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    blake3::derive_key("kith 2026 export", bytes)
}

fn damaged(what: &str) -> Error {
    Error::corrupt(format!("the export is damaged: {what}"))
}

/// Reads exactly so many bytes; a stream that ends before is `Corrupt`.
fn fill(from: &mut dyn Read, bytes: &mut [u8]) -> Result<()> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => damaged("it is cut off"),
        _ => io_error("reading the export", &error),
    })
}

struct Reader<'a> {
    from: &'a mut dyn Read,
    cipher: XChaCha20Poly1305,
    hash: [u8; 32],
    number: u64,
}

impl<'a> Reader<'a> {
    /// Also gives the schema of what is in it.
    fn begin(key: &StorageKey, from: &'a mut dyn Read) -> Result<(Self, u32)> {
        let mut head = [0; 16];
        fill(from, &mut head)?;
        if head[..8] != MAGIC {
            return Err(Error::invalid_argument("this is no export of a Kith store"));
        }
        let number = |at: usize| head[at..].first_chunk().copied().map_or(0, u32::from_le_bytes);
        let (version, length) = (number(8), number(12));
        if version > VERSION {
            let message =
                format!("the export is version {version}; this build knows versions up to {VERSION}");
            return Err(Error::new(ErrorKind::VersionMismatch, message));
        }
        if version == 0 || length > LONGEST_HEADER {
            return Err(damaged("its header"));
        }
        let mut bytes = head.to_vec();
        bytes.resize(head.len() + length as usize, 0);
        fill(from, &mut bytes[head.len()..])?;
        let mut sum = [0; 32];
        fill(from, &mut sum)?;
        if hash(&bytes) != sum {
            return Err(damaged("its header"));
        }
        let header: Header = borsh::from_slice(&bytes[head.len()..]).map_err(|_| damaged("its header"))?;
        if header.schema > SCHEMA {
            let message = format!(
                "what was exported has schema {}; this build knows those up to {SCHEMA}: use a newer one",
                header.schema
            );
            return Err(Error::new(ErrorKind::VersionMismatch, message));
        }
        let secret = header.wrap.open(Some(key), Path::new(""))?;
        Ok((Self { from, cipher: cipher(&secret), hash: sum, number: 0 }, header.schema))
    }

    fn next(&mut self) -> Result<Frame> {
        let mut length = [0; 4];
        fill(self.from, &mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST_FRAME {
            return Err(damaged("a frame is longer than any is"));
        }
        let mut sealed = Vec::new();
        // Memory as it comes, not as it is announced.
        let read = (&mut self.from).take(length as u64).read_to_end(&mut sealed);
        read.map_err(|error| io_error("reading the export", &error))?;
        if sealed.len() < length {
            return Err(damaged("it is cut off"));
        }
        let open =
            |last| self.cipher.open(&nonce(self.number, last), &self.hash, &sealed).map(Zeroizing::new);
        let (plain, last) = match open(false) {
            Ok(plain) => (plain, false),
            Err(_) => (open(true).map_err(|_| damaged("a frame does not open"))?, true),
        };
        self.number += 1;
        let frame: Frame = borsh::from_slice(&plain).map_err(|_| damaged("a frame does not decode"))?;
        if last != matches!(frame, Frame::Last(_)) {
            return Err(damaged("a frame is not what it says"));
        }
        Ok(frame)
    }

    fn ends(&mut self) -> Result<()> {
        match self.from.read(&mut [0; 1]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(damaged("it goes on behind its end")),
            Err(error) => Err(io_error("reading the export", &error)),
        }
    }
}

/// Everything of a stream into a new store.
fn read_into(reader: &mut Reader<'_>, store: &dyn Store) -> Result<End> {
    let (mut records, mut bytes) = (0, 0);
    let (mut batch, mut size) = (Batch::default(), 0);
    loop {
        let rows = match reader.next()? {
            Frame::Records(rows) => rows,
            Frame::Last(end) => {
                reader.ends()?;
                if (end.records, end.bytes) != (records, bytes) {
                    return Err(damaged("records are missing"));
                }
                // The last batch makes all of them durable.
                store.commit(&batch, Durability::Power)?;
                return Ok(end);
            }
        };
        for row in rows {
            let keyspace = Keyspace::ALL.get(usize::from(row.keyspace)).copied();
            let keyspace = keyspace.filter(|keyspace| *keyspace != Keyspace::Chunks);
            let keyspace = keyspace.ok_or_else(|| damaged("a record is of an unknown key space"))?;
            let length = row.key.len() + row.value.len();
            if size > 0 && size + length > BATCH {
                store.commit(&std::mem::take(&mut batch), Durability::Process)?;
                size = 0;
            }
            size += length;
            records += 1;
            bytes += length as u64;
            batch.put(keyspace, row.key, row.value);
        }
    }
}

/// Exports the directory of a node that is not running to a new file, which only its owner can read: everything in it, sealed under `export_key`.
/// `key` is the directory's own, as in [`crate::Options::storage_key`]. Blocks.
///
/// [`ErrorKind::NotFound`] if no node ever was there, [`ErrorKind::Busy`] if one has it open, [`ErrorKind::InvalidArgument`] if the file is there already,
/// and the errors of opening a store.
pub fn export(
    directory: &Path,
    key: Option<StorageKey>,
    to: &Path,
    export_key: &StorageKey,
    purpose: Purpose,
) -> Result<Exported> {
    let (store, marks) = open_used(directory, key)?;
    let exported = to_file(to, |file| write(&*store, Some(&marks), purpose, export_key, file));
    // The export is whole, whatever closing says.
    let _ = store.close();
    exported
}

/// Writes a new file that is there whole or not at all.
pub(crate) fn to_file(to: &Path, write: impl FnOnce(&mut dyn Write) -> Result<Exported>) -> Result<Exported> {
    let fail = |error: std::io::Error| io_error(&format!("writing {}", to.display()), &error);
    if to.exists() {
        return Err(Error::invalid_argument(format!("{} is there already", to.display())));
    }
    let mut name = to.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    let partial = to.with_file_name(name);
    // What a crash has left. Nothing that anybody puts in its place is followed.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&partial).map_err(fail)?;
    let written = (|| {
        let mut buffered = BufWriter::new(file);
        let exported = write(&mut buffered)?;
        let file = buffered.into_inner().map_err(|error| fail(error.into_error()))?;
        file.sync_all().map_err(fail)?;
        fs::rename(&partial, to).map_err(fail)?;
        Files::default().sync_directory(parent(to)).map_err(fail)?;
        Ok(exported)
    })();
    if written.is_err() {
        // What is not whole is of no use; the first error is the one to be told.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// How an export is taken in.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ImportOptions {
    /// The engine of the new directory.
    pub engine: StorageEngine,
    /// What the new directory is sealed under, as in [`crate::Options::storage_key`].
    pub key: Option<StorageKey>,
    /// Whether the new directory signs although the export is a backup. Only the owner can know that the directory it was made of, and every
    /// other copy, is gone for good, **and** that nothing was written there after the backup: else its history is forked, and the others remove the
    /// member. Without it, the directory catches up with what was published after the backup, and [`adopt`] is safe then.
    pub adopt: bool,
}

/// Makes a node's directory of an export. It is there whole or not at all: on an error nothing is. Blocks.
///
/// [`ErrorKind::InvalidArgument`] if the directory is there and not empty, or the file is no export; [`ErrorKind::KeyRequired`] if it needs another
/// key; [`ErrorKind::VersionMismatch`] if a newer build has written it; [`ErrorKind::Corrupt`] if anything of it is damaged, missing or too much.
pub fn import(
    from: &Path,
    export_key: &StorageKey,
    directory: &Path,
    options: &ImportOptions,
) -> Result<Exported> {
    let file = File::open(from).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!("{} is not there", from.display())),
        _ => io_error("reading the export", &error),
    })?;
    read(&mut BufReader::new(file), export_key, directory, options)
}

pub(crate) fn read(
    from: &mut dyn Read,
    export_key: &StorageKey,
    directory: &Path,
    options: &ImportOptions,
) -> Result<Exported> {
    let fail = |error: std::io::Error| io_error("importing", &error);
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) || directory.is_file() {
        return Err(Error::invalid_argument(format!("{} is there and not empty", directory.display())));
    }
    let (mut reader, schema) = Reader::begin(export_key, from)?;
    let building = building(directory)?;
    let files = Files::default();
    let built = (|| {
        let imported = build(&mut reader, schema, &building, options)?;
        files.sync_directory(&building).map_err(fail)?;
        if directory.exists() {
            // It is empty; not every system renames over one.
            fs::remove_dir(directory).map_err(fail)?;
        }
        files.rename(&building, directory).map_err(fail)?;
        files.sync_above(directory).map_err(fail)?;
        Ok(imported)
    })();
    if built.is_err() {
        // The first error is the one to be told, and what is left is removed by the next import.
        let _ = fs::remove_dir_all(&building);
    }
    built
}

/// Beside the directory, so that it becomes that one by being renamed.
fn building(directory: &Path) -> Result<PathBuf> {
    let name = directory.file_name().ok_or_else(|| Error::invalid_argument("the directory has no name"))?;
    let mut name = name.to_os_string();
    name.push(".importing");
    let building = directory.with_file_name(name);
    match DirectoryLock::hold(&building) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    super::format::Places::remove_leftover(&building)?;
    fs::create_dir_all(&building).map_err(|error| io_error("importing", &error))?;
    Ok(building)
}

fn build(reader: &mut Reader<'_>, schema: u32, building: &Path, options: &ImportOptions) -> Result<Exported> {
    let store = super::create(building, options.engine, options.key.clone(), schema)?;
    let read = read_into(reader, &*store).and_then(|end| {
        let used = !store.snapshot()?.scan(Keyspace::Keys, &[], None, false, 1)?.is_empty();
        let signs = end.moved || options.adopt;
        let marks = HighWater::open_beside(building, used, store.sealing())?;
        let published: Vec<_> = end.marks.iter().map(|((c, a), mark)| (*c, *a, *mark)).collect();
        marks.raise(&published)?;
        if signs {
            marks.adopt()?;
        } else {
            drop(marks.give_up()?);
        }
        Ok(Exported { records: end.records, bytes: end.bytes, moved: end.moved })
    });
    let closed = store.close();
    let imported = read.and_then(|imported| closed.map(|()| imported))?;
    if schema < SCHEMA {
        // Brings it to this build's schema, or says that there is no way.
        super::open(building, options.engine, options.key.clone(), None)?.close()?;
    }
    Ok(imported)
}

/// Says that a directory is the only one that signs: after it was moved by other means, or for a backup whose origin is gone for good, with the
/// dangers of [`ImportOptions::adopt`]. `key` is the directory's own. Blocks; [`ErrorKind::Busy`] if a node has it open.
pub fn adopt(directory: &Path, key: Option<StorageKey>) -> Result<()> {
    let (store, marks) = open_used(directory, key)?;
    let adopted = marks.adopt();
    adopted.and(store.close())
}

/// A directory that a node has used.
fn open_used(directory: &Path, key: Option<StorageKey>) -> Result<(Arc<dyn Store>, HighWater)> {
    // Opening would make a store where there is none.
    drop(DirectoryLock::hold(directory)?);
    if super::format::engine_of(directory)?.is_none() {
        return Err(Error::not_found(format!("no node was ever opened in {}", directory.display())));
    }
    let store = super::open(directory, StorageEngine::Auto, key, None)?;
    match HighWater::open_beside(directory, true, store.sealing()) {
        Ok(marks) => Ok((store, marks)),
        Err(error) => {
            // The first error is the one to be told.
            let _ = store.close();
            Err(error)
        }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("number", &self.number).finish_non_exhaustive()
    }
}

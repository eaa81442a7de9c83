//! The key that a host keeps for its store, the file that stands in for it, and the data key that either of them wraps.
//!
//! Records are sealed under a **data key** that is random for each store and never leaves it. It lies in the format record,
//! wrapped under the storage key: so another storage key takes one small write, and nothing else is written anew.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::{Zeroize, Zeroizing};

use super::files::{Files, io_error, read_at_most};
use crate::aead::XChaCha20Poly1305;
use crate::{Error, ErrorKind, Result};

/// Longest passphrase, in bytes.
const LONGEST_PASSPHRASE: usize = 1024;
/// Argon2id for phones: more than the smallest that is advised for passwords (19 MiB, 2 passes), and little enough for an app's extension.
const COST: Cost = Cost { memory: 32 << 10, passes: 3, lanes: 1 };
/// The most that a store may ask for: whoever can write the directory chooses what stands there.
const HIGHEST: Cost = Cost { memory: 256 << 10, passes: 16, lanes: 16 };

/// 32 bytes that only their owner sees.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// What a store is sealed under; the host keeps it, best in the system's keystore. Wiped when the last clone is dropped.
#[derive(Clone)]
pub struct StorageKey(Inner);

#[derive(Clone)]
enum Inner {
    Bytes(Arc<Secret>),
    Passphrase(Arc<Passphrase>),
}

struct Passphrase {
    text: Zeroizing<Vec<u8>>,
    /// What it came to the last time, so that resuming does not work it out anew.
    derived: Mutex<Option<(Recipe, Secret)>>,
}

impl StorageKey {
    /// 32 random bytes, from the host's keystore. What they were copied from is the caller's to wipe.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Inner::Bytes(Arc::new(Zeroizing::new(bytes))))
    }

    /// A fresh random key. Fails only if the system has no randomness to give.
    pub fn random() -> Result<Self> {
        Ok(Self(Inner::Bytes(Arc::new(random()?))))
    }

    /// A passphrase of 1 to 1,024 bytes, from which the key is worked out with Argon2id whenever a store is opened: 32 MiB and some
    /// tenths of a second the first time. Salt and cost are chosen by the store and kept there, so the passphrase is all that is needed. The
    /// bytes count: hosts that let people type it should normalise it (NFC). [`ErrorKind::InvalidArgument`] if it is empty or too long.
    pub fn from_passphrase(passphrase: &str) -> Result<Self> {
        if passphrase.is_empty() || passphrase.len() > LONGEST_PASSPHRASE {
            return Err(Error::invalid_argument("a passphrase has 1 to 1,024 bytes"));
        }
        let text = Zeroizing::new(passphrase.as_bytes().to_vec());
        Ok(Self(Inner::Passphrase(Arc::new(Passphrase { text, derived: Mutex::default() }))))
    }

    /// 32 bytes as 64 hexadecimal digits, or [`ErrorKind::InvalidArgument`].
    pub fn from_hex(text: &str) -> Result<Self> {
        let bytes = unhex(text).ok_or_else(|| {
            Error::invalid_argument("a storage key has 32 bytes, which are 64 hexadecimal digits")
        })?;
        Ok(Self(Inner::Bytes(Arc::new(bytes))))
    }

    /// How a new data key is to be wrapped under this.
    fn source(&self) -> Result<Source> {
        Ok(match &self.0 {
            Inner::Bytes(_) => Source::Host,
            Inner::Passphrase(_) => {
                let mut salt = [0; 16];
                fill(&mut salt)?;
                Source::Passphrase(Recipe { salt, cost: COST })
            }
        })
    }

    /// The key for what was wrapped so; `None` if this is none of that sort.
    fn for_source(&self, source: &Source) -> Result<Option<Secret>> {
        match (&self.0, source) {
            // A key file's content is a key like any other.
            (Inner::Bytes(bytes), Source::Host | Source::File) => Ok(Some((**bytes).clone())),
            (Inner::Passphrase(passphrase), Source::Passphrase(recipe)) => {
                passphrase.derive(recipe).map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StorageKey(…)")
    }
}

impl Passphrase {
    fn derive(&self, recipe: &Recipe) -> Result<Secret> {
        // One assignment: right after a panic, too.
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, key)) = &*derived
            && of == recipe
        {
            return Ok(key.clone());
        }
        let Cost { memory, passes, lanes } = recipe.cost;
        if memory > HIGHEST.memory || passes > HIGHEST.passes || lanes > HIGHEST.lanes {
            return Err(Error::corrupt("the store asks for more work on its passphrase than any does"));
        }
        let wrong = |error| Error::corrupt(format!("the store's recipe for its passphrase: {error}"));
        let params = Params::new(memory, passes, lanes, Some(32)).map_err(wrong)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = Zeroizing::new([0; 32]);
        argon.hash_password_into(&self.text, &recipe.salt, &mut *key).map_err(wrong)?;
        *derived = Some((*recipe, key.clone()));
        Ok(key)
    }
}

/// Where the key comes from that a data key is wrapped under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Source {
    /// The key file beside the store.
    File,
    /// 32 bytes from the host.
    Host,
    /// A passphrase from the host.
    Passphrase(Recipe),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Recipe {
    salt: [u8; 16],
    cost: Cost,
}

/// Of Argon2id: memory in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// A data key under a storage key.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Wrap {
    pub(crate) source: Source,
    nonce: [u8; 24],
    sealed: [u8; 48],
}

impl Wrap {
    /// Wraps the data key; without a key under the key file's, which is made if need be.
    pub(crate) fn new(
        data_key: &Secret,
        key: Option<&StorageKey>,
        node: &Path,
        files: &Files,
    ) -> Result<Self> {
        match key {
            Some(key) => Self::under_host_key(data_key, key),
            None => Self::under(data_key, Source::File, &obtain_file(node, files)?),
        }
    }

    pub(crate) fn under_host_key(data_key: &Secret, key: &StorageKey) -> Result<Self> {
        let source = key.source()?;
        let storage_key = key.for_source(&source)?;
        let storage_key = storage_key.ok_or_else(|| Error::internal("a key that is not of its own sort"))?;
        Self::under(data_key, source, &storage_key)
    }

    fn under(data_key: &Secret, source: Source, storage_key: &Secret) -> Result<Self> {
        let mut nonce = [0; 24];
        fill(&mut nonce)?;
        let aad = aad(&source)?;
        let sealed = cipher(storage_key).seal(&nonce, &aad, &data_key[..]);
        let sealed = sealed.ok().and_then(|sealed| sealed.try_into().ok());
        Ok(Self { source, nonce, sealed: sealed.ok_or_else(|| Error::internal("wrapping a key failed"))? })
    }

    /// The data key. [`ErrorKind::KeyRequired`] where the key is missing or another one.
    pub(crate) fn open(&self, key: Option<&StorageKey>, node: &Path) -> Result<Secret> {
        let storage_key = match key {
            Some(key) => key.for_source(&self.source)?,
            None if self.source == Source::File => Some(read_file(node)?.ok_or_else(|| {
                key_required(format!("the key file {} is missing", file_in(node).display()))
            })?),
            None => None,
        };
        let Some(storage_key) = storage_key else {
            return Err(key_required(match (key, &self.source) {
                (None, Source::Passphrase(_)) => "the store is sealed under a passphrase",
                (None, _) => "the store is sealed under a storage key",
                (_, Source::File) => {
                    "the store is sealed under the key file beside it, and not under a passphrase"
                }
                (_, Source::Host) => {
                    "the store is sealed under a storage key of 32 bytes, and not under a passphrase"
                }
                (_, Source::Passphrase(_)) => {
                    "the store is sealed under a passphrase, and not under 32 bytes"
                }
            }));
        };
        let aad = aad(&self.source)?;
        let opened = cipher(&storage_key).open(&self.nonce, &aad, &self.sealed);
        let opened = opened.map(Zeroizing::new).map_err(|_| match (key, &self.source) {
            (Some(_), Source::File) => key_required("the store is sealed under the key file beside it"),
            _ => key_required("the store is sealed under another key"),
        })?;
        let mut data_key = Zeroizing::new([0; 32]);
        data_key.copy_from_slice(&opened);
        Ok(data_key)
    }
}

fn key_required(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::KeyRequired, message)
}

fn aad(source: &Source) -> Result<Vec<u8>> {
    let mut aad = b"kith 2026 data key".to_vec();
    borsh::to_writer(&mut aad, source)
        .map_err(|error| Error::internal(format!("encoding a key: {error}")))?;
    Ok(aad)
}

pub(crate) fn cipher(key: &Secret) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key)
}

pub(crate) fn fill(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Error::internal(format!("no randomness: {error}")))
}

pub(crate) fn random() -> Result<Secret> {
    let mut secret = Zeroizing::new([0; 32]);
    fill(&mut *secret)?;
    Ok(secret)
}

/// A key for one use.
pub(crate) fn subkey(of: &Secret, context: &'static str) -> Secret {
    Zeroizing::new(blake3::derive_key(context, &**of))
}

/// The file that stands in for the key of a host that gives none.
pub(crate) fn file_in(node: &Path) -> PathBuf {
    node.join("storage-key")
}

/// The file's key; `None` if there is no file. [`ErrorKind::Corrupt`] if it is damaged: it has a checksum, so that that is not taken
/// for another key.
fn read_file(node: &Path) -> Result<Option<Secret>> {
    let read = read_at_most(&file_in(node), 4096).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => damaged_file(),
        _ => io_error("reading the key file", &error),
    })?;
    let Some(bytes) = read.map(Zeroizing::new) else { return Ok(None) };
    parse_file(&bytes).map(Some).ok_or_else(damaged_file)
}

fn parse_file(bytes: &[u8]) -> Option<Secret> {
    let (key, sum) = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split_once(' ')?;
    unhex(key).filter(|key| sum == sum_of(key))
}

fn file_of(key: &Secret) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(96));
    for byte in key.iter() {
        // Writing to a string cannot fail.
        let _ = fmt::Write::write_fmt(&mut *text, format_args!("{byte:02x}"));
    }
    text.push(' ');
    text.push_str(&sum_of(key));
    text.push('\n');
    text
}

fn damaged_file() -> Error {
    Error::corrupt("the key file `storage-key` is damaged: restore it from a backup of the directory")
}

fn sum_of(key: &Secret) -> String {
    let hash = blake3::derive_key("kith 2026 key file", &**key);
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file's key, after making it where there is none.
fn obtain_file(node: &Path, files: &Files) -> Result<Secret> {
    if let Some(key) = read_file(node)? {
        return Ok(key);
    }
    let key = random()?;
    let text = file_of(&key);
    let written = files.replace_private(&file_in(node), text.as_bytes());
    written.map_err(|error| io_error("writing the key file", &error))?;
    Ok(key)
}

/// Removes the file that stood in for a key, once nothing is wrapped under it any more.
pub(crate) fn remove_file(node: &Path, files: &Files) -> Result<()> {
    let fail = |error: std::io::Error| io_error("removing the key file", &error);
    match std::fs::remove_file(file_in(node)) {
        Ok(()) => files.sync_directory(node).map_err(fail),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fail(error)),
    }
}

fn unhex(text: &str) -> Option<Secret> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| (digit as char).to_digit(16);
        let mut value = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
        *byte = value;
        value.zeroize();
    }
    Some(key)
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;

#[cfg(test)]
mod tests {
    use super::*;

    fn data_key() -> Secret {
        Zeroizing::new([7; 32])
    }

    #[test]
    fn only_the_key_that_wrapped_opens() {
        let node = tempfile::tempdir().unwrap();
        let files = Files::default();
        let bytes = StorageKey::new([1; 32]);
        let passphrase = StorageKey::from_passphrase("correct horse").unwrap();
        let others = [
            StorageKey::new([2; 32]),
            StorageKey::from_passphrase("correct horsf").unwrap(),
            StorageKey::random().unwrap(),
        ];
        for key in [&bytes, &passphrase] {
            let wrap = Wrap::new(&data_key(), Some(key), node.path(), &files).unwrap();
            assert_eq!(wrap.open(Some(key), node.path()).unwrap(), data_key());
            assert_eq!(wrap.open(None, node.path()).unwrap_err().kind(), ErrorKind::KeyRequired);
            for other in &others {
                assert_eq!(wrap.open(Some(other), node.path()).unwrap_err().kind(), ErrorKind::KeyRequired);
            }
        }
        let wrap = Wrap::new(&data_key(), Some(&passphrase), node.path(), &files).unwrap();
        // Another object with the same words: nothing but the passphrase is needed.
        let again = StorageKey::from_passphrase("correct horse").unwrap();
        assert_eq!(wrap.open(Some(&again), node.path()).unwrap(), data_key());
        assert!(!file_in(node.path()).exists());
    }

    #[test]
    fn the_key_file_is_made_once_for_its_owner_only_and_its_damage_is_no_other_key() {
        let node = tempfile::tempdir().unwrap();
        let files = Files::default();
        let wrap = Wrap::new(&data_key(), None, node.path(), &files).unwrap();
        let again = Wrap::new(&data_key(), None, node.path(), &files).unwrap();
        assert_eq!(wrap.open(None, node.path()).unwrap(), data_key());
        assert_eq!(again.open(None, node.path()).unwrap(), data_key());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(file_in(node.path())).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let good = std::fs::read(file_in(node.path())).unwrap();
        let key = StorageKey::from_hex(std::str::from_utf8(&good[..64]).unwrap()).unwrap();
        assert_eq!(wrap.open(Some(&key), node.path()).unwrap(), data_key());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(file_in(node.path()), &bad).unwrap();
            assert_eq!(wrap.open(None, node.path()).unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
            std::fs::write(file_in(node.path()), &good[..at]).unwrap();
            assert_eq!(wrap.open(None, node.path()).unwrap_err().kind(), ErrorKind::Corrupt, "cut at {at}");
        }
        std::fs::write(file_in(node.path()), vec![b'a'; 5000]).unwrap();
        assert_eq!(wrap.open(None, node.path()).unwrap_err().kind(), ErrorKind::Corrupt);
        remove_file(node.path(), &files).unwrap();
        remove_file(node.path(), &files).unwrap();
        assert_eq!(wrap.open(None, node.path()).unwrap_err().kind(), ErrorKind::KeyRequired);
    }

    #[test]
    fn any_flipped_bit_of_a_wrap_needs_a_key_that_there_is_not() {
        let node = tempfile::tempdir().unwrap();
        let key = StorageKey::new([1; 32]);
        let wrap = Wrap::new(&data_key(), Some(&key), node.path(), &Files::default()).unwrap();
        for bit in 0..48 * 8 {
            let mut bad = wrap.clone();
            bad.sealed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(bad.open(Some(&key), node.path()).unwrap_err().kind(), ErrorKind::KeyRequired);
        }
        let moved = Wrap { source: Source::File, ..wrap };
        assert_eq!(moved.open(Some(&key), node.path()).unwrap_err().kind(), ErrorKind::KeyRequired);
    }

    #[test]
    fn a_recipe_that_would_take_the_machine_is_refused() {
        let node = tempfile::tempdir().unwrap();
        let key = StorageKey::from_passphrase("p").unwrap();
        for cost in [
            Cost { memory: u32::MAX, ..COST },
            Cost { passes: 17, ..COST },
            Cost { lanes: 17, ..COST },
            Cost { memory: 0, ..COST },
            Cost { passes: 0, ..COST },
        ] {
            let source = Source::Passphrase(Recipe { salt: [0; 16], cost });
            let wrap = Wrap::under(&data_key(), source, &data_key()).unwrap();
            assert_eq!(
                wrap.open(Some(&key), node.path()).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{cost:?}"
            );
        }
    }

    #[test]
    fn keys_show_nothing_and_wrong_ones_are_refused() {
        let key = StorageKey::new([0xab; 32]);
        assert_eq!(format!("{key:?}"), "StorageKey(…)");
        assert_eq!(format!("{:?}", StorageKey::from_passphrase("hunter2").unwrap()), "StorageKey(…)");
        for wrong in ["", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), &"ä".repeat(32)] {
            assert_eq!(StorageKey::from_hex(wrong).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        assert!(StorageKey::from_passphrase("").is_err());
        assert!(StorageKey::from_passphrase(&"x".repeat(LONGEST_PASSPHRASE + 1)).is_err());
        assert!(StorageKey::from_passphrase(&"x".repeat(LONGEST_PASSPHRASE)).is_ok());
    }
}

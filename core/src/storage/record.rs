//! The frame around every stored record, so that a damaged or misplaced one is an error and never a wrong answer.
//!
//! ```text
//! version   u8        2
//! kind      u8        0: the value itself; 1: where the chunks of a large value are
//! nonce     24 bytes  random
//! sealed    payload and a tag of 16 bytes: XChaCha20-Poly1305, with version | kind | key space | stored key as associated data
//! ```
//!
//! So a record of another store, of another place, or with any bit changed does not open. The nonce is random, since a counter would
//! come again after a restored backup.
//!
//! Stores that are not sealed (there are none but in measurements) have version 1, with a length and a checksum:
//!
//! ```text
//! version   u8        1
//! kind      u8
//! length    u32 LE    of the payload
//! checksum  8 bytes   of BLAKE3, keyed, over version | kind | key space | length of key (u32 LE) | key | payload
//! payload
//! ```

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::Keyspace;
use super::sealing::{Sealed, Sealer};
use super::storage_key::fill;
use crate::replica::faults::{self, Fault};
use crate::{Error, Result};

const PLAIN: u8 = 1;
const SEALED: u8 = 2;
/// Bytes before the payload of a plain record.
pub(super) const HEADER: usize = 14;
pub(super) const NONCE: usize = 24;
const TAG: usize = 16;
/// The most that a record has beside its payload.
#[cfg(test)]
pub(crate) const FRAME: usize = 2 + NONCE + TAG;

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The value itself.
    Inline,
    /// A reference to the chunks that hold the value.
    Chunked,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Inline => 0,
            Self::Chunked => 1,
        }
    }
}

/// Where a record lies: the key space by number and name, and the key.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) number: u8,
    pub(crate) name: &'a str,
    pub(crate) key: &'a [u8],
}

impl Place<'_> {
    /// `Corrupt`, naming the record and what is wrong with it.
    pub(crate) fn corrupt(&self, what: &str) -> Error {
        let mut key = String::new();
        for byte in self.key {
            // Writing to a string cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        Error::corrupt(format!("the record {}/{key} is damaged: {what}", self.name))
    }
}

/// A record that verified.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
    pub(crate) checksum: [u8; 8],
}

/// Random nonces, drawn for several records at once and for one batch at most: what is drawn must not outlive a
/// copy of the whole machine.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    drawn: Vec<u8>,
}

impl Nonces {
    /// Draws on the first use of so many at once.
    const AT_ONCE: usize = 16;

    fn next(&mut self) -> Result<[u8; NONCE]> {
        if self.drawn.len() < NONCE {
            self.drawn = vec![0; Self::AT_ONCE * NONCE];
            fill(&mut self.drawn)?;
        }
        let rest = self.drawn.len() - NONCE;
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&self.drawn[rest..]);
        self.drawn.truncate(rest);
        Ok(nonce)
    }
}

fn checksum(mac: &[u8; 32], kind: Kind, place: &Place<'_>, payload: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_keyed(mac);
    hasher.update(&[PLAIN, kind.byte(), place.number]);
    // A key is at most `MAX_KEY` long; a longer one would only make the checksum differ.
    hasher.update(&(place.key.len() as u32).to_le_bytes());
    hasher.update(place.key);
    hasher.update(payload);
    let mut sum = [0; 8];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    sum
}

fn aad(kind: Kind, place: &Place<'_>) -> Vec<u8> {
    let mut aad = Vec::with_capacity(3 + place.key.len());
    aad.extend_from_slice(&[SEALED, kind.byte(), place.number]);
    aad.extend_from_slice(place.key);
    aad
}

/// Frames a payload, which is shorter than 4 GiB (`MAX_VALUE` sees to that).
pub(crate) fn encode(
    sealer: &Sealer,
    nonces: &mut Nonces,
    kind: Kind,
    place: &Place<'_>,
    payload: &[u8],
) -> Result<Vec<u8>> {
    if let Some(sealed) = &sealer.sealed {
        return seal(sealed, nonces.next()?, kind, place, payload);
    }
    let mut record = Vec::with_capacity(HEADER + payload.len());
    record.extend_from_slice(&[PLAIN, kind.byte()]);
    record.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    record.extend_from_slice(&checksum(sealer.mac(), kind, place, payload));
    record.extend_from_slice(payload);
    Ok(record)
}

pub(super) fn seal(
    sealed: &Sealed,
    nonce: [u8; NONCE],
    kind: Kind,
    place: &Place<'_>,
    payload: &[u8],
) -> Result<Vec<u8>> {
    let ciphertext = sealed.cipher.seal(&nonce, &aad(kind, place), payload);
    let ciphertext = ciphertext.map_err(|_| Error::internal("a record cannot be sealed"))?;
    let mut record = Vec::with_capacity(2 + NONCE + ciphertext.len());
    record.extend_from_slice(&[SEALED, kind.byte()]);
    record.extend_from_slice(&nonce);
    record.extend_from_slice(&ciphertext);
    Ok(record)
}

/// Takes the frame off and verifies it, or says in a `Corrupt` which record is damaged and how.
pub(crate) fn decode(sealer: &Sealer, place: &Place<'_>, bytes: &[u8]) -> Result<Record> {
    let frame = parse(place, bytes)?;
    let payload = match (&sealer.sealed, frame.nonce) {
        (Some(sealed), Some(nonce)) => {
            let opened = sealed.cipher.open(&nonce, &aad(frame.kind, place), frame.body);
            opened.map_err(|_| place.corrupt("it does not open"))?
        }
        (None, None)
            if checksum(sealer.mac(), frame.kind, place, frame.body) == frame.checksum
                || faults::is(Fault::BelieveRecords) =>
        {
            frame.body.to_vec()
        }
        (None, None) => return Err(place.corrupt("its checksum does not match")),
        _ => return Err(place.corrupt("its version is not that of this store")),
    };
    Ok(Record { kind: frame.kind, payload, checksum: frame.checksum })
}

/// The checksum of a record that was just encoded: for a sealed one a part of its tag.
pub(crate) fn checksum_of(place: &Place<'_>, bytes: &[u8]) -> Result<[u8; 8]> {
    parse(place, bytes).map(|frame| frame.checksum)
}

/// A record of a plain store, not verified: to show what verifying is for.
pub(crate) fn unverified(place: &Place<'_>, bytes: &[u8]) -> Result<Record> {
    let frame = parse(place, bytes)?;
    Ok(Record { kind: frame.kind, payload: frame.body.to_vec(), checksum: frame.checksum })
}

/// A record in its parts.
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) nonce: Option<[u8; NONCE]>,
    pub(super) body: &'a [u8],
    checksum: [u8; 8],
}

pub(super) fn parse<'a>(place: &Place<'_>, bytes: &'a [u8]) -> Result<Frame<'a>> {
    let short = || place.corrupt("it is shorter than a record");
    let kind = match bytes.get(1).ok_or_else(short)? {
        0 => Kind::Inline,
        1 => Kind::Chunked,
        _ => return Err(place.corrupt("its kind is unknown")),
    };
    match bytes[0] {
        SEALED => {
            let (nonce, body) = bytes[2..].split_first_chunk().ok_or_else(short)?;
            let tag =
                body.len().checked_sub(TAG).and_then(|at| body[at..].first_chunk()).ok_or_else(short)?;
            Ok(Frame { kind, nonce: Some(*nonce), body, checksum: *tag })
        }
        PLAIN => {
            let (header, body) = bytes.split_first_chunk::<HEADER>().ok_or_else(short)?;
            let [_, _, l0, l1, l2, l3, checksum @ ..] = *header;
            if body.len() as u64 != u64::from(u32::from_le_bytes([l0, l1, l2, l3])) {
                return Err(place.corrupt("its length does not match"));
            }
            Ok(Frame { kind, nonce: None, body, checksum })
        }
        _ => Err(place.corrupt("its version is unknown")),
    }
}

/// Records as the engines store them, for a simulated disk, on which bits flip. Nothing here is promised to stay.
#[derive(Debug)]
pub struct Frames(Sealer);

impl Frames {
    /// Of a store that is sealed with this key, or of one that has checksums only.
    #[must_use]
    pub fn new(key: [u8; 32], sealed: bool) -> Self {
        let key = Zeroizing::new(key);
        Self(if sealed { Sealer::sealed(&key) } else { Sealer::plain(key) })
    }

    /// What an engine would store under a key.
    pub fn encode(
        &self,
        keyspace: Keyspace,
        key: &[u8],
        nonce: [u8; NONCE],
        value: &[u8],
    ) -> Result<Vec<u8>> {
        let place = Place { number: keyspace as u8, name: keyspace.name(), key };
        match &self.0.sealed {
            Some(sealed) => seal(sealed, nonce, Kind::Inline, &place, value),
            None => encode(&self.0, &mut Nonces::default(), Kind::Inline, &place, value),
        }
    }

    /// What an engine would make of it.
    pub fn decode(&self, keyspace: Keyspace, key: &[u8], bytes: &[u8]) -> Result<Vec<u8>> {
        let place = Place { number: keyspace as u8, name: keyspace.name(), key };
        let record = decode(&self.0, &place, bytes)?;
        match record.kind {
            Kind::Inline => Ok(record.payload),
            Kind::Chunked => Err(place.corrupt("there are no chunks")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    fn place(number: u8, key: &[u8]) -> Place<'_> {
        Place { number, name: "state", key }
    }

    fn plain(secret: u8) -> Sealer {
        Sealer::plain(Zeroizing::new([secret; 32]))
    }

    fn sealed(secret: u8) -> Sealer {
        Sealer::sealed(&Zeroizing::new([secret; 32]))
    }

    fn written(sealer: &Sealer, kind: Kind, place: &Place<'_>, payload: &[u8]) -> Vec<u8> {
        encode(sealer, &mut Nonces::default(), kind, place, payload).unwrap()
    }

    #[test]
    fn layouts_are_fixed() {
        let record = written(&plain(7), Kind::Inline, &place(5, b"k"), b"value");
        assert_eq!(record[..6], [1, 0, 5, 0, 0, 0]);
        let mut hasher = blake3::Hasher::new_keyed(&[7; 32]);
        hasher.update(&[1, 0, 5, 1, 0, 0, 0]).update(b"k").update(b"value");
        assert_eq!(record[6..14], hasher.finalize().as_bytes()[..8]);
        assert_eq!(&record[14..], b"value");

        let sealer = sealed(7);
        let record = written(&sealer, Kind::Chunked, &place(5, b"k"), b"value");
        assert_eq!(record.len(), FRAME + 5);
        assert_eq!(record[..2], [2, 1]);
        let nonce: [u8; 24] = record[2..26].try_into().unwrap();
        let cipher = &sealer.sealed.as_ref().unwrap().cipher;
        let opened = cipher.open(&nonce, &[2, 1, 5, b'k'], &record[26..]).unwrap();
        assert_eq!(opened, b"value");
    }

    #[test]
    fn no_nonce_comes_twice() {
        let mut nonces = Nonces::default();
        let drawn: std::collections::BTreeSet<_> = (0..1000).map(|_| nonces.next().unwrap()).collect();
        assert_eq!(drawn.len(), 1000);
        let place = place(5, b"k");
        assert_ne!(
            written(&sealed(1), Kind::Inline, &place, b"same"),
            written(&sealed(1), Kind::Inline, &place, b"same")
        );
    }

    proptest! {
        #[test]
        fn comes_back(key: Vec<u8>, payload: Vec<u8>, chunked: bool, secret: u8) {
            let kind = if chunked { Kind::Chunked } else { Kind::Inline };
            for sealer in [plain(secret), sealed(secret)] {
                let bytes = written(&sealer, kind, &place(3, &key), &payload);
                let record = decode(&sealer, &place(3, &key), &bytes).unwrap();
                prop_assert_eq!(record.kind, kind);
                prop_assert_eq!(&record.payload, &payload);
                prop_assert_eq!(checksum_of(&place(3, &key), &bytes).unwrap(), record.checksum);
            }
        }

        #[test]
        fn any_flipped_bit_is_corrupt(key: Vec<u8>, payload: Vec<u8>, at: prop::sample::Index) {
            for sealer in [plain(9), sealed(9)] {
                let mut bytes = written(&sealer, Kind::Inline, &place(3, &key), &payload);
                let bit = at.index(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                let error = decode(&sealer, &place(3, &key), &bytes).unwrap_err();
                prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
                prop_assert!(error.message().contains("state/"));
            }
        }

        #[test]
        fn any_cut_is_corrupt(payload: Vec<u8>, at: prop::sample::Index) {
            for sealer in [plain(9), sealed(9)] {
                let bytes = written(&sealer, Kind::Inline, &place(3, b"k"), &payload);
                let cut = &bytes[..at.index(bytes.len())];
                let error = decode(&sealer, &place(3, b"k"), cut).unwrap_err();
                prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
            }
        }
    }

    #[test]
    fn a_record_in_another_place_or_store_is_corrupt() {
        for (sealer, other) in [(plain(1), plain(2)), (sealed(1), sealed(2))] {
            let bytes = written(&sealer, Kind::Inline, &place(3, b"ab"), b"c");
            assert!(decode(&sealer, &place(3, b"ab"), &bytes).is_ok());
            assert!(decode(&sealer, &place(4, b"ab"), &bytes).is_err());
            assert!(decode(&sealer, &place(3, b"a"), &bytes).is_err());
            assert!(decode(&other, &place(3, b"ab"), &bytes).is_err());
        }
    }

    #[test]
    fn a_sealed_store_takes_no_plain_record_and_a_plain_one_no_sealed() {
        for (sealer, other) in [(plain(1), sealed(1)), (sealed(1), plain(1))] {
            let bytes = written(&other, Kind::Inline, &place(3, b"ab"), b"c");
            assert_eq!(decode(&sealer, &place(3, b"ab"), &bytes).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}

//! The frame around every stored record, so that a damaged or misplaced one is an error and never a wrong answer.
//!
//! ```text
//! version   u8        1
//! kind      u8        0: the value itself; 1: where the chunks of a large value are
//! length    u32 LE    of the payload
//! checksum  8 bytes   of BLAKE3, keyed, over version | kind | key space | length of key (u32 LE) | key | payload
//! payload
//! ```
//!
//! The key of the checksum is random for each store: a record of another store, or one that somebody made up without
//! reading the format record, does not verify. It is no protection against somebody who can read the directory.

use std::fmt::Write as _;

use crate::{Error, Result};

const VERSION: u8 = 1;
/// Bytes before the payload.
pub(crate) const HEADER: usize = 14;

/// The key of a store's checksums.
#[derive(Clone, Copy)]
pub(crate) struct ChecksumKey(pub(crate) [u8; 32]);

impl std::fmt::Debug for ChecksumKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChecksumKey(…)")
    }
}

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
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) payload: &'a [u8],
    pub(crate) checksum: [u8; 8],
}

fn checksum(key: &ChecksumKey, kind: Kind, place: &Place<'_>, payload: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(&[VERSION, kind.byte(), place.number]);
    // A key is at most `MAX_KEY` long; a longer one would only make the checksum differ.
    hasher.update(&(place.key.len() as u32).to_le_bytes());
    hasher.update(place.key);
    hasher.update(payload);
    let mut sum = [0; 8];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    sum
}

/// Frames a payload, which is shorter than 4 GiB (`MAX_VALUE` sees to that).
pub(crate) fn encode(key: &ChecksumKey, kind: Kind, place: &Place<'_>, payload: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER + payload.len());
    record.extend_from_slice(&[VERSION, kind.byte()]);
    record.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    record.extend_from_slice(&checksum(key, kind, place, payload));
    record.extend_from_slice(payload);
    record
}

/// The checksum in a frame that [`encode`] has made.
pub(crate) fn checksum_of(record: &[u8]) -> [u8; 8] {
    record.get(6..HEADER).and_then(|sum| sum.try_into().ok()).unwrap_or_default()
}

/// Takes the frame off and verifies it, or says in a `Corrupt` which record is damaged and how.
pub(crate) fn decode<'a>(key: &ChecksumKey, place: &Place<'_>, bytes: &'a [u8]) -> Result<Record<'a>> {
    let record = parse(place, bytes)?;
    if checksum(key, record.kind, place, record.payload) != record.checksum {
        return Err(place.corrupt("its checksum does not match"));
    }
    Ok(record)
}

/// Takes the frame off without looking at the checksum.
pub(crate) fn parse<'a>(place: &Place<'_>, bytes: &'a [u8]) -> Result<Record<'a>> {
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(place.corrupt("it is shorter than a header"));
    };
    let [version, kind, l0, l1, l2, l3, sum @ ..] = *header;
    if version != VERSION {
        return Err(place.corrupt("its version is unknown"));
    }
    let kind = match kind {
        0 => Kind::Inline,
        1 => Kind::Chunked,
        _ => return Err(place.corrupt("its kind is unknown")),
    };
    if payload.len() as u64 != u64::from(u32::from_le_bytes([l0, l1, l2, l3])) {
        return Err(place.corrupt("its length does not match"));
    }
    Ok(Record { kind, payload, checksum: sum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    fn place(number: u8, key: &[u8]) -> Place<'_> {
        Place { number, name: "state", key }
    }

    #[test]
    fn layout_is_fixed() {
        let record = encode(&ChecksumKey([7; 32]), Kind::Inline, &place(5, b"k"), b"value");
        assert_eq!(record[..6], [1, 0, 5, 0, 0, 0]);
        let mut hasher = blake3::Hasher::new_keyed(&[7; 32]);
        hasher.update(&[1, 0, 5, 1, 0, 0, 0]).update(b"k").update(b"value");
        assert_eq!(record[6..14], hasher.finalize().as_bytes()[..8]);
        assert_eq!(&record[14..], b"value");
        assert_eq!(checksum_of(&record), record[6..14]);
    }

    proptest! {
        #[test]
        fn comes_back(key: Vec<u8>, payload: Vec<u8>, chunked: bool, secret: [u8; 32]) {
            let kind = if chunked { Kind::Chunked } else { Kind::Inline };
            let bytes = encode(&ChecksumKey(secret), kind, &place(3, &key), &payload);
            let record = decode(&ChecksumKey(secret), &place(3, &key), &bytes).unwrap();
            prop_assert_eq!(record.kind, kind);
            prop_assert_eq!(record.payload, &payload[..]);
        }

        #[test]
        fn any_flipped_bit_is_corrupt(key: Vec<u8>, payload: Vec<u8>, at: prop::sample::Index) {
            let secret = ChecksumKey([9; 32]);
            let mut bytes = encode(&secret, Kind::Inline, &place(3, &key), &payload);
            let bit = at.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = decode(&secret, &place(3, &key), &bytes).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
            prop_assert!(error.message().contains("state/"));
        }

        #[test]
        fn any_cut_is_corrupt(payload: Vec<u8>, at: prop::sample::Index) {
            let secret = ChecksumKey([9; 32]);
            let bytes = encode(&secret, Kind::Inline, &place(3, b"k"), &payload);
            let cut = &bytes[..at.index(bytes.len())];
            prop_assert_eq!(decode(&secret, &place(3, b"k"), cut).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn a_record_in_another_place_or_store_is_corrupt() {
        let secret = ChecksumKey([1; 32]);
        let bytes = encode(&secret, Kind::Inline, &place(3, b"ab"), b"c");
        assert!(decode(&secret, &place(3, b"ab"), &bytes).is_ok());
        assert!(decode(&secret, &place(4, b"ab"), &bytes).is_err());
        assert!(decode(&secret, &place(3, b"a"), &bytes).is_err());
        assert!(decode(&ChecksumKey([2; 32]), &place(3, b"ab"), &bytes).is_err());
    }
}

//! The checks of exports: as they are, and with frames of the fuzzer's choice that really open.

use super::{
    End, Frame, Header, MAGIC, Reader, Row, SCHEMA, VERSION, cipher, encode, hash, nonce, read_into,
};
use crate::fuzzing::{Input, encoded};
use crate::replica::{ContextId, MemberId, TransactionId};
use crate::storage::high_water::Mark;
use crate::storage::storage_key::{Source, fuzzing as keys};
use crate::storage::{Keyspace, MemoryStore, StorageKey};

/// Magic, version and length stand before the header.
const BEFORE: usize = 16;
const HASH: usize = 32;

fn key() -> StorageKey {
    StorageKey::new(keys::STORAGE_KEY)
}

/// A stream with these frames, each of which is sealed as the last one if it says so.
fn stream<'a>(frames: impl IntoIterator<Item = (&'a [u8], bool)>) -> Vec<u8> {
    let header = encoded(&Header { schema: SCHEMA, wrap: keys::wrapped(Source::Host) });
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(header);
    let hash = hash(&bytes);
    bytes.extend(hash);
    seal_frames(&mut bytes, &hash, frames);
    bytes
}

fn seal_frames<'a>(bytes: &mut Vec<u8>, hash: &[u8; 32], frames: impl IntoIterator<Item = (&'a [u8], bool)>) {
    for (number, (plain, last)) in (0u64..).zip(frames) {
        let sealed = cipher(&keys::data_key()).seal(&nonce(number, last), hash, plain).unwrap_or_default();
        bytes.extend((sealed.len() as u32).to_le_bytes());
        bytes.extend(sealed);
    }
}

/// All frames up to the last; none if anything is wrong.
fn frames(bytes: &[u8]) -> Option<Vec<Frame>> {
    let mut from = bytes;
    let (mut reader, schema) = Reader::begin(&key(), &mut from).ok()?;
    assert!(schema <= SCHEMA);
    let mut frames = Vec::new();
    loop {
        let frame = reader.next().ok()?;
        let last = matches!(frame, Frame::Last(_));
        frames.push(frame);
        if last {
            reader.ends().ok()?;
            return Some(frames);
        }
    }
}

/// A file as it is: what is taken is taken whole, and no other file says the same under the same header.
pub(crate) fn file(input: &Input<'_>) {
    input.canonical(frames, |frames| {
        let length = input
            .bytes
            .get(12..BEFORE)
            .and_then(|length| length.try_into().ok())
            .map_or(0, u32::from_le_bytes);
        let (mut bytes, rest) = {
            let (head, rest) = input.bytes.split_at(BEFORE + length as usize + HASH);
            (head.to_vec(), rest)
        };
        assert!(!rest.is_empty(), "frames out of nothing");
        let hash = bytes.last_chunk::<HASH>().copied().unwrap_or_default();
        let plain: Vec<(Vec<u8>, bool)> =
            frames.iter().map(|frame| (encoded(frame), matches!(frame, Frame::Last(_)))).collect();
        seal_frames(&mut bytes, &hash, plain.iter().map(|(plain, last)| (&plain[..], *last)));
        bytes
    });
}

/// Frames that open, with anything in them, into a store: a length (u16, little endian; its highest bit: the last), and so many bytes.
pub(crate) fn sealed(input: &Input<'_>) {
    let mut parts = Vec::new();
    let mut bytes = input.bytes;
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = u16::from_le_bytes(*length);
        let (part, rest) = rest.split_at(usize::from(length & 0x7fff).min(rest.len()));
        parts.push((part, length & 0x8000 != 0));
        bytes = rest;
    }
    let stream = stream(parts.iter().copied());
    let mut from = &stream[..stream.len() - usize::from(input.lenient)];
    let Ok((mut reader, _)) = Reader::begin(&key(), &mut from) else { panic!("the header is right") };
    let store = MemoryStore::new();
    let taken = read_into(&mut reader, &store);
    if let Ok(end) = &taken {
        let written: u64 = parts
            .iter()
            .filter_map(|(part, _)| match borsh::from_slice(part) {
                Ok(Frame::Records(rows)) => Some(rows.len() as u64),
                _ => None,
            })
            .sum();
        assert_eq!(end.records, written);
        let again: Option<Vec<Vec<u8>>> =
            frames(&stream).map(|frames| frames.iter().filter_map(|frame| encode(frame).ok()).collect());
        let given: Vec<Vec<u8>> = parts.iter().map(|(part, _)| part.to_vec()).collect();
        assert_eq!(again, Some(given), "another encoding of the same frames");
    }
    // The control: the reader lacks the last byte, which it has to miss.
    assert!(!(input.lenient && taken.is_err() && frames(&stream).is_some()), "a byte is missing");
}

fn real() -> Vec<(Vec<u8>, bool)> {
    let row = |keyspace: Keyspace, key: &[u8]| Row {
        keyspace: keyspace as u8,
        key: key.to_vec(),
        value: b"value".to_vec(),
    };
    let rows = vec![row(Keyspace::Meta, b"a"), row(Keyspace::State, b"bc")];
    let bytes = rows.iter().map(|row| (row.key.len() + row.value.len()) as u64).sum();
    let mark = Mark { sequence: 4, id: TransactionId([5; 32]) };
    let marks = vec![((ContextId([1; 32]), MemberId([6; 32])), mark)];
    let end = End { records: rows.len() as u64, bytes, moved: true, marks };
    vec![(encoded(&Frame::Records(rows)), false), (encoded(&Frame::Last(end)), true)]
}

pub(crate) fn files() -> Vec<Vec<u8>> {
    let real = real();
    vec![stream(real.iter().map(|(plain, last)| (&plain[..], *last)))]
}

pub(crate) fn contents() -> Vec<Vec<u8>> {
    let framed = |(plain, last): &(Vec<u8>, bool)| {
        let length = plain.len() as u16 | if *last { 0x8000 } else { 0 };
        [&length.to_le_bytes()[..], plain].concat()
    };
    vec![real().iter().flat_map(framed).collect()]
}

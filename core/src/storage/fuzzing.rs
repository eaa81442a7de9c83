//! The decoders of what lies in a node's directory: a damaged file is an error, whatever is in it.
//!
//! Most have a checksum. Each is tried as it is and with a checksum that is right, so that what lies behind the check is looked at too.

use zeroize::Zeroizing;

use super::export::fuzzing as export;
use super::format::{Format, HASH, SCHEMA};
use super::high_water::fuzzing as high_water;
use super::marker::{self, Acknowledged, Marker};
use super::names::Pseudonyms;
use super::record::{self, HEADER, Kind, NONCE, Nonces, Place};
use super::sealing::Sealer;
use super::storage_key::{Source, fuzzing as keys};
use super::{EngineName, Keyspace, sled_store};
use crate::fuzzing::{Decoder, Input};
use crate::node::rows_fuzzing as rows;

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder { name: "record", check: plain_record, seeds: plain_records },
    Decoder { name: "sealed-record", check: sealed_record, seeds: sealed_records },
    Decoder { name: "name", check: a_name, seeds: names },
    Decoder { name: "key-file", check: keys::key_file, seeds: keys::key_files },
    Decoder { name: "wrap", check: keys::wrap, seeds: keys::wraps },
    Decoder { name: "export", check: export::file, seeds: export::files },
    Decoder { name: "export-content", check: export::sealed, seeds: export::contents },
    Decoder { name: "format", check: format, seeds: formats },
    Decoder { name: "marker", check: marker, seeds: markers },
    Decoder { name: "acknowledged", check: acknowledged, seeds: slots },
    Decoder { name: "high-water", check: high_water::file, seeds: high_water::files },
    Decoder { name: "high-water-content", check: high_water::sealed, seeds: high_water::contents },
    Decoder { name: "chunks", check: sled_store::fuzzing::reference, seeds: sled_store::fuzzing::references },
    Decoder { name: "intent", check: sled_store::fuzzing::intent, seeds: sled_store::fuzzing::intents },
    Decoder { name: "rows", check: rows::row, seeds: rows::seeds },
];

const PLACE: Place<'_> = Place { number: 5, name: "state", key: b"key" };

/// Of a store that is not sealed.
fn plain() -> Sealer {
    Sealer::plain(Zeroizing::new([7; 32]))
}

fn sealer() -> Sealer {
    Sealer::sealed(&keys::data_key())
}

fn plain_record(input: &Input<'_>) {
    let (right, input) = input.choose();
    let mut bytes = input.bytes.to_vec();
    let encode = |(kind, payload): &(Kind, Vec<u8>)| {
        record::encode(&plain(), &mut Nonces::default(), *kind, &PLACE, payload).unwrap_or_default()
    };
    if right % 2 == 1
        && let Ok(found) = record::parse(&PLACE, &bytes)
        && found.nonce.is_none()
    {
        let right = encode(&(found.kind, found.body.to_vec()));
        assert_eq!(right.len(), HEADER + found.body.len());
        assert!(record::decode(&plain(), &PLACE, &right).is_ok());
        bytes = right;
    }
    let input = Input { bytes: &bytes, ..input };
    input.canonical(
        |bytes| record::decode(&plain(), &PLACE, bytes).ok().map(|record| (record.kind, record.payload)),
        encode,
    );
}

/// As it is, or sealed with the right key around what the input says: kind, nonce and payload.
fn sealed_record(input: &Input<'_>) {
    let (really, input) = input.choose();
    let sealer = sealer();
    let Some(sealed) = &sealer.sealed else { return };
    let mut bytes = input.bytes.to_vec();
    if really % 2 == 1
        && let Some((kind, rest)) = input.bytes.split_first()
        && let Some((nonce, payload)) = rest.split_first_chunk::<NONCE>()
    {
        let kind = if kind % 2 == 0 { Kind::Inline } else { Kind::Chunked };
        bytes = record::seal(sealed, *nonce, kind, &PLACE, payload).expect("it is short");
        assert!(record::decode(&plain(), &PLACE, &bytes).is_err(), "a plain store takes it");
        let elsewhere = Place { number: 6, ..PLACE };
        assert!(record::decode(&sealer, &elsewhere, &bytes).is_err(), "another place takes it");
        let record = record::decode(&sealer, &PLACE, &bytes).expect("what was sealed opens");
        assert_eq!((record.kind, &record.payload[..]), (kind, payload));
        assert_eq!(record::checksum_of(&PLACE, &bytes).ok(), Some(record.checksum));
    }
    // A record says its nonce itself.
    let nonce = bytes.get(2..2 + NONCE).and_then(|nonce| nonce.try_into().ok()).unwrap_or([0; NONCE]);
    let input = Input { bytes: &bytes, ..input };
    input.canonical(
        |bytes| record::decode(&sealer, &PLACE, bytes).ok().map(|record| (record.kind, record.payload)),
        |(kind, payload)| record::seal(sealed, nonce, *kind, &PLACE, payload).unwrap_or_default(),
    );
}

/// Any key of any key space: its pseudonym's key is as long, and comes back.
fn a_name(input: &Input<'_>) {
    let (space, input) = input.choose();
    let space = Keyspace::ALL[usize::from(space) % Keyspace::ALL.len()];
    let names = Pseudonyms::new(&keys::data_key());
    let (hidden, shown) = (names.hide(space, input.bytes), names.show(space, input.bytes));
    assert_eq!((hidden.len(), shown.len()), (input.bytes.len(), input.bytes.len()));
    let cut = &hidden[..hidden.len() - usize::from(input.lenient && !hidden.is_empty())];
    assert_eq!(names.show(space, cut), input.bytes);
    assert_eq!(names.hide(space, &shown), input.bytes);
}

fn marker(input: &Input<'_>) {
    let _ = input.borsh::<Marker>();
}

fn format(input: &Input<'_>) {
    let (right, input) = input.choose();
    let mut bytes = input.bytes.to_vec();
    if right % 2 == 1 && bytes.len() >= HASH {
        let body = bytes.len() - HASH;
        let hash = blake3::derive_key("kith 2026 format record", &bytes[..body]);
        bytes[body..].copy_from_slice(&hash);
    }
    let Some(Ok(format)) = Format::decode(&bytes) else { return };
    let encoded = format.encode().expect("it encodes");
    assert!(encoded == bytes, "another record means the same");
    let cut = &encoded[..encoded.len() - usize::from(input.lenient)];
    assert!(matches!(Format::decode(cut), Some(Ok(again)) if again == format));
    let _ = (format.wrap().is_some(), format.expect(EngineName::Sled));
}

fn acknowledged(input: &Input<'_>) {
    let (right, input) = input.choose();
    let mut bytes = input.bytes.to_vec();
    if right % 2 == 1 && bytes.len() >= 64 {
        let sum = marker::slot_checksum(&plain(), &bytes[..56]);
        bytes[56..64].copy_from_slice(&sum);
    }
    let input = Input { bytes: &bytes, ..input };
    let found = input.comes_back(
        |bytes| marker::decode_slot(&plain(), bytes),
        |(writes, slot)| marker::encode_slot(&plain(), *writes, slot).to_vec(),
    );
    if let Some((_, found)) = found {
        let held = Marker { batch: found.batch, digest: found.digest, ..Marker::default() };
        assert!(found.check(&held).is_ok());
    }
}

fn plain_records() -> Vec<Vec<u8>> {
    let of = |kind, payload: &[u8]| {
        record::encode(&plain(), &mut Nonces::default(), kind, &PLACE, payload).unwrap_or_default()
    };
    let all = [of(Kind::Inline, b"value"), of(Kind::Chunked, &[1; 28]), of(Kind::Inline, b"")];
    all.iter().flat_map(|record| [0, 1].map(|right| [&[right][..], record].concat())).collect()
}

fn sealed_records() -> Vec<Vec<u8>> {
    let nonce = [4; NONCE];
    let sealed = sealer()
        .sealed
        .and_then(|sealed| record::seal(&sealed, nonce, Kind::Inline, &PLACE, b"value").ok())
        .unwrap_or_default();
    vec![[&[0][..], &sealed].concat(), [&[1, 1][..], &nonce, &[1; 28]].concat()]
}

fn names() -> Vec<Vec<u8>> {
    let space = |wanted: Keyspace| {
        let at = Keyspace::ALL.iter().position(|space| *space == wanted).unwrap_or_default();
        at as u8
    };
    let number = [0, 0, 0, 1];
    vec![
        [&[space(Keyspace::Transactions)][..], &number, &[1; 32], &[0; 8], &[2; 32]].concat(),
        [&[space(Keyspace::Readers)][..], &number, &[1, 3, 9, 9, 9], &[0; 16], &[2; 32], &[1; 64]].concat(),
        [&[space(Keyspace::Meta)][..], &number, b"tip/", &[1; 32], &[0; 8], &[2; 32]].concat(),
        [&[space(Keyspace::Keys)][..], &number, b"ring/\x03", &[1; 32], &[2; 32]].concat(),
        [&[space(Keyspace::Peers)][..], &[0, 36, 8, 1, 18, 32], &[1; 32]].concat(),
    ]
}

fn formats() -> Vec<Vec<u8>> {
    let present = |wrap| Format::of(SCHEMA, EngineName::Redb, wrap).encode().unwrap_or_default();
    let mut older = present(None)[..8].to_vec();
    older.extend(crate::fuzzing::encoded(&(1u32, 2u32, [7u8; 32])));
    older.extend([0; HASH]);
    vec![
        [&[0][..], &present(None)].concat(),
        [&[0][..], &present(Some(keys::wrapped(Source::File)))].concat(),
        [&[1][..], &present(Some(keys::wrapped(Source::Host)))].concat(),
        [&[1][..], &older].concat(),
    ]
}

fn markers() -> Vec<Vec<u8>> {
    let mut marker = Marker { batch: 3, digest: [4; 32], next_chunk: 5, ..Marker::default() };
    marker.sums[2].add([1; 8]);
    vec![marker.encode().unwrap_or_default()]
}

fn slots() -> Vec<Vec<u8>> {
    let acknowledged = Acknowledged { batch: 3, digest: [4; 32], clean: true };
    let slot = marker::encode_slot(&plain(), 9, &acknowledged);
    [0, 1].map(|right| [&[right][..], &slot].concat()).into()
}

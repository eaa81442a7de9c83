//! Known answers: what is written down must come out again, and the formats in words give the same bytes.
#![allow(clippy::unwrap_used)]

#[path = "vectors/generate.rs"]
#[allow(unreachable_pub)]
mod generate;

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, VerifyingKey};
use kith_core::replica::{Header, Kind, Payload, StateKey, Transaction, TransactionId};

const WRITTEN: &str = include_str!("vectors/replica.txt");

fn written() -> BTreeMap<&'static str, &'static str> {
    WRITTEN.lines().filter_map(|line| line.split_once(" = ")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The names of the transactions that are written down.
fn names() -> Vec<&'static str> {
    written().into_keys().filter_map(|name| name.strip_suffix(".header")).collect()
}

#[test]
fn what_is_written_comes_out_again() {
    for (written, now) in WRITTEN.lines().zip(generate::text().lines()) {
        assert_eq!(written, now);
    }
    assert_eq!(WRITTEN, generate::text());
}

#[test]
fn every_kind_in_force_is_there() {
    let file = written();
    let kind = |name: &str| bytes(file[format!("{name}.header").as_str()]);
    let kinds: Vec<u8> =
        names().into_iter().map(|name| borsh::from_slice::<Header>(&kind(name)).unwrap().kind).collect();
    for number in (Kind::Genesis as u8..=Kind::Skip as u8).chain([Kind::Note as u8, Kind::SetName as u8]) {
        assert!(kinds.contains(&number), "kind {number}");
    }
    assert!(file["history.verdicts"].split(' ').all(|verdict| verdict == "Valid"));
}

/// The header's layout, written by hand: fields in order, integers little-endian, a list with its length as u32.
fn by_hand(header: &Header) -> Vec<u8> {
    let mut out = vec![header.version];
    out.extend(header.context.0);
    out.extend(header.author.0);
    out.extend(header.sequence.to_le_bytes());
    out.extend(header.previous.0);
    out.extend((header.parents.len() as u32).to_le_bytes());
    for parent in &header.parents {
        out.extend(parent.author.0);
        out.extend(parent.sequence.to_le_bytes());
        out.extend(parent.id.0);
    }
    out.extend(header.lamport.to_le_bytes());
    out.extend(header.timestamp.to_le_bytes());
    out.push(header.kind);
    out.extend(header.epoch);
    out.extend(header.counter.to_le_bytes());
    out.extend(header.commitment);
    out.extend(header.payload_hash);
    out.extend(header.payload_len.to_le_bytes());
    out
}

#[test]
fn ids_and_signatures_are_what_the_words_say() {
    let file = written();
    for name in names() {
        let value = |part: &str| bytes(file[format!("{name}.{part}").as_str()]);
        let transaction = Transaction::decode(&value("transaction")).unwrap();
        let header = value("header");
        assert_eq!(by_hand(&transaction.header), header, "{name}");
        let id = blake3::derive_key("kith 2026 transaction id", &header);
        assert_eq!(id.to_vec(), value("id"), "{name}");
        assert_eq!(transaction.check_signed(), Ok(TransactionId(id)), "{name}");

        let payload = value("payload");
        assert_eq!(transaction.header.payload_len as usize, payload.len());
        assert_eq!(transaction.header.payload_hash, blake3::derive_key("kith 2026 payload", &payload));
        assert_eq!(
            transaction.header.commitment,
            blake3::derive_key("kith 2026 payload commitment", &payload)
        );

        let key = VerifyingKey::from_bytes(&transaction.header.author.0).unwrap();
        let signature = Signature::from_slice(&value("signature")).unwrap();
        let message = [&b"kith 2026 transaction signature"[..], &id].concat();
        key.verify_strict(&message, &signature).unwrap();

        let mut whole = header;
        whole.extend((payload.len() as u32).to_le_bytes());
        whole.extend(&payload);
        whole.push(1);
        whole.extend(signature.to_bytes());
        assert_eq!(whole, value("transaction"), "{name}");
    }
}

#[test]
fn payloads_decode_to_what_encodes_to_them() {
    let file = written();
    for name in names() {
        let transaction = Transaction::decode(&bytes(file[format!("{name}.transaction").as_str()])).unwrap();
        let payload = Payload::decode(transaction.header.kind, transaction.plaintext());
        if name == "not in force" {
            // It is about keys, in a context where nothing is sealed: its bytes alone do not say that.
            assert_eq!(payload, Some(Payload::Epoch(vec![1, 2, 3])));
        } else {
            assert_eq!(payload.unwrap().encode(), transaction.plaintext(), "{name}");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let file = written();
    let good = bytes(file["call with a parent.transaction"]);
    assert!(Transaction::decode(&good).unwrap().check_signed().is_ok());
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let noticed = Transaction::decode(&bad).is_ok_and(|transaction| transaction.check_signed().is_ok());
        assert!(!noticed, "byte {at}");
    }
}

#[test]
fn state_keys_and_places_are_what_the_words_say() {
    let file = written();
    let collection = blake3::derive_key("kith 2026 state key: collection", b"notes");
    let name = blake3::derive_key("kith 2026 state key: name in a collection", b"first");
    let key = [&collection[..16], &name[..16]].concat();
    assert_eq!(bytes(file["state_key.of(notes, first)"]), key);
    assert_eq!(StateKey::of("notes", "first").0.to_vec(), key);
    assert_eq!(bytes(file["state_key.collection(notes)"]), &collection[..16]);
    let place = [&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2][..], &[7; 32]].concat();
    assert_eq!(bytes(file["place.key(1, 258, 0707…)"]), place);
}

#[test]
fn set_hashes_are_what_the_words_say() {
    let file = written();
    let mut lanes = [0u16; 1024];
    let collapsed = |lanes: &[u16; 1024]| {
        let bytes: Vec<u8> = lanes.iter().flat_map(|lane| lane.to_le_bytes()).collect();
        blake3::derive_key("kith 2026 state commitment", &bytes).to_vec()
    };
    assert_eq!(bytes(file["set_hash.of nothing"]), collapsed(&lanes));
    let mut add = |entry: &[u8]| {
        let mut element = [0; 2048];
        let mut hasher = blake3::Hasher::new_derive_key("kith 2026 state commitment element");
        hasher.update(entry).finalize_xof().fill(&mut element);
        for (lane, pair) in lanes.iter_mut().zip(element.chunks(2)) {
            *lane = lane.wrapping_add(u16::from_le_bytes([pair[0], pair[1]]));
        }
        collapsed(&lanes)
    };
    let one = add(&[&[0, 32, 0, 0, 0][..], &[1; 32], b"value"].concat());
    assert_eq!(bytes(file["set_hash.of (0, 0101…, value)"]), one);
    let two = add(&[1, 1, 0, 0, 0, b'm']);
    assert_eq!(bytes(file["set_hash.of that and (1, m, nothing)"]), two);
}

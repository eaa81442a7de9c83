//! The calls of the simulated users.

use kith_core::application::kv;
use kith_core::replica::StateKey;
use kith_core::replica::payload::CallPayload;
use kith_oracle::probe;

/// A key of the state; they share prefixes in pairs, so that ranges meet some and miss others.
#[must_use]
pub fn state_key(number: u8) -> StateKey {
    let mut bytes = [0; 32];
    bytes[0] = 1 + number / 2;
    bytes[1] = number % 2;
    StateKey(bytes)
}

/// A call of one of 15 kinds.
#[must_use]
pub fn call(method: u8, number: u8, value: u8) -> CallPayload {
    let key = state_key(number);
    let bytes = |value: u8| vec![value; usize::from(value)];
    let (method, arguments) = match method {
        0 | 1 => kv::put(&key, bytes(value)),
        2 => kv::delete(&key),
        3..=6 => kv::add(&key, i64::from(value) - 1),
        7 => kv::compare_and_set(&key, None, Some(bytes(value))),
        8 => kv::compare_and_set(&key, Some(bytes(value)), None),
        9 | 10 => kv::append(&key, bytes(value)),
        11 => probe::digest(&key.0[..1], None, u32::from(value), state_key(7)),
        12 => probe::digest(&[], Some(key), 2, state_key(value)),
        13 => ("whoami", Vec::new()),
        _ => kv::batch(vec![
            kv::Operation::Add(kv::Add { key, delta: 1 }),
            kv::Operation::Append(kv::Append { key: state_key(value), bytes: vec![number] }),
        ]),
    };
    CallPayload { method: method.into(), arguments }
}

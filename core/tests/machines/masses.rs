//! A member that makes epochs without end, well formed and signed, whose wraps are garbage: each costs what a transaction costs, and its keys nothing.

use kith_core::encryption::{Epoch, RatchetKey, Suite, Wraps};
use kith_core::node::machine::Wish;
use kith_core::replica::{Kind, Payload};
use kith_core::storage::{Keyspace, Store};

use crate::pair::{Member, Pair, put};

/// What messages begin with.
const COMPLAIN: u8 = 16;

/// Rows and bytes of keys.
fn keys(member: &Member) -> (usize, usize) {
    let rows = member.disk.snapshot().unwrap().scan(Keyspace::Keys, &[], None, false, usize::MAX).unwrap();
    (rows.len(), rows.iter().map(|(key, value)| key.len() + value.len()).sum())
}

fn bogus(number: u64) -> Wish {
    let suite = Suite::X25519;
    let noise = *blake3::hash(&number.to_le_bytes()).as_bytes();
    let epoch = Epoch {
        suite: suite as u8,
        commit: noise,
        ratchet_key: RatchetKey { index: 0, key: noise.to_vec() },
        recipients: 1,
        // At step 0, to the first key: as what is always tried.
        wraps: Wraps::Inline([&[0; 8][..], &noise.repeat(3)[..suite.wrap() - 8]].concat()),
    };
    Wish::Author(Payload::Epoch(borsh::to_vec(&epoch).unwrap()))
}

fn flood(number: u64) {
    let mut pair = Pair::new(Suite::X25519 as u8, false);
    pair.done(0, put(1));
    pair.done(1, put(2));
    let before = keys(&pair.members[0]);
    // The control: an epoch whose wraps are sound is taken in, and its keys are rows.
    pair.done(1, Wish::RotateKeys);
    let sound = keys(&pair.members[0]);
    assert!(sound.0 >= before.0 + 3, "an envelope's and two chains: {before:?}, {sound:?}");
    pair.sent.clear();

    for wish in 0..number {
        pair.wish(1, bogus(wish));
        if wish % 256 == 255 {
            pair.exchange();
        }
    }
    pair.exchange();
    assert!(pair.are_equal());
    let me = pair.members[1].me();
    let there = pair.members[0].written_by(&me, Kind::Epoch).len() as u64;
    assert!(there >= number, "they are history: {there}");
    assert_eq!(pair.members[0].key_troubles() as u64, number, "each is told, once");
    let after = keys(&pair.members[0]);
    assert!(after.0 <= sound.0 + 1 && after.1 <= sound.1 + 64, "{sound:?}, {after:?}");
    let complaints = pair.sent.iter().filter(|(_, who, kind)| (*who, *kind) == (0, COMPLAIN)).count();
    assert_eq!(complaints, 1, "one in a session");

    // Both go on, under one epoch that the founder makes since it was given no keys.
    let epochs = pair.members[0].written_by(&pair.members[0].me(), Kind::Epoch).len();
    let call = pair.done(0, put(3)).unwrap();
    assert_eq!(pair.members[0].written_by(&pair.members[0].me(), Kind::Epoch).len(), epochs + 1);
    assert!(pair.members[1].opened_by_key(&call));
    let call = pair.done(1, put(4)).unwrap();
    assert!(pair.members[0].opened_by_key(&call));
    let replica = pair.members[0].machine().replica();
    assert_eq!((replica.unopened(), replica.violations()), (0, 0));
}

#[test]
fn epochs_of_garbage_cost_no_keys_and_hold_up_nobody() {
    flood(300);
}

/// `cargo test -p kith-core --test machines -- --ignored`
#[test]
#[ignore = "long form of epochs_of_garbage_cost_no_keys_and_hold_up_nobody: a minute"]
fn ten_thousand_epochs_of_garbage_cost_no_keys_and_hold_up_nobody() {
    flood(10_000);
}

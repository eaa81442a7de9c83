//! The counted limits of a call, at the edge and one past it, and pages of entries.
#![allow(clippy::unwrap_used)]

mod common;

use common::deliver::{Dice, Manner, Node};
use common::oracle::Oracle;
use common::probe::{self, Much, Probe};
use common::world::{World, state_key};
use kith_core::application::kv;
use kith_core::replica::payload::CallPayload;
use kith_core::replica::{Payload, Rejection, StateKey};

fn call(world: &mut World, (method, arguments): (&str, Vec<u8>)) -> usize {
    let from = world.standpoint(0, common::actions::Stance::Honest).unwrap();
    world.publish(&from, &Payload::Call(CallPayload { method: method.into(), arguments }), &[])
}

/// Delivers a world, compares it with the oracle, and gives what that says.
fn settle(world: &World) -> Oracle {
    let all = world.transactions();
    let oracle = Oracle::replay(&world.context, &all, &Probe);
    let mut node = Node::new(world.context);
    node.receive_all(&all, Manner::default(), &mut Dice::new(1));
    node.check(&oracle).unwrap();
    oracle
}

#[track_caller]
fn ends_at(what: Much, edge: usize) {
    let mut world = World::genesis(Vec::new());
    let within = call(&mut world, probe::strain_call(what, edge));
    let past = call(&mut world, probe::strain_call(what, edge + 1));
    let oracle = settle(&world);
    assert_eq!(oracle.rejection(&world.id(within)), None, "{what:?}: {edge}");
    let limit = Rejection::Limit(String::new());
    assert_eq!(oracle.rejection(&world.id(past)), Some(&limit), "{what:?}: {}", edge + 1);
}

#[test]
fn a_value_has_one_mebibyte() {
    ends_at(Much::Value, 1 << 20);
}

#[test]
fn a_call_writes_ten_thousand_keys() {
    ends_at(Much::KeysWritten, 10_000);
}

#[test]
fn a_call_writes_four_mebibytes_keys_included() {
    // Four values: the last one is shorter by the keys.
    ends_at(Much::BytesWritten, (4 << 20) - 4 * 32);
}

#[test]
fn a_call_reads_a_hundred_thousand_keys() {
    ends_at(Much::KeysRead, 100_000);
}

#[test]
fn an_output_ends() {
    ends_at(Much::Output, (1 << 20) + 4096);
}

#[test]
fn what_is_emitted_ends() {
    ends_at(Much::Emitted, (1 << 20) + 4096 - 16);
}

#[test]
fn an_application_that_swallows_the_error_is_rejected_all_the_same() {
    let mut world = World::genesis(Vec::new());
    let swallows = call(&mut world, ("swallow", Vec::new()));
    let oracle = settle(&world);
    assert_eq!(oracle.rejection(&world.id(swallows)), Some(&Rejection::Limit(String::new())));
    assert!(oracle.state.is_empty());
}

#[test]
fn pages_end_after_a_thousand_entries() {
    let mut world = World::genesis(Vec::new());
    call(&mut world, probe::strain_call(Much::KeysWritten, 1_001));
    let digest = call(&mut world, probe::digest(&[0xcc], None, 5_000, state_key(0)));
    let oracle = settle(&world);
    let emitted = &oracle.receipts[&world.id(digest)].emitted;
    assert_eq!(emitted[0].1, 1_000u64.to_le_bytes());
}

#[test]
fn entries_that_the_call_has_deleted_do_not_hide_those_after_them() {
    for size in [1, (1 << 20) - 100] {
        let mut world = World::genesis(Vec::new());
        for number in 0..4u8 {
            call(
                &mut world,
                kv::put(&StateKey([0x77, number].repeat(16).try_into().unwrap()), vec![1; size]),
            );
        }
        let clear = call(&mut world, ("clear", vec![0x77]));
        let oracle = settle(&world);
        assert_eq!(oracle.rejection(&world.id(clear)), None);
        assert!(oracle.state.is_empty(), "all is cleared, with values of {size} bytes");
    }
}

#[test]
fn a_page_of_large_values_has_at_least_one_and_the_callers_own_count() {
    let mut world = World::genesis(Vec::new());
    let key = |number: u8| StateKey([0x77, number].repeat(16).try_into().unwrap());
    call(&mut world, kv::put(&key(1), vec![1; 1 << 20]));
    call(&mut world, kv::put(&key(2), vec![1; 10]));
    let whole = call(&mut world, probe::digest(&[0x77], None, 10, state_key(0)));
    let rest = call(&mut world, probe::digest(&[0x77], Some(key(1)), 10, state_key(0)));
    let own = call(&mut world, ("own_large_page", vec![0x77]));
    let oracle = settle(&world);
    let count = |call: usize| oracle.receipts[&world.id(call)].emitted[0].1.clone();
    assert_eq!(count(whole), 1u64.to_le_bytes());
    assert_eq!(count(rest), 1u64.to_le_bytes());
    assert_eq!(count(own), 1u64.to_le_bytes());
}

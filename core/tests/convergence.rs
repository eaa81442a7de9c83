//! Any delivery order of a history, with duplicates, in batches of any size, gives the same order, receipts, membership,
//! state and commitment: those of a replay from genesis.

mod common;

use std::cell::RefCell;

use common::actions::{Plan, plan};
use common::deliver::{Dice, Manner, Node, Passage};
use common::oracle::Oracle;
use common::probe::Probe;
use common::tally::Tally;
use common::world::World;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

/// `KITH_CASES` sets the number of cases of each property.
fn cases() -> u32 {
    std::env::var("KITH_CASES").map_or(1000, |text| text.parse().expect("KITH_CASES is a number"))
}

/// In how many of a thousand cases these happen at least.
const FLOORS: &[(&str, usize)] = &[];

fn for_all(
    title: &str,
    floors: &[(&'static str, usize)],
    property: impl Fn(&Plan, &mut Dice) -> Result<(Oracle, Vec<Passage>), String>,
) {
    let config = ProptestConfig {
        cases: cases(),
        source_file: Some(file!()),
        test_name: Some("convergence"),
        ..ProptestConfig::default()
    };
    let tally = RefCell::new(Tally::default());
    let cases = (plan(5..80), any::<u64>());
    let result = TestRunner::new(config).run(&cases, |(plan, seed)| {
        let (oracle, passages) = property(&plan, &mut Dice::new(seed)).map_err(TestCaseError::fail)?;
        tally.borrow_mut().count(&oracle, &passages);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{title}: {failure}");
    }
    tally.borrow().finish(title, floors);
}

#[test]
fn every_delivery_order_gives_what_a_replay_from_genesis_gives() {
    for_all("delivery", FLOORS, |plan, dice| {
        let world = World::of(plan);
        let all = world.transactions();
        let oracle = Oracle::replay(&world.context, &all, &Probe);
        if oracle.order.len() != world.entries.len() {
            return Err("the actors' transactions are valid, the junk is not".into());
        }
        let mut passages = Vec::new();
        for _ in 0..2 {
            let mut node = Node::new(world.context);
            node.receive_all(&all, Manner::default(), dice);
            node.check(&oracle)?;
            passages.push(node.passage);
        }
        Ok((oracle, passages))
    });
}

#[test]
fn a_replica_that_is_opened_again_in_the_middle_goes_on_as_if_nothing_had_been() {
    for_all("reopening", &[("reopened", 900), ("late arrival caused a re-run", 200)], |plan, dice| {
        let world = World::of(plan);
        let all = world.transactions();
        let oracle = Oracle::replay(&world.context, &all, &Probe);
        let mut node = Node::new(world.context);
        let manner = Manner { reopens: true, late_application: dice.below(2) == 0 };
        node.receive_all(&all, manner, dice);
        node.check(&oracle)?;
        node.reopen();
        node.check(&oracle)?;
        Ok((oracle, vec![node.passage]))
    });
}

#[test]
fn on_the_way_too_the_state_is_a_replay_of_what_has_arrived() {
    for_all("on the way", &[("late arrival caused a re-run", 200)], |plan, dice| {
        let world = World::of(plan);
        let mut all = world.transactions();
        dice.shuffle(&mut all);
        let arrived = &all[..dice.below(all.len() + 1)];
        let mut node = Node::new(world.context);
        node.receive_all(arrived, Manner::default(), dice);
        node.check(&Oracle::replay(&world.context, arrived, &Probe))?;
        node.receive_all(&all, Manner::default(), dice);
        let oracle = Oracle::replay(&world.context, &all, &Probe);
        node.check(&oracle)?;
        Ok((oracle, vec![node.passage]))
    });
}

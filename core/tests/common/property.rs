//! The properties of convergence, and how they are tried.

use std::cell::RefCell;

use kith_core::replica::{Payload, Role, Transaction};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};

use super::actions::{Plan, plan};
use super::deliver::{Dice, Manner, Node, Passage};
use super::oracle::{Oracle, Verdict};
use super::probe::Probe;
use super::sealing::as_heard;
use super::tally::Tally;
use super::world::{World, actor};

/// What a property says of one history, when it holds.
pub type Held = Result<(Oracle, Vec<Passage>), String>;
pub type Property = fn(&Plan, &mut Dice) -> Held;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not `{text}`")))
}

/// Tries a property on random worlds: `KITH_CASES` of them (1,000), beginning with `KITH_SEED` (random, and printed where it fails).
pub fn try_on_worlds(property: Property) -> Result<Tally, String> {
    let cases = number("KITH_CASES").unwrap_or(1000);
    let seed = number("KITH_SEED").unwrap_or_else(|| {
        u64::from_le_bytes(kith_core::replica::StateKey::random().unwrap().0[..8].try_into().unwrap())
    });
    try_from_seed(property, u32::try_from(cases).unwrap(), seed, 10_000)
}

/// `shrinks` is how many simpler cases are tried where one fails.
pub fn try_from_seed(property: Property, cases: u32, seed: u64, shrinks: u32) -> Result<Tally, String> {
    let config = ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: shrinks,
        ..ProptestConfig::default()
    };
    let tally = RefCell::new(Tally::default());
    TestRunner::new(config)
        .run(&(plan(5..80), any::<u64>()), |(mut plan, dice)| {
            // In each fourth world calls are sealed. By what is there already, so that a seed means the same worlds as before.
            plan.suite = u8::from(dice % 4 == 3);
            let (oracle, passages) = property(&plan, &mut Dice::new(dice)).map_err(TestCaseError::fail)?;
            tally.borrow_mut().count(&oracle, &passages);
            Ok(())
        })
        .map_err(|failure| format!("{failure}\nagain with KITH_SEED={seed} KITH_CASES={cases}"))?;
    Ok(tally.into_inner())
}

/// What the oracle says of somebody that has seen less is a replay of that. Tried of one transaction in ten histories.
fn the_past_is_a_replay(
    world: &World,
    all: &[Transaction],
    oracle: &Oracle,
) -> std::result::Result<(), String> {
    let Some((_, id)) = oracle.order.last().filter(|(_, id)| id.0[0].is_multiple_of(10)) else {
        return Ok(());
    };
    let past = &oracle.history[id].past;
    let seen = all.iter().filter(|t| past.contains(&t.header.id()));
    let replay = Oracle::replay(&world.context, seen, &Probe).governance;
    let same = oracle.before(id) == Some(replay);
    if same { Ok(()) } else { Err(format!("who may do what before {id} is not what a replay says")) }
}

/// Any order of delivery, with duplicates, in batches of any size, gives what a replay from genesis gives.
pub fn delivery(plan: &Plan, dice: &mut Dice) -> Held {
    let world = World::of(plan);
    let all = world.transactions();
    let oracle = Oracle::replay(&world.context, &all, &Probe);
    if oracle.order.len() != world.entries.len() {
        let wrong = all.iter().map(|t| (t.header.id(), t.header.kind)).filter(|(id, _)| {
            world.numbers.contains_key(id) != (oracle.verdicts.get(id) == Some(&Verdict::Valid))
        });
        let wrong: Vec<_> = wrong.map(|(id, kind)| (id, kind, oracle.verdicts.get(&id))).collect();
        return Err(format!("the actors' transactions are valid, the junk is not: {wrong:?}"));
    }
    the_creator_is_safe(&oracle)?;
    the_past_is_a_replay(&world, &all, &oracle)?;
    let mut passages = Vec::new();
    for _ in 0..2 {
        let mut node = Node::new(world.context);
        node.receive_all(&as_heard(&all, dice), Manner::default(), dice);
        node.hear_contents(&all, dice);
        node.check(&oracle)?;
        passages.push(node.passage);
    }
    Ok((oracle, passages))
}

/// The creator is everybody's senior: only its own word, or a proof that it signed two histories, makes it less than an admin.
fn the_creator_is_safe(oracle: &Oracle) -> Result<(), String> {
    let creator = actor(0);
    let gives_up = |known: &super::oracle::Known| match &known.payload {
        Some(Payload::Leave) => known.author() == creator,
        Some(Payload::Remove(remove)) => known.author() == creator && remove.member == creator,
        Some(Payload::SetRole(set)) => {
            known.author() == creator && set.member == creator && set.last.is_some()
        }
        Some(Payload::Fork(fork)) => fork.member == creator,
        _ => false,
    };
    let gave_up =
        oracle.history.values().any(|known| gives_up(known) && oracle.receipts[&known.id].accepted());
    let is_admin = oracle.governance.members.get(&creator).is_some_and(|member| member.role == Role::Admin);
    if gave_up || is_admin { Ok(()) } else { Err("the creator was unmade by somebody else".into()) }
}

/// The same, where the replica is dropped and opened again on its tables between batches, and gets its application late.
pub fn reopening(plan: &Plan, dice: &mut Dice) -> Held {
    let world = World::of(plan);
    let all = world.transactions();
    let oracle = Oracle::replay(&world.context, &all, &Probe);
    let mut node = Node::new(world.context);
    let manner = Manner { reopens: true, late_application: dice.below(2) == 0 };
    node.receive_all(&as_heard(&all, dice), manner, dice);
    node.hear_contents(&all, dice);
    node.check(&oracle)?;
    node.reopen();
    node.check(&oracle)?;
    Ok((oracle, vec![node.passage]))
}

/// A part of the history, in any order, some of it unopened, gives a replay of that part; then the rest a replay of the whole.
pub fn on_the_way(plan: &Plan, dice: &mut Dice) -> Held {
    let world = World::of(plan);
    let mut all = world.transactions();
    dice.shuffle(&mut all);
    let arrived = as_heard(&all[..dice.below(all.len() + 1)], dice);
    let mut node = Node::new(world.context);
    node.receive_all(&arrived, Manner::default(), dice);
    node.check(&Oracle::replay(&world.context, &arrived, &Probe))?;
    node.receive_all(&as_heard(&all, dice), Manner::default(), dice);
    node.hear_contents(&all, dice);
    let oracle = Oracle::replay(&world.context, &all, &Probe);
    node.check(&oracle)?;
    Ok((oracle, vec![node.passage]))
}

/// Whatever came late, was executed again, cut or skipped: a check of the tables against the history finds no difference, and has looked at
/// everything.
pub fn verified(plan: &Plan, dice: &mut Dice) -> Held {
    let world = World::of(plan);
    let all = world.transactions();
    let oracle = Oracle::replay(&world.context, &all, &Probe);
    let mut node = Node::new(world.context);
    node.receive_all(&as_heard(&all, dice), Manner::default(), dice);
    node.hear_contents(&all, dice);
    let report = node.verify();
    if let Some(difference) = report.difference {
        return Err(format!("{difference}"));
    }
    let looked_at = (report.transactions, report.executed, report.pending);
    let there = oracle.order.len() as u64;
    if looked_at != (there, there, 0) {
        return Err(format!("of {there} transactions: {looked_at:?}"));
    }
    Ok((oracle, vec![node.passage]))
}

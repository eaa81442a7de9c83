//! Broken rules are noticed: with each of the deliberate faults on, the properties of convergence fail.
//!
//! The switches are for the whole process, so this is one test in a file of its own.
#![cfg(feature = "fault-switches")]
#![allow(clippy::unwrap_used)]

mod common;

use common::covering::passed_on;
use common::property::{Property, delivery, on_the_way, reopening, try_from_seed, verified};
use kith_core::replica::faults::{Fault, set};

const SEED: u64 = 2026;
const CASES: u32 = 200;

fn outcome(fault: Fault, property: Property) -> Result<(), String> {
    set(fault);
    // A broken rule may also show itself as a panic of the harness.
    let outcome = std::panic::catch_unwind(|| try_from_seed(property, CASES, SEED, 0).map(drop));
    set(Fault::None);
    outcome.unwrap_or_else(|_| Err("a panic".into()))
}

#[test]
fn each_broken_rule_makes_the_properties_fail() {
    let properties: [(&str, Property); 3] =
        [("delivery", delivery), ("reopening", reopening), ("on the way", on_the_way)];
    for (title, property) in properties {
        assert_eq!(outcome(Fault::None, property), Ok(()), "{title}: the control, with all rules in force");
        let faults = [
            (Fault::TieBreakByArrival, "Test failed: order"),
            (Fault::SkipRerun, "Test failed: receipt"),
            (Fault::RemovalWithoutLast, "Test failed: receipt"),
        ];
        for (fault, seen) in faults {
            let failure = outcome(fault, property).expect_err(&format!("{title} did not notice {fault:?}"));
            let first = failure.lines().next().unwrap_or_default();
            println!("{title} with {fault:?}: {first}");
            assert!(first.starts_with(seen), "{title} with {fault:?} fails for another reason: {first}");
        }
    }
    // Where calls are sealed: what does not open a commitment is taken for what a call says.
    let failure = outcome(Fault::TrustShares, delivery).expect_err("a false content was not noticed");
    println!("delivery with {:?}: {}", Fault::TrustShares, failure.lines().next().unwrap_or_default());
    // What covers a transaction that has no signature is not kept: what only an invalid one covers stays with those who got it.
    assert_eq!(passed_on(), Ok(()));
    set(Fault::ForgetCover);
    let apart = passed_on();
    set(Fault::None);
    println!("passing on with {:?}: {apart:?}", Fault::ForgetCover);
    assert!(apart.is_err_and(|why| why.starts_with("Invalid(Malformed(Signature))")));
    // What a member can find out by itself.
    assert_eq!(outcome(Fault::None, verified), Ok(()));
    for (fault, seen) in [
        (Fault::SkipRerun, "differs at"),
        (Fault::ReadNewest, "differs at"),
        (Fault::CommitDeleted, "the state commitment differs at the end of the order"),
    ] {
        let failure = outcome(fault, verified).expect_err(&format!("a check did not notice {fault:?}"));
        let first = failure.lines().next().unwrap_or_default();
        println!("a check with {fault:?}: {first}");
        assert!(first.contains(seen), "a check with {fault:?} says something else: {first}");
    }
}

//! Members that hold the same history agree on its order, its receipts, its membership, its state and its commitment,
//! however it reached them: all is as a replay from genesis says.

mod common;

use common::property::{Property, delivery, on_the_way, reopening, try_on_worlds, verified};

/// In how many of a thousand histories these happen at least.
const FLOORS: &[(&str, usize)] = &[
    ("late arrival", 600),
    ("late arrival caused a re-run", 250),
    ("late arrival changed a receipt", 250),
    ("waited for a parent", 800),
    ("invalid transaction", 150),
    ("missing for ever", 25),
    ("governing transaction rejected", 500),
    ("equivocation", 350),
    ("fork proved", 70),
    ("rejected: cut", 130),
    ("removal cut what sorts before it", 50),
    ("duel", 5),
    ("three rounds of judging or more", 10),
    ("rejected: not senior", 20),
    ("joined by invitation", 20),
    ("rejected: invitation revoked", 8),
    ("backdated redemption of a revoked invitation", 5),
    ("rejected: invitation used", 3),
    ("succession", 8),
    ("call skipped", 50),
    ("sealed", 150),
    ("opened late", 100),
    ("opening late changed a receipt", 10),
];

fn holds(title: &str, property: Property) -> common::tally::Tally {
    match try_on_worlds(property) {
        Ok(tally) => {
            tally.print(title);
            tally.is_above(title, FLOORS);
            tally
        }
        Err(failure) => panic!("{title}: {failure}"),
    }
}

#[test]
fn every_delivery_order_gives_what_a_replay_from_genesis_gives() {
    holds("delivery", delivery);
}

#[test]
fn a_replica_that_is_opened_again_in_the_middle_goes_on_as_if_nothing_had_been() {
    holds("reopening", reopening).is_above("reopening", &[("reopened", 900)]);
}

#[test]
fn on_the_way_too_the_state_is_a_replay_of_what_has_arrived() {
    holds("on the way", on_the_way);
}

#[test]
fn a_check_of_right_tables_finds_no_difference() {
    holds("verified", verified);
}

//! The simulator tried on an engine with one rule turned off at a time: each is to be noticed, by an invariant and not by a panic.

use kith_core::replica::faults::{Fault, set};

use crate::judge::Violation;
use crate::plan::{Plan, Wanted};
use crate::world::run;

/// In how many worlds a defect is to be found.
pub const WORLDS: u64 = 200;

/// Where those were found lately that are not found in the first few worlds. It is looked there first; that saves time and promises nothing.
const LATELY: &[(Fault, u64)] = &[
    (Fault::RemovalWithoutLast, 20),
    (Fault::ForgetLamport, 4),
    (Fault::ForgetParent, 77),
    (Fault::FlushLate, 18),
    (Fault::ForgetMark, 113),
    (Fault::UseOnceMore, 8),
    (Fault::ReadersWrite, 169),
    (Fault::AnswerEarly, 8),
    (Fault::ForgetPending, 18),
    (Fault::ForgetCover, 4),
    (Fault::AskNobody, 6),
    (Fault::BelieveJuniors, 24),
    (Fault::TrustShares, 11),
    (Fault::UseOnce, 6),
    (Fault::BelieveRecords, 39),
    (Fault::KeepRole, 5),
    (Fault::TakeSignatures, 4),
    (Fault::UnreadIsAbsent, 11),
    (Fault::LookAtNoIds, 8),
    (Fault::SendAhead, 98),
    (Fault::KeepRatchet, 10),
    (Fault::SealToOld, 10),
    (Fault::SameNonce, 21),
    (Fault::KeepRatchets, 9),
    (Fault::KeepForWeeks, 18),
    (Fault::KeepRoot, 4),
    (Fault::TellNobody, 87),
    (Fault::MeetAtOnce, 109),
];

/// A world among those from `seed` on that goes wrong with a rule turned off, and not with all rules in force.
///
/// The switches are for the whole process: nothing else may run worlds at the time.
#[must_use]
pub fn find(fault: Fault, seed: u64) -> Option<(u64, Violation)> {
    let worlds = seed..seed + WORLDS;
    let lately = LATELY.iter().filter(|(other, at)| *other == fault && worlds.contains(at));
    lately.map(|(_, at)| *at).chain(worlds.clone()).find_map(|seed| {
        let plan = Plan::new(seed, Wanted::default());
        set(fault);
        let outcome = run(&plan);
        set(Fault::None);
        let violation = outcome.err().filter(|violation| violation.invariant != "nothing-panics")?;
        run(&plan).is_ok().then_some((seed, violation))
    })
}

/// Whether each broken rule is found, or only the one of this name; says how.
#[must_use]
pub fn all(seed: u64, only: Option<&str>) -> (u64, u64) {
    let (mut found, mut missed) = (0, 0);
    for fault in Fault::ALL.into_iter().filter(|fault| only.is_none_or(|only| format!("{fault:?}") == only)) {
        match find(fault, seed) {
            Some((at, violation)) => {
                found += 1;
                println!("{fault:?}: {} in world {} (seed {at})", violation.invariant, at - seed + 1);
            }
            None => {
                missed += 1;
                println!("{fault:?}: NOT FOUND in {WORLDS} worlds");
            }
        }
    }
    (found, missed)
}

//! The shortest plan that still breaks the same invariant.

use std::time::{Duration, Instant};

use crate::judge::Violation;
use crate::plan::Plan;
use crate::world::run;

/// Leaves out whatever is not needed, in ever smaller parts, for at most so long. Gives the numbers of the steps that stay.
#[must_use]
pub fn shrink(plan: &Plan, violation: &Violation, time: Duration) -> Vec<usize> {
    shortest(plan.steps.len(), time, |kept| {
        run(&only(plan, kept)).err().is_some_and(|other| other.invariant == violation.invariant)
    })
}

/// The same with anything that so many steps may break.
#[must_use]
pub fn shortest(steps: usize, time: Duration, breaks: impl Fn(&[usize]) -> bool) -> Vec<usize> {
    let end = Instant::now() + time;
    let mut kept: Vec<usize> = (0..steps).collect();
    let mut part = kept.len().div_ceil(2);
    while part > 0 && Instant::now() < end {
        let mut from = 0;
        while from < kept.len() && Instant::now() < end {
            let to = (from + part).min(kept.len());
            let fewer: Vec<usize> = kept[..from].iter().chain(&kept[to..]).copied().collect();
            if breaks(&fewer) {
                kept = fewer;
            } else {
                from = to;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    kept
}

/// A plan with only these of its steps.
#[must_use]
pub fn only(plan: &Plan, kept: &[usize]) -> Plan {
    let steps = kept.iter().filter_map(|number| plan.steps.get(*number)).copied().collect();
    Plan { steps, ..plan.clone() }
}

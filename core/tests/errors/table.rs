//! What the cases have shown.

use std::collections::BTreeMap;

use kith_core::{ErrorKind, Result};

/// Every public call that can fail, in the order of the page. [`sources_agree`] compares it with the source.
pub(crate) const CALLS: &[&str] = &[
    "Node::open",
    "Node::status",
    "Node::register",
    "Node::create_context",
    "Node::inspect",
    "Node::join",
    "Node::contexts",
    "Node::context",
    "Node::connect",
    "Node::suspend",
    "Node::resume",
    "Node::sync_once",
    "Node::change_storage_key",
    "Node::export",
    "Node::shutdown",
    "Context::execute",
    "Context::put",
    "Context::delete",
    "Context::add",
    "Context::compare_and_set",
    "Context::append",
    "Context::batch",
    "Context::query",
    "Context::get",
    "Context::entries",
    "Context::get_blocking",
    "Context::entries_blocking",
    "Context::transaction",
    "Context::history",
    "Context::events",
    "Context::members",
    "Context::invitations",
    "Context::status",
    "Context::commitment",
    "Context::security",
    "Context::verify",
    "Context::explain",
    "Context::set_name",
    "Context::set_display_name",
    "Context::set_role",
    "Context::remove",
    "Context::invite",
    "Context::revoke",
    "Context::skip",
    "Context::leave",
    "Context::wait_synced",
    "Context::rotate_keys",
    "Events::next",
    "Events::next_blocking",
    "Invitation::from_text",
    "Invitation::from_bytes",
    "Invitation::sign",
    "StateKey::from_slice",
    "StateKey::from_hex",
    "StateKey::random",
];

/// Where the calls stand in the source. A new call that can fail has to get its row above.
const SOURCES: [(&str, &str); 5] = [
    ("Node", include_str!("../../src/node/mod.rs")),
    ("Context", include_str!("../../src/node/context.rs")),
    ("Events", include_str!("../../src/node/events.rs")),
    ("Invitation", include_str!("../../src/invitation.rs")),
    ("StateKey", include_str!("../../src/replica/ids.rs")),
];

/// The calls of the source that can fail.
pub(crate) fn calls_of_the_source() -> Vec<String> {
    let mut found = Vec::new();
    for (owner, source) in SOURCES {
        let source = source.split("#[cfg(test)]").next().unwrap();
        for part in source.split("    pub ").skip(1) {
            let part = part.strip_prefix("async ").unwrap_or(part);
            let Some(rest) = part.strip_prefix("fn ") else { continue };
            let signature = rest.split('{').next().unwrap();
            let name = signature.split(['(', '<']).next().unwrap();
            let fails = signature.split("->").last().is_some_and(|answer| answer.contains("Result<"));
            let call = format!("{owner}::{name}");
            if fails && !found.contains(&call) {
                found.push(call);
            }
        }
    }
    found
}

#[derive(Default)]
pub(crate) struct Table {
    present: &'static str,
    /// (call, kind) → the cases that showed it, in the order in which they ran.
    pub(crate) shown: BTreeMap<(&'static str, ErrorKind), Vec<&'static str>>,
    pub(crate) cases: Vec<&'static str>,
    /// Calls that answered otherwise. All are told at the end.
    pub(crate) wrong: Vec<String>,
}

impl Table {
    /// What follows is part of this case.
    pub(crate) fn case(&mut self, name: &'static str) {
        assert!(!self.cases.contains(&name), "two cases are called `{name}`");
        println!("case: {name}");
        self.cases.push(name);
        self.present = name;
    }

    /// The call has failed with this kind.
    pub(crate) fn shows<T>(&mut self, call: &'static str, kind: ErrorKind, outcome: Result<T>) {
        let case = self.present;
        assert!(CALLS.contains(&call), "{case}: there is no call {call}");
        match outcome {
            Ok(_) => self.wrong.push(format!("{case}: {call} has not failed; {kind} was expected")),
            Err(error) if error.kind() != kind || error.message().is_empty() => {
                self.wrong.push(format!("{case}: {call}: {kind} was expected, and it is: {error}"));
            }
            Err(_) => {
                let cases = self.shown.entry((call, kind)).or_default();
                if cases.last() != Some(&case) {
                    cases.push(case);
                }
            }
        }
    }

    /// Each of these calls has failed with this kind.
    pub(crate) fn all(&mut self, kind: ErrorKind, outcomes: Vec<(&'static str, Result<()>)>) {
        for (call, outcome) in outcomes {
            self.shows(call, kind, outcome);
        }
    }
}

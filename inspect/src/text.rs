//! Reports for people.

use std::fmt::Write as _;

use crate::check::{Checked, Size};
use crate::history::{History, Outcome};
use crate::report::{ContextReport, NodeReport};

/// So many digits of an id are shown.
const DIGITS: usize = 12;

/// Text that others wrote, harmless to a terminal: what is not printed as itself is escaped, and so are marks that turn the direction.
pub(crate) fn shown(text: &str) -> String {
    let mut harmless = String::new();
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            harmless.extend(c.escape_unicode());
        } else {
            harmless.push(c);
        }
    }
    harmless
}

pub(crate) fn short(id: &str) -> &str {
    id.get(..DIGITS).unwrap_or(id)
}

/// A line; writing to a string cannot fail.
macro_rules! line {
    ($to:expr, $($rest:tt)*) => { let _ = writeln!($to, $($rest)*); };
}

fn head(to: &mut String, context: &ContextReport) {
    let name = if context.name.is_empty() { "(no name)".into() } else { shown(&context.name) };
    line!(to, "context {}  {name}", context.id);
    if let Some(error) = &context.error {
        line!(to, "  cannot be read: {}", shown(error));
    }
}

pub(crate) fn summary(node: &NodeReport) -> String {
    let mut to = String::new();
    line!(to, "node {}", node.peer.as_deref().unwrap_or("without an identity"));
    line!(to, "  remembers {} peers, holds {} contexts", node.remembered_peers, node.contexts.len());
    for context in &node.contexts {
        to.push('\n');
        head(&mut to, context);
        line!(to, "  {}, application {}", context.stage, shown(&context.application));
        line!(
            to,
            "  {} transactions, {} not executed; {} members, {} invitations",
            context.transactions,
            context.pending,
            context.members.len(),
            context.invitations.len()
        );
        line!(to, "  digest     {}", context.digest);
        line!(to, "  commitment {}", context.commitment);
    }
    to
}

pub(crate) fn members(contexts: &[ContextReport]) -> String {
    let mut to = String::new();
    for context in contexts {
        head(&mut to, context);
        for member in &context.members {
            let me = if context.me.as_ref() == Some(&member.id) { " (this node)" } else { "" };
            let fork = if member.tips > 1 { format!(", {} branches", member.tips) } else { String::new() };
            line!(
                to,
                "  {:<6}  {}  {}{me}: {} transactions{fork}, added at {} by {}",
                member.role,
                short(&member.id),
                shown(&member.name),
                member.last_sequence,
                member.added_at,
                short(&member.added_by)
            );
        }
        for invitation in &context.invitations {
            let revoked = if invitation.revoked { ", revoked" } else { "" };
            line!(
                to,
                "  invitation {}: {}, used {} of {}{revoked}  {}",
                short(&invitation.id),
                invitation.role,
                invitation.uses,
                invitation.max_uses,
                shown(&invitation.note)
            );
        }
        to.push('\n');
    }
    to
}

pub(crate) fn histories(histories: &[History]) -> String {
    let mut to = String::new();
    for history in histories {
        line!(to, "context {}: {} transactions", history.context, history.transactions);
        if history.before > 0 {
            line!(to, "  … {} before", history.before);
        }
        for (i, shown_one) in history.shown.iter().enumerate() {
            let name = history.names.get(&shown_one.author).map(|name| format!(" {}", shown(name)));
            let outcome = match (shown_one.outcome, &shown_one.why) {
                (Outcome::Accepted, _) => String::new(),
                (Outcome::Pending, _) => "  not executed".into(),
                (_, why) => format!("  REJECTED: {}", shown(why.as_deref().unwrap_or("for no known reason"))),
            };
            let unseen = match shown_one.unseen {
                0 => String::new(),
                n => format!("  without having seen {n} before it"),
            };
            line!(
                to,
                "{:>8}  {}  {:<12} {}{} #{}{}{unseen}{outcome}",
                history.before + i as u64 + 1,
                short(&shown_one.id),
                shown_one.kind,
                short(&shown_one.author),
                name.unwrap_or_default(),
                shown_one.sequence,
                if shown_one.forked { "  FORKED" } else { "" }
            );
        }
        to.push('\n');
    }
    to
}

pub(crate) fn sizes(sizes: &[Size]) -> String {
    let mut to = String::new();
    line!(to, "{:<14}{:>12}{:>16}{:>16}", "key space", "rows", "bytes of keys", "of values");
    for size in sizes {
        line!(to, "{:<14}{:>12}{:>16}{:>16}", size.keyspace, size.rows, size.key_bytes, size.value_bytes);
        if let Some(damage) = &size.damage {
            line!(to, "  DAMAGED: {}", shown(damage));
        }
    }
    to
}

pub(crate) fn checked(checked: &Checked) -> String {
    let mut to = String::new();
    let rows: u64 = checked.records.iter().map(|size| size.rows).sum();
    line!(to, "{rows} records read");
    for size in &checked.records {
        if let Some(damage) = &size.damage {
            line!(to, "  DAMAGED in {}: {}", size.keyspace, shown(damage));
        }
    }
    for context in &checked.contexts {
        let calls = if context.calls { "" } else { " (calls taken as they are kept)" };
        line!(
            to,
            "context {}: {} transactions, {} executed again{calls}, {} not executed, {} keys",
            context.id,
            context.transactions,
            context.executed,
            context.pending,
            context.keys
        );
        if let Some(difference) = &context.difference {
            line!(to, "  DIFFERENT: {}", shown(difference));
        }
        if let Some(error) = &context.error {
            line!(to, "  CANNOT BE CHECKED: {}", shown(error));
        }
    }
    line!(to, "{}", if checked.good() { "all is well" } else { "something was found" });
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(shown("größer \u{1b}[31m\u{202e}\n"), "größer \\u{1b}[31m\\u{202e}\\u{a}");
    }
}

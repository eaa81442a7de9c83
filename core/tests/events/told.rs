//! An event that a node keeps as a line of `bindings/events/events.txt`: the tests of every language write their events
//! down in this way, each by what it shows of them.

use std::fmt::Write as _;

use kith_core::node::{Cursor, Event};

/// What the key of an export with such events is; it protects nothing.
pub(crate) const KEY: [u8; 32] = [7; 32];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Cursor, kind, and all fields by their names.
pub(crate) fn line(cursor: Cursor, event: &Event) -> String {
    let said = match event {
        Event::Executed { transaction, member, again } => {
            format!("Executed transaction={} member={} again={again}", hex(&transaction.0), hex(&member.0))
        }
        Event::Changed { keys } => {
            let keys: Vec<String> = keys.iter().map(|key| hex(&key.0)).collect();
            format!("Changed keys={}", keys.join(","))
        }
        Event::Reordered { from } => format!("Reordered first={}", hex(&from.0)),
        Event::Rejected { transaction, reason } => {
            format!("Rejected transaction={} reason={reason}", hex(&transaction.0))
        }
        Event::MemberJoined { member, role } => format!("MemberJoined member={} role={role}", hex(&member.0)),
        Event::MemberLeft { member } => format!("MemberLeft member={}", hex(&member.0)),
        Event::MemberRemoved { member } => format!("MemberRemoved member={}", hex(&member.0)),
        Event::RoleChanged { member, role } => format!("RoleChanged member={} role={role}", hex(&member.0)),
        Event::Renamed { member, name } => {
            let member = member.map_or_else(|| "-".into(), |member| hex(&member.0));
            format!("Renamed member={member} name={name}")
        }
        Event::Equivocation { member, one, other } => {
            format!("Equivocation member={} one={} other={}", hex(&member.0), hex(&one.0), hex(&other.0))
        }
        Event::Blocked { cause } => format!("Blocked cause={cause}"),
        Event::Emitted { transaction, name, data } => {
            format!("Emitted transaction={} name={name} data={}", hex(&transaction.0), hex(data))
        }
        Event::Closed { reason } => format!("Closed reason={reason}"),
        Event::KeyTrouble { member, transaction, what } => {
            format!("KeyTrouble member={} transaction={} what={what}", hex(&member.0), hex(&transaction.0))
        }
        Event::KeyViolation { member, transaction } => {
            format!("KeyViolation member={} transaction={}", hex(&member.0), hex(&transaction.0))
        }
        other => panic!("an event that is not kept: {other:?}"),
    };
    format!("{cursor} {said}")
}

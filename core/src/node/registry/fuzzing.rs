//! The rows of a node's list of contexts, and of a context's events.

use super::rows::Row;
use crate::fuzzing::{Input, encoded};
use crate::node::Event;
use crate::replica::{MemberId, Role, StateKey, TransactionId};

pub(crate) fn row(input: &Input<'_>) {
    let (which, input) = input.choose();
    match which % 3 {
        0 => drop(input.borsh::<Row>()),
        1 => drop(input.borsh::<Vec<String>>()),
        _ => drop(input.borsh::<Vec<Event>>()),
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let row =
        Row { number: 1, invitation: Some(vec![1, 2]), left: Some(7), deleted: false, access_key: [2; 32] };
    let events = vec![
        Event::Executed { transaction: TransactionId([1; 32]), member: MemberId([2; 32]), again: true },
        Event::Changed { keys: vec![StateKey([3; 32])] },
        Event::MemberJoined { member: MemberId([2; 32]), role: Role::Reader },
        Event::KeyTrouble {
            member: MemberId([2; 32]),
            transaction: TransactionId([1; 32]),
            what: "no keys".into(),
        },
        Event::Closed { reason: "left".into() },
    ];
    vec![
        [vec![0], encoded(&row)].concat(),
        [vec![1], encoded(&vec!["/ip4/192.0.2.1/tcp/4001".to_owned()])].concat(),
        [vec![2], encoded(&events)].concat(),
    ]
}

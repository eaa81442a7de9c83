//! Whoever asks to be let in is let in, or told why not; and what it is told is so.

use std::collections::BTreeSet;

use kith_core::ErrorKind;
use kith_core::replica::{Replica, Role, TransactionId};
use kith_core::storage::ContextTables;

use crate::node::{NUMBER, Node};
use crate::world::{Go, World};

/// What was ever true of invitations at a member, as a reason to refuse who comes with one.
#[derive(Debug, Default)]
pub(crate) struct Reasons(BTreeSet<(TransactionId, ErrorKind)>);

impl Reasons {
    /// What a member knows of the invitations now.
    pub(crate) fn note(&mut self, replica: &Replica) {
        for (id, state) in replica.invitations() {
            let inviter = replica.member(&state.inviter).map(|facts| facts.role);
            let reasons = [
                (state.uses >= state.invite.max_uses, ErrorKind::InvitationUsed),
                (state.revoked, ErrorKind::InvitationRevoked),
                (inviter != Some(Role::Admin), ErrorKind::InvitationInvalid),
            ];
            self.0.extend(reasons.into_iter().filter(|(so, _)| *so).map(|(_, kind)| (*id, kind)));
        }
    }
}

impl World {
    /// A node has given up joining for this reason.
    pub(crate) fn refused(&mut self, number: usize, kind: ErrorKind) -> Go {
        self.report.refused += 1;
        let node = &self.nodes[number];
        let Some(invitation) = &node.invitation else { return Ok(()) };
        let knows = |other: &Node, so: &dyn Fn(&Replica, &ContextTables<'_>) -> bool| {
            let Some(machine) = &other.machine else { return false };
            let snapshot = other.disk.intact();
            so(machine.replica(), &ContextTables::new(&*snapshot, NUMBER))
        };
        let at_some = |so: &dyn Fn(&Replica, &ContextTables<'_>) -> bool| {
            self.nodes.iter().any(|other| other.number != number && knows(other, so))
        };
        let so = match kind {
            // By the clock of whoever was asked, which may have been wrong for a while.
            ErrorKind::InvitationExpired => {
                let now = |other: &Node| other.clock(&self.time).now().max(other.latest_clock);
                invitation.not_after > 0 && self.nodes.iter().any(|other| now(other) >= invitation.not_after)
            }
            // Removed, or its admission does not count, which is looked at in the end.
            ErrorKind::NotMember => true,
            ErrorKind::InvitationInvalid => {
                let rejected = |replica: &Replica, tables: &ContextTables<'_>| {
                    let known = replica.has(tables, &invitation.invite).unwrap_or(false);
                    known && replica.invitation(&invitation.invite).is_none()
                };
                self.judge.reasons.0.contains(&(invitation.invite, kind)) || at_some(&rejected)
            }
            _ => self.judge.reasons.0.contains(&(invitation.invite, kind)),
        };
        if !so {
            let detail = format!("it is told {kind:?} of {}, which is so at no member", invitation.invite);
            return Err(("a-refusal-says-why", number, detail));
        }
        self.nodes[number].refused = Some(kind);
        Ok(())
    }

    /// Who still asks a member that knows the invitation.
    pub(crate) fn still_asks(&self) -> Option<(usize, String)> {
        self.nodes.iter().filter(|node| node.is_honest() && node.asks() && node.machine.is_some()).find_map(
            |node| {
                let invite = node.invitation.as_ref()?.invite;
                let host = self.nodes.iter().find(|other| self.lets_in(node, other, &invite))?;
                let detail =
                    format!("it is neither let in nor refused by node {}, which knows {invite}", host.number);
                Some((node.number, detail))
            },
        )
    }

    /// Whether one is connected to the other, a member that can let it in or say why not.
    fn lets_in(&self, node: &Node, other: &Node, invite: &TransactionId) -> bool {
        let wire = |line: &&crate::node::Line| self.wires[line.wire].ends.contains(&other.number);
        let Some(machine) = &other.machine else { return false };
        let replica = machine.replica();
        let snapshot = other.disk.intact();
        other.number != node.number
            && node.lines.values().any(|line| wire(&line))
            && other.is_honest()
            && other.joined
            && !other.leaving
            && machine.removed().is_none()
            && replica.member(&other.me).is_some()
            && machine.status().frozen.is_none()
            && replica.has(&ContextTables::new(&*snapshot, NUMBER), invite).unwrap_or(false)
    }

    /// Nobody who was told that it is no member is one in the end.
    pub(crate) fn refused_rightly(&self) -> Go {
        let Some(first) = self.members().first().copied() else { return Ok(()) };
        let Some(machine) = &self.nodes[first].machine else { return Ok(()) };
        let wrongly = |node: &&Node| {
            node.refused == Some(ErrorKind::NotMember) && machine.replica().member(&node.me).is_some()
        };
        match self.nodes.iter().find(wrongly) {
            Some(node) => {
                let detail = format!("it is told that it is no member, and is one at node {first}");
                Err(("a-refusal-says-why", node.number, detail))
            }
            None => Ok(()),
        }
    }
}

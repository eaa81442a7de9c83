//! What is known of a node and its contexts.

use kith_core::network::PeerId;
use kith_core::node::inspection::{Held, Inspection, Stage};
use kith_core::replica::Replica;
use kith_core::storage::ContextTables;
use kith_core::{Error, Result};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct NodeReport {
    pub(crate) version: &'static str,
    pub(crate) peer: Option<String>,
    pub(crate) remembered_peers: usize,
    pub(crate) contexts: Vec<ContextReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ContextReport {
    pub(crate) id: String,
    pub(crate) stage: &'static str,
    /// The member that this node is.
    pub(crate) me: Option<String>,
    /// What could not be read, if anything: then the rest is empty.
    pub(crate) error: Option<String>,
    pub(crate) name: String,
    pub(crate) application: String,
    pub(crate) transactions: u64,
    pub(crate) pending: usize,
    pub(crate) digest: String,
    pub(crate) commitment: String,
    pub(crate) members: Vec<MemberReport>,
    pub(crate) invitations: Vec<InvitationReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct MemberReport {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) added_by: String,
    pub(crate) added_at: u64,
    /// How many tips its chain has: more than one after a fork.
    pub(crate) tips: usize,
    pub(crate) last_sequence: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct InvitationReport {
    pub(crate) id: String,
    pub(crate) inviter: String,
    pub(crate) role: String,
    pub(crate) uses: u32,
    pub(crate) max_uses: u32,
    pub(crate) revoked: bool,
    /// ms since 1970; 0: no end.
    pub(crate) not_after: u64,
    pub(crate) note: String,
}

pub(crate) const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Member => "member",
        Stage::Joining => "joining",
        Stage::Leaving => "leaving",
        Stage::Deleted => "being deleted",
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn node(inspection: &Inspection) -> Result<NodeReport> {
    Ok(NodeReport {
        version: env!("CARGO_PKG_VERSION"),
        peer: inspection.peer()?.as_ref().map(PeerId::to_string),
        remembered_peers: inspection.peers()?,
        contexts: inspection.contexts()?.iter().map(|held| context(inspection, held)).collect(),
    })
}

/// One that cannot be read says why, so that the others are shown all the same.
pub(crate) fn context(inspection: &Inspection, held: &Held) -> ContextReport {
    let mut report = ContextReport {
        id: held.id.to_string(),
        stage: stage(held.stage),
        me: held.member.map(|member| member.to_string()),
        error: None,
        name: String::new(),
        application: String::new(),
        transactions: 0,
        pending: 0,
        digest: String::new(),
        commitment: String::new(),
        members: Vec::new(),
        invitations: Vec::new(),
    };
    if let Err(error) = fill(&mut report, inspection, held) {
        report.error = Some(format!("{:?}: {error}", error.kind()));
    }
    report
}

fn fill(report: &mut ContextReport, inspection: &Inspection, held: &Held) -> Result<(), Error> {
    let snapshot = inspection.store().snapshot()?;
    let tables = ContextTables::new(&*snapshot, held.number);
    let replica = Replica::open(held.id, &tables)?;
    report.name = replica.name().to_string();
    report.application = replica.application().to_string();
    report.transactions = replica.transactions();
    report.pending = replica.pending();
    report.digest = hex(&replica.digest());
    report.commitment = hex(&replica.commitment());
    for (id, member) in replica.members() {
        let added_by = replica.location(&tables, &member.added.id)?.map(|added| added.author.to_string());
        let tips = replica.tips_of(id);
        report.members.push(MemberReport {
            id: id.to_string(),
            name: member.name.clone(),
            role: member.role.to_string(),
            added_by: added_by.unwrap_or_default(),
            added_at: member.added.lamport,
            tips: tips.len(),
            last_sequence: tips.iter().map(|tip| tip.sequence).max().unwrap_or(0),
        });
    }
    for (id, invitation) in replica.invitations() {
        report.invitations.push(InvitationReport {
            id: id.to_string(),
            inviter: invitation.inviter.to_string(),
            role: invitation.invite.role.to_string(),
            uses: invitation.uses,
            max_uses: invitation.invite.max_uses,
            revoked: invitation.revoked,
            not_after: invitation.invite.not_after,
            note: invitation.invite.note.clone(),
        });
    }
    Ok(())
}

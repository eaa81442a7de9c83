//! What may be sent to those who help: shapes and numbers, and nothing that people wrote or that opens anything.
//!
//! Everything in it is named here, field by field; nothing of the other reports is passed on whole. Left out, beside keys and tokens: values
//! and their hashes (short ones can be guessed), names of contexts, members, keys, methods and applications, notes, texts of
//! applications, addresses.

use kith_core::node::inspection::{Held, Inspection, Stage};
use kith_core::replica::{Difference, Replica};
use kith_core::storage::{ContextTables, SCHEMA};
use kith_core::{Error, Result};
use serde::Serialize;

use crate::check;
use crate::history::{self, Outcome, Shown};
use crate::report::{hex, stage};

#[derive(Serialize)]
pub(crate) struct Bundle {
    /// Of this file.
    format: u32,
    version: &'static str,
    schema: u32,
    system: &'static str,
    processor: &'static str,
    peer: Option<String>,
    remembered_peers: usize,
    records: Vec<Records>,
    contexts: Vec<Context>,
}

#[derive(Serialize)]
struct Records {
    keyspace: &'static str,
    rows: u64,
    bytes: u64,
    damaged: bool,
}

#[derive(Default, Serialize)]
struct Context {
    id: String,
    stage: &'static str,
    me: Option<String>,
    /// The kind of error that ended the reading of this context, if one did.
    error: Option<String>,
    own_application: bool,
    transactions: u64,
    pending: usize,
    waits_first: Option<String>,
    digest: String,
    members: Vec<Member>,
    invitations: Vec<Invitation>,
    check: Option<Check>,
    history: Vec<Entry>,
}

#[derive(Serialize)]
struct Member {
    id: String,
    role: String,
    added_at: u64,
    tips: Vec<(u64, String)>,
}

#[derive(Serialize)]
struct Invitation {
    id: String,
    role: String,
    uses: u32,
    max_uses: u32,
    revoked: bool,
    not_after: u64,
}

#[derive(Serialize)]
struct Check {
    calls: bool,
    transactions: u64,
    executed: u64,
    keys: u64,
    /// What differs first.
    difference: Option<String>,
    transaction: Option<String>,
}

#[derive(Serialize)]
struct Entry {
    id: String,
    author: String,
    sequence: u64,
    lamport: u64,
    timestamp: u64,
    kind: String,
    payload_bytes: usize,
    outcome: Outcome,
    unseen: usize,
    forked: bool,
    edges: Vec<String>,
}

pub(crate) fn gather(inspection: &Inspection, last: usize) -> Result<Bundle> {
    let records = check::sizes(inspection.store())?.into_iter().map(|size| Records {
        keyspace: size.keyspace,
        rows: size.rows,
        bytes: size.key_bytes + size.value_bytes,
        damaged: size.damage.is_some(),
    });
    Ok(Bundle {
        format: 1,
        version: env!("CARGO_PKG_VERSION"),
        schema: SCHEMA,
        system: std::env::consts::OS,
        processor: std::env::consts::ARCH,
        peer: inspection.peer()?.map(|peer| peer.to_string()),
        remembered_peers: inspection.peers()?,
        records: records.collect(),
        contexts: inspection.contexts()?.iter().map(|held| context(inspection, held, last)).collect(),
    })
}

fn context(inspection: &Inspection, held: &Held, last: usize) -> Context {
    let mut context = Context {
        id: held.id.to_string(),
        stage: stage(held.stage),
        me: held.member.map(|member| member.to_string()),
        ..Context::default()
    };
    if held.stage != Stage::Deleted
        && let Err(error) = fill(&mut context, inspection, held, last)
    {
        // Its text can name a key.
        context.error = Some(format!("{:?}", error.kind()));
    }
    context
}

fn fill(context: &mut Context, inspection: &Inspection, held: &Held, last: usize) -> Result<(), Error> {
    {
        let snapshot = inspection.store().snapshot()?;
        let tables = ContextTables::new(&*snapshot, held.number);
        let replica = Replica::open(held.id, &tables)?;
        context.own_application = replica.application() != "kv";
        context.transactions = replica.transactions();
        context.pending = replica.pending();
        context.waits_first = replica.first_pending().map(|id| id.to_string());
        context.digest = hex(&replica.digest());
        for (id, member) in replica.members() {
            let tips = replica.tips_of(id).iter().map(|tip| (tip.sequence, tip.id.to_string())).collect();
            context.members.push(Member {
                id: id.to_string(),
                role: member.role.to_string(),
                added_at: member.added.lamport,
                tips,
            });
        }
        for (id, invitation) in replica.invitations() {
            context.invitations.push(Invitation {
                id: id.to_string(),
                role: invitation.invite.role.to_string(),
                uses: invitation.uses,
                max_uses: invitation.invite.max_uses,
                revoked: invitation.revoked,
                not_after: invitation.invite.not_after,
            });
        }
    }
    let (report, calls) = check::verify(inspection, held)?;
    context.check = Some(Check {
        calls,
        transactions: report.transactions,
        executed: report.executed,
        keys: report.keys,
        difference: report.difference.as_ref().map(|difference| difference.part.to_string()),
        transaction: report.difference.as_ref().and_then(Difference::transaction).map(|id| id.to_string()),
    });
    context.history = history::read(inspection, held, last)?.shown.into_iter().map(entry).collect();
    Ok(())
}

fn entry(shown: Shown) -> Entry {
    Entry {
        id: shown.id,
        author: shown.author,
        sequence: shown.sequence,
        lamport: shown.lamport,
        timestamp: shown.timestamp,
        kind: shown.kind,
        payload_bytes: shown.payload_bytes,
        outcome: shown.outcome,
        unseen: shown.unseen,
        forked: shown.forked,
        edges: shown.edges,
    }
}

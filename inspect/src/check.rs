//! Reading everything: sizes, records' checksums, and each context against its history.

use kith_core::application::{Application, kv::KeyValue};
use kith_core::node::inspection::{Held, Inspection, Stage};
use kith_core::replica::{Replica, Verification, Verifier};
use kith_core::storage::{ContextTables, Keyspace, Store};
use kith_core::{Error, Result};
use serde::Serialize;

/// So many rows are read at once: values can be large.
const PAGE: usize = 32;

#[derive(Debug, Serialize)]
pub(crate) struct Size {
    pub(crate) keyspace: &'static str,
    pub(crate) rows: u64,
    pub(crate) key_bytes: u64,
    pub(crate) value_bytes: u64,
    /// The first record that does not verify, if any: what comes behind it is not counted.
    pub(crate) damage: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    pub(crate) records: Vec<Size>,
    pub(crate) contexts: Vec<CheckedContext>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CheckedContext {
    pub(crate) id: String,
    /// Whether calls were executed again: only those of applications that this program knows.
    pub(crate) calls: bool,
    pub(crate) transactions: u64,
    pub(crate) executed: u64,
    pub(crate) pending: u64,
    pub(crate) keys: u64,
    /// The first difference between the tables and what the history gives.
    pub(crate) difference: Option<String>,
    /// Why it could not be checked, if it could not.
    pub(crate) error: Option<String>,
}

impl Checked {
    /// Whether nothing was found.
    pub(crate) fn good(&self) -> bool {
        self.records.iter().all(|size| size.damage.is_none())
            && self.contexts.iter().all(|context| context.difference.is_none() && context.error.is_none())
    }
}

/// Reads every record that layers above the engine can see; the engine verifies each checksum as it does.
pub(crate) fn sizes(store: &dyn Store) -> Result<Vec<Size>> {
    let snapshot = store.snapshot()?;
    let mut sizes = Vec::new();
    for keyspace in Keyspace::ALL.into_iter().filter(|keyspace| *keyspace != Keyspace::Chunks) {
        let mut size =
            Size { keyspace: keyspace.name(), rows: 0, key_bytes: 0, value_bytes: 0, damage: None };
        let mut from = Vec::new();
        loop {
            let rows = match snapshot.scan(keyspace, &from, None, false, PAGE) {
                Ok(rows) => rows,
                Err(error) => {
                    size.damage = Some(told(&error));
                    break;
                }
            };
            for (key, value) in &rows {
                size.rows += 1;
                size.key_bytes += key.len() as u64;
                size.value_bytes += value.len() as u64;
            }
            match rows.into_iter().next_back() {
                // The next key after it.
                Some((mut last, _)) => {
                    last.push(0);
                    from = last;
                }
                None => break,
            }
        }
        sizes.push(size);
    }
    Ok(sizes)
}

pub(crate) fn all(inspection: &Inspection, contexts: &[Held]) -> Result<Checked> {
    let records = sizes(inspection.store())?;
    let held = contexts.iter().filter(|held| held.stage != Stage::Deleted);
    Ok(Checked { records, contexts: held.map(|held| one(inspection, held)).collect() })
}

fn one(inspection: &Inspection, held: &Held) -> CheckedContext {
    let mut checked = CheckedContext {
        id: held.id.to_string(),
        calls: false,
        transactions: 0,
        executed: 0,
        pending: 0,
        keys: 0,
        difference: None,
        error: None,
    };
    match verify(inspection, held) {
        Ok((report, calls)) => {
            checked.calls = calls;
            checked.transactions = report.transactions;
            checked.executed = report.executed;
            checked.pending = report.pending;
            checked.keys = report.keys;
            checked.difference = report.difference.map(|difference| difference.to_string());
        }
        Err(error) => checked.error = Some(told(&error)),
    }
    checked
}

/// The report, and whether calls were executed again.
pub(crate) fn verify(inspection: &Inspection, held: &Held) -> Result<(Verification, bool)> {
    let snapshot = inspection.store().snapshot()?;
    let tables = ContextTables::new(&*snapshot, held.number);
    let replica = Replica::open(held.id, &tables)?;
    let known = (replica.application() == "kv").then_some(&KeyValue as &dyn Application);
    let mut verifier = Verifier::new(known.is_some());
    loop {
        if let Some(report) = verifier.step(&replica, &tables, known)? {
            return Ok((report, known.is_some()));
        }
    }
}

fn told(error: &Error) -> String {
    format!("{:?}: {error}", error.kind())
}

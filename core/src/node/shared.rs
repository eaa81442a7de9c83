//! What a context's thread and the handles on it share.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, watch};

use super::command::Command;
use super::events::{Cursor, Event, Passing, cursor_of};
use super::info::{Entry, Explanation, TransactionInfo};
use super::registry::Registry;
use crate::replica::{self, ContextId, MemberId, Payload, Place, Role, StateKey, TransactionId};
use crate::storage::{ContextTables, Keyspace, Store, context_end, context_key};
use crate::{Error, Result, limits};

/// The beginning of why a context is closed that may go on with its store.
const STORE_FAILED: &str = "the store failed";

/// What the handles show without asking the thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) application: String,
    pub(crate) name: String,
    pub(crate) role: Option<Role>,
}

/// How far joining is.
#[derive(Clone, Debug)]
pub(crate) enum Joining {
    /// Not done.
    UnderWay,
    /// A member, and caught up.
    Done,
    /// It came to nothing.
    Failed(Error),
}

/// How handles reach a context's thread, and what it writes.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) commands: mpsc::Sender<Command>,
}

/// How far this node and those that are connected are in step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InStep {
    /// A member's node is connected, and none is known to hold something else, but for what is being pushed.
    pub(crate) equal: bool,
    /// Counts what became part of the history, since the context was loaded.
    pub(crate) written: u64,
    /// Up to there, of `written`: every connected member's node has it durably.
    pub(crate) settled: u64,
}

/// What a context's thread and the handles on it share. It stays the same through suspensions, so that handles and streams of events do too.
pub(crate) struct ContextShared {
    pub(crate) id: ContextId,
    pub(crate) me: MemberId,
    /// Tells the context's rows from those of others.
    pub(crate) number: u32,
    /// The node's; it outlives suspensions.
    pub(crate) runtime: Handle,
    /// What there is while the context's thread runs; `None` while the node is suspended.
    pub(crate) running: watch::Sender<Option<Running>>,
    pub(crate) latest: watch::Sender<Cursor>,
    pub(crate) passing: broadcast::Sender<Passing>,
    pub(crate) in_step: watch::Sender<InStep>,
    pub(crate) joining: watch::Sender<Joining>,
    /// So many calls wait for that. Joining is given up with the last of them.
    pub(crate) joiners: AtomicUsize,
    /// (received, expected) of the catch-up under way.
    pub(crate) progress: watch::Sender<(u64, u64)>,
    /// Whether some other member's node is known to have this node's `Leave`.
    pub(crate) left: watch::Sender<bool>,
    pub(crate) facts: Mutex<Facts>,
    /// Why the context is closed here, once it is: for good, or until the store that failed is read anew.
    pub(crate) closed: watch::Sender<Option<String>>,
    pub(crate) registry: Weak<Registry>,
}

impl ContextShared {
    /// Waits until what is in the history now is at every connected member's node, and what they held is here; at least one has to be
    /// connected. Waits for ever if that does not come. What is written meanwhile is not waited for.
    pub(crate) async fn until_in_step(&self) -> Result<()> {
        let mut changes = self.in_step.subscribe();
        let written = changes.borrow().written;
        let in_step = |now: &InStep| now.equal && now.settled >= written;
        changes.wait_for(in_step).await.map_err(|_| self.closed_error())?;
        Ok(())
    }
}

impl std::fmt::Debug for ContextShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("id", &self.id).field("me", &self.me).finish_non_exhaustive()
    }
}

impl ContextShared {
    pub(crate) fn facts(&self) -> Facts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn node(&self) -> Result<Arc<Registry>> {
        self.check_open()?;
        self.registry.upgrade().ok_or_else(|| self.closed_error())
    }

    pub(crate) fn close(&self, reason: &str) {
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            closed.get_or_insert_with(|| reason.to_string());
            first
        });
    }

    /// The store has failed so that nobody knows what is there.
    pub(crate) fn close_by_store(&self, error: &Error) {
        self.close(&format!("{STORE_FAILED}: {error}"));
    }

    /// The store is read anew: what its failure had closed goes on.
    pub(crate) fn reopen(&self) {
        self.closed.send_if_modified(|closed| closed.take_if(|why| why.starts_with(STORE_FAILED)).is_some());
    }

    /// Why there is no answer: the context is closed, or the node is suspended.
    pub(crate) fn closed_error(&self) -> Error {
        match self.closed.borrow().clone() {
            Some(reason) => Error::closed(reason),
            None if self.running.borrow().is_none() => self.at_rest(),
            None => Error::closed("the context is closed"),
        }
    }

    /// Why nothing runs here: of a suspended node something is left that can resume it.
    fn at_rest(&self) -> Error {
        if self.registry.strong_count() == 0 {
            return Error::closed("the node is gone: it was dropped without a shutdown");
        }
        suspended()
    }

    pub(crate) fn running(&self) -> Result<Running> {
        self.check_open()?;
        self.running.borrow().clone().ok_or_else(|| self.at_rest())
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        let open = self.closed.borrow().is_none();
        if open { Ok(()) } else { Err(self.closed_error()) }
    }

    pub(crate) fn pass(&self, event: Event) {
        // Nobody listening is fine.
        let _ = self.passing.send(Passing { cursor: *self.latest.borrow(), event });
    }

    pub(crate) fn event_key(&self, cursor: Cursor) -> Vec<u8> {
        context_key(self.number, &cursor.to_be_bytes())
    }

    pub(crate) fn events_end(&self) -> Vec<u8> {
        context_end(self.number)
    }

    pub(crate) fn oldest_event(&self, store: &dyn Store) -> Result<Option<Cursor>> {
        let snapshot = store.snapshot()?;
        let rows = snapshot.scan(Keyspace::Events, &self.event_key(0), Some(&self.events_end()), false, 1)?;
        rows.first().map(|(key, _)| cursor_of(key)).transpose()
    }

    pub(crate) fn newest_event(&self, store: &dyn Store) -> Result<Cursor> {
        let snapshot = store.snapshot()?;
        let rows = snapshot.scan(Keyspace::Events, &self.event_key(0), Some(&self.events_end()), true, 1)?;
        rows.first().map_or(Ok(0), |(key, _)| cursor_of(key))
    }

    pub(crate) fn value(&self, store: &dyn Store, key: &StateKey) -> Result<Option<Vec<u8>>> {
        let snapshot = store.snapshot()?;
        replica::value(&ContextTables::new(&*snapshot, self.number), key)
    }

    pub(crate) fn entries(
        &self,
        store: &dyn Store,
        prefix: &[u8],
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        let snapshot = store.snapshot()?;
        let found = replica::entries(&ContextTables::new(&*snapshot, self.number), prefix, after, limit)?;
        Ok(found.into_iter().map(|(key, value)| Entry { key, value }).collect())
    }

    pub(crate) fn transaction(
        &self,
        store: &dyn Store,
        id: &TransactionId,
    ) -> Result<Option<TransactionInfo>> {
        let snapshot = store.snapshot()?;
        info(&ContextTables::new(&*snapshot, self.number), id)
    }

    /// At most 1,000 transactions and about 1 MiB of arguments.
    pub(crate) fn history(
        &self,
        store: &dyn Store,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<TransactionInfo>> {
        let snapshot = store.snapshot()?;
        let tables = ContextTables::new(&*snapshot, self.number);
        let mut page = Vec::new();
        let mut size = 0;
        for place in replica::order(&tables, after, limit.min(limits::PAGE_ENTRIES))? {
            let Some(info) = info(&tables, &place.id)? else { continue };
            size += info.arguments.len();
            page.push(info);
            if size > limits::PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    }

    pub(crate) fn explain(
        &self,
        store: &dyn Store,
        key: &StateKey,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Explanation>> {
        let mut page = Vec::new();
        let mut after = after.copied();
        let mut size = 0;
        let limit = limit.min(limits::PAGE_ENTRIES);
        while page.len() < limit && size <= limits::PAGE_BYTES {
            // Commits of all contexts wait while a snapshot lives.
            let snapshot = store.snapshot()?;
            let tables = ContextTables::new(&*snapshot, self.number);
            let Some(write) = replica::next_write(&tables, key, after.as_ref())? else { break };
            after = Some(write.place);
            let Some(transaction) = info(&tables, &write.place.id)? else { continue };
            size += transaction.arguments.len();
            page.push(Explanation { transaction, value: write.value, unseen: write.unseen });
        }
        Ok(page)
    }
}

/// What calls get between `suspend` and `resume`.
pub(crate) fn suspended() -> Error {
    Error::closed("the node is suspended: resume it first")
}

fn info(tables: &ContextTables<'_>, id: &TransactionId) -> Result<Option<TransactionInfo>> {
    let Some(transaction) = replica::transaction(tables, id)? else { return Ok(None) };
    let header = &transaction.header;
    let (method, arguments) = match Payload::decode(header.kind, transaction.plaintext()) {
        Some(Payload::Call(call)) => (Some(call.method), call.arguments),
        _ => (None, Vec::new()),
    };
    Ok(Some(TransactionInfo {
        id: *id,
        author: header.author,
        sequence: header.sequence,
        place: Place::tail(header.lamport, *id),
        timestamp: header.timestamp,
        kind: header.kind,
        method,
        arguments,
        receipt: replica::receipt(tables, id)?,
    }))
}

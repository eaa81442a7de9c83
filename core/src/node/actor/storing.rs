//! How what a round has staged becomes durable: as one batch, or, while peers have delivered more than suits one, as a few, each of which
//! is carried out while the next is staged.

use std::sync::Arc;
use std::thread;

use super::Actor;
use super::stage::Stage;
use crate::node::Cursor;
use crate::replica::faults::{self, Fault};
use crate::replica::{Layer, TableWrite, View};
use crate::storage::{
    Batch, ContextTables, Durability, Keyspace, Mark, Ready, Store, add_writes, context_key,
};
use crate::{Error, Result};

/// Most batches of one round: callers and sessions wait for all of them.
const PIECES: usize = 4;

/// A batch that is ready, and what follows once it is durable.
struct Prepared {
    ready: Ready,
    durability: Durability,
    published: Option<Mark>,
    /// How many transactions are new in the history.
    added: usize,
    /// Of the event in it.
    event: Option<Cursor>,
}

/// What is staged: to be stored, and, while there is more to come, for the next to be laid upon.
struct Piece {
    prepared: Option<Prepared>,
    below: Option<Layer>,
}

impl Actor {
    /// Stores what is staged, and takes in what is left of the deliveries, up to some pieces. What is sent and answered
    /// for what sessions delivered comes after all of them, when everything that the replica knows is durable.
    pub(super) fn store_in_pieces(&mut self, written: Layer, stage: &mut Stage) -> Result<()> {
        let store = Arc::clone(&self.start.store);
        let mut piece = self.piece(&*store, written, PIECES - 1, stage)?;
        for more in (0..PIECES - 1).rev() {
            let Some(below) = piece.below.take() else { break };
            let mut next = None;
            let meanwhile = || next = Some(self.stage_piece(&*store, below, more, stage));
            match &piece.prepared {
                Some(prepared) => beside(&*store, prepared, meanwhile)?,
                None => meanwhile(),
            }
            // What is durable counts, whatever became of the next piece.
            if let Some(prepared) = &piece.prepared {
                self.committed(prepared)?;
                stage.answer();
            }
            piece = next.unwrap_or_else(|| Err(Error::internal("a piece was not staged")))?;
        }
        if let Some(prepared) = &piece.prepared {
            store.commit_ready(&prepared.ready, prepared.durability)?;
            self.committed(prepared)?;
        }
        Ok(())
    }

    /// The next piece of what was delivered, on top of what is being written.
    fn stage_piece(
        &mut self,
        store: &dyn Store,
        below: Layer,
        more: usize,
        stage: &mut Stage,
    ) -> Result<Piece> {
        let written = {
            let snapshot = store.snapshot()?;
            let tables = ContextTables::new(&*snapshot, self.start.shared.number);
            let below = View::laid(below, &tables);
            let mut view = View::new(&below);
            stage.deliveries.extend(self.left_over.drain(..));
            self.stage_deliveries(&mut view, store.batch_size(), stage)?;
            self.stage_forks(&mut view, stage)?;
            self.note_blocked(stage);
            self.tidy_keys(&mut view, stage)?;
            view.into_layer()
        };
        self.piece(store, written, more, stage)
    }

    /// Makes what is written ready to be stored, and keeps it if so many more pieces may follow, and do.
    fn piece(&mut self, store: &dyn Store, written: Layer, more: usize, stage: &mut Stage) -> Result<Piece> {
        if more == 0 || self.left_over.is_empty() {
            return Ok(Piece { prepared: self.prepare(store, written.into_writes(), stage)?, below: None });
        }
        Ok(Piece { prepared: self.prepare(store, written.copied(), stage)?, below: Some(written) })
    }

    /// The batch of what is staged; `None` if there is nothing to store.
    fn prepare(
        &mut self,
        store: &dyn Store,
        writes: Vec<TableWrite>,
        stage: &mut Stage,
    ) -> Result<Option<Prepared>> {
        let events = std::mem::take(&mut stage.events);
        if writes.is_empty() && events.is_empty() {
            return Ok(None);
        }
        self.verifying.moved(!writes.is_empty());
        let shared = &self.start.shared;
        let mut batch = Batch::default();
        add_writes(&mut batch, shared.number, writes);
        let event = (!events.is_empty()).then_some(self.cursor + 1);
        if let Some(event) = event {
            self.cursor = event;
            let row = borsh::to_vec(&events).unwrap_or_default();
            batch.put(Keyspace::Events, shared.event_key(event), row);
            // Several at a time, so that a shorter retention takes hold too.
            for _ in 0..4 {
                if event - self.pruned > self.start.event_retention && !faults::is(Fault::KeepEvents) {
                    self.pruned += 1;
                    batch.delete(Keyspace::Events, shared.event_key(self.pruned));
                }
            }
        }
        if let Some(reason) = stage.freeze.take() {
            batch.put(Keyspace::Meta, context_key(shared.number, super::FROZEN), reason.as_bytes());
            self.start.frozen = Some(reason);
        }
        if faults::is(Fault::AnswerEarly) {
            stage.answer();
        }
        let late = faults::is(Fault::FlushLate);
        Ok(Some(Prepared {
            ready: store.ready(batch)?,
            durability: if late { Durability::Process } else { self.start.durability },
            published: stage.published.take().filter(|_| !faults::is(Fault::ForgetMark)),
            added: stage.count_added(),
            event,
        }))
    }

    /// The batch is durable: notes it, before anything is sent or answered.
    fn committed(&mut self, prepared: &Prepared) -> Result<()> {
        self.flushed = prepared.durability == Durability::Power;
        let shared = &self.start.shared;
        if let (Some(high_water), Some(mark)) = (&self.start.high_water, prepared.published) {
            high_water.raise(&shared.id, &shared.me, mark)?;
        }
        self.written += prepared.added as u64;
        // Whoever reads of an event sees the facts that it tells of, and whoever is answered finds its call counted.
        self.show();
        if let Some(event) = prepared.event {
            self.start.shared.latest.send_replace(event);
        }
        Ok(())
    }

    /// Makes what peers may be told of survive the loss of power, in every durability; callers need not wait for it.
    pub(super) fn flush(&mut self, stage: &mut Stage) -> Result<()> {
        if self.flushed || self.sessions.is_empty() || faults::is(Fault::FlushLate) {
            return Ok(());
        }
        stage.answer();
        self.start.store.commit(&Batch::default(), Durability::Power)?;
        self.flushed = true;
        Ok(())
    }
}

/// Commits, and does something else meanwhile; one after the other where the engine's commits wait for snapshots, or where the system gives
/// no thread for it.
fn beside(store: &dyn Store, prepared: &Prepared, meanwhile: impl FnOnce()) -> Result<()> {
    let commit = || store.commit_ready(&prepared.ready, prepared.durability);
    if !store.commits_beside_snapshots() {
        meanwhile();
        return commit();
    }
    thread::scope(|scope| {
        match thread::Builder::new().name("kith-commit".into()).spawn_scoped(scope, commit) {
            Ok(committing) => {
                meanwhile();
                committing.join().unwrap_or_else(|_| Err(Error::internal("the store panicked")))
            }
            Err(_) => {
                meanwhile();
                commit()
            }
        }
    })
}

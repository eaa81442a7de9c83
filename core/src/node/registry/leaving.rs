//! Leaving a context, and deleting what is kept of it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::live::wait_live;
use super::rows::{Row, add_row, list_key};
use super::{Registry, lock};
use crate::node::command::Command;
use crate::node::context::Context;
use crate::node::options::Clock;
use crate::node::switchboard::ToSwitchboard;
use crate::replica::ContextId;
use crate::storage::{Batch, Durability, Keyspace, Store, context_end, context_key};
use crate::{Error, Result};

/// How long `leave` waits for somebody to acknowledge it.
const LEAVE: Duration = Duration::from_secs(5);

/// How long a context that was left waits for somebody to hear of it.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// Whether nobody is waited for any more.
pub(super) fn is_over(left: u64, clock: &Clock) -> bool {
    Duration::from_millis(clock.now().saturating_sub(left)) > KEEP
}

/// Deletes a context that was left once somebody has heard of it.
pub(super) async fn wait_heard(node: Weak<Registry>, context: Context) {
    let mut left = context.shared.left.subscribe();
    let heard = left.wait_for(|left| *left).await.is_ok();
    let Some(live) = node.upgrade().map(|node| node.live.subscribe()) else { return };
    wait_live(live).await;
    let Some(node) = node.upgrade().filter(|_| heard) else { return };
    if let Err(error) = node.forget(context.id()).await {
        tracing::warn!(context = %context.id(), %error, "a context that was left could not be deleted");
    }
}

impl Registry {
    pub(crate) async fn leave(self: &Arc<Self>, context: &Context) -> Result<()> {
        let context = context.clone();
        self.on_runtime(move |node| async move {
            let mut left = context.shared.left.subscribe();
            let (reply, answer) = tokio::sync::oneshot::channel();
            let closed = |_| context.shared.closed_error();
            let commands = context.shared.running()?.commands;
            commands.send(Command::Leave { reply }).await.map_err(|_| context.shared.closed_error())?;
            answer.await.map_err(closed)??;
            let heard = tokio::time::timeout(LEAVE, left.wait_for(|left| *left)).await.is_ok();
            // Suspended meanwhile: it goes on with the node.
            wait_live(node.live.subscribe()).await;
            if heard {
                return node.forget(context.id()).await;
            }
            // Nobody is there to hear of it: what is kept waits for somebody.
            node.note_left(&context).await?;
            tokio::spawn(wait_heard(Arc::downgrade(&node), context.clone()));
            Ok(())
        })
        .await
    }

    /// From now on the context is left for the host, also after a restart.
    async fn note_left(self: &Arc<Self>, context: &Context) -> Result<()> {
        let _changing = self.changing.lock().await;
        let id = context.id();
        let row = {
            let mut contexts = lock(&self.contexts);
            let Some(open) = contexts.get_mut(&id) else { return Ok(()) };
            open.row.left = Some(self.options.clock.now());
            open.row.clone()
        };
        context.shared.close("this node has left the context");
        let (store, durability) = (Arc::clone(&self.live()?.store), self.durability());
        let task = self.handle.spawn_blocking(move || {
            let mut batch = Batch::default();
            add_row(&mut batch, &id, &row);
            store.commit(&batch, durability)
        });
        task.await.map_err(|e| Error::internal(format!("storing panicked: {e}")))?
    }

    /// Ends a context here and deletes all of its rows.
    pub(super) async fn forget(self: &Arc<Self>, id: ContextId) -> Result<()> {
        let _changing = self.changing.lock().await;
        self.forget_now(id).await
    }

    /// The same; the caller holds `changing`.
    pub(super) async fn forget_now(self: &Arc<Self>, id: ContextId) -> Result<()> {
        let live = self.live()?;
        let Some(mut open) = lock(&self.contexts).remove(&id) else { return Ok(()) };
        // Fails only in a shutdown.
        let _ = live.switchboard.send(ToSwitchboard::Unhost { context: id });
        open.context.shared.close("the context was left");
        if let Some(running) = open.context.shared.running.send_replace(None) {
            // A thread that is gone has stopped.
            let _ = running.commands.send(Command::Stop).await;
        }
        let durability = self.durability();
        let task = self.handle.spawn_blocking(move || {
            if let Some(thread) = open.thread.take() {
                // A panic there has been logged; the rows are deleted all the same.
                let _ = thread.join();
            }
            let row = Row { deleted: true, invitation: None, ..open.row };
            let mut batch = Batch::default();
            add_row(&mut batch, &id, &row);
            live.store.commit(&batch, durability)?;
            delete_rows(&*live.store, durability, id, row.number)
        });
        task.await.map_err(|e| Error::internal(format!("deleting panicked: {e}")))?
    }
}

/// Deletes all rows of a context, its entry in the list last.
pub(super) fn delete_rows(
    store: &dyn Store,
    durability: Durability,
    id: ContextId,
    number: u32,
) -> Result<()> {
    let (from, to) = (context_key(number, &[]), context_end(number));
    for keyspace in
        Keyspace::ALL.into_iter().filter(|keyspace| !matches!(keyspace, Keyspace::Chunks | Keyspace::Peers))
    {
        loop {
            let rows = store.snapshot()?.scan(keyspace, &from, Some(&to), false, 1000)?;
            if rows.is_empty() {
                break;
            }
            let mut batch = Batch::default();
            rows.into_iter().for_each(|(key, _)| batch.delete(keyspace, key));
            store.commit(&batch, Durability::Process)?;
        }
    }
    let mut batch = Batch::default();
    batch.delete(Keyspace::Meta, list_key(&id));
    store.commit(&batch, durability)
}

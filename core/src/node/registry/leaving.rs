//! Leaving a context, and deleting what is kept of it.

use std::sync::Arc;
use std::time::Duration;

use super::rows::{Row, add_row, list_key};
use super::{Registry, lock};
use crate::node::command::Command;
use crate::node::context::Context;
use crate::node::switchboard::ToSwitchboard;
use crate::replica::ContextId;
use crate::storage::{Batch, Durability, Keyspace, context_end, context_key};
use crate::{Error, Result};

/// How long `leave` waits for somebody to acknowledge it.
const LEAVE: Duration = Duration::from_secs(5);

impl Registry {
    pub(crate) async fn leave(self: &Arc<Self>, context: &Context) -> Result<()> {
        let context = context.clone();
        self.on_runtime(move |node| async move {
            let mut left = context.shared.left.subscribe();
            let (reply, answer) = tokio::sync::oneshot::channel();
            let closed = || context.shared.closed_error();
            context.shared.commands.send(Command::Leave { reply }).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())??;
            // Whoever is connected hears of it; who is not learns it from them.
            let heard = tokio::time::timeout(LEAVE, left.wait_for(|left| *left)).await.is_ok();
            if !heard {
                tracing::warn!(context = %context.id(), "nobody acknowledged that this node left");
            }
            node.forget(context.id()).await
        })
        .await
    }

    /// Ends a context here and deletes all of its rows.
    pub(super) async fn forget(self: &Arc<Self>, id: ContextId) -> Result<()> {
        let _changing = self.changing.lock().await;
        let Some(mut open) = lock(&self.contexts).remove(&id) else { return Ok(()) };
        // Fails only in a shutdown.
        let _ = self.switchboard.send(ToSwitchboard::Unhost { context: id });
        open.context.shared.close("the context was left");
        // A thread that is gone has stopped.
        let _ = open.context.shared.commands.send(Command::Stop).await;
        let node = Arc::clone(self);
        let task = self.handle.spawn_blocking(move || {
            if let Some(thread) = open.thread.take() {
                // A panic there has been logged; the rows are deleted all the same.
                let _ = thread.join();
            }
            let row = Row { deleted: true, invitation: None, ..open.row };
            let mut batch = Batch::default();
            add_row(&mut batch, &id, &row);
            node.store.commit(&batch, node.durability())?;
            node.delete_rows(id, row.number)
        });
        task.await.map_err(|e| Error::internal(format!("deleting panicked: {e}")))?
    }

    /// Deletes all rows of a context, its entry in the list last.
    pub(super) fn delete_rows(&self, id: ContextId, number: u32) -> Result<()> {
        let (from, to) = (context_key(number, &[]), context_end(number));
        for keyspace in Keyspace::ALL
            .into_iter()
            .filter(|keyspace| !matches!(keyspace, Keyspace::Chunks | Keyspace::Peers))
        {
            loop {
                let rows = self.store.snapshot()?.scan(keyspace, &from, Some(&to), false, 1000)?;
                if rows.is_empty() {
                    break;
                }
                let mut batch = Batch::default();
                rows.into_iter().for_each(|(key, _)| batch.delete(keyspace, key));
                self.store.commit(&batch, Durability::Process)?;
            }
        }
        let mut batch = Batch::default();
        batch.delete(Keyspace::Meta, list_key(&id));
        self.store.commit(&batch, self.durability())
    }
}

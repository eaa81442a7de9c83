//! Joining a context, and going on with it after a restart.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

use super::live::{Live, wait_live};
use super::rows::{Row, add_row};
use super::{Registry, lock};
use crate::invitation::Invitation;
use crate::node::actor::random_bytes;
use crate::node::context::Context;
use crate::node::options::JoinOptions;
use crate::node::shared::Joining;
use crate::replica::ContextId;
use crate::storage::{Batch, Keyspace, context_key};
use crate::{Error, ErrorKind, Result};

impl Registry {
    pub(crate) async fn join(
        self: &Arc<Self>,
        invitation: Invitation,
        options: JoinOptions,
    ) -> Result<Context> {
        // Dropped with this future: whoever gives up waiting gives up joining.
        let (caller, gone) = oneshot::channel::<()>();
        let work = self.on_runtime(move |node| async move {
            let context = node.begin_join(&invitation).await?;
            let timeout = options.timeout.unwrap_or(Duration::from_secs(60));
            let reached = reach(node.live.subscribe(), node.closed.subscribe(), &invitation);
            let outcome = tokio::select! {
                // First, so that who is a member already stays one.
                biased;
                outcome = tokio::time::timeout(timeout, joined(&context, &options)) => outcome,
                _ = gone => Ok(Err(Error::new(ErrorKind::Cancelled, "joining was given up"))),
                // Ends only with the node.
                () = reached => Ok(Err(Error::closed("the node has been shut down"))),
            };
            let error = match outcome {
                Ok(Ok(())) => {
                    let (node, id) = (Arc::clone(&node), context.id());
                    let noted = tokio::task::spawn_blocking(move || node.joined(&id)).await;
                    noted.map_err(|e| Error::internal(format!("storing panicked: {e}")))??;
                    return Ok(context);
                }
                Ok(Err(error)) => error,
                Err(_) => node.why_not_reached(&invitation, timeout).await,
            };
            if error.kind() != ErrorKind::Closed {
                let cleaning = tokio::spawn(give_up(Arc::downgrade(&node), context.id()));
                if node.is_live() {
                    cleaning.await.map_err(|e| Error::internal(format!("cleaning up panicked: {e}")))??;
                }
            }
            Err(error)
        });
        let outcome = work.await;
        drop(caller);
        outcome
    }

    /// A context that is being joined from now on, or that this node is a member of already.
    async fn begin_join(self: &Arc<Self>, invitation: &Invitation) -> Result<Context> {
        // Who comes back has no use for what waited to tell of its leaving.
        let left = lock(&self.contexts).get(&invitation.context).is_some_and(|open| open.row.left.is_some());
        if left {
            self.forget(invitation.context).await?;
        }
        let mut last = self.changing.lock().await;
        self.check_open()?;
        if let Some(context) = self.context(&invitation.context) {
            return Ok(context);
        }
        if invitation.not_after > 0 && self.options.clock.now() >= invitation.not_after {
            return Err(Error::new(ErrorKind::InvitationExpired, "the invitation's time is over"));
        }
        let number = *last + 1;
        let row = Row {
            number,
            invitation: Some(invitation.to_bytes()),
            left: None,
            deleted: false,
            access_key: invitation.access_key,
        };
        let secret = Zeroizing::new(random_bytes()?);
        let mut batch = Batch::default();
        add_row(&mut batch, &invitation.context, &row);
        batch.put(Keyspace::Keys, context_key(number, b"member"), secret.to_vec());
        let (live, durability) = (self.live()?, self.durability());
        let store = Arc::clone(&live.store);
        let written = self.handle.spawn_blocking(move || store.commit(&batch, durability)).await;
        written.map_err(|e| Error::internal(format!("storing panicked: {e}")))??;
        *last = number;
        self.start_context(&live, invitation.context, row)
    }

    async fn why_not_reached(&self, invitation: &Invitation, timeout: Duration) -> Error {
        let peers = match self.live() {
            Ok(live) => live.network.peers().await.unwrap_or_default(),
            Err(error) => return error,
        };
        let linked = |address: &String| {
            peers.iter().any(|peer| peer.link.is_some() && address.ends_with(&peer.peer.to_string()))
        };
        if invitation.addresses.iter().any(linked) {
            return Error::new(ErrorKind::Timeout, format!("joining took longer than {timeout:?}"));
        }
        let failure = peers.iter().find_map(|peer| peer.last_failure.as_ref()).map(ToString::to_string);
        let why = failure.unwrap_or_else(|| "none of its addresses answers".into());
        Error::new(ErrorKind::Unreachable, format!("no member that the invitation names is reached: {why}"))
    }

    /// Joining has come to its end: the invitation is not needed any more.
    fn joined(&self, id: &ContextId) -> Result<()> {
        let mut contexts = lock(&self.contexts);
        let Some(open) = contexts.get_mut(id) else { return Ok(()) };
        if open.row.invitation.take().is_none() {
            return Ok(());
        }
        let row = open.row.clone();
        drop(contexts);
        let mut batch = Batch::default();
        add_row(&mut batch, id, &row);
        self.live()?.store.commit(&batch, self.durability())
    }
}

/// Deletes what joining has left behind, once the node is not suspended.
async fn give_up(node: Weak<Registry>, context: ContextId) -> Result<()> {
    let Some(live) = node.upgrade().map(|node| node.live.subscribe()) else { return Ok(()) };
    wait_live(live).await;
    match node.upgrade() {
        Some(node) => node.forget(context).await,
        None => Ok(()),
    }
}

/// Dials the members that an invitation names, again and again, until the node is closed.
async fn reach(
    live: watch::Receiver<Option<Arc<Live>>>,
    mut closed: watch::Receiver<bool>,
    invitation: &Invitation,
) {
    let mut pause = Duration::from_millis(250);
    loop {
        let network = live.borrow().as_ref().map(|live| live.network.clone());
        for address in &invitation.addresses {
            let Some(network) = &network else { break };
            if let Err(error) = network.connect(address).await {
                tracing::debug!(address, %error, "a member is not reached");
            }
        }
        if tokio::time::timeout(pause, closed.wait_for(|closed| *closed)).await.is_ok() {
            return;
        }
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

/// Goes on with what a crash or a shutdown had interrupted, until it is done, refused, or the caller leaves the context.
pub(super) async fn go_on_joining(node: Weak<Registry>, context: Context, invitation: Invitation) {
    let (live, closed) = match node.upgrade() {
        Some(node) => (node.live.subscribe(), node.closed.subscribe()),
        None => return,
    };
    let options = JoinOptions::default();
    let outcome = tokio::select! {
        outcome = joined(&context, &options) => outcome,
        () = reach(live.clone(), closed, &invitation) => return,
    };
    wait_live(live).await;
    let (Ok(()), Some(node)) = (outcome, node.upgrade()) else { return };
    let id = context.id();
    let noted = tokio::task::spawn_blocking(move || node.joined(&id)).await;
    if let Ok(Err(error)) = noted {
        tracing::warn!(%error, "that a context was joined could not be stored");
    }
}

/// Waits until joining has come to its end, and tells of the progress.
async fn joined(context: &Context, options: &JoinOptions) -> Result<()> {
    let mut joining = context.shared.joining.subscribe();
    let mut progress = context.shared.progress.subscribe();
    let mut told = (0, 0);
    loop {
        let outcome = match &*joining.borrow_and_update() {
            Joining::Done => Some(Ok(())),
            Joining::Failed(error) => Some(Err(error.clone())),
            Joining::UnderWay => None,
        };
        // Also where joining was done before anybody looked: the host's progress bar comes to its end.
        let (done, total) = *progress.borrow_and_update();
        if let Some(report) = options.on_progress.clone().filter(|_| (done, total) != told) {
            told = (done, total);
            // The host's code must not hold up the runtime.
            let _ = tokio::task::spawn_blocking(move || report(done, total)).await;
        }
        if let Some(outcome) = outcome {
            return outcome;
        }
        tokio::select! {
            changed = joining.changed() => changed.map_err(|_| context.shared.closed_error())?,
            changed = progress.changed() => changed.map_err(|_| context.shared.closed_error())?,
        }
    }
}

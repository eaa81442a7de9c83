//! Joining a context, and going on with it after a restart.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use zeroize::Zeroizing;

use super::live::{Live, wait_live};
use super::rows::{Row, add_row};
use super::{Open, Registry, lock};
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
        let mut gone = gone;
        let work = self.on_runtime(move |node| async move {
            let timeout = options.timeout.unwrap_or(Duration::from_secs(60));
            let begun = tokio::time::Instant::now();
            loop {
                let waiting = node.begin_join(&invitation).await?;
                let context = waiting.0.clone();
                let by_another = node.joins_by_another(&invitation);
                let left = timeout.saturating_sub(begun.elapsed());
                let reached = reach(node.live.subscribe(), node.closed.subscribe(), &invitation);
                let outcome = tokio::select! {
                    // First, so that who is a member already stays one.
                    biased;
                    outcome = tokio::time::timeout(left, joined(&context, &options)) => outcome,
                    _ = &mut gone => Ok(Err(Error::new(ErrorKind::Cancelled, "joining was given up"))),
                    // Ends only with the node.
                    () = reached => Ok(Err(Error::closed("the node has been shut down"))),
                };
                // Its rows stay for the next start; or somebody has left it, and there are none.
                let closed = matches!(&outcome, Ok(Err(error)) if error.kind() == ErrorKind::Closed);
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
                drop(waiting);
                // What another one's invitation was refused for says nothing of this one.
                if by_another && refused_with(&context, &error) {
                    continue;
                }
                if !closed {
                    let cleaning = tokio::spawn(give_up(Arc::downgrade(&node), context));
                    if node.is_live() {
                        cleaning
                            .await
                            .map_err(|e| Error::internal(format!("cleaning up panicked: {e}")))??;
                    }
                }
                return Err(error);
            }
        });
        let outcome = work.await;
        drop(caller);
        outcome
    }

    /// A context that is being joined from now on, or already, or that this node is a member of.
    async fn begin_join(self: &Arc<Self>, invitation: &Invitation) -> Result<Waiting> {
        let mut last = self.changing.lock().await;
        self.check_open()?;
        // Who comes back has no use for what waited to tell of its leaving, nor for what an invitation that was refused has left.
        let over = |open: &Open| open.row.left.is_some() || is_refused(&open.context);
        if lock(&self.contexts).get(&invitation.context).is_some_and(over) {
            self.forget_now(invitation.context).await?;
        }
        if let Some(context) = self.context(&invitation.context) {
            return Ok(Waiting::begin(context));
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
        self.start_context(&live, invitation.context, row).map(Waiting::begin)
    }

    /// Deletes what joining has left behind, unless somebody else waits for it or has been given the context.
    async fn end_joining(self: &Arc<Self>, context: &Context) -> Result<()> {
        // Held until it is deleted: nobody begins to wait meanwhile.
        let _changing = self.changing.lock().await;
        let nobody = context.shared.joiners.load(Ordering::SeqCst) == 0;
        let unwanted = nobody || is_refused(context);
        // Another one of the same name may have taken its place.
        let the_same =
            |open: &Open| Arc::ptr_eq(&open.context.shared, &context.shared) && open.row.invitation.is_some();
        let there = lock(&self.contexts).get(&context.id()).is_some_and(the_same);
        if unwanted && there { self.forget_now(context.id()).await } else { Ok(()) }
    }

    /// Whether this node joins the context, and by another invitation.
    fn joins_by_another(&self, invitation: &Invitation) -> bool {
        let contexts = lock(&self.contexts);
        let used = contexts.get(&invitation.context).and_then(|open| open.row.invitation.as_ref());
        used.is_some_and(|used| *used != invitation.to_bytes())
    }

    /// Whether this node holds that context, and not another one of the same name.
    fn holds(&self, context: &Context) -> bool {
        let contexts = lock(&self.contexts);
        contexts.get(&context.id()).is_some_and(|open| Arc::ptr_eq(&open.context.shared, &context.shared))
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

/// A call that waits until a context is joined, until it is dropped.
struct Waiting(Context);

impl Waiting {
    fn begin(context: Context) -> Self {
        context.shared.joiners.fetch_add(1, Ordering::SeqCst);
        Self(context)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.shared.joiners.fetch_sub(1, Ordering::SeqCst);
    }
}

fn is_refused(context: &Context) -> bool {
    matches!(&*context.shared.joining.borrow(), Joining::Failed(_))
}

/// Whether a join ended with this refusal, and not for this caller alone.
fn refused_with(context: &Context, error: &Error) -> bool {
    matches!(&*context.shared.joining.borrow(), Joining::Failed(refused) if refused.kind() == error.kind())
}

/// Ends a join that nobody waits for any more, once the node is not suspended.
async fn give_up(node: Weak<Registry>, context: Context) -> Result<()> {
    let Some(live) = node.upgrade().map(|node| node.live.subscribe()) else { return Ok(()) };
    wait_live(live).await;
    match node.upgrade() {
        Some(node) => node.end_joining(&context).await,
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
        if let Some(network) = network {
            network.connect_each(&invitation.addresses).await;
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
    let mut closed = context.shared.closed.subscribe();
    let mut told = (0, 0);
    loop {
        // One that a failing store has closed may go on when the node is resumed; one that was left does not come back.
        let is_closed = closed.borrow_and_update().is_some();
        let lost = is_closed && !context.shared.registry.upgrade().is_some_and(|node| node.holds(context));
        let outcome = match &*joining.borrow_and_update() {
            Joining::Done => Some(Ok(())),
            Joining::Failed(error) => Some(Err(error.clone())),
            Joining::UnderWay => lost.then(|| Err(context.shared.closed_error())),
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
            changed = closed.changed() => changed.map_err(|_| context.shared.closed_error())?,
        }
    }
}

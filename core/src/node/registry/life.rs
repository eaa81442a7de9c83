//! A node's life: opening, suspending, resuming, closing.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::joining::go_on_joining;
use super::leaving::{delete_rows, is_over, wait_heard};
use super::live::{Live, runtime};
use super::rows::{Opened, Rows, open_store};
use super::{END, Open, PATIENCE, Registry, Sealing, lock};
use crate::application::Application;
use crate::application::kv::KeyValue;
use crate::invitation::Invitation;
use crate::node::command::Command;
use crate::node::context::Context;
use crate::node::info::SyncReport;
use crate::node::options::{Engine, Options};
use crate::node::process;
use crate::node::shared::{Running, suspended};
use crate::node::switchboard::ToSwitchboard;
use crate::replica::ContextId;
use crate::storage::StorageKey;
use crate::{Error, ErrorKind, Result};

/// Longest budget of `sync_once`: a moment so far away that adding it cannot overflow.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long a suspension waits for the contexts' threads before it says goodbye to the peers all the same.
const LINGER: Duration = Duration::from_secs(2);

/// Why a node is awake.
pub(super) struct Awake {
    /// The host wants it to be.
    wanted: bool,
    /// So many `sync_once` are under way.
    syncing: u32,
}

impl Awake {
    const fn may_sleep(&self) -> bool {
        !self.wanted && self.syncing == 0
    }
}

/// A runtime that no node has yet. Whoever opens one may give up, also on a thread that must not wait for what still runs: there dropping a runtime panics.
struct Unused(Option<tokio::runtime::Runtime>);

impl Drop for Unused {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// One `sync_once` that is under way, until it is dropped.
struct Syncing(Arc<Registry>);

impl Syncing {
    fn begin(node: &Arc<Registry>) -> Self {
        lock(&node.awake).syncing += 1;
        Self(Arc::clone(node))
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        lock(&self.0.awake).syncing -= 1;
    }
}

impl Registry {
    pub(crate) async fn open(options: Options) -> Result<Arc<Self>> {
        process::opening()?;
        let runtime = runtime("kith-async")?;
        let handle = runtime.handle().clone();
        let mut unused = Unused(Some(runtime));
        let started = handle.clone();
        let node = handle.spawn(async move {
            let opened = open_blocking(&options, options.storage_key.clone()).await?;
            let kept = Arc::clone(&opened.0);
            Self::start(options, started, opened).await.inspect_err(|_| {
                // The first error is the one to be told.
                let _ = kept.close();
            })
        });
        match node.await.map_err(|e| Error::internal(format!("opening panicked: {e}"))).and_then(|node| node)
        {
            Ok(node) => {
                *lock(&node.runtime) = unused.0.take();
                Ok(node)
            }
            Err(error) => Err(error),
        }
    }

    async fn start(options: Options, handle: tokio::runtime::Handle, opened: Opened) -> Result<Arc<Self>> {
        // A store without files has nothing to give back while the node is suspended, and would lose everything.
        let sealing = Sealing::of(&*opened.0, options.storage_key.clone());
        let opens_again = match options.engine {
            Engine::Own => options.path.is_some(),
            Engine::Given(_) => false,
            Engine::Opened(_) => true,
        };
        let kept = (!opens_again).then(|| Arc::clone(&opened.0));
        let (live, rows) = Live::start(&options, opened.0, opened.1)?;
        let mut applications: std::collections::BTreeMap<String, Arc<dyn Application>> = Default::default();
        applications.insert("kv".into(), Arc::new(KeyValue));
        let node = Arc::new(Self {
            runtime: Mutex::new(None),
            handle,
            id: live.network.peer_id(),
            live: watch::Sender::new(Some(Arc::clone(&live))),
            engine: Mutex::new(live.store.engine_name()),
            kept,
            applications: RwLock::new(applications),
            contexts: Mutex::default(),
            wanted: Mutex::new(options.bootstrap.iter().cloned().collect()),
            closed: watch::Sender::new(false),
            changing: tokio::sync::Mutex::new(0),
            awake: Mutex::new(Awake { wanted: true, syncing: 0 }),
            options,
            sealing: Mutex::new(sealing),
        });
        node.take_up(&live, rows, &mut *node.changing.lock().await)?;
        node.meet(&live).await;
        Ok(node)
    }

    async fn meet(&self, live: &Live) {
        let wanted = lock(&self.wanted).clone();
        live.meet(self.options.listen.len(), wanted).await;
    }

    /// Starts the threads of the contexts that the store lists, and only of these.
    fn take_up(self: &Arc<Self>, live: &Arc<Live>, rows: Rows, last: &mut u32) -> Result<()> {
        *last = rows.values().map(|row| row.number).max().unwrap_or(0);
        // Between suspending and resuming another process may have had the directory.
        lock(&self.contexts).retain(|id, open| {
            let same = rows.get(id).is_some_and(|row| row.number == open.row.number && !row.deleted);
            if !same {
                open.context.shared.close("the context was left");
            }
            same
        });
        for (id, row) in rows {
            if row.deleted || row.left.is_some_and(|left| is_over(left, &self.options.clock)) {
                lock(&self.contexts).remove(&id);
                delete_rows(&*live.store, self.durability(), id, row.number)?;
                continue;
            }
            // Its tasks have outlived the suspension.
            let known = lock(&self.contexts).contains_key(&id);
            let invitation = row.invitation.as_deref().map(Invitation::from_bytes).transpose()?;
            let left = row.left.is_some();
            let context = self.start_context(live, id, row)?;
            if left {
                context.shared.close("this node has left the context");
            }
            if left && !known {
                tokio::spawn(wait_heard(Arc::downgrade(self), context));
            } else if let Some(invitation) = invitation.filter(|_| !known) {
                tokio::spawn(go_on_joining(Arc::downgrade(self), context, invitation));
            }
        }
        // Fails only in a shutdown.
        let _ = live.switchboard.send(ToSwitchboard::TakenUp);
        Ok(())
    }

    /// What the node has while it is not suspended.
    pub(crate) fn live(&self) -> Result<Arc<Live>> {
        self.check_open()?;
        self.live.borrow().clone().ok_or_else(suspended)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live.borrow().is_some()
    }

    pub(crate) async fn suspend(self: &Arc<Self>, deadline: Duration) -> Result<()> {
        self.check_open()?;
        lock(&self.awake).wanted = false;
        self.sleep(deadline, |_| true).await
    }

    /// Suspends the node if it may be then.
    async fn sleep(self: &Arc<Self>, deadline: Duration, may: fn(&Awake) -> bool) -> Result<()> {
        self.on_runtime(move |node| async move {
            let work = tokio::spawn(async move {
                let _changing = node.changing.lock().await;
                node.check_open()?;
                // Asked here: who resumes it from now on waits, and finds it suspended.
                let may = may(&lock(&node.awake));
                if may { node.stop(None).await } else { Ok(()) }
            });
            match tokio::time::timeout(deadline, work).await {
                Ok(done) => done.map_err(|e| Error::internal(format!("suspending panicked: {e}")))?,
                Err(_) => Err(Error::new(
                    ErrorKind::Timeout,
                    format!("not suspended within {deadline:?}: it goes on in the background"),
                )),
            }
        })
        .await
    }

    pub(crate) async fn resume(self: &Arc<Self>) -> Result<()> {
        self.check_open()?;
        lock(&self.awake).wanted = true;
        self.wake().await.inspect_err(|_| lock(&self.awake).wanted = self.is_live())
    }

    async fn wake(self: &Arc<Self>) -> Result<()> {
        self.on_runtime(|node| async move {
            let changing = tokio::time::timeout(PATIENCE, node.changing.lock()).await;
            let mut last = changing.map_err(|_| {
                Error::new(ErrorKind::Timeout, "the node is still being suspended: a thread does not stop")
            })?;
            node.check_open()?;
            if node.is_live() {
                return Ok(());
            }
            let opened = match &node.kept {
                Some(store) => (Arc::clone(store), None),
                None => {
                    let key = lock(&node.sealing).key.clone();
                    open_blocking(&node.options, key).await?
                }
            };
            let store = Arc::clone(&opened.0);
            let started = Live::start(&node.options, opened.0, opened.1);
            let (live, rows) = started.inspect_err(|_| node.close_store(&*store))?;
            *lock(&node.engine) = live.store.engine_name();
            // First, since a context that runs asks its node for addresses.
            node.live.send_replace(Some(Arc::clone(&live)));
            if let Err(error) = node.take_up(&live, rows, &mut last) {
                // As it was before; the first error is the one to be told.
                let _ = node.stop(Some(PATIENCE)).await;
                return Err(error);
            }
            drop(last);
            node.meet(&live).await;
            Ok(())
        })
        .await
    }

    pub(crate) async fn sync_once(self: &Arc<Self>, budget: Duration) -> Result<SyncReport> {
        self.on_runtime(move |node| async move {
            let until = tokio::time::Instant::now() + budget.min(LONGEST);
            let syncing = Syncing::begin(&node);
            // Also of one that is awake: the end of another one of these may be about to suspend it, and would not have seen this one.
            node.wake().await?;
            let report = node.sync_until(until).await;
            drop(syncing);
            // The host may have resumed it meanwhile, or another of these may go on.
            if lock(&node.awake).may_sleep() {
                let slept = node.sleep(PATIENCE, Awake::may_sleep).await;
                slept.map_err(|error| after_round(&error, &report))?;
            }
            report
        })
        .await
    }

    async fn sync_until(&self, until: tokio::time::Instant) -> Result<SyncReport> {
        let live = self.live()?;
        let contexts: Vec<Context> = {
            let contexts = lock(&self.contexts);
            contexts
                .values()
                .filter(|open| open.row.left.is_none())
                .map(|open| open.context.clone())
                .collect()
        };
        let mut dials = tokio::task::JoinSet::new();
        for (peer, addresses) in live.peers.all_friends() {
            let network = live.network.clone();
            dials.spawn(async move { network.connect_peer(peer, &addresses).await.is_ok() });
        }
        // Ends early where nobody is there to sync with.
        let reaching = async {
            while let Some(reached) = dials.join_next().await {
                if reached.unwrap_or(false) {
                    return;
                }
            }
        };
        let reached = tokio::time::timeout_at(until, reaching).await;
        let mut connected = 0;
        if reached.is_ok() {
            connected = live.network.peers().await?.iter().filter(|peer| peer.link.is_some()).count();
        }
        let mut report = SyncReport { peers: connected, ..SyncReport::default() };
        for context in contexts {
            let in_step = connected > 0
                && tokio::time::timeout_at(until, context.shared.until_in_step())
                    .await
                    .is_ok_and(|in_step| in_step.is_ok());
            if in_step { report.synced.push(context.id()) } else { report.behind.push(context.id()) }
        }
        report.peers = live.network.peers().await?.iter().filter(|peer| peer.link.is_some()).count();
        Ok(report)
    }

    /// Stops everything that runs, and gives back files and sockets. With `patience`, gives up waiting for the contexts' threads after that; the
    /// caller holds `changing`, or is the only one left.
    async fn stop(&self, patience: Option<Duration>) -> Result<()> {
        let Some(live) = self.live.send_replace(None) else { return Ok(()) };
        let mut stopping: Vec<(Option<Running>, Option<JoinHandle<()>>)> = Vec::new();
        for open in lock(&self.contexts).values_mut() {
            stopping.push((open.context.shared.running.send_replace(None), open.thread.take()));
        }
        let threads = self.handle.spawn_blocking(move || {
            stop_threads(stopping);
        });
        tokio::pin!(threads);
        let stopped = tokio::time::timeout(patience.unwrap_or(LINGER), &mut threads).await;
        let closing = async {
            if stopped.is_err() && patience.is_none() {
                // However long that takes: until then files cannot be given back.
                let _ = threads.await;
            }
            let (store, keep) = (Arc::clone(&live.store), self.kept.is_some() && !*self.closed.borrow());
            let closed = self.handle.spawn_blocking(move || if keep { Ok(()) } else { store.close() });
            if stopped.is_err() && patience.is_some() {
                // The store closes when that thread gives up its view, which may be never.
                return Err(Error::new(ErrorKind::Timeout, "a context's thread does not stop"));
            }
            closed.await.map_err(|e| Error::internal(format!("closing the store panicked: {e}")))?
        };
        let (outcome, ()) = tokio::join!(closing, live.hang_up(&self.options.transport));
        // Also where nobody waits for it any more.
        outcome.inspect_err(|error| tracing::error!(%error, "the node did not stop in order"))
    }

    fn close_store(&self, store: &dyn crate::storage::Store) {
        if self.kept.is_none() {
            // The first error is the one to be told.
            let _ = store.close();
        }
    }

    pub(crate) async fn shutdown(self: &Arc<Self>) -> Result<()> {
        process::check()?;
        if self.closed.send_replace(true) {
            return Ok(());
        }
        let node = Arc::clone(self);
        let task = self.handle.spawn(async move { node.close_down().await });
        let outcome = task.await.map_err(|e| Error::internal(format!("the shutdown panicked: {e}")))?;
        let runtime = lock(&self.runtime).take();
        if let Some(runtime) = runtime {
            let (released, ended) = tokio::sync::oneshot::channel();
            // A runtime is not ended by one of its own threads.
            let ending = std::thread::Builder::new().name("kith-close".into()).spawn(move || {
                runtime.shutdown_timeout(END);
                // The caller may have gone away.
                let _ = released.send(());
            });
            match ending {
                Ok(_) => drop(ended.await),
                Err(error) => tracing::warn!(%error, "the runtime ends later"),
            }
        }
        outcome
    }

    async fn close_down(self: Arc<Self>) -> Result<()> {
        // A suspension that is under way holds this.
        let changing = tokio::time::timeout(PATIENCE, self.changing.lock()).await;
        let was_suspended = !self.is_live();
        let mut outcome = self.stop(Some(PATIENCE)).await;
        if let (true, Some(store)) = (was_suspended, &self.kept) {
            outcome = outcome.and(store.close());
        }
        let open: Vec<Open> = std::mem::take(&mut *lock(&self.contexts)).into_values().collect();
        for open in open {
            open.context.shared.close("the node has been shut down");
        }
        match changing {
            Ok(_) => outcome,
            Err(_) => outcome.and(Err(Error::new(ErrorKind::Timeout, "a context's thread does not stop"))),
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if process::is_forked() {
            return self.leak();
        }
        if self.closed.send_replace(true) {
            return;
        }
        // Nobody waits: the threads end when their queues do, and the store with the last of them.
        let live = self.live.send_replace(None);
        if let Some(live) = &live {
            let _ = live.switchboard.send(ToSwitchboard::Stop);
        }
        let mut stopping = Vec::new();
        let mut handles = Vec::new();
        for open in lock(&self.contexts).values_mut() {
            stopping.push((open.context.shared.running.send_replace(None), open.thread.take()));
            handles.push(open.context.clone());
        }
        let runtime = lock(&self.runtime).take();
        let cleaning = std::thread::Builder::new().name("kith-close".into()).spawn(move || {
            stop_threads(stopping);
            for context in handles {
                context.shared.close("the node is gone");
            }
            if let Some(runtime) = runtime {
                if let Some(live) = live {
                    runtime.block_on(live.network.shutdown());
                    let _ = live.store.close();
                }
                runtime.shutdown_background();
            }
        });
        if let Err(error) = cleaning {
            tracing::warn!(%error, "a node that was dropped could not be closed");
        }
    }
}

impl Registry {
    /// Keeps everything that letting go would close: in a forked process files and locks are still those of the one that opened them.
    fn leak(&mut self) {
        for open in
            std::mem::take(self.contexts.get_mut().unwrap_or_else(PoisonError::into_inner)).into_values()
        {
            std::mem::forget(open);
        }
        std::mem::forget(self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        std::mem::forget(self.kept.take());
        // Not changed: who holds the lock inside may be a thread that is not there.
        std::mem::forget(std::mem::replace(&mut self.live, watch::Sender::new(None)));
    }
}

/// Lets the contexts' threads finish what they have begun, and waits for their ends.
fn stop_threads(stopping: Vec<(Option<Running>, Option<JoinHandle<()>>)>) {
    let full: Vec<bool> = stopping
        .iter()
        .map(|(running, _)| running.as_ref().is_some_and(|r| r.commands.try_send(Command::Stop).is_err()))
        .collect();
    for ((running, thread), full) in stopping.into_iter().zip(full) {
        if let (Some(running), true) = (running, full) {
            // A thread that is gone has stopped.
            let _ = running.commands.blocking_send(Command::Stop);
        }
        if let Some(thread) = thread {
            // A panic there has been logged.
            let _ = thread.join();
        }
    }
}

/// Why the end of a round of syncing came to nothing, with what the round had come to.
fn after_round(error: &Error, round: &Result<SyncReport>) -> Error {
    let what = match round {
        Ok(report) => {
            let (synced, all) = (report.synced.len(), report.synced.len() + report.behind.len());
            format!("before: {synced} of {all} contexts in step, {} peers", report.peers)
        }
        Err(error) => format!("before: {error}"),
    };
    Error::new(error.kind(), format!("{} ({what})", error.message()))
}

/// Opens the store on a thread that may block. Called on the node's runtime.
async fn open_blocking(options: &Options, key: Option<StorageKey>) -> Result<Opened> {
    let options = Options { storage_key: key, ..options.clone() };
    let opened = tokio::task::spawn_blocking(move || open_store(&options)).await;
    opened.map_err(|e| Error::internal(format!("opening the store panicked: {e}")))?
}

impl Registry {
    /// A handle on a context that this node holds.
    pub(crate) fn context(&self, id: &ContextId) -> Option<Context> {
        let contexts = lock(&self.contexts);
        contexts.get(id).filter(|open| open.row.left.is_none()).map(|open| open.context.clone())
    }
}

//! What a node holds: its store, its contexts, its peers, its runtime.

mod joining;
mod leaving;
mod peers;
mod rows;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, mpsc, watch};
use zeroize::Zeroizing;

use self::joining::go_on_joining;
pub(crate) use self::peers::Peers;
use self::rows::{Row, add_row, load, open_store, start_network};
use super::actor::{Actor, FROZEN, Machinery, Start, fresh_keys, random_bytes};
use super::command::Command;
use super::context::Context;
use super::info::{ContextInfo, NodeStatus, PeerInfo};
use super::machine::Marks;
use super::options::{self, CreateOptions, Options};
use super::shared::{ContextShared, Facts, Joining};
use super::switchboard::{Switchboard, ToSwitchboard};
use crate::application::Application;
use crate::application::kv::KeyValue;
use crate::invitation::Invitation;
use crate::network::{self, Network};
use crate::replica::{ContextId, Creation, MemberId, MemoryTables, Replica, Signer};
use crate::storage::{Batch, Durability, HighWater, Keyspace, Mark, Store, add_writes, context_key};
use crate::{Error, ErrorKind, Result, limits};

/// Commands that wait for a context's thread.
const COMMANDS: usize = 1024;
/// How long `shutdown` waits for a thread or the network.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long `shutdown` waits for what the runtime's own threads still do.
const END: Duration = Duration::from_millis(500);

struct Open {
    context: Context,
    thread: Option<JoinHandle<()>>,
    row: Row,
}

pub(crate) struct Registry {
    runtime: Mutex<Option<Runtime>>,
    handle: tokio::runtime::Handle,
    store: Arc<dyn Store>,
    high_water: Option<Arc<HighWater>>,
    network: Network,
    peers: Arc<Peers>,
    switchboard: mpsc::UnboundedSender<ToSwitchboard>,
    applications: RwLock<BTreeMap<String, Arc<dyn Application>>>,
    contexts: Mutex<BTreeMap<ContextId, Open>>,
    closed: watch::Sender<bool>,
    /// Serialises what changes the list of contexts.
    changing: tokio::sync::Mutex<u32>,
    options: Options,
    copied: bool,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.peer_id()).finish_non_exhaustive()
    }
}

impl Registry {
    pub(crate) async fn open(options: Options) -> Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("kith-async")
            .enable_all()
            .build()
            .map_err(|e| Error::internal(format!("the runtime does not start: {e}")))?;
        let handle = runtime.handle().clone();
        let (path, engine) = (options.path.clone(), options.engine.clone());
        let opened = handle.spawn_blocking(move || open_store(path.as_deref(), engine)).await;
        let opened = opened.map_err(|e| Error::internal(format!("opening the store panicked: {e}")));
        let (store, high_water) = match opened.and_then(|opened| opened) {
            Ok(opened) => opened,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let kept = Arc::clone(&store);
        let started = handle.clone();
        let node = handle.spawn(async move { Self::start(options, started, store, high_water).await });
        match node.await.map_err(|e| Error::internal(format!("opening panicked: {e}"))).and_then(|node| node)
        {
            Ok(node) => {
                *lock(&node.runtime) = Some(runtime);
                Ok(node)
            }
            Err(error) => {
                let _ = kept.close();
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    async fn start(
        options: Options,
        handle: tokio::runtime::Handle,
        store: Arc<dyn Store>,
        high_water: Option<Arc<HighWater>>,
    ) -> Result<Arc<Self>> {
        let (identity, known, rows) = load(&*store)?;
        let mut config = network::Config::new(*identity);
        config.listen.clone_from(&options.listen);
        config.discovery = options.discovery;
        config.known_peers = known.iter().map(|(peer, known)| (*peer, known.addresses.clone())).collect();
        let (network, events) = start_network(&options, config, &*store)?;
        let (switchboard, orders) = mpsc::unbounded_channel();
        let peers = Arc::new(Peers {
            store: Arc::clone(&store),
            network: network.clone(),
            handle: handle.clone(),
            known: Mutex::new(known),
            listening: watch::Sender::new(0),
        });
        tokio::spawn(
            Switchboard::new(network.clone(), Arc::clone(&peers), switchboard.clone()).run(events, orders),
        );
        let mut applications: BTreeMap<String, Arc<dyn Application>> = BTreeMap::new();
        applications.insert("kv".into(), Arc::new(KeyValue));
        let copied = high_water.as_ref().is_some_and(|high_water| high_water.copied());
        let greatest = rows.values().map(|row| row.number).max().unwrap_or(0);
        let node = Arc::new(Self {
            runtime: Mutex::new(None),
            handle,
            store,
            high_water,
            network,
            peers,
            switchboard,
            applications: RwLock::new(applications),
            contexts: Mutex::new(BTreeMap::new()),
            closed: watch::Sender::new(false),
            changing: tokio::sync::Mutex::new(greatest),
            options,
            copied,
        });
        for (id, row) in rows {
            if row.deleted || row.left.is_some_and(|left| leaving::is_over(left, &node.options.clock)) {
                node.delete_rows(id, row.number)?;
            } else {
                let invitation = row.invitation.as_deref().map(Invitation::from_bytes).transpose()?;
                let left = row.left.is_some();
                let context = node.start_context(id, row)?;
                if left {
                    context.shared.close("this node has left the context");
                    tokio::spawn(leaving::wait_heard(Arc::downgrade(&node), context));
                } else if let Some(invitation) = invitation {
                    tokio::spawn(go_on_joining(Arc::downgrade(&node), context, invitation));
                }
            }
        }
        node.peers.wait_listening(node.options.listen.len()).await;
        for address in node.options.bootstrap.clone() {
            let network = node.network.clone();
            tokio::spawn(async move {
                // One that is not there yet is dialled again and again.
                if let Err(error) = network.keep(&address).await {
                    tracing::warn!(address, %error, "a bootstrap peer is not dialled");
                }
            });
        }
        Ok(node)
    }

    pub(crate) fn peer_id(&self) -> String {
        self.network.peer_id().to_string()
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.network.addresses()
    }

    /// Where somebody who is invited may find a member: this node's addresses and those of members' nodes, in turn.
    pub(crate) fn meeting_points(&self) -> Vec<String> {
        let mut own = self.addresses();
        // An address of this machine alone helps nobody else.
        own.sort_by_key(|address| address.starts_with("/ip4/127.") || address.starts_with("/ip6/::1/"));
        let friends = self.peers.friends();
        let mut friends = friends.into_iter();
        let mut points = Vec::new();
        for address in own {
            points.push(address);
            points.extend(friends.next());
        }
        points.extend(friends);
        points
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if *self.closed.borrow() { Err(Error::closed("the node has been shut down")) } else { Ok(()) }
    }

    pub(crate) async fn status(&self) -> Result<NodeStatus> {
        self.check_open()?;
        let peers = self.network.peers().await?;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Ok(NodeStatus {
            id: self.peer_id(),
            addresses: self.addresses(),
            peers: peers
                .into_iter()
                .map(|peer| PeerInfo {
                    peer: peer.peer.to_string(),
                    connected: peer.link.is_some(),
                    addresses: peer.addresses,
                    last_failure: peer.last_failure.map(|error| error.to_string()),
                    next_attempt_in: peer.next_attempt_in.map(millis),
                })
                .collect(),
            contexts: self.contexts()?.iter().map(|context| context.id.to_string()).collect(),
            sealed: false,
            copied: self.copied,
        })
    }

    pub(crate) fn application(&self, name: &str) -> Option<Arc<dyn Application>> {
        self.applications.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn register(&self, name: &str, application: Arc<dyn Application>) -> Result<()> {
        self.check_open()?;
        if name.is_empty() || name.len() > limits::APPLICATION_NAME {
            return Err(Error::invalid_argument("an application's name has 1 to 64 bytes"));
        }
        let mut applications = self.applications.write().unwrap_or_else(PoisonError::into_inner);
        if applications.contains_key(name) {
            return Err(Error::invalid_argument(format!("the application `{name}` is registered already")));
        }
        applications.insert(name.to_string(), application);
        drop(applications);
        for open in lock(&self.contexts).values() {
            // Wakes the thread; one whose queue is full is awake.
            let _ = open.context.shared.commands.try_send(Command::ApplicationRegistered);
        }
        Ok(())
    }

    pub(crate) async fn create_context(self: &Arc<Self>, options: CreateOptions) -> Result<Context> {
        self.on_runtime(move |node| async move {
            let mut last = node.changing.lock().await;
            node.check_open()?;
            let number = *last + 1;
            let this = Arc::clone(&node);
            let task = node.handle.spawn_blocking(move || this.create(options, number));
            let (id, row) = task.await.map_err(|e| Error::internal(format!("creating panicked: {e}")))??;
            *last = number;
            node.start_context(id, row)
        })
        .await
    }

    fn create(&self, options: CreateOptions, number: u32) -> Result<(ContextId, Row)> {
        let name = options.application;
        let application = self.application(&name).ok_or_else(|| {
            Error::new(ErrorKind::ApplicationMissing, format!("the application `{name}` is not registered"))
        })?;
        let secret = Zeroizing::new(random_bytes()?);
        let key = SigningKey::from_bytes(&secret);
        let mut fresh = fresh_keys(random_bytes()?);
        let mut signer = Signer { key: &key, timestamp: self.options.clock.now(), random: &mut fresh };
        let creation = Creation { application: name, arguments: options.arguments, name: options.name };
        let (replica, genesis, step) =
            Replica::create(&mut signer, creation, &MemoryTables::default(), &*application)?;
        let id = replica.context();
        let row =
            Row { number, invitation: None, left: None, deleted: false, access_key: *replica.access_key() };
        let mut batch = Batch::default();
        add_row(&mut batch, &id, &row);
        batch.put(Keyspace::Keys, context_key(number, b"member"), secret.to_vec());
        add_writes(&mut batch, number, step.writes);
        self.store.commit(&batch, self.durability())?;
        if let Some(high_water) = &self.high_water {
            let me = MemberId(key.verifying_key().to_bytes());
            high_water.raise(&[(id, me, Mark { sequence: 1, id: genesis.header.id() })])?;
        }
        Ok((id, row))
    }

    fn durability(&self) -> Durability {
        match self.options.durability {
            options::Durability::Power => Durability::Power,
            options::Durability::Process => Durability::Process,
        }
    }

    /// Starts the thread of a context whose rows are there.
    fn start_context(self: &Arc<Self>, id: ContextId, row: Row) -> Result<Context> {
        let (secret, frozen) = {
            let snapshot = self.store.snapshot()?;
            let secret =
                snapshot.get(Keyspace::Keys, &context_key(row.number, b"member"))?.map(Zeroizing::new);
            let frozen = snapshot.get(Keyspace::Meta, &context_key(row.number, FROZEN))?;
            (secret, frozen.map(|reason| String::from_utf8_lossy(&reason).into_owned()))
        };
        let secret = secret.as_ref().and_then(|secret| <[u8; 32]>::try_from(secret.as_slice()).ok());
        let secret = Zeroizing::new(
            secret.ok_or_else(|| Error::corrupt(format!("the key for context {id} is gone")))?,
        );
        let key = SigningKey::from_bytes(&secret);
        let invitation = row.invitation.as_deref().map(Invitation::from_bytes).transpose()?;
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let joining = if invitation.is_some() { Joining::UnderWay } else { Joining::Done };
        let facts = Facts {
            application: invitation.as_ref().map(|i| i.application.clone()).unwrap_or_default(),
            ..Facts::default()
        };
        let shared = Arc::new(ContextShared {
            id,
            me: MemberId(key.verifying_key().to_bytes()),
            number: row.number,
            store: Arc::clone(&self.store),
            runtime: self.handle.clone(),
            commands: commands.clone(),
            latest: watch::Sender::new(0),
            passing: broadcast::Sender::new(1024),
            synced: watch::Sender::new(false),
            joining: watch::Sender::new(joining),
            progress: watch::Sender::new((0, 0)),
            left: watch::Sender::new(false),
            facts: Mutex::new(facts),
            closed: watch::Sender::new(None),
            registry: Arc::downgrade(self),
        });
        let frozen = frozen.or_else(|| {
            self.copied
                .then(|| "the node's directory is a copy: two nodes must not write as one member".into())
        });
        let ask = invitation.is_some();
        let start = Start {
            shared: Arc::clone(&shared),
            key,
            invitation,
            high_water: self.high_water.clone().map(|marks| -> Arc<dyn Marks> { marks }),
            durability: self.durability(),
            event_retention: self.options.event_retention.max(1),
            switchboard: self.switchboard.clone(),
            leaving: row.left.is_some(),
            frozen,
            clock: self.options.clock.clone(),
            surroundings: Box::new(Machinery::new(Arc::downgrade(self))),
        };
        let actor = Actor::new(start)?;
        let thread = std::thread::Builder::new()
            .name("kith-context".into())
            .spawn(move || actor.run(receiver))
            .map_err(|e| Error::internal(format!("a thread does not start: {e}")))?;
        let context = Context { shared };
        let access_key = row.access_key;
        lock(&self.contexts).insert(id, Open { context: context.clone(), thread: Some(thread), row });
        // Fails only in a shutdown.
        let _ = self.switchboard.send(ToSwitchboard::Host { context: id, access_key, commands, ask });
        Ok(context)
    }

    pub(crate) fn context(&self, id: &ContextId) -> Option<Context> {
        let contexts = lock(&self.contexts);
        contexts.get(id).filter(|open| open.row.left.is_none()).map(|open| open.context.clone())
    }

    pub(crate) fn contexts(&self) -> Result<Vec<ContextInfo>> {
        self.check_open()?;
        let contexts = lock(&self.contexts);
        let info = |(id, open): (&ContextId, &Open)| {
            let facts = open.context.shared.facts();
            let joining = matches!(&*open.context.shared.joining.borrow(), Joining::UnderWay);
            ContextInfo { id: *id, name: facts.name, application: facts.application, joining }
        };
        Ok(contexts.iter().filter(|(_, open)| open.row.left.is_none()).map(info).collect())
    }

    pub(crate) async fn connect(self: &Arc<Self>, address: &str) -> Result<()> {
        self.check_open()?;
        let address = address.to_string();
        self.on_runtime(move |node| async move {
            node.network.connect(&address).await?;
            node.network.keep(&address).await
        })
        .await
    }

    /// Runs something on the node's runtime; dropping the returned future lets it finish in the background.
    async fn on_runtime<T, F>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.check_open()?;
        let task = self.handle.spawn(work(Arc::clone(self)));
        task.await.map_err(|e| match e.is_panic() {
            true => Error::internal("a task panicked"),
            false => Error::closed("the node has been shut down"),
        })?
    }

    pub(crate) async fn shutdown(self: &Arc<Self>) -> Result<()> {
        if self.closed.send_replace(true) {
            return Ok(());
        }
        let node = Arc::clone(self);
        let addresses = match self.options.transport {
            options::Transport::Sockets => self.addresses(),
            options::Transport::Memory(_) => Vec::new(),
        };
        let task = self.handle.spawn(async move { node.close_down().await });
        let outcome = task.await.map_err(|e| Error::internal(format!("the shutdown panicked: {e}")))?;
        let runtime = lock(&self.runtime).take();
        if let Some(runtime) = runtime {
            let (released, ended) = tokio::sync::oneshot::channel();
            // With the runtime end the transports' own tasks, and with them their sockets; that must be waited for outside of it.
            let ending = std::thread::Builder::new().name("kith-close".into()).spawn(move || {
                runtime.shutdown_timeout(END);
                network::wait_released(&addresses);
                // The caller may have gone away.
                let _ = released.send(());
            });
            match ending {
                Ok(_) => drop(ended.await),
                Err(error) => tracing::warn!(%error, "the ports are released later"),
            }
        }
        outcome
    }

    async fn close_down(self: Arc<Self>) -> Result<()> {
        let open: Vec<Open> = std::mem::take(&mut *lock(&self.contexts)).into_values().collect();
        for open in &open {
            // A thread that is gone has stopped.
            let _ = open.context.shared.commands.send(Command::Stop).await;
        }
        let joined = self.handle.spawn_blocking(move || {
            for mut open in open {
                if let Some(thread) = open.thread.take() {
                    // A panic there has been logged.
                    let _ = thread.join();
                }
                open.context.shared.close("the node has been shut down");
            }
        });
        let stopped = tokio::time::timeout(PATIENCE, joined).await;
        let _ = self.switchboard.send(ToSwitchboard::Stop);
        let store = Arc::clone(&self.store);
        let closed = self.handle.spawn_blocking(move || store.close());
        // The network bounds its own goodbye; the directory is free before it is done.
        self.network.say_goodbye().await;
        if stopped.is_err() {
            // The store closes when that thread gives up its view, which may be never.
            return Err(Error::new(ErrorKind::Timeout, "a context's thread does not stop"));
        }
        closed.await.map_err(|e| Error::internal(format!("closing the store panicked: {e}")))?
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if !self.closed.send_replace(true) {
            // Nobody waits: the threads end when their queues do, and the store with the last of them.
            let _ = self.switchboard.send(ToSwitchboard::Stop);
            for open in lock(&self.contexts).values() {
                let _ = open.context.shared.commands.try_send(Command::Stop);
            }
            let (network, store) = (self.network.clone(), Arc::clone(&self.store));
            let threads: Vec<JoinHandle<()>> =
                lock(&self.contexts).values_mut().filter_map(|open| open.thread.take()).collect();
            let runtime = lock(&self.runtime).take();
            let cleaning = std::thread::Builder::new().name("kith-close".into()).spawn(move || {
                for thread in threads {
                    let _ = thread.join();
                }
                if let Some(runtime) = runtime {
                    runtime.block_on(network.shutdown());
                    let _ = store.close();
                    runtime.shutdown_background();
                }
            });
            if let Err(error) = cleaning {
                tracing::warn!(%error, "a node that was dropped could not be closed");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What a node holds: its store, its contexts, its peers, its runtime.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub mod inspection;
mod joining;
mod leaving;
mod life;
mod live;
mod peers;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use tokio::runtime::Runtime;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use zeroize::Zeroizing;

pub(crate) use self::live::Live;
pub(crate) use self::peers::Peers;
use self::rows::{Row, add_row};
use super::actor::{Actor, FROZEN, Machinery, Start, fresh_keys, random_bytes};
use super::command::Command;
use super::context::Context;
use super::info::{ContextInfo, NodeStatus, PeerInfo, RelayInfo};
use super::machine::Marks;
use super::options::{self, CreateOptions, Options};
use super::shared::{ContextShared, Facts, InStep, Joining, Running};
use super::switchboard::ToSwitchboard;
use crate::application::Application;
use crate::invitation::Invitation;
use crate::keyring::Keeper;
use crate::network::{self, PeerId};
use crate::replica::{ContextId, Creation, MemberId, MemoryTables, Replica, Signer};
use crate::storage::{
    Batch, Durability, EngineName, Exported, Keyspace, Mark, Purpose, StorageKey, Store, add_writes,
    context_key, export_to_file, write_export,
};
use crate::{Error, ErrorKind, Result, limits};

/// Commands that wait for a context's thread.
const COMMANDS: usize = 1024;
/// How long making an invitation waits for relays that have not been heard of.
const RELAYS: Duration = Duration::from_secs(3);
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
    /// For everything but the network's transports; it outlives suspensions.
    runtime: Mutex<Option<Runtime>>,
    handle: tokio::runtime::Handle,
    id: PeerId,
    /// `None` while the node is suspended, and from `shutdown` on.
    live: watch::Sender<Option<Arc<Live>>>,
    /// A store that stays open while the node is suspended.
    kept: Option<Arc<dyn Store>>,
    /// Of the store that was opened last: while the node is suspended somebody else may have put another one into its place.
    engine: Mutex<Option<EngineName>>,
    applications: RwLock<BTreeMap<String, Arc<dyn Application>>>,
    contexts: Mutex<BTreeMap<ContextId, Open>>,
    /// Addresses that the host wants to be connected to.
    wanted: Mutex<BTreeSet<String>>,
    closed: watch::Sender<bool>,
    /// Serialises what changes the list of contexts.
    changing: tokio::sync::Mutex<u32>,
    awake: Mutex<life::Awake>,
    options: Options,
    sealing: Mutex<Sealing>,
}

/// How the directory is sealed, kept for when the store is closed.
#[derive(Debug, Default)]
struct Sealing {
    sealed: bool,
    key_file: bool,
    /// What the host has given last.
    key: Option<StorageKey>,
}

impl Sealing {
    fn of(store: &dyn Store, key: Option<StorageKey>) -> Self {
        let (sealed, key_file) =
            store.sealing().map_or((false, false), |s| (s.has_host_key(), s.has_key_file()));
        Self { sealed, key_file, key }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.peer_id()).finish_non_exhaustive()
    }
}

impl Registry {
    pub(crate) fn peer_id(&self) -> String {
        self.id.to_string()
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.live.borrow().as_ref().map(|live| live.network.addresses()).unwrap_or_default()
    }

    /// Where somebody who is invited may find a member: this node's addresses and those of members' nodes, in turn.
    pub(crate) async fn meeting_points(&self) -> Vec<String> {
        let live = self.live.borrow().clone();
        if let Some(live) = &live {
            // Right after the start relays have not answered yet.
            live.network.wait_relays(RELAYS).await;
        }
        let friends = live.map(|live| live.peers.friends()).unwrap_or_default();
        points(self.addresses(), friends)
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        // First: in a forked process a lock may be held by a thread that is not there.
        super::process::check()?;
        if *self.closed.borrow() { Err(Error::closed("the node has been shut down")) } else { Ok(()) }
    }

    pub(crate) async fn status(&self) -> Result<NodeStatus> {
        self.check_open()?;
        let live = self.live.borrow().clone();
        let (peers, relays) = match &live {
            Some(live) => (live.network.peers().await?, live.network.relays().await?),
            None => (Vec::new(), Vec::new()),
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let Sealing { sealed, key_file, .. } = *lock(&self.sealing);
        Ok(NodeStatus {
            id: self.peer_id(),
            addresses: self.addresses(),
            peers: peers
                .into_iter()
                .map(|peer| PeerInfo {
                    peer: peer.peer.to_string(),
                    connected: peer.link.is_some(),
                    relayed: peer.relayed,
                    addresses: peer.addresses,
                    last_failure: peer.last_failure.map(|error| error.to_string()),
                    next_attempt_in: peer.next_attempt_in.map(millis),
                })
                .collect(),
            relays: relays
                .into_iter()
                .map(|relay| RelayInfo {
                    relay: relay.relay,
                    address: relay.address,
                    longest: relay.longest.map(millis),
                    most_bytes: relay.most_bytes,
                    reason: relay.last_failure.as_ref().map(Error::kind),
                    last_failure: relay.last_failure.map(|error| error.to_string()),
                    next_attempt_in: relay.next_attempt_in.map(millis),
                })
                .collect(),
            contexts: self.contexts()?.iter().map(|context| context.id.to_string()).collect(),
            sealed,
            key_file,
            copied: live
                .as_ref()
                .and_then(|live| live.high_water.as_ref())
                .is_some_and(|marks| marks.copied()),
            strangers: live
                .as_ref()
                .map(|live| live.peers.strangers.with(live.network.unlinked()))
                .unwrap_or_default(),
            suspended: live.is_none(),
            storage: *lock(&self.engine),
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
            if let Some(running) = open.context.shared.running.borrow().as_ref() {
                let _ = running.commands.try_send(Command::ApplicationRegistered);
            }
        }
        Ok(())
    }

    pub(crate) async fn create_context(self: &Arc<Self>, options: CreateOptions) -> Result<Context> {
        self.on_runtime(move |node| async move {
            let mut last = node.changing.lock().await;
            node.check_open()?;
            let live = node.live()?;
            let number = *last + 1;
            let (this, on) = (Arc::clone(&node), Arc::clone(&live));
            // The host's application is asked, which is never done on a thread that others wait for.
            let (done, created) = oneshot::channel();
            let create = move || {
                // Nobody listens any more: the node is gone.
                let _ = done.send(this.create(&on, options, number));
            };
            context_thread(create)?;
            let (id, row) = created.await.map_err(|_| Error::internal("creating panicked"))??;
            *last = number;
            node.start_context(&live, id, row)
        })
        .await
    }

    fn create(&self, live: &Live, options: CreateOptions, number: u32) -> Result<(ContextId, Row)> {
        let name = options.application;
        let application = self.application(&name).ok_or_else(|| {
            Error::new(ErrorKind::ApplicationMissing, format!("the application `{name}` is not registered"))
        })?;
        let secret = Zeroizing::new(random_bytes()?);
        let key = SigningKey::from_bytes(&secret);
        let mut fresh = fresh_keys(random_bytes()?);
        let mut signer = Signer { key: &key, timestamp: self.options.clock.now(), random: &mut fresh };
        let (suite, me) = (options.encryption.suite(), MemberId(key.verifying_key().to_bytes()));
        let (key_package, keys) = Keeper::first_keys(suite, ContextId::default(), me, random_bytes()?)?;
        let creation = Creation {
            application: name,
            arguments: options.arguments,
            name: options.name,
            suite,
            key_package,
        };
        let (replica, genesis, step) =
            Replica::create(&mut signer, creation, &MemoryTables::default(), &*application)?;
        let id = replica.context();
        let row =
            Row { number, invitation: None, left: None, deleted: false, access_key: *replica.access_key() };
        let mut batch = Batch::default();
        add_row(&mut batch, &id, &row);
        batch.put(Keyspace::Keys, context_key(number, b"member"), secret.to_vec());
        add_writes(&mut batch, number, step.writes);
        add_writes(&mut batch, number, keys);
        live.store.commit(&batch, self.durability())?;
        if let Some(high_water) = &live.high_water {
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

    /// Starts the thread of a context whose rows are there. Handles from before a suspension stay good.
    fn start_context(self: &Arc<Self>, live: &Live, id: ContextId, row: Row) -> Result<Context> {
        let (secret, frozen) = {
            let snapshot = live.store.snapshot()?;
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
        let before = lock(&self.contexts).get(&id).map(|open| Arc::clone(&open.context.shared));
        if let Some(shared) = &before {
            shared.reopen();
        }
        let shared = before.unwrap_or_else(|| {
            Arc::new(ContextShared {
                id,
                me: MemberId(key.verifying_key().to_bytes()),
                number: row.number,
                runtime: self.handle.clone(),
                running: watch::Sender::new(None),
                latest: watch::Sender::new(0),
                passing: broadcast::Sender::new(1024),
                in_step: watch::Sender::new(InStep::default()),
                joining: watch::Sender::new(joining),
                joiners: AtomicUsize::new(0),
                progress: watch::Sender::new((0, 0)),
                left: watch::Sender::new(false),
                facts: Mutex::new(facts),
                closed: watch::Sender::new(None),
                registry: Arc::downgrade(self),
            })
        });
        let frozen = frozen.or_else(|| {
            let copy = "the node's directory is a copy, or a backup without its high-water mark: two nodes must not \
                        write as one member";
            let copied = live.high_water.as_ref().is_some_and(|high_water| high_water.copied());
            copied.then(|| copy.into())
        });
        let ask = invitation.is_some();
        let start = Start {
            shared: Arc::clone(&shared),
            store: Arc::clone(&live.store),
            key,
            invitation,
            high_water: live.high_water.clone().map(|marks| -> Arc<dyn Marks> { marks }),
            durability: self.durability(),
            event_retention: self.options.event_retention.max(1),
            switchboard: live.switchboard.clone(),
            leaving: row.left.is_some(),
            frozen,
            clock: self.options.clock.clone(),
            surroundings: Box::new(Machinery::new(Arc::downgrade(self))),
            gossips: live.network.gossips(),
        };
        let actor = Actor::new(start)?;
        let thread = context_thread(move || actor.run(receiver))?;
        let running = Running { store: Arc::clone(&live.store), commands: commands.clone() };
        shared.running.send_replace(Some(running));
        let context = Context { shared };
        let access_key = row.access_key;
        lock(&self.contexts).insert(id, Open { context: context.clone(), thread: Some(thread), row });
        // Fails only in a shutdown.
        let _ = live.switchboard.send(ToSwitchboard::Host { context: id, access_key, commands, ask });
        Ok(context)
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

    pub(crate) async fn change_storage_key(self: &Arc<Self>, key: StorageKey) -> Result<()> {
        self.on_runtime(move |node| async move {
            // Neither suspended nor resumed meanwhile.
            let _changing = node.changing.lock().await;
            let live = node.live()?;
            let (store, new) = (Arc::clone(&live.store), key.clone());
            let task = node.handle.spawn_blocking(move || store.change_key(&new));
            task.await.map_err(|e| Error::internal(format!("changing the key panicked: {e}")))??;
            *lock(&node.sealing) = Sealing::of(&*live.store, Some(key));
            Ok(())
        })
        .await
    }

    pub(crate) async fn export(self: &Arc<Self>, to: PathBuf, key: StorageKey) -> Result<Exported> {
        self.on_runtime(move |node| async move {
            // Not suspended meanwhile.
            let _changing = node.changing.lock().await;
            let live = node.live()?;
            let (store, marks) = (Arc::clone(&live.store), live.high_water.clone());
            let task = node.handle.spawn_blocking(move || {
                let marks = marks.as_deref();
                export_to_file(&to, |file| write_export(&*store, marks, Purpose::Backup, &key, file))
            });
            task.await.map_err(|e| Error::internal(format!("exporting panicked: {e}")))?
        })
        .await
    }

    pub(crate) async fn connect(self: &Arc<Self>, address: &str) -> Result<()> {
        self.check_open()?;
        let address = address.to_string();
        self.on_runtime(move |node| async move {
            let live = node.live()?;
            live.network.connect(&address).await?;
            live.network.keep(&address).await?;
            // Also after a suspension.
            lock(&node.wanted).insert(address);
            Ok(())
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
}

/// The node's own addresses and those of members' nodes in turn, so that the first few are worth most: an address of this machine alone helps
/// nobody else, and one way of each kind does more than two of the same.
fn points(own: Vec<String>, friends: Vec<String>) -> Vec<String> {
    let mut seen = [0; 5];
    let mut own: Vec<(usize, u8, String)> = own
        .into_iter()
        .map(|address| {
            let rank = network::rank(&address);
            let of_kind = &mut seen[usize::from(rank).min(4)];
            *of_kind += 1;
            (*of_kind, rank, address)
        })
        .collect();
    own.sort();
    let mut friends = friends.into_iter();
    let mut points = Vec::new();
    for (_, _, address) in own {
        points.push(address);
        points.extend(friends.next());
    }
    points.extend(friends);
    points
}

/// A thread on which the host's application may be asked.
fn context_thread(work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("kith-context".into());
    thread.spawn(work).map_err(|e| Error::internal(format!("a thread does not start: {e}")))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Stores that are full, fail or are damaged; applications that fault; a directory that is a copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kith_core::ErrorKind;
use kith_core::application::{Application, ApplicationError, Call, State, kv};
use kith_core::node::{Context, CreateOptions, Engine, Events, JoinOptions, Node, Options};
use kith_core::replica::StateKey;
use kith_core::storage::{StorageKey, Store};

use crate::faulty::{Faulty, Mood, Outcomes, calls, governing, key, node_on, questions, reads, unit};
use crate::table::Table;

/// A token of some other node, good as far as it goes.
pub(crate) async fn token() -> String {
    let store = Faulty::new();
    let (node, context, _) = node_on(&store).await;
    let token = context.invite(Default::default()).await.unwrap().to_text();
    node.shutdown().await.unwrap();
    token
}

pub(crate) fn hurry() -> JoinOptions {
    let mut options = JoinOptions::default();
    options.timeout = Some(Duration::from_millis(500));
    options
}

fn on(store: &Arc<Faulty>) -> Options {
    let mut options = Options::default();
    options.engine = Engine::Given(Arc::clone(store) as Arc<dyn Store>);
    options
}

/// The store refuses every batch with this kind; what wants none goes on.
async fn cannot_store(table: &mut Table, mood: Mood, kind: ErrorKind) {
    let token = token().await;
    let store = Faulty::new();
    store.be(mood);
    table.shows("Node::open", kind, Node::open(on(&store)).await);
    let store = Faulty::new();
    let (node, context, invite) = node_on(&store).await;
    context.put(key(), b"kept").await.unwrap();
    let before = context.status().await.unwrap().digest;
    store.be(mood);
    table.all(kind, calls(&context, || ()).await);
    table.all(kind, governing(&context, invite, || ()).await);
    table.shows("Context::leave", kind, context.leave().await);
    table.shows("Node::create_context", kind, node.create_context(CreateOptions::default()).await);
    table.shows("Node::join", kind, node.join(&token, hurry()).await);
    // Reading goes on meanwhile, and everything once there is room.
    assert_eq!(context.get(key(), Default::default()).await.unwrap().as_deref(), Some(&b"kept"[..]));
    assert_eq!(context.status().await.unwrap().digest, before, "{mood:?}");
    store.be(Mood::Well);
    context.put(key(), b"again").await.unwrap();
    node.shutdown().await.unwrap();
}

pub(crate) async fn full_disk(table: &mut Table) {
    table.case("a full disk");
    cannot_store(table, Mood::Full, ErrorKind::StorageFull).await;
}

pub(crate) async fn failing_store(table: &mut Table) {
    table.case("a store that takes nothing");
    cannot_store(table, Mood::CannotCommit, ErrorKind::Storage).await;

    table.case("a store that gives nothing");
    let store = Faulty::new();
    let (node, context, _) = node_on(&store).await;
    let mut events = two_streams(&context).await;
    store.be(Mood::Broken);
    table.all(ErrorKind::Storage, reads(&context, || ()).await);
    stream_errors(table, ErrorKind::Storage, &mut events, || ()).await;
    // From the first of these on the context is closed here, and the cause is told all the same.
    table.all(ErrorKind::Storage, questions(&context, || ()).await);
    table.shows("Node::shutdown", ErrorKind::Storage, node.shutdown().await);
}

/// Two streams that have something to read.
async fn two_streams(context: &Context) -> [Events; 2] {
    let streams = [context.events(None).await.unwrap(), context.events(None).await.unwrap()];
    context.put(key(), b"an event").await.unwrap();
    streams
}

async fn stream_errors(
    table: &mut Table,
    kind: ErrorKind,
    [one, other]: &mut [Events; 2],
    before: impl Fn(),
) {
    before();
    table.shows("Events::next", kind, one.next().await);
    before();
    let outcome = tokio::task::block_in_place(|| other.next_blocking(None));
    table.shows("Events::next_blocking", kind, outcome);
}

pub(crate) async fn damaged_records(table: &mut Table) {
    table.case("damaged records");
    let kind = ErrorKind::Corrupt;
    let store = Faulty::new();
    store.be(Mood::DamagedOnce);
    table.shows("Node::open", kind, Node::open(on(&store)).await);
    let store = Faulty::new();
    let (node, context, invite) = node_on(&store).await;
    let damage = || store.be(Mood::DamagedOnce);
    let mut events = two_streams(&context).await;
    stream_errors(table, kind, &mut events, damage).await;
    table.all(kind, reads(&context, damage).await);
    table.all(kind, calls(&context, damage).await);
    table.all(kind, governing(&context, invite, damage).await);
    damage();
    let (_, get) = kv::get(&key());
    table.shows("Context::query", kind, context.query("get", &get).await);
    damage();
    table.shows("Context::leave", kind, context.leave().await);
    damage();
    table.shows("Node::create_context", kind, node.create_context(CreateOptions::default()).await);
    damage();
    table.shows("Node::join", kind, node.join(&token().await, hurry()).await);
    damage();
    let folder = tempfile::tempdir().unwrap();
    let exported = node.export(&folder.path().join("export"), &StorageKey::new([1; 32])).await;
    table.shows("Node::export", kind, exported);
    context.put(key(), b"as before").await.unwrap();
    node.shutdown().await.unwrap();
}

/// An application whose call `wait` waits until it may go on, and is then rejected.
#[derive(Default)]
pub(crate) struct Gate {
    entered: AtomicBool,
    open: AtomicBool,
}

impl Gate {
    pub(crate) async fn entered(&self) {
        while !self.entered.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

impl Application for Gate {
    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        if call.method == "wait" {
            self.entered.store(true, Ordering::SeqCst);
            while !self.open.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            return Err(ApplicationError::Rejected("waited".into()));
        }
        state.put(&StateKey::of("gate", call.method), call.arguments)?;
        Ok(Vec::new())
    }
}

/// What comes together is stored together: callers whose turn comes after the one that fails get the store's error, and so do those who
/// only asked.
pub(crate) async fn a_round_that_fails_for_all(table: &mut Table) {
    for (case, mood, kind) in [
        ("a round that finds the disk full", Mood::Full, ErrorKind::StorageFull),
        ("a round that cannot be stored", Mood::CannotCommit, ErrorKind::Storage),
        ("a round that reads a damaged record", Mood::DamagedOnce, ErrorKind::Corrupt),
    ] {
        table.case(case);
        let store = Faulty::new();
        let (node, _, _) = node_on(&store).await;
        let gate = Arc::new(Gate::default());
        node.register("gate", Arc::clone(&gate) as Arc<dyn Application>).unwrap();
        let mut options = CreateOptions::default();
        options.application = "gate".into();
        let context = node.create_context(options).await.unwrap();
        // So that there are keys already, and the call that waits reads nothing after it has waited.
        context.execute("write", b"0").await.unwrap();
        let waiting = tokio::spawn({
            let context = context.clone();
            async move { context.execute("wait", &[]).await }
        });
        gate.entered().await;
        // All of these are queued before the thread looks at any of them.
        let outcomes = {
            let (one, two) = (context.clone(), context.clone());
            let first = async move { unit(one.execute("write", b"1").await) };
            let second = async move { unit(two.execute("write", b"2").await) };
            let asked = async {
                tokio::join!(
                    context.members(),
                    context.invitations(),
                    context.status(),
                    context.commitment(),
                    context.security(),
                    context.verify(),
                    context.query("none", &[]),
                )
            };
            let release = async {
                store.be(mood);
                gate.open();
            };
            // Polled in this order: each has sent its command when the gate is opened.
            tokio::join!(biased; first, second, asked, release)
        };
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Rejected);
        let (first, second, asked, ()) = outcomes;
        let (members, invitations, status, commitment, security, verified, query) = asked;
        let all: Outcomes = vec![
            ("Context::execute", first),
            ("Context::execute", second),
            ("Context::members", unit(members)),
            ("Context::invitations", unit(invitations)),
            ("Context::status", unit(status)),
            ("Context::commitment", unit(commitment)),
            ("Context::security", unit(security)),
            ("Context::verify", unit(verified)),
            ("Context::query", unit(query)),
        ];
        table.all(kind, all);
        store.be(Mood::Well);
        context.execute("write", b"afterwards").await.unwrap();
        node.shutdown().await.unwrap();
    }
}

/// An application with something wrong on this machine only: but for the first call of `once`, none can be carried out.
#[derive(Default)]
struct Sick(AtomicBool);

impl Application for Sick {
    fn initialise(&self, arguments: &[u8], _: &mut dyn State) -> Result<(), ApplicationError> {
        match arguments {
            b"faulty" => Err(ApplicationError::Fault("out of time".into())),
            b"refused" => Err(ApplicationError::Rejected("not with me".into())),
            _ => Ok(()),
        }
    }

    fn execute(&self, call: &Call<'_>, _: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        if call.method == "once" && !self.0.swap(true, Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        Err(ApplicationError::Fault("out of memory".into()))
    }

    fn query(&self, _: &str, _: &[u8], _: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        Err(ApplicationError::Fault("interrupted".into()))
    }
}

pub(crate) async fn applying_stands_still(table: &mut Table) {
    table.case("an application with a fault on this machine");
    let (node, _, _) = node_on(&Faulty::new()).await;
    node.register("sick", Arc::new(Sick::default())).unwrap();
    let with = |arguments: &[u8]| {
        let mut options = CreateOptions::default();
        options.application = "sick".into();
        options.arguments = arguments.to_vec();
        options
    };
    let context = node.create_context(with(b"")).await.unwrap();
    table.shows("Context::execute", ErrorKind::Blocked, context.execute("any", &[]).await);
    table.shows("Context::query", ErrorKind::Blocked, context.query("any", &[]).await);
    context.execute("once", &[]).await.unwrap();
    table.shows("Context::verify", ErrorKind::Blocked, context.verify().await);
    table.shows("Node::create_context", ErrorKind::Blocked, node.create_context(with(b"faulty")).await);
    table.shows("Node::create_context", ErrorKind::Rejected, node.create_context(with(b"refused")).await);
    node.shutdown().await.unwrap();
}

/// Two nodes must not write as one member: a copy of a directory signs nothing.
pub(crate) async fn a_copied_directory(table: &mut Table) {
    table.case("a copied directory");
    let directory = tempfile::tempdir().unwrap();
    let (here, there) = (directory.path().join("here"), directory.path().join("there"));
    let alone = |path: &std::path::Path| {
        let mut options = Options::default();
        options.path = Some(path.to_owned());
        options
    };
    let node = Node::open(alone(&here)).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    context.put(key(), b"before").await.unwrap();
    let (id, invite) = (context.id(), context.invite(Default::default()).await.unwrap().invite);
    node.shutdown().await.unwrap();
    crate::nodes::copy(&here, &there);
    let node = Node::open(alone(&there)).await.unwrap();
    let context = node.context(id).unwrap();
    table.all(ErrorKind::Blocked, calls(&context, || ()).await);
    table.all(ErrorKind::Blocked, governing(&context, invite, || ()).await);
    table.shows("Context::leave", ErrorKind::Blocked, context.leave().await);
    node.shutdown().await.unwrap();
}

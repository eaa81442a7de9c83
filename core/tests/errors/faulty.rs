//! A store that fails when the test says so, and all calls of a context at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use kith_core::application::kv;
use kith_core::node::{Context, CreateOptions, Engine, InviteOptions, Level, Node, Options};
use kith_core::replica::{Role, StateKey, TransactionId};
use kith_core::storage::{Batch, Durability, Keyspace, MemoryStore, Snapshot, Store};
use kith_core::{Error, ErrorKind, Result};

/// How the store behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    Well,
    /// No room for any batch.
    Full,
    /// No batch can be stored.
    CannotCommit,
    /// What is open cannot be closed in order.
    CannotClose,
    /// Nothing can be read or stored.
    Broken,
    /// The next record that is read does not verify; then it is well again.
    DamagedOnce,
}

pub(crate) struct Faulty {
    inner: MemoryStore,
    mood: AtomicU8,
}

impl Faulty {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { inner: MemoryStore::new(), mood: AtomicU8::new(Mood::Well as u8) })
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    fn is(&self, mood: Mood) -> bool {
        self.mood.load(Ordering::SeqCst) == mood as u8
    }

    fn damaged(&self) -> Result<()> {
        let (once, well) = (Mood::DamagedOnce as u8, Mood::Well as u8);
        match self.mood.compare_exchange(once, well, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Err(Error::corrupt("a record does not verify (asked for by the test)")),
            Err(_) => Ok(()),
        }
    }
}

impl Store for Faulty {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        if self.is(Mood::Broken) {
            return Err(Error::storage("the store is broken (asked for by the test)"));
        }
        Ok(Box::new(View { store: self, inner: self.inner.snapshot()? }))
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<()> {
        if self.is(Mood::Full) {
            return Err(Error::new(ErrorKind::StorageFull, "no space (asked for by the test)"));
        }
        if self.is(Mood::CannotCommit) || self.is(Mood::Broken) {
            return Err(Error::storage("nothing can be stored (asked for by the test)"));
        }
        self.inner.commit(batch, durability)
    }

    fn close(&self) -> Result<()> {
        self.inner.close()?;
        if self.is(Mood::Broken) {
            return Err(Error::storage("the store cannot be closed (asked for by the test)"));
        }
        Ok(())
    }
}

/// A faulty store from one opening on until it is closed; what is in it outlives that.
pub(crate) struct Session {
    store: Arc<Faulty>,
    closed: AtomicBool,
}

impl Session {
    fn open(&self) -> Result<&Faulty> {
        match self.closed.load(Ordering::SeqCst) {
            false => Ok(&self.store),
            true => Err(Error::closed("this session of the store is closed")),
        }
    }
}

impl Store for Session {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        self.open()?.snapshot()
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<()> {
        self.open()?.commit(batch, durability)
    }

    fn close(&self) -> Result<()> {
        if !self.closed.swap(true, Ordering::SeqCst) && self.store.is(Mood::CannotClose) {
            return Err(Error::storage("the last flush has failed (asked for by the test)"));
        }
        Ok(())
    }
}

/// For a node that opens this store each time it is taken up.
pub(crate) fn opened_again(store: &Arc<Faulty>) -> Options {
    let store = Arc::clone(store);
    let mut options = Options::default();
    options.engine = Engine::Opened(Arc::new(move || {
        let closed = AtomicBool::new(false);
        Ok(Arc::new(Session { store: Arc::clone(&store), closed }) as Arc<dyn Store>)
    }));
    options
}

struct View<'a> {
    store: &'a Faulty,
    inner: Box<dyn Snapshot + 'a>,
}

impl Snapshot for View<'_> {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.store.damaged()?;
        self.inner.get(keyspace, key)
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.store.damaged()?;
        self.inner.scan(keyspace, from, to, reverse, limit)
    }
}

pub(crate) type Outcomes = Vec<(&'static str, Result<()>)>;

pub(crate) fn unit<T>(outcome: Result<T>) -> Result<()> {
    outcome.map(|_| ())
}

pub(crate) fn key() -> StateKey {
    StateKey::of("errors", "key")
}

/// A node on this store, reached by nobody, with a context that has an invitation; and the invitation's id.
pub(crate) async fn node_on(store: &Arc<Faulty>) -> (Node, Context, TransactionId) {
    let mut options = Options::default();
    options.engine = Engine::Given(Arc::clone(store) as Arc<dyn Store>);
    let node = Node::open(options).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    let invite = context.invite(InviteOptions::default()).await.unwrap().invite;
    (node, context, invite)
}

/// All that call the application `kv`, each after `before`.
pub(crate) async fn calls(context: &Context, before: impl Fn()) -> Outcomes {
    let mut all = Vec::new();
    let value = b"value";
    let operations = || vec![kv::Operation::Put(kv::Put { key: key(), value: value.to_vec() })];
    let (method, arguments) = kv::put(&key(), *value);
    before();
    all.push(("Context::execute", unit(context.execute(method, &arguments).await)));
    before();
    all.push(("Context::put", unit(context.put(key(), value).await)));
    before();
    all.push(("Context::delete", unit(context.delete(key()).await)));
    before();
    all.push(("Context::add", unit(context.add(StateKey::of("errors", "counter"), 1).await)));
    before();
    let expected = context.get(key(), Level::Tentative).await.ok().flatten();
    before();
    all.push((
        "Context::compare_and_set",
        unit(context.compare_and_set(key(), expected.as_deref(), Some(value)).await),
    ));
    before();
    all.push(("Context::append", unit(context.append(key(), value).await)));
    before();
    all.push(("Context::batch", unit(context.batch(operations()).await)));
    all
}

/// All that govern or make keys, but for leaving, each after `before`.
pub(crate) async fn governing(context: &Context, invite: TransactionId, before: impl Fn()) -> Outcomes {
    let mut all = Vec::new();
    let me = context.me();
    let call = context.history(None, 1000).await;
    let call = call.ok().and_then(|page| page.iter().find(|t| t.method.is_some()).map(|t| t.id));
    before();
    all.push(("Context::set_name", unit(context.set_name("errors").await)));
    before();
    all.push(("Context::set_display_name", unit(context.set_display_name("me").await)));
    before();
    all.push(("Context::set_role", unit(context.set_role(me, Role::Admin).await)));
    before();
    all.push(("Context::remove", unit(context.remove(me).await)));
    before();
    all.push(("Context::invite", unit(context.invite(InviteOptions::default()).await)));
    before();
    all.push(("Context::revoke", unit(context.revoke(invite).await)));
    before();
    all.push(("Context::skip", unit(context.skip(call.unwrap_or(invite)).await)));
    before();
    all.push(("Context::rotate_keys", unit(context.rotate_keys().await)));
    all
}

/// All that the context's thread answers without writing, each after `before`.
pub(crate) async fn questions(context: &Context, before: impl Fn()) -> Outcomes {
    let mut all = Vec::new();
    before();
    let (_, get) = kv::get(&key());
    all.push(("Context::query", unit(context.query("get", &get).await)));
    before();
    all.push(("Context::members", unit(context.members().await)));
    before();
    all.push(("Context::invitations", unit(context.invitations().await)));
    before();
    all.push(("Context::status", unit(context.status().await)));
    before();
    all.push(("Context::commitment", unit(context.commitment().await)));
    before();
    all.push(("Context::security", unit(context.security().await)));
    before();
    all.push(("Context::verify", unit(context.verify().await)));
    all
}

/// All that read the store beside the context's thread, each after `before`.
pub(crate) async fn reads(context: &Context, before: impl Fn()) -> Outcomes {
    let mut all = Vec::new();
    before();
    all.push(("Context::get", unit(context.get(key(), Level::Tentative).await)));
    before();
    all.push(("Context::entries", unit(context.entries(&[], None, 10, Level::Tentative).await)));
    before();
    all.push(("Context::get_blocking", unit(context.get_blocking(key(), Level::Tentative))));
    before();
    all.push(("Context::entries_blocking", unit(context.entries_blocking(&[], None, 10, Level::Tentative))));
    before();
    all.push(("Context::transaction", unit(context.transaction(TransactionId(context.id().0)).await)));
    before();
    all.push(("Context::history", unit(context.history(None, 10).await)));
    before();
    all.push(("Context::explain", unit(context.explain(key(), None, 10).await)));
    before();
    all.push(("Context::events", unit(context.events(Some(0)).await)));
    all
}

//! Applications of the host's own.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use kith_core::ErrorKind;
use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::network::Hub;
use kith_core::node::{Context, CreateOptions, Event, Level, Node};
use kith_core::replica::Role;

use crate::nodes::{PATIENCE, equal, join, key, open, until};
use crate::{close, refused};

/// Stores its arguments; refuses, or ails, if it is told to.
#[derive(Default)]
struct Moody {
    ailing: AtomicBool,
}

impl Application for Moody {
    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        state.put(&key(call.method), call.arguments)?;
        match call.arguments {
            b"refuse" => Err(ApplicationError::Rejected("no such thing".into())),
            b"bad" if self.ailing.load(Ordering::SeqCst) => {
                Err(ApplicationError::Fault("the disk is gone".into()))
            }
            _ => {
                state.emit("stored", call.arguments)?;
                Ok(b"done".to_vec())
            }
        }
    }

    fn query(&self, method: &str, _: &[u8], state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        state.get(&key(method))?.ok_or_else(|| ApplicationError::Rejected("nothing there".into()))
    }
}

async fn create(node: &Node) -> Context {
    let mut options = CreateOptions::default();
    options.application = "moody".into();
    node.create_context(options).await.unwrap()
}

/// Two members; the second one's application can be told to ail.
async fn members() -> (Node, Node, Context, Context, Arc<Moody>) {
    let hub = Hub::new();
    let (one, other) = (open(&hub).await, open(&hub).await);
    let moody = Arc::new(Moody::default());
    one.register("moody", Arc::new(Moody::default())).unwrap();
    other.register("moody", Arc::clone(&moody) as Arc<dyn Application>).unwrap();
    let mine = create(&one).await;
    let theirs = join(&mine, &other, Role::Writer).await.unwrap();
    (one, other, mine, theirs, moody)
}

async fn eventually(what: impl AsyncFn() -> bool) {
    let wait = async {
        while !what().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

// scenario: own_application, application_raises, application_emits, application_twice
#[tokio::test]
async fn an_application_of_the_hosts_own_works_for_all() {
    let (one, other, mine, theirs, _) = members().await;
    let mut events = theirs.events(None).await.unwrap();
    assert_eq!(mine.execute("first", b"value").await.unwrap().output, b"done");
    let told = until(&mut events, |event| matches!(event, Event::Emitted { .. })).await;
    assert!(matches!(told, Event::Emitted { name, data, .. } if name == "stored" && data == b"value"));
    refused(theirs.execute("second", b"refuse").await, ErrorKind::Rejected, "no such thing");
    assert_eq!(theirs.get(key("second"), Level::Tentative).await.unwrap(), None);
    theirs.execute("second", b"other").await.unwrap();
    equal(&mine, &theirs).await;
    assert_eq!(mine.query("second", &[]).await.unwrap(), b"other");
    refused(one.register("moody", Arc::new(Moody::default())), ErrorKind::InvalidArgument, "");
    refused(one.register("kv", Arc::new(Moody::default())), ErrorKind::InvalidArgument, "");
    close(&[&one, &other]).await;
}

/// Joining does not wait for what is applied.
#[tokio::test]
async fn who_joins_with_an_ailing_application_is_a_member_that_stands_still() {
    let hub = Hub::new();
    let (one, other) = (open(&hub).await, open(&hub).await);
    let moody = Arc::new(Moody::default());
    moody.ailing.store(true, Ordering::SeqCst);
    one.register("moody", Arc::new(Moody::default())).unwrap();
    other.register("moody", Arc::clone(&moody) as Arc<dyn Application>).unwrap();
    let mine = create(&one).await;
    mine.execute("first", b"bad").await.unwrap();
    let theirs = join(&mine, &other, Role::Writer).await.unwrap();
    eventually(async || theirs.status().await.unwrap().blocked.is_some()).await;
    assert_eq!(theirs.members().await.unwrap().len(), 2);
    refused(theirs.execute("other", b"good").await, ErrorKind::Blocked, "");
    moody.ailing.store(false, Ordering::SeqCst);
    mine.execute("more", b"good").await.unwrap();
    equal(&mine, &theirs).await;
    close(&[&one, &other]).await;
}

// scenario: local_fault
#[tokio::test]
async fn a_fault_blocks_one_member_and_an_admin_skips_the_call() {
    let (one, other, mine, theirs, moody) = members().await;
    moody.ailing.store(true, Ordering::SeqCst);
    let mut events = theirs.events(None).await.unwrap();
    let bad = mine.execute("first", b"bad").await.unwrap().transaction;
    let blocked = until(&mut events, |event| matches!(event, Event::Blocked { .. })).await;
    assert!(matches!(blocked, Event::Blocked { cause } if cause.contains("the disk is gone")));
    refused(theirs.execute("other", b"good").await, ErrorKind::Blocked, "");
    refused(theirs.skip(bad).await, ErrorKind::PermissionDenied, "");
    mine.skip(bad).await.unwrap();
    eventually(async || theirs.status().await.unwrap().blocked.is_none()).await;
    theirs.execute("other", b"good").await.unwrap();
    equal(&mine, &theirs).await;
    assert!(theirs.transaction(bad).await.unwrap().unwrap().receipt.unwrap().outcome.is_err());
    close(&[&one, &other]).await;
}

// scenario: fault_that_passes
#[tokio::test]
async fn a_fault_that_passes_is_tried_again() {
    let (one, other, mine, theirs, moody) = members().await;
    moody.ailing.store(true, Ordering::SeqCst);
    let mut events = theirs.events(None).await.unwrap();
    mine.execute("first", b"bad").await.unwrap();
    until(&mut events, |event| matches!(event, Event::Blocked { .. })).await;
    moody.ailing.store(false, Ordering::SeqCst);
    eventually(async || theirs.get(key("first"), Level::Tentative).await.unwrap().is_some()).await;
    equal(&mine, &theirs).await;
    close(&[&one, &other]).await;
}

// scenario: application_missing
#[tokio::test]
async fn a_context_waits_for_its_application() {
    let hub = Hub::new();
    let (one, other) = (open(&hub).await, open(&hub).await);
    one.register("moody", Arc::new(Moody::default())).unwrap();
    let mine = create(&one).await;
    mine.execute("first", b"value").await.unwrap();
    let theirs = join(&mine, &other, Role::Writer).await.unwrap();
    refused(theirs.execute("second", b"value").await, ErrorKind::ApplicationMissing, "moody");
    assert!(theirs.status().await.unwrap().blocked.unwrap().contains("moody"));
    other.register("moody", Arc::new(Moody::default())).unwrap();
    equal(&mine, &theirs).await;
    assert_eq!(theirs.query("first", &[]).await.unwrap(), b"value");
    close(&[&one, &other]).await;
}

/// Notes on which threads it is asked.
#[derive(Default)]
struct Asked(Mutex<BTreeSet<(&'static str, String)>>);

impl Asked {
    fn now(&self, what: &'static str) {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        self.0.lock().unwrap().insert((what, thread));
    }
}

impl Application for Asked {
    fn initialise(&self, _: &[u8], _: &mut dyn State) -> Result<(), ApplicationError> {
        self.now("initialise");
        Ok(())
    }

    fn execute(&self, _: &Call<'_>, _: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        self.now("execute");
        Ok(Vec::new())
    }

    fn query(&self, _: &str, _: &[u8], _: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        self.now("query");
        Ok(Vec::new())
    }
}

/// However long it takes there, no other context and no network waits.
#[tokio::test]
async fn an_application_is_asked_on_threads_of_contexts_alone() {
    let hub = Hub::new();
    let (one, other) = (open(&hub).await, open(&hub).await);
    let asked = [Arc::new(Asked::default()), Arc::new(Asked::default())];
    for (node, asked) in [&one, &other].into_iter().zip(&asked) {
        node.register("asked", Arc::clone(asked) as Arc<dyn Application>).unwrap();
    }
    let mut options = CreateOptions::default();
    options.application = "asked".into();
    let mine = one.create_context(options).await.unwrap();
    mine.execute("before", b"").await.unwrap();
    let theirs = join(&mine, &other, Role::Writer).await.unwrap();
    theirs.execute("after", b"").await.unwrap();
    equal(&mine, &theirs).await;
    mine.query("anything", b"").await.unwrap();
    theirs.query("anything", b"").await.unwrap();
    close(&[&one, &other]).await;
    // A joiner replays how the context began.
    let everything = ["execute", "initialise", "query"].map(|what| (what, "kith-context".to_owned()));
    for asked in asked {
        assert_eq!(*asked.0.lock().unwrap(), BTreeSet::from(everything.clone()));
    }
}

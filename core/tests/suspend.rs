//! Suspending and resuming: what phones do to apps all day.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod nodes;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use kith_core::ErrorKind;
use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::network::Hub;
use kith_core::node::{Context, CreateOptions, Event, InviteOptions, JoinOptions, Level, Node, Options};
use kith_core::replica::Role;
use nodes::{PATIENCE, equal, join, key, open, until};

fn on_disk(directory: &tempfile::TempDir) -> Options {
    let mut options = Options::local(directory.path().join("node"));
    options.listen = vec!["/ip4/127.0.0.1/tcp/0".into()];
    options
}

/// Two members of a context: one in memory, and one with a directory, which is to be suspended.
struct Two {
    _directory: tempfile::TempDir,
    anna: Node,
    ben: Node,
    mine: Context,
    yours: Context,
}

async fn two() -> Two {
    let directory = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let anna = open(&hub).await;
    let mut options = Options::in_memory(&hub);
    options.path = Some(directory.path().join("node"));
    let ben = Node::open(options).await.unwrap();
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    let yours = join(&mine, &ben, Role::Writer).await.unwrap();
    Two { _directory: directory, anna, ben, mine, yours }
}

/// That a call was refused since the node is suspended.
fn refused<T: std::fmt::Debug>(outcome: kith_core::Result<T>) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("suspended"), "{error}");
}

// scenario: suspended_node
#[tokio::test]
async fn a_suspended_node_gives_everything_back_and_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(on_disk(&directory)).await.unwrap();
    let mut create = CreateOptions::default();
    create.name = "home".into();
    let context = node.create_context(create).await.unwrap();
    context.put(key("a"), b"1").await.unwrap();
    let mut events = context.events(None).await.unwrap();
    let (id, addresses) = (node.id(), node.addresses());
    let port = addresses[0].split('/').nth(4).unwrap().to_string();

    node.suspend(PATIENCE).await.unwrap();
    node.suspend(PATIENCE).await.unwrap();
    assert!(node.is_suspended());
    refused(context.put(key("a"), b"2").await);
    refused(context.get(key("a"), Level::Tentative).await);
    refused(context.members().await);
    refused(context.events(Some(0)).await);
    refused(node.create_context(CreateOptions::default()).await);
    refused(node.connect(&addresses[0]).await);
    // What needs neither store nor network is there.
    assert_eq!(node.contexts().unwrap()[0].name, "home");
    assert_eq!(node.id(), id);
    let status = node.status().await.unwrap();
    assert!(status.suspended && status.addresses.is_empty() && status.peers.is_empty());
    // The port and the directory are free for somebody else.
    drop(std::net::TcpListener::bind(format!("127.0.0.1:{port}")).unwrap());
    let other = Node::open(on_disk(&directory)).await.unwrap();
    assert_eq!(node.resume().await.unwrap_err().kind(), ErrorKind::Busy);
    assert!(node.is_suspended());
    // An extension of the app writes meanwhile.
    other.context(context.id()).unwrap().put(key("b"), b"theirs").await.unwrap();
    let theirs = other.create_context(CreateOptions::default()).await.unwrap().id();
    other.shutdown().await.unwrap();

    node.resume().await.unwrap();
    node.resume().await.unwrap();
    assert!(!node.is_suspended());
    assert_eq!(node.addresses(), addresses, "the port is the one from before");
    assert_eq!(context.get(key("a"), Level::Tentative).await.unwrap().unwrap(), b"1");
    assert_eq!(context.get(key("b"), Level::Tentative).await.unwrap().unwrap(), b"theirs");
    assert!(node.context(theirs).is_ok());
    // The stream from before goes on, with what was written meanwhile too.
    let changed = until(&mut events, |event| matches!(event, Event::Changed { .. })).await;
    assert_eq!(changed, Event::Changed { keys: vec![key("b")] });
    context.put(key("c"), b"3").await.unwrap();
    until(&mut events, |event| *event == Event::Changed { keys: vec![key("c")] }).await;
    node.shutdown().await.unwrap();
    assert_eq!(context.put(key("a"), b"4").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_stream_of_events_waits_while_the_node_is_suspended() {
    let hub = Hub::new();
    let node = open(&hub).await;
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    let mut events = context.events(None).await.unwrap();
    node.suspend(PATIENCE).await.unwrap();
    let waiting =
        tokio::spawn(async move { until(&mut events, |e| matches!(e, Event::Changed { .. })).await });
    node.resume().await.unwrap();
    context.put(key("a"), b"1").await.unwrap();
    assert_eq!(waiting.await.unwrap(), Event::Changed { keys: vec![key("a")] });

    let mut events = context.events(None).await.unwrap();
    node.suspend(PATIENCE).await.unwrap();
    node.shutdown().await.unwrap();
    assert!(matches!(events.next().await, Err(error) if error.kind() == ErrorKind::Closed));
}

#[tokio::test]
async fn a_node_in_memory_keeps_what_it_has() {
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    let yours = join(&mine, &ben, Role::Writer).await.unwrap();
    ben.suspend(PATIENCE).await.unwrap();
    mine.put(key("a"), b"while you slept").await.unwrap();
    ben.resume().await.unwrap();
    yours.put(key("b"), b"awake").await.unwrap();
    equal(&mine, &yours).await;
}

// scenario: syncing_once
#[tokio::test]
async fn one_round_of_syncing_from_sleep_to_sleep() {
    let Two { _directory, anna, ben, mine, yours } = two().await;
    let alone = ben.create_context(CreateOptions::default()).await.unwrap();
    ben.suspend(PATIENCE).await.unwrap();
    mine.put(key("a"), b"while you slept").await.unwrap();

    // A budget that the lonely context uses up.
    let report = ben.sync_once(Duration::from_secs(2)).await.unwrap();
    assert_eq!((report.synced, report.behind, report.peers), (vec![yours.id()], vec![alone.id()], 1));
    assert!(ben.is_suspended());
    ben.resume().await.unwrap();
    assert_eq!(yours.get(key("a"), Level::Tentative).await.unwrap().unwrap(), b"while you slept");

    anna.shutdown().await.unwrap();
    // Nobody is there: the budget is not waited for.
    let report = ben.sync_once(Duration::MAX).await.unwrap();
    assert_eq!((report.peers, report.behind.len()), (0, 2));
    assert!(!ben.is_suspended(), "one that was awake stays awake");
    ben.shutdown().await.unwrap();
}

/// The app comes to the front while the system lets it sync in the background.
#[tokio::test]
async fn who_resumes_a_node_that_syncs_once_keeps_it_awake() {
    let Two { _directory, anna, ben, mine, yours } = two().await;
    // It is in step with nobody, so the whole budget is used.
    ben.create_context(CreateOptions::default()).await.unwrap();
    ben.suspend(PATIENCE).await.unwrap();
    let syncing = {
        let ben = ben.clone();
        tokio::spawn(async move { ben.sync_once(Duration::from_secs(1)).await })
    };
    let awake = async {
        while ben.is_suspended() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, awake).await.unwrap();
    ben.resume().await.unwrap();
    syncing.await.unwrap().unwrap();
    assert!(!ben.is_suspended());
    mine.put(key("a"), b"awake").await.unwrap();
    equal(&mine, &yours).await;
    // The control: without that it sleeps again, also after somebody resumed and suspended it.
    ben.suspend(PATIENCE).await.unwrap();
    ben.sync_once(Duration::from_millis(200)).await.unwrap();
    assert!(ben.is_suspended());
    ben.shutdown().await.unwrap();
    anna.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_end_of_one_round_of_syncing_does_not_end_another() {
    let Two { _directory, anna, ben, .. } = two().await;
    ben.create_context(CreateOptions::default()).await.unwrap();
    ben.suspend(PATIENCE).await.unwrap();
    let (short, long) =
        tokio::join!(ben.sync_once(Duration::from_millis(500)), ben.sync_once(Duration::from_secs(2)));
    short.unwrap();
    let long = long.unwrap();
    assert_eq!((long.synced.len(), long.behind.len(), long.peers), (1, 1, 1));
    assert!(ben.is_suspended());
    ben.shutdown().await.unwrap();
    anna.shutdown().await.unwrap();
}

/// Hangs until it is let go.
#[derive(Default)]
struct Hanging {
    held: AtomicBool,
    let_go: Mutex<bool>,
    changed: Condvar,
}

impl Application for Hanging {
    fn execute(&self, _: &Call<'_>, _: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        self.held.store(true, Ordering::SeqCst);
        let mut let_go = self.let_go.lock().unwrap();
        while !*let_go {
            let_go = self.changed.wait(let_go).unwrap();
        }
        Ok(Vec::new())
    }
}

// scenario: suspension_in_time
#[tokio::test]
async fn an_application_that_hangs_holds_the_suspension_up_but_not_its_caller() {
    let hub = Hub::new();
    let node = open(&hub).await;
    let application = Arc::new(Hanging::default());
    node.register("hanging", Arc::clone(&application) as Arc<dyn Application>).unwrap();
    let mut create = CreateOptions::default();
    create.application = "hanging".into();
    let context = node.create_context(create).await.unwrap();
    let calling = {
        let context = context.clone();
        tokio::spawn(async move { context.execute("hang", &[]).await })
    };
    let held = Arc::clone(&application);
    tokio::task::spawn_blocking(move || {
        while !held.held.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    })
    .await
    .unwrap();
    let error = node.suspend(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    refused(context.execute("hang", &[]).await);
    *application.let_go.lock().unwrap() = true;
    application.changed.notify_all();
    // Once it lets go, the call is finished and the node suspended; resuming waits for that.
    calling.await.unwrap().unwrap();
    node.resume().await.unwrap();
    context.execute("hang", &[]).await.unwrap();
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn joining_goes_on_after_a_suspension() {
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    let token = mine.invite(InviteOptions::default()).await.unwrap().to_text();
    // Nobody is there to admit.
    anna.suspend(PATIENCE).await.unwrap();
    let joining = {
        let (ben, token) = (ben.clone(), token.clone());
        tokio::spawn(async move { ben.join(&token, JoinOptions::default()).await })
    };
    let waiting = async {
        while ben.contexts().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    ben.suspend(PATIENCE).await.unwrap();
    anna.resume().await.unwrap();
    ben.resume().await.unwrap();
    let yours = joining.await.unwrap().unwrap();
    equal(&mine, &yours).await;
}

#[tokio::test]
async fn leaving_goes_on_after_a_suspension() {
    let Two { _directory, anna, ben, mine, yours } = two().await;
    // Nobody is there to hear of it.
    anna.suspend(PATIENCE).await.unwrap();
    let leaving = {
        let context = yours.clone();
        tokio::spawn(async move { context.leave().await })
    };
    let gone = async {
        while yours.role().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    ben.suspend(PATIENCE).await.unwrap();
    assert_eq!(ben.contexts().unwrap().len(), 1);
    anna.resume().await.unwrap();
    ben.resume().await.unwrap();
    leaving.await.unwrap().unwrap();
    assert_eq!(ben.contexts().unwrap().len(), 0);
    let alone = async {
        while mine.members().await.unwrap().len() > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, alone).await.unwrap();
    ben.shutdown().await.unwrap();
}

/// Writes until it is told to stop; gives what was acknowledged.
async fn write(context: Context, writer: usize, stop: Arc<AtomicBool>) -> Vec<(String, Vec<u8>)> {
    let mut acknowledged = Vec::new();
    for number in 0_u64.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let (name, value) = (format!("{writer}/{number}"), number.to_le_bytes().to_vec());
        match context.put(key(&name), &value).await {
            Ok(_) => acknowledged.push((name, value)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                // Suspended: the next turn of the other side of the test resumes.
                tokio::task::yield_now().await;
            }
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_suspensions_in_mid_write_lose_nothing_that_was_acknowledged() {
    let Two { _directory, anna: _anna, ben, mine, yours } = two().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writing: Vec<_> =
        (0..4).map(|writer| tokio::spawn(write(yours.clone(), writer, Arc::clone(&stop)))).collect();
    let mut events = yours.events(None).await.unwrap();
    for _ in 0..100 {
        // Some of it is written each time.
        until(&mut events, |event| matches!(event, Event::Changed { .. })).await;
        ben.suspend(PATIENCE).await.unwrap();
        ben.resume().await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let mut count = 0;
    for writer in writing {
        for (name, value) in writer.await.unwrap() {
            assert_eq!(yours.get(key(&name), Level::Tentative).await.unwrap(), Some(value), "{name}");
            count += 1;
        }
    }
    assert!(count >= 100, "only {count} calls were acknowledged");
    println!("{count} acknowledged writes in 100 suspensions");
    assert_eq!(yours.status().await.unwrap().frozen, None);
    equal(&mine, &yours).await;
    ben.shutdown().await.unwrap();
}

async fn transactions(context: &Context) -> u64 {
    context.status().await.unwrap().transactions
}

const WRITES: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_suspensions_in_mid_catch_up_end_in_step() {
    let Two { _directory, anna, ben, mine, yours } = two().await;
    let (mut interrupted, mut begun, mut rounds, mut before) = (0, 0, 0_u32, 0);
    while interrupted < 100 {
        rounds += 1;
        assert!(rounds <= 1_000, "catch-up was over before the suspension but for {interrupted} times");
        ben.suspend(PATIENCE).await.unwrap();
        let mut events = yours.events(None).await.unwrap();
        // More than one batch takes in, so that a suspension finds some of it still to come.
        let writes = (0..WRITES).map(|n| {
            let context = mine.clone();
            tokio::spawn(async move { context.put(key(&format!("{rounds}/{n}")), &[7; 100_000]).await })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap().unwrap();
        }
        let whole = transactions(&mine).await;
        ben.resume().await.unwrap();
        until(&mut events, |event| matches!(event, Event::PeerConnected { .. })).await;
        if rounds % 3 == 0 {
            // When some of it has come, and not at once.
            until(&mut events, |event| matches!(event, Event::Executed { .. })).await;
        }
        ben.suspend(PATIENCE).await.unwrap();
        // What it has is looked at while there is nobody to get more from.
        anna.suspend(PATIENCE).await.unwrap();
        ben.resume().await.unwrap();
        let now = transactions(&yours).await;
        interrupted += u32::from(now < whole);
        begun += u32::from(before < now && now < whole);
        before = now;
        anna.resume().await.unwrap();
    }
    println!("{interrupted} of {rounds} suspensions came in mid-catch-up, {begun} when some had come");
    assert!(begun > 0);
    equal(&mine, &yours).await;
    ben.shutdown().await.unwrap();
}

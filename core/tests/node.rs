//! Nodes over links in memory: what callers see of creating, joining, writing together, leaving.

mod nodes;

use std::task::Poll;

use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Event, Level, Node, Options};
use kith_core::replica::{Header, Role};
use kith_core::storage::{ContextTables, HighWater, StorageEngine};
use kith_core::{ErrorKind, limits};
use nodes::{PATIENCE, copy, equal, join as joined, key, open, until};

#[tokio::test]
async fn two_nodes_share_a_context() {
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    mine.put(key("before"), b"was here").await.unwrap();
    let yours = joined(&mine, &ben, Role::Writer).await.unwrap();
    assert_eq!(yours.role(), Some(Role::Writer));
    assert_eq!(yours.get(key("before"), Level::Tentative).await.unwrap().unwrap(), b"was here");

    for round in 0..20u8 {
        let (a, b) = tokio::join!(mine.add(key("counter"), 1), yours.add(key("counter"), 100));
        a.unwrap();
        b.unwrap();
        let (short, long) = ([round], [round, round]);
        let (a, b) = tokio::join!(mine.put(key("same"), &short), yours.put(key("same"), &long));
        a.unwrap();
        b.unwrap();
    }
    equal(&mine, &yours).await;
    for context in [&mine, &yours] {
        let value = context.get(key("counter"), Level::Tentative).await.unwrap().unwrap();
        assert_eq!(i64::from_le_bytes(value.try_into().unwrap()), 20 * 101);
        let page = context.entries(&[], None, 10, Level::Tentative).await.unwrap();
        let reader = context.clone();
        let here = tokio::task::spawn_blocking(move || {
            let page = reader.entries_blocking(&[], None, 10, Level::Tentative).unwrap();
            let each = page.iter().map(|entry| reader.get_blocking(entry.key, Level::Tentative).unwrap());
            assert!(each.eq(page.iter().map(|entry| Some(entry.value.clone()))));
            assert_eq!(reader.get_blocking(key("absent"), Level::Tentative).unwrap(), None);
            page
        });
        assert_eq!(here.await.unwrap(), page);
        context.wait_synced(PATIENCE).await.unwrap();
    }
    assert_eq!(mine.members().await.unwrap().len(), 2);

    mine.set_name("our list").await.unwrap();
    yours.set_display_name("Ben").await.unwrap();
    assert_eq!(yours.set_name("his list").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let too_long = yours.set_display_name(&"b".repeat(limits::NOTE + 1)).await.unwrap_err();
    assert_eq!(too_long.kind(), ErrorKind::LimitExceeded);
    yours.set_display_name(&"b".repeat(limits::NOTE)).await.unwrap();
    yours.set_display_name("Ben").await.unwrap();
    equal(&mine, &yours).await;
    for context in [&mine, &yours] {
        assert_eq!(context.name(), "our list");
        let members = context.members().await.unwrap();
        let name = |member| members.iter().find(|info| info.id == member).unwrap().name.clone();
        assert_eq!((name(mine.me()), name(yours.me())), (String::new(), "Ben".into()));
        let mut events = context.events(Some(0)).await.unwrap();
        let context_is_named =
            |event: &Event| matches!(event, Event::Renamed { member: None, name } if name == "our list");
        until(&mut events, context_is_named).await;
    }
    assert_eq!(ben.contexts().unwrap()[0].name, "our list");

    yours.leave().await.unwrap();
    assert_eq!(ben.contexts().unwrap().len(), 0);
    let mut events = mine.events(Some(0)).await.unwrap();
    until(&mut events, |event| matches!(event, Event::MemberLeft { .. })).await;
    assert_eq!(mine.members().await.unwrap().len(), 1);
    assert_eq!(yours.get(key("same"), Level::Tentative).await.unwrap_err().kind(), ErrorKind::Closed);

    anna.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();
    assert_eq!(mine.put(key("late"), b"").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_context_survives_restarts_over_sockets() {
    nodes::log();
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [here, there] = &directories;
    let anna = Node::open(Options::local(here.path())).await.unwrap();
    let ben = Node::open(Options::local(there.path())).await.unwrap();
    let busy = Node::open(Options::local(here.path())).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);

    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    mine.put(key("first"), b"1").await.unwrap();
    let yours = joined(&mine, &ben, Role::Writer).await.unwrap();
    yours.put(key("second"), b"2").await.unwrap();
    equal(&mine, &yours).await;
    let (id, me, digest) = (mine.id(), mine.me(), mine.status().await.unwrap().digest);

    anna.shutdown().await.unwrap();
    yours.put(key("meanwhile"), b"3").await.unwrap();
    let anna = Node::open(Options::local(here.path())).await.unwrap();
    let mine = anna.context(id).unwrap();
    assert_eq!(mine.me(), me);
    assert_eq!(mine.get(key("second"), Level::Tentative).await.unwrap().unwrap(), b"2");
    assert_ne!(digest, yours.status().await.unwrap().digest);
    equal(&mine, &yours).await;
    assert_eq!(mine.get(key("meanwhile"), Level::Tentative).await.unwrap().unwrap(), b"3");
    mine.put(key("again"), b"4").await.unwrap();
    equal(&mine, &yours).await;
    anna.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();
}

/// A backup that is restored with a high-water mark made up for it makes an honest node sign two histories. The others notice, prove it to each
/// other, and the member is out.
#[tokio::test]
async fn a_member_that_signs_two_histories_is_found_out() {
    nodes::log();
    let directories: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let backup = directories[2].path().join("restored");
    let anna = Node::open(Options::local(directories[0].path())).await.unwrap();
    let ben = Node::open(Options::local(directories[1].path())).await.unwrap();
    let at_anna = anna.create_context(CreateOptions::default()).await.unwrap();
    let at_ben = joined(&at_anna, &ben, Role::Writer).await.unwrap();
    at_ben.put(key("shared"), b"1").await.unwrap();
    equal(&at_anna, &at_ben).await;
    let (id, cheat) = (at_anna.id(), at_ben.me());
    ben.shutdown().await.unwrap();
    copy(directories[1].path(), &backup);

    let ben = Node::open(Options::local(directories[1].path())).await.unwrap();
    let at_ben = ben.context(id).unwrap();
    let one = at_ben.put(key("one history"), b"1").await.unwrap();
    equal(&at_anna, &at_ben).await;
    ben.shutdown().await.unwrap();

    // With the mark, the restored copy signs nothing.
    let restored = Node::open(Options::local(&backup)).await.unwrap();
    assert!(restored.status().await.unwrap().copied);
    let refused = restored.context(id).unwrap().put(key("other history"), b"2").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Blocked);
    restored.shutdown().await.unwrap();

    // Removing the mark gives no right to sign, at the first opening or a later one.
    let mut alone = Options::default();
    alone.path = Some(backup.clone());
    anna.shutdown().await.unwrap();
    std::fs::remove_file(backup.join("high-water")).unwrap();
    for _ in 0..2 {
        let restored = Node::open(alone.clone()).await.unwrap();
        let refused = restored.context(id).unwrap().put(key("other history"), b"2").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Blocked);
        restored.shutdown().await.unwrap();
    }

    // With a mark that was made for this place, and with nobody to tell it in time, it signs.
    std::fs::remove_file(backup.join("high-water")).unwrap();
    let store = kith_core::storage::open(&backup, StorageEngine::Auto, None, None).unwrap();
    drop(HighWater::open_beside(&backup, false, store.sealing()).unwrap());
    store.close().unwrap();
    let restored = Node::open(alone).await.unwrap();
    let other = restored.context(id).unwrap().put(key("other history"), b"2").await.unwrap();
    restored.shutdown().await.unwrap();

    let anna = Node::open(Options::local(directories[0].path())).await.unwrap();
    let at_anna = anna.context(id).unwrap();
    let mut events = at_anna.events(None).await.unwrap();
    let restored = Node::open(Options::local(&backup)).await.unwrap();
    let found = until(&mut events, |event| matches!(event, Event::Equivocation { .. })).await;
    assert!(matches!(found, Event::Equivocation { member, .. } if member == cheat));
    until(&mut events, |event| *event == Event::MemberRemoved { member: cheat }).await;
    assert_eq!(at_anna.members().await.unwrap().len(), 1);
    anna.shutdown().await.unwrap();
    restored.shutdown().await.unwrap();

    // Both are sealed under one position of one chain. What sets their key streams apart is the nonce, which hangs on what they say.
    let store = kith_core::storage::open(directories[0].path(), StorageEngine::Auto, None, None).unwrap();
    let headers = [one, other].map(|id| {
        let snapshot = store.snapshot().unwrap();
        let tables = ContextTables::new(&*snapshot, 1);
        kith_core::replica::transaction(&tables, &id).unwrap().expect("Anna has both, as a proof").header
    });
    let [first, second] = &headers;
    assert!(first.is_sealed());
    let position = |header: &Header| (header.author, header.sequence, header.epoch, header.counter);
    assert_eq!(position(first), position(second));
    assert_ne!(first.commitment, second.commitment);
    store.close().unwrap();
}

/// Somebody who leaves while nobody is connected is gone for its host at once, and tells the others when it meets them, also after a
/// restart; only then its copy is deleted.
#[tokio::test]
async fn who_leaves_alone_tells_the_others_later() {
    nodes::log();
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let anna = Node::open(Options::local(directories[0].path())).await.unwrap();
    let ben = Node::open(Options::local(directories[1].path())).await.unwrap();
    let at_anna = anna.create_context(CreateOptions::default()).await.unwrap();
    let at_ben = joined(&at_anna, &ben, Role::Writer).await.unwrap();
    equal(&at_anna, &at_ben).await;
    let id = at_anna.id();
    anna.shutdown().await.unwrap();
    at_ben.leave().await.unwrap();
    assert_eq!(at_ben.put(key("late"), b"").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(ben.contexts().unwrap().len(), 0);
    ben.shutdown().await.unwrap();

    let ben = Node::open(Options::local(directories[1].path())).await.unwrap();
    assert_eq!(ben.context(id).unwrap_err().kind(), ErrorKind::NotFound);
    let anna = Node::open(Options::local(directories[0].path())).await.unwrap();
    let at_anna = anna.context(id).unwrap();
    let mut events = at_anna.events(Some(0)).await.unwrap();
    until(&mut events, |event| matches!(event, Event::MemberLeft { .. })).await;
    assert_eq!(at_anna.members().await.unwrap().len(), 1);
    anna.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();
}

/// A QUIC connection that is closed before its first round trip was measured drains for three seconds; a node does not wait for that, and its
/// ports are free all the same.
#[tokio::test]
async fn closing_does_not_wait_for_young_connections() {
    nodes::log();
    let quic = || {
        let mut options = Options::default();
        options.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".into()];
        options
    };
    let mut longest = std::time::Duration::ZERO;
    for round in 0..24 {
        let (anna, ben) = (Node::open(quic()).await.unwrap(), Node::open(quic()).await.unwrap());
        let address = ben.addresses().remove(0);
        let connecting = tokio::spawn({
            let (anna, address) = (anna.clone(), address.clone());
            async move { anna.connect(&address).await }
        });
        // At another moment of the handshake each time.
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_micros(400 * round) && !connecting.is_finished() {
            tokio::task::yield_now().await;
        }
        let since = std::time::Instant::now();
        let (one, other) = tokio::join!(anna.shutdown(), ben.shutdown());
        one.unwrap();
        other.unwrap();
        longest = longest.max(since.elapsed());
        // It came through or it did not.
        let _ = connecting.await.unwrap();
        let port: u16 = address.split('/').nth(4).unwrap().parse().unwrap();
        std::net::UdpSocket::bind(("127.0.0.1", port)).unwrap();
    }
    println!("two nodes with a young connection closed in {longest:?} at most");
    assert!(longest < std::time::Duration::from_millis(2500), "it drained: {longest:?}");
}

/// Panics where it is told to.
struct Clumsy;

impl Application for Clumsy {
    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        state.put(&key("written"), b"before the panic")?;
        assert!(call.method != "stumble", "over its own feet");
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn an_application_that_panics_takes_nothing_with_it() {
    let hub = Hub::new();
    let node = open(&hub).await;
    node.register("clumsy", std::sync::Arc::new(Clumsy)).unwrap();
    let mut options = CreateOptions::default();
    options.application = "clumsy".into();
    let context = node.create_context(options).await.unwrap();
    let error = context.execute("stumble", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Blocked);
    assert!(error.to_string().contains("over its own feet"), "{error}");
    assert_eq!(context.get(key("written"), Level::Tentative).await.unwrap(), None);
    context.execute("walk", &[]).await.unwrap();
    assert!(context.get(key("written"), Level::Tentative).await.unwrap().is_some());
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_synced_waits_for_what_was_just_written() {
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    let yours = joined(&mine, &ben, Role::Writer).await.unwrap();
    for round in 0..50_u64 {
        mine.put(key("last"), &round.to_le_bytes()).await.unwrap();
        mine.wait_synced(PATIENCE).await.unwrap();
        let there = yours.get(key("last"), Level::Tentative).await.unwrap().unwrap();
        assert_eq!(there, round.to_le_bytes());
    }
    // What the other side writes all the time is not waited for: otherwise this would never end.
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::spawn({
        let (yours, mut stopped) = (yours.clone(), stopped);
        async move {
            let mut written = 0_u64;
            while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
                yours.add(key("counter"), 1).await.unwrap();
                written += 1;
            }
            written
        }
    });
    for round in 50..200_u64 {
        mine.put(key("last"), &round.to_le_bytes()).await.unwrap();
        mine.wait_synced(PATIENCE).await.unwrap();
        let there = yours.get(key("last"), Level::Tentative).await.unwrap().unwrap();
        assert_eq!(there, round.to_le_bytes());
    }
    stop.send(()).unwrap();
    let written = writing.await.unwrap();
    yours.wait_synced(PATIENCE).await.unwrap();
    let counted = mine.get(key("counter"), Level::Tentative).await.unwrap().unwrap();
    assert_eq!(u64::from_le_bytes(counted.try_into().unwrap()), written);
    // Nobody is there any more.
    ben.shutdown().await.unwrap();
    while !mine.status().await.unwrap().peers.is_empty() {
        tokio::task::yield_now().await;
    }
    let alone = mine.wait_synced(std::time::Duration::from_millis(20)).await;
    assert_eq!(alone.unwrap_err().kind(), ErrorKind::Timeout);
    anna.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_context_outlives_its_node_and_says_what_became_of_it() {
    let node = open(&Hub::new()).await;
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    context.put(key("a"), b"1").await.unwrap();
    drop(node);
    let error = loop {
        match context.get(key("a"), Level::Tentative).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("dropped"), "{error}");
}

/// Whoever opens a node may give up at any moment: nothing panics, and the directory opens again.
#[tokio::test(flavor = "multi_thread")]
async fn opening_may_be_given_up_at_any_moment() {
    let directory = tempfile::tempdir().unwrap();
    let opening = || Node::open(Options::local(directory.path()));
    let node = opening().await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    context.put(key("x"), b"kept").await.unwrap();
    node.shutdown().await.unwrap();
    // The first is given up as soon as it has begun; where all of it was done by then, the next one.
    loop {
        let mut begun = Box::pin(opening());
        match std::future::poll_fn(|context| Poll::Ready(begun.as_mut().poll(context))).await {
            Poll::Pending => break,
            Poll::Ready(Ok(node)) => node.shutdown().await.unwrap(),
            Poll::Ready(Err(error)) => panic!("{error}"),
        }
    }
    // The others are later and later: which of them are given up hangs on what else the machine does.
    let mut patience = std::time::Duration::from_micros(50);
    let node = loop {
        match tokio::time::timeout(patience, opening()).await {
            Ok(Ok(node)) => break node,
            // The one before may have the directory still: that says nothing of how long opening takes.
            Ok(Err(error)) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
            Err(_) => patience = (patience + patience / 4).min(PATIENCE),
        }
    };
    let found = node.context(context.id()).unwrap().get(key("x"), Level::Tentative).await.unwrap();
    assert_eq!(found.unwrap(), b"kept");
    node.shutdown().await.unwrap();
}

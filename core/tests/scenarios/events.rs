//! Events, and calls that are given up.

use std::path::Path;
use std::time::Duration;

use kith_core::ErrorKind;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Event, Level, Node, Options};
use kith_core::replica::Role;
use kith_core::storage::{ImportOptions, StorageKey, import};

use crate::nodes::{PATIENCE, key, peer, until};
use crate::{alone, close, refused, told, two};

// scenario: events_are_pulled, events_after_a_cursor
#[tokio::test]
async fn events_are_waited_for_and_replayed() {
    let (node, context) = alone().await;
    let mut events = context.events(None).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), events.next()).await.is_err());
    let one = context.put(key("one"), b"1").await.unwrap();
    let (cursor, first) = events.next().await.unwrap();
    assert_eq!(first, Event::Executed { transaction: one, member: context.me(), again: false });
    assert_eq!(events.next().await.unwrap().1, Event::Changed { keys: vec![key("one")] });
    let two = context.put(key("two"), b"2").await.unwrap();
    let mut later = context.events(Some(cursor)).await.unwrap();
    let again = until(&mut later, |event| matches!(event, Event::Executed { .. })).await;
    assert_eq!(again, Event::Executed { transaction: two, member: context.me(), again: false });
    close(&[&node]).await;
}

// scenario: events_after_a_restart
#[tokio::test]
async fn a_cursor_outlives_its_node() {
    let directory = tempfile::tempdir().unwrap();
    let at = || Node::open(Options::local(directory.path()));
    let node = at().await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    let mut events = context.events(None).await.unwrap();
    context.put(key("one"), b"1").await.unwrap();
    let (cursor, _) = events.next().await.unwrap();
    let two = context.put(key("two"), b"2").await.unwrap();
    close(&[&node]).await;
    let node = at().await.unwrap();
    let mut events = node.context(context.id()).unwrap().events(Some(cursor)).await.unwrap();
    until(&mut events, |event| matches!(event, Event::Executed { transaction, .. } if *transaction == two))
        .await;
    close(&[&node]).await;
}

// scenario: cursor_expired
#[tokio::test]
async fn a_cursor_that_is_too_old_says_so() {
    let mut options = Options::in_memory(&Hub::new());
    options.event_retention = 3;
    let node = Node::open(options).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    for number in 0..10u8 {
        context.put(key("x"), &[number]).await.unwrap();
    }
    refused(context.events(Some(1)).await.map(drop), ErrorKind::CursorExpired, "");
    close(&[&node]).await;
}

// scenario: every_kept_event
#[tokio::test]
async fn every_kind_of_event_that_is_kept_comes_with_all_it_says() {
    let history = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bindings/events");
    let wanted = std::fs::read_to_string(history.join("events.txt")).unwrap();
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("node");
    let sealed = StorageKey::new(told::KEY);
    import(&history.join("history.kith"), &sealed, &directory, &ImportOptions::default()).unwrap();
    let node = Node::open(Options::local(&directory)).await.unwrap();
    let id = node.contexts().unwrap()[0].id;
    let mut events = node.context(id).unwrap().events(Some(0)).await.unwrap();
    let mut advice = String::new();
    // Each kind that is kept.
    let kinds: [fn(&Event) -> bool; 15] = [
        |event| matches!(event, Event::Executed { .. }),
        |event| matches!(event, Event::Changed { .. }),
        |event| matches!(event, Event::Reordered { .. }),
        |event| matches!(event, Event::Rejected { .. }),
        |event| matches!(event, Event::MemberJoined { .. }),
        |event| matches!(event, Event::MemberLeft { .. }),
        |event| matches!(event, Event::MemberRemoved { .. }),
        |event| matches!(event, Event::RoleChanged { .. }),
        |event| matches!(event, Event::Renamed { .. }),
        |event| matches!(event, Event::Equivocation { .. }),
        |event| matches!(event, Event::Blocked { .. }),
        |event| matches!(event, Event::Emitted { .. }),
        |event| matches!(event, Event::KeyTrouble { .. }),
        |event| matches!(event, Event::KeyViolation { .. }),
        |event| matches!(event, Event::Closed { .. }),
    ];
    let mut awaited = kinds.to_vec();
    for wanted in wanted.lines() {
        let (cursor, event) = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap();
        assert_eq!(told::line(cursor, &event), wanted);
        awaited.retain(|is_it| !is_it(&event));
        if let Event::KeyTrouble { what, .. } = event {
            assert!(what.contains("nothing is to be done"), "{what}");
            advice += &what;
        }
    }
    assert_eq!(awaited.len(), 0);
    assert!(advice.contains("remove the member") && advice.contains("rotate the keys"), "{advice}");
    assert!(wanted.ends_with("Closed reason=this member was removed\n"));
    let more = tokio::time::timeout(PATIENCE, events.next()).await.unwrap();
    assert_eq!(more.unwrap_err().kind(), ErrorKind::Closed, "nothing comes after that");
    close(&[&node]).await;
}

// scenario: events_that_pass
#[tokio::test]
async fn who_comes_and_goes_and_how_far_catching_up_is() {
    let hub = Hub::new();
    let (one, other, mine, theirs) = two(&hub, Role::Writer).await;
    let mut events = theirs.events(None).await.unwrap();
    hub.partition(peer(&one), peer(&other));
    let gone = until(&mut events, |event| matches!(event, Event::PeerDisconnected { .. })).await;
    let reason = "gone: the peers were partitioned".to_owned();
    assert_eq!(gone, Event::PeerDisconnected { peer: one.id(), reason });
    for number in 0..30u8 {
        mine.put(key("x"), &[number]).await.unwrap();
    }
    hub.heal(peer(&one), peer(&other));
    let there = until(&mut events, |event| matches!(event, Event::PeerConnected { .. })).await;
    assert_eq!(there, Event::PeerConnected { peer: one.id(), member: mine.me() });
    let (mut done, mut total) = (0, 0);
    while total < 30 || done < total {
        let progress = until(&mut events, |event| matches!(event, Event::SyncProgress { .. })).await;
        let Event::SyncProgress { peer, done: here, total: all } = progress else { unreachable!() };
        assert!(peer == one.id() && here <= all, "{here} of {all} from {peer}");
        (done, total) = (here, all);
    }
    let synced = until(&mut events, |event| matches!(event, Event::Synced { .. })).await;
    assert_eq!(synced, Event::Synced { peer: one.id() });
    close(&[&one, &other]).await;
}

// scenario: events_that_pass
#[tokio::test]
async fn who_reads_too_slowly_is_told_how_many_events_are_missing() {
    let mut options = Options::in_memory(&Hub::new());
    options.event_retention = 3;
    let node = Node::open(options).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    context.put(key("x"), b"before").await.unwrap();
    let mut events = context.events(None).await.unwrap();
    for number in 0..20u8 {
        context.put(key("x"), &[number]).await.unwrap();
    }
    let (lagged, event) = events.next().await.unwrap();
    assert_eq!(event, Event::Lagged { missed: 17 });
    let (after, event) = events.next().await.unwrap();
    assert!(after == lagged + 1 && matches!(event, Event::Executed { .. }), "{event:?}");
    close(&[&node]).await;
}

// scenario: streams_end_with_their_node
#[tokio::test]
async fn a_stream_ends_with_its_node() {
    let (node, context) = alone().await;
    let mut events = context.events(None).await.unwrap();
    let reader = tokio::spawn(async move {
        loop {
            if let Err(error) = events.next().await {
                return error.kind();
            }
        }
    });
    context.put(key("x"), b"y").await.unwrap();
    close(&[&node]).await;
    assert_eq!(reader.await.unwrap(), ErrorKind::Closed);
}

// scenario: cancelled_wait
#[tokio::test]
async fn waits_that_are_dropped_lose_no_event() {
    let (node, context) = alone().await;
    let mut events = context.events(None).await.unwrap();
    let writer = tokio::spawn({
        let context = context.clone();
        async move {
            let mut ids = Vec::new();
            for number in 0..40u8 {
                ids.push(context.put(key("x"), &[number]).await.unwrap());
            }
            ids
        }
    });
    let (mut seen, mut dropped) = (Vec::new(), 0u32);
    while seen.len() < 40 {
        // Given up after another number of turns each time, the first time before the writer has had one.
        let patience = async {
            for _ in 0..=dropped % 7 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            event = events.next() => {
                if let Event::Executed { transaction, .. } = event.unwrap().1 {
                    seen.push(transaction);
                }
            }
            () = patience => dropped += 1,
        }
    }
    assert_eq!(seen, writer.await.unwrap());
    assert!(dropped > 0);
    close(&[&node]).await;
}

// scenario: cancelled_write
#[tokio::test]
async fn writes_that_are_dropped_happen_whole_or_not_at_all() {
    use kith_core::application::kv::{Operation, Put};
    let (node, context) = alone().await;
    for number in 0..50u8 {
        let put =
            |name: &str| Operation::Put(Put { key: key(&format!("{name}{number}")), value: Vec::new() });
        let write = context.batch(vec![put("a"), put("b")]);
        // One poll begins it, at most; then it is dropped.
        let _ = tokio::time::timeout(Duration::ZERO, write).await;
    }
    context.put(key("last"), b"x").await.unwrap();
    let entries = context.entries(&[], None, 1000, Level::Tentative).await.unwrap();
    assert!(entries.len() % 2 == 1 && entries.len() > 1, "{}", entries.len());
    close(&[&node]).await;
}

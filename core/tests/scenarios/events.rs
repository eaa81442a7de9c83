//! Events, and calls that are given up.

use std::time::Duration;

use kith_core::ErrorKind;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Event, Level, Node, Options};

use crate::nodes::{key, until};
use crate::{alone, close, refused};

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

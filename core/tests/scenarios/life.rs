//! Opening and closing.

use kith_core::network::Hub;
use kith_core::node::{CreateOptions, InviteOptions, JoinOptions, Level, Node, Options};
use kith_core::{ErrorKind, Result};

use crate::nodes::{PATIENCE, key, open};
use crate::{alone, close, refused};

fn at(path: &std::path::Path) -> Options {
    let mut options = Options::local(path);
    options.listen = vec!["/ip4/127.0.0.1/tcp/0".into()];
    options
}

// scenario: keeps_over_a_restart, directory_in_use
#[tokio::test]
async fn a_context_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(at(directory.path())).await.unwrap();
    let mut options = CreateOptions::default();
    options.name = "a name".into();
    let context = node.create_context(options).await.unwrap();
    context.put(key("one"), b"value").await.unwrap();
    let (id, me) = (context.id(), context.me());
    refused(Node::open(at(directory.path())).await, ErrorKind::Busy, "");
    close(&[&node]).await;

    let node = Node::open(at(directory.path())).await.unwrap();
    assert_eq!(node.contexts().unwrap().iter().map(|info| info.id).collect::<Vec<_>>(), [id]);
    let again = node.context(id).unwrap();
    assert_eq!((again.me(), again.name(), again.application()), (me, "a name".into(), "kv".into()));
    assert_eq!(again.role(), Some(kith_core::replica::Role::Admin));
    assert_eq!(again.get(key("one"), Level::Tentative).await.unwrap().unwrap(), b"value");
    close(&[&node]).await;
}

// scenario: directory_that_cannot_be
#[tokio::test]
async fn a_file_in_the_way_is_a_failure_of_the_store() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), b"in the way").unwrap();
    refused(Node::open(at(&directory.path().join("file/below"))).await, ErrorKind::Storage, "");
}

// scenario: damaged_directory
#[tokio::test]
async fn a_damaged_file_is_told_until_it_is_mended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node");
    let node = Node::open(at(&path)).await.unwrap();
    let id = node.create_context(CreateOptions::default()).await.unwrap().id();
    close(&[&node]).await;
    let mark = path.join("high-water");
    let good = std::fs::read(&mark).unwrap();
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&mark, damaged).unwrap();
    refused(Node::open(at(&path)).await, ErrorKind::Corrupt, "");
    std::fs::write(&mark, good).unwrap();
    let node = Node::open(at(&path)).await.unwrap();
    node.context(id).unwrap();
    close(&[&node]).await;
}

// scenario: forgotten_node
#[tokio::test]
async fn a_node_that_is_dropped_gives_its_directory_back() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(at(directory.path())).await.unwrap();
    let id = node.create_context(CreateOptions::default()).await.unwrap().id();
    drop(node);
    let open = async {
        loop {
            match Node::open(at(directory.path())).await {
                Err(error) if error.kind() == ErrorKind::Busy => tokio::task::yield_now().await,
                outcome => return outcome.unwrap(),
            }
        }
    };
    let node = tokio::time::timeout(PATIENCE, open).await.unwrap();
    node.context(id).unwrap();
    close(&[&node]).await;
}

// scenario: closed_after_shutdown
#[tokio::test]
async fn every_call_after_the_shutdown_says_so() {
    let (node, context) = alone().await;
    let token = context.invite(InviteOptions::default()).await.unwrap().to_text();
    close(&[&node, &node]).await;
    let closed = ErrorKind::Closed;
    refused(context.put(key("x"), b"y").await, closed, "");
    refused(context.get(key("x"), Level::Tentative).await, closed, "");
    refused(context.members().await, closed, "");
    refused(context.status().await, closed, "");
    refused(context.events(None).await.map(drop), closed, "");
    refused(context.leave().await, closed, "");
    refused(node.create_context(CreateOptions::default()).await.map(drop), closed, "");
    refused(node.join(&token, JoinOptions::default()).await.map(drop), closed, "");
    refused(node.contexts(), closed, "");
    refused(node.status().await, closed, "");
}

// scenario: node_in_memory
#[tokio::test]
async fn a_node_without_a_directory_keeps_nothing() {
    let hub = Hub::new();
    let node = open(&hub).await;
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    context.put(key("x"), b"y").await.unwrap();
    close(&[&node]).await;
    let node = open(&hub).await;
    assert!(node.contexts().unwrap().is_empty());
    refused(node.context(context.id()).map(drop), ErrorKind::NotFound, "");
    close(&[&node]).await;
}

// scenario: not_there_yet
#[tokio::test]
async fn what_is_not_there_yet_is_refused() {
    let (node, context) = alone().await;
    refused(context.get(key("x"), Level::Final).await, ErrorKind::Unsupported, "");
    close(&[&node]).await;
}

// scenario: mistakes_are_named
#[tokio::test]
async fn mistakes_are_told_apart() -> Result<()> {
    let (node, context) = alone().await;
    refused(node.context(kith_core::replica::ContextId([1; 32])).map(drop), ErrorKind::NotFound, "");
    refused(node.connect("nowhere").await, ErrorKind::InvalidArgument, "");
    refused(context.remove(kith_core::replica::MemberId([1; 32])).await, ErrorKind::NotMember, "");
    let mut options = InviteOptions::default();
    options.max_uses = 0;
    refused(context.invite(options).await, ErrorKind::InvalidArgument, "");
    refused(context.execute("", &[]).await, ErrorKind::InvalidArgument, "");
    refused(kith_core::replica::StateKey::from_slice(&[1; 3]), ErrorKind::InvalidArgument, "3");
    close(&[&node]).await;
    Ok(())
}

// scenario: kinds_are_the_same
#[test]
fn the_kinds_have_their_numbers() {
    let header = include_str!("../../../include/kith.h");
    let mut count = 0;
    for kind in ErrorKind::ALL {
        let name: String = kind
            .to_string()
            .char_indices()
            .flat_map(|(at, letter)| {
                let gap = (at > 0 && letter.is_uppercase()).then_some('_');
                gap.into_iter().chain([letter.to_ascii_uppercase()])
            })
            .collect();
        let numbered = format!("KITH_{name} = {}", kind as u32);
        assert!(
            header.contains(&format!("{numbered},")) || header.contains(&format!("{numbered}\n")),
            "{name}"
        );
        count += 1;
    }
    assert_eq!(count, 26);
}

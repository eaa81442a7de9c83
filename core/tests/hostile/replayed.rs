//! What was said once is worth nothing again: not on another connection, not by somebody else, not on the same one.

use kith_core::network::Event;
use kith_core::sync::LinkError;

use crate::liar::Liar;
use crate::scene::{Scene, parted, wait_for};

/// A whole session of a real member, word for word on a new connection of the same peer: nothing opens, and nothing is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_session_opens_nothing() {
    let scene = Scene::new().await;
    let mut liar = scene.liar().await;
    let written = liar.write("secret", b"only once");
    liar.push(written).await;
    let recorded = liar.sent.clone();
    assert!(recorded.len() > 5, "hello, opening, proof, comparison, push: {}", recorded.len());
    let who = liar.network.peer_id().to_string();
    liar.hang_up().await;
    let gone = || async { !scene.attacked.status().await.unwrap().peers.iter().any(|peer| peer.peer == who) };
    wait_for("the session is gone", gone).await;

    // From here on with no link state of its own: only what was recorded, and a look at what comes.
    let before = scene.attacked.status().await.unwrap();
    let mut heard = replay(&mut liar, &recorded).await;
    heard.retain(|frame| frame[0] != 0);
    // Its opening is answered (with something random), and that is all: no proof, no tips, no transaction.
    assert!(heard.iter().all(|frame| frame[0] == 2), "{heard:?}");
    assert!(gone().await, "no session has come of it");
    assert_eq!(scene.attacked.status().await.unwrap().digest, before.digest);
    scene.ends_whole("a recorded session").await;
}

/// Sends recorded frames on a new link, then something that ends it for certain; gives what the node said until then.
async fn replay(liar: &mut Liar, recorded: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let address = liar.address();
    let link = liar.network.connect(&address).await.unwrap();
    for frame in recorded {
        // The node may cut the link.
        let _ = liar.network.send(link, frame.clone()).await;
    }
    let _ = liar.network.send(link, vec![0xff]).await;
    let mut heard = Vec::new();
    loop {
        let event = tokio::time::timeout(crate::nodes::PATIENCE, liar.events.recv()).await;
        match event.expect("the node cuts the link").unwrap() {
            Event::Frame { bytes, .. } => heard.push(bytes),
            Event::LinkDown { .. } => return heard,
            _ => {}
        }
    }
}

/// The same frames again in the session that they were made for: nothing happens twice, and a second beginning ends the link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_frames_again_change_nothing() {
    let scene = Scene::new().await;
    let mut liar = scene.liar().await;
    let from = liar.sent.len();
    let written = liar.write("once", b"only once");
    let id = *liar.push(written).await.last().unwrap();
    wait_for("it is taken", || async { scene.attacked.transaction(id).await.unwrap().is_some() }).await;
    let pushed = liar.sent[from..].to_vec();
    let before = scene.attacked.status().await.unwrap();
    let mut events = scene.attacked.events(None).await.unwrap();
    // Its own session would be ended by acknowledgements of what it has not sent.
    liar.deaf = true;
    for frame in pushed.iter().cycle().take(1000) {
        liar.send(frame.clone()).await;
        liar.breathe().await;
    }
    let first = liar.sent[0].clone();
    liar.send(first).await;
    liar.until(|liar| liar.line.is_none()).await;
    // The session has outlived the frames.
    assert_eq!(parted(&mut events, &liar).await, format!("misbehaved: {}", LinkError::Protocol));
    let after = scene.attacked.status().await.unwrap();
    assert_eq!((after.transactions, after.digest), (before.transactions, before.digest));
    scene.ends_whole("the same frames again").await;
}

/// What the node itself said, said back to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_is_no_member() {
    let scene = Scene::new().await;
    let mut liar = scene.liar().await;
    liar.hang_up().await;
    let address = liar.address();
    let link = liar.network.connect(&address).await.unwrap();
    let mut mirrored = 0;
    loop {
        let event = tokio::time::timeout(crate::nodes::PATIENCE, liar.events.recv()).await;
        match event.expect("the node cuts the link").unwrap() {
            Event::Frame { bytes, .. } => {
                mirrored += 1;
                let _ = liar.network.send(link, bytes).await;
            }
            Event::LinkDown { .. } => break,
            _ => {}
        }
    }
    assert_eq!(mirrored, 1, "its own nonce gives it away");
    scene.ends_whole("a mirror").await;
}

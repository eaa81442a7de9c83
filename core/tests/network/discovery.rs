//! Discovery in the local network. It needs a local network: the test makes one of its own, a namespace in
//! which the loopback interface has an ordinary address and carries multicast, and runs the second test below in it.

use std::process::Command;

use kith_core::network::Event;

use crate::common::*;

const INSIDE: &str = "KITH_TEST_NETWORK_NAMESPACE";

#[test]
fn peers_in_the_local_network_find_each_other() {
    let script = r#"
        ip link set lo up multicast on &&
        ip address add 10.66.0.1/24 dev lo &&
        ip route add 224.0.0.0/4 dev lo || exit 77
        exec "$0" --exact discovery::inside_the_namespace --ignored --nocapture
    "#;
    let program = std::env::current_exe().unwrap();
    let run = |flags: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(flags).args(["sh", "-c", script]).arg(&program).env(INSIDE, "1");
        command.output()
    };
    let mut why = String::new();
    for flags in [&["--net"][..], &["--map-root-user", "--net"]] {
        match run(flags) {
            Err(error) => why = format!("`unshare` cannot be run: {error}"),
            Ok(output) => {
                let (out, err) =
                    (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                if output.status.success() {
                    assert!(out.contains("1 passed"), "the test inside did not run: {out}{err}");
                    return;
                }
                let made = out.contains("running 1 test");
                assert!(!made, "{out}{err}");
                why = format!("no network namespace can be made: {}", err.trim());
            }
        }
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    println!("SKIPPED: {why}");
}

#[tokio::test]
#[ignore = "child of peers_in_the_local_network_find_each_other: runs in a network namespace of its own"]
async fn inside_the_namespace() {
    assert!(std::env::var(INSIDE).is_ok(), "this test wants a network of its own");
    let everywhere = ["/ip4/0.0.0.0/tcp/0"];
    let mut hidden = Node::start(&everywhere).await;
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(Node::start_with(&everywhere, |config| config.discovery = true).await);
    }
    let ids: Vec<_> = nodes.iter().map(Node::id).collect();
    let mut found = Vec::new();
    for (n, node) in nodes.iter_mut().enumerate() {
        loop {
            if let Event::Discovered { peer, addresses } = soon(node.events.recv()).await.unwrap() {
                assert_eq!(peer, ids[1 - n], "who does not want to be found is not");
                assert!(
                    addresses.iter().all(|address| address.starts_with("/ip4/10.66.0.1/tcp/")),
                    "{addresses:?}"
                );
                assert!(!addresses.is_empty());
                found.push(addresses);
                break;
            }
        }
    }
    nodes[0].network.connect(&found[0][0]).await.unwrap();
    assert_eq!(nodes[0].up().await.1, ids[1]);
    while let Some(event) = hidden.events.try_recv() {
        assert!(matches!(event, Event::Listening { .. }), "{event:?}");
    }
}

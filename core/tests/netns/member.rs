//! One of the processes: a node in a namespace of its own, which writes as it is told.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kith_core::application::kv;
use kith_core::node::{Context, CreateOptions, InviteOptions, JoinOptions, Node, Options};
use kith_core::replica::{StateKey, TransactionId};

use crate::processes::say;

/// Callers at once, and how long each rests after a call: the history is to grow at a steady pace, not as fast as it can.
const CALLERS: u64 = 2;
const REST: Duration = Duration::from_millis(60);

pub(crate) fn run(directory: &Path, address: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut options = Options::at(directory);
    options.listen = vec![format!("/ip4/{address}/udp/4001/quic-v1"), format!("/ip4/{address}/tcp/4001")];
    options.discovery = false;
    let node = runtime.block_on(Node::open(options)).expect("the node opens");
    let mut context =
        node.contexts().expect("contexts").first().map(|info| node.context(info.id).expect("held"));
    let writing = Arc::new(AtomicBool::new(false));
    let mut kept: (Vec<std::fs::File>, Vec<u8>) = Default::default();
    say("ready");
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let (order, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let held = || context.clone().expect("a context");
        match order {
            "create" => {
                let created =
                    runtime.block_on(node.create_context(CreateOptions::default())).expect("created");
                context = Some(created);
                say("created");
            }
            "invite" => {
                let invitation = runtime.block_on(held().invite(InviteOptions::default())).expect("invited");
                say(&format!("token {}", invitation.to_text()));
            }
            "join" => {
                context = Some(runtime.block_on(node.join(rest, JoinOptions::default())).expect("joined"));
                say("joined");
            }
            "addresses" => say(&format!("addresses {}", node.addresses().join(" "))),
            // Whether it works now says nothing: it goes on being tried.
            "connect" => {
                let _ = runtime.block_on(node.connect(rest));
                say("connected");
            }
            "write" => {
                writing.store(true, Ordering::SeqCst);
                for caller in 0..CALLERS {
                    runtime.spawn(write(held(), caller, Arc::clone(&writing)));
                }
            }
            "stop" => writing.store(false, Ordering::SeqCst),
            "put" => {
                let call = kv::put(&StateKey::of("netns", rest), rest.as_bytes());
                let id = runtime.block_on(held().execute(call.0, &call.1)).expect("a call is carried out");
                say(&format!("put {}", id.transaction));
            }
            "state" => {
                let status = runtime.block_on(held().status()).expect("status");
                let members = runtime.block_on(held().members()).expect("members").len();
                assert_eq!((&status.frozen, &status.blocked), (&None, &None));
                say(&format!(
                    "state {} {} {} {members} {}",
                    status.digest, status.commitment, status.transactions, status.pending
                ));
            }
            // Of these, how many are there and count.
            "has" => {
                let ids = rest.split(' ').map(|id| TransactionId::from_hex(id).expect("an id"));
                let accepted = ids.filter(|id| {
                    let found = runtime.block_on(held().transaction(*id)).expect("read");
                    found.and_then(|found| found.receipt).is_some_and(|receipt| receipt.accepted())
                });
                say(&format!("has {}", accepted.count()));
            }
            // The control of what is measured at the end.
            "leak" => {
                kept.0 = (0..64).map(|_| std::fs::File::open("/dev/null").expect("it is there")).collect();
                kept.1 = vec![1; 160 << 20];
                say(&format!("leaked {}", kept.0.len() + kept.1.len()));
            }
            _ => panic!("no such order: {order}"),
        }
    }
}

async fn write(context: Context, caller: u64, writing: Arc<AtomicBool>) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    while writing.load(Ordering::SeqCst) {
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("{}-{}", std::process::id(), count % 500);
        say("begun");
        let (method, arguments) = match count % 4 {
            0 => kv::add(&StateKey::of("netns", "counter"), 1),
            1 => kv::put(&StateKey::of("netns", "same"), caller.to_le_bytes()),
            _ => kv::put(&StateKey::of("netns", &name), [7; 100]),
        };
        let answer = context.execute(method, &arguments).await;
        say(&format!("ack {}", answer.expect("a call is carried out").transaction));
        tokio::time::sleep(REST).await;
    }
    say("stopped");
}

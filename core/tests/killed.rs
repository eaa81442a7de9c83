//! Two processes share a sealed context over loopback, and both write. Twenty times one of them (each twentieth time both) is killed with SIGKILL,
//! nearly always with calls under way. Whatever a process had acknowledged before it died is there after its restart and reaches the peer; each
//! opens all that the other sealed; no position in a chain was used for two texts, which would show as a fork of its author; and both end with the
//! same history, state and commitment, which is what the history gives when it is executed anew.
//!
//! `cargo xtask kills` is the long form: `--rounds N`, and `--engine sled` or `redb`.
//!
//! This file is both sides: with `writer` it is one of the processes. A writer takes orders on its standard input, a line each, and answers on
//! its standard output.

mod processes;

use std::io::BufRead;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kith_core::application::kv;
use kith_core::node::{Context, CreateOptions, InviteOptions, JoinOptions, Node, Options};
use kith_core::replica::{StateKey, TransactionId};
use kith_core::storage::StorageEngine;
use processes::{Heard, PATIENCE, Process, say};

const NAME: &str = "acknowledged_writes_survive_sigkill";
const ROUNDS: usize = 20;
const CALLERS: u64 = 8;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["writer", directory, engine] = words[..] {
        writer(Path::new(directory), engine.parse().expect("an engine"));
        return ExitCode::SUCCESS;
    }
    if words.contains(&"--list") {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    let after = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1));
    let rounds = after("--rounds").map_or(ROUNDS, |number| number.parse().expect("a number of rounds"));
    let engine = *after("--engine").unwrap_or(&"auto");
    println!("running 1 test");
    let outcome = std::panic::catch_unwind(|| acknowledged_writes_survive_sigkill(rounds, engine));
    let (passed, failed) = if outcome.is_ok() { (1, 0) } else { (0, 1) };
    let word = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("test {NAME} ... {word}");
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out"
    );
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// ---------------------------------------------------------------------------------------------- a process that writes

fn writer(directory: &Path, engine: StorageEngine) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut options = Options::local(directory);
    options.storage = engine;
    let node = runtime.block_on(Node::open(options)).expect("the node opens");
    let mut context =
        node.contexts().expect("contexts").first().map(|info| node.context(info.id).expect("held"));
    let writing = Arc::new(AtomicBool::new(false));
    say("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("an order");
        let (order, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match order {
            "create" => {
                let created =
                    runtime.block_on(node.create_context(CreateOptions::default())).expect("created");
                let invitation = runtime.block_on(created.invite(InviteOptions::default())).expect("invited");
                say(&format!("token {}", invitation.to_text()));
                context = Some(created);
            }
            "join" => {
                context = Some(runtime.block_on(node.join(rest, JoinOptions::default())).expect("joined"));
                say("joined");
            }
            "write" => {
                writing.store(true, Ordering::SeqCst);
                for caller in 0..CALLERS {
                    let (context, writing) = (context.clone().expect("a context"), Arc::clone(&writing));
                    runtime.spawn(write(context, caller, writing));
                }
            }
            "stop" => writing.store(false, Ordering::SeqCst),
            "state" => {
                let context = context.as_ref().expect("a context");
                let status = runtime.block_on(context.status()).expect("status");
                assert_eq!(status.frozen, None);
                let security = runtime.block_on(context.security()).expect("security");
                assert_eq!(security.suite, 1, "it is not sealed");
                say(&format!(
                    "state {} {} {} {} {} {} {}",
                    status.digest,
                    status.commitment,
                    status.transactions,
                    status.pending,
                    status.unopened,
                    // Who signed two texts for one place has been removed.
                    security.members,
                    security.violations
                ));
            }
            "verify" => {
                let context = context.as_ref().expect("a context");
                let found = runtime.block_on(context.verify()).expect("verified");
                assert_eq!(found.difference, None);
                say(&format!("verified {}", found.executed));
            }
            "has" => {
                let id = TransactionId::from_hex(rest).expect("an id");
                let found =
                    runtime.block_on(context.as_ref().expect("a context").transaction(id)).expect("read");
                let receipt = found.and_then(|found| found.receipt);
                say(&format!("has {}", receipt.is_some_and(|receipt| receipt.accepted())));
            }
            _ => panic!("no such order: {order}"),
        }
    }
}

async fn write(context: Context, caller: u64, writing: Arc<AtomicBool>) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    while writing.load(Ordering::SeqCst) {
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("{}-{count}", std::process::id());
        say("begun");
        let (method, arguments) = match count % 4 {
            0 => kv::add(&StateKey::of("kill", "counter"), 1),
            1 => kv::put(&StateKey::of("kill", "same"), caller.to_le_bytes()),
            _ => kv::put(&StateKey::of("kill", &name), [7; 100]),
        };
        let id = context.execute(method, &arguments).await;
        say(&format!("ack {}", id.expect("a call is carried out").transaction));
    }
    say("stopped");
}

// --------------------------------------------------------------------------------------------------------- the test

fn start(directory: &Path, engine: &str) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    Process::start(command.arg("writer").arg(directory).arg(engine))
}

/// Reads on until so many calls were acknowledged.
fn acknowledged(writer: &mut Process, wanted: usize, ids: &mut Heard) {
    let before = ids.acknowledged.len();
    while ids.acknowledged.len() < before + wanted {
        let line = writer.line();
        ids.hear(&line);
    }
}

fn stop(writer: &mut Process, ids: &mut Heard) {
    writer.order("stop");
    let mut stopped = 0;
    while stopped < CALLERS {
        let line = writer.line();
        stopped += u64::from(line == "stopped");
        ids.hear(&line);
    }
}

fn acknowledged_writes_survive_sigkill(rounds: usize, engine: &str) {
    let directories = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let mut writers = [0, 1].map(|writer: usize| start(directories[writer].path(), engine));
    writers[0].order("create");
    let token = writers[0].until("token");
    writers[1].order(&format!("join {token}"));
    writers[1].until("joined");

    let (mut kills, mut mid_batch, mut total) = (0, 0, 0);
    for round in 0..rounds {
        let mut heard = [Heard::default(), Heard::default()];
        for writer in &mut writers {
            writer.order("write");
        }
        for (writer, heard) in writers.iter_mut().zip(&mut heard) {
            acknowledged(writer, 10 + round * 7 % 40, heard);
        }
        let both = round % ROUNDS == ROUNDS / 2;
        let victims: &[usize] = if both { &[0, 1] } else { &[round % 2][..] };
        for victim in victims {
            writers[*victim].kill().iter().for_each(|line| heard[*victim].hear(line));
            kills += 1;
        }
        mid_batch += usize::from(victims.iter().any(|victim| heard[*victim].under_way() > 0));
        for survivor in (0..2).filter(|writer| !victims.contains(writer)) {
            stop(&mut writers[survivor], &mut heard[survivor]);
        }
        for victim in victims {
            writers[*victim] = start(directories[*victim].path(), engine);
        }
        let transactions = equal(&mut writers);
        for id in heard.iter().flat_map(|heard| &heard.acknowledged) {
            for (index, writer) in writers.iter_mut().enumerate() {
                writer.order(&format!("has {id}"));
                assert_eq!(writer.until("has"), "true", "round {round}: writer {index} has lost {id}");
            }
            total += 1;
        }
        println!(
            "round {round}: killed {victims:?}, {transactions} transactions, {total} acknowledged and found"
        );
    }
    assert!(mid_batch * 4 >= rounds * 3, "only {mid_batch} of {rounds} rounds with calls under way");
    for writer in &mut writers {
        writer.order("verify");
        let executed: usize = writer.until("verified").parse().expect("a number");
        assert!(executed >= total, "verified {executed} calls of {total}");
    }
    println!(
        "{kills} kills, {mid_batch} of {rounds} rounds with calls under way, {total} acknowledged calls, all of them found on both sides"
    );
}

/// Waits until both hold the same history, and checks that they make the same of it.
fn equal(writers: &mut [Process; 2]) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let states: Vec<String> = writers
            .iter_mut()
            .map(|writer| {
                writer.order("state");
                writer.until("state")
            })
            .collect();
        let parts: Vec<Vec<&str>> = states.iter().map(|state| state.split(' ').collect()).collect();
        let settled = parts.iter().all(|part| part[3] == "0" && part[4] == "0");
        if parts[0][0] == parts[1][0] && settled {
            assert_eq!(states[0], states[1], "one history, two states");
            assert_eq!(parts[0][5..], ["2", "0"], "a member is gone, or wrote under keys not to be used");
            return parts[0][2].to_string();
        }
        assert!(Instant::now() < deadline, "never equal: {states:?}");
        // Nothing tells a parent when two other processes are equal: ask again in a moment.
        std::thread::sleep(Duration::from_millis(50));
    }
}

//! Two nodes on loopback: a push, many pushes, and catching up with a whole history.

use std::process::Command;
use std::time::{Duration, Instant};

use kith_core::node::{Context, Durability, InviteOptions, JoinOptions, Node};

use crate::machine::{self, median, micros, size};
use crate::{Result, Setting, check, figure, load};

async fn join(from: &Context, node: &Node) -> Result<Context> {
    let token = from.invite(InviteOptions::default()).await?.to_text();
    let mut options = JoinOptions::default();
    options.timeout = Some(Duration::from_secs(900));
    Ok(node.join(&token, options).await?)
}

/// A joiner takes in the whole history: verifies, executes and stores it, durable on the loss of power.
#[tokio::main]
pub(crate) async fn catch_up(setting: Setting) -> Result<()> {
    let transactions = 100_000 / setting.share;
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let writer = load::reached(folders[0].path(), setting.engine, Durability::Process).await?;
    let reader = load::reached(folders[1].path(), setting.engine, Durability::Power).await?;
    let context = load::context(&writer).await?;
    load::put(&context, 0, transactions, 64).await?;

    let processor = machine::processor()?;
    let start = Instant::now();
    let copy = join(&context, &reader).await?;
    let time = start.elapsed();
    let processor = machine::processor()? - processor;
    // Genesis, the invitation and the admission are transactions, too.
    load::equal(&context, &copy, transactions as u64 + 3).await?;
    load::has(&copy, transactions / 2).await?;
    figure("catch_up.s", time.as_secs_f64());
    figure("catch_up.processor.s", processor);
    figure("wire.catch_up.bytes", carried(&writer)? / transactions as f64);
    writer.shutdown().await?;
    reader.shutdown().await?;
    figure("disk.writer.bytes", size(folders[0].path())? as f64 / transactions as f64);
    figure("disk.joiner.bytes", size(folders[1].path())? as f64 / transactions as f64);
    Ok(())
}

/// One after the other, and from many callers, to a member that is connected.
#[tokio::main]
pub(crate) async fn push(setting: Setting) -> Result<()> {
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let writer = load::reached(folders[0].path(), setting.engine, Durability::Power).await?;
    let reader = load::reached(folders[1].path(), setting.engine, Durability::Power).await?;
    let context = load::context(&writer).await?;
    let copy = join(&context, &reader).await?;
    let mut there = 3;
    load::until(&copy, there).await?;

    let before = carried(&writer)?;
    let pushes = 1_000 / setting.share;
    let mut events = copy.events(None).await?;
    let mut times = Vec::new();
    for number in 0..pushes {
        let value = load::value(number);
        let start = Instant::now();
        let id = context.put(load::key(number), &value).await?;
        loop {
            let (_, event) = events.next().await?;
            if matches!(event, kith_core::node::Event::Executed { transaction, .. } if transaction == id) {
                break;
            }
        }
        times.push(start.elapsed());
    }
    there += pushes as u64;
    load::equal(&context, &copy, there).await?;
    figure("push.one.us", micros(median(times)?));
    figure("wire.push.bytes", (carried(&writer)? - before) / pushes as f64);

    let more = 20_000 / setting.share;
    let start = Instant::now();
    load::put(&context, pushes, pushes + more, 64).await?;
    there += more as u64;
    load::until(&copy, there).await?;
    let time = start.elapsed();
    load::equal(&context, &copy, there).await?;
    figure("push.many.per_s", more as f64 / time.as_secs_f64());
    writer.shutdown().await?;
    reader.shutdown().await?;
    Ok(())
}

/// Bytes on a node's listening port both ways, as the system counts them for its connections.
pub(crate) fn carried(node: &Node) -> Result<f64> {
    Ok(sent(node)? + received(node)?)
}

fn sent(node: &Node) -> Result<f64> {
    counted(node, "bytes_sent:")
}

fn received(node: &Node) -> Result<f64> {
    counted(node, "bytes_received:")
}

/// A sum over the connections at the node's port: the other side is the one that dialled.
fn counted(node: &Node, what: &str) -> Result<f64> {
    let addresses = node.addresses();
    let port = addresses.iter().find_map(|address| {
        let (_, rest) = address.split_once("/tcp/")?;
        rest.split('/').next()
    });
    let port = port.ok_or("the node does not listen on TCP")?;
    let output = Command::new("ss")
        .args(["-tinOH", "state", "established", &format!("( sport = :{port} or dport = :{port} )")])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let at_port = |line: &&str| {
        line.split_whitespace().nth(2).is_some_and(|local| local.ends_with(&format!(":{port}")))
    };
    let of_line = |line: &str| {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix(what))?;
        word.parse::<f64>().ok()
    };
    let sum: f64 = text.lines().filter(at_port).filter_map(of_line).sum();
    check(sum > 0.0, || format!("`ss` shows no {what} for port {port}: {text}"))?;
    Ok(sum)
}

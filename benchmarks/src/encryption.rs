//! What sealing costs: the same work in contexts that are sealed and in others, in turns, so that both have the same machine.

use std::time::{Duration, Instant};

use kith_core::node::{Context, CreateOptions, Durability, Encryption, InviteOptions, JoinOptions};
use kith_core::storage::StorageEngine;

use crate::{Result, check, figure, load, sharing};

const ROUNDS: usize = 5;
const CALLERS: usize = 64;
/// What is measured, and of what kind: time, which is compared, or bytes.
const KINDS: [(&str, &str); 6] = [
    ("put.one", "us"),
    ("put.many", "us"),
    ("catch_up", "us"),
    ("away", "us"),
    ("wire.push", "bytes"),
    ("wire.catch_up", "bytes"),
];

#[tokio::main]
pub(crate) async fn measure(share: usize) -> Result<()> {
    let suites = [(0, Encryption::Off), (1, Encryption::X25519)];
    let mut found: [[Vec<f64>; 2]; KINDS.len()] = Default::default();
    for round in 0..ROUNDS {
        // Who comes first changes.
        for at in [round % 2, 1 - round % 2] {
            let (suite, encryption) = suites[at];
            for (kind, number) in once(encryption, share).await?.into_iter().enumerate() {
                found[kind][suite].push(number);
            }
        }
    }
    for ([open, sealed], (name, unit)) in found.iter_mut().zip(KINDS) {
        let (open, sealed) = (middle(open), middle(sealed));
        figure(&format!("sealing.{name}.off.{unit}"), open);
        figure(&format!("sealing.{name}.x25519.{unit}"), sealed);
        if unit == "us" {
            figure(&format!("sealing.{name}.lost.percent"), (1.0 - open / sealed) * 100.0);
        }
    }
    Ok(())
}

fn middle(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// µs for each `put` by one caller, by many, for each transaction that a joiner catches up with (as shared history), and for each that a member
/// does that was away (under its keys); bytes on the wire for each that is pushed by itself, and for each in the joiner's catch-up.
async fn once(encryption: Encryption, share: usize) -> Result<[f64; KINDS.len()]> {
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let writer = load::reached(folders[0].path(), StorageEngine::Auto, Durability::Process).await?;
    let reader = load::reached(folders[1].path(), StorageEngine::Auto, Durability::Process).await?;
    let mut options = CreateOptions::default();
    options.encryption = encryption;
    let context = writer.create_context(options).await?;
    let (one, all, more) = (4_000 / share, 100_000 / share, 12_000 / share);
    let put = |from, to, callers| write(&context, from, to, callers);
    let first = put(0, one, 1).await?;
    let many = put(one, all, CALLERS).await?;

    let token = context.invite(InviteOptions::default()).await?.to_text();
    let mut patient = JoinOptions::default();
    patient.timeout = Some(Duration::from_secs(900));
    let start = Instant::now();
    let copy = reader.join(&token, patient).await?;
    let joined = start.elapsed();
    let caught_up = sharing::carried(&writer)?;
    let (a, b) = (context.status().await?, copy.status().await?);
    let same = a.commitment == b.commitment && a.digest == b.digest && b.pending + b.unopened == 0;
    check(same, || "the copy is not the same".into())?;
    let sealed = copy.security().await?.suite != 0;
    check(sealed == (encryption != Encryption::Off), || "it is not sealed as it should be".into())?;
    load::has(&copy, all / 2).await?;
    // For both, before the reader goes.
    let (pushed, before) = (200, sharing::carried(&writer)?);
    for number in all..all + pushed {
        context.put(load::key(number), &load::value(number)).await?;
        load::until(&copy, context.status().await?.transactions).await?;
    }
    let pushes = sharing::carried(&writer)? - before;
    reader.shutdown().await?;
    put(all + pushed, all + pushed + more, CALLERS).await?;
    let there = context.status().await?.transactions;
    let start = Instant::now();
    let reader = load::reached(folders[1].path(), StorageEngine::Auto, Durability::Process).await?;
    let copy = reader.context(context.id())?;
    load::until(&copy, there).await?;
    let away = start.elapsed();
    let status = copy.status().await?;
    check(status.unopened == 0, || format!("{} are not opened", status.unopened))?;
    load::has(&copy, all + pushed + more - 1).await?;
    writer.shutdown().await?;
    reader.shutdown().await?;
    let each = |time: Duration, of: usize| time.as_secs_f64() * 1e6 / of as f64;
    Ok([first, many, each(joined, all), each(away, more), pushes / pushed as f64, caught_up / all as f64])
}

async fn write(context: &Context, from: usize, to: usize, callers: usize) -> Result<f64> {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for caller in 0..callers {
        let context = context.clone();
        tasks.push(tokio::spawn(async move {
            for number in (from + caller..to).step_by(callers) {
                context.put(load::key(number), &load::value(number)).await?;
            }
            Ok::<(), crate::Failure>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / (to - from) as f64)
}

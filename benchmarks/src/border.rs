//! The same measurements as from the other languages (`programs/border.c`), from Rust: where there is no border.

use std::sync::Arc;
use std::time::Instant;

use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::network::Hub;
use kith_core::node::{Context, CreateOptions, Level, Node, Options};
use kith_core::replica::StateKey;

use crate::machine::{median, micros};
use crate::{Result, check, figure};

struct Echo;

impl Application for Echo {
    fn execute(&self, call: &Call<'_>, _: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        Ok(call.arguments.to_vec())
    }

    fn query(&self, _: &str, arguments: &[u8], _: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        Ok(arguments.to_vec())
    }
}

/// The median of so many calls, after a tenth of them to warm up.
async fn measure<F: Future<Output = Result<()>>>(
    name: &str,
    calls: usize,
    body: impl Fn() -> F,
) -> Result<()> {
    for _ in 0..=calls / 10 {
        body().await?;
    }
    let mut times = Vec::new();
    for _ in 0..calls {
        let start = Instant::now();
        body().await?;
        times.push(start.elapsed());
    }
    figure(&format!("border.rust.{name}"), micros(median(times)?));
    Ok(())
}

/// Two in turns: what is compared meets the same machine.
async fn compare<F: Future<Output = Result<()>>, G: Future<Output = Result<()>>>(
    [name, other]: [&str; 2],
    calls: usize,
    body: impl Fn() -> F,
    other_body: impl Fn() -> G,
) -> Result<()> {
    let (mut times, mut others) = (Vec::new(), Vec::new());
    for call in 0..=calls + calls / 10 {
        let start = Instant::now();
        body().await?;
        let middle = Instant::now();
        other_body().await?;
        if call > calls / 10 {
            others.push(middle.elapsed());
            times.push(middle - start);
        }
    }
    figure(&format!("border.rust.{name}"), micros(median(times)?));
    figure(&format!("border.rust.{other}"), micros(median(others)?));
    Ok(())
}

/// Whether the value under a key has this length.
async fn get(context: &Context, key: StateKey, length: usize) -> Result<()> {
    let found = context.get(key, Level::Tentative).await?;
    check(found.is_some_and(|value| value.len() == length), || "another value".into())
}

#[tokio::main]
pub(crate) async fn run(calls: usize) -> Result<()> {
    check(calls >= 10, || "at least 10 calls".into())?;
    let node = Node::open(Options::in_memory(&Hub::new())).await?;
    node.register("echo", Arc::new(Echo))?;
    let context = node.create_context(CreateOptions::default()).await?;
    let mut options = CreateOptions::default();
    options.application = "echo".into();
    let own = node.create_context(options).await?;

    let large = vec![7; 64 * 1024];
    let small = &large[..100];
    let (small_key, large_key) = (StateKey::of("other", "small"), StateKey::of("other", "large"));
    let prefix = StateKey::collection("page");
    context.put(small_key, small).await?;
    context.put(large_key, &large).await?;
    for number in 0..100 {
        context.put(StateKey::of("page", &number.to_string()), small).await?;
    }

    let get_small = || get(&context, small_key, small.len());
    compare(["get", "get64k"], calls, get_small, || get(&context, large_key, large.len())).await?;
    let page = || async {
        let page = context.entries(&prefix, None, 100, Level::Tentative).await?;
        check(page.len() == 100, || "another page".into())
    };
    measure("page", calls / 10, page).await?;
    let host = || async {
        let answer = own.query("echo", &[0; 32]).await?;
        check(answer.len() == 32, || "another answer".into())
    };
    measure("host", calls, host).await?;
    let execute = || async {
        let executed = own.execute("echo", &[0; 32]).await?;
        check(executed.output.len() == 32, || "another answer".into())
    };
    measure("execute", calls / 10, execute).await?;
    let put = async |key, value: &[u8]| -> Result<()> {
        context.put(key, value).await?;
        Ok(())
    };
    compare(["put", "put64k"], calls / 10, || put(small_key, small), || put(large_key, &large)).await?;

    let count = calls / 10;
    for _ in 0..count {
        context.put(small_key, small).await?;
    }
    let mut events = context.events(Some(0)).await?;
    let start = Instant::now();
    for _ in 0..count {
        events.next().await?;
    }
    figure("border.rust.event", micros(start.elapsed()) / count as f64);
    node.shutdown().await?;
    Ok(())
}

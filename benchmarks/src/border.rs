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

    measure("get", calls, || get(&context, small_key, small.len())).await?;
    measure("get64k", calls, || get(&context, large_key, large.len())).await?;
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
    for (name, key, value) in [("put", small_key, small), ("put64k", large_key, &large)] {
        let put = || async {
            context.put(key, value).await?;
            Ok(())
        };
        measure(name, calls / 10, put).await?;
    }

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

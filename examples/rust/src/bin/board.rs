//! A board of 8 x 8 cells that members share. `board DIRECTORY` is told on standard input what to do, line by line:
//!
//! ```text
//! create NAME            -> context ID             invite                 -> token TOKEN
//! join TOKEN             -> context ID             open                   -> context ID (the first one kept here)
//! call METHOD [HEX]      -> ok HEX | error KIND TEXT
//! query METHOD [HEX]     -> ok HEX | error KIND TEXT
//! commitment             -> commitment HEX HEX     (of the state, of the history)
//! me                     -> member HEX             synced                 -> ok (once in step with a member's node)
//! history                -> transaction ID OUTCOME …, then: moved COUNT (how often the order has moved since the start)
//! cells                  -> entry KEY VALUE …, then: end
//! quit
//! ```

use std::io::BufRead;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kith_core::node::{CreateOptions, Event, InviteOptions, JoinOptions, Level};
use kith_core::{Context, Error, Node, Options, Result};
use kith_examples::board::Board;
use kith_examples::{from_hex, hex};

struct Program {
    node: Node,
    context: Option<Context>,
    moved: Arc<AtomicU64>,
}

impl Program {
    fn context(&self) -> Result<&Context> {
        self.context
            .as_ref()
            .ok_or_else(|| Error::invalid_argument("there is no context: create NAME or join TOKEN"))
    }

    async fn enter(&mut self, context: Context) -> Result<()> {
        println!("context {}", context.id());
        let mut events = context.events(Some(0)).await?;
        let moved = Arc::clone(&self.moved);
        tokio::spawn(async move {
            while let Ok((_, event)) = events.next().await {
                if matches!(event, Event::Reordered { .. }) {
                    moved.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        self.context = Some(context);
        Ok(())
    }

    async fn obey(&mut self, command: &str, argument: &str) -> Result<()> {
        let (method, digits) = argument.split_once(' ').unwrap_or((argument, ""));
        let arguments =
            || from_hex(digits).ok_or_else(|| Error::invalid_argument("the arguments are not hexadecimal"));
        match command {
            "create" => {
                let mut options = CreateOptions::default();
                (options.application, options.name) = ("board".into(), argument.into());
                let context = self.node.create_context(options).await?;
                self.enter(context).await?;
            }
            "join" => {
                let context = self.node.join(argument, JoinOptions::default()).await?;
                self.enter(context).await?;
            }
            "open" => {
                let first = self.node.contexts()?.first().map(|info| info.id);
                let first = first.ok_or_else(|| Error::not_found("no context is kept here"))?;
                let context = self.node.context(first)?;
                self.enter(context).await?;
            }
            "invite" => {
                println!("token {}", self.context()?.invite(InviteOptions::default()).await?.to_text())
            }
            "me" => println!("member {}", self.context()?.me()),
            "call" => println!("ok {}", hex(&self.context()?.execute(method, &arguments()?).await?.output)),
            "query" => println!("ok {}", hex(&self.context()?.query(method, &arguments()?).await?)),
            "synced" => {
                self.context()?.wait_synced(Duration::from_secs(60)).await?;
                println!("ok");
            }
            "commitment" => {
                let status = self.context()?.status().await?;
                println!("commitment {} {}", status.commitment, status.digest);
            }
            "history" => self.history().await?,
            "cells" => self.cells().await?,
            _ => return Err(Error::invalid_argument(format!("no such command: {command}"))),
        }
        Ok(())
    }

    async fn history(&self) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.context()?.history(after, 1000).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.place);
            for transaction in page {
                let outcome = match transaction.receipt.map(|receipt| receipt.outcome) {
                    None => "pending",
                    Some(Ok(_)) => "accepted",
                    Some(Err(_)) => "rejected",
                };
                println!("transaction {} {outcome}", transaction.id);
            }
        }
        println!("moved {}", self.moved.load(Ordering::Relaxed));
        Ok(())
    }

    async fn cells(&self) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.context()?.entries(&[], after, 1000, Level::Tentative).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key);
            for entry in page {
                println!("entry {} {}", hex(&entry.key.0), hex(&entry.value));
            }
        }
        println!("end");
        Ok(())
    }
}

fn run(directory: &str) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Error::internal(e.to_string()))?;
    let node = runtime.block_on(async {
        let node = Node::open(Options::local(directory)).await?;
        node.register("board", Arc::new(Board))?;
        Ok::<_, Error>(node)
    })?;
    let mut program = Program { node, context: None, moved: Arc::default() };
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Error::internal(format!("reading commands: {e}")))?;
        let (command, argument) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        if command == "quit" {
            break;
        }
        if let Err(error) = runtime.block_on(program.obey(command, argument)) {
            println!("error {} {}", error.kind(), error.message());
        }
    }
    runtime.block_on(program.node.shutdown())
}

fn main() -> ExitCode {
    let Some(directory) = std::env::args().nth(1) else {
        eprintln!("usage: board DIRECTORY");
        return ExitCode::FAILURE;
    };
    match run(&directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

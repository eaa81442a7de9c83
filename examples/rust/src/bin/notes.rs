//! A shared notebook on the terminal: `notes DIRECTORY`, then `help`. Two people try it in two terminals: one says `create home` and
//! `invite`, the other one `join TOKEN`, and both write and list.
//!
//! A note lies under the key of its title in the collection "notes"; its value is the title, a line's end, and the text. The programs
//! in C and Python keep it in the same way, so that they share notebooks.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use kith_core::invitation::qr_text;
use kith_core::node::{CreateOptions, Event, InviteOptions, JoinOptions, Level};
use kith_core::replica::StateKey;
use kith_core::{Context, Error, Node, Options, Result};
use tokio::task::JoinHandle;

const HELP: &str = "\
create NAME          a new notebook
invite [ROLE]        a token for one more: admin, writer (the usual) or reader
join TOKEN           to the notebook of somebody else
write TITLE TEXT     a note; a title is one word
read TITLE           one note
list                 all titles
watch                says from now on what happens
members              who is there
name NAME            what you are called here
remove MEMBER        by the beginning of an id, or by name
leave                deletes the notebook here
status               who is connected, and who lacks what
quit";

/// Text of other people, without what would steer the terminal.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn show_progress(done: u64, total: u64) {
    let filled = (done * 40).checked_div(total).unwrap_or(40) as usize;
    eprint!("\r[{:40}] {done} of {total}", "#".repeat(filled.min(40)));
}

fn words_for(event: &Event) -> Option<String> {
    Some(match event {
        Event::Changed { .. } => "notes changed".into(),
        Event::MemberJoined { .. } => "somebody joined".into(),
        Event::MemberLeft { .. } => "somebody left".into(),
        Event::MemberRemoved { .. } => "somebody was removed".into(),
        Event::RoleChanged { .. } => "a role changed".into(),
        Event::Renamed { name, .. } => format!("a new name: {name}"),
        Event::PeerConnected { peer, .. } => format!("connected: {peer}"),
        Event::PeerDisconnected { peer, .. } => format!("disconnected: {peer}"),
        Event::Rejected { reason, .. } => format!("does not count: {reason}"),
        Event::Blocked { cause } => format!("stands still: {cause}"),
        Event::Equivocation { .. } => "two histories".into(),
        Event::Closed { reason } => format!("closed: {reason}"),
        _ => return None,
    })
}

struct Notebook {
    node: Node,
    context: Option<Context>,
    watching: Option<JoinHandle<()>>,
}

impl Notebook {
    async fn obey(&mut self, command: &str, argument: &str) -> Result<()> {
        match command {
            "help" => println!("{HELP}"),
            "create" => {
                let mut options = CreateOptions::default();
                options.name = argument.into();
                self.context = Some(self.node.create_context(options).await?);
                println!("created");
            }
            "join" => self.join(argument).await?,
            "leave" => {
                if let Some(context) = &self.context {
                    context.leave().await?;
                    self.context = None;
                    println!("left");
                } else {
                    println!("there is no notebook yet: create NAME or join TOKEN");
                }
            }
            _ => match self.context.clone() {
                None => println!("there is no notebook yet: create NAME or join TOKEN"),
                Some(context) => self.within(&context, command, argument).await?,
            },
        }
        Ok(())
    }

    async fn join(&mut self, token: &str) -> Result<()> {
        let mut options = JoinOptions::default();
        let terminal = std::io::stderr().is_terminal();
        if terminal {
            options.on_progress = Some(Arc::new(show_progress));
        }
        let joined = self.node.join(token, options).await;
        if terminal {
            eprintln!();
        }
        let context = joined?;
        println!("joined {}", shown(&context.name()));
        self.context = Some(context);
        Ok(())
    }

    async fn within(&mut self, context: &Context, command: &str, argument: &str) -> Result<()> {
        match command {
            "invite" => invite(context, argument).await?,
            "write" => match argument.split_once(' ') {
                Some((title, text)) if !title.is_empty() && !text.is_empty() => {
                    let note = format!("{title}\n{text}");
                    context.put(StateKey::of("notes", title), note.as_bytes()).await?;
                    println!("written");
                }
                _ => println!("write TITLE TEXT"),
            },
            "read" => {
                let note = context.get(StateKey::of("notes", argument), Level::Tentative).await?;
                let note = note.ok_or_else(|| Error::not_found("there is no such note"))?;
                let note = String::from_utf8_lossy(&note).into_owned();
                println!("{}", shown(note.split_once('\n').map_or(&*note, |(_, text)| text)));
            }
            "list" => list(context).await?,
            "watch" => self.watch(context).await?,
            "members" => {
                for member in context.members().await? {
                    let id = member.id.to_string();
                    let you = if member.id == context.me() { " (you)" } else { "" };
                    println!("{} {} {}{you}", &id[..8], member.role, shown(&member.name));
                }
            }
            "name" => {
                context.set_display_name(argument).await?;
                println!("named");
            }
            "remove" => {
                let mut meant = context.members().await?;
                meant.retain(|member| {
                    !argument.is_empty()
                        && (member.id.to_string().starts_with(argument) || member.name == argument)
                });
                let [member] = meant.as_slice() else {
                    println!("{} members are meant", meant.len());
                    return Ok(());
                };
                context.remove(member.id).await?;
                println!("removed");
            }
            "status" => {
                let status = context.status().await?;
                println!("{} transactions, commitment {}", status.transactions, status.commitment);
                for peer in status.peers {
                    println!(
                        "{} equal: {}, lacking {}, lacks {}",
                        peer.peer, peer.equal, peer.lacking, peer.lacks
                    );
                }
            }
            _ => println!("no such command: {command} (try help)"),
        }
        Ok(())
    }

    async fn watch(&mut self, context: &Context) -> Result<()> {
        let mut events = context.events(None).await?;
        let task = tokio::spawn(async move {
            while let Ok((_, event)) = events.next().await {
                if let Some(words) = words_for(&event) {
                    println!("* {}", shown(&words));
                }
            }
        });
        if let Some(before) = self.watching.replace(task) {
            before.abort();
        }
        Ok(())
    }
}

async fn invite(context: &Context, role: &str) -> Result<()> {
    let mut options = InviteOptions::default();
    if !role.is_empty() {
        let Ok(role) = role.parse() else {
            println!("a role is admin, writer or reader");
            return Ok(());
        };
        options.role = role;
    }
    let token = context.invite(options).await?.to_text();
    if std::io::stdout().is_terminal() {
        // White on black, whatever the colours of the terminal are.
        qr_text(&token)?.lines().for_each(|line| println!("\x1b[97;40m{line}\x1b[0m"));
    }
    println!("token {token}");
    Ok(())
}

async fn list(context: &Context) -> Result<()> {
    let mut after = None;
    loop {
        let page = context.entries(&StateKey::collection("notes"), after, 100, Level::Tentative).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key);
        for entry in page {
            let note = String::from_utf8_lossy(&entry.value).into_owned();
            println!("{}", shown(note.split_once('\n').map_or(&*note, |(title, _)| title)));
        }
    }
}

fn run(directory: &str) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| Error::internal(e.to_string()))?;
    let node = runtime.block_on(Node::open(Options::at(directory)))?;
    let context = node.contexts()?.first().map(|info| node.context(info.id)).transpose()?;
    let mut book = Notebook { node, context, watching: None };
    let terminal = std::io::stdin().is_terminal();
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if terminal {
            print!("> ");
            // A terminal that is gone ends the input too.
            let _ = std::io::stdout().flush();
        }
        let Some(line) = lines.next() else { break };
        let line = line.map_err(|e| Error::internal(format!("reading commands: {e}")))?;
        let (command, argument) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        if command == "quit" {
            break;
        }
        if !command.is_empty()
            && let Err(error) = runtime.block_on(book.obey(command, argument))
        {
            println!("error: {}", shown(error.message()));
        }
    }
    runtime.block_on(book.node.shutdown())
}

fn main() -> ExitCode {
    let Some(directory) = std::env::args().nth(1) else {
        eprintln!("usage: notes DIRECTORY");
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

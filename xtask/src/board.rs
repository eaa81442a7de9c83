//! A Rust, a Python, a C, a Kotlin and a Swift node share a context whose application each of them brings itself: the board. Calls
//! come from all sides at once; each node is stopped once while the others go on, and comes back; at the end everything must be equal.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::c::Installed;
use crate::count::Count;
use crate::program::{PATIENCE, Program};
use crate::tools::{During, Failed, Options, Result, command, empty_folder, headline, root};
use crate::{kotlin, python, setup, swift};

/// How many calls each program makes at first.
const CALLS: usize = 120;
/// How many each makes while one of them is away, and again when it is back.
const MORE: usize = 20;

pub(crate) fn test(options: &Options) -> Result<Count> {
    run(options).map(|()| Count { passed: 1, ..Count::default() })
}

struct Programs {
    folder: PathBuf,
    interpreter: PathBuf,
    rust: PathBuf,
    c: PathBuf,
    kotlin: kotlin::Examples,
    swift: swift::Examples,
}

const NAMES: [&str; 5] = ["Python", "Rust", "C", "Kotlin", "Swift"];

impl Programs {
    fn start(&self, name: &str) -> Result<Program> {
        let mut command = match name {
            "Python" => {
                let mut python: Command = command(&self.interpreter);
                python.arg("-I").arg(root().join("examples/python/board.py"));
                python
            }
            "Rust" => command(&self.rust),
            "Kotlin" => self.kotlin.command("BoardKt"),
            "Swift" => self.swift.command("board")?,
            _ => command(&self.c),
        };
        command.arg(self.folder.join(format!("{name}-node")));
        Program::start(name, command)
    }
}

/// Builds what is needed, and lets the five play.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::programs()?;
    let wheel = python::wheel(options)?;
    let interpreter = python::environment("venv-board", &wheel)?;
    let installed = Installed::from(&options.output(), "board-lib")?;
    let folder = empty_folder("board")?;
    headline("compiling examples/c/board.c");
    let c = folder.join("board-c");
    installed.compile("gcc", &root().join("examples/c/board.c"), &c, &["-O2"])?;
    let (kotlin, swift) = (kotlin::Examples::build(options)?, swift::Examples::build(options)?);
    let programs = Programs { folder, interpreter, rust: options.output().join("board"), c, kotlin, swift };

    headline("a Rust, a Python, a C, a Kotlin and a Swift node share a board");
    let begun = Instant::now();
    play(&programs)?;
    println!("everything is equal, after {:.1} s", begun.elapsed().as_secs_f64());
    std::fs::remove_dir_all(&programs.folder).during("removing the board's folder")
}

fn play(programs: &Programs) -> Result<()> {
    let mut players =
        NAMES.map(|name| programs.start(name).map(Player::new)).into_iter().collect::<Result<Vec<_>>>()?;
    let id = players[0].program.answer("create board", "context")?;
    for player in 1..players.len() {
        let token = players[0].program.answer("invite", "token")?;
        if players[player].program.answer(&format!("join {token}"), "context")? != id {
            return Err(Failed(format!("{} joined another context", players[player].program.name)));
        }
    }
    let mut members = Vec::new();
    for player in &mut players {
        members.push(player.program.answer("me", "member")?);
    }
    println!("five programs are members of context {}…; all call at once, {CALLS} times each", &id[..16]);
    all_call(&mut players, CALLS)?;
    let mut moves = moved(&mut players)?;

    for (index, name) in NAMES.iter().enumerate() {
        let mut away = players.remove(index);
        away.program.stop()?;
        all_call(&mut players, MORE)?;
        away.program = programs.start(name)?;
        players.insert(index, away);
        if players[index].program.answer("open", "context")? != id {
            return Err(Failed(format!("{name} came back with another context")));
        }
        println!("{name} was stopped, the others went on, and it came back; all call again");
        all_call(&mut players, MORE)?;
        moves += moved(&mut players)?;
    }
    compare(&mut players, &members, moves)?;
    players.iter_mut().try_for_each(|player| player.program.stop())
}

/// Lets several call at once, each from a thread of its own.
fn all_call(players: &mut [Player], calls: usize) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = players
            .iter_mut()
            .map(|player| scope.spawn(move || (0..calls).try_for_each(|_| player.call())))
            .collect();
        let defect = || Err(Failed("a driver panicked".into()));
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| defect()))
    })
}

/// How often the order has moved at those that tell, since they were started.
fn moved(players: &mut [Player]) -> Result<usize> {
    let mut moves = 0;
    for player in players.iter_mut().filter(|player| player.program.name != "C") {
        let lines = player.program.until("history", "moved")?;
        moves +=
            lines.last().and_then(|line| line.strip_prefix("moved ")?.parse::<usize>().ok()).unwrap_or(0);
    }
    Ok(moves)
}

/// A program and what its driver believes of its pieces.
struct Player {
    program: Program,
    pieces: Vec<(u8, u8)>,
    /// Whether the last attempt to place a piece failed because there are too many.
    full: bool,
    random: u64,
    calls: usize,
    accepted: usize,
    refused: usize,
}

impl Player {
    fn new(program: Program) -> Self {
        // A sequence of its own for each, the same in each run.
        let random = program.name.bytes().fold(7, |seed, byte| seed * 31 + u64::from(byte));
        Self { program, pieces: Vec::new(), full: false, random, calls: 0, accepted: 0, refused: 0 }
    }

    fn below(&mut self, limit: u8) -> u8 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.random >> 33) % u64::from(limit)) as u8
    }

    /// One call. The pieces crowd in the middle of the board, so that members get in each other's way.
    fn call(&mut self) -> Result<()> {
        self.calls += 1;
        if self.calls.is_multiple_of(10) {
            let answer = self.program.ask("call fault")?;
            if answer.starts_with("error Rejected ") && answer.ends_with("on purpose") {
                self.refused += 1;
                return Ok(());
            }
            return Err(Failed(format!("{} answered a call that raises with `{answer}`", self.program.name)));
        }
        let (x, y) = match self.pieces.len() {
            // Others may have taken pieces, or brought back some that were believed lost: then the cells are tried.
            0..4 => (1 + self.below(6), 1 + self.below(6)),
            count => {
                let index = usize::from(self.below(count as u8));
                self.pieces[index]
            }
        };
        if self.pieces.len() < 4 && !self.full {
            let answer = self.try_call(&format!("call place {x:02x}{y:02x}"))?;
            self.full = answer.contains("too many pieces");
            if answer.starts_with("ok") {
                self.pieces.push((x, y));
            }
            return Ok(());
        }
        let toward = |at: u8, step: u8| (at + step).saturating_sub(1).clamp(1, 6);
        let to = (toward(x, self.below(3)), toward(y, self.below(3)));
        let answer = self.try_call(&format!("call move {x:02x}{y:02x}{:02x}{:02x}", to.0, to.1))?;
        if answer.starts_with("ok") || answer.contains("not yours") {
            self.pieces.retain(|piece| *piece != (x, y));
            self.full = false;
        }
        if answer.starts_with("ok") {
            self.pieces.push(to);
        }
        Ok(())
    }

    fn try_call(&mut self, line: &str) -> Result<String> {
        let answer = self.program.ask(line)?;
        match answer.split(' ').take(2).collect::<Vec<_>>().as_slice() {
            ["ok", ..] => self.accepted += 1,
            ["error", "Rejected"] => self.refused += 1,
            _ => return Err(Failed(format!("{} answered `{line}` with `{answer}`", self.program.name))),
        }
        Ok(answer)
    }
}

fn compare(players: &mut [Player], members: &[String], moves: usize) -> Result<()> {
    let commitment = agreed(players)?;
    for question in
        ["query count".to_owned()].into_iter().chain(members.iter().map(|m| format!("query score {m}")))
    {
        let answers = players
            .iter_mut()
            .map(|player| player.program.answer(&question, "ok"))
            .collect::<Result<Vec<_>>>()?;
        if answers.iter().any(|answer| *answer != answers[0]) {
            return Err(Failed(format!("`{question}` has the answers {answers:?}")));
        }
        println!("{question}: {} for all", answers[0]);
    }
    let mut orders = Vec::new();
    let mut boards = Vec::new();
    // The C program tells neither; its commitments stand for all transactions and all entries.
    for player in players.iter_mut().filter(|player| player.program.name != "C") {
        let mut order = player.program.until("history", "moved")?;
        order.pop();
        orders.push(order);
        boards.push(player.program.until("cells", "end")?);
    }
    if orders.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(Failed("the orders or the outcomes differ".into()));
    }
    if boards.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(Failed("the boards differ".into()));
    }
    let transactions = orders.first().map_or(0, Vec::len);
    let rejected =
        orders.iter().flatten().filter(|line| line.ends_with(" rejected")).count() / orders.len().max(1);
    let (accepted, refused) =
        players.iter().fold((0, 0), |(a, r), player| (a + player.accepted, r + player.refused));
    if transactions < accepted || accepted == 0 || refused == 0 || boards[0].len() < 4 {
        return Err(Failed(format!(
            "{transactions} transactions, {accepted} accepted, {refused} refused: too few"
        )));
    }
    if rejected == 0 {
        return Err(Failed(
            "no call that was accepted was rejected at its place in the end: nothing was shown".into(),
        ));
    }
    if moves == 0 {
        return Err(Failed("the order never moved: nothing was shown".into()));
    }
    println!(
        "all hold the same {transactions} transactions, and commitment and digest {}…",
        &commitment[..16]
    );
    println!("{accepted} calls were accepted and {refused} refused where they were made");
    println!(
        "{rejected} accepted calls were rejected at their place in the end; the order moved {moves} times"
    );
    Ok(())
}

/// Waits until all name the same state and the same history.
fn agreed(players: &mut [Player]) -> Result<String> {
    let begun = Instant::now();
    loop {
        let named = players
            .iter_mut()
            .map(|player| player.program.answer("commitment", "commitment"))
            .collect::<Result<Vec<_>>>()?;
        if named.iter().all(|one| *one == named[0]) {
            return Ok(named[0].clone());
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failed(format!("the states do not become equal: {named:?}")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

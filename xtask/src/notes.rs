//! Two notebooks of different languages, driven through all commands, as two people in two terminals would: each ordered pair of Rust,
//! Python, C, Kotlin and Swift.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::c::Installed;
use crate::count::Count;
use crate::program::{PATIENCE, Program};
use crate::terminal::{last_bar, seen_by_a_camera};
use crate::tools::{During, Failed, Options, Result, command, empty_folder, headline, root};
use crate::{kotlin, python, setup, swift};

/// How many lines `help` has; the last one is `quit`. It is asked behind every command, so that the answer has an end.
const HELP: usize = 13;

pub(crate) fn test(options: &Options) -> Result<Count> {
    setup::programs()?;
    let wheel = python::wheel(options)?;
    let interpreter = python::environment("venv-notes", &wheel)?;
    let installed = Installed::from(&options.output(), "notes-lib")?;
    let folder = empty_folder("notes")?;
    headline("compiling examples/c/notes.c");
    let c = folder.join("notes-c");
    installed.compile("gcc", &root().join("examples/c/notes.c"), &c, &["-O2"])?;
    let kotlin = kotlin::Examples::build(options)?;
    let swift = swift::Examples::build(options)?;
    let programs = Programs { folder, interpreter, rust: options.output().join("notes"), c, kotlin, swift };
    let mut count = Count::default();
    for (first, one) in LANGUAGES.into_iter().enumerate() {
        for (second, other) in LANGUAGES.into_iter().enumerate().filter(|(_, other)| *other != one) {
            // Each of them makes and joins both ways.
            let way = if (first + second) % 2 == 1 { Way::Terminal } else { Way::Pipes };
            let name = format!("notebooks: {one} makes, {other} joins ({way:?})");
            headline(&name);
            count.check(&name, pair(&programs, one, other, way));
        }
    }
    if count.failed == 0 {
        std::fs::remove_dir_all(&programs.folder).during("removing the notebooks")?;
    }
    Ok(count)
}

const LANGUAGES: [&str; 5] = ["Rust", "Python", "C", "Kotlin", "Swift"];

/// What the programs read and write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Pipes,
    /// Where QR codes and bars are drawn, for people.
    Terminal,
}

struct Programs {
    folder: PathBuf,
    interpreter: PathBuf,
    rust: PathBuf,
    c: PathBuf,
    kotlin: kotlin::Examples,
    swift: swift::Examples,
}

impl Programs {
    fn start(&self, language: &str, directory: &Path, way: Way) -> Result<Program> {
        let mut command = match language {
            "Python" => {
                let mut python = command(&self.interpreter);
                python.arg("-I").arg(root().join("examples/python/notes.py"));
                python
            }
            "Rust" => command(&self.rust),
            "Kotlin" => self.kotlin.command("NotesKt"),
            "Swift" => self.swift.command("notes")?,
            _ => command(&self.c),
        };
        command.arg(directory);
        match way {
            Way::Pipes => Program::start(language, command),
            Way::Terminal => Program::on_terminal(language, command),
        }
    }
}

/// All lines that answer a command, without those that `watch` tells.
fn answers(program: &mut Program, line: &str) -> Result<Vec<String>> {
    program.say(line)?;
    let mut lines = program.until("help", "quit")?;
    lines.retain(|line| !line.starts_with("* "));
    let own =
        lines.len().checked_sub(HELP).ok_or_else(|| Failed(format!("{} helps little", program.name)))?;
    lines.truncate(own);
    Ok(lines)
}

fn expect(program: &mut Program, line: &str, wanted: &str) -> Result<()> {
    let said = answers(program, line)?;
    if said == [wanted] {
        return Ok(());
    }
    Err(Failed(format!("{} was told `{line}` and said {said:?}, not `{wanted}`", program.name)))
}

/// Asks until the answer is as wanted: what the other one did has to come over.
fn becomes(program: &mut Program, line: &str, wanted: impl Fn(&[String]) -> bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let said = answers(program, line)?;
        if wanted(&said) {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(Failed(format!("`{line}` says {said:?} in {} and nothing else comes", program.name)));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The token that a program invites with; on a terminal it draws it, too.
fn token(program: &mut Program, line: &str, way: Way) -> Result<String> {
    let said = answers(program, line)?;
    let token = said.iter().find_map(|line| line.strip_prefix("token "));
    let token = token.ok_or_else(|| Failed(format!("{} said {said:?}, and no token", program.name)))?;
    let drawn = seen_by_a_camera(&said);
    let wanted = (way == Way::Terminal).then(|| token.to_uppercase());
    if drawn != wanted {
        return Err(Failed(format!("{} draws {drawn:?} of {token:?} with {way:?}", program.name)));
    }
    Ok(token.to_owned())
}

/// Joins; on a terminal a bar is drawn to its end.
fn join(program: &mut Program, invitation: &str, way: Way) -> Result<()> {
    let mut shown = String::new();
    program.errors();
    expect(program, &format!("join {invitation}"), "joined home")?;
    let begun = Instant::now();
    loop {
        shown += &program.errors();
        match last_bar(&shown) {
            Some((40, done, total)) if done == total && total > 0 => return Ok(()),
            None if way == Way::Pipes => return Ok(()),
            _ if begun.elapsed() > PATIENCE => {
                return Err(Failed(format!("{} shows no whole bar: {shown:?}", program.name)));
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn pair(programs: &Programs, one: &str, other: &str, way: Way) -> Result<()> {
    let directories = [one, other].map(|name| programs.folder.join(format!("{one}-{other}-{name}")));
    let mut anna = programs.start(one, &directories[0], way)?;
    let mut ben = programs.start(other, &directories[1], way)?;
    const NONE: &str = "there is no notebook yet: create NAME or join TOKEN";
    for program in [&mut anna, &mut ben] {
        if program.until("help", "quit")?.len() != HELP {
            return Err(Failed(format!("{} does not help with {HELP} commands", program.name)));
        }
        expect(program, "list", NONE)?;
    }
    expect(&mut anna, "create home", "created")?;
    expect(&mut anna, "name anna", "named")?;
    expect(&mut anna, "invite king", "a role is admin, writer or reader")?;
    let invitation = token(&mut anna, "invite", way)?;
    join(&mut ben, &invitation, way)?;
    expect(&mut ben, "name ben", "named")?;

    becomes(&mut anna, "watch", <[String]>::is_empty)?;
    expect(&mut ben, "write shopping milk and bread", "written")?;
    anna.said_unasked("* notes changed")?;
    becomes(&mut anna, "read shopping", |said| said == ["milk and bread"])?;
    expect(&mut anna, "write dinner soup", "written")?;
    expect(&mut anna, "write dinner", "write TITLE TEXT")?;
    becomes(&mut ben, "read dinner", |said| said == ["soup"])?;
    becomes(&mut ben, "read nothing", |said| said.len() == 1 && said[0].starts_with("error: "))?;
    for program in [&mut anna, &mut ben] {
        let mut titles = answers(program, "list")?;
        titles.sort();
        if titles != ["dinner", "shopping"] {
            return Err(Failed(format!("{} lists {titles:?}", program.name)));
        }
        if answers(program, "status")?.is_empty() {
            return Err(Failed(format!("{} has no status", program.name)));
        }
    }
    let both = |said: &[String], me: &str| {
        said.len() == 2
            && said
                .iter()
                .any(|line| line.contains(" admin anna") && line.ends_with("(you)") == (me == "anna"))
            && said
                .iter()
                .any(|line| line.contains(" writer ben") && line.ends_with("(you)") == (me == "ben"))
    };
    becomes(&mut anna, "members", |said| both(said, "anna"))?;
    becomes(&mut ben, "members", |said| both(said, "ben"))?;

    anna.stop()?;
    let mut anna = programs.start(one, &directories[0], way)?;
    expect(&mut anna, "read shopping", "milk and bread")?;

    // The other one is removed by name; comes back and leaves; comes back as a reader and is removed by the beginning of its id.
    expect(&mut anna, "remove nobody", "0 members are meant")?;
    expect(&mut anna, "remove ben", "removed")?;
    becomes(&mut anna, "members", |said| said.len() == 1)?;
    becomes(&mut ben, "write too late", |said| said.len() == 1 && said[0].starts_with("error: "))?;
    expect(&mut ben, "leave", "left")?;
    expect(&mut ben, "list", NONE)?;
    let invitation = token(&mut anna, "invite writer", way)?;
    join(&mut ben, &invitation, way)?;
    becomes(&mut anna, "members", |said| said.len() == 2)?;
    expect(&mut ben, "leave", "left")?;
    expect(&mut ben, "list", NONE)?;
    becomes(&mut anna, "members", |said| said.len() == 1)?;
    let invitation = token(&mut anna, "invite reader", way)?;
    join(&mut ben, &invitation, way)?;
    becomes(&mut ben, "write not allowed", |said| said.len() == 1 && said[0].starts_with("error: "))?;
    becomes(&mut anna, "members", |said| said.iter().any(|line| line.contains(" reader ")))?;
    let members = answers(&mut anna, "members")?;
    let reader = members.iter().find(|line| line.contains(" reader ")).and_then(|line| line.get(..8));
    expect(&mut anna, &format!("remove {}", reader.unwrap_or_default()), "removed")?;
    becomes(&mut anna, "members", |said| said.len() == 1)?;
    expect(&mut anna, "leave", "left")?;
    expect(&mut anna, "list", NONE)?;
    anna.stop()?;
    ben.stop()
}

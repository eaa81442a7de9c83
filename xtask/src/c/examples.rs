//! The examples in C: built from what is installed, and used.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::Installed;
use crate::install::install;
use crate::tools::{
    During, Failed, Guarded, Options, Result, capture, command, empty_folder, root, run, start,
};

/// How long one answer may take. Far more than it takes: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Installs into a folder that is then moved, copies the examples out of the repository, and builds them there.
pub(super) fn clean_room(options: &Options) -> Result<()> {
    let room = empty_folder("clean-room")?;
    let (first, prefix, sources) = (room.join("first"), room.join("prefix"), room.join("sources"));
    install(options, &first)?;
    // Again over itself: an update.
    install(options, &first)?;
    std::fs::create_dir(&sources).during("making a folder for the sources")?;
    for entry in std::fs::read_dir(root().join("examples/c")).during("reading examples/c")? {
        let path = entry.during("reading examples/c")?.path();
        std::fs::copy(&path, sources.join(path.file_name().unwrap_or_default())).during("copying")?;
    }

    let flags = capture(
        command("pkg-config")
            .args(["--cflags", "--libs", "kith"])
            .env("PKG_CONFIG_PATH", first.join("lib/pkgconfig")),
    )?;
    let flags = String::from_utf8_lossy(&flags).into_owned();
    let by_pkg_config = room.join("board-pkg-config");
    run(command("gcc")
        .current_dir(&sources)
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "board.c", "-o"])
        .arg(&by_pkg_config)
        .args(flags.split_whitespace()))?;
    play(command(&by_pkg_config).env("LD_LIBRARY_PATH", first.join("lib")), &room.join("node-1"))?;

    std::fs::rename(&first, &prefix).during("moving the prefix")?;
    let build = room.join("build");
    run(command("cmake")
        .current_dir(&room)
        .args(["-S", "sources", "-B", "build", "-DCMAKE_C_FLAGS=-Wall -Wextra -Wpedantic -Werror"])
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())))?;
    run(command("cmake").current_dir(&room).args(["--build", "build"]))?;
    exports_of_static(&prefix)?;
    super::panics_in(&prefix.join("lib/libkith.a"), &room.join("panic"))?;
    play(&mut command(build.join("board")), &room.join("node-2"))?;
    run(&mut command(build.join("wrapped")))?;
    play(&mut command(build.join("board-static")), &room.join("node-3"))?;
    let linked = capture(command("readelf").arg("-d").arg(build.join("board")))?;
    if !String::from_utf8_lossy(&linked).contains("[libkith.so.0]") {
        return Err(Failed("the program does not ask for the library by its SONAME".into()));
    }
    std::fs::remove_dir_all(&room).during("removing the clean room")
}

/// The static library shows others what the shared one does.
fn exports_of_static(prefix: &Path) -> Result<()> {
    let symbols = capture(
        command("nm")
            .args(["--defined-only", "--extern-only", "--format=posix"])
            .arg(prefix.join("lib/libkith.a")),
    )?;
    let symbols = String::from_utf8_lossy(&symbols);
    // The first line names the object.
    let names: Vec<&str> = symbols
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| !name.ends_with(':') && !super::PROVOKED.contains(name))
        .collect();
    let header = std::fs::read_to_string(root().join("include/kith.h")).during("reading include/kith.h")?;
    let declared = super::declarations(&header);
    match names.iter().find(|name| !declared.contains(*name)) {
        Some(stranger) => Err(Failed(format!("the static library exports {stranger}"))),
        None if names.len() != declared.len() => {
            Err(Failed(format!("the static library exports {} of {} functions", names.len(), declared.len())))
        }
        None => Ok(()),
    }
}

/// Runs a program with these lines as its standard input; its output.
fn talk(program: &mut Command, lines: &str) -> Result<String> {
    let script = empty_folder("c-talk")?.join("lines");
    std::fs::write(&script, lines).during("writing lines for a program")?;
    let input = std::fs::File::open(&script).during("opening the lines")?;
    Ok(String::from_utf8_lossy(&capture(program.stdin(input))?).into_owned())
}

/// One game on the board, and what comes back after a restart.
fn play(program: &mut Command, directory: &Path) -> Result<()> {
    let program = program.arg(directory);
    let game = talk(
        program,
        "create game\ncall place 0101\ncall place 0101\ncall move 01010202\ncall fault\nquery count\ncommitment\nquit\n",
    )?;
    let again = talk(program, "query count\ncommitment\nquit\n")?;
    let lines: Vec<&str> = game.lines().collect();
    let wanted = [
        "ok 01",
        "error Rejected occupied",
        "ok 0100000000000000",
        "error Rejected on purpose",
        "ok 01000000",
    ];
    if lines.len() != 7 || lines[1..6] != wanted || again.lines().collect::<Vec<_>>() != lines[5..] {
        return Err(Failed(format!("not the game that was expected:\n{game}\nafter a restart:\n{again}")));
    }
    Ok(())
}

/// A program that answers lines with lines.
struct Talker {
    _child: Guarded,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Talker {
    fn start(program: &mut Command) -> Result<Self> {
        let mut child = start(program.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let (Some(input), Some(output)) = (child.0.stdin.take(), child.0.stdout.take()) else {
            return Err(Failed("a program without input and output".into()));
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { _child: child, input, lines })
    }

    fn next(&self) -> Result<String> {
        self.lines.recv_timeout(PATIENCE).during("waiting for an answer")
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        writeln!(self.input, "{line}").and_then(|()| self.input.flush()).during("talking to a program")?;
        self.next()
    }

    /// Asks until the answer is the wanted one.
    fn until(&mut self, line: &str, wanted: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let answer = self.ask(line)?;
            if answer == wanted {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(Failed(format!("`{line}` gives `{answer}`, not `{wanted}`")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn expect(&mut self, line: &str, wanted: &str) -> Result<()> {
        let answer = self.ask(line)?;
        if answer == wanted {
            Ok(())
        } else {
            Err(Failed(format!("`{line}` gives `{answer}`, not `{wanted}`")))
        }
    }
}

/// Two people share a notebook, one in each process, as the README tells them to.
pub(super) fn notes(installed: &Installed) -> Result<()> {
    let folder = empty_folder("c-notes")?;
    let program = folder.join("notes");
    installed.compile("gcc", &root().join("examples/c/notes.c"), &program, &["-O2"])?;
    let mut anna = Talker::start(command(&program).arg(folder.join("anna")))?;
    let mut ben = Talker::start(command(&program).arg(folder.join("ben")))?;
    ben.expect("list", "there is no notebook yet: create NAME or join TOKEN")?;
    anna.expect("create home", "created")?;
    anna.expect("write milk two litres", "written")?;
    anna.expect("invite emperor", "a role is admin, writer or reader")?;
    let answer = anna.ask("invite")?;
    let token = answer.strip_prefix("token ").ok_or_else(|| Failed(format!("no token: {answer}")))?;
    ben.expect(&format!("join {token}"), "joined home")?;
    ben.expect("read milk", "two litres")?;
    ben.expect("write bread of rye", "written")?;
    anna.until("read bread", "of rye")?;
    ben.expect("name Ben", "named")?;
    let mut first = anna.ask("members")?;
    let mut second = anna.next()?;
    let begun = Instant::now();
    while ![&first, &second].iter().any(|line| line.ends_with(" writer Ben")) {
        if begun.elapsed() > PATIENCE {
            return Err(Failed(format!("Ben is not among the members: {first}, {second}")));
        }
        std::thread::sleep(Duration::from_millis(20));
        (first, second) = (anna.ask("members")?, anna.next()?);
    }
    anna.expect("remove Ben", "removed")?;
    anna.expect("remove Ben", "0 members are meant")?;
    anna.expect("leave", "left")?;
    std::fs::remove_dir_all(&folder).during("removing the notebooks")
}

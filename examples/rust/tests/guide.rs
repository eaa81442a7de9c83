//! Two processes run the guide's program and do what the guide tells its reader to do.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A terminal with the program in it.
struct Terminal {
    child: Child,
    keyboard: Option<ChildStdin>,
    screen: Receiver<String>,
}

impl Terminal {
    fn open(directory: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_guide-list"))
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = child.stdout.take().expect("it was asked for");
        let (lines, screen) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        Self { keyboard: child.stdin.take(), child, screen }
    }

    fn type_line(&mut self, line: &str) {
        let keyboard = self.keyboard.as_mut().expect("it has not quit");
        writeln!(keyboard, "{line}").expect("it reads");
    }

    /// The next line like this; those before it are passed over.
    fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.screen.recv_timeout(Duration::from_secs(60)).expect("it says so in time");
            if wanted(&line) {
                return line;
            }
        }
    }

    /// What is on the list now. What it prints of its own accord meanwhile is passed over.
    fn list(&mut self) -> Vec<String> {
        self.type_line("show");
        self.type_line("?"); // no command, so it is answered: the list is at its end
        let items = std::cell::RefCell::new(Vec::new());
        self.wait_for(|line| {
            items.borrow_mut().extend(line.strip_prefix("- ").map(str::to_owned));
            line.starts_with("InvalidArgument: ")
        });
        let mut items = items.into_inner();
        items.sort();
        items
    }

    /// Looks until the list is this one.
    fn shows(&mut self, wanted: &[&str]) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let list = self.list();
            if list == wanted {
                return;
            }
            assert!(Instant::now() < until, "{list:?}, not {wanted:?}");
            // Whatever comes next: a change, or nothing for a moment.
            let _ = self.screen.recv_timeout(Duration::from_millis(200));
        }
    }

    fn quit(mut self) {
        self.type_line("quit");
        self.keyboard = None;
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guide-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

#[test]
fn two_devices_share_a_list() {
    let (one, other) = (scratch("first"), scratch("second"));
    let mut first = Terminal::open(&one);
    first.type_line("add milk");
    first.wait_for(|line| line.starts_with("InvalidArgument: ")); // there is no list yet
    first.type_line("new");
    first.wait_for(|line| line.starts_with("here is list "));
    first.type_line("add milk");
    first.type_line("invite");
    let token = first.wait_for(|line| line.starts_with("kith1"));

    let mut second = Terminal::open(&other);
    second.type_line("join kith1thisisnone");
    second.wait_for(|line| line.contains(": ") && !line.starts_with("here"));
    second.type_line(&format!("join {token}"));
    second.wait_for(|line| line.starts_with("here is list "));
    assert_eq!(second.list(), ["milk"]);
    second.type_line("add bread");
    first.shows(&["bread", "milk"]);

    // One is away and both change it.
    second.quit();
    first.type_line("bought milk");
    first.type_line("add soup");
    first.shows(&["bread", "soup"]);
    first.quit();
    let mut second = Terminal::open(&other);
    second.wait_for(|line| line.starts_with("here is list "));
    second.type_line("add apples");
    second.shows(&["apples", "bread", "milk"]);
    let mut first = Terminal::open(&one);
    first.shows(&["apples", "bread", "soup"]);
    second.shows(&["apples", "bread", "soup"]);
    first.quit();
    second.quit();
    for directory in [one, other] {
        std::fs::remove_dir_all(directory).expect("it is ours");
    }
}

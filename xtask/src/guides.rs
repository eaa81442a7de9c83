//! The guides' code, taken from the pages: the first block of a page is the program `list`, which two processes run as the guide tells its
//! reader to; each other block is a program that has to end well. What the reader types before that is run, too.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::program::{PATIENCE, Program};
use crate::tools::{During, Failed, Result, command, empty_folder, root, run};

/// The chapter on phones, which has programs in two languages.
const MOBILE: &str = "docs/guide/mobile.md";

/// The blocks of a language's guide, the program first; and what the chapter on phones has in it.
pub(crate) fn blocks(page: &str, language: &str) -> Result<Vec<String>> {
    let read = |page: &str| std::fs::read_to_string(root().join(page)).during(format!("reading {page}"));
    let mut blocks = blocks_of(&read(page)?, language);
    // The program, and what stands behind it.
    if blocks.len() < 3 {
        return Err(Failed(format!("{page} has {} programs in {language}", blocks.len())));
    }
    blocks.extend(blocks_of(&read(MOBILE)?, language));
    Ok(blocks)
}

/// The one block of a page in what is no program's language.
pub(crate) fn only_block(page: &str, language: &str) -> Result<String> {
    let text = std::fs::read_to_string(root().join(page)).during(format!("reading {page}"))?;
    let [block] = <[String; 1]>::try_from(blocks_of(&text, language))
        .map_err(|blocks| Failed(format!("{page} has {} blocks of {language}, not one", blocks.len())))?;
    Ok(block)
}

fn blocks_of(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let begun = text.split(&fence).skip(1);
    begun.filter_map(|rest| rest.split_once("\n```").map(|(block, _)| format!("{block}\n"))).collect()
}

/// What a guide has its reader type: its block for a shell.
pub(crate) struct Typed {
    page: String,
    lines: String,
}

impl Typed {
    pub(crate) fn of(page: &str) -> Result<Self> {
        Ok(Self { page: page.into(), lines: only_block(page, "sh")? })
    }

    /// Takes what the tests have built for what the reader builds. It has to be there.
    pub(crate) fn with(mut self, what: &str, instead: &str) -> Result<Self> {
        if !self.lines.contains(what) {
            return Err(Failed(format!("{} has its reader type no `{what}`", self.page)));
        }
        self.lines = self.lines.replace(what, instead);
        Ok(self)
    }

    /// With a line in front that the reader does not type.
    pub(crate) fn after(mut self, line: &str) -> Self {
        self.lines = format!("{line}\n{}", self.lines);
        self
    }

    /// Types it, each line only if the one before went well. On the desk lies the clone, `kith`; `home` there is the reader's home; the reader begins
    /// in the folder `within` the desk.
    pub(crate) fn run(&self, desk: &Path, within: &str) -> Result<()> {
        println!("{}", self.lines.trim_end());
        let clone = desk.join("kith");
        if !clone.exists() {
            std::os::unix::fs::symlink(root(), &clone).during("laying the clone on the desk")?;
        }
        let mut shell = command("bash");
        // What cargo keeps in the real home is used, not fetched anew.
        if let Some(home) = std::env::var_os("HOME").map(std::path::PathBuf::from) {
            for (name, place) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
                if std::env::var_os(name).is_none() {
                    shell.env(name, home.join(place));
                }
            }
        }
        run(shell.env("HOME", desk.join("home")).current_dir(desk.join(within)).args([
            "-euo",
            "pipefail",
            "-c",
            &self.lines,
        ]))
    }
}

/// Two processes share a list: what the guide tells its reader to do, in a folder of this name.
pub(crate) fn share(name: &str, start: impl Fn(&Path) -> Result<Command>) -> Result<()> {
    let folder = empty_folder(name)?;
    let open = |device: &str| Device::open(device, start(&folder.join(device))?);
    let mut first = open("first")?;
    first.program.say("add milk")?;
    first.wait_for(|line| line.starts_with("error: "))?; // there is no list yet
    first.program.say("new")?;
    first.wait_for(|line| line.starts_with("here is list "))?;
    first.program.say("add milk")?;
    first.program.say("invite")?;
    let token = first.wait_for(|line| line.starts_with("kith1"))?;

    let mut second = open("second")?;
    second.program.say("join kith1thisisnone")?;
    second.wait_for(|line| line.starts_with("error: "))?;
    second.program.say(&format!("join {token}"))?;
    second.wait_for(|line| line.starts_with("here is list "))?;
    second.shows(&["milk"])?;
    second.program.say("add bread")?;
    first.shows(&["bread", "milk"])?;

    // One is away, and both change it.
    second.program.stop()?;
    first.program.say("bought milk")?;
    first.program.say("add soup")?;
    first.shows(&["bread", "soup"])?;
    first.program.stop()?;
    let mut second = open("second")?;
    second.wait_for(|line| line.starts_with("here is list "))?;
    second.program.say("add apples")?;
    second.shows(&["apples", "bread", "milk"])?;
    let mut first = open("first")?;
    first.shows(&["apples", "bread", "soup"])?;
    second.shows(&["apples", "bread", "soup"])?;
    first.program.stop()?;
    second.program.stop()?;
    std::fs::remove_dir_all(&folder).during("removing the guide's folder")
}

struct Device {
    program: Program,
}

impl Device {
    fn open(name: &str, command: Command) -> Result<Self> {
        Ok(Self { program: Program::start(name, command)? })
    }

    /// The next line like this; those before it are passed over.
    fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        loop {
            let line = self.program.line()?;
            if wanted(&line) {
                return Ok(line);
            }
        }
    }

    /// What is on the list now.
    fn list(&mut self) -> Result<Vec<String>> {
        self.program.say("show")?;
        self.program.say("?")?; // no command, so it is answered: the list is at its end
        let mut items = Vec::new();
        loop {
            let line = self.program.line()?;
            if line.starts_with("error: ") {
                items.sort();
                return Ok(items);
            }
            items.extend(line.strip_prefix("- ").map(str::to_owned));
        }
    }

    /// Looks until the list is this one.
    fn shows(&mut self, wanted: &[&str]) -> Result<()> {
        let begun = Instant::now();
        loop {
            let list = self.list()?;
            if list == wanted {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(Failed(format!("{} shows {list:?}, not {wanted:?}", self.program.name)));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_of_the_language_are_taken_whole() {
        let page = "a\n```sh\nx\n```\n```c\nint a;\n\nint b;\n```\nb\n```cpp\nno\n```\n```c\nint c;\n```\n";
        assert_eq!(blocks_of(page, "c"), ["int a;\n\nint b;\n", "int c;\n"]);
    }

    #[test]
    fn what_is_typed_is_run_line_by_line_and_has_to_go_well() {
        let desk = empty_folder("typed").unwrap();
        std::fs::create_dir(desk.join("list")).unwrap();
        let typed = |lines: &str| Typed { page: "a page".into(), lines: lines.into() };
        typed("mkdir a && cd a\necho x > ~/b # words\ntest -d ../../kith/docs\n")
            .run(&desk, "list")
            .unwrap_err();
        std::fs::create_dir(desk.join("home")).unwrap();
        typed("cd a\necho x > ~/b # words\ntest -d ../../kith/docs\n").run(&desk, "list").unwrap();
        assert_eq!(std::fs::read(desk.join("home/b")).unwrap(), b"x\n");
        for bad in ["false\ntrue\n", "true | false | true\n", "echo $not_there\n"] {
            assert!(typed(bad).run(&desk, "").is_err(), "{bad}");
        }
        assert!(typed("make it\n").with("build", "true").is_err());
        typed("make it\n").with("make it", "true").unwrap().run(&desk, "").unwrap();
    }

    #[test]
    fn every_guide_but_swifts_has_what_is_typed() {
        for language in ["c", "kotlin", "python", "rust"] {
            Typed::of(&format!("docs/guide/{language}.md")).unwrap();
        }
        assert!(Typed::of("docs/guide/swift.md").is_err());
    }

    #[test]
    fn every_guide_has_its_programs() {
        for (language, count) in [("python", 3), ("c", 3), ("kotlin", 5), ("swift", 5)] {
            let blocks = blocks(&format!("docs/guide/{language}.md"), language).expect("it is there");
            assert_eq!(blocks.len(), count, "{language}");
        }
    }
}

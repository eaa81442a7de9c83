//! The guides' code, taken from the pages: the first block of a page is the program `list`, which two processes run as the guide tells its
//! reader to; each other block is a program that has to end well.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::program::{PATIENCE, Program};
use crate::tools::{During, Failed, Result, empty_folder, root};

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

fn blocks_of(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let begun = text.split(&fence).skip(1);
    begun.filter_map(|rest| rest.split_once("\n```").map(|(block, _)| format!("{block}\n"))).collect()
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
    fn every_guide_has_its_programs() {
        for (language, count) in [("python", 3), ("c", 3), ("kotlin", 5), ("swift", 5)] {
            let blocks = blocks(&format!("docs/guide/{language}.md"), language).expect("it is there");
            assert_eq!(blocks.len(), count, "{language}");
        }
    }
}

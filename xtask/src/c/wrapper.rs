//! `kith.hpp`, the wrapper for C++.

use super::{Installed, declarations};
use crate::install::HEADERS;
use crate::tools::{During, Failed, Result, command, empty_folder, readme_example, root, run};

/// The example is built with gcc and clang, and run.
pub(super) fn readme(installed: &Installed) -> Result<()> {
    let folder = empty_folder("readme-cpp")?;
    let source = folder.join("example.cpp");
    std::fs::write(&source, readme_example("cpp")?).during("writing the example")?;
    for compiler in ["gcc", "clang"] {
        let program = folder.join(compiler);
        installed.compile(compiler, &source, &program, &[])?;
        run(command(&program).current_dir(&folder))?;
        std::fs::remove_dir_all(folder.join("dora")).during("removing the example's node")?;
    }
    Ok(())
}

/// What of the names is not in the code.
fn unreached<'a>(names: impl IntoIterator<Item = &'a str>, code: &str) -> Vec<&'a str> {
    let words: std::collections::BTreeSet<&str> =
        code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    names.into_iter().filter(|name| !words.contains(name)).collect()
}

/// A header without its comments.
fn code_of(header: &str) -> String {
    let mut code = String::new();
    for (at, piece) in header.split("/*").enumerate() {
        code.push_str(if at == 0 { piece } else { piece.split_once("*/").map_or("", |(_, rest)| rest) });
    }
    code
}

/// What a program calls to reach a function: those that are told the size of a struct have a macro that says it.
fn called(name: &str) -> &str {
    name.strip_suffix("_sized").unwrap_or(name)
}

/// The code of the wrapper calls every function that the header declares.
pub(super) fn reaches_everything(_: &Installed) -> Result<()> {
    let mut code = String::new();
    for header in HEADERS.iter().filter(|name| name.ends_with(".hpp")) {
        let text = std::fs::read_to_string(root().join("include").join(header))
            .during(format!("reading {header}"))?;
        code.push_str(&code_of(&text));
    }
    let header = std::fs::read_to_string(root().join("include/kith.h")).during("reading include/kith.h")?;
    let declared = declarations(&header);
    let missing = unreached(declared.iter().copied().map(called), &code);
    if declared.is_empty() || !missing.is_empty() {
        return Err(Failed(format!("kith.hpp does not reach {missing:?}")));
    }
    println!("{} functions", declared.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_comment_or_in_a_longer_name_is_not_reached() {
        let code = code_of("/* kith_one */ check(kith_two(x)); kith_three_more(); /* kith_four");
        assert_eq!(
            unreached(["kith_one", "kith_two", "kith_three", "kith_four"], &code),
            ["kith_one", "kith_three", "kith_four"]
        );
        assert_eq!([called("kith_two_sized"), called("kith_two")], ["kith_two"; 2]);
    }
}

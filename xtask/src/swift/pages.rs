//! The pages of the Swift package, by DocC.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{STRICT, Toolchain};
use crate::tools::{During, Failed, Result, headline, run};

/// The modules that others see, and a page that has to be there.
const MODULES: [(&str, &str); 2] = [("Kith", "context/events(after:)"), ("KithTesting", "hub/heal(_:_:)")];

/// Writes an archive for each module, with pages for a browser; where they are. What DocC warns of (a link that leads nowhere, a parameter that
/// is none) is an error.
pub(super) fn write(toolchain: &Toolchain, package: &Path) -> Result<Vec<PathBuf>> {
    headline("the pages of the Swift package");
    // With what the tests were built with: else all would be built anew.
    let mut graphs = toolchain.swift("package", package)?;
    run(graphs.args(STRICT).args(["dump-symbol-graph", "--skip-synthesized-members"]))?;
    let mut archives = Vec::new();
    for (module, page) in MODULES {
        let archive = convert(toolchain, package, module, &graph(package, module)?)?;
        let page = archive.join(format!("data/documentation/{}/{page}.json", module.to_lowercase()));
        if !page.is_file() {
            return Err(Failed(format!("there is no {}", page.display())));
        }
        archives.push(archive);
    }
    Ok(archives)
}

/// The same as a test, with a control: a link that leads nowhere is an error. So is something public without a comment, of which DocC does not warn.
pub(super) fn check(toolchain: &Toolchain, package: &Path) -> Result<()> {
    write(toolchain, package)?;
    for (module, _) in MODULES {
        let bare = undocumented(&graph(package, module)?)?;
        if !bare.is_empty() {
            return Err(Failed(format!("{module} has no comment on {}", bare.join(", "))));
        }
    }
    let graph = graph(package, "Kith")?;
    let link = graph.split("``").nth(1).ok_or_else(|| Failed("no comment links to anything".into()))?;
    println!("the control: a link to {link} leads nowhere");
    let broken = graph.replace(&format!("``{link}``"), "``NotThere``");
    match convert(toolchain, package, "Control", &broken) {
        Ok(_) => Err(Failed("a link that leads nowhere is let pass".into())),
        Err(_) => Ok(()),
    }
}

/// What the compiler says of a module: its public declarations with their comments.
fn graph(package: &Path, module: &str) -> Result<String> {
    let built = package.join(".build");
    let name = format!("symbolgraph/{module}.symbols.json");
    let folders = std::fs::read_dir(&built).during(format!("reading {}", built.display()))?;
    let mut found = folders.filter_map(|entry| entry.ok().map(|entry| entry.path().join(&name)));
    let path = found.find(|path| path.is_file()).ok_or_else(|| Failed(format!("there is no {name}")))?;
    std::fs::read_to_string(&path).during(format!("reading {}", path.display()))
}

/// The part of a graph that is looked at.
#[derive(Deserialize)]
struct Graph {
    symbols: Vec<Symbol>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Symbol {
    path_components: Vec<String>,
    doc_comment: Option<serde::de::IgnoredAny>,
}

/// What is public and has no comment.
fn undocumented(graph: &str) -> Result<Vec<String>> {
    let graph: Graph = serde_json::from_str(graph).during("reading what the compiler says of a module")?;
    if graph.symbols.is_empty() {
        return Err(Failed("the module has nothing".into()));
    }
    let bare = graph.symbols.into_iter().filter(|symbol| symbol.doc_comment.is_none());
    Ok(bare.map(|symbol| symbol.path_components.join(".")).collect())
}

fn convert(toolchain: &Toolchain, package: &Path, name: &str, graph: &str) -> Result<PathBuf> {
    let (graphs, archive) = (format!("pages/{name}"), format!("pages/{name}.doccarchive"));
    let folder = package.join(&graphs);
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join(format!("{name}.symbols.json")), graph))
        .during("writing what DocC reads")?;
    run(toolchain.program(package, Path::new("docc"))?.arg("convert").args([
        "--fallback-display-name",
        name,
        "--fallback-bundle-identifier",
        &format!("org.kith.{name}"),
        "--additional-symbol-graph-dir",
        &graphs,
        "--output-path",
        &archive,
        "--warnings-as-errors",
    ]))?;
    Ok(package.join(archive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public_and_has_no_comment_is_found() {
        let graph = r#"{"symbols": [
            {"pathComponents": ["Thing"], "accessLevel": "public", "docComment": {"lines": [{"text": "A thing."}]}},
            {"pathComponents": ["Thing", "b(_:)"], "accessLevel": "public"}]}"#;
        assert_eq!(undocumented(graph).unwrap(), ["Thing.b(_:)"]);
        assert!(undocumented(r#"{"symbols": []}"#).is_err() && undocumented("").is_err());
    }
}

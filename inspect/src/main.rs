//! Looks into the directory of a node that is not running: `kith-inspect help`.

mod arguments;
mod bundle;
mod check;
mod history;
mod report;
mod svg;
mod text;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use kith_core::node::inspection::{Held, Inspection};
use kith_core::storage::{self, ImportOptions, Purpose, StorageKey};
use kith_core::{Error, ErrorKind, Result};
use serde::Serialize;
use zeroize::Zeroizing;

use arguments::{Arguments, HELP, KeyFile, Task};

/// How a run ended that did not fail.
enum End {
    Fine,
    /// The check found damage, or a difference.
    Found,
}

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("kith-inspect: {message}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(End::Fine) => ExitCode::SUCCESS,
        Ok(End::Found) => ExitCode::from(3),
        Err(error) => {
            eprintln!("kith-inspect: {:?}: {}", error.kind(), text::shown(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<End> {
    if matches!(arguments.task, Task::Export | Task::Import | Task::Adopt) {
        carry(arguments)?;
        return Ok(End::Fine);
    }
    // Readable by its owner only, and gone at the end: there are keys in it.
    let scratch = match &arguments.scratch {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let scratch = scratch.map_err(|error| failed("making a temporary directory", &error))?;
    let key = arguments.key.as_ref().map(storage_key).transpose()?;
    let inspection = Inspection::of_copy(&arguments.directory, scratch.path(), key)?;
    match arguments.task {
        Task::Summary => {
            let report = report::node(&inspection)?;
            show(arguments, &report, || text::summary(&report))?;
        }
        Task::Members => {
            let contexts = chosen(&inspection, arguments)?;
            let reports: Vec<_> = contexts.iter().map(|held| report::context(&inspection, held)).collect();
            show(arguments, &reports, || text::members(&reports))?;
        }
        Task::History => history(&inspection, arguments)?,
        Task::Sizes => {
            let sizes = check::sizes(inspection.store())?;
            show(arguments, &sizes, || text::sizes(&sizes))?;
        }
        Task::Check => {
            let contexts = chosen(&inspection, arguments)?;
            let checked = check::all(&inspection, &contexts)?;
            show(arguments, &checked, || text::checked(&checked))?;
            if !checked.good() {
                return Ok(End::Found);
            }
        }
        Task::Bundle => {
            let bundle = bundle::gather(&inspection, arguments.last)?;
            let path = arguments
                .output
                .as_deref()
                .ok_or_else(|| Error::invalid_argument("--output FILE is needed"))?;
            write_new(path, &(json(&bundle)? + "\n"))?;
            println!(
                "{} is written: it holds no keys, values, names, notes, tokens or addresses",
                path.display()
            );
        }
        // These look at nothing.
        Task::Export | Task::Import | Task::Adopt => {}
    }
    Ok(End::Fine)
}

/// Exports, imports, and what belongs to them.
fn carry(arguments: &Arguments) -> Result<()> {
    let Arguments { directory, output, input, .. } = arguments;
    let key = arguments.key.as_ref().map(storage_key).transpose()?;
    let export_key = arguments.export_key.as_ref().map(storage_key).transpose()?;
    match (output, input, export_key) {
        (Some(output), _, Some(export_key)) => {
            let purpose = if arguments.moves { Purpose::Move } else { Purpose::Backup };
            let done = storage::export(directory, key, output, &export_key, purpose)?;
            println!("{} is written: {} records, {} bytes", output.display(), done.records, done.bytes);
            if done.moved {
                println!("{} signs nothing any more", directory.display());
            }
        }
        (_, Some(input), Some(export_key)) => {
            let mut options = ImportOptions::default();
            (options.engine, options.key) = (arguments.engine, key);
            let done = storage::import(input, &export_key, directory, &options)?;
            println!("{} is made: {} records, {} bytes", directory.display(), done.records, done.bytes);
            if !done.moved {
                println!(
                    "it is a copy and signs nothing, until `adopt` says that nothing else signs as its members"
                );
            }
        }
        _ => {
            storage::adopt(directory, key)?;
            println!("{} is the one that signs", directory.display());
        }
    }
    Ok(())
}

/// The key in a file; nothing of it is ever shown.
fn storage_key(file: &KeyFile) -> Result<StorageKey> {
    /// Longer than any key or passphrase is.
    const MOST: u64 = 4096;
    let (KeyFile::Key(path) | KeyFile::Passphrase(path)) = file;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST as usize));
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes));
    read.map_err(|error| failed(&format!("reading {}", path.display()), &error))?;
    if let (KeyFile::Key(_), Ok(key)) = (file, <[u8; 32]>::try_from(&bytes[..])) {
        return Ok(StorageKey::new(key));
    }
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Error::invalid_argument("the key's file is no text"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match file {
        // A node's own key file has a checksum behind the key.
        KeyFile::Key(_) => StorageKey::from_hex(line.split(' ').next().unwrap_or_default()),
        KeyFile::Passphrase(_) => StorageKey::from_passphrase(line),
    }
}

fn history(inspection: &Inspection, arguments: &Arguments) -> Result<()> {
    let contexts = chosen(inspection, arguments)?;
    if let Some(path) = &arguments.svg {
        let [held] = &contexts[..] else {
            return Err(Error::invalid_argument("a picture is of one context: choose it by --context"));
        };
        let history = history::read(inspection, held, arguments.last)?;
        write_new(path, &svg::draw(&history))?;
        println!("{} is written", path.display());
        return Ok(());
    }
    let mut histories = Vec::new();
    for held in &contexts {
        histories.push(history::read(inspection, held, arguments.last)?);
    }
    show(arguments, &histories, || text::histories(&histories))
}

/// The contexts that were asked for: all, or those whose id begins so.
fn chosen(inspection: &Inspection, arguments: &Arguments) -> Result<Vec<Held>> {
    let mut contexts = inspection.contexts()?;
    if let Some(wanted) = &arguments.context {
        contexts.retain(|held| held.id.to_string().starts_with(wanted));
        if contexts.is_empty() {
            let message = format!("this node holds no context whose id begins with {wanted}");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
    }
    Ok(contexts)
}

fn show(arguments: &Arguments, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
    let text = if arguments.json { json(value)? + "\n" } else { text() };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Who reads only the first lines has what it wanted.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(failed("printing", &error)),
        _ => Ok(()),
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::internal(format!("writing JSON: {error}")))
}

/// Never over what is there.
fn write_new(path: &Path, text: &str) -> Result<()> {
    let written = std::fs::File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| failed(&format!("writing {}", path.display()), &error))
}

fn failed(doing: &str, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull => ErrorKind::StorageFull,
        std::io::ErrorKind::AlreadyExists => ErrorKind::InvalidArgument,
        _ => ErrorKind::Storage,
    };
    Error::new(kind, format!("{doing}: {error}"))
}

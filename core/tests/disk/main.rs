//! What lies in a node's directory, and under which key.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod at_rest;
mod changing;
mod forgotten;
#[path = "../nodes/hoarder.rs"]
mod hoarder;
#[path = "../nodes/mod.rs"]
mod nodes;
mod old_pages;
#[path = "../processes/mod.rs"]
mod processes;

use std::path::Path;

use kith_core::Options;
use kith_core::network::Hub;
use kith_core::storage::{StorageEngine, StorageKey};

/// A node in a directory, over links in memory.
fn options(path: &Path, hub: &Hub, storage: StorageEngine, key: Option<&StorageKey>) -> Options {
    let mut options = Options::in_memory(hub);
    options.path = Some(path.to_owned());
    options.storage = storage;
    options.storage_key = key.cloned();
    options
}

/// The bytes of every file below a directory.
fn files(directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            bytes.extend(files(&entry.path()));
        } else {
            bytes.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    bytes
}

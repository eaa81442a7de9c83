//! Opening what may be damaged. sled recovers in place and does not tell what it gave up: so what it opens is compared with
//! what was acknowledged, and anything but the first, ordinary attempt works on a copy.

use std::path::Path;
use std::sync::Arc;

use super::SledOptions;
use super::create::{copy_for_recovery, open_sled};
use super::engine::{Engine, guarded};
use super::marker::{Marker, Progress};
use super::{Verify, chunks, commit, read};
use crate::storage::files::{entries, io_error};
use crate::storage::format::{ACKNOWLEDGED, Places};
use crate::storage::sealing::Sealer;
use crate::{Error, ErrorKind, Result};

/// Free space to open with: sled writes a new snapshot of its page table, and clears a segment.
const SPACE_TO_OPEN: u64 = 8 << 20;

/// Opens the store, recovering it if need be.
pub(super) fn open(places: &Places, options: &SledOptions, sealer: &Arc<Sealer>) -> Result<(Engine, Marker)> {
    prepare(places, options)?;
    let first = match attempt(&places.store, options, sealer, options.verify) {
        Err(error) if is_damage(&error) => error,
        other => return other,
    };
    if !options.rules().recover {
        return Err(first);
    }
    tracing::warn!(%first, "the store does not open: trying to recover it on a copy");
    check_space(places, options, size_of(&places.store))?;
    for (without_snapshots, saved_conf) in [(true, false), (false, true), (true, true)] {
        copy_for_recovery(places, without_snapshots, saved_conf)?;
        match attempt(&places.recovering, options, sealer, Verify::Always) {
            Ok((engine, _)) => {
                close(engine)?;
                return take_over(places, options, sealer);
            }
            Err(error) if is_damage(&error) => {
                tracing::warn!(%error, without_snapshots, saved_conf, "no recovery")
            }
            Err(error) => return Err(error),
        }
    }
    Places::remove_leftover(&places.recovering)?;
    Err(Error::corrupt(format!(
        "the store in {} is damaged and could not be recovered; nothing in it was removed. Restore the whole node's \
         directory from a backup or an export, or move it away and join again from another member. ({})",
        places.store.display(),
        first.message()
    )))
}

/// Not what the system has refused: that says nothing about the store.
fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Internal)
}

/// Removes what makes sled refuse to open, and looks for space.
fn prepare(places: &Places, options: &SledOptions) -> Result<()> {
    let fail = |error: std::io::Error| io_error("preparing to open the store", &error);
    if options.rules().delete_generating {
        for path in entries(&places.store, |name| name.ends_with(".generating")).map_err(fail)? {
            std::fs::remove_file(path).map_err(fail)?;
        }
    }
    check_space(places, options, size_of(&places.store.join("db")) / 32)
}

fn check_space(places: &Places, options: &SledOptions, more: u64) -> Result<()> {
    let free =
        options.files.free_space(&places.node).map_err(|error| io_error("asking for free space", &error))?;
    let needed = SPACE_TO_OPEN.saturating_add(more);
    if options.rules().check_space && free < needed {
        let message = format!("opening the store needs {needed} bytes of free space; there are {free}");
        return Err(Error::new(ErrorKind::StorageFull, message));
    }
    Ok(())
}

/// The bytes in a file or below a directory; what cannot be looked at counts nothing.
fn size_of(path: &Path) -> u64 {
    let Ok(found) = std::fs::metadata(path) else { return 0 };
    if !found.is_dir() {
        return found.len();
    }
    let below = std::fs::read_dir(path).into_iter().flatten().flatten();
    below.map(|entry| size_of(&entry.path())).sum()
}

/// Puts the recovered copy in the store's place and opens it there. The damaged one is kept.
fn take_over(places: &Places, options: &SledOptions, sealer: &Arc<Sealer>) -> Result<(Engine, Marker)> {
    let fail = |error: std::io::Error| io_error("putting the recovered store in place", &error);
    options.files.sync_tree(&places.recovering).map_err(fail)?;
    let kept = places.set_aside(&options.files, "damaged")?;
    options.files.rename(&places.recovering, &places.store).map_err(fail)?;
    options.files.sync_directory(&places.node).map_err(fail)?;
    tracing::warn!(kept = %kept.display(), "the store was recovered; the damaged one is kept");
    attempt(&places.store, options, sealer, Verify::Never)
}

/// Opens the store where it lies. Whatever sled cannot do with it counts as damage.
fn attempt(
    store: &Path,
    options: &SledOptions,
    sealer: &Arc<Sealer>,
    verify: Verify,
) -> Result<(Engine, Marker)> {
    let db = open_sled(store, options)?;
    let progress = Progress::open(&store.join(ACKNOWLEDGED), sealer)?;
    let acknowledged = progress.last();
    let engine =
        Engine::new(db, store, Arc::clone(sealer), options.files.clone(), options.rules(), progress)?;
    let found = engine.marker()?;
    if options.rules().check_marker {
        acknowledged.check(&found)?;
    }
    let unclean = engine.progress().last();
    let unclean = super::marker::Acknowledged { clean: false, ..unclean };
    engine.progress().write_durably(&engine.files, unclean)?;
    commit::finish_intent(&engine)?;
    let marker = engine.marker()?;
    chunks::clean_up(&engine, marker.next_chunk)?;
    engine.set_applied(&marker);
    engine.barrier(engine.ticket())?;
    if verify.now(acknowledged.clean) {
        read::verify(&engine)?;
    }
    Ok((engine, marker))
}

/// Ends the engine in order: everything durable, and noted as such.
pub(super) fn close(engine: Engine) -> Result<()> {
    let flushed = engine.barrier(engine.ticket()).and_then(|()| {
        let mut progress = engine.progress();
        let clean = super::marker::Acknowledged { clean: true, ..progress.last() };
        progress.write_durably(&engine.files, clean)
    });
    let dropped = guarded("closing the store", || {
        drop(engine);
        Ok(())
    });
    flushed.and(dropped.map_err(|(error, _)| error))
}

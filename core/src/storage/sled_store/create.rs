//! Making a sled store, and copies of one to try a recovery on.

use std::fs;
use std::path::Path;

use super::engine::{Engine, Failure, guarded};
use super::marker::{Acknowledged, Marker, Progress};
use super::{Rules, SledOptions};
use crate::storage::files::{copy_tree, entries, io_error};
use crate::storage::format::{ACKNOWLEDGED, Opening, Places, Unlocked};
use crate::{Error, Result};

/// The saved copy of sled's 62 bytes of configuration.
pub(super) const SAVED_CONF: &str = "conf-copy";

/// Opens sled as the rules ask: no flusher of its own, the default segment size, a divided cache.
pub(super) fn open_sled(store: &Path, options: &SledOptions) -> Result<sled::Db> {
    let config = sled::Config::new().path(store).cache_capacity(options.cache()).flush_every_ms(None);
    let mut tries = 0;
    loop {
        match guarded("opening the store", || config.open()) {
            Ok(db) => return Ok(db),
            // A database that was just closed lets go of its file a little later.
            Err((_, Failure::Locked)) if tries < 300 => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Err((error, Failure::Damage)) => return Err(Error::corrupt(error.message())),
            Err((error, _)) => return Err(error),
        }
    }
}

/// Finds the store's format, after creating the store or ending a recovery that was interrupted, if need be.
pub(super) fn find_or_create(
    places: &Places,
    options: &SledOptions,
    opening: &Opening<'_>,
) -> Result<Unlocked> {
    let files = &options.files;
    let fail = |error: std::io::Error| io_error("preparing the store's directory", &error);
    if !places.store.exists() && places.recovering.exists() && !places.damaged()?.is_empty() {
        files.rename(&places.recovering, &places.store).map_err(fail)?;
        files.sync_directory(&places.node).map_err(fail)?;
    }
    match places.find(opening)? {
        Some(unlocked) => {
            Places::remove_leftover(&places.recovering)?;
            Ok(unlocked)
        }
        None => create(places, options, opening),
    }
}

fn create(places: &Places, options: &SledOptions, opening: &Opening<'_>) -> Result<Unlocked> {
    let files = &options.files;
    let fail = |error: std::io::Error| io_error("creating the store", &error);
    let safe = options.rules().safe_creation;
    let at = if safe { &places.creating } else { &places.store };
    let unlocked = Unlocked::new(places, opening)?;
    let sealer = unlocked.sealer();
    fs::create_dir(at).map_err(fail)?;
    let db = open_sled(at, options)?;
    let progress = Progress::open(&at.join(ACKNOWLEDGED), &sealer)?;
    let engine = Engine::new(db, at, sealer, files.clone(), Rules::ALL, progress)?;
    let empty = Marker::default();
    engine.apply(&[engine.marker_op(&empty)?])?;
    engine.barrier(engine.ticket())?;
    let clean = Acknowledged { batch: 0, digest: empty.digest, clean: true };
    engine.progress().write(clean)?;
    guarded("closing the new store", || {
        drop(engine);
        Ok(())
    })
    .map_err(|(error, _)| error)?;
    fs::copy(at.join("conf"), at.join(SAVED_CONF)).map_err(fail)?;
    places.install(files, &unlocked.format, at, safe)?;
    Ok(unlocked)
}

/// A fresh copy of the store to try a recovery on, without sled's snapshots if so asked.
pub(super) fn copy_for_recovery(places: &Places, without_snapshots: bool, saved_conf: bool) -> Result<()> {
    let fail = |error: std::io::Error| io_error("copying the store to recover it", &error);
    Places::remove_leftover(&places.recovering)?;
    copy_tree(&places.store, &places.recovering).map_err(fail)?;
    if without_snapshots {
        for path in entries(&places.recovering, |name| name.starts_with("snap.")).map_err(fail)? {
            fs::remove_file(path).map_err(fail)?;
        }
    }
    if saved_conf {
        fs::copy(places.recovering.join(SAVED_CONF), places.recovering.join("conf")).map_err(fail)?;
    }
    Ok(())
}

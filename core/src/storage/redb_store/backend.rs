//! redb's file, with its syncs where the tests of power loss can see them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use redb::StorageBackend;
use redb::backends::FileBackend;

use crate::storage::files::{Files, io_error};
use crate::{Error, Result};

#[derive(Debug)]
pub(super) struct Backend {
    inner: FileBackend,
    file: File,
    path: PathBuf,
    files: Files,
    unsynced: Arc<OnceLock<Error>>,
}

impl Backend {
    /// A sync that fails is also put into `unsynced`: redb keeps it to itself when it closes.
    pub(super) fn open(
        path: &Path,
        create: bool,
        files: &Files,
        unsynced: &Arc<OnceLock<Error>>,
    ) -> Result<Self> {
        let fail = |error: io::Error| io_error("opening the store's file", &error);
        let file = OpenOptions::new().read(true).write(true).create_new(create).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::corrupt("the store's file is missing"),
            _ => fail(error),
        })?;
        let inner = FileBackend::new(file.try_clone().map_err(fail)?);
        let inner = inner.map_err(|error| Error::storage(format!("opening the store's file: {error}")))?;
        let unsynced = Arc::clone(unsynced);
        Ok(Self { inner, file, path: path.to_owned(), files: files.clone(), unsynced })
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.files.sync_file(&self.path, &self.file).inspect_err(|error| {
            // The first one is the one to tell.
            let _ = self.unsynced.set(io_error("syncing the store's file", error));
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}

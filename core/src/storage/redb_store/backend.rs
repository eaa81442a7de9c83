//! redb's file, with its syncs where the tests of power loss can see them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

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
}

impl Backend {
    pub(super) fn open(path: &Path, create: bool, files: &Files) -> Result<Self> {
        let fail = |error: io::Error| io_error("opening the store's file", &error);
        let file = OpenOptions::new().read(true).write(true).create_new(create).open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::corrupt("the store's file is missing"),
            _ => fail(error),
        })?;
        let inner = FileBackend::new(file.try_clone().map_err(fail)?);
        let inner = inner.map_err(|error| Error::storage(format!("opening the store's file: {error}")))?;
        Ok(Self { inner, file, path: path.to_owned(), files: files.clone() })
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
        self.files.sync_file(&self.path, &self.file)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}

//! The few file operations that durability hangs on, in one place, so that tests can watch them and make them fail.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Error, ErrorKind};

/// Something that is about to be done to a file or directory.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "only the observers in tests look at the paths"))]
pub(crate) enum Event<'a> {
    /// The file's content is made durable.
    SyncFile(&'a Path),
    /// The directory's entries are made durable.
    SyncDirectory(&'a Path),
    /// An entry gets another name.
    Rename,
    /// A file is written anew, or a part of it.
    Write,
}

/// Sees every event before it happens; with an error it does not happen.
pub(crate) trait Observer: Send + Sync {
    fn before(&self, event: Event<'_>) -> io::Result<()>;

    /// What to report as free space instead of the truth.
    fn free_space(&self) -> Option<u64> {
        None
    }
}

/// The operations. Without an observer they just happen.
#[derive(Clone, Default)]
pub(crate) struct Files {
    observer: Option<Arc<dyn Observer>>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.observer.is_some() { "Files(observed)" } else { "Files" })
    }
}

impl Files {
    #[cfg(test)]
    pub(crate) fn observed(observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer) }
    }

    fn announce(&self, event: Event<'_>) -> io::Result<()> {
        self.observer.as_ref().map_or(Ok(()), |observer| observer.before(event))
    }

    /// Makes the content durable, and what is needed to find it, such as the length: not the time of the last change, which
    /// would be a write of its own.
    pub(crate) fn sync_file(&self, path: &Path, file: &File) -> io::Result<()> {
        self.announce(Event::SyncFile(path))?;
        file.sync_data()
    }

    /// Makes creations, renames and removals in the directory durable. Windows cannot open directories, and writes
    /// its journal in order.
    pub(crate) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.announce(Event::SyncDirectory(path))?;
        if cfg!(windows) { Ok(()) } else { File::open(path)?.sync_all() }
    }

    /// Makes the entry of a directory durable, and those of all directories above it, as far as the path goes: any of them may
    /// have been made with it, or by a process that died before it could sync.
    pub(crate) fn sync_above(&self, directory: &Path) -> io::Result<()> {
        self.sync_directory(parent(directory))?;
        for above in parent(directory).ancestors().skip(1) {
            let above = if above == Path::new("") { Path::new(".") } else { above };
            match self.sync_directory(above) {
                // Not ours to make entries in, so none of them is ours.
                Err(error) if is_foreign(&error) => return Ok(()),
                other => other?,
            }
        }
        Ok(())
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.announce(Event::Rename)?;
        fs::rename(from, to)
    }

    /// Writes the whole file, in place and not durably.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.announce(Event::Write)?;
        OpenOptions::new().write(true).create(true).truncate(true).open(path)?.write_all(bytes)
    }

    /// Writes a part of an open file, not durably.
    pub(crate) fn write_at(&self, file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.announce(Event::Write)?;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)
    }

    /// As [`Self::replace`], and the file is its owner's only from the beginning.
    pub(crate) fn replace_private(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let new = path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.announce(Event::Write)?;
        private().open(&new)?.write_all(bytes)?;
        self.put_in_place(&new, path)
    }

    /// Makes the file hold these bytes, durably; after a crash it has either the old content or the new one.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let new = path.with_extension("new");
        self.write(&new, bytes)?;
        self.put_in_place(&new, path)
    }

    fn put_in_place(&self, new: &Path, path: &Path) -> io::Result<()> {
        self.sync_file(new, &OpenOptions::new().write(true).open(new)?)?;
        self.rename(new, path)?;
        self.sync_directory(parent(path))
    }

    /// Makes everything below a directory durable: its files, its directories, itself.
    pub(crate) fn sync_tree(&self, directory: &Path) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.sync_tree(&entry.path())?;
            } else {
                self.sync_file(&entry.path(), &OpenOptions::new().write(true).open(entry.path())?)?;
            }
        }
        self.sync_directory(directory)
    }

    /// How many bytes may still be written where this path lies.
    pub(crate) fn free_space(&self, path: &Path) -> io::Result<u64> {
        if let Some(free) = self.observer.as_ref().and_then(|observer| observer.free_space()) {
            return Ok(free);
        }
        free_space(path)
    }
}

/// For a new file that only its owner reads. Elsewhere the directory's rights have to do.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn free_space(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Where the system does not tell, a write that fails tells.
#[cfg(not(unix))]
fn free_space(_path: &Path) -> io::Result<u64> {
    Ok(u64::MAX)
}

/// A directory that this process may not open, or that cannot be synced.
fn is_foreign(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | InvalidInput | Unsupported)
}

/// The directory of an entry; every path that is asked for here has one.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The content, or `None` if there is no such file. Longer than `most` is an error, before memory is taken for it.
pub(crate) fn read_at_most(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is longer than it can be"));
    }
    Ok(Some(bytes))
}

/// Copies a directory with everything below it.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The paths in a directory whose names pass.
pub(crate) fn entries(directory: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&wanted) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// An error of the system while doing something, as Kith's.
pub(crate) fn io_error(doing: &str, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::Storage,
    };
    Error::new(kind, format!("{doing}: {error}"))
}

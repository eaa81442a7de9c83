//! One process, and one opener in it, for each directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::files::io_error;
use crate::{Error, Result};

/// The file in the directory that is locked, and that holds the process id of who locked it.
const NAME: &str = "lock";

/// Keeps everybody else out of a directory while it lives. The system releases it when the process dies, however it
/// dies. The file stays: removing it would let two openers lock two different files.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Takes the lock, creating the directory if need be. [`crate::ErrorKind::Busy`] at once, naming the process, if
    /// anybody has it: also this very process.
    pub fn acquire(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).map_err(|error| io_error("creating the directory", &error))?;
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(directory.join(NAME));
        let mut file = file.map_err(|error| io_error("opening the lock file", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy(file)),
            Err(TryLockError::Error(error)) => return Err(io_error("locking the directory", &error)),
        }
        let named = file.set_len(0).and_then(|()| file.rewind());
        let named = named.and_then(|()| writeln!(file, "{}", std::process::id()));
        named.map_err(|error| io_error("writing the lock file", &error))?;
        Ok(Self { file })
    }

    /// Takes the lock of a directory that a node has used, and changes nothing there: nobody is named in the file.
    /// [`crate::ErrorKind::NotFound`] if no node ever had the directory, [`crate::ErrorKind::Busy`] if one has it now.
    pub fn hold(directory: &Path) -> Result<Self> {
        let file = File::open(directory.join(NAME)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::new(
                crate::ErrorKind::NotFound,
                format!("no node was ever opened in {}", directory.display()),
            ),
            _ => io_error("opening the lock file", &error),
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(busy(file)),
            Err(TryLockError::Error(error)) => Err(io_error("locking the directory", &error)),
        }
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // The name is a courtesy to others and the lock ends with the handle: neither failure matters. Through the handle of
        // `hold` nothing can be written.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

/// The holder writes its id right after locking: an empty file is read again for a moment.
fn busy(mut file: File) -> Error {
    for _ in 0..20 {
        let mut text = String::new();
        let read = file.rewind().and_then(|()| (&mut file).take(32).read_to_string(&mut text));
        if let (Ok(_), Ok(holder)) = (read, text.trim().parse::<u32>()) {
            let whose = if holder == std::process::id() { ", which is this one" } else { "" };
            return Error::busy(format!("the directory is in use by process {holder}{whose}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Error::busy("the directory is in use by a process that has not said which it is")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn the_second_in_the_same_process_is_busy_until_the_first_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new").join("node");
        let first = DirectoryLock::acquire(&path).unwrap();
        let refused = DirectoryLock::acquire(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Busy);
        assert!(refused.message().contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        drop(DirectoryLock::acquire(&path).unwrap());
    }

    #[test]
    fn holding_keeps_others_out_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(DirectoryLock::hold(directory.path()).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!directory.path().join(NAME).exists());
        fs::write(directory.path().join(NAME), "what a dead process left").unwrap();
        let held = DirectoryLock::hold(directory.path()).unwrap();
        assert_eq!(DirectoryLock::hold(directory.path()).unwrap_err().kind(), ErrorKind::Busy);
        drop(held);
        assert_eq!(fs::read_to_string(directory.path().join(NAME)).unwrap(), "what a dead process left");
        let taken = DirectoryLock::acquire(directory.path()).unwrap();
        assert_eq!(DirectoryLock::hold(directory.path()).unwrap_err().kind(), ErrorKind::Busy);
        drop(taken);
    }

    #[test]
    fn what_a_dead_process_left_in_the_file_does_not_matter() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(NAME), "4294967295 and some rubbish that is much longer than an id")
            .unwrap();
        let _lock = DirectoryLock::acquire(directory.path()).unwrap();
        let text = fs::read_to_string(directory.path().join(NAME)).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }
}

//! What directories and contexts are sealed under.

use std::path::PathBuf;

use kith_core::node::{self, Encryption};
use kith_core::storage::{self, ImportOptions};
use kith_core::{Error, Result as CoreResult};
use tokio::sync::oneshot;

use crate::gate::Gated;
use crate::{Bytes, Failure};

/// What a directory, or an export, is sealed under.
#[derive(Clone, uniffi::Enum)]
pub enum StorageKey {
    /// 32 bytes, which the host keeps.
    Key {
        /// They.
        bytes: Bytes,
    },
    /// From which the key is worked out.
    Passphrase {
        /// 1 to 1,024 bytes.
        text: String,
    },
}

impl StorageKey {
    pub(crate) fn build(self) -> CoreResult<storage::StorageKey> {
        match self {
            Self::Passphrase { text } => storage::StorageKey::from_passphrase(&text),
            Self::Key { bytes: Bytes(bytes) } => {
                let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| {
                    Error::invalid_argument(format!("a storage key has 32 bytes, not {}", bytes.len()))
                });
                key.map(storage::StorageKey::new)
            }
        }
    }
}

/// What was exported or imported.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct Exported {
    pub records: u64,
    pub bytes: u64,
    pub moved: bool,
}

impl From<storage::Exported> for Exported {
    fn from(done: storage::Exported) -> Self {
        Self { records: done.records, bytes: done.bytes, moved: done.moved }
    }
}

/// Makes a node's directory of an export.
#[uniffi::export]
pub async fn import_node(
    from: String,
    export_key: StorageKey,
    path: String,
    storage: String,
    storage_key: Option<StorageKey>,
    adopt: bool,
) -> Result<Exported, Failure> {
    let (from, path, export_key) = (PathBuf::from(from), PathBuf::from(path), export_key.build()?);
    let mut options = ImportOptions::default();
    options.engine = storage.parse()?;
    options.key = storage_key.map(StorageKey::build).transpose()?;
    options.adopt = adopt;
    let import = move || storage::import(&from, &export_key, &path, &options);
    Ok(on_a_thread("kith-import", import).await?.into())
}

/// Says that a directory is the only one that signs.
#[uniffi::export]
pub async fn adopt_node(path: String, storage_key: Option<StorageKey>) -> Result<(), Failure> {
    let (path, key) = (PathBuf::from(path), storage_key.map(StorageKey::build).transpose()?);
    Ok(on_a_thread("kith-adopt", move || storage::adopt(&path, key)).await?)
}

/// Does what blocks without a node on a thread of its own. It goes on if the host waits no longer.
async fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> CoreResult<T> + Send + 'static,
) -> CoreResult<T> {
    let (sender, done) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
        // Nobody waits any more: there is nobody to be told.
        let _ = sender.send(work());
    });
    thread.map_err(|error| Error::internal(format!("the thread {name} does not start: {error}")))?;
    let ended = done.gated().await;
    ended.unwrap_or_else(|_| Err(Error::internal(format!("the thread {name} ended without an answer"))))
}

/// "off", "x25519" or "xwing".
pub(crate) fn encryption(name: &str) -> CoreResult<Encryption> {
    match name {
        "off" => Ok(Encryption::Off),
        "x25519" => Ok(Encryption::X25519),
        "xwing" => Ok(Encryption::XWing),
        other => {
            let message = format!("`{other}` is no encryption: off, x25519 or xwing");
            Err(Error::invalid_argument(message))
        }
    }
}

/// How it stands with a context's keys.
#[derive(Clone, Debug, uniffi::Record)]
pub struct ContextSecurity {
    /// The number of the suite: 0, 1 or 2, in the order of `encryption`.
    pub suite: u8,
    /// The transaction that made the epoch: 32 bytes.
    pub epoch: Option<Bytes>,
    /// ms.
    pub age: u64,
    /// How many members have the epoch's keys.
    pub members_able: u64,
    /// How many members there are.
    pub members: u64,
    /// Why new keys are to be made.
    pub pending: Option<String>,
    /// Calls under keys that were not to be used.
    pub violations: u64,
    /// Calls that are not opened here.
    pub unopened: u64,
}

impl From<node::ContextSecurity> for ContextSecurity {
    fn from(security: node::ContextSecurity) -> Self {
        Self {
            suite: security.suite,
            epoch: security.epoch.map(|epoch| Bytes(epoch.0.to_vec())),
            age: security.age,
            members_able: security.members_able as u64,
            members: security.members as u64,
            pending: security.pending,
            violations: security.violations,
            unopened: security.unopened,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kith_core::ErrorKind;

    #[test]
    fn every_suite_has_its_name_and_others_have_none() {
        for (suite, name) in ["off", "x25519", "xwing"].into_iter().enumerate() {
            assert_eq!(usize::from(encryption(name).unwrap().suite()), suite);
        }
        assert_eq!(encryption("rot13").unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

//! What a node's directory holds, looked at without the node: for `kith-inspect`. Nothing here is promised to stay.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use super::rows::{Row, list_key, open_store};
use crate::network::PeerId;
use crate::node::options::Options;
use crate::replica::{ContextId, MemberId};
use crate::storage::{DirectoryLock, Keyspace, StorageKey, Store, context_key, copy_tree, io_error};
use crate::{Error, ErrorKind, Result};

/// A copy of a node's directory, opened.
pub struct Inspection {
    store: Arc<dyn Store>,
}

impl std::fmt::Debug for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inspection")
    }
}

/// A context in the store's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: ContextId,
    /// Its number in the store.
    pub number: u32,
    /// How this node stands to it.
    pub stage: Stage,
    /// The member that this node is there.
    pub member: Option<MemberId>,
}

/// How a node stands to a context in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Stage {
    Member,
    Joining,
    /// It has left, and waits for somebody to hear of it.
    Leaving,
    /// Its rows are being deleted.
    Deleted,
}

impl Inspection {
    /// Copies the directory of a node that is not running to an empty one, and opens the copy, since engines write as they open: the directory
    /// itself stays as it is, to the byte. Without a key the key file beside the store has to be there. [`ErrorKind::Busy`] if a node is running
    /// there, [`ErrorKind::NotFound`] if none ever was, [`ErrorKind::KeyRequired`] if another key is needed.
    pub fn of_copy(directory: &Path, empty: &Path, key: Option<StorageKey>) -> Result<Self> {
        {
            let _held = DirectoryLock::hold(directory)?;
            let copied = fs::read_dir(directory).and_then(|entries| {
                for entry in entries {
                    let entry = entry?;
                    let name = entry.file_name();
                    // Stores that a recovery has replaced are the owner's; nothing that is looked at here is in them.
                    let set_aside = name.to_str().is_some_and(|n| {
                        n.starts_with("store.damaged.") || n.starts_with("store.unfinished.")
                    });
                    if entry.file_type()?.is_dir() && !set_aside {
                        copy_tree(&entry.path(), &empty.join(name))?;
                    } else if entry.file_type()?.is_file() {
                        fs::copy(entry.path(), empty.join(name))?;
                    }
                }
                Ok(())
            });
            copied.map_err(|error| io_error("copying the directory", &error))?;
        }
        let options = Options { path: Some(empty.into()), storage_key: key, ..Options::default() };
        let (store, _) = open_store(&options)?;
        let inspection = Self { store };
        if inspection.store.snapshot()?.scan(Keyspace::Keys, &[], None, false, 1)?.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "no node was ever opened in this directory"));
        }
        Ok(inspection)
    }

    /// The copy's store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The node's peer id.
    pub fn peer(&self) -> Result<Option<PeerId>> {
        Ok(secret(&*self.store, 0, b"node")?.map(|secret| PeerId::of_identity(&secret)))
    }

    /// How many peers the node remembers.
    pub fn peers(&self) -> Result<usize> {
        Ok(self.store.snapshot()?.scan(Keyspace::Peers, &[], None, false, usize::MAX)?.len())
    }

    /// The contexts in the store's list, by id.
    pub fn contexts(&self) -> Result<Vec<Held>> {
        let from = context_key(0, b"context/");
        let to = context_key(0, b"context0");
        let rows = self.store.snapshot()?.scan(Keyspace::Meta, &from, Some(&to), false, usize::MAX)?;
        let mut contexts = Vec::new();
        for (key, row) in rows {
            let id = ContextId::from_slice(&key[from.len()..])?;
            debug_assert_eq!(key, list_key(&id));
            let row: Row =
                borsh::from_slice(&row).map_err(|_| Error::corrupt("a context's entry does not decode"))?;
            let stage = match &row {
                Row { deleted: true, .. } => Stage::Deleted,
                Row { left: Some(_), .. } => Stage::Leaving,
                Row { invitation: Some(_), .. } => Stage::Joining,
                _ => Stage::Member,
            };
            let member = secret(&*self.store, row.number, b"member")?
                .map(|secret| MemberId(SigningKey::from_bytes(&secret).verifying_key().to_bytes()));
            contexts.push(Held { id, number: row.number, stage, member });
        }
        Ok(contexts)
    }
}

impl Drop for Inspection {
    fn drop(&mut self) {
        // It is a copy: nothing is lost with it.
        let _ = self.store.close();
    }
}

/// A private key; only public halves of it leave this module.
fn secret(store: &dyn Store, number: u32, name: &[u8]) -> Result<Option<Zeroizing<[u8; 32]>>> {
    let row = store.snapshot()?.get(Keyspace::Keys, &context_key(number, name))?.map(Zeroizing::new);
    let Some(row) = row else { return Ok(None) };
    let secret = <[u8; 32]>::try_from(row.as_slice());
    Ok(Some(Zeroizing::new(secret.map_err(|_| Error::corrupt("a key has another length"))?)))
}

//! The engines, behind one way to open them; and sled as it comes, which the model has to find bad.

use std::path::Path;
use std::time::{Duration, Instant};

use kith_core::storage::{
    Batch, Durability, Keyspace, RedbOptions, RedbStore, SledOptions, SledStore, Snapshot, Store, Verify,
};
use kith_core::{Error, Result};
use sled::transaction::{ConflictableTransactionResult, Transactional as _, TransactionalTree};

use super::workload::SPACES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sled,
    Redb,
    /// sled without any of the rules: the control.
    BareSled,
}

impl Engine {
    /// Those that Kith offers.
    pub const OFFERED: &[Self] = &[Self::Sled, Self::Redb];
    const ALL: &[Self] = &[Self::Sled, Self::Redb, Self::BareSled];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
            Self::BareSled => "bare-sled",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|engine| engine.name() == name)
    }

    /// As a host opens it.
    pub fn open(self, directory: &Path) -> Result<Box<dyn Store>> {
        self.open_with(directory, Verify::AfterCrash)
    }

    pub fn open_with(self, directory: &Path, verify: Verify) -> Result<Box<dyn Store>> {
        match self {
            Self::Sled => {
                let mut options = SledOptions::default();
                options.verify = verify;
                Ok(Box::new(SledStore::open(directory, options)?))
            }
            Self::Redb => {
                let mut options = RedbOptions::default();
                options.verify = verify;
                Ok(Box::new(RedbStore::open(directory, options)?))
            }
            Self::BareSled => Ok(Box::new(BareSled::open(directory)?)),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

struct BareSled {
    db: sled::Db,
    trees: Vec<sled::Tree>,
}

fn told(error: impl std::fmt::Display) -> Error {
    Error::storage(error.to_string())
}

impl BareSled {
    fn open(directory: &Path) -> Result<Self> {
        // What it loses is to be its own doing, so this is done for it.
        std::fs::create_dir_all(directory).map_err(told)?;
        for made in directory.ancestors().take(3) {
            std::fs::File::open(made).and_then(|made| made.sync_all()).map_err(told)?;
        }
        // One that was just closed lets go of its file a little later.
        let began = Instant::now();
        let db = loop {
            match sled::open(directory) {
                Err(error)
                    if error.to_string().contains("could not acquire lock") && began.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => break other.map_err(told)?,
            }
        };
        let trees = SPACES.iter().map(|space| db.open_tree(space.name()).map_err(told));
        Ok(Self { trees: trees.collect::<Result<_>>()?, db })
    }

    fn tree(&self, keyspace: Keyspace) -> usize {
        SPACES.iter().position(|space| *space == keyspace).unwrap()
    }
}

impl Snapshot for &BareSled {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.trees[self.tree(keyspace)].get(key).map_err(told)?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        _from: &[u8],
        _to: Option<&[u8]>,
        _reverse: bool,
        _limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let entries = self.trees[self.tree(keyspace)].iter();
        entries.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(told)).collect()
    }
}

impl Store for BareSled {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        Ok(Box::new(self))
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<()> {
        let replay = |views: &Vec<TransactionalTree>| -> ConflictableTransactionResult<(), ()> {
            for write in &batch.writes {
                let view = &views[self.tree(write.keyspace)];
                match &write.value {
                    Some(value) => view.insert(write.key.as_slice(), value.as_slice())?,
                    None => view.remove(write.key.as_slice())?,
                };
            }
            Ok(())
        };
        let trees: Vec<&sled::Tree> = self.trees.iter().collect();
        trees.as_slice().transaction(replay).map_err(|error| told(format!("{error:?}")))?;
        if durability == Durability::Power {
            self.db.flush().map_err(told)?;
        }
        Ok(())
    }

    fn close(&self) -> Result<()> {
        self.db.flush().map(drop).map_err(told)
    }
}

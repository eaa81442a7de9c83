//! The names of the engines.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// An engine that keeps a store in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EngineName {
    /// sled 0.34.
    Sled,
    /// redb 4.
    Redb,
}

impl EngineName {
    /// What a new directory is made with where the host does not say. Why: `docs/storage.md`.
    pub const DEFAULT: Self = Self::Redb;
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        })
    }
}

/// Which engine a node's directory is opened with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StorageEngine {
    /// The directory's own; a new one is made with [`EngineName::DEFAULT`].
    #[default]
    Auto,
    /// [`EngineName::Sled`]; a directory of another engine is [`crate::ErrorKind::InvalidArgument`].
    Sled,
    /// [`EngineName::Redb`]; a directory of another engine is [`crate::ErrorKind::InvalidArgument`].
    Redb,
}

impl fmt::Display for StorageEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Sled => "sled",
            Self::Redb => "redb",
        })
    }
}

impl FromStr for StorageEngine {
    type Err = Error;

    /// `auto`, `sled` or `redb`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "sled" => Ok(Self::Sled),
            "redb" => Ok(Self::Redb),
            _ => Err(Error::invalid_argument(format!(
                "`{}` is no storage engine: auto, sled or redb",
                text.chars().take(32).collect::<String>().escape_debug()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [EngineName::Sled, EngineName::Redb] {
            let read: StorageEngine = name.to_string().parse().unwrap();
            assert_eq!(format!("{read:?}").to_lowercase(), name.to_string());
        }
        assert_eq!("auto".parse::<StorageEngine>().unwrap(), StorageEngine::Auto);
        for wrong in ["", "Sled", "rocksdb", &"x".repeat(9999)] {
            let error = wrong.parse::<StorageEngine>().unwrap_err();
            assert!(error.message().len() < 100);
        }
    }
}

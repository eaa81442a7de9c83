//! How the replica reads what is kept, without knowing who keeps it.

use crate::Result;

/// The replica's tables. Keys and values are laid out in `tables.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Facts of the context: heads, counters, the running commitment.
    Meta = 0,
    /// author | sequence | id → transaction.
    Transactions,
    /// id → author | sequence.
    Ids,
    /// place → kind, receipt and effects.
    Order,
    /// key | place → value, but for the latest one.
    Versions,
    /// key → place and value of the latest version.
    State,
    /// key or range | place → reader.
    Readers,
    /// Keys of the encryption; the replica itself does not look at them.
    Keys,
}

impl Table {
    /// Every table, in order.
    pub const ALL: [Table; 8] = [
        Self::Meta,
        Self::Transactions,
        Self::Ids,
        Self::Order,
        Self::Versions,
        Self::State,
        Self::Readers,
        Self::Keys,
    ];
}

/// Ordered tables of bytes, read at one moment.
pub trait StateRead {
    /// The value under a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// At most `limit` entries with `from <= key < to` in key order, or backwards from `to` if `reverse`.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;
}

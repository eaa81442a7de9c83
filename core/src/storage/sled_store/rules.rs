//! The rules that make sled safe, as switches, so that a test can show what each is for.

/// One field for each rule; all on, but in tests of the rules themselves (cargo feature `fault-switches`).
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct Rules {
    /// Rule 1: a lock file of our own, which names who holds the directory.
    pub own_lock: bool,
    /// Rule 1: a flush timer of our own.
    pub flush_timer: bool,
    /// Rule 2: sync the `db` file after each flush.
    pub sync_after_flush: bool,
    /// Rule 3: create in a temporary directory, sync everything, rename.
    pub safe_creation: bool,
    /// Rule 4: values over 4,000 bytes in chunks.
    pub chunks: bool,
    /// Rule 5: a barrier at least every 64 KiB of payload.
    pub barriers: bool,
    /// Hand what is acknowledged to the system, also where it need not survive a loss of power.
    pub write_out: bool,
    /// Rule 5: one transaction for a batch, and an intent for one that is larger than the barrier allows.
    pub one_transaction: bool,
    /// Rule 5: snapshots keep commits out.
    pub snapshot_lock: bool,
    /// Rule 6: delete `*.generating` before opening.
    pub delete_generating: bool,
    /// Rule 6: look for free space before opening and before each commit.
    pub check_space: bool,
    /// Rule 6: try without `snap.*` and with the saved `conf` when the store does not open.
    pub recover: bool,
    /// Rule 7: hand sled a fifth of the memory that may be used.
    pub divide_cache: bool,
    /// For every engine: seal the records of a new store. Without it they have checksums only, and no names are hidden.
    pub seal: bool,
    /// For every engine: verify the checksum of each record that is read, of those that are not sealed.
    pub verify_records: bool,
    /// For every engine: compare the marker with what was acknowledged.
    pub check_marker: bool,
    /// For every engine: nothing works after a failed sync or a panic.
    pub poison: bool,
}

impl Rules {
    /// All rules, as they always are outside of those tests.
    pub const ALL: Rules = Rules {
        own_lock: true,
        flush_timer: true,
        sync_after_flush: true,
        safe_creation: true,
        chunks: true,
        barriers: true,
        write_out: true,
        one_transaction: true,
        snapshot_lock: true,
        delete_generating: true,
        check_space: true,
        recover: true,
        divide_cache: true,
        seal: true,
        verify_records: true,
        check_marker: true,
        poison: true,
    };
}

impl Default for Rules {
    fn default() -> Self {
        Self::ALL
    }
}

//! What a session keeps for later, each beside its limit, so that whoever drives sessions can see that nothing grows beyond it.

use super::session::Session;

/// Something that is kept, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Kept {
    pub what: &'static str,
    pub count: usize,
    pub most: usize,
}

impl Kept {
    pub(crate) const fn new(what: &'static str, count: usize, most: usize) -> Self {
        Self { what, count, most }
    }
}

impl Session {
    /// See the module.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        let mut all = Vec::new();
        self.add_kept(&mut all);
        all
    }

    pub(crate) fn add_kept(&self, all: &mut Vec<Kept>) {
        all.extend(self.live.kept());
        all.extend(self.outgoing.kept());
        all.extend(self.incoming.kept());
        all.extend(self.shares.kept());
        all.extend(self.wraps.kept());
        all.extend(self.rounds.kept());
        all.extend(self.handshake.kept());
    }
}

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

    /// Says what is kept. Of what is empty there is nothing to say: no limit is so low.
    pub(super) fn note(all: &mut Vec<Self>, what: &'static str, count: usize, most: usize) {
        if count > 0 {
            all.push(Self::new(what, count, most));
        }
    }
}

impl Session {
    /// See the module.
    pub(crate) fn add_kept(&self, all: &mut Vec<Kept>) {
        self.live.kept(all);
        self.outgoing.kept(all);
        self.incoming.kept(all);
        self.shares.kept(all);
        self.wraps.kept(all);
        self.rounds.kept(all);
        self.handshake.kept(all);
    }
}

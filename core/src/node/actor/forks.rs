//! Publishing the proof when a member has signed two histories.

use super::Actor;
use super::stage::Stage;
use crate::replica::payload::Fork;
use crate::replica::{Payload, View};
use crate::sync::signed_run;
use crate::{ErrorKind, Result, limits};

impl Actor {
    /// Writes a `Fork` for each member whose equivocation has come to light, unless somebody else's counts already.
    pub(super) fn stage_forks(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        let me = self.start.shared.me;
        for (member, (one, other)) in std::mem::take(&mut stage.forks) {
            let mute = self.replica.member(&me).is_none() || self.start.frozen.is_some() || self.leaving;
            if mute || member == me || self.replica.is_removed(&member) {
                continue;
            }
            let held = self.held(view);
            let (Some(one), Some(other)) = (signed_run(&held, &one)?, signed_run(&held, &other)?) else {
                continue;
            };
            let mut last = self.replica.tips_of(&member);
            last.truncate(limits::TIPS);
            match self.write(Payload::Fork(Fork { member, one, other, last }), view, stage) {
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Storage | ErrorKind::Corrupt) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%member, %error, "an equivocation could not be proved to the others")
                }
            }
        }
        Ok(())
    }
}

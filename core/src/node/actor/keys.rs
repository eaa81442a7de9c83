//! What a context's thread does about keys: new ones before they are needed, what peers share, and what is to be told.

use super::Actor;
use super::stage::Stage;
use crate::encryption::rules::Rotate;
use crate::keyring::{Keeper, Prepared};
use crate::node::events::Event;
use crate::node::info::ContextSecurity;
use crate::replica::{Rejection, Role, StateRead, TableWrite, View};
use crate::storage::{Batch, ContextTables, Durability, add_writes};
use crate::{Error, ErrorKind, Result};

/// How many transactions a call may take before it, at most: a new key, and an epoch.
const STEPS: usize = 4;

impl Actor {
    /// A joiner's first keys are there before it asks to be added.
    pub(super) fn make_first_keys(&self) -> Result<()> {
        let Some(invitation) = &self.start.invitation else { return Ok(()) };
        let shared = &self.start.shared;
        let there = {
            let snapshot = self.start.store.snapshot()?;
            let tables = ContextTables::new(&*snapshot, shared.number);
            invitation.suite == 0 || Keeper::has_keys(&tables)?
        };
        if there {
            return Ok(());
        }
        let entropy = self.start.surroundings.random()?;
        let (_, writes) = Keeper::first_keys(invitation.suite, shared.id, shared.me, entropy)?;
        let mut batch = Batch::default();
        add_writes(&mut batch, shared.number, writes);
        self.start.store.commit(&batch, Durability::Power)
    }

    /// Before a call: writes what it takes for it to be sealed as the rules say.
    pub(super) fn prepare_keys(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        if self.replica.suite() == 0 {
            return Ok(());
        }
        // Who may not write needs no keys for it.
        match self.replica.member(&self.start.shared.me).map(|facts| facts.role) {
            None => return Err(Rejection::NotMember.into()),
            Some(Role::Reader) => return Err(Rejection::NotPermitted.into()),
            Some(_) => {}
        }
        self.make_keys(view, stage)
    }

    fn make_keys(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        for _ in 0..STEPS {
            let entropy = || self.start.surroundings.random();
            match self.keeper.prepare(&self.replica.everything(view), entropy)? {
                Prepared::Ready => return Ok(()),
                Prepared::Write(payload) => drop(self.author(*payload, view, stage)?),
            }
        }
        Err(Error::internal("no keys that were made can be used"))
    }

    pub(super) fn rotate_keys(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        self.may_write()?;
        if self.replica.suite() == 0 {
            return Err(Error::unsupported("payloads of this context are not sealed"));
        }
        if self.replica.member(&self.start.shared.me).is_none() {
            return Err(Rejection::NotMember.into());
        }
        let entropy = self.start.surroundings.random()?;
        let refresh = self.keeper.draft_refresh(&self.replica.everything(view), entropy)?;
        self.author(refresh, view, stage)?;
        // After it: what it notes of its time is to stay.
        let asked: Vec<TableWrite> = self.keeper.ask(view)?;
        view.apply(asked);
        self.make_keys(view, stage)
    }

    /// Whether this member was away for days, and has what a peer has by now: so it knows whether it may sign.
    pub(super) fn is_waking(&self) -> bool {
        let in_step = self.sessions.values().any(|connected| connected.session.status().equal);
        let busy = !self.room.is_empty() || !self.left_over.is_empty();
        self.keeper.slept && in_step && !busy && self.may_write().is_ok()
    }

    /// Then it replaces its own key, though it has nothing to say: a copy of its device from before opens nothing that is sealed from the next epoch on.
    pub(super) fn stage_waking(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        if !self.is_waking() || stage.freeze.is_some() {
            return Ok(());
        }
        if !self.keeper.has_slept(&self.replica.everything(view))? {
            return Ok(());
        }
        let entropy = self.start.surroundings.random()?;
        let refresh = self.keeper.draft_refresh(&self.replica.everything(view), entropy)?;
        match self.author(refresh, view, stage) {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::Storage | ErrorKind::Corrupt) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "a key could not be replaced");
                Ok(())
            }
        }
    }

    /// Takes what peers share of what is not opened here, and what they complain of.
    pub(super) fn stage_shares(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        for member in std::mem::take(&mut stage.complaints) {
            view.apply(self.keeper.restart(member));
        }
        let shares = std::mem::take(&mut stage.shares);
        if !shares.is_empty() {
            let application = self.application();
            let mut step = self.replica.open_late(view, shares, application.as_deref())?;
            view.apply(std::mem::take(&mut step.writes));
            for id in &step.opened {
                let Some(opened) = self.replica.transaction(view, id)? else { continue };
                let passed = self.keeper.pass(&self.replica, view, &opened.header)?;
                view.apply(passed);
            }
            stage.opened.append(&mut step.opened);
            stage.absorb(step, &self.start.shared.me);
        }
        Ok(())
    }

    /// Forgets what need not be kept, if anything is written at all, and says what went wrong with keys.
    pub(super) fn tidy_keys(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        if view.size() > 0 {
            let writes = self.keeper.tidy(&self.replica.everything(view))?;
            view.apply(writes);
        }
        for (transaction, member, trouble) in std::mem::take(&mut self.keeper.troubles) {
            tracing::warn!(%transaction, %member, %trouble, "keys or a message cannot be opened");
            stage.events.push(Event::KeyTrouble { member, transaction, what: trouble.advice() });
        }
        Ok(())
    }

    /// Once the batch is durable: sessions hear what is opened, and members whose keys cannot be used hear that.
    pub(super) fn tell_of_keys(&mut self, tables: &ContextTables<'_>, stage: &mut Stage) -> Result<()> {
        let opened = std::mem::take(&mut stage.opened);
        if std::mem::take(&mut stage.heard_shares) || !opened.is_empty() {
            let links: Vec<_> = self.sessions.keys().copied().collect();
            for link in links {
                self.with_session(link, None, tables, stage, |session, held, now| {
                    session.opened(&opened, held, now)
                })?;
            }
        }
        if !self.keeper.complaints.is_empty() {
            let concerned = |member| self.keeper.complaints.contains(&member);
            let links: Vec<_> = self.members().filter(|(_, member)| concerned(*member)).collect();
            for (link, member) in links {
                self.keeper.complaints.remove(&member);
                self.with_session(link, None, tables, stage, |session, held, now| {
                    session.complain(held, now)
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn security(&mut self, tables: &dyn StateRead) -> Result<ContextSecurity> {
        let standing = self.keeper.standing(&self.replica.everything(tables))?;
        Ok(ContextSecurity {
            suite: self.replica.suite(),
            epoch: standing.epoch,
            age: standing.age,
            members_able: standing.able,
            members: self.replica.members().count(),
            pending: standing.pending.map(|why| describe(why).into()),
            violations: self.replica.violations(),
            unopened: self.replica.unopened(),
        })
    }
}

/// Why there is a new epoch before the next call.
const fn describe(why: Rotate) -> &'static str {
    match why {
        Rotate::NoneFits => "there is no epoch under which this member may send",
        Rotate::Messages => "as many messages as there may be were sent in the epoch",
        Rotate::Age => "the epoch is old",
        Rotate::Asked => "it was asked for",
        Rotate::LockedOut => "this member has no keys of the epoch",
        Rotate::Joined => "somebody has joined",
    }
}

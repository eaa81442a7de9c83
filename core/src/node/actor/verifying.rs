//! Checks of a context's tables, a slice a round.

use super::Actor;
use crate::application::Application;
use crate::node::command::Reply;
use crate::replica::{Verification, Verifier};
use crate::storage::ContextTables;
use crate::{Error, Result};

/// The check under way and who waits for it, and who came since and gets one of their own.
#[derive(Default)]
pub(super) struct Verifying {
    present: Option<Verifier>,
    waiting: Vec<Reply<Verification>>,
    next: Vec<Reply<Verification>>,
}

impl Verifying {
    pub(super) fn ask(&mut self, reply: Reply<Verification>) {
        // Nobody waits whose caller has gone; so there are no more than callers.
        self.next.retain(|reply| !reply.is_closed());
        self.next.push(reply);
    }

    pub(super) const fn under_way(&self) -> bool {
        self.present.is_some() || !self.next.is_empty()
    }

    pub(super) fn moved(&mut self, moved: bool) {
        if let Some(verifier) = self.present.as_mut().filter(|_| moved) {
            verifier.moved();
        }
    }

    /// Whoever waits is told why it comes to nothing.
    pub(super) fn fail(&mut self, error: &Error) {
        self.present = None;
        for reply in self.waiting.drain(..).chain(self.next.drain(..)) {
            // A caller who went away has lost interest.
            let _ = reply.send(Err(error.clone()));
        }
    }
}

impl Actor {
    /// Takes the check that is under way a slice further. What it fails with is its callers' alone.
    pub(super) fn verify(&mut self) {
        if !self.verifying.under_way() {
            return;
        }
        self.verifying.waiting.retain(|reply| !reply.is_closed());
        if self.verifying.waiting.is_empty() {
            self.verifying.present = None;
            self.verifying.waiting = std::mem::take(&mut self.verifying.next);
        }
        let application = self.application();
        let mut verifier = self.verifying.present.take().unwrap_or_else(|| Verifier::new(true));
        let answer = loop {
            // A snapshot for each slice: commits of all contexts wait while one lives.
            match self.slice(&mut verifier, application.as_deref()).transpose() {
                Some(answer) => break answer,
                None if verifier.hurries() => {}
                None => {
                    self.verifying.present = Some(verifier);
                    return;
                }
            }
        };
        for reply in self.verifying.waiting.drain(..) {
            // A caller who went away has lost interest.
            let _ = reply.send(answer.clone());
        }
    }

    fn slice(
        &self,
        verifier: &mut Verifier,
        application: Option<&dyn Application>,
    ) -> Result<Option<Verification>> {
        let shared = &self.start.shared;
        let snapshot = self.start.store.snapshot()?;
        verifier.step(&self.replica, &ContextTables::new(&*snapshot, shared.number), application)
    }
}

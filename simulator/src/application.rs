//! The application of the simulated contexts: reads and writes in every way there is, and misbehaves on single nodes as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use kith_core::application::{Application, ApplicationError, Call, State};
use kith_oracle::probe::Probe;

/// How an application behaves on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    /// As on all others.
    Fine = 0,
    /// Every call runs out of time: a local fault.
    Hangs = 1,
    /// Every call panics.
    Panics = 2,
    /// Answers with something else than on the others.
    Differs = 3,
    /// The host has not registered it.
    Missing = 4,
}

/// One node's application.
#[derive(Debug, Default)]
pub struct Moody(AtomicU8);

impl Moody {
    /// Changes how it behaves.
    pub fn set(&self, mood: Mood) {
        self.0.store(mood as u8, Ordering::Relaxed);
    }

    /// Whether the host has registered it.
    #[must_use]
    pub fn is(&self, mood: Mood) -> bool {
        self.0.load(Ordering::Relaxed) == mood as u8
    }

    /// As the node's host registers it.
    #[must_use]
    pub fn registered(self: &Arc<Self>) -> Option<Arc<dyn Application>> {
        let registered: Arc<dyn Application> = Arc::new(Registered(Arc::clone(self)));
        (!self.is(Mood::Missing)).then_some(registered)
    }
}

struct Registered(Arc<Moody>);

/// What a panic of the application says, to be told from one of the engine's.
pub const PANIC: &str = "the application panics, as it was told";

impl Application for Registered {
    fn initialise(&self, arguments: &[u8], state: &mut dyn State) -> Result<(), ApplicationError> {
        Probe.initialise(arguments, state)
    }

    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        if self.0.is(Mood::Hangs) {
            return Err(ApplicationError::Fault("out of time".into()));
        }
        assert!(!self.0.is(Mood::Panics), "{PANIC}");
        let answer = Probe.execute(call, state)?;
        Ok(if self.0.is(Mood::Differs) { [answer, vec![1]].concat() } else { answer })
    }
}

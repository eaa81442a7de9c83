//! The application of the simulated contexts: reads and writes in every way there is, and misbehaves on single nodes as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::replica::StateKey;
use kith_oracle::probe::Probe;

/// After how many ms a host gives up a call that does not return.
pub const LIMIT: u64 = 10_000;

/// How an application behaves on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    /// As on all others.
    Fine = 0,
    /// Every call runs out of time, after [`LIMIT`]: a local fault.
    Hangs = 1,
    /// Every call panics.
    Panics = 2,
    /// Answers with something else than on the others, and writes something else.
    Differs = 3,
    /// The host has not registered it.
    Missing = 4,
}

/// One node's application.
#[derive(Debug, Default)]
pub struct Moody {
    mood: AtomicU8,
    /// Calls that did not return since this was last asked.
    hung: AtomicU64,
}

impl Moody {
    /// Changes how it behaves.
    pub fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::Relaxed);
    }

    /// Whether the host has registered it.
    #[must_use]
    pub fn is(&self, mood: Mood) -> bool {
        self.mood.load(Ordering::Relaxed) == mood as u8
    }

    /// How long calls that did not return have kept the context's thread since this was last asked, in ms.
    pub(crate) fn hung_for(&self) -> u64 {
        self.hung.swap(0, Ordering::Relaxed) * LIMIT
    }

    /// As the node's host registers it.
    #[must_use]
    pub fn registered(self: &Arc<Self>) -> Option<Arc<dyn Application>> {
        let registered: Arc<dyn Application> = Arc::new(Registered(Arc::clone(self)));
        (!self.is(Mood::Missing)).then_some(registered)
    }
}

struct Registered(Arc<Moody>);

impl Application for Registered {
    fn initialise(&self, arguments: &[u8], state: &mut dyn State) -> Result<(), ApplicationError> {
        Probe.initialise(arguments, state)
    }

    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        if self.0.is(Mood::Hangs) {
            self.0.hung.fetch_add(1, Ordering::Relaxed);
            return Err(ApplicationError::Fault("out of time".into()));
        }
        assert!(!self.0.is(Mood::Panics), "the application panics, as it was told");
        if self.0.is(Mood::Differs) {
            return Ok([Probe.execute(call, &mut Twisted(state))?, vec![1]].concat());
        }
        Probe.execute(call, state)
    }
}

/// A state in which whatever is written comes out as something else.
struct Twisted<'a>(&'a mut dyn State);

impl State for Twisted<'_> {
    fn get(&mut self, key: &StateKey) -> Result<Option<Vec<u8>>, ApplicationError> {
        self.0.get(key)
    }

    fn put(&mut self, key: &StateKey, value: &[u8]) -> Result<(), ApplicationError> {
        // As long as it was, so that numbers stay numbers; and nothing is something.
        let mut twisted = value.to_vec();
        match twisted.first_mut() {
            Some(first) => *first ^= 1,
            None => twisted.push(1),
        }
        self.0.put(key, &twisted)
    }

    fn delete(&mut self, key: &StateKey) -> Result<(), ApplicationError> {
        self.0.delete(key)
    }

    fn entries(
        &mut self,
        prefix: &[u8],
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, Vec<u8>)>, ApplicationError> {
        self.0.entries(prefix, after, limit)
    }

    fn emit(&mut self, name: &str, data: &[u8]) -> Result<(), ApplicationError> {
        self.0.emit(name, data)
    }
}

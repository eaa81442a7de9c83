//! A bench for users' tests of their own applications: one application, one state in memory, no node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kith_core::application::{self, Application, ApplicationError, State};
use kith_core::replica::{MemberId, Role, StateKey, TransactionId};
use kith_core::{Error, limits};

use crate::application::Hosted;
use crate::{Bytes, Entry, Failure, HostApplication};

/// Runs the calls of a host's application on a state in memory. A rejected call writes nothing.
#[derive(uniffi::Object)]
pub struct ApplicationBench {
    application: Hosted,
    state: Mutex<Memory>,
}

#[derive(Clone, Default)]
struct Memory {
    entries: BTreeMap<StateKey, Vec<u8>>,
    emitted: Vec<(String, Vec<u8>)>,
}

impl State for Memory {
    fn get(&mut self, key: &StateKey) -> Result<Option<Vec<u8>>, ApplicationError> {
        Ok(self.entries.get(key).cloned())
    }

    fn put(&mut self, key: &StateKey, value: &[u8]) -> Result<(), ApplicationError> {
        if value.len() > limits::VALUE {
            return Err(ApplicationError::Rejected(format!(
                "a value has at most {} bytes, not {}",
                limits::VALUE,
                value.len()
            )));
        }
        self.entries.insert(*key, value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &StateKey) -> Result<(), ApplicationError> {
        self.entries.remove(key);
        Ok(())
    }

    fn entries(
        &mut self,
        prefix: &[u8],
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, Vec<u8>)>, ApplicationError> {
        Ok(self
            .entries
            .iter()
            .filter(|(key, _)| key.0.starts_with(prefix) && after.is_none_or(|after| *key > after))
            .take(limit.min(limits::PAGE_ENTRIES))
            .map(|(key, value)| (*key, value.clone()))
            .collect())
    }

    fn emit(&mut self, name: &str, data: &[u8]) -> Result<(), ApplicationError> {
        self.emitted.push((name.to_owned(), data.to_vec()));
        Ok(())
    }
}

fn failure(error: ApplicationError) -> Failure {
    match error {
        ApplicationError::Rejected(message) => Error::rejected(message).into(),
        other => Error::blocked(other.to_string()).into(),
    }
}

impl ApplicationBench {
    fn attempt<T>(
        &self,
        keep: bool,
        body: impl FnOnce(&mut Memory) -> Result<T, ApplicationError>,
    ) -> Result<T, Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempt = state.clone();
        let answer = body(&mut attempt).map_err(failure)?;
        if keep {
            *state = attempt;
        }
        Ok(answer)
    }
}

#[uniffi::export]
impl ApplicationBench {
    /// Sets the application up in an empty state.
    #[uniffi::constructor]
    pub fn new(application: Arc<dyn HostApplication>, arguments: Bytes) -> Result<Arc<Self>, Failure> {
        let bench = Self { application: Hosted::new(application), state: Mutex::new(Memory::default()) };
        bench.attempt(true, |state| bench.application.initialise(&arguments.0, state))?;
        Ok(Arc::new(bench))
    }

    /// Executes a call by a member with a role.
    pub fn execute(
        &self,
        method: String,
        arguments: Bytes,
        member: Bytes,
        role: String,
        timestamp: u64,
    ) -> Result<Bytes, Failure> {
        let member = MemberId::from_slice(&member.0)?;
        let role: Role = role.parse()?;
        self.attempt(true, |state| {
            let call = application::Call {
                method: &method,
                arguments: &arguments.0,
                member,
                role,
                transaction: TransactionId::default(),
                timestamp,
            };
            self.application.execute(&call, state).map(Bytes)
        })
    }

    /// Answers a read-only call.
    pub fn query(&self, method: String, arguments: Bytes) -> Result<Bytes, Failure> {
        self.attempt(false, |state| self.application.query(&method, &arguments.0, state).map(Bytes))
    }

    /// The whole state, in key order.
    pub fn entries(&self) -> Vec<Entry> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |(key, value): (&StateKey, &Vec<u8>)| Entry {
            key: Bytes(key.0.to_vec()),
            value: Bytes(value.clone()),
        };
        state.entries.iter().map(entry).collect()
    }

    /// The names of the messages that accepted calls have emitted, in their order.
    pub fn emitted(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.emitted.iter().map(|(name, _)| name.clone()).collect()
    }
}

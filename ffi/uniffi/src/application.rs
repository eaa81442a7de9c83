//! Applications of the host, written in its language.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use kith_core::application::{self, Application, ApplicationError, State};
use kith_core::replica::StateKey;

use crate::gate::{Guest, enter};
use crate::{ApplicationFailure, Bytes};

/// One method call, as every member sees it.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Call {
    /// The method's name.
    pub method: String,
    /// The arguments, in the application's own format.
    pub arguments: Bytes,
    /// Who calls: 32 bytes.
    pub member: Bytes,
    /// The caller's role: "admin", "writer" or "reader".
    pub role: String,
    /// The transaction that carries the call: 32 bytes.
    pub transaction: Bytes,
    /// The author's clock, ms since 1970.
    pub timestamp: u64,
}

/// An entry of the state.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Entry {
    /// 32 bytes.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
}

/// Deterministic code of the host. Called on threads of the node's own; it may use the state that it is given, and
/// nothing else of this library.
#[uniffi::export(foreign)]
pub trait HostApplication: Send + Sync {
    /// Sets up the state of a new context.
    fn initialise(&self, arguments: Bytes, state: Arc<HostState>) -> Result<(), ApplicationFailure>;
    /// Executes a call.
    fn execute(&self, call: Call, state: Arc<HostState>) -> Result<Bytes, ApplicationFailure>;
    /// Answers a read-only call; what it writes is thrown away.
    fn query(
        &self,
        method: String,
        arguments: Bytes,
        state: Arc<HostState>,
    ) -> Result<Bytes, ApplicationFailure>;
}

/// The state during one call of an application. After the call it is closed, and it belongs to the call's thread.
#[derive(uniffi::Object)]
pub struct HostState {
    thread: ThreadId,
    loan: Mutex<Loan>,
}

struct Loan {
    state: Option<Borrowed>,
    failure: Option<ApplicationError>,
}

struct Borrowed(*mut (dyn State + 'static));

// SAFETY: the pointer is used only on the thread that made it (`HostState::with` compares).
unsafe impl Send for Borrowed {}

/// Ends the loan, also when the application panics.
struct Lent(Arc<HostState>);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.loan.lock().unwrap_or_else(PoisonError::into_inner).state = None;
    }
}

impl HostState {
    /// Runs `body` with a handle on `state`. A failure of the state that the application swallowed comes out as well:
    /// what an application makes of a fault of this machine must not decide what the call did.
    fn lend<T>(
        state: &mut dyn State,
        body: impl FnOnce(Arc<HostState>) -> Result<T, ApplicationFailure>,
    ) -> Result<T, ApplicationError> {
        let Some(_pass) = enter() else {
            return Err(ApplicationError::Fault("the host is ending".into()));
        };
        let pointer: *mut (dyn State + '_) = state;
        // SAFETY: only the lifetime changes. `Lent` takes the pointer back before `state`'s borrow ends, under the
        // lock that every use holds.
        let pointer: *mut (dyn State + 'static) = unsafe { std::mem::transmute(pointer) };
        let lent = Lent(Arc::new(Self {
            thread: thread::current().id(),
            loan: Mutex::new(Loan { state: Some(Borrowed(pointer)), failure: None }),
        }));
        let answer = body(lent.0.clone());
        let failure = lent.0.loan.lock().unwrap_or_else(PoisonError::into_inner).failure.take();
        match failure {
            Some(failure) => Err(failure),
            None => Ok(answer?),
        }
    }

    fn with<T>(
        &self,
        body: impl FnOnce(&mut dyn State) -> Result<T, ApplicationError>,
    ) -> Result<T, ApplicationFailure> {
        let wrong = |message: &str| ApplicationFailure::Rejected { message: message.into() };
        if thread::current().id() != self.thread {
            return Err(wrong("the state belongs to the thread that the application was called on"));
        }
        let mut loan = self.loan.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(borrowed) = &loan.state else {
            return Err(wrong("the call that this state was for has ended"));
        };
        // SAFETY: `lend` is still running on this thread, and the lock makes this the only use.
        let answer = body(unsafe { &mut *borrowed.0 });
        answer.map_err(|error| {
            loan.failure.get_or_insert_with(|| error.clone());
            error.into()
        })
    }
}

fn key(bytes: &Bytes) -> Result<StateKey, ApplicationError> {
    StateKey::from_slice(&bytes.0).map_err(|error| ApplicationError::Rejected(error.message().to_owned()))
}

#[uniffi::export]
impl HostState {
    /// The value under a key of 32 bytes.
    pub fn get(&self, key: Bytes) -> Result<Option<Bytes>, ApplicationFailure> {
        self.with(|state| Ok(state.get(&self::key(&key)?)?.map(Bytes)))
    }

    /// Sets a key's value.
    pub fn put(&self, key: Bytes, value: Bytes) -> Result<(), ApplicationFailure> {
        self.with(|state| state.put(&self::key(&key)?, &value.0))
    }

    /// Removes a key.
    pub fn delete(&self, key: Bytes) -> Result<(), ApplicationFailure> {
        self.with(|state| state.delete(&self::key(&key)?))
    }

    /// A page of entries whose keys begin with `prefix` and sort after `after`.
    pub fn entries(
        &self,
        prefix: Bytes,
        after: Option<Bytes>,
        limit: u32,
    ) -> Result<Vec<Entry>, ApplicationFailure> {
        self.with(|state| {
            let after = after.as_ref().map(self::key).transpose()?;
            let page = state.entries(&prefix.0, after.as_ref(), limit as usize)?;
            Ok(page
                .into_iter()
                .map(|(key, value)| Entry { key: Bytes(key.0.to_vec()), value: Bytes(value) })
                .collect())
        })
    }

    /// Hands a named message to the hosts of all members.
    pub fn emit(&self, name: String, data: Bytes) -> Result<(), ApplicationFailure> {
        self.with(|state| state.emit(&name, &data.0))
    }
}

/// An application of the host, as the core sees it.
pub(crate) struct Hosted(Guest<dyn HostApplication>);

impl Hosted {
    pub(crate) fn new(application: Arc<dyn HostApplication>) -> Self {
        Self(Guest::new(application))
    }
}

impl Application for Hosted {
    fn initialise(&self, arguments: &[u8], state: &mut dyn State) -> Result<(), ApplicationError> {
        HostState::lend(state, |state| self.0.initialise(Bytes(arguments.to_vec()), state))
    }

    fn execute(
        &self,
        call: &application::Call<'_>,
        state: &mut dyn State,
    ) -> Result<Vec<u8>, ApplicationError> {
        let call = Call {
            method: call.method.to_owned(),
            arguments: Bytes(call.arguments.to_vec()),
            member: Bytes(call.member.0.to_vec()),
            role: call.role.to_string(),
            transaction: Bytes(call.transaction.0.to_vec()),
            timestamp: call.timestamp,
        };
        HostState::lend(state, |state| self.0.execute(call, state)).map(|output| output.0)
    }

    fn query(
        &self,
        method: &str,
        arguments: &[u8],
        state: &mut dyn State,
    ) -> Result<Vec<u8>, ApplicationError> {
        HostState::lend(state, |state| self.0.query(method.to_owned(), Bytes(arguments.to_vec()), state))
            .map(|output| output.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Default)]
    struct Memory(BTreeMap<StateKey, Vec<u8>>);

    impl State for Memory {
        fn get(&mut self, key: &StateKey) -> Result<Option<Vec<u8>>, ApplicationError> {
            Ok(self.0.get(key).cloned())
        }

        fn put(&mut self, key: &StateKey, value: &[u8]) -> Result<(), ApplicationError> {
            self.0.insert(*key, value.to_vec());
            Ok(())
        }

        fn delete(&mut self, key: &StateKey) -> Result<(), ApplicationError> {
            self.0.remove(key);
            Ok(())
        }

        fn entries(
            &mut self,
            _prefix: &[u8],
            _after: Option<&StateKey>,
            limit: usize,
        ) -> Result<Vec<(StateKey, Vec<u8>)>, ApplicationError> {
            Ok(self.0.iter().take(limit).map(|(key, value)| (*key, value.clone())).collect())
        }

        fn emit(&mut self, _name: &str, _data: &[u8]) -> Result<(), ApplicationError> {
            Err(ApplicationError::Fault("the disk is full".into()))
        }
    }

    fn a_key() -> Bytes {
        Bytes(vec![7; 32])
    }

    /// Everything that may be asked of a state, which refuses it.
    fn refused(state: &HostState) -> bool {
        state.get(a_key()).is_err()
            && state.put(a_key(), Bytes(vec![1])).is_err()
            && state.delete(a_key()).is_err()
            && state.entries(Bytes(Vec::new()), None, 1).is_err()
            && state.emit("name".into(), Bytes(Vec::new())).is_err()
    }

    /// The state is gone from memory each time, so that AddressSanitizer sees who uses it afterwards.
    #[test]
    fn a_state_that_is_kept_is_of_no_use_after_the_call() {
        let mut kept = Vec::new();
        for _ in 0..3 {
            let mut memory = Box::new(Memory::default());
            let put = HostState::lend(&mut *memory, |state| {
                kept.push(Arc::clone(&state));
                assert!(kept[..kept.len() - 1].iter().all(|earlier| refused(earlier)));
                state.put(a_key(), Bytes(vec![1; 100]))?;
                state.get(a_key())
            });
            assert_eq!(put.unwrap().unwrap().0, [1; 100]);
        }
        assert!(kept.iter().all(|state| refused(state)));
    }

    #[test]
    fn a_state_is_taken_back_from_an_application_that_panics() {
        let (mut kept, mut memory) = (None, Box::new(Memory::default()));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            HostState::lend(&mut *memory, |state| -> Result<(), ApplicationFailure> {
                kept = Some(state);
                panic!("the application panics")
            })
        }));
        drop(memory);
        assert!(outcome.is_err() && refused(&kept.unwrap()));
    }

    #[test]
    fn a_state_belongs_to_the_thread_of_the_call() {
        let mut memory = Box::new(Memory::default());
        let answer = HostState::lend(&mut *memory, |state| {
            let others: Vec<_> = (0..4)
                .map(|_| Arc::clone(&state))
                .map(|state| thread::spawn(move || refused(&state)))
                .collect();
            let all = others.into_iter().all(|other| other.join().unwrap());
            state.put(a_key(), Bytes(vec![2]))?;
            Ok(all)
        });
        assert!(answer.unwrap());
        assert_eq!(memory.0.values().next().unwrap(), &[2]);
    }

    /// What an application makes of a fault of this machine does not decide what the call did.
    #[test]
    fn a_fault_that_is_swallowed_comes_out() {
        let answer = HostState::lend(&mut Memory::default(), |state| {
            assert!(state.emit("name".into(), Bytes(Vec::new())).is_err());
            Ok(())
        });
        assert!(matches!(answer, Err(ApplicationError::Fault(_))));
    }

    /// The control: a loan that is not taken back, used.
    #[test]
    #[ignore = "child of cargo xtask asan: it does what must never be done"]
    fn a_state_that_is_not_taken_back() {
        let mut memory = Box::new(Memory::default());
        let pointer: *mut (dyn State + 'static) = &raw mut *memory;
        let loan = Mutex::new(Loan { state: Some(Borrowed(pointer)), failure: None });
        let state = HostState { thread: thread::current().id(), loan };
        drop(memory);
        let _ = state.get(a_key());
    }
}

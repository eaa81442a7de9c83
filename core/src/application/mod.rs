//! Applications: deterministic code that executes method calls over a context's state.
//!
//! Every member executes every call, so an application must give the same answer for the same inputs everywhere: no
//! clock, no randomness, no I/O. [`kv`] is built in; hosts bring their own by implementing [`Application`].

pub mod kv;

use crate::replica::{MemberId, Role, StateKey, TransactionId};

/// One method call, as every member sees it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The method's name, at most [`crate::limits::METHOD`] bytes.
    pub method: &'a str,
    /// The arguments, in a format of the application's own; at most [`crate::limits::ARGUMENTS`] bytes.
    pub arguments: &'a [u8],
    /// Who calls.
    pub member: MemberId,
    /// The caller's role at this place in the order.
    pub role: Role,
    /// The transaction that carries the call.
    pub transaction: TransactionId,
    /// The author's clock, ms since 1970: signed, hence the same everywhere, but the author may lie.
    pub timestamp: u64,
}

/// Lets an application's code run; a panic of it is a fault.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, ApplicationError>) -> Result<T, ApplicationError> {
    // What the application leaves half done of its own is its own affair; the state it wrote to is thrown away.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text");
        Err(ApplicationError::Fault(format!("the application panicked: {text}")))
    })
}

/// Why an application did not carry out a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplicationError {
    /// The call is refused, by every member alike. The text is for people and takes no part in any comparison.
    #[error("{0}")]
    Rejected(String),
    /// Something is wrong on this machine only (out of time, out of memory, interrupted). Applying halts and is retried.
    #[error("local fault: {0}")]
    Fault(String),
}

/// The state as an application sees it while it executes one call. Reads see earlier writes of the same call.
///
/// Errors that come out of these methods are to be passed on with `?`: a limit rejects the call on all members alike, a
/// fault of the local store halts applying here.
pub trait State {
    /// The value under `key`.
    fn get(&mut self, key: &StateKey) -> Result<Option<Vec<u8>>, ApplicationError>;
    /// Sets `key` to `value` (at most [`crate::limits::VALUE`] bytes).
    fn put(&mut self, key: &StateKey, value: &[u8]) -> Result<(), ApplicationError>;
    /// Removes `key`; nothing happens if it is absent.
    fn delete(&mut self, key: &StateKey) -> Result<(), ApplicationError>;
    /// At most `limit` entries whose keys begin with `prefix` and sort after `after`, in key order.
    fn entries(
        &mut self,
        prefix: &[u8],
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, Vec<u8>)>, ApplicationError>;
    /// Hands a named message to the hosts of all members, once the call is accepted.
    fn emit(&mut self, name: &str, data: &[u8]) -> Result<(), ApplicationError>;
}

/// Deterministic code that executes method calls.
///
/// A panic is taken for a fault of this machine, since nobody can tell whether all members panic there: applying halts
/// ([`crate::node::Event::Blocked`]) and is retried, and an admin can skip the call for all. What is to be refused is
/// [`ApplicationError::Rejected`].
pub trait Application: Send + Sync + 'static {
    /// Sets up the state of a new context from the creator's arguments.
    fn initialise(&self, arguments: &[u8], state: &mut dyn State) -> Result<(), ApplicationError> {
        let _ = state;
        if arguments.is_empty() {
            Ok(())
        } else {
            Err(ApplicationError::Rejected("this application takes no arguments".into()))
        }
    }

    /// Executes one call; the bytes are the receipt's output (at most [`crate::limits::ARGUMENTS`]).
    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError>;

    /// A read-only call, on this member only; whatever it writes is thrown away.
    fn query(
        &self,
        method: &str,
        arguments: &[u8],
        state: &mut dyn State,
    ) -> Result<Vec<u8>, ApplicationError> {
        let _ = (arguments, state);
        Err(ApplicationError::Rejected(format!("this application has no query `{method}`")))
    }
}

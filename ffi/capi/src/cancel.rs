//! Cancelling the blocking calls of another thread.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use kith_core::{Error, ErrorKind, Result};

use crate::border::{border, run_quietly};
use crate::bytes::output;
use crate::handle::{borrow, give, handles, take};
use crate::status::kith_status;

/// Ends blocking calls from another thread: a thread binds it (kith_cancel_bind), any thread fires it. It fires once and stays fired.
#[allow(non_camel_case_types)]
pub struct kith_cancel {
    _private: [u8; 0],
}

handles! {
    kith_cancel => Arc<Cancel> = 9, anywhere;
}

/// What is behind a [`kith_cancel`].
#[derive(Debug, Default)]
pub struct Cancel {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fired: bool,
    waiting: Vec<Thread>,
}

impl Cancel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes who listens; for good.
    pub(crate) fn fire(&self) {
        let mut state = self.state();
        state.fired = true;
        state.waiting.iter().for_each(Thread::unpark);
    }

    /// Fails once it has fired.
    pub(crate) fn check(&self) -> Result<()> {
        if self.state().fired {
            return Err(Error::new(ErrorKind::Cancelled, "the call was cancelled"));
        }
        Ok(())
    }

    /// From now on the calling thread is woken when it fires.
    pub(crate) fn listen(self: &Arc<Self>) -> Listening {
        self.state().waiting.push(thread::current());
        Listening(Arc::clone(self))
    }
}

/// See [`Cancel::listen`].
pub(crate) struct Listening(Arc<Cancel>);

impl Drop for Listening {
    fn drop(&mut self) {
        let me = thread::current().id();
        let mut state = self.0.state();
        if let Some(at) = state.waiting.iter().position(|thread| thread.id() == me) {
            state.waiting.swap_remove(at);
        }
    }
}

thread_local! {
    static BOUND: RefCell<Option<Arc<Cancel>>> = const { RefCell::new(None) };
}

/// What the calling thread has bound.
pub(crate) fn bound() -> Option<Arc<Cancel>> {
    BOUND.try_with(|bound| bound.borrow().clone()).unwrap_or(None)
}

/// A fresh one, which has not fired.
///
/// # Safety
/// `cancel` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_cancel_new(cancel: *mut *mut kith_cancel) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe { output(cancel, "cancel")? }.set(give(Arc::default()));
        Ok(())
    }
}

/// Binds `cancel` to the calling thread, in the place of what it had bound: once it has fired, each blocking call of this thread ends
/// with KITH_CANCELLED, the one under way and those to come. NULL: from now on they are not cancelled. What becomes of a cancelled call:
/// kith_node_join gives the joining up, and nothing of the context stays (unless it had just come to its end); kith_events_next loses no event; other calls may still be
/// finished in the background, but never by half: a write that has begun is, and its events come. kith_node_shutdown is not cancelled. The binding outlives the handle.
///
/// # Safety
/// `cancel` is one of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_cancel_bind(cancel: *const kith_cancel) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let cancel = if cancel.is_null() { None } else { Some(Arc::clone(unsafe { borrow(cancel)? })) };
        BOUND.with(|bound| *bound.borrow_mut() = cancel);
        Ok(())
    }
}

/// Fires: see kith_cancel_bind. Does not block. Twice is fine. From any thread and any callback, but not from a signal handler.
///
/// # Safety
/// `cancel` is one of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_cancel_fire(cancel: *mut kith_cancel) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe { borrow(cancel)? }.fire();
        Ok(())
    }
}

/// Whether it has fired; false for NULL.
///
/// # Safety
/// `cancel` is one of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_cancel_fired(cancel: *const kith_cancel) -> bool {
    // SAFETY: as the caller vouches.
    unsafe { borrow(cancel) }.is_ok_and(|cancel| cancel.state().fired)
}

/// Frees the handle. Threads that have bound it keep it bound.
///
/// # Safety
/// `cancel` is one of this library or NULL, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_cancel_free(cancel: *mut kith_cancel) {
    // SAFETY: as the caller vouches.
    run_quietly(|| drop(unsafe { take(cancel) }));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Binds a fresh one to this thread.
    pub(crate) fn bind() -> Arc<Cancel> {
        let cancel = Arc::<Cancel>::default();
        BOUND.with(|bound| *bound.borrow_mut() = Some(Arc::clone(&cancel)));
        cancel
    }

    pub(crate) fn fire(cancel: &Cancel) {
        cancel.fire();
    }

    #[test]
    fn who_has_stopped_listening_is_forgotten() {
        let cancel = Arc::<Cancel>::default();
        let first = cancel.listen();
        let second = cancel.listen();
        drop(first);
        assert_eq!(cancel.state().waiting.len(), 1);
        drop(second);
        assert!(cancel.state().waiting.is_empty());
        assert!(cancel.check().is_ok());
        cancel.fire();
        assert_eq!(cancel.check().unwrap_err().kind(), ErrorKind::Cancelled);
    }
}

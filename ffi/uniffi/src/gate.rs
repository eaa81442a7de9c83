//! The gate between threads of the library and the host's language.
//!
//! When a host's interpreter ends (Python's, at the end of the program), a thread that is just then in a call into it is
//! torn down from below, through frames of this library: the process aborts. So every call out of a thread of the library
//! (the wake-up of a future, a callback, the release of a callback object) goes through this gate, and the
//! hand-written layer closes it before its interpreter ends: [`close_gate`] waits until nobody is inside, and from then on
//! nobody comes in.

use std::future::{Future, poll_fn};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

struct Gate {
    state: Mutex<State>,
    left: Condvar,
}

struct State {
    inside: usize,
    closed: bool,
}

static GATE: Gate = Gate::new();

/// Held while a thread of the library is in the host.
pub(crate) struct Pass<'a>(&'a Gate);

impl Gate {
    const fn new() -> Self {
        Self { state: Mutex::new(State { inside: 0, closed: false }), left: Condvar::new() }
    }

    fn enter(&self) -> Option<Pass<'_>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return None;
        }
        state.inside += 1;
        Some(Pass(self))
    }

    fn close(&self, patience: Duration) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        let waited = self.left.wait_timeout_while(state, patience, |state| state.inside > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.inside == 0
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).inside -= 1;
        self.0.left.notify_all();
    }
}

/// Lets a thread of the library into the host, unless the host is ending.
pub(crate) fn enter() -> Option<Pass<'static>> {
    GATE.enter()
}

/// To be called once, when the host's interpreter is about to end: waits until no thread of the library is in a call into the
/// host, for some seconds at most, and keeps them out from then on. Whether nobody is inside.
#[uniffi::export]
pub fn close_gate() -> bool {
    // What is not told in time is not told.
    let _ = crate::log::flush(Duration::from_secs(1));
    GATE.close(Duration::from_secs(5))
}

/// To be called first of all in a forked process: whoever was inside, or would have taken what is logged, is not here.
#[uniffi::export]
pub fn after_fork() {
    crate::log::after_fork();
    // Held by a thread that is not here it is lost, and with it the way out.
    if let Ok(mut state) = GATE.state.try_lock() {
        state.inside = 0;
    }
}

struct Bell(Waker);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(_pass) = enter() {
            self.0.wake_by_ref();
        }
    }
}

/// Awaiting something of the node's for the host.
pub(crate) trait Gated: Future + Sized {
    /// The same future, whose wake-ups go through the gate.
    async fn gated(self) -> Self::Output {
        let mut future = pin!(self);
        poll_fn(|context| {
            let waker = Waker::from(Arc::new(Bell(context.waker().clone())));
            future.as_mut().poll(&mut Context::from_waker(&waker))
        })
        .await
    }
}

impl<F: Future> Gated for F {}

/// An object of the host's that threads of the library hold. When the last of them lets it go after the host has ended, it is
/// leaked: there is nobody any more to give it back to.
pub(crate) struct Guest<T: ?Sized>(ManuallyDrop<Arc<T>>);

impl<T: ?Sized> Guest<T> {
    pub(crate) fn new(object: Arc<T>) -> Self {
        Self(ManuallyDrop::new(object))
    }
}

impl<T: ?Sized> Deref for Guest<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> Drop for Guest<T> {
    fn drop(&mut self) {
        if let Some(_pass) = enter() {
            // SAFETY: dropped here only, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn closing_waits_for_who_is_inside_and_keeps_others_out() {
        let gate = Gate::new();
        let pass = gate.enter().unwrap();
        assert!(!gate.close(Duration::from_millis(5)), "somebody is inside");
        assert!(gate.enter().is_none());
        thread::scope(|scope| {
            let (sender, closed) = channel();
            let gate = &gate;
            scope.spawn(move || sender.send(gate.close(Duration::from_secs(60))));
            drop(pass);
            assert!(closed.recv().unwrap());
        });
        assert!(gate.enter().is_none());
    }
}

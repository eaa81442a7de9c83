//! Events by callback: a thread for each subscription pulls them and hands them over.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use kith_core::node::{Event, Events};
use kith_core::{Error, Result};

use crate::application::kith_free_callback;
use crate::border::{border, run_quietly};
use crate::bytes::output;
use crate::cancel::Cancel;
use crate::context::kith_context;
use crate::events::{Happened, kith_event};
use crate::handle::{borrow, give, handles, take};
use crate::status::kith_status;
use crate::wait::{wait, wait_unless};

/// A callback that is told of a context's events. Freed with kith_subscription_free.
#[allow(non_camel_case_types)]
pub struct kith_subscription {
    _private: [u8; 0],
}

handles! {
    kith_subscription => Subscription = 10, anywhere;
}

/// Told of an event. It runs on a thread named kith-events, one for each subscription, one event after another, and may take its time and call
/// everything in the library, kith_subscription_free of its own subscription too. The event is the library's, and valid until the callback
/// returns.
#[allow(non_camel_case_types)]
pub type kith_event_callback = Option<unsafe extern "C" fn(user_data: *mut c_void, event: *const kith_event)>;

/// What is behind a [`kith_subscription`].
pub struct Subscription {
    stop: Arc<Cancel>,
    thread: Option<JoinHandle<()>>,
}

thread_local! {
    static ON_EVENT_THREAD: Cell<bool> = const { Cell::new(false) };
}

struct Listener {
    callback: unsafe extern "C" fn(*mut c_void, *const kith_event),
    user_data: *mut c_void,
    free_user_data: kith_free_callback,
}

// SAFETY: the host vouches for its callback and its data.
unsafe impl Send for Listener {}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(free) = self.free_user_data {
            // SAFETY: the host vouches for its callback; nothing uses the data any more.
            unsafe { free(self.user_data) };
        }
    }
}

impl Listener {
    fn run(self, mut events: Events, stop: &Arc<Cancel>) {
        ON_EVENT_THREAD.set(true);
        loop {
            let (cursor, event, last) = match wait_unless(events.next(), stop) {
                Ok((cursor, event)) => {
                    let last = matches!(event, Event::Closed { .. });
                    (cursor, event, last)
                }
                Err(_) if stop.check().is_err() => return,
                // The stream's end is an event here: there is no call that could return it.
                Err(error) => (0, Event::Closed { reason: error.message().to_owned() }, true),
            };
            let handle = give::<kith_event>(Happened::of(cursor, event));
            // SAFETY: the host vouches for its callback, and the event lives until it has returned.
            unsafe { (self.callback)(self.user_data, handle) };
            // SAFETY: given above, and the callback may not free it: it is const there.
            let _ = unsafe { take(handle) };
            if last {
                return;
            }
        }
    }
}

/// Has `callback` told of the events from now on, or, if `after` is not NULL, of those after that cursor and then from now on
/// (KITH_CURSOR_EXPIRED as in kith_context_events). The last one is KITH_EVENT_CLOSED, when the context or the node is closed.
/// `free_user_data`, unless NULL, is called once, when no call can come any more. If this fails, `user_data` stays the caller's.
///
/// # Safety
/// `context` is a context of this library or NULL; `after` is NULL or can be read; `callback` and `user_data` may be used from another thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_on_event(
    context: *const kith_context,
    after: *const u64,
    callback: kith_event_callback,
    user_data: *mut c_void,
    free_user_data: kith_free_callback,
    subscription: *mut *mut kith_subscription,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, after, place) =
            unsafe { (borrow(context)?, after.as_ref().copied(), output(subscription, "subscription")?) };
        let callback = callback.ok_or_else(|| Error::invalid_argument("callback is NULL"))?;
        let events = wait(context.events(after))?;
        place.set(give(start(Listener { callback, user_data, free_user_data }, events)?));
        Ok(())
    }
}

fn start(listener: Listener, events: Events) -> Result<Subscription> {
    let stop = Arc::<Cancel>::default();
    let stopped = Arc::clone(&stop);
    // The listener goes over once the thread is there: until then the data are the caller's.
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Listener>(1);
    let thread = thread::Builder::new().name("kith-events".into()).spawn(move || {
        if let Ok(listener) = receiver.recv() {
            listener.run(events, &stopped);
        }
    });
    match thread {
        Ok(thread) => {
            // The thread waits for it, and there is room.
            let _ = sender.send(listener);
            Ok(Subscription { stop, thread: Some(thread) })
        }
        Err(error) => {
            std::mem::forget(listener);
            Err(Error::internal(format!("no thread for the events: {error}")))
        }
    }
}

/// Ends the subscription, and waits until the callback has returned: after that no call comes, and `user_data` is freed. From inside
/// an event callback (its own or another one) it does not wait: the call under way is the last one, and `user_data` is freed after it.
///
/// # Safety
/// `subscription` is one of this library or NULL, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_subscription_free(subscription: *mut kith_subscription) {
    run_quietly(|| {
        // SAFETY: as the caller vouches.
        let Ok(Some(mut subscription)) = (unsafe { take(subscription) }) else { return };
        subscription.stop.fire();
        // Two callbacks that free each other's subscription would wait for each other.
        let may_wait = !ON_EVENT_THREAD.get() && crate::inside::check().is_ok();
        if let Some(thread) = subscription.thread.take().filter(|_| may_wait) {
            // A panic there has nothing to say here.
            let _ = thread.join();
        }
    });
}

//! Blocking the caller's thread on a future.
//!
//! The node's functions may be awaited anywhere: what they wait for happens on the node's own threads. So no runtime is
//! needed here, and a wait also ends when the node has shut its runtime down.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use kith_core::{Error, ErrorKind, Result};

use crate::cancel::{self, Cancel};
use crate::inside;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits until the future is done, or what the thread has bound fires: then the future is dropped.
pub(crate) fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    until(future, None, cancel::bound(), "")
}

/// Waits until the future is done, or this fires: then the future is dropped.
pub(crate) fn wait_unless<T>(future: impl Future<Output = Result<T>>, cancel: &Arc<Cancel>) -> Result<T> {
    until(future, None, Some(Arc::clone(cancel)), "")
}

/// Waits until the future is done, whatever the thread has bound.
pub(crate) fn wait_in_any_case<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    until(future, None, None, "")
}

/// Waits until the future is done or the time is over; then the future is dropped.
pub(crate) fn wait_for<T>(
    future: impl Future<Output = Result<T>>,
    timeout: Duration,
    late: &str,
) -> Result<T> {
    // A time that is too far away for the clock is never over.
    until(future, Instant::now().checked_add(timeout), cancel::bound(), late)
}

/// Does something short on the caller's own thread, where that may wait and what it has bound has not fired.
pub(crate) fn here<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    inside::check()?;
    cancel::bound().map_or(Ok(()), |cancel| cancel.check())?;
    work()
}

fn until<T>(
    future: impl Future<Output = Result<T>>,
    deadline: Option<Instant>,
    cancel: Option<Arc<Cancel>>,
    late: &str,
) -> Result<T> {
    inside::check()?;
    let check = || cancel.as_ref().map_or(Ok(()), |cancel| cancel.check());
    check()?;
    let _listening = cancel.as_ref().map(Cancel::listen);
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        check()?;
        let Some(deadline) = deadline else {
            thread::park();
            continue;
        };
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        let left = left.ok_or_else(|| Error::new(ErrorKind::Timeout, late))?;
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::tests::{bind, fire};
    use tokio::sync::oneshot;

    async fn answer(receiver: oneshot::Receiver<u32>) -> Result<u32> {
        receiver.await.map_err(|_| Error::closed("no answer"))
    }

    fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn a_wait_ends_when_another_thread_answers() {
        let (sender, receiver) = oneshot::channel();
        let other = thread::spawn(move || sender.send(7));
        assert_eq!(wait(answer(receiver)).unwrap(), 7);
        other.join().unwrap().unwrap();
    }

    #[test]
    fn a_wait_ends_when_its_time_is_over() {
        let (sender, receiver) = oneshot::channel::<u32>();
        assert_eq!(kind(wait_for(answer(receiver), Duration::from_millis(5), "late")), ErrorKind::Timeout);
        assert!(sender.is_closed(), "the future was not dropped");
        assert_eq!(wait_for(std::future::ready(Ok(1)), Duration::ZERO, "late").unwrap(), 1);
        assert_eq!(wait_for(std::future::ready(Ok(2)), Duration::MAX, "late").unwrap(), 2);
    }

    #[test]
    fn a_wait_ends_when_what_is_bound_fires() {
        let cancel = bind();
        let (sender, receiver) = oneshot::channel::<u32>();
        let other = thread::spawn({
            let cancel = cancel.clone();
            move || {
                while Arc::strong_count(&cancel) < 5 {
                    thread::yield_now();
                }
                fire(&cancel);
            }
        });
        assert_eq!(kind(wait(answer(receiver))), ErrorKind::Cancelled);
        assert!(sender.is_closed(), "the future was not dropped");
        other.join().unwrap();
        // Once it has fired nothing is begun any more, but for what is waited for in any case.
        assert_eq!(kind(wait(async { panic!("begun") as Result<()> })), ErrorKind::Cancelled);
        assert_eq!(kind(here(|| -> Result<()> { panic!("begun") })), ErrorKind::Cancelled);
        assert_eq!(wait_in_any_case(std::future::ready(Ok(3))).unwrap(), 3);
    }

    #[test]
    fn nothing_is_waited_for_inside_a_callback() {
        let _inside = inside::enter(inside::Callback::Application);
        assert_eq!(kind(wait(std::future::ready(Ok(1)))), ErrorKind::Unsupported);
        assert_eq!(kind(here(|| Ok(1))), ErrorKind::Unsupported);
    }
}

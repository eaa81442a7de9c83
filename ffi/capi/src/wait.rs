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

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits until the future is done.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

/// Waits until the future is done or the time is over; then the future is dropped.
pub(crate) fn wait_for<F: Future>(future: F, timeout: Duration) -> Option<F::Output> {
    // A time that is too far away for the clock is never over.
    let Some(deadline) = Instant::now().checked_add(timeout) else { return Some(wait(future)) };
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[test]
    fn a_wait_ends_when_another_thread_answers() {
        let (sender, receiver) = oneshot::channel();
        let answer = thread::spawn(move || sender.send(7));
        assert_eq!(wait(receiver), Ok(7));
        answer.join().unwrap().unwrap();
    }

    #[test]
    fn a_wait_ends_when_its_time_is_over() {
        let (sender, receiver) = oneshot::channel::<u32>();
        assert_eq!(wait_for(receiver, Duration::from_millis(5)), None);
        assert!(sender.is_closed(), "the future was not dropped");
        assert_eq!(wait_for(std::future::ready(1), Duration::ZERO), Some(1));
        assert_eq!(wait_for(std::future::ready(2), Duration::MAX), Some(2));
    }
}

//! Work that many callers wait for and one of them does for all, such as a flush.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// Callers [`SharedWork::ask`] after what they want covered is in place, then [`SharedWork::wait`]. A round of work covers
/// everybody who had asked when it began. After a failed round nothing works any more: whether what was asked for has
/// happened is not known, and is not tried again.
#[derive(Debug, Default)]
pub(crate) struct SharedWork {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    asked: u64,
    covered: u64,
    working: bool,
    rounds: u64,
    failed: Option<Error>,
}

/// Ends a round, also when the work panics.
struct Round<'a> {
    shared: &'a SharedWork,
    covers: u64,
    result: Option<Result<()>>,
}

impl SharedWork {
    /// Plain fields that are set together: right after a panic, too.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ticket for [`SharedWork::wait`].
    pub(crate) fn ask(&self) -> u64 {
        let mut state = self.state();
        state.asked += 1;
        state.asked
    }

    /// Returns once a round that began after the ticket was taken has succeeded; does that round if nobody is at it.
    pub(crate) fn wait(&self, ticket: u64, work: impl Fn() -> Result<()>) -> Result<()> {
        let mut state = self.state();
        loop {
            if state.covered >= ticket {
                return Ok(());
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.working {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.working = true;
            let mut round = Round { shared: self, covers: state.asked, result: None };
            drop(state);
            round.result = Some(work());
            drop(round);
            state = self.state();
        }
    }

    /// How many rounds there have been.
    pub(crate) fn rounds(&self) -> u64 {
        self.state().rounds
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.working = false;
        state.rounds += 1;
        match self.result.take() {
            Some(Ok(())) => state.covered = self.covers,
            Some(Err(error)) => state.failed = Some(error),
            None => state.failed = Some(Error::internal("the work that others wait for panicked")),
        }
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    #[test]
    fn those_who_ask_during_a_round_share_the_next_one() {
        let shared = SharedWork::default();
        let (began_sender, began) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let count = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let first = shared.ask();
            let (shared, count, released) = (&shared, &count, &released);
            scope.spawn(move || {
                let work = || {
                    began_sender.send(()).unwrap();
                    released.lock().unwrap().recv().unwrap();
                    Ok(())
                };
                shared.wait(first, work).unwrap();
            });
            began.recv().unwrap();
            let tickets: Vec<u64> = (0..5).map(|_| shared.ask()).collect();
            for ticket in tickets {
                scope.spawn(move || {
                    let work = || {
                        count.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    };
                    shared.wait(ticket, work).unwrap();
                });
            }
            assert_eq!(count.load(Ordering::Relaxed), 0, "the running round began before these asked");
            release.send(()).unwrap();
        });
        assert_eq!((count.load(Ordering::Relaxed), shared.rounds()), (1, 2));
    }

    #[test]
    fn after_a_failure_or_a_panic_every_wait_fails() {
        let shared = SharedWork::default();
        assert!(shared.wait(shared.ask(), || Err(Error::storage("no"))).is_err());
        let next = shared.ask();
        assert_eq!(shared.wait(next, || Ok(())).unwrap_err().message(), "no");

        let shared = SharedWork::default();
        let ticket = shared.ask();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            shared.wait(ticket, || -> Result<()> { panic!("on purpose") })
        }));
        assert!(panicked.is_err());
        assert!(shared.wait(ticket, || Ok(())).is_err());
    }
}

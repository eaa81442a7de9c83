//! Many readers or one writer, safe against the two ways in which one thread could wait for itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// How many views of each lock this thread holds.
    static HELD: RefCell<HashMap<u64, usize>> = RefCell::new(HashMap::new());
}

/// A lock for views (shared) and changes (exclusive). Waiting changes go before new views, so that views cannot starve
/// them; a thread that has a view already gets another at once, so that it cannot wait for a change that waits for it.
#[derive(Debug)]
pub(crate) struct ViewLock {
    number: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    views: usize,
    changing: bool,
    waiting_changes: usize,
}

impl ViewLock {
    pub(crate) fn new() -> Self {
        Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The state is a few counters, each updated in one step: a panic elsewhere leaves them right.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_by_this_thread(&self) -> bool {
        HELD.with_borrow(|held| held.contains_key(&self.number))
    }

    /// Waits until nothing changes, and keeps it so.
    pub(crate) fn view(&self) -> View<'_> {
        let mut state = self.state();
        if !self.held_by_this_thread() {
            while state.changing || state.waiting_changes > 0 {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        state.views += 1;
        HELD.with_borrow_mut(|held| *held.entry(self.number).or_default() += 1);
        View { lock: self, not_send: PhantomData }
    }

    /// Fails where [`ViewLock::change`] would wait for this thread itself.
    pub(crate) fn check_no_view(&self) -> Result<()> {
        if self.held_by_this_thread() {
            return Err(Error::internal("this thread still holds a snapshot of the store: drop it first"));
        }
        Ok(())
    }

    /// Waits until nobody has a view and nobody else changes.
    pub(crate) fn change(&self) -> Result<Change<'_>> {
        self.check_no_view()?;
        let mut state = self.state();
        state.waiting_changes += 1;
        while state.changing || state.views > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting_changes -= 1;
        state.changing = true;
        Ok(Change { lock: self })
    }

    /// How many changes wait: lets a test know that another thread has got that far.
    #[cfg(test)]
    pub(crate) fn waiting_changes(&self) -> usize {
        self.state().waiting_changes
    }
}

/// While it lives, nothing changes. Bound to its thread.
#[derive(Debug)]
pub(crate) struct View<'a> {
    lock: &'a ViewLock,
    not_send: PhantomData<*const ()>,
}

impl View<'_> {
    /// Tells the lock from all others of the process.
    pub(crate) const fn number(&self) -> u64 {
        self.lock.number
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| {
            if let Some(count) = held.get_mut(&self.lock.number) {
                *count -= 1;
                if *count == 0 {
                    held.remove(&self.lock.number);
                }
            }
        });
        self.lock.state().views -= 1;
        self.lock.changed.notify_all();
    }
}

/// While it lives, nobody has a view.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    lock: &'a ViewLock,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.lock.state().changing = false;
        self.lock.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_thread_with_a_view_gets_another_while_a_change_waits() {
        let lock = ViewLock::new();
        let first = lock.view();
        std::thread::scope(|scope| {
            let change = scope.spawn(|| drop(lock.change().unwrap()));
            while lock.waiting_changes() == 0 {
                std::thread::yield_now();
            }
            let second = lock.view();
            drop(first);
            assert!(!change.is_finished());
            drop(second);
        });
        assert!(lock.change().is_ok());
    }

    #[test]
    fn a_change_by_a_thread_with_a_view_is_refused() {
        let lock = ViewLock::new();
        let view = lock.view();
        assert_eq!(lock.change().unwrap_err().kind(), ErrorKind::Internal);
        drop(view);
        assert!(lock.change().is_ok());
    }

    #[test]
    fn views_and_changes_exclude_each_other() {
        let lock = ViewLock::new();
        let value = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _change = lock.change().unwrap();
                        value.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                        value.fetch_add(1, Ordering::Relaxed);
                    }
                });
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _view = lock.view();
                        assert_eq!(value.load(Ordering::Relaxed) % 2, 0);
                    }
                });
            }
        });
        assert_eq!(value.load(Ordering::Relaxed), 1200);
    }
}

//! Callbacks of the host from inside which the library must not be called: the thread is needed to answer, or holds what an
//! answer needs. A call from there is an error, never a deadlock.

use std::cell::Cell;

use kith_core::{Error, Result};

/// Which callback this thread is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    Application,
    Progress,
    Log,
}

impl Callback {
    const fn name(self) -> &'static str {
        match self {
            Self::Application => "an application's callback",
            Self::Progress => "a progress callback",
            Self::Log => "a log callback",
        }
    }
}

thread_local! {
    static INSIDE: Cell<Option<Callback>> = const { Cell::new(None) };
}

/// Held while this thread is in a callback.
pub(crate) struct Inside {
    before: Option<Callback>,
}

/// Notes that this thread goes into a callback.
pub(crate) fn enter(callback: Callback) -> Inside {
    Inside { before: INSIDE.replace(Some(callback)) }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.before);
    }
}

/// The callback that this thread is in.
pub(crate) fn current() -> Option<Callback> {
    INSIDE.get()
}

/// Refuses a call from inside of such a callback.
pub(crate) fn check() -> Result<()> {
    match current() {
        None => Ok(()),
        Some(callback) => {
            Err(Error::unsupported(format!("this may not be called from inside {}", callback.name())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_the_innermost_callback_that_it_is_in() {
        assert!(check().is_ok());
        let outer = enter(Callback::Application);
        {
            let _inner = enter(Callback::Log);
            assert_eq!(current(), Some(Callback::Log));
        }
        assert_eq!(
            check().unwrap_err().message(),
            "this may not be called from inside an application's callback"
        );
        assert!(std::thread::spawn(|| check().is_ok()).join().unwrap());
        drop(outer);
        assert!(check().is_ok());
    }
}

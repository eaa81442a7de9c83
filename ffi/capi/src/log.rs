//! What the library logs, handed to the host.

use std::ffi::{CString, c_char, c_void};
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use kith_core::{Error, Result};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::application::kith_free_callback;
use crate::border::border;
use crate::inside::{self, Callback};
use crate::status::kith_status;

/// Nothing is logged.
pub const KITH_LOG_OFF: u32 = 0;
/// What went wrong and loses something.
pub const KITH_LOG_ERROR: u32 = 1;
/// What went wrong and is dealt with.
pub const KITH_LOG_WARN: u32 = 2;
/// What happens.
pub const KITH_LOG_INFO: u32 = 3;
/// How it happens.
pub const KITH_LOG_DEBUG: u32 = 4;
/// Everything.
pub const KITH_LOG_TRACE: u32 = 5;

/// Told of something that the library says about itself: which part of it (`target`), and the text. Texts are valid until it returns; some of what
/// they say comes from peers. It runs on the thread that has something to say, one of the caller's or of the library's, and on several
/// at once. It should be quick, and the library refuses calls from inside it (KITH_UNSUPPORTED).
#[allow(non_camel_case_types)]
pub type kith_log_callback = Option<
    unsafe extern "C" fn(user_data: *mut c_void, level: u32, target: *const c_char, message: *const c_char),
>;

/// The longest text of a record, in bytes.
const LONGEST: usize = 4096;

struct Sink {
    callback: unsafe extern "C" fn(*mut c_void, u32, *const c_char, *const c_char),
    user_data: *mut c_void,
    free_user_data: kith_free_callback,
}

// SAFETY: the host vouches for its callback and its data.
unsafe impl Send for Sink {}
// SAFETY: as above.
unsafe impl Sync for Sink {}

static LEVEL: AtomicU32 = AtomicU32::new(KITH_LOG_OFF);
/// Read while the callback runs, so that whoever replaces it waits for it.
static SINK: RwLock<Option<Sink>> = RwLock::new(None);
static INSTALLED: OnceLock<bool> = OnceLock::new();

/// Has `callback` told of what the library logs, up to `level` (KITH_LOG_…; what is above it costs nothing), for the whole process and
/// in the place of what was set before. NULL: nothing is told any more. When this returns the callback before is not running and will not
/// be called, and its `user_data` is freed by its `free_user_data`, unless that is NULL. If this fails, nothing has changed.
///
/// # Safety
/// `callback` and `user_data` may be used from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_log_set(
    level: u32,
    callback: kith_log_callback,
    user_data: *mut c_void,
    free_user_data: kith_free_callback,
) -> kith_status {
    border! {
        inside::check()?;
        if level > KITH_LOG_TRACE {
            return Err(Error::invalid_argument(format!("{level} is no level of the log")));
        }
        install()?;
        let level = if callback.is_some() { level } else { KITH_LOG_OFF };
        let sink = callback.map(|callback| Sink { callback, user_data, free_user_data });
        let before = {
            let mut current = SINK.write().unwrap_or_else(PoisonError::into_inner);
            LEVEL.store(level, Ordering::Relaxed);
            std::mem::replace(&mut *current, sink)
        };
        tracing::callsite::rebuild_interest_cache();
        if let Some(Sink { user_data, free_user_data: Some(free), .. }) = before {
            // SAFETY: the host vouches for its callback; nothing uses the data any more.
            unsafe { free(user_data) };
        }
        Ok(())
    }
}

/// The first time, makes this the process's log of what Rust code says.
fn install() -> Result<()> {
    let installed = *INSTALLED.get_or_init(|| tracing::subscriber::set_global_default(Logs).is_ok());
    if installed { Ok(()) } else { Err(Error::busy("another part of this process has the log of Rust code")) }
}

struct Logs;

fn number(level: &Level) -> u32 {
    match *level {
        Level::ERROR => KITH_LOG_ERROR,
        Level::WARN => KITH_LOG_WARN,
        Level::INFO => KITH_LOG_INFO,
        Level::DEBUG => KITH_LOG_DEBUG,
        _ => KITH_LOG_TRACE,
    }
}

impl Subscriber for Logs {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && number(metadata.level()) <= LEVEL.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match LEVEL.load(Ordering::Relaxed) {
            KITH_LOG_OFF => LevelFilter::OFF,
            KITH_LOG_ERROR => LevelFilter::ERROR,
            KITH_LOG_WARN => LevelFilter::WARN,
            KITH_LOG_INFO => LevelFilter::INFO,
            KITH_LOG_DEBUG => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        // What is said inside of the callback would come back to it.
        if inside::current() == Some(Callback::Log) || !self.enabled(event.metadata()) {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let (target, message) = (c_text(event.metadata().target()), c_text(&text.0));
        let sink = SINK.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sink) = &*sink {
            let _inside = inside::enter(Callback::Log);
            // SAFETY: the host vouches for its callback; the lock keeps its data.
            unsafe {
                (sink.callback)(
                    sink.user_data,
                    number(event.metadata().level()),
                    target.as_ptr(),
                    message.as_ptr(),
                );
            }
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What a peer sends may have a NUL in it, where C sees the end.
fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// The message, and the fields behind it, cut where it gets too long.
#[derive(Default)]
struct Text(String);

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let mut room = LONGEST.saturating_sub(self.0.len()).min(more.len());
        while !more.is_char_boundary(room) {
            room -= 1;
        }
        self.0.push_str(&more[..room]);
        if room < more.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // An error says that it is full, which is fine.
        let _ = if field.name() == "message" {
            write!(self, "{value:?}")
        } else {
            write!(self, "{}{}={value:?}", if self.0.is_empty() { "" } else { " " }, field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_stays_cut() {
        let mut text = Text("x".repeat(LONGEST - 2));
        assert!(text.write_str("éa").is_err());
        assert_eq!(text.0.len(), LONGEST);
        let mut text = Text("x".repeat(LONGEST - 1));
        assert!(text.write_str("é").is_err());
        assert_eq!(text.0.len(), LONGEST - 1);
    }
}

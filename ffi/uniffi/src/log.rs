//! What the library logs, on its way to the log of the host's language.
//!
//! Records are filtered here, before they are formatted, and wait in a bounded queue for a thread of their own: the threads that
//! log never wait for the host, and what the queue cannot hold is counted and said.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use kith_core::{Error, ErrorKind};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::Failure;
use crate::gate::{Guest, enter};

/// Records that wait for the host.
const WAITING: usize = 1024;
/// The longest text of a record, in bytes: some of it may come from peers.
const LONGEST: usize = 4096;

/// Something that the library says about itself.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct LogRecord {
    /// "error", "warn", "info", "debug" or "trace".
    pub level: String,
    /// Which part of the library says it, like `kith_core::node::switchboard`.
    pub target: String,
    /// The text.
    pub message: String,
    /// The name of the thread that said it.
    pub thread: String,
}

/// Takes the records, one after another, on a thread of the library's own.
#[uniffi::export(foreign)]
pub trait LogSink: Send + Sync {
    /// Takes one.
    fn log(&self, record: LogRecord) -> Result<(), Failure>;
}

enum Message {
    Record(LogRecord),
    /// Answered when everything before it has been handed over.
    Flush(SyncSender<()>),
}

struct Logs {
    /// The most verbose level that is taken: 0 for none, 1 for errors … 5 for everything.
    level: Arc<AtomicU8>,
    dropped: Arc<AtomicU64>,
    queue: SyncSender<Message>,
}

struct Installed {
    level: Arc<AtomicU8>,
    sink: Arc<Mutex<Guest<dyn LogSink>>>,
    queue: SyncSender<Message>,
}

static FORKED: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<Result<Installed, String>> = OnceLock::new();

const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

fn number(level: Level) -> u8 {
    LEVELS.iter().position(|(_, filter)| *filter == level).unwrap_or(LEVELS.len()) as u8
}

/// From now on records up to this level ("off", "error", "warn", "info", "debug", "trace") go to this sink, and to no other. For the
/// whole process.
#[uniffi::export]
pub fn set_log(level: String, sink: Arc<dyn LogSink>) -> Result<(), Failure> {
    let Some(number) = LEVELS.iter().position(|(name, _)| *name == level) else {
        let message = format!("`{level}` is no level: off, error, warn, info, debug or trace");
        return Err(Error::invalid_argument(message).into());
    };
    let sink = Guest::new(sink);
    let mut first = Some(sink);
    let installed = INSTALLED.get_or_init(|| install(first.take()));
    let installed = installed.as_ref().map_err(|message| Error::new(ErrorKind::Busy, message.clone()))?;
    if let Some(sink) = first {
        *installed.sink.lock().unwrap_or_else(PoisonError::into_inner) = sink;
    }
    installed.level.store(number as u8, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
    Ok(())
}

fn install(sink: Option<Guest<dyn LogSink>>) -> Result<Installed, String> {
    let sink = Arc::new(Mutex::new(sink.ok_or("there is no sink")?));
    let (queue, records) = sync_channel(WAITING);
    let level = Arc::new(AtomicU8::new(0));
    let dropped = Arc::new(AtomicU64::new(0));
    let (taker, missing) = (Arc::clone(&sink), Arc::clone(&dropped));
    std::thread::Builder::new()
        .name("kith-log".into())
        .spawn(move || hand_over(&records, &missing, |record| tell(&taker, record)))
        .map_err(|error| format!("the thread for the log does not start: {error}"))?;
    let logs = Logs { level: Arc::clone(&level), dropped, queue: queue.clone() };
    tracing::subscriber::set_global_default(logs)
        .map_err(|_| "the program has a log of its own for Rust libraries")?;
    Ok(Installed { level, sink, queue })
}

fn tell(sink: &Mutex<Guest<dyn LogSink>>, record: LogRecord) {
    if let Some(_pass) = enter() {
        // A sink that fails has nobody to be told but the log.
        let _ = sink.lock().unwrap_or_else(PoisonError::into_inner).log(record);
    }
}

fn hand_over(queue: &Receiver<Message>, dropped: &AtomicU64, mut tell: impl FnMut(LogRecord)) {
    while let Ok(message) = queue.recv() {
        match message {
            Message::Record(record) => tell(record),
            Message::Flush(done) => {
                // Who asked may have given up.
                let _ = done.try_send(());
            }
        }
        let missed = dropped.swap(0, Ordering::Relaxed);
        if missed > 0 {
            tell(LogRecord {
                level: "warn".into(),
                target: module_path!().into(),
                message: format!("{missed} records were dropped: the log is not read fast enough"),
                thread: "kith-log".into(),
            });
        }
    }
}

/// Nothing is logged any more: the thread that would hand it over was not forked.
pub(crate) fn after_fork() {
    if let Some(Ok(installed)) = INSTALLED.get() {
        FORKED.store(true, Ordering::Relaxed);
        installed.level.store(0, Ordering::Relaxed);
    }
}

/// Waits a little until the sink has been told what was said before.
pub(crate) fn flush(patience: Duration) -> Result<(), RecvTimeoutError> {
    if FORKED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let Some(Ok(installed)) = INSTALLED.get() else { return Ok(()) };
    let (done, told) = sync_channel(1);
    match installed.queue.try_send(Message::Flush(done)) {
        Ok(()) => told.recv_timeout(patience),
        Err(_) => Err(RecvTimeoutError::Timeout),
    }
}

impl Logs {
    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        ours(metadata) && number(*metadata.level()) <= self.level.load(Ordering::Relaxed)
    }
}

fn ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.target().starts_with("kith")
}

impl Subscriber for Logs {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.takes(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.takes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        LEVELS.get(usize::from(self.level.load(Ordering::Relaxed))).map(|(_, filter)| *filter)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let record = LogRecord {
            level: LEVELS.get(usize::from(number(*metadata.level()))).map_or("", |(name, _)| name).to_owned(),
            target: metadata.target().to_owned(),
            message: text.finish(),
            thread: std::thread::current().name().unwrap_or_default().to_owned(),
        };
        if self.queue.try_send(Message::Record(record)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message, then the fields behind it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a text cannot fail; a value whose own code does is left out.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

impl Text {
    fn finish(mut self) -> String {
        self.message.push_str(&self.fields);
        if self.message.len() > LONGEST {
            let mut end = LONGEST;
            while !self.message.is_char_boundary(end) {
                end -= 1;
            }
            self.message.truncate(end);
            self.message.push('…');
        }
        self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(level: u8, room: usize) -> (Logs, Receiver<Message>, Arc<AtomicU64>) {
        let (queue, records) = sync_channel(room);
        let dropped = Arc::new(AtomicU64::new(0));
        (
            Logs { level: Arc::new(AtomicU8::new(level)), dropped: Arc::clone(&dropped), queue },
            records,
            dropped,
        )
    }

    fn taken(records: &Receiver<Message>, dropped: &AtomicU64) -> Vec<(String, String)> {
        let mut told = Vec::new();
        hand_over(records, dropped, |record| told.push((record.level, record.message)));
        told
    }

    #[test]
    fn records_are_filtered_by_level_and_origin_and_carry_their_fields() {
        let (logs, records, dropped) = logs(2, 8);
        tracing::subscriber::with_default(logs, || {
            tracing::warn!(target: "kith_core::node", peer = %"12D3", count = 3, name = "x", "a peer is gone");
            tracing::error!(target: "kith_core::node", "broken");
            tracing::info!(target: "kith_core::node", "too much");
            tracing::error!(target: "libp2p_swarm", "not ours");
        });
        let told = taken(&records, &dropped);
        let wanted = [("warn", "a peer is gone peer=12D3 count=3 name=x"), ("error", "broken")];
        assert_eq!(told, wanted.map(|(level, text)| (level.to_owned(), text.to_owned())));
    }

    #[test]
    fn what_the_queue_cannot_hold_is_counted_and_nobody_waits() {
        let (logs, records, dropped) = logs(5, 2);
        tracing::subscriber::with_default(logs, || {
            for number in 0..10 {
                tracing::debug!(target: "kith", number, "again");
            }
        });
        let told = taken(&records, &dropped);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().any(|(_, text)| text.starts_with("8 records were dropped")), "{told:?}");
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let text = Text { message: "ä".repeat(LONGEST), fields: String::new() };
        let cut = text.finish();
        assert!(cut.ends_with("ä…") && cut.len() <= LONGEST + 3);
    }
}

//! One stream's life: hello, choice, frames, goodbye. A task of its own for each stream; it ends by itself in bounded time
//! once it is told to, or once the connection under it is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::link::{Inbox, Outgoing};
use super::wire::{self, CONTROL, Code, Control, Goodbye, HEADER, Hello, Next};
use super::{Event, Limits, LinkId, PeerId};
use crate::{Error, ErrorKind};

/// How long a goodbye may take: to be sent, and then to be taken note of.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// How long it may take to empty a link that another connection takes over.
const MOVING: Duration = Duration::from_secs(10);
const MOVED: &str = "another connection carries the link";
/// Buffered for each direction of a stream.
const BUFFER: usize = 64 << 10;
/// A frame that arrives more slowly than this many bytes in a second, after the time that every frame has, is given up.
const SLOWEST: u64 = 16 << 10;

/// What a stream tells the network's task.
pub(super) enum Note {
    /// The side that chooses has the peer's hello; or the peer has chosen this stream, and has given its choice a number.
    Greeted { own: u64, hello: Hello, choice: Option<u64>, reply: oneshot::Sender<Result<Granted, Goodbye>> },
    /// The stream is over. Frames that had arrived may still be on their way to the consumer.
    Over { own: u64, reason: Error },
}

/// What a stream gets that carries the link.
pub(super) struct Granted {
    pub(super) link: LinkId,
    pub(super) outgoing: mpsc::Receiver<Outgoing>,
    pub(super) inbox: Inbox,
    /// The end of the peer's link before: its `LinkDown` comes before this `LinkUp`.
    pub(super) before: Option<oneshot::Receiver<()>>,
    /// Dropped once `LinkDown` was handed over.
    pub(super) done: oneshot::Sender<()>,
    pub(super) room: OwnedSemaphorePermit,
}

pub(super) struct Setup {
    pub(super) own: u64,
    pub(super) peer: PeerId,
    pub(super) address: String,
    pub(super) outbound: bool,
    /// Whether this node chooses which stream carries the link.
    pub(super) chooses: bool,
    pub(super) hello: Hello,
    pub(super) limits: Arc<Limits>,
    pub(super) notes: mpsc::Sender<Note>,
    /// Set before the link's queue is closed, if another connection takes over.
    pub(super) moving: Arc<AtomicBool>,
    /// Closes a link's queue; see [`super::link::Links::close`].
    pub(super) shared: Arc<super::handle::Shared>,
}

/// Carries one stream to its end. `gone` says that the connection is gone, or that the stream is not wanted any more; so
/// does dropping its other half.
pub(super) async fn carry<S>(stream: S, setup: Setup, gone: oneshot::Receiver<Error>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut gone = Gone { receiver: gone, reason: None };
    let (reader, writer) = stream.split();
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let mut writer = Writer { inner: BufWriter::with_capacity(BUFFER, writer), midway: false };
    let greeting = timeout(setup.limits.handshake, greet(&mut reader, &mut writer, &setup));
    let greeted = tokio::select! {
        // That the connection is gone says more than the broken stream that comes of it.
        biased;
        reason = gone.wait() => Err(Ending::Gone(reason)),
        greeted = greeting => greeted.unwrap_or_else(|_| {
            Err(Ending::Ours(Goodbye::new(Code::Timeout, "the handshake took too long")))
        }),
    };
    match greeted {
        Err(ending) => {
            let reason = ending.reason();
            let part = part(&mut reader, &mut writer, ending);
            tokio::select! {
                _ = gone.wait() => {}
                () = part => {}
            }
            let _ = setup.notes.send(Note::Over { own: setup.own, reason }).await;
        }
        Ok(granted) => run(reader, writer, setup, gone, granted).await,
    }
}

/// Why a stream ends.
enum Ending {
    /// This side ends it, and says so.
    Ours(Goodbye),
    /// The peer has ended it in good order.
    Theirs(Goodbye),
    /// There is nobody to talk to any more.
    Gone(Error),
}

impl Ending {
    fn reason(&self) -> Error {
        match self {
            Self::Ours(goodbye) => goodbye.said(),
            Self::Theirs(goodbye) => goodbye.heard(),
            Self::Gone(reason) => reason.clone(),
        }
    }

    /// Whether it ends for what the peer did, by what this side has seen of it.
    fn is_fault(&self) -> bool {
        let faults = [ErrorKind::InvalidArgument, ErrorKind::LimitExceeded, ErrorKind::Timeout];
        !matches!(self, Self::Theirs(_)) && faults.contains(&self.reason().kind())
    }
}

impl From<std::io::Error> for Ending {
    fn from(error: std::io::Error) -> Self {
        Self::Gone(Error::new(ErrorKind::Unreachable, format!("the link broke: {error}")))
    }
}

/// Says, as often as it is asked, that the stream is not wanted any more.
struct Gone {
    receiver: oneshot::Receiver<Error>,
    reason: Option<Error>,
}

impl Gone {
    async fn wait(&mut self) -> Error {
        if let Some(reason) = &self.reason {
            return reason.clone();
        }
        let closed = |_| Error::closed("this node's network is closed");
        let reason = (&mut self.receiver).await.unwrap_or_else(closed);
        self.reason.insert(reason).clone()
    }
}

async fn greet(
    reader: &mut (impl AsyncBufReadExt + Unpin),
    writer: &mut Writer<impl AsyncWrite + Unpin>,
    setup: &Setup,
) -> Result<Granted, Ending> {
    writer.control(&Control::Hello(setup.hello.clone())).await?;
    let hello = match read_control(reader).await? {
        Control::Hello(hello) => hello,
        Control::Goodbye(goodbye) => return Err(Ending::Theirs(goodbye)),
        Control::Use(_) => {
            return Err(Ending::Ours(Goodbye::new(Code::Malformed, "the first frame is no hello")));
        }
    };
    let choice = if setup.chooses {
        None
    } else {
        match read_control(reader).await? {
            Control::Use(number) => Some(number),
            Control::Goodbye(goodbye) => return Err(Ending::Theirs(goodbye)),
            Control::Hello(_) => return Err(Ending::Ours(Goodbye::new(Code::Malformed, "a second hello"))),
        }
    };
    let (reply, answer) = oneshot::channel();
    let closed = |_| Ending::Ours(Goodbye::new(Code::Closed, "the node shuts down"));
    let note = Note::Greeted { own: setup.own, hello, choice, reply };
    setup.notes.send(note).await.map_err(|_| closed(()))?;
    let granted = answer.await.map_err(|_| closed(()))?.map_err(Ending::Ours)?;
    if setup.chooses {
        writer.control(&Control::Use(granted.link.0)).await?;
    }
    Ok(granted)
}

/// The link is up: frames both ways until it ends.
async fn run<R, W>(mut reader: R, mut writer: Writer<W>, setup: Setup, mut gone: Gone, granted: Granted)
where
    R: AsyncBufReadExt + Unpin,
    W: AsyncWrite + Unpin,
{
    let Granted { link, mut outgoing, inbox, before, done, room } = granted;
    let told = AtomicBool::new(false);
    let consumer = AtomicBool::new(false);
    let reading = async {
        consumer.store(true, Ordering::Relaxed);
        if let Some(before) = before {
            // An error says that the link before is gone, which is what is waited for.
            let _ = before.await;
        }
        let Setup { peer, outbound, .. } = setup;
        inbox.event(Event::LinkUp { link, peer, address: setup.address.clone(), outbound }).await;
        told.store(true, Ordering::Relaxed);
        loop {
            if let Err(ending) = read_frame(&mut reader, &inbox, &setup.limits, &consumer).await {
                return ending;
            }
        }
    };
    let (ending, connected) = {
        let mut reading = std::pin::pin!(reading);
        let first = {
            let mut writing = std::pin::pin!(write_frames(&mut writer, &mut outgoing));
            let first = tokio::select! {
                biased;
                reason = gone.wait() => Ok(Ending::Gone(reason)),
                ending = &mut reading => Err(ending),
                ending = &mut writing => Ok(ending),
            };
            // Both sides write what is queued before they go over to the other connection.
            if matches!(&first, Err(Ending::Theirs(goodbye)) if goodbye.code == Code::Moved) {
                setup.shared.links.close(link);
                tokio::select! {
                    _ = gone.wait() => {}
                    _ = timeout(MOVING, writing) => {}
                }
            }
            first
        };
        match first {
            // What had arrived before the connection went is still handed over.
            Ok(Ending::Gone(reason)) => {
                (drain(reading, &consumer).await.unwrap_or(Ending::Gone(reason)), false)
            }
            Err(Ending::Theirs(goodbye)) if goodbye.code == Code::Moved => {
                (Ending::Ours(Goodbye::new(Code::Moved, MOVED)), true)
            }
            Ok(Ending::Ours(_)) if setup.moving.load(Ordering::Relaxed) => {
                (empty(&mut writer, reading, &consumer, &mut gone).await, true)
            }
            Ok(ending) | Err(ending) => (ending, true),
        }
    };
    outgoing.close();
    let reason = ending.reason();
    let fault = ending.is_fault();
    // Where the connection went first there is nobody to say goodbye to.
    if connected && !matches!(ending, Ending::Gone(_)) {
        tokio::select! {
            _ = gone.wait() => {}
            () = part(&mut reader, &mut writer, ending) => {}
        }
    }
    let _ = setup.notes.send(Note::Over { own: setup.own, reason: reason.clone() }).await;
    if told.into_inner() {
        inbox.event(Event::LinkDown { link, peer: setup.peer, reason, fault }).await;
    }
    drop(done);
    drop(room);
}

/// This side has written everything, and says so; the other side does the same.
async fn empty(
    writer: &mut Writer<impl AsyncWrite + Unpin>,
    mut reading: impl Future<Output = Ending> + Unpin,
    consumer: &AtomicBool,
    gone: &mut Gone,
) -> Ending {
    let moved = Goodbye::new(Code::Moved, MOVED);
    if let Err(error) = writer.control(&Control::Goodbye(moved.clone())).await {
        return error.into();
    }
    let reason = tokio::select! {
        biased;
        ending = timeout(MOVING, &mut reading) => return ending.unwrap_or(Ending::Theirs(moved)),
        reason = gone.wait() => reason,
    };
    drain(reading, consumer).await.unwrap_or(Ending::Gone(reason))
}

/// Goes on reading what is buffered, for as long as it is the consumer that takes its time. The peer's own goodbye, if
/// it is found there, says more than that the connection is gone.
async fn drain(mut reading: impl Future<Output = Ending> + Unpin, consumer: &AtomicBool) -> Option<Ending> {
    loop {
        match timeout(LINGER, &mut reading).await {
            Ok(Ending::Gone(_)) => return None,
            Ok(ending) => return Some(ending),
            Err(_) if consumer.load(Ordering::Relaxed) => {}
            Err(_) => return None,
        }
    }
}

/// Says goodbye if there is one to say, and waits until the peer has closed its side as well: with QUIC, closing the
/// connection at once would lose what was written last.
async fn part(
    reader: &mut (impl AsyncBufReadExt + Unpin),
    writer: &mut Writer<impl AsyncWrite + Unpin>,
    ending: Ending,
) {
    // What was queued before a move may take the other side a while to read.
    let patience = match &ending {
        Ending::Ours(goodbye) if goodbye.code == Code::Moved => MOVING,
        _ => LINGER,
    };
    let goodbye = async {
        match ending {
            Ending::Ours(goodbye) if !writer.midway => writer.control(&Control::Goodbye(goodbye)).await?,
            Ending::Ours(_) | Ending::Theirs(_) => {}
            Ending::Gone(_) => return Ok(()),
        }
        writer.inner.close().await?;
        loop {
            let len = reader.fill_buf().await?.len();
            if len == 0 {
                return Ok::<(), std::io::Error>(());
            }
            reader.consume_unpin(len);
        }
    };
    // A peer that does not listen, or is gone, misses it.
    let _ = timeout(patience, goodbye).await;
}

async fn read_control(reader: &mut (impl AsyncBufReadExt + Unpin)) -> Result<Control, Ending> {
    let mut header = [0; HEADER];
    reader.read_exact(&mut header).await?;
    match wire::next(header, usize::MAX).map_err(Ending::Ours)? {
        Next::Control(len) => control(reader, len).await,
        Next::Frame(_) => Err(Ending::Ours(Goodbye::new(Code::Malformed, "a frame before the link was up"))),
    }
}

async fn control(reader: &mut (impl AsyncBufReadExt + Unpin), len: usize) -> Result<Control, Ending> {
    let mut bytes = [0; CONTROL];
    let bytes = &mut bytes[..len];
    reader.read_exact(bytes).await?;
    Control::decode(bytes).map_err(Ending::Ours)
}

/// Takes one frame from the peer to the consumer. Nothing is read while the consumer has no room.
async fn read_frame(
    reader: &mut (impl AsyncBufReadExt + Unpin),
    inbox: &Inbox,
    limits: &Limits,
    consumer: &AtomicBool,
) -> Result<(), Ending> {
    consumer.store(false, Ordering::Relaxed);
    if reader.fill_buf().await?.is_empty() {
        return Err(Ending::Theirs(Goodbye::new(Code::Closed, "without a goodbye")));
    }
    let slow = |_| Ending::Ours(Goodbye::new(Code::Timeout, "a frame did not arrive in time"));
    let mut header = [0; HEADER];
    timeout(limits.frame_timeout, reader.read_exact(&mut header)).await.map_err(slow)??;
    let len = match wire::next(header, limits.frame).map_err(Ending::Ours)? {
        Next::Frame(len) => len,
        Next::Control(len) => {
            return Err(
                match timeout(limits.frame_timeout, control(reader, len)).await.map_err(slow)?? {
                    Control::Goodbye(goodbye) => Ending::Theirs(goodbye),
                    Control::Hello(_) | Control::Use(_) => {
                        Ending::Ours(Goodbye::new(Code::Malformed, "a control frame out of place"))
                    }
                },
            );
        }
    };
    consumer.store(true, Ordering::Relaxed);
    let room = inbox.reserve(len).await.map_err(Ending::Gone)?;
    consumer.store(false, Ordering::Relaxed);
    let mut bytes = vec![0; len];
    let whole = len + wire::padding(len).len();
    let (start, mut arrived) = (Instant::now(), 0);
    while arrived < whole {
        // At every moment, not only at the end: who claims much room and sends little loses it soon.
        let until = start + limits.frame_timeout + Duration::from_millis(arrived as u64 * 1000 / SLOWEST);
        let buffered = timeout_at(until, reader.fill_buf()).await.map_err(slow)??;
        if buffered.is_empty() {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        let more = buffered.len().min(whole - arrived);
        let (body, zeros) = buffered[..more].split_at(more.min(len.saturating_sub(arrived)));
        bytes[arrived.min(len)..][..body.len()].copy_from_slice(body);
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(Ending::Ours(Goodbye::new(Code::Malformed, "a frame is filled up with something")));
        }
        reader.consume_unpin(more);
        arrived += more;
    }
    consumer.store(true, Ordering::Relaxed);
    inbox.frame(bytes, room).await.map_err(Ending::Gone)
}

struct Writer<W> {
    inner: BufWriter<W>,
    /// A frame is written in part: nothing else may be written after it.
    midway: bool,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    async fn control(&mut self, control: &Control) -> std::io::Result<()> {
        self.midway = true;
        self.inner.write_all(&control.encode()).await?;
        self.midway = false;
        self.inner.flush().await
    }

    async fn frame(&mut self, outgoing: Outgoing) -> std::io::Result<()> {
        self.midway = true;
        self.inner.write_all(&wire::header(outgoing.bytes.len())).await?;
        self.inner.write_all(&outgoing.bytes).await?;
        self.inner.write_all(wire::padding(outgoing.bytes.len())).await?;
        self.midway = false;
        Ok(())
    }
}

/// Writes what is queued until the queue is closed and empty, or the peer cannot be written to.
async fn write_frames(
    writer: &mut Writer<impl AsyncWrite + Unpin>,
    queue: &mut mpsc::Receiver<Outgoing>,
) -> Ending {
    let broken = |error| Ending::from(error);
    loop {
        let next = match queue.try_recv() {
            Ok(outgoing) => Some(outgoing),
            Err(mpsc::error::TryRecvError::Disconnected) => None,
            Err(mpsc::error::TryRecvError::Empty) => {
                if let Err(error) = writer.inner.flush().await {
                    return broken(error);
                }
                queue.recv().await
            }
        };
        let Some(outgoing) = next else {
            return Ending::Ours(Goodbye::new(Code::Closed, "closed on purpose"));
        };
        if let Err(error) = writer.frame(outgoing).await {
            return broken(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;

    fn setup(notes: mpsc::Sender<Note>) -> Setup {
        Setup {
            own: 5,
            peer: PeerId::of_identity(&[1; 32]),
            address: String::new(),
            outbound: true,
            chooses: true,
            hello: Hello { frame: 0, instance: 0, stream: 5, alive: vec![] },
            limits: Arc::new(Limits::default()),
            notes,
            moving: Arc::default(),
            shared: Arc::new(super::super::handle::Shared::new(PeerId::of_identity(&[2; 32]))),
        }
    }

    /// What a stream's task says at last, given what the peer wrote and whether the stream was already gone.
    async fn over(bytes: Vec<u8>, gone: Option<Error>) -> Error {
        let (notes, mut received) = mpsc::channel(4);
        let (sender, receiver) = oneshot::channel();
        let keep = match gone {
            Some(reason) => sender.send(reason).map(|()| None).unwrap(),
            None => Some(sender),
        };
        carry(Cursor::new(bytes), setup(notes), receiver).await;
        drop(keep);
        match received.recv().await {
            Some(Note::Over { own: 5, reason }) => reason,
            _ => panic!("no end"),
        }
    }

    #[tokio::test]
    async fn a_stream_that_is_gone_from_the_beginning_ends_with_the_reason() {
        let reason = over(Vec::new(), Some(Error::busy("gone"))).await;
        assert_eq!((reason.kind(), reason.message()), (ErrorKind::Busy, "gone"));
    }

    #[tokio::test]
    async fn whether_it_is_gone_can_be_asked_again() {
        let (sender, receiver) = oneshot::channel();
        sender.send(Error::busy("gone")).unwrap();
        let mut gone = Gone { receiver, reason: None };
        assert_eq!(gone.wait().await.message(), "gone");
        assert_eq!(gone.wait().await.message(), "gone");
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_peer_writes_the_task_ends_and_says_so(bytes: Vec<u8>) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(over(bytes, None));
        }
    }
}

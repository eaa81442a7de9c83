//! What every link has, whatever carries it: a bounded queue of frames to send, room for what arrives, and its place in
//! the table of links.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::{Event, Limits, LinkId};
use crate::{Error, Result};

/// The most room in bytes that can be configured.
pub(super) const ROOM: usize = 1 << 30;
/// Frames up to this size take no part of the room that all links share, so that nobody who fills it with large frames
/// that never end can hold up the small ones of others.
pub(super) const SMALL: usize = 16 << 10;

/// What the network tells its node, in order. Taking a frame makes room for the next one: a consumer that does not
/// take events stops the peers from sending, not the node from living.
pub struct Events {
    receiver: mpsc::Receiver<Held>,
}

impl Events {
    /// The next event; `None` once the network has been shut down and everything was taken. Cancelling loses nothing.
    pub async fn recv(&mut self) -> Option<Event> {
        self.receiver.recv().await.map(|held| held.event)
    }

    /// The next event if there is one now.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.receiver.try_recv().ok().map(|held| held.event)
    }

    /// Like [`Self::recv`], for a future written by hand.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.receiver.poll_recv(cx).map(|held| held.map(|held| held.event))
    }

    /// Like [`Self::recv`], on a thread that is no worker of the runtime.
    pub fn blocking_recv(&mut self) -> Option<Event> {
        self.receiver.blocking_recv().map(|held| held.event)
    }
}

/// An event with the room that it takes up until it is taken.
pub(super) struct Held {
    event: Event,
    _room: Option<Room>,
}

impl From<Event> for Held {
    fn from(event: Event) -> Self {
        Self { event, _room: None }
    }
}

/// Room for one frame that arrives.
pub(super) struct Room {
    _link: OwnedSemaphorePermit,
    _shared: Option<OwnedSemaphorePermit>,
}

/// Where all links of a node put what arrives.
#[derive(Clone)]
pub(super) struct Sink {
    pub(super) events: mpsc::Sender<Held>,
    shared: Arc<Semaphore>,
}

impl Sink {
    pub(super) fn new(limits: &Limits) -> (Self, Events) {
        let (events, receiver) = mpsc::channel(limits.events);
        (Self { events, shared: Arc::new(Semaphore::new(limits.inbound_bytes)) }, Events { receiver })
    }

    /// One link's way into it.
    pub(super) fn for_link(&self, link: LinkId, limits: &Limits) -> Inbox {
        Inbox { link, sink: self.clone(), own: Arc::new(Semaphore::new(limits.inbound_bytes_per_link)) }
    }

    /// Hands an event over once there is room; nobody listens any more: it is dropped.
    pub(super) async fn put(&self, event: Event) {
        let _ = self.events.send(event.into()).await;
    }
}

/// One link's way to the consumer.
pub(super) struct Inbox {
    link: LinkId,
    sink: Sink,
    own: Arc<Semaphore>,
}

impl Inbox {
    /// Waits for room for a frame of `len` bytes, which are within the limit of a frame.
    pub(super) async fn reserve(&self, len: usize) -> Result<Room> {
        let gone = |_| Error::closed("this node's network is closed");
        let permits = u32::try_from(len).map_err(|_| Error::limit_exceeded("the frame is too large"))?;
        let link = Arc::clone(&self.own).acquire_many_owned(permits).await.map_err(gone)?;
        let shared = if len > SMALL {
            Some(Arc::clone(&self.sink.shared).acquire_many_owned(permits).await.map_err(gone)?)
        } else {
            None
        };
        Ok(Room { _link: link, _shared: shared })
    }

    /// Hands a frame over once the consumer has a place for it.
    pub(super) async fn frame(&self, bytes: Vec<u8>, room: Room) -> Result<()> {
        let event = Event::Frame { link: self.link, bytes };
        self.sink
            .events
            .send(Held { event, _room: Some(room) })
            .await
            .map_err(|_| Error::closed("this node takes no events any more"))
    }

    pub(super) async fn event(&self, event: Event) {
        self.sink.put(event).await;
    }

    /// Tells what may be missed: dropped when the consumer is slow.
    pub(super) fn hint(&self, event: Event) {
        let _ = self.sink.events.try_send(event.into());
    }
}

/// A frame on its way out, with the room that it takes up until it is written.
pub(super) struct Outgoing {
    pub(super) bytes: Vec<u8>,
    pub(super) queued: Instant,
    _room: OwnedSemaphorePermit,
}

/// The sending half of a link, as its node sees it.
#[derive(Clone)]
struct Sender {
    queue: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    frame: usize,
}

impl Sender {
    fn check(&self, len: usize) -> Result<u32> {
        match u32::try_from(len) {
            Ok(permits) if len <= self.frame => Ok(permits),
            _ => Err(Error::limit_exceeded(format!("a frame has at most {} bytes, not {len}", self.frame))),
        }
    }
}

/// The links that are up.
#[derive(Default)]
pub(super) struct Links {
    last: AtomicU64,
    senders: Mutex<HashMap<LinkId, Sender>>,
}

fn closed<T>(_: T) -> Error {
    Error::closed("the link is closed")
}

impl Links {
    /// A new name.
    pub(super) fn name(&self) -> LinkId {
        LinkId(self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Opens the queue of a link; `frame` is what both sides take.
    pub(super) fn open(&self, link: LinkId, frame: usize, limits: &Limits) -> mpsc::Receiver<Outgoing> {
        let (queue, receiver) = mpsc::channel(limits.outbound_frames);
        let room = Arc::new(Semaphore::new(limits.outbound_bytes));
        self.senders().insert(link, Sender { queue, room, frame });
        receiver
    }

    /// Takes a link out: nothing more can be sent, and who waits to send is told. What is queued can still be written.
    pub(super) fn close(&self, link: LinkId) -> bool {
        let sender = self.senders().remove(&link);
        sender.inspect(|sender| sender.room.close()).is_some()
    }

    /// Whether the link still takes frames. It ends there first, before anybody is told.
    pub(super) fn is_open(&self, link: LinkId) -> bool {
        self.senders().get(&link).is_some_and(|sender| !sender.queue.is_closed())
    }

    pub(super) fn close_all(&self) {
        for (_, sender) in self.senders().drain() {
            sender.room.close();
        }
    }

    pub(super) async fn send(&self, link: LinkId, bytes: Vec<u8>) -> Result<()> {
        let sender = self.sender(link)?;
        let permits = sender.check(bytes.len())?;
        let room = Arc::clone(&sender.room).acquire_many_owned(permits).await.map_err(closed)?;
        let outgoing = Outgoing { bytes, queued: Instant::now(), _room: room };
        sender.queue.send(outgoing).await.map_err(closed)
    }

    pub(super) fn try_send(&self, link: LinkId, bytes: Vec<u8>) -> Result<()> {
        let busy = || Error::busy("the link's queue is full");
        let sender = self.sender(link)?;
        let permits = sender.check(bytes.len())?;
        let room = match Arc::clone(&sender.room).try_acquire_many_owned(permits) {
            Ok(room) => room,
            Err(tokio::sync::TryAcquireError::NoPermits) => return Err(busy()),
            Err(tokio::sync::TryAcquireError::Closed) => return Err(closed(())),
        };
        match sender.queue.try_send(Outgoing { bytes, queued: Instant::now(), _room: room }) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(busy()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(closed(())),
        }
    }

    fn sender(&self, link: LinkId) -> Result<Sender> {
        self.senders().get(&link).cloned().ok_or_else(|| closed(()))
    }

    fn senders(&self) -> MutexGuard<'_, HashMap<LinkId, Sender>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

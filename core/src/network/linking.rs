//! Streams with peers, and which of them carry links.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use libp2p::swarm::ConnectionId;
use tokio::sync::oneshot;

use super::address;
use super::choice::{Choice, chooses};
use super::engine::{Engine, Stream};
use super::pulse::Watched;
use super::stream::{Granted, Note, Setup, carry};
use super::unlinked::Why;
use super::wire::{Code, Goodbye, Hello};
use crate::{Error, Result};

impl Engine {
    pub(super) fn opened(&mut self, id: ConnectionId, stream: libp2p::Stream) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let peer = connection.peer;
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        self.last_stream += 1;
        let own = self.last_stream;
        connection.stream = Some(own);
        let hello = Hello {
            // A frame is at most 4 MiB.
            frame: self.limits.frame as u32,
            instance: self.instance,
            stream: own,
            alive: entry.book.open(own, connection.relayed),
        };
        let moving = Arc::new(AtomicBool::new(false));
        let setup = Setup {
            own,
            peer,
            address: address::with_peer(&connection.remote, peer),
            outbound: connection.outbound,
            chooses: chooses(self.backend.shared.peer, peer),
            hello,
            limits: Arc::clone(&self.limits),
            notes: self.notes.0.clone(),
            moving: Arc::clone(&moving),
            shared: Arc::clone(&self.backend.shared),
        };
        let stream = Watched::new(stream, Arc::clone(&connection.alive));
        let (gone, gone_receiver) = oneshot::channel();
        self.streams.insert(own, Stream { peer, connection: id, gone: Some(gone), link: None, moving });
        tokio::spawn(carry(stream, setup, gone_receiver));
    }

    pub(super) fn on_note(&mut self, note: Note) {
        match note {
            Note::Greeted { own, hello, choice, reply } => {
                let outcome = self.greeted(own, &hello, choice);
                let _ = reply.send(outcome);
            }
            Note::Over { own, reason } => {
                if let Some(stream) = self.streams.get(&own) {
                    let connection = stream.connection;
                    self.stream_gone(own, reason);
                    // It may have outlived its connection by what was buffered.
                    self.close_connection(connection);
                }
            }
        }
    }

    fn greeted(&mut self, own: u64, hello: &Hello, chosen: Option<u64>) -> Result<Granted, Goodbye> {
        let closed = || Goodbye::new(Code::Closed, "the connection is gone");
        if self.swarm.behaviour().kith.closed {
            return Err(Goodbye::new(Code::Closed, "the node shuts down"));
        }
        let peer = self.streams.get(&own).map(|stream| stream.peer).ok_or_else(closed)?;
        let room = Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|_| Goodbye::new(Code::Busy, "no room for another link"))?;
        let book = &mut self.peers.get_mut(&peer).ok_or_else(closed)?.book;
        let choice = match chosen {
            None => book.choose(own, hello),
            Some(number) => book.chosen(own, hello, number),
        };
        match choice {
            Choice::Surplus => {
                return Err(Goodbye::new(Code::Surplus, "another connection carries the link"));
            }
            Choice::Use => {}
            Choice::Upgrade(before) => self.empty(before),
            Choice::Replace(before) => {
                let connection = self.streams.get(&before).map(|stream| stream.connection);
                self.stream_gone(before, Error::closed("the peer has a new connection"));
                connection.into_iter().for_each(|connection| {
                    self.close_connection(connection);
                });
            }
        }
        let shared = &self.backend.shared;
        let link = shared.links.name();
        let frame = self.limits.frame.min(hello.frame as usize);
        let (done, done_receiver) = oneshot::channel();
        let granted = Granted {
            link,
            outgoing: shared.links.open(link, frame, &self.limits),
            inbox: self.sink.for_link(link, &self.limits),
            before: self.latest.insert(peer, done_receiver),
            done,
            room,
        };
        let connection = self.streams.get_mut(&own).map(|stream| {
            stream.link = Some(link);
            stream.connection
        });
        let on = connection.and_then(|connection| self.connections.get_mut(&connection));
        let on = on.map(|connection| {
            connection.linked = true;
            &*connection
        });
        self.keeper.up(peer, link, on.is_some_and(|connection| connection.relayed));
        if let Some(entry) = self.peers.get_mut(&peer) {
            (entry.failure, entry.dialled) = (None, false);
            for waiter in entry.waiters.drain(..) {
                let _ = waiter.send(Ok(link));
            }
        }
        if let Some(connection) = connection {
            self.tell_addresses(connection);
        }
        Ok(granted)
    }

    /// The books forget a stream. Its task ends by itself, and may still hand over what had arrived.
    pub(super) fn stream_gone(&mut self, own: u64, reason: Error) {
        let Some(mut stream) = self.streams.remove(&own) else { return };
        if let Some(gone) = stream.gone.take() {
            let _ = gone.send(reason.clone());
        }
        if let Some(entry) = self.peers.get_mut(&stream.peer) {
            entry.book.gone(own);
        }
        match stream.link {
            Some(link) => {
                self.backend.shared.links.close(link);
                self.keeper.down(stream.peer, link);
            }
            None => {
                if let Some(connection) = self.connections.get_mut(&stream.connection) {
                    connection.unlinked.get_or_insert(Why::of(&reason));
                }
                self.failed(stream.peer, reason);
            }
        }
        self.latest.retain(|_, done| matches!(done.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
    }
}

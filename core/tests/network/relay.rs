//! A real relay of libp2p, on a thread of its own so that it can die at once, which notes every byte that it forwards: what is on its streams
//! once its own connections' encryption is taken off.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::io::{AsyncRead, AsyncWrite, IoSlice};
use futures::{StreamExt, ready};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent};
use libp2p::core::upgrade::Version;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Swarm, Transport, identify, noise, ping, quic, relay, tcp, yamux};
use tokio::sync::oneshot;

#[derive(libp2p::swarm::NetworkBehaviour)]
struct Server {
    relay: relay::Behaviour,
    ping: ping::Behaviour,
    identify: identify::Behaviour,
}

/// What went over each stream, in each direction.
pub(crate) type Seen = Arc<Mutex<Vec<Arc<Mutex<Vec<u8>>>>>>;

pub(crate) struct Relay {
    pub(crate) address: String,
    pub(crate) seen: Seen,
    secret: [u8; 32],
    listen: Multiaddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Room for everything that a test does.
pub(crate) fn generous() -> relay::Config {
    relay::Config {
        max_circuits: 1024,
        max_circuits_per_peer: 1024,
        max_circuit_bytes: 1 << 30,
        max_circuit_duration: Duration::from_secs(3600),
        reservation_rate_limiters: Vec::new(),
        circuit_src_rate_limiters: Vec::new(),
        ..Default::default()
    }
}

impl Relay {
    pub(crate) async fn start(config: relay::Config) -> Self {
        Self::start_on(super::common::TCP, config).await
    }

    pub(crate) async fn start_on(listen: &str, config: relay::Config) -> Self {
        Self::start_at(super::common::secret(), listen.parse().unwrap(), config).await
    }

    async fn start_at(secret: [u8; 32], listen: Multiaddr, config: relay::Config) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (listening, at) = oneshot::channel();
        let seen = Seen::default();
        let tap = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! { () = serve(secret, listen, config, tap, listening) => {} _ = stopped => {} }
            });
        });
        let listen = super::common::soon(at).await.unwrap();
        let peer = kith_core::network::PeerId::of_identity(&secret);
        let address = format!("{listen}/p2p/{peer}");
        Self { address, seen, secret, listen, stop: Some(stop), thread: Some(thread) }
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// Dies without a word.
    pub(crate) fn kill(mut self) -> Dead {
        self.end();
        Dead { secret: self.secret, listen: self.listen.clone() }
    }

    /// Everything that it forwarded, stream by stream.
    pub(crate) fn streams(&self) -> Vec<Vec<u8>> {
        streams(&self.seen)
    }
}

pub(crate) fn streams(seen: &Seen) -> Vec<Vec<u8>> {
    seen.lock().unwrap().iter().map(|stream| stream.lock().unwrap().clone()).collect()
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
    }
}

pub(crate) struct Dead {
    secret: [u8; 32],
    listen: Multiaddr,
}

impl Dead {
    /// Comes back at the same address.
    pub(crate) async fn revive(self, config: relay::Config) -> Relay {
        Relay::start_at(self.secret, self.listen, config).await
    }
}

async fn serve(
    secret: [u8; 32],
    listen: Multiaddr,
    config: relay::Config,
    seen: Seen,
    listening: oneshot::Sender<Multiaddr>,
) {
    let key = libp2p::identity::Keypair::ed25519_from_bytes(secret).unwrap();
    let peer = key.public().to_peer_id();
    let transport = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer): (PeerId, _), _| (peer, StreamMuxerBox::new(muxer)))
        .or_transport(
            quic::tokio::Transport::new(quic::Config::new(&key))
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))),
        )
        .map(move |either, _| {
            let (peer, muxer) = either.into_inner();
            (peer, StreamMuxerBox::new(Tapped::new(muxer, Arc::clone(&seen))))
        })
        .boxed();
    let behaviour = Server {
        relay: relay::Behaviour::new(peer, config),
        ping: ping::Behaviour::default(),
        identify: identify::Behaviour::new(identify::Config::new("/relay".into(), key.public())),
    };
    let settings =
        libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(60));
    let mut swarm = Swarm::new(transport, behaviour, peer, settings);
    swarm.listen_on(listen).unwrap();
    let mut listening = Some(listening);
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            swarm.add_external_address(address.clone());
            if let Some(listening) = listening.take() {
                let _ = listening.send(address);
            }
        }
    }
}

/// A connection whose streams are noted.
pub(crate) struct Tapped<M> {
    inner: M,
    seen: Seen,
}

impl<M> Tapped<M> {
    pub(crate) fn new(inner: M, seen: Seen) -> Self {
        Self { inner, seen }
    }

    fn stream<S>(&self, inner: S) -> Noted<S> {
        let notes: [Arc<Mutex<Vec<u8>>>; 2] = Default::default();
        self.seen.lock().unwrap().extend(notes.iter().cloned());
        Noted { inner, notes }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Tapped<M>
where
    M::Substream: Unpin,
{
    type Substream = Noted<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_inbound(cx))?;
        Poll::Ready(Ok(self.stream(stream)))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_outbound(cx))?;
        Poll::Ready(Ok(self.stream(stream)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// A stream, with what was read from it and what was written to it.
pub(crate) struct Noted<S> {
    inner: S,
    notes: [Arc<Mutex<Vec<u8>>>; 2],
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.notes[0].lock().unwrap().extend(&buffer[..read]);
        Poll::Ready(Ok(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buffer))?;
        self.notes[1].lock().unwrap().extend(&buffer[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let first = buffers.iter().find(|buffer| !buffer.is_empty()).map_or(&[][..], |buffer| buffer);
        self.poll_write(cx, first)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

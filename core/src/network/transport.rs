//! The sockets: TCP with Noise and Yamux, QUIC, and names looked up by the system's resolver.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Transport, dns, noise, quic, relay, tcp, yamux};
use socket2::{Domain, Socket, Type};

use super::Limits;
use super::address::is_relayed;
use crate::{Error, Result};

/// The most streams that a peer has open on a connection: ours, probes, a few that come and go, and on one with a relay those that go on
/// through it.
const STREAMS: u32 = 64;
/// What a peer may have sent on a QUIC stream, and on a QUIC connection, before it was read.
const QUIC_STREAM: u32 = 2 << 20;
const QUIC_CONNECTION: u32 = 3 << 20;

/// With `circuits`, also through relays: encrypted between the two ends, whatever the relay does.
pub(super) fn build(
    key: &Keypair,
    limits: &Limits,
    circuits: Option<relay::client::Transport>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let direct = direct(key, limits)?;
    let Some(circuits) = circuits else { return Ok(direct) };
    let noise = noise::Config::new(key).map_err(|e| Error::internal(format!("noise: {e}")))?;
    let relayed = circuits
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux())
        .timeout(limits.dial)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(relayed
        .or_transport(direct)
        .map(|either, _| match either {
            futures::future::Either::Left(output) | futures::future::Either::Right(output) => output,
        })
        .boxed())
}

fn yamux() -> yamux::Config {
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(STREAMS as usize);
    yamux
}

fn direct(key: &Keypair, limits: &Limits) -> Result<Boxed<(PeerId, StreamMuxerBox)>> {
    // Without a resolver (no configuration of the system can be read) names cannot be dialled; all else can.
    let named = dns::tokio::Transport::system(sockets(key, limits)?);
    Ok(match named {
        Ok(named) => named.boxed(),
        Err(error) => {
            tracing::warn!("names cannot be dialled: {error}");
            sockets(key, limits)?
        }
    })
}

fn sockets(key: &Keypair, limits: &Limits) -> Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let noise = noise::Config::new(key).map_err(|e| Error::internal(format!("noise: {e}")))?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux())
        .timeout(limits.dial)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let mut quic = quic::Config::new(key);
    quic.handshake_timeout = limits.dial;
    quic.max_idle_timeout = millis(limits.ping_every + limits.ping_timeout);
    quic.keep_alive_interval = limits.ping_every;
    quic.max_concurrent_stream_limit = STREAMS;
    quic.max_stream_data = QUIC_STREAM;
    quic.max_connection_data = QUIC_CONNECTION;
    let quic = quic::tokio::Transport::new(quic).map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    Ok(quic
        .or_transport(tcp)
        .map(|either, _| match either {
            futures::future::Either::Left(output) | futures::future::Either::Right(output) => output,
        })
        .boxed())
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// The socket address of an address to listen at, and whether it is TCP.
fn socket_address(address: &Multiaddr) -> Option<(SocketAddr, bool)> {
    if is_relayed(address) {
        // That socket is the relay's.
        return None;
    }
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some((SocketAddr::new(ip, port), true)),
        Protocol::Udp(port) => Some((SocketAddr::new(ip, port), false)),
        _ => None,
    }
}

/// Whether nobody has the port. libp2p shares TCP ports (`SO_REUSEPORT`): without this, a second node at the same port
/// would be let in silently and take every other connection.
pub(super) fn is_free(address: &Multiaddr) -> io::Result<()> {
    let Some((address, is_tcp)) = socket_address(address) else { return Ok(()) };
    if address.port() == 0 {
        return Ok(());
    }
    let kind = if is_tcp { Type::STREAM } else { Type::DGRAM };
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if is_tcp {
        // Connections that linger do not count, listeners do.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_seen() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address: Multiaddr =
            format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port()).parse().unwrap();
        assert_eq!(is_free(&address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(taken);
        is_free(&address).unwrap();
        is_free(&"/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    }
}

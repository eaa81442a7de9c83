//! The decoders of what comes over a stream, of addresses, of peers' names, and of invitations.

use libp2p::Multiaddr;

use super::address;
use super::peer::PeerId;
use super::wire::{self, ALIVE, CONTROL, Code, Control, Goodbye, HEADER, Hello, Next, TEXT};
use crate::fuzzing::{Decoder, Input};
use crate::invitation::fuzzing as invitation;
use crate::limits;
use crate::node::gossip_fuzzing as gossip;

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder { name: "control", check: control, seeds: controls },
    Decoder { name: "stream", check: stream, seeds: streams },
    Decoder { name: "address", check: address_text, seeds: addresses },
    Decoder { name: "learned", check: learned, seeds: learned_seeds },
    Decoder { name: "peer", check: peer, seeds: || vec![PeerId::of_identity(&[1; 32]).to_bytes()] },
    Decoder {
        name: "peer-text",
        check: peer_text,
        seeds: || vec![PeerId::of_identity(&[1; 32]).to_string().into()],
    },
    Decoder { name: "topic", check: super::gossip::topic_text, seeds: || vec![[b'a'; 64].to_vec()] },
    Decoder { name: "gossip", check: gossip::envelope, seeds: gossip::envelopes },
    Decoder { name: "invitation", check: invitation::bytes, seeds: invitation::byte_seeds },
    Decoder { name: "invitation-text", check: invitation::text, seeds: invitation::text_seeds },
    Decoder { name: "invitation-signed", check: invitation::signed, seeds: invitation::byte_seeds },
];

fn control(input: &Input<'_>) {
    let decode = |bytes: &[u8]| Control::decode(bytes).ok();
    let encode = |control: &Control| control.encode()[HEADER..].to_vec();
    match input.comes_back(decode, encode) {
        Some(Control::Hello(hello)) => assert!(hello.alive.len() <= ALIVE),
        Some(Control::Goodbye(goodbye)) => {
            assert!(goodbye.text.len() <= TEXT);
            let _ = (goodbye.heard(), goodbye.said());
        }
        _ => {}
    }
}

/// Frame after frame, as a stream's reader takes them: nothing larger than what was agreed is allocated for.
fn stream(input: &Input<'_>) {
    let mut bytes = input.bytes;
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() {
        let length = match wire::next(*header, limits::FRAME) {
            Ok(Next::Frame(length)) => {
                assert!(length <= limits::FRAME);
                assert_eq!(wire::header(length), *header);
                length + wire::padding(length).len()
            }
            Ok(Next::Control(length)) => {
                assert!((1..=CONTROL).contains(&length));
                control(&Input { bytes: &rest[..length.min(rest.len())], ..*input });
                length
            }
            Err(goodbye) => {
                let said = Control::Goodbye(goodbye).encode();
                assert!(said.len() <= HEADER + CONTROL);
                return;
            }
        };
        bytes = &rest[length.min(rest.len())..];
    }
}

/// A frame as it goes over a stream.
#[must_use]
pub fn framed(frame: &[u8]) -> Vec<u8> {
    [&wire::header(frame.len())[..], frame].concat()
}

/// The next whole frame of what has come over a stream, taken off as a stream's reader takes it; `Ok(None)` until it is there. An error is
/// what ends the stream.
pub fn unframed(arrived: &mut Vec<u8>) -> crate::Result<Option<Vec<u8>>> {
    let Some((header, rest)) = arrived.split_first_chunk::<HEADER>() else { return Ok(None) };
    match wire::next(*header, limits::FRAME).map_err(|goodbye| goodbye.said())? {
        Next::Frame(length) if length > rest.len() => Ok(None),
        Next::Frame(length) => {
            let frame = rest[..length].to_vec();
            arrived.drain(..HEADER + length);
            Ok(Some(frame))
        }
        Next::Control(length) if length > rest.len() => Ok(None),
        Next::Control(length) => {
            Err(match Control::decode(&rest[..length]).map_err(|goodbye| goodbye.said())? {
                Control::Goodbye(goodbye) => goodbye.heard(),
                _ => Goodbye::new(Code::Malformed, "a control frame out of place").said(),
            })
        }
    }
}

fn address_text(input: &Input<'_>) {
    let Ok(text) = std::str::from_utf8(input.bytes) else { return };
    let peer = PeerId::of_identity(&[1; 32]);
    for parsed in [address::parse(text).map(|target| target.address), address::parse_listen(text)] {
        let Ok(address) = parsed else { continue };
        let shown = address.to_string();
        let again: Result<Multiaddr, _> = shown[usize::from(input.lenient)..].parse();
        assert_eq!(again.as_ref().ok(), Some(&address), "{shown:?} does not come back");
    }
    if let Ok((relay, address)) = address::parse_relay(text) {
        assert!(address::is_relayed(&address::circuit(relay, &address)));
    }
    let _ = address::rank(text);
    let _ = address::parse_with_peer(text);
    let _ = address::parse_all(peer, &[text.to_owned()], 8);
}

/// What a peer says of its addresses: those that are kept can be dialled, and name that peer.
fn learned(input: &Input<'_>) {
    let peer = PeerId::of_identity(&[1; 32]);
    let mut said = Vec::new();
    let mut bytes = input.bytes;
    while let Some((length, rest)) = bytes.split_first() {
        let (address, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = rest;
        said.extend(Multiaddr::try_from(address.to_vec()));
    }
    let seen = said.first().cloned();
    for text in address::learned(peer, said, seen.as_ref(), 4) {
        let cut = &text[..text.len() - usize::from(input.lenient)];
        let Ok((named, _)) = address::parse_with_peer(cut) else { panic!("{text:?} cannot be dialled") };
        assert_eq!(named, peer);
    }
}

fn peer(input: &Input<'_>) {
    if let Some(peer) = input.canonical(|bytes| PeerId::from_bytes(bytes).ok(), |peer| peer.to_bytes()) {
        assert_eq!(peer.to_string().parse::<PeerId>().ok(), Some(peer));
    }
}

fn peer_text(input: &Input<'_>) {
    let decode = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<PeerId>().ok();
    input.comes_back(decode, |peer| peer.to_string().into_bytes());
}

fn real_controls() -> Vec<Control> {
    vec![
        Control::Hello(Hello { frame: 4 << 20, instance: 7, stream: 1, alive: vec![3, 4] }),
        Control::Use(5),
        Control::Goodbye(Goodbye::new(Code::Busy, "later")),
    ]
}

fn controls() -> Vec<Vec<u8>> {
    real_controls().iter().map(|control| control.encode()[HEADER..].to_vec()).collect()
}

fn streams() -> Vec<Vec<u8>> {
    let mut stream: Vec<u8> = real_controls()[..2].iter().flat_map(Control::encode).collect();
    stream.extend(wire::header(3));
    stream.extend([1, 2, 3]);
    stream.extend(wire::padding(3));
    stream.extend(real_controls()[2].encode());
    vec![stream]
}

const TEXTS: [&str; 3] =
    ["/ip4/192.0.2.1/tcp/4001", "/dns4/example.org/udp/4001/quic-v1", "/ip6/2001:db8::1/udp/4001/quic-v1"];

fn addresses() -> Vec<Vec<u8>> {
    let peer = PeerId::of_identity(&[1; 32]);
    let mut all: Vec<Vec<u8>> = TEXTS.map(|text| text.as_bytes().to_vec()).into();
    all.push(format!("{}/p2p/{peer}", TEXTS[0]).into_bytes());
    let relay = PeerId::of_identity(&[2; 32]);
    all.push(format!("{}/p2p/{relay}/p2p-circuit/p2p/{peer}", TEXTS[0]).into_bytes());
    all
}

fn learned_seeds() -> Vec<Vec<u8>> {
    let bytes = |text: &str| text.parse::<Multiaddr>().map(|address| address.to_vec()).unwrap_or_default();
    vec![TEXTS.iter().flat_map(|text| [vec![bytes(text).len() as u8], bytes(text)].concat()).collect()]
}

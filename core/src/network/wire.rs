//! The bytes on a link: what a header says, and the few frames that are the network's own. `docs/network.md` has the
//! layout in words; it is frozen as far as the choice of a version needs it.

use crate::padding::Buckets;
use crate::{Error, ErrorKind};

/// The name under which the stream is asked for. It has no version: the first frame has.
pub(super) const PROTOCOL: &str = "/kith";
/// The versions that this build speaks.
pub(super) const VERSIONS: std::ops::RangeInclusive<u16> = 1..=1;
/// The largest frame of the network's own, in bytes.
pub(super) const CONTROL: usize = 1024;
/// Bytes in front of every frame.
pub(super) const HEADER: usize = 4;
/// The longest text in a goodbye, in bytes.
pub(super) const TEXT: usize = 256;
/// The most streams that a hello says are alive: more than any peer may have.
pub(super) const ALIVE: usize = 32;

/// What frames of the layer above take up with their headers, for the eyes of a relay and of whoever else is on the path: not the length of
/// what somebody wrote. In large frames much is put together, and a quarter more of them would be much: hence the largest step.
const SIZES: Buckets = Buckets { smallest: 256, largest_step: 4096 };
static ZEROS: [u8; 4096] = [0; 4096];

const MAGIC: [u8; 4] = *b"kith";
const OWN: u32 = 1 << 31;
const HELLO: u8 = 1;
const USE: u8 = 2;
const GOODBYE: u8 = 3;

/// What comes after a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A frame of the layer above.
    Frame(usize),
    /// One of the network's own.
    Control(usize),
}

pub(super) fn header(len: usize) -> [u8; HEADER] {
    // No frame is longer than 4 MiB.
    (len as u32 & !OWN).to_le_bytes()
}

/// The zeros that follow a frame of this length.
pub(super) fn padding(len: usize) -> &'static [u8] {
    &ZEROS[..SIZES.size(HEADER + len) - HEADER - len]
}

/// Reads a header. `frame` is what this side takes; nothing is allocated before this said yes.
pub(super) fn next(header: [u8; HEADER], frame: usize) -> Result<Next, Goodbye> {
    let word = u32::from_le_bytes(header);
    let len = (word & !OWN) as usize;
    if word & OWN == 0 {
        if len > frame {
            let text = format!("a frame of {len} bytes; at most {frame} are taken");
            return Err(Goodbye::new(Code::TooLarge, text));
        }
        return Ok(Next::Frame(len));
    }
    if len == 0 || len > CONTROL {
        return Err(Goodbye::new(Code::Malformed, "a control frame of a wrong size"));
    }
    Ok(Next::Control(len))
}

/// A frame of the network's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Hello(Hello),
    /// From the side that chooses: this stream carries the link. With the number of the choice: later ones have greater
    /// numbers.
    Use(u64),
    Goodbye(Goodbye),
}

/// The first frame each way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// The largest frame that the sender takes.
    pub(super) frame: u32,
    /// Random; another one after each start of the sender.
    pub(super) instance: u64,
    /// The sender's number for this stream: later ones have greater numbers.
    pub(super) stream: u64,
    /// The sender's numbers of the other streams with the recipient that it believes to be alive.
    pub(super) alive: Vec<u64>,
}

/// Why one side ends a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Goodbye {
    pub(super) code: Code,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    Closed = 1,
    VersionMismatch = 2,
    Surplus = 3,
    Busy = 4,
    Malformed = 5,
    TooLarge = 6,
    Timeout = 7,
    /// Another connection carries the link from now on: what is queued here is still written, both ways.
    Moved = 8,
}

impl Code {
    fn of(byte: u8) -> Self {
        match byte {
            2 => Self::VersionMismatch,
            3 => Self::Surplus,
            4 => Self::Busy,
            5 => Self::Malformed,
            6 => Self::TooLarge,
            7 => Self::Timeout,
            8 => Self::Moved,
            _ => Self::Closed,
        }
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::Closed | Self::Surplus | Self::Moved => ErrorKind::Closed,
            Self::VersionMismatch => ErrorKind::VersionMismatch,
            Self::Busy => ErrorKind::Busy,
            Self::Malformed => ErrorKind::InvalidArgument,
            Self::TooLarge => ErrorKind::LimitExceeded,
            Self::Timeout => ErrorKind::Timeout,
        }
    }
}

impl Goodbye {
    pub(super) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// What this node's side makes of it when it says it.
    pub(super) fn said(&self) -> Error {
        Error::new(self.code.kind(), self.text.clone())
    }

    /// What this node's side makes of it when the peer says it.
    pub(super) fn heard(&self) -> Error {
        let text = if self.text.is_empty() { "no reason given" } else { &self.text };
        Error::new(self.code.kind(), format!("the peer ended the link: {text}"))
    }
}

impl Control {
    /// With its header.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        match self {
            Self::Hello(hello) => {
                bytes.push(HELLO);
                bytes.extend(MAGIC);
                bytes.extend(VERSIONS.start().to_le_bytes());
                bytes.extend(VERSIONS.end().to_le_bytes());
                bytes.extend(hello.frame.to_le_bytes());
                bytes.extend(hello.instance.to_le_bytes());
                bytes.extend(hello.stream.to_le_bytes());
                let alive = &hello.alive[..hello.alive.len().min(ALIVE)];
                bytes.push(alive.len() as u8);
                alive.iter().for_each(|stream| bytes.extend(stream.to_le_bytes()));
            }
            Self::Use(number) => {
                bytes.push(USE);
                bytes.extend(number.to_le_bytes());
            }
            Self::Goodbye(goodbye) => {
                bytes.extend([GOODBYE, goodbye.code as u8]);
                bytes.extend(clipped(&goodbye.text).as_bytes());
            }
        }
        let word = OWN | (bytes.len() - HEADER) as u32;
        bytes[..HEADER].copy_from_slice(&word.to_le_bytes());
        bytes
    }

    /// Without its header. The error is what is to be answered.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Goodbye> {
        let malformed = || Goodbye::new(Code::Malformed, "a malformed control frame");
        let mut rest = bytes;
        match u8::from_le_bytes(take(&mut rest).ok_or_else(malformed)?) {
            HELLO => {
                if take(&mut rest) != Some(MAGIC) {
                    return Err(Goodbye::new(Code::Malformed, "this is no hello of Kith"));
                }
                let lowest = u16::from_le_bytes(take(&mut rest).ok_or_else(malformed)?);
                let highest = u16::from_le_bytes(take(&mut rest).ok_or_else(malformed)?);
                check_versions(lowest, highest)?;
                hello(&mut rest).map(Self::Hello).ok_or_else(malformed)
            }
            USE => take(&mut rest).map(u64::from_le_bytes).map(Self::Use).ok_or_else(malformed),
            GOODBYE => {
                let [code] = take(&mut rest).ok_or_else(malformed)?;
                let text = String::from_utf8_lossy(&rest[..rest.len().min(TEXT)]);
                let text: String = text.chars().filter(|c| !c.is_control()).collect();
                // What stands for a wrong byte takes three.
                let text = clipped(&text).to_owned();
                Ok(Self::Goodbye(Goodbye { code: Code::of(code), text }))
            }
            _ => Err(malformed()),
        }
    }
}

fn clipped(text: &str) -> &str {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Both sides see both ranges and come to the same answer: the highest version that both speak. There is only one so far.
fn check_versions(lowest: u16, highest: u16) -> Result<u16, Goodbye> {
    let version = highest.min(*VERSIONS.end());
    if version < lowest.max(*VERSIONS.start()) {
        let (from, to) = VERSIONS.into_inner();
        let text =
            format!("no common version: {lowest} to {highest} on one side, {from} to {to} on the other");
        return Err(Goodbye::new(Code::VersionMismatch, text));
    }
    Ok(version)
}

/// What follows the versions; bytes after it belong to later versions.
fn hello(rest: &mut &[u8]) -> Option<Hello> {
    let frame = u32::from_le_bytes(take(rest)?);
    let instance = u64::from_le_bytes(take(rest)?);
    let stream = u64::from_le_bytes(take(rest)?);
    let [count] = take(rest)?;
    if usize::from(count) > ALIVE {
        return None;
    }
    let mut alive = Vec::with_capacity(count.into());
    for _ in 0..count {
        alive.push(u64::from_le_bytes(take(rest)?));
    }
    Some(Hello { frame, instance, stream, alive })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A peer's reason for ending a stream is cut to `TEXT` bytes before bytes that are no UTF-8 are replaced, and each replacement takes three
    /// bytes: so what the host was shown could be three times as long as the limit says. Found by the fuzz target `outside`.
    #[test]
    fn a_reason_of_wrong_bytes_is_no_longer_than_another() {
        let said = [&[GOODBYE, Code::Busy as u8][..], &[0xa8; TEXT]].concat();
        let heard = Control::decode(&said).unwrap();
        let Control::Goodbye(goodbye) = &heard else { panic!("a goodbye") };
        assert!(goodbye.text.len() <= TEXT && goodbye.text.len() > TEXT - 3);
        assert_eq!(Control::decode(&heard.encode()[HEADER..]).unwrap(), heard);
    }

    fn split(bytes: &[u8]) -> (Next, &[u8]) {
        (next(bytes[..HEADER].try_into().unwrap(), 100).unwrap(), &bytes[HEADER..])
    }

    proptest! {
        #[test]
        fn control_frames_come_back(
            frame: u32, instance: u64, stream: u64, alive in proptest::collection::vec(any::<u64>(), 0..=ALIVE),
            code in 1u8..8, text in "[a-zäöü ]{0,128}",
        ) {
            let goodbye = Goodbye::new(Code::of(code), text);
            for control in [Control::Hello(Hello { frame, instance, stream, alive }), Control::Use(stream), Control::Goodbye(goodbye)] {
                let bytes = control.encode();
                let (next, body) = split(&bytes);
                prop_assert_eq!(next, Next::Control(body.len()));
                prop_assert_eq!(Control::decode(body).unwrap(), control);
            }
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64), kind in 0u8..4, header: [u8; 4]) {
            let _ = Control::decode(&bytes);
            let mut tagged = vec![kind];
            tagged.extend(MAGIC);
            tagged.extend([1, 0, 1, 0]);
            tagged.extend(&bytes);
            let _ = Control::decode(&tagged);
            match next(header, 100) {
                Ok(Next::Frame(len)) => prop_assert!(len <= 100),
                Ok(Next::Control(len)) => prop_assert!(len <= CONTROL && len > 0),
                Err(_) => {}
            }
        }

        #[test]
        fn a_version_is_agreed_on_exactly_when_the_ranges_meet(a: u16, b: u16) {
            let (lowest, highest) = (a.min(b), a.max(b));
            let meet = (lowest..=highest).contains(&1);
            prop_assert_eq!(check_versions(lowest, highest).is_ok(), meet);
        }
    }

    #[test]
    fn lengths_at_the_edge_and_one_past() {
        assert_eq!(next(header(100), 100), Ok(Next::Frame(100)));
        assert_eq!(next(header(0), 100), Ok(Next::Frame(0)));
        assert_eq!(next(header(101), 100).unwrap_err().code, Code::TooLarge);
        let own = |len: u32| next((OWN | len).to_le_bytes(), 100);
        assert_eq!(own(CONTROL as u32), Ok(Next::Control(CONTROL)));
        assert_eq!(own(CONTROL as u32 + 1).unwrap_err().code, Code::Malformed);
        assert_eq!(own(0).unwrap_err().code, Code::Malformed);
    }

    #[test]
    fn the_hello_is_frozen() {
        let hello = Control::Hello(Hello { frame: 0x0102_0304, instance: 5, stream: 6, alive: vec![7] });
        let mut expected = vec![38, 0, 0, 0x80, 1];
        expected.extend(b"kith");
        expected.extend([1, 0, 1, 0, 4, 3, 2, 1]);
        expected.extend([5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(hello.encode(), expected);
        expected.push(99);
        assert_eq!(Control::decode(&expected[HEADER..]).unwrap(), hello, "later versions may add to it");
    }

    #[test]
    fn the_choice_has_a_number() {
        let expected = [9, 0, 0, 0x80, 2, 8, 7, 6, 5, 4, 3, 2, 1];
        assert_eq!(Control::Use(0x0102_0304_0506_0708).encode(), expected);
        assert_eq!(Control::decode(&expected[HEADER..12]).unwrap_err().code, Code::Malformed);
    }

    #[test]
    fn a_later_version_is_named_whatever_follows() {
        let mut bytes = vec![HELLO];
        bytes.extend(MAGIC);
        bytes.extend([2, 0, 3, 0]);
        let goodbye = Control::decode(&bytes).unwrap_err();
        assert_eq!(goodbye.code, Code::VersionMismatch);
        assert!(goodbye.text.contains("2 to 3") && goodbye.text.contains("1 to 1"), "{}", goodbye.text);
        assert_eq!(goodbye.said().kind(), ErrorKind::VersionMismatch);
    }

    #[test]
    fn a_long_or_hostile_text_is_cut_and_cleaned() {
        let bytes = Control::Goodbye(Goodbye::new(Code::Closed, "ä".repeat(500))).encode();
        assert_eq!(bytes.len(), HEADER + 2 + TEXT);
        let hostile = Control::decode(&[GOODBYE, 200, 27, b'[', b'2', 0xff]).unwrap();
        assert_eq!(hostile, Control::Goodbye(Goodbye::new(Code::Closed, "[2\u{fffd}")));
    }
}

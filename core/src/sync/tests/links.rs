use super::super::{Binding, Link, LinkError, LinkOutput};
use crate::limits;
use crate::replica::ContextId;

const ACCESS: [u8; 32] = [7; 32];
const CONTEXT: ContextId = ContextId([1; 32]);

/// Two ends of one connection.
struct Ends {
    links: [Link; 2],
    frames: [Vec<Vec<u8>>; 2],
    opened: [Vec<(u32, Binding)>; 2],
    closed: [Vec<u32>; 2],
    messages: [Vec<Vec<u8>>; 2],
    /// Everything that arrived at each end.
    seen: [Vec<Vec<u8>>; 2],
    random: u8,
}

impl Ends {
    fn new(one: &[u8], other: &[u8]) -> Self {
        let (first, hello) = Link::new(one, other, [11; 32]).unwrap();
        let (second, answer) = Link::new(other, one, [12; 32]).unwrap();
        Self {
            links: [first, second],
            frames: [vec![answer], vec![hello]],
            opened: Default::default(),
            closed: Default::default(),
            messages: Default::default(),
            seen: Default::default(),
            random: 100,
        }
    }

    fn apply(&mut self, at: usize, outputs: Vec<LinkOutput>) {
        for output in outputs {
            match output {
                LinkOutput::Send(frame) => self.frames[1 - at].push(frame),
                LinkOutput::Opened { channel, binding } => self.opened[at].push((channel, binding)),
                LinkOutput::Closed { channel, context } => {
                    assert_eq!(context, CONTEXT);
                    self.closed[at].push(channel);
                }
                LinkOutput::Message { message, .. } => self.messages[at].push(message),
            }
        }
    }

    fn add(&mut self, at: usize, open: bool) {
        let outputs = self.links[at].add(CONTEXT, ACCESS, open);
        self.apply(at, outputs);
    }

    fn arrive(&mut self, at: usize) {
        let frame = self.frames[at].remove(0);
        self.random += 1;
        let outputs = self.links[at].receive(&frame, [self.random; 32]).unwrap();
        self.seen[at].push(frame);
        self.apply(at, outputs);
    }

    fn settle(&mut self) {
        while let Some(at) = (0..2).find(|at| !self.frames[*at].is_empty()) {
            self.arrive(at);
        }
    }
}

#[test]
fn both_sides_of_a_context_get_one_channel() {
    let mut ends = Ends::new(b"a", b"b");
    ends.add(0, true);
    ends.add(1, false);
    ends.settle();
    let [(channel, opener)]: [(u32, Binding); 1] = ends.opened[0].clone().try_into().unwrap();
    let [(same, answerer)]: [(u32, Binding); 1] = ends.opened[1].clone().try_into().unwrap();
    assert_eq!(channel, same);
    assert!(opener.opener && !answerer.opener);
    assert_eq!(Binding { opener: true, ..answerer }, opener);
    assert_eq!((&opener.opener_nonce, &opener.answerer_nonce), (&[11; 32], &[12; 32]));

    let frame = ends.links[0].message(channel, b"hello".to_vec()).unwrap();
    ends.frames[1].push(frame);
    ends.settle();
    assert_eq!(ends.messages[1], [b"hello".to_vec()]);

    let outputs = ends.links[1].close(channel);
    ends.apply(1, outputs);
    ends.settle();
    assert_eq!(ends.closed[0], [channel]);
    assert_eq!(ends.links[0].open_channel(&CONTEXT), None);
    assert_eq!(ends.links[0].message(channel, vec![1]), None);
    // And a new one may come, from either side.
    let outputs = ends.links[1].open(&CONTEXT);
    ends.apply(1, outputs);
    ends.settle();
    assert_eq!(ends.opened[0].len(), 2);
    assert!(ends.links[0].open_channel(&CONTEXT).unwrap() > channel);
}

#[test]
fn opening_from_both_sides_at_once_gives_one_channel_in_every_interleaving() {
    for names in [(b"a", b"b"), (b"b", b"a")] {
        for order in 0..256_u32 {
            let mut ends = Ends::new(names.0, names.1);
            ends.add(0, true);
            ends.add(1, true);
            let mut bits = order;
            while ends.frames.iter().any(|frames| !frames.is_empty()) {
                let at = usize::try_from(bits & 1).unwrap();
                bits >>= 1;
                ends.arrive(if ends.frames[at].is_empty() { 1 - at } else { at });
            }
            let channel = ends.links[0].open_channel(&CONTEXT);
            assert!(channel.is_some());
            assert_eq!(channel, ends.links[1].open_channel(&CONTEXT));
            assert_eq!((ends.opened[0].len(), ends.opened[1].len()), (1, 1));
            assert!(ends.closed.iter().all(Vec::is_empty));
        }
    }
}

#[test]
fn a_context_that_is_added_later_is_found_from_either_side() {
    for late in [0, 1] {
        let mut ends = Ends::new(b"a", b"b");
        ends.add(1 - late, true);
        ends.settle();
        assert!(ends.opened.iter().all(Vec::is_empty));
        ends.add(late, true);
        ends.settle();
        assert_eq!((ends.opened[0].len(), ends.opened[1].len()), (1, 1));
        let outputs = ends.links[late].remove(&CONTEXT);
        ends.apply(late, outputs);
        ends.settle();
        assert_eq!(ends.closed[1 - late].len(), 1);
        assert!(ends.closed[late].is_empty());
    }
}

/// What a stranger sees who opens, waits, sends messages and closes, without the access key: kinds, channels and lengths.
fn what_a_stranger_sees(hosted: bool, guess: [u8; 32]) -> (Vec<Vec<u8>>, usize) {
    let mut ends = Ends::new(b"stranger", b"host");
    if hosted {
        ends.add(1, false);
    }
    ends.links[0].add(CONTEXT, guess, true);
    let outputs = ends.links[0].open(&CONTEXT);
    ends.apply(0, outputs);
    ends.settle();
    let opened = ends.opened[1].len();
    // A message on the refused channel, its closing, and an opening with arbitrary bytes.
    let open = ends.seen[1].iter().find(|frame| frame[0] == 1).unwrap().clone();
    let mut message = open.clone();
    message[0] = 4;
    message.truncate(5);
    message.extend([3, 0, 0, 0, 1, 2, 3]);
    let mut close = open.clone();
    close[0] = 3;
    close.truncate(5);
    let mut other = open.clone();
    other[1] += 2;
    for frame in [message, close, other] {
        ends.frames[1].push(frame);
        ends.settle();
    }
    (ends.seen[0].clone(), opened)
}

#[test]
fn without_the_access_key_hosted_and_unhosted_are_the_same_bytes() {
    let wrong = [8; 32];
    let (hosted, opened) = what_a_stranger_sees(true, wrong);
    assert_eq!(opened, 0);
    let (unhosted, _) = what_a_stranger_sees(false, wrong);
    // The random bytes are the same in this test: so must everything be. Its hello, and two answers.
    assert_eq!(hosted, unhosted);
    assert_eq!(hosted.len(), 3);

    // The control: with the key they differ, in the content of the answer only.
    let (hosted, opened) = what_a_stranger_sees(true, ACCESS);
    assert_eq!(opened, 1);
    let (unhosted, _) = what_a_stranger_sees(false, ACCESS);
    assert_ne!(hosted, unhosted);
    assert_eq!(hosted[1].len(), unhosted[1].len());
    assert_eq!(hosted[1][..5], unhosted[1][..5]);
}

#[test]
fn what_was_seen_on_one_link_opens_nothing_on_another() {
    let mut ends = Ends::new(b"a", b"b");
    ends.add(0, true);
    ends.add(1, false);
    ends.settle();
    assert_eq!(ends.opened[1].len(), 1);
    let open = ends.seen[1].iter().find(|frame| frame[0] == 1).unwrap().clone();
    let answer = ends.seen[0].iter().find(|frame| frame[0] == 2).unwrap().clone();

    // To the same host, by the same peer id or another, with the same nonce: the host's own nonce is fresh.
    for name in [&b"a"[..], b"aa"] {
        let (mut host, _) = Link::new(b"b", name, [50; 32]).unwrap();
        host.add(CONTEXT, ACCESS, false);
        let hello = ends.seen[1][0].clone();
        host.receive(&hello, [0; 32]).unwrap();
        let outputs = host.receive(&open, [9; 32]).unwrap();
        assert!(!outputs.iter().any(|output| matches!(output, LinkOutput::Opened { .. })));
        assert_eq!(host.open_channel(&CONTEXT), None);
    }
    // The same nonces, but another peer id.
    let (mut host, _) = Link::new(b"b", b"aa", [12; 32]).unwrap();
    host.add(CONTEXT, ACCESS, false);
    host.receive(&ends.seen[1][0].clone(), [0; 32]).unwrap();
    host.receive(&open, [9; 32]).unwrap();
    assert_eq!(host.open_channel(&CONTEXT), None);
    // The control: everything the same opens.
    let (mut host, _) = Link::new(b"b", b"a", [12; 32]).unwrap();
    host.add(CONTEXT, ACCESS, false);
    host.receive(&ends.seen[1][0].clone(), [0; 32]).unwrap();
    host.receive(&open, [9; 32]).unwrap();
    assert!(host.open_channel(&CONTEXT).is_some());

    // An answer cannot be the opener's own words sent back, nor an older answer.
    let (mut opener, _) = Link::new(b"a", b"b", [60; 32]).unwrap();
    let outputs = opener.add(CONTEXT, ACCESS, true);
    assert!(outputs.is_empty());
    let mut outputs = opener.receive(&ends.seen[0][0].clone(), [0; 32]).unwrap();
    let Some(LinkOutput::Send(mut echo)) = outputs.pop() else { panic!() };
    echo[0] = 2;
    for wrong in [echo, answer] {
        let outputs = opener.receive(&wrong, [0; 32]).unwrap();
        assert!(!outputs.iter().any(|output| matches!(output, LinkOutput::Opened { .. })));
        assert_eq!(opener.open_channel(&CONTEXT), None);
    }
}

#[test]
fn frames_out_of_place_and_floods_cut_the_link() {
    let host = || {
        let (mut host, _) = Link::new(b"b", b"a", [12; 32]).unwrap();
        host.add(CONTEXT, ACCESS, false);
        host
    };
    let (_, hello) = Link::new(b"a", b"b", [11; 32]).unwrap();
    let open = |channel: u32| [&[1][..], &channel.to_le_bytes(), &[5; 32]].concat();
    assert_eq!(host().receive(&open(0), [0; 32]), Err(LinkError::Protocol));
    let mut link = host();
    link.receive(&hello, [0; 32]).unwrap();
    assert_eq!(link.receive(&hello, [0; 32]), Err(LinkError::Protocol));
    // The other side's numbers are its own.
    assert_eq!(link.receive(&open(1), [0; 32]), Err(LinkError::Protocol));
    assert_eq!(link.receive(&[9, 9], [0; 32]), Err(LinkError::Garbage));
    assert_eq!(link.receive(&[], [0; 32]), Err(LinkError::Garbage));
    for channel in 0..limits::SYNC_WRONG_OPENINGS {
        let channel = u32::try_from(2 * channel).unwrap();
        assert_eq!(link.receive(&open(channel), [0; 32]).unwrap().len(), 1);
    }
    assert_eq!(link.receive(&open(0), [0; 32]), Err(LinkError::TooManyOpenings));
    assert!(Link::new(b"a", b"a", [0; 32]).is_err());
    assert!(Link::new(&[1; limits::PEER_ID + 1], b"a", [0; 32]).is_err());
    assert!(Link::new(&[1; limits::PEER_ID], b"a", [0; 32]).is_ok());
    // Its own nonce sent back.
    let (mut link, own) = Link::new(b"a", b"b", [11; 32]).unwrap();
    assert_eq!(link.receive(&own, [0; 32]), Err(LinkError::Protocol));
}

#[test]
fn no_truncation_or_change_of_a_frame_panics() {
    let mut ends = Ends::new(b"a", b"b");
    ends.add(0, true);
    ends.add(1, true);
    ends.settle();
    let frames: Vec<Vec<u8>> = ends.seen.concat();
    for frame in frames {
        for length in 0..frame.len() {
            assert_eq!(ends.links[1].receive(&frame[..length], [1; 32]), Err(LinkError::Garbage));
            let mut changed = frame.clone();
            for bit in 0..8 {
                changed[length] ^= 1 << bit;
                let _ = ends.links[1].receive(&changed, [1; 32]);
            }
        }
    }
}

/// A node may host more contexts than a link has channels: neither side goes past that, whoever asks.
#[test]
fn a_link_has_so_many_channels_and_no_more() {
    let context = |number: usize| {
        let mut id = [2; 32];
        id[..8].copy_from_slice(&(number as u64).to_le_bytes());
        ContextId(id)
    };
    let more = limits::SYNC_CHANNELS + 3;
    let (mut one, hello) = Link::new(b"a", b"b", [11; 32]).unwrap();
    let (mut other, answer) = Link::new(b"b", b"a", [12; 32]).unwrap();
    one.receive(&answer, [1; 32]).unwrap();
    other.receive(&hello, [2; 32]).unwrap();
    let sent = |outputs: Vec<LinkOutput>| -> Vec<Vec<u8>> {
        let frame = |output| if let LinkOutput::Send(frame) = output { Some(frame) } else { None };
        outputs.into_iter().filter_map(frame).collect()
    };
    let opened =
        |outputs: &[LinkOutput]| outputs.iter().filter(|o| matches!(o, LinkOutput::Opened { .. })).count();
    let (mut here, mut there) = (0, 0);
    for number in 0..more {
        other.add(context(number), ACCESS, false);
        for frame in sent(one.add(context(number), ACCESS, true)) {
            let outputs = other.receive(&frame, [3; 32]).unwrap();
            there += opened(&outputs);
            for answer in sent(outputs) {
                here += opened(&one.receive(&answer, [4; 32]).unwrap());
            }
        }
    }
    assert_eq!((here, there), (limits::SYNC_CHANNELS, limits::SYNC_CHANNELS));
    // The other side says nothing of it that it has let one go, and opens another one for it.
    let channel = other.open_channel(&context(0)).unwrap();
    let closing = sent(other.close(channel));
    let opening = sent(other.open(&context(more - 1)));
    assert_eq!((closing.len(), opening.len()), (1, 1));
    let outputs = one.receive(&opening[0], [5; 32]).unwrap();
    assert_eq!(opened(&outputs), 0);
    // Once it does, there is room.
    for answer in sent(outputs) {
        other.receive(&answer, [6; 32]).unwrap();
    }
    assert_eq!(other.open_channel(&context(more - 1)), None);
    one.receive(&closing[0], [7; 32]).unwrap();
    let opening = sent(other.open(&context(more - 1)));
    let outputs = one.receive(&opening[0], [8; 32]).unwrap();
    assert_eq!(opened(&outputs), 1);
}

//! What is between the two ends when they are not wired together: bytes, which are split into frames as a stream's reader splits them, and the link that
//! opens channels and says whose a frame is. The founder's end is a node's; the other one's is too, as long as that keeps to the protocol.

use kith_core::fuzzing::{framed, unframed};
use kith_core::replica::ContextId;
use kith_core::sync::{Channel, Link, LinkOutput};

/// What the hostile end says below a session.
#[derive(Debug, Clone, Copy)]
pub enum Low<'a> {
    /// Bytes, as they are.
    Bytes(&'a [u8]),
    /// A frame of any kind, about any channel.
    Frame { kind: u8, channel: u8, rest: &'a [u8] },
    /// Asks for the context, as one that knows its key.
    Open,
    /// Closes its channel.
    Close,
}

/// See the module.
pub struct Line {
    context: ContextId,
    founder: Link,
    far: Link,
    /// What the founder's end has not read yet.
    arrived: Vec<u8>,
    random: u8,
}

impl Line {
    /// A new one, on which both have said their first frame. One of them asks for the context.
    pub fn new(
        peers: [&[u8]; 2],
        context: ContextId,
        key: [u8; 32],
        number: u8,
        founder_asks: bool,
    ) -> (Self, Vec<LinkOutput>) {
        let (founder, hello) = Link::new(peers[0], peers[1], [number; 32]).expect("two peers");
        let (far, answer) = Link::new(peers[1], peers[0], [!number; 32]).expect("two peers");
        let mut line = Self { context, founder, far, arrived: framed(&answer), random: number };
        let mut outputs = line.founder.add(context, key, founder_asks);
        outputs.insert(0, LinkOutput::Send(hello));
        let asked = line.far.add(context, key, !founder_asks);
        assert!(asked.is_empty(), "nothing is asked before the other end is known");
        (line, outputs)
    }

    /// What comes of all that has arrived; none if that ends the line.
    pub fn read(&mut self) -> Option<Vec<LinkOutput>> {
        let mut outputs = Vec::new();
        while let Some(frame) = unframed(&mut self.arrived).ok()? {
            self.random = self.random.wrapping_add(1);
            outputs.extend(self.founder.receive(&frame, [self.random; 32]).ok()?);
        }
        Some(outputs)
    }

    /// The founder's end sends a frame: the other one's understands it. What the session there gets, if anything.
    pub fn hear(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let mut said = None;
        for output in self.far.receive(frame, [0; 32]).expect("an honest node's frame is taken") {
            match output {
                LinkOutput::Send(frame) => self.arrived.extend(framed(&frame)),
                LinkOutput::Message { message, .. } => said = Some(message),
                _ => {}
            }
        }
        said
    }

    /// The founder's session says something on a channel.
    pub fn carry(&self, channel: Channel, message: Vec<u8>) -> Option<Vec<u8>> {
        self.founder.message(channel, message)
    }

    /// The founder's session ends a channel.
    pub fn close(&mut self, channel: Channel) -> Vec<LinkOutput> {
        self.founder.close(channel)
    }

    /// The hostile end says something in a session, if its channel is open.
    pub fn say(&mut self, message: Vec<u8>) {
        let channel = self.far.open_channel(&self.context);
        if let Some(frame) = channel.and_then(|channel| self.far.message(channel, message)) {
            self.arrived.extend(framed(&frame));
        }
    }

    /// The hostile end says something below that.
    pub fn low(&mut self, what: Low<'_>) {
        let outputs = match what {
            Low::Bytes(bytes) => {
                self.arrived.extend(bytes);
                return;
            }
            Low::Frame { kind, channel, rest } => {
                let mut frame = vec![kind];
                // All but the first frame of a link name a channel.
                if kind != 0 {
                    frame.extend(u32::from(channel).to_le_bytes());
                }
                match kind {
                    0..=2 => frame.extend((0..32).map(|at| rest.get(at).copied().unwrap_or_default())),
                    4 => {
                        frame.extend((rest.len() as u32).to_le_bytes());
                        frame.extend(rest);
                    }
                    _ => frame.extend(rest),
                }
                self.arrived.extend(framed(&frame));
                return;
            }
            Low::Open => self.far.open(&self.context),
            Low::Close => {
                let channel = self.far.open_channel(&self.context);
                channel.map(|channel| self.far.close(channel)).unwrap_or_default()
            }
        };
        for output in outputs {
            if let LinkOutput::Send(frame) = output {
                self.arrived.extend(framed(&frame));
            }
        }
    }
}

//! Connections between nodes: who dials whom, and what goes over a wire.

use kith_core::network::LinkId;
use kith_core::node::machine::{Heard, Input, Reopening};
use kith_core::sync::{Channel, Link};

use crate::network::{Lane, PATIENCE, Wire};
use crate::node::{Line, LineOrder};
use crate::world::{Go, Happening, World};

impl World {
    /// The pairs that keep a connection: all of them in a small world, else a ring and some more.
    pub(crate) fn connect_all(&mut self) {
        let count = self.nodes.len();
        let mut pairs = Vec::new();
        for one in 0..count {
            for other in one + 1..count {
                let near = other == one + 1 || (one == 0 && other == count - 1);
                if count <= 5 || near || self.dice.one_in(count / 2) {
                    pairs.push((one, other));
                }
            }
        }
        for (one, other) in pairs {
            self.connect(one, other);
        }
    }

    pub(crate) fn connect(&mut self, one: usize, other: usize) {
        let known = |edge: &(usize, usize, Option<usize>)| {
            (edge.0, edge.1) == (one, other) || (edge.1, edge.0) == (one, other)
        };
        if one == other || self.edges.values().any(known) {
            return;
        }
        let edge = self.edges.len();
        let pair = if self.dice.one_in(2) { (one, other) } else { (other, one) };
        self.edges.insert(edge, (pair.0, pair.1, None));
        self.after(5, Happening::Dial(edge));
    }

    pub(crate) fn edges_of(&self, node: usize) -> Vec<usize> {
        let has = |edge: &(usize, usize, Option<usize>)| edge.0 == node || edge.1 == node;
        self.edges.iter().filter(|(_, edge)| has(edge)).map(|(number, _)| *number).collect()
    }

    fn stopped(&self, from: usize, to: usize) -> bool {
        let now = self.now();
        self.partitions.iter().any(|partition| partition.stops(from, to, now))
            || self.nodes[from].asleep_until > now
            || self.nodes[to].asleep_until > now
    }

    pub(crate) fn dial(&mut self, edge: usize) {
        let Some((one, other, wire)) = self.edges.get(&edge).copied() else { return };
        let gone =
            |node: usize| self.nodes[node].standing.gone || (self.healing && self.nodes[node].standing.liar);
        if wire.is_some() || gone(one) || gone(other) {
            return;
        }
        // Whoever is not there yet dials when it starts.
        if !self.nodes[one].is_up() || !self.nodes[other].is_up() {
            return;
        }
        if self.stopped(one, other) || self.stopped(other, one) {
            // Who is away for days is looked for seldom.
            let asleep = self.nodes[one].asleep_until.max(self.nodes[other].asleep_until);
            let often = if asleep > self.now() + 3_600_000 { 600_000 } else { 3_000 };
            let pause = 300 + self.dice.below(often) as u64;
            self.after(pause, Happening::Dial(edge));
            return;
        }
        let number = self.wires.len();
        let links = [LinkId(2 * number as u64), LinkId(2 * number as u64 + 1)];
        let now = self.now();
        let slow = |node: usize| {
            let (latency, until) = self.nodes[node].slow_line;
            if now < until { latency } else { 0 }
        };
        let latency = 1 + slow(one) + slow(other) + self.dice.below(40) as u64;
        self.wires.push(Wire {
            ends: [one, other],
            links,
            up: [true, true],
            lanes: [Lane::default(), Lane::default()],
            latency,
            rate: if self.dice.one_in(10) { 20 } else { 10_000 },
            broken: false,
        });
        if let Some(edge) = self.edges.get_mut(&edge) {
            edge.2 = Some(number);
        }
        for side in [0, 1] {
            self.line_up(number, side);
        }
    }

    fn line_up(&mut self, wire: usize, side: usize) {
        let (own, peer) = (self.wires[wire].ends[side], self.wires[wire].ends[1 - side]);
        let id = self.wires[wire].links[side];
        let peer_id = self.nodes[peer].peer;
        let node = &mut self.nodes[own];
        let Ok((link, hello)) = Link::new(&node.peer.to_bytes(), &peer_id.to_bytes(), node.roll()) else {
            return;
        };
        let outbound = side == 0;
        node.lines.insert(id, Line { wire, side, link, outbound, reopening: Reopening::default() });
        let asks = node.asks();
        let outputs = match (node.context, node.lines.get_mut(&id)) {
            (Some((context, access_key)), Some(line)) => line.link.add(context, access_key, outbound || asks),
            _ => Vec::new(),
        };
        let now = self.time.load(std::sync::atomic::Ordering::Relaxed);
        let node = &mut self.nodes[own];
        let mut orders = vec![LineOrder::Frame(hello)];
        orders.extend(node.carry_out(id, outputs, peer_id, now));
        // A new wire has room.
        let _ = self.line_orders(own, id, orders);
    }

    /// A message of a node goes out on a line, if that is there still.
    pub(crate) fn say_on(&mut self, number: usize, link: LinkId, channel: Channel, message: Vec<u8>) -> Go {
        let line = self.nodes[number].lines.get(&link);
        match line.and_then(|line| line.link.message(channel, message)) {
            Some(frame) => self.line_orders(number, link, vec![LineOrder::Frame(frame)]),
            None => Ok(()),
        }
    }

    /// Carries out what a line wants.
    pub(crate) fn line_orders(&mut self, node: usize, link: LinkId, orders: Vec<LineOrder>) -> Go {
        for order in orders {
            match order {
                LineOrder::Frame(frame) => self.send(node, link, frame)?,
                LineOrder::Reopen(delay) => self.after(delay, Happening::Reopen { node, link }),
            }
        }
        if !self.nodes[node].inbox.is_empty() {
            self.want_wake(node, self.now());
        }
        Ok(())
    }

    pub(crate) fn liar_says(&mut self, node: usize, out: crate::liar::Outgoing) -> Go {
        for (link, channel, message) in out {
            let frame =
                self.nodes[node].lines.get(&link).and_then(|line| line.link.message(channel, message));
            if let Some(frame) = frame {
                self.send(node, link, frame)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, node: usize, link: LinkId, frame: Vec<u8>) -> Go {
        let Some(line) = self.nodes[node].lines.get(&link) else { return Ok(()) };
        let (number, side) = (line.wire, line.side);
        let now = self.now();
        self.report.frames += 1;
        let wire = &mut self.wires[number];
        let both = |silent: &Vec<usize>| wire.ends.iter().all(|end| silent.contains(end));
        self.spoken += u64::from(self.silent.as_ref().is_some_and(both));
        if !wire.up[1 - side] {
            return Ok(());
        }
        let whole = !wire.broken;
        let first = wire.send(side, frame, now, &self.weather, &mut self.dice);
        let bytes = wire.lanes[side].bytes;
        if whole && wire.broken {
            let pause = self.dice.below(20_000) as u64;
            for side in [0, 1] {
                self.after(pause, Happening::Down { wire: number, side });
            }
        }
        if bytes > crate::network::OUTBOUND {
            self.cut(number);
        }
        if let Some(at) = first {
            self.at(at, Happening::Deliver { wire: number, side });
        }
        Ok(())
    }

    pub(crate) fn deliver(&mut self, number: usize, side: usize) -> Go {
        let now = self.now();
        let (from, to) = (self.wires[number].ends[side], self.wires[number].ends[1 - side]);
        if !self.wires[number].up[1 - side] {
            return Ok(());
        }
        if self.stopped(from, to) {
            let since = *self.wires[number].lanes[side].blocked_since.get_or_insert(now);
            if now - since > PATIENCE {
                self.cut(number);
            } else {
                self.after(250, Happening::Deliver { wire: number, side });
            }
            return Ok(());
        }
        self.wires[number].lanes[side].blocked_since = None;
        let (frames, next) = self.wires[number].arrived(side, now);
        if let Some(next) = next {
            self.at(next, Happening::Deliver { wire: number, side });
        }
        let link = self.wires[number].links[1 - side];
        let peer = self.nodes[from].peer;
        for frame in frames {
            let node = &mut self.nodes[to];
            let random = node.roll();
            let Some(line) = node.lines.get_mut(&link) else { return Ok(()) };
            match line.link.receive(&frame, random) {
                Ok(outputs) => {
                    let orders = node.carry_out(link, outputs, peer, now);
                    self.line_orders(to, link, orders)?;
                }
                Err(_) => {
                    self.cut(number);
                    return Ok(());
                }
            }
        }
        if self.nodes[to].liar.is_some() {
            self.want_wake(to, now + 1);
        }
        Ok(())
    }

    /// Both ends notice that a wire is gone, each in its time.
    pub(crate) fn cut(&mut self, wire: usize) {
        for side in [0, 1] {
            let pause = self.dice.below(50) as u64;
            self.after(pause, Happening::Down { wire, side });
        }
    }

    /// A node is gone: the others notice at once or after a while.
    pub(crate) fn cut_all(&mut self, node: usize) {
        let lines: Vec<(usize, usize)> =
            self.nodes[node].lines.values().map(|line| (line.wire, line.side)).collect();
        for (wire, side) in lines {
            self.down(wire, side);
            let pause = if self.dice.one_in(2) { 0 } else { self.dice.below(PATIENCE as usize) as u64 };
            self.after(pause, Happening::Down { wire, side: 1 - side });
        }
    }

    pub(crate) fn down(&mut self, number: usize, side: usize) {
        let wire = &mut self.wires[number];
        if !std::mem::replace(&mut wire.up[side], false) {
            return;
        }
        let (own, id) = (wire.ends[side], wire.links[side]);
        let both = !wire.up[0] && !wire.up[1];
        let node = &mut self.nodes[own];
        if let Some(line) = node.lines.remove(&id)
            && let Some((context, _)) = node.context
            && let Some(channel) = line.link.open_channel(&context)
        {
            if let Some(liar) = &mut node.liar {
                liar.closed(id);
            } else if node.machine.is_some() {
                node.inbox.push_back(Input::Heard(Heard::Closed { link: id, channel }));
                self.want_wake(own, self.now());
            }
        }
        if both {
            let edge = self.edges.iter().find(|(_, edge)| edge.2 == Some(number)).map(|(edge, _)| *edge);
            if let Some(edge) = edge {
                if let Some(pair) = self.edges.get_mut(&edge) {
                    pair.2 = None;
                }
                let pause = 200 + self.dice.below(2_000) as u64;
                self.after(pause, Happening::Dial(edge));
            }
        }
    }

    pub(crate) fn reopen(&mut self, node: usize, link: LinkId) -> Go {
        let now = self.now();
        let one = &mut self.nodes[node];
        let (Some((context, _)), true) = (one.context, one.is_up()) else { return Ok(()) };
        let Some(line) = one.lines.get_mut(&link) else { return Ok(()) };
        let (outputs, wire, side) = (line.link.open(&context), line.wire, line.side);
        let peer = self.nodes[self.wires[wire].ends[1 - side]].peer;
        let orders = self.nodes[node].carry_out(link, outputs, peer, now);
        self.line_orders(node, link, orders)
    }
}

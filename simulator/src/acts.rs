//! Carrying out what a plan says, and healing what it broke.

use kith_core::ErrorKind;
use kith_core::node::InviteOptions;
use kith_core::node::machine::{Answer, Input, Wish};
use kith_core::replica::payload::{CallPayload, RevokeInvite, Skip};
use kith_core::replica::{Kind, Payload, Role};
use kith_core::storage::ContextTables;

use crate::application::Mood;
use crate::astray::Straying;
use crate::calls::call;
use crate::dice::Dice;
use crate::liar::Liar;
use crate::network::Weather;
use crate::node::{NUMBER, Node, QUEUE, Standing};
use crate::plan::Act;
use crate::replays::history;
use crate::world::{Go, Happening, Purpose, World};

/// Who is to sleep for longer than this, in ms, does so though the faults have stopped.
const LONG_SLEEP: u64 = 3_600_000;

impl World {
    pub(crate) fn act(&mut self, act: Act) -> Go {
        let now = self.now();
        match act {
            Act::Call { node, method, key, value } => {
                self.wish(node, Wish::Call(call(method, key, value)), Purpose::Plain)
            }
            Act::Join { node, by, role, again } => self.invite(node, by, role, again)?,
            Act::Revoke { by } => {
                if let Some(invitation) = &self.last_invitation {
                    let payload = Payload::RevokeInvite(RevokeInvite { invite: invitation.invite });
                    self.wish(by, Wish::Author(payload), Purpose::Plain);
                }
            }
            Act::Remove { by, target } => {
                let member = self.nodes[target].me;
                self.wish(by, Wish::Remove { member }, Purpose::Plain);
            }
            Act::SetRole { by, target, role } => {
                let member = self.nodes[target].me;
                self.wish(by, Wish::SetRole { member, role }, Purpose::Plain);
            }
            Act::Skip { by } => self.skip(by),
            Act::LoseKeys { node } => self.nodes[node].disk.lose_keys(&mut self.dice),
            Act::Rotate { node } => self.wish(node, Wish::RotateKeys, Purpose::Plain),
            Act::Leave { node } => self.wish(node, Wish::Leave, Purpose::Leaving),
            Act::Crash { node, power, down } => self.crash(node, power, down),
            Act::CrashAtWrite { node, nth, after, power, down } => {
                self.nodes[node].disk.crash_at(nth, after);
                self.nodes[node].doom = Some((power, down));
            }
            Act::Full { node, time } => {
                self.nodes[node].disk.set_full(true);
                self.after(time, Happening::Well(node));
            }
            Act::Failing { node, time } => {
                self.nodes[node].disk.set_failing(true);
                self.after(time, Happening::Well(node));
            }
            Act::Damage { node } => {
                self.nodes[node].disk.damage(&mut self.dice);
                self.after(60_000, Happening::Well(node));
            }
            Act::Unreadable { node, per_mille, time } => {
                self.nodes[node].disk.set_unreadable(Some((per_mille, self.dice.clone())));
                self.after(time, Happening::Well(node));
            }
            Act::SlowDisk { node, takes, time } => self.nodes[node].slow_disk = (takes, now + time),
            Act::Split(mut partition) => {
                partition.until = now + partition.until.min(200_000);
                self.partitions.retain(|other| other.until > now);
                self.partitions.push(partition);
            }
            Act::Cut { wire } => {
                if !self.wires.is_empty() {
                    self.cut(wire % self.wires.len());
                }
            }
            Act::Storm(weather) => self.weather = Weather { until: now + weather.until, ..weather },
            Act::Slow { node, latency, time } => {
                self.nodes[node].slow_line = (latency, now + time);
                for wire in
                    self.wires.iter_mut().filter(|wire| wire.up == [true, true] && wire.ends.contains(&node))
                {
                    wire.latency = wire.latency.max(latency);
                }
            }
            Act::Clock { node, offset } => {
                let shown = self.nodes[node].clock(&self.time).now();
                self.nodes[node].latest_clock = self.nodes[node].latest_clock.max(shown);
                self.nodes[node].offset.store(offset, std::sync::atomic::Ordering::Relaxed);
            }
            Act::Sleep { node, time } => self.nodes[node].asleep_until = now + time,
            Act::Backup { node } => {
                let node = &mut self.nodes[node];
                node.backup = Some(node.disk.copy());
            }
            Act::Restore { node, with_marks } => self.restore(node, with_marks),
            Act::Copy { node } => self.copy(node),
            Act::Steal { node } => self.copied(node)?,
            Act::Application { node, mood, time } => {
                self.nodes[node].standing.differs |= mood == Mood::Differs;
                self.nodes[node].application.set(mood);
                if mood != Mood::Differs {
                    self.after(time, Happening::Well(node));
                }
            }
            Act::Astray { node, how, from, late, time } => {
                self.nodes[node].straying =
                    Some(Straying { how, from, late, until: now.saturating_add(time) });
            }
            Act::Turn { node } => self.turn(node),
            Act::Tell { node, lie } => {
                let out = self.nodes[node].liar.as_mut().map(|liar| liar.tell(lie, now)).unwrap_or_default();
                self.liar_says(node, out)?;
            }
        }
        Ok(())
    }

    pub(crate) fn wish(&mut self, node: usize, wish: Wish, purpose: Purpose) {
        if self.nodes[node].machine.is_none() || self.nodes[node].inbox.len() >= QUEUE {
            return;
        }
        let number = self.report.events << 8 | node as u64;
        self.wishes.insert(number, purpose);
        self.nodes[node].inbox.push_back(Input::Wish(number, wish));
        self.want_wake(node, self.now());
    }

    pub(crate) fn answered(&mut self, number: usize, wish: u64, answer: kith_core::Result<Answer>) -> Go {
        let purpose = self.wishes.remove(&wish).unwrap_or(Purpose::Plain);
        match (answer, purpose) {
            (Ok(Answer::Written(id)), _) => {
                self.report.acknowledged += 1;
                self.nodes[number].acknowledged.push(id);
            }
            (Ok(Answer::Invited(invitation)), Purpose::Invitation { joiner }) => {
                self.nodes[number].acknowledged.push(invitation.invite);
                self.last_invitation = Some((*invitation).clone());
                self.join(joiner, *invitation)?;
                self.connect(number, joiner);
            }
            (Ok(Answer::Left), Purpose::Leaving) => self.nodes[number].leaving = true,
            (Err(error), _) if error.kind() == ErrorKind::Internal => {
                return Err(("every-caller-is-answered", number, error.to_string()));
            }
            _ => {}
        }
        Ok(())
    }

    fn invite(&mut self, joiner: usize, by: usize, role: Role, again: bool) -> Go {
        let node = &self.nodes[joiner];
        if node.context.is_some() || node.standing.gone {
            return Ok(());
        }
        match self.last_invitation.clone().filter(|_| again) {
            Some(invitation) => {
                self.join(joiner, invitation)?;
                self.connect(by, joiner);
            }
            None => {
                let mut options = InviteOptions::default();
                options.role = role;
                options.max_uses = 1 + u32::from(self.dice.one_in(4));
                if self.dice.one_in(2) {
                    options.expires_in = None;
                }
                self.wish(by, Wish::Invite(options), Purpose::Invitation { joiner });
            }
        }
        Ok(())
    }

    fn join(&mut self, joiner: usize, invitation: kith_core::invitation::Invitation) -> Go {
        let node = &mut self.nodes[joiner];
        if node.context.is_some() {
            return Ok(());
        }
        node.context = Some((invitation.context, invitation.access_key));
        node.invitation = Some(invitation);
        self.start(joiner)
    }

    fn skip(&mut self, by: usize) {
        let node = &self.nodes[by];
        let Some(machine) = &node.machine else { return };
        let snapshot = node.disk.intact();
        let all = history(machine.replica(), &ContextTables::new(&*snapshot, NUMBER)).unwrap_or_default();
        drop(snapshot);
        let calls: Vec<_> = all.iter().filter(|t| t.header.kind == Kind::Call as u8).collect();
        if let Some(call) = self.dice.pick(&calls) {
            let payload = Payload::Skip(Skip { transaction: call.header.id() });
            self.wish(by, Wish::Author(payload), Purpose::Plain);
        }
    }

    /// The process dies; nothing of what it had in memory is left.
    pub(crate) fn crash(&mut self, number: usize, power: bool, down: u64) {
        if self.nodes[number].liar.is_some()
            || self.nodes[number].context.is_none()
            || self.nodes[number].standing.gone
        {
            return;
        }
        self.cut_all(number);
        let node = &mut self.nodes[number];
        node.machine = None;
        node.held_up = None;
        node.inbox.clear();
        node.wake = None;
        // A loss of power is no loss of what was promised to survive it.
        let lost = node.disk.start(power.then_some(&mut self.dice));
        node.standing.rolled_back |= lost && !self.plan.power;
        let down = down.min(120_000);
        self.after(down, Happening::Start(number));
    }

    fn restore(&mut self, number: usize, with_marks: bool) {
        self.crash(number, false, 500);
        let node = &mut self.nodes[number];
        if let (Some(backup), None) = (node.backup.take(), &node.liar) {
            node.disk.restore(&backup, with_marks);
            node.standing.rolled_back = true;
            node.standing.clone |= with_marks;
        }
    }

    /// A second node with the same key, on a copy of the directory: it knows, since the marks tell where they were written.
    fn copy(&mut self, number: usize) {
        let original = &self.nodes[number];
        if original.machine.is_none() || !original.joined || original.leaving {
            return;
        }
        let mut copy = Node::new(self.nodes.len(), self.plan.seed);
        copy.key = original.key.clone();
        copy.me = original.me;
        copy.disk = std::sync::Arc::new(original.disk.copy());
        copy.context = original.context;
        copy.joined = true;
        copy.good = original.good.clone();
        copy.standing = Standing { rolled_back: true, ..original.standing.clone() };
        copy.frozen = Some("the node's directory is a copy".into());
        copy.disk.start(None);
        let new = copy.number;
        self.nodes.push(copy);
        for other in 0..new.min(4) {
            if other != number {
                self.connect(other, new);
            }
        }
        self.after(100, Happening::Start(new));
    }

    /// A member becomes a liar, with all that it knows.
    fn turn(&mut self, number: usize) {
        let node = &self.nodes[number];
        let (Some(machine), Some((context, _)), true) = (&node.machine, node.context, node.joined) else {
            return;
        };
        let snapshot = node.disk.intact();
        let all = history(machine.replica(), &ContextTables::new(&*snapshot, NUMBER)).unwrap_or_default();
        drop(snapshot);
        let role = machine.replica().member(&node.me).map_or(Role::Reader, |facts| facts.role);
        let invitation = node.invitation.as_ref().map(|invitation| (invitation.invite, invitation.key()));
        let role = node.invitation.as_ref().map_or(role, |invitation| invitation.role);
        let dice = Dice::new(self.plan.seed, &format!("liar {number}"));
        let liar = Liar::new(node.key.clone(), context, role, invitation, all, dice);
        self.cut_all(number);
        let node = &mut self.nodes[number];
        node.machine = None;
        node.held_up = None;
        node.inbox.clear();
        node.standing.liar = true;
        node.liar = Some(Box::new(liar));
        self.want_wake(number, self.now());
    }

    /// What was wrong at a node is right again.
    pub(crate) fn well(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.disk.set_full(false);
        node.disk.set_failing(false);
        node.disk.set_unreadable(None);
        node.disk.repair();
        // An application that differs stays as it is.
        node.application.set(if node.standing.differs { Mood::Differs } else { Mood::Fine });
        if node.machine.is_some() {
            node.inbox.push_back(Input::ApplicationRegistered);
            self.want_wake(number, self.now());
        } else {
            self.after(100, Happening::Start(number));
        }
    }

    /// All faults stop, everybody is there again, and everybody is connected; liars are cut off.
    pub(crate) fn heal(&mut self) -> Go {
        self.healing = true;
        self.partitions.clear();
        self.weather = Weather::default();
        let now = self.now();
        for number in 0..self.nodes.len() {
            let node = &mut self.nodes[number];
            // Who sleeps for hours or weeks sleeps on.
            if node.standing.liar || node.asleep_until < now + LONG_SLEEP {
                node.asleep_until = node.asleep_until.min(now);
            }
            node.slow_line = (0, 0);
            node.slow_disk = (0, 0);
            node.disk.crash_at(u64::MAX / 2, false);
            if node.standing.liar {
                if let Some(liar) = node.liar.take() {
                    self.report.false_shares += liar.shared_falsely;
                    self.report.false_keys += liar.key_lies;
                }
                node.standing.gone = true;
                self.cut_all(number);
            } else {
                node.wake = None;
                self.well(number);
            }
        }
        for wire in &mut self.wires {
            wire.latency = wire.latency.min(50);
        }
        let count = self.nodes.len();
        for one in 0..count {
            for other in one + 1..count {
                if count <= 8 || one < 3 || other == one + 1 {
                    self.connect(one, other);
                }
            }
        }
        let edges: Vec<usize> = self.edges.keys().copied().collect();
        for edge in edges {
            self.after(2_000, Happening::Dial(edge));
        }
        Ok(())
    }

    /// Every member says something.
    pub(crate) fn speak(&mut self) {
        self.say(&call(3, 0, 2));
    }

    /// Every member says this.
    pub(crate) fn say(&mut self, what: &CallPayload) {
        for number in self.members() {
            self.report.events += 1;
            self.wish(number, Wish::Call(what.clone()), Purpose::Plain);
        }
    }

    /// The honest nodes that are members as they themselves see it.
    pub(crate) fn members(&self) -> Vec<usize> {
        let is_member = |node: &&Node| {
            let Some(machine) = &node.machine else { return false };
            node.joined
                && !node.leaving
                && machine.removed().is_none()
                && machine.replica().member(&node.me).is_some()
        };
        self.nodes.iter().filter(is_member).map(|node| node.number).collect()
    }

    /// Who is not equal to the others, and how.
    pub(crate) fn apart(&self) -> Option<(usize, String)> {
        let lost = self.nodes.iter().find(|node| {
            !node.standing.gone && node.context.is_some() && !node.standing.liar && node.machine.is_none()
        });
        if let Some(node) = lost {
            return Some((node.number, "its context does not open".into()));
        }
        let members = self.members();
        let first = self.nodes[*members.first()?].machine.as_ref()?.replica();
        for number in &members {
            let machine = self.nodes[*number].machine.as_ref()?;
            let replica = machine.replica();
            if replica.digest() != first.digest() {
                let sessions = machine.sessions().into_iter().map(|(link, status)| (link.0, status));
                let detail = format!(
                    "{} transactions, and node {} has {}; members {members:?}; sessions {:?}",
                    replica.transactions(),
                    members[0],
                    first.transactions(),
                    sessions.collect::<Vec<_>>(),
                );
                return Some((*number, detail));
            }
            if replica.pending() > 0 {
                let blocked = machine.status().blocked;
                let detail = format!("{} transactions are not executed: {blocked:?}", replica.pending());
                return Some((*number, detail));
            }
            if let Some(detail) = self.cannot_read(*number) {
                return Some((*number, detail));
            }
            if !machine.waiting().is_empty() {
                return Some((*number, format!("{} transactions wait", machine.waiting().len())));
            }
        }
        None
    }
}

impl Node {
    /// How the process died in a write: whether the power went, and for how long it is down.
    pub(crate) fn dying(&mut self) -> (bool, u64) {
        self.doom.take().unwrap_or((false, 1_000))
    }
}

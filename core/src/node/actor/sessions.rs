//! The sessions of a context with its peers, as its thread runs them.

use std::collections::VecDeque;

use super::Actor;
use super::stage::Stage;
use crate::network::{LinkId, PeerId};
use crate::node::command::Command;
use crate::node::events::Event;
use crate::node::evidence;
use crate::node::info::ContextPeer;
use crate::node::membership::Held;
use crate::node::parting::{self, Parting};
use crate::node::shared::Joining;
use crate::node::switchboard::ToSwitchboard;
use crate::replica::payload::Add;
use crate::replica::{Keyring, MemberId, Payload, StateRead, Transaction, View};
use crate::storage::ContextTables;
use crate::sync::{Binding, Channel, Ended, Local, Output, Refusal, Session, SessionEvent};
use crate::{Error, Result};

/// A session, and what is known of its peer.
pub(super) struct Connected {
    pub(super) session: Session,
    channel: Channel,
    peer: PeerId,
    since: u64,
    pub(super) member: Option<MemberId>,
}

/// What a session delivered.
pub(super) struct Delivery {
    pub(super) link: LinkId,
    pub(super) token: u64,
    pub(super) transactions: VecDeque<Transaction>,
}

impl Connected {
    pub(super) fn info(&self, now: u64) -> ContextPeer {
        let status = self.session.status();
        ContextPeer {
            peer: self.peer.to_string(),
            member: status.member.map(|member| member.to_string()),
            equal: status.equal,
            lacking: status.expected.saturating_sub(status.received).max(status.unknown_tips as u64),
            lacks: status.to_send.saturating_sub(status.sent),
            since: now.saturating_sub(self.since),
        }
    }
}

impl Actor {
    /// Lets the sessions see what came over the network, and the time.
    pub(super) fn hear(
        &mut self,
        commands: impl IntoIterator<Item = Command>,
        tables: &ContextTables<'_>,
        stage: &mut Stage,
    ) -> Result<()> {
        for command in commands {
            match command {
                Command::Opened { link, peer, channel, binding } => {
                    self.open_session(link, peer, channel, binding, tables, stage)?;
                }
                Command::Message { link, channel, message, load } => {
                    self.with_session(link, Some(channel), tables, stage, |session, held, now| {
                        session.receive(&message, held, now)
                    })?;
                    drop(load);
                }
                Command::Gossip { content: Some(content), load } => {
                    self.hear_gossip(&content, tables, stage)?;
                    drop(load);
                }
                Command::Gossip { content: None, .. } => self.gossiping.gap(self.start.surroundings.now()),
                Command::Closed { link, channel, why }
                    if self.sessions.get(&link).is_some_and(|connected| connected.channel == channel) =>
                {
                    self.end_session(link, why);
                }
                _ => {}
            }
        }
        let now = self.now();
        // Not `is_some_and`: of that the compiler makes a comparison with what stands where there is no deadline, before it looks whether there is one.
        // It makes no difference, but valgrind reports it, for every program with the C library.
        let due = |connected: &Connected| connected.session.deadline().unwrap_or(u64::MAX) <= now;
        let links: Vec<LinkId> =
            self.sessions.iter().filter(|(_, c)| due(c)).map(|(link, _)| *link).collect();
        for link in links {
            self.with_session(link, None, tables, stage, |session, held, now| session.tick(held, now))?;
        }
        Ok(())
    }

    /// The history as sessions see it.
    pub(super) fn held<'a>(&'a self, tables: &'a dyn StateRead) -> Held<'a> {
        Held {
            replica: &self.replica,
            tables,
            verified: &self.verified,
            surroundings: &*self.start.surroundings,
            keeper: &self.keeper,
            passing: &self.passing,
            awaits: self.fetching.awaits(self.now()),
        }
    }

    fn open_session(
        &mut self,
        link: LinkId,
        peer: PeerId,
        channel: Channel,
        binding: Binding,
        tables: &ContextTables<'_>,
        stage: &mut Stage,
    ) -> Result<()> {
        self.end_session(link, Parting::Gone.because("the other side began a new session"));
        let held = self.held(tables);
        let me = self.start.shared.me;
        let local = match &self.start.invitation {
            Some(invitation) if self.replica.member(&me).is_none() => Local::Joiner {
                request: Box::new(Add::request(
                    &self.start.shared.id,
                    &self.start.key,
                    invitation.role,
                    self.keeper.package(invitation.suite, tables)?,
                    Some((invitation.invite, &invitation.key())),
                )),
            },
            _ => Local::Member { supporting: held.lineage(&me)? },
        };
        let seed = self.start.surroundings.random()?;
        let seed =
            u64::from_le_bytes([seed[0], seed[1], seed[2], seed[3], seed[4], seed[5], seed[6], seed[7]]);
        let now = self.now();
        let (session, outputs) = Session::new(binding, &self.start.key, local, seed, &held, now)?;
        self.fetching.begins(link);
        self.sessions.insert(link, Connected { session, channel, peer, since: now, member: None });
        self.carry_out(link, outputs, stage);
        Ok(())
    }

    /// Whose nodes are connected.
    pub(super) fn members(&self) -> impl Iterator<Item = (LinkId, MemberId)> {
        self.sessions.iter().filter_map(|(link, connected)| Some((*link, connected.member?)))
    }

    pub(super) fn with_session(
        &mut self,
        link: LinkId,
        channel: Option<Channel>,
        tables: &ContextTables<'_>,
        stage: &mut Stage,
        input: impl FnOnce(&mut Session, &Held<'_>, u64) -> Result<Vec<Output>>,
    ) -> Result<()> {
        let now = self.now();
        let Some(connected) = self.sessions.get_mut(&link) else { return Ok(()) };
        if channel.is_some_and(|channel| channel != connected.channel) {
            return Ok(());
        }
        let held = Held {
            replica: &self.replica,
            tables,
            verified: &self.verified,
            surroundings: &*self.start.surroundings,
            keeper: &self.keeper,
            passing: &self.passing,
            awaits: self.fetching.awaits(now),
        };
        let outputs = input(&mut connected.session, &held, now)?;
        self.carry_out(link, outputs, stage);
        Ok(())
    }

    fn carry_out(&mut self, link: LinkId, outputs: Vec<Output>, stage: &mut Stage) {
        let Some(connected) = self.sessions.get(&link) else { return };
        let (channel, peer) = (connected.channel, connected.peer);
        for output in outputs {
            match output {
                Output::Send { message, .. } => {
                    self.tell(ToSwitchboard::Send { link, channel, message });
                }
                Output::Deliver { token, transactions } => {
                    stage.deliveries.push(Delivery { link, token, transactions: transactions.into() });
                }
                Output::Opened(opened) => {
                    stage.heard_shares = true;
                    stage.shares.extend(opened);
                }
                Output::Wraps(..) | Output::NoWraps { .. } | Output::HasWraps(_) => {
                    self.hear_of_wraps(link, output, stage);
                }
                Output::Complaint(member) => stage.complaints.push(member),
                Output::Admit(request) => stage.requests.push((link, *request)),
                Output::Event(event) => self.session_event(link, peer, event, stage),
                Output::Ended(ended) => self.ended(link, ended),
            }
        }
    }

    /// The switchboard outlives all contexts but in a shutdown, where nothing matters any more.
    fn tell(&self, what: ToSwitchboard) {
        let _ = self.start.switchboard.send(what);
    }

    fn session_event(&mut self, link: LinkId, peer: PeerId, event: SessionEvent, stage: &mut Stage) {
        let shared = &self.start.shared;
        match event {
            SessionEvent::Proved { member, .. } => {
                if let Some(connected) = self.sessions.get_mut(&link) {
                    connected.member = Some(member);
                }
                self.tell(ToSwitchboard::Proved { link });
                shared.pass(Event::PeerConnected { peer: peer.to_string(), member });
            }
            SessionEvent::Progress { received, expected, .. } => {
                shared.progress.send_replace((received, expected));
                shared.pass(Event::SyncProgress { peer: peer.to_string(), done: received, total: expected });
            }
            SessionEvent::Synced => shared.pass(Event::Synced { peer: peer.to_string() }),
            SessionEvent::Equal => {
                self.tell(ToSwitchboard::InStep { link, context: shared.id });
            }
            SessionEvent::Evidence(transactions) => stage.evidence.extend(transactions),
            SessionEvent::CannotDeliver(ids) => {
                tracing::debug!(%peer, missing = ids.len(), "a peer cannot deliver what it refers to");
            }
            _ => {}
        }
    }

    /// Peers show what removed this member. What follows from what is known here becomes part of the history; of the rest, a removal counts
    /// if its author may remove this member by what is known here and by what the rest says of both, and a fork if it proves itself.
    pub(super) fn stage_evidence(&mut self, view: &mut View<'_>, stage: &mut Stage) -> Result<()> {
        let evidence = std::mem::take(&mut stage.evidence);
        if evidence.is_empty() {
            return Ok(());
        }
        let application = self.application();
        let keyring: Option<&mut dyn Keyring> = Some(&mut self.keeper);
        let mut step = self.replica.receive_with(view, &evidence, application.as_deref(), keyring)?;
        view.apply(std::mem::take(&mut step.writes));
        stage.added.extend(step.admitted.iter().copied());
        stage.absorb(step, &self.start.shared.me);
        let me = self.start.shared.me;
        if self.replica.member(&me).is_none() {
            return Ok(());
        }
        let mut unknown = Vec::new();
        for transaction in &evidence {
            if !self.replica.has(view, &transaction.header.id())? {
                let payload = Payload::decode(transaction.header.kind, transaction.plaintext());
                unknown.extend(payload.map(|payload| (transaction.header.author, payload)));
            }
        }
        if unknown.is_empty() || self.removed.is_some() {
            return Ok(());
        }
        let mut lineage = evidence::Lineage::new();
        for add in self.held(view).lineage(&me)? {
            let found = self.replica.location(view, &add)?;
            lineage.extend(found.map(|at| (at.author, at.sequence)));
        }
        if let Some(author) = evidence::removed_by(&self.replica, &me, &lineage, &unknown) {
            let reason = format!("this member, or one by whose word it is one, was removed by {author}");
            self.removed = Some(reason.clone());
            stage.events.push(super::closed(reason));
        }
        Ok(())
    }

    fn ended(&mut self, link: LinkId, ended: Ended) {
        let shared = &self.start.shared;
        tracing::debug!(context = %shared.id, %link, ?ended, "a session ended");
        if let Ended::RefusedByPeer(refusal) = ended {
            // A peer that holds this member's `Leave`, or its removal, knows it no more: that is the acknowledgement.
            if self.leaving && matches!(refusal, Refusal::NotMember | Refusal::Removed) {
                shared.left.send_replace(true);
            }
            let final_word = !matches!(refusal, Refusal::NotNow);
            if self.start.invitation.is_some() && final_word {
                let error = Error::new(refusal.kind(), refusal.to_string());
                shared.joining.send_if_modified(|joining| {
                    let under_way = matches!(joining, Joining::UnderWay);
                    if under_way {
                        *joining = Joining::Failed(error);
                    }
                    under_way
                });
            }
        }
        self.cut(link, parting::of_session(ended));
    }

    fn end_session(&mut self, link: LinkId, reason: String) {
        if let Some(connected) = self.sessions.remove(&link) {
            self.goodbye(&connected, reason);
            self.room.forget(link.0);
        }
    }

    fn goodbye(&self, connected: &Connected, reason: String) {
        if connected.member.is_some() {
            self.start.shared.pass(Event::PeerDisconnected { peer: connected.peer.to_string(), reason });
        }
    }

    /// Closes all channels: what the sessions know is not what the store holds.
    pub(super) fn drop_sessions(&mut self, why: &str) {
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        links.into_iter().for_each(|link| self.cut(link, Parting::Closed.because(why)));
        self.left_over.clear();
        self.held_back.clear();
        // Sessions to come compare the whole history.
        self.told = self.written;
    }

    /// Ends a session from this side.
    fn cut(&mut self, link: LinkId, reason: String) {
        if let Some(connected) = self.sessions.remove(&link) {
            let context = self.start.shared.id;
            self.goodbye(&connected, reason);
            self.tell(ToSwitchboard::Close { link, context, channel: connected.channel });
        }
        self.room.forget(link.0);
    }

    /// Tells the sessions what is durable now. What they deliver in answer waits for the next round.
    pub(super) fn tell_sessions(&mut self, tables: &ContextTables<'_>, stage: &mut Stage) -> Result<()> {
        self.ask_after_gossip(tables, stage)?;
        // First: what keys on the way may open, nobody is asked for.
        self.fetch_wraps(tables, stage)?;
        for (link, what) in std::mem::take(&mut stage.liars) {
            self.cut(link, Parting::Misbehaved.because(format_args!("an invalid transaction: {what}")));
        }
        for (link, outcome) in std::mem::take(&mut stage.admitted) {
            self.with_session(link, None, tables, stage, |session, held, now| match &outcome {
                Ok(ids) => session.admitted(ids, held, now),
                Err(refusal) => session.refused(*refusal, held, now),
            })?;
        }
        for (link, token) in std::mem::take(&mut stage.delivered) {
            self.with_session(link, None, tables, stage, |session, held, now| {
                session.delivered(token, held, now)
            })?;
        }
        for (link, missing) in std::mem::take(&mut stage.missing) {
            // What has come in the same round is not missing any more.
            let mut still = Vec::new();
            for id in missing {
                if !self.replica.has(tables, &id)? {
                    still.push(id);
                }
            }
            if !still.is_empty() {
                self.with_session(link, None, tables, stage, |session, held, now| {
                    session.missing(&still, held, now)
                })?;
            }
        }
        for link in std::mem::take(&mut stage.dropped) {
            self.with_session(link, None, tables, stage, |session, held, now| session.compare(held, now))?;
        }
        // Every session hears of everything: it knows itself what its own peer has delivered.
        let ids = std::mem::take(&mut stage.added);
        if !ids.is_empty() {
            let new_keys = self.note_gossip(tables)?;
            self.push_added(&ids, new_keys, tables, stage)?;
        }
        self.told = self.written;
        // Last: who left or was removed is to hear of that; what is sealed goes to it as it was sent.
        if std::mem::take(&mut stage.membership_changed) {
            let links: Vec<LinkId> = self.sessions.keys().copied().collect();
            for link in links {
                self.with_session(link, None, tables, stage, |session, held, now| {
                    session.standing_changed(held, now)
                })?;
            }
        }
        self.tell_of_keys(tables, stage)?;
        self.left_over.extend(stage.deliveries.drain(..));
        self.check_joined();
        Ok(())
    }

    /// Joining is done once this node is a member and holds what a peer holds.
    fn check_joined(&mut self) {
        if self.start.invitation.is_none() || self.replica.member(&self.start.shared.me).is_none() {
            return;
        }
        let in_step = self.sessions.values().any(|connected| connected.session.status().equal);
        if in_step && self.room.is_empty() {
            self.start.invitation = None;
            self.start.shared.joining.send_replace(Joining::Done);
        }
    }
}

//! Gossip in contexts with many members: a node pushes to few directly, and the others hear of it from each other. All of it is a hint.

use super::Actor;
use super::sessions::Delivery;
use super::stage::Stage;
use crate::encryption::{Scope, Suite};
use crate::network::LinkId;
use crate::node::gossip::EnvelopeKeys;
use crate::node::membership::Held;
use crate::node::switchboard::ToSwitchboard;
use crate::replica::{MemberId, TransactionId};
use crate::storage::ContextTables;
use crate::sync::{History, gossip};
use crate::{Result, limits};

/// Stands for nobody in particular, where a link is asked for.
const NOBODY: LinkId = LinkId(u64::MAX);
/// What gossip left open makes this node ask a peer once in this time at most, in ms.
const ASK: u64 = 5_000;

/// What a context's thread knows of its gossip.
#[derive(Default)]
pub(super) struct Gossiping {
    keys: Option<EnvelopeKeys>,
    /// When a peer was last asked, and when one is to be asked.
    asked: Option<u64>,
    ask_at: Option<u64>,
}

impl Gossiping {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.ask_at
    }

    /// Something came that was of no use alone.
    pub(super) fn gap(&mut self, now: u64) {
        let at = self.asked.map_or(now, |asked| now.max(asked.saturating_add(ASK)));
        self.ask_at.get_or_insert(at);
    }
}

impl Actor {
    /// Takes part in gossip, or not any more, as the members are many or few.
    pub(super) fn note_gossip(&mut self) {
        let me = self.replica.member(&self.start.shared.me).is_some();
        let wanted =
            (self.start.gossips && me && self.replica.members().count() > limits::DIRECT).then(|| {
                let scope = Scope { suite: Suite::X25519, context: self.start.shared.id };
                EnvelopeKeys::first(scope, self.replica.access_key())
            });
        if wanted == self.gossiping.keys {
            return;
        }
        self.gossiping.keys.clone_from(&wanted);
        let context = self.start.shared.id;
        // Fails only in a shutdown.
        let _ = self.start.switchboard.send(ToSwitchboard::Gossip { context, keys: wanted });
    }

    /// What is gossiped is staged like what a peer delivers.
    pub(super) fn hear_gossip(
        &mut self,
        content: &[u8],
        tables: &ContextTables<'_>,
        stage: &mut Stage,
    ) -> Result<()> {
        let held = Held { replica: &self.replica, tables, verified: &self.verified };
        match gossip::hear(&self.start.shared.id, content, &held)? {
            Some(transactions) if transactions.is_empty() => {}
            Some(transactions) => {
                stage.deliveries.push(Delivery { link: NOBODY, token: 0, transactions: transactions.into() });
            }
            None => tracing::debug!("what was gossiped is wrong"),
        }
        Ok(())
    }

    /// Tells the sessions what is new: in a context that gossips, the first few of what is this member's own, and the others that they may
    /// have missed something.
    pub(super) fn push_added(
        &mut self,
        ids: &[TransactionId],
        tables: &ContextTables<'_>,
        stage: &mut Stage,
    ) -> Result<()> {
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        let Some(keys) = self.gossiping.keys.clone() else {
            for link in links {
                self.with_session(link, None, tables, stage, |session, held, now| {
                    session.added(ids, held, now)
                })?;
            }
            return Ok(());
        };
        let (mut own, mut others, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        let held = Held { replica: &self.replica, tables, verified: &self.verified };
        for id in ids {
            let Some(transaction) = held.transaction(id)? else { continue };
            if transaction.header.author != self.start.shared.me {
                others.push(*id);
                continue;
            }
            own.push(*id);
            // As it goes to those who are no members: nobody is given what it says who lacks its keys.
            shown.extend(held.show(&MemberId([0; 32]), transaction)?.map(|transaction| (*id, transaction)));
        }
        if let Some((topic, bytes)) = gossip::announce(shown).and_then(|content| keys.seal(&content)) {
            // Fails only in a shutdown.
            let _ = self.start.switchboard.send(ToSwitchboard::Publish { topic, bytes });
        }
        for (index, link) in links.into_iter().enumerate() {
            self.with_session(link, None, tables, stage, |session, held, now| {
                if index < limits::DIRECT {
                    let mut outputs = session.added(&own, held, now)?;
                    outputs.extend(session.gossiped(&others, held, now)?);
                    Ok(outputs)
                } else {
                    session.gossiped(ids, held, now)
                }
            })?;
        }
        Ok(())
    }

    /// What was gossiped and waits for its past makes this node ask a peer for it: one, and not often.
    pub(super) fn ask_after_gossip(&mut self, tables: &ContextTables<'_>, stage: &mut Stage) -> Result<()> {
        let now = self.now();
        let missing = stage.missing.remove(&NOBODY).is_some();
        let dropped = stage.dropped.contains(&NOBODY);
        stage.dropped.retain(|link| *link != NOBODY);
        stage.liars.retain(|link| *link != NOBODY);
        stage.delivered.retain(|(link, _)| *link != NOBODY);
        if missing || dropped {
            self.gossiping.gap(now);
        }
        if self.gossiping.ask_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        self.gossiping.ask_at = None;
        self.gossiping.asked = Some(now);
        let member = self.sessions.iter().find(|(_, connected)| connected.session.status().member.is_some());
        if let Some(link) = member.map(|(link, _)| *link) {
            self.with_session(link, None, tables, stage, |session, held, now| session.compare(held, now))?;
        }
        Ok(())
    }
}

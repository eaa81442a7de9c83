//! Gossip in contexts with many members: a node pushes to few directly, and the others hear of it from each other. All of it is a hint.

use super::Actor;
use super::sessions::Delivery;
use super::stage::Stage;
use crate::encryption::{Scope, Suite};
use crate::network::LinkId;
use crate::node::gossip::EnvelopeKeys;
use crate::node::switchboard::ToSwitchboard;
use crate::replica::{MemberId, StateRead, TransactionId};
use crate::storage::ContextTables;
use crate::sync::{History, gossip};
use crate::{Result, limits};

/// Of a step that changes the keys, and has more transactions, the members learn by comparing: it is catch-up.
const BY_HAND: usize = 256;
/// Stands for nobody in particular, where a link is asked for.
const NOBODY: LinkId = LinkId(u64::MAX);
/// What gossip left open makes this node ask a peer once in this time at most, in ms.
const ASK: u64 = 5_000;

/// What a context's thread knows of its gossip.
#[derive(Default)]
pub(super) struct Gossiping {
    /// Whether the members are so many that not all is pushed to all.
    on: bool,
    /// None: nothing can be gossiped, for want of an epoch that is usable and whose keys are here.
    keys: Option<EnvelopeKeys>,
    /// How many governing transactions were known when that was found: as long as there is none more, nothing of it changes.
    acts: Option<u32>,
    /// When a peer was last asked, and when one is to be asked.
    asked: Option<u64>,
    ask_at: Option<u64>,
}

impl Gossiping {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.ask_at
    }

    /// What is in memory is not what was stored.
    pub(super) fn look_anew(&mut self) {
        self.acts = None;
    }

    /// Something came that was of no use alone.
    pub(super) fn gap(&mut self, now: u64) {
        let at = self.asked.map_or(now, |asked| now.max(asked.saturating_add(ASK)));
        self.ask_at.get_or_insert(at);
    }
}

impl Actor {
    /// Takes part in gossip, or not any more, as the members are many or few, and under the keys of the epochs that are usable now. Whether these
    /// are others than before.
    pub(super) fn note_gossip(&mut self, tables: &dyn StateRead) -> Result<bool> {
        let acts = self.replica.everything(tables).acts_known();
        if self.gossiping.acts == Some(acts) {
            return Ok(false);
        }
        let me = self.replica.member(&self.start.shared.me).is_some();
        self.gossiping.on = self.start.gossips && me && self.replica.members().count() > limits::DIRECT;
        let wanted = if self.gossiping.on { self.envelope_keys(tables)? } else { None };
        self.gossiping.acts = Some(acts);
        if wanted == self.gossiping.keys {
            return Ok(false);
        }
        self.gossiping.keys.clone_from(&wanted);
        let context = self.start.shared.id;
        // Fails only in a shutdown.
        let _ = self.start.switchboard.send(ToSwitchboard::Gossip { context, keys: wanted });
        Ok(true)
    }

    fn envelope_keys(&self, tables: &dyn StateRead) -> Result<Option<EnvelopeKeys>> {
        let context = self.start.shared.id;
        let Some(suite) = Suite::from_number(self.replica.suite()) else {
            let scope = Scope { suite: Suite::X25519, context };
            return Ok(Some(EnvelopeKeys::unsealed(scope, self.replica.access_key())));
        };
        let keys = self.keeper.envelopes(&self.replica.everything(tables))?;
        Ok(EnvelopeKeys::of_epochs(Scope { suite, context }, keys))
    }

    /// What is gossiped is staged like what a peer delivers.
    pub(super) fn hear_gossip(
        &mut self,
        content: &[u8],
        tables: &ContextTables<'_>,
        stage: &mut Stage,
    ) -> Result<()> {
        let held = self.held(tables);
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
        new_keys: bool,
        tables: &ContextTables<'_>,
        stage: &mut Stage,
    ) -> Result<()> {
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        if !self.gossiping.on {
            return self.push_to(&links, ids, &[], tables, stage);
        }
        let (first, rest) = links.split_at(links.len().min(limits::DIRECT));
        // What changes the keys, and what is sealed right behind it, opens for nobody who has not got it: it goes from hand to hand.
        let by_hand = self.gossiping.keys.is_none() || new_keys && ids.len() <= BY_HAND;
        let (mut own, mut others) = (ids.to_vec(), Vec::new());
        if !by_hand {
            (own, others) = self.gossip(ids, tables)?;
        }
        self.push_to(first, &own, &others, tables, stage)?;
        self.push_to(rest, &[], ids, tables, stage)
    }

    /// Pushes some, and says of others that there is something new.
    fn push_to(
        &mut self,
        links: &[LinkId],
        pushed: &[TransactionId],
        told: &[TransactionId],
        tables: &ContextTables<'_>,
        stage: &mut Stage,
    ) -> Result<()> {
        // Of several batches in a round the first may have been answered by itself.
        let mark = self.told + 1;
        for link in links {
            self.with_session(*link, None, tables, stage, |session, held, now| {
                let mut outputs = Vec::new();
                if !pushed.is_empty() {
                    outputs = session.added(pushed, mark, held, now)?;
                }
                if !told.is_empty() {
                    outputs.extend(session.gossiped(told, held, now)?);
                }
                Ok(outputs)
            })?;
        }
        Ok(())
    }

    /// Gossips what is this member's own. Gives that, and the rest.
    fn gossip(
        &self,
        ids: &[TransactionId],
        tables: &ContextTables<'_>,
    ) -> Result<(Vec<TransactionId>, Vec<TransactionId>)> {
        let (mut own, mut others, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        let held = self.held(tables);
        for id in ids {
            let Some(transaction) = held.transaction(id)? else { continue };
            if transaction.header.author != self.start.shared.me {
                others.push(*id);
                continue;
            }
            own.push(*id);
            // As it goes to those who are no members: nobody is given what it says who lacks its keys.
            shown.extend(
                held.show(&MemberId([0; 32]), id, transaction)?.map(|transaction| (*id, transaction)),
            );
        }
        let keys = self.gossiping.keys.as_ref();
        let content = gossip::announce(shown);
        if let Some((topic, bytes)) = keys.zip(content).and_then(|(keys, content)| keys.seal(&content)) {
            // Fails only in a shutdown.
            let _ = self.start.switchboard.send(ToSwitchboard::Publish { topic, bytes });
        }
        Ok((own, others))
    }

    /// What was gossiped and waits for its past makes this node ask a peer for it: one, and not often.
    pub(super) fn ask_after_gossip(&mut self, tables: &ContextTables<'_>, stage: &mut Stage) -> Result<()> {
        let now = self.now();
        let missing = stage.missing.remove(&NOBODY).is_some();
        let dropped = stage.dropped.contains(&NOBODY);
        stage.dropped.retain(|link| *link != NOBODY);
        stage.liars.retain(|(link, _)| *link != NOBODY);
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

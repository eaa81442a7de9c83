//! Making epochs, and taking in those of others.

use std::collections::BTreeMap;

use super::super::ring::{Change, EpochDraft, Key, Ring};
use super::super::seen::Seen;
use super::{HELD, Keeper, Stored};
use crate::Result;
use crate::encryption::{Epoch, RatchetKey, Recipient, Scope, Secret, Trouble};
use crate::replica::faults::{self, Fault};
use crate::replica::{MemberId, Past, Payload, Transaction, TransactionId};

/// Whether a ratchet key counts that is published after another one.
pub(super) fn follows(newest: u32, index: u32) -> bool {
    newest.checked_add(1) == Some(index)
}

impl Keeper {
    pub(super) fn draft_epoch(&mut self, past: &Past<'_>, entropy: [u8; 32]) -> Result<Payload> {
        let scope = self.scope(past.replica)?;
        let recipients = self.recipients(past, scope)?;
        let rows = Stored::new(past.tables);
        let draft = rows.told(self.ring(scope, &rows).draft_epoch(&recipients, &Secret::new(entropy)))?;
        let payload = Payload::Epoch(borsh::to_vec(&draft.epoch).unwrap_or_default());
        self.drafted = Some(draft);
        Ok(payload)
    }

    /// The other members, with the latest key that each has published.
    fn recipients(&self, past: &Past<'_>, scope: Scope) -> Result<Vec<Recipient>> {
        let seen = Seen::new(past, scope, &self.known);
        let mut recipients: BTreeMap<MemberId, Recipient> = BTreeMap::new();
        for (member, added) in past.members().filter(|(member, _)| **member != self.me) {
            let key = past.first_key(&added).unwrap_or_default().to_vec();
            let key = RatchetKey { index: 0, key };
            recipients.insert(*member, Recipient { member: *member, added, key });
        }
        let mut latest: BTreeMap<MemberId, TransactionId> = BTreeMap::new();
        for act in past.key_acts() {
            let Some(recipient) = recipients.get_mut(&act.author) else { continue };
            let Some(said) = seen.said(&act.id) else { continue };
            // Keys are published one after the other, from the first one of the present admission on.
            let counts = past.precedes(&recipient.added, &act.id) && !faults::is(Fault::SealToOld);
            if counts && follows(recipient.key.index, said.index) {
                recipient.key.index = said.index;
                latest.insert(act.author, act.id);
            }
        }
        for (member, id) in latest {
            if let (Some(recipient), Some(key)) = (recipients.get_mut(&member), seen.key(&id)) {
                recipient.key = key;
            }
        }
        seen.or_failure(recipients.into_values().collect())
    }

    /// Takes the keys of an epoch into the book; those of the oldest go. `made`: by this member itself, and whether with a new ratchet key.
    pub(super) fn hold(
        &self,
        past: &Past<'_>,
        ring: &Ring<'_, Stored<'_>>,
        id: TransactionId,
        made: Option<bool>,
    ) -> Result<Vec<Change>> {
        let mut book = Self::book(past.tables)?;
        let mut changes = Vec::new();
        book.held.push((id, self.now));
        while book.held.len() > HELD {
            let (oldest, _) = book.held.remove(0);
            if let Some(act) = past.epoch(&oldest) {
                let members: Vec<MemberId> = past.members_at(act.number)?.members.keys().copied().collect();
                changes.extend(ring.retire(&oldest, &members));
            }
        }
        // What was asked for is made.
        book.asked &= made.is_none();
        if made == Some(true) || book.refreshed == 0 {
            book.refreshed = self.time();
        }
        changes.push(Self::keep(&book));
        Ok(changes)
    }

    pub(super) fn take_epoch(
        &mut self,
        past: &Past<'_>,
        id: &TransactionId,
        transaction: &Transaction,
    ) -> Result<Vec<Change>> {
        let scope = self.scope(past.replica)?;
        let rows = Stored::new(past.tables);
        let author = transaction.header.author;
        let Some(act) = past.epoch(id) else { return Ok(Vec::new()) };
        let said = |draft: &EpochDraft| borsh::to_vec(&draft.epoch).unwrap_or_default();
        let own = self.drafted.take().filter(|draft| said(draft) == transaction.plaintext());
        if let Some(draft) = own {
            let ring = self.ring(scope, &rows);
            let before = rows.told(ring.own_keys())?.1;
            let refreshed = draft.epoch.ratchet_key.index != before;
            let mut changes = ring.begin_epoch(draft, id);
            changes.extend(self.hold(past, &ring, *id, Some(refreshed))?);
            return Ok(changes);
        }
        let members: Vec<MemberId> = past.members_at(act.number)?.members.keys().copied().collect();
        if author == self.me {
            // The chains of roots have gone on without this store: they begin anew.
            let others = members.iter().filter(|member| **member != self.me);
            let mut changes: Vec<Change> = others.map(|member| Change::end(Key::To(*member))).collect();
            changes.extend(Self::set_back(past.tables)?);
            return Ok(changes);
        }
        if !members.contains(&self.me) {
            return Ok(Vec::new());
        }
        let epoch = Epoch::decode(&scope, transaction.plaintext());
        let ring = self.ring(scope, &rows);
        match epoch.and_then(|epoch| ring.receive_epoch(id, &author, &epoch, &members, None)) {
            Ok(mut changes) => {
                if !changes.is_empty() {
                    changes.extend(self.hold(past, &ring, *id, None)?);
                }
                Ok(changes)
            }
            Err(Trouble::WrapElsewhere) => self.want(past, id),
            Err(trouble) => rows.told(self.note(id, author, trouble)).map(|()| Vec::new()),
        }
    }

    /// What is wrong with the keys of an epoch: its author hears of it, if that helps. A fault of the store is no such thing.
    pub(super) fn note(
        &mut self,
        id: &TransactionId,
        author: MemberId,
        trouble: Trouble,
    ) -> std::result::Result<(), Trouble> {
        if matches!(trouble, Trouble::State | Trouble::StateVersion) {
            return Err(trouble);
        }
        if trouble.heals() {
            self.complaints.insert(author);
        }
        self.troubles.push((*id, author, trouble));
        Ok(())
    }
}

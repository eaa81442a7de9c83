//! All that one member keeps of a context's keys. Every operation reads rows and gives changes of rows, to be stored in one batch with what
//! else comes out of it, and before anything of that is sent. Nothing changes where an error is given.

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use super::stored::{decode, encode};
use crate::encryption::{
    Chain, Epoch, Leaf, MESSAGES, Opened, Pair, RatchetKey, Recipient, Scope, Secret, Trouble, Wraps, commit,
};
use crate::limits;
use crate::replica::faults::{self, Fault};
use crate::replica::{Header, MemberId, MessageKey, Transaction, TransactionId};

/// How many of a member's own ratchet keys are kept, for wraps whose authors had not seen a later one.
pub const RATCHET_KEYS: usize = 32;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Key {
    /// One's own ratchet keys.
    Ratchet,
    /// The chain of roots to a member …
    To(MemberId),
    /// … and from it.
    From(MemberId),
    /// An author's chain in an epoch.
    Chain(TransactionId, MemberId),
    /// What envelopes are sealed with in an epoch.
    Envelope(TransactionId),
    /// What is to be remembered besides: no secret.
    Book,
    /// Of which epochs this member's wrap is still to come: no secret, like the two after it.
    Wanted,
    /// All wraps of an epoch that has them elsewhere: for those who ask.
    Wraps(TransactionId),
    /// This member's own wrap of such an epoch, until it is opened.
    Leaf(TransactionId),
    /// When this member's node was last seen at work: no secret.
    Awake,
    /// Which messages of an author became known before the wrap of their epoch came: no secret.
    Passed(TransactionId, MemberId),
}

impl Key {
    /// As the key of a store; rows of one epoch lie together.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Writing into a vector cannot fail.
        borsh::to_vec(self).unwrap_or_default()
    }
}

/// A row's new value, or its end.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which row.
    pub key: Key,
    /// The new value; none: the row goes.
    pub value: Option<Zeroizing<Vec<u8>>>,
}

impl Change {
    pub(crate) fn put(key: Key, value: &impl BorshSerialize) -> Self {
        Self { key, value: Some(encode(value)) }
    }

    pub(super) const fn end(key: Key) -> Self {
        Self { key, value: None }
    }
}

/// Reads the rows that [`Change`]s have written.
pub trait Rows {
    /// The row's value. A store that fails says [`Trouble::State`], and not that there is none.
    fn row(&self, key: &Key) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble>;
}

/// One's own private ratchet keys, the newest last.
#[derive(BorshSerialize, BorshDeserialize)]
pub(super) struct Own {
    pub(super) keys: Vec<(u32, Secret)>,
    /// Whether something opened with the newest key alone: whoever takes that key opens it too, until it is gone.
    pub(super) exposed: bool,
}

/// One member's keys in one context.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'a, R> {
    /// Suite and context.
    pub scope: Scope,
    /// Whose keys they are.
    pub me: MemberId,
    /// Where they are.
    pub rows: &'a R,
}

/// An epoch that has no id yet: to be signed, and then begun.
#[derive(Debug)]
pub struct EpochDraft {
    /// What the transaction says.
    pub epoch: Epoch,
    /// All wraps, also where the transaction has their root only: to be stored and handed out.
    pub wraps: Vec<u8>,
    seed: Secret,
    members: Vec<MemberId>,
    changes: Vec<Change>,
}

impl<R: Rows> Ring<'_, R> {
    pub(super) fn read<T: BorshDeserialize>(&self, key: &Key) -> Result<Option<T>, Trouble> {
        self.rows.row(key)?.map(|bytes| decode(&bytes)).transpose()
    }

    fn own(&self) -> Result<Own, Trouble> {
        self.read(&Key::Ratchet)?.ok_or(Trouble::State)
    }

    /// One that breaks its own rules is a damaged row like any other.
    fn chain(&self, epoch: &TransactionId, author: &MemberId) -> Result<Option<Chain>, Trouble> {
        let chain: Option<Chain> = self.read(&Key::Chain(*epoch, *author))?;
        if chain.as_ref().is_none_or(Chain::within_limits) { Ok(chain) } else { Err(Trouble::State) }
    }

    /// The first ratchet key, for a key package. `entropy` is 32 bytes from the system's generator, used for nothing else, as everywhere here.
    #[must_use]
    pub fn start(&self, entropy: &Secret) -> (RatchetKey, Change) {
        let (private, key) = self.scope.suite.pair(&self.scope.secret(entropy, "entropy-key", &[]));
        let own = Own { keys: vec![(0, private)], exposed: false };
        (RatchetKey { index: 0, key }, Change::put(Key::Ratchet, &own))
    }

    /// A new ratchet key, to be published. Whoever has copied the old ones opens nothing that is sealed to it.
    pub fn refresh(&self, entropy: &Secret) -> Result<(RatchetKey, Change), Trouble> {
        self.refresh_after(0, entropy)
    }

    /// The same, where others know one of this number already: rows that were set back have lost it.
    pub fn refresh_after(&self, published: u32, entropy: &Secret) -> Result<(RatchetKey, Change), Trouble> {
        let mut own = self.own()?;
        let newest = own.keys.last().ok_or(Trouble::State)?.0.max(published);
        let index = newest.checked_add(1).ok_or(Trouble::KeyIndex)?;
        let (mut private, mut key) = self.scope.suite.pair(&self.scope.secret(entropy, "entropy-key", &[]));
        if let Some((_, old)) = own.keys.last().filter(|_| faults::is(Fault::KeepRatchet)) {
            (private, key) = (old.clone(), self.scope.suite.public(old)?);
        }
        own.keys.push((index, private));
        let surplus = own.keys.len().saturating_sub(RATCHET_KEYS);
        own.keys.drain(..surplus);
        own.exposed = false;
        Ok((RatchetKey { index, key }, Change::put(Key::Ratchet, &own)))
    }

    /// Wipes the private ratchet keys before `index`, once every member is known to have seen that one. The newest stays.
    pub fn forget_keys(&self, index: u32) -> Result<Change, Trouble> {
        let mut own = self.own()?;
        let newest = own.keys.last().map_or(0, |(index, _)| *index);
        own.keys.retain(|(number, _)| *number >= index || *number == newest);
        Ok(Change::put(Key::Ratchet, &own))
    }

    /// Makes an epoch for the other members, and with it a new ratchet key if the newest one alone opens something that was sent. Nothing is changed before [`Self::begin_epoch`].
    pub fn draft_epoch(&self, recipients: &[Recipient], entropy: &Secret) -> Result<EpochDraft, Trouble> {
        let sorted = recipients.windows(2).all(|pair| pair[0].member < pair[1].member);
        if !sorted || recipients.len() >= limits::MEMBERS || recipients.iter().any(|to| to.member == self.me)
        {
            return Err(Trouble::Recipients);
        }
        let seed = self.scope.secret(entropy, "entropy-seed", &[]);
        let commit = commit(&self.scope, &self.me, &seed);
        // A key with which a first wrap was opened goes; otherwise an author that rotates often would outrun the wraps to it.
        let own = self.own()?;
        let (ratchet_key, mut changes) = if own.exposed {
            let (key, change) = self.refresh(entropy)?;
            (key, vec![change])
        } else {
            let (index, private) = own.keys.last().ok_or(Trouble::State)?;
            (RatchetKey { index: *index, key: self.scope.suite.public(private)? }, Vec::new())
        };
        let mut wraps = Vec::with_capacity(recipients.len() * self.scope.suite.wrap());
        for to in recipients {
            let pair: Pair = self.read(&Key::To(to.member))?.unwrap_or_default();
            let drawn = self.scope.secret(entropy, "entropy-wrap", &[&to.member.0]);
            match pair.wrap(&self.scope, &self.me, to, &commit, &seed, &drawn) {
                Ok((wrap, after)) => {
                    wraps.extend(wrap);
                    changes.push(Change::put(Key::To(to.member), &after));
                }
                // Who has published what is no key shuts itself out, and nobody else.
                Err(Trouble::Key) => wraps.resize(wraps.len() + self.scope.suite.wrap(), 0),
                Err(trouble) => return Err(trouble),
            }
        }
        let epoch = Epoch {
            suite: self.scope.suite as u8,
            commit,
            ratchet_key,
            recipients: u32::try_from(recipients.len()).map_err(|_| Trouble::Recipients)?,
            wraps: Wraps::of(&self.scope, &self.me, &wraps),
        };
        let mut members: Vec<_> = recipients.iter().map(|to| to.member).collect();
        members.push(self.me);
        Ok(EpochDraft { epoch, wraps, seed, members, changes })
    }

    /// The changes that go with the signed transaction of a draft.
    #[must_use]
    pub fn begin_epoch(&self, draft: EpochDraft, id: &TransactionId) -> Vec<Change> {
        let EpochDraft { epoch, wraps, seed, members, mut changes } = draft;
        if matches!(epoch.wraps, Wraps::Root(_)) {
            changes.push(Change::put(Key::Wraps(*id), &wraps));
        }
        changes.extend(self.derived(id, &seed, &members));
        changes
    }

    fn derived(&self, id: &TransactionId, seed: &Secret, members: &[MemberId]) -> Vec<Change> {
        let chains = members.iter().map(|author| {
            Change::put(Key::Chain(*id, *author), &Chain::start(&self.scope, seed, id, author))
        });
        let envelope = self.scope.secret(seed, "envelope", &[&id.0]);
        chains.chain([Change::put(Key::Envelope(*id), &envelope)]).collect()
    }

    /// The chains of an epoch whose wrap came late, without the keys of messages that are known by now.
    pub(super) fn without_passed(
        &self,
        id: &TransactionId,
        seed: &Secret,
        members: &[MemberId],
    ) -> Result<Vec<Change>, Trouble> {
        let mut changes = Vec::new();
        for author in members {
            let Some(passed) = self.passed(id, author)? else { continue };
            let begun = Chain::start(&self.scope, seed, id, author);
            let chain = passed
                .into_iter()
                .fold(begun, |chain, counter| chain.pass(&self.scope, counter).unwrap_or(chain));
            changes.push(Change::put(Key::Chain(*id, *author), &chain));
            changes.push(Change::end(Key::Passed(*id, *author)));
        }
        Ok(changes)
    }

    fn passed(&self, epoch: &TransactionId, author: &MemberId) -> Result<Option<Vec<u32>>, Trouble> {
        self.read(&Key::Passed(*epoch, *author))
    }

    /// Takes an epoch in. `members` are those that its author saw, by the causal past of the transaction, sorted; the author is one of them.
    /// An epoch that is here already changes nothing.
    pub fn receive_epoch(
        &self,
        id: &TransactionId,
        author: &MemberId,
        epoch: &Epoch,
        members: &[MemberId],
        leaf: Option<&Leaf>,
    ) -> Result<Vec<Change>, Trouble> {
        if self.rows.row(&Key::Envelope(*id))?.is_some() {
            return Ok(Vec::new());
        }
        epoch.check(&self.scope)?;
        let sorted = members.windows(2).all(|pair| pair[0] < pair[1]);
        if !sorted || members.len() != epoch.recipients as usize + 1 || !members.contains(author) {
            return Err(Trouble::Recipients);
        }
        let mut others = members.iter().filter(|member| *member != author);
        let index = others.position(|member| *member == self.me).ok_or(Trouble::NoRecipient)?;
        let wrap = epoch.wrap(&self.scope, author, index, leaf)?;
        let (step, key_index) = Pair::head(wrap)?;
        let mut own = self.own()?;
        let private = own.keys.iter().find(|(number, _)| *number == key_index).ok_or(Trouble::WrapKey)?;
        let pair: Pair = self.read(&Key::From(*author))?.unwrap_or_default();
        let (seed, after) = pair.unwrap(&self.scope, [author, &self.me], &private.1, &epoch.commit, wrap)?;
        let mut changes = self.derived(id, &seed, members);
        if leaf.is_some() {
            changes.extend(self.without_passed(id, &seed, members)?);
        }
        changes.push(Change::put(Key::From(*author), &after));
        if step == 0 && !own.exposed && own.keys.last().is_some_and(|(newest, _)| *newest == key_index) {
            own.exposed = true;
            changes.push(Change::put(Key::Ratchet, &own));
        }
        Ok(changes)
    }

    /// Wipes an epoch's keys, and the wraps that were kept for others. What is still unopened of it comes as shared history.
    #[must_use]
    pub fn retire(&self, epoch: &TransactionId, members: &[MemberId]) -> Vec<Change> {
        let chains = members.iter().map(|author| Key::Chain(*epoch, *author));
        chains.chain([Key::Envelope(*epoch), Key::Wraps(*epoch)]).map(Change::end).collect()
    }

    /// Seals and signs one's own next message in an epoch. The changes are to be durable before the transaction is sent.
    pub fn seal(
        &self,
        epoch: &TransactionId,
        header: Header,
        plaintext: &[u8],
        signer: &SigningKey,
    ) -> Result<(Transaction, Opened, Change), Trouble> {
        let chain = self.chain(epoch, &self.me)?.ok_or(Trouble::NoKeys)?;
        let (sealed, opened, after) = chain.seal(&self.scope, *epoch, header, plaintext, signer)?;
        Ok((sealed, opened, Change::put(Key::Chain(*epoch, self.me), &after)))
    }

    /// Opens a message of another member; gives also what it can be sealed with again. That its signature verifies, or is covered, is the
    /// caller's to see to.
    pub fn open(&self, sealed: &Transaction) -> Result<(Opened, MessageKey, Change), Trouble> {
        let (epoch, author) = (TransactionId(sealed.header.epoch), sealed.header.author);
        let chain = self.chain(&epoch, &author)?.ok_or(Trouble::NoKeys)?;
        let (opened, key, after) = chain.open(&self.scope, sealed)?;
        Ok((opened, key, Change::put(Key::Chain(epoch, author), &after)))
    }

    /// Drops the key of a message that became known by another way, if it is here; notes the message where the wrap of its epoch may come yet.
    pub(crate) fn pass(&self, header: &Header, may_come: bool) -> Result<Option<Change>, Trouble> {
        let epoch = TransactionId(header.epoch);
        if let Some(chain) = self.chain(&epoch, &header.author)? {
            let after = chain.pass(&self.scope, header.counter);
            return Ok(after.map(|after| Change::put(Key::Chain(epoch, header.author), &after)));
        }
        if !may_come || header.counter >= MESSAGES {
            return Ok(None);
        }
        let mut passed = self.passed(&epoch, &header.author)?.unwrap_or_default();
        if passed.contains(&header.counter) {
            return Ok(None);
        }
        passed.push(header.counter);
        Ok(Some(Change::put(Key::Passed(epoch, header.author), &passed)))
    }

    /// Forgets what was noted by [`Self::pass`] of an epoch whose wrap will not be opened.
    pub(crate) fn forget_passed(
        &self,
        epoch: &TransactionId,
        members: &[MemberId],
    ) -> Result<Vec<Change>, Trouble> {
        let mut changes = Vec::new();
        for author in members {
            let key = Key::Passed(*epoch, *author);
            if self.rows.row(&key)?.is_some() {
                changes.push(Change::end(key));
            }
        }
        Ok(changes)
    }

    /// How many messages of this member's own were sealed in an epoch; none if it has no keys to seal with.
    pub(crate) fn sent(&self, epoch: &TransactionId) -> Result<Option<u32>, Trouble> {
        let chain = self.chain(epoch, &self.me)?;
        Ok(chain.map(|chain| chain.next().unwrap_or(MESSAGES)))
    }

    /// What envelopes are sealed with in an epoch, if it is held.
    pub(crate) fn envelope(&self, epoch: &TransactionId) -> Result<Option<Secret>, Trouble> {
        self.read(&Key::Envelope(*epoch))
    }

    /// The first ratchet key, as it is published, while its private half is there.
    pub(crate) fn first_public(&self) -> Result<Vec<u8>, Trouble> {
        let own = self.own()?;
        let first = own.keys.iter().find(|(index, _)| *index == 0).ok_or(Trouble::WrapKey)?;
        self.scope.suite.public(&first.1)
    }

    /// The numbers of the oldest of one's own ratchet keys that is kept, and of the newest.
    pub(crate) fn own_keys(&self) -> Result<(u32, u32), Trouble> {
        let own = self.own()?;
        let index = |key: Option<&(u32, Secret)>| key.map_or(0, |(index, _)| *index);
        Ok((index(own.keys.first()), index(own.keys.last())))
    }
}

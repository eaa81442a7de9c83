//! Epochs: a fresh seed for all members, wrapped for each along the chain of roots between it and the author.

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest, Sha256};
use zeroize::ZeroizeOnDrop;

use super::{RatchetKey, Scope, Secret, Suite, Trouble};
use crate::limits;
use crate::replica::faults::{self, Fault};
use crate::replica::{MemberId, TransactionId};
use crate::sealed_box::Terms;

/// Most bytes of wraps that an `Epoch` transaction carries itself.
pub const WRAPS_INLINE: usize = 32 << 10;
/// Bytes before the sealed seed: step, index of the ratchet key.
const WRAP_HEAD: usize = 8;

/// What an `Epoch` transaction says. Its recipients are the members that its author saw, but the author, by id.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Epoch {
    /// The suite's number.
    pub suite: u8,
    /// Hash of the seed.
    pub commit: [u8; 32],
    /// The author's own ratchet key from here on: the one that it had, or the next.
    pub ratchet_key: RatchetKey,
    /// How many wraps there are.
    pub recipients: u32,
    /// The wraps, one after the other; or, if they are more than [`WRAPS_INLINE`] bytes, the root of their tree.
    pub wraps: Wraps,
}

/// Where the wraps are.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Wraps {
    /// Here.
    Inline(Vec<u8>),
    /// With whoever has received them; this is the root of the tree over them.
    Root([u8; 32]),
}

/// One wrap with the way to the root.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Leaf {
    /// The wrap.
    pub wrap: Vec<u8>,
    /// Siblings from the leaf upwards.
    pub path: Vec<[u8; 32]>,
}

/// What a recipient gets of wraps that are not in the transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Wrapped {
    /// Its own, with the way to the root: where all are more than [`limits::WRAPS_SHARED`] bytes.
    Own(Leaf),
    /// All, one after the other. They prove themselves, and it can hand them on.
    All(Vec<u8>),
}

/// Where the chain of roots from one member to another stands, at the sender's end and at the receiver's.
#[derive(Clone, Debug, Default, ZeroizeOnDrop, BorshSerialize, BorshDeserialize)]
pub struct Pair {
    /// The `Add` by which the other is a member: a member that was added again starts anew.
    #[zeroize(skip)]
    pub(crate) added: TransactionId,
    /// The next step; 0 needs no root.
    pub(crate) step: u32,
    pub(crate) root: Option<Secret>,
}

/// Who gets the seed.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The member.
    pub member: MemberId,
    /// The accepted `Add` (or genesis) by which it is one.
    pub added: TransactionId,
    /// Its latest ratchet key that the author has seen.
    pub key: RatchetKey,
}

impl Suite {
    /// Length of a wrap.
    #[must_use]
    pub const fn wrap(self) -> usize {
        WRAP_HEAD + self.sealed_seed()
    }
}

impl Epoch {
    /// Decodes, and checks all that needs nothing else.
    pub fn decode(scope: &Scope, bytes: &[u8]) -> Result<Self, Trouble> {
        if bytes.len() > WRAPS_INLINE + 4096 {
            return Err(Trouble::EpochMalformed);
        }
        let epoch: Self = borsh::from_slice(bytes).map_err(|_| Trouble::EpochMalformed)?;
        epoch.check(scope)?;
        Ok(epoch)
    }

    pub(crate) fn check(&self, scope: &Scope) -> Result<(), Trouble> {
        if self.suite != scope.suite as u8 {
            return Err(Trouble::Suite);
        }
        let count = self.recipients as usize;
        if count >= limits::MEMBERS {
            return Err(Trouble::EpochMalformed);
        }
        let expected = count * scope.suite.wrap();
        let fits = match &self.wraps {
            Wraps::Inline(wraps) => wraps.len() == expected && expected <= WRAPS_INLINE,
            Wraps::Root(_) => expected > WRAPS_INLINE,
        };
        if !fits {
            return Err(Trouble::EpochMalformed);
        }
        scope.suite.check_key(&self.ratchet_key.key)
    }

    /// What the recipient of this index is to get of wraps that are elsewhere, out of all of them.
    #[must_use]
    pub fn wrapped(&self, scope: &Scope, author: &MemberId, index: usize, all: &[u8]) -> Option<Wrapped> {
        if all.len() <= limits::WRAPS_SHARED {
            return Some(Wrapped::All(all.to_vec()));
        }
        Leaf::of(scope, author, all, index).map(Wrapped::Own)
    }

    /// Whether that belongs to this epoch and is what the recipient of this index is to get. Hashes no more than all wraps.
    #[must_use]
    pub fn proves(&self, scope: &Scope, author: &MemberId, index: usize, given: &Wrapped) -> bool {
        let length = self.recipients as usize * scope.suite.wrap();
        match given {
            Wrapped::Own(leaf) => {
                length > limits::WRAPS_SHARED && self.wrap(scope, author, index, Some(leaf)).is_ok()
            }
            Wrapped::All(all) => {
                all.len() == length
                    && length <= limits::WRAPS_SHARED
                    && Wraps::of(scope, author, all) == self.wraps
            }
        }
    }

    /// The wrap of one recipient: out of the transaction, or out of a leaf that is proved to belong to it.
    pub(crate) fn wrap<'a>(
        &'a self,
        scope: &Scope,
        author: &MemberId,
        index: usize,
        leaf: Option<&'a Leaf>,
    ) -> Result<&'a [u8], Trouble> {
        let length = scope.suite.wrap();
        match (&self.wraps, leaf) {
            (Wraps::Inline(wraps), _) => wraps.chunks(length).nth(index).ok_or(Trouble::Recipients),
            (Wraps::Root(_), None) => Err(Trouble::WrapElsewhere),
            (Wraps::Root(root), Some(leaf)) => {
                let count = self.recipients as usize;
                let reached = leaf.root(scope, author, index, count).ok_or(Trouble::WrapForeign)?;
                let whole = leaf.wrap.len() == length && reached == *root;
                if whole { Ok(&leaf.wrap) } else { Err(Trouble::WrapForeign) }
            }
        }
    }
}

impl Leaf {
    /// The leaf of one recipient, out of all wraps.
    #[must_use]
    pub fn of(scope: &Scope, author: &MemberId, wraps: &[u8], index: usize) -> Option<Self> {
        let length = scope.suite.wrap();
        let wrap = wraps.chunks(length).nth(index)?.to_vec();
        let mut level = leaves(scope, author, wraps);
        let (mut path, mut at) = (Vec::new(), index);
        while level.len() > 1 {
            path.extend(level.get(at ^ 1));
            level = above(&level);
            at /= 2;
        }
        Some(Self { wrap, path })
    }

    fn root(&self, scope: &Scope, author: &MemberId, index: usize, count: usize) -> Option<[u8; 32]> {
        let mut hash = leaf_hash(scope, author, index, &self.wrap);
        let (mut at, mut width, mut path) = (index, count, self.path.iter());
        if at >= width {
            return None;
        }
        while width > 1 {
            // The last of an odd level has no sibling and goes up as it is.
            if at ^ 1 < width {
                let sibling = path.next()?;
                hash = if at % 2 == 0 { node(&hash, sibling) } else { node(sibling, &hash) };
            }
            (at, width) = (at / 2, width.div_ceil(2));
        }
        path.next().is_none().then_some(hash)
    }
}

fn leaf_hash(scope: &Scope, author: &MemberId, index: usize, wrap: &[u8]) -> [u8; 32] {
    let index = u32::try_from(index).unwrap_or(u32::MAX).to_le_bytes();
    Sha256::new()
        .chain_update([0])
        .chain_update(scope.info("leaf", &[&author.0, &index, wrap]))
        .finalize()
        .into()
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

fn leaves(scope: &Scope, author: &MemberId, wraps: &[u8]) -> Vec<[u8; 32]> {
    let each = wraps.chunks(scope.suite.wrap()).enumerate();
    each.map(|(index, wrap)| leaf_hash(scope, author, index, wrap)).collect()
}

fn above(level: &[[u8; 32]]) -> Vec<[u8; 32]> {
    level.chunks(2).map(|pair| if let [left, right] = pair { node(left, right) } else { pair[0] }).collect()
}

impl Wraps {
    /// As the transaction carries them.
    #[must_use]
    pub fn of(scope: &Scope, author: &MemberId, wraps: &[u8]) -> Self {
        if wraps.len() <= WRAPS_INLINE {
            return Self::Inline(wraps.to_vec());
        }
        let mut level = leaves(scope, author, wraps);
        while level.len() > 1 {
            level = above(&level);
        }
        Self::Root(level[0])
    }
}

pub(crate) fn commit(scope: &Scope, author: &MemberId, seed: &Secret) -> [u8; 32] {
    scope.hash("epoch-commit", &[&author.0, seed.expose()])
}

impl Pair {
    fn terms<'a>(
        scope: &Scope,
        ends: [&MemberId; 2],
        head: &[u8],
        commit: &[u8; 32],
        psk: Option<&'a Secret>,
        step: u32,
    ) -> Terms<'a> {
        Terms {
            info: scope.info("pair", &[&ends[0].0, &ends[1].0]),
            aad: scope.info("wrap", &[&ends[0].0, &ends[1].0, commit, head]),
            psk: psk.map(|root| (step.to_le_bytes(), root.expose())),
        }
    }

    /// The wrap of a seed for the other end, and the pair after it.
    pub(crate) fn wrap(
        &self,
        scope: &Scope,
        from: &MemberId,
        to: &Recipient,
        commit: &[u8; 32],
        seed: &Secret,
        entropy: &Secret,
    ) -> Result<(Vec<u8>, Self), Trouble> {
        let (step, root) = match &self.root {
            Some(root) if self.added == to.added && self.step < u32::MAX => (self.step, Some(root)),
            _ => (0, None),
        };
        let mut wrap = [step.to_le_bytes(), to.key.index.to_le_bytes()].concat();
        let terms = Self::terms(scope, [from, &to.member], &wrap, commit, root, step);
        let (sealed, next) = scope.seal_to(&to.key.key, &terms, seed.expose(), entropy)?;
        wrap.extend(sealed);
        Ok((wrap, Self { added: to.added, step: step + 1, root: Self::go_on(root, next) }))
    }

    /// The ratchet key that a wrap is sealed to, and its step.
    pub(crate) fn head(wrap: &[u8]) -> Result<(u32, u32), Trouble> {
        let number = |at: usize| Some(u32::from_le_bytes(wrap.get(at..at + 4)?.try_into().ok()?));
        number(0).zip(number(4)).ok_or(Trouble::Wrap)
    }

    /// Opens a wrap. Step 0 is always taken: who has lost the chain begins anew, and its signature is on the wrap.
    pub(crate) fn unwrap(
        &self,
        scope: &Scope,
        ends: [&MemberId; 2],
        private: &Secret,
        commit_to: &[u8; 32],
        wrap: &[u8],
    ) -> Result<(Secret, Self), Trouble> {
        let (step, _) = Self::head(wrap)?;
        if step != 0 && (step != self.step || self.root.is_none()) {
            return Err(Trouble::WrapStep { expected: self.step, found: step });
        }
        let after = step.checked_add(1).ok_or(Trouble::WrapStep { expected: self.step, found: step })?;
        let root = if step == 0 { None } else { self.root.as_ref() };
        let terms = Self::terms(scope, ends, &wrap[..WRAP_HEAD], commit_to, root, step);
        let (seed, next) = scope.open_with(private, &terms, &wrap[WRAP_HEAD..])?;
        let seed = Secret::new(seed.as_slice().try_into().map_err(|_| Trouble::Wrap)?);
        if commit(scope, ends[0], &seed) != *commit_to {
            return Err(Trouble::Seed);
        }
        Ok((seed, Self { added: self.added, step: after, root: Self::go_on(root, next) }))
    }

    /// The root after a wrap: what opened that leads to it, and not back.
    fn go_on(before: Option<&Secret>, next: Secret) -> Option<Secret> {
        before.filter(|_| faults::is(Fault::KeepRoot)).cloned().or(Some(next))
    }
}

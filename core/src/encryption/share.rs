//! What a joiner gets: a welcome, sealed to its first ratchet key, and the history, without any key of it.

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signer, SigningKey};

use super::ring::{Ring, Rows};
use super::suite::Terms;
use super::{Chain, Opened, RatchetKey, Scope, Secret, Suite, Trouble};
use crate::limits;
use crate::replica::payload::{Add, KeyPackage};
use crate::replica::{Header, MemberId, Parent, TransactionId, transaction};

/// Most epochs whose keys are in a welcome.
pub const WELCOME_EPOCHS: usize = 16;

/// A transaction of the past as it is handed to who has no keys for it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Share {
    /// The header, and those after it in the author's chain up to the one that is signed; at most [`limits::RUN`].
    pub headers: Vec<Header>,
    /// On the last header.
    pub signature: [u8; 64],
    /// What the first header commits to.
    pub opened: Opened,
}

impl Share {
    /// Whether every byte is the author's; gives the id. The sharer can alter nothing, and withhold what it likes.
    pub fn check(&self, scope: &Scope) -> Result<TransactionId, Trouble> {
        let first = self.headers.first().ok_or(Trouble::Signature)?;
        if self.headers.len() > limits::RUN {
            return Err(Trouble::TooLarge);
        }
        let mut previous: Option<TransactionId> = None;
        for header in &self.headers {
            header.check_shape().map_err(|_| Trouble::Signature)?;
            if header.belongs_to() != scope.context || header.author != first.author {
                return Err(Trouble::Elsewhere);
            }
            if previous.is_some_and(|previous| previous != header.previous) {
                return Err(Trouble::Signature);
            }
            previous = Some(header.id());
        }
        let (last, id) = self.headers.last().zip(previous).ok_or(Trouble::Signature)?;
        last.verify(&id, &self.signature).map_err(|_| Trouble::Signature)?;
        self.opened.check(first)?;
        Ok(first.id())
    }
}

/// An epoch's keys from some position on.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct EpochKeys {
    /// The epoch.
    pub epoch: TransactionId,
    /// What envelopes are sealed with.
    pub envelope: Secret,
    /// Each author's chain.
    pub chains: Vec<(MemberId, Chain)>,
}

/// What the admitting member tells the joiner.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub struct Welcome {
    /// The heads that it saw.
    pub frontier: Vec<Parent>,
    /// The latest ratchet key of each member.
    pub members: Vec<(MemberId, RatchetKey)>,
    /// Keys of the epochs that the joiner may have; at most [`WELCOME_EPOCHS`].
    pub epochs: Vec<EpochKeys>,
    /// A checkpoint to begin from.
    pub snapshot: Option<[u8; 32]>,
}

/// A welcome on its way.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SealedWelcome {
    /// The joiner's `Add`.
    pub add: TransactionId,
    /// The member that welcomes.
    pub from: MemberId,
    /// For the joiner.
    pub sealed: Vec<u8>,
    /// Of the member that welcomes.
    pub signature: [u8; 64],
}

fn terms<'a>(scope: &Scope, from: &MemberId, joiner: &MemberId, add: &TransactionId) -> Terms<'a> {
    Terms {
        info: scope.info("welcome", &[&from.0, &joiner.0]),
        aad: scope.info("welcome", &[&from.0, &joiner.0, &add.0]),
        psk: None,
    }
}

impl Welcome {
    fn check(&self, scope: &Scope) -> Result<(), Trouble> {
        let chains = |keys: &EpochKeys| {
            keys.chains.len() <= limits::MEMBERS && keys.chains.iter().all(|(_, chain)| chain.within_limits())
        };
        if self.epochs.len() > WELCOME_EPOCHS
            || self.members.len() > limits::MEMBERS
            || !self.epochs.iter().all(chains)
        {
            return Err(Trouble::TooLarge);
        }
        self.members.iter().try_for_each(|(_, key)| scope.suite.check_key(&key.key))
    }

    /// Seals it to the key package of the joiner's `Add`.
    pub fn seal(
        &self,
        scope: &Scope,
        signer: &SigningKey,
        (id, add): (&TransactionId, &Add),
        entropy: &Secret,
    ) -> Result<SealedWelcome, Trouble> {
        self.check(scope)?;
        let from = MemberId(signer.verifying_key().to_bytes());
        let plaintext = super::secret::encode(self);
        let terms = terms(scope, &from, &add.member, id);
        let (sealed, _) = scope.seal_to(&add.key_package.ratchet_key, &terms, &plaintext, entropy)?;
        if sealed.len() > limits::FRAME - 256 {
            return Err(Trouble::TooLarge);
        }
        let signature = signer.sign(&scope.hash("welcome-by", &[&from.0, &id.0, &sealed])).to_bytes();
        Ok(SealedWelcome { add: *id, from, sealed, signature })
    }
}

impl SealedWelcome {
    /// Opens a welcome to the `Add` by which this member joined.
    pub fn open<R: Rows>(&self, ring: &Ring<'_, R>, add: &TransactionId) -> Result<Welcome, Trouble> {
        if self.sealed.len() > limits::FRAME {
            return Err(Trouble::TooLarge);
        }
        if self.add != *add {
            return Err(Trouble::Welcome);
        }
        let signed = ring.scope.hash("welcome-by", &[&self.from.0, &self.add.0, &self.sealed]);
        transaction::verify(&self.from, &signed, &self.signature).ok_or(Trouble::Signature)?;
        let terms = terms(&ring.scope, &self.from, &ring.me, add);
        let private = ring.first_key()?;
        let opened = ring.scope.open_with(&private, &terms, &self.sealed).map_err(|_| Trouble::Welcome)?;
        let welcome: Welcome = super::secret::decode(&opened.0)?;
        welcome.check(&ring.scope)?;
        Ok(welcome)
    }
}

/// What a key package is known by, so that none is used twice.
#[must_use]
pub fn package_id(scope: &Scope, package: &KeyPackage) -> [u8; 32] {
    scope.hash("package", &[&borsh::to_vec(package).unwrap_or_default()])
}

/// Whether a member may be added with these keys: signed by it for this context, in time, fresh, of the context's suite, and sound.
pub fn check_package(scope: &Scope, add: &Add, now: u64, used: bool) -> Result<(), Trouble> {
    let package = &add.key_package;
    if Suite::from_number(package.suite) != Some(scope.suite) {
        return Err(Trouble::Suite);
    }
    if !add.consents(&scope.context) {
        return Err(Trouble::Signature);
    }
    if package.not_after != 0 && now > package.not_after {
        return Err(Trouble::PackageExpired);
    }
    if used {
        return Err(Trouble::PackageUsed);
    }
    scope.suite.check_key(&package.ratchet_key)
}

/// Whether a published ratchet key may follow the member's previous one: it is the next one, or in an `Epoch` the same.
pub fn check_refresh(scope: &Scope, previous: &RatchetKey, refresh: &RatchetKey) -> Result<(), Trouble> {
    if refresh == previous {
        return Ok(());
    }
    if previous.index.checked_add(1) != Some(refresh.index) {
        return Err(Trouble::KeyIndex);
    }
    scope.suite.check_key(&refresh.key)
}

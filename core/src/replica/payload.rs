//! What transactions say, kind by kind.

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signer, SigningKey};

use super::transaction::{Header, Kind, verify};
use super::{ContextId, MemberId, Role, TransactionId};
use crate::limits;

const CONSENT_DOMAIN: &str = "kith 2026 member consents to be added";
const REDEEM_DOMAIN: &str = "kith 2026 invitation is redeemed";

/// How much of the history becomes final, and by whose votes. Not in force yet; genesis has its place for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Policy {
    /// 0: nothing becomes final. Other numbers are not in force.
    pub finality: u8,
    /// The voters; none: the admins.
    pub voters: Vec<MemberId>,
}

/// Starts a context.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Genesis {
    /// Format version of the context's rules; 1.
    pub format: u32,
    /// From the system's generator, so that ids are random.
    pub random: [u8; 32],
    /// The application that executes the calls.
    pub application: String,
    /// What the application is set up with.
    pub arguments: Vec<u8>,
    /// What the context is called; for people.
    pub name: String,
    /// Proves to peers that one may know that the context exists.
    pub access_key: [u8; 32],
    /// 0: payloads are not sealed; else the suite of `docs/encryption.md`.
    pub suite: u8,
    /// See [`Policy`].
    pub policy: Policy,
    /// The creator's own keys.
    pub key_package: KeyPackage,
}

/// A member's first keys; empty in suite 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeyPackage {
    /// The suite.
    pub suite: u8,
    /// The member's ratchet key.
    pub ratchet_key: Vec<u8>,
    /// ms since 1970; 0: no end.
    pub not_after: u64,
}

/// A method call.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CallPayload {
    /// At most [`limits::METHOD`] bytes.
    pub method: String,
    /// At most [`limits::ARGUMENTS`] bytes.
    pub arguments: Vec<u8>,
}

/// Lets those who hold the private half of `key` join.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Invite {
    /// Public half of the invite key.
    pub key: MemberId,
    /// The role that it gives.
    pub role: Role,
    /// ms since 1970 after which no honest member admits by it; 0: no end.
    pub not_after: u64,
    /// How many may join by it; at least 1.
    pub max_uses: u32,
    /// For people; at most [`limits::NOTE`] bytes.
    pub note: String,
}

/// Takes an invitation back.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RevokeInvite {
    /// The `Invite`.
    pub invite: TransactionId,
}

/// Admits a member, by an invitation or by an admin's own word.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Add {
    /// The new member.
    pub member: MemberId,
    /// Its role.
    pub role: Role,
    /// Its keys.
    pub key_package: KeyPackage,
    /// The new member's signature: nobody is added without its consent.
    pub consent: [u8; 64],
    /// The invitation that is redeemed; none if an admin adds by its own word.
    pub redeemed: Option<Redeemed>,
}

/// Proof that the new member held an invitation.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Redeemed {
    /// The `Invite`.
    pub invite: TransactionId,
    /// By the invite key, over the new member.
    pub signature: [u8; 64],
}

impl Add {
    fn consent_bytes(context: &ContextId, member: &MemberId, key_package: &KeyPackage) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new_derive_key(CONSENT_DOMAIN);
        hasher.update(&context.0).update(&member.0);
        let _ = borsh::to_writer(&mut hasher, key_package);
        hasher.finalize().as_bytes().to_vec()
    }

    fn redeem_bytes(context: &ContextId, invite: &TransactionId, member: &MemberId) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new_derive_key(REDEEM_DOMAIN);
        hasher.update(&context.0).update(&invite.0).update(&member.0);
        hasher.finalize().as_bytes().to_vec()
    }

    /// What a joiner signs: its own consent, and the invite key's word for it.
    #[must_use]
    pub fn request(
        context: &ContextId,
        member: &SigningKey,
        role: Role,
        key_package: KeyPackage,
        invitation: Option<(TransactionId, &SigningKey)>,
    ) -> Self {
        let id = MemberId(member.verifying_key().to_bytes());
        let consent = member.sign(&Self::consent_bytes(context, &id, &key_package)).to_bytes();
        let redeemed = invitation.map(|(invite, key)| Redeemed {
            invite,
            signature: key.sign(&Self::redeem_bytes(context, &invite, &id)).to_bytes(),
        });
        Self { member: id, role, key_package, consent, redeemed }
    }

    /// Whether the new member consents.
    #[must_use]
    pub fn consents(&self, context: &ContextId) -> bool {
        let message = Self::consent_bytes(context, &self.member, &self.key_package);
        verify(&self.member, &message, &self.consent).is_some()
    }

    /// Whether the new member held this invitation.
    #[must_use]
    pub fn redeems(&self, context: &ContextId, invite: &Invite) -> bool {
        self.redeemed.as_ref().is_some_and(|redeemed| {
            self.role == invite.role
                && verify(
                    &invite.key,
                    &Self::redeem_bytes(context, &redeemed.invite, &self.member),
                    &redeemed.signature,
                )
                .is_some()
        })
    }
}

/// A place in one author's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Tip {
    /// The number.
    pub sequence: u64,
    /// The id.
    pub id: TransactionId,
}

/// Removes a member. What it wrote beyond `last` does not count, wherever it sorts.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Remove {
    /// Who.
    pub member: MemberId,
    /// The member's tips that the remover had seen; at most [`limits::TIPS`], sorted.
    pub last: Vec<Tip>,
}

/// Gives a member another role.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SetRole {
    /// Who.
    pub member: MemberId,
    /// The new role.
    pub role: Role,
    /// `None` where this raises the role: it never lowers one. Otherwise it never raises one, what the member wrote beyond these counts as by
    /// the new role at most, and these are the member's tips that the author had seen; at most [`limits::TIPS`], sorted.
    pub last: Option<Vec<Tip>>,
}

/// One of the two histories of an equivocation: headers in chain order, the last of them signed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedRun {
    /// At most [`limits::RUN`] headers, each the `previous` of the next.
    pub headers: Vec<Header>,
    /// On the last header.
    pub signature: [u8; 64],
}

/// Proves that `member` signed two transactions with one sequence.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Fork {
    /// Who.
    pub member: MemberId,
    /// One history; its first header …
    pub one: SignedRun,
    /// … and the other's have one sequence and two ids.
    pub other: SignedRun,
    /// The member's tips that the author had seen; at most [`limits::TIPS`], sorted.
    pub last: Vec<Tip>,
}

impl Fork {
    /// Whether the proof holds. Needs nothing but itself.
    #[must_use]
    pub fn proves(&self, context: &ContextId) -> bool {
        let (Some(one), Some(other)) =
            (self.one.first(context, &self.member), self.other.first(context, &self.member))
        else {
            return false;
        };
        one.0 == other.0 && one.1 != other.1
    }
}

impl SignedRun {
    /// Sequence and id of the first header, if the run is the member's in that context and its signature covers all.
    fn first(&self, context: &ContextId, member: &MemberId) -> Option<(u64, TransactionId)> {
        if self.headers.is_empty() || self.headers.len() > limits::RUN {
            return None;
        }
        let ids: Vec<TransactionId> = self.headers.iter().map(Header::id).collect();
        for (index, header) in self.headers.iter().enumerate() {
            header.check().ok()?;
            let linked = index == 0 || header.previous == ids[index - 1];
            if header.author != *member || header.belongs_to() != *context || !linked {
                return None;
            }
        }
        self.headers.last()?.verify(ids.last()?, &self.signature).ok()?;
        Some((self.headers[0].sequence, ids[0]))
    }
}

/// Rejects a call for all, after a fault that only some members may have.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Skip {
    /// The call.
    pub transaction: TransactionId,
}

/// Gives a name for people.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SetName {
    /// Whose.
    pub whose: Named,
    /// At most [`limits::NOTE`] bytes; empty: none.
    pub name: String,
}

/// What a [`SetName`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Named {
    /// The context; a matter of admins.
    Context,
    /// The author.
    Author,
}

/// What a transaction says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Payload {
    Genesis(Genesis),
    Call(CallPayload),
    Invite(Invite),
    RevokeInvite(RevokeInvite),
    Add(Add),
    Remove(Remove),
    Leave,
    SetRole(SetRole),
    Fork(Fork),
    Skip(Skip),
    /// What it says is a matter of the encryption.
    Epoch(Vec<u8>),
    /// As that.
    RefreshKey(Vec<u8>),
    Note,
    SetName(SetName),
}

impl Payload {
    /// The kind that says such things.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Genesis(_) => Kind::Genesis,
            Self::Call(_) => Kind::Call,
            Self::Invite(_) => Kind::Invite,
            Self::RevokeInvite(_) => Kind::RevokeInvite,
            Self::Add(_) => Kind::Add,
            Self::Remove(_) => Kind::Remove,
            Self::Leave => Kind::Leave,
            Self::SetRole(_) => Kind::SetRole,
            Self::Fork(_) => Kind::Fork,
            Self::Skip(_) => Kind::Skip,
            Self::Epoch(_) => Kind::Epoch,
            Self::RefreshKey(_) => Kind::RefreshKey,
            Self::Note => Kind::Note,
            Self::SetName(_) => Kind::SetName,
        }
    }

    /// The plaintext.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        fn bytes(value: &impl BorshSerialize) -> Vec<u8> {
            // Writing into a vector cannot fail.
            borsh::to_vec(value).unwrap_or_default()
        }
        match self {
            Self::Genesis(value) => bytes(value),
            Self::Call(value) => bytes(value),
            Self::Invite(value) => bytes(value),
            Self::RevokeInvite(value) => bytes(value),
            Self::Add(value) => bytes(value),
            Self::Remove(value) => bytes(value),
            Self::SetRole(value) => bytes(value),
            Self::Fork(value) => bytes(value),
            Self::Skip(value) => bytes(value),
            Self::SetName(value) => bytes(value),
            Self::Epoch(bytes) | Self::RefreshKey(bytes) => bytes.clone(),
            Self::Leave | Self::Note => Vec::new(),
        }
    }

    /// What a transaction of this kind says; `None` if it says nothing that is in force: an unknown kind, undecodable bytes,
    /// or a limit passed. Such a transaction is rejected at its place.
    #[must_use]
    pub fn decode(kind: u8, plaintext: &[u8]) -> Option<Self> {
        let payload = match Kind::from_number(kind)? {
            Kind::Genesis => Self::Genesis(borsh::from_slice(plaintext).ok()?),
            Kind::Call => Self::Call(borsh::from_slice(plaintext).ok()?),
            Kind::Invite => Self::Invite(borsh::from_slice(plaintext).ok()?),
            Kind::RevokeInvite => Self::RevokeInvite(borsh::from_slice(plaintext).ok()?),
            Kind::Add => Self::Add(borsh::from_slice(plaintext).ok()?),
            Kind::Remove => Self::Remove(borsh::from_slice(plaintext).ok()?),
            Kind::SetRole => Self::SetRole(borsh::from_slice(plaintext).ok()?),
            Kind::Fork => Self::Fork(borsh::from_slice(plaintext).ok()?),
            Kind::Skip => Self::Skip(borsh::from_slice(plaintext).ok()?),
            Kind::SetName => Self::SetName(borsh::from_slice(plaintext).ok()?),
            Kind::Epoch => Self::Epoch(plaintext.to_vec()),
            Kind::RefreshKey => Self::RefreshKey(plaintext.to_vec()),
            Kind::Leave if plaintext.is_empty() => Self::Leave,
            Kind::Note if plaintext.is_empty() => Self::Note,
            _ => return None,
        };
        payload.within_limits().then_some(payload)
    }

    fn within_limits(&self) -> bool {
        let tips = |last: &[Tip]| last.len() <= limits::TIPS && last.is_sorted();
        match self {
            Self::Genesis(genesis) => {
                (1..=limits::APPLICATION_NAME).contains(&genesis.application.len())
                    && genesis.arguments.len() <= limits::ARGUMENTS
                    && genesis.name.len() <= limits::NOTE
                    && genesis.policy.voters.len() <= limits::MEMBERS
                    && genesis.key_package.within_limits()
            }
            Self::Call(call) => {
                (1..=limits::METHOD).contains(&call.method.len()) && call.arguments.len() <= limits::ARGUMENTS
            }
            Self::Invite(invite) => invite.max_uses >= 1 && invite.note.len() <= limits::NOTE,
            Self::Add(add) => add.key_package.within_limits(),
            Self::Remove(remove) => tips(&remove.last),
            Self::SetRole(set) => set.last.as_deref().is_none_or(tips),
            Self::Fork(fork) => tips(&fork.last),
            Self::SetName(set) => set.name.len() <= limits::NOTE,
            Self::Epoch(bytes) => bytes.len() <= limits::EPOCH,
            Self::RefreshKey(bytes) => bytes.len() <= limits::RATCHET_KEY,
            _ => true,
        }
    }
}

impl KeyPackage {
    fn within_limits(&self) -> bool {
        (self.suite == 0) == self.ratchet_key.is_empty() && self.ratchet_key.len() <= limits::RATCHET_KEY
    }
}

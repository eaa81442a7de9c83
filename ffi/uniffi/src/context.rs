//! Contexts.

use std::sync::Arc;
use std::time::Duration;

use kith_core::application::kv::{Add, Append, CompareAndSet, Delete, Operation as KvOperation, Put};
use kith_core::node::{self, InviteOptions, Level};
use kith_core::replica::{MemberId, Place, StateKey, TransactionId};
use kith_core::{Error, Result as CoreResult};

use crate::gate::Gated;
use crate::{
    Bytes, ContextSecurity, ContextStatus, Entry, Events, Explanation, Failure, IssuedInvitation, MemberInfo,
    TransactionInfo, Verification,
};

/// The answer to a call.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Executed {
    /// The transaction: 32 bytes.
    pub transaction: Bytes,
    /// The application's answer.
    pub output: Bytes,
}

/// An invitation, as it is handed to who shall join.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Invitation {
    /// `kith1…`.
    pub text: String,
    /// The same, shorter.
    pub bytes: Bytes,
    /// The transaction that made it: 32 bytes; for `revoke`.
    pub id: Bytes,
}

impl From<kith_core::invitation::Invitation> for Invitation {
    fn from(token: kith_core::invitation::Invitation) -> Self {
        Self { text: token.to_text(), bytes: Bytes(token.to_bytes()), id: id(token.invite) }
    }
}

/// One operation of a batch.
#[derive(Clone, Debug, uniffi::Enum)]
#[allow(missing_docs)]
pub enum Operation {
    Put { key: Bytes, value: Bytes },
    Delete { key: Bytes },
    Add { key: Bytes, number: i64 },
    CompareAndSet { key: Bytes, expected: Option<Bytes>, value: Option<Bytes> },
    Append { key: Bytes, bytes: Bytes },
}

impl Operation {
    fn build(self) -> CoreResult<KvOperation> {
        Ok(match self {
            Self::Put { key, value } => KvOperation::Put(Put { key: self::key(&key)?, value: value.0 }),
            Self::Delete { key } => KvOperation::Delete(Delete { key: self::key(&key)? }),
            Self::Add { key, number } => KvOperation::Add(Add { key: self::key(&key)?, delta: number }),
            Self::CompareAndSet { key, expected, value } => KvOperation::CompareAndSet(CompareAndSet {
                key: self::key(&key)?,
                expected: expected.map(|bytes| bytes.0),
                value: value.map(|bytes| bytes.0),
            }),
            Self::Append { key, bytes } => {
                KvOperation::Append(Append { key: self::key(&key)?, bytes: bytes.0 })
            }
        })
    }
}

fn key(bytes: &Bytes) -> CoreResult<StateKey> {
    StateKey::from_slice(&bytes.0)
}

fn member(bytes: &Bytes) -> CoreResult<MemberId> {
    MemberId::from_slice(&bytes.0)
}

fn transaction(bytes: &Bytes) -> CoreResult<TransactionId> {
    TransactionId::from_slice(&bytes.0)
}

fn place(bytes: Bytes) -> CoreResult<Place> {
    Place::from_key(&bytes.0).ok_or_else(|| {
        Error::invalid_argument(format!("a place has {} bytes, not {}", Place::LENGTH, bytes.0.len()))
    })
}

fn level(is_final: bool) -> Level {
    if is_final { Level::Final } else { Level::Tentative }
}

fn id(id: TransactionId) -> Bytes {
    Bytes(id.0.to_vec())
}

fn listed(page: Vec<node::Entry>) -> Vec<Entry> {
    let entry = |entry: node::Entry| Entry { key: Bytes(entry.key.0.to_vec()), value: Bytes(entry.value) };
    page.into_iter().map(entry).collect()
}

fn packed(page: Vec<node::Entry>) -> Result<Bytes, Failure> {
    let mut packed = Vec::with_capacity(page.iter().map(|entry| 36 + entry.value.len()).sum());
    for entry in page {
        let length = u32::try_from(entry.value.len()).map_err(|_| Error::internal("a value is too long"))?;
        packed.extend_from_slice(&entry.key.0);
        packed.extend_from_slice(&length.to_be_bytes());
        packed.extend_from_slice(&entry.value);
    }
    Ok(Bytes(packed))
}

/// A context.
#[derive(uniffi::Object)]
pub struct Context {
    context: node::Context,
}

impl Context {
    pub(crate) fn wrap(context: node::Context) -> Arc<Self> {
        Arc::new(Self { context })
    }
}

#[uniffi::export]
impl Context {
    /// The context's id: 32 bytes.
    pub fn id(&self) -> Bytes {
        Bytes(self.context.id().0.to_vec())
    }

    /// This node's member: 32 bytes.
    pub fn me(&self) -> Bytes {
        Bytes(self.context.me().0.to_vec())
    }

    /// This node's role, if it is a member.
    pub fn role(&self) -> Option<String> {
        self.context.role().map(|role| role.to_string())
    }

    /// The application's name.
    pub fn application(&self) -> String {
        self.context.application()
    }

    /// What the context is called.
    pub fn name(&self) -> String {
        self.context.name()
    }

    /// Carries out a call.
    pub async fn execute(&self, method: String, arguments: Bytes) -> Result<Executed, Failure> {
        let executed = self.context.execute(&method, &arguments.0).gated().await?;
        Ok(Executed { transaction: id(executed.transaction), output: Bytes(executed.output) })
    }

    /// Answers a read-only call.
    pub async fn query(&self, method: String, arguments: Bytes) -> Result<Bytes, Failure> {
        Ok(Bytes(self.context.query(&method, &arguments.0).gated().await?))
    }

    /// The value under a key.
    pub async fn get(&self, key: Bytes, is_final: bool) -> Result<Option<Bytes>, Failure> {
        Ok(self.context.get(self::key(&key)?, level(is_final)).gated().await?.map(Bytes))
    }

    /// A page of entries.
    pub async fn entries(
        &self,
        prefix: Bytes,
        after: Option<Bytes>,
        limit: u32,
        is_final: bool,
    ) -> Result<Vec<Entry>, Failure> {
        let after = after.as_ref().map(self::key).transpose()?;
        Ok(listed(self.context.entries(&prefix.0, after, limit as usize, level(is_final)).gated().await?))
    }

    /// A page of entries as one piece of bytes, for languages in which many small reads cost more than their bytes: for each its key, the
    /// length of its value (4 bytes, big-endian) and its value.
    pub async fn packed_entries(
        &self,
        prefix: Bytes,
        after: Option<Bytes>,
        limit: u32,
        is_final: bool,
    ) -> Result<Bytes, Failure> {
        let after = after.as_ref().map(self::key).transpose()?;
        packed(self.context.entries(&prefix.0, after, limit as usize, level(is_final)).gated().await?)
    }

    /// The value under a key, read on the caller's thread.
    pub fn get_blocking(&self, key: Bytes, is_final: bool) -> Result<Option<Bytes>, Failure> {
        Ok(self.context.get_blocking(self::key(&key)?, level(is_final))?.map(Bytes))
    }

    /// A page of entries, read on the caller's thread.
    pub fn entries_blocking(
        &self,
        prefix: Bytes,
        after: Option<Bytes>,
        limit: u32,
        is_final: bool,
    ) -> Result<Vec<Entry>, Failure> {
        let after = after.as_ref().map(self::key).transpose()?;
        Ok(listed(self.context.entries_blocking(&prefix.0, after, limit as usize, level(is_final))?))
    }

    /// A page of entries as one piece of bytes, read on the caller's thread.
    pub fn packed_entries_blocking(
        &self,
        prefix: Bytes,
        after: Option<Bytes>,
        limit: u32,
        is_final: bool,
    ) -> Result<Bytes, Failure> {
        let after = after.as_ref().map(self::key).transpose()?;
        packed(self.context.entries_blocking(&prefix.0, after, limit as usize, level(is_final))?)
    }

    /// Sets a key.
    pub async fn put(&self, key: Bytes, value: Bytes) -> Result<Bytes, Failure> {
        Ok(id(self.context.put(self::key(&key)?, &value.0).gated().await?))
    }

    /// Removes a key.
    pub async fn delete(&self, key: Bytes) -> Result<Bytes, Failure> {
        Ok(id(self.context.delete(self::key(&key)?).gated().await?))
    }

    /// Adds to a counter; its new value.
    pub async fn add(&self, key: Bytes, number: i64) -> Result<i64, Failure> {
        Ok(self.context.add(self::key(&key)?, number).gated().await?)
    }

    /// Sets or removes a key if its value is the expected one.
    pub async fn compare_and_set(
        &self,
        key: Bytes,
        expected: Option<Bytes>,
        value: Option<Bytes>,
    ) -> Result<Bytes, Failure> {
        let expected = expected.as_ref().map(|bytes| bytes.0.as_slice());
        let value = value.as_ref().map(|bytes| bytes.0.as_slice());
        Ok(id(self.context.compare_and_set(self::key(&key)?, expected, value).gated().await?))
    }

    /// Appends to a value.
    pub async fn append(&self, key: Bytes, bytes: Bytes) -> Result<Bytes, Failure> {
        Ok(id(self.context.append(self::key(&key)?, &bytes.0).gated().await?))
    }

    /// Carries out several operations, all or none.
    pub async fn batch(&self, operations: Vec<Operation>) -> Result<Bytes, Failure> {
        let operations = operations.into_iter().map(Operation::build).collect::<CoreResult<Vec<_>>>()?;
        Ok(id(self.context.batch(operations).gated().await?))
    }

    /// The stream of events from now on, or after a cursor.
    pub async fn events(&self, after: Option<u64>) -> Result<Arc<Events>, Failure> {
        Ok(Events::wrap(self.context.events(after).gated().await?))
    }

    /// The members.
    pub async fn members(&self) -> Result<Vec<MemberInfo>, Failure> {
        Ok(self.context.members().gated().await?.into_iter().map(Into::into).collect())
    }

    /// Gives a member another role.
    pub async fn set_role(&self, member: Bytes, role: String) -> Result<Bytes, Failure> {
        Ok(id(self.context.set_role(self::member(&member)?, role.parse()?).gated().await?))
    }

    /// What the context is called.
    pub async fn set_name(&self, name: String) -> Result<Bytes, Failure> {
        Ok(id(self.context.set_name(&name).gated().await?))
    }

    /// What this member calls itself.
    pub async fn set_display_name(&self, name: String) -> Result<Bytes, Failure> {
        Ok(id(self.context.set_display_name(&name).gated().await?))
    }

    /// Removes a member.
    pub async fn remove(&self, member: Bytes) -> Result<Bytes, Failure> {
        Ok(id(self.context.remove(self::member(&member)?).gated().await?))
    }

    /// Leaves the context.
    pub async fn leave(&self) -> Result<(), Failure> {
        Ok(self.context.leave().gated().await?)
    }

    /// Makes an invitation.
    pub async fn invite(
        &self,
        role: String,
        expires_in_ms: Option<u64>,
        max_uses: u32,
        note: String,
    ) -> Result<Invitation, Failure> {
        let mut options = InviteOptions::default();
        options.role = role.parse()?;
        options.expires_in = expires_in_ms.map(Duration::from_millis);
        (options.max_uses, options.note) = (max_uses, note);
        Ok(self.context.invite(options).gated().await?.into())
    }

    /// The invitations of the context.
    pub async fn invitations(&self) -> Result<Vec<IssuedInvitation>, Failure> {
        Ok(self.context.invitations().gated().await?.into_iter().map(Into::into).collect())
    }

    /// Takes an invitation back.
    pub async fn revoke(&self, invitation: Bytes) -> Result<Bytes, Failure> {
        Ok(id(self.context.revoke(transaction(&invitation)?).gated().await?))
    }

    /// Rejects a call for all members, after a local fault.
    pub async fn skip(&self, transaction: Bytes) -> Result<Bytes, Failure> {
        Ok(id(self.context.skip(self::transaction(&transaction)?).gated().await?))
    }

    /// How it stands with a transaction.
    pub async fn transaction(&self, id: Bytes) -> Result<Option<TransactionInfo>, Failure> {
        Ok(self.context.transaction(transaction(&id)?).gated().await?.map(Into::into))
    }

    /// A page of the order, after a place of 48 bytes.
    pub async fn history(&self, after: Option<Bytes>, limit: u32) -> Result<Vec<TransactionInfo>, Failure> {
        let after = after.map(place).transpose()?;
        Ok(self.context.history(after, limit as usize).gated().await?.into_iter().map(Into::into).collect())
    }

    /// How it stands with the context.
    pub async fn status(&self) -> Result<ContextStatus, Failure> {
        Ok(self.context.status().gated().await?.into())
    }

    /// The state commitment: 32 bytes.
    pub async fn commitment(&self) -> Result<Bytes, Failure> {
        Ok(Bytes(self.context.commitment().gated().await?.to_vec()))
    }

    /// Compares everything that is kept with what the history gives.
    pub async fn verify(&self) -> Result<Verification, Failure> {
        Ok(self.context.verify().gated().await?.into())
    }

    /// A page of the transactions that a key's value comes from, after a place of 48 bytes.
    pub async fn explain(
        &self,
        key: Bytes,
        after: Option<Bytes>,
        limit: u32,
    ) -> Result<Vec<Explanation>, Failure> {
        let (key, after) = (self::key(&key)?, after.map(place).transpose()?);
        let page = self.context.explain(key, after, limit as usize).gated().await?;
        Ok(page.into_iter().map(Into::into).collect())
    }

    /// Waits until what is written by now is at each connected member, and what these held is here.
    pub async fn wait_synced(&self, timeout_ms: u64) -> Result<(), Failure> {
        Ok(self.context.wait_synced(Duration::from_millis(timeout_ms)).gated().await?)
    }

    /// New keys for the context.
    pub async fn rotate_keys(&self) -> Result<(), Failure> {
        Ok(self.context.rotate_keys().gated().await?)
    }

    /// How it stands with the context's keys.
    pub async fn security(&self) -> Result<ContextSecurity, Failure> {
        Ok(self.context.security().gated().await?.into())
    }
}

//! A handle on one context.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::command::Command;
use super::events::{Cursor, Events};
use super::info::{
    ContextSecurity, ContextStatus, Entry, Executed, Explanation, IssuedInvitation, Level, MemberInfo,
    TransactionInfo,
};
use super::options::InviteOptions;
use super::shared::ContextShared;
use crate::application::kv;
use crate::invitation::Invitation;
use crate::replica::payload::{CallPayload, Named, RevokeInvite, SetName};
use crate::replica::{ContextId, MemberId, Payload, Place, Role, StateKey, TransactionId, Verification};
use crate::storage::Store;
use crate::{Error, ErrorKind, Result, limits};

/// A handle on one context. Cheap to clone; all clones are the same context. Dropping it does nothing: the context lives with its node.
///
/// Functions that write return once what they wrote is durable and on its way; dropping their future lets them finish in the
/// background. After the node's `shutdown` every function is [`ErrorKind::Closed`], and so are those that need the store while the node is
/// suspended; handles and streams of events stay good and go on with `resume`.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) shared: Arc<ContextShared>,
}

impl Context {
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        super::process::check()?;
        let (reply, answer) = oneshot::channel();
        let closed = || self.shared.closed_error();
        // One whose store failed still answers, and says so.
        let running = self.shared.running.borrow().clone();
        let commands = running.ok_or_else(closed)?.commands;
        commands.send(command(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ContextShared, &dyn Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        super::process::check()?;
        let store = self.shared.running()?.store;
        let shared = Arc::clone(&self.shared);
        let task = self.shared.runtime.spawn_blocking(move || read(&shared, &*store));
        task.await.map_err(|_| self.shared.closed_error())?
    }

    /// As [`Self::read`], on the caller's own thread.
    fn read_here<T>(&self, read: impl FnOnce(&ContextShared, &dyn Store) -> Result<T>) -> Result<T> {
        super::process::check()?;
        read(&self.shared, &*self.shared.running()?.store)
    }

    /// The context's id.
    #[must_use]
    pub fn id(&self) -> ContextId {
        self.shared.id
    }

    /// This node's member in the context.
    #[must_use]
    pub fn me(&self) -> MemberId {
        self.shared.me
    }

    /// This node's role at the end of the order; `None` if it is no member (yet, or any more).
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.shared.facts().role
    }

    /// The name of the application; empty before genesis is here.
    #[must_use]
    pub fn application(&self) -> String {
        self.shared.facts().application
    }

    /// What the context is called.
    #[must_use]
    pub fn name(&self) -> String {
        self.shared.facts().name
    }

    /// Carries out a method call of the application: executed, durable and on its way when it returns. What the application
    /// refuses is [`ErrorKind::Rejected`] and is not published.
    pub async fn execute(&self, method: &str, arguments: &[u8]) -> Result<Executed> {
        if method.is_empty() {
            return Err(Error::invalid_argument("a method has a name"));
        }
        if method.len() > limits::METHOD {
            return Err(Error::limit_exceeded(format!(
                "the method's name has {} bytes; at most {}",
                method.len(),
                limits::METHOD
            )));
        }
        if arguments.len() > limits::ARGUMENTS {
            return Err(Error::limit_exceeded(format!(
                "the arguments have {} bytes; at most {}",
                arguments.len(),
                limits::ARGUMENTS
            )));
        }
        let call = CallPayload { method: method.into(), arguments: arguments.into() };
        self.ask(|reply| Command::Call { call, reply }).await
    }

    /// A read-only call of the application, on this member only.
    pub async fn query(&self, method: &str, arguments: &[u8]) -> Result<Vec<u8>> {
        let (method, arguments) = (method.to_string(), arguments.to_vec());
        self.ask(|reply| Command::Query { method, arguments, reply }).await
    }

    /// The value under a key.
    pub async fn get(&self, key: StateKey, level: Level) -> Result<Option<Vec<u8>>> {
        check_level(level)?;
        self.read(move |shared, store| shared.value(store, &key)).await
    }

    /// As [`Self::get`], for threads that may wait: the store is read on the caller's own, in a tenth of the time that handing it to another
    /// one takes. It may be waited for a disk, and for what is being written; so never from async code.
    pub fn get_blocking(&self, key: StateKey, level: Level) -> Result<Option<Vec<u8>>> {
        check_level(level)?;
        self.read_here(|shared, store| shared.value(store, &key))
    }

    /// A page of entries in key order: those whose keys begin with `prefix` and sort after `after`, at most `limit` and at most
    /// 1,000 entries or 1 MiB.
    pub async fn entries(
        &self,
        prefix: &[u8],
        after: Option<StateKey>,
        limit: usize,
        level: Level,
    ) -> Result<Vec<Entry>> {
        check_level(level)?;
        let prefix = prefix.to_vec();
        self.read(move |shared, store| shared.entries(store, &prefix, after.as_ref(), limit)).await
    }

    /// As [`Self::entries`], on the caller's own thread: see [`Self::get_blocking`].
    pub fn entries_blocking(
        &self,
        prefix: &[u8],
        after: Option<StateKey>,
        limit: usize,
        level: Level,
    ) -> Result<Vec<Entry>> {
        check_level(level)?;
        self.read_here(|shared, store| shared.entries(store, prefix, after.as_ref(), limit))
    }

    /// Sets a key to a value of at most 1 MiB. Needs the `kv` application, as the following do.
    pub async fn put(&self, key: StateKey, value: &[u8]) -> Result<TransactionId> {
        check_value(value)?;
        Ok(self.call(kv::put(&key, value)).await?.transaction)
    }

    /// Removes a key; nothing happens if it is absent.
    pub async fn delete(&self, key: StateKey) -> Result<TransactionId> {
        Ok(self.call(kv::delete(&key)).await?.transaction)
    }

    /// Adds to a counter; gives its new value, which may still move with the order.
    pub async fn add(&self, key: StateKey, delta: i64) -> Result<i64> {
        let output = self.call(kv::add(&key, delta)).await?.output;
        let bytes = output.try_into().map_err(|_| Error::internal("a counter's value has 8 bytes"))?;
        Ok(i64::from_le_bytes(bytes))
    }

    /// Sets a key (or removes it) if its value is the expected one; [`ErrorKind::Rejected`] otherwise.
    pub async fn compare_and_set(
        &self,
        key: StateKey,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<TransactionId> {
        value.map_or(Ok(()), check_value)?;
        Ok(self
            .call(kv::compare_and_set(&key, expected.map(Into::into), value.map(Into::into)))
            .await?
            .transaction)
    }

    /// Appends to a value; the result has at most 1 MiB.
    pub async fn append(&self, key: StateKey, bytes: &[u8]) -> Result<TransactionId> {
        check_value(bytes)?;
        Ok(self.call(kv::append(&key, bytes)).await?.transaction)
    }

    /// Carries out several operations, all or none.
    pub async fn batch(&self, operations: Vec<kv::Operation>) -> Result<TransactionId> {
        Ok(self.call(kv::batch(operations)).await?.transaction)
    }

    async fn call(&self, (method, arguments): kv::Encoded) -> Result<Executed> {
        let application = self.application();
        if application != "kv" && !application.is_empty() {
            return Err(Error::unsupported(format!("this is for the application `kv`, not `{application}`")));
        }
        self.execute(method, &arguments).await
    }

    /// The events from now on, or those after a cursor and then from now on.
    /// [`ErrorKind::CursorExpired`] if what followed the cursor is not kept any more.
    pub async fn events(&self, after: Option<Cursor>) -> Result<Events> {
        super::process::check()?;
        let latest = self.shared.latest.subscribe();
        let passing = self.shared.passing.subscribe();
        let newest = *latest.borrow();
        if let Some(after) = after.filter(|after| *after < newest) {
            let oldest = self.read(move |shared, store| shared.oldest_event(store)).await?;
            if oldest.is_none_or(|oldest| after + 1 < oldest) {
                return Err(Error::new(
                    ErrorKind::CursorExpired,
                    format!("what followed cursor {after} is not kept any more"),
                ));
            }
        }
        self.shared.check_open()?;
        let after = after.unwrap_or(newest);
        let (shared, ready) = (Arc::clone(&self.shared), Default::default());
        Ok(Events { shared, after, ready, latest, passing, ended: false })
    }

    /// The members at the end of the order.
    pub async fn members(&self) -> Result<Vec<MemberInfo>> {
        self.ask(|reply| Command::Members { reply }).await
    }

    /// Gives a member another role. Needs an admin; an admin is demoted only by a senior one or by itself.
    pub async fn set_role(&self, member: MemberId, role: Role) -> Result<TransactionId> {
        self.ask(|reply| Command::SetRole { member, role, reply }).await
    }

    /// Gives the context a name for people, at most 128 bytes. Needs an admin.
    pub async fn set_name(&self, name: &str) -> Result<TransactionId> {
        self.say_name(Named::Context, name).await
    }

    /// Says what this member calls itself, in at most 128 bytes; empty takes it back.
    pub async fn set_display_name(&self, name: &str) -> Result<TransactionId> {
        self.say_name(Named::Author, name).await
    }

    async fn say_name(&self, whose: Named, name: &str) -> Result<TransactionId> {
        if name.len() > limits::NOTE {
            let text = format!("a name has at most {} bytes, not {}", limits::NOTE, name.len());
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        let payload = Payload::SetName(SetName { whose, name: name.to_string() });
        self.ask(|reply| Command::Author { payload, reply }).await
    }

    /// Removes a member. Needs an admin; an admin is removed only by a senior one. What it wrote and this node has not seen does not count.
    pub async fn remove(&self, member: MemberId) -> Result<TransactionId> {
        self.ask(|reply| Command::Remove { member, reply }).await
    }

    /// Leaves the context: tells the others and deletes this node's copy. If nobody has heard of it within 5 s this returns all the
    /// same, and the copy is deleted once somebody has, in 30 days at the latest. The last admin of a context with other members has to name
    /// another one first ([`ErrorKind::PermissionDenied`]).
    pub async fn leave(&self) -> Result<()> {
        let node = self.shared.node()?;
        node.leave(self).await
    }

    /// Makes an invitation. Needs an admin.
    pub async fn invite(&self, options: InviteOptions) -> Result<Invitation> {
        if options.note.len() > limits::NOTE {
            return Err(Error::limit_exceeded(format!(
                "the note has {} bytes; at most {}",
                options.note.len(),
                limits::NOTE
            )));
        }
        if options.max_uses == 0 {
            return Err(Error::invalid_argument("an invitation has at least one use"));
        }
        // On the node's own runtime: whoever calls from another language has none.
        let node = self.shared.node()?;
        let addresses = self.shared.runtime.spawn(async move { node.meeting_points().await });
        let addresses = addresses.await.map_err(|_| Error::closed("the node has been shut down"))?;
        self.ask(|reply| Command::Invite { options, addresses, reply }).await
    }

    /// All invitations of the context.
    pub async fn invitations(&self) -> Result<Vec<IssuedInvitation>> {
        self.ask(|reply| Command::Invitations { reply }).await
    }

    /// Takes an invitation back. Needs an admin. Who joined by it without this having been seen is out.
    pub async fn revoke(&self, invite: TransactionId) -> Result<TransactionId> {
        let payload = Payload::RevokeInvite(RevokeInvite { invite });
        self.ask(|reply| Command::Author { payload, reply }).await
    }

    /// Rejects a call for all members, after a local fault that stops applying. Needs an admin.
    pub async fn skip(&self, transaction: TransactionId) -> Result<TransactionId> {
        let payload = Payload::Skip(crate::replica::payload::Skip { transaction });
        self.ask(|reply| Command::Author { payload, reply }).await
    }

    /// How it stands with a transaction; `None` if it is not in the history.
    pub async fn transaction(&self, id: TransactionId) -> Result<Option<TransactionInfo>> {
        self.read(move |shared, store| shared.transaction(store, &id)).await
    }

    /// A page of the order: at most `limit` (and 1,000) transactions after a place.
    pub async fn history(&self, after: Option<Place>, limit: usize) -> Result<Vec<TransactionInfo>> {
        self.read(move |shared, store| shared.history(store, after.as_ref(), limit)).await
    }

    /// How it stands with the context, peer by peer.
    pub async fn status(&self) -> Result<ContextStatus> {
        self.ask(|reply| Command::Status { reply }).await
    }

    /// The state commitment: equal on all members that hold the same history. It is of the state alone, and may be equal before the
    /// histories are: [`ContextStatus::digest`] is of these.
    pub async fn commitment(&self) -> Result<[u8; 32]> {
        self.ask(|reply| Command::Commitment { reply }).await
    }

    /// Recomputes the order, every receipt, every value and the state commitment from the history, compares them with what is kept, and names the
    /// first difference. Nothing is changed.
    ///
    /// All calls are executed once more, so it takes as long as executing the history did, and reads all of this context's part of the
    /// store; memory does not grow with either. It runs in small slices on the context's thread: its other callers wait for a slice
    /// at most, unless it is written to all the time, and other contexts not at all. What is appended meanwhile is looked at too. A
    /// record that the store cannot read is [`ErrorKind::Corrupt`]; dropping the future ends it.
    pub async fn verify(&self) -> Result<Verification> {
        self.ask(|reply| Command::Verify { reply }).await
    }

    /// Why a key has its value: a page of the calls that wrote it, at most `limit` (and 1,000) after a place, in order. Calls that were rejected
    /// for what they read of the key are among them. (Who was not permitted has read nothing; that is in [`Self::history`].)
    ///
    /// Costs a few reads of the store for each, and up to 1,000 to see whether its author had seen the one before.
    pub async fn explain(
        &self,
        key: StateKey,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<Explanation>> {
        self.read(move |shared, store| shared.explain(store, &key, after.as_ref(), limit)).await
    }

    /// Waits until all that is in the history here at the time of the call is durable at the node of each connected member, and what these
    /// held is here; or [`ErrorKind::Timeout`], also where no member is connected. What either side writes meanwhile is not waited for.
    pub async fn wait_synced(&self, timeout: Duration) -> Result<()> {
        super::process::check()?;
        let this = self.clone();
        let task = self.shared.runtime.spawn(async move {
            tokio::time::timeout(timeout, this.shared.until_in_step())
                .await
                .unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "not in step with a peer in time")))
        });
        task.await.map_err(|_| self.shared.closed_error())?
    }

    /// Makes new keys: for this member, and for all that is sent from now on, by anybody who has heard of it. For when a device may have been
    /// copied: who has the copy, and no more than listens, opens nothing that follows. Durable and on its way when it returns.
    /// [`ErrorKind::Unsupported`] in a context whose payloads are not sealed.
    pub async fn rotate_keys(&self) -> Result<()> {
        self.ask(|reply| Command::RotateKeys { reply }).await
    }

    /// How it stands with the context's keys.
    pub async fn security(&self) -> Result<ContextSecurity> {
        self.ask(|reply| Command::Security { reply }).await
    }
}

fn check_level(level: Level) -> Result<()> {
    match level {
        Level::Tentative => Ok(()),
        Level::Final => Err(Error::unsupported("nothing becomes final yet")),
    }
}

fn check_value(value: &[u8]) -> Result<()> {
    if value.len() > limits::VALUE {
        return Err(Error::limit_exceeded(format!(
            "the value has {} bytes; at most {}",
            value.len(),
            limits::VALUE
        )));
    }
    Ok(())
}

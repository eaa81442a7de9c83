//! The replica of one context: takes transactions, keeps order, state and receipts what a replay from genesis would
//! give, and does no more work for it than it must.

use std::collections::{BTreeMap, BTreeSet};

use super::acts::Acts;
use super::chains::{StoredChains, Walked};
use super::changes::MembershipChange;
use super::commitment::SetHash;
use super::covers::Covers;
use super::execution::{Executed, StateAt};
use super::faults;
use super::governance::Governance;
use super::history::{Core, History, Invalid, Tips, Verdict, load_acts};
use super::past::Judged;
use super::payload::{Payload, Tip};
use super::receipt::{Place, Receipt, Rejection};
use super::sealed::{Keyring, Sealed};
use super::state_read::{StateRead, Table};
use super::tables::{self, Effects};
use super::transaction::{Kind, Transaction};
use super::view::{TableWrite, View, prefix_end, successor};
use super::{ContextId, MemberId, Role, StateKey, TransactionId};
use crate::application::{Application, Call, guarded};
use crate::{Error, Result};

/// What one step did. The writes are to be stored as one batch; until they are, nothing has happened, and a replica whose
/// writes could not be stored has to be opened again.
#[derive(Debug, Default)]
pub struct Step {
    /// Changes of the tables.
    pub writes: Vec<TableWrite>,
    /// The verdict on each transaction that was handed in, in that order.
    pub verdicts: Vec<(TransactionId, Verdict)>,
    /// Those that are part of the history now, ancestors first.
    pub admitted: Vec<TransactionId>,
    /// Receipts that are new or changed, in order.
    pub executed: Vec<Outcome>,
    /// Entries of the state that changed.
    pub changed: BTreeSet<StateKey>,
    /// Changes of the membership at the end of the order.
    pub membership: Vec<MembershipChange>,
    /// Members whose equivocation came to light, with two transactions of one sequence.
    pub equivocations: Vec<(MemberId, TransactionId, TransactionId)>,
    /// The first place at which something was inserted before what was there, if any.
    pub reordered: Option<Place>,
    /// Why applying stands still, if it does.
    pub blocked: Option<Blocked>,
    /// How many calls were executed that had been executed before.
    pub executed_again: usize,
    /// Sealed calls that were let in, and whose keys are not here.
    pub unopened: Vec<TransactionId>,
    /// Those that were let in before and are opened now.
    pub opened: Vec<TransactionId>,
    /// Calls that were sealed under keys that were not to be used, with their authors.
    pub violations: Vec<(MemberId, TransactionId)>,
}

/// A receipt that is new or has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The transaction.
    pub id: TransactionId,
    /// Where it counts.
    pub place: Place,
    /// Its author.
    pub author: MemberId,
    /// What it is.
    pub kind: u8,
    /// What it did.
    pub receipt: Receipt,
    /// Whether there was another receipt before.
    pub again: bool,
}

/// Why applying stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The host has not registered the application.
    ApplicationMissing(String),
    /// Executing this transaction failed on this machine.
    Fault(TransactionId, String),
}

/// One context's replica. Small: the history and the state stay in the tables.
#[derive(Debug)]
pub struct Replica {
    pub(super) context: ContextId,
    pub(super) core: Core,
    pub(super) tips: Tips,
    pub(super) walked: Walked,
    pub(super) covers: Covers,
    pub(super) acts: Acts,
    pub(super) governance: Governance,
    /// What is in the order and not yet executed.
    pub(super) pending: BTreeMap<Place, TransactionId>,
    stored_pending: BTreeSet<Place>,
    pub(super) sealed: Sealed,
    stored_sealed: Sealed,
    pub(super) unopened_changes: u64,
    pub(super) judged: Judged,
    /// Nothing after this place was executed before the present step.
    pub(super) executed_until: Option<Place>,
}

impl Replica {
    /// Opens the replica of a context on its tables, which may be empty.
    pub fn open(context: ContextId, tables: &dyn StateRead) -> Result<Self> {
        let view = View::new(tables);
        let mut core = match tables.get(Table::Meta, tables::CORE)? {
            Some(bytes) => tables::decode(&bytes, "a context's core")?,
            None => Core { ranges: vec![0; 33], ..Core::default() },
        };
        if let Some(bytes) = tables.get(Table::Meta, tables::STATE_HASH)? {
            core.state = tables::decode(&bytes, "the hash of a context's state")?;
        }
        let mut replica = Self {
            context,
            executed_until: core.last,
            core,
            tips: Tips::new(),
            walked: Walked::default(),
            covers: Covers::load(tables)?,
            acts: load_acts(&view, context)?,
            governance: Governance::default(),
            pending: BTreeMap::new(),
            stored_pending: BTreeSet::new(),
            sealed: Sealed::default(),
            stored_sealed: Sealed::default(),
            unopened_changes: 0,
            judged: Judged::default(),
        };
        if let Some(bytes) = tables.get(Table::Meta, tables::SEALED)? {
            replica.sealed = tables::decode(&bytes, "what is kept of a sealed context")?;
            replica.stored_sealed = replica.sealed;
            replica.unopened_changes = u64::from(replica.sealed.unopened > 0);
        }
        replica.tips = stored_tips(&view)?;
        for key in keys(&view, tables::PENDING)? {
            let place = Place::from_key(&key).ok_or_else(|| tables::damaged("a pending place"))?;
            replica.pending.insert(place, place.id);
            replica.stored_pending.insert(place);
        }
        let chains = StoredChains { tables, tips: &replica.tips, walked: &replica.walked };
        replica.governance = Governance::judge(&replica.acts, &chains)?;
        replica.core.governance = replica.governance.commitment(&replica.acts);
        Ok(replica)
    }

    /// Takes transactions whose signatures have been checked, each by itself or by a later one of its author's chain. Those whose
    /// causal past is not known yet get [`Verdict::NotYet`] and have to be handed in again.
    ///
    /// `application` is `None` while the host has not registered it: then the history grows and nothing is executed.
    pub fn receive(
        &mut self,
        tables: &dyn StateRead,
        transactions: &[Transaction],
        application: Option<&dyn Application>,
    ) -> Result<Step> {
        self.receive_with(tables, transactions, application, None)
    }

    /// The same, with the keys that open what is sealed.
    pub(crate) fn receive_with(
        &mut self,
        tables: &dyn StateRead,
        transactions: &[Transaction],
        application: Option<&dyn Application>,
        mut keyring: Option<&mut dyn Keyring>,
    ) -> Result<Step> {
        let mut view = View::new(tables);
        let mut step = Step::default();
        let before = self.core.last;
        for transaction in transactions {
            let keyring = keyring.as_deref_mut().map(|keyring| keyring as &mut dyn Keyring);
            self.let_in(&mut view, transaction, before, &mut step, keyring)?;
        }
        self.covers.write(&mut view);
        self.settle(view, step, None, application)
    }

    /// Executes what is pending, after a fault or once the application is there.
    pub fn resume(&mut self, tables: &dyn StateRead, application: Option<&dyn Application>) -> Result<Step> {
        self.settle(View::new(tables), Step::default(), None, application)
    }

    /// Judges a transaction and lets it in if it is valid.
    pub(super) fn let_in(
        &mut self,
        view: &mut View<'_>,
        transaction: &Transaction,
        before: Option<Place>,
        step: &mut Step,
        mut keyring: Option<&mut dyn Keyring>,
    ) -> Result<()> {
        let (id, answer) = self.history().verdict(view, transaction)?;
        let verdict = match answer {
            Err(verdict) => verdict,
            Ok(admission) => {
                let mut opened = None;
                if let Some(keyring) = keyring.as_deref_mut().filter(|_| transaction.header.is_sealed()) {
                    let taken = {
                        let past = self.behind(view, &admission.position.frontier)?;
                        keyring.open(&past, transaction)?
                    };
                    view.apply(taken.writes);
                    opened = taken.opened.map(|(payload, key)| Transaction {
                        payload,
                        key: Some(key),
                        ..transaction.clone()
                    });
                    if taken.violation {
                        self.sealed.violations += 1;
                        step.violations.push((transaction.header.author, id));
                    }
                }
                let transaction = opened.as_ref().unwrap_or(transaction);
                let rivals = self.history().insert(view, transaction, &admission)?;
                let author = admission.position.author;
                step.equivocations.extend(rivals.into_iter().map(|rival| (author, rival, id)));
                if before.is_some_and(|before| admission.place < before) {
                    step.reordered =
                        Some(step.reordered.map_or(admission.place, |place| place.min(admission.place)));
                }
                let kind = Kind::from_number(admission.position.kind);
                if transaction.header.is_sealed() {
                    self.call_let_in(view, admission.place, transaction.is_opened(), step);
                } else if !kind.is_some_and(Kind::governs) || kind == Some(Kind::Genesis) {
                    self.pending.insert(admission.place, id);
                } else if let (Some(Kind::Epoch | Kind::RefreshKey), Some(keyring)) = (kind, keyring) {
                    let writes = keyring.take_keys(&self.everything(view), &id, transaction)?;
                    view.apply(writes);
                }
                step.admitted.push(id);
                Verdict::Valid
            }
        };
        step.verdicts.push((id, verdict));
        Ok(())
    }

    const fn history(&mut self) -> History<'_> {
        History {
            context: self.context,
            core: &mut self.core,
            tips: &mut self.tips,
            covers: &mut self.covers,
            acts: &mut self.acts,
        }
    }

    /// Brings state and receipts up to date after transactions were let in.
    pub(super) fn settle(
        &mut self,
        mut view: View<'_>,
        mut step: Step,
        prepared: Option<(TransactionId, Executed)>,
        application: Option<&dyn Application>,
    ) -> Result<Step> {
        let new: Vec<u32> = step.admitted.iter().filter_map(|id| self.acts.number(id)).collect();
        let keys = |number: &u32| self.acts.get(*number).is_some_and(|act| act.what.is_keys());
        if new.iter().all(keys) {
            self.note_keys(&mut view, &mut step, &new)?;
        } else {
            self.govern(&mut view, &mut step)?;
        }
        self.execute_pending(&mut view, &mut step, prepared, application)?;
        step.executed.sort_by_key(|outcome| outcome.place);
        self.executed_until = self.core.last;
        if !step.admitted.is_empty() || !step.executed.is_empty() {
            view.put(Table::Meta, tables::CORE, tables::encode(&self.core));
        }
        if !step.changed.is_empty() {
            view.put(Table::Meta, tables::STATE_HASH, tables::encode(&self.core.state));
        }
        if self.sealed != self.stored_sealed {
            view.put(Table::Meta, tables::SEALED, tables::encode(&self.sealed));
            self.stored_sealed = self.sealed;
        }
        let mut pending: BTreeSet<Place> = self.pending.keys().copied().collect();
        if faults::is(faults::Fault::ForgetPending) {
            pending.clear();
        }
        for gone in self.stored_pending.difference(&pending) {
            view.delete(Table::Meta, tables::pending_key(gone));
        }
        for new in pending.difference(&self.stored_pending) {
            view.put(Table::Meta, tables::pending_key(new), Vec::new());
        }
        self.stored_pending = pending;
        step.writes = view.into_writes();
        Ok(step)
    }

    /// Executes what is pending in one ascending pass; what it changes makes later readers pending.
    fn execute_pending(
        &mut self,
        view: &mut View<'_>,
        step: &mut Step,
        mut prepared: Option<(TransactionId, Executed)>,
        application: Option<&dyn Application>,
    ) -> Result<()> {
        while let Some((place, id)) = self.pending.first_key_value().map(|(place, id)| (*place, *id)) {
            let Some(application) = application else {
                step.blocked = Some(Blocked::ApplicationMissing(self.core.application.clone()));
                return Ok(());
            };
            let executed = match prepared.take() {
                Some((of, executed)) if of == id => executed,
                _ => self.execute_at(view, &place, &id, application)?,
            };
            let (effects, writes) = match executed {
                Executed::Done(effects, writes) => (effects, writes),
                Executed::Fault(cause) => {
                    step.blocked = Some(Blocked::Fault(id, cause));
                    return Ok(());
                }
            };
            self.pending.pop_first();
            self.replace(view, step, place, id, effects, writes)?;
        }
        Ok(())
    }

    /// Executes one transaction at its place; changes nothing.
    pub(super) fn execute_at(
        &self,
        view: &View<'_>,
        place: &Place,
        id: &TransactionId,
        application: &dyn Application,
    ) -> Result<Executed> {
        let position = tables::known_position(view, id)?;
        let transaction = tables::transaction(view, id)?
            .ok_or_else(|| Error::corrupt(format!("transaction {id} is gone")))?;
        let payload = Payload::decode(position.kind, transaction.plaintext());
        let mut state = StateAt::new(view, Some(*place));
        if let Some(Payload::Genesis(genesis)) = &payload {
            let answer =
                guarded(|| application.initialise(&genesis.arguments, &mut state)).map(|()| Vec::new());
            return state.finish(answer, Some(Role::Admin));
        }
        let standing = match &payload {
            None => Err(Rejection::NotInForce),
            Some(_) => self.standing(view, &position, id, place)?,
        };
        let refused = |rejection| {
            let receipt = Receipt::rejected(rejection);
            Executed::Done(
                Effects { standing: None, receipt, reads: Vec::new(), writes: Vec::new() },
                BTreeMap::new(),
            )
        };
        match (standing, payload) {
            (Err(rejection), _) => Ok(refused(rejection)),
            (Ok(role), Some(Payload::Call(call))) => {
                let call = Call {
                    method: &call.method,
                    arguments: &call.arguments,
                    member: position.author,
                    role,
                    transaction: *id,
                    timestamp: transaction.header.timestamp,
                };
                let answer = guarded(|| application.execute(&call, &mut state));
                state.finish(answer, Some(role))
            }
            (Ok(role), _) => state.finish(Ok(Vec::new()), Some(role)),
        }
    }

    /// The state commitment: application state and everything that authorisation reads, at the end of the order.
    #[must_use]
    pub fn commitment(&self) -> [u8; 32] {
        self.core.state.union(&self.core.governance).collapse()
    }

    /// The hash of the application's entries alone.
    #[must_use]
    pub const fn state_hash(&self) -> &SetHash {
        &self.core.state
    }
}

/// Where each author's chain ends, as it is noted.
pub(super) fn stored_tips(view: &View<'_>) -> Result<Tips> {
    let mut tips = Tips::new();
    for key in keys(view, tables::TIPS)? {
        let (author, sequence, id) = tables::of_transaction_key(&key)?;
        tips.entry(author).or_default().insert(Tip { sequence, id });
    }
    Ok(tips)
}

/// All keys with a prefix, without it.
fn keys(view: &View<'_>, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
    let end = prefix_end(prefix);
    let mut from = prefix.to_vec();
    let mut keys = Vec::new();
    loop {
        let page = view.scan(Table::Meta, &from, end.as_deref(), false, 256)?;
        let Some((last, _)) = page.last() else { return Ok(keys) };
        from = successor(last);
        keys.extend(page.iter().map(|(key, _)| key[prefix.len()..].to_vec()));
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::invalid_argument(invalid.to_string())
    }
}

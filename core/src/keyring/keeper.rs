//! A context's keys in the hands of its node: which epoch to send under, sealing and opening as transactions are let in, and what is forgotten.

mod epochs;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod judging;
mod own;
mod wraps;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use super::ring::{Change, EpochDraft, Key, Ring, Rows};
use super::seen::{Known, Seen};
use super::sent::Sent;
use super::stored::decode;
use crate::encryption::rules::{self, Choice, Rotate, Usage};
use crate::encryption::{Scope, Secret, Suite, Trouble, check_package, seal_again};
use crate::replica::faults::{self, Fault};
use crate::replica::payload::{Add, KeyPackage};
use crate::replica::{
    ContextId, Header, Keyring, MemberId, Past, Payload, Replica, StateRead, Table, TableWrite, Taken,
    Transaction, TransactionId,
};
use crate::{Error, ErrorKind, Result};

/// What the keys of a context's rows begin with.
const RING: &[u8] = b"ring/";
/// Of how many epochs keys are held: what comes under an older one comes as shared history.
const HELD: usize = 32;
const DAY: u64 = 24 * 60 * 60 * 1000;
/// Instead of the time of the last refresh: the store was set back, and what others know of this member's keys is newer.
const SET_BACK: u64 = u64::MAX;
/// After so long an old ratchet key goes, also if somebody may not have seen the new one.
const FORGET: u64 = 7 * DAY;
/// So far a time may be ahead of the clock, which is not always set forward.
const SKEW: u64 = 60 * 60 * 1000;
/// How long between two looks at what can be forgotten.
const TIDY: u64 = 60_000;
/// Under how many usable epochs envelopes are listened for: the best, and those under which members send that have not seen it yet.
const ENVELOPES: usize = 4;
/// How many outcomes of the rules are kept.
const JUDGED: usize = 64;

/// What is remembered besides the keys. No secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Book {
    /// Under which this member last sent.
    last: Option<TransactionId>,
    /// Of which epochs there are keys, and since when (ms since 1970); the oldest first.
    held: Vec<(TransactionId, u64)>,
    /// When this member's ratchet key was last replaced.
    refreshed: u64,
    /// New keys were asked for and are not made yet.
    asked: bool,
}

/// How it stands with a context's keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) epoch: Option<TransactionId>,
    pub(crate) age: u64,
    pub(crate) able: usize,
    pub(crate) pending: Option<Rotate>,
}

/// What is to be done before a call is sealed.
pub(crate) enum Prepared {
    /// Nothing.
    Ready,
    /// This is to be written first.
    Write(Box<Payload>),
}

/// The epoch that is the best for this member, as long as nothing governing has come.
#[derive(Clone, Copy)]
struct Best {
    acts: u32,
    last: Option<TransactionId>,
    epoch: Option<TransactionId>,
    joined: bool,
}

/// See the module. Holds nothing that has to survive; what it gives is to be stored with the transaction that it goes with.
pub(crate) struct Keeper {
    context: ContextId,
    me: MemberId,
    /// ms since 1970.
    pub(crate) now: u64,
    known: Known,
    best: Option<Best>,
    usable: HashMap<Vec<u64>, Option<TransactionId>>,
    /// By author, its last transaction that was looked at, and its last sealed message up to that.
    before: HashMap<MemberId, (TransactionId, Option<(TransactionId, u32)>)>,
    drafted: Option<EpochDraft>,
    refreshed: Option<(Vec<u8>, Change)>,
    /// Under which the next call is sealed, and whether that is another one than the last call's.
    sending: Option<(Scope, TransactionId, bool)>,
    sealed: Option<(TransactionId, Vec<Change>)>,
    tidied: Option<u64>,
    /// What went wrong since it was last asked, by epoch or message.
    pub(crate) troubles: Vec<(TransactionId, MemberId, Trouble)>,
    /// Who gave keys that cannot be used.
    pub(crate) complaints: BTreeSet<MemberId>,
    sent: Sent,
    /// What [`Key::Wanted`] says, once it was read.
    wanted: RefCell<Option<Vec<TransactionId>>>,
    /// Whether this member was away for so long that its own key is due for a new one.
    pub(crate) slept: bool,
}

/// The rows in a context's tables, and what went wrong with reading them.
struct Stored<'a>(&'a dyn StateRead, RefCell<Option<Error>>);

impl<'a> Stored<'a> {
    const fn new(tables: &'a dyn StateRead) -> Self {
        Self(tables, RefCell::new(None))
    }

    /// What came of it; where the store failed, the store's own word.
    fn told<T>(&self, outcome: std::result::Result<T, Trouble>) -> Result<T> {
        outcome.map_err(|trouble| self.1.borrow_mut().take().unwrap_or_else(|| trouble.into()))
    }
}

impl Rows for Stored<'_> {
    fn row(&self, key: &Key) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        let found = self.0.get(Table::Keys, &row_key(key)).map_err(|error| {
            *self.1.borrow_mut() = Some(error);
            Trouble::State
        })?;
        Ok(found.map(Zeroizing::new))
    }
}

fn row_key(key: &Key) -> Vec<u8> {
    [RING, &key.encode()].concat()
}

fn writes(changes: impl IntoIterator<Item = Change>) -> Vec<TableWrite> {
    let write =
        |change: Change| (Table::Keys, row_key(&change.key), change.value.map(|value| value.to_vec()));
    changes.into_iter().map(write).collect()
}

fn suite(number: u8) -> Result<Suite> {
    Suite::from_number(number).ok_or_else(|| {
        Error::new(ErrorKind::VersionMismatch, "the context's encryption is not known to this build")
    })
}

impl Keeper {
    pub(crate) fn new(context: ContextId, me: MemberId) -> Self {
        Self {
            context,
            me,
            now: 0,
            known: Known::default(),
            best: None,
            usable: HashMap::new(),
            before: HashMap::new(),
            drafted: None,
            refreshed: None,
            sending: None,
            sealed: None,
            tidied: None,
            troubles: Vec::new(),
            complaints: BTreeSet::new(),
            sent: Sent::default(),
            wanted: RefCell::default(),
            slept: false,
        }
    }

    /// A member's first keys: what others get of them, and what is to be stored. `context` is zeros for a context that is being created.
    pub(crate) fn first_keys(
        number: u8,
        context: ContextId,
        me: MemberId,
        entropy: [u8; 32],
    ) -> Result<(KeyPackage, Vec<TableWrite>)> {
        if number == 0 {
            return Ok((KeyPackage::default(), Vec::new()));
        }
        let scope = Scope { suite: suite(number)?, context };
        let nothing = crate::replica::MemoryTables::default();
        let ring = Ring { scope, me, rows: &Stored::new(&nothing) };
        let (key, change) = ring.start(&Secret::new(entropy));
        Ok((KeyPackage { suite: number, ratchet_key: key.key, not_after: 0 }, writes([change])))
    }

    /// Whether there are own ratchet keys.
    pub(crate) fn has_keys(tables: &dyn StateRead) -> Result<bool> {
        let rows = Stored::new(tables);
        Ok(rows.told(rows.row(&Key::Ratchet))?.is_some())
    }

    /// The key package of a member that has its first keys and asks to be added.
    pub(crate) fn package(&self, number: u8, tables: &dyn StateRead) -> Result<KeyPackage> {
        if number == 0 {
            return Ok(KeyPackage::default());
        }
        let scope = Scope { suite: suite(number)?, context: self.context };
        let rows = Stored::new(tables);
        let key = rows.told(self.ring(scope, &rows).first_public())?;
        Ok(KeyPackage { suite: number, ratchet_key: key, not_after: 0 })
    }

    /// Whether somebody may be added with these keys, which it signed: of the context's suite, sound, and never handed in before.
    pub(crate) fn admits(&self, past: &Past<'_>, request: &Add) -> bool {
        if past.replica.suite() == 0 {
            return request.key_package == KeyPackage::default();
        }
        let used = past.is_used(&request.key_package.ratchet_key);
        self.scope(past.replica).is_ok_and(|scope| check_package(&scope, request, self.now, used).is_ok())
    }

    fn scope(&self, replica: &Replica) -> Result<Scope> {
        Ok(Scope { suite: suite(replica.suite())?, context: self.context })
    }

    fn ring<'a>(&self, scope: Scope, rows: &'a Stored<'a>) -> Ring<'a, Stored<'a>> {
        Ring { scope, me: self.me, rows }
    }

    fn row<T: BorshDeserialize>(tables: &dyn StateRead, key: &Key) -> Result<Option<T>> {
        let rows = Stored::new(tables);
        let row = rows.told(rows.row(key))?;
        Ok(row.map(|row| decode(&row)).transpose()?)
    }

    fn book(tables: &dyn StateRead) -> Result<Book> {
        Ok(Self::row(tables, &Key::Book)?.unwrap_or_default())
    }

    /// How long ago that was, in ms. What a clock noted that was ahead then says nothing, and counts as long ago: so that it is not for as long that
    /// nothing is due.
    fn ago(&self, since: u64) -> u64 {
        match self.now.checked_sub(since) {
            Some(ago) => ago,
            None if since - self.now <= SKEW => 0,
            None => u64::MAX,
        }
    }

    fn keep(book: &Book) -> Change {
        Change::put(Key::Book, book)
    }

    /// The best epoch for this member, and whether a member is left out of it.
    fn best(&mut self, past: &Past<'_>, scope: Scope, last: Option<TransactionId>) -> Result<Best> {
        let acts = past.acts_known();
        if let Some(best) = self.best.filter(|best| best.acts == acts && best.last == last) {
            return Ok(best);
        }
        let seen = Seen::new(past, scope, &self.known);
        let epoch = rules::best(&seen, &self.me, last.as_ref());
        let recipients = epoch.map(|epoch| rules::View::members_at(&seen, &epoch)).unwrap_or_default();
        let joined = past.members().any(|(member, _)| recipients.binary_search(member).is_err());
        self.best = Some(seen.or_failure(Best { acts, last, epoch, joined })?);
        self.best.ok_or_else(|| Error::internal("nothing was chosen"))
    }

    fn usage(&self, book: &Book, best: &Best, past: &Past<'_>, scope: Scope) -> Result<Usage> {
        let rows = Stored::new(past.tables);
        let Some(epoch) = best.epoch else { return Ok(Usage::default()) };
        let sent = rows.told(self.ring(scope, &rows).sent(&epoch))?;
        let since = book.held.iter().find(|(held, _)| *held == epoch).map_or(self.now, |(_, since)| *since);
        Ok(Usage {
            sent: sent.unwrap_or(0),
            age: self.ago(since),
            members: past.members().count(),
            asked: book.asked,
            locked_out: sent.is_none(),
            joined: best.joined,
        })
    }

    /// What is to be written before the next call is sealed, until nothing is. Seldom it takes entropy.
    pub(crate) fn prepare(
        &mut self,
        past: &Past<'_>,
        entropy: impl FnOnce() -> Result<[u8; 32]>,
    ) -> Result<Prepared> {
        let scope = self.scope(past.replica)?;
        let book = Self::book(past.tables)?;
        if book.refreshed == SET_BACK {
            return self.draft_refresh(past, entropy()?).map(Box::new).map(Prepared::Write);
        }
        let best = self.best(past, scope, book.last)?;
        match rules::decide(best.epoch, &self.usage(&book, &best, past, scope)?) {
            Choice::Send(_) if book.refreshed != 0 && self.ago(book.refreshed) > DAY => {
                self.draft_refresh(past, entropy()?).map(Box::new).map(Prepared::Write)
            }
            Choice::Send(epoch) => {
                self.sending = Some((scope, epoch, book.last != Some(epoch)));
                Ok(Prepared::Ready)
            }
            Choice::Rotate(_) => self.draft_epoch(past, entropy()?).map(Box::new).map(Prepared::Write),
        }
    }

    /// A member cannot open what is sealed along the chain of roots to it: the next wrap begins anew.
    pub(crate) fn restart(&self, member: MemberId) -> Vec<TableWrite> {
        writes([Change::end(Key::To(member))])
    }

    /// How it stands with the keys.
    pub(crate) fn standing(&mut self, past: &Past<'_>) -> Result<Standing> {
        if past.replica.suite() == 0 {
            return Ok(Standing::default());
        }
        let scope = self.scope(past.replica)?;
        let book = Self::book(past.tables)?;
        let best = self.best(past, scope, book.last)?;
        let usage = self.usage(&book, &best, past, scope)?;
        let seen = Seen::new(past, scope, &self.known);
        let able = best.epoch.map_or(0, |epoch| rules::View::members_at(&seen, &epoch).len());
        let pending = match rules::decide(best.epoch, &usage) {
            Choice::Send(_) => None,
            Choice::Rotate(why) => Some(why),
        };
        let age = if usage.age == u64::MAX { 0 } else { usage.age };
        seen.or_failure(Standing { epoch: best.epoch, age, able, pending })
    }

    /// What envelopes are sealed with in the usable epochs whose keys are here, the best first; few. An epoch that a removal has spoilt is not
    /// among them, so who was removed has none of these keys.
    pub(crate) fn envelopes(&self, past: &Past<'_>) -> Result<Vec<Secret>> {
        let scope = self.scope(past.replica)?;
        let rows = Stored::new(past.tables);
        let seen = Seen::new(past, scope, &self.known);
        let held = Self::book(past.tables)?.held.into_iter().map(|(epoch, _)| epoch);
        let usable: Vec<TransactionId> = rules::usable_of(&seen, held).take(ENVELOPES).collect();
        let usable = seen.or_failure(usable)?;
        let ring = self.ring(scope, &rows);
        let keys = usable.iter().map(|epoch| rows.told(ring.envelope(epoch)));
        keys.filter_map(Result::transpose).collect()
    }

    /// A transaction as it goes to somebody: as it was sent to who has the keys, as shared history to a member that has not, and never what it says
    /// to anybody else.
    pub(crate) fn show(
        &self,
        replica: &Replica,
        tables: &dyn StateRead,
        to: &MemberId,
        id: &TransactionId,
        mut transaction: Transaction,
    ) -> Result<Option<Transaction>> {
        let member = replica.member(to).is_some();
        let Some(key) = transaction.key.take() else {
            let says_nothing = !transaction.header.is_sealed() || !transaction.is_opened();
            return Ok(Some(transaction).filter(|_| member || says_nothing));
        };
        if !member || replica.has_keys(tables, to, &TransactionId(transaction.header.epoch))? {
            let scope = Scope { suite: suite(replica.suite())?, context: replica.context() };
            let seal = || seal_again(&scope, &transaction.header, transaction.plaintext(), &key);
            transaction.payload = self.sent.get_or(id, seal)?;
        }
        Ok(Some(transaction))
    }

    /// A round is over: what was kept for it goes.
    pub(crate) fn round_is_over(&self) {
        self.sent.clear();
    }

    /// The author's chains in lesser epochs: it never goes back to those.
    fn supersede(&self, past: &Past<'_>, header: &Header) -> Result<Vec<Change>> {
        let rows = Stored::new(past.tables);
        let rank = |id: &TransactionId| past.epoch(id).map(|act| (act.lamport, std::cmp::Reverse(act.id)));
        let now = rank(&TransactionId(header.epoch));
        let mut changes = Vec::new();
        for (held, _) in Self::book(past.tables)?.held {
            let key = Key::Chain(held, header.author);
            let lesser = rank(&held).is_some_and(|held| Some(held) < now);
            if lesser && rows.told(rows.row(&key))?.is_some() {
                changes.push(Change::end(key));
            }
        }
        Ok(changes)
    }
}

impl Keyring for Keeper {
    fn seal(
        &mut self,
        tables: &dyn StateRead,
        header: Header,
        plaintext: &[u8],
        signer: &SigningKey,
    ) -> Result<Transaction> {
        let (scope, epoch, other) =
            self.sending.take().ok_or_else(|| Error::internal("no epoch was chosen"))?;
        let rows = Stored::new(tables);
        let (mut sealed, mut opened, change) =
            rows.told(self.ring(scope, &rows).seal(&epoch, header, plaintext, signer))?;
        let id = sealed.header.id();
        self.sent.keep(id, &sealed.payload);
        sealed.payload = std::mem::take(&mut opened.payload);
        let mut changes = vec![change];
        if other {
            changes.push(Self::keep(&Book { last: Some(epoch), ..Self::book(tables)? }));
        }
        self.sealed = Some((id, changes));
        Ok(sealed)
    }

    fn open(&mut self, past: &Past<'_>, transaction: &Transaction) -> Result<Taken> {
        let header = &transaction.header;
        let scope = self.scope(past.replica)?;
        let mut taken = Taken::default();
        let sealed = self.sealed.take().filter(|(id, _)| *id == header.id());
        let own = sealed.is_some();
        if let Some((_, changes)) = sealed {
            let kept = |change: &Change| change.key == Key::Book || !faults::is(Fault::SealTwice);
            taken.writes = writes(changes.into_iter().filter(kept));
        } else if transaction.is_opened() {
            taken.writes = self.pass(past.replica, past.tables, header)?;
        } else if let Some((content, key, writes)) = self.read(past.replica, past.tables, transaction)? {
            taken.opened = Some((content, key)).filter(|_| !faults::is(Fault::ForgetPlaintext));
            taken.writes = writes;
        }
        if header.author == self.me && !own {
            taken.writes.extend(writes(Self::set_back(past.tables)?));
        }
        if header.counter == 0 && !faults::is(Fault::KeepChains) {
            taken.writes.extend(writes(self.supersede(past, header)?));
        }
        taken.violation = self.is_violation(past, scope, header)?;
        Ok(taken)
    }

    fn take_keys(
        &mut self,
        past: &Past<'_>,
        id: &TransactionId,
        transaction: &Transaction,
    ) -> Result<Vec<TableWrite>> {
        if past.replica.suite() == 0 {
            return Ok(Vec::new());
        }
        if past.epoch(id).is_some() {
            return self.take_epoch(past, id, transaction).map(writes);
        }
        if transaction.header.author != self.me {
            return Ok(Vec::new());
        }
        let drafted = self.refreshed.take().filter(|(said, _)| said == transaction.plaintext());
        let Some((_, change)) = drafted else { return Self::set_back(past.tables).map(writes) };
        let book = Book { refreshed: self.time(), ..Self::book(past.tables)? };
        Ok(writes([change, Self::keep(&book)]))
    }
}

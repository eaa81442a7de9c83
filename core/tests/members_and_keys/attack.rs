//! What can be opened with keys that somebody has, of all that was ever sent.

use std::collections::{BTreeMap, BTreeSet};

use kith_core::encryption::{Epoch, Scope, Suite, Trouble, Wraps, seal_again};
use kith_core::keyring::{Key, Ring, Rows};
use kith_core::node::Context;
use kith_core::replica::{Kind, MemberId, Payload, Transaction, TransactionId};
use kith_core::storage::Store;
use kith_oracle::oracle::Oracle;
use kith_oracle::probe::Probe;
use zeroize::Zeroizing;

use crate::hoarder::Hoard;
use crate::nodes::history;

/// A few rows, to be tried together.
struct Loot(BTreeMap<Key, Vec<u8>>);

impl Rows for Loot {
    fn row(&self, key: &Key) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        Ok(self.0.get(key).cloned().map(Zeroizing::new))
    }
}

/// An epoch as all that listen know it, and who was a member to its author.
struct Made {
    id: TransactionId,
    author: MemberId,
    epoch: Epoch,
    members: Vec<MemberId>,
}

/// All that was ever sent.
pub(crate) struct Sent {
    scope: Scope,
    calls: BTreeMap<TransactionId, Transaction>,
    epochs: Vec<Made>,
}

impl Sent {
    /// What these stores hold. Of each call it has to be known to one of them how it was sent.
    pub(crate) fn of<'a>(context: &Context, stores: impl IntoIterator<Item = &'a dyn Store>) -> Self {
        let scope = Scope { suite: Suite::X25519, context: context.id() };
        let (mut all, mut calls) = (BTreeMap::new(), BTreeMap::new());
        for transaction in stores.into_iter().flat_map(|store| history(store, context)) {
            let id = transaction.header.id();
            if let Some(sealed) = as_sent(&scope, &transaction) {
                calls.insert(id, sealed);
            }
            all.insert(id, transaction);
        }
        let sealed = all.values().filter(|transaction| transaction.header.is_sealed());
        assert_eq!(sealed.count(), calls.len());
        let known = Oracle::replay(&context.id(), all.values(), &Probe);
        let mut made: Vec<_> = all.values().filter(|t| t.header.kind == Kind::Epoch as u8).collect();
        made.sort_by_key(|epoch| epoch.header.lamport);
        let epochs = made.into_iter().map(|transaction| {
            let id = transaction.header.id();
            let said = Payload::decode(transaction.header.kind, transaction.plaintext());
            let Some(Payload::Epoch(bytes)) = said else { panic!("{said:?} is no epoch") };
            let members = known.before(&id).unwrap().members.into_keys().collect();
            let epoch = Epoch::decode(&scope, &bytes).unwrap();
            Made { id, author: transaction.header.author, epoch, members }
        });
        Self { scope, calls, epochs: epochs.collect() }
    }

    pub(crate) fn epochs(&self) -> usize {
        self.epochs.len()
    }

    pub(crate) fn epoch_of(&self, call: &TransactionId) -> TransactionId {
        TransactionId(self.calls[call].header.epoch)
    }

    /// Who was a member to the author of the epoch that a call is sealed under.
    pub(crate) fn sealed_for(&self, call: &TransactionId) -> &[MemberId] {
        let of = self.epoch_of(call);
        &self.epochs.iter().find(|epoch| epoch.id == of).unwrap().members
    }

    /// Whether a call opens with what follows from these keys and all wraps.
    pub(crate) fn opens(&self, keys: &Hoard, call: &TransactionId) -> bool {
        let sealed = &self.calls[call];
        let wanted = Key::Chain(TransactionId(sealed.header.epoch), sealed.header.author);
        let chains = self.all_from(keys.clone()).remove(&wanted).unwrap_or_default();
        chains.into_iter().any(|chain| {
            let rows = Loot([(wanted, chain)].into());
            let ring = Ring { scope: self.scope, me: sealed.header.author, rows: &rows };
            ring.open(sealed).is_ok()
        })
    }

    /// Tries every wrap, whoever it is for, with every private key, whatever number that has, and every root.
    fn all_from(&self, mut keys: Hoard) -> Hoard {
        let privates: BTreeSet<Vec<u8>> =
            keys.get(&Key::Ratchet).into_iter().flatten().flat_map(|row| privates(row)).collect();
        for made in &self.epochs {
            let Wraps::Inline(wraps) = &made.epoch.wraps else { panic!("few members, and wraps apart") };
            let roots = keys.get(&Key::From(made.author)).cloned().unwrap_or_default();
            let recipients = made.members.iter().filter(|me| **me != made.author);
            for (me, wrap) in recipients.zip(wraps.chunks(self.scope.suite.wrap())) {
                for private in &privates {
                    // The only one, under the number that the wrap asks for.
                    let ratchet = [&[1, 1, 0, 0, 0], &wrap[4..8], private, &[1]].concat();
                    for root in roots.iter().map(Some).chain([None]) {
                        let mut rows = Loot([(Key::Ratchet, ratchet.clone())].into());
                        rows.0.extend(root.map(|root| (Key::From(made.author), root.clone())));
                        let ring = Ring { scope: self.scope, me: *me, rows: &rows };
                        let taken =
                            ring.receive_epoch(&made.id, &made.author, &made.epoch, &made.members, None);
                        let derived = taken.into_iter().flatten().filter(|change| change.key != Key::Ratchet);
                        for change in derived {
                            let value = change.value.map(|value| value.to_vec());
                            keys.entry(change.key).or_default().extend(value);
                        }
                    }
                }
            }
        }
        keys
    }
}

/// As a row of ratchet keys is written: version, how many, each with its number; and whether the newest is exposed.
fn privates(row: &[u8]) -> Vec<Vec<u8>> {
    let count = u32::from_le_bytes(row[1..5].try_into().unwrap()) as usize;
    (0..count).map(|n| row[5 + 36 * n + 4..][..32].to_vec()).collect()
}

/// A call as it was sent; none if it is no sealed one, or how it was sealed is not known here.
fn as_sent(scope: &Scope, transaction: &Transaction) -> Option<Transaction> {
    let header = &transaction.header;
    if !header.is_sealed() {
        return None;
    }
    let payload = match transaction.is_opened() {
        true => seal_again(scope, header, transaction.plaintext(), transaction.key.as_ref()?).unwrap(),
        false => transaction.payload.clone(),
    };
    Some(Transaction { payload, ..transaction.clone() })
}

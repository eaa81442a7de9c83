//! Messages under keys that were not to be used, by a member whose build does not keep to the rules: who was there, who was away and who comes later
//! count the same ones, and name them.

use std::collections::BTreeSet;
use std::sync::Arc;

use kith_core::application::kv::KeyValue;
use kith_core::encryption::{Scope, Suite, Trouble};
use kith_core::keyring::{Change, Key, Ring, Rows};
use kith_core::node::machine::{Wish, receive};
use kith_core::replica::{
    Header, Kind, MemberId, MemoryTables, Payload, Replica, Signer, StateRead, Table, Tip, Transaction,
    TransactionId,
};
use kith_core::storage::MemoryStore;
use zeroize::Zeroizing;

use crate::pair::{Disk, Member, Pair, put};

/// A member's rows of keys, as they were at some time, but for one.
struct Rowed<'a>(&'a dyn StateRead, Option<Change>);

impl Rows for Rowed<'_> {
    fn row(&self, key: &Key) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        if let Some(change) = self.1.as_ref().filter(|change| change.key == *key) {
            return Ok(change.value.clone());
        }
        let row = [&b"ring/"[..], &key.encode()].concat();
        Ok(self.0.get(Table::Keys, &row).unwrap().map(Zeroizing::new))
    }
}

impl Member {
    /// What the member would write next, but as a call.
    fn next_header(&self) -> Header {
        self.on(&self.disk.inner, |replica, tables| {
            let mut random = || [3; 32];
            let mut signer = Signer { key: &self.key, timestamp: 1, random: &mut random };
            let (written, _) = replica.author(&mut signer, Payload::Note, tables, None).unwrap();
            Header { kind: Kind::Call as u8, ..written.last().unwrap().header.clone() }
        })
    }

    /// Seals with keys as they were, in an epoch of then, and leaves out so many numbers before.
    fn seals(&self, then: &MemoryStore, epoch: &TransactionId, left_out: usize) -> Transaction {
        let scope = Scope { suite: Suite::X25519, context: self.context };
        let Wish::Call(call) = put(9) else { panic!("no call") };
        let (said, header) = (Payload::Call(call).encode(), self.next_header());
        self.on(then, |_, tables| {
            let mut change = None;
            for left in (0..=left_out).rev() {
                let ring = Ring { scope, me: self.me(), rows: &Rowed(tables, change.take()) };
                let (mut sealed, opened, after) = ring.seal(epoch, header.clone(), &said, &self.key).unwrap();
                if left == 0 {
                    sealed.payload.clone_from(&opened.payload);
                    return sealed;
                }
                change = Some(after);
            }
            unreachable!("the last one is given")
        })
    }

    /// Takes what it has signed itself into its history, as a process that does not keep to the rules.
    fn takes(&self, transaction: &Transaction) {
        let step = self.on(&self.disk.inner, |replica, tables| {
            receive(self.me(), replica, tables, std::slice::from_ref(transaction), &KeyValue).unwrap()
        });
        assert_eq!(step.admitted, [transaction.header.id()], "{:?}", step.verdicts);
        self.store(step.writes, transaction);
    }

    /// How many it counts, and what its events name.
    fn violations(&self) -> (u64, BTreeSet<(MemberId, TransactionId)>) {
        let named = self.key_violations();
        let once: BTreeSet<_> = named.iter().copied().collect();
        assert_eq!(named.len(), once.len(), "each is told of once");
        (self.machine().replica().violations(), once)
    }
}

#[test]
fn who_was_there_and_who_comes_later_count_and_name_the_same_violations() {
    let mut pair = Pair::new(Suite::X25519 as u8, false);
    let wrong = pair.members[1].me();
    pair.done(1, put(0));
    let old = pair.members[1].written_by(&wrong, Kind::Epoch).last().unwrap().header.id();
    let then = pair.members[1].disk.inner.fork();
    pair.done(1, Wish::RotateKeys);
    pair.done(1, put(1));
    let new = pair.members[1].written_by(&wrong, Kind::Epoch).last().unwrap().header.id();
    assert_ne!(old, new);
    for member in &pair.members {
        assert_eq!(member.violations(), (0, BTreeSet::new()), "the control: all that was honest");
    }
    // The founder as it goes away here; another one stays, and hears of each when it is written.
    let away = pair.members[0].disk.inner.fork();

    let mut expected = BTreeSet::new();
    // One number is left out; then under an epoch of which its own past has a better one.
    let now = pair.members[1].disk.inner.fork();
    for (keys, epoch, left_out) in [(&now, new, 1), (&then, old, 0)] {
        pair.end(1);
        let member = &pair.members[1];
        let lie = member.seals(keys, &epoch, left_out);
        member.takes(&lie);
        expected.insert((wrong, lie.header.id()));
        pair.begin(1);
        assert!(pair.are_equal());
        let (count, named) = pair.members[0].violations();
        assert_eq!((count, &named), (expected.len() as u64, &expected), "who is there hears of each alone");
    }
    let honest = pair.done(1, put(4)).unwrap();
    let there = pair.members[0].violations();
    assert_eq!(there, (2, expected), "what follows is as it should be: {honest}");

    // Who was away gets all in one run.
    pair.end(0);
    pair.members[0].disk = Arc::new(Disk { inner: away, beside: false });
    pair.begin(0);
    assert!(pair.are_equal());
    assert_eq!(pair.members[0].violations(), there);
    assert!(pair.members[0].has(&honest));

    // Who comes later, and has no keys at all, judges the headers.
    let start = Tip { sequence: 0, id: TransactionId::default() };
    let mut all: Vec<Transaction> = Vec::new();
    for author in &pair.members {
        let own =
            author.with_tables(|replica, tables| replica.chain(tables, &author.me(), start, 1000).unwrap());
        all.extend(own.into_iter().map(|(_, transaction)| transaction));
    }
    all.sort_by_key(|transaction| transaction.header.lamport);
    let tables = MemoryTables::default();
    let mut later = Replica::open(pair.members[0].context, &tables).unwrap();
    let step = receive(MemberId([7; 32]), &mut later, &tables, &all, &KeyValue).unwrap();
    assert_eq!(later.digest(), pair.members[1].machine().replica().digest(), "{:?}", step.verdicts);
    let named: BTreeSet<_> = step.violations.iter().copied().collect();
    assert_eq!((later.violations(), named), there);
}

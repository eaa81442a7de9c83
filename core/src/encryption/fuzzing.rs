//! The decoders of keys and of what they seal. What is sealed is tried as it is, and sealed with keys that the receiver has around
//! bytes of the fuzzer's choice: so what lies behind the seal is looked at, too.

use std::cell::RefCell;
use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::chain::Chain;
use super::epoch::Pair;
use super::{
    Envelope, Epoch, Leaf, RatchetKey, Recipient, Scope, Secret, Suite, Trouble, Wraps, check_package,
};
use crate::fuzzing::{Decoder, Input, encoded, signing_key};
use crate::keyring::fuzzing::{self as rows, keeper};
use crate::keyring::{Change, Key, Ring, Rows};
use crate::limits;
use crate::replica::payload::{Add, KeyPackage};
use crate::replica::{ContextId, Draft, Kind, MemberId, Parent, Role, Transaction, TransactionId};
use crate::sealed_box::Terms;

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder { name: "epoch", check: epoch, seeds: epochs },
    Decoder { name: "receive", check: receive, seeds: epochs },
    Decoder { name: "leaf", check: leaf, seeds: leaves },
    Decoder { name: "envelope", check: envelope, seeds: envelopes },
    Decoder { name: "envelope-content", check: envelope_content, seeds: || vec![vec![7; 30]] },
    Decoder { name: "package", check: package, seeds: packages },
    Decoder { name: "sealed-call", check: sealed_call, seeds: sealed_calls },
    Decoder { name: "keys", check: keys, seeds: stored_keys },
    Decoder { name: "stored-chain", check: rows::chain, seeds: rows::chains },
    Decoder { name: "stored-root", check: rows::root, seeds: rows::roots },
    Decoder { name: "stored-own", check: rows::own, seeds: rows::owns },
    Decoder { name: "stored-wraps", check: rows::wraps, seeds: rows::all_wraps },
    Decoder { name: "stored-leaf", check: rows::leaf, seeds: rows::leaves },
    Decoder { name: "stored-envelope", check: rows::envelope, seeds: rows::envelopes },
    Decoder { name: "stored-book", check: keeper::book, seeds: keeper::books },
    Decoder { name: "stored-wanted", check: keeper::wanted, seeds: keeper::some_wanted },
    Decoder { name: "stored-passed", check: rows::passed, seeds: rows::some_passed },
];

pub(crate) const ADD: TransactionId = TransactionId([3; 32]);
pub(crate) const EPOCH: TransactionId = TransactionId([4; 32]);

pub(crate) const fn scope(suite: Suite) -> Scope {
    Scope { suite, context: ContextId([1; 32]) }
}

const fn suite_of(choice: u8) -> Suite {
    if choice.is_multiple_of(2) { Suite::X25519 } else { Suite::XWing }
}

pub(crate) fn member(number: u8) -> MemberId {
    MemberId(signing_key(number).verifying_key().to_bytes())
}

/// Rows in memory.
#[derive(Clone, Default)]
pub(crate) struct Table(RefCell<BTreeMap<Key, Zeroizing<Vec<u8>>>>);

impl Rows for Table {
    fn row(&self, key: &Key) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        Ok(self.0.borrow().get(key).cloned())
    }
}

impl Table {
    pub(crate) fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        for Change { key, value } in changes {
            match value {
                Some(value) => self.0.borrow_mut().insert(key, value),
                None => self.0.borrow_mut().remove(&key),
            };
        }
    }
}

/// A member with a first ratchet key, and that key.
pub(crate) fn started(suite: Suite, number: u8) -> (Table, RatchetKey) {
    let table = Table::default();
    let ring = Ring { scope: scope(suite), me: member(number), rows: &table };
    let (key, change) = ring.start(&Secret::new([number; 32]));
    table.apply([change]);
    (table, key)
}

fn epoch(input: &Input<'_>) {
    let (suite, input) = input.choose();
    let scope = scope(suite_of(suite));
    let Some(epoch) = input.canonical(|bytes| Epoch::decode(&scope, bytes).ok(), encoded) else { return };
    assert!((epoch.recipients as usize) < limits::MEMBERS);
    if let Wraps::Inline(wraps) = &epoch.wraps {
        assert_eq!(wraps.len(), epoch.recipients as usize * scope.suite.wrap());
    }
}

/// An epoch that decodes, taken in by a member: it opens it or says why not, and then nothing has changed.
fn receive(input: &Input<'_>) {
    let (suite, input) = input.choose();
    let suite = suite_of(suite);
    let Ok(epoch) = Epoch::decode(&scope(suite), input.bytes) else { return };
    let mut members: Vec<MemberId> = [1, 2].map(member).into();
    members.sort_unstable();
    let (table, _) = started(suite, 2);
    let ring = Ring { scope: scope(suite), me: member(2), rows: &table };
    match ring.receive_epoch(&EPOCH, &member(1), &epoch, &members, None) {
        Ok(changes) => {
            // The control takes an epoch that opens for one that must not.
            assert!(!input.lenient && !changes.is_empty(), "opened");
            table.apply(changes);
            let again = ring.receive_epoch(&EPOCH, &member(1), &epoch, &members, None);
            assert!(again.is_ok_and(|changes| changes.is_empty()), "the same epoch twice");
        }
        Err(_) => assert_eq!(table.0.borrow().len(), 1),
    }
}

fn leaf(input: &Input<'_>) {
    let Some(leaf) = input.borsh::<Leaf>() else { return };
    let scope = scope(Suite::X25519);
    let epoch = Epoch {
        suite: scope.suite as u8,
        commit: [1; 32],
        ratchet_key: RatchetKey { index: 0, key: vec![9; 32] },
        recipients: 400,
        wraps: Wraps::Root([0; 32]),
    };
    for index in [0, 399, 400] {
        assert!(epoch.wrap(&scope, &member(1), index, Some(&leaf)).is_err(), "a leaf of a root of zeros");
    }
}

fn envelope(input: &Input<'_>) {
    let (key, scope) = (Secret::new([5; 32]), scope(Suite::X25519));
    let Some(envelope) = input.borsh::<Envelope>() else { return };
    if let Ok(content) = envelope.open(&scope, &key) {
        assert_eq!(Envelope::seal(&scope, &key, &content).ok(), Some(envelope), "sealed by another rule");
    }
}

/// Any content comes back, in a size that says little about it.
fn envelope_content(input: &Input<'_>) {
    let (key, scope) = (Secret::new([5; 32]), scope(Suite::X25519));
    let Ok(sealed) = Envelope::seal(&scope, &key, input.bytes) else { return };
    let mut opened = sealed.open(&scope, &key).expect("what was sealed opens");
    opened.truncate(opened.len() - usize::from(input.lenient && !opened.is_empty()));
    assert_eq!(opened, input.bytes);
    assert!(sealed.open(&scope, &Secret::new([6; 32])).is_err());
}

fn package(input: &Input<'_>) {
    let (suite, input) = input.choose();
    let Some(package) = input.borsh::<KeyPackage>() else { return };
    let scope = scope(suite_of(suite));
    let add = Add::request(&scope.context, &signing_key(2), Role::Writer, package.clone(), None);
    if check_package(&scope, &add, 5, false).is_ok() {
        assert_eq!(package.suite, scope.suite as u8);
        assert!(package.not_after == 0 || package.not_after >= 5);
        // What was let in can be sealed to.
        let terms = Terms { info: Vec::new(), aad: Vec::new(), psk: None };
        assert!(scope.seal_to(&package.ratchet_key, &terms, b"seed", &Secret::new([8; 32])).is_ok());
    }
}

/// A transaction whose payload is sealed, or not, against a chain that is here.
fn sealed_call(input: &Input<'_>) {
    let Some(transaction) = input.canonical(|bytes| Transaction::decode(bytes).ok(), Transaction::encode)
    else {
        return;
    };
    let (table, _) = started(Suite::X25519, 2);
    table.apply([Change::put(Key::Chain(EPOCH, member(1)), &first_chain())]);
    let ring = Ring { scope: scope(Suite::X25519), me: member(2), rows: &table };
    if let Ok((opened, _, change)) = ring.open(&transaction) {
        assert!(opened.check(&transaction.header).is_ok());
        table.apply([change]);
        assert_eq!(ring.open(&transaction).err(), Some(Trouble::Used), "a key is good once");
    }
}

pub(crate) fn first_chain() -> Chain {
    Chain::start(&scope(Suite::X25519), &Secret::new([9; 32]), &EPOCH, &member(1))
}

/// What is in rows, and what a row is about.
fn keys(input: &Input<'_>) {
    let (which, input) = input.choose();
    match which % 4 {
        0 => drop(input.borsh::<Pair>()),
        1 => drop(input.borsh::<RatchetKey>()),
        2 => drop(input.borsh::<Key>()),
        _ => rows::own(&input),
    }
}

// ------------------------------------------------------------------------------------------------------------------ seeds

/// An epoch of member 1 for member 2.
fn epochs() -> Vec<Vec<u8>> {
    [Suite::X25519, Suite::XWing]
        .into_iter()
        .filter_map(|suite| {
            let (table, _) = started(suite, 1);
            let (_, key) = started(suite, 2);
            let ring = Ring { scope: scope(suite), me: member(1), rows: &table };
            let recipient = Recipient { member: member(2), added: ADD, key };
            let draft = ring.draft_epoch(&[recipient], &Secret::new([7; 32])).ok()?;
            Some([vec![u8::from(suite == Suite::XWing)], encoded(&draft.epoch)].concat())
        })
        .collect()
}

fn leaves() -> Vec<Vec<u8>> {
    let scope = scope(Suite::X25519);
    let wraps = vec![1; 400 * scope.suite.wrap()];
    Leaf::of(&scope, &member(1), &wraps, 399).iter().map(encoded).collect()
}

pub(crate) fn call(author: u8) -> Transaction {
    let draft = Draft {
        context: scope(Suite::X25519).context,
        sequence: 1,
        previous: TransactionId::default(),
        parents: vec![Parent { author: member(3), sequence: 1, id: ADD }],
        lamport: 2,
        timestamp: 7,
        kind: Kind::Call,
        plaintext: b"a call".to_vec(),
        commitment_key: [3; 32],
    };
    draft.sign(&signing_key(author))
}

fn sealed_calls() -> Vec<Vec<u8>> {
    let (chain, scope) = (first_chain(), scope(Suite::X25519));
    let sealed = chain.seal(&scope, EPOCH, call(1).header, b"a call", &signing_key(1));
    sealed.iter().map(|(sealed, ..)| sealed.encode()).collect()
}

fn envelopes() -> Vec<Vec<u8>> {
    let sealed = Envelope::seal(&scope(Suite::X25519), &Secret::new([5; 32]), &call(1).encode());
    sealed.iter().map(encoded).collect()
}

fn packages() -> Vec<Vec<u8>> {
    [Suite::X25519, Suite::XWing]
        .into_iter()
        .map(|suite| {
            let (_, key) = started(suite, 2);
            let package = KeyPackage { suite: suite as u8, ratchet_key: key.key, not_after: 9 };
            [vec![u8::from(suite == Suite::XWing)], encoded(&package)].concat()
        })
        .collect()
}

fn stored_keys() -> Vec<Vec<u8>> {
    let (table, key) = started(Suite::X25519, 2);
    let own = table.0.borrow().get(&Key::Ratchet).map(|row| row.to_vec()).unwrap_or_default();
    vec![
        [vec![0], encoded(&Pair::default())].concat(),
        [vec![1], encoded(&key)].concat(),
        [vec![2], encoded(&Key::Chain(EPOCH, member(1)))].concat(),
        [vec![3], own].concat(),
    ]
}

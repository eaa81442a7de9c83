//! The decoders of transactions, of what they say, and of the rows that a replica keeps.

use std::collections::BTreeMap;

use super::history::Core;
use super::payload::{
    Add, CallPayload, Fork, Genesis, Invite, KeyPackage, Named, Policy, Remove, RevokeInvite, SetName,
    SetRole, SignedRun, Skip, Tip,
};
use super::sealed::Sealed;
use super::tables::{Effects, Position, Read, Version, decode_value, encode_value};
use super::transaction::Draft;
use super::{
    ContextId, Cover, Header, Kind, MemberId, MessageKey, Parent, Payload, Place, Receipt, Rejection, Role,
    StateKey, Transaction, TransactionId, commitment::SetHash,
};
use crate::application::{Application, ApplicationError, Call, State, kv};
use crate::fuzzing::{Decoder, Input, encoded, signing_key};
use crate::limits;

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder { name: "transaction", check: transaction, seeds: transactions },
    Decoder { name: "header", check: header, seeds: || transactions_of(|t| encoded(&t.header)) },
    Decoder { name: "payload", check: payload, seeds: payloads },
    Decoder { name: "run", check: run, seeds: || vec![encoded(&signed_run(4)), encoded(&signed_run(1))] },
    Decoder { name: "row", check: row, seeds: rows },
    Decoder { name: "kv", check: kv_call, seeds: kv_calls },
];

fn transaction(input: &Input<'_>) {
    let Some(transaction) = input.canonical(|bytes| Transaction::decode(bytes).ok(), Transaction::encode)
    else {
        return;
    };
    if let Ok(id) = transaction.check() {
        assert_eq!(id, transaction.header.id());
        assert!(transaction.payload.len() <= limits::PAYLOAD);
        assert!(transaction.header.parents.len() <= limits::PARENTS);
        let kind = transaction.header.kind;
        if let Some(payload) = Payload::decode(kind, transaction.plaintext()) {
            assert_eq!(payload.kind() as u8, kind);
        }
    }
    let _ = transaction.check_signed();
}

fn header(input: &Input<'_>) {
    let Some(header) = input.borsh::<Header>() else { return };
    if header.check().is_ok() {
        assert!(header.check_shape().is_ok());
        assert_eq!(header.is_genesis(), header.belongs_to().0 == header.id().0);
    }
}

fn payload(input: &Input<'_>) {
    let (kind, input) = input.choose();
    let Some(payload) = input.canonical(|bytes| Payload::decode(kind, bytes), Payload::encode) else {
        return;
    };
    assert_eq!(payload.kind() as u8, kind);
    match payload {
        Payload::Add(add) => {
            let _ = add.consents(&ContextId([1; 32]));
        }
        Payload::Fork(fork) => {
            let _ = fork.proves(&ContextId([1; 32]));
        }
        _ => {}
    }
}

fn run(input: &Input<'_>) {
    let Some(run) = input.borsh::<SignedRun>() else { return };
    let (length, member) = (run.headers.len(), run.headers.first().map(|header| header.author));
    let fork =
        Fork { member: member.unwrap_or_default(), one: run.clone(), other: run.clone(), last: Vec::new() };
    assert!(!fork.proves(&ContextId::default()), "one history is no two");
    for next in 0..length.min(3) {
        let cover = Cover::new(std::sync::Arc::new(run.clone()), next).expect("within the run");
        assert_eq!(cover.headers().len(), length - next);
        assert_eq!(cover, cover.alone());
    }
}

fn row(input: &Input<'_>) {
    let (which, input) = input.choose();
    match which % 11 {
        0 => drop(input.canonical(
            |bytes| Version::decode(bytes).ok(),
            |version: &Version| Version::encode(&version.place, version.value.as_deref()),
        )),
        1 => drop(input.canonical(|bytes| decode_value(bytes).ok(), |value| encode_value(value.as_deref()))),
        2 => drop(input.borsh::<Position>()),
        3 => drop(input.borsh::<Effects>()),
        4 => drop(input.borsh::<Core>()),
        5 => drop(input.borsh::<SetHash>()),
        6 => drop(input.canonical(Place::from_key, |place| place.key().to_vec())),
        7 => drop(input.borsh::<Receipt>()),
        8 => drop(input.borsh::<Sealed>()),
        9 => {
            let row = input.canonical(|bytes| Transaction::from_row(bytes).ok(), Transaction::to_row);
            if let Some(transaction) = row {
                let _ = (transaction.check(), transaction.header.check_content(&transaction.payload));
            }
        }
        _ => {
            let Some(read) = input.borsh::<Read>() else { return };
            let row = read.row(&Place::tail(1, TransactionId([1; 32])));
            assert!(row.len() <= 256, "a row of {} bytes", row.len());
        }
    }
}

/// A state in memory that takes what the engine's takes.
#[derive(Default, PartialEq, Debug)]
struct Entries(BTreeMap<StateKey, Vec<u8>>);

impl State for Entries {
    fn get(&mut self, key: &StateKey) -> Result<Option<Vec<u8>>, ApplicationError> {
        Ok(self.0.get(key).cloned())
    }

    fn put(&mut self, key: &StateKey, value: &[u8]) -> Result<(), ApplicationError> {
        assert!(value.len() <= limits::VALUE, "the application checks the length itself");
        self.0.insert(*key, value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &StateKey) -> Result<(), ApplicationError> {
        self.0.remove(key);
        Ok(())
    }

    fn entries(
        &mut self,
        _prefix: &[u8],
        _after: Option<&StateKey>,
        _limit: usize,
    ) -> Result<Vec<(StateKey, Vec<u8>)>, ApplicationError> {
        Ok(Vec::new())
    }

    fn emit(&mut self, _name: &str, _data: &[u8]) -> Result<(), ApplicationError> {
        Ok(())
    }
}

const METHODS: [&str; 6] = ["put", "delete", "add", "compare_and_set", "append", "batch"];

/// Every member comes to the same answer and the same state; a call that is refused says why, and only that.
fn kv_call(input: &Input<'_>) {
    let (method, input) = input.choose();
    let method = METHODS[usize::from(method) % METHODS.len()];
    let execute = |arguments: &[u8]| {
        let mut state =
            Entries(BTreeMap::from([(StateKey([0; 32]), vec![7; 8]), (StateKey([1; 32]), Vec::new())]));
        let call = Call {
            method,
            arguments,
            member: MemberId([1; 32]),
            role: Role::Writer,
            transaction: TransactionId([2; 32]),
            timestamp: 3,
        };
        let answer = kv::KeyValue.execute(&call, &mut state);
        (answer, state)
    };
    let (first, second) = (execute(input.bytes), execute(input.bytes));
    assert_eq!(first, second, "two members come to two ends");
    match &first.0 {
        Ok(output) => {
            assert!(output.len() <= limits::ARGUMENTS);
            if !input.bytes.is_empty() {
                let cut = if input.lenient { input.bytes } else { &input.bytes[..input.bytes.len() - 1] };
                assert!(execute(cut).0.is_err(), "arguments that were cut are taken");
            }
        }
        Err(error) => assert!(matches!(error, ApplicationError::Rejected(_)), "{error}"),
    }
}

// ------------------------------------------------------------------------------------------------------------------ seeds

fn draft(sequence: u64, previous: TransactionId, kind: Kind, plaintext: Vec<u8>) -> Draft {
    let genesis = kind == Kind::Genesis;
    Draft {
        context: if genesis { ContextId::default() } else { ContextId([1; 32]) },
        sequence,
        previous,
        parents: if genesis {
            Vec::new()
        } else {
            vec![Parent { author: MemberId([2; 32]), sequence: 9, id: TransactionId([3; 32]) }]
        },
        lamport: if genesis { 1 } else { sequence + 9 },
        timestamp: 1_767_225_600_000,
        kind,
        plaintext,
        commitment_key: [4; 32],
    }
}

fn said() -> Vec<Payload> {
    let member = MemberId(signing_key(2).verifying_key().to_bytes());
    let tips = vec![Tip { sequence: 3, id: TransactionId([5; 32]) }];
    let (_, call) = kv::put(&StateKey([1; 32]), *b"value");
    let request = Add::request(
        &ContextId([1; 32]),
        &signing_key(2),
        Role::Writer,
        KeyPackage::default(),
        Some((TransactionId([6; 32]), &signing_key(3))),
    );
    vec![
        Payload::Genesis(Genesis {
            format: 1,
            random: [7; 32],
            application: "kv".into(),
            arguments: vec![1],
            name: "notes".into(),
            access_key: [8; 32],
            suite: 0,
            policy: Policy { finality: 0, voters: vec![member] },
            key_package: KeyPackage::default(),
        }),
        Payload::Call(CallPayload { method: "put".into(), arguments: call }),
        Payload::Invite(Invite {
            key: member,
            role: Role::Reader,
            not_after: 9,
            max_uses: 1,
            note: "Ben".into(),
        }),
        Payload::RevokeInvite(RevokeInvite { invite: TransactionId([6; 32]) }),
        Payload::Add(request),
        Payload::Remove(Remove { member, last: tips.clone() }),
        Payload::Leave,
        Payload::SetRole(SetRole { member, role: Role::Admin, last: Some(tips.clone()) }),
        Payload::Fork(Fork { member, one: signed_run(1), other: signed_run(2), last: tips }),
        Payload::Skip(Skip { transaction: TransactionId([6; 32]) }),
        Payload::Epoch(vec![9; 40]),
        Payload::RefreshKey(vec![9; 36]),
        Payload::Note,
        Payload::SetName(SetName { whose: Named::Author, name: "Anna".into() }),
    ]
}

fn payloads() -> Vec<Vec<u8>> {
    said().iter().map(|payload| [vec![payload.kind() as u8], payload.encode()].concat()).collect()
}

fn transactions_of(encode: impl Fn(&Transaction) -> Vec<u8>) -> Vec<Vec<u8>> {
    let genesis = draft(1, TransactionId::default(), Kind::Genesis, said()[0].encode()).sign(&signing_key(2));
    let mut covered = draft(2, TransactionId([6; 32]), Kind::Call, said()[1].encode()).sign(&signing_key(2));
    covered.signature = None;
    [genesis, covered].iter().map(encode).collect()
}

fn transactions() -> Vec<Vec<u8>> {
    transactions_of(Transaction::encode)
}

/// A chain whose last header is signed.
fn signed_run(length: u64) -> SignedRun {
    let (mut headers, mut previous, mut signature) = (Vec::new(), TransactionId([6; 32]), [0; 64]);
    for sequence in 2..2 + length {
        let next = draft(sequence, previous, Kind::Note, Vec::new()).sign(&signing_key(2));
        previous = next.header.id();
        signature = next.signature.unwrap_or([0; 64]);
        headers.push(next.header);
    }
    SignedRun { headers, signature }
}

fn rows() -> Vec<Vec<u8>> {
    let place = Place::tail(3, TransactionId([5; 32]));
    let position = Position {
        author: MemberId([1; 32]),
        sequence: 2,
        previous: TransactionId([2; 32]),
        lamport: 3,
        kind: 2,
        frontier: vec![1, 2],
    };
    let receipt = Receipt { outcome: Err(Rejection::Application("no".into())), emitted: Vec::new() };
    let effects = Effects {
        standing: Some(Role::Writer),
        receipt: Receipt { outcome: Ok(vec![1]), emitted: vec![("moved".into(), vec![2])] },
        reads: vec![Read::Key(StateKey([1; 32])), Read::Range(StateKey([1; 32]), StateKey([2; 32]))],
        writes: vec![StateKey([1; 32])],
    };
    let mut opened = draft(2, TransactionId([6; 32]), Kind::Call, said()[1].encode()).sign(&signing_key(2));
    opened.key = Some(MessageKey([7; 32]));
    let of = |which: u8, bytes: Vec<u8>| [vec![which], bytes].concat();
    vec![
        of(0, Version::encode(&place, Some(b"value"))),
        of(1, encode_value(None)),
        of(2, encoded(&position)),
        of(3, encoded(&effects)),
        of(4, encoded(&Core { application: "kv".into(), ranges: vec![0; 33], ..Core::default() })),
        of(6, place.key().to_vec()),
        of(7, encoded(&receipt)),
        of(8, encoded(&Sealed { unopened: 1, violations: 2 })),
        of(9, opened.to_row()),
        of(10, encoded(&effects.reads[1])),
    ]
}

fn kv_calls() -> Vec<Vec<u8>> {
    let key = StateKey([0; 32]);
    let calls = [
        kv::put(&key, *b"value"),
        kv::delete(&key),
        kv::add(&key, -1),
        kv::compare_and_set(&key, Some(vec![7; 8]), None),
        kv::append(&key, *b"more"),
    ];
    let mut all: Vec<Vec<u8>> =
        (0u8..).zip(calls).map(|(method, (_, arguments))| [vec![method], arguments].concat()).collect();
    let batch = kv::batch(vec![kv::Operation::Add(kv::Add { key, delta: 1 })]);
    all.push([vec![5], batch.1].concat());
    all
}

//! The decoders of what comes through a link and a channel; and, for the target that plays frames into a live session, ways to say
//! every message with anything in it.

use super::batch::{Batch, Purpose, Run};
use super::link::{Frame, Link, LinkOutput};
use super::message::{Hello, Message};
use super::proof::{Binding, Covered};
use super::session::Stop;
use super::{History, Position, Refusal, SYNC_VERSION, Standing, Tips};
use crate::encryption::{Leaf, Wrapped};
use crate::fuzzing::{Decoder, Input, encoded, signing_key};
use crate::replica::payload::{Add, KeyPackage, Tip};
use crate::replica::{
    ContextId, Draft, Header, Kind, Malformed, MemberId, Role, Transaction, TransactionId, transaction,
};
use crate::{Result, limits};

pub(crate) const DECODERS: &[Decoder] = &[
    Decoder { name: "message", check: message, seeds: messages },
    Decoder { name: "batch", check: batch, seeds: batches },
    Decoder { name: "gossiped", check: gossiped, seeds: batches },
    Decoder { name: "runs", check: runs, seeds: || vec![encoded(&real_runs(3)), encoded(&real_runs(1))] },
    Decoder {
        name: "covered",
        check: covered,
        seeds: || vec![encoded(&real_covered(0)), encoded(&real_covered(2))],
    },
    Decoder { name: "frame", check: |input| drop(input.borsh::<Frame>()), seeds: frames },
    Decoder { name: "link", check: link, seeds: link_inputs },
];

const CONTEXT: ContextId = ContextId([1; 32]);

/// A history of nothing, which takes every signature for right: so the fuzzer comes past the signatures.
struct Nothing;

impl History for Nothing {
    fn digest(&self) -> Result<[u8; 32]> {
        Ok([0; 32])
    }

    fn tips(&self, _after: Option<&MemberId>, _limit: usize) -> Result<Vec<Tips>> {
        Ok(Vec::new())
    }

    fn position(&self, _id: &TransactionId) -> Result<Option<Position>> {
        Ok(None)
    }

    fn transaction(&self, _id: &TransactionId) -> Result<Option<Transaction>> {
        Ok(None)
    }

    fn chain(&self, _: &MemberId, _: Tip, _: usize, _: usize) -> Result<Vec<(TransactionId, Transaction)>> {
        Ok(Vec::new())
    }

    fn standing(&self, _: &MemberId, _: &[Transaction]) -> Result<Standing> {
        Ok(Standing::Unknown)
    }

    fn verify(&self, _: &Header, _: &TransactionId, _: &[u8; 64]) -> std::result::Result<(), Malformed> {
        Ok(())
    }
}

fn message(input: &Input<'_>) {
    if let Some(Message::Batch(batch)) = input.canonical(|bytes| Message::decode(bytes).ok(), Message::encode)
    {
        opened(batch);
    }
}

fn batch(input: &Input<'_>) {
    if let Some(batch) = input.borsh::<Batch>() {
        opened(batch);
    }
}

/// Decodes a batch; checks what has to hold of all that comes out of it.
fn opened(batch: Batch) -> Option<Vec<(TransactionId, Transaction)>> {
    let length = batch.length as usize;
    match batch.decode(&CONTEXT, &Nothing) {
        Ok(transactions) => {
            assert!(length <= limits::SYNC_BATCH_MOST);
            let mut last = None;
            for (id, transaction) in &transactions {
                let header = &transaction.header;
                assert_eq!(transaction.check().as_ref(), Ok(id));
                assert_eq!(header.belongs_to(), CONTEXT);
                assert!(
                    transaction.distance().is_some_and(|distance| distance < limits::RUN),
                    "nothing covers it"
                );
                assert!(last < Some((header.lamport, *id)), "not in order, or twice");
                last = Some((header.lamport, *id));
            }
            Some(transactions)
        }
        Err(Stop::Ended(_)) => None,
        Err(Stop::Local(error)) => panic!("what a peer sends is no fault of the store: {error}"),
    }
}

/// What is in an opened envelope: wrong, or transactions that a session would have taken, too.
fn gossiped(input: &Input<'_>) {
    let heard = super::gossip::hear(&CONTEXT, input.bytes, &Nothing);
    let taken = heard.expect("what a peer sends is no fault of the store");
    let pushed = input.borsh::<Batch>().and_then(opened);
    assert_eq!(taken, pushed.map(|new| new.into_iter().map(|(_, transaction)| transaction).collect()));
}

/// Any runs, packed as a sender packs them: packing loses nothing.
fn runs(input: &Input<'_>) {
    let Some(runs) = input.borsh::<Vec<Run>>() else { return };
    let batch = Batch::encode(Purpose::CatchUp, &runs);
    assert_eq!(batch.length as usize, input.bytes.len());
    if let Some(transactions) = opened(batch) {
        let sent: usize = runs.iter().map(|run| run.transactions.len()).sum();
        assert!(!runs.is_empty() && transactions.len() <= sent);
    }
}

fn covered(input: &Input<'_>) {
    let Some(covered) = input.borsh::<Covered>() else { return };
    let length = covered.length();
    assert!(length >= covered.payload.len());
    if let Some(transaction) = covered.check(&CONTEXT) {
        assert_eq!(transaction.header.belongs_to(), CONTEXT);
        assert!(transaction.distance().is_some_and(|distance| distance < limits::RUN));
    }
}

/// Frames one after the other into a link that hosts two contexts. Without the access key nothing opens and nothing shows.
fn link(input: &Input<'_>) {
    let (own, remote) = ([5; 38], [6; 38]);
    let Ok((mut link, hello)) = Link::new(&own, &remote, [1; 32]) else { panic!("the ids differ") };
    assert_eq!(hello, Frame::Hello { nonce: [1; 32] }.encode());
    link.add(CONTEXT, [2; 32], true);
    link.add(ContextId([2; 32]), [3; 32], false);
    let mut bytes = input.bytes;
    while let Some((length, rest)) = bytes.split_first() {
        let (frame, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = rest;
        let Ok(outputs) = link.receive(frame, [9; 32]) else { return };
        for output in outputs {
            let opened = matches!(output, LinkOutput::Opened { .. } | LinkOutput::Message { .. });
            assert!(!opened, "opened without the key");
            if let LinkOutput::Send(frame) = output {
                let sent: std::result::Result<Frame, _> = borsh::from_slice(&frame);
                assert!(sent.is_ok() && frame.len() < 64);
                // The control: to answer is taken for a mistake.
                assert!(!input.lenient || !matches!(sent, Ok(Frame::Answer { .. })), "answered");
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------- what a peer can say

/// Part of one author's chain, with what covers it.
#[derive(Clone, Debug)]
pub struct SomeRun {
    /// Header and payload.
    pub transactions: Vec<(Header, Vec<u8>)>,
    /// The headers that follow.
    pub cover: Vec<Header>,
    /// On the last of all.
    pub signature: [u8; 64],
}

/// A message, as a peer that knows the protocol can say it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Saying {
    Prove { key: [u8; 32], supporting: Vec<SomeRun> },
    Join { key: [u8; 32], role: Role, package: KeyPackage, invitation: Option<(TransactionId, [u8; 32])> },
    Admitted(Vec<SomeRun>),
    Refused(u8),
    Evidence(Vec<SomeRun>, bool),
    Hello { version: u16, round: u64, digest: [u8; 32] },
    Vector(Vec<(MemberId, Vec<(u64, TransactionId)>)>, bool),
    Plan(u64),
    Batch { purpose: u8, runs: Vec<SomeRun> },
    End,
    Done(bool),
    Acknowledge(u32),
    Want(Vec<TransactionId>),
    Given(Vec<TransactionId>),
    Lacking(Vec<TransactionId>),
    Shares(Vec<(TransactionId, Vec<u8>)>, Vec<TransactionId>),
    Complain,
    AskWraps(TransactionId),
    Wraps(TransactionId, Option<Wrapped>),
    HaveWraps(TransactionId),
}

/// The version that this build speaks.
pub const VERSION: u16 = SYNC_VERSION;

/// The bytes of a message from the other end of `binding`, which is this side's.
#[must_use]
pub fn say(saying: &Saying, binding: &Binding) -> Vec<u8> {
    let far = Binding { opener: !binding.opener, ..binding.clone() };
    let signer = |key: &[u8; 32]| ed25519_dalek::SigningKey::from_bytes(key);
    let message = match saying {
        Saying::Prove { key, supporting } => Message::Prove {
            member: MemberId(signer(key).verifying_key().to_bytes()),
            signature: far.prove(&signer(key), false),
            supporting: supporting.iter().filter_map(SomeRun::covered).collect(),
        },
        Saying::Join { key, role, package, invitation } => {
            let invitation = invitation.map(|(id, secret)| (id, signer(&secret)));
            let redeemed = invitation.as_ref().map(|(id, key)| (*id, key));
            Message::Join {
                request: Add::request(&binding.context, &signer(key), *role, package.clone(), redeemed),
                signature: far.prove(&signer(key), true),
            }
        }
        Saying::Admitted(runs) => {
            Message::Admitted { transactions: runs.iter().filter_map(SomeRun::covered).collect() }
        }
        Saying::Refused(reason) => Message::Refused { reason: refusal(*reason) },
        Saying::Evidence(runs, last) => Message::Evidence {
            transactions: runs.iter().filter_map(SomeRun::covered).collect(),
            last: *last,
        },
        Saying::Hello { version, round, digest } => {
            Message::Hello(Hello { version: *version, round: *round, height: 0, digest: *digest })
        }
        Saying::Vector(authors, last) => Message::Vector {
            authors: authors
                .iter()
                .map(|(author, tips)| Tips {
                    author: *author,
                    tips: tips.iter().map(|(sequence, id)| Tip { sequence: *sequence, id: *id }).collect(),
                })
                .collect(),
            last: *last,
        },
        Saying::Plan(transactions) => Message::Plan { transactions: *transactions },
        Saying::Batch { purpose, runs } => {
            let runs: Vec<Run> = runs.iter().map(SomeRun::run).collect();
            let purpose = [Purpose::CatchUp, Purpose::Push, Purpose::Wanted][usize::from(*purpose) % 3];
            Message::Batch(Batch::encode(purpose, &runs))
        }
        Saying::End => Message::End,
        Saying::Done(complete) => Message::Done { complete: *complete },
        Saying::Acknowledge(count) => Message::Acknowledge { count: *count },
        Saying::Want(ids) => Message::Want { ids: ids.clone() },
        Saying::Given(lacking) => Message::Given { lacking: lacking.clone() },
        Saying::Lacking(ids) => Message::Lacking { ids: ids.clone() },
        Saying::Shares(opened, unable) => Message::Shares { opened: opened.clone(), unable: unable.clone() },
        Saying::Complain => Message::Complain,
        Saying::AskWraps(epoch) => Message::AskWraps { epoch: *epoch },
        Saying::Wraps(epoch, given) => Message::Wraps { epoch: *epoch, given: given.clone() },
        Saying::HaveWraps(epoch) => Message::HaveWraps { epoch: *epoch },
    };
    message.encode()
}

/// What this side said that a peer has to know to go on.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Of its last `Hello`: round and digest.
    pub hello: Option<(u64, [u8; 32])>,
    /// What it asked for.
    pub wanted: Vec<TransactionId>,
    /// Ids of the transactions in its batches.
    pub batches: usize,
}

impl Heard {
    /// Takes in a message that this side sent. It decodes, whatever the peer did before.
    pub fn hear(&mut self, message: &[u8]) {
        assert!(message.len() + 16 <= limits::FRAME, "a message of {} bytes", message.len());
        let decoded = Message::decode(message).expect("an honest node's message decodes");
        assert_eq!(decoded.encode(), message);
        match decoded {
            Message::Hello(hello) => self.hello = Some((hello.round, hello.digest)),
            Message::Want { ids } => self.wanted = ids,
            Message::Batch(_) => self.batches += 1,
            _ => {}
        }
    }
}

/// A call as if it were sealed under an epoch to such bytes; it is to be signed anew. What it said before opens its commitment, if `sealed` is 16
/// bytes longer than that was.
#[must_use]
pub fn as_sealed(mut call: Transaction, epoch: &TransactionId, counter: u32, sealed: Vec<u8>) -> Transaction {
    call.header.epoch = epoch.0;
    call.header.counter = counter;
    call.header.payload_len = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
    call.header.payload_hash = transaction::payload_hash(&sealed);
    Transaction { payload: sealed, signature: None, ..call }
}

const fn refusal(number: u8) -> Refusal {
    match number % 8 {
        0 => Refusal::NotMember,
        1 => Refusal::Removed,
        2 => Refusal::InvitationInvalid,
        3 => Refusal::InvitationExpired,
        4 => Refusal::InvitationUsed,
        5 => Refusal::InvitationRevoked,
        6 => Refusal::Full,
        _ => Refusal::NotNow,
    }
}

impl SomeRun {
    fn run(&self) -> Run {
        Run { transactions: self.transactions.clone(), cover: self.cover.clone(), signature: self.signature }
    }

    /// Its first transaction, covered by the rest.
    fn covered(&self) -> Option<Covered> {
        let (header, payload) = self.transactions.first()?.clone();
        let rest = self.transactions.iter().skip(1).map(|(header, _)| header);
        let cover = rest.chain(&self.cover).cloned().collect();
        Some(Covered { header, payload, cover, signature: self.signature })
    }
}

// ------------------------------------------------------------------------------------------------------------------ seeds

fn chain(length: u64) -> Vec<Transaction> {
    let mut chain: Vec<Transaction> = Vec::new();
    for sequence in 2..2 + length {
        let previous = chain.last().map_or(TransactionId([6; 32]), |last| last.header.id());
        let draft = Draft {
            context: CONTEXT,
            sequence,
            previous,
            parents: Vec::new(),
            lamport: sequence,
            timestamp: 7,
            kind: Kind::Call,
            plaintext: vec![0; 300],
            commitment_key: [3; 32],
        };
        chain.push(draft.sign(&signing_key(2)));
    }
    chain
}

fn real_runs(length: u64) -> Vec<Run> {
    let mut chain = chain(length + 1);
    let last = chain.pop().map(|last| (last.header, last.signature.unwrap_or([0; 64])));
    let (cover, signature) =
        last.map(|(header, signature)| (vec![header], signature)).unwrap_or((vec![], [0; 64]));
    let transactions =
        chain.into_iter().map(|transaction| (transaction.header, transaction.payload)).collect();
    vec![Run { transactions, cover, signature }]
}

fn real_covered(cover: u64) -> Covered {
    let mut chain = chain(1 + cover);
    let first = chain.remove(0);
    let signature = chain.last().unwrap_or(&first).signature.unwrap_or([0; 64]);
    Covered {
        header: first.header,
        payload: first.payload,
        cover: chain.into_iter().map(|transaction| transaction.header).collect(),
        signature,
    }
}

fn batches() -> Vec<Vec<u8>> {
    [1, 4].map(|length| encoded(&Batch::encode(Purpose::Push, &real_runs(length)))).into()
}

fn messages() -> Vec<Vec<u8>> {
    let id = TransactionId([6; 32]);
    let tips = Tips { author: MemberId([1; 32]), tips: vec![Tip { sequence: 1, id }] };
    let request = Add::request(
        &CONTEXT,
        &signing_key(2),
        Role::Writer,
        KeyPackage::default(),
        Some((id, &signing_key(3))),
    );
    [
        Message::Prove { member: MemberId([1; 32]), signature: [2; 64], supporting: vec![real_covered(1)] },
        Message::Join { request, signature: [2; 64] },
        Message::Admitted { transactions: vec![real_covered(0)] },
        Message::Refused { reason: Refusal::Full },
        Message::Evidence { transactions: vec![real_covered(0)], last: true },
        Message::Hello(Hello { version: SYNC_VERSION, round: 1, height: 0, digest: [3; 32] }),
        Message::Vector { authors: vec![tips], last: true },
        Message::Plan { transactions: 3 },
        Message::Batch(Batch::encode(Purpose::CatchUp, &real_runs(2))),
        Message::End,
        Message::Done { complete: true },
        Message::Acknowledge { count: 1 },
        Message::Want { ids: vec![id] },
        Message::Given { lacking: vec![id] },
        Message::Lacking { ids: vec![id] },
        Message::Shares { opened: vec![(id, vec![3; 40])], unable: vec![id] },
        Message::Complain,
        Message::AskWraps { epoch: id },
        Message::Wraps { epoch: id, given: None },
        Message::Wraps { epoch: id, given: Some(Wrapped::All(vec![3; 176])) },
        Message::Wraps {
            epoch: id,
            given: Some(Wrapped::Own(Leaf { wrap: vec![3; 88], path: vec![[4; 32]; 2] })),
        },
        Message::HaveWraps { epoch: id },
    ]
    .iter()
    .map(Message::encode)
    .collect()
}

fn real_frames() -> Vec<Vec<u8>> {
    [
        Frame::Hello { nonce: [4; 32] },
        Frame::Answer { channel: 0, mac: [7; 32] },
        Frame::Open { channel: 1, mac: [7; 32] },
        Frame::Message { channel: 0, message: vec![9, 9] },
        Frame::Close { channel: 0 },
    ]
    .iter()
    .map(Frame::encode)
    .collect()
}

fn frames() -> Vec<Vec<u8>> {
    real_frames()
}

fn link_inputs() -> Vec<Vec<u8>> {
    vec![real_frames().into_iter().flat_map(|frame| [vec![frame.len() as u8], frame].concat()).collect()]
}

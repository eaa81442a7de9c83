// A short history that has every kind of transaction in it, and single values, as lines of `name = value`.

use ed25519_dalek::SigningKey;
use kith_core::application::kv::{self, KeyValue};
use kith_core::replica::commitment::{Entries, SetHash};
use kith_core::replica::payload::{
    Add, CallPayload, Fork, Genesis, Invite, KeyPackage, Named, Policy, Remove, RevokeInvite, SetName,
    SetRole, SignedRun, Skip,
};
use kith_core::replica::{
    ContextId, Draft, Kind, MemberId, MemoryTables, Parent, Payload, Place, Replica, Role, StateKey, Tip,
    Transaction, TransactionId,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn member(key: &SigningKey) -> MemberId {
    MemberId(key.verifying_key().to_bytes())
}

struct Story {
    lines: Vec<(String, String)>,
    context: ContextId,
    transactions: Vec<Transaction>,
}

impl Story {
    fn line(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.lines.push((name.into(), value.into()));
    }

    /// Signs the next transaction of a chain and writes it down.
    fn says(
        &mut self,
        name: &str,
        key: &SigningKey,
        previous: Option<&Transaction>,
        parents: &[&Transaction],
        (kind, plaintext): (Kind, Vec<u8>),
    ) -> Transaction {
        let number = u8::try_from(self.transactions.len()).expect("a short story");
        let named = |t: &&Transaction| Parent {
            author: t.header.author,
            sequence: t.header.sequence,
            id: t.header.id(),
        };
        let greatest = parents.iter().copied().chain(previous).map(|t| t.header.lamport).max();
        let transaction = Draft {
            context: self.context,
            sequence: previous.map_or(1, |t| t.header.sequence + 1),
            previous: previous.map_or_else(TransactionId::default, |t| t.header.id()),
            parents: parents.iter().map(named).collect(),
            lamport: greatest.map_or(1, |lamport| lamport + 1),
            timestamp: 1_700_000_000_000 + u64::from(number),
            kind,
            plaintext,
            commitment_key: [number; 32],
        }
        .sign(key);
        let header = borsh::to_vec(&transaction.header).expect("writing into a vector");
        self.line(format!("{name}.header"), hex(&header));
        self.line(format!("{name}.payload"), hex(&transaction.payload));
        self.line(format!("{name}.id"), transaction.header.id().to_string());
        self.line(format!("{name}.signature"), hex(&transaction.signature.expect("just signed")));
        self.line(format!("{name}.transaction"), hex(&transaction.encode()));
        self.transactions.push(transaction.clone());
        transaction
    }
}

fn payload(payload: Payload) -> (Kind, Vec<u8>) {
    (payload.kind(), payload.encode())
}

fn call((method, arguments): (&str, Vec<u8>)) -> (Kind, Vec<u8>) {
    payload(Payload::Call(CallPayload { method: method.into(), arguments }))
}

fn tip(transaction: &Transaction) -> Tip {
    Tip { sequence: transaction.header.sequence, id: transaction.header.id() }
}

fn run(transaction: &Transaction) -> SignedRun {
    SignedRun {
        headers: vec![transaction.header.clone()],
        signature: transaction.signature.expect("all are signed"),
    }
}

fn values(story: &mut Story) {
    story.line("state_key.of(notes, first)", StateKey::of("notes", "first").to_string());
    story.line("state_key.collection(notes)", hex(&StateKey::collection("notes")));
    story.line("place.key(1, 258, 0707…)", hex(&Place::tail(258, TransactionId([7; 32])).key()));
    let mut set = SetHash::default();
    story.line("set_hash.of nothing", hex(&set.collapse()));
    set.add(Entries::Application, &[1; 32], b"value");
    story.line("set_hash.of (0, 0101…, value)", hex(&set.collapse()));
    set.add(Entries::Governance, b"m", b"");
    story.line("set_hash.of that and (1, m, nothing)", hex(&set.collapse()));
}

/// All lines.
pub fn vectors() -> Vec<(String, String)> {
    let [a, b, c, invitation] = [1, 2, 3, 4].map(|seed| SigningKey::from_bytes(&[seed; 32]));
    let mut story = Story { lines: Vec::new(), context: ContextId::default(), transactions: Vec::new() };
    values(&mut story);
    let genesis = Genesis {
        format: 1,
        random: [0x11; 32],
        application: "kv".into(),
        arguments: Vec::new(),
        name: "vectors".into(),
        access_key: [0x22; 32],
        suite: 0,
        policy: Policy::default(),
        key_package: KeyPackage::default(),
    };
    let a1 = story.says("genesis", &a, None, &[], payload(Payload::Genesis(genesis)));
    story.context = ContextId(a1.header.id().0);
    let context = story.context;
    let a2 = story.says("call", &a, Some(&a1), &[], call(kv::put(&StateKey::of("notes", "first"), "hello")));
    let invite = Invite {
        key: member(&invitation),
        role: Role::Writer,
        not_after: 99,
        max_uses: 2,
        note: "hi".into(),
    };
    let a3 = story.says("invite", &a, Some(&a2), &[], payload(Payload::Invite(invite)));
    let redeemed = Some((a3.header.id(), &invitation));
    let request = Add::request(&context, &b, Role::Writer, KeyPackage::default(), redeemed);
    let a4 = story.says("add by invitation", &a, Some(&a3), &[], payload(Payload::Add(request)));
    let b1 = story.says("note", &b, None, &[&a4], payload(Payload::Note));
    let count = call(kv::add(&StateKey::of("counters", "one"), 5));
    let b2 = story.says("call with a parent", &b, Some(&b1), &[&a4], count.clone());
    let request = Add::request(&context, &c, Role::Reader, KeyPackage::default(), None);
    let a5 = story.says("add by own word", &a, Some(&a4), &[&b2], payload(Payload::Add(request)));
    let c1 = story.says("first note of c", &c, None, &[&a5], payload(Payload::Note));
    let set = SetRole { member: member(&c), role: Role::Reader, last: Some(vec![tip(&c1)]) };
    let a6 = story.says("set role", &a, Some(&a5), &[&c1], payload(Payload::SetRole(set)));
    let revoke = RevokeInvite { invite: a3.header.id() };
    let a7 = story.says("revoke invite", &a, Some(&a6), &[], payload(Payload::RevokeInvite(revoke)));
    let skip = Skip { transaction: b2.header.id() };
    let a8 = story.says("skip", &a, Some(&a7), &[], payload(Payload::Skip(skip)));
    let twin = story.says("call of a second history", &b, Some(&b1), &[], count);
    let (one, other) = (run(&b2), run(&twin));
    let mut last = vec![tip(&b2), tip(&twin)];
    last.sort();
    let fork = Fork { member: member(&b), one, other, last };
    let a9 = story.says("fork", &a, Some(&a8), &[&twin], payload(Payload::Fork(fork)));
    let remove = Remove { member: member(&c), last: vec![tip(&c1)] };
    let a10 = story.says("remove", &a, Some(&a9), &[], payload(Payload::Remove(remove)));
    let name = SetName { whose: Named::Author, name: "Ada".into() };
    let a10 = story.says("own name", &a, Some(&a10), &[], payload(Payload::SetName(name)));
    let name = SetName { whose: Named::Context, name: "Notes of the project".into() };
    let a10 = story.says("context's name", &a, Some(&a10), &[], payload(Payload::SetName(name)));
    let a11 = story.says("not in force", &a, Some(&a10), &[], (Kind::Epoch, vec![1, 2, 3]));
    story.says("leave", &a, Some(&a11), &[], payload(Payload::Leave));

    let mut tables = MemoryTables::default();
    let mut replica = Replica::open(context, &tables).expect("empty tables");
    let mut verdicts: Vec<String> = Vec::new();
    for transaction in story.transactions.clone() {
        let step = replica.receive(&tables, &[transaction], Some(&KeyValue)).expect("tables in memory");
        tables.apply(step.writes);
        verdicts.extend(step.verdicts.iter().map(|(_, verdict)| format!("{verdict:?}")));
        story.line(format!("history.commitment.{}", verdicts.len()), hex(&replica.commitment()));
    }
    story.line("history.verdicts", verdicts.join(" "));
    for transaction in story.transactions.clone() {
        let id = transaction.header.id();
        let receipt = replica.receipt(&tables, &id).expect("tables in memory");
        let bytes = receipt.map(|receipt| borsh::to_vec(&receipt).expect("writing into a vector"));
        story.line(format!("history.receipt.{id}"), bytes.map_or("none".into(), |bytes| hex(&bytes)));
    }
    let order = replica.order(&tables, None, 100).expect("tables in memory");
    let order: Vec<String> = order.iter().map(|place| place.id.to_string()).collect();
    story.line("history.order", order.join(" "));
    story.lines
}

/// The file's text.
pub fn text() -> String {
    let mut text = String::from(
        "# Known answers of the replica. Written by: cargo run -p kith-core --example write_vectors\n",
    );
    for (name, value) in vectors() {
        text.push_str(&format!("{name} = {value}\n"));
    }
    text
}

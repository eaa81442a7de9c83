//! What replicas write themselves is valid, counts where its author saw it count, and all of them end equal, as a replay from
//! genesis says.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::actions::encoded_call;
use common::deliver::{Dice, Manner, Node};
use common::oracle::Oracle;
use common::probe::Probe;
use common::world::{actor, actor_key, key, member};
use kith_core::ErrorKind;
use kith_core::replica::payload::{Add, CallPayload, Invite, KeyPackage, Remove, RevokeInvite, SetRole};
use kith_core::replica::{
    ContextId, Creation, MemoryTables, Payload, Replica, Role, Signer, Transaction, TransactionId,
};
use proptest::prelude::*;

const WRITERS: usize = 4;

struct Writers {
    context: ContextId,
    nodes: Vec<Node>,
    all: BTreeMap<TransactionId, Transaction>,
    invitations: Vec<TransactionId>,
    drawn: u64,
}

fn role(pick: usize) -> Role {
    [Role::Admin, Role::Writer, Role::Writer, Role::Reader][pick % 4]
}

impl Writers {
    fn new() -> Self {
        let mut tables = MemoryTables::default();
        let mut random = || [5; 32];
        let mut signer = Signer { key: actor_key(0), timestamp: 1, random: &mut random };
        let creation = Creation { application: "probe".into(), ..Creation::default() };
        let (replica, genesis, step) = Replica::create(&mut signer, creation, &tables, &Probe).unwrap();
        tables.apply(step.writes);
        let context = replica.context();
        let mut nodes: Vec<Node> = (0..WRITERS).map(|_| Node::new(context)).collect();
        nodes[0].tables = tables;
        nodes[0].replica = replica;
        let all = BTreeMap::from([(genesis.header.id(), genesis)]);
        Self { context, nodes, all, invitations: Vec::new(), drawn: 0 }
    }

    /// Writes something, if the replica lets it, and shows that the author sees it count.
    fn writes(&mut self, by: usize, payload: Payload) -> Result<Option<TransactionId>, ErrorKind> {
        let node = &mut self.nodes[by];
        let drawn = &mut self.drawn;
        let mut random = || {
            *drawn += 1;
            *blake3::hash(&drawn.to_le_bytes()).as_bytes()
        };
        let mut signer = Signer { key: actor_key(by), timestamp: 1, random: &mut random };
        let before = (node.replica.commitment(), node.replica.digest());
        match node.replica.author(&mut signer, payload, &node.tables, Some(&Probe)) {
            Ok((transactions, step)) => {
                node.tables.apply(step.writes);
                let last = transactions.last().unwrap().header.id();
                let receipt = node.replica.receipt(&node.tables, &last).unwrap().unwrap();
                assert!(receipt.accepted(), "accepted at its author: {receipt:?}");
                self.all.extend(transactions.into_iter().map(|t| (t.header.id(), t)));
                Ok(Some(last))
            }
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
                assert_eq!((node.replica.commitment(), node.replica.digest()), before, "nothing changed");
                Err(error.kind())
            }
        }
    }

    fn acts(&mut self, by: usize, dice: &mut Dice) -> Result<Option<TransactionId>, ErrorKind> {
        let subject = dice.below(WRITERS);
        let last = self.nodes[by].replica.tips_of(&actor(subject));
        let payload = match dice.below(24) {
            0..=9 => {
                let (method, value) = (dice.below(15) as u8, dice.below(4) as u8);
                let (method, arguments) = encoded_call(method, dice.below(5) as u8, value);
                Payload::Call(CallPayload { method: method.into(), arguments })
            }
            10 | 11 => {
                let invitation = member(&key("invitation", self.invitations.len()));
                let invite = Invite {
                    key: invitation,
                    role: role(dice.below(4)),
                    not_after: 0,
                    max_uses: 1 + dice.below(2) as u32,
                    note: String::new(),
                };
                let written = self.writes(by, Payload::Invite(invite))?;
                self.invitations.extend(written);
                return Ok(written);
            }
            12..=14 if !self.invitations.is_empty() => {
                let number = dice.below(self.invitations.len());
                let invite = self.invitations[number];
                let Some(state) = self.nodes[by].replica.invitation(&invite) else { return Ok(None) };
                let secret = key("invitation", number);
                let key_package = KeyPackage::default();
                let redeemed = Some((invite, &secret));
                let role = state.invite.role;
                Payload::Add(Add::request(&self.context, actor_key(subject), role, key_package, redeemed))
            }
            15 if !self.invitations.is_empty() => {
                let invite = self.invitations[dice.below(self.invitations.len())];
                if self.nodes[by].replica.invitation(&invite).is_none() {
                    return Ok(None);
                }
                Payload::RevokeInvite(RevokeInvite { invite })
            }
            16..=18 => {
                let key_package = KeyPackage::default();
                let role = role(dice.below(4));
                Payload::Add(Add::request(&self.context, actor_key(subject), role, key_package, None))
            }
            19 => Payload::Remove(Remove { member: actor(subject), last }),
            20 | 21 => {
                let last = (dice.below(2) == 0).then_some(last);
                Payload::SetRole(SetRole { member: actor(subject), role: role(dice.below(4)), last })
            }
            22 if dice.below(3) == 0 => Payload::Leave,
            _ => Payload::Note,
        };
        self.writes(by, payload)
    }

    /// Hands somebody some of what there is.
    fn hears(&mut self, who: usize, part: usize, dice: &mut Dice) {
        let mut some: Vec<Transaction> = self.all.values().cloned().collect();
        dice.shuffle(&mut some);
        some.truncate(some.len() * part / 4);
        loop {
            let before = some.len();
            some = self.nodes[who].receive(&some, Some(&Probe));
            if some.len() == before {
                return;
            }
        }
    }
}

fn try_writers(seed: u64, written: &mut usize, refused: &mut usize) -> Result<(), String> {
    let dice = &mut Dice::new(seed);
    let mut writers = Writers::new();
    for subject in 1..WRITERS {
        let role = role(dice.below(4));
        let add = Add::request(&writers.context, actor_key(subject), role, KeyPackage::default(), None);
        writers.writes(0, Payload::Add(add)).map_err(|kind| kind.to_string())?;
    }
    for who in 1..WRITERS {
        writers.hears(who, 4, dice);
    }
    for _ in 0..dice.below(50) {
        let who = dice.below(WRITERS);
        match dice.below(3) {
            0 => {
                let part = 1 + dice.below(4);
                writers.hears(who, part, dice);
            }
            _ => match writers.acts(who, dice) {
                Ok(Some(_)) => *written += 1,
                Ok(None) => {}
                Err(_) => *refused += 1,
            },
        }
        if dice.below(8) == 0 {
            writers.nodes[who].reopen();
        }
    }
    let all: Vec<Transaction> = writers.all.values().cloned().collect();
    let oracle = Oracle::replay(&writers.context, &all, &Probe);
    if oracle.order.len() != all.len() {
        return Err("an own transaction is not valid".into());
    }
    for node in &mut writers.nodes {
        node.receive_all(&all, Manner::default(), dice);
        node.check(&oracle)?;
    }
    Ok(())
}

#[test]
fn what_replicas_write_is_valid_and_they_end_equal() {
    let (written, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let cases = std::env::var("KITH_CASES").map_or(1000, |text| text.parse().unwrap());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let result = proptest::test_runner::TestRunner::new(config).run(&any::<u64>(), |seed| {
        let (mut w, mut r) = (written.get(), refused.get());
        let outcome = try_writers(seed, &mut w, &mut r);
        written.set(w);
        refused.set(r);
        outcome.map_err(TestCaseError::fail)
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let (written, refused) = (written.get(), refused.get());
    println!("{written} written, {refused} refused at their authors");
    let cases = cases as usize;
    assert!(written > 3 * cases && refused > cases, "floors of three written and one refused in each case");
}

#[test]
fn more_heads_than_a_transaction_can_name_are_covered_by_notes() {
    let mut writers = Writers::new();
    let request = |context: &ContextId, number: usize| {
        Add::request(context, &key("crowd", number), Role::Writer, KeyPackage::default(), None)
    };
    for number in 0..40 {
        let add = request(&writers.context, number);
        writers.writes(0, Payload::Add(add)).unwrap();
    }
    // Forty members each say something at once.
    let before: Vec<Transaction> = writers.all.values().cloned().collect();
    for number in 0..40 {
        let mut node = Node::new(writers.context);
        node.receive_all(&before, Manner::default(), &mut Dice::new(number as u64));
        let secret = key("crowd", number);
        let mut random = || [number as u8; 32];
        let mut signer = Signer { key: &secret, timestamp: 1, random: &mut random };
        let (transactions, _) =
            node.replica.author(&mut signer, Payload::Note, &node.tables, Some(&Probe)).unwrap();
        writers.all.extend(transactions.into_iter().map(|t| (t.header.id(), t)));
    }
    writers.hears(0, 4, &mut Dice::new(0));
    let held = writers.all.len();
    let last = writers.writes(0, Payload::Note).unwrap().unwrap();
    let all: Vec<Transaction> = writers.all.values().cloned().collect();
    let oracle = Oracle::replay(&writers.context, &all, &Probe);
    assert_eq!(oracle.history[&last].past.len(), all.len() - 1, "the last one has seen everything");
    // Sixteen heads each: two notes and the transaction itself.
    assert_eq!(all.len() - held, 3);
    writers.nodes[0].check(&oracle).unwrap();
}

#[test]
fn a_context_has_so_many_members_and_no_more() {
    let mut writers = Writers::new();
    let request = |context: &ContextId, number: usize| {
        Add::request(context, &key("crowd", number), Role::Reader, KeyPackage::default(), None)
    };
    // Made by hand in one chain, since judging them one by one is slow in a debug build.
    let genesis = writers.all.values().next().unwrap().clone();
    let mut chain = vec![genesis];
    for number in 0..1024 {
        let before = &chain.last().unwrap().header;
        let add = Payload::Add(request(&writers.context, number));
        let draft = kith_core::replica::Draft {
            context: writers.context,
            sequence: before.sequence + 1,
            previous: before.id(),
            parents: Vec::new(),
            lamport: before.lamport + 1,
            timestamp: 1,
            kind: add.kind(),
            plaintext: add.encode(),
            commitment_key: [0; 32],
        };
        chain.push(draft.sign(actor_key(0)));
    }
    writers.nodes[1].receive(&chain, Some(&Probe));
    let node = &writers.nodes[1];
    let receipt = |number: usize| {
        node.replica.receipt(&node.tables, &chain[number].header.id()).unwrap().unwrap().outcome
    };
    assert_eq!(node.replica.members().count(), 1024);
    assert_eq!(receipt(1023), Ok(Vec::new()));
    assert_eq!(receipt(1024), Err(kith_core::replica::Rejection::Full));
}

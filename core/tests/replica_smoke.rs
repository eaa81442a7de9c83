//! A short way through the replica: two members, conflicting calls, a late arrival.

use ed25519_dalek::SigningKey;
use kith_core::application::kv::{self, KeyValue};
use kith_core::replica::payload::{Add, CallPayload, Invite, KeyPackage};
use kith_core::replica::{
    Creation, MemberId, MemoryTables, Payload, Replica, Role, Signer, StateKey, Transaction, Verdict,
};

struct Host {
    key: SigningKey,
    tables: MemoryTables,
    replica: Replica,
    counter: u64,
}

fn random(counter: &mut u64) -> impl FnMut() -> [u8; 32] + '_ {
    move || {
        *counter += 1;
        *blake3::hash(&counter.to_le_bytes()).as_bytes()
    }
}

impl Host {
    fn create(seed: u8) -> (Self, Transaction) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let mut counter = u64::from(seed) << 32;
        let mut tables = MemoryTables::default();
        let (replica, genesis, step) = {
            let mut fresh = random(&mut counter);
            let mut signer = Signer { key: &key, timestamp: 1, random: &mut fresh };
            let creation = Creation { application: "kv".into(), ..Creation::default() };
            Replica::create(&mut signer, creation, &tables, &KeyValue).unwrap()
        };
        tables.apply(step.writes);
        (Self { key, tables, replica, counter }, genesis)
    }

    fn joiner(seed: u8, of: &Replica) -> Self {
        let tables = MemoryTables::default();
        let replica = Replica::open(of.context(), &tables).unwrap();
        Self { key: SigningKey::from_bytes(&[seed; 32]), tables, replica, counter: u64::from(seed) << 32 }
    }

    fn id(&self) -> MemberId {
        MemberId(self.key.verifying_key().to_bytes())
    }

    fn author(&mut self, payload: Payload) -> kith_core::Result<Vec<Transaction>> {
        let mut fresh = random(&mut self.counter);
        let mut signer = Signer { key: &self.key, timestamp: 1, random: &mut fresh };
        let (transactions, step) =
            self.replica.author(&mut signer, payload, &self.tables, Some(&KeyValue))?;
        self.tables.apply(step.writes);
        Ok(transactions)
    }

    fn call(&mut self, (method, arguments): (&str, Vec<u8>)) -> kith_core::Result<Vec<Transaction>> {
        self.author(Payload::Call(CallPayload { method: method.into(), arguments }))
    }

    fn receive(&mut self, transactions: &[Transaction]) -> kith_core::replica::Step {
        let step = self.replica.receive(&self.tables, transactions, Some(&KeyValue)).unwrap();
        for (_, verdict) in &step.verdicts {
            assert!(matches!(verdict, Verdict::Valid | Verdict::Known), "{verdict:?}");
        }
        self.tables.apply(step.writes.clone());
        step
    }
}

#[test]
fn two_members_write_at_once_and_agree() {
    let (mut anna, genesis) = Host::create(1);
    let mut ben = Host::joiner(2, &anna.replica);
    let invite_key = SigningKey::from_bytes(&[9; 32]);
    let invite = anna
        .author(Payload::Invite(Invite {
            key: MemberId(invite_key.verifying_key().to_bytes()),
            role: Role::Writer,
            not_after: 0,
            max_uses: 1,
            note: String::new(),
        }))
        .unwrap();
    let request = Add::request(
        &anna.replica.context(),
        &ben.key,
        Role::Writer,
        KeyPackage::default(),
        Some((invite[0].header.id(), &invite_key)),
    );
    let add = anna.author(Payload::Add(request)).unwrap();
    ben.receive(&[genesis]);
    ben.receive(&invite);
    ben.receive(&add);
    assert_eq!(ben.replica.member(&ben.id()).unwrap().role, Role::Writer);

    let key = StateKey::of("test", "counter");
    let mut from_anna = Vec::new();
    let mut from_ben = Vec::new();
    for round in 0..20 {
        from_anna.extend(anna.call(kv::add(&key, 1)).unwrap());
        from_ben.extend(ben.call(kv::add(&key, 100)).unwrap());
        from_ben.extend(ben.call(kv::put(&StateKey::of("test", "same"), &[round])).unwrap());
        from_anna.extend(anna.call(kv::put(&StateKey::of("test", "same"), &[round, 1])).unwrap());
    }
    let step = anna.receive(&from_ben);
    assert!(step.reordered.is_some());
    assert!(step.executed_again > 0);
    ben.receive(&from_anna);

    assert_eq!(anna.replica.commitment(), ben.replica.commitment());
    assert_eq!(
        anna.replica.order(&anna.tables, None, 1000).unwrap(),
        ben.replica.order(&ben.tables, None, 1000).unwrap()
    );
    let value = anna.replica.value(&anna.tables, &key).unwrap().unwrap();
    assert_eq!(i64::from_le_bytes(value.try_into().unwrap()), 20 * 101);
    let reopened = Replica::open(anna.replica.context(), &anna.tables).unwrap();
    assert_eq!(reopened.commitment(), anna.replica.commitment());
    assert_eq!(reopened.digest(), ben.replica.digest());
}

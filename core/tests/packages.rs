//! Keys that an admin lets somebody in with: what no honest member would admit is refused by everybody who receives it, whoever signed it.
#![allow(clippy::unwrap_used, reason = "a test may")]

use ed25519_dalek::SigningKey;
use kith_core::ErrorKind;
use kith_core::application::kv::KeyValue;
use kith_core::encryption::Suite;
use kith_core::node::machine::first_keys;
use kith_core::replica::payload::{Add, KeyPackage};
use kith_core::replica::{
    ContextId, Creation, Draft, Invalid, Kind, MemberId, MemoryTables, Payload, Replica, Role, Signer,
    Transaction, Verdict,
};

/// When the admin says that it is.
const NOW: u64 = 1000;

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// First keys, other ones for each number.
fn package(suite: Suite, number: u8) -> KeyPackage {
    first_keys(suite as u8, MemberId([0; 32]), [number; 32]).unwrap().0
}

/// What everybody has of a context, and the admin who lies.
struct World {
    suite: Suite,
    replica: Replica,
    tables: MemoryTables,
    /// The admin's last one.
    last: Transaction,
}

impl World {
    fn new(suite: Suite) -> Self {
        let mut tables = MemoryTables::default();
        let mut random = || [8; 32];
        let mut signer = Signer { key: &key(1), timestamp: 1, random: &mut random };
        let creation = Creation {
            application: "kv".into(),
            suite: suite as u8,
            key_package: package(suite, 1),
            ..Creation::default()
        };
        let (replica, last, step) = Replica::create(&mut signer, creation, &tables, &KeyValue).unwrap();
        tables.apply(step.writes);
        Self { suite, replica, tables, last }
    }

    fn request(&self, who: u8, package: KeyPackage) -> Add {
        Add::request(&self.replica.context(), &key(who), Role::Writer, package, None)
    }

    /// The admin's word, after its last one, whatever an honest node would say to it.
    fn admits(&self, add: Add) -> Transaction {
        let before = &self.last.header;
        let draft = Draft {
            context: self.replica.context(),
            sequence: before.sequence + 1,
            previous: before.id(),
            parents: Vec::new(),
            lamport: before.lamport + 1,
            timestamp: NOW,
            kind: Kind::Add,
            plaintext: Payload::Add(add).encode(),
            commitment_key: [5; 32],
        };
        draft.sign(&key(1))
    }

    fn verdict(&mut self, transaction: &Transaction) -> Verdict {
        let step =
            self.replica.receive(&self.tables, std::slice::from_ref(transaction), Some(&KeyValue)).unwrap();
        self.tables.apply(step.writes);
        step.verdicts[0].1.clone()
    }

    /// What a receiver says that has nothing but what came before.
    fn judged(&self, add: Add) -> Verdict {
        let mut receiver = World {
            suite: self.suite,
            replica: Replica::open(self.replica.context(), &self.tables).unwrap(),
            tables: self.tables.clone(),
            last: self.last.clone(),
        };
        let members = receiver.replica.members().count();
        let verdict = receiver.verdict(&self.admits(add));
        let more = usize::from(verdict == Verdict::Valid);
        assert_eq!(receiver.replica.members().count(), members + more);
        verdict
    }
}

#[test]
fn receivers_refuse_key_packages_that_nobody_may_be_added_with() {
    for suite in [Suite::X25519, Suite::XWing] {
        let mut world = World::new(suite);
        let refused = Verdict::Invalid(Invalid::Keys);
        let sound = package(suite, 2);
        let ask = |world: &World, package: KeyPackage| world.judged(world.request(2, package));
        assert_eq!(ask(&world, sound.clone()), Verdict::Valid, "control");
        // In time, by the time that the admin itself says.
        for (not_after, verdict) in
            [(NOW - 1, &refused), (1, &refused), (NOW, &Verdict::Valid), (u64::MAX, &Verdict::Valid)]
        {
            assert_eq!(ask(&world, KeyPackage { not_after, ..sound.clone() }), *verdict, "{not_after}");
        }
        // Sound: the last 32 bytes are the point on the curve, with both suites.
        let mut small = sound.ratchet_key.clone();
        let end = small.len() - 32;
        for byte in [0, 1] {
            small[end..].fill(0);
            small[end] = byte;
            assert_eq!(ask(&world, KeyPackage { ratchet_key: small.clone(), ..sound.clone() }), refused);
        }
        for length in [31, 33, sound.ratchet_key.len() - 1] {
            assert_eq!(
                ask(&world, KeyPackage { ratchet_key: vec![9; length], ..sound.clone() }),
                refused,
                "{length}"
            );
        }
        // Signed, by whom and for what it says.
        let mut forged = world.request(2, sound.clone());
        forged.consent[0] ^= 1;
        let mut changed = world.request(2, sound.clone());
        changed.key_package.not_after = u64::MAX;
        let moved = Add::request(&ContextId([7; 32]), &key(2), Role::Writer, sound.clone(), None);
        let anothers = Add { member: MemberId([2; 32]), ..world.request(2, sound.clone()) };
        for wrong in [forged, changed, moved, anothers] {
            assert_eq!(world.judged(wrong), Verdict::Invalid(Invalid::Proof));
        }
        // Of the context's suite: not the other one, be it lower or higher, nor none.
        let other = if suite == Suite::XWing { Suite::X25519 } else { Suite::XWing };
        for wrong in [package(other, 2), KeyPackage { suite: 3, ..sound.clone() }, KeyPackage::default()] {
            assert_eq!(ask(&world, wrong), Verdict::Invalid(Invalid::Suite));
        }
        // Never handed in before: neither by who began the context, nor by who was added.
        assert_eq!(ask(&world, package(suite, 1)), refused);
        let one = world.admits(world.request(2, sound.clone()));
        let beside = world.admits(world.request(3, sound.clone()));
        assert_eq!(world.verdict(&one), Verdict::Valid);
        world.last = one;
        for who in [2, 3] {
            assert_eq!(world.judged(world.request(who, sound.clone())), refused);
            assert_eq!(
                world.judged(world.request(who, KeyPackage { not_after: NOW, ..sound.clone() })),
                refused
            );
        }
        assert_eq!(world.judged(world.request(3, package(suite, 4))), Verdict::Valid, "control");
        // Two that know nothing of each other: whichever comes second is judged by what it could know.
        assert_eq!(world.verdict(&beside), Verdict::Valid);
    }
}

#[test]
fn an_honest_admin_does_not_write_what_others_would_refuse() {
    let mut world = World::new(Suite::X25519);
    let mut random = || [6; 32];
    for (package, outcome) in [
        (package(Suite::X25519, 1), Err(ErrorKind::InvalidArgument)),
        (KeyPackage { not_after: NOW - 1, ..package(Suite::X25519, 2) }, Err(ErrorKind::InvalidArgument)),
        (package(Suite::X25519, 2), Ok(())),
        (package(Suite::X25519, 2), Err(ErrorKind::InvalidArgument)),
    ] {
        let add = Payload::Add(world.request(9, package));
        let before = world.replica.digest();
        let mut signer = Signer { key: &key(1), timestamp: NOW, random: &mut random };
        let written = world.replica.author(&mut signer, add, &world.tables, Some(&KeyValue));
        match written {
            Ok((_, step)) => {
                world.tables.apply(step.writes);
                assert_eq!(outcome, Ok(()));
            }
            Err(error) => {
                assert_eq!((Err(error.kind()), world.replica.digest()), (outcome, before));
            }
        }
    }
}

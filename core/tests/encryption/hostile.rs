//! What liars send: each is a typed error that changes no key, and others are unaffected.

use kith_core::encryption::{
    Envelope, Epoch, Leaf, Opened, Scope, Suite, Trouble, WRAPS_INLINE, Wraps, check_package,
    first_envelope_key,
};
use kith_core::keyring::{Change, Key, RATCHET_KEYS, Ring};
use kith_core::replica::payload::{Add, KeyPackage};
use kith_core::replica::{ContextId, Header, Kind, MemberId, Role, TransactionId};
use kith_core::{Error, ErrorKind};
use proptest::prelude::*;

use super::group::{Group, Memory, secret};
use super::history::What;

/// A group of four, and an epoch by the first that nobody has taken in yet: its event and what it says.
fn offered() -> (Group, TransactionId, Epoch, Vec<MemberId>) {
    let mut group = Group::all(Suite::X25519, 4);
    let at = group.rotate(0);
    let event = &group.history.events[at];
    let What::Epoch(epoch, _) = &event.what else { unreachable!() };
    let mut members = group.history.ids.clone();
    members.sort();
    let (id, epoch) = (event.id, (**epoch).clone());
    (group, id, epoch, members)
}

fn receive(
    group: &Group,
    actor: usize,
    id: &TransactionId,
    epoch: &Epoch,
    members: &[MemberId],
) -> Option<Trouble> {
    let author = group.history.ids[0];
    let before = group.actors[actor].rows.clone();
    let result = group.ring(actor).receive_epoch(id, &author, epoch, members, None);
    assert!(before == group.actors[actor].rows);
    result.err()
}

/// Which wrap is an actor's.
fn index(members: &[MemberId], author: &MemberId, me: &MemberId) -> usize {
    members.iter().filter(|member| *member != author).position(|member| member == me).unwrap()
}

#[test]
fn wrong_wraps_are_typed_errors_and_others_are_unaffected() {
    let (group, id, epoch, members) = offered();
    let Wraps::Inline(wraps) = &epoch.wraps else { unreachable!() };
    let length = Suite::X25519.wrap();
    let (author, me) = (group.history.ids[0], group.history.ids[1]);
    let mine = index(&members, &author, &me) * length;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut wraps = wraps.clone();
        change(&mut wraps);
        Epoch { wraps: Wraps::Inline(wraps), ..epoch.clone() }
    };
    let garbage = with(&|wraps| wraps[mine + 20..mine + length].fill(0xAB));
    let step = with(&|wraps| wraps[mine] = 1);
    let far = with(&|wraps| wraps[mine..mine + 4].fill(0xFF));
    let key = with(&|wraps| wraps[mine + 4] = 9);
    let short = with(&|wraps| wraps.truncate(wraps.len() - 1));
    let extra = with(&|wraps| wraps.extend(vec![0; length]));
    let missing = Epoch { recipients: 2, ..with(&|wraps| wraps.truncate(2 * length)) };
    let commit = Epoch { commit: [1; 32], ..epoch.clone() };
    for (wrong, trouble, all) in [
        (garbage, Trouble::Wrap, false),
        (step, Trouble::WrapStep { expected: 0, found: 1 }, false),
        (far, Trouble::WrapStep { expected: 0, found: u32::MAX }, false),
        (key, Trouble::WrapKey, false),
        (short, Trouble::EpochMalformed, true),
        (extra, Trouble::EpochMalformed, true),
        (missing, Trouble::Recipients, true),
        (commit, Trouble::Wrap, true),
        (Epoch { suite: 2, ..epoch.clone() }, Trouble::Suite, true),
    ] {
        assert_eq!(receive(&group, 1, &id, &wrong, &members), Some(trouble));
        let others = receive(&group, 2, &id, &wrong, &members);
        assert_eq!(others, all.then_some(trouble), "the others' own wraps are as they were");
    }
    assert_eq!(receive(&group, 1, &id, &epoch, &members), None, "control");
    assert_eq!(receive(&group, 1, &id, &epoch, &members[1..]), Some(Trouble::Recipients));
    let stranger = Ring { scope: group.scope, me: MemberId([5; 32]), rows: &group.actors[1].rows };
    let found = stranger.receive_epoch(&id, &author, &epoch, &members, None);
    assert_eq!(found.map(drop), Err(Trouble::NoRecipient));
    assert_eq!(Error::from(Trouble::NoRecipient).kind(), ErrorKind::NotMember);
}

#[test]
fn an_author_that_wraps_different_seeds_is_found_out_by_each_that_it_cheats() {
    let (mut group, _, honest, members) = offered();
    let (author, me) = (group.history.ids[0], group.history.ids[1]);
    // Two drafts; one member's wrap of the second goes into the first.
    let recipients = group.recipients(0);
    let other = group.ring(0).draft_epoch(&recipients, &secret(4242)).unwrap();
    let length = Suite::X25519.wrap();
    let at = index(&members, &author, &me) * length;
    let Wraps::Inline(mut wraps) = honest.wraps.clone() else { unreachable!() };
    wraps[at..at + length].copy_from_slice(&other.wraps[at..at + length]);
    let mixed = Epoch { wraps: Wraps::Inline(wraps), ..honest };
    let id = TransactionId([3; 32]);
    assert_eq!(receive(&group, 1, &id, &mixed, &members), Some(Trouble::WrapStep { expected: 0, found: 1 }));
    // Also where it is sealed for this commitment, as only the author itself can: the seed is not the one committed to.
    let victim = recipients.iter().find(|to| to.member == me).unwrap();
    let forged = super::vectors::wrap_of_another_seed(&group.scope, &author, victim, &mixed.commit);
    let Wraps::Inline(mut wraps) = mixed.wraps.clone() else { unreachable!() };
    wraps[at..at + length].copy_from_slice(&forged);
    let forged = Epoch { wraps: Wraps::Inline(wraps), ..mixed };
    assert_eq!(receive(&group, 1, &id, &forged, &members), Some(Trouble::Seed));
    let at = group.send(0, "the others read on");
    group.meet_all();
    assert!(group.reads(2, at));
}

#[test]
fn who_lost_the_chain_complains_and_the_author_begins_it_anew() {
    let mut group = Group::all(Suite::X25519, 3);
    group.send(0, "step 0");
    group.meet_all();
    let from = Key::From(group.history.ids[0]);
    group.actors[1].rows.0.remove(&from);
    let at = group.rotate(0);
    let broken = group.send(0, "unreadable to one");
    group.meet_all();
    assert_eq!(group.actors[1].troubles[&at], Trouble::WrapStep { expected: 0, found: 1 });
    assert_eq!(group.actors[1].troubles[&broken], Trouble::NoKeys);
    assert!(group.reads(1, broken), "it was shared");
    // What a node does of whom it hears that.
    let to = Key::To(group.history.ids[1]);
    group.actors[0].apply([Change { key: to, value: None }]);
    group.rotate(0);
    let healed = group.send(0, "readable again");
    group.meet_all();
    assert!(!group.actors[1].troubles.contains_key(&healed));
    assert!(group.reads(1, healed) && group.reads(2, healed));
}

#[test]
fn wraps_and_messages_of_elsewhere_are_refused() {
    let (mut group, id, epoch, members) = offered();
    let author = group.history.ids[0];
    // Another context.
    let elsewhere = Scope { context: ContextId([8; 32]), ..group.scope };
    let ring = Ring { scope: elsewhere, ..group.ring(1) };
    assert_eq!(ring.receive_epoch(&id, &author, &epoch, &members, None).map(drop), Err(Trouble::Wrap));
    // Another author's name on it.
    let found = group.ring(1).receive_epoch(&id, &group.history.ids[2], &epoch, &members, None);
    assert_eq!(found.map(drop), Err(Trouble::Wrap));
    // Another recipient's wrap.
    let Wraps::Inline(mut wraps) = epoch.wraps.clone() else { unreachable!() };
    wraps.rotate_left(Suite::X25519.wrap());
    let moved = Epoch { wraps: Wraps::Inline(wraps), ..epoch.clone() };
    assert_eq!(receive(&group, 1, &id, &moved, &members), Some(Trouble::Wrap));
    // Under another id the wraps open, as they must (the id follows from them), and the chains are others.
    let other = TransactionId([4; 32]);
    assert_eq!(receive(&group, 1, &other, &epoch, &members), None);
    group.meet_all();
    let sent = group.send(0, "here");
    let message = group.message(sent).clone();
    assert!(group.ring(1).open(&message).is_ok(), "control");
    let neighbour = group.history.ids[2];
    // To another context as a whole: who has the same rows there opens nothing with them.
    let mut moved = message.clone();
    moved.header.context = elsewhere.context;
    let ring = Ring { scope: elsewhere, ..group.ring(1) };
    assert_eq!(ring.open(&moved).map(drop), Err(Trouble::Sealed));
    for (name, change, trouble) in [
        (
            "context",
            Box::new(|m: &mut kith_core::replica::Transaction| m.header.context.0[0] ^= 1)
                as Box<dyn Fn(&mut _)>,
            Trouble::Elsewhere,
        ),
        (
            "author",
            Box::new(|m: &mut kith_core::replica::Transaction| m.header.author = MemberId([2; 32])),
            Trouble::NoKeys,
        ),
        (
            "another member's, of whom there are keys",
            Box::new(move |m: &mut kith_core::replica::Transaction| m.header.author = neighbour),
            Trouble::Sealed,
        ),
        (
            "epoch",
            Box::new(|m: &mut kith_core::replica::Transaction| m.header.epoch[0] ^= 1),
            Trouble::NoKeys,
        ),
        (
            "counter",
            Box::new(|m: &mut kith_core::replica::Transaction| m.header.counter += 1),
            Trouble::Sealed,
        ),
        (
            "far counter",
            Box::new(|m: &mut kith_core::replica::Transaction| m.header.counter = 256),
            Trouble::Counter,
        ),
        (
            "farthest counter",
            Box::new(|m: &mut kith_core::replica::Transaction| m.header.counter = u32::MAX),
            Trouble::Counter,
        ),
        (
            "sequence",
            Box::new(|m: &mut kith_core::replica::Transaction| m.header.sequence += 1),
            Trouble::Sealed,
        ),
        (
            "timestamp",
            Box::new(|m: &mut kith_core::replica::Transaction| m.header.timestamp += 1),
            Trouble::Sealed,
        ),
        (
            "commitment",
            Box::new(|m: &mut kith_core::replica::Transaction| m.header.commitment[0] ^= 1),
            Trouble::Sealed,
        ),
        ("payload", Box::new(|m: &mut kith_core::replica::Transaction| m.payload[0] ^= 1), Trouble::Payload),
        ("length", Box::new(|m: &mut kith_core::replica::Transaction| m.payload.push(0)), Trouble::Payload),
    ] {
        let mut wrong = message.clone();
        change(&mut wrong);
        assert_eq!(group.ring(1).open(&wrong).map(drop), Err(trouble), "{name}");
    }
    assert!(group.ring(1).open(&message).is_ok(), "control: nothing of it consumed the key");
}

/// What is shared of a message is its header, which the author has signed, and the content, which that commits to.
#[test]
fn shares_with_a_changed_byte_are_refused() {
    let mut group = Group::all(Suite::X25519, 2);
    let (one, two) = (group.send(1, "the words of one"), group.send(1, "and more of them"));
    let message = group.message(one).clone();
    let signature = message.signature.unwrap();
    let opened = group.actors[1].opened[&one].clone();
    let proves = |header: &Header, content: &[u8]| {
        header.verify(&header.id(), &signature).is_ok() && header.check_content(content).is_ok()
    };
    assert!(proves(&message.header, &opened.payload), "control");
    assert_eq!(opened.check(&message.header), Ok(()), "control");
    let bytes = borsh::to_vec(&message.header).unwrap();
    let mut decoded = 0;
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        if let Ok(wrong) = borsh::from_slice::<Header>(&wrong) {
            decoded += 1;
            assert!(!proves(&wrong, &opened.payload), "byte {at} of the header");
        }
    }
    assert!(decoded > bytes.len() * 9 / 10, "{decoded} of {}", bytes.len());
    let refused = |content: &[u8]| {
        let opened = Opened { payload: content.to_vec() };
        assert_eq!(opened.check(&message.header), Err(Trouble::Commitment));
        !proves(&message.header, content)
    };
    for at in 0..opened.payload.len() {
        let mut wrong = opened.payload.clone();
        wrong[at] ^= 1;
        assert!(refused(&wrong), "byte {at} of the content");
    }
    let other = &group.actors[1].opened[&two];
    for wrong in [&other.payload[..], &opened.payload[1..], &[0; 31], &[]] {
        assert!(refused(wrong));
    }
}

/// Points of small order, and their encodings that are not reduced.
fn small_order() -> Vec<[u8; 32]> {
    let hex = |text: &str| {
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        <[u8; 32]>::try_from((0..64).step_by(2).map(byte).collect::<Vec<_>>()).unwrap()
    };
    let (mut one, mut p) = ([0; 32], [0xFF; 32]);
    one[0] = 1;
    (p[0], p[31]) = (0xED, 0x7F);
    let (mut less, mut more) = (p, p);
    less[0] -= 1;
    more[0] += 1;
    vec![
        [0; 32],
        one,
        p,
        less,
        more,
        hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ]
}

#[test]
fn bad_key_packages_are_refused() {
    for suite in [Suite::X25519, Suite::XWing] {
        let group = Group::of(suite, 2);
        let signer = &group.actors[1].signer;
        let (key, _) = group.ring(1).start(&secret(77));
        let package = KeyPackage { suite: suite as u8, ratchet_key: key.key, not_after: 1000 };
        let request =
            |package: KeyPackage| Add::request(&group.scope.context, signer, Role::Writer, package, None);
        let sound = request(package.clone());
        let check = |add: &Add| check_package(&group.scope, add, 1000, false);
        assert_eq!(check(&sound), Ok(()), "control");
        assert_eq!(check_package(&group.scope, &sound, 1001, false), Err(Trouble::PackageExpired));
        assert_eq!(check_package(&group.scope, &sound, 1000, true), Err(Trouble::PackageUsed));
        let mut forged = sound.clone();
        forged.consent[0] ^= 1;
        assert_eq!(check(&forged), Err(Trouble::Signature));
        let mut changed = sound.clone();
        changed.key_package.not_after = 0;
        assert_eq!(check(&changed), Err(Trouble::Signature));
        let moved = Add::request(&ContextId([1; 32]), signer, Role::Writer, package.clone(), None);
        assert_eq!(check(&moved), Err(Trouble::Signature));
        for number in [0, 3, 3 - suite as u8] {
            assert_eq!(check(&request(KeyPackage { suite: number, ..package.clone() })), Err(Trouble::Suite));
        }
        for point in small_order() {
            let mut key = package.ratchet_key.clone();
            let end = key.len() - 32;
            key[end..].copy_from_slice(&point);
            let add = request(KeyPackage { ratchet_key: key.clone(), ..package.clone() });
            assert_eq!(check(&add), Err(Trouble::Key), "{point:?}");
            assert_eq!(suite.check_key(&key), Err(Trouble::Key), "what a refresh is judged by");
        }
        for length in [0, 31, 33, package.ratchet_key.len() + 1, 1215] {
            let add = request(KeyPackage { ratchet_key: vec![9; length], ..package.clone() });
            assert_eq!(check(&add), Err(Trouble::Key), "{length}");
        }
        let rows = {
            let mut rows = Memory::default();
            rows.apply([Ring { rows: &rows, ..group.ring(1) }.start(&secret(1)).1]);
            rows
        };
        let (next, _) = Ring { rows: &rows, ..group.ring(1) }.refresh(&secret(2)).unwrap();
        assert_eq!((next.index, suite.check_key(&next.key)), (1, Ok(())), "control");
    }
}

#[test]
fn who_is_given_no_keys_makes_an_epoch_of_its_own() {
    let mut group = Group::all(Suite::X25519, 3);
    let at = group.rotate(0);
    let me = group.history.ids[1];
    let place = {
        let mut members = group.history.ids.clone();
        members.sort();
        index(&members, &group.history.ids[0], &me) * Suite::X25519.wrap()
    };
    let What::Epoch(epoch, wraps) = &mut group.history.events[at].what else { unreachable!() };
    wraps[place + 60] ^= 1;
    epoch.wraps = Wraps::Inline(wraps.clone());
    group.meet_all();
    assert_eq!(group.actors[1].troubles.get(&at), Some(&Trouble::Wrap));
    let sent = group.send(1, "from one that was locked out");
    assert_ne!(group.message(sent).header.epoch, group.history.events[at].id.0);
    group.meet_all();
    assert!((0..3).all(|actor| group.reads(actor, sent)));
    let next = group.send(0, "and all are in the same one again");
    assert_eq!(group.message(next).header.epoch, group.message(sent).header.epoch);
}

#[test]
fn masses_of_bogus_epochs_and_wraps_cost_little_and_change_nothing() {
    let (group, id, epoch, members) = offered();
    let before = group.actors[1].rows.clone();
    let huge = borsh::to_vec(&Epoch { wraps: Wraps::Inline(vec![7; 10 << 20]), ..epoch.clone() }).unwrap();
    assert_eq!(Epoch::decode(&group.scope, &huge), Err(Trouble::EpochMalformed));
    let lying = borsh::to_vec(&epoch).unwrap();
    assert_eq!(Epoch::decode(&group.scope, &lying), Ok(epoch.clone()), "control");
    let mut long = lying[..lying.len() - 3 * Suite::X25519.wrap() - 4].to_vec();
    long.extend(u32::MAX.to_le_bytes());
    assert_eq!(
        Epoch::decode(&group.scope, &long),
        Err(Trouble::EpochMalformed),
        "a length that is not there"
    );
    for count in [1024, u32::MAX] {
        let many = Epoch { recipients: count, wraps: Wraps::Root([0; 32]), ..epoch.clone() };
        let bytes = borsh::to_vec(&many).unwrap();
        assert_eq!(Epoch::decode(&group.scope, &bytes), Err(Trouble::EpochMalformed));
    }
    let small = Epoch { wraps: Wraps::Root([0; 32]), ..epoch.clone() };
    assert_eq!(receive(&group, 1, &id, &small, &members), Some(Trouble::EpochMalformed), "a root for few");
    for number in 0..10_000_u32 {
        let mut bogus = group.header(1, Kind::Call);
        bogus.epoch[..4].copy_from_slice(&number.to_le_bytes());
        bogus.counter = number;
        let bogus = kith_core::replica::Transaction {
            header: bogus,
            payload: Vec::new(),
            signature: None,
            cover: None,
            key: None,
        };
        assert!(matches!(group.ring(1).open(&bogus), Err(Trouble::NoKeys | Trouble::Payload)));
    }
    assert!(before == group.actors[1].rows);
    assert!(huge.len() > WRAPS_INLINE);
}

#[test]
fn own_ratchet_keys_are_few() {
    let mut group = Group::all(Suite::X25519, 1);
    let sizes: Vec<usize> = (0..40)
        .map(|_| {
            group.refresh(0);
            group.actors[0].rows.0[&Key::Ratchet].len()
        })
        .collect();
    assert_eq!(sizes[39], sizes[RATCHET_KEYS]);
    assert!(sizes[0] < sizes[RATCHET_KEYS]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), actor in 0usize..2) {
        let scope = Scope { suite: Suite::X25519, context: ContextId([9; 32]) };
        let _ = Epoch::decode(&scope, &bytes);
        let _ = Epoch::decode(&Scope { suite: Suite::XWing, ..scope }, &bytes);
        let _ = borsh::from_slice::<Leaf>(&bytes);
        let envelope = Envelope { tag: [0; 16], sealed: bytes.clone() };
        prop_assert!(envelope.open(&scope, &first_envelope_key(&scope, &secret(1))).is_err());
        let me = MemberId([actor as u8; 32]);
        let rows = Memory([(Key::Ratchet, bytes.clone())].into());
        let ring = Ring { scope, me, rows: &rows };
        prop_assert!(matches!(ring.forget_keys(0), Err(Trouble::State | Trouble::StateVersion)) || bytes[0] == 1);
    }
}

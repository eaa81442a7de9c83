//! The rows in which a member keeps its keys, whatever is in them: an error, or keys that keep to the rules. What is opened with them is real, so that a
//! row that was damaged a little is used and not only refused.

use std::sync::OnceLock;

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

pub(crate) use super::keeper::fuzzing as keeper;
use super::ring::{Change, Key, Own, RATCHET_KEYS, Ring, Rows as _};
use super::stored::{decode, encode};
use crate::encryption::fuzzing::{ADD, EPOCH, Table, call, first_chain, member, scope, started};
use crate::encryption::{
    Chain, Epoch, Leaf, MESSAGES, Pair, RatchetKey, Recipient, Secret, Suite, Trouble, WRAPS_INLINE, Wrapped,
    Wraps,
};
use crate::fuzzing::{Input, signing_key};
use crate::limits;
use crate::replica::{Header, MemberId, Transaction, TransactionId};

/// Whose rows they are, and who else there is.
const ME: u8 = 2;
const OTHER: u8 = 1;

/// A row that decodes is written again as it was.
pub(super) fn row<T: BorshSerialize + BorshDeserialize>(input: &Input<'_>) -> Option<T> {
    input.canonical(|bytes| decode(bytes).ok(), |value| encode(value).to_vec())
}

fn ring(rows: &Table) -> Ring<'_, Table> {
    Ring { scope: scope(Suite::X25519), me: member(ME), rows }
}

/// This member's rows, and one as the input has it.
fn with(key: Key, input: &Input<'_>) -> Table {
    let (table, _) = started(Suite::X25519, ME);
    table.apply([Change { key, value: Some(Zeroizing::new(input.bytes.to_vec())) }]);
    table
}

/// What an operation gives is stored; what it refuses is a row that cannot be.
fn refused<T>(outcome: &Result<T, Trouble>) {
    let damaged = matches!(outcome, Err(Trouble::State | Trouble::StateVersion));
    assert!(damaged, "a row that does not decode is used");
}

/// A chain: of another member, whose message is opened, and this one's own.
pub(crate) fn chain(input: &Input<'_>) {
    let (counter, input) = input.choose();
    let (theirs, mine) = (Key::Chain(EPOCH, member(OTHER)), Key::Chain(EPOCH, member(ME)));
    let known = row::<Chain>(&input);
    let whole = known.is_some_and(|chain| chain.within_limits());
    let sealed = sealed(counter);
    let rows = with(theirs, &input);
    match ring(&rows).open(&sealed) {
        Ok((_, _, change)) => {
            assert!(whole, "a chain that is none opens something");
            rows.apply([change]);
            assert_eq!(ring(&rows).open(&sealed).err(), Some(Trouble::Used), "a key is good once");
            assert!(matches!(ring(&rows).pass(&sealed.header, false), Ok(None)), "there is nothing to drop");
        }
        other if !whole => {
            refused(&other);
            refused(&ring(&rows).pass(&sealed.header, false));
        }
        Err(_) => {}
    }
    let rows = with(mine, &input);
    let sent = ring(&rows).sent(&EPOCH);
    if !whole {
        return refused(&sent);
    }
    let mut due = sent.expect("the row is whole").expect("there is one");
    for _ in 0..2 {
        match ring(&rows).seal(&EPOCH, call(ME).header, b"mine", &signing_key(ME)) {
            Ok((sealed, _, change)) => {
                assert_eq!(sealed.header.counter, due, "a number is used twice, or passed over");
                rows.apply([change]);
                due += 1;
                assert_eq!(ring(&rows).sent(&EPOCH), Ok(Some(due)));
            }
            Err(trouble) => assert_eq!((trouble, due), (Trouble::Counter, MESSAGES)),
        }
    }
}

/// Which messages became known before the wrap of their epoch came: their keys are not to be had once it does, and all others are.
pub(crate) fn passed(input: &Input<'_>) {
    const AWAITED: TransactionId = TransactionId([77; 32]);
    let (counter, input) = input.choose();
    let known = row::<Vec<u32>>(&input);
    let rows = with(Key::Passed(AWAITED, member(OTHER)), &input);
    let header = |counter| Header { epoch: AWAITED.0, counter, ..call(OTHER).header };
    let mut all: Vec<u32> = known.iter().flatten().copied().filter(|number| *number < MESSAGES).collect();
    let number = u32::from(counter) % MESSAGES;
    let noted = ring(&rows).pass(&header(number), true);
    let chains = ring(&rows).without_passed(&AWAITED, &Secret::new([3; 32]), &[member(OTHER), member(ME)]);
    if known.is_none() {
        refused(&noted);
        return refused(&chains);
    }
    let noted = noted.expect("the row is whole");
    assert_eq!(noted.is_none(), all.contains(&number), "noted once");
    rows.apply(noted);
    all.push(number);
    let chains = ring(&rows).without_passed(&AWAITED, &Secret::new([3; 32]), &[member(OTHER), member(ME)]);
    rows.apply(chains.expect("the rows are whole"));
    assert!(matches!(rows.row(&Key::Passed(AWAITED, member(OTHER))), Ok(None)), "it is used once");
    for number in 0..MESSAGES {
        let there = ring(&rows).pass(&header(number), false).expect("the chain is whole").is_some();
        assert_eq!(there, !all.contains(&number), "{number}");
    }
}

/// A message of the other member with this number, or one that says so.
fn sealed(counter: u8) -> Transaction {
    let (mut chain, scope) = (first_chain(), scope(Suite::X25519));
    for passed in 0..u32::from(counter % 8) {
        chain = chain.pass(&scope, passed).expect("it is one of the first");
    }
    let (mut sealed, ..) = chain
        .seal(&scope, EPOCH, call(OTHER).header, b"theirs", &signing_key(OTHER))
        .expect("the chain goes on");
    if counter >= 200 {
        sealed.header.counter = sealed.header.counter.wrapping_add(u32::from(counter) << 24);
    }
    sealed
}

/// Two epochs that the other member made for this one, one after the other, and where the chain of roots stands between them.
struct Received {
    epochs: [(TransactionId, Epoch); 2],
    members: Vec<MemberId>,
    between: Pair,
}

fn received() -> &'static Received {
    static RECEIVED: OnceLock<Received> = OnceLock::new();
    RECEIVED.get_or_init(|| {
        let ((theirs, _), (mine, key)) = (started(Suite::X25519, OTHER), started(Suite::X25519, ME));
        let maker = Ring { scope: scope(Suite::X25519), me: member(OTHER), rows: &theirs };
        let epochs = [7, 8].map(|number| {
            let recipient = Recipient { member: member(ME), added: ADD, key: key.clone() };
            let draft = maker.draft_epoch(&[recipient], &Secret::new([number; 32])).expect("it is sealed to");
            let (id, epoch) = (TransactionId([number; 32]), draft.epoch.clone());
            theirs.apply(maker.begin_epoch(draft, &id));
            (id, epoch)
        });
        let mut members: Vec<MemberId> = [OTHER, ME].map(member).into();
        members.sort_unstable();
        let (id, epoch) = &epochs[0];
        let taken = ring(&mine).receive_epoch(id, &member(OTHER), epoch, &members, None);
        mine.apply(taken.expect("it is for this member"));
        let between = ring(&mine).read(&Key::From(member(OTHER))).expect("it is whole").expect("it is there");
        Received { epochs, members, between }
    })
}

impl Received {
    fn take(&self, rows: &Table, which: usize) -> Result<(), Trouble> {
        let (id, epoch) = &self.epochs[which];
        let changes = ring(rows).receive_epoch(id, &member(OTHER), epoch, &self.members, None)?;
        assert!(!changes.is_empty(), "it was here already");
        rows.apply(changes);
        Ok(())
    }
}

/// Where a chain of roots stands: from another member, and to it.
pub(crate) fn root(input: &Input<'_>) {
    let (from, to) = (Key::From(member(OTHER)), Key::To(member(OTHER)));
    let (known, received) = (row::<Pair>(input), received());
    let rows = with(from, input);
    let Some(known) = known else {
        refused(&received.take(&rows, 0));
        let recipient = Recipient { member: member(OTHER), added: ADD, key: public() };
        return refused(&ring(&with(to, input)).draft_epoch(&[recipient], &Secret::new([1; 32])));
    };
    // What goes on from another step or root opens nothing …
    let expose = |pair: &Pair| (pair.step, pair.root.as_ref().map(|root| *root.expose()));
    let right = expose(&known) == expose(&received.between);
    assert_eq!(received.take(&rows, 1).is_ok(), right, "another root opens it, or the right one does not");
    // … and what begins anew always does, and is gone on from.
    let rows = with(from, input);
    received.take(&rows, 0).expect("a first step needs no root");
    received.take(&rows, 1).expect("the step after it");
    let rows = with(to, input);
    let recipient = Recipient { member: member(OTHER), added: ADD, key: public() };
    let draft = ring(&rows).draft_epoch(&[recipient], &Secret::new([1; 32])).expect("the row is whole");
    let goes_on = known.root.is_some() && known.added == ADD && known.step < u32::MAX;
    let (step, _) = Pair::head(&draft.wraps).expect("there is a wrap");
    assert_eq!(step, if goes_on { known.step } else { 0 });
    rows.apply(ring(&rows).begin_epoch(draft, &EPOCH));
    let after: Option<Pair> = ring(&rows).read(&to).expect("what was written decodes");
    assert!(after.is_some_and(|after| after.step == step + 1 && after.root.is_some() && after.added == ADD));
}

/// A key of the other member's that can be sealed to.
fn public() -> RatchetKey {
    static KEY: OnceLock<RatchetKey> = OnceLock::new();
    KEY.get_or_init(|| started(Suite::X25519, OTHER).1).clone()
}

/// One's own private keys.
pub(crate) fn own(input: &Input<'_>) {
    let known = row::<Own>(input);
    let rows = with(Key::Ratchet, input);
    let Some(known) = known else {
        refused(&ring(&rows).own_keys());
        refused(&ring(&rows).refresh(&Secret::new([1; 32])));
        return refused(&ring(&rows).forget_keys(0));
    };
    let read = |rows: &Table| -> Own {
        ring(rows).read(&Key::Ratchet).expect("what was written decodes").expect("it is there")
    };
    let newest = known.keys.last().map(|(index, _)| *index);
    if received().take(&rows, 0).is_ok() {
        assert!(
            known.keys.iter().any(|(index, _)| *index == 0),
            "opened without the key that it is sealed to"
        );
    }
    let rows = with(Key::Ratchet, input);
    let change = ring(&rows).forget_keys(7).expect("the row is whole");
    rows.apply([change]);
    assert_eq!(read(&rows).keys.last().map(|(index, _)| *index), newest, "the newest stays");
    match ring(&rows).refresh(&Secret::new([1; 32])) {
        Ok((key, change)) => {
            assert_eq!(Some(key.index), newest.and_then(|newest| newest.checked_add(1)));
            rows.apply([change]);
            let kept = read(&rows);
            assert!(!kept.exposed && kept.keys.len() <= RATCHET_KEYS);
            assert_eq!(kept.keys.last().map(|(index, _)| *index), Some(key.index));
        }
        Err(trouble) => assert!(newest.is_none_or(|newest| newest == u32::MAX), "{trouble}"),
    }
}

/// So many wraps that only their root is in the epoch.
fn elsewhere(suite: Suite) -> usize {
    WRAPS_INLINE / suite.wrap() + 1
}

/// The wraps of an epoch that are kept for others. What is given out of them proves itself if they are those of the epoch, and not otherwise.
pub(crate) fn wraps(input: &Input<'_>) {
    let (which, input) = input.choose();
    let Some(all) = row::<Vec<u8>>(&input) else { return };
    let scope = scope(if which % 2 == 0 { Suite::X25519 } else { Suite::XWing });
    let (count, length) = (elsewhere(scope.suite), scope.suite.wrap());
    let index = usize::from(which) % count;
    // As many bytes as there have to be, whatever they are.
    let whole: Vec<u8> = all.iter().copied().chain([0]).cycle().take(count * length).collect();
    let epoch = Epoch {
        suite: scope.suite as u8,
        commit: [1; 32],
        ratchet_key: public(),
        recipients: u32::try_from(count).unwrap_or_default(),
        wraps: Wraps::of(&scope, &member(OTHER), &whole),
    };
    let proves = |given: &Option<Wrapped>| {
        given.as_ref().is_some_and(|given| epoch.proves(&scope, &member(OTHER), index, given))
    };
    assert!(whole.len() <= limits::WRAPS_SHARED);
    assert!(proves(&epoch.wrapped(&scope, &member(OTHER), index, &whole)), "the right ones prove nothing");
    assert!(!proves(&epoch.wrapped(&scope, &member(OTHER), index, &all)), "others prove something");
    let own = Leaf::of(&scope, &member(OTHER), &whole, index);
    let wrap = epoch.wrap(&scope, &member(OTHER), index, own.as_ref());
    assert_eq!(wrap.ok(), whole.chunks(length).nth(index), "the leaf of another");
    assert!(Leaf::of(&scope, &member(OTHER), &whole, count).is_none());
    if let Some(foreign) = Leaf::of(&scope, &member(OTHER), &all, index) {
        assert!(epoch.wrap(&scope, &member(OTHER), index, Some(&foreign)).is_err(), "of other wraps");
    }
}

/// This member's own wrap, until it is opened: the one that it is, and no other.
pub(crate) fn leaf(input: &Input<'_>) {
    let Some(leaf) = row::<Leaf>(input) else { return };
    let (scope, count) = (scope(Suite::X25519), elsewhere(Suite::X25519));
    let whole = vec![1; count * scope.suite.wrap()];
    let epoch = Epoch {
        suite: scope.suite as u8,
        commit: [1; 32],
        ratchet_key: public(),
        recipients: u32::try_from(count).unwrap_or_default(),
        wraps: Wraps::of(&scope, &member(OTHER), &whole),
    };
    let right = Leaf::of(&scope, &member(OTHER), &whole, count - 1);
    let proved = epoch.wrap(&scope, &member(OTHER), count - 1, Some(&leaf)).is_ok();
    assert_eq!(proved, right.as_ref() == Some(&leaf), "another leaf is taken, or the right one is not");
}

/// What envelopes are sealed with.
pub(crate) fn envelope(input: &Input<'_>) {
    let known = row::<Secret>(input);
    let rows = with(Key::Envelope(EPOCH), input);
    let found = ring(&rows).envelope(&EPOCH);
    match known {
        Some(known) => assert_eq!(found.ok().flatten().map(|key| *key.expose()), Some(*known.expose())),
        None => refused(&found),
    }
}

// ------------------------------------------------------------------------------------------------------------------ seeds

fn stored(value: &impl BorshSerialize) -> Vec<u8> {
    encode(value).to_vec()
}

/// As it is at first; with keys of what was passed over, one of them twice; and at its end.
pub(crate) fn chains() -> Vec<Vec<u8>> {
    let scope = scope(Suite::X25519);
    let (first, mut last) = (first_chain(), first_chain());
    let skipped = first.pass(&scope, 5).unwrap_or_else(first_chain);
    for number in 0..MESSAGES {
        last = last.pass(&scope, number).unwrap_or(last);
    }
    let mut all: Vec<Vec<u8>> = [(0, &first), (3, &skipped), (5, &skipped), (6, &skipped), (0, &last)]
        .map(|(counter, chain)| [vec![counter], stored(chain)].concat())
        .into();
    // Behind version, next number and key: how many were passed over, and each with its number.
    let (count, each) = (1 + 1 + 4 + 33, 4 + 32);
    let mut twice = all[1].clone();
    twice[count] += 1;
    twice.extend_from_within(count + 4 + 3 * each..count + 4 + 4 * each);
    all.push(twice);
    all
}

pub(crate) fn roots() -> Vec<Vec<u8>> {
    let mut to = received().between.clone();
    to.added = ADD;
    vec![stored(&Pair::default()), stored(&received().between), stored(&to)]
}

pub(crate) fn owns() -> Vec<Vec<u8>> {
    let (rows, _) = started(Suite::X25519, ME);
    let kept = || rows.row(&Key::Ratchet).ok().flatten().map(|row| row.to_vec()).unwrap_or_default();
    let first = kept();
    for number in 0..40 {
        let refreshed = ring(&rows).refresh(&Secret::new([number; 32]));
        rows.apply(refreshed.map(|(_, change)| change));
    }
    vec![first, kept()]
}

pub(crate) fn all_wraps() -> Vec<Vec<u8>> {
    [0, 3].map(|which| [vec![which], stored(&vec![7u8; 200])].concat()).into()
}

pub(crate) fn leaves() -> Vec<Vec<u8>> {
    let (scope, count) = (scope(Suite::X25519), elsewhere(Suite::X25519));
    let whole = vec![1; count * scope.suite.wrap()];
    Leaf::of(&scope, &member(OTHER), &whole, count - 1).iter().map(stored).collect()
}

pub(crate) fn envelopes() -> Vec<Vec<u8>> {
    vec![stored(&Secret::new([5; 32]))]
}

pub(crate) fn some_passed() -> Vec<Vec<u8>> {
    let some: [Vec<u32>; 4] = [vec![], vec![0], vec![7, 3, 3, 255], vec![u32::MAX, 256, 1]];
    some.iter().map(|passed| [vec![3], stored(passed)].concat()).collect()
}

//! When a member makes new keys though nobody asks it to: once a day while it writes, after days asleep, and after its store was set back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kith_core::ErrorKind;
use kith_core::encryption::{RatchetKey, Suite};
use kith_core::node::machine::Wish;
use kith_core::replica::{Kind, Payload};

use crate::pair::{Disk, Pair, put};

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;

/// How many keys of its own, and how many epochs, a member has published, as the other has it.
fn made(pair: &Pair, who: usize) -> (usize, usize) {
    let (me, at) = (pair.members[who].me(), &pair.members[0]);
    (at.written_by(&me, Kind::RefreshKey).len(), at.written_by(&me, Kind::Epoch).len())
}

#[test]
fn a_member_that_writes_replaces_its_key_once_a_day() {
    let mut pair = Pair::new(Suite::X25519 as u8, false);
    let call = |pair: &mut Pair| assert!(pair.done(1, put(1)).is_some());
    call(&mut pair);
    let begin = pair.now();
    assert_eq!(made(&pair, 1), (0, 1), "for both of them");
    for (time, keys, epochs) in [
        (DAY - HOUR, 0, 1),
        // Later by an hour than both the epoch and the key: a new one of each, and only once.
        (DAY + HOUR, 1, 2),
        (DAY + 2 * HOUR, 1, 2),
        (2 * DAY, 1, 2),
        (2 * DAY + 2 * HOUR, 2, 3),
        // Not for the days on which it is idle.
        (9 * DAY, 3, 4),
    ] {
        pair.until(begin + time);
        call(&mut pair);
        call(&mut pair);
        assert_eq!(made(&pair, 1), (keys, epochs), "after {} hours", time / HOUR);
    }
    assert_eq!(made(&pair, 0), (0, 0), "who does not write says nothing");
    let id = pair.done(0, put(2)).unwrap();
    assert!(pair.members[1].opened_by_key(&id));
}

#[test]
fn who_was_asleep_for_days_replaces_its_key_though_it_says_nothing() {
    for (hours, keys) in [(1, 0), (71, 0), (74, 1), (30 * 24, 1)] {
        let mut pair = Pair::new(Suite::X25519 as u8, false);
        pair.done(0, put(1));
        pair.end(1);
        pair.pass(hours * HOUR);
        pair.done(0, put(2));
        pair.begin(1);
        assert!(pair.are_equal());
        assert_eq!(made(&pair, 1), (keys, 0), "after {hours} hours");
        // Once, and not for a process that begins again.
        pair.done(0, put(3));
        pair.end(1);
        pair.begin(1);
        let id = pair.done(0, put(4)).unwrap();
        assert_eq!(made(&pair, 1), (keys, 0), "after {hours} hours");
        assert!(pair.members[1].opened_by_key(&id));
        // The next epoch is sealed to the new key.
        pair.done(0, Wish::RotateKeys);
        let id = pair.done(0, put(5)).unwrap();
        assert!(pair.members[1].opened_by_key(&id));
        assert_eq!(pair.members[1].key_troubles(), 0);
    }
}

/// Its backup knows neither of the key that others seal to now, nor how far the chains of roots have come.
#[test]
fn who_was_set_back_makes_new_keys_before_it_writes_again() {
    for suite in [Suite::X25519, Suite::XWing] {
        let mut pair = Pair::new(suite as u8, false);
        pair.done(0, put(1));
        pair.done(1, put(2));
        // The control: another process alone is no reason.
        pair.end(1);
        pair.begin(1);
        let before = made(&pair, 1);
        pair.done(1, put(3));
        assert_eq!(made(&pair, 1), before, "{suite:?}");

        let backup = pair.members[1].disk.inner.fork();
        pair.done(1, Wish::RotateKeys);
        pair.done(1, put(4));
        pair.done(0, Wish::RotateKeys);
        pair.done(0, put(5));
        assert_eq!(pair.members[1].key_troubles(), 0);
        pair.end(1);
        pair.members[1].disk = Arc::new(Disk { inner: backup, beside: false });
        pair.begin(1);
        assert!(
            pair.members[1].machine().status().frozen.is_some(),
            "{suite:?}: it sees that it was set back"
        );
        let refused = pair.wish(1, put(6));
        pair.exchange();
        assert_eq!(pair.answers[&refused].as_ref().unwrap_err().kind(), ErrorKind::Blocked);
        assert!(pair.are_equal(), "{suite:?}: it hears of all that it has lost");

        // The next process has all of it, and signs again.
        pair.end(1);
        pair.begin(1);
        assert_eq!(pair.members[1].machine().status().frozen, None);
        let before = made(&pair, 1);
        let call = pair.done(1, put(7)).unwrap();
        assert_eq!(made(&pair, 1), (before.0 + 1, before.1 + 1), "{suite:?}: a key, and an epoch");
        let me = pair.members[1].me();
        let keys = pair.members[0].written_by(&me, Kind::RefreshKey);
        let said = Payload::decode(Kind::RefreshKey as u8, keys.last().unwrap().plaintext());
        let Some(Payload::RefreshKey(said)) = said else { panic!("no key") };
        let key: RatchetKey = borsh::from_slice(&said).unwrap();
        assert_eq!(key.index, 2, "{suite:?}: after the one that it has lost");
        assert!(pair.members[0].opened_by_key(&call), "{suite:?}");
        assert_eq!(pair.members[0].key_troubles(), 0, "{suite:?}: its wraps begin anew");
        // Others seal to it again.
        pair.done(0, Wish::RotateKeys);
        let call = pair.done(0, put(8)).unwrap();
        assert!(pair.members[1].opened_by_key(&call), "{suite:?}");
        pair.done(1, put(9));
        assert_eq!(made(&pair, 1), (before.0 + 1, before.1 + 1), "{suite:?}: once");
    }
}

#[test]
fn keys_that_are_asked_for_are_made_once() {
    let mut pair = Pair::new(Suite::X25519 as u8, false);
    pair.done(1, put(1));
    // Both the epoch and the key are due by their age as well.
    pair.pass(2 * DAY);
    pair.done(1, Wish::RotateKeys);
    assert_eq!(made(&pair, 1), (1, 2));
    pair.done(1, put(2));
    assert_eq!(made(&pair, 1), (1, 2));
}

/// What it notes then lies ahead: until the clock on the wall comes there, nothing would be old.
#[test]
fn a_clock_that_was_ahead_does_not_end_rotation() {
    for ahead in [2 * HOUR, 3_650 * DAY, u64::MAX] {
        let mut pair = Pair::new(Suite::X25519 as u8, false);
        pair.ahead.store(ahead, Ordering::Relaxed);
        pair.done(1, put(1));
        pair.done(1, put(2));
        assert_eq!(made(&pair, 1), (0, 1), "{ahead}");
        pair.ahead.store(0, Ordering::Relaxed);
        pair.done(1, put(3));
        assert_eq!(made(&pair, 1), (1, 2), "{ahead}: both count as old");
        pair.done(1, put(4));
        assert_eq!(made(&pair, 1), (1, 2), "{ahead}: once");
        pair.pass(DAY + HOUR);
        pair.done(1, put(5));
        assert_eq!(made(&pair, 1), (2, 3), "{ahead}: as ever");
    }
    // The control: a clock that is set a little back makes nothing due.
    let mut pair = Pair::new(Suite::X25519 as u8, false);
    pair.ahead.store(HOUR / 2, Ordering::Relaxed);
    pair.done(1, put(1));
    pair.ahead.store(0, Ordering::Relaxed);
    pair.done(1, put(2));
    assert_eq!(made(&pair, 1), (0, 1));
}

#[test]
fn a_sleeper_whose_clock_was_ahead_replaces_its_key() {
    let mut pair = Pair::new(Suite::X25519 as u8, false);
    pair.ahead.store(3_650 * DAY, Ordering::Relaxed);
    pair.done(0, put(1));
    pair.end(1);
    pair.ahead.store(0, Ordering::Relaxed);
    pair.begin(1);
    assert_eq!(made(&pair, 1), (1, 0));
    pair.end(1);
    pair.begin(1);
    assert_eq!(made(&pair, 1), (1, 0), "once");
}

/// What others sealed to a ratchet key can be opened by a thief for as long as the private half is there.
#[test]
fn an_old_ratchet_key_goes_once_all_have_seen_the_new_one() {
    let mut pair = Pair::new(Suite::X25519 as u8, false);
    pair.done(0, put(1));
    assert_eq!(pair.members[1].ratchet_keys(), [0]);
    pair.done(1, Wish::RotateKeys);
    assert_eq!(pair.members[1].ratchet_keys(), [0, 1]);
    // The other has it, and has said nothing after it yet: an epoch of its own might still be on its way that is sealed to the old one.
    pair.pass(DAY / 2);
    pair.done(1, put(2));
    assert_eq!(pair.members[1].ratchet_keys(), [0, 1]);
    pair.done(0, put(3));
    assert_eq!(pair.members[1].ratchet_keys(), [0, 1], "forgotten with the next look, not each time");
    pair.pass(HOUR);
    let call = pair.done(0, put(4)).unwrap();
    assert_eq!(pair.members[1].ratchet_keys(), [1]);
    assert!(pair.members[1].opened_by_key(&call));
    assert_eq!(pair.members[1].key_troubles(), 0);
}

/// The other one never writes. Once they stayed as long as there was a new one each day: it was looked how old the newest is.
#[test]
fn an_old_ratchet_key_goes_a_week_after_the_next_one_whoever_is_silent() {
    let mut pair = Pair::new(Suite::X25519 as u8, false);
    pair.done(1, put(1));
    pair.done(1, Wish::RotateKeys);
    let begin = pair.now();
    for (hours, kept) in [
        (6 * 24, &[0, 1, 2][..]),
        (7 * 24 - 1, &[0, 1, 2]),
        // Key 1 is there for a week, key 2 for a day.
        (7 * 24 + 2, &[1, 2, 3]),
        (8 * 24, &[1, 2, 3]),
        (13 * 24 + 2, &[2, 3, 4]),
        (14 * 24 + 4, &[3, 4, 5]),
    ] {
        pair.until(begin + hours * HOUR);
        pair.done(1, put(2));
        // What can go is looked for once a minute.
        pair.pass(HOUR / 30);
        pair.done(1, put(3));
        assert_eq!(pair.members[1].ratchet_keys(), kept, "after {hours} hours");
    }
    assert_eq!(made(&pair, 0), (0, 0));
    // What the silent one says at last is sealed to the newest that it has.
    let call = pair.done(0, put(4)).unwrap();
    assert!(pair.members[1].opened_by_key(&call));
    assert_eq!(pair.members[1].key_troubles(), 0);
}

#[test]
fn chains_of_an_epoch_go_with_their_authors_first_call_in_a_better_one() {
    const CHAIN: u8 = 3;
    let mut pair = Pair::new(Suite::X25519 as u8, false);
    let chains = |pair: &Pair, epoch: [u8; 32]| -> Vec<bool> {
        let rows = |member: &crate::pair::Member, author: [u8; 32]| {
            !member.key_rows(&[&[CHAIN][..], &epoch, &author].concat()).is_empty()
        };
        let authors = [pair.members[0].me().0, pair.members[1].me().0];
        pair.members.iter().flat_map(|member| authors.map(|author| rows(member, author))).collect()
    };
    let one = pair.done(0, put(1)).unwrap();
    pair.done(1, put(2));
    let epoch = |pair: &Pair, call| {
        pair.members[0]
            .with_tables(|replica, tables| replica.transaction(tables, &call).unwrap().unwrap().header.epoch)
    };
    let first = epoch(&pair, one);
    assert_eq!(chains(&pair, first), [true; 4]);
    pair.done(0, Wish::RotateKeys);
    assert_eq!(chains(&pair, first), [true; 4], "nothing was sent in the new one");
    let two = pair.done(0, put(3)).unwrap();
    assert_ne!(epoch(&pair, two), first);
    assert_eq!(chains(&pair, first), [false, true, false, true], "at both, the author's chain");
    pair.done(1, put(4));
    assert_eq!(chains(&pair, first), [false; 4]);
}

/// It is a member again, and a recipient of the epoch from before by its id: but it had the keys of that while it was none.
#[test]
fn an_epoch_ends_with_who_left_though_it_came_back() {
    for suite in [Suite::X25519, Suite::XWing] {
        let mut pair = Pair::new(suite as u8, false);
        pair.done(0, put(1));
        pair.done(0, put(2));
        assert_eq!(made(&pair, 0), (0, 1));
        pair.leave_and_return(suite);
        pair.done(0, put(3));
        assert_eq!(made(&pair, 0), (0, 2), "{suite:?}");
        pair.done(0, put(4));
        assert_eq!(made(&pair, 0), (0, 2), "{suite:?}: once");
        assert_eq!(pair.members[0].machine().replica().violations(), 0, "{suite:?}");
    }
}

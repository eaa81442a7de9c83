//! When a member makes new keys though nobody asks it to: once a day while it writes, after days asleep, and after its store was set back.

use std::sync::Arc;

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

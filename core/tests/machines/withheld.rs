//! An author that withholds the wraps of its epochs, in a context so large that they are apart from the `Epoch`: what it sealed is asked for,
//! once the wraps had their time.

use ed25519_dalek::SigningKey;
use kith_core::encryption::Suite;
use kith_core::node::machine::{Wish, first_keys};
use kith_core::replica::payload::Add;
use kith_core::replica::{MemberId, Payload, Role};

use crate::pair::{Pair, put, written};

/// What messages begin with.
const LACKING: u8 = 14;
const ASK_WRAPS: u8 = 17;
const WRAPS: u8 = 18;
/// What the rows begin with that say which messages were read before their keys came.
const PASSED: u8 = 10;
/// How long a wrap is waited for, in ms.
const PATIENCE: u64 = 10_000;

/// Two members that are there, and so many that never are that wraps are apart.
fn crowd() -> Pair {
    let mut pair = Pair::new(Suite::XWing as u8, false);
    let context = pair.members[0].context;
    for number in 0..30 {
        let key = SigningKey::from_bytes(&[100 + number; 32]);
        let member = MemberId(key.verifying_key().to_bytes());
        let (package, _) = first_keys(Suite::XWing as u8, member, [100 + number; 32]).unwrap();
        let add = Add::request(&context, &key, Role::Writer, package, None);
        pair.wish(0, Wish::Author(Payload::Add(add)));
    }
    pair.exchange();
    assert!(pair.are_equal());
    assert_eq!(pair.members[1].machine().replica().members().count(), 32);
    pair.sent.clear();
    pair
}

impl Pair {
    fn unopened(&self) -> u64 {
        self.members[1].machine().replica().unopened()
    }

    /// When the second has sent a message of this kind.
    fn said(&self, kind: u8) -> Vec<u64> {
        self.sent.iter().filter(|(_, who, what)| *who == 1 && *what == kind).map(|(at, ..)| *at).collect()
    }
}

#[test]
fn a_wrap_that_comes_is_all_that_is_asked_for() {
    let mut pair = crowd();
    pair.wish(0, put(1));
    pair.until(pair.now() + 60_000);
    assert_eq!((pair.unopened(), pair.said(ASK_WRAPS).len()), (0, 1));
    assert!(pair.said(LACKING).is_empty(), "{:?}", pair.sent);
    assert!(pair.are_equal());
}

#[test]
fn what_is_sealed_under_a_withheld_wrap_is_asked_for_after_its_time_though_nothing_else_happens() {
    let mut pair = crowd();
    pair.withheld = Some(WRAPS);
    let call = pair.wish(0, put(1));
    let from = pair.now();
    pair.until(from + PATIENCE - 1);
    assert!(pair.answers.get(&call).and_then(written).is_some());
    assert_eq!((pair.unopened(), pair.said(ASK_WRAPS), pair.said(LACKING)), (1, vec![from], Vec::new()));
    pair.until(from + PATIENCE);
    assert_eq!((pair.unopened(), pair.said(LACKING)), (0, vec![from + PATIENCE]));
    assert!(pair.are_equal());
}

/// What was read by asking has no key any more once the wrap comes after all, and nor has it one that is still to come.
#[test]
fn what_was_asked_for_leaves_no_key_behind_when_the_wrap_comes() {
    let mut pair = crowd();
    pair.withheld = Some(WRAPS);
    let calls: Vec<_> = (0..3).map(|number| pair.wish(0, put(number))).collect();
    pair.until(pair.now() + 2 * PATIENCE);
    assert_eq!(pair.unopened(), 0);
    let ids: Vec<_> = calls.iter().filter_map(|call| pair.answers.get(call).and_then(written)).collect();
    assert!(ids.len() == 3 && ids.iter().all(|id| !pair.members[1].opened_by_key(id)), "by asking");
    let author = pair.members[0].me();
    assert_eq!(pair.members[1].chains_of(&author), []);
    pair.end(1);
    pair.withheld = None;
    pair.begin(1);
    pair.until(pair.now() + PATIENCE);
    assert_eq!(pair.members[1].chains_of(&author), [(3, vec![])], "the keys of all three are gone");
    let id = pair.done(0, put(4)).unwrap();
    assert!(pair.members[1].opened_by_key(&id), "the control: the wrap is here");
    assert!(pair.members[1].key_rows(&[PASSED]).is_empty(), "what was noted is gone as well");
}

#[test]
fn one_withheld_epoch_after_the_other_holds_up_no_more_than_the_first() {
    let mut pair = crowd();
    pair.withheld = Some(WRAPS);
    let from = pair.now();
    for number in 0..20 {
        pair.wish(0, Wish::RotateKeys);
        pair.wish(0, put(number));
        pair.until(pair.now() + 3_000);
        let late = pair.now() >= from + PATIENCE;
        assert_eq!(pair.unopened(), if late { 0 } else { number + 1 }, "at {} ms", pair.now() - from);
    }
    let asked = pair.said(LACKING);
    assert_eq!(asked.first(), Some(&(from + PATIENCE)));
    // Each of the later ones is asked for when it comes.
    assert_eq!(asked.len(), 1 + 16, "{asked:?}");
    assert!(pair.are_equal());
}

//! A member that publishes what is no ratchet key, or not its next one: nobody seals to that, and nobody else notices.

use kith_core::encryption::{RatchetKey, Suite};
use kith_core::node::machine::{Wish, first_keys};
use kith_core::replica::{MemberId, Payload};

use crate::pair::{Pair, put, written};

#[test]
fn a_key_that_is_none_or_not_the_next_one_is_not_sealed_to() {
    for suite in [Suite::X25519, Suite::XWing] {
        let sound = first_keys(suite as u8, MemberId([0; 32]), [77; 32]).unwrap().0.ratchet_key;
        let mut small = sound.clone();
        let end = small.len() - 32;
        small[end..].fill(0);
        let keys = [
            (7, sound.clone()),
            (u32::MAX, sound.clone()),
            (0, sound.clone()),
            (1, small),
            (1, sound[1..].to_vec()),
            (1, Vec::new()),
        ];
        // The last one is the control: this member has not got the private half of it, and shuts itself out.
        for (index, key) in keys.into_iter().chain([(1, sound)]) {
            let what = format!("{suite:?}, {index}, {} bytes", key.len());
            let mut pair = Pair::new(suite as u8, false);
            let control = index == 1 && suite.check_key(&key).is_ok();
            let said = borsh::to_vec(&RatchetKey { index, key }).unwrap();
            let wish = pair.wish(1, Wish::Author(Payload::RefreshKey(said)));
            pair.exchange();
            assert!(pair.answers.get(&wish).and_then(written).is_some(), "{what}");
            let call = pair.wish(0, put(1));
            pair.exchange();
            let id = pair.answers.get(&call).and_then(written).unwrap();
            let (keys, told) = (pair.members[1].opened_by_key(&id), pair.members[1].key_troubles());
            assert_eq!((keys, told), (!control, usize::from(control)), "{what}");
            assert_eq!(pair.members[1].machine().replica().unopened(), 0, "{what}: by asking, if need be");
        }
    }
}

//! Lies about keys: epochs and ratchet keys that are not what they must be. (What a liar shares of sealed calls is among the other lies.)

use kith_core::encryption::{Epoch, RatchetKey, Wraps};
use kith_core::replica::{Kind, Payload};

use super::Liar;

impl Liar {
    /// An epoch with something wrong, made of the last one that there is: garbage for wraps, too few, each for another member, a commitment that no seed
    /// opens, and a key of its own that is none or that nobody can count on to be the next.
    pub(super) fn false_epoch(&mut self) -> Option<Payload> {
        let epochs = self.bag.all.values().filter(|t| t.header.kind == Kind::Epoch as u8);
        let epochs = epochs.filter_map(|t| match Payload::decode(t.header.kind, t.plaintext()) {
            Some(Payload::Epoch(bytes)) => Some((t.header.lamport, borsh::from_slice::<Epoch>(&bytes).ok()?)),
            _ => None,
        });
        let (_, mut epoch) = epochs.max_by_key(|(lamport, _)| *lamport)?;
        let what = self.dice.below(6);
        let garbage = self.dice.number() as u8;
        let count = (epoch.recipients as usize).max(1);
        match (&mut epoch.wraps, what) {
            (Wraps::Inline(wraps), 0) => wraps.iter_mut().for_each(|byte| *byte ^= garbage | 1),
            (Wraps::Inline(wraps), 1) => {
                wraps.truncate(wraps.len() / count * (count - 1));
                epoch.recipients = epoch.recipients.saturating_sub(1);
            }
            (Wraps::Inline(wraps), 2) => {
                let one = wraps.len() / count;
                wraps.rotate_left(one);
            }
            (Wraps::Root(root), 0..=2) => *root = self.dice.bytes(),
            (_, 3) => epoch.commit = self.dice.bytes(),
            _ => epoch.ratchet_key = self.false_key(&epoch.ratchet_key),
        }
        Some(Payload::Epoch(borsh::to_vec(&epoch).ok()?))
    }

    /// A ratchet key by itself that is wrong in the same ways.
    pub(super) fn false_refresh(&mut self) -> Option<Payload> {
        let Payload::Epoch(bytes) = self.false_epoch()? else { return None };
        let like = borsh::from_slice::<Epoch>(&bytes).ok()?.ratchet_key;
        Some(Payload::RefreshKey(borsh::to_vec(&self.false_key(&like)).ok()?))
    }

    fn false_key(&mut self, like: &RatchetKey) -> RatchetKey {
        let index = self.dice.below(4) as u32;
        match self.dice.below(3) {
            // Of small order.
            0 => RatchetKey { index, key: vec![0; like.key.len()] },
            // Of another length.
            1 => RatchetKey { index, key: vec![9; like.key.len() / 2] },
            // Sound, and not the next one.
            _ => RatchetKey { index: index + 2, ..like.clone() },
        }
    }
}

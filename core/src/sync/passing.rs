//! A batch that was made for one session and goes over the others as well: what is new in a context is pushed to all of its peers in the same round.

use std::cell::RefCell;

use super::History;
use crate::replica::{MemberId, TransactionId};
use crate::{Result, limits};

/// Most bytes that are kept: those of one batch.
const ROOM: usize = limits::SYNC_BATCH_MOST;

/// What a push hangs on. What a peer is shown of a transaction hangs on whether it is a member and has the keys, and on nothing else of it
/// ([`History::show`]); so those of which both are the same get the same bytes.
#[derive(Debug)]
struct Terms {
    /// All that waits to be pushed, in this order.
    waiting: Vec<TransactionId>,
    /// What a batch aims for.
    aim: usize,
    member: bool,
}

impl Terms {
    fn are(&self, waiting: &[TransactionId], aim: usize, member: bool) -> bool {
        self.waiting == waiting && (self.aim, self.member) == (aim, member)
    }
}

/// A batch that was made of the first of what waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    /// How many went into it, or could not.
    pub(super) taken: usize,
    /// The message and the length of the batch; none if nothing could be shown.
    pub(super) batch: Option<(Vec<u8>, usize)>,
    /// Some could not be shown alone: a comparison finds what covers them.
    pub(super) incomplete: bool,
}

#[derive(Debug)]
struct Kept {
    terms: Terms,
    /// Under which epochs something in it is sealed, and whether who was asked for has their keys.
    epochs: Vec<(TransactionId, bool)>,
    pushed: Pushed,
}

/// See the module. To be emptied whenever the history may be another one.
#[derive(Debug, Default)]
pub struct Passing(RefCell<Vec<Kept>>);

impl Passing {
    /// The batch for a peer, from here or made now; `make` also says under which epochs something in it is sealed.
    pub(super) fn get_or(
        &self,
        history: &dyn History,
        to: &MemberId,
        waiting: &[TransactionId],
        aim: usize,
        make: impl FnOnce() -> Result<(Pushed, Vec<TransactionId>)>,
    ) -> Result<Pushed> {
        let member = history.may_read(to);
        for kept in self.0.borrow().iter() {
            if kept.terms.are(waiting, aim, member) && kept.is_for(history, to)? {
                return Ok(kept.pushed.clone());
            }
        }
        let (pushed, epochs) = make()?;
        let has = |epoch: TransactionId| Ok((epoch, history.has_keys(to, &epoch)?));
        let epochs = epochs.into_iter().map(has).collect::<Result<_>>()?;
        let terms = Terms { waiting: waiting.to_vec(), aim, member };
        self.keep(Kept { terms, epochs, pushed: pushed.clone() });
        Ok(pushed)
    }

    fn keep(&self, kept: Kept) {
        let all = &mut *self.0.borrow_mut();
        let size: usize = all.iter().map(Kept::size).sum();
        if size + kept.size() <= ROOM {
            all.push(kept);
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0.take();
    }
}

impl Kept {
    fn is_for(&self, history: &dyn History, to: &MemberId) -> Result<bool> {
        for (epoch, has) in &self.epochs {
            if history.has_keys(to, epoch)? != *has {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn size(&self) -> usize {
        let message = self.pushed.batch.as_ref().map_or(0, |(message, _)| message.len());
        message + 32 * self.terms.waiting.len() + 33 * self.epochs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Position, Standing, Tips};
    use super::*;
    use crate::replica::{Tip, Transaction};

    const EPOCH: TransactionId = TransactionId([9; 32]);

    /// Everybody is a member but 0, and has the keys but 1.
    struct Members;

    impl History for Members {
        fn may_read(&self, who: &MemberId) -> bool {
            who.0[0] > 0
        }

        fn has_keys(&self, who: &MemberId, epoch: &TransactionId) -> Result<bool> {
            assert_eq!(*epoch, EPOCH);
            Ok(who.0[0] > 1)
        }

        fn digest(&self) -> Result<[u8; 32]> {
            Ok([0; 32])
        }

        fn tips(&self, _: Option<&MemberId>, _: usize) -> Result<Vec<Tips>> {
            Ok(Vec::new())
        }

        fn position(&self, _: &TransactionId) -> Result<Option<Position>> {
            Ok(None)
        }

        fn transaction(&self, _: &TransactionId) -> Result<Option<Transaction>> {
            Ok(None)
        }

        fn chain(
            &self,
            _: &MemberId,
            _: Tip,
            _: usize,
            _: usize,
        ) -> Result<Vec<(TransactionId, Transaction)>> {
            Ok(Vec::new())
        }

        fn standing(&self, _: &MemberId, _: &[Transaction]) -> Result<Standing> {
            Ok(Standing::Unknown)
        }
    }

    /// What somebody gets, whose number is in it, and whether it was made for it.
    fn ask(passing: &Passing, to: u8, waiting: &[u8], aim: usize, size: usize, sealed: bool) -> (u8, bool) {
        let waiting: Vec<TransactionId> = waiting.iter().map(|number| TransactionId([*number; 32])).collect();
        let mut made = false;
        let make = || {
            made = true;
            let batch = Some((vec![to; size], size));
            let epochs = if sealed { vec![EPOCH] } else { Vec::new() };
            Ok((Pushed { taken: waiting.len(), batch, incomplete: false }, epochs))
        };
        let pushed = passing.get_or(&Members, &MemberId([to; 32]), &waiting, aim, make).unwrap();
        (pushed.batch.unwrap().0[0], made)
    }

    #[test]
    fn who_is_shown_the_same_gets_the_same_bytes_and_nobody_else() {
        let passing = Passing::default();
        let sealed = |to| ask(&passing, to, &[1, 2], 9, 10, true);
        assert_eq!([2, 3, 1, 0].map(sealed), [(2, true), (2, false), (1, true), (0, true)]);
        // The control: each is found again among the others.
        assert_eq!([4, 1, 0, 5].map(sealed), [(2, false), (1, false), (0, false), (2, false)]);
        for (waiting, aim) in [(&[1][..], 9), (&[2, 1], 9), (&[1, 2, 3], 9), (&[1, 2], 8)] {
            assert_eq!(ask(&passing, 6, waiting, aim, 10, true), (6, true), "{waiting:?} {aim}");
        }
        // Of what is not sealed it makes no difference who has keys.
        let open = |to| ask(&passing, to, &[7], 9, 10, false);
        assert_eq!([2, 1, 0].map(open), [(2, true), (2, false), (0, true)]);
        passing.clear();
        assert_eq!(sealed(3), (3, true));
    }

    #[test]
    fn no_more_is_kept_than_there_is_room() {
        let passing = Passing::default();
        let sent = [2, 3, 4, 4].map(|to| ask(&passing, to, &[to], 9, ROOM / 3, true));
        assert_eq!(sent.map(|(_, made)| made), [true, true, true, true], "the third found no room");
        assert_eq!(ask(&passing, 5, &[3], 9, ROOM / 3, true), (3, false));
    }
}

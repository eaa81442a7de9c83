//! Calls as they were sent, for as long as a round of a context: whoever has just sealed or opened one, or has sealed it again for somebody, need not do so
//! for each of the others that it goes to.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::replica::TransactionId;

/// Most bytes that are kept. What finds no room is sealed again.
const ROOM: usize = 1 << 20;

/// Sealed payloads by the ids of their transactions. In the header, of which the id is the hash, stands the hash of the payload as it was sent: so there
/// is one for each id, whoever made it and whoever it goes to. No key is here, and nothing of what is said.
#[derive(Debug, Default)]
pub(super) struct Sent(RefCell<Payloads>);

#[derive(Debug, Default)]
struct Payloads {
    by_id: HashMap<TransactionId, Vec<u8>>,
    bytes: usize,
}

impl Sent {
    /// The payload as it was sent, from here or made now.
    pub(super) fn get_or<E>(
        &self,
        id: &TransactionId,
        seal: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let kept = self.0.borrow().by_id.get(id).cloned();
        if let Some(payload) = kept {
            return Ok(payload);
        }
        let payload = seal()?;
        self.keep(*id, &payload);
        Ok(payload)
    }

    pub(super) fn keep(&self, id: TransactionId, payload: &[u8]) {
        let payloads = &mut *self.0.borrow_mut();
        let size = size_of::<TransactionId>() + payload.len();
        if payloads.bytes + size <= ROOM && !payloads.by_id.contains_key(&id) {
            payloads.bytes += size;
            payloads.by_id.insert(id, payload.to_vec());
        }
    }

    pub(super) fn clear(&self) {
        self.0.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: TransactionId = TransactionId([1; 32]);

    /// How often it is sealed, and what comes out.
    fn ask(sent: &Sent, id: TransactionId, size: usize) -> (usize, Vec<u8>) {
        let mut sealed = 0;
        let payload = sent.get_or(&id, || {
            sealed += 1;
            Ok::<_, ()>(vec![id.0[0]; size])
        });
        (sealed, payload.unwrap())
    }

    #[test]
    fn what_is_kept_is_sealed_once_and_no_more_is_kept_than_there_is_room() {
        let sent = Sent::default();
        assert_eq!([ask(&sent, ONE, 9), ask(&sent, ONE, 9)], [(1, vec![1; 9]), (0, vec![1; 9])]);
        for number in 2..100 {
            let id = TransactionId([number; 32]);
            let size = ROOM / 20;
            assert_eq!(ask(&sent, id, size), (1, vec![number; size]));
            // The control: where there is no room any more, it is sealed again.
            assert_eq!(ask(&sent, id, size).0, usize::from(number > 20));
            assert!(sent.0.borrow().bytes <= ROOM);
        }
        let held: usize = sent.0.borrow().by_id.values().map(|payload| 32 + payload.len()).sum();
        assert_eq!(held, sent.0.borrow().bytes);
        sent.clear();
        assert_eq!((ask(&sent, ONE, 9).0, sent.0.borrow().bytes), (1, 41));
    }

    #[test]
    fn what_cannot_be_sealed_is_not_kept() {
        let sent = Sent::default();
        assert_eq!(sent.get_or(&ONE, || Err("too large")), Err("too large"));
        assert_eq!(ask(&sent, ONE, 1).0, 1);
    }
}

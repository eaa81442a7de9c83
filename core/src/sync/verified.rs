//! What was verified lately: connected members push the same transactions at the same time, and one signature is worth one
//! verification.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::replica::{Malformed, TransactionId};

/// How many are kept of each of the two generations.
const KEPT: usize = 512;

type Generation = HashMap<TransactionId, [u8; 64]>;

/// Signatures that were found to be good, the newest ones. Bounded; what has gone is verified again.
#[derive(Debug, Default)]
pub(crate) struct Verified(RefCell<(Generation, Generation)>);

impl Verified {
    /// Verifies a signature on a header with this id, or remembers to have done so.
    pub(crate) fn verify(
        &self,
        id: &TransactionId,
        signature: &[u8; 64],
        verify: impl FnOnce() -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let (young, old) = &mut *self.0.borrow_mut();
        if [&*young, &*old].iter().any(|generation| generation.get(id) == Some(signature)) {
            return Ok(());
        }
        verify()?;
        if young.len() >= KEPT {
            *old = std::mem::take(young);
        }
        young.insert(*id, *signature);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::chain;
    use super::*;

    #[test]
    fn only_what_is_good_counts_and_no_more_is_kept_than_there_is_room() {
        let verified = Verified::default();
        let all = chain(3 * KEPT);
        for transaction in &all {
            let (header, id, signature) =
                (&transaction.header, transaction.header.id(), transaction.signature.unwrap());
            let mut wrong = signature;
            wrong[40] ^= 1;
            let verify =
                |signature: &[u8; 64]| verified.verify(&id, signature, || header.verify(&id, signature));
            assert_eq!(verify(&wrong), Err(Malformed::Signature));
            for _ in 0..2 {
                assert_eq!(verify(&signature), Ok(()));
            }
            // What was good once does not make another one good.
            assert_eq!(verify(&wrong), Err(Malformed::Signature));
            let (young, old) = &*verified.0.borrow();
            assert!(young.len() <= KEPT && old.len() <= KEPT);
        }
        // The control: it is remembered, and nobody is asked.
        let last = &all[3 * KEPT - 1];
        let refused = || Err(Malformed::Signature);
        assert_eq!(verified.verify(&last.header.id(), &last.signature.unwrap(), refused), Ok(()));
    }
}

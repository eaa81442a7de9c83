//! What members gossip: what one of them wrote at once, with the signature that proves it, in the form of a push. Who hears it holds no session with who said it.

use super::History;
use super::batch::{Batch, Purpose, runs};
use super::session::Stop;
use crate::Result;
use crate::replica::{ContextId, Transaction, TransactionId};

/// Transactions of one author as they are gossiped together; `None` if nothing among them proves one.
pub fn announce(transactions: Vec<(TransactionId, Transaction)>) -> Option<Vec<u8>> {
    let (runs, unproved) = runs(transactions);
    let alone = unproved.is_empty() && !runs.is_empty();
    // Writing into a vector cannot fail.
    alone.then(|| borsh::to_vec(&Batch::encode(Purpose::Push, &runs)).unwrap_or_default())
}

/// What was gossiped and is new: checked like what a peer pushes. `None`: it is wrong.
pub fn hear(context: &ContextId, content: &[u8], history: &dyn History) -> Result<Option<Vec<Transaction>>> {
    let Ok(batch) = borsh::from_slice::<Batch>(content) else { return Ok(None) };
    match batch.decode(context, history) {
        Ok(new) => Ok(Some(new.into_iter().map(|(_, transaction)| transaction).collect())),
        Err(Stop::Ended(_)) => Ok(None),
        Err(Stop::Local(error)) => Err(error),
    }
}

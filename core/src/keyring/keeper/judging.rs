//! Whether messages were sent as the rules say.

use super::super::seen::Seen;
use super::{JUDGED, Keeper};
use crate::Result;
use crate::encryption::{Scope, rules};
use crate::replica::{Header, Past, StateRead, TransactionId};

impl Keeper {
    /// The author's last sealed message before this one, in its own chain.
    fn sealed_before(
        &mut self,
        tables: &dyn StateRead,
        header: &Header,
    ) -> Result<Option<(TransactionId, u32)>> {
        let known = self.before.get(&header.author).copied();
        let mut at = header.previous;
        let found = loop {
            if let Some((_, before)) = known.filter(|(last, _)| *last == at) {
                break before;
            }
            let Some(transaction) = crate::replica::transaction(tables, &at)? else { break None };
            if transaction.header.is_sealed() {
                break Some((TransactionId(transaction.header.epoch), transaction.header.counter));
            }
            at = transaction.header.previous;
        };
        if self.before.len() > crate::limits::MEMBERS {
            self.before.clear();
        }
        self.before.insert(header.author, (header.id(), Some((TransactionId(header.epoch), header.counter))));
        Ok(found)
    }

    /// Whether a message was sent as the rules say, by what its author had seen.
    pub(super) fn is_violation(&mut self, past: &Past<'_>, scope: Scope, header: &Header) -> Result<bool> {
        let before = self.sealed_before(past.tables, header)?;
        let epoch = TransactionId(header.epoch);
        let seen = Seen::new(past, scope, &self.known);
        // Usually many messages follow each other with nothing governing between them.
        let key = past.key();
        let best = match self.usable.get(&key) {
            Some(best) => *best,
            None => {
                let best = seen.or_failure(rules::best_usable(&seen))?;
                if self.usable.len() >= JUDGED {
                    self.usable.clear();
                }
                self.usable.insert(key, best);
                best
            }
        };
        let wrong = rules::violation(&seen, best, &header.author, &epoch, header.counter, before);
        seen.or_failure(wrong.is_some())
    }
}

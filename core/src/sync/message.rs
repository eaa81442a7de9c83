//! The messages inside a channel.

use borsh::{BorshDeserialize, BorshSerialize};

use super::batch::Batch;
use super::proof::Covered;
use super::{Failure, Refusal, Tips};
use crate::encryption::Wrapped;
use crate::limits;
use crate::replica::payload::Add;
use crate::replica::{MemberId, TransactionId};

#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Message {
    /// "I hold this member key", with what makes it a member's.
    Prove { member: MemberId, signature: [u8; 64], supporting: Vec<Covered> },
    /// "I hold the key that I ask to be added."
    Join { request: Add, signature: [u8; 64] },
    /// "You are added."
    Admitted { transactions: Vec<Covered> },
    /// "No." The channel is closed.
    Refused { reason: Refusal },
    /// "You were removed": a page of what proves it. After the last, the channel is closed.
    Evidence { transactions: Vec<Covered>, last: bool },
    /// Begins comparison `round`, or answers its beginning.
    Hello(Hello),
    /// A page of the sender's tips, authors ascending over all pages. After two different digests only.
    Vector { authors: Vec<Tips>, last: bool },
    /// What was found to be lacking, before the first batch of the round.
    Plan { transactions: u64 },
    /// Transactions; counted against the window.
    Batch(Batch),
    /// Everything planned was sent.
    End,
    /// "All of the round is durable here"; `complete` if every tip of your vector is now known.
    Done { complete: bool },
    /// The next `count` batches, of those that were not acknowledged yet, are durable.
    Acknowledge { count: u32 },
    /// Asks for transactions by id. One at a time.
    Want { ids: Vec<TransactionId> },
    /// Ends the answer to `Want`, after a batch with what fitted of it: what is not here, or cannot be shown.
    Given { lacking: Vec<TransactionId> },
    /// "I hold these, and have no keys to open them." One question at a time.
    Lacking { ids: Vec<TransactionId> },
    /// What some of those say, in answer or later; and which cannot be opened here either. The rest is to be asked for again.
    Shares { opened: Vec<(TransactionId, Vec<u8>)>, unable: Vec<TransactionId> },
    /// "I cannot open the keys that you made for me." Once in a session.
    Complain,
    /// "What am I to get of the wraps of this epoch?"
    AskWraps { epoch: TransactionId },
    /// That; or nothing: they are not here, or not for you.
    Wraps { epoch: TransactionId, given: Option<Wrapped> },
    /// "Those that you asked for in vain are here now."
    HaveWraps { epoch: TransactionId },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Hello {
    pub(super) version: u16,
    /// 1, 2, 3 … in a session.
    pub(super) round: u64,
    /// Of the last certified checkpoint; 0 while there are none.
    pub(super) height: u64,
    pub(super) digest: [u8; 32],
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        // Writing into a vector cannot fail.
        borsh::to_vec(self).unwrap_or_default()
    }

    /// Decodes and checks the limits that hold for any one message.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        if bytes.len() > limits::FRAME {
            return Err(Failure::Garbage);
        }
        let message: Self = borsh::from_slice(bytes).map_err(|_| Failure::Garbage)?;
        let within = match &message {
            Self::Prove { supporting, .. } => supporting.len() <= limits::SYNC_LINEAGE,
            Self::Admitted { transactions } => transactions.len() <= limits::SYNC_SUPPORTING,
            Self::Evidence { transactions, last } => !transactions.is_empty() || *last,
            Self::Vector { authors, last } => {
                (!authors.is_empty() || *last)
                    && authors.windows(2).all(|pair| pair[0].author < pair[1].author)
                    && authors.iter().all(|author| {
                        !author.tips.is_empty()
                            && author.tips.windows(2).all(|pair| pair[0] < pair[1])
                            && author.tips.iter().all(|tip| tip.sequence > 0)
                    })
            }
            Self::Acknowledge { count } => *count > 0,
            Self::Want { ids } => (1..=limits::SYNC_WANTED).contains(&ids.len()),
            Self::Lacking { ids } => (1..=limits::SYNC_WANTED).contains(&ids.len()),
            Self::Shares { opened, unable } => {
                opened.len() <= limits::SYNC_WANTED && unable.len() <= limits::SYNC_WANTED
            }
            Self::Given { lacking } => lacking.len() <= limits::SYNC_WANTED,
            Self::Wraps { given: Some(Wrapped::Own(leaf)), .. } => {
                leaf.wrap.len() <= limits::WRAP && leaf.path.len() <= limits::WRAP_PATH
            }
            Self::Wraps { given: Some(Wrapped::All(wraps)), .. } => wraps.len() <= limits::WRAPS_SHARED,
            _ => true,
        };
        if within { Ok(message) } else { Err(Failure::Garbage) }
    }
}

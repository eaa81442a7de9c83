//! An admin shows a removal that its history does not hold, signed and with a past that nobody has.
//!
//! What failed: the fuzz target `session` had a junior admin sign a `Remove` of the founder and show it as evidence. It was never let into the history, where
//! it would have been rejected as not a senior's. But the founder's node believed it, since its author was an admin, and refused to write from then on.

use kith_core::ErrorKind;
use kith_core::node::{Context, CreateOptions, InviteOptions, Node};
use kith_core::replica::payload::{Remove, SetRole};
use kith_core::replica::{Draft, MemberId, Payload, Role, Transaction, TransactionId};

use crate::liar::Liar;
use crate::nodes::{self, equal, join, key};
use crate::scene::{local, wait_for};

impl Liar {
    fn removal_of(&self, member: MemberId) -> Transaction {
        self.apart(&Payload::Remove(Remove { member, last: Vec::new() }))
    }

    /// Signed, with a past that nobody has.
    fn apart(&self, payload: &Payload) -> Transaction {
        let draft = Draft {
            context: self.story.replica.context(),
            sequence: 1_000,
            previous: TransactionId([9; 32]),
            parents: Vec::new(),
            lamport: 1_000,
            timestamp: 1,
            kind: payload.kind(),
            plaintext: payload.encode(),
            commitment_key: [5; 32],
        };
        draft.sign(&self.key)
    }

    /// "You were removed."
    async fn show(&mut self, signed: &[Transaction]) {
        let mut message = vec![4];
        message.extend(u32::try_from(signed.len()).unwrap().to_le_bytes());
        for transaction in signed {
            message.extend(borsh::to_vec(&transaction.header).unwrap());
            message.extend(borsh::to_vec(&transaction.payload).unwrap());
            message.extend(0u32.to_le_bytes());
            message.extend(transaction.signature.unwrap());
        }
        message.push(1);
        self.say(message).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_only_its_author_shows_counts_against_juniors_alone() {
    nodes::log();
    let (founders, writers) = (Node::open(local()).await.unwrap(), Node::open(local()).await.unwrap());
    let senior = founders.create_context(CreateOptions::default()).await.unwrap();
    let below = join(&senior, &writers, Role::Writer).await.unwrap();
    let mut options = InviteOptions::default();
    options.role = Role::Admin;
    let mut admin = Liar::join(&senior.invite(options).await.unwrap()).await;
    equal(&senior, &below).await;

    let removal = admin.removal_of(senior.me());
    let demotion = SetRole { member: senior.me(), role: Role::Reader, last: Some(Vec::new()) };
    let demotion = admin.apart(&Payload::SetRole(demotion));
    admin.show(&[demotion, removal]).await;
    // The channel ends with what was said on it.
    admin.until(|liar| !liar.has_session()).await;
    admin.come_back().await;
    senior.put(key("x"), b"the founder goes on").await.unwrap();
    equal(&senior, &below).await;

    // Nor does a reader make itself an admin, to whom a writer gave way.
    let mut options = InviteOptions::default();
    options.role = Role::Reader;
    let mut reader = Liar::join(&senior.invite(options).await.unwrap()).await;
    equal(&senior, &below).await;
    reader.go_to(writers.addresses().remove(0)).await;
    let removal = reader.removal_of(below.me());
    let promotion = SetRole { member: reader.member(), role: Role::Admin, last: None };
    let promotion = reader.apart(&Payload::SetRole(promotion));
    reader.show(&[promotion, removal.clone()]).await;
    reader.until(|liar| !liar.has_session()).await;
    below.put(key("x"), b"the writer goes on").await.unwrap();
    equal(&senior, &below).await;

    // The control: with the word of one that is an admin, the same counts.
    reader.come_back().await;
    let promotion = SetRole { member: reader.member(), role: Role::Admin, last: None };
    let promotion = admin.apart(&Payload::SetRole(promotion));
    reader.show(&[promotion, removal]).await;
    removed(&below).await;
    senior.put(key("x"), b"still").await.unwrap();
    for node in [founders, writers] {
        node.shutdown().await.unwrap();
    }
}

async fn removed(context: &Context) {
    wait_for("the removal", || async {
        context.put(key("x"), b"y").await.is_err_and(|error| error.kind() == ErrorKind::NotMember)
    })
    .await;
}

//! Members that ask for wraps of an epoch which are not for them: in a context so large that the wraps are not in the `Epoch` itself.

use ed25519_dalek::SigningKey;
use kith_core::encryption::{Epoch, Scope, Suite, Wrapped, Wraps};
use kith_core::node::machine::first_keys;
use kith_core::node::{Context, CreateOptions, Encryption, InviteOptions, Level, Node};
use kith_core::replica::payload::{Add, KeyPackage};
use kith_core::replica::{MemberId, Payload, Role, TransactionId};

use crate::liar::Liar;
use crate::nodes::{self, key};
use crate::scene::{local, wait_for};

/// With the creator and one more these are more than an `Epoch` of the second suite carries wraps for.
const OTHERS: u8 = 30;

fn member(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number + 1; 32])
}

fn id(key: &SigningKey) -> MemberId {
    MemberId(key.verifying_key().to_bytes())
}

/// First keys, other ones for each number.
fn package(number: u8) -> KeyPackage {
    first_keys(Suite::XWing as u8, MemberId([0; 32]), [number; 32]).unwrap().0
}

async fn has_members(context: &Context, count: usize) {
    wait_for("the members", || async { context.members().await.unwrap().len() == count }).await;
}

impl Liar {
    /// An admin's word that somebody is a member, truly and for all to see.
    async fn admit(&mut self, member: &SigningKey, number: u8) {
        let context = self.story.replica.context();
        let add = Add::request(&context, member, Role::Writer, package(number), None);
        let written = self.author(&format!("admission {number}"), Payload::Add(add));
        let ids: Vec<TransactionId> = written.iter().map(|transaction| transaction.header.id()).collect();
        self.with_session(|session, story, now| session.added(&ids, 0, story, now)).await;
    }

    async fn has(&mut self, transaction: TransactionId) {
        self.until(|liar| liar.story.replica.has(&liar.story.tables, &transaction).unwrap()).await;
    }

    /// Asks as a session does, and waits for the answer.
    async fn ask(&mut self, epoch: TransactionId) -> Option<Wrapped> {
        let before = self.wraps.len();
        self.with_session(|session, story, now| session.ask_wraps(epoch, story, now)).await;
        self.until(|liar| liar.wraps.len() > before).await;
        self.wraps.pop().flatten()
    }

    /// The same question in bytes, whatever the session is up to.
    async fn say_ask(&mut self, epoch: TransactionId) {
        self.say([&[17][..], &epoch.0].concat()).await;
    }
}

/// What an epoch says, who made it, and whom it has wraps for, in their order.
fn recipients(
    liar: &Liar,
    epoch: TransactionId,
    mut members: Vec<MemberId>,
) -> (Epoch, MemberId, Vec<MemberId>) {
    let found = liar.story.replica.transaction(&liar.story.tables, &epoch).unwrap().unwrap();
    let Some(Payload::Epoch(said)) = Payload::decode(found.header.kind, found.plaintext()) else {
        panic!("no epoch")
    };
    let scope = Scope { suite: Suite::XWing, context: liar.story.replica.context() };
    let author = found.header.author;
    members.sort_unstable();
    members.retain(|member| *member != author);
    (Epoch::decode(&scope, &said).unwrap(), author, members)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wraps_go_to_those_alone_whom_they_were_made_for() {
    nodes::log();
    let node = Node::open(local()).await.unwrap();
    let mut options = CreateOptions::default();
    options.encryption = Encryption::XWing;
    let context = node.create_context(options).await.unwrap();
    let mut options = InviteOptions::default();
    options.role = Role::Admin;
    let invitation = context.invite(options).await.unwrap();
    let mut admin = Liar::join_with(&invitation, package(200)).await;
    for number in 0..OTHERS {
        admin.admit(&member(number), number).await;
    }
    has_members(&context, usize::from(OTHERS) + 2).await;
    let members: Vec<MemberId> = context.members().await.unwrap().iter().map(|member| member.id).collect();
    context.put(key("a call"), b"under an epoch for all of them").await.unwrap();
    let epoch = context.security().await.unwrap().epoch.unwrap();
    admin.has(epoch).await;
    let (said, author, recipients) = recipients(&admin, epoch, members);
    assert!(matches!(said.wraps, Wraps::Root(_)), "control: the wraps are apart");
    assert_eq!((said.recipients as usize, author), (recipients.len(), context.me()));

    // The control: who is a recipient and asks in this way gets them, and so does who asks in bytes.
    let scope = Scope { suite: Suite::XWing, context: context.id() };
    let is_theirs = |who: &SigningKey, given: Option<Wrapped>| {
        let index = recipients.iter().position(|member| *member == id(who)).unwrap();
        given.is_some_and(|given| said.proves(&scope, &author, index, &given))
    };
    let mut recipient = admin.come_as(member(0)).await;
    assert!(is_theirs(&member(0), recipient.ask(epoch).await));
    let mut recipient = admin.come_as(member(1)).await;
    recipient.say_ask(epoch).await;
    recipient.until(|liar| !liar.wraps_heard.is_empty()).await;
    assert!(recipient.wraps_heard[0].len() > 30 << 10);

    // Admitted after it was made.
    admin.admit(&member(100), 100).await;
    has_members(&context, usize::from(OTHERS) + 3).await;
    let mut newcomer = admin.come_as(member(100)).await;
    assert_eq!(newcomer.ask(epoch).await, None);

    // Removed: on the channel that it has, and on another one.
    let mut removed = admin.come_as(member(2)).await;
    let removal = context.remove(id(&member(2))).await.unwrap();
    removed.say_ask(epoch).await;
    removed.until(|liar| !liar.has_session()).await;
    removed.hang_up().await;
    removed.connect().await;
    removed.until(Liar::has_session).await;
    removed.say_ask(epoch).await;
    removed.until(|liar| !liar.has_session()).await;
    assert_eq!((removed.wraps_heard.len(), removed.wraps.len()), (0, 0));

    // Admitted again it is a member, and was one when the epoch was made; by another admission, with other keys.
    admin.has(removal).await;
    admin.admit(&member(2), 102).await;
    has_members(&context, usize::from(OTHERS) + 3).await;
    let mut back = admin.come_as(member(2)).await;
    assert_eq!(back.ask(epoch).await, None);

    // The control, once more: they are there still.
    let mut recipient = admin.come_as(member(3)).await;
    assert!(is_theirs(&member(3), recipient.ask(epoch).await));
    let value = context.get(key("a call"), Level::Tentative).await.unwrap();
    assert_eq!(value.as_deref(), Some(&b"under an epoch for all of them"[..]));
    node.shutdown().await.unwrap();
}

//! A member signs what its payload says falsely, in each field of each kind, and passes it on through its own session. (Headers and signatures:
//! `forged.rs`.) What proves itself wrong ends the session; what is only too much for its author is taken, and rejected at its place. The context is
//! not sealed, so that calls and keys are among what is judged by what it says; what governs is as readable in one that is.

use ed25519_dalek::SigningKey;
use kith_core::node::Encryption;
use kith_core::replica::payload::{
    Add, CallPayload, Fork, Genesis, Invite, KeyPackage, Named, Policy, Redeemed, Remove, RevokeInvite,
    SetName, SetRole, SignedRun, Skip, Tip,
};
use kith_core::replica::{
    ContextId, Draft, Header, Kind, MemberId, Payload, Role, Transaction, TransactionId,
};

use crate::network::TCP;
use crate::scene::{Scene, parted, wait_for};

/// What comes of a lie.
#[derive(Clone, Copy)]
enum Answer {
    /// The session ends, and nothing is kept of it.
    Closes,
    /// It is part of the history, and does nothing.
    Takes,
}

/// What a liar knows.
struct Around {
    context: ContextId,
    creator: MemberId,
    /// Of the creator, and what it says its own are.
    genesis: TransactionId,
    invite: TransactionId,
    role: Role,
    /// The invitation's private half.
    invite_key: SigningKey,
    /// Its last own transaction, signed and in the history.
    own: (Header, [u8; 64]),
}

impl Around {
    /// A true request of somebody to be added.
    fn add(&self) -> Add {
        let somebody = SigningKey::from_bytes(&[77; 32]);
        let redeemed = Some((self.invite, &self.invite_key));
        Add::request(&self.context, &somebody, self.role, KeyPackage::default(), redeemed)
    }

    fn add_with(&self, change: impl FnOnce(&mut Add)) -> Payload {
        let mut add = self.add();
        change(&mut add);
        Payload::Add(add)
    }

    fn tip(&self) -> Tip {
        Tip { sequence: 1, id: self.genesis }
    }

    fn fork(&self, change: impl FnOnce(&mut Fork)) -> Payload {
        let run = || SignedRun { headers: vec![self.own.0.clone()], signature: self.own.1 };
        let mut fork = Fork { member: self.own.0.author, one: run(), other: run(), last: Vec::new() };
        change(&mut fork);
        Payload::Fork(fork)
    }

    fn genesis(&self) -> Genesis {
        Genesis {
            format: 1,
            random: [1; 32],
            application: "kv".into(),
            arguments: Vec::new(),
            name: String::new(),
            access_key: [2; 32],
            suite: 0,
            policy: Policy::default(),
            key_package: KeyPackage::default(),
        }
    }
}

fn call(method: &str, arguments: &[u8]) -> Payload {
    Payload::Call(CallPayload { method: method.into(), arguments: arguments.to_vec() })
}

fn invite(role: Role, max_uses: u32) -> Payload {
    Payload::Invite(Invite { key: MemberId([3; 32]), role, not_after: 0, max_uses, note: String::new() })
}

fn set_role(member: MemberId, role: Role, last: Option<Vec<Tip>>) -> Payload {
    Payload::SetRole(SetRole { member, role, last })
}

/// A draft that follows a transaction of the same author.
fn following(before: &Transaction, plaintext: Vec<u8>) -> Draft {
    Draft {
        context: before.header.belongs_to(),
        sequence: before.header.sequence + 1,
        previous: before.header.id(),
        parents: Vec::new(),
        lamport: before.header.lamport + 1,
        timestamp: 1,
        kind: Kind::Call,
        plaintext,
        commitment_key: [5; 32],
    }
}

fn wrong(tip: Tip) -> Tip {
    Tip { sequence: tip.sequence + 8, ..tip }
}

type Lie = fn(&Around) -> Payload;

const LIES: &[(&str, Answer, Lie)] = &[
    ("genesis", Answer::Closes, |around| Payload::Genesis(around.genesis())),
    ("a call's method", Answer::Takes, |_| call("nothing", b"")),
    ("a call's arguments", Answer::Takes, |_| call("put", &[0xff; 100])),
    ("an invitation by a writer", Answer::Takes, |_| invite(Role::Admin, 1)),
    ("an invitation's uses", Answer::Takes, |_| invite(Role::Admin, u32::MAX)),
    ("a revocation of what is no invitation", Answer::Closes, |around| {
        Payload::RevokeInvite(RevokeInvite { invite: around.genesis })
    }),
    ("a revocation by a writer", Answer::Takes, |around| {
        Payload::RevokeInvite(RevokeInvite { invite: around.invite })
    }),
    ("who is added", Answer::Closes, |around| around.add_with(|add| add.member = MemberId([4; 32]))),
    ("the role that is added", Answer::Closes, |around| around.add_with(|add| add.role = Role::Admin)),
    ("the joiner's keys", Answer::Closes, |around| {
        around.add_with(|add| add.key_package.ratchet_key = vec![9; 32])
    }),
    ("the joiner's suite", Answer::Closes, |around| around.add_with(|add| add.key_package.suite = 1)),
    ("the joiner's time", Answer::Closes, |around| around.add_with(|add| add.key_package.not_after = 7)),
    ("the joiner's consent", Answer::Closes, |around| around.add_with(|add| add.consent[0] ^= 1)),
    ("what is redeemed", Answer::Closes, |around| {
        let signature = around.add().redeemed.unwrap().signature;
        around.add_with(|add| add.redeemed = Some(Redeemed { invite: around.genesis, signature }))
    }),
    ("the word of what is redeemed", Answer::Closes, |around| {
        around.add_with(|add| add.redeemed.as_mut().unwrap().signature[0] ^= 1)
    }),
    ("an admission without an invitation, by a writer", Answer::Takes, |around| {
        around.add_with(|add| add.redeemed = None)
    }),
    ("a removal's tip", Answer::Closes, |around| {
        Payload::Remove(Remove { member: around.creator, last: vec![wrong(around.tip())] })
    }),
    ("whose a removal's tip is", Answer::Closes, |around| {
        Payload::Remove(Remove { member: MemberId([5; 32]), last: vec![around.tip()] })
    }),
    ("a removal by a writer", Answer::Takes, |around| {
        Payload::Remove(Remove { member: around.creator, last: vec![around.tip()] })
    }),
    ("a demotion's tip", Answer::Closes, |around| {
        set_role(around.creator, Role::Reader, Some(vec![wrong(around.tip())]))
    }),
    ("whose a demotion's tip is", Answer::Closes, |around| {
        set_role(around.own.0.author, Role::Reader, Some(vec![around.tip()]))
    }),
    ("a demotion by a writer", Answer::Takes, |around| {
        set_role(around.creator, Role::Reader, Some(vec![around.tip()]))
    }),
    ("a role of one's own", Answer::Takes, |around| set_role(around.own.0.author, Role::Admin, None)),
    ("two histories that are one", Answer::Closes, |around| around.fork(|_| ())),
    ("whose two histories", Answer::Closes, |around| around.fork(|fork| fork.member = around.creator)),
    ("two histories' signature", Answer::Closes, |around| around.fork(|fork| fork.one.signature[0] ^= 1)),
    ("two histories of nothing", Answer::Closes, |around| around.fork(|fork| fork.one.headers.clear())),
    ("what is skipped", Answer::Closes, |around| Payload::Skip(Skip { transaction: around.genesis })),
    ("a skip by a writer", Answer::Takes, |around| Payload::Skip(Skip { transaction: around.own.0.id() })),
    ("an epoch where nothing is sealed", Answer::Takes, |_| Payload::Epoch(vec![1; 100])),
    ("a key where nothing is sealed", Answer::Takes, |_| Payload::RefreshKey(vec![1; 100])),
    ("the context's name, by a writer", Answer::Takes, |_| {
        Payload::SetName(SetName { whose: Named::Context, name: "mine".into() })
    }),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_payload_says_falsely_does_nothing() {
    let scene = Scene::of(Encryption::Off, TCP).await;
    let invitation = scene.invitation().await;
    let mut liar = crate::liar::Liar::join(&invitation).await;
    let history = scene.attacked.history(None, 1).await.unwrap();
    let written = liar.write("true", b"true");
    let mut last = written.last().unwrap().clone();
    let true_id = *liar.push(written).await.last().unwrap();
    wait_for("what is true is taken", || async {
        scene.attacked.transaction(true_id).await.unwrap().is_some()
    })
    .await;
    let around = Around {
        context: scene.attacked.id(),
        creator: scene.attacked.me(),
        genesis: history[0].id,
        invite: invitation.invite,
        role: invitation.role,
        invite_key: invitation.key(),
        own: (last.header.clone(), last.signature.unwrap()),
    };
    let before = scene.attacked.members().await.unwrap();
    let mut events = scene.attacked.events(None).await.unwrap();
    let names = format!("{before:?}, {:?}", scene.node.contexts().unwrap());
    for (what, answer, lie) in LIES {
        println!("said falsely: {what}");
        let payload = lie(&around);
        let mut draft = following(&last, payload.encode());
        draft.kind = payload.kind();
        let lie = draft.sign(&liar.key);
        let (id, closed) = (lie.header.id(), liar.closed);
        liar.push(vec![lie.clone()]).await;
        match answer {
            Answer::Closes => {
                liar.until(|liar| liar.closed > closed).await;
                let reason = parted(&mut events, &liar).await;
                assert!(reason.starts_with("misbehaved: "), "{what}: {reason}");
                assert!(scene.attacked.transaction(id).await.unwrap().is_none(), "{what}");
                liar.story.lies.clear();
                liar.come_back().await;
            }
            Answer::Takes => {
                wait_for(what, || async {
                    scene.attacked.transaction(id).await.unwrap().is_some_and(|info| info.receipt.is_some())
                })
                .await;
                let receipt = scene.attacked.transaction(id).await.unwrap().unwrap().receipt.unwrap();
                let keys = matches!(payload, Payload::Epoch(_) | Payload::RefreshKey(_));
                assert!(keys || !receipt.accepted(), "{what}: {receipt:?}");
                assert_eq!(liar.closed, closed, "{what}");
                liar.story.take(lie.clone());
                last = lie;
            }
        }
        let now = scene.attacked.members().await.unwrap();
        assert_eq!(format!("{now:?}, {:?}", scene.node.contexts().unwrap()), names, "{what}");
    }
    // The control: the same request, nothing changed.
    let payload = Payload::Add(around.add());
    let mut draft = following(&last, payload.encode());
    draft.kind = payload.kind();
    liar.push(vec![draft.sign(&liar.key)]).await;
    wait_for("who was truly admitted", || async {
        scene.attacked.members().await.unwrap().len() == before.len() + 1
    })
    .await;
    liar.hang_up().await;
    scene.ends_whole("false payloads").await;
}

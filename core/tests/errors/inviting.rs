//! Tokens that are no good, and what members answer to those who come with one.

use std::time::Duration;

use bech32::{Bech32m, Hrp};
use ed25519_dalek::SigningKey;
use kith_core::invitation::{Invitation, Unsigned};
use kith_core::network::{Config, Event, Hub, Limits, Network, PeerId};
use kith_core::node::{CreateOptions, InviteOptions, Node, Options};
use kith_core::replica::payload::Tip;
use kith_core::replica::{MemberId, Role, Transaction, TransactionId};
use kith_core::sync::{History, Link, LinkOutput, Local, Output, Position, Refusal, Session, Standing, Tips};
use kith_core::{ErrorKind, Result};

use crate::nodes::{PATIENCE, open};
use crate::table::Table;
use crate::unwell::hurry;

pub(crate) async fn bad_tokens(table: &mut Table) {
    let hub = Hub::new();
    let (anna, ben, cleo) = (open(&hub).await, open(&hub).await, open(&hub).await);
    let context = anna.create_context(CreateOptions::default()).await.unwrap();
    let good = context.invite(InviteOptions::default()).await.unwrap();

    table.case("damaged tokens");
    let invalid = ErrorKind::InvitationInvalid;
    let text = good.to_text();
    let damaged = text.replacen('q', "p", 1);
    for text in ["", "kith1", "hello", &text[..text.len() - 1], &damaged, &text.repeat(3)] {
        table.shows("Invitation::from_text", invalid, Invitation::from_text(text));
        table.shows("Node::inspect", invalid, ben.inspect(text));
        table.shows("Node::join", invalid, ben.join(text, hurry()).await);
    }
    let bytes = good.to_bytes();
    let mut changed = bytes.clone();
    changed[40] ^= 1;
    for bytes in [&[][..], &[2], &bytes[1..], &bytes[..bytes.len() - 1], &changed, &[2; 601]] {
        if bytes.first().is_none_or(|version| *version == 2) {
            table.shows("Invitation::from_bytes", invalid, Invitation::from_bytes(bytes));
        }
    }

    table.case("a token of another version");
    let mut newer = bytes.clone();
    newer[0] += 1;
    let other = ErrorKind::VersionMismatch;
    table.shows("Invitation::from_bytes", other, Invitation::from_bytes(&newer));
    let newer = bech32::encode::<Bech32m>(Hrp::parse("kith").unwrap(), &newer).unwrap();
    table.shows("Invitation::from_text", other, Invitation::from_text(&newer));
    table.shows("Node::inspect", other, ben.inspect(&newer));
    table.shows("Node::join", other, ben.join(&newer, hurry()).await);

    table.case("tokens that are over");
    let mut options = InviteOptions::default();
    options.expires_in = Some(Duration::ZERO);
    let expired = context.invite(options).await.unwrap();
    table.shows("Node::join", ErrorKind::InvitationExpired, ben.join(&expired.to_text(), hurry()).await);
    let revoked = context.invite(InviteOptions::default()).await.unwrap();
    context.revoke(revoked.invite).await.unwrap();
    let patient = kith_core::node::JoinOptions::default;
    table.shows("Node::join", ErrorKind::InvitationRevoked, ben.join(&revoked.to_text(), patient()).await);
    cleo.join(&text, patient()).await.unwrap();
    table.shows("Node::join", ErrorKind::InvitationUsed, ben.join(&text, patient()).await);
    assert_eq!(ben.contexts().unwrap().len(), 0, "nothing of a context stays that could not be joined");
    for node in [anna, ben, cleo] {
        node.shutdown().await.unwrap();
    }
}

/// A history of which nothing is shown.
struct Nothing;

impl History for Nothing {
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
    fn chain(&self, _: &MemberId, _: Tip, _: usize, _: usize) -> Result<Vec<(TransactionId, Transaction)>> {
        Ok(Vec::new())
    }
    fn standing(&self, _: &MemberId, _: &[Transaction]) -> Result<Standing> {
        Ok(Standing::Unknown)
    }
}

/// A member's node that gives everybody who comes the same answer; and the token that leads to it.
async fn refuser(secret: u8, refusal: Refusal) -> (Network, String) {
    let mut config = Config::new([secret; 32]);
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".into()];
    let (network, mut events) = Network::start(config).unwrap();
    let listening = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap();
    let Some(Event::Listening { address }) = listening else { panic!("{listening:?}") };
    let key = SigningKey::from_bytes(&[secret; 32]);
    let context = kith_core::replica::ContextId([secret; 32]);
    let unsigned = Unsigned {
        context,
        access_key: [2; 32],
        invite: TransactionId([3; 32]),
        secret: [4; 32],
        suite: 1,
        application: "kv".into(),
        role: Role::Writer,
        not_after: 0,
        note: String::new(),
        addresses: vec![address],
    };
    let token = Invitation::sign(unsigned, &key).unwrap().to_text();
    let answering = network.clone();
    tokio::spawn(async move {
        let (mut line, mut session) = (None, None);
        while let Some(event) = events.recv().await {
            let mut frames = Vec::new();
            let outputs = match event {
                Event::LinkUp { link, peer, .. } => {
                    let own = answering.peer_id().to_bytes();
                    let (mut state, hello) = Link::new(&own, &peer.to_bytes(), [secret; 32]).unwrap();
                    frames.push(hello);
                    let outputs = state.add(context, [2; 32], false);
                    line = Some((link, state));
                    outputs
                }
                Event::Frame { bytes, .. } => match &mut line {
                    Some((_, state)) => state.receive(&bytes, [9; 32]).unwrap(),
                    None => continue,
                },
                _ => continue,
            };
            let Some((link, state)) = &mut line else { continue };
            for output in outputs {
                let mut said = match output {
                    LinkOutput::Send(frame) => {
                        frames.push(frame);
                        continue;
                    }
                    LinkOutput::Opened { channel, binding } => {
                        let local = Local::Member { supporting: Vec::new() };
                        let (begun, said) = Session::new(binding, &key, local, 1, &Nothing, 0).unwrap();
                        session = Some((channel, begun));
                        said
                    }
                    LinkOutput::Message { message, .. } => match &mut session {
                        Some((_, session)) => session.receive(&message, &Nothing, 0).unwrap(),
                        None => continue,
                    },
                    _ => continue,
                };
                let Some((channel, session)) = &mut session else { continue };
                if said.iter().any(|output| matches!(output, Output::Admit(_))) {
                    said.extend(session.refused(refusal, &Nothing, 0).unwrap());
                }
                for output in said {
                    if let Output::Send { message, .. } = output {
                        frames.extend(state.message(*channel, message));
                    }
                }
            }
            for frame in frames {
                // The other side may be gone.
                let _ = answering.send(*link, frame).await;
            }
        }
    });
    (network, token)
}

pub(crate) async fn what_members_answer(table: &mut Table) {
    table.case("what members answer to those who ask to be let in");
    let node = Node::open(Options::default()).await.unwrap();
    let refusals = [
        Refusal::NotMember,
        Refusal::Removed,
        Refusal::InvitationInvalid,
        Refusal::InvitationExpired,
        Refusal::InvitationUsed,
        Refusal::InvitationRevoked,
        Refusal::Full,
    ];
    for (number, refusal) in (100u8..).zip(refusals) {
        let (network, token) = refuser(number, refusal).await;
        let joining = node.join(&token, kith_core::node::JoinOptions::default());
        table.shows("Node::join", refusal.kind(), joining.await);
        network.shutdown().await;
    }

    table.case("a member that cannot let anybody in now");
    // It may be able to later, or another one is: the joiner goes on asking until its time is over.
    let (network, token) = refuser(120, Refusal::NotNow).await;
    table.shows("Node::join", ErrorKind::Timeout, node.join(&token, hurry()).await);
    network.shutdown().await;
    node.shutdown().await.unwrap();
}

pub(crate) async fn nobody_to_reach(table: &mut Table) {
    table.case("nobody to reach");
    let mut options = Options::default();
    options.listen = vec!["/ip4/127.0.0.1/tcp/0".into()];
    let gone = Node::open(options).await.unwrap();
    let address = gone.addresses().remove(0);
    let context = gone.create_context(CreateOptions::default()).await.unwrap();
    let token = context.invite(InviteOptions::default()).await.unwrap().to_text();
    gone.shutdown().await.unwrap();
    let node = Node::open(Options::default()).await.unwrap();
    table.shows("Node::connect", ErrorKind::Unreachable, node.connect(&address).await);
    table.shows("Node::join", ErrorKind::Unreachable, node.join(&token, hurry()).await);

    table.case("a peer of another version");
    let mut raw = crate::network::Raw::start(crate::network::secret()).await;
    let address = raw.address.clone();
    let other = async {
        let mut talk = raw.accept().await;
        talk.control(&crate::network::hello(2, 3)).await;
        talk.goodbye().await
    };
    let (connected, (code, _)) = tokio::join!(node.connect(&address), other);
    assert_eq!(code, 2);
    table.shows("Node::connect", ErrorKind::VersionMismatch, connected);

    table.case("more peers than are kept connected");
    let hub = Hub::new();
    let mut options = Options::in_memory(&hub);
    let most = Limits::default().known_peers;
    let nobody = (0..most).map(|number| {
        let mut secret = [7; 32];
        secret[..8].copy_from_slice(&(number as u64).to_le_bytes());
        PeerId::of_identity(&secret).to_string()
    });
    options.bootstrap = nobody.map(|peer| format!("/memory/1/p2p/{peer}")).collect();
    let (popular, late) =
        (Node::open(options).await.unwrap(), Node::open(Options::in_memory(&hub)).await.unwrap());
    let known = async {
        while popular.status().await.unwrap().peers.len() < most {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.expect("all of them are dialled");
    table.shows("Node::connect", ErrorKind::LimitExceeded, popular.connect(&late.addresses()[0]).await);
    popular.shutdown().await.unwrap();
    late.shutdown().await.unwrap();

    table.case("addresses that are none");
    let own = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", node.id());
    for address in ["", "hello", "/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/99999/p2p/x", &own] {
        table.shows("Node::connect", ErrorKind::InvalidArgument, node.connect(address).await);
    }
    node.shutdown().await.unwrap();
}

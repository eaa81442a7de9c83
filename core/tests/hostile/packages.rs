//! Joiners with first keys that nobody may be added with: the member whom they ask refuses them, whatever invitation they have.

use kith_core::encryption::Suite;
use kith_core::node::machine::first_keys;
use kith_core::node::{CreateOptions, Encryption, InviteOptions, Node};
use kith_core::replica::MemberId;
use kith_core::replica::payload::KeyPackage;
use kith_core::sync::{Ended, Refusal};

use crate::liar::Liar;
use crate::nodes;
use crate::scene::local;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_with_keys_that_are_none_late_or_used_is_not_let_in() {
    nodes::log();
    for (suite, encryption) in [(Suite::X25519, Encryption::X25519), (Suite::XWing, Encryption::XWing)] {
        let other = if suite == Suite::XWing { Suite::X25519 } else { Suite::XWing };
        let node = Node::open(local()).await.unwrap();
        let mut options = CreateOptions::default();
        options.encryption = encryption;
        let context = node.create_context(options).await.unwrap();
        let mut options = InviteOptions::default();
        options.max_uses = 100;
        let invitation = context.invite(options).await.unwrap();
        let package =
            |suite: Suite, number| first_keys(suite as u8, MemberId([0; 32]), [number; 32]).unwrap().0;

        let sound = package(suite, 1);
        assert_eq!(Liar::asks(&invitation, sound.clone()).await, None, "control");
        let mut small = package(suite, 2).ratchet_key;
        let end = small.len() - 32;
        small[end..].fill(0);
        let wrong = [
            ("used", sound),
            ("late", KeyPackage { not_after: 1, ..package(suite, 2) }),
            ("of small order", KeyPackage { ratchet_key: small, ..package(suite, 2) }),
            ("too short", KeyPackage { ratchet_key: vec![9; 31], ..package(suite, 2) }),
            ("of another suite", package(other, 2)),
            ("of no suite", KeyPackage::default()),
        ];
        for (name, package) in wrong {
            let refused = Some(Ended::RefusedByPeer(Refusal::InvitationInvalid));
            assert_eq!(Liar::asks(&invitation, package).await, refused, "{suite:?}: {name}");
        }
        assert_eq!(context.members().await.unwrap().len(), 2);
        // Nothing of that has used anything up: in time and fresh it is good.
        let package = KeyPackage { not_after: u64::MAX, ..package(suite, 2) };
        assert_eq!(Liar::asks(&invitation, package).await, None, "control");
        assert_eq!(context.members().await.unwrap().len(), 3);
        node.shutdown().await.unwrap();
    }
}

//! The checks of tokens.

use super::{Invitation, SIGNATURE_DOMAIN, Unsigned, VERSION};
use crate::Result;
use crate::fuzzing::{Input, signing_key};
use crate::limits;
use crate::replica::{ContextId, MemberId, Role, TransactionId};
use ed25519_dalek::Signer;

pub(crate) fn bytes(input: &Input<'_>) {
    if let Some(token) = input.canonical(|bytes| Invitation::from_bytes(bytes).ok(), Invitation::to_bytes) {
        taken(&token);
    }
}

pub(crate) fn text(input: &Input<'_>) {
    let decode = |bytes: &[u8]| Invitation::from_text(std::str::from_utf8(bytes).ok()?).ok();
    if let Some(token) = input.comes_back(decode, |token| token.to_text().into_bytes()) {
        taken(&token);
    }
}

/// The same bytes with a signature that is right: what is behind the check of the signature is looked at, too.
pub(crate) fn signed(input: &Input<'_>) {
    let Ok(mut token) = borsh::from_slice::<Invitation>(input.bytes) else { return };
    token.inviter = MemberId(signing_key(5).verifying_key().to_bytes());
    let message = blake3::derive_key(SIGNATURE_DOMAIN, &token.to_bytes()[..token.to_bytes().len() - 64]);
    token.signature = signing_key(5).sign(&message).to_bytes();
    let bytes = token.to_bytes();
    let right = token.version == VERSION && bytes.len() <= limits::INVITATION;
    self::bytes(&Input { bytes: &bytes, ..*input });
    let seen = &bytes[..bytes.len() - usize::from(input.lenient)];
    assert_eq!(Invitation::from_bytes(seen).ok(), right.then_some(token));
}

fn taken(token: &Invitation) {
    assert!(token.to_bytes().len() <= limits::INVITATION && token.to_text().len() <= 1000);
    assert_eq!(Invitation::from_text(&token.to_text()).as_ref().ok(), Some(token));
    assert!(super::qr_text(&token.to_text()).is_ok());
}

/// An invitation, for the tests too.
pub(super) fn token(note: &str, addresses: Vec<String>) -> Result<Invitation> {
    let unsigned = Unsigned {
        context: ContextId([1; 32]),
        access_key: [2; 32],
        invite: TransactionId([3; 32]),
        secret: [4; 32],
        suite: 1,
        application: "kv".into(),
        role: Role::Writer,
        not_after: 7,
        note: note.into(),
        addresses,
    };
    Invitation::sign(unsigned, &signing_key(5))
}

/// One with so many addresses of the longest usual kind.
#[cfg(test)]
pub(super) fn addressed(addresses: usize, note: &str) -> Result<Invitation> {
    const PEER: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    let address = |i| format!("/ip4/192.0.2.{i}/udp/4000/quic-v1/p2p/{PEER}");
    token(note, (0..addresses).map(address).collect())
}

fn tokens() -> Vec<Invitation> {
    let address = "/ip4/192.0.2.1/udp/4000/quic-v1".to_owned();
    [Vec::new(), vec![address]].into_iter().filter_map(|addresses| token("for Ben", addresses).ok()).collect()
}

pub(crate) fn byte_seeds() -> Vec<Vec<u8>> {
    tokens().iter().map(Invitation::to_bytes).collect()
}

pub(crate) fn text_seeds() -> Vec<Vec<u8>> {
    let upper = tokens().first().map(|token| token.to_text().to_uppercase().into_bytes());
    tokens().iter().map(|token| token.to_text().into_bytes()).chain(upper).collect()
}

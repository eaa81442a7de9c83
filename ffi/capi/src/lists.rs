//! The items of lists.

use std::ffi::c_char;

use kith_core::node::{ContextInfo, InvitationInfo, IssuedInvitation, MemberInfo, TransactionInfo};

use crate::options::{KITH_NO_ROLE, KITH_READER};

/// What an invitation says.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct kith_invitation_info {
    /// The context.
    pub context: [u8; 32],
    /// The member who invites.
    pub inviter: [u8; 32],
    /// The role that it gives.
    pub role: u32,
    /// Whether this node is a member of the context already.
    pub member: bool,
    /// ms since 1970; 0: no end.
    pub expires_at: u64,
    /// The name of the application.
    pub application: [c_char; 65],
    /// For people.
    pub note: [c_char; 129],
}

impl kith_invitation_info {
    pub(crate) fn of(info: &InvitationInfo) -> Self {
        Self {
            context: info.context.0,
            inviter: info.inviter.0,
            role: info.role as u32,
            member: info.member,
            expires_at: info.expires_at.unwrap_or(0),
            application: fixed(&info.application),
            note: fixed(&info.note),
        }
    }
}

/// A context that a node holds.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct kith_context_info {
    /// Its id.
    pub id: [u8; 32],
    /// Whether joining it has not come to its end.
    pub joining: bool,
    /// The name of its application; empty before the context's first transaction is here.
    pub application: [c_char; 65],
    /// What it is called; empty before the context's first transaction is here.
    pub name: [c_char; 129],
}

impl kith_context_info {
    pub(crate) fn of(info: &ContextInfo) -> Self {
        Self {
            id: info.id.0,
            joining: info.joining,
            application: fixed(&info.application),
            name: fixed(&info.name),
        }
    }
}

/// A member of a context.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct kith_member {
    /// Who.
    pub id: [u8; 32],
    /// The transaction that added it.
    pub added: [u8; 32],
    /// What it may do.
    pub role: u32,
    /// What it calls itself; empty: nothing. Nobody vouches for it: two members may have the same.
    pub name: [c_char; 129],
}

impl kith_member {
    pub(crate) fn of(info: &MemberInfo) -> Self {
        Self { id: info.id.0, added: info.added.0, role: info.role as u32, name: fixed(&info.name) }
    }
}

/// An invitation of a context, as its members see it.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct kith_invitation {
    /// Names the invitation; for kith_context_revoke.
    pub id: [u8; 32],
    /// The member who invites.
    pub inviter: [u8; 32],
    /// The role that it gives.
    pub role: u32,
    /// How many may join by it.
    pub max_uses: u32,
    /// How many have.
    pub uses: u32,
    /// Whether it was revoked.
    pub revoked: bool,
    /// ms since 1970; 0: no end.
    pub expires_at: u64,
    /// For people.
    pub note: [c_char; 129],
}

impl kith_invitation {
    pub(crate) fn of(info: &IssuedInvitation) -> Self {
        Self {
            id: info.id.0,
            inviter: info.inviter.0,
            role: info.role as u32,
            max_uses: info.max_uses,
            uses: info.uses,
            revoked: info.revoked,
            expires_at: info.expires_at.unwrap_or(0),
            note: fixed(&info.note),
        }
    }
}

/// The transaction is not executed yet.
pub const KITH_OUTCOME_PENDING: u32 = 0;
/// The transaction counts.
pub const KITH_OUTCOME_ACCEPTED: u32 = 1;
/// The transaction does nothing at its place.
pub const KITH_OUTCOME_REJECTED: u32 = 2;

/// A transaction of a context's history.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct kith_transaction {
    /// Its id.
    pub id: [u8; 32],
    /// The member that signed it.
    pub author: [u8; 32],
    /// Its place in the order. Places compare like their bytes.
    pub place: [u8; 48],
    /// Its number in its author's chain.
    pub sequence: u64,
    /// The author's clock, ms since 1970. The author may lie.
    pub timestamp: u64,
    /// The number of its kind.
    pub kind: u32,
    /// KITH_OUTCOME_…: what it did at its place.
    pub outcome: u32,
}

impl kith_transaction {
    pub(crate) fn of(info: &TransactionInfo) -> Self {
        Self {
            id: info.id.0,
            author: info.author.0,
            place: info.place.key(),
            sequence: info.sequence,
            timestamp: info.timestamp,
            kind: u32::from(info.kind),
            outcome: match &info.receipt {
                None => KITH_OUTCOME_PENDING,
                Some(receipt) if receipt.accepted() => KITH_OUTCOME_ACCEPTED,
                Some(_) => KITH_OUTCOME_REJECTED,
            },
        }
    }
}

/// A text in an array, cut at a character if it does not fit, ended by NUL.
pub(crate) fn fixed<const N: usize>(text: &str) -> [c_char; N] {
    let mut cut = text.len().min(N - 1);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut array = [0; N];
    for (place, byte) in array.iter_mut().zip(&text.as_bytes()[..cut]) {
        *place = c_char::from_ne_bytes([*byte]);
    }
    array
}

const _: () = assert!(KITH_NO_ROLE == 0 && KITH_READER == 1, "no role is none of the roles");
const _: () = assert!(kith_core::limits::NOTE == 128 && kith_core::limits::APPLICATION_NAME == 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_fit_is_cut_at_a_character() {
        let as_bytes = |array: &[c_char]| array.iter().map(|c| c.to_ne_bytes()[0]).collect::<Vec<u8>>();
        assert_eq!(as_bytes(&fixed::<4>("aéx")), b"a\xc3\xa9\0");
        assert_eq!(as_bytes(&fixed::<3>("aé")), b"a\0\0");
        assert_eq!(as_bytes(&fixed::<3>("")), b"\0\0\0");
    }
}

//! Members and invitations.

use std::ffi::c_char;

use kith_core::invitation::{Invitation, qr_text};
use kith_core::replica::{MemberId, TransactionId};

use crate::border::border;
use crate::bytes::{array, array_output, bytes, kith_buffer, list_output, output, tell, text};
use crate::context::kith_context;
use crate::handle::borrow;
use crate::lists::{kith_invitation, kith_member};
use crate::options::{invite_options, kith_invite_options, role_of};
use crate::status::kith_status;
use crate::wait::wait;

/// The members of the context. At most `capacity` are written; `count` gets how many there are. There are at most 1,024.
///
/// # Safety
/// `context` is a context of this library or NULL; `members` has room for `capacity`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_members(
    context: *const kith_context,
    members: *mut kith_member,
    capacity: usize,
    count: *mut usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, list) = unsafe { (borrow(context)?, list_output(members, capacity, count)?) };
        list.set(wait(context.members())?.iter().map(kith_member::of));
        Ok(())
    }
}

/// Gives a member (32 bytes) another role. Needs an admin; an admin is demoted only by a senior one or by itself.
/// `transaction`, unless NULL, gets the id of the transaction (32 bytes).
///
/// # Safety
/// `context` is a context of this library or NULL; `member` has 32 bytes; `transaction` is NULL or has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_set_role(
    context: *mut kith_context,
    member: *const u8,
    role: u32,
    transaction: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, member) = unsafe { (borrow(context)?, MemberId(array(member, "member")?)) };
        let id = wait(context.set_role(member, role_of(role)?))?;
        // SAFETY: as the caller vouches.
        unsafe { tell(transaction, id) };
        Ok(())
    }
}

/// Gives the context a name for people, at most 128 bytes. Needs an admin. `transaction`, unless NULL, gets the id of the transaction (32
/// bytes).
///
/// # Safety
/// `context` is a context of this library or NULL; `name` ends in NUL; `transaction` is NULL or has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_set_name(
    context: *mut kith_context,
    name: *const c_char,
    transaction: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, name) = unsafe { (borrow(context)?, text(name, "name")?) };
        let id = wait(context.set_name(name))?;
        // SAFETY: as the caller vouches.
        unsafe { tell(transaction, id) };
        Ok(())
    }
}

/// Says what this member calls itself, in at most 128 bytes; empty takes it back. `transaction`, unless NULL, gets the id of the
/// transaction (32 bytes).
///
/// # Safety
/// `context` is a context of this library or NULL; `name` ends in NUL; `transaction` is NULL or has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_set_display_name(
    context: *mut kith_context,
    name: *const c_char,
    transaction: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, name) = unsafe { (borrow(context)?, text(name, "name")?) };
        let id = wait(context.set_display_name(name))?;
        // SAFETY: as the caller vouches.
        unsafe { tell(transaction, id) };
        Ok(())
    }
}

/// Removes a member (32 bytes). Needs an admin; an admin is removed only by a senior one. What the member wrote and this node has not
/// seen does not count. `transaction`, unless NULL, gets the id of the transaction (32 bytes).
///
/// # Safety
/// `context` is a context of this library or NULL; `member` has 32 bytes; `transaction` is NULL or has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_remove(
    context: *mut kith_context,
    member: *const u8,
    transaction: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, member) = unsafe { (borrow(context)?, MemberId(array(member, "member")?)) };
        let id = wait(context.remove(member))?;
        // SAFETY: as the caller vouches.
        unsafe { tell(transaction, id) };
        Ok(())
    }
}

/// Leaves the context: tells the others and deletes this node's copy. The last admin of a context with other members has to make another
/// one admin first (KITH_PERMISSION_DENIED). The handle is still to be freed.
///
/// # Safety
/// `context` is a context of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_leave(context: *mut kith_context) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        wait(unsafe { borrow(context)? }.leave())
    }
}

/// Makes an invitation; `token` gets its text, to be handed to who shall join. Needs an admin. `options` may be NULL: one writer, a week.
///
/// # Safety
/// `context` is a context of this library or NULL; `options` is NULL or was filled by kith_invite_options_init.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_invite(
    context: *mut kith_context,
    options: *const kith_invite_options,
    token: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, options, place) =
            unsafe { (borrow(context)?, invite_options(options)?, output(token, "token")?) };
        place.set(kith_buffer::from_vec(wait(context.invite(options))?.to_text().into_bytes()));
        Ok(())
    }
}

/// The invitations of the context. At most `capacity` are written; `count` gets how many there are.
///
/// # Safety
/// `context` is a context of this library or NULL; `invitations` has room for `capacity`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_invitations(
    context: *const kith_context,
    invitations: *mut kith_invitation,
    capacity: usize,
    count: *mut usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, list) = unsafe { (borrow(context)?, list_output(invitations, capacity, count)?) };
        list.set(wait(context.invitations())?.iter().map(kith_invitation::of));
        Ok(())
    }
}

/// Takes an invitation back, by its id of 32 bytes (of kith_invitation). Needs an admin. Who joined by it without this having been seen
/// is out. `transaction`, unless NULL, gets the id of the transaction (32 bytes).
///
/// # Safety
/// `context` is a context of this library or NULL; `invitation` has 32 bytes; `transaction` is NULL or has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_revoke(
    context: *mut kith_context,
    invitation: *const u8,
    transaction: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, id) = unsafe { (borrow(context)?, TransactionId(array(invitation, "invitation")?)) };
        let id = wait(context.revoke(id))?;
        // SAFETY: as the caller vouches.
        unsafe { tell(transaction, id) };
        Ok(())
    }
}

/// Rejects a call for all members, by its transaction's id of 32 bytes: the way out when a local fault stops applying (KITH_EVENT_BLOCKED). Needs
/// an admin. `transaction`, unless NULL, gets the id of the skipping transaction (32 bytes).
///
/// # Safety
/// `context` is a context of this library or NULL; `skipped` has 32 bytes; `transaction` is NULL or has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_skip(
    context: *mut kith_context,
    skipped: *const u8,
    transaction: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, skipped) = unsafe { (borrow(context)?, TransactionId(array(skipped, "skipped")?)) };
        let id = wait(context.skip(skipped))?;
        // SAFETY: as the caller vouches.
        unsafe { tell(transaction, id) };
        Ok(())
    }
}

/// Makes new keys: for this member, and for all that is sent from now on, by anybody who has heard of it. For when a device may have been copied: who has
/// the copy, and no more than listens, opens nothing that follows. Durable and on its way when it returns. KITH_UNSUPPORTED in a context whose payloads
/// are not sealed. How it stands with the keys: kith_context_security.
///
/// # Safety
/// `context` is a context of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_rotate_keys(context: *mut kith_context) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        wait(unsafe { borrow(context)? }.rotate_keys())
    }
}

/// Names the invitation, 32 bytes; for kith_context_revoke.
///
/// # Safety
/// `invitation` ends in NUL; `id` has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_invitation_id(invitation: *const c_char, id: *mut u8) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (invitation, place) = unsafe { (text(invitation, "invitation")?, array_output(id, "id")?) };
        place.set(Invitation::from_text(invitation)?.invite.0);
        Ok(())
    }
}

/// An invitation as bytes, shorter than its text.
///
/// # Safety
/// `invitation` ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_invitation_to_bytes(
    invitation: *const c_char,
    bytes: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (invitation, place) = unsafe { (text(invitation, "invitation")?, output(bytes, "bytes")?) };
        place.set(kith_buffer::from_vec(Invitation::from_text(invitation)?.to_bytes()));
        Ok(())
    }
}

/// The text of an invitation, from what kith_invitation_to_bytes gave.
///
/// # Safety
/// `bytes` has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_invitation_from_bytes(
    bytes: *const u8,
    length: usize,
    invitation: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (bytes, place) =
            unsafe { (self::bytes(bytes, length, "bytes")?, output(invitation, "invitation")?) };
        place.set(kith_buffer::from_vec(Invitation::from_bytes(bytes)?.to_text().into_bytes()));
        Ok(())
    }
}

/// The addresses of members that an invitation names, one a line.
///
/// # Safety
/// `invitation` ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_invitation_addresses(
    invitation: *const c_char,
    addresses: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (invitation, place) = unsafe { (text(invitation, "invitation")?, output(addresses, "addresses")?) };
        let addresses = Invitation::from_text(invitation)?.addresses;
        place.set(kith_buffer::from_vec(addresses.into_iter().flat_map(|line| (line + "\n").into_bytes()).collect()));
        Ok(())
    }
}

/// An invitation as a QR code for a terminal: lines of half blocks, for light characters on a dark ground. At most 100 columns; a usual
/// one has less than 80.
///
/// # Safety
/// `invitation` ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_invitation_qr(
    invitation: *const c_char,
    drawing: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (invitation, place) = unsafe { (text(invitation, "invitation")?, output(drawing, "drawing")?) };
        place.set(kith_buffer::from_vec(qr_text(invitation)?.into_bytes()));
        Ok(())
    }
}

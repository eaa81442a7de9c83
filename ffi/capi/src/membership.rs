//! Members and invitations.

use kith_core::replica::{MemberId, TransactionId};

use crate::border::border;
use crate::bytes::{array, kith_buffer, list_output, output};
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
///
/// # Safety
/// `context` is a context of this library or NULL; `member` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_set_role(
    context: *mut kith_context,
    member: *const u8,
    role: u32,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, member) = unsafe { (borrow(context)?, MemberId(array(member, "member")?)) };
        wait(context.set_role(member, role_of(role)?)).map(drop)
    }
}

/// Removes a member (32 bytes). Needs an admin; an admin is removed only by a senior one. What the member wrote and this node has not
/// seen does not count.
///
/// # Safety
/// `context` is a context of this library or NULL; `member` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_remove(context: *mut kith_context, member: *const u8) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, member) = unsafe { (borrow(context)?, MemberId(array(member, "member")?)) };
        wait(context.remove(member)).map(drop)
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
/// is out.
///
/// # Safety
/// `context` is a context of this library or NULL; `invitation` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_revoke(
    context: *mut kith_context,
    invitation: *const u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, id) = unsafe { (borrow(context)?, TransactionId(array(invitation, "invitation")?)) };
        wait(context.revoke(id)).map(drop)
    }
}

//! Calls about members and invitations.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

use kith::join::*;
use kith::lists::*;
use kith::membership::*;
use kith::node::*;
use kith::options::*;
use kith::status::kith_status;

use super::reading::text;
use super::words::{MemberCall, Pick, at, place};
use super::{Program, nodes, nothing, odd, ok};

impl Program {
    pub(super) fn member(&mut self, call: &MemberCall) {
        let mut id = [0; 32];
        let mut out = nothing();
        let node = |pick: Pick| odd(pick).unwrap_or(nodes().node[usize::from(pick % 2)]);
        // SAFETY: as the module above says: handles are alive, NULL or of another kind; texts end in NUL; data has its length.
        unsafe {
            match call {
                MemberCall::Members { at: pick, capacity } => {
                    let capacity = usize::from(*capacity % 5);
                    let mut room: Vec<kith_member> = Vec::with_capacity(capacity);
                    let mut count = 0;
                    let status =
                        kith_context_members(self.context(*pick), room.as_mut_ptr(), capacity, &mut count);
                    if status as u32 == 0 {
                        room.set_len(count.min(capacity));
                        for member in &room {
                            text(member.name.as_ptr());
                        }
                        self.know(room.iter().map(|member| member.id));
                    }
                }
                MemberCall::SetRole { at: pick, member, role } => {
                    let member = self.id(*member);
                    kith_context_set_role(
                        self.context(*pick),
                        place(&member),
                        u32::from(*role % 5),
                        null_mut(),
                    );
                }
                MemberCall::Name { at: pick, name, own } => {
                    let name = name.owned();
                    let set = if *own { kith_context_set_display_name } else { kith_context_set_name };
                    set(self.context(*pick), at(&name), null_mut());
                }
                MemberCall::Remove { at: pick, member } => {
                    let member = self.id(*member);
                    kith_context_remove(self.context(*pick), place(&member), null_mut());
                }
                // The context that stays, stays.
                MemberCall::Leave(pick) if self.context(*pick) != nodes().context => {
                    kith_context_leave(self.context(*pick));
                }
                MemberCall::Leave(_) => {}
                MemberCall::Invite { at: pick, role, uses, expires, note, size } => {
                    let note = note.owned();
                    let mut options = MaybeUninit::<kith_invite_options>::uninit();
                    kith_invite_options_init(options.as_mut_ptr());
                    let mut options = options.assume_init();
                    options.role = u32::from(*role % 5);
                    options.max_uses = *uses;
                    options.expires_in = *expires;
                    options.note = at(&note);
                    if let Some(size) = size {
                        options.struct_size = usize::from(*size);
                    }
                    let status = kith_context_invite(self.context(*pick), &options, &mut out);
                    if status as u32 == 0 {
                        let token = std::slice::from_raw_parts(out.data, out.length);
                        self.token = CString::new(token).ok();
                        assert!(self.token.is_some(), "a NUL in a token");
                    }
                    self.buffer(status, out);
                }
                MemberCall::Invitations { at: pick, capacity } => {
                    let capacity = usize::from(*capacity % 5);
                    let mut room: Vec<kith_invitation> = Vec::with_capacity(capacity);
                    let mut count = 0;
                    let context = self.context(*pick);
                    let status = kith_context_invitations(context, room.as_mut_ptr(), capacity, &mut count);
                    if status as u32 == 0 {
                        room.set_len(count.min(capacity));
                        self.know(room.iter().map(|invitation| invitation.id));
                    }
                }
                MemberCall::Revoke { at: pick, id } => {
                    let id = self.id(*id);
                    kith_context_revoke(self.context(*pick), place(&id), null_mut());
                }
                MemberCall::Skip { at: pick, id } => {
                    let id = self.id(*id);
                    kith_context_skip(self.context(*pick), place(&id), null_mut());
                }
                MemberCall::RotateKeys(pick) => {
                    kith_context_rotate_keys(self.context(*pick));
                }
                MemberCall::Inspect { at: pick, token } => {
                    let token = self.token(token);
                    let mut info = MaybeUninit::<kith_invitation_info>::uninit();
                    if kith_node_inspect(node(*pick), at(&token), info.as_mut_ptr()) as u32 == 0 {
                        let info = info.assume_init();
                        text(info.application.as_ptr());
                        text(info.note.as_ptr());
                    }
                    for read in [kith_invitation_addresses, kith_invitation_qr] {
                        let mut out = nothing();
                        let status = read(at(&token), &mut out);
                        self.buffer(status, out);
                    }
                }
                MemberCall::Join { at: pick, token, ms, with } => {
                    let (token, mut context) = (self.token(token), null_mut());
                    let ms = u64::from(*ms % 32);
                    let status = if *with {
                        let mut options = MaybeUninit::<kith_join_options>::uninit();
                        kith_join_options_init(options.as_mut_ptr());
                        let mut options = options.assume_init();
                        options.timeout_ms = ms;
                        kith_node_join_with(node(*pick), at(&token), &options, &mut context)
                    } else {
                        kith_node_join(node(*pick), at(&token), ms, &mut context)
                    };
                    self.keep(status, context);
                }
                MemberCall::TokenBytes { token, other } => {
                    let (token, other) = (self.token(token), other.given());
                    let named = kith_invitation_id(at(&token), id.as_mut_ptr());
                    let status = kith_invitation_to_bytes(at(&token), &mut out);
                    assert_eq!(named as u32, status as u32, "a token is good or not");
                    if status as u32 == 0 {
                        let mut again = nothing();
                        ok(kith_invitation_from_bytes(out.data, out.length, &mut again));
                        self.buffer(kith_status::KITH_OK, again);
                    }
                    self.buffer(status, out);
                    let mut out = nothing();
                    let status = kith_invitation_from_bytes(other.at(), other.1, &mut out);
                    self.buffer(status, out);
                }
            }
        }
    }
}

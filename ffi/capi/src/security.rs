//! How it stands with a context's keys.

use std::ffi::c_char;

use kith_core::node::ContextSecurity;

use crate::border::border;
use crate::bytes::output;
use crate::context::kith_context;
use crate::handle::borrow;
use crate::lists::fixed;
use crate::status::kith_status;
use crate::wait::wait;

/// How it stands with a context's keys.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct kith_security {
    /// The epoch under whose keys this member would send now: the transaction that made it.
    pub epoch: [u8; 32],
    /// Whether there is one; else it is made first, and `epoch` and `age` are zeros.
    pub has_epoch: bool,
    /// KITH_ENCRYPTION_…: how what is written is sealed.
    pub suite: u32,
    /// For how many ms this node has known that epoch.
    pub age: u64,
    /// How many members were given its keys, this one included. The others read by shared history.
    pub members_able: u64,
    /// How many members there are.
    pub members: u64,
    /// How many calls were sent under keys that were not to be used, by anybody.
    pub violations: u64,
    /// How many calls are sealed and not opened here.
    pub unopened: u64,
    /// Why new keys are made before this member's next call, for people; empty: they are not.
    pub pending: [c_char; 129],
}

impl kith_security {
    fn of(security: &ContextSecurity) -> Self {
        Self {
            epoch: security.epoch.map_or([0; 32], |epoch| epoch.0),
            has_epoch: security.epoch.is_some(),
            suite: security.suite.into(),
            age: security.age,
            members_able: security.members_able as u64,
            members: security.members as u64,
            violations: security.violations,
            unopened: security.unopened,
            pending: fixed(security.pending.as_deref().unwrap_or_default()),
        }
    }
}

/// How it stands with the context's keys.
///
/// # Safety
/// `context` is a context of this library or NULL; `security` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_security(
    context: *const kith_context,
    security: *mut kith_security,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, place) = unsafe { (borrow(context)?, output(security, "security")?) };
        place.set(kith_security::of(&wait(context.security())?));
        Ok(())
    }
}

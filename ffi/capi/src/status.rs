//! What calls return.

use kith_core::ErrorKind;

/// What a call returns: KITH_OK, or why it failed. The numbers never change; kith_last_error has the text.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum kith_status {
    /// It worked.
    KITH_OK = 0,
    /// An argument is NULL or has the wrong shape or size; the text says which.
    KITH_INVALID_ARGUMENT = 1,
    /// The thing that was named does not exist.
    KITH_NOT_FOUND = 2,
    /// The caller, or the member that was named, is no member of the context.
    KITH_NOT_MEMBER = 3,
    /// The member's role does not allow this.
    KITH_PERMISSION_DENIED = 4,
    /// The application refused the call.
    KITH_REJECTED = 5,
    /// The invitation is damaged, or is not for this.
    KITH_INVITATION_INVALID = 6,
    /// The invitation's time is over.
    KITH_INVITATION_EXPIRED = 7,
    /// The invitation's uses are used up.
    KITH_INVITATION_USED = 8,
    /// An admin has revoked the invitation.
    KITH_INVITATION_REVOKED = 9,
    /// No peer that could answer was reached.
    KITH_UNREACHABLE = 10,
    /// It took longer than the caller allowed.
    KITH_TIMEOUT = 11,
    /// The node, context or stream has been closed.
    KITH_CLOSED = 12,
    /// Somebody else holds what is needed (another process has the directory), or a queue is full.
    KITH_BUSY = 13,
    /// The store failed; the text has the cause.
    KITH_STORAGE = 14,
    /// Stored data does not verify.
    KITH_CORRUPT = 15,
    /// Two sides, or the store and this library, do not speak the same version.
    KITH_VERSION_MISMATCH = 16,
    /// This library cannot do that.
    KITH_UNSUPPORTED = 17,
    /// A member has signed two histories.
    KITH_EQUIVOCATION = 18,
    /// The caller cancelled.
    KITH_CANCELLED = 19,
    /// Applying stands still after a local fault; the text has the cause.
    KITH_BLOCKED = 20,
    /// No space is left where the store lives.
    KITH_STORAGE_FULL = 21,
    /// The store is sealed and the key is missing or wrong.
    KITH_KEY_REQUIRED = 22,
    /// A limit was passed; the text says which.
    KITH_LIMIT_EXCEEDED = 23,
    /// The cursor is older than what is kept.
    KITH_CURSOR_EXPIRED = 24,
    /// The host has not registered the application of this context.
    KITH_APPLICATION_MISSING = 25,
    /// A defect in Kith.
    KITH_INTERNAL = 26,
}

impl kith_status {
    const ALL: [kith_status; 27] = [
        Self::KITH_OK,
        Self::KITH_INVALID_ARGUMENT,
        Self::KITH_NOT_FOUND,
        Self::KITH_NOT_MEMBER,
        Self::KITH_PERMISSION_DENIED,
        Self::KITH_REJECTED,
        Self::KITH_INVITATION_INVALID,
        Self::KITH_INVITATION_EXPIRED,
        Self::KITH_INVITATION_USED,
        Self::KITH_INVITATION_REVOKED,
        Self::KITH_UNREACHABLE,
        Self::KITH_TIMEOUT,
        Self::KITH_CLOSED,
        Self::KITH_BUSY,
        Self::KITH_STORAGE,
        Self::KITH_CORRUPT,
        Self::KITH_VERSION_MISMATCH,
        Self::KITH_UNSUPPORTED,
        Self::KITH_EQUIVOCATION,
        Self::KITH_CANCELLED,
        Self::KITH_BLOCKED,
        Self::KITH_STORAGE_FULL,
        Self::KITH_KEY_REQUIRED,
        Self::KITH_LIMIT_EXCEEDED,
        Self::KITH_CURSOR_EXPIRED,
        Self::KITH_APPLICATION_MISSING,
        Self::KITH_INTERNAL,
    ];
}

impl From<ErrorKind> for kith_status {
    fn from(kind: ErrorKind) -> Self {
        // A kind that is newer than this table is a defect; the test below fails before that ships.
        Self::ALL.get(kind.code() as usize).copied().unwrap_or(Self::KITH_INTERNAL)
    }
}

/// The name of a status as it stands in this header, for logs: "KITH_NOT_FOUND". Never NULL; lives forever.
/// A number that is no status gives "KITH_UNKNOWN".
#[unsafe(no_mangle)]
pub extern "C" fn kith_status_name(status: u32) -> *const std::ffi::c_char {
    macro_rules! names {
        ($($name:ident),* $(,)?) => {
            match status {
                $(code if code == kith_status::$name as u32 => concat!(stringify!($name), "\0"),)*
                _ => "KITH_UNKNOWN\0",
            }
        };
    }
    let name = names![
        KITH_OK,
        KITH_INVALID_ARGUMENT,
        KITH_NOT_FOUND,
        KITH_NOT_MEMBER,
        KITH_PERMISSION_DENIED,
        KITH_REJECTED,
        KITH_INVITATION_INVALID,
        KITH_INVITATION_EXPIRED,
        KITH_INVITATION_USED,
        KITH_INVITATION_REVOKED,
        KITH_UNREACHABLE,
        KITH_TIMEOUT,
        KITH_CLOSED,
        KITH_BUSY,
        KITH_STORAGE,
        KITH_CORRUPT,
        KITH_VERSION_MISMATCH,
        KITH_UNSUPPORTED,
        KITH_EQUIVOCATION,
        KITH_CANCELLED,
        KITH_BLOCKED,
        KITH_STORAGE_FULL,
        KITH_KEY_REQUIRED,
        KITH_LIMIT_EXCEEDED,
        KITH_CURSOR_EXPIRED,
        KITH_APPLICATION_MISSING,
        KITH_INTERNAL,
    ];
    name.as_ptr().cast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn every_kind_has_its_status_with_the_same_number_and_name() {
        assert_eq!(kith_status::ALL.len(), ErrorKind::ALL.len() + 1);
        for (number, status) in kith_status::ALL.iter().enumerate() {
            assert_eq!(*status as usize, number);
        }
        for kind in ErrorKind::ALL {
            let status = kith_status::from(kind);
            assert_eq!(status as u32, kind.code());
            // SAFETY: the names are literals that end in NUL.
            let name = unsafe { CStr::from_ptr(kith_status_name(status as u32)) }.to_str().unwrap();
            let plain: String = name.trim_start_matches("KITH_").replace('_', "").to_lowercase();
            assert_eq!(plain, kind.to_string().to_lowercase());
        }
    }
}

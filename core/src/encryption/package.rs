//! What a joiner hands in, so that others can seal to it.

use super::{Scope, Suite, Trouble};
use crate::replica::payload::Add;

/// Whether a member may be added with these keys: signed by it for this context, in time, fresh, of the context's suite, and sound.
pub fn check_package(scope: &Scope, add: &Add, now: u64, used: bool) -> Result<(), Trouble> {
    let package = &add.key_package;
    if Suite::from_number(package.suite) != Some(scope.suite) {
        return Err(Trouble::Suite);
    }
    if !add.consents(&scope.context) {
        return Err(Trouble::Signature);
    }
    if package.not_after != 0 && now > package.not_after {
        return Err(Trouble::PackageExpired);
    }
    if used {
        return Err(Trouble::PackageUsed);
    }
    scope.suite.check_key(&package.ratchet_key)
}

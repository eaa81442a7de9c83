//! What a joiner hands in, so that others can seal to it.

use super::{Scope, Suite, Trouble};
use crate::replica::payload::{Add, KeyPackage};

/// Whether a member may be added with these keys: signed by it for this context, in time, fresh, of the context's suite, and sound.
pub fn check_package(scope: &Scope, add: &Add, now: u64, used: bool) -> Result<(), Trouble> {
    if Suite::from_number(add.key_package.suite) != Some(scope.suite) {
        return Err(Trouble::Suite);
    }
    if !add.consents(&scope.context) {
        return Err(Trouble::Signature);
    }
    check_keys(scope.suite, &add.key_package, now, used)
}

/// The same of what is known to be signed, and of the suite. Who lets a member in asks this with its clock and all of its history; everybody else, for
/// ever, with the time that the `Add` says and with the causal past of that.
pub(crate) fn check_keys(suite: Suite, package: &KeyPackage, now: u64, used: bool) -> Result<(), Trouble> {
    if package.not_after != 0 && now > package.not_after {
        return Err(Trouble::PackageExpired);
    }
    if used {
        return Err(Trouble::PackageUsed);
    }
    suite.check_key(&package.ratchet_key)
}

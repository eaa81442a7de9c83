//! What is changed in the code that UniFFI generates for Kotlin: its `free` lets an answer go without what it points to, so a call that is
//! cancelled when its answer is there already takes it first.
//!
//! The version of UniFFI is pinned: where a later version writes something else, putting the package together fails. Python's module is
//! changed alike (`bindings/python/build/kith_build.py`); Swift's calls always take their answer.

/// What is there once, and what takes its place. Without an answer, `complete` says so: an error.
const WAIT: &str = "    } finally {\n        freeFunc(rustFuture)\n    }\n";
const WAIT_AND_TAKE: &str = "\
    } catch (cancelled: kotlin.coroutines.cancellation.CancellationException) {
        runCatching {
            Disposable.destroy(
                liftFunc(uniffiRustCallWithError(errorHandler) { status -> completeFunc(rustFuture, status) })
            )
        }
        throw cancelled
    } finally {
        freeFunc(rustFuture)
    }
";

/// The generated code, whose cancelled calls leave nothing behind.
pub(super) fn without_leak(generated: &str) -> Result<String, String> {
    match generated.matches(WAIT).count() {
        1 => Ok(generated.replace(WAIT, WAIT_AND_TAKE)),
        times => Err(format!("the generated code has this {times} times, not once:\n{WAIT}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_place_is_changed_and_others_are_refused() {
        let call = |times| format!("    try {{\n        await()\n{}}}\n", WAIT.repeat(times));
        let changed = without_leak(&call(1)).expect("it is as UniFFI writes it");
        let taken = changed.find("completeFunc(rustFuture").expect("the answer is taken");
        assert!(taken < changed.find("freeFunc(rustFuture").expect("the call is let go"));
        assert!(without_leak(&call(0)).is_err() && without_leak(&call(2)).is_err());
    }
}

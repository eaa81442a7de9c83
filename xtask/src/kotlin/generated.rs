//! What is changed in the code that UniFFI generates for Kotlin. Its `free` lets an answer go without what it points to, so a call that is
//! cancelled when its answer is there already takes it first. And the structures of every call share pieces of memory (`Carved.kt` says why).
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

const STRUCTURES: [&str; 2] = ["class UniffiRustCallStatus : ", "class RustBuffer : "];

/// The generated code, whose calls leave nothing behind when they are cancelled, and little to be collected at other times.
pub(super) fn changed(generated: &str) -> Result<String, String> {
    let waiting = replaced(generated, WAIT, WAIT_AND_TAKE)?;
    STRUCTURES.iter().try_fold(waiting, |text, class| {
        replaced(&text, &format!("{class}Structure()"), &format!("{class}Carved()"))
    })
}

/// A text with what is there once replaced.
fn replaced(text: &str, what: &str, by: &str) -> Result<String, String> {
    match text.matches(what).count() {
        1 => Ok(text.replace(what, by)),
        times => Err(format!("the generated code has this {times} times, not once:\n{what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(times: usize) -> String {
        let structures = STRUCTURES.map(|class| format!("open {class}Structure() {{\n}}\n")).concat();
        format!("{structures}    try {{\n        await()\n{}}}\n", WAIT.repeat(times))
    }

    #[test]
    fn the_one_place_is_changed_and_others_are_refused() {
        let changed_once = changed(&call(1)).expect("it is as UniFFI writes it");
        let taken = changed_once.find("completeFunc(rustFuture").expect("the answer is taken");
        assert!(taken < changed_once.find("freeFunc(rustFuture").expect("the call is let go"));
        assert!(changed(&call(0)).is_err() && changed(&call(2)).is_err());
    }

    #[test]
    fn the_structures_of_calls_share_memory() {
        let text = changed(&call(1)).expect("it is as UniFFI writes it");
        assert!(STRUCTURES.iter().all(|class| text.contains(&format!("{class}Carved()"))), "{text}");
        for class in STRUCTURES {
            assert!(changed(&call(1).replace(class, "class Other : ")).is_err());
        }
    }
}

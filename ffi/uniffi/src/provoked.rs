//! Panics on purpose, for the tests of each language: what a defect in this library would look like there. They are in no library that is shipped.

use crate::Failure;

/// Panics while its caller waits.
#[uniffi::export]
pub fn provoke_panic(words: String) -> Result<(), Failure> {
    panic!("{words}")
}

/// Panics while it is awaited, after it had to wait itself.
#[uniffi::export]
pub async fn provoke_panic_later(words: String) -> Result<(), Failure> {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
    provoke_panic(words)
}

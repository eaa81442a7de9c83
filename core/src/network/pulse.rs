//! Signs of life. A slow way that is busy delays the answers to probes by what is queued in front of them, so bytes that
//! move count as well: only a peer from which nothing comes, and that takes nothing, is dead.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// When there was the latest sign.
#[derive(Debug)]
pub(super) struct Pulse {
    start: Instant,
    millis: AtomicU64,
}

impl Pulse {
    /// Being born is the first one.
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), millis: AtomicU64::new(0) }
    }

    pub(super) fn beat(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.fetch_max(millis, Ordering::Relaxed);
    }

    pub(super) fn latest(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// A stream on which each byte that moves is a sign.
pub(super) struct Watched<S> {
    inner: S,
    pulse: Arc<Pulse>,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, pulse: Arc<Pulse>) -> Self {
        Self { inner, pulse }
    }

    fn note(&self, moved: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(moved, Poll::Ready(Ok(1..))) {
            self.pulse.beat();
        }
        moved
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.note(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buffer);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::{AsyncReadExt, AsyncWriteExt, Cursor};

    #[tokio::test(start_paused = true)]
    async fn bytes_that_move_are_signs_and_the_end_is_none() {
        let pulse = Arc::new(Pulse::new());
        let mut stream = Watched::new(Cursor::new(vec![1, 2]), Arc::clone(&pulse));
        let second = Duration::from_secs(1);
        let begin = pulse.latest();
        tokio::time::advance(second).await;
        assert_eq!(pulse.latest(), begin);
        stream.read_exact(&mut [0; 2]).await.unwrap();
        assert_eq!(pulse.latest(), begin + second);
        tokio::time::advance(second).await;
        assert_eq!(stream.read(&mut [0; 2]).await.unwrap(), 0);
        assert_eq!(pulse.latest(), begin + second);
        stream.write_all(&[3]).await.unwrap();
        assert_eq!(pulse.latest(), begin + 2 * second);
    }
}

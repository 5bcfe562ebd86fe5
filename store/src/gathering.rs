//! A stream that gathers what is written at one moment.
//!
//! Members speak in many small messages at once: entries, answers, proposals and what becomes of them. Each one wakes the
//! connection that it leaves by, and each time HTTP/2 would flush what is there: an encrypted record, a call of the kernel, a
//! packet and a wake-up of the other end for every message. Here a flush first lets whoever is ready run, so that what belongs to
//! one batch leaves together. Connections of clients do without: their watches would hear of an event only when it has been
//! written to all others, too.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes gathered at most: a few records of TLS.
const GATHERED_MAX: usize = 64 * 1024;
/// What is as large as this is not copied.
const LARGE: usize = 16 * 1024;

/// Gathers small writes to the stream below.
#[derive(Debug)]
pub(crate) struct Gathering<S> {
    stream: S,
    /// Otherwise it hands everything on as it comes.
    gathers: bool,
    gathered: BytesMut,
    /// Whoever was ready when the flush was asked for has run.
    has_yielded: bool,
}

impl<S> Gathering<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, gathers: true, gathered: BytesMut::new(), has_yielded: false }
    }

    /// Hands everything on as it comes.
    pub(crate) fn not_gathering(stream: S) -> Self {
        Self { gathers: false, ..Self::new(stream) }
    }
}

impl<S: AsyncWrite + Unpin> Gathering<S> {
    /// Hands what was gathered to the stream.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.gathered))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(written);
        }
        self.has_yielded = false;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathering<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let size: usize = slices.iter().map(|slice| slice.len()).sum();
        if size >= LARGE || self.gathered.len() + size > GATHERED_MAX {
            ready!(self.poll_drain(context))?;
        }
        if size >= LARGE || !self.gathers {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        for slice in slices {
            self.gathered.extend_from_slice(slice);
        }
        Poll::Ready(Ok(size))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() && !self.has_yielded {
            self.has_yielded = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Counts the writes that reach it.
    #[derive(Default)]
    struct Counting {
        writes: Vec<Vec<u8>>,
    }

    impl AsyncWrite for Counting {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.writes.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_written_before_a_flush_leaves_at_once() {
        let mut stream = Gathering::new(Counting::default());
        stream.write_all(b"one").await.unwrap();
        stream.write_all(b"two").await.unwrap();
        assert!(stream.stream.writes.is_empty());
        stream.flush().await.unwrap();
        assert_eq!(stream.stream.writes, [b"onetwo"]);
    }

    #[tokio::test]
    async fn what_is_written_while_a_flush_yields_leaves_with_it() {
        let mut stream = Gathering::new(Counting::default());
        stream.write_all(b"one").await.unwrap();
        let first = poll_fn(|context| Poll::Ready(Pin::new(&mut stream).poll_flush(context).is_pending())).await;
        assert!(first, "others may run first");
        stream.write_all(b"two").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.stream.writes, [b"onetwo"]);
        stream.write_all(b"three").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.stream.writes, [&b"onetwo"[..], b"three"], "the end loses nothing");
    }

    #[tokio::test]
    async fn what_is_not_to_be_gathered_leaves_at_once() {
        let mut stream = Gathering::not_gathering(Counting::default());
        stream.write_all(b"one").await.unwrap();
        stream.write_all(b"two").await.unwrap();
        assert_eq!(stream.stream.writes, [b"one", b"two"]);
    }

    #[tokio::test]
    async fn large_writes_follow_what_was_gathered() {
        let mut stream = Gathering::new(Counting::default());
        stream.write_all(b"one").await.unwrap();
        let large = vec![7; LARGE];
        stream.write_all(&large).await.unwrap();
        assert_eq!(stream.stream.writes, [b"one".to_vec(), large], "in their order, and not copied");
    }

    #[tokio::test]
    async fn gathered_bytes_are_bounded() {
        let mut stream = Gathering::new(Counting::default());
        for _ in 0..=GATHERED_MAX / 1024 {
            stream.write_all(&[7; 1024]).await.unwrap();
        }
        assert_eq!(stream.stream.writes.len(), 1, "what is more than fits has left");
        assert_eq!(stream.stream.writes[0].len(), GATHERED_MAX);
    }

    #[tokio::test]
    async fn reads_pass_through() {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(b"hello").await.unwrap();
        let mut read = [0; 5];
        Gathering::new(near).read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");
    }
}

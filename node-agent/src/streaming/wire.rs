//! The way to the client: one task writes what many produce, in a bounded queue.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::spdy::frame;
use super::websocket;

/// Frames that wait to be written; none is longer than a read of 32 KiB.
const FRAMES_MAX: usize = 8;
/// How long a client may take to close its side.
const LINGER: Duration = Duration::from_secs(5);

/// Takes frames for one connection, which is shut down when the last clone is gone.
#[derive(Debug, Clone)]
pub(super) struct Wire(mpsc::Sender<Bytes>);

impl Wire {
    pub(super) fn new(mut write: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        let (sender, mut frames) = mpsc::channel::<Bytes>(FRAMES_MAX);
        tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                if let Err(error) = write_all(&mut write, &frame, frames.is_empty()).await {
                    return tracing::debug!(%error, "a streaming client is gone");
                }
            }
            // The client may have closed first.
            write.shutdown().await.ok();
        });
        Self(sender)
    }

    /// Queues a frame, waiting for room.
    pub(super) async fn send(&self, frame: Bytes) -> io::Result<()> {
        self.0.send(frame).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Reads and forgets what a client still sends, until it closes or a moment has passed: a connection that is closed with
/// something unread takes away what is on its way to the client.
pub(super) async fn linger(mut read: impl AsyncRead + Unpin) {
    let mut buffer = vec![0; 8 * 1024];
    let drain = async { while matches!(read.read(&mut buffer).await, Ok(1..)) {} };
    // A client that does not close is left.
    tokio::time::timeout(LINGER, drain).await.ok();
}

async fn write_all(write: &mut (impl AsyncWrite + Unpin), frame: &[u8], is_last: bool) -> io::Result<()> {
    write.write_all(frame).await?;
    if is_last { write.flush().await } else { Ok(()) }
}

/// How a stream's bytes are wrapped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Framing {
    /// As data of this stream.
    Spdy { stream: u32 },
    /// As messages that begin with the channel's number.
    WebSocket { channel: u8, text: bool },
}

/// One stream towards the client.
#[derive(Debug)]
pub(super) struct Output {
    wire: Wire,
    framing: Framing,
}

impl Output {
    pub(super) fn new(wire: Wire, framing: Framing) -> Self {
        Self { wire, framing }
    }

    /// Sends bytes; an error means that the client is gone.
    pub(super) async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.wire
            .send(match self.framing {
                Framing::Spdy { stream } => frame::data(stream, false, bytes),
                Framing::WebSocket { channel, text } => websocket::channel_message(channel, text, bytes),
            })
            .await
    }

    /// Says that nothing more comes; channels of a WebSocket have no end of their own.
    pub(super) async fn finish(self) {
        if let Framing::Spdy { stream } = self.framing {
            // A client that is gone needs no end.
            self.wire.send(frame::data(stream, true, &[])).await.ok();
        }
    }
}

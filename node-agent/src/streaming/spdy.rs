//! SPDY/3.1 from the server's side: many byte streams over one connection, each opened by the client.
//!
//! kubectl speaks it for exec and attach up to 1.29 and for every port-forward, the newer ones inside a WebSocket.
//! Bounded: in streams, in what waits for a stream's reader, in what waits to be sent. A stream that is not read holds
//! the connection up, as a full pipe does; one that nobody reads any more is read and forgotten.

pub(super) mod frame;
pub(super) mod headers;

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::frame::{Control, Header, Reset};
use self::headers::{Decoder, Encoder, Headers};
use super::wire::{self, Framing, Output, Wire};

/// Streams that may be open at once.
const STREAMS_MAX: usize = 1024;
/// New streams that wait to be taken.
const ACCEPTED_MAX: usize = 16;
/// Pieces that wait for a stream's reader.
const PIECES_MAX: usize = 8;
const PIECE: usize = 32 * 1024;

/// A stream that the client has opened and that was accepted.
pub(super) struct Stream {
    headers: Headers,
    /// What the client sends; ends with it.
    pub(super) input: mpsc::Receiver<Bytes>,
    /// What is sent to the client.
    pub(super) output: Output,
}

impl Stream {
    /// The value of one of its headers, by its lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A connection. Dropping it ends it, once what was sent is on its way.
pub(super) struct Session {
    accepted: mpsc::Receiver<Stream>,
    /// Cancelled when the client is gone.
    pub(super) gone: CancellationToken,
    _stop: DropGuard,
}

impl Session {
    /// Serves the protocol on an open connection.
    pub(super) fn new(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (read, write) = tokio::io::split(io);
        let (sender, accepted) = mpsc::channel(ACCEPTED_MAX);
        let (gone, stop) = (CancellationToken::new(), CancellationToken::new());
        let wire = Wire::new(write);
        let (ended, stopped) = (gone.clone().drop_guard(), stop.clone());
        tokio::spawn(async move {
            let _ended = ended;
            let Ok(mut reader) = Reader::new(read, wire, sender) else { return };
            let result = tokio::select! {
                result = reader.run() => result,
                () = stopped.cancelled() => reader.bye().await,
            };
            if let Err(error) = result {
                tracing::debug!(%error, "a SPDY connection ended");
            }
        });
        Self { accepted, gone, _stop: stop.drop_guard() }
    }

    /// The next stream the client opens; `None` when it is gone.
    pub(super) async fn accept(&mut self) -> Option<Stream> {
        self.accepted.recv().await
    }
}

struct Reader<R> {
    read: R,
    wire: Wire,
    accepted: mpsc::Sender<Stream>,
    /// The streams that the client may still send on.
    open: HashMap<u32, mpsc::Sender<Bytes>>,
    last: u32,
    decoder: Decoder,
    encoder: Encoder,
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<R: AsyncRead + Unpin> Reader<R> {
    fn new(read: R, wire: Wire, accepted: mpsc::Sender<Stream>) -> io::Result<Self> {
        let (decoder, encoder) = (Decoder::default(), Encoder::new().map_err(broken)?);
        Ok(Self { read, wire, accepted, open: HashMap::new(), last: 0, decoder, encoder })
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            let mut head = [0; frame::HEADER];
            match self.read.read_exact(&mut head).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                result => result?,
            };
            match frame::header(head).map_err(broken)? {
                Header::Data { stream, fin, length } => self.data(stream, fin, length).await?,
                Header::Control { kind, flags, length } => {
                    let mut body = vec![0; length];
                    self.read.read_exact(&mut body).await?;
                    self.control(frame::control(kind, flags, &body).map_err(broken)?).await?;
                }
            }
        }
    }

    async fn data(&mut self, stream: u32, fin: bool, mut length: usize) -> io::Result<()> {
        while length > 0 {
            let mut piece = vec![0; length.min(PIECE)];
            self.read.read_exact(&mut piece).await?;
            length -= piece.len();
            // What is for a stream that is closed, or that nobody reads, is dropped.
            if let Some(open) = self.open.get(&stream) {
                open.send(piece.into()).await.ok();
            }
        }
        if fin {
            self.open.remove(&stream);
        }
        Ok(())
    }

    async fn control(&mut self, frame: Control<'_>) -> io::Result<()> {
        match frame {
            Control::SynStream { stream, fin, block } => {
                let headers = self.decoder.decode(block).map_err(broken)?;
                self.opened(stream, fin, headers).await?;
            }
            Control::Headers { block } => drop(self.decoder.decode(block).map_err(broken)?),
            Control::Reset { stream } => drop(self.open.remove(&stream)),
            Control::Ping { id } => self.wire.send(frame::ping(id)).await?,
            Control::GoAway | Control::Other => {}
        }
        Ok(())
    }

    async fn opened(&mut self, stream: u32, fin: bool, headers: Headers) -> io::Result<()> {
        // A client's streams have odd numbers that only grow.
        if stream <= self.last || stream.is_multiple_of(2) {
            return self.wire.send(frame::reset(stream, Reset::Protocol)).await;
        }
        self.last = stream;
        if self.open.len() >= STREAMS_MAX {
            self.open.retain(|_, reader| !reader.is_closed());
        }
        if self.open.len() >= STREAMS_MAX {
            return self.wire.send(frame::reset(stream, Reset::Refused)).await;
        }
        let block = self.encoder.encode(&[]).map_err(broken)?;
        self.wire.send(frame::syn_reply(stream, &block)).await?;
        let (sender, input) = mpsc::channel(PIECES_MAX);
        if !fin {
            self.open.insert(stream, sender);
        }
        let output = Output::new(self.wire.clone(), Framing::Spdy { stream });
        // Nobody takes streams any more: the session is about to end.
        self.accepted.send(Stream { headers, input, output }).await.ok();
        Ok(())
    }

    /// Says that the connection ends here, and waits for the client to see it.
    async fn bye(self) -> io::Result<()> {
        self.wire.send(frame::go_away(self.last)).await?;
        let Self { read, wire, .. } = self;
        drop(wire);
        wire::linger(read).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;

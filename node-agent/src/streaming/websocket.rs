//! WebSockets from the server's side, and Kubernetes' channels in them: every message begins with a channel's number.
//!
//! Messages are handed on in pieces as they arrive, however long they are.

pub(super) mod frame;

use std::collections::HashMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::digest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::frame::{Header, Kind};
use super::wire::{self, Framing, Output, Wire};

/// What the accepting side adds to a client's key before it hashes it.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Pieces that wait for a channel's reader.
const PIECES_MAX: usize = 8;
const PIECE: usize = 32 * 1024;
/// A message in base64 is collected before it is read, and may have this many characters.
const TEXT_MAX: usize = 1024 * 1024;
/// Of the v5 protocols: the message `[CLOSE, channel]` ends a channel.
const CLOSE: u8 = 255;
const NORMAL: u16 = 1000;
/// What waits in a tunnel in each direction.
const TUNNEL: usize = 64 * 1024;

/// The answer to a client's `Sec-WebSocket-Key`.
pub(super) fn accept_key(key: &str) -> String {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{KEY_SUFFIX}").as_bytes());
    STANDARD.encode(hash)
}

/// A message to the client on a channel.
pub(super) fn channel_message(channel: u8, text: bool, bytes: &[u8]) -> Bytes {
    match text {
        true => frame::frame(Kind::Text, &[b'0' + channel], STANDARD.encode(bytes).as_bytes()),
        false => frame::frame(Kind::Binary, &[channel], bytes),
    }
}

/// A piece of a message.
struct Piece {
    /// The message begins with it.
    first: bool,
    /// The message ends with it.
    last: bool,
    bytes: Vec<u8>,
}

/// Reads messages in pieces and answers what concerns the connection itself.
struct Reader<R> {
    read: R,
    wire: Wire,
    frame: Option<(Header, u64)>,
    first: bool,
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<R: AsyncRead + Unpin> Reader<R> {
    fn new(read: R, wire: Wire) -> Self {
        Self { read, wire, frame: None, first: true }
    }

    /// Stops to answer.
    fn into_read(self) -> R {
        self.read
    }

    /// The next piece; `None` when the client has closed the connection.
    async fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            let (header, offset) = match self.frame.take() {
                Some(begun) => begun,
                None => match self.header().await? {
                    Some(header) => (header, 0),
                    None => return Ok(None),
                },
            };
            let wanted = (header.length - offset).min(PIECE as u64);
            let mut bytes = vec![0; usize::try_from(wanted).map_err(broken)?];
            self.read.read_exact(&mut bytes).await?;
            frame::unmask(&mut bytes, header.mask, offset);
            if header.kind.is_control() {
                if self.control(header.kind, &bytes).await? {
                    return Ok(None);
                }
                continue;
            }
            let ended = offset + wanted == header.length;
            if !ended {
                self.frame = Some((header, offset + wanted));
            }
            let piece = Piece { first: self.first, last: ended && header.fin, bytes };
            self.first = piece.last;
            return Ok(Some(piece));
        }
    }

    async fn header(&mut self) -> io::Result<Option<Header>> {
        let mut bytes = [0; frame::HEADER_MAX];
        match self.read.read_exact(&mut bytes[..2]).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        };
        let length = frame::header_length([bytes[0], bytes[1]]);
        self.read.read_exact(&mut bytes[2..length]).await?;
        let header = frame::header(&bytes[..length]).map_err(broken)?;
        if !header.kind.is_control() && (header.kind == Kind::Continuation) == self.first {
            return Err(broken("a message in a wrong order"));
        }
        Ok(Some(header))
    }

    /// Answers a control frame; returns whether the client closes the connection.
    async fn control(&mut self, kind: Kind, payload: &[u8]) -> io::Result<bool> {
        match kind {
            Kind::Ping => self.wire.send(frame::frame(Kind::Pong, payload, &[])).await?,
            Kind::Close => {
                self.wire.send(frame::frame(Kind::Close, payload, &[])).await?;
                return Ok(true);
            }
            Kind::Pong | Kind::Continuation | Kind::Text | Kind::Binary => {}
        }
        Ok(false)
    }
}

/// A connection with channels.
pub(super) struct Channels {
    wire: Wire,
    text: bool,
    inputs: HashMap<u8, mpsc::Receiver<Bytes>>,
    /// Cancelled when the client is gone.
    pub(super) gone: CancellationToken,
    _stop: DropGuard,
}

impl Channels {
    /// Serves an open connection; what comes on channels other than `inputs` is dropped.
    pub(super) fn new(io: impl AsyncRead + AsyncWrite + Send + 'static, text: bool, inputs: &[u8]) -> Self {
        let (read, write) = tokio::io::split(io);
        let wire = Wire::new(write);
        let (senders, receivers): (HashMap<_, _>, HashMap<_, _>) = inputs
            .iter()
            .map(|channel| {
                let (sender, receiver) = mpsc::channel(PIECES_MAX);
                ((*channel, sender), (*channel, receiver))
            })
            .unzip();
        let (gone, stop) = (CancellationToken::new(), CancellationToken::new());
        let (ended, stopped, closing) = (gone.clone().drop_guard(), stop.clone(), wire.clone());
        let mut sorter = Sorter { reader: Reader::new(read, wire.clone()), inputs: senders, text };
        tokio::spawn(async move {
            let _ended = ended;
            let stopped = tokio::select! {
                result = sorter.run() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a WebSocket ended");
                    }
                    false
                }
                () = stopped.cancelled() => true,
            };
            if stopped && closing.send(frame::close(NORMAL)).await.is_ok() {
                let read = sorter.reader.into_read();
                drop(closing);
                wire::linger(read).await;
            }
        });
        Self { wire, text, inputs: receivers, gone, _stop: stop.drop_guard() }
    }

    /// What comes on one of the inputs.
    pub(super) fn input(&mut self, channel: u8) -> Option<mpsc::Receiver<Bytes>> {
        self.inputs.remove(&channel)
    }

    pub(super) fn output(&self, channel: u8) -> Output {
        Output::new(self.wire.clone(), Framing::WebSocket { channel, text: self.text })
    }
}

/// Hands messages to the readers of their channels.
struct Sorter<R> {
    reader: Reader<R>,
    inputs: HashMap<u8, mpsc::Sender<Bytes>>,
    text: bool,
}

impl<R: AsyncRead + Unpin> Sorter<R> {
    async fn run(&mut self) -> io::Result<()> {
        // The channel of the message that is being read, once its first byte is known.
        let mut channel = None;
        let mut collected = Vec::new();
        while let Some(mut piece) = self.reader.next().await? {
            if piece.first {
                channel = None;
            }
            if self.text {
                collected.append(&mut piece.bytes);
                if collected.len() > TEXT_MAX {
                    return Err(broken("a message that is too long"));
                }
                if !piece.last {
                    continue;
                }
                piece.bytes = decode(&collected)?;
                collected.clear();
            }
            let payload = match (channel, piece.bytes.split_first()) {
                (None, None) => continue,
                (None, Some((first, rest))) => {
                    channel = Some(*first);
                    rest
                }
                (Some(_), _) => &piece.bytes,
            };
            match channel {
                Some(CLOSE) => payload.iter().for_each(|closed| drop(self.inputs.remove(closed))),
                Some(open) if !payload.is_empty() => {
                    if let Some(input) = self.inputs.get(&open) {
                        // Nobody reads the channel any more.
                        input.send(Bytes::copy_from_slice(payload)).await.ok();
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A digit and base64 become a channel's number and bytes.
fn decode(text: &[u8]) -> io::Result<Vec<u8>> {
    let Some((digit, rest)) = text.split_first() else { return Ok(Vec::new()) };
    let mut message = vec![digit.checked_sub(b'0').ok_or_else(|| broken("a message without a channel"))?];
    STANDARD.decode_vec(rest, &mut message).map_err(broken)?;
    Ok(message)
}

/// A connection whose binary messages are one stream of bytes.
pub(super) fn tunnel(io: impl AsyncRead + AsyncWrite + Send + 'static) -> DuplexStream {
    let (near, far) = tokio::io::duplex(TUNNEL);
    let (read, write) = tokio::io::split(io);
    let wire = Wire::new(write);
    let mut reader = Reader::new(read, wire.clone());
    let (mut from, mut to) = tokio::io::split(far);
    tokio::spawn(async move {
        let inwards = async {
            while let Some(piece) = reader.next().await? {
                to.write_all(&piece.bytes).await?;
            }
            to.shutdown().await
        };
        let outwards = async {
            let mut buffer = vec![0; PIECE];
            loop {
                match from.read(&mut buffer).await? {
                    0 => return wire.send(frame::close(NORMAL)).await,
                    count => wire.send(frame::frame(Kind::Binary, &buffer[..count], &[])).await?,
                }
            }
        };
        // Whichever side ends first, the connection is over.
        let (result, closed) = tokio::select! {
            ended = inwards => (ended, false),
            ended = outwards => (ended, true),
        };
        match result {
            Ok(()) if closed => {
                let read = reader.into_read();
                drop(wire);
                wire::linger(read).await;
            }
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, "a tunnel in a WebSocket ended"),
        }
    });
    near
}

#[cfg(test)]
mod tests;

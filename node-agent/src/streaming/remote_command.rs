//! `remotecommand`: what exec and attach have in common. A client wants some of a program's streams, by WebSocket or by
//! SPDY; both come out as the same [`Streams`].
//!
//! Versions of the protocol differ in little: since v3 there are window sizes, since v4 the outcome is a `Status`, since v5
//! a WebSocket client can end the input.

use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::spdy::{Session, Stream};
use super::upgrade::{self, Refusal, Transport, Upgrade};
use super::websocket::Channels;
use super::wire::Output;

/// How long a SPDY client may take to open all streams.
const STREAM_CREATION: Duration = Duration::from_secs(30);
const SPDY_PROTOCOLS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const WEBSOCKET_PROTOCOLS: [&str; 5] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io"];
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// A window's size is a short text.
const SIZE_MAX: usize = 1024;

/// Which streams a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) terminal: bool,
}

impl Wanted {
    /// Reads the kubelet's parameters.
    pub(super) fn new(query: &[(String, String)]) -> Result<Self, Refusal> {
        let is_set =
            |name: &str| query.iter().any(|(key, value)| key == name && matches!(value.as_str(), "1" | "true"));
        let terminal = is_set("tty");
        // A terminal has one output.
        let (stdin, stdout, stderr) = (is_set("input"), is_set("output"), is_set("error") && !terminal);
        if !(stdin || stdout || stderr) {
            let text = "you must specify at least 1 of stdin, stdout, stderr";
            return Err(Refusal(StatusCode::BAD_REQUEST, text.to_owned()));
        }
        Ok(Self { stdin, stdout, stderr, terminal })
    }
}

/// The client's streams.
pub(super) struct Streams {
    pub(super) stdin: Option<mpsc::Receiver<Bytes>>,
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
    pub(super) sizes: Option<Sizes>,
    outcome: Output,
    /// Outcomes are objects, not text.
    structured: bool,
    /// Cancelled when the client is gone.
    pub(super) gone: CancellationToken,
    _connection: Connection,
}

/// Ends the connection when dropped.
enum Connection {
    Spdy { _session: Session },
    WebSocket { _channels: Channels },
}

/// How a command went, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It ended well.
    Success,
    /// It ended with this code.
    Exit(i32),
    /// It could not be run, or watched to its end.
    Failed(String),
}

impl Outcome {
    /// The `metav1.Status` of protocols since v4.
    fn status(&self) -> Value {
        match self {
            Self::Success => json!({ "metadata": {}, "status": "Success" }),
            Self::Exit(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.text(),
                "reason": "NonZeroExitCode",
                "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
            }),
            Self::Failed(why) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.text(),
                "reason": "InternalError",
                "details": { "causes": [{ "message": why }] },
                "code": 500,
            }),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Success => String::new(),
            Self::Exit(code) => format!("command terminated with non-zero exit code: exit status {code}"),
            Self::Failed(why) => format!("Internal error occurred: {why}"),
        }
    }
}

impl Streams {
    /// Tells the client how it went, and ends the connection.
    pub(super) async fn finish(self, outcome: &Outcome) {
        for output in [self.stdout, self.stderr].into_iter().flatten() {
            output.finish().await;
        }
        let text = if self.structured { outcome.status().to_string() } else { outcome.text() };
        // A client that is gone does not ask.
        self.outcome.send(text.as_bytes()).await.ok();
        self.outcome.finish().await;
    }
}

/// A negotiated command; the answer to the client still has to be sent.
pub(super) struct Accepted {
    pub(super) upgrade: Upgrade,
    pub(super) wanted: Wanted,
}

/// Agrees with the client on a protocol.
pub(super) fn accept(request: Request, wanted: Wanted) -> Result<Accepted, Refusal> {
    let upgrade = upgrade::accept(request, &SPDY_PROTOCOLS, &WEBSOCKET_PROTOCOLS)?;
    Ok(Accepted { upgrade, wanted })
}

/// Opens the streams on the upgraded connection; an error is for the log.
pub(super) async fn open(
    io: TokioIo<Upgraded>,
    transport: Transport,
    protocol: &str,
    wanted: Wanted,
) -> Result<Streams, &'static str> {
    match transport {
        Transport::WebSocket => Ok(by_websocket(io, protocol, wanted).await),
        Transport::Spdy => {
            let opened = tokio::time::timeout(STREAM_CREATION, by_spdy(io, protocol, wanted)).await;
            opened.map_err(|_| "timed out waiting for client to create streams")?
        }
    }
}

async fn by_websocket(io: TokioIo<Upgraded>, protocol: &str, wanted: Wanted) -> Streams {
    let mut inputs = Vec::new();
    inputs.extend(wanted.stdin.then_some(STDIN));
    inputs.extend(wanted.terminal.then_some(RESIZE));
    let mut channels = Channels::new(io, protocol.contains("base64"), &inputs);
    let streams = Streams {
        stdin: channels.input(STDIN),
        stdout: wanted.stdout.then(|| channels.output(STDOUT)),
        stderr: wanted.stderr.then(|| channels.output(STDERR)),
        sizes: channels.input(RESIZE).map(Sizes::new),
        outcome: channels.output(ERROR),
        structured: protocol.starts_with("v4.") || protocol.starts_with("v5."),
        gone: channels.gone.clone(),
        _connection: Connection::WebSocket { _channels: channels },
    };
    // An empty message says that the connection is up.
    let first = [&streams.stdout, &streams.stderr].into_iter().flatten().next().unwrap_or(&streams.outcome);
    first.send(&[]).await.ok();
    streams
}

async fn by_spdy(io: TokioIo<Upgraded>, protocol: &str, wanted: Wanted) -> Result<Streams, &'static str> {
    let version = protocol.strip_prefix('v').and_then(|rest| rest.split('.').next()?.parse().ok()).unwrap_or(1_u32);
    let sizes_wanted = wanted.terminal && version >= 3;
    let mut session = Session::new(io);
    let (mut error, mut stdin, mut stdout, mut stderr, mut sizes) = (None, None, None, None, None);
    let mut missing = 1;
    for wanted in [wanted.stdin, wanted.stdout, wanted.stderr, sizes_wanted] {
        missing += usize::from(wanted);
    }
    while missing > 0 {
        let stream = session.accept().await.ok_or("the client left before it had opened its streams")?;
        let place = match stream.header("streamtype") {
            Some("error") => &mut error,
            Some("stdin") if wanted.stdin => &mut stdin,
            Some("stdout") if wanted.stdout => &mut stdout,
            Some("stderr") if wanted.stderr => &mut stderr,
            Some("resize") if sizes_wanted => &mut sizes,
            _ => return Err("the client opened a stream that it had not announced"),
        };
        if place.replace(stream).is_some() {
            return Err("the client opened a stream twice");
        }
        missing -= 1;
    }
    let output = |stream: Option<Stream>| stream.map(|stream| stream.output);
    Ok(Streams {
        stdin: stdin.map(|stream| stream.input),
        stdout: output(stdout),
        stderr: output(stderr),
        sizes: sizes.map(|stream| Sizes::new(stream.input)),
        outcome: output(error).ok_or("the client opened no stream for errors")?,
        structured: version >= 4,
        gone: session.gone.clone(),
        _connection: Connection::Spdy { _session: session },
    })
}

/// The sizes of the client's window, as they change.
pub(super) struct Sizes {
    input: mpsc::Receiver<Bytes>,
    text: Vec<u8>,
}

/// A window's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Size {
    pub(super) width: u16,
    pub(super) height: u16,
}

impl Sizes {
    fn new(input: mpsc::Receiver<Bytes>) -> Self {
        Self { input, text: Vec::new() }
    }

    /// The next size; `None` when no more come, or what comes is no size.
    pub(super) async fn next(&mut self) -> Option<Size> {
        loop {
            let mut sizes = serde_json::Deserializer::from_slice(&self.text).into_iter::<Size>();
            match sizes.next() {
                Some(Ok(size)) => {
                    let read = sizes.byte_offset();
                    self.text.drain(..read);
                    return Some(size);
                }
                Some(Err(error)) if !error.is_eof() => return None,
                _ if self.text.len() > SIZE_MAX => return None,
                _ => {}
            }
            self.text.extend_from_slice(&self.input.recv().await?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sizes_come_whole_however_they_are_cut() {
        let (sender, input) = mpsc::channel(8);
        let mut sizes = Sizes::new(input);
        for piece in [r#"{"Width":80,"#, r#""Height":24}{"Width":132"#, r#","Height":43}"#, "nonsense"] {
            sender.send(Bytes::from_static(piece.as_bytes())).await.unwrap();
        }
        assert_eq!(sizes.next().await, Some(Size { width: 80, height: 24 }));
        assert_eq!(sizes.next().await, Some(Size { width: 132, height: 43 }));
        assert_eq!(sizes.next().await, None);
    }

    #[test]
    fn outcomes_read_as_clients_expect_them() {
        let status = Outcome::Exit(3).status();
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0], json!({ "reason": "ExitCode", "message": "3" }));
        assert_eq!(Outcome::Success.status()["status"], "Success");
        let why = Outcome::Failed("error executing command in container: x".to_owned());
        assert_eq!(why.text(), "Internal error occurred: error executing command in container: x");
    }

    #[test]
    fn something_must_be_wanted() {
        let query = |text: &str| -> Vec<(String, String)> {
            let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        assert!(Wanted::new(&query("command=ls")).is_err());
        let expected = Wanted { stdin: true, stdout: true, stderr: false, terminal: true };
        assert_eq!(Wanted::new(&query("input=1&output=1&error=1&tty=1")).ok(), Some(expected));
    }
}

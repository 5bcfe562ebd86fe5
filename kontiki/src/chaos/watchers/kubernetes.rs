//! Watches of objects, by `?watch=true` of the Kubernetes API.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Result;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{timeout, timeout_at};

use super::{CONNECT_TIMEOUT, End, Event, Heard, silence_ends};
use crate::chaos::{api::Api, writer::Object};

/// The masters to watch through.
#[derive(Clone)]
pub(super) struct Masters {
    pub(super) tls: Arc<rustls::ClientConfig>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) namespace: String,
}

/// A watch under way, with the client whose connection it needs.
pub(super) struct Stream {
    body: Incoming,
    _api: Api,
}

impl Masters {
    /// Opens a watch of what happens after this resource version.
    pub(super) async fn open(&self, turn: usize, after: i64) -> Result<Stream> {
        let mut api = Api::new(self.addresses[turn % self.addresses.len()], self.tls.clone());
        let path = format!("/api/v1/namespaces/{}/configmaps?watch=true&resourceVersion={after}", self.namespace);
        let body = timeout(CONNECT_TIMEOUT, api.stream(&path)).await??;
        Ok(Stream { body, _api: api })
    }
}

/// Writes down what is told.
pub(super) async fn follow(mut stream: Stream, heard: &Mutex<Heard>, done: impl Fn() -> bool) -> End {
    let mut buffer = BytesMut::new();
    loop {
        let Ok(Some(Ok(frame))) = timeout_at(silence_ends(), stream.body.frame()).await else { return End::Broken };
        let Ok(data) = frame.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line = buffer.split_to(end + 1);
            match read(&line) {
                Ok(Some(event)) => heard.lock().events.push(event),
                Ok(None) => {}
                Err(why) => return End::Stuck(why),
            }
        }
        if done() {
            return End::Done;
        }
    }
}

/// A line of the stream.
#[derive(Deserialize)]
struct Line<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// An event; nothing for a bookmark.
fn read(line: &[u8]) -> Result<Option<Event>, String> {
    let damaged = |_| format!("a line that is no event: {}", String::from_utf8_lossy(line));
    let line: Line<'_> = serde_json::from_slice(line).map_err(damaged)?;
    match line.r#type {
        "BOOKMARK" => Ok(None),
        "ERROR" => Err(line.object.get().to_owned()),
        _ => {
            let object: Object = serde_json::from_str(line.object.get()).map_err(damaged)?;
            let revision = object.revision().map_err(|error| error.to_string())?;
            Ok(Some(Event { key: object.metadata.name, revision }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_events_bookmarks_or_errors() {
        let event = br#"{"type":"ADDED","object":{"kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"7"}}}"#;
        assert_eq!(read(event).unwrap(), Some(Event { key: "a".into(), revision: 7 }));
        let bookmark = br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#;
        assert_eq!(read(bookmark).unwrap(), None);
        let gone = br#"{"type":"ERROR","object":{"code":410,"message":"too old resource version"}}"#;
        assert!(read(gone).unwrap_err().contains("410"));
        assert!(read(b"oops").is_err());
    }
}

//! Watches of keys, by etcd's Watch service.

use anyhow::{Context as _, Result, bail};
use parking_lot::Mutex;
use proto::etcdserverpb::{
    WatchCreateRequest, WatchRequest, WatchResponse, watch_client::WatchClient, watch_request::RequestUnion,
};
use tokio::{
    sync::mpsc,
    time::{timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{CONNECT_TIMEOUT, End, Event, Heard, silence_ends};
use crate::etcd::Access;

/// The masters to watch through.
#[derive(Clone)]
pub(super) struct Masters {
    pub(super) access: Access,
    pub(super) urls: Vec<String>,
    pub(super) prefix: String,
}

/// A watch under way; it ends when its requests do.
pub(super) struct Stream {
    answers: Streaming<WatchResponse>,
    /// How long the prefix is, which events' keys are told without.
    prefix: usize,
    _requests: mpsc::Sender<WatchRequest>,
}

impl Masters {
    /// Opens a watch of what happens after this revision.
    pub(super) async fn open(&self, turn: usize, after: i64) -> Result<Stream> {
        let channel = self.access.stream_channel(&self.urls[turn % self.urls.len()])?;
        let mut range_end = self.prefix.clone().into_bytes();
        if let Some(last) = range_end.last_mut() {
            *last += 1;
        }
        let create = WatchCreateRequest {
            key: self.prefix.clone().into(),
            range_end: range_end.into(),
            start_revision: after + 1,
            ..WatchCreateRequest::default()
        };
        // One request is all that is ever sent.
        let (requests, queue) = mpsc::channel(1);
        requests.send(WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }).await?;
        let open = async {
            let mut client = WatchClient::new(channel);
            let mut answers = client.watch(ReceiverStream::new(queue)).await?.into_inner();
            let first = answers.message().await?.context("the stream ended")?;
            if !first.created || first.canceled {
                bail!("the watch was not created: {}", first.cancel_reason);
            }
            Ok(Stream { answers, prefix: self.prefix.len(), _requests: requests })
        };
        timeout(CONNECT_TIMEOUT, open).await?
    }
}

/// Writes down what is told.
pub(super) async fn follow(mut stream: Stream, heard: &Mutex<Heard>, done: impl Fn() -> bool) -> End {
    loop {
        let Ok(Ok(Some(answer))) = timeout_at(silence_ends(), stream.answers.message()).await else {
            return End::Broken;
        };
        if answer.compact_revision > 0 {
            return End::Stuck(format!("compacted up to {}", answer.compact_revision));
        }
        if answer.canceled {
            return End::Broken;
        }
        let events = answer.events.iter().filter_map(|event| event.kv.as_ref());
        heard.lock().events.extend(events.map(|kv| {
            let key = kv.key.get(stream.prefix..).unwrap_or_default();
            Event { key: String::from_utf8_lossy(key).into(), revision: kv.mod_revision }
        }));
        if done() {
            return End::Done;
        }
    }
}

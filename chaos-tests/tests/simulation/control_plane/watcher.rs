//! A client that lists a kind and watches it from there on, through one master after the other.

use http_body_util::BodyExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    client::{Answer, Client},
    workload::revision,
};
use crate::{chance::Chance, record::Record};

/// Short, so that watches are resumed often; bookmarks come before the end.
const WATCH_SECONDS: u64 = 7;

/// What a watcher heard, in its order.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// A list at this revision: everything up to it is known.
    Listed(i64),
    /// An event: its type, the object's namespace and name, and its revision.
    Event { kind: String, name: String, revision: i64 },
    /// Everything up to this revision was told.
    Bookmark(i64),
    /// The stream began anew.
    Resumed,
}

/// Everything that one watcher heard.
pub(crate) type Log = Record<Heard>;

impl Log {
    /// The last revision of which everything was heard.
    pub(crate) fn reached(&self) -> i64 {
        self.highest(reached)
    }
}

fn reached(heard: &Heard) -> i64 {
    match heard {
        Heard::Listed(revision) | Heard::Event { revision, .. } | Heard::Bookmark(revision) => *revision,
        Heard::Resumed => 0,
    }
}

/// Watches all objects under a path until told to stop.
pub(crate) async fn watch(client: Client, chance: Chance, path: &'static str, log: Log, stop: CancellationToken) {
    let mut at: Option<i64> = None;
    let endless = async {
        loop {
            match at {
                None => {
                    if let Answer::Done(list) = client.send(http::Method::GET, path, None).await
                        && let Some(listed) = revision(&list)
                    {
                        log.add(Heard::Listed(listed));
                        at = Some(listed);
                    }
                }
                Some(from) => at = follow(&client, path, from, &log).await,
            }
            if chance.one_in(2) {
                client.turn_away();
            }
            tokio::time::sleep(chance.millis(20..300)).await;
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = endless => {}
    }
}

/// Where to go on; from a list when the history is gone.
async fn follow(client: &Client, path: &str, mut at: i64, log: &Log) -> Option<i64> {
    let query = format!("watch=true&allowWatchBookmarks=true&resourceVersion={at}&timeoutSeconds={WATCH_SECONDS}");
    let Ok(response) = client.open(&format!("{path}?{query}")).await else { return Some(at) };
    if response.status() == http::StatusCode::GONE {
        return None;
    }
    if !response.status().is_success() {
        return Some(at);
    }
    log.add(Heard::Resumed);
    let (mut body, mut rest) = (response.into_body(), Vec::new());
    while let Some(Ok(frame)) = body.frame().await {
        rest.extend_from_slice(&frame.into_data().unwrap_or_default());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line).expect("a line is an event");
            let (kind, object) = (event["type"].as_str().unwrap_or_default(), &event["object"]);
            if kind == "ERROR" {
                return (object["code"] != 410).then_some(at);
            }
            let revision = revision(object).expect("an event has a version");
            log.add(if kind == "BOOKMARK" {
                Heard::Bookmark(revision)
            } else {
                let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
                let name = format!("{}/{}", part("namespace"), part("name"));
                Heard::Event { kind: kind.to_owned(), name, revision }
            });
            at = at.max(revision);
        }
    }
    Some(at)
}

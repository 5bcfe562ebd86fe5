//! How soon many watchers have seen many changes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use tokio::task::JoinSet;

use super::api::{COLLECTION, CONNECTIONS, Endpoint, OBJECTS, config_map, name};

/// Watches, each on a connection of its own.
pub const WATCHERS: usize = 100;

/// Changes every object once, under [`WATCHERS`] watches of all of them; the time from the first change until every watch
/// has brought every one.
///
/// # Errors
/// When a watch ends early or a change is refused.
pub async fn run(endpoints: &[Endpoint]) -> Result<Duration> {
    let from = revision(&endpoints[0]).await?;
    let mut watchers = JoinSet::new();
    for number in 0..WATCHERS {
        let mut connection = endpoints[number % endpoints.len()].connect().await?;
        let mut events = connection.watch(&format!("{COLLECTION}?watch=true&resourceVersion={from}")).await?;
        watchers.spawn(async move {
            let mut seen = 0;
            while seen < OBJECTS {
                let frame = events.frame().await.context("a watch ended early")??;
                // A JSON watch is one line an event, and no event holds a line's end.
                let lines = frame.data_ref().map_or(0, |data| data.iter().filter(|byte| **byte == b'\n').count());
                seen += lines as u64;
            }
            drop(connection);
            Ok::<_, anyhow::Error>(())
        });
    }
    let begin = Instant::now();
    let mut writers = JoinSet::new();
    // Data that no object had before, so that each write is a change.
    let turn = u64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_micros())?;
    for writer in 0..CONNECTIONS {
        let mut connection = endpoints[writer % endpoints.len()].connect().await?;
        writers.spawn(async move {
            for number in (writer as u64..OBJECTS).step_by(CONNECTIONS) {
                let path = format!("{COLLECTION}/{}", name(number));
                connection.ask(Method::PUT, &path, config_map(&name(number), turn)).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    for finished in [writers.join_all().await, watchers.join_all().await].into_iter().flatten() {
        finished?;
    }
    Ok(begin.elapsed())
}

/// The revision from which a watch sees what comes next.
async fn revision(endpoint: &Endpoint) -> Result<String> {
    let mut connection = endpoint.connect().await?;
    let mut body = connection.watch(&format!("{COLLECTION}?limit=1")).await?;
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(frame?.data_ref().map_or(&[][..], Bytes::as_ref));
    }
    let list: serde_json::Value = serde_json::from_slice(&text)?;
    list["metadata"]["resourceVersion"].as_str().map(str::to_owned).context("a list without a revision")
}

/// Watches that nothing concerns.
pub const BYSTANDERS: usize = 1000;
/// How many different selectors they have.
pub const SELECTORS: usize = 100;

/// Opens [`BYSTANDERS`] watches with [`SELECTORS`] selectors that select nothing; they go on until they are dropped.
///
/// # Errors
/// When one is refused.
pub async fn bystanders(endpoint: &Endpoint) -> Result<JoinSet<()>> {
    let from = revision(endpoint).await?;
    let mut watches = JoinSet::new();
    for number in 0..BYSTANDERS {
        let mut connection = endpoint.connect().await?;
        let selector = format!("labelSelector=app%3Dnobody-{}", number % SELECTORS);
        let mut events =
            connection.watch(&format!("{COLLECTION}?watch=true&resourceVersion={from}&{selector}")).await?;
        watches.spawn(async move {
            while let Some(Ok(_)) = events.frame().await {}
            drop(connection);
        });
    }
    Ok(watches)
}

//! `GET /containerLogs/<namespace>/<pod>/<container>`.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Api;
use super::log_format::{Formatter, Selection};
use super::log_reader::LogReader;
use crate::pod::table::Entry;

/// How often a followed log is looked at while it does not grow.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// Pieces of at most 64 KiB that wait for a slow reader.
const PIECES_MAX: usize = 4;

/// The query, in the names of `PodLogOptions`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Options {
    follow: Option<String>,
    previous: Option<String>,
    timestamps: Option<String>,
    since_seconds: Option<i64>,
    since_time: Option<Timestamp>,
    tail_lines: Option<u64>,
    limit_bytes: Option<usize>,
    stream: Option<String>,
}

struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

pub(super) async fn get(
    State(api): State<Api>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(options): Query<Options>,
) -> Response {
    match open(&api, &namespace, &pod, &container, &options).await {
        Ok(body) => ([("content-type", "text/plain")], body).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

fn is_set(flag: Option<&String>) -> bool {
    flag.is_some_and(|value| matches!(value.as_str(), "true" | "1" | ""))
}

async fn open(api: &Api, namespace: &str, pod: &str, container: &str, options: &Options) -> Result<Body, Refusal> {
    let entry = api
        .pods
        .by_name(namespace, pod)
        .ok_or_else(|| Refusal(StatusCode::NOT_FOUND, format!("pod \"{pod}\" does not exist on this node")))?;
    let attempt = attempt(&entry, pod, container, is_set(options.previous.as_ref()))?;
    let uid = crate::pod::uid(&entry.pod).to_owned();
    let path = api.config.pod_log_dir(namespace, pod, &uid).join(container).join(format!("{attempt}.log"));
    let formatter = Formatter::new(selection(options)?);
    let tail = options.tail_lines;
    let opened = tokio::task::spawn_blocking(move || LogReader::open(&path, tail, formatter)).await;
    let reader = match opened {
        Ok(Ok(reader)) => reader,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("the log of container \"{container}\" in pod \"{pod}\" is not there any more");
            return Err(Refusal(StatusCode::NOT_FOUND, text));
        }
        Ok(Err(error)) => return Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        Err(error) => return Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    };
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let pods = api.pods.clone();
    let name = container.to_owned();
    let is_alive = move || {
        let running = pods.by_uid(&uid).and_then(|entry| {
            let status = entry.container(&name)?;
            let running = status.state.as_ref().is_some_and(|state| state.running.is_some());
            Some(running && u32::try_from(status.restart_count).ok() == Some(attempt))
        });
        running.unwrap_or(false)
    };
    let follow = is_set(options.follow.as_ref());
    // Ends with the log, or when the body is dropped; it holds nothing but the open file.
    tokio::task::spawn(copy(reader, sender, move || follow && is_alive()));
    Ok(Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(pieces)))
}

/// Which start of the container is meant; answers as the kubelet does when there is none.
fn attempt(entry: &Entry, pod: &str, container: &str, previous: bool) -> Result<u32, Refusal> {
    let bad = |text: String| Refusal(StatusCode::BAD_REQUEST, text);
    let status =
        entry.container(container).ok_or_else(|| bad(format!("container {container} is not valid for pod {pod}")))?;
    let count = u32::try_from(status.restart_count).unwrap_or(0);
    let is_waiting = status.state.as_ref().is_none_or(|state| state.running.is_none() && state.terminated.is_none());
    match (previous, is_waiting) {
        // A container that waits for a restart: its latest run is the one that ended.
        (_, true) if status.last_state.as_ref().is_some_and(|state| state.terminated.is_some()) => Ok(count),
        (true, false) if count > 0 => Ok(count - 1),
        (true, _) => Err(bad(format!("previous terminated container \"{container}\" in pod \"{pod}\" not found"))),
        (false, true) => {
            let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
            let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or("ContainerCreating");
            Err(bad(format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {reason}")))
        }
        (false, false) => Ok(count),
    }
}

fn selection(options: &Options) -> Result<Selection, Refusal> {
    // Lines bear the time of their shim, which is the machine's.
    let since = match (options.since_time, options.since_seconds) {
        (Some(time), _) => Some(time),
        (None, Some(seconds)) => Timestamp::now().checked_sub(SignedDuration::from_secs(seconds)).ok(),
        (None, None) => None,
    };
    let stream = match options.stream.as_deref() {
        None | Some("" | "All") => None,
        Some("Stdout") => Some("stdout"),
        Some("Stderr") => Some("stderr"),
        Some(other) => {
            let text = format!("stream {other:?} is unknown: use All, Stdout or Stderr");
            return Err(Refusal(StatusCode::BAD_REQUEST, text));
        }
    };
    let timestamps = is_set(options.timestamps.as_ref());
    Ok(Selection { since, timestamps, limit_bytes: options.limit_bytes, stream })
}

/// Moves the log to the client; goes on at its end as long as `more` says so.
async fn copy(mut reader: LogReader, pieces: mpsc::Sender<std::io::Result<Bytes>>, more: impl Fn() -> bool) {
    loop {
        // Asked before reading, so that what was written before the end is not missed.
        let goes_on = more();
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let piece = reader.next();
                (reader, piece)
            });
            let Ok((returned, piece)) = read.await else { return };
            reader = returned;
            let sent = match piece {
                Ok(None) => break,
                Ok(Some(piece)) if piece.is_empty() => Ok(()),
                Ok(Some(piece)) => pieces.send(Ok(Bytes::from(piece))).await,
                Err(error) => pieces.send(Err(error)).await,
            };
            if sent.is_err() || reader.is_full() {
                return;
            }
        }
        if !goes_on {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
            () = pieces.closed() => return,
        }
    }
}

#[cfg(test)]
mod tests;

//! GET of a collection's changes, for as long as client and server like.

use std::{sync::Arc, time::Duration};

use api::{status::Status, surroundings::Planted};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use crate::{
    encode::Show,
    error::Result,
    metrics::Open,
    negotiation::{Encoding, Target},
    options::ListOptions,
    pipeline::Call,
    resource::Resource,
    server::Server,
    storage::{continue_token::ContinueToken, read::Selection},
    watch::{
        frame::{self, Meaning},
        hub::{Batch, Cursor},
    },
};

/// A watch without a time of its own ends between these, so that watches do not all come back at once.
const LIFETIME: std::ops::Range<u64> = 1800..3600;
const BOOKMARKS: Duration = Duration::from_secs(60);
/// A last bookmark shortly before the end saves the client a list.
const BEFORE_END: Duration = Duration::from_secs(2);
/// Initial events leave in pieces of about this size.
const PIECE: usize = 256 * 1024;
const INITIAL_PAGE: usize = 500;

pub(super) async fn watch(call: &Call) -> Result<Response> {
    let mut options = ListOptions::parse(call.query(), true)?;
    options.only(&call.info.name);
    let show = Show::parse(&options.include_object, call.encoding)?;
    let selection = Arc::new(Selection::parse(&call.resource, &options)?);
    let asked = options.revision()?;
    let streamed = options.send_initial_events == Some(true);
    let initial = streamed || (options.send_initial_events.is_none() && asked.unwrap_or(0) == 0);
    let storage = &call.server.storage;
    let start = match asked {
        Some(revision) if revision > 0 && !initial => revision,
        _ => storage.view_at_least(asked).await?.revision(),
    };
    let hub = call.server.hub(&call.resource);
    let seconds = options.timeout_seconds.filter(|seconds| *seconds > 0);
    let seconds =
        seconds.unwrap_or_else(|| LIFETIME.start + call.surroundings().random() % (LIFETIME.end - LIFETIME.start));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut bookmarks = interval_at(Instant::now() + BOOKMARKS, BOOKMARKS);
    bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watcher = Watcher {
        server: call.server.clone(),
        resource: call.resource.clone(),
        namespace: call.namespace().to_owned(),
        cursor: hub.cursor(
            start + i64::from(!initial && call.surroundings().has(Planted::ResumeTooLate)),
            call.namespace(),
            &selection,
        ),
        selection,
        encoding: call.encoding,
        show,
        stage: if initial { Stage::Initial { start, next: String::new() } } else { Stage::Live },
        // Who takes no bookmarks gets none at the end of what is there already either.
        streamed: streamed && options.bookmarks,
        bookmarks: options.bookmarks.then_some(bookmarks),
        last_bookmark: options.bookmarks.then(|| end - BEFORE_END.min(Duration::from_secs(seconds) / 2)),
        end,
        _open: call.server.metrics.open(&call.info),
    };
    let body = Body::from_stream(stream::unfold(watcher, |mut watcher| async move {
        let bytes = watcher.next().await?;
        Some((Ok::<Bytes, std::io::Error>(bytes), watcher))
    }));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let content_type = HeaderValue::from_static(call.encoding.media.stream_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

enum Stage {
    /// What was there at the revision `start`, from the key `next` on.
    Initial {
        start: i64,
        next: String,
    },
    Live,
    Ended,
}

struct Watcher {
    server: Arc<Server>,
    resource: Arc<Resource>,
    namespace: String,
    selection: Arc<Selection>,
    encoding: Encoding,
    show: Show,
    cursor: Cursor,
    stage: Stage,
    /// True when a bookmark tells where the initial events end.
    streamed: bool,
    bookmarks: Option<Interval>,
    last_bookmark: Option<Instant>,
    end: Instant,
    _open: Open,
}

impl Watcher {
    /// The next bytes for the client: everything that is ready at once.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let bytes = match &mut self.stage {
                Stage::Ended => return None,
                Stage::Initial { start, next } => {
                    let (start, next) = (*start, std::mem::take(next));
                    self.initial(start, next).await
                }
                Stage::Live => self.live().await,
            };
            match bytes {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Some(bytes),
                Err(error) => {
                    self.stage = Stage::Ended;
                    return Some(frame::error(&error.0, self.encoding));
                }
            }
        }
    }

    /// What is there already, page by page at one revision.
    async fn initial(&mut self, start: i64, next: String) -> Result<Bytes> {
        let token = ContinueToken { revision: Some(start), start: next };
        let options = ListOptions { limit: INITIAL_PAGE, continue_token: token.encode(), ..ListOptions::default() };
        let page = self.server.storage.list(&self.resource, &self.namespace, &options, &self.selection).await?;
        let mut out = Vec::with_capacity(PIECE);
        for object in &page.objects {
            let revision = object.revision();
            let frame = frame::frame(Meaning::Added, object, revision, &self.resource, self.encoding, self.show)?;
            self.shown(&mut out, &frame);
        }
        if page.about.next.is_empty() {
            self.stage = Stage::Live;
            if self.streamed {
                out.extend_from_slice(&frame::bookmark(&self.resource, start, true, self.encoding));
            }
        } else {
            let next = ContinueToken::decode(&page.about.next).map_err(Status::internal)?.start;
            self.stage = Stage::Initial { start, next };
        }
        Ok(out.into())
    }

    async fn live(&mut self) -> Result<Bytes> {
        let (shutdown, gone) = (self.server.shutdown.clone(), self.resource.gone.clone());
        let tick = async {
            match &mut self.bookmarks {
                Some(bookmarks) => drop(bookmarks.tick().await),
                None => std::future::pending().await,
            }
        };
        let last = self.last_bookmark;
        let last_bookmark = async {
            match last {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            batch = self.cursor.next() => {
                let batch = batch.map_err(|error| match error {
                    store::Error::Compacted { compact_revision } => {
                        let old = self.cursor.reached();
                        Status::expired(format!("too old resource version: {old} ({compact_revision})")).into()
                    }
                    other => crate::error::Error::from(other),
                })?;
                self.frames(&batch)
            }
            () = tick => Ok(self.bookmark()),
            () = last_bookmark => {
                self.last_bookmark = None;
                Ok(self.bookmark())
            }
            () = sleep_until(self.end) => {
                self.stage = Stage::Ended;
                Ok(Bytes::new())
            }
            () = async { tokio::select! { () = shutdown.cancelled() => (), () = gone.cancelled() => () } } => {
                self.stage = Stage::Ended;
                Ok(Bytes::new())
            }
        }
    }

    fn bookmark(&mut self) -> Bytes {
        let ahead = self.server.config.surroundings.has(Planted::BookmarkAhead);
        let reached = if ahead { self.server.storage.view().revision() + 1 } else { self.cursor.reached() };
        frame::bookmark(&self.resource, reached, false, self.encoding)
    }

    fn frames(&mut self, batch: &Batch) -> Result<Bytes> {
        let mut frames = Vec::new();
        for (meaning, event) in &batch.events {
            let frame = frame::event(event, *meaning, &self.resource, self.encoding, self.show)?;
            self.show.columns_known |= matches!(self.encoding.target, Target::Table(_));
            frames.push(frame);
        }
        // One event leaves as the very bytes that all watchers share.
        Ok(if frames.len() == 1 { frames.swap_remove(0) } else { frames.concat().into() })
    }

    fn shown(&mut self, out: &mut Vec<u8>, frame: &[u8]) {
        out.extend_from_slice(frame);
        self.show.columns_known |= matches!(self.encoding.target, Target::Table(_));
    }
}

//! Where the objects of a cache come from: an endless list-and-watch.
//!
//! Two transports: [`HttpSource`] here, and the local replica of a master, which hands over the very `Arc` the API server
//! holds. A source never ends and never fails: it resumes at the last revision, lists again when that is compacted, and
//! backs off while nobody answers.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::stored::StoredObject;
use api::surroundings::Surroundings;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

pub mod wire;

/// The server's default is the same; a page of pods is then 2-3 MB.
const PAGE_OBJECTS: usize = 500;
const BACK_OFF_FIRST: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// Asked from the server, so that a watch moves on when masters come and go.
const WATCH_SECONDS: u64 = 290;
/// The server sends a bookmark each minute; a watch silent for longer than its own end is dead.
const SILENCE_MAX: Duration = Duration::from_secs(WATCH_SECONDS + 30);
/// An object has at most 3 MiB; a line is one object and little more.
const LINE_BYTES_MAX: usize = 8 << 20;

/// A resource of the API by its plural name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// Empty for the core group.
    pub group: Cow<'static, str>,
    /// `v1`.
    pub version: Cow<'static, str>,
    /// `pods`.
    pub plural: Cow<'static, str>,
}

impl Resource {
    /// A built-in resource.
    pub const fn new(group: &'static str, version: &'static str, plural: &'static str) -> Self {
        Self { group: Cow::Borrowed(group), version: Cow::Borrowed(version), plural: Cow::Borrowed(plural) }
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of the collection; all namespaces, or none, when `namespace` is empty.
    pub fn path(&self, namespace: &str) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(&self.plural);
        path
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.plural)?;
        if self.group.is_empty() { Ok(()) } else { write!(formatter, ".{}", self.group) }
    }
}

/// What to mirror: a resource, possibly narrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Of which resource.
    pub resource: Resource,
    /// In this namespace only.
    pub namespace: Option<String>,
    /// A label selector.
    pub labels: Option<String>,
    /// A field selector, such as `spec.nodeName=n1`.
    pub fields: Option<String>,
}

impl Selection {
    /// All objects of a resource.
    pub fn all(resource: Resource) -> Self {
        Self { resource, namespace: None, labels: None, fields: None }
    }

    /// Only objects whose fields match.
    #[must_use]
    pub fn with_fields(mut self, fields: impl Into<String>) -> Self {
        self.fields = Some(fields.into());
        self
    }

    /// Only objects of a namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }
}

/// What a source says, in the order of revisions.
#[derive(Clone, Debug)]
pub enum SourceEvent {
    /// These are all objects there are at this revision.
    Reset(Vec<Arc<StoredObject>>, i64),
    /// An object was created or changed.
    Applied(Arc<StoredObject>),
    /// An object is gone since this revision; this is the last that is known of it.
    Deleted(Arc<StoredObject>, i64),
    /// Nothing happened up to this revision.
    Bookmark(i64),
}

/// See the module's documentation.
pub trait Source: Send + Sync {
    /// An endless stream; it begins with a [`SourceEvent::Reset`].
    fn list_and_watch(&self, selection: Selection) -> BoxStream<'static, SourceEvent>;
}

/// List and watch through a client.
#[derive(Clone)]
pub struct HttpSource {
    client: kube::Client,
    surroundings: Surroundings,
}

impl HttpSource {
    /// Asks through `client`, usually one over the balancer.
    pub fn new(client: kube::Client) -> Self {
        Self { client, surroundings: Surroundings::real() }
    }

    /// The same with other chances.
    #[must_use]
    pub fn surrounded_by(self, surroundings: Surroundings) -> Self {
        Self { surroundings, ..self }
    }
}

impl Source for HttpSource {
    fn list_and_watch(&self, selection: Selection) -> BoxStream<'static, SourceEvent> {
        let (client, surroundings) = (self.client.clone(), self.surroundings.clone());
        let watcher = Watcher { client, surroundings, selection, stage: Stage::List, back_off: BACK_OFF_FIRST };
        stream::unfold(watcher, |mut watcher| async move {
            let event = watcher.next().await;
            Some((event, watcher))
        })
        .boxed()
    }
}

/// Why list or watch has to begin again.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the request failed")]
    Request(#[from] kube::Error),
    #[error("the request could not be built")]
    Build(#[from] http::Error),
    #[error("the answer could not be read")]
    Body(#[source] kube::Error),
    #[error("the answer is not what a list or watch looks like")]
    Syntax(#[from] serde_json::Error),
    #[error("an object could not be understood")]
    Object(#[from] wire::Error),
    #[error("the server answered {code} {message}")]
    Status { code: u16, message: String },
    #[error("a line of the watch is longer than {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    #[error("the watch was silent")]
    Silent,
}

struct Watcher {
    client: kube::Client,
    surroundings: Surroundings,
    selection: Selection,
    stage: Stage,
    back_off: Duration,
}

enum Stage {
    List,
    Watch { revision: i64, open: Option<Lines> },
}

/// A body cut into lines.
struct Lines {
    body: kube::client::Body,
    buffer: BytesMut,
    /// Up to here the buffer is known to hold no newline.
    searched: usize,
}

#[derive(Deserialize)]
struct List<'a> {
    metadata: ListMetadata,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct ListMetadata {
    #[serde(rename = "resourceVersion", default)]
    resource_version: String,
    #[serde(rename = "continue", default)]
    continue_token: Option<String>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Revisioned {
    metadata: ListMetadata,
}

impl Watcher {
    async fn next(&mut self) -> SourceEvent {
        loop {
            let outcome = match &mut self.stage {
                Stage::List => self.list().await.map(Some),
                Stage::Watch { .. } => self.watch().await,
            };
            match outcome {
                Ok(Some(event)) => {
                    self.back_off = BACK_OFF_FIRST;
                    return event;
                }
                Ok(None) => {}
                Err(error) => self.recover(&error).await,
            }
        }
    }

    async fn recover(&mut self, error: &Error) {
        let gone = matches!(error, Error::Status { code: 410, .. });
        tracing::debug!(resource = %self.selection.resource, error = error as &dyn std::error::Error, gone, "watch interrupted");
        match &mut self.stage {
            Stage::Watch { .. } if gone => self.stage = Stage::List,
            Stage::Watch { open, .. } => *open = None,
            Stage::List => {}
        }
        // Half to full, so that a thousand agents do not come back in step.
        tokio::time::sleep(self.back_off.mul_f64(0.5 + self.surroundings.share() / 2.0)).await;
        self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
    }

    async fn list(&mut self) -> Result<SourceEvent, Error> {
        let mut objects = Vec::new();
        let mut continue_token: Option<String> = None;
        loop {
            let mut query = format!("limit={PAGE_OBJECTS}");
            if let Some(token) = &continue_token {
                query.push_str("&continue=");
                query.push_str(&escape(token));
            }
            let page =
                get(&self.client, &self.selection, &query).await?.collect().await.map_err(Error::Body)?.to_bytes();
            let list: List<'_> = serde_json::from_slice(&page)?;
            for item in list.items.unwrap_or_default() {
                objects.push(parse(item)?);
            }
            let revision = revision(&list.metadata)?;
            continue_token = list.metadata.continue_token.filter(|token| !token.is_empty());
            if continue_token.is_none() {
                self.stage = Stage::Watch { revision, open: None };
                return Ok(SourceEvent::Reset(objects, revision));
            }
        }
    }

    async fn watch(&mut self) -> Result<Option<SourceEvent>, Error> {
        let Stage::Watch { revision: last, open } = &mut self.stage else { return Ok(None) };
        let Some(lines) = open else {
            let query =
                format!("watch=true&allowWatchBookmarks=true&resourceVersion={last}&timeoutSeconds={WATCH_SECONDS}");
            let body = get(&self.client, &self.selection, &query).await?;
            *open = Some(Lines { body, buffer: BytesMut::new(), searched: 0 });
            return Ok(None);
        };
        let Ok(line) = timeout(SILENCE_MAX, lines.next()).await else { return Err(Error::Silent) };
        let Some(line) = line? else {
            *open = None;
            return Ok(None);
        };
        let frame: Frame<'_> = serde_json::from_slice(&line)?;
        match frame.kind.as_ref() {
            "ADDED" | "MODIFIED" => {
                let object = parse(frame.object)?;
                *last = object.revision();
                Ok(Some(SourceEvent::Applied(object)))
            }
            "DELETED" => {
                let object = parse(frame.object)?;
                *last = object.revision();
                Ok(Some(SourceEvent::Deleted(object, *last)))
            }
            "BOOKMARK" => {
                let bookmark: Revisioned = serde_json::from_str(frame.object.get())?;
                *last = revision(&bookmark.metadata)?;
                Ok(Some(SourceEvent::Bookmark(*last)))
            }
            _error => {
                let status: Status = serde_json::from_str(frame.object.get())?;
                Err(Error::Status { code: status.code, message: status.message })
            }
        }
    }
}

impl Lines {
    /// The next line, without its end; `None` at the end of the body.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                if line.len() > 1 {
                    return Ok(Some(line));
                }
                continue;
            }
            self.searched = self.buffer.len();
            if self.searched > LINE_BYTES_MAX {
                return Err(Error::LineTooLong);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(Error::Body)?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

async fn get(client: &kube::Client, selection: &Selection, query: &str) -> Result<kube::client::Body, Error> {
    let mut target = selection.resource.path(selection.namespace.as_deref().unwrap_or_default());
    target.push('?');
    target.push_str(query);
    for (name, value) in [("labelSelector", &selection.labels), ("fieldSelector", &selection.fields)] {
        if let Some(value) = value {
            target.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    let request =
        http::Request::get(target).header(http::header::ACCEPT, "application/json").body(kube::client::Body::empty())?;
    let response = client.send(request).await?;
    if response.status().is_success() {
        return Ok(response.into_body());
    }
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(Error::Body)?.to_bytes();
    let message = serde_json::from_slice::<Status>(&body).map(|status| status.message).unwrap_or_default();
    Err(Error::Status { code, message })
}

fn parse(object: &RawValue) -> Result<Arc<StoredObject>, Error> {
    Ok(Arc::new(wire::stored_object(object.get())?))
}

fn revision(metadata: &ListMetadata) -> Result<i64, Error> {
    let text = &metadata.resource_version;
    Ok(text.parse().map_err(|_| wire::Error::Revision(text.clone()))?)
}

/// Percent-encodes a query value.
fn escape(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(escaped, "%{byte:02X}").ok();
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_group_and_namespace() {
        for (resource, namespace, expect) in [
            (Resource::new("", "v1", "pods"), "", "/api/v1/pods"),
            (Resource::new("", "v1", "pods"), "a", "/api/v1/namespaces/a/pods"),
            (Resource::new("apps", "v1", "deployments"), "a", "/apis/apps/v1/namespaces/a/deployments"),
        ] {
            assert_eq!(resource.path(namespace), expect);
        }
    }

    #[test]
    fn query_values_are_escaped() {
        assert_eq!(escape("spec.nodeName=a,b!=ü"), "spec.nodeName%3Da%2Cb%21%3D%C3%BC");
    }
}

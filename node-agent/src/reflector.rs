//! List and watch of one kind, resumed after every interruption, as a stream of [`Change`]s.
//!
//! A watch that ends is resumed at the last revision seen; one the server can no longer serve (410) starts over with a
//! list, which consumers see as a `Reset`. Small on purpose: the agent's few watches need no cache beyond what their
//! consumers keep.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

/// What a consumer learns.
#[derive(Debug)]
pub(crate) enum Change<K> {
    /// Everything that exists now; what is missing from it is gone.
    Reset(Vec<K>),
    /// Created or changed.
    Applied(K),
    /// Gone, with its last state.
    Deleted(K),
}

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// Below the five minutes after which the client's own read time-out may strike.
const WATCH_SECONDS: u32 = 240;

/// Feeds `changes` until its receiver is dropped.
pub(crate) async fn run<K>(api: Api<K>, field_selector: Option<String>, changes: mpsc::Sender<Change<K>>)
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut delay = FIRST_DELAY;
    let mut revision: Option<String> = None;
    while !changes.is_closed() {
        let result = match revision.take() {
            None => list(&api, field_selector.as_deref(), &changes).await.map(Some),
            Some(from) => watch(&api, field_selector.as_deref(), from, &changes).await.inspect_err(|failure| {
                // An interrupted watch goes on where it stopped.
                if let Failure::Interrupted { reached, .. } = failure {
                    revision = Some(reached.clone());
                }
            }),
        };
        match result {
            Ok(reached) => {
                delay = FIRST_DELAY;
                revision = reached;
            }
            Err(Failure::Closed) => return,
            Err(failure) => {
                tracing::warn!(kind = std::any::type_name::<K>(), %failure, "watching again");
                tokio::select! {
                    () = tokio::time::sleep(delay) => delay = (delay * 2).min(LONGEST_DELAY),
                    () = changes.closed() => return,
                }
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot list: {0}")]
    List(#[source] kube::Error),
    #[error("the watch broke: {source}")]
    Interrupted { reached: String, source: kube::Error },
    #[error("nobody listens")]
    Closed,
}

async fn list<K>(api: &Api<K>, fields: Option<&str>, changes: &mpsc::Sender<Change<K>>) -> Result<String, Failure>
where
    K: kube::Resource + Clone + DeserializeOwned + Debug,
{
    let mut parameters = ListParams::default();
    if let Some(fields) = fields {
        parameters = parameters.fields(fields);
    }
    let list = api.list(&parameters).await.map_err(Failure::List)?;
    let revision = list.metadata.resource_version.unwrap_or_default();
    changes.send(Change::Reset(list.items)).await.map_err(|_| Failure::Closed)?;
    Ok(revision)
}

/// Returns where to go on, or `None` when a new list is needed.
async fn watch<K>(
    api: &Api<K>,
    fields: Option<&str>,
    from: String,
    changes: &mpsc::Sender<Change<K>>,
) -> Result<Option<String>, Failure>
where
    K: kube::Resource + Clone + DeserializeOwned + Debug,
{
    let mut parameters = WatchParams::default().timeout(WATCH_SECONDS);
    if let Some(fields) = fields {
        parameters = parameters.fields(fields);
    }
    let interrupted = |reached: &str, source| Failure::Interrupted { reached: reached.to_owned(), source };
    let mut reached = from;
    let stream = match api.watch(&parameters, &reached).await {
        Ok(stream) => stream,
        Err(kube::Error::Api(status)) if status.code == 410 => return Ok(None),
        Err(error) => return Err(interrupted(&reached, error)),
    };
    let mut stream = std::pin::pin!(stream.into_stream());
    while let Some(event) = stream.next().await {
        let (revision, change) = match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                (object.meta().resource_version.clone(), Some(Change::Applied(object)))
            }
            Ok(WatchEvent::Deleted(object)) => (object.meta().resource_version.clone(), Some(Change::Deleted(object))),
            Ok(WatchEvent::Bookmark(bookmark)) => (Some(bookmark.metadata.resource_version), None),
            Ok(WatchEvent::Error(status)) if status.code == 410 => return Ok(None),
            Ok(WatchEvent::Error(status)) => return Err(interrupted(&reached, kube::Error::Api(status))),
            Err(error) => return Err(interrupted(&reached, error)),
        };
        if let Some(change) = change {
            changes.send(change).await.map_err(|_| Failure::Closed)?;
        }
        if let Some(revision) = revision {
            reached = revision;
        }
    }
    Ok(Some(reached))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::Node;
    use kube::client::Body;

    /// An API that answers each request with the next canned response and keeps the query strings.
    fn scripted(answers: &[(u16, &str)]) -> (kube::Client, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let answers: VecDeque<(u16, String)> = answers.iter().map(|(code, text)| (*code, (*text).to_owned())).collect();
        let answers = Arc::new(Mutex::new(answers));
        let service = tower::service_fn(move |request: Request<Body>| {
            log.lock().unwrap().push(request.uri().query().unwrap_or_default().to_owned());
            let next = answers.lock().unwrap().pop_front();
            async move {
                match next {
                    Some((code, text)) => {
                        Ok(Response::builder().status(code).body(Body::from(text.into_bytes())).unwrap())
                    }
                    None => std::future::pending::<Result<_, std::io::Error>>().await,
                }
            }
        });
        (kube::Client::new(service, "default"), asked)
    }

    const LIST: &str = r#"{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"a"}}]}"#;
    const ADDED: &str =
        r#"{"type":"ADDED","object":{"kind":"Node","apiVersion":"v1","metadata":{"name":"b","resourceVersion":"7"}}}"#;
    const GONE: &str =
        r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old","reason":"Expired","code":410}"#;

    #[tokio::test]
    async fn resumes_where_it_stopped_and_lists_again_when_too_old() {
        let (client, asked) = scripted(&[(200, LIST), (200, ADDED), (500, "oops"), (410, GONE), (200, LIST)]);
        let (sender, mut changes) = mpsc::channel(16);
        let task = tokio::task::spawn(run(Api::<Node>::all(client), Some("metadata.name=a".to_owned()), sender));
        assert!(matches!(changes.recv().await, Some(Change::Reset(nodes)) if nodes.len() == 1));
        assert!(
            matches!(changes.recv().await, Some(Change::Applied(node)) if node.metadata.name.as_deref() == Some("b"))
        );
        assert!(matches!(changes.recv().await, Some(Change::Reset(_))));
        task.abort();
        let asked = asked.lock().unwrap();
        assert!(asked[1].contains("resourceVersion=5") && asked[1].contains("metadata.name"), "{asked:?}");
        assert!(asked[2].contains("resourceVersion=7") && asked[3].contains("resourceVersion=7"), "{asked:?}");
    }
}

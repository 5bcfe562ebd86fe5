//! The acting leader's part: who gets which names, and the end of a definition.
//!
//! Both are worked out from the local replica and written through the pipeline, fenced by the leader's term and bound to
//! the revision they were worked out from. So a leader that was deposed, or looked at something old, changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::apiextensions::v1::custom_resource_definition::{CLEANUP_FINALIZER, KIND, settle};
use api::custom::Definition;
use api::kind::{KINDS, Kind};
use api::{Object, json};
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    bootstrap::writer::Writer,
    discovery::version_path,
    resource::Resource,
    server::{ApiServer, Server},
    user::Fence,
};

const MERGE: &str = "application/merge-patch+json";
/// How soon something is tried again that is not done yet.
const RETRY: Duration = Duration::from_millis(250);
/// For so long after the deletion of a definition another master may still take in objects of it, having not heard.
const SETTLED: SignedDuration = SignedDuration::from_secs(2);

/// Does the leader's part whenever this master is the one that acts, until shutdown.
pub(crate) async fn run(server: ApiServer) {
    let server = server.0;
    let mut leadership = server.storage.store().leadership();
    loop {
        let now = *leadership.borrow_and_update();
        let lead = async {
            if !now.acting {
                return std::future::pending().await;
            }
            keep(&server, &Writer::new(server.clone(), Fence { term: now.term })).await;
        };
        tokio::select! {
            () = server.shutdown.cancelled() => return,
            changed = leadership.changed() => if changed.is_err() { return },
            () = lead => return,
        }
    }
}

/// Definitions as they were last written here, for as long as the replica's feed has not come that far.
type Ahead = BTreeMap<String, Arc<Object>>;

async fn keep(server: &Server, writer: &Writer) {
    let mut changes = server.custom.changes.subscribe();
    let mut ahead = Ahead::new();
    loop {
        changes.mark_unchanged();
        let pause = if pass(server, writer, &mut ahead).await { None } else { Some(RETRY) };
        let again = async {
            match pause {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = again => {}
        }
    }
}

/// Looks at every definition once; false when one is not as it should be yet.
async fn pass(server: &Server, writer: &Writer, ahead: &mut Ahead) -> bool {
    let mut definitions = (*server.custom.definitions()).clone();
    let is_ahead =
        |name: &String, own: &mut Arc<Object>| definitions.get(name).is_some_and(|seen| revision(seen) < revision(own));
    ahead.retain(is_ahead);
    // Two that want the same name must not both get it.
    definitions.extend(ahead.iter().map(|(name, own)| (name.clone(), own.clone())));
    let names: Vec<String> = definitions.keys().cloned().collect();
    let mut done = true;
    for name in names {
        let Some(definition) = definitions.get(&name).cloned() else { continue };
        let others = definitions.values().map(Arc::as_ref);
        let built_in = KINDS.iter().copied().filter(|kind| kind.group != KIND.group);
        let settled = settle(&definition, others, built_in, &api::time::format(server.config.surroundings.now()));
        if settled.at("status") != definition.at("status") {
            // The write comes back as a change, and so does whatever was in its way.
            match write_status(writer, &settled).await {
                Some(written) => {
                    definitions.insert(name.clone(), written.clone());
                    ahead.insert(name, written);
                }
                None => done = false,
            }
            continue;
        }
        if definition.is_deleting() && definition.finalizers().any(|finalizer| finalizer == CLEANUP_FINALIZER) {
            done &= clean_up(server, writer, &definition).await;
        }
    }
    done
}

fn revision(definition: &Object) -> i64 {
    definition.resource_version().parse().unwrap_or_default()
}

fn path(definition: &Object) -> String {
    format!("{}/{}/{}", version_path(KIND.group, KIND.version), KIND.plural, definition.name())
}

/// The definition as it was written; `None` when it was not.
async fn write_status(writer: &Writer, settled: &Object) -> Option<Arc<Object>> {
    let object: Value = serde_json::from_slice(&json::encode(settled)).unwrap_or_default();
    let patch = json!({
        "metadata": { "resourceVersion": settled.resource_version() },
        "status": {
            "acceptedNames": object["status"]["acceptedNames"],
            "conditions": object["status"]["conditions"],
        },
    });
    let body = send(writer, &format!("{}/status", path(settled)), &patch).await?;
    let decoded = json::decode(KIND.ty, body.as_bytes(), json::Options::LENIENT).ok()?;
    Some(Arc::new(decoded.object))
}

/// The answer; `None` to a write that did not take place.
async fn send(writer: &Writer, path: &str, patch: &Value) -> Option<String> {
    match writer.send(Method::PATCH, path, MERGE, patch).await {
        (code, body) if code.is_success() => Some(body),
        // Somebody else wrote it, or it is gone: what this replica has is old.
        (StatusCode::CONFLICT | StatusCode::NOT_FOUND, _) => None,
        (code, body) => {
            tracing::warn!(path, %code, body, "cannot write a CustomResourceDefinition");
            None
        }
    }
}

/// Deletes all objects of a definition, then lets it go; false while some are left.
async fn clean_up(server: &Server, writer: &Writer, definition: &Object) -> bool {
    let read = Definition::new(definition);
    if read.is_established() {
        let Some(resource) = server.storage.resources().get(read.group(), read.plural()) else { return false };
        match delete_objects(server, writer, &resource).await {
            Ok(0) => {}
            Ok(_) | Err(_) => return false,
        }
        let begun = definition.str_at("metadata.deletionTimestamp").parse::<Timestamp>();
        if begun.is_ok_and(|begun| server.config.surroundings.now().duration_since(begun) < SETTLED) {
            return false;
        }
    }
    let rest: Vec<&str> = definition.finalizers().filter(|finalizer| *finalizer != CLEANUP_FINALIZER).collect();
    let patch = json!({ "metadata": { "resourceVersion": definition.resource_version(), "finalizers": rest } });
    send(writer, &path(definition), &patch).await.is_some()
}

/// Deletes every object that is not on its way out yet; says how many there were.
async fn delete_objects(server: &Server, writer: &Writer, resource: &Resource) -> crate::error::Result<usize> {
    server.storage.barrier().await?;
    let page = server.storage.view().prefix(resource.root.as_bytes(), b"", usize::MAX, 0)?;
    for row in &page.kvs {
        let object = server.storage.decode(resource, row)?;
        if !object.header().deleting {
            writer.delete(&object_path(resource.kind, &object.header().namespace, &object.header().name)).await;
        }
    }
    Ok(page.kvs.len())
}

fn object_path(kind: &Kind, namespace: &str, name: &str) -> String {
    let root = version_path(kind.group, kind.version);
    match namespace {
        "" => format!("{root}/{}/{name}", kind.plural),
        namespace => format!("{root}/namespaces/{namespace}/{}/{name}", kind.plural),
    }
}

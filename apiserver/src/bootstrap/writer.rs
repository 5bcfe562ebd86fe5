//! Writes objects as the API server itself: through the pipeline, fenced.

use std::sync::Arc;

use api::schema::split_api_version;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::{
    pipeline,
    server::Server,
    user::{Fence, MASTERS, UserInfo},
};

const MERGE_PATCH: &str = "application/merge-patch+json";

/// Makes objects what they should be.
pub(crate) struct Writer {
    server: Arc<Server>,
    fence: Fence,
    user: Arc<UserInfo>,
}

impl Writer {
    pub(crate) fn new(server: Arc<Server>, fence: Fence) -> Self {
        Self { server, fence, user: UserInfo::new("system:apiserver", [MASTERS]) }
    }

    /// Creates the object, or sets in the present one what differs, its status too if it is given. False when that did
    /// not work.
    pub(super) async fn ensure(&self, desired: Value) -> bool {
        self.write(desired, true).await
    }

    /// Creates the object and sees to its status; what else the present one holds is its users' matter.
    pub(super) async fn create(&self, desired: Value) -> bool {
        self.write(desired, false).await
    }

    async fn write(&self, mut desired: Value, keep: bool) -> bool {
        let Some((collection, name)) = self.address(&desired) else {
            tracing::error!(%desired, "a system object has no address");
            return false;
        };
        let object = format!("{collection}/{name}");
        let status = desired.as_object_mut().and_then(|desired| desired.remove("status"));
        let present = self.get(&desired);
        let written = match &present {
            Some(present) if !keep || covers(present, &desired) => true,
            Some(_) => accepted(&object, self.send(Method::PATCH, &object, MERGE_PATCH, &desired).await),
            None => accepted(&object, self.send(Method::POST, &collection, "application/json", &desired).await),
        };
        match status {
            Some(status) if written && !present.is_some_and(|present| covers(&present["status"], &status)) => {
                let path = format!("{object}/status");
                let patch = json!({ "status": with_times(status, self.server.config.surroundings.now()) });
                accepted(&path, self.send(Method::PATCH, &path, MERGE_PATCH, &patch).await)
            }
            _ => written,
        }
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, path: &str) {
        let (code, body) = self.send(Method::DELETE, path, "application/json", &Value::Null).await;
        if !code.is_success() && code != StatusCode::NOT_FOUND {
            tracing::warn!(path, %code, body, "cannot delete a system object");
        }
    }

    fn get(&self, desired: &Value) -> Option<Value> {
        let (group, _) = split_api_version(desired["apiVersion"].as_str()?);
        let mut resources = self.server.storage.resources().iter();
        let kind = resources.find(|own| own.kind.group == group && own.kind.kind == desired["kind"])?.kind;
        let metadata = &desired["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        self.server.storage.local_json(group, kind.plural, namespace, metadata["name"].as_str()?)
    }

    /// The path of the object's collection, and its name.
    fn address(&self, desired: &Value) -> Option<(String, String)> {
        let (group, version) = split_api_version(desired["apiVersion"].as_str()?);
        let kind = api::kind::lookup_kind(group, version, desired["kind"].as_str()?)?;
        let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let place = match desired["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", kind.plural),
            None => format!("{root}/{}", kind.plural),
        };
        Some((place, desired["metadata"]["name"].as_str()?.to_owned()))
    }

    /// Sends a request; its code and its body.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> (StatusCode, String) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::USER_AGENT, "kontiki-apiserver")
            .extension(self.user.clone())
            .extension(self.fence)
            .body(body);
        let Ok(request) = request else { return (StatusCode::BAD_REQUEST, format!("bad path {path}")) };
        let response = pipeline::handle(self.server.clone(), request).await;
        let code = response.status();
        let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        (code, String::from_utf8_lossy(&body).into_owned())
    }
}

/// Whether a write was accepted.
fn accepted(object: &str, sent: (StatusCode, String)) -> bool {
    match sent {
        // Made by the leader before, whose write this replica has not seen.
        (StatusCode::CONFLICT, _) => false,
        (code, _) if code.is_success() => true,
        (code, body) => {
            tracing::warn!(object, %code, body, "cannot write a system object");
            false
        }
    }
}

/// A status whose conditions are as they are from now on.
fn with_times(mut status: Value, now: jiff::Timestamp) -> Value {
    let now = api::time::format(now);
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastTransitionTime"] = now.as_str().into();
    }
    status
}

/// True when everything of `desired` is so in `present`.
fn covers(present: &Value, desired: &Value) -> bool {
    match (present, desired) {
        (Value::Object(present), Value::Object(desired)) => {
            desired.iter().all(|(key, value)| present.get(key).is_some_and(|own| covers(own, value)))
        }
        (Value::Array(present), Value::Array(desired)) => {
            present.len() == desired.len() && present.iter().zip(desired).all(|(own, value)| covers(own, value))
        }
        _ => present == desired,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_added_is_no_difference() {
        let present = json!({"a": {"b": 1, "uid": "x"}, "list": [{"name": "https", "protocol": "TCP"}]});
        assert!(covers(&present, &json!({"a": {"b": 1}, "list": [{"name": "https"}]})));
        assert!(!covers(&present, &json!({"a": {"b": 2}})));
        assert!(!covers(&present, &json!({"list": []})));
        assert!(!covers(&present, &json!({"c": 1})));
    }
}

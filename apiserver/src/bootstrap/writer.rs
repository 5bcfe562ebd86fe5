//! Writes objects as the API server itself: through the pipeline, fenced.

use std::sync::Arc;

use api::schema::split_api_version;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::{
    pipeline,
    server::Server,
    user::{Fence, MASTERS, UserInfo},
};

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

    /// Creates the object, or sets in the present one what differs. False when neither worked.
    pub(super) async fn ensure(&self, desired: Value) -> bool {
        let Some((collection, name)) = self.address(&desired) else {
            tracing::error!(%desired, "a system object has no address");
            return false;
        };
        let object = format!("{collection}/{name}");
        let sent = match self.get(&desired) {
            None => self.send(Method::POST, &collection, "application/json", &desired).await,
            Some(present) if covers(&present, &desired) => return true,
            Some(_) => self.send(Method::PATCH, &object, "application/merge-patch+json", &desired).await,
        };
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

    /// Deletes an object.
    pub(crate) async fn delete(&self, path: &str) {
        let (code, body) = self.send(Method::DELETE, path, "application/json", &Value::Null).await;
        if !code.is_success() && code != StatusCode::NOT_FOUND {
            tracing::warn!(path, %code, body, "cannot delete a system object");
        }
    }

    fn get(&self, desired: &Value) -> Option<Value> {
        let (group, _) = split_api_version(desired["apiVersion"].as_str()?);
        let kind = self.server.storage.resources().built_in_kind(group, desired["kind"].as_str()?)?;
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
    use serde_json::json;

    #[test]
    fn what_the_server_added_is_no_difference() {
        let present = json!({"a": {"b": 1, "uid": "x"}, "list": [{"name": "https", "protocol": "TCP"}]});
        assert!(covers(&present, &json!({"a": {"b": 1}, "list": [{"name": "https"}]})));
        assert!(!covers(&present, &json!({"a": {"b": 2}})));
        assert!(!covers(&present, &json!({"list": []})));
        assert!(!covers(&present, &json!({"c": 1})));
    }
}

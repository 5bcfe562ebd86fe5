//! `/version`: the Kubernetes version whose API is served, and ours behind the plus sign.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::json;

use crate::request_info::RequestInfo;

/// The minor version of Kubernetes whose API is served.
const MINOR: &str = "37";

/// The version as clients see it: `v1.37.0+kontiki.0.1.0`.
pub(crate) fn git_version() -> String {
    format!("v1.{MINOR}.0+kontiki.{}", env!("CARGO_PKG_VERSION"))
}

/// Answers `/version` and `/version/`; nothing for any other path.
pub(crate) fn path(info: &RequestInfo) -> Option<Response> {
    if info.path.trim_end_matches('/') != "/version" {
        return None;
    }
    let body = json!({
        "major": "1",
        "minor": MINOR,
        "gitVersion": git_version(),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    });
    let mut response = Response::new(Body::from(format!("{body:#}")));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Some(response)
}

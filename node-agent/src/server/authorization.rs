//! Who may use the kubelet API.

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;

use super::Api;

/// The name in the certificates with which masters call.
const MASTERS: &str = "kontiki:kubelet-client";
const ADMINISTRATORS: &str = "system:masters";
/// Where a GET does more than look.
const ACTING: [&str; 4] = ["/exec/", "/attach/", "/portForward/", "/podConnect/"];

/// The caller, from its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
}

impl Identity {
    /// Common name and organizations of a verified certificate.
    pub(super) fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|name| name.as_str().ok().map(str::to_owned)).collect();
        Some(Self { user, groups })
    }

    fn is_trusted(&self) -> bool {
        self.user == MASTERS || self.groups.iter().any(|group| group == ADMINISTRATORS)
    }
}

/// Lets a request through, or answers as the kubelet does.
pub(super) async fn authorize(State(api): State<Api>, request: Request, next: Next) -> Response {
    let Some(identity) = request.extensions().get::<Identity>().cloned() else {
        return (StatusCode::UNAUTHORIZED, "Unauthorized").into_response();
    };
    if identity.is_trusted() {
        return next.run(request).await;
    }
    let verb = verb(request.method(), request.uri().path());
    match review(&api, &identity, verb).await {
        Ok(true) => next.run(request).await,
        Ok(false) => {
            let node = &api.config.node_name;
            let text = format!(
                "Forbidden (user={}, verb={verb}, resource=nodes, subresource=proxy, name={node})",
                identity.user
            );
            (StatusCode::FORBIDDEN, text).into_response()
        }
        Err(error) => {
            tracing::warn!(%error, user = identity.user, "cannot ask the API who may use the kubelet API");
            (StatusCode::INTERNAL_SERVER_ERROR, "Authorization error").into_response()
        }
    }
}

fn verb(method: &Method, path: &str) -> &'static str {
    match *method {
        // To run a program is to create something, whatever method begins the stream.
        _ if ACTING.iter().any(|prefix| path.starts_with(prefix)) => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "create",
    }
}

async fn review(api: &Api, identity: &Identity, verb: &str) -> Result<bool, kube::Error> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(identity.user.clone()),
            groups: Some(identity.groups.clone()),
            resource_attributes: Some(ResourceAttributes {
                resource: Some("nodes".to_owned()),
                subresource: Some("proxy".to_owned()),
                name: Some(api.config.node_name.clone()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: kube::Api<SubjectAccessReview> = kube::Api::all(api.config.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_and_administrators_are_trusted() {
        for (user, groups, trusted) in [
            ("kontiki:kubelet-client", vec![], true),
            ("admin", vec!["system:masters"], true),
            ("system:node:n1", vec!["system:nodes"], false),
        ] {
            let groups = groups.into_iter().map(str::to_owned).collect();
            assert_eq!(Identity { user: user.to_owned(), groups }.is_trusted(), trusted, "{user}");
        }
    }
}

//! Who is calling: a caller of this process, a client certificate, a bearer token, or nobody.
//!
//! Nobody is let through for health endpoints only. A token that does not hold is a refusal, never nobody.

use std::{collections::HashMap, sync::Arc, time::Duration};

use api::{status::Status, surroundings::Surroundings};
use http::{HeaderMap, header, request::Parts};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use tokio::time::Instant;

use crate::{
    error::Result,
    request_info::RequestInfo,
    storage::Storage,
    user::{SERVICE_ACCOUNT_PREFIX, UserInfo},
};

pub(crate) mod impersonation;
pub(crate) mod service_account;
pub(crate) mod x509;

use service_account::{Claims, TokenError, TokenKeys};

/// How long a verified token is believed without looking again.
const REMEMBERED: Duration = Duration::from_secs(10);
const MAX_REMEMBERED: usize = 8192;
/// How long after its end what a token is bound to still holds it, for clocks differ.
const AFTER_END: SignedDuration = SignedDuration::from_secs(60);
/// The name of callers without an identity.
pub(crate) const ANONYMOUS: &str = "system:anonymous";
/// The group of callers without an identity.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";

/// A token's holder and audiences.
#[derive(Debug, Clone)]
pub(crate) struct Verified {
    /// Who holds the token.
    pub user: Arc<UserInfo>,
    /// Whom the token is for.
    pub audiences: Vec<String>,
}

/// Finds out who calls.
pub(crate) struct Authenticator {
    keys: Arc<TokenKeys>,
    audiences: Vec<String>,
    storage: Storage,
    surroundings: Surroundings,
    remembered: Mutex<HashMap<[u8; 32], (Verified, Instant)>>,
}

impl Authenticator {
    /// An authenticator for tokens of these keys that name one of these audiences.
    pub(crate) fn new(
        keys: Arc<TokenKeys>,
        audiences: Vec<String>,
        storage: Storage,
        surroundings: Surroundings,
    ) -> Self {
        Self { keys, audiences, storage, surroundings, remembered: Mutex::default() }
    }

    /// The caller of a request, or 401.
    pub(crate) fn authenticate(&self, parts: &Parts, info: &RequestInfo) -> Result<Arc<UserInfo>> {
        if let Some(user) = parts.extensions.get::<Arc<UserInfo>>() {
            return Ok(user.clone());
        }
        if let Some(token) = bearer(&parts.headers) {
            return match self.verify(token, &self.audiences) {
                Ok(verified) => Ok(verified.user),
                Err(error) => {
                    tracing::debug!(%error, "bearer token refused");
                    Err(Status::unauthorized().into())
                }
            };
        }
        if is_health(info) {
            let groups = vec![UNAUTHENTICATED.to_owned()];
            return Ok(Arc::new(UserInfo { name: ANONYMOUS.into(), groups, ..UserInfo::default() }));
        }
        Err(Status::unauthorized().into())
    }

    /// The audiences this server itself answers to.
    pub(crate) fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The holder of a token for one of `audiences`.
    pub(crate) fn verify(&self, token: &str, audiences: &[String]) -> Result<Verified, TokenError> {
        let id: [u8; 32] = digest(&SHA256, token.as_bytes()).as_ref().try_into().map_err(|_| TokenError::Foreign)?;
        let now = Instant::now();
        let known = self.remembered.lock().get(&id).filter(|(_, until)| *until > now).cloned();
        let verified = match known {
            Some((verified, _)) => verified,
            None => {
                let claims = self.keys.verify(token, self.surroundings.now().as_second())?;
                let verified = self.resolve(claims)?;
                let mut remembered = self.remembered.lock();
                if remembered.len() >= MAX_REMEMBERED {
                    remembered.retain(|_, (_, until)| *until > now);
                }
                if remembered.len() < MAX_REMEMBERED {
                    remembered.insert(id, (verified.clone(), now + REMEMBERED));
                }
                verified
            }
        };
        if !verified.audiences.iter().any(|audience| audiences.contains(audience)) {
            return Err(TokenError::Audience(audiences.to_vec()));
        }
        Ok(verified)
    }

    /// Looks whether the account and what the token is bound to still exist.
    fn resolve(&self, claims: Claims) -> Result<Verified, TokenError> {
        let private = &claims.kubernetes;
        let account = &private.serviceaccount;
        let expected = format!("{SERVICE_ACCOUNT_PREFIX}{}:{}", private.namespace, account.name);
        if claims.sub != expected {
            return Err(TokenError::Foreign);
        }
        let now = self.surroundings.now();
        let exists = |plural: &str, namespace: &str, reference: &service_account::Reference| {
            let found = self.storage.local_json("", plural, namespace, &reference.name);
            if found.is_some_and(|object| object["metadata"]["uid"] == *reference.uid && !is_over(&object, now)) {
                return Ok(());
            }
            Err(TokenError::Unbound(format!("{plural} {namespace}/{}", reference.name)))
        };
        exists("serviceaccounts", &private.namespace, account)?;
        let mut user = UserInfo::service_account(&private.namespace, &account.name, &account.uid);
        let mut tell = |key: &str, value: &str| {
            user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
        };
        tell("credential-id", &format!("JTI={}", claims.jti));
        if let Some(pod) = &private.pod {
            exists("pods", &private.namespace, pod)?;
            tell("pod-name", &pod.name);
            tell("pod-uid", &pod.uid);
        }
        if let Some(secret) = &private.secret {
            exists("secrets", &private.namespace, secret)?;
        }
        if let Some(node) = &private.node {
            // A token bound to a pod ends with the pod, which the node's end brings about.
            if private.pod.is_none() {
                exists("nodes", "", node)?;
            }
            tell("node-name", &node.name);
            if !node.uid.is_empty() {
                tell("node-uid", &node.uid);
            }
        }
        Ok(Verified { user: Arc::new(user), audiences: claims.aud })
    }
}

/// True when an object should have been gone for a while.
fn is_over(object: &serde_json::Value, now: Timestamp) -> bool {
    let end: Option<Timestamp> = object["metadata"]["deletionTimestamp"].as_str().and_then(|end| end.parse().ok());
    end.is_some_and(|end| end.checked_add(AFTER_END).is_ok_and(|end| end < now))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The only paths that answer callers without an identity, whoever they are.
pub(crate) fn is_health(info: &RequestInfo) -> bool {
    !info.is_resource && matches!(info.path.as_str(), "/healthz" | "/livez" | "/readyz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_health_endpoints_need_no_identity() {
        for (path, open) in [("/readyz", true), ("/livez", true), ("/healthz", true), ("/metrics", false), {
            ("/api/v1/namespaces/a/pods/healthz", false)
        }] {
            let info = RequestInfo::new(&http::Method::GET, &path.parse().unwrap());
            assert_eq!(is_health(&info), open, "{path}");
        }
    }

    #[test]
    fn the_scheme_of_a_token_is_read_in_any_case() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, http::HeaderValue::from_static("bearer abc"));
        assert_eq!(bearer(&headers), Some("abc"));
        headers.insert(header::AUTHORIZATION, http::HeaderValue::from_static("Basic abc"));
        assert_eq!(bearer(&headers), None);
    }
}

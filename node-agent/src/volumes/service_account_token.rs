//! Tokens of service accounts, bound to the pod, requested from the API and renewed before they expire.

use std::collections::BTreeMap;

use api::clock;
use jiff::SignedDuration;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::VolumeError;

const DEFAULT_SECONDS: i64 = 3600;
const LONGEST_USE: Duration = Duration::from_hours(24);

/// The tokens in use on this node; in memory only.
pub(super) struct Tokens {
    client: kube::Client,
    known: Mutex<BTreeMap<Key, Token>>,
}

/// Pod uid, volume, path in the volume.
type Key = (String, String, String);

#[derive(Clone)]
struct Token {
    text: String,
    renew_at: Instant,
}

impl Tokens {
    pub(super) fn new(client: kube::Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// The token for one path of one volume; a new one when the known one has lived four fifths of its time.
    pub(super) async fn token(
        &self,
        pod: &Pod,
        volume: &str,
        source: &ServiceAccountTokenProjection,
    ) -> Result<String, VolumeError> {
        let key = (crate::pod::uid(pod).to_owned(), volume.to_owned(), source.path.clone());
        let now = Instant::now();
        let known = self.known.lock().get(&key).cloned();
        if let Some(token) = known.as_ref().filter(|token| token.renew_at > now) {
            return Ok(token.text.clone());
        }
        match (self.request(pod, source).await, known) {
            (Ok(token), _) => {
                let text = token.text.clone();
                self.known.lock().insert(key, token);
                Ok(text)
            }
            // While the API is away the old one may still be good.
            (Err(_), Some(token)) => Ok(token.text),
            (Err(error), None) => Err(error),
        }
    }

    pub(super) fn forget(&self, uid: &str) {
        self.known.lock().retain(|(of, _, _), _| of != uid);
    }

    async fn request(&self, pod: &Pod, source: &ServiceAccountTokenProjection) -> Result<Token, VolumeError> {
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        let asked = source.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: source.audience.clone().map(|audience| vec![audience]),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
                expiration_seconds: Some(asked),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), crate::pod::namespace(pod));
        let what = || format!("a token of service account \"{account}\"");
        let answer = api
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .map_err(|source| VolumeError::Api { what: what(), source })?;
        let granted = answer.spec.and_then(|spec| spec.expiration_seconds).unwrap_or(asked);
        let status = answer.status.unwrap_or_default();
        match (status.token, status.expiration_timestamp) {
            (Some(text), Some(expires)) => {
                let left = expires.0.duration_since(clock::now());
                Ok(Token { text, renew_at: Instant::now() + renew_after(granted, left) })
            }
            _ => Err(VolumeError::Unmet(format!("the API gave no {}", what()))),
        }
    }
}

/// How long a token is used that was granted for so many seconds and has so long left by this node's clock, which may be behind
/// that of the master: four fifths of the shorter.
fn renew_after(granted: i64, left: SignedDuration) -> Duration {
    let lifetime = Duration::try_from(left.min(SignedDuration::from_secs(granted))).unwrap_or_default();
    (lifetime * 4 / 5).min(LONGEST_USE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_in_time() {
        let after = |granted, left| renew_after(granted, SignedDuration::from_secs(left)).as_secs();
        assert_eq!(after(3600, 3600), 2880);
        assert_eq!(after(10 * 86_400, 10 * 86_400), 86_400);
        // This node is behind by an hour, or ahead by one.
        assert_eq!(after(3600, 7200), 2880);
        assert_eq!(after(3600, 0), 0);
    }
}

//! Tokens of service accounts, bound to the pod, requested from the API and renewed before they expire.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;

use super::VolumeError;

const DEFAULT_SECONDS: i64 = 3600;
const LONGEST_USE: SignedDuration = SignedDuration::from_hours(24);

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
    renew_at: Timestamp,
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
        let now = Timestamp::now();
        let known = self.known.lock().get(&key).cloned();
        if let Some(token) = known.as_ref().filter(|token| token.renew_at > now) {
            return Ok(token.text.clone());
        }
        match (self.request(pod, source, now).await, known) {
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

    async fn request(
        &self,
        pod: &Pod,
        source: &ServiceAccountTokenProjection,
        now: Timestamp,
    ) -> Result<Token, VolumeError> {
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: source.audience.clone().map(|audience| vec![audience]),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
                expiration_seconds: Some(source.expiration_seconds.unwrap_or(DEFAULT_SECONDS)),
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
        let status = answer.status.unwrap_or_default();
        match (status.token, status.expiration_timestamp) {
            (Some(text), Some(expires)) => Ok(Token { text, renew_at: renew_at(now, expires.0) }),
            _ => Err(VolumeError::Unmet(format!("the API gave no {}", what()))),
        }
    }
}

fn renew_at(now: Timestamp, expires: Timestamp) -> Timestamp {
    let lifetime = expires.duration_since(now).max(SignedDuration::ZERO);
    let four_fifths = SignedDuration::from_secs(lifetime.as_secs() * 4 / 5);
    now + four_fifths.min(LONGEST_USE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_in_time() {
        let now = Timestamp::UNIX_EPOCH;
        let after = |seconds| now + SignedDuration::from_secs(seconds);
        assert_eq!(renew_at(now, after(3600)), after(2880));
        assert_eq!(renew_at(now, after(10 * 86_400)), after(86_400));
    }
}

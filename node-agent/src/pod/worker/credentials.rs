//! Names and passwords for registries, from the pod's pull secrets.

use std::collections::BTreeMap;

use base64::Engine;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use serde::Deserialize;

use super::Worker;
use crate::image::Credential;
use crate::pod::namespace;

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    username: String,
    password: String,
    auth: String,
}

impl Worker {
    /// A secret that is missing or not in the right form is said so, and left out: the image may be public.
    pub(super) async fn pull_credentials(&self, pod: &Pod) -> Vec<Credential> {
        let api: Api<Secret> = Api::namespaced(self.context.config.client.clone(), namespace(pod));
        let mut credentials = Vec::new();
        for reference in pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten()) {
            let found = match api.get_opt(&reference.name).await {
                Ok(Some(secret)) => of_secret(&secret),
                Ok(None) | Err(_) => None,
            };
            match found {
                Some(found) => credentials.extend(found),
                None => self.events.warn(
                    "FailedToRetrieveImagePullSecret",
                    format!(
                        "Unable to retrieve some image pull secrets ({}); pulling may not succeed.",
                        reference.name
                    ),
                ),
            }
        }
        credentials
    }
}

fn of_secret(secret: &Secret) -> Option<Vec<Credential>> {
    let data = secret.data.as_ref()?;
    let auths = match (data.get(".dockerconfigjson"), data.get(".dockercfg")) {
        (Some(config), _) => serde_json::from_slice::<DockerConfig>(&config.0).ok()?.auths,
        (None, Some(config)) => serde_json::from_slice(&config.0).ok()?,
        (None, None) => return None,
    };
    Some(auths.into_iter().filter_map(|(registry, auth)| credential(registry, auth)).collect())
}

fn credential(registry: String, auth: Auth) -> Option<Credential> {
    if !auth.username.is_empty() {
        return Some(Credential { registry, username: auth.username, password: auth.password });
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(auth.auth).ok()?;
    let (username, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Credential { registry, username: username.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_credentials_are_read() {
        let config = r#"{"auths":{"a":{"username":"u","password":"p"},"b":{"auth":"dTpwOng="},"c":{"auth":"?"}}}"#;
        let data =
            BTreeMap::from([(".dockerconfigjson".to_owned(), k8s_openapi::ByteString(config.as_bytes().to_vec()))]);
        let secret = Secret { data: Some(data), ..Secret::default() };
        let found = of_secret(&secret).unwrap();
        let of = |c: &Credential| (c.registry.clone(), c.username.clone(), c.password.clone());
        let text = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(found.iter().map(of).collect::<Vec<_>>(), [text("a", "u", "p"), text("b", "u", "p:x")]);
        assert!(of_secret(&Secret::default()).is_none());
    }
}

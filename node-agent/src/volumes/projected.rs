//! `projected`: several sources in one directory.

use k8s_openapi::api::core::v1::{Pod, ProjectedVolumeSource, VolumeProjection};

use super::payload::{self, Payload};
use super::{DEFAULT_MODE, VolumeError, Volumes};
use crate::pod::field_ref::Facts;

impl Volumes {
    pub(super) async fn projected(
        &self,
        pod: &Pod,
        volume: &str,
        source: &ProjectedVolumeSource,
        facts: &Facts,
    ) -> Result<Payload, VolumeError> {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let mut all = Payload::new();
        for projection in source.sources.iter().flatten() {
            all.extend(self.projection(pod, volume, projection, mode, facts).await?);
        }
        Ok(all)
    }

    async fn projection(
        &self,
        pod: &Pod,
        volume: &str,
        projection: &VolumeProjection,
        mode: i32,
        facts: &Facts,
    ) -> Result<Payload, VolumeError> {
        let namespace = crate::pod::namespace(pod);
        if let Some(source) = &projection.config_map {
            let optional = source.optional == Some(true);
            let map = self.config_map(namespace, &source.name, optional).await?;
            return payload::config_map(map.as_ref(), source.items.as_deref(), mode, optional);
        }
        if let Some(source) = &projection.secret {
            let optional = source.optional == Some(true);
            let secret = self.secret(namespace, &source.name, optional).await?;
            return payload::secret(secret.as_ref(), source.items.as_deref(), mode, optional);
        }
        if let Some(source) = &projection.downward_api {
            return payload::downward_api(pod, facts, source.items.as_deref(), mode);
        }
        if let Some(source) = &projection.service_account_token {
            let token = self.tokens.token(pod, volume, source).await?;
            let mut files = Payload::new();
            // Only its own user reads a token, unless a container may run as another one.
            let mode = if runs_as_others(pod) { mode } else { 0o600 };
            payload::add(&mut files, &source.path, token.into_bytes(), mode)?;
            return Ok(files);
        }
        let message = format!("volume {volume:?} projects a source this node does not support");
        Err(VolumeError::Unmet(message))
    }
}

/// Whether some container may run as another user than root; an image may say so too, so only an explicit 0 counts.
fn runs_as_others(pod: &Pod) -> bool {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref()).and_then(|c| c.run_as_user);
    let all = crate::pod::containers(pod).iter().chain(crate::pod::init_containers(pod));
    let mut users = all.map(|c| c.security_context.as_ref().and_then(|c| c.run_as_user).or(of_pod));
    users.any(|user| user != Some(0))
}

//! The security contexts of pod and container as the runtime's settings.

use k8s_openapi::api::core::v1::{Container, Pod, SeccompProfile};

use super::ConfigError;
use crate::runtime::{Seccomp, Security};

/// Identity and privileges of `container`: its own context wins over the pod's.
pub(crate) fn of_container(pod: &Pod, container: &Container) -> Result<Security, ConfigError> {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let own = container.security_context.as_ref();
    let capabilities = own.and_then(|own| own.capabilities.as_ref());
    let privileged = own.and_then(|own| own.privileged).unwrap_or(false);
    let user = own.and_then(|own| own.run_as_user).or(of_pod.and_then(|pod| pod.run_as_user));
    let group = own.and_then(|own| own.run_as_group).or(of_pod.and_then(|pod| pod.run_as_group));
    let non_root = own.and_then(|own| own.run_as_non_root).or(of_pod.and_then(|pod| pod.run_as_non_root));
    let mut groups = Vec::new();
    for group in of_pod.and_then(|pod| pod.supplemental_groups.as_deref()).unwrap_or_default() {
        groups.push(id(*group, "supplementalGroups")?);
    }
    if let Some(group) = of_pod.and_then(|pod| pod.fs_group) {
        groups.push(id(group, "fsGroup")?);
    }
    let profile = own.and_then(|own| own.seccomp_profile.as_ref());
    let profile = profile.or(of_pod.and_then(|pod| pod.seccomp_profile.as_ref()));
    Ok(Security {
        privileged,
        run_as_user: user.map(|user| id(user, "runAsUser")).transpose()?,
        run_as_group: group.map(|group| id(group, "runAsGroup")).transpose()?,
        run_as_non_root: non_root.unwrap_or(false),
        supplemental_groups: groups,
        strict_groups: of_pod.and_then(|pod| pod.supplemental_groups_policy.as_deref()) == Some("Strict"),
        add_capabilities: capabilities.and_then(|c| c.add.clone()).unwrap_or_default(),
        drop_capabilities: capabilities.and_then(|c| c.drop.clone()).unwrap_or_default(),
        allow_privilege_escalation: own.and_then(|own| own.allow_privilege_escalation).unwrap_or(true),
        read_only_root: own.and_then(|own| own.read_only_root_filesystem).unwrap_or(false),
        seccomp: if privileged { Seccomp::Unconfined } else { seccomp(profile)? },
        unmasked_proc: own.and_then(|own| own.proc_mount.as_deref()) == Some("Unmasked"),
    })
}

fn id(value: i64, field: &str) -> Result<u32, ConfigError> {
    u32::try_from(value).map_err(|_| ConfigError(format!("{field} {value} is not an id between 0 and 4294967295")))
}

/// Without a profile containers get the default filter, which is stricter than upstream's default and safe for images
/// that run under other runtimes.
fn seccomp(profile: Option<&SeccompProfile>) -> Result<Seccomp, ConfigError> {
    match profile.map(|profile| profile.type_.as_str()) {
        None | Some("RuntimeDefault") => Ok(Seccomp::RuntimeDefault),
        Some("Unconfined") => Ok(Seccomp::Unconfined),
        Some(other) => Err(ConfigError(format!(
            "seccompProfile type {other} is not supported on this node: use RuntimeDefault or Unconfined"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn security(pod: serde_json::Value, container: serde_json::Value) -> Result<Security, ConfigError> {
        let pod: Pod = serde_json::from_value(json!({ "spec": {
            "securityContext": pod, "containers": [{ "name": "a", "securityContext": container }]
        } }))
        .unwrap();
        of_container(&pod, &pod.spec.as_ref().unwrap().containers[0])
    }

    #[test]
    fn the_container_wins_over_the_pod() {
        let found = security(
            json!({ "runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4] }),
            json!({ "runAsUser": 5, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } }),
        )
        .unwrap();
        assert_eq!((found.run_as_user, found.run_as_group), (Some(5), Some(2)));
        assert_eq!(found.supplemental_groups, vec![4, 3]);
        assert!(found.read_only_root && found.allow_privilege_escalation);
        assert_eq!(found.drop_capabilities, vec!["ALL"]);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        assert!(security(json!({ "runAsUser": -1 }), json!({})).is_err());
        assert!(security(json!({}), json!({ "seccompProfile": { "type": "Localhost" } })).is_err());
        let privileged = security(json!({}), json!({ "privileged": true })).unwrap();
        assert_eq!(privileged.seccomp, Seccomp::Unconfined);
    }
}

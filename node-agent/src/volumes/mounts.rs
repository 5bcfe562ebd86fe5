//! A container's volume mounts as bind mounts of the runtime.

use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use super::Directories;
use crate::pod::ConfigError;
use crate::pod::environment::expand;
use crate::runtime::{Mount, Propagation};

/// The mounts of `container`; `variables` serve `subPathExpr`.
pub(crate) fn of_container(
    pod: &Pod,
    container: &Container,
    directories: &Directories,
    variables: &[(String, String)],
) -> Result<Vec<Mount>, ConfigError> {
    container.volume_mounts.iter().flatten().map(|mount| one(pod, mount, directories, variables)).collect()
}

fn one(
    pod: &Pod,
    mount: &VolumeMount,
    directories: &Directories,
    variables: &[(String, String)],
) -> Result<Mount, ConfigError> {
    let volume = directories
        .get(&mount.name)
        .ok_or_else(|| ConfigError(format!("volumeMount {:?} names no volume of the pod", mount.name)))?;
    let lookup = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
        (Some(path), _) if !path.is_empty() => Some(path.clone()),
        (_, Some(expression)) if !expression.is_empty() => Some(expand(expression, lookup)),
        _ => None,
    };
    let source = match sub_path {
        Some(path) => inside(volume, &path)?,
        None => volume.clone(),
    };
    let recursive = mount.recursive_read_only.as_deref().unwrap_or("Disabled");
    let read_only = mount.read_only.unwrap_or(false) || is_api_data(pod, &mount.name);
    Ok(Mount {
        source,
        target: PathBuf::from(&mount.mount_path),
        read_only,
        recursive_read_only: read_only && recursive != "Disabled",
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::Private,
        },
    })
}

/// What the agent writes into a volume is not for the container to change.
fn is_api_data(pod: &Pod, name: &str) -> bool {
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.find(|volume| volume.name == name).is_some_and(|volume| {
        volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some()
            || volume.downward_api.is_some()
    })
}

/// A path below a volume, made if missing. Links that lead out of the volume are refused, since a container may have
/// made them.
fn inside(volume: &Path, sub_path: &str) -> Result<PathBuf, ConfigError> {
    let refused = |why: &str| ConfigError(format!("subPath {sub_path:?} {why}"));
    let relative = Path::new(sub_path);
    if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(refused("must be relative and without '..'"));
    }
    let root = volume.canonicalize().map_err(|error| refused(&format!("cannot be resolved: {error}")))?;
    let mut path = root.clone();
    for part in relative.components() {
        path.push(part);
        if std::fs::symlink_metadata(&path).is_err() {
            std::fs::create_dir(&path).map_err(|error| refused(&format!("cannot be made: {error}")))?;
        }
        path = path.canonicalize().map_err(|error| refused(&format!("cannot be resolved: {error}")))?;
        if !path.starts_with(&root) {
            return Err(refused("leaves its volume through a symbolic link"));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mounts(mount: serde_json::Value, directory: &Path) -> Result<Vec<Mount>, ConfigError> {
        let pod: Pod = serde_json::from_value(json!({ "spec": {
            "containers": [{ "name": "a", "volumeMounts": [mount] }],
            "volumes": [{ "name": "data", "emptyDir": {} }, { "name": "settings", "configMap": { "name": "x" } }]
        } }))
        .unwrap();
        let directories =
            Directories::from([("data".into(), directory.to_owned()), ("settings".into(), directory.to_owned())]);
        let variables = [("POD".to_owned(), "web-0".to_owned())];
        of_container(&pod, &pod.spec.as_ref().unwrap().containers[0], &directories, &variables)
    }

    #[test]
    fn api_data_is_read_only() {
        let dir = tempfile::tempdir().unwrap();
        let found = mounts(json!({ "name": "data", "mountPath": "/d" }), dir.path()).unwrap();
        assert!(!found[0].read_only);
        let found = mounts(json!({ "name": "settings", "mountPath": "/d" }), dir.path()).unwrap();
        assert!(found[0].read_only);
        assert!(mounts(json!({ "name": "none", "mountPath": "/d" }), dir.path()).is_err());
    }

    #[test]
    fn sub_paths_are_made_and_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let found =
            mounts(json!({ "name": "data", "mountPath": "/d", "subPathExpr": "a/$(POD)" }), dir.path()).unwrap();
        assert_eq!(found[0].source, dir.path().canonicalize().unwrap().join("a/web-0"));
        std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
        for path in ["../x", "/etc", "out", "out/x"] {
            assert!(
                mounts(json!({ "name": "data", "mountPath": "/d", "subPath": path }), dir.path()).is_err(),
                "{path}"
            );
        }
    }
}

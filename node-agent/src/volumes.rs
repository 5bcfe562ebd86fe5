//! A pod's volumes as directories of the node, ready to be bound into its containers.
//!
//! `set_up` is idempotent and is also how content is refreshed: files that come from the API change atomically, all of
//! a volume at once. What is secret stands on tmpfs only. Deliberately absent: volumes that need a driver.

mod atomic_writer;
mod empty_dir;
mod host_path;
mod mounts;
mod payload;
mod projected;
mod service_account_token;
mod tmpfs;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Volume};
use kube::Api;

pub(crate) use mounts::of_container as container_mounts;
use payload::Payload;
pub(crate) use tmpfs::unmount_below;

use crate::pod::field_ref::Facts;

/// The file mode of projected files when nothing else is said.
const DEFAULT_MODE: i32 = 0o644;

/// Why a volume cannot be had; shown in a `FailedMount` event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    /// The pod asks for something that is not there yet or that this node does not know.
    #[error("{0}")]
    Unmet(String),
    /// The API did not answer.
    #[error("cannot read {what}: {source}")]
    Api { what: String, source: kube::Error },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl VolumeError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Directories by volume name.
pub(crate) type Directories = BTreeMap<String, PathBuf>;

/// The volumes of all pods of this node.
pub(crate) struct Volumes {
    client: kube::Client,
    tokens: service_account_token::Tokens,
}

impl Volumes {
    pub(crate) fn new(client: kube::Client) -> Self {
        Self { tokens: service_account_token::Tokens::new(client.clone()), client }
    }

    /// Makes or refreshes the pod's volumes below `pod_dir`.
    pub(crate) async fn set_up(&self, pod: &Pod, pod_dir: &Path, facts: &Facts) -> Result<Directories, VolumeError> {
        let mut directories = Directories::new();
        for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            let directory = self.set_up_one(pod, volume, pod_dir, facts).await?;
            directories.insert(volume.name.clone(), directory);
        }
        Ok(directories)
    }

    /// Removes the pod's volumes. What lies in `hostPath` volumes stays.
    pub(crate) async fn tear_down(&self, uid: &str, pod_dir: &Path) -> Result<(), VolumeError> {
        self.tokens.forget(uid);
        let pod_dir = pod_dir.to_owned();
        let remove = move || {
            tmpfs::unmount_below(&pod_dir).map_err(VolumeError::io(&pod_dir))?;
            crate::files::remove_all(&pod_dir).map_err(VolumeError::io(&pod_dir))
        };
        blocking(remove).await
    }

    async fn set_up_one(
        &self,
        pod: &Pod,
        volume: &Volume,
        pod_dir: &Path,
        facts: &Facts,
    ) -> Result<PathBuf, VolumeError> {
        if let Some(source) = &volume.host_path {
            return host_path::set_up(source);
        }
        let fs_group = fs_group(pod)?;
        if let Some(source) = &volume.empty_dir {
            let directory = directory(pod_dir, "empty-dir", &volume.name);
            empty_dir::set_up(source, &directory, fs_group)?;
            return Ok(directory);
        }
        let (kind, payload) = self.payload(pod, volume, facts).await?;
        let directory = directory(pod_dir, kind, &volume.name);
        let target = directory.clone();
        blocking(move || {
            if kind == "secret" || kind == "projected" {
                tmpfs::mount(&target, None).map_err(VolumeError::io(&target))?;
            }
            atomic_writer::write(&target, &payload, fs_group).map_err(VolumeError::io(&target))
        })
        .await?;
        Ok(directory)
    }

    /// The content of a volume that comes from the API, and the name of its kind.
    async fn payload(&self, pod: &Pod, volume: &Volume, facts: &Facts) -> Result<(&'static str, Payload), VolumeError> {
        let namespace = crate::pod::namespace(pod);
        if let Some(source) = &volume.config_map {
            let optional = source.optional == Some(true);
            let map = self.config_map(namespace, &source.name, optional).await?;
            let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
            return Ok(("config-map", payload::config_map(map.as_ref(), source.items.as_deref(), mode, optional)?));
        }
        if let Some(source) = &volume.secret {
            let optional = source.optional == Some(true);
            let name = source.secret_name.as_deref().unwrap_or_default();
            let secret = self.secret(namespace, name, optional).await?;
            let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
            return Ok(("secret", payload::secret(secret.as_ref(), source.items.as_deref(), mode, optional)?));
        }
        if let Some(source) = &volume.downward_api {
            let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
            return Ok(("downward-api", payload::downward_api(pod, facts, source.items.as_deref(), mode)?));
        }
        if let Some(source) = &volume.projected {
            return Ok(("projected", self.projected(pod, &volume.name, source, facts).await?));
        }
        let message = "is of a type this node does not support: use emptyDir, configMap, secret, projected, \
                       downwardAPI or hostPath";
        Err(VolumeError::Unmet(format!("volume {:?} {message}", volume.name)))
    }

    /// `None` is an optional object that does not exist.
    async fn config_map(&self, namespace: &str, name: &str, optional: bool) -> Result<Option<ConfigMap>, VolumeError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        found(api.get_opt(name).await, "configmap", name, optional)
    }

    async fn secret(&self, namespace: &str, name: &str, optional: bool) -> Result<Option<Secret>, VolumeError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        found(api.get_opt(name).await, "secret", name, optional)
    }
}

fn found<K>(
    answer: Result<Option<K>, kube::Error>,
    kind: &str,
    name: &str,
    optional: bool,
) -> Result<Option<K>, VolumeError> {
    match answer {
        Ok(None) if !optional => Err(VolumeError::Unmet(format!("{kind} \"{name}\" not found"))),
        Ok(object) => Ok(object),
        Err(source) => Err(VolumeError::Api { what: format!("{kind} \"{name}\""), source }),
    }
}

fn directory(pod_dir: &Path, kind: &str, name: &str) -> PathBuf {
    pod_dir.join("volumes").join(kind).join(name)
}

fn fs_group(pod: &Pod) -> Result<Option<u32>, VolumeError> {
    let group = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref()).and_then(|context| context.fs_group);
    group
        .map(|group| u32::try_from(group).map_err(|_| VolumeError::Unmet(format!("fsGroup {group} is not a group id"))))
        .transpose()
}

async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, VolumeError> + Send + 'static,
) -> Result<T, VolumeError> {
    match tokio::task::spawn_blocking(f).await {
        Ok(result) => result,
        Err(error) => Err(VolumeError::Unmet(format!("the volume task ended early: {error}"))),
    }
}

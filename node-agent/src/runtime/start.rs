//! Making and removing containers.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    sync::Arc,
};

use nix::sys::signal::Signal;
use ring::digest;

use super::{
    ContainerSpec, ContainerState, ContainerStatus, Error, Runtime, StartError, StartReason, blocking,
    pod::Pod,
    programs::sealed_file,
    protocol::{Failure, Reply, Request, SPEC_MAX},
    record::{self, ContainerRecord, timestamp},
    setup::{self, Node, Places},
};
use crate::{cgroup::DeviceAccess, files};

impl Runtime {
    /// Starts a container; returns when its program is executed. A failed start leaves nothing behind. The same start
    /// (pod, name, attempt) again returns the container as it is.
    pub async fn start_container(&self, pod_uid: &str, spec: ContainerSpec) -> Result<ContainerStatus, Error> {
        let pod = self.find(pod_uid)?;
        let _changes = pod.changes.lock().await;
        check_name(&spec.name)?;
        let record = self.record(&pod, &spec)?;
        let id = record.id.clone();
        if let Some(status) = pod.container(&id) {
            return Ok(status);
        }
        pod.add(record.clone(), ContainerState::Created);
        let result = self.create(&pod, &spec, record).await;
        if let Err(error) = result {
            pod.drop_container(&id);
            if let Err(cleanup) = self.delete(&pod, &id).await {
                tracing::warn!(pod = pod.uid(), container = id, error = %cleanup, "leftovers of a failed start");
            }
            return Err(error);
        }
        pod.container(&id).ok_or(Error::ContainerNotFound(id))
    }

    fn record(&self, pod: &Pod, spec: &ContainerSpec) -> Result<ContainerRecord, Error> {
        Ok(ContainerRecord {
            id: container_id(pod.uid(), &spec.name, spec.attempt),
            name: spec.name.clone(),
            attempt: spec.attempt,
            image: spec.image.reference.clone(),
            image_id: spec.image.id.clone(),
            log_path: spec.log_path.clone(),
            stop_signal: stop_signal(spec.image.config.stop_signal.as_deref())?,
            resources: spec.resources.clone(),
            labels: spec.labels.clone(),
        })
    }

    async fn create(&self, pod: &Pod, spec: &ContainerSpec, record: ContainerRecord) -> Result<(), Error> {
        let (id, layer) = (record.id.clone(), self.layer_dir(&record.id));
        let folder = record::folder(&pod.dir, &id);
        let places = Places {
            upper: layer.join("upper"),
            work: layer.join("work"),
            attach_at: folder.join("root"),
            shm: super::sandbox::shm(&pod.dir, &pod.record.spec),
        };
        let group = pod.group.join(&id);
        let placement = self.inner.cgroups.placement(&group, &spec.resources);
        let views = self.inner.cgroups.views();
        let node = Node { capabilities: self.inner.capabilities, cgroup_views: &views };
        let setup = setup::container(&pod.record.spec, spec, &node, places, placement)?;
        let (cgroups, resources) = (Arc::clone(&self.inner.cgroups), spec.resources.clone());
        let devices = if spec.security.privileged { DeviceAccess::Inherited } else { DeviceAccess::Container };
        let pod_dir = pod.dir.clone();
        let file = blocking(move || {
            let io = |error| Error::io("making the container's folders")(error);
            fs::create_dir_all(&setup.attach_at).map_err(io)?;
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&layer).map_err(io)?;
            for dir in [&setup.upper, &setup.work] {
                fs::create_dir(dir).map_err(io)?;
                // The upper folder's permissions are those of the container's root folder.
                fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(io)?;
            }
            record.write(&pod_dir).map_err(io)?;
            cgroups.create(&group, &resources, devices)?;
            let text = serde_json::to_vec(&setup).map_err(|error| io(error.into()))?;
            if text.len() > SPEC_MAX {
                return Err(Error::Invalid(format!("arguments and environment exceed {SPEC_MAX} bytes")));
            }
            sealed_file("container", &text).map_err(io)
        })
        .await?;
        match pod.call(Request::Start { id: id.clone() }, Some(file)).await? {
            Reply::Started { pid, started_nanos } => {
                pod.started(&id, pid, timestamp(started_nanos));
                Ok(())
            }
            Reply::Failed { failure, message } => Err(StartError { reason: reason(failure), message }.into()),
            Reply::Done | Reply::Attached { .. } | Reply::State { .. } => {
                Err(Error::Invalid("the shim misunderstood a start".to_owned()))
            }
        }
    }

    /// Removes an ended container; its log stays. Removing twice is fine.
    pub async fn remove_container(&self, pod_uid: &str, id: &str) -> Result<(), Error> {
        let pod = self.find(pod_uid)?;
        let _changes = pod.changes.lock().await;
        match pod.container(id) {
            None => return Ok(()),
            Some(status) if !matches!(status.state, ContainerState::Exited(_)) => {
                return Err(Error::Running(id.to_owned()));
            }
            Some(_) => {}
        }
        match pod.command(id, Request::Forget { id: id.to_owned() }).await {
            Ok(()) | Err(Error::ContainerNotFound(_) | Error::ShimLost(_)) => {}
            Err(error) => return Err(error),
        }
        self.delete(&pod, id).await?;
        pod.drop_container(id);
        Ok(())
    }

    /// Takes away what a container has on the node.
    pub(super) async fn delete(&self, pod: &Pod, id: &str) -> Result<(), Error> {
        let group = pod.group.join(id);
        self.inner.cgroups.kill(&group)?;
        self.inner.cgroups.remove(&group).await?;
        let (layer, folder) = (self.layer_dir(id), record::folder(&pod.dir, id));
        blocking(move || {
            for dir in [layer, folder] {
                files::remove_all(&dir).map_err(Error::io(dir.display().to_string()))?;
            }
            Ok(())
        })
        .await
    }
}

pub(super) fn reason(failure: Failure) -> StartReason {
    match failure {
        Failure::Config => StartReason::Config,
        Failure::Run => StartReason::Run,
        Failure::Create | Failure::NotFound | Failure::Refused => StartReason::Create,
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_';
    if !name.is_empty() && name.len() <= 253 && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Error::Invalid(format!("{name:?} is no container name")))
}

/// The same start has the same id, so that an agent that crashed in the middle of one finds it again.
fn container_id(pod_uid: &str, name: &str, attempt: u32) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{pod_uid}/{name}/{attempt}").as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `SIGQUIT`, `QUIT` or `3`; nothing is SIGTERM.
fn stop_signal(name: Option<&str>) -> Result<i32, Error> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(Signal::SIGTERM as i32) };
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    // Real-time signals count from their first one, which is 34 as programs see it.
    let real_time = full.strip_prefix("SIGRTMIN").map(|rest| rest.trim_start_matches('+').parse().unwrap_or(0) + 34);
    let named = full.parse::<Signal>().ok().map(|signal| signal as i32);
    let number = name.parse::<i32>().ok().filter(|number| (1..=64).contains(number));
    let found = number.or(named).or(real_time);
    found.ok_or_else(|| Error::Invalid(format!("the image's stop signal {name:?} is no signal")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_signals_have_names_and_numbers() {
        let cases = [
            (None, 15),
            (Some(""), 15),
            (Some("SIGQUIT"), 3),
            (Some("int"), 2),
            (Some("9"), 9),
            (Some("SIGRTMIN+3"), 37),
        ];
        for (name, expect) in cases {
            assert_eq!(stop_signal(name).unwrap(), expect, "{name:?}");
        }
        assert!(stop_signal(Some("SIGNOTHING")).is_err());
        assert!(stop_signal(Some("99")).is_err());
    }

    #[test]
    fn ids_are_stable_and_distinct() {
        assert_eq!(container_id("u", "c", 1), container_id("u", "c", 1));
        assert_ne!(container_id("u", "c", 1), container_id("u", "c", 2));
        assert_eq!(container_id("u", "c", 1).len(), 64);
    }

    #[test]
    fn names_that_could_be_paths_are_refused() {
        assert!(check_name("web-1").is_ok());
        for name in ["", "a/b", "a b"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}

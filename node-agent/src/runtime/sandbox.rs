//! Making, finding again and removing pods.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use nix::mount::{MntFlags, MsFlags};

use super::{
    ContainerState, Error, QosClass, Resources, Runtime, SandboxSpec, blocking,
    pod::{Pod, PodListener},
    protocol::{self, Reply, Request, Setup, VERSION},
    record::{ContainerRecord, SandboxRecord, timestamp},
    shim::{self, Shim},
};
use crate::{cgroup::DeviceAccess, files};

const SHM_BYTES: u64 = 64 * 1024 * 1024;
/// The shim's own group in the pod's: a v2 group with subgroups may hold no process itself.
const SHIM_GROUP: &str = "shim";

/// The shared memory of a pod's containers.
pub(super) fn shm(pod_dir: &Path, spec: &SandboxSpec) -> PathBuf {
    if spec.host_ipc { "/dev/shm".into() } else { pod_dir.join("shm") }
}

impl Runtime {
    /// Makes a pod: control group, shim, namespaces. A failure leaves nothing behind.
    pub async fn run_pod_sandbox(&self, spec: SandboxSpec) -> Result<(), Error> {
        check_uid(&spec.uid)?;
        let uid = spec.uid.clone();
        let pod = self.pod_of(SandboxRecord { spec, created_at: Timestamp::now() });
        // Held before the pod can be found, so that nobody uses half of it.
        let changes = pod.changes.lock().await;
        {
            let mut pods = self.inner.pods.write();
            if pods.contains_key(&uid) {
                return Err(Error::PodExists(uid));
            }
            pods.insert(uid.clone(), Arc::clone(&pod));
        }
        let result = self.make(&pod).await;
        if result.is_err() {
            pod.begin_removal();
            if let Err(error) = self.clear(&pod).await {
                tracing::warn!(pod = uid, %error, "leftovers of a pod that could not be made");
            }
            self.inner.pods.write().remove(&uid);
        }
        pod.complete();
        drop(changes);
        result
    }

    fn pod_of(&self, record: SandboxRecord) -> Arc<Pod> {
        let dir = self.pod_dir(&record.spec.uid);
        let group = self.inner.cgroups.pod(record.spec.qos, &record.spec.uid);
        Arc::new(Pod::new(record, dir, group, self.inner.events.clone()))
    }

    async fn make(&self, pod: &Arc<Pod>) -> Result<(), Error> {
        let (cgroups, spec) = (Arc::clone(&self.inner.cgroups), pod.record.spec.clone());
        let (record, dir, group) = (pod.record.clone(), pod.dir.clone(), pod.group.clone());
        let shim_group = pod.group.join(SHIM_GROUP);
        let placement = cgroups.placement(&shim_group, &Resources::default());
        let prepare = move || {
            let io = |error| Error::io(dir.display().to_string())(error);
            fs::DirBuilder::new().mode(0o700).create(&dir).map_err(io)?;
            record.write(&dir).map_err(io)?;
            if !spec.host_ipc {
                mount_shm(&dir, spec.shm_bytes).map_err(Error::io("mounting the pod's shared memory"))?;
            }
            cgroups.create(&group, &spec.resources, DeviceAccess::Inherited)?;
            Ok(cgroups.create(&shim_group, &Resources::default(), DeviceAccess::Inherited)?)
        };
        blocking(prepare).await?;
        let spec = &pod.record.spec;
        let mut cgroup_procs = placement.procs;
        cgroup_procs.extend(placement.cgroup2.map(|folder| folder.join("cgroup.procs")));
        let setup = Setup {
            version: VERSION,
            pod_dir: pod.dir.clone(),
            netns: spec.netns.clone(),
            private_ipc: !spec.host_ipc,
            hostname: (!spec.hostname.is_empty()).then(|| spec.hostname.clone()),
            sysctls: spec.sysctls.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            cgroup_procs,
        };
        shim::spawn(&self.inner.shim, &setup, &self.inner.tasks).await.map_err(Error::io("starting the pod's shim"))?;
        self.connect(pod).map_err(Error::io("connecting to the pod's shim"))
    }

    fn connect(&self, pod: &Arc<Pod>) -> io::Result<()> {
        let cgroups = Arc::clone(&self.inner.cgroups);
        let listener = Arc::new(PodListener { pod: Arc::downgrade(pod), cgroups });
        let stop = self.inner.stop.child_token();
        pod.connected(Shim::connect(&pod.dir, listener, &self.inner.tasks, stop)?);
        Ok(())
    }

    /// Removes a pod with everything in it. Removing twice is fine.
    pub async fn remove_pod_sandbox(&self, uid: &str) -> Result<(), Error> {
        check_uid(uid)?;
        let Some(pod) = self.inner.pods.read().get(uid).cloned() else { return Ok(()) };
        let _changes = pod.changes.lock().await;
        for id in pod.running() {
            if let Err(error) = self.kill(&pod, &id).await {
                tracing::debug!(pod = uid, container = id, %error, "killing the whole pod instead");
            }
        }
        pod.begin_removal();
        // A shim that does not listen is killed with its group.
        pod.call(Request::Shutdown, None).await.ok();
        self.clear(&pod).await?;
        let mut pods = self.inner.pods.write();
        // While this waited another may have removed the pod, and a third have made it anew.
        if pods.get(uid).is_some_and(|current| Arc::ptr_eq(current, &pod)) {
            pods.remove(uid);
        }
        Ok(())
    }

    /// Takes away what a pod has on the node, dead or alive.
    async fn clear(&self, pod: &Pod) -> Result<(), Error> {
        self.inner.cgroups.kill(&pod.group)?;
        self.inner.cgroups.remove(&pod.group).await?;
        let layers: Vec<_> = pod.ids().iter().map(|id| self.layer_dir(id)).collect();
        let dir = pod.dir.clone();
        blocking(move || {
            for layer in layers {
                files::remove_all(&layer).map_err(Error::io(layer.display().to_string()))?;
            }
            unmount_shm(&dir).map_err(Error::io("unmounting the pod's shared memory"))?;
            files::remove_all(&dir).map_err(Error::io(dir.display().to_string()))
        })
        .await
    }

    /// Finds the pods of an earlier agent, and removes what belongs to none.
    pub(super) async fn recover(&self) -> Result<(), Error> {
        let pods_dir = self.inner.config.run_dir.join("pods");
        let mut known = HashSet::new();
        for dir in folders(&pods_dir)? {
            let uid = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match SandboxRecord::read(&dir) {
                Ok(Some(record)) if record.spec.uid == uid => {
                    let pod = self.pod_of(record);
                    self.recover_pod(&pod).await?;
                    pod.complete();
                    known.extend(pod.ids());
                    self.inner.pods.write().insert(uid, pod);
                }
                // Without a record no process was started yet.
                Ok(None) => self.discard(&uid, &dir).await?,
                Ok(Some(_)) => {
                    tracing::warn!(dir = %dir.display(), "the record of another pod: left alone");
                }
                Err(error) => tracing::warn!(dir = %dir.display(), %error, "unreadable pod record: left alone"),
            }
        }
        for layer in folders(&self.inner.config.state_dir.join("containers"))? {
            let id = layer.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !known.contains(&id) {
                blocking(move || files::remove_all(&layer).map_err(Error::io(layer.display().to_string()))).await?;
            }
        }
        Ok(())
    }

    async fn discard(&self, uid: &str, dir: &Path) -> Result<(), Error> {
        let spec = SandboxSpec { uid: uid.to_owned(), ..SandboxSpec::default() };
        let group = self.inner.cgroups.pod(QosClass::BestEffort, uid);
        let record = SandboxRecord { spec, created_at: Timestamp::now() };
        self.clear(&Pod::new(record, dir.to_owned(), group, self.inner.events.clone())).await
    }

    async fn recover_pod(&self, pod: &Arc<Pod>) -> Result<(), Error> {
        let records = ContainerRecord::read_all(&pod.dir).map_err(Error::io(pod.dir.display().to_string()))?;
        for record in &records {
            pod.add(record.clone(), ContainerState::Created);
        }
        let state = match self.connect(pod) {
            Ok(()) => pod.call(Request::State, None).await,
            Err(error) => {
                tracing::info!(pod = pod.uid(), %error, "the pod's shim is gone");
                Err(Error::ShimLost(pod.uid().to_owned()))
            }
        };
        let alive = match state {
            Ok(Reply::State { containers }) => containers,
            Ok(Reply::Done | Reply::Started { .. } | Reply::Attached { .. } | Reply::Failed { .. }) | Err(_) => {
                self.inner.cgroups.kill(&pod.group)?;
                for record in records {
                    let exit = pod.unobserved(&record, None);
                    pod.add(record, ContainerState::Exited(exit));
                }
                return Ok(());
            }
        };
        for record in records {
            match alive.iter().find(|container| container.id == record.id) {
                Some(protocol::ContainerRecord { exit: Some(exit), .. }) => {
                    pod.add(record, ContainerState::Exited(exit.clone().into()));
                }
                Some(running) => pod.started(&record.id, running.pid, timestamp(running.started_nanos)),
                None => match record.exit(&pod.dir) {
                    Some(exit) => pod.add(record, ContainerState::Exited(exit)),
                    // The agent died in the middle of this start.
                    None => {
                        pod.drop_container(&record.id);
                        self.delete(pod, &record.id).await?;
                    }
                },
            }
        }
        Ok(())
    }
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = || Error::io(dir.display().to_string());
    let entries = fs::read_dir(dir).map_err(failed())?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed())).collect()
}

/// The uid names folders and groups.
fn check_uid(uid: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=128).contains(&uid.len()) && !uid.starts_with('.') && uid.bytes().all(plain) {
        return Ok(());
    }
    Err(Error::Invalid(format!("{uid:?} is no pod uid: 1 to 128 letters, digits, dashes, dots")))
}

fn mount_shm(pod_dir: &Path, bytes: u64) -> io::Result<()> {
    let at = pod_dir.join("shm");
    fs::create_dir(&at)?;
    let size = if bytes == 0 { SHM_BYTES } else { bytes };
    let options = format!("mode=1777,size={size}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(nix::mount::mount(Some("shm"), &at, Some("tmpfs"), flags, Some(options.as_str()))?)
}

fn unmount_shm(pod_dir: &Path) -> io::Result<()> {
    match nix::mount::umount2(&pod_dir.join("shm"), MntFlags::MNT_DETACH) {
        // Not mounted, or not even made.
        Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_that_could_be_paths_are_refused() {
        assert!(check_uid("0b1f9a2e-6c5d-4c6e-9f5e-1d2c3b4a5f60").is_ok());
        for uid in ["", ".", "..", "a/b", "a b", &"x".repeat(200)] {
            assert!(check_uid(uid).is_err(), "{uid:?}");
        }
    }
}

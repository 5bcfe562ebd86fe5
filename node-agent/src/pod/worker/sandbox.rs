//! Where a pod lives: its network, its volumes, its sandbox, and how all of that ends.

use std::net::IpAddr;
use std::path::Path;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;

use super::Worker;
use crate::files::write_atomically;
use crate::pod::memory::Failure;
use crate::pod::{host_files, is_host_network, name, namespace, resources};
use crate::runtime::SandboxSpec;

/// Between two tries to make a sandbox or mount a volume.
const RETRY: SignedDuration = SignedDuration::from_secs(2);

impl Worker {
    /// Makes everything containers need, or remembers why that is not possible now.
    pub(super) async fn create_sandbox(&mut self, pod: &Pod) {
        let result = self.try_create_sandbox(pod).await;
        let now = self.steady.now();
        self.memory.sandbox_failure = result.as_ref().err().map(|message| Failure {
            reason: "FailedCreatePodSandBox".to_owned(),
            message: message.clone(),
            waiting: None,
            at: now,
            retry_at: now + RETRY,
        });
        if let Err(message) = result {
            self.events.warn("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {message}"));
        }
    }

    async fn try_create_sandbox(&mut self, pod: &Pod) -> Result<(), String> {
        let context = self.context.clone();
        let mut netns = None;
        let mut addresses = vec![context.config.node_ip];
        if !is_host_network(pod) {
            let attached = context.network.attach(&self.uid).await.map_err(|error| chain(&error))?;
            netns = Some(attached.namespace);
            addresses = attached.addresses;
        }
        if !self.set_up_volumes(pod).await {
            return Err("its volumes are not ready".to_owned());
        }
        self.write_host_files(pod, &addresses).map_err(|error| format!("cannot write the pod's files: {error}"))?;
        let spec = pod.spec.as_ref();
        let sysctls = spec.and_then(|spec| spec.security_context.as_ref()).and_then(|c| c.sysctls.as_deref());
        let sandbox = SandboxSpec {
            uid: self.uid.clone(),
            namespace: namespace(pod).to_owned(),
            name: name(pod).to_owned(),
            hostname: if is_host_network(pod) { String::new() } else { host_name(pod, &context.config.cluster_domain) },
            netns,
            host_ipc: spec.and_then(|spec| spec.host_ipc).unwrap_or(false),
            host_pid: spec.and_then(|spec| spec.host_pid).unwrap_or(false),
            qos: resources::qos_class(pod),
            resources: resources::of_pod(pod),
            sysctls: sysctls.unwrap_or_default().iter().map(|s| (s.name.clone(), s.value.clone())).collect(),
            shm_bytes: 0,
            labels: pod.metadata.labels.clone().unwrap_or_default(),
        };
        match context.runtime.run_pod_sandbox(sandbox).await {
            Ok(()) | Err(crate::runtime::Error::PodExists(_)) => Ok(()),
            Err(error) => Err(chain(&error)),
        }
    }

    /// Makes or refreshes the pod's volumes; says what is missing.
    pub(super) async fn set_up_volumes(&mut self, pod: &Pod) -> bool {
        let addresses = self.context.network.addresses(&self.uid).unwrap_or_default();
        let facts = self.context.facts(&addresses);
        let pod_dir = self.context.config.pod_dir(&self.uid);
        match self.context.volumes.set_up(pod, &pod_dir, &facts).await {
            Ok(directories) => {
                self.volumes = Some(directories);
                true
            }
            Err(error) => {
                self.events.warn("FailedMount", format!("MountVolume.SetUp failed: {}", chain(&error)));
                false
            }
        }
    }

    fn write_host_files(&self, pod: &Pod, addresses: &[IpAddr]) -> std::io::Result<()> {
        let directory = self.context.config.pod_dir(&self.uid);
        std::fs::create_dir_all(&directory)?;
        let cluster = self.context.cluster_dns();
        let node = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let node_hosts = is_host_network(pod).then(|| node("/etc/hosts"));
        let hosts = host_files::hosts(pod, addresses, node_hosts.as_deref(), &cluster.domain);
        let resolv_conf = host_files::resolv_conf(pod, &cluster, &node("/etc/resolv.conf"));
        let hostname = match is_host_network(pod) {
            true => node("/proc/sys/kernel/hostname"),
            false => format!("{}\n", host_name(pod, &cluster.domain)),
        };
        // Containers may keep the files open or mounted over a restart of the agent: contents change in place.
        for (file, content) in [("hosts", hosts), ("resolv.conf", resolv_conf), ("hostname", hostname)] {
            let path = directory.join(file);
            if !path.exists() {
                write_atomically(&path, content.as_bytes(), 0o644)?;
            }
        }
        Ok(())
    }

    pub(super) async fn remove_sandbox(&mut self) -> bool {
        self.memory.failed_starts.clear();
        match self.context.runtime.remove_pod_sandbox(&self.uid).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, pod = self.uid, "cannot remove a lost sandbox");
                false
            }
        }
    }

    /// Removes everything of the pod; returns whether all of it is gone. Logs go with the object only, so that those
    /// of a finished pod can be read.
    pub(super) async fn tear_down(&mut self, pod: &Pod) -> bool {
        match self.try_tear_down(pod).await {
            Ok(()) => {
                self.memory.torn_down = true;
                true
            }
            Err(message) => {
                tracing::warn!(pod = self.uid, message, "cannot clean up after a pod");
                false
            }
        }
    }

    async fn try_tear_down(&mut self, pod: &Pod) -> Result<(), String> {
        let context = self.context.clone();
        context.runtime.remove_pod_sandbox(&self.uid).await.map_err(|error| chain(&error))?;
        self.memory.failed_starts.clear();
        if !is_host_network(pod) {
            context.network.detach(&self.uid).await.map_err(|error| chain(&error))?;
        }
        let pod_dir = context.config.pod_dir(&self.uid);
        context.volumes.tear_down(&self.uid, &pod_dir).await.map_err(|error| chain(&error))?;
        if self.desired.borrow().gone || pod.metadata.deletion_timestamp.is_some() {
            remove_logs(&context.config.pod_log_dir(namespace(pod), name(pod), &self.uid)).await?;
        }
        Ok(())
    }
}

async fn remove_logs(directory: &Path) -> Result<(), String> {
    let directory = directory.to_owned();
    let removed = tokio::task::spawn_blocking(move || crate::files::remove_all(&directory)).await;
    removed.map_err(|error| error.to_string())?.map_err(|error| format!("cannot remove logs: {error}"))
}

/// The host name, fully qualified when the pod asks for that.
fn host_name(pod: &Pod, domain: &str) -> String {
    let wants_full = pod.spec.as_ref().and_then(|spec| spec.set_hostname_as_fqdn).unwrap_or(false);
    let full = host_files::fully_qualified(pod, domain).filter(|_| wants_full);
    full.unwrap_or_else(|| host_files::hostname(pod))
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause in their own text.
        if !text.ends_with(&more) {
            text.push_str(&format!(": {more}"));
        }
        cause = error.source();
    }
    text
}

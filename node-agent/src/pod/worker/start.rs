//! Starting a container: image, variables, mounts, and the words about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use kube::Api;

use super::Worker;
use super::sandbox::chain;
use crate::image::{Image, PullPolicy};
use crate::pod::environment::{self, Sources};
use crate::pod::lifecycle;
use crate::pod::memory::{Failure, Stop};
use crate::pod::runs::{self, Run};
use crate::pod::{ConfigError, is_host_network, name, namespace, resources, security, service_environment};
use crate::runtime::{ContainerSpec, ContainerState, ContainerStatus, Error, Exit, Mount, SandboxStatus, StartReason};
use crate::volumes::container_mounts;

const DEFAULT_TERMINATION_LOG: &str = "/dev/termination-log";
const MESSAGE_MAX: usize = 4096;
/// What a container that cannot be executed is said to have exited with.
const START_ERROR: i32 = 128;
/// A hook has no limit of its own in Kubernetes; a pod that hangs in one for longer than this is better told.
const HOOK_LIMIT: Duration = Duration::from_secs(3600);
/// Between two tries when a reference of the pod is missing.
const CONFIG_RETRY: SignedDuration = SignedDuration::from_secs(5);

impl Worker {
    /// Starts a container, or remembers why that did not work.
    pub(super) async fn start(&mut self, pod: &Arc<Pod>, name: &str, attempt: u32) {
        let Some(container) = crate::pod::container(pod, name).cloned() else { return };
        let image = match self.image(pod, &container).await {
            Some(Ok(image)) => image,
            Some(Err(failure)) => {
                self.fail_start(name, failure);
                return;
            }
            // The pod is to stop; the pull was given up.
            None => return,
        };
        let spec = match self.container_spec(pod, &container, attempt, image).await {
            Ok(spec) => spec,
            Err(error) => {
                self.events.warn_of(name, "Failed", format!("Error: {error}"));
                let failure = self.retry("CreateContainerConfigError", error.to_string(), CONFIG_RETRY);
                self.fail_start(name, failure);
                return;
            }
        };
        self.count_restart(name, attempt);
        match self.context.runtime.start_container(&self.uid, spec.clone()).await {
            Ok(started) => {
                self.memory.failures.remove(name);
                self.events.tell_of(name, "Created", format!("Created container: {name}"));
                self.events.tell_of(name, "Started", format!("Started container {name}"));
                self.post_start(pod, &container, &started.id).await;
            }
            Err(error) => self.start_failed(name, &spec, &error),
        }
    }

    /// Runs the hook after the start, which the pod's other containers wait for. When it fails, the container is stopped.
    async fn post_start(&mut self, pod: &Pod, container: &Container, id: &str) {
        let Some(hook) = lifecycle::post_start(container) else { return };
        let place = lifecycle::Place::new(&self.context.runtime, pod, container, id, self.address(pod));
        let mut desired = self.desired.clone();
        let stop = desired.wait_for(|desired| desired.gone || desired.pod.metadata.deletion_timestamp.is_some());
        let result = tokio::select! {
            result = place.run(hook, HOOK_LIMIT) => result,
            _ = stop => return,
        };
        if let Err(why) = result {
            let name = &container.name;
            self.events.warn_of(name, "FailedPostStartHook", format!("PostStartHook failed: {why}"));
            self.events.tell_of(name, "Killing", "FailedPostStartHook".to_owned());
            self.memory.stops.insert(id.to_owned(), Stop { signalled_at: self.steady.now(), killed_at: None });
            let grace = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
            let hook = self.pre_stop(pod, name, id);
            self.stop_container(id.to_owned(), Duration::from_secs(u64::try_from(grace).unwrap_or(1)), hook);
        }
    }

    fn retry(&self, reason: &str, message: String, delay: SignedDuration) -> Failure {
        let now = self.steady.now();
        Failure { reason: reason.to_owned(), message, waiting: None, at: now, retry_at: now + delay }
    }

    /// A restart makes the next one wait longer.
    fn count_restart(&mut self, name: &str, attempt: u32) {
        if attempt == 0 {
            return;
        }
        let mut sandbox = self.context.runtime.pod(&self.uid);
        if let Some(sandbox) = &mut sandbox {
            sandbox.containers.extend(self.memory.failed_starts.iter().cloned());
        }
        if let Run::Ended { started_at, finished_at: Some(finished), .. } =
            runs::latest(sandbox.as_ref(), &self.status, name)
        {
            self.memory.restarts.restarted(name, started_at.unwrap_or(finished), finished);
        }
    }

    fn start_failed(&mut self, name: &str, spec: &ContainerSpec, error: &Error) {
        let message = chain(error);
        self.events.warn_of(name, "Failed", format!("Error: {message}"));
        let is_run = matches!(error, Error::Start(start) if start.reason == StartReason::Run);
        if !is_run {
            let delay = self.memory.restarts.fail(name);
            let failure = self.retry(error.reason(), message, delay);
            self.fail_start(name, failure);
            return;
        }
        let now = api::clock::now();
        let exit = Exit {
            code: START_ERROR,
            signal: None,
            oom_killed: false,
            unknown: false,
            started_at: now,
            finished_at: now,
        };
        let id = format!("failed-{}-{}-{}", self.uid, name, spec.attempt);
        self.memory.messages.insert(id.clone(), message);
        self.memory.failed_starts.push(ContainerStatus {
            id,
            pod_uid: self.uid.clone(),
            name: name.to_owned(),
            attempt: spec.attempt,
            image: spec.image.reference.clone(),
            image_id: spec.image.id.clone(),
            log_path: spec.log_path.clone(),
            labels: spec.labels.clone(),
            state: ContainerState::Exited(exit),
        });
    }

    /// The unpacked image. `None` when the pod was told to stop meanwhile.
    async fn image(&mut self, pod: &Pod, container: &Container) -> Option<Result<Arc<Image>, Failure>> {
        let reference = container.image.clone().unwrap_or_default();
        let policy = pull_policy(container, &reference);
        let credentials = self.pull_credentials(pod).await;
        let name = &container.name;
        let images = self.context.images.clone();
        let is_present = matches!(images.get(&reference).await, Ok(Some(_)));
        if policy == PullPolicy::Always || (!is_present && policy == PullPolicy::IfNotPresent) {
            self.events.tell_of(name, "Pulling", format!("Pulling image \"{reference}\""));
        }
        let mut desired = self.desired.clone();
        let stop = desired.wait_for(|desired| desired.gone || desired.pod.metadata.deletion_timestamp.is_some());
        let result = tokio::select! {
            result = images.ensure(&reference, policy, &credentials) => result,
            _ = stop => return None,
        };
        match result {
            Ok(ensured) => {
                self.memory.pulls.reset(&reference);
                let message = match ensured.pulled {
                    None => format!("Container image \"{reference}\" already present on machine"),
                    Some(time) => format!("Successfully pulled image \"{reference}\" in {time:.3?}"),
                };
                self.events.tell_of(name, "Pulled", message);
                Some(Ok(ensured.image))
            }
            Err(error) => {
                let message = chain(&error);
                let delay = self.memory.pulls.fail(&reference);
                self.events.warn_of(name, "Failed", format!("Failed to pull image \"{reference}\": {message}"));
                self.events.warn_of(name, "Failed", format!("Error: {}", error.reason()));
                let waiting = format!("Back-off pulling image \"{reference}\": {message}");
                let mut failure = self.retry(error.reason(), message, delay);
                if failure.reason == "ErrImagePull" {
                    failure.waiting = Some(("ImagePullBackOff".to_owned(), waiting));
                }
                Some(Err(failure))
            }
        }
    }

    async fn container_spec(
        &mut self,
        pod: &Pod,
        container: &Container,
        attempt: u32,
        image: Arc<Image>,
    ) -> Result<ContainerSpec, ConfigError> {
        if self.volumes.is_none() && !self.set_up_volumes(pod).await {
            return Err(ConfigError("the pod's volumes are not ready".to_owned()));
        }
        let mut addresses = self.context.network.addresses(&self.uid).unwrap_or_default();
        if is_host_network(pod) {
            addresses = vec![self.context.config.node_ip];
        }
        let facts = self.context.facts(&addresses);
        let sources = self.sources(pod, container).await?;
        let services = service_environment::variables(pod, &self.context.services.all());
        let variables = environment::variables(pod, container, &sources, &services, &facts)?;
        let config = &self.context.config;
        let logs = config.pod_log_dir(namespace(pod), name(pod), &self.uid).join(&container.name);
        let directories = self.volumes.clone().unwrap_or_default();
        let mut mounts = container_mounts(pod, container, &directories, &variables)?;
        mounts.extend(self.own_mounts(container, attempt, &mounts)?);
        let memory = u64::try_from(self.context.amounts.memory).unwrap_or(0);
        Ok(ContainerSpec {
            command: environment::words(container.command.as_ref(), &variables),
            args: environment::words(container.args.as_ref(), &variables),
            env: variables,
            working_dir: container.working_dir.clone().filter(|directory| !directory.is_empty()),
            mounts,
            stdin: container.stdin.unwrap_or(false),
            terminal: container.tty.unwrap_or(false),
            resources: resources::of_container(container, resources::qos_class(pod), memory),
            security: security::of_container(pod, container)?,
            ..ContainerSpec::new(&container.name, attempt, image, logs.join(format!("{attempt}.log")))
        })
    }

    /// The files the agent gives every container, unless the pod mounts its own in their place.
    fn own_mounts(&self, container: &Container, attempt: u32, present: &[Mount]) -> Result<Vec<Mount>, ConfigError> {
        let directory = self.context.config.pod_dir(&self.uid);
        let message = self.message_path(&container.name, attempt);
        let made = message.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(&message)?;
            // Whoever the container runs as has to be able to write its last words.
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        });
        made.map_err(|error| ConfigError(format!("cannot make the termination log: {error}")))?;
        let target = container.termination_message_path.as_deref().filter(|path| !path.is_empty());
        let files = [
            (directory.join("hosts"), "/etc/hosts"),
            (directory.join("resolv.conf"), "/etc/resolv.conf"),
            (directory.join("hostname"), "/etc/hostname"),
            (message, target.unwrap_or(DEFAULT_TERMINATION_LOG)),
        ];
        let is_free = |target: &str| present.iter().all(|mount| mount.target != Path::new(target));
        let wanted = files.into_iter().filter(|(_, target)| is_free(target));
        Ok(wanted.map(|(source, target)| Mount::new(source, target, false)).collect())
    }

    fn message_path(&self, container: &str, attempt: u32) -> PathBuf {
        self.context.config.pod_dir(&self.uid).join("messages").join(container).join(attempt.to_string())
    }

    /// Reads what containers that have ended left in their termination logs.
    pub(super) async fn read_messages(&mut self, pod: &Pod, sandbox: &SandboxStatus) {
        for record in &sandbox.containers {
            let ContainerState::Exited(exit) = &record.state else { continue };
            if self.memory.messages.contains_key(&record.id) {
                continue;
            }
            let policy = crate::pod::container(pod, &record.name).and_then(|c| c.termination_message_policy.clone());
            let falls_back = policy.as_deref() == Some("FallbackToLogsOnError") && exit.code != 0;
            let path = self.message_path(&record.name, record.attempt);
            let log = record.log_path.clone();
            let read = tokio::task::spawn_blocking(move || {
                let message = crate::files::read_end(&path, MESSAGE_MAX).unwrap_or_default();
                match message.is_empty() && falls_back {
                    true => crate::server::last_lines(&log, MESSAGE_MAX).unwrap_or_default(),
                    false => String::from_utf8_lossy(&message).into_owned(),
                }
            });
            let message = read.await.unwrap_or_default();
            self.memory.messages.insert(record.id.clone(), message);
        }
    }

    /// Fetches the objects the container's variables come from.
    async fn sources(&self, pod: &Pod, container: &Container) -> Result<Sources, ConfigError> {
        let (config_maps, secrets) = environment::references(container);
        let client = &self.context.config.client;
        let failed = |kind: &str, name: &str, error: &kube::Error| {
            ConfigError(format!("cannot read {kind} \"{name}\": {error}"))
        };
        let mut sources = Sources::default();
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace(pod));
        for name in config_maps {
            if let Some(map) = api.get_opt(&name).await.map_err(|error| failed("configmap", &name, &error))? {
                sources.config_maps.insert(name, map);
            }
        }
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace(pod));
        for name in secrets {
            if let Some(secret) = api.get_opt(&name).await.map_err(|error| failed("secret", &name, &error))? {
                sources.secrets.insert(name, secret);
            }
        }
        Ok(sources)
    }
}

/// The API fills the policy in; for objects that passed it by, the rule is the same: `latest` is always looked up.
fn pull_policy(container: &Container, reference: &str) -> PullPolicy {
    let tag = reference.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    let is_latest = !reference.contains('@') && tag.is_none_or(|tag| tag == "latest");
    match container.image_pull_policy.as_deref() {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some("IfNotPresent") => PullPolicy::IfNotPresent,
        _ if is_latest => PullPolicy::Always,
        _ => PullPolicy::IfNotPresent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_follows_the_tag_when_none_is_given() {
        for (given, image, expected) in [
            (None, "nginx", PullPolicy::Always),
            (None, "nginx:latest", PullPolicy::Always),
            (None, "registry:5000/nginx", PullPolicy::Always),
            (None, "registry:5000/nginx:1.27", PullPolicy::IfNotPresent),
            (None, "nginx@sha256:00", PullPolicy::IfNotPresent),
            (Some("Never"), "nginx", PullPolicy::Never),
        ] {
            let container = Container { image_pull_policy: given.map(str::to_owned), ..Container::default() };
            assert_eq!(pull_policy(&container, image), expected, "{given:?} {image}");
        }
    }
}

//! `postStart` and `preStop`: what is done in or to a container right after its start and right before its end.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use super::probes::http_get;
use crate::runtime::Runtime;

/// A container that ends gets at least this long after its `preStop`, whatever that has used of the grace period.
pub(crate) const GRACE_MIN: Duration = Duration::from_secs(2);

/// The hook that runs after the start.
pub(crate) fn post_start(container: &Container) -> Option<&LifecycleHandler> {
    container.lifecycle.as_ref()?.post_start.as_ref()
}

/// The hook that runs before the end.
pub(crate) fn pre_stop(container: &Container) -> Option<&LifecycleHandler> {
    container.lifecycle.as_ref()?.pre_stop.as_ref()
}

/// What a hook is run in.
pub(crate) struct Place {
    pub(crate) runtime: Runtime,
    pub(crate) pod_uid: String,
    pub(crate) container_id: String,
    /// `name_namespace(uid)`, as the kubelet writes it.
    pub(crate) pod: String,
    pub(crate) container: Container,
    pub(crate) address: Option<IpAddr>,
}

impl Place {
    /// A container of a pod.
    pub(crate) fn new(
        runtime: &Runtime,
        pod: &Pod,
        container: &Container,
        container_id: &str,
        address: Option<IpAddr>,
    ) -> Self {
        let uid = super::uid(pod);
        Self {
            runtime: runtime.clone(),
            pod_uid: uid.to_owned(),
            container_id: container_id.to_owned(),
            pod: format!("{}_{}({uid})", super::name(pod), super::namespace(pod)),
            container: container.clone(),
            address,
        }
    }

    /// Runs a hook for at most `limit`; an error is for an event.
    pub(crate) async fn run(&self, hook: &LifecycleHandler, limit: Duration) -> Result<(), String> {
        let work = async {
            if let Some(exec) = &hook.exec {
                return self.exec(exec.command.clone().unwrap_or_default(), limit).await;
            }
            if let Some(get) = &hook.http_get {
                // What the server thinks of it does not matter, only that it was asked.
                let asked = http_get(get, &self.container, self.address).await;
                return asked
                    .map(drop)
                    .map_err(|why| self.failed("HTTP", get.path.as_deref().unwrap_or("/"), &why, ""));
            }
            if let Some(sleep) = &hook.sleep {
                tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
                return Ok(());
            }
            Err("invalid handler: it is none of exec, httpGet and sleep".to_owned())
        };
        let timed_out = || Err(format!("lifecycle hook did not end within {}s", limit.as_secs()));
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| timed_out())
    }

    async fn exec(&self, command: Vec<String>, limit: Duration) -> Result<(), String> {
        let words = format!("[{}]", command.join(" "));
        let ran = self.runtime.exec_sync(&self.pod_uid, &self.container_id, command, limit).await;
        match ran {
            Ok(ran) if ran.code == Some(0) => Ok(()),
            Ok(ran) => {
                let why = match ran.code {
                    Some(code) => format!("command '{words}' exited with {code}: {}", ran.output.trim()),
                    None => format!("command '{words}' timed out"),
                };
                Err(self.failed("Exec", &words, &why, &ran.output))
            }
            Err(error) => Err(self.failed("Exec", &words, &error.to_string(), "")),
        }
    }

    fn failed(&self, kind: &str, what: &str, why: &str, said: &str) -> String {
        let (container, pod) = (&self.container.name, &self.pod);
        format!(
            "{kind} lifecycle hook ({what}) for Container \"{container}\" in Pod \"{pod}\" failed - error: {why}, \
             message: {said:?}"
        )
    }
}

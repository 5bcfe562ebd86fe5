//! Proof that this node can run containers: one is started and has to end well, before the node calls itself ready.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::image::PullPolicy;
use crate::node_status::Readiness;
use crate::pod::context::Context;
use crate::runtime::{ContainerSpec, ContainerState, SandboxSpec, Security};

/// On every node, without a registry.
const IMAGE: &str = "kontiki.io/demo:1";
const UID: &str = "kontiki-readiness-probe";
/// A node that needs longer than this for one container is not ready.
const LIMIT: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// Tries until it has worked once.
pub(crate) async fn run(context: Arc<Context>, readiness: Arc<watch::Sender<Readiness>>, shutdown: CancellationToken) {
    loop {
        let tried = tokio::select! {
            tried = tokio::time::timeout(LIMIT, try_once(&context)) => tried,
            () = shutdown.cancelled() => return,
        };
        let result = tried.unwrap_or_else(|_| Err(format!("the probe container took longer than {LIMIT:?}")));
        if let Err(why) = &result {
            tracing::warn!(why, "this node cannot run containers");
        }
        let works = result.is_ok();
        readiness.send_modify(|readiness| readiness.runtime = result);
        if works {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn try_once(context: &Context) -> Result<(), String> {
    // What an earlier try has left would be in the way.
    remove(context).await?;
    let result = start_and_stop(context).await;
    remove(context).await?;
    result
}

async fn remove(context: &Context) -> Result<(), String> {
    context.runtime.remove_pod_sandbox(UID).await.map_err(|error| format!("cannot remove the probe: {error}"))
}

async fn start_and_stop(context: &Context) -> Result<(), String> {
    let image = context
        .images
        .ensure(IMAGE, PullPolicy::Never, &[])
        .await
        .map_err(|error| format!("no image for the probe container: {error}"))?
        .image;
    let sandbox = SandboxSpec {
        uid: UID.to_owned(),
        namespace: "kube-system".to_owned(),
        name: UID.to_owned(),
        ..SandboxSpec::default()
    };
    context.runtime.run_pod_sandbox(sandbox).await.map_err(|error| format!("cannot make a sandbox: {error}"))?;
    let log = context.config.run_dir.join("readiness-probe.log");
    let spec = ContainerSpec {
        args: vec!["exit".to_owned(), "0".to_owned()],
        security: Security { run_as_user: Some(65534), allow_privilege_escalation: false, ..Security::default() },
        ..ContainerSpec::new("probe", 0, image, log)
    };
    context.runtime.start_container(UID, spec).await.map_err(|error| format!("cannot start a container: {error}"))?;
    loop {
        let sandbox = context.runtime.pod(UID).ok_or("the probe's sandbox vanished")?;
        match sandbox.containers.first().map(|container| &container.state) {
            Some(ContainerState::Exited(exit)) if exit.code == 0 => return Ok(()),
            Some(ContainerState::Exited(exit)) => return Err(format!("the probe container ended with {}", exit.code)),
            Some(ContainerState::Created | ContainerState::Running { .. }) => tokio::time::sleep(PAUSE).await,
            None => return Err("the probe container vanished".to_owned()),
        }
    }
}

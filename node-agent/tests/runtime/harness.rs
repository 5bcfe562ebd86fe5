//! A node for one test.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use node_agent::{
    image::{self, Images, PullPolicy},
    runtime::{self, ContainerSpec, ContainerStatus, Exit, QosClass, Runtime, SandboxSpec, Security},
};

pub(crate) const DEMO: &str = "kontiki.io/demo:1";
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// One agent's runtime and images.
pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    pub(crate) images: Images,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) group: String,
}

/// `None`, with a message, where the tests cannot run.
pub(crate) async fn node() -> Option<Node> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let group = format!("kontiki-test-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
    let runtime = Runtime::open(config(&dir, &group)).await.unwrap();
    let images = Images::open(image_config(&dir)).await.unwrap();
    Some(Node { runtime, images, dir, group })
}

fn config(dir: &tempfile::TempDir, group: &str) -> runtime::Config {
    runtime::Config {
        run_dir: dir.path().join("run"),
        state_dir: dir.path().join("state"),
        cgroup_root: group.to_owned(),
    }
}

fn image_config(dir: &tempfile::TempDir) -> image::Config {
    image::Config {
        dir: dir.path().join("images"),
        archives: Some(dir.path().join("archives")),
        insecure_registries: Vec::new(),
        parallel_pulls: 2,
    }
}

impl Node {
    /// Makes a pod with its own everything but the network.
    pub(crate) async fn pod(&self, uid: &str) {
        let spec = SandboxSpec {
            uid: uid.to_owned(),
            namespace: "default".to_owned(),
            name: uid.to_owned(),
            hostname: format!("{uid}-host"),
            qos: QosClass::Burstable,
            ..SandboxSpec::default()
        };
        self.runtime.run_pod_sandbox(spec).await.unwrap();
    }

    /// A container of the demo image that runs `words`, as root unless the test says otherwise.
    pub(crate) async fn spec(&self, name: &str, words: &[&str]) -> ContainerSpec {
        let image = self.images.ensure(DEMO, PullPolicy::Always, &[]).await.unwrap().image;
        let log = self.dir.path().join(format!("log/{name}/0.log"));
        ContainerSpec {
            args: words.iter().map(|word| (*word).to_owned()).collect(),
            security: Security { run_as_user: Some(0), ..Security::default() },
            ..ContainerSpec::new(name, 0, image, log)
        }
    }

    pub(crate) async fn start(&self, uid: &str, spec: &ContainerSpec) -> ContainerStatus {
        self.runtime.start_container(uid, spec.clone()).await.unwrap()
    }

    /// Waits for the end of a container.
    pub(crate) async fn exit(&self, uid: &str, name: &str) -> Exit {
        testing::eventually(PATIENCE, async || {
            let pod = self.runtime.pod(uid).ok_or("no pod")?;
            let found = pod.containers.into_iter().find(|container| container.name == name);
            match found.ok_or("no container")?.state {
                runtime::ContainerState::Exited(exit) => Ok(exit),
                runtime::ContainerState::Created | runtime::ContainerState::Running { .. } => Err("runs"),
            }
        })
        .await
    }

    /// Runs a container to its end; returns how it ended and what it wrote.
    pub(crate) async fn run(&self, uid: &str, spec: &ContainerSpec) -> (Exit, String) {
        self.start(uid, spec).await;
        let exit = self.exit(uid, &spec.name).await;
        (exit, text(&fs::read_to_string(&spec.log_path).unwrap()))
    }

    /// Waits until the container has written a line with `word`.
    pub(crate) async fn wrote(&self, spec: &ContainerSpec, word: &str) {
        testing::eventually(PATIENCE, async || {
            let log = fs::read_to_string(&spec.log_path).map_err(|error| error.to_string())?;
            if text(&log).contains(word) { Ok(()) } else { Err(format!("no {word:?} in {log:?}")) }
        })
        .await;
    }

    /// An agent that starts again: the old one lets go, the new one finds what there is.
    pub(crate) async fn restart(&mut self) {
        self.runtime.shutdown(false).await.unwrap();
        self.runtime = Runtime::open(config(&self.dir, &self.group)).await.unwrap();
    }

    /// Removes the pods and checks that nothing is left.
    pub(crate) async fn finish(self) {
        for pod in self.runtime.pods() {
            self.runtime.remove_pod_sandbox(&pod.spec.uid).await.unwrap();
        }
        for folder in ["run/pods", "state/containers"] {
            let left: Vec<_> = fs::read_dir(self.dir.path().join(folder)).unwrap().flatten().collect();
            assert!(left.is_empty(), "{folder}: {left:?}");
        }
        let place = self.dir.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&place), "a mount is left below {place}");
        self.runtime.shutdown(true).await.unwrap();
        let groups = self.groups();
        assert!(groups.is_empty(), "{groups:?}");
    }

    fn groups(&self) -> Vec<PathBuf> {
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        let hierarchies = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]);
        hierarchies.map(|hierarchy| hierarchy.join(&self.group)).filter(|group| group.exists()).collect()
    }
}

impl Drop for Node {
    /// A failed test still kills what it started. What holds after [`Node::finish`] is cheap to do again.
    fn drop(&mut self) {
        for group in self.groups() {
            fs::write(group.join("cgroup.kill"), "1").ok();
        }
        for pod in fs::read_dir(self.dir.path().join("run/pods")).into_iter().flatten().flatten() {
            nix::mount::umount2(&pod.path().join("shm"), nix::mount::MntFlags::MNT_DETACH).ok();
        }
        let runtime = self.runtime.clone();
        let clean = std::thread::spawn(move || {
            let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            executor.block_on(runtime.shutdown(true)).ok();
        });
        clean.join().ok();
    }
}

/// The text of a log without its prefixes.
pub(crate) fn text(log: &str) -> String {
    let mut text = String::new();
    for line in log.lines() {
        let mut parts = line.splitn(4, ' ');
        let (time, stream) = (parts.next().unwrap(), parts.next().unwrap());
        assert!(time.ends_with('Z') && time.contains('T') && time.len() == 30, "{line}");
        assert!(stream == "stdout" || stream == "stderr", "{line}");
        let complete = parts.next() == Some("F");
        text.push_str(parts.next().unwrap_or_default());
        if complete {
            text.push('\n');
        }
    }
    text
}

/// The value after `key:` in `/proc/<pid>/status`.
pub(crate) fn status_field<'a>(status: &'a str, key: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {status}")).trim()
}

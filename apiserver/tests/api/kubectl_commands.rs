//! Every kubectl on the machine, unmodified, through the commands that users run: `kubectl/commands.txt`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use testing::kubectl::{Program, programs, steps};

use crate::kubectl::Cluster;

pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/kubectl");
const COMMANDS: &str = include_str!("kubectl/commands.txt");

/// A kubectl that points at a cluster of its own.
pub(crate) struct Seat {
    cluster: Cluster,
    program: PathBuf,
    /// Serves the cluster, while this thread waits for kubectl.
    _runtime: tokio::runtime::Runtime,
}

impl Seat {
    /// A cluster with node `n1` and the account that pods in `default` need.
    pub(crate) fn new(program: &Program) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let cluster = runtime.block_on(Cluster::start());
        let seat = Self { cluster, program: program.path.clone(), _runtime: runtime };
        seat.must("create -f node.yaml");
        seat.must("create serviceaccount default");
        seat
    }

    /// The command without its words. It runs where the manifests are.
    pub(crate) fn command(&self) -> Command {
        let home = self.cluster.api.dir.path();
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.cluster.kubeconfig).env("HOME", home).env("KUBECACHEDIR", home.join("cache"));
        command.env("KUBE_EDITOR", "sed -i s/nginx:2/nginx:4/").env("TZ", "UTC");
        // It lives for a moment: neither threads nor collected garbage pay.
        command.env("GOMAXPROCS", "1").env("GOGC", "off");
        command.current_dir(Path::new(FOLDER).join("manifests"));
        command
    }

    /// What it says to these words, or its complaint.
    pub(crate) fn says(&self, words: &str) -> Result<String, String> {
        let output = self.command().args(words.split_whitespace()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Says these words, and has success.
    pub(crate) fn must(&self, words: &str) {
        if let Err(complaint) = self.says(words) {
            panic!("{} {words}: {complaint}", self.program.display());
        }
    }

    fn run_all(&self, minor: u32) -> Vec<String> {
        let steps = steps(COMMANDS).into_iter().filter(|step| step.is_for(minor));
        steps.filter_map(|step| step.run(self.command()).err()).collect()
    }
}

/// Does something with each of these kubectls, all at once.
pub(crate) fn each<T: Send>(programs: &[Program], act: impl Fn(&Program, Seat) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> =
            programs.iter().map(|program| scope.spawn(move || act(program, Seat::new(program)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn every_kubectl_gets_the_right_answers() {
    let complaints = each(&programs(), |program, seat| {
        let complaints = seat.run_all(program.minor).into_iter();
        complaints.map(|complaint| format!("kubectl 1.{}, {complaint}", program.minor)).collect::<Vec<_>>()
    });
    let complaints = complaints.concat();
    assert!(complaints.is_empty(), "{} complaints:\n\n{}", complaints.len(), complaints.join("\n"));
}

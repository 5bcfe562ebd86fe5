//! A cluster of hosts in network namespaces, made by `kontiki up` and removed by `kontiki down`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::command::{Said, run, succeed};

/// How long anything of a scenario may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running cluster; dropping it removes it.
pub struct Cluster {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// `kontiki up` with these flags, in a new folder. `program` is the binary under test.
    ///
    /// # Panics
    /// When the cluster does not start.
    pub fn up(program: impl Into<PathBuf>, flags: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("kontiki-test-").tempdir().expect("a temporary folder");
        let cluster = Self { program: program.into(), folder };
        let said = cluster.kontiki_said("up", flags);
        assert!(said.success, "kontiki up failed:\n{}\n{}", said.all(), cluster.logs());
        cluster
    }

    /// The cluster's folder.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("cluster")
    }

    /// Runs `kontiki <command> --dir <this cluster>`; it must succeed.
    pub fn kontiki(&self, command: &str, flags: &[&str]) -> String {
        let said = self.kontiki_said(command, flags);
        assert!(said.success, "kontiki {command} failed:\n{}", said.all());
        said.out
    }

    /// Runs `kontiki <command> --dir <this cluster>`.
    pub fn kontiki_said(&self, command: &str, flags: &[&str]) -> Said {
        run(Command::new(&self.program).arg(command).arg("--dir").arg(self.dir()).args(flags))
    }

    /// `kontiki chaos <command> --dir <this cluster>`, to be changed or run.
    pub fn chaos(&self, command: &[&str]) -> Command {
        let mut chaos = Command::new(&self.program);
        chaos.arg("chaos").args(command).arg("--dir").arg(self.dir());
        chaos
    }

    /// kubectl with the written kubeconfig: its current context leads through the local proxy.
    pub fn kubectl(&self, program: impl AsRef<Path>) -> Kubectl {
        Kubectl { program: program.as_ref().to_owned(), kubeconfig: self.dir().join("kubeconfig"), context: None }
    }

    /// etcdctl with the written variables, against all masters.
    pub fn etcdctl(&self, arguments: &[&str]) -> String {
        succeed(&mut self.etcdctl_command(arguments))
    }

    /// etcdctl with the written variables, to be changed.
    pub fn etcdctl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("etcdctl");
        let variables = fs::read_to_string(self.dir().join("etcdctl.env")).expect("kontiki up writes etcdctl.env");
        for line in variables.lines() {
            let (name, value) =
                line.strip_prefix("export ").and_then(|l| l.split_once('=')).expect("export NAME=VALUE");
            command.env(name, value);
        }
        command.args(arguments);
        command
    }

    /// The cluster's own record.
    fn record(&self) -> Value {
        let text = fs::read(self.dir().join("cluster.json")).expect("kontiki up writes cluster.json");
        serde_json::from_slice(&text).expect("cluster.json is JSON")
    }

    /// The suffix of everything this cluster made outside its folder.
    pub fn tag(&self) -> String {
        self.record()["tag"].as_str().expect("a tag").to_owned()
    }

    /// Name and address of every master.
    pub fn masters(&self) -> Vec<(String, String)> {
        let record = self.record();
        let hosts = record["hosts"].as_array().expect("hosts").iter().filter(|host| host["master"] == true);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        hosts.map(|host| (text(&host["name"]), text(&host["address"]))).collect()
    }

    /// The master that leads.
    pub fn leader(&self) -> String {
        testing_eventually(|| {
            let table = self.kontiki_said("status", &[]).out;
            let leader = table.lines().find(|line| line.split_whitespace().nth(1) == Some("leader"));
            leader
                .and_then(|line| line.split_whitespace().next())
                .map(str::to_owned)
                .ok_or(format!("no leader:\n{table}"))
        })
    }

    /// The process of a host's `server` or `agent`.
    pub fn pid(&self, host: &str, role: &str) -> Pid {
        let path = self.dir().join("hosts").join(host).join(format!("{role}.pid"));
        let record: Value = serde_json::from_slice(&fs::read(&path).expect("a pid file")).expect("JSON");
        Pid::from_raw(i32::try_from(record["pid"].as_i64().expect("a number")).expect("a process id"))
    }

    /// A host's folder of this kind of process.
    pub fn host_dir(&self, host: &str, role: &str) -> PathBuf {
        self.dir().join("hosts").join(host).join(role)
    }

    /// Starts `kontiki server` on a host, as its user would on a machine: outside of what `kontiki up` looks after.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_server(&self, host: &str, flags: &[&str]) -> Server {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let netns = format!("kontiki-{}-{host}", self.tag());
        let child = Command::new("ip")
            .args(["netns", "exec", &netns])
            .arg(&self.program)
            .arg("server")
            .arg("--dir")
            .arg(self.host_dir(host, "server"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(log.reopen().expect("the log opens"))
            .spawn()
            .expect("the server starts");
        Server { child, log }
    }

    /// Whether a host's `server` or `agent` runs: it is there, is no zombie, and was not stopped.
    pub fn runs(&self, host: &str, role: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid(host, role))).unwrap_or_default();
        // proc(5): the state is the first field after the name in brackets.
        stat.rsplit_once(')').is_some_and(|(_, fields)| !fields.trim_start().starts_with(['Z', 'X', 'T']))
    }

    /// What of the masters' links and packet filters is not as `kontiki up` made it.
    pub fn network_faults(&self) -> Vec<String> {
        let mut found = Vec::new();
        let fabric = format!("kontiki-{}-fabric", self.tag());
        for (host, _) in self.masters() {
            let link = succeed(Command::new("ip").args(["-n", &fabric, "-o", "link", "show", &format!("p-{host}")]));
            found.extend((!link.contains("state UP")).then(|| format!("the link of {host} is down")));
            let netns = format!("kontiki-{}-{host}", self.tag());
            let tables = succeed(Command::new("ip").args(["netns", "exec", &netns, "nft", "list", "tables"]));
            found.extend(tables.contains("kontiki_chaos").then(|| format!("{host} drops packets")));
        }
        found
    }

    /// Sends a signal to a host's `server` or `agent`.
    pub fn signal(&self, host: &str, role: &str, signal: Signal) {
        kill(self.pid(host, role), signal).expect("the process can be signalled");
    }

    /// Cuts a host off: its interface goes down in its own namespace. [`Cluster::mend`] undoes it.
    pub fn cut(&self, host: &str) {
        self.link(host, "down");
    }

    /// Brings a cut host back, with the route that went with its link.
    pub fn mend(&self, host: &str) {
        self.link(host, "up");
    }

    fn link(&self, host: &str, state: &str) {
        // The far end of the cable, in the fabric's namespace: the host keeps its address and routes, as with a pulled plug.
        let fabric = format!("kontiki-{}-fabric", self.tag());
        succeed(Command::new("ip").args(["-n", &fabric, "link", "set", &format!("p-{host}"), state]));
    }

    /// When masters said `message` in their logs, in order.
    pub fn said(&self, message: &str) -> Vec<jiff::Timestamp> {
        let wanted = format!("\"message\":\"{message}\"");
        let mut times = Vec::new();
        for (master, _) in self.masters() {
            let log = fs::read_to_string(self.dir().join("hosts").join(master).join("server.log")).unwrap_or_default();
            for line in log.lines().filter(|line| line.contains(&wanted)) {
                let entry: Value = serde_json::from_str(line).expect("a line of the log is JSON");
                times
                    .push(entry["timestamp"].as_str().and_then(|time| time.parse().ok()).expect("a line has its time"));
            }
        }
        times.sort();
        times
    }

    /// What every process wrote, for a failed test's message.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        let Ok(hosts) = fs::read_dir(self.dir().join("hosts")) else { return text };
        for host in hosts.flatten() {
            for role in ["server", "agent"] {
                let log = fs::read_to_string(host.path().join(format!("{role}.log"))).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(15).collect();
                for line in tail.into_iter().rev() {
                    text.push_str(&format!("{}/{role}: {line}\n", host.file_name().to_string_lossy()));
                }
            }
        }
        text
    }
}

/// A master that was started by hand. `ip netns exec` becomes the program, so its process is the master's.
pub struct Server {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Server {
    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, signal).expect("the process can be signalled");
    }

    /// Waits until it has ended by itself, and tells whether with success.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ended(&mut self) -> bool {
        let (child, log) = (&mut self.child, &self.log);
        testing_eventually(|| match child.try_wait().expect("the process can be waited for") {
            Some(status) => Ok(status.success()),
            None => Err(format!("it runs on:\n{}", fs::read_to_string(log.path()).unwrap_or_default())),
        })
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            write_to_stderr(&self.log());
        }
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.logs();
            write_to_stderr(&logs);
        }
        if self.dir().exists() {
            let said = self.kontiki_said("down", &[]);
            if !said.success && !std::thread::panicking() {
                panic!("kontiki down failed:\n{}", said.all());
            }
        }
    }
}

fn write_to_stderr(text: &str) {
    use std::io::Write as _;
    // A test that fails already has nobody left to tell that its log could not be written.
    drop(std::io::stderr().write_all(text.as_bytes()));
}

#[allow(clippy::disallowed_methods, reason = "the pause between two looks at a condition that has a deadline")]
fn testing_eventually<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = std::time::Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(reason) => assert!(start.elapsed() < PATIENCE, "{reason}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A kubectl program and where it points.
#[derive(Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    context: Option<String>,
}

impl Kubectl {
    /// The same kubectl, straight to one master.
    pub fn against(&self, master: &str) -> Self {
        Self { context: Some(format!("kontiki-{master}")), ..self.clone() }
    }

    /// The same kubectl with another configuration, which is written beside the cluster's as `name`.
    pub fn with_config(&self, name: &str, config: &str) -> Self {
        let kubeconfig = self.kubeconfig.with_file_name(name);
        fs::write(&kubeconfig, config).expect("a kubeconfig is written");
        Self { kubeconfig, context: None, ..self.clone() }
    }

    /// The command with these words, split at blanks.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig);
        // Each program and cluster discovers anew: no cache of another cluster may answer.
        let home = self.kubeconfig.with_file_name("home");
        command.env("HOME", &home).env("KUBECACHEDIR", home.join("cache"));
        if let Some(context) = &self.context {
            command.args(["--context", context]);
        }
        command.args(words.split_ascii_whitespace());
        command
    }

    /// Runs it; it must succeed.
    pub fn ok(&self, words: &str) -> String {
        succeed(&mut self.command(words))
    }

    /// Runs it; it must fail. Gives what it said.
    pub fn fails(&self, words: &str) -> String {
        let said = run(&mut self.command(words));
        assert!(!said.success, "kubectl {words} succeeded:\n{}", said.all());
        said.all()
    }

    /// Runs it with this text as standard input; it must succeed.
    pub fn with_input(&self, words: &str, input: &str) -> String {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), input).expect("the input is written");
        let stdin = fs::File::open(file.path()).expect("the input opens");
        succeed(self.command(words).stdin(stdin))
    }
}

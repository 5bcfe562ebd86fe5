//! What users watch of their own workload: a URL or a command, asked each 200 ms while faults come and go.
//!
//! A probe has a thread of its own, so that nothing of the harness delays its clock, and so that it can stand in the
//! network namespace of a host: `name@w1=URL` asks as a client on that host would.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use parking_lot::Mutex;

use super::Usage;
use crate::up::cluster::Cluster;

/// Between the beginnings of two looks.
const PERIOD: Duration = Duration::from_millis(200);
/// A look that takes longer has failed. A command starts a program first, which takes its time on a crowded machine.
const URL_TIMEOUT: Duration = Duration::from_secs(2);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks at a command that runs.
const POLL: Duration = Duration::from_millis(5);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ask {
    /// `http://host:port/path`: the status must be below 400.
    Url { authority: String, path: String },
    /// A shell command: it must end with success.
    Command(String),
}

/// A probe as it was named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) name: String,
    /// The host it looks from; this machine when none is named.
    host: Option<String>,
    ask: Ask,
    period: Duration,
}

/// One look.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    /// Why it failed.
    pub(crate) failure: Option<String>,
}

/// All looks of a probe.
#[derive(Clone, Debug)]
pub(crate) struct Probed {
    pub(crate) name: String,
    pub(crate) samples: Vec<Sample>,
}

/// A time in which every look failed.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(crate) from: Instant,
    pub(crate) lasted: Duration,
    pub(crate) reason: String,
}

impl Probe {
    /// Reads `name=URL`, `name=command` or `name@host=...`.
    pub(crate) fn parse(given: &str) -> Result<Self, Usage> {
        let wrong = |why: &str| {
            Usage(format!(
                "--probe {given:?} {why}: write it like 'web=http://10.0.0.1:8080/', 'web@w1=http://...' or 'web=kubectl get deployment web'"
            ))
        };
        let (name, what) = given.split_once('=').ok_or_else(|| wrong("has no name"))?;
        let (name, host) = match name.split_once('@') {
            Some((name, host)) => (name, Some(host.to_owned())),
            None => (name, None),
        };
        if name.is_empty() || what.trim().is_empty() {
            return Err(wrong("names nothing"));
        }
        if what.starts_with("https://") {
            return Err(Usage(format!(
                "--probe {given:?}: whom to trust is not known; use a command: '{name}=curl -fsS --cacert FILE {what}'"
            )));
        }
        let ask = match what.strip_prefix("http://") {
            Some(rest) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let port = if authority.contains(':') { "" } else { ":80" };
                Ask::Url { authority: format!("{authority}{port}"), path: format!("/{path}") }
            }
            None => Ask::Command(what.to_owned()),
        };
        Ok(Self { name: name.to_owned(), host, ask, period: PERIOD })
    }

    /// One that asks an address from a host's network, so often, and is called as the host is.
    pub(crate) fn of_address(host: &str, authority: String, period: Duration) -> Self {
        let ask = Ask::Url { authority, path: "/".into() };
        Self { name: host.to_owned(), host: Some(host.to_owned()), ask, period }
    }

    /// The host it looks from, if that is none of the cluster's.
    pub(crate) fn unknown_host(&self, cluster: &Cluster) -> Option<&str> {
        self.host.as_deref().filter(|name| !cluster.hosts.iter().any(|host| host.name == *name))
    }

    fn look(&self, kubeconfig: &PathBuf) -> Result<()> {
        match &self.ask {
            Ask::Url { authority, path } => get(authority, path),
            Ask::Command(command) => run(command, kubeconfig),
        }
    }
}

/// A running probe.
pub(crate) struct Prober {
    name: String,
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Prober {
    /// Begins to look.
    pub(crate) fn start(probe: Probe, cluster: &Cluster) -> Result<Self> {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let namespace = match &probe.host {
            Some(host) => {
                Some(File::open(cluster.netns_path(host)).with_context(|| format!("there is no host {host}"))?)
            }
            None => None,
        };
        let kubeconfig = cluster.dir.join("kubeconfig");
        let (name, shared, stopped) = (probe.name.clone(), samples.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            // Only this thread, and what it starts, moves.
            let entered = namespace.map_or(Ok(()), |namespace| setns(&namespace, CloneFlags::CLONE_NEWNET));
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                let looked = entered.map_err(|error| anyhow!("cannot enter the host's network: {error}"));
                let failure = looked.and_then(|()| probe.look(&kubeconfig)).err().map(|error| format!("{error:#}"));
                shared.lock().push(Sample { began, took: began.elapsed(), failure });
                pause(probe.period.saturating_sub(began.elapsed()));
            }
        });
        Ok(Self { name, samples, stop, thread })
    }

    /// The last look, once there was one.
    pub(crate) fn last(&self) -> Option<Sample> {
        self.samples.lock().last().cloned()
    }

    /// The probe's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Ends the looking and gives all of it.
    pub(crate) fn finish(self) -> Probed {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!(probe = self.name, "a probe's thread panicked");
        }
        Probed { name: self.name, samples: std::mem::take(&mut self.samples.lock()) }
    }
}

impl Probed {
    /// All outages: from the first failed look to the next one that succeeded, or to the end.
    pub(crate) fn outages(&self) -> Vec<Outage> {
        let mut outages: Vec<Outage> = Vec::new();
        let mut failing = false;
        for sample in &self.samples {
            match (&sample.failure, failing) {
                (Some(reason), false) => {
                    outages.push(Outage { from: sample.began, lasted: sample.took, reason: reason.clone() });
                    failing = true;
                }
                (Some(_), true) => {
                    if let Some(outage) = outages.last_mut() {
                        outage.lasted = (sample.began + sample.took).duration_since(outage.from);
                    }
                }
                (None, true) => {
                    if let Some(outage) = outages.last_mut() {
                        outage.lasted = sample.began.duration_since(outage.from);
                    }
                    failing = false;
                }
                (None, false) => {}
            }
        }
        outages
    }
}

/// A GET whose status must be below 400.
fn get(authority: &str, path: &str) -> Result<()> {
    let address = authority.to_socket_addrs().with_context(|| format!("{authority} is no address"))?.next();
    let address = address.with_context(|| format!("{authority} has no address"))?;
    let mut stream =
        TcpStream::connect_timeout(&address, URL_TIMEOUT).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(URL_TIMEOUT))?;
    stream.set_write_timeout(Some(URL_TIMEOUT))?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: kontiki-chaos\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    // The status line is in the first bytes; the rest is not looked at.
    let mut head = [0; 64];
    let mut length = 0;
    while length < head.len() && !head[..length].contains(&b'\n') {
        match stream.read(&mut head[length..]).context("no answer")? {
            0 => break,
            more => length += more,
        }
    }
    let line = String::from_utf8_lossy(&head[..length]);
    let status: Option<u16> = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    match status {
        Some(status) if status < 400 => Ok(()),
        Some(status) => Err(anyhow!("status {status}")),
        None => Err(anyhow!("no HTTP answer: {}", line.lines().next().unwrap_or_default())),
    }
}

/// A command in a process group of its own, which ends with its timeout.
fn run(command: &str, kubeconfig: &PathBuf) -> Result<()> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot run sh")?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            if status.success() {
                return Ok(());
            }
            let mut said = Vec::new();
            if let Some(stderr) = &mut child.stderr {
                stderr.take(2000).read_to_end(&mut said)?;
            }
            let said = String::from_utf8_lossy(&said);
            return Err(anyhow!("{status}: {}", said.lines().last().unwrap_or_default()));
        }
        if began.elapsed() > COMMAND_TIMEOUT {
            killpg(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGKILL)?;
            child.wait()?;
            return Err(anyhow!("not done within {} s", COMMAND_TIMEOUT.as_secs()));
        }
        pause(POLL);
    }
}

#[allow(clippy::disallowed_methods, reason = "the pace of a thread that looks at something again and again")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn probes_are_read_and_mistakes_named() {
        let probe = Probe::parse("web@w1=http://10.0.0.1:8080/ready").unwrap();
        assert_eq!((probe.name.as_str(), probe.host.as_deref()), ("web", Some("w1")));
        assert_eq!(probe.ask, Ask::Url { authority: "10.0.0.1:8080".into(), path: "/ready".into() });
        let probe = Probe::parse("pods=test $(kubectl get pods -o name | wc -l) = 4").unwrap();
        assert_eq!(probe.ask, Ask::Command("test $(kubectl get pods -o name | wc -l) = 4".into()));
        for (given, named) in [("web", "has no name"), ("=x", "names nothing"), ("web=https://x/", "curl -fsS")] {
            let error = Probe::parse(given).unwrap_err().to_string();
            assert!(error.contains(named), "{given}: {error}");
        }
    }

    #[test]
    fn an_answer_counts_by_its_status() {
        for (answer, is_good) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 503 Busy\r\n\r\n", false),
            ("", false),
            ("SSH-2.0\r\n", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let authority = listener.local_addr().unwrap().to_string();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 256];
                assert!(stream.read(&mut request).unwrap() > 0);
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(get(&authority, "/").is_ok(), is_good, "{answer}");
            server.join().unwrap();
        }
    }

    #[test]
    fn a_command_counts_by_its_exit_code_and_says_why() {
        let kubeconfig = PathBuf::from("/none");
        assert!(run("test $KUBECONFIG = /none", &kubeconfig).is_ok());
        let failure = run("echo no such thing >&2; exit 3", &kubeconfig).unwrap_err().to_string();
        assert!(failure.contains("no such thing") && failure.contains('3'), "{failure}");
    }

    #[test]
    fn an_outage_lasts_until_the_next_good_look() {
        let start = Instant::now();
        let sample = |millis, failed: bool| Sample {
            began: start + Duration::from_millis(millis),
            took: Duration::from_millis(10),
            failure: failed.then(|| "down".to_owned()),
        };
        let samples = [(0, false), (200, true), (400, true), (600, false), (800, true)];
        let samples = samples.map(|(millis, failed)| sample(millis, failed)).to_vec();
        let outages = Probed { name: "web".into(), samples }.outages();
        let lasted: Vec<u128> = outages.iter().map(|outage| outage.lasted.as_millis()).collect();
        assert_eq!(lasted, [400, 10]);
    }
}

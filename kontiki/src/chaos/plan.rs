//! What a run is asked to do, checked before anything is looked at: every complaint names its fix.

use std::time::Duration;

use super::{
    Usage,
    evidence::Limits,
    faults::{self, Action, Fault},
    probes::Probe,
    schedule::{self, Planned},
    together::{self, Size},
};
use crate::{cli::RunArgs, up::cluster::Cluster};

/// A checked plan.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) schedule: Vec<Planned>,
    pub(crate) length: Duration,
    pub(crate) probes: Vec<Probe>,
    pub(crate) workload: Option<String>,
    pub(crate) limits: Limits,
    /// Of the cluster.
    pub(crate) size: Size,
    /// The command that makes the same run again.
    pub(crate) repeat: String,
}

impl Plan {
    /// Reads the flags. `machine` says what this machine lacks for a fault; without a seed, `draw` gives one.
    pub(crate) fn read(
        args: &RunArgs,
        cluster: Option<&Cluster>,
        machine: impl Fn(&Fault, &Cluster) -> Option<String>,
        draw: impl FnOnce() -> u64,
    ) -> Result<Self, Usage> {
        let lacks = |fault: &Fault| {
            let cluster = cluster?;
            let reason = lacks(cluster, fault);
            let reason =
                reason.map(|lacks| format!("{} needs {lacks}: leave it out, or start another cluster", fault.name));
            reason.or_else(|| {
                let lacks = machine(fault, cluster)?;
                Some(format!("{} cannot be made on this machine: {lacks}; leave it out", fault.name))
            })
        };
        let faults = chosen(&args.faults, lacks)?;
        let seed = args.seed.unwrap_or_else(draw);
        let size = cluster.map_or(Size { masters: 3, workers: 2 }, size);
        let pair = |one, other| if args.at_once > 1 { together::pair(one, other, size) } else { None };
        if args.at_once > 1 {
            goes_in_pairs(&faults, pair)?;
        }
        let schedule = schedule::draw(seed, &faults, args.length, args.interval, pair)?;
        let probes: Vec<Probe> = args.probe.iter().map(|given| Probe::parse(given)).collect::<Result<_, _>>()?;
        for (at, probe) in probes.iter().enumerate() {
            if probes[..at].iter().any(|other| other.name == probe.name) {
                return Err(Usage(format!("two probes are called {}: give each its own name", probe.name)));
            }
        }
        let upgrades = faults.iter().any(|fault| fault.action == Action::Upgrade);
        if args.upgrade_to.is_some() && !upgrades {
            return Err(Usage("--upgrade-to is for rolling-upgrade: add that to --faults".to_owned()));
        }
        if let Some(cluster) = cluster {
            fits(cluster, &probes)?;
        }
        Ok(Self {
            seed,
            schedule,
            length: args.length,
            probes,
            workload: args.workload.clone(),
            limits: Limits { gap: args.max_gap, outage: args.max_outage },
            size,
            repeat: repeat(args, seed),
        })
    }

    /// The faults of the schedule, each once.
    pub(crate) fn faults(&self) -> Vec<&'static Fault> {
        let mut faults: Vec<&'static Fault> = self.schedule.iter().map(|planned| planned.fault).collect();
        faults.sort_by_key(|fault| fault.name);
        faults.dedup();
        faults
    }
}

/// The faults of these names; one that is lacking something is refused by name, and left out of `all`.
fn chosen(names: &[String], lacks: impl Fn(&Fault) -> Option<String>) -> Result<Vec<&'static Fault>, Usage> {
    if names.iter().any(|name| name == "all") {
        return Ok(faults::ALL.iter().filter(|fault| lacks(fault).is_none()).collect());
    }
    let mut chosen: Vec<&'static Fault> = Vec::new();
    for name in names {
        let fault = faults::find(name).ok_or_else(|| {
            let meant = faults::nearest(name).map(|near| format!(" did you mean {near}?")).unwrap_or_default();
            Usage(format!("there is no fault {name:?}:{meant} `kontiki chaos list` shows all"))
        })?;
        if !chosen.contains(&fault) {
            chosen.push(fault);
        }
    }
    match chosen.iter().find_map(|fault| lacks(fault)) {
        Some(reason) => Err(Usage(reason)),
        None => Ok(chosen),
    }
}

/// The hosts of a cluster.
fn size(cluster: &Cluster) -> Size {
    Size { masters: cluster.masters().count(), workers: cluster.workers().count() }
}

/// Two at once were asked for: at least two of the faults must go together on this cluster.
fn goes_in_pairs(
    faults: &[&'static Fault],
    pair: impl Fn(&'static Fault, &'static Fault) -> Option<[&'static Fault; 2]>,
) -> Result<(), Usage> {
    if faults.iter().any(|one| faults.iter().any(|other| pair(one, other).is_some())) {
        return Ok(());
    }
    let names: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
    Err(Usage(format!(
        "--at-once 2 needs two faults of different kinds that this cluster can take together, and {} has none: \
         each must hit hosts of its own; name more faults, or leave --at-once out",
        names.join(",")
    )))
}

fn fits(cluster: &Cluster, probes: &[Probe]) -> Result<(), Usage> {
    for probe in probes {
        if let Some(host) = probe.unknown_host(cluster) {
            let known: Vec<&str> = cluster.hosts.iter().map(|host| host.name.as_str()).collect();
            return Err(Usage(format!(
                "the probe {} looks from {host}: the hosts are {}",
                probe.name,
                known.join(", ")
            )));
        }
    }
    Ok(())
}

/// What a cluster lacks for a fault.
fn lacks(cluster: &Cluster, fault: &Fault) -> Option<String> {
    let (masters, workers) = (cluster.masters().count(), cluster.workers().count());
    if masters < fault.masters_min() {
        return Some(format!("{} masters, and this cluster has {masters}", fault.masters_min()));
    }
    (fault.needs_worker() && workers == 0).then(|| "a worker, and this cluster has none".to_owned())
}

/// The flags that matter for what happens, as a shell takes them.
fn repeat(args: &RunArgs, seed: u64) -> String {
    let mut command = format!(
        "kontiki chaos run --seed {seed} --faults {} --for {} --interval {}",
        args.faults.join(","),
        text(args.length),
        text(args.interval),
    );
    if args.at_once > 1 {
        command.push_str(&format!(" --at-once {}", args.at_once));
    }
    let mut add = |flag: &str, value: &str| command.push_str(&format!(" --{flag} {}", quoted(value)));
    if let Some(file) = &args.upgrade_to {
        add("upgrade-to", &file.to_string_lossy());
    }
    for probe in &args.probe {
        add("probe", probe);
    }
    if let Some(workload) = &args.workload {
        add("workload", workload);
    }
    add("dir", &args.folder.dir.to_string_lossy());
    command
}

fn text(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis.is_multiple_of(1000) => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}

/// One word for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::FolderArgs;

    fn args(faults: &[&str]) -> RunArgs {
        RunArgs {
            faults: faults.iter().map(|name| (*name).to_owned()).collect(),
            length: Duration::from_secs(60),
            interval: Duration::from_millis(1500),
            at_once: 1,
            seed: Some(7),
            upgrade_to: None,
            probe: Vec::new(),
            workload: None,
            max_gap: Duration::from_secs(1),
            max_outage: Duration::from_secs(1),
            junit: None,
            summary: None,
            report: None,
            folder: FolderArgs { dir: ".kontiki".into() },
        }
    }

    fn cluster(masters: u8, workers: u8) -> Cluster {
        Cluster::plan("/tmp/a".into(), 7, 40_000, masters, workers, false)
    }

    fn refusal(args: &RunArgs, cluster: &Cluster) -> String {
        Plan::read(args, Some(cluster), able, || 0).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn mistakes_are_refused_with_what_would_be_right() {
        let with_probe = |probes: &[&str]| RunArgs {
            probe: probes.iter().map(|p| (*p).to_owned()).collect(),
            ..args(&["kill-all"])
        };
        for (args, cluster, named) in [
            (args(&["kill-leder"]), cluster(3, 0), "did you mean kill-leader?"),
            (args(&["agent-kill"]), cluster(3, 0), "agent-kill needs a worker"),
            (args(&["kill-leader"]), cluster(1, 1), "kill-leader needs 3 masters"),
            (RunArgs { length: Duration::from_secs(1), ..args(&["flap"]) }, cluster(3, 0), "too short for flap"),
            (
                RunArgs { upgrade_to: Some("new".into()), ..args(&["kill-all"]) },
                cluster(3, 0),
                "is for rolling-upgrade",
            ),
            (RunArgs { at_once: 2, ..args(&["kill-all", "pause"]) }, cluster(3, 2), "--at-once 2 needs two faults"),
            (
                RunArgs { at_once: 2, ..args(&["agent-kill", "agent-pause"]) },
                cluster(3, 1),
                "kill,agent-pause has none",
            ),
            (with_probe(&["web@w9=true"]), cluster(3, 1), "the hosts are m1, m2, m3, w1"),
            (with_probe(&["web=true", "web=false"]), cluster(3, 1), "two probes are called web"),
        ] {
            let refusal = refusal(&args, &cluster);
            assert!(refusal.contains(named), "{named}: {refusal}");
        }
    }

    /// A machine that lacks nothing.
    fn able(_: &Fault, _: &Cluster) -> Option<String> {
        None
    }

    #[test]
    fn what_the_machine_cannot_do_is_refused_by_name_and_left_out_of_all() {
        let unable = |fault: &Fault, _: &Cluster| fault.name.starts_with("limit-m").then(|| "no group".to_owned());
        let read = |names: &[&str]| {
            let args = RunArgs { length: Duration::from_secs(600), ..args(names) };
            Plan::read(&args, Some(&cluster(3, 1)), unable, || 0)
        };
        let refused = read(&["kill-leader", "limit-memory"]).err().map(|error| error.to_string());
        let wanted = "limit-memory cannot be made on this machine: no group; leave it out";
        assert_eq!(refused.as_deref(), Some(wanted));
        let all = read(&["all"]).unwrap().faults();
        assert!(all.len() + 1 == faults::ALL.len() && all.iter().all(|fault| fault.name != "limit-memory"));
    }

    #[test]
    fn all_means_all_that_the_cluster_can_take() {
        let long = RunArgs { length: Duration::from_secs(600), ..args(&["all"]) };
        let names = |masters, workers| {
            let plan = Plan::read(&long, Some(&cluster(masters, workers)), able, || 0).unwrap();
            plan.faults().iter().map(|fault| fault.name).collect::<Vec<_>>()
        };
        assert_eq!(names(3, 1).len(), faults::ALL.len());
        assert_eq!(names(1, 0), ["clock-skew", "kill-all"]);
    }

    #[test]
    fn the_command_that_repeats_a_run_is_ready_for_a_shell() {
        let mut args = args(&["pause", "flap"]);
        args.at_once = 2;
        args.probe = vec!["web=curl -f 'x'".into()];
        let plan = Plan::read(&args, None, able, || 0).unwrap();
        assert_eq!(
            plan.repeat,
            "kontiki chaos run --seed 7 --faults pause,flap --for 60s --interval 1500ms --at-once 2 --probe 'web=curl -f '\\''x'\\''' --dir .kontiki"
        );
    }
}

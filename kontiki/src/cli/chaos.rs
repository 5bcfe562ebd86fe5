//! Flags of `kontiki chaos`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::FolderArgs;
use crate::chaos;

/// Flags of `kontiki chaos`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChaosArgs {
    #[command(subcommand)]
    pub(crate) command: ChaosCommand,
}

/// What can be done to a cluster.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum ChaosCommand {
    /// Inject faults for some time under writers and watchers, heal, and judge what was promised
    Run(Box<RunArgs>),
    /// List the faults, one line each
    List,
    /// Kill the server of a master, or the agent of a worker (kill -9); `heal` starts it again
    Kill(VictimArgs),
    /// Stop the process of a host (SIGSTOP); `heal` lets it go on
    Pause(VictimArgs),
    /// Pull the network cable of a host; `heal` plugs it in
    Cut(VictimArgs),
    /// Undo every fault: of the commands above, and of a run that was killed
    Heal(FolderArgs),
    /// Heal when the process at the other end of standard input is gone
    #[command(hide = true)]
    Guard(FolderArgs),
}

/// Whom a single fault hits.
#[derive(Args, Clone, Debug)]
pub(crate) struct VictimArgs {
    /// `leader`, `follower`, or a host like m1 or w2
    pub(crate) victim: String,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
}

/// Flags of `kontiki chaos run`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// Which faults, by name (`kontiki chaos list`), or `all` that this cluster can take
    #[arg(long, value_delimiter = ',', default_value = chaos::DEFAULT_FAULTS)]
    pub(crate) faults: Vec<String>,
    /// How long to go on
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) length: Duration,
    /// The longest quiet time before each fault
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub(crate) interval: Duration,
    /// How many faults, of different kinds and on different hosts, are under way at once: 1 or 2
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) at_once: u8,
    /// The same seed is the same schedule; one is drawn and printed when none is given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// For rolling-upgrade: the file to upgrade to; this program's own one when none is named
    #[arg(long, value_name = "FILE")]
    pub(crate) upgrade_to: Option<PathBuf>,
    /// Look at this each 200 ms: name=http://..., name=COMMAND, or name@HOST=... from a host's network; can be repeated
    #[arg(long, value_name = "NAME=WHAT")]
    pub(crate) probe: Vec<String>,
    /// Run this shell command meanwhile; it must not fail
    #[arg(long, value_name = "COMMAND")]
    pub(crate) workload: Option<String>,
    /// The longest time that a writer may wait for an acknowledgement
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) max_gap: Duration,
    /// The longest time that a probe may fail at a stretch
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) max_outage: Duration,
    /// Write a JUnit file
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write a summary in Markdown, as CI systems show it
    #[arg(long, value_name = "FILE")]
    pub(crate) summary: Option<PathBuf>,
    /// Write an HTML report, one file with everything in it
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
}

/// A duration like 500ms, 90s or 2m; not nothing.
fn duration(given: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = given.parse().map_err(|_| "write it like 500ms, 90s or 2m".to_owned())?;
    match Duration::try_from(parsed) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("it must be more than nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(["soon", "0s", "-1s", "60"].iter().all(|given| duration(given).is_err()));
    }
}

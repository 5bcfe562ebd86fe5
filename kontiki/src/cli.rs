//! The command line: flags, and which module does the work. The only place that prints.

use std::{net::IpAddr, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::{
    agent, credential, leave, moved_clock, proxy, recover, server, snapshot, status, store_status, token::Role, up,
};

mod chaos;
mod store;

const API_PORT: u16 = 6443;
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

pub(crate) use chaos::{ChaosArgs, ChaosCommand, RunArgs, VictimArgs};
pub(crate) use store::{BackupArgs, RecoverArgs, RestoreArgs, SaveArgs, SnapshotCommand, TargetArgs};

/// Kubernetes with high availability built in.
#[derive(Parser)]
#[command(name = "kontiki", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster on this machine: each host is a network namespace with processes of its own
    Up(UpArgs),
    /// End the cluster of this folder; nothing is left behind
    Down(FolderArgs),
    /// Show masters, nodes and pods
    Status(FolderArgs),
    /// Run a master: the store, the API server, controllers and scheduler
    Server(ServerArgs),
    /// Run a node agent
    Agent(AgentArgs),
    /// Make a token that lets a machine join
    Token(TokenArgs),
    /// Save, check and restore backups of the store
    Snapshot(store::SnapshotArgs),
    /// Look at the store
    Store(store::StoreArgs),
    /// Make a new group from one surviving master, when the others are lost for good
    Recover(RecoverArgs),
    /// Inject faults into the cluster of this folder, and see what its promises are worth
    Chaos(ChaosArgs),
    /// Take a master out of its cluster; run it there
    Leave {
        /// The master's folder
        #[arg(long, default_value = "/var/lib/kontiki/server", env = "KONTIKI_SERVER_DIR")]
        dir: PathBuf,
    },
    /// Run the local proxy that leads kubectl to a master that is alive
    Proxy(ProxyArgs),
    /// Print the client certificate for kubectl, and start the proxy where it does not run
    Credential(FolderArgs),
}

/// The cluster's folder.
#[derive(Args, Clone, Debug)]
pub(crate) struct FolderArgs {
    /// The cluster's folder
    #[arg(long, default_value = ".kontiki", env = "KONTIKI_DIR")]
    pub(crate) dir: PathBuf,
}

/// Flags of `kontiki up`.
#[derive(Args, Clone, Debug)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// How many masters
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) masters: u8,
    /// How many workers; 0 is a control plane alone
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) workers: u8,
    /// One master that also runs pods
    #[arg(long, conflicts_with_all = ["masters", "workers"])]
    pub(crate) single: bool,
    /// Begin with this backup, see `kontiki snapshot`
    #[arg(long, requires = "keys_from")]
    pub(crate) restore: Option<PathBuf>,
    /// With --restore: a folder of a master of the cluster that was saved, for its keys
    #[arg(long, requires = "restore")]
    pub(crate) keys_from: Option<PathBuf>,
    /// Which API versions are served, as for kube-apiserver: api/beta=true, batch/v1/cronjobs=false
    #[arg(long, value_name = "API=BOOL", value_delimiter = ',')]
    pub(crate) runtime_config: Vec<String>,
}

/// Flags of `kontiki server`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArgs {
    /// Where this master keeps everything
    #[arg(long, default_value = "/var/lib/kontiki/server", env = "KONTIKI_SERVER_DIR")]
    pub(crate) dir: PathBuf,
    /// Create a cluster; only in an empty folder
    #[arg(long, conflicts_with = "join")]
    pub(crate) init: bool,
    /// Join the cluster of this master, https://<address>:6443
    #[arg(long, requires = "token", env = "KONTIKI_JOIN")]
    pub(crate) join: Option<String>,
    /// The join token, or @FILE that holds it
    #[arg(long, env = "KONTIKI_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    #[command(flatten)]
    pub(crate) master: MasterArgs,
    #[command(flatten)]
    pub(crate) backups: BackupArgs,
    /// Services get their addresses from here; counts at --init
    #[arg(long, default_value = "10.96.0.0/16")]
    pub(crate) service_cidr: String,
    /// Nodes get their pods' ranges from here; counts at --init
    #[arg(long, default_value = "10.244.0.0/16")]
    pub(crate) cluster_cidr: String,
    /// The cluster's DNS suffix; counts at --init
    #[arg(long, default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// Which API versions are served, as for kube-apiserver: api/beta=true, batch/v1/cronjobs=false
    #[arg(long, value_name = "API=BOOL", value_delimiter = ',', env = "KONTIKI_RUNTIME_CONFIG")]
    pub(crate) runtime_config: Vec<String>,
    /// For tests of failover: a file that says by how many milliseconds this process's clock is ahead
    #[arg(long, value_name = "FILE", env = moved_clock::VARIABLE, hide = true)]
    pub(crate) clock_ahead: Option<PathBuf>,
}

/// What a master is called and where it is reached; written down at its creation.
#[derive(Args, Clone, Debug)]
pub(crate) struct MasterArgs {
    /// This master's name; the host's by default
    #[arg(long, env = "KONTIKI_NAME")]
    pub(crate) name: Option<String>,
    /// The address where others reach this master
    #[arg(long, env = "KONTIKI_ADVERTISE_ADDRESS")]
    pub(crate) advertise_address: Option<IpAddr>,
    /// Port of the Kubernetes API
    #[arg(long, default_value_t = API_PORT)]
    pub(crate) api_port: u16,
    /// Port of etcd's API
    #[arg(long, default_value_t = CLIENT_PORT)]
    pub(crate) client_port: u16,
    /// Port between masters
    #[arg(long, default_value_t = PEER_PORT)]
    pub(crate) peer_port: u16,
}

impl Default for MasterArgs {
    fn default() -> Self {
        Self { name: None, advertise_address: None, api_port: API_PORT, client_port: CLIENT_PORT, peer_port: PEER_PORT }
    }
}

/// Flags of `kontiki agent`.
#[derive(Args, Clone, Debug)]
pub(crate) struct AgentArgs {
    /// Where this node keeps everything
    #[arg(long, default_value = "/var/lib/kontiki/agent", env = "KONTIKI_AGENT_DIR")]
    pub(crate) dir: PathBuf,
    /// Join the cluster of this master, https://<address>:6443
    #[arg(long, requires = "token", env = "KONTIKI_JOIN")]
    pub(crate) join: Option<String>,
    /// The join token, or @FILE that holds it
    #[arg(long, env = "KONTIKI_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The node's name; the host's by default
    #[arg(long, env = "KONTIKI_NAME")]
    pub(crate) name: Option<String>,
    /// The node's address
    #[arg(long, env = "KONTIKI_NODE_ADDRESS")]
    pub(crate) node_address: Option<IpAddr>,
    /// Image archives that are imported; <dir>/images by default
    #[arg(long)]
    pub(crate) images: Option<PathBuf>,
    /// The parent of all cgroups of this node's pods
    #[arg(long, default_value = "kontiki")]
    pub(crate) cgroup_root: String,
    /// For tests of failover: a file that says by how many milliseconds this process's clock is ahead
    #[arg(long, value_name = "FILE", env = moved_clock::VARIABLE, hide = true)]
    pub(crate) clock_ahead: Option<PathBuf>,
}

/// Flags of `kontiki token`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

/// What can be done with tokens.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum TokenCommand {
    /// Make a token; run it on a master
    Create {
        /// The master's folder
        #[arg(long, default_value = "/var/lib/kontiki/server", env = "KONTIKI_SERVER_DIR")]
        dir: PathBuf,
        /// What may join with it
        #[arg(long, value_enum, default_value_t = Role::Node)]
        role: Role,
        /// Hours until it expires
        #[arg(long, default_value_t = 24)]
        hours: u32,
        /// How many machines may join with it
        #[arg(long, default_value_t = 1)]
        uses: u32,
    },
}

/// Flags of `kontiki proxy`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProxyArgs {
    #[command(flatten)]
    pub(crate) folder: FolderArgs,
    /// End after this many minutes without a connection; 0 is never
    #[arg(long, default_value_t = 10)]
    pub(crate) idle_minutes: u32,
}

/// Runs the command line; returns the process's exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    match run(cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say_error(&error);
            // As clap's own refusals.
            if error.is::<crate::chaos::Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Does it; false when it was done and showed that a promise is broken.
fn run(command: Command) -> Result<bool> {
    let done = match command {
        Command::Chaos(args) => return in_runtime(crate::chaos::command(args, &mut say)),
        Command::Up(args) => in_runtime(up::run(args, &mut say)),
        Command::Down(args) => up::down(&args.dir, &mut say),
        Command::Status(args) => {
            say(&in_runtime(status::table(&args.dir))?);
            Ok(())
        }
        Command::Server(args) => {
            log_to_stderr();
            in_runtime(server::run(args))
        }
        Command::Agent(args) => {
            log_to_stderr();
            in_runtime(agent::run(args))
        }
        Command::Token(TokenArgs { command: TokenCommand::Create { dir, role, hours, uses } }) => {
            say(&in_runtime(server::create_token(&dir, role, hours, uses))?);
            Ok(())
        }
        Command::Snapshot(args) => in_runtime(snapshot::run(args.command, &mut say)),
        Command::Store(store::StoreArgs { command: store::StoreCommand::Status(target) }) => {
            say(&in_runtime(store_status::table(&target))?);
            Ok(())
        }
        Command::Recover(args) => in_runtime(recover::run(&args, &mut say)),
        Command::Leave { dir } => {
            say(&in_runtime(leave::run(&dir))?);
            Ok(())
        }
        Command::Proxy(args) => {
            log_to_stderr();
            in_runtime(proxy::run(args))
        }
        Command::Credential(args) => {
            say(&in_runtime(credential::exec_credential(&args.dir))?);
            Ok(())
        }
    };
    done.map(|()| true)
}

fn in_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Text on a terminal, JSON otherwise; `RUST_LOG` filters.
fn log_to_stderr() {
    use std::io::IsTerminal as _;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,openraft=error".into());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() { log.init() } else { log.json().init() }
}

#[allow(clippy::print_stdout, reason = "the command line speaks to its user here and nowhere else")]
fn say(line: &str) {
    println!("{line}");
}

#[allow(clippy::print_stderr, reason = "the command line speaks to its user here and nowhere else")]
fn say_error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_that_exclude_each_other_are_refused() {
        assert!(Cli::try_parse_from(["kontiki", "up", "--single", "--workers", "3"]).is_err());
        assert!(Cli::try_parse_from(["kontiki", "up", "--masters", "0"]).is_err());
        assert!(
            Cli::try_parse_from(["kontiki", "server", "--init", "--join", "https://m1:6443", "--token", "x"]).is_err()
        );
        assert!(Cli::try_parse_from(["kontiki", "agent", "--join", "https://m1:6443"]).is_err());
    }
}

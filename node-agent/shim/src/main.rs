//! The shim: the parent of one pod's containers.
//!
//! It holds the pod's namespaces, starts containers, writes their logs, reaps them and records how they end. It decides
//! nothing: every policy comes from the agent, which may go and come back while the shim lives. It is one thread and one
//! static program without a runtime, because there is one per pod. It deliberately knows no pods, images or networks.

mod clock;
mod container;
mod exec;
mod init;
mod logs;
mod plan;
mod protocol;
mod root;
mod server;
mod sys;
mod tap;
mod terminal;
mod users;

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::ExitCode,
};

use rustix::{
    fs::{Mode, OFlags},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
    thread::{LinkNameSpaceType, UnshareFlags},
};

use protocol::{CONTAINERS, SOCKET, SPEC_MAX, Setup, SetupResult, VERSION};
use server::Server;

fn main() -> ExitCode {
    let ready = match prepare() {
        Ok(mut server) => {
            if report(&SetupResult::Ready).and_then(|()| close_streams()).is_err() {
                return ExitCode::FAILURE;
            }
            server.run().map_err(|error| error.to_string())
        }
        Err(message) => {
            drop(report(&SetupResult::Failed(message.clone())));
            Err(message)
        }
    };
    match ready {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            drop(writeln!(io::stderr(), "{message}"));
            ExitCode::FAILURE
        }
    }
}

/// Adds to an error what was being done.
fn during<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

fn prepare() -> Result<Server, String> {
    rustix::process::umask(Mode::from_raw_mode(0o027));
    rustix::process::setsid().map_err(during("new session"))?;
    rustix::thread::set_name(c"kontiki-shim").map_err(during("name"))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(during("subreaper"))?;
    let setup = read_setup()?;
    for procs in &setup.cgroup_procs {
        fs::write(procs, std::process::id().to_string()).map_err(during(procs.display()))?;
    }
    enter_namespaces(&setup)?;
    let child_signals = sys::child_signals().map_err(during("signals"))?;
    fs::create_dir_all(setup.pod_dir.join(CONTAINERS)).map_err(during(setup.pod_dir.display()))?;
    let listener = listen(&setup.pod_dir)?;
    Ok(Server::new(listener, child_signals, setup.pod_dir))
}

fn read_setup() -> Result<Setup, String> {
    let mut text = Vec::new();
    let limit = u64::try_from(SPEC_MAX).unwrap_or(u64::MAX);
    io::stdin().take(limit).read_to_end(&mut text).map_err(during("reading the setup"))?;
    let setup: Setup = serde_json::from_slice(&text).map_err(during("reading the setup"))?;
    if setup.version != VERSION {
        return Err(format!("this shim speaks version {VERSION}, not {}", setup.version));
    }
    Ok(setup)
}

fn enter_namespaces(setup: &Setup) -> Result<(), String> {
    if let Some(path) = &setup.netns {
        let namespace =
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(during(path.display()))?;
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(during(path.display()))?;
    }
    let mut own = UnshareFlags::empty();
    own.set(UnshareFlags::NEWIPC, setup.private_ipc);
    own.set(UnshareFlags::NEWUTS, setup.hostname.is_some());
    sys::unshare(own).map_err(during("new namespaces"))?;
    if let Some(name) = &setup.hostname {
        rustix::system::sethostname(name.as_bytes()).map_err(during("host name"))?;
    }
    for (key, value) in &setup.sysctls {
        if key.contains("..") || key.starts_with('/') {
            return Err(format!("sysctl {key:?} is no name"));
        }
        let path = Path::new("/proc/sys").join(key.replace('.', "/"));
        fs::write(&path, value).map_err(during(format!("sysctl {key}")))?;
    }
    Ok(())
}

/// Binds by a relative path, since socket addresses are short.
fn listen(pod_dir: &Path) -> Result<OwnedFd, String> {
    let failed = || during::<rustix::io::Errno>(pod_dir.join(SOCKET).display().to_string());
    rustix::process::chdir(pod_dir).map_err(failed())?;
    match fs::remove_file(SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(format!("{SOCKET}: {error}")),
        Ok(()) | Err(_) => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(failed())?;
    let address = SocketAddrUnix::new(OsStr::new(SOCKET)).map_err(failed())?;
    rustix::net::bind(&socket, &address).map_err(failed())?;
    rustix::net::listen(&socket, 8).map_err(failed())?;
    rustix::process::chdir("/").map_err(failed())?;
    Ok(socket)
}

fn report(result: &SetupResult) -> io::Result<()> {
    let mut text = serde_json::to_vec(result)?;
    text.push(b'\n');
    io::stdout().write_all(&text)?;
    io::stdout().flush()
}

/// Lets go of the agent's pipes; the numbers stay taken, so that no descriptor of a container gets one of them.
fn close_streams() -> io::Result<()> {
    let null: PathBuf = "/dev/null".into();
    let null = fs::OpenOptions::new().read(true).write(true).open(null)?;
    sys::duplicate_to(null.as_fd(), 0, false)?;
    sys::duplicate_to(null.as_fd(), 1, false)?;
    Ok(())
}

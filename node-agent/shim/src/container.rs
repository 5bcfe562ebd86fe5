//! One container, from its start to the record of its end.

use std::{
    fs,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::{FileType, Mode, OFlags},
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    pipe::PipeFlags,
    process::{Pid, Signal, WaitOptions},
};

use crate::{
    clock,
    init::{self, Ends, Fault, Step},
    logs::{LogFile, Stream},
    plan::{Bounds, Plan, Refusal},
    protocol::{ContainerRecord, ContainerSetup, EXIT_FILE, ExitRecord, Failure},
    sys::{self, Cloned},
    tap::Tap,
    terminal,
};

/// A process that has not executed its program by then is killed: a mount may hang on a dead server.
const START_TIMEOUT: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
const PIPE_SIZE: usize = 256 * 1024;
/// Clients that may be attached to one container.
const ATTACHED_MAX: usize = 16;

/// A container of this pod.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) pid: u32,
    pub(crate) streams: [Stream; 2],
    pub(crate) log: LogFile,
    pub(crate) pidfd: OwnedFd,
    pub(crate) bounds: Bounds,
    pub(crate) placement: Placement,
    /// The writing end of its standard input.
    stdin: Option<OwnedFd>,
    terminal: bool,
    started_nanos: i64,
    folder: PathBuf,
    oom_events: Option<PathBuf>,
    exit: Option<ExitRecord>,
}

/// Where the processes of a container belong.
pub(crate) struct Placement {
    /// Folder of a cgroup2 group in which a process is born.
    pub(crate) cgroup2: Option<PathBuf>,
    /// Further `cgroup.procs` files.
    pub(crate) cgroup_procs: Vec<PathBuf>,
    pub(crate) oom_score_adj: Option<i32>,
}

/// The shim's ends of the pipes through which a new process is let go and reports a fault.
pub(crate) struct Reins {
    go: OwnedFd,
    fault: OwnedFd,
}

/// The shim's ends of a new process's standard streams.
struct Streams {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    console: Option<OwnedFd>,
}

impl Container {
    /// Starts a container; returns when its program is executed.
    pub(crate) fn start(id: &str, setup: &ContainerSetup, folder: PathBuf) -> Result<Self, Refusal> {
        let plan = Plan::new(setup)?;
        let log = LogFile::open(&setup.log_path)
            .map_err(|error| Refusal::create(format!("log file {}: {error}", setup.log_path.display())))?;
        let io = |error: io::Error| Refusal::create(format!("making a process: {error}"));
        let (ends, reins, mut streams) = pipes(setup).map_err(|error| io(error.into()))?;
        for end in &ends.stdio {
            own(end, plan.bounds.identity.uid).map_err(|error| io(error.into()))?;
        }
        let placement = Placement {
            cgroup2: setup.cgroup2.clone(),
            cgroup_procs: setup.cgroup_procs.clone(),
            oom_score_adj: setup.oom_score_adj,
        };
        let group = placement.open().map_err(|error| io(error.into()))?;
        let flags = libc::CLONE_NEWNS | if setup.private_pid { libc::CLONE_NEWPID } else { 0 };
        let (pid, pidfd) = match sys::clone3(flags, group.as_ref().map(AsFd::as_fd)).map_err(io)? {
            Cloned::Child => init::run(&plan, &ends),
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
        };
        drop(ends);
        let released = release(pid, &placement, &reins, |fault| words(fault, setup));
        if let Err(refusal) = released.and_then(|()| streams.take_terminal()) {
            kill(pid, &pidfd);
            return Err(refusal);
        }
        Ok(Self {
            id: id.to_owned(),
            pid,
            streams: [Stream::new(streams.stdout, "stdout"), Stream::new(streams.stderr, "stderr")],
            log,
            pidfd,
            bounds: plan.bounds,
            placement,
            stdin: streams.stdin,
            terminal: setup.terminal,
            started_nanos: clock::now_nanos(),
            folder,
            oom_events: setup.oom_events.clone(),
            exit: None,
        })
    }

    /// Begins to copy the output to these pipes; returns the writing end of the input, and whether it is a terminal.
    pub(crate) fn attach(&mut self, pipes: [Option<OwnedFd>; 2]) -> Result<(Option<OwnedFd>, bool), Refusal> {
        let refused = |message: String| Refusal { failure: Failure::Refused, message };
        if !self.runs() {
            let message = format!("container {} has ended", self.id);
            return Err(Refusal { failure: Failure::NotFound, message });
        }
        for (stream, pipe) in self.streams.iter_mut().zip(pipes) {
            let Some(pipe) = pipe else { continue };
            if stream.taps.len() == ATTACHED_MAX {
                return Err(refused(format!("{ATTACHED_MAX} clients are attached already")));
            }
            // A stream that has ended says so at once, by the end of the pipe.
            if stream.pipe.is_some() {
                stream.taps.push(Tap::new(pipe).map_err(|error| refused(error.to_string()))?);
            }
        }
        let stdin = self.stdin.as_ref().map(OwnedFd::try_clone).transpose();
        Ok((stdin.map_err(|error| refused(error.to_string()))?, self.terminal))
    }

    /// The standard input ends. A terminal has no end but that of its process.
    pub(crate) fn close_stdin(&mut self) {
        if !self.terminal {
            self.stdin = None;
        }
    }

    pub(crate) fn started_nanos(&self) -> i64 {
        self.started_nanos
    }

    pub(crate) fn runs(&self) -> bool {
        self.exit.is_none()
    }

    pub(crate) fn record(&self) -> ContainerRecord {
        let (id, exit) = (self.id.clone(), self.exit.clone());
        ContainerRecord { id, pid: self.pid, started_nanos: self.started_nanos, exit }
    }

    pub(crate) fn signal(&self, number: i32) -> Result<(), Refusal> {
        let gone = || Refusal { failure: Failure::NotFound, message: format!("container {} has ended", self.id) };
        if !self.runs() {
            return Err(gone());
        }
        sys::send_signal(self.pidfd.as_fd(), number).map_err(|error| match error {
            rustix::io::Errno::SRCH => gone(),
            error => Refusal { failure: Failure::Refused, message: format!("signal {number}: {error}") },
        })
    }

    /// Writes down how the process ended, once its output is in the log.
    pub(crate) fn ended(&mut self, code: i32, signal: Option<i32>, buffer: &mut [u8]) -> ExitRecord {
        let mut entries = Vec::new();
        for stream in &mut self.streams {
            stream.drain(buffer, &mut entries, &mut self.log);
        }
        self.stdin = None;
        let oom_killed = code != 0 && self.oom_events.as_deref().is_some_and(saw_oom_kill);
        let (started_nanos, finished_nanos) = (self.started_nanos, clock::now_nanos());
        let exit = ExitRecord { code, signal, oom_killed, started_nanos, finished_nanos };
        if let Err(error) = write_exit(&self.folder, &exit) {
            // The agent still hears of it by socket; this line is for the shim's own log file.
            drop(writeln!(io::stderr(), "{}: {EXIT_FILE}: {error}", self.folder.display()));
        }
        self.exit = Some(exit.clone());
        exit
    }
}

impl Placement {
    pub(crate) fn open(&self) -> rustix::io::Result<Option<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.cgroup2.as_ref().map(|path| rustix::fs::open(path, flags, Mode::empty())).transpose()
    }
}

impl Streams {
    /// The terminal the process has made, if it was to make one.
    fn take_terminal(&mut self) -> Result<(), Refusal> {
        let Some(console) = self.console.take() else { return Ok(()) };
        let failed = |what: &str| Refusal::create(format!("taking over the container's terminal: {what}"));
        let near = terminal::receive(&console).map_err(|error| failed(&error.to_string()))?;
        let near = near.ok_or_else(|| failed("none came"))?;
        self.stdin = Some(near.try_clone().map_err(|error| failed(&error.to_string()))?);
        self.stdout = Some(near);
        Ok(())
    }
}

/// A program that opens /dev/stdout again does it as its own user. What is no pipe is not the container's.
pub(crate) fn own(end: &OwnedFd, uid: u32) -> rustix::io::Result<()> {
    if FileType::from_raw_mode(rustix::fs::fstat(end)?.st_mode) != FileType::Fifo {
        return Ok(());
    }
    rustix::fs::fchown(end, Some(rustix::fs::Uid::from_raw(uid)), None)
}

fn pipe() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
}

/// The pipes that hold a new process back, and the process's ends with these standard streams.
pub(crate) fn reins(stdio: [OwnedFd; 3], console: Option<OwnedFd>) -> rustix::io::Result<(Ends, Reins)> {
    let ((go_read, go), (fault, fault_write)) = (pipe()?, pipe()?);
    Ok((Ends { go: go_read, fault: fault_write, stdio, console }, Reins { go, fault }))
}

fn pipes(setup: &ContainerSetup) -> rustix::io::Result<(Ends, Reins, Streams)> {
    let null = || rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    if setup.terminal {
        let flags = SocketFlags::CLOEXEC;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let (ends, reins) = reins([null()?, null()?, null()?], Some(far))?;
        return Ok((ends, reins, Streams { stdin: None, stdout: None, stderr: None, console: Some(near) }));
    }
    let ((stdout, stdout_write), (stderr, stderr_write)) = (pipe()?, pipe()?);
    for end in [&stdout, &stderr] {
        rustix::fs::fcntl_setfl(end, OFlags::NONBLOCK)?;
        // A user's pipe quota may refuse; the default size works too.
        rustix::pipe::fcntl_setpipe_size(end, PIPE_SIZE).ok();
    }
    let (stdin_read, stdin) = match setup.stdin {
        true => pipe().map(|(read, write)| (read, Some(write)))?,
        false => (null()?, None),
    };
    let (ends, reins) = reins([stdin_read, stdout_write, stderr_write], None)?;
    Ok((ends, reins, Streams { stdin, stdout: Some(stdout), stderr: Some(stderr), console: None }))
}

/// Puts the new process where it belongs, lets it go, and waits until it has executed its program.
pub(crate) fn release(
    pid: u32,
    placement: &Placement,
    reins: &Reins,
    words: impl FnOnce(Fault) -> Refusal,
) -> Result<(), Refusal> {
    for procs in &placement.cgroup_procs {
        fs::write(procs, pid.to_string()).map_err(|error| Refusal::create(format!("{}: {error}", procs.display())))?;
    }
    if let Some(adjustment) = placement.oom_score_adj {
        // Lowering needs a capability that nodes may lack; the agent says so once, and pods run without.
        drop(fs::write(format!("/proc/{pid}/oom_score_adj"), adjustment.to_string()));
    }
    let failed = |what: &str| Refusal::create(format!("starting the container's process: {what}"));
    rustix::io::write(&reins.go, &[1]).map_err(|error| failed(&error.to_string()))?;
    let mut wait = [PollFd::new(&reins.fault, PollFlags::IN)];
    loop {
        match rustix::event::poll(&mut wait, Some(&START_TIMEOUT)) {
            Ok(0) => return Err(failed("it hangs before its program is executed")),
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(&error.to_string())),
        }
    }
    let mut bytes = [0; Fault::LEN];
    match rustix::io::read(&reins.fault, &mut bytes) {
        Ok(0) => Ok(()),
        Ok(Fault::LEN) => Err(Fault::decode(bytes).map_or_else(|| failed("unknown fault"), words)),
        Ok(_) => Err(failed("torn fault")),
        Err(error) => Err(failed(&error.to_string())),
    }
}

/// Says what a fault means.
fn words(fault: Fault, setup: &ContainerSetup) -> Refusal {
    let index = usize::from(fault.index);
    let error = rustix::io::Errno::from_raw_os_error(fault.errno);
    let create = |what: String| Refusal::create(format!("{what}: {}", text(error)));
    let pick = |list: &[String]| list.get(index).cloned().unwrap_or_default();
    match fault.step {
        Step::Wait => create("waiting for the control groups".to_owned()),
        Step::Namespaces => create("making namespaces".to_owned()),
        Step::Root => create("preparing the root file system".to_owned()),
        Step::Filesystem => {
            let at = setup.filesystems.get(index).map_or("", |filesystem| &filesystem.target);
            create(format!("mounting {at}"))
        }
        Step::Device => {
            create(format!("making device {}", setup.devices.get(index).map_or("links", |device| device.path.as_str())))
        }
        Step::Mask => create(format!("masking {}", pick(&setup.masked_paths))),
        Step::ReadOnly => create(format!("making {} read-only", pick(&setup.read_only_paths))),
        Step::Bind => create(setup.binds.get(index).map_or_else(String::new, |bind| {
            format!("mounting {} at {}", bind.source.display(), bind.target.display())
        })),
        Step::Pivot => create("changing the root file system".to_owned()),
        Step::Terminal => create("making a terminal".to_owned()),
        Step::Streams => create("connecting the standard streams".to_owned()),
        Step::Session => create("taking the terminal".to_owned()),
        Step::Privileges => create("limiting privileges".to_owned()),
        Step::User => create("changing the user".to_owned()),
        Step::Filter => create("installing the system call filter".to_owned()),
        Step::WorkingDirectory => {
            Refusal { failure: Failure::Run, message: format!("chdir to cwd ({:?}): {}", setup.cwd, text(error)) }
        }
        Step::Exec => Refusal { failure: Failure::Run, message: exec_words(&setup.args[0], error) },
    }
}

/// The words that other runtimes use, since people search for them.
pub(crate) fn exec_words(program: &str, error: rustix::io::Errno) -> String {
    match error {
        rustix::io::Errno::NOENT if !program.contains('/') => {
            format!("exec: {program:?}: executable file not found in $PATH")
        }
        rustix::io::Errno::NOENT => format!("exec: {program:?}: stat {program}: no such file or directory"),
        error => format!("exec: {program:?}: {}", text(error)),
    }
}

/// The kernel's text as C prints it, without the number that Rust adds.
pub(crate) fn text(error: rustix::io::Errno) -> String {
    let text = io::Error::from(error).to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Ends and reaps a process that did not get as far as its program.
pub(crate) fn kill(pid: u32, pidfd: &OwnedFd) {
    rustix::process::pidfd_send_signal(pidfd, Signal::KILL).ok();
    reap(pid);
}

fn reap(pid: u32) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(Some(pid), WaitOptions::empty()) {}
}

fn saw_oom_kill(events: &Path) -> bool {
    let text = fs::read_to_string(events).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
}

fn write_exit(folder: &Path, exit: &ExitRecord) -> io::Result<()> {
    let temporary = folder.join(format!("{EXIT_FILE}.tmp"));
    fs::write(&temporary, serde_json::to_vec(exit)?)?;
    fs::rename(temporary, folder.join(EXIT_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_errors_use_the_familiar_words() {
        use rustix::io::Errno;
        assert_eq!(exec_words("foo", Errno::NOENT), "exec: \"foo\": executable file not found in $PATH");
        assert_eq!(exec_words("/foo", Errno::NOENT), "exec: \"/foo\": stat /foo: no such file or directory");
        assert_eq!(exec_words("/foo", Errno::ACCESS), "exec: \"/foo\": permission denied");
        assert_eq!(exec_words("/foo", Errno::NOEXEC), "exec: \"/foo\": exec format error");
    }
}

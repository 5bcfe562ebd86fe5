//! Further programs in containers, and clients at a container's own streams.
//!
//! The bytes do not pass the shim: it gets the far ends of pipes or of a terminal, and the agent keeps the near ones.
//! Whoever drops them hangs up: a program then reads the end of its input, writes into a broken pipe, or loses its
//! terminal, as when a terminal window is closed.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use jiff::Timestamp;
use rustix::{
    fs::{Mode, OFlags},
    pipe::PipeFlags,
};
use tokio::sync::oneshot;

use super::{
    ContainerState, Error, Runtime, StartError,
    pod::Pod,
    programs::sealed_file,
    protocol::{ExecSetup, Failure, Reply, Request},
    start,
    status::UNKNOWN_CODE,
    stream::Stream,
    terminal,
};

/// How much of each output stream of a program is kept by [`Runtime::exec_sync`].
const OUTPUT_MAX: usize = 10 * 1024;
const SIGKILL: i32 = 9;

/// A program to run in a container, within the container's bounds.
#[derive(Debug, Clone, Default)]
pub struct ExecSpec {
    /// Program and arguments.
    pub args: Vec<String>,
    /// The program can be written to.
    pub stdin: bool,
    /// Its output is wanted.
    pub stdout: bool,
    /// Its errors are wanted; with a terminal they are among the output.
    pub stderr: bool,
    /// The streams are a terminal.
    pub terminal: bool,
}

/// A program that was run in a container. Dropping its streams hangs up.
#[derive(Debug)]
pub struct Exec {
    /// Its input.
    pub stdin: Option<Stream>,
    /// Its output.
    pub stdout: Option<Stream>,
    /// Its errors.
    pub stderr: Option<Stream>,
    /// The terminal, to tell it how large its window is.
    pub terminal: Option<Stream>,
    /// Its exit code, 128 + signal for a killed process. An error means that its end was not seen.
    pub exit: oneshot::Receiver<i32>,
    number: u64,
}

/// A client's ends of a container's own streams.
#[derive(Debug)]
pub struct Attached {
    /// The container's input, if it keeps one open and the client wants it.
    pub stdin: Option<Stream>,
    /// A copy of its output from now on.
    pub stdout: Option<Stream>,
    /// A copy of its errors from now on.
    pub stderr: Option<Stream>,
    /// The input is a terminal.
    pub terminal: bool,
}

/// How a program went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; `None` when it took too long and was killed.
    pub code: Option<i32>,
    /// The beginning of what it wrote, to both streams.
    pub output: String,
}

/// Numbers of an agent begin where those of its predecessors, whose programs may still run, cannot be.
pub(super) fn first_number() -> u64 {
    u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or_default()
}

impl Runtime {
    /// Runs a program in a running container; returns when it is executed.
    pub async fn exec(&self, pod_uid: &str, id: &str, spec: ExecSpec) -> Result<Exec, Error> {
        let pod = self.find(pod_uid)?;
        let mut ends = Ends::make(&pod, id, &spec)?;
        let env = if spec.terminal { vec!["TERM=xterm".to_owned()] } else { Vec::new() };
        let setup = ExecSetup { args: spec.args, env, terminal: spec.terminal };
        let text = serde_json::to_vec(&setup).map_err(|error| Error::io("a program's arguments")(error.into()))?;
        let file = sealed_file("exec", &text).map_err(Error::io("a program's arguments"))?;
        let number = self.inner.next_exec.fetch_add(1, Ordering::Relaxed);
        let exit = pod.expect_exec(number);
        let files = [file].into_iter().chain(ends.far.drain(..)).collect();
        let result = match pod.call_with(Request::Exec { id: id.to_owned(), number }, files).await {
            Ok((Reply::Started { .. }, _)) => Ok(()),
            Ok((Reply::Failed { failure: Failure::NotFound, .. }, _)) => Err(Error::ContainerNotFound(id.to_owned())),
            Ok((Reply::Failed { failure, message }, _)) => {
                Err(StartError { reason: start::reason(failure), message }.into())
            }
            Ok(_) => Err(Error::Invalid("the shim misunderstood an exec".to_owned())),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            pod.forget_exec(number);
            return Err(error);
        }
        let Ends { stdin, stdout, stderr, terminal, .. } = ends;
        Ok(Exec { stdin, stdout, stderr, terminal, exit, number })
    }

    /// Runs a program to its end, and kills it when it takes longer than `limit`.
    pub async fn exec_sync(&self, pod_uid: &str, id: &str, args: Vec<String>, limit: Duration) -> Result<Ran, Error> {
        let spec = ExecSpec { args, stdout: true, stderr: true, ..ExecSpec::default() };
        let mut exec = self.exec(pod_uid, id, spec).await?;
        let streams = [exec.stdout.take(), exec.stderr.take()];
        let mut kept = [Vec::new(), Vec::new()];
        let [out, err] = &mut kept;
        let work = async {
            let reading = async { tokio::join!(read_beginning(&streams[0], out), read_beginning(&streams[1], err)) };
            // The program may leave others behind that keep the pipes open: what counts is its own end.
            tokio::select! {
                code = &mut exec.exit => code,
                _ = reading => (&mut exec.exit).await,
            }
        };
        let Ok(code) = tokio::time::timeout(limit, work).await else {
            let request = Request::SignalExec { number: exec.number, signal: SIGKILL };
            return match self.find(pod_uid)?.command(id, request).await {
                // Or it has just ended by itself.
                Ok(()) | Err(Error::ContainerNotFound(_)) => Ok(Ran { code: None, output: String::new() }),
                Err(error) => Err(error),
            };
        };
        for (stream, kept) in streams.iter().zip(&mut kept) {
            read_rest(stream, kept);
        }
        let output = String::from_utf8_lossy(&kept.concat()).into_owned();
        Ok(Ran { code: Some(code.unwrap_or(UNKNOWN_CODE)), output })
    }

    /// Attaches to a running container's own streams.
    pub async fn attach(
        &self,
        pod_uid: &str,
        id: &str,
        stdin: bool,
        stdout: bool,
        stderr: bool,
    ) -> Result<Attached, Error> {
        let pod = self.find(pod_uid)?;
        let failed = || Error::io("making pipes");
        let mut files = Vec::new();
        let mut pipe = |wanted: bool| {
            let stream = if wanted { Some(reading(&mut files).map_err(failed())?) } else { None };
            Ok::<_, Error>(stream)
        };
        let (stdout_end, stderr_end) = (pipe(stdout)?, pipe(stderr)?);
        let request = Request::Attach { id: id.to_owned(), stdout, stderr };
        match pod.call_with(request, files).await? {
            (Reply::Attached { terminal }, input) => {
                let input = input.filter(|_| stdin).map(Stream::new).transpose().map_err(failed())?;
                Ok(Attached { stdin: input, stdout: stdout_end, stderr: stderr_end, terminal })
            }
            (Reply::Failed { failure: Failure::NotFound, .. }, _) => Err(Error::ContainerNotFound(id.to_owned())),
            (Reply::Failed { message, .. }, _) => Err(Error::Invalid(message)),
            _ => Err(Error::Invalid("the shim misunderstood an attach".to_owned())),
        }
    }

    /// Ends a container's standard input, as soon as no client holds it.
    pub async fn close_stdin(&self, pod_uid: &str, id: &str) -> Result<(), Error> {
        self.find(pod_uid)?.command(id, Request::CloseStdin { id: id.to_owned() }).await
    }
}

/// Both ends of a program's streams.
#[derive(Default)]
struct Ends {
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    terminal: Option<Stream>,
    /// Input, output, errors.
    far: Vec<OwnedFd>,
}

impl Ends {
    fn make(pod: &Arc<Pod>, id: &str, spec: &ExecSpec) -> Result<Self, Error> {
        let state = pod.container(id).ok_or_else(|| Error::ContainerNotFound(id.to_owned()))?.state;
        let ContainerState::Running { pid, .. } = state else { return Err(Error::ContainerNotFound(id.to_owned())) };
        match spec.terminal {
            // Should the process have ended meanwhile, and its number belong to another: then the shim, which knows, refuses.
            true => Self::terminal(pid, spec).map_err(Error::io("making a terminal")),
            false => Self::pipes(spec).map_err(Error::io("making pipes")),
        }
    }

    fn terminal(pid: u32, spec: &ExecSpec) -> std::io::Result<Self> {
        let (near, far) = terminal::open(pid)?;
        let near = Stream::new(near)?;
        Ok(Self {
            stdin: spec.stdin.then(|| near.clone()),
            stdout: spec.stdout.then(|| near.clone()),
            stderr: None,
            terminal: Some(near),
            far: vec![far.try_clone()?, far.try_clone()?, far],
        })
    }

    fn pipes(spec: &ExecSpec) -> std::io::Result<Self> {
        let mut ends = Self::default();
        if spec.stdin {
            let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            ends.stdin = Some(Stream::new(write)?);
            ends.far.push(read);
        } else {
            ends.far.push(null()?);
        }
        for (wanted, near) in [(spec.stdout, &mut ends.stdout), (spec.stderr, &mut ends.stderr)] {
            if wanted {
                *near = Some(reading(&mut ends.far)?);
            } else {
                ends.far.push(null()?);
            }
        }
        Ok(ends)
    }
}

fn null() -> std::io::Result<OwnedFd> {
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// A pipe to read from; its other end goes to `far`.
fn reading(far: &mut Vec<OwnedFd>) -> std::io::Result<Stream> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    far.push(write);
    Stream::new(read)
}

/// Reads to the end, and keeps the beginning.
async fn read_beginning(stream: &Option<Stream>, kept: &mut Vec<u8>) {
    let Some(stream) = stream else { return };
    let mut buffer = vec![0; OUTPUT_MAX];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        keep(&buffer[..count], kept);
    }
}

/// Adds what an ended program has left in a pipe.
fn read_rest(stream: &Option<Stream>, kept: &mut Vec<u8>) {
    let Some(stream) = stream else { return };
    let mut buffer = vec![0; OUTPUT_MAX];
    while kept.len() < OUTPUT_MAX {
        let Ok(Some(count @ 1..)) = stream.read_now(&mut buffer) else { return };
        keep(&buffer[..count], kept);
    }
}

fn keep(bytes: &[u8], kept: &mut Vec<u8>) {
    let room = OUTPUT_MAX - kept.len();
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

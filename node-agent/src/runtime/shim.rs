//! The agent's side of a shim: starting one, and talking to it.
//!
//! One task owns the connection. Requests wait in a bounded queue, answers find their request by serial number, and what
//! the shim says by itself goes to the pod's [`Listener`]. When the connection ends, every waiting request fails and the
//! listener hears of it once.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest, unix::AsyncFd},
    sync::{mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    programs::ShimProgram,
    protocol::{ExitRecord, FILES_MAX, PACKET_MAX, Reply, Request, SOCKET, Setup, SetupResult, ToAgent, ToShim},
};

const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests wait here while one is being sent; a pod has few containers and one worker.
const QUEUE: usize = 16;
const READY_MAX: u64 = 64 * 1024;

/// Hears what a shim says by itself.
pub(super) trait Listener: Send + Sync + 'static {
    /// A container ended.
    fn exited(&self, id: &str, exit: ExitRecord);
    /// A program that was run in a container ended.
    fn exec_exited(&self, number: u64, code: i32);
    /// The connection is gone, and will not come back.
    fn lost(&self);
}

/// The shim did not answer, because it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// An answer, and the descriptor that came with it.
pub(super) type Answer = (Reply, Option<OwnedFd>);

struct Call {
    request: Request,
    files: Vec<OwnedFd>,
    answer: oneshot::Sender<Answer>,
}

/// A connection to a shim.
#[derive(Debug, Clone)]
pub(super) struct Shim {
    calls: mpsc::Sender<Call>,
}

/// Starts a shim and waits until it takes connections. The process is reaped by `tasks`.
pub(super) async fn spawn(program: &ShimProgram, setup: &Setup, tasks: &TaskTracker) -> io::Result<()> {
    let errors = File::create(setup.pod_dir.join("shim.log"))?;
    let mut child = tokio::process::Command::new(program.path())
        .arg0("kontiki-shim")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(io::Error::other("the shim has no pipes"));
    };
    let text = serde_json::to_vec(setup)?;
    let handshake = async {
        stdin.write_all(&text).await?;
        drop(stdin);
        let mut answer = Vec::new();
        stdout.take(READY_MAX).read_to_end(&mut answer).await?;
        match serde_json::from_slice(&answer)? {
            SetupResult::Ready => Ok(()),
            SetupResult::Failed(message) => Err(io::Error::other(message)),
        }
    };
    let result = tokio::time::timeout(START_TIMEOUT, handshake)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the shim does not get ready")));
    if result.is_err() {
        child.start_kill()?;
    }
    tasks.spawn(async move { child.wait().await.map(drop) });
    result
}

impl Shim {
    /// Connects to the shim of the pod in `pod_dir`.
    pub(super) fn connect(
        pod_dir: &Path,
        listener: Arc<dyn Listener>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let socket = crate::sys::poll::register(open(pod_dir)?)?;
        let (calls, queue) = mpsc::channel(QUEUE);
        let connection = Connection { socket, queue, waiting: HashMap::new(), serial: 0, listener };
        tasks.spawn(connection.run(stop));
        Ok(Self { calls })
    }

    /// Asks, and waits for the answer.
    pub(super) async fn call(&self, request: Request, files: Vec<OwnedFd>) -> Result<Answer, Gone> {
        let (answer, reply) = oneshot::channel();
        self.calls.send(Call { request, files, answer }).await.map_err(|_| Gone)?;
        reply.await.map_err(|_| Gone)
    }
}

/// The version since which shims understand a request: one that was started by an older agent may still run.
fn version(request: &Request) -> u32 {
    match request {
        Request::Start { .. }
        | Request::Signal { .. }
        | Request::ReopenLog { .. }
        | Request::Forget { .. }
        | Request::State
        | Request::Shutdown => 1,
        Request::Exec { .. } | Request::SignalExec { .. } | Request::Attach { .. } | Request::CloseStdin { .. } => 2,
    }
}

/// Goes through a descriptor of the folder, since socket addresses are short.
fn open(pod_dir: &Path) -> io::Result<OwnedFd> {
    let folder = File::open(pod_dir)?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

struct Connection {
    socket: AsyncFd<OwnedFd>,
    queue: mpsc::Receiver<Call>,
    waiting: HashMap<u64, oneshot::Sender<Answer>>,
    serial: u64,
    listener: Arc<dyn Listener>,
}

impl Connection {
    async fn run(mut self, stop: CancellationToken) {
        let mut buffer = vec![0; PACKET_MAX];
        loop {
            let result = tokio::select! {
                () = stop.cancelled() => return,
                received = receive(&self.socket, &mut buffer) => match received {
                    Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok((length, file)) => self.take(&buffer[..length], file),
                    Err(error) => Err(error),
                },
                call = self.queue.recv() => match call {
                    Some(call) => self.send(call).await,
                    // Nobody holds the pod any more.
                    None => return,
                },
            };
            if let Err(error) = result {
                tracing::debug!(%error, "connection to a shim ended");
                self.listener.lost();
                return;
            }
        }
    }

    fn take(&mut self, packet: &[u8], file: Option<OwnedFd>) -> io::Result<()> {
        match serde_json::from_slice(packet)? {
            ToAgent::Exited { id, exit } => self.listener.exited(&id, exit),
            ToAgent::ExecExited { number, code } => self.listener.exec_exited(number, code),
            ToAgent::Reply { serial, reply } => {
                if let Some(answer) = self.waiting.remove(&serial) {
                    // The one who asked may have gone.
                    answer.send((reply, file)).ok();
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, call: Call) -> io::Result<()> {
        self.serial += 1;
        let message = ToShim { version: version(&call.request), serial: self.serial, request: call.request };
        let bytes = serde_json::to_vec(&message)?;
        self.waiting.insert(self.serial, call.answer);
        let files: Vec<_> = call.files.iter().map(AsFd::as_fd).collect();
        self.socket
            .async_io(Interest::WRITABLE, |socket| {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !files.is_empty() {
                    control.push(SendAncillaryMessage::ScmRights(&files));
                }
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, flags).map_err(io::Error::from)
            })
            .await
            .map(drop)
    }
}

async fn receive(socket: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    socket
        .async_io(Interest::READABLE, |socket| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let received = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut *buffer)], &mut control, flags)?;
            let file = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut files) => files.next(),
                _ => None,
            });
            Ok((received.bytes, file))
        })
        .await
}

//! The shim's loop: agents' requests, containers' output, ended processes.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags,
    },
    process::WaitOptions,
};

use crate::{
    clock,
    container::Container,
    exec::Exec,
    logs::Drained,
    plan::Refusal,
    protocol::{
        CONTAINERS, ContainerSetup, ExecSetup, FILES_MAX, Failure, PACKET_MAX, Reply, Request, SPEC_MAX, ToAgent,
        ToShim, VERSION,
    },
};

/// The oldest version of requests that is still understood.
const VERSION_MIN: u32 = 1;
/// More agents than one are connected only while one replaces another.
const CLIENTS_MAX: usize = 4;
/// Ended containers that nobody asked to forget count too.
const CONTAINERS_MAX: usize = 256;
/// Programs that may run beside the containers' own at the same time.
const EXECS_MAX: usize = 256;
const READ_SIZE: usize = 64 * 1024;

/// The state of a running shim.
pub(crate) struct Server {
    listener: OwnedFd,
    child_signals: OwnedFd,
    containers_dir: PathBuf,
    clients: Vec<OwnedFd>,
    containers: Vec<Container>,
    execs: Vec<Exec>,
    buffer: Vec<u8>,
    entries: Vec<u8>,
}

/// What a descriptor in the poll set stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Listener,
    Children,
    Client(usize),
    Stream(usize, usize),
    /// A client that is attached to a stream can be written to, or is gone.
    Tap(usize, usize),
}

/// A request's descriptors.
type Files = std::vec::IntoIter<OwnedFd>;
/// An answer, and a descriptor to go with it.
type Answer = (Reply, Option<OwnedFd>);

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    End,
}

impl Server {
    pub(crate) fn new(listener: OwnedFd, child_signals: OwnedFd, pod_dir: PathBuf) -> Self {
        let containers_dir = pod_dir.join(CONTAINERS);
        let (clients, containers, execs, entries) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let buffer = vec![0; PACKET_MAX];
        Self { listener, child_signals, containers_dir, clients, containers, execs, buffer, entries }
    }

    /// Serves until an agent asks for the end.
    pub(crate) fn run(&mut self) -> Result<(), Errno> {
        loop {
            for source in self.wait()? {
                match source {
                    Source::Listener => self.accept(),
                    Source::Children => self.reap(),
                    Source::Stream(container, stream) => self.pump(container, stream),
                    Source::Tap(container, stream) => self.containers[container].streams[stream].flush(),
                    Source::Client(client) => {
                        if self.serve(client) == Flow::End {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Waits until something is ready. What is ready is named by index, so the order matters: streams before clients,
    /// which may take containers away; clients in falling order, since serving one may remove it; ended processes and
    /// new clients last, since both change the list of clients.
    fn wait(&self) -> Result<Vec<Source>, Errno> {
        let mut sources = Vec::new();
        let mut set = Vec::new();
        for (index, container) in self.containers.iter().enumerate() {
            for (stream, pipe) in container.streams.iter().enumerate() {
                for tap in &pipe.taps {
                    sources.push(Source::Tap(index, stream));
                    set.push(PollFd::new(&tap.pipe, if tap.is_full() { PollFlags::OUT } else { PollFlags::empty() }));
                }
                if let Some(end) = pipe.pipe.as_ref().filter(|_| !pipe.is_blocked()) {
                    sources.push(Source::Stream(index, stream));
                    set.push(PollFd::new(end, PollFlags::IN));
                }
            }
        }
        for (index, client) in self.clients.iter().enumerate().rev() {
            sources.push(Source::Client(index));
            set.push(PollFd::new(client, PollFlags::IN));
        }
        for (source, descriptor) in [(Source::Children, &self.child_signals), (Source::Listener, &self.listener)] {
            sources.push(source);
            set.push(PollFd::new(descriptor, PollFlags::IN));
        }
        match rustix::event::poll(&mut set, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let ready = sources.into_iter().zip(&set).filter(|(_, entry)| !entry.revents().is_empty());
        Ok(ready.map(|(source, _)| source).collect())
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        if let Ok(client) = rustix::net::accept_with(&self.listener, flags) {
            if self.clients.len() == CLIENTS_MAX {
                // The oldest belongs to an agent that is gone or hangs.
                self.clients.remove(0);
            }
            self.clients.push(client);
        }
    }

    fn pump(&mut self, container: usize, stream: usize) {
        let container = &mut self.containers[container];
        let pumped =
            container.streams[stream].pump(&mut self.buffer[..READ_SIZE], &mut self.entries, &mut container.log);
        debug_assert!(pumped == Drained::Open || container.streams[stream].pipe.is_none());
    }

    fn reap(&mut self) {
        let mut signals = [0; 128];
        while rustix::io::read(&self.child_signals, &mut signals).is_ok_and(|read| read > 0) {}
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get().cast_unsigned();
            let signal = status.terminating_signal();
            let code = status.exit_status().unwrap_or_else(|| 128 + signal.unwrap_or(0));
            if let Some(ended) = self.execs.iter().position(|exec| exec.pid == pid) {
                let number = self.execs.swap_remove(ended).number;
                self.announce(&ToAgent::ExecExited { number, code });
                continue;
            }
            // Orphans of containers that share the node's process table end here too, and are only reaped.
            let found = self.containers.iter_mut().find(|container| container.pid == pid && container.runs());
            let Some(container) = found else { continue };
            let exit = container.ended(code, signal, &mut self.buffer[..READ_SIZE]);
            let id = container.id.clone();
            self.announce(&ToAgent::Exited { id, exit });
        }
    }

    fn announce(&mut self, message: &ToAgent) {
        // An agent that does not read is cut off; it asks for the state when it comes back.
        self.clients.retain(|client| send(client, message, None).is_ok());
    }

    fn serve(&mut self, client: usize) -> Flow {
        let (bytes, files) = match receive(&self.clients[client], &mut self.buffer) {
            Ok(Some(packet)) => packet,
            Err(Errno::AGAIN | Errno::INTR) => return Flow::Continue,
            Ok(None) | Err(_) => {
                self.clients.remove(client);
                return Flow::Continue;
            }
        };
        let message = match serde_json::from_slice::<ToShim>(&self.buffer[..bytes]) {
            Ok(message) => message,
            Err(_) => {
                self.clients.remove(client);
                return Flow::Continue;
            }
        };
        let mut flow = Flow::Continue;
        let answer = if (VERSION_MIN..=VERSION).contains(&message.version) {
            self.answer(message.request, files.into_iter(), &mut flow)
        } else {
            Err(refused(format!("this shim speaks version {VERSION}, not {}", message.version)))
        };
        let failed = |Refusal { failure, message }| (Reply::Failed { failure, message }, None);
        let (reply, file) = answer.unwrap_or_else(failed);
        let message = ToAgent::Reply { serial: message.serial, reply };
        if send(&self.clients[client], &message, file.as_ref()).is_err() {
            self.clients.remove(client);
        }
        flow
    }

    fn answer(&mut self, request: Request, mut files: Files, flow: &mut Flow) -> Result<Answer, Refusal> {
        match request {
            Request::Start { id } => return Ok((self.start(&id, files.next())?, None)),
            Request::Exec { id, number } => return Ok((self.exec(&id, number, files)?, None)),
            Request::SignalExec { number, signal } => {
                let found = self.execs.iter().find(|exec| exec.number == number);
                let gone = || Refusal { failure: Failure::NotFound, message: format!("no process {number}") };
                found.ok_or_else(gone)?.signal(signal)?;
            }
            Request::Attach { id, stdout, stderr } => {
                let mut pipe = |wanted: bool| if wanted { files.next() } else { None };
                let (stdin, terminal) = self.find(&id)?.attach([pipe(stdout), pipe(stderr)])?;
                return Ok((Reply::Attached { terminal }, stdin));
            }
            Request::CloseStdin { id } => self.find(&id)?.close_stdin(),
            Request::Signal { id, signal } => self.find(&id)?.signal(signal)?,
            Request::ReopenLog { id } => {
                let log = &mut self.find(&id)?.log;
                log.reopen().map_err(|error| refused(format!("opening the log again: {error}")))?;
            }
            Request::Forget { id } => {
                if self.find(&id)?.runs() {
                    return Err(refused(format!("container {id} runs")));
                }
                self.containers.retain(|container| container.id != id);
            }
            Request::State => {
                let containers = self.containers.iter().map(Container::record).collect();
                return Ok((Reply::State { containers }, None));
            }
            Request::Shutdown => {
                if self.containers.iter().any(Container::runs) {
                    return Err(refused("containers run".to_owned()));
                }
                *flow = Flow::End;
            }
        }
        Ok((Reply::Done, None))
    }

    fn find(&mut self, id: &str) -> Result<&mut Container, Refusal> {
        let found = self.containers.iter_mut().find(|container| container.id == id);
        found.ok_or_else(|| Refusal { failure: Failure::NotFound, message: format!("no container {id}") })
    }

    fn start(&mut self, id: &str, file: Option<OwnedFd>) -> Result<Reply, Refusal> {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(refused(format!("{id:?} is no container id")));
        }
        if self.find(id).is_ok() {
            return Err(refused(format!("container {id} exists")));
        }
        if self.containers.len() == CONTAINERS_MAX {
            return Err(refused(format!("the pod has {CONTAINERS_MAX} containers: remove ended ones")));
        }
        let setup: ContainerSetup = specification(file)?;
        let container = Container::start(id, &setup, self.containers_dir.join(id))?;
        let reply = Reply::Started { pid: container.pid, started_nanos: container.started_nanos() };
        self.containers.push(container);
        Ok(reply)
    }

    fn exec(&mut self, id: &str, number: u64, mut files: Files) -> Result<Reply, Refusal> {
        if self.execs.len() == EXECS_MAX {
            return Err(refused(format!("{EXECS_MAX} programs run in the pod's containers already")));
        }
        if self.execs.iter().any(|exec| exec.number == number) {
            return Err(refused(format!("process {number} exists")));
        }
        let setup: ExecSetup = specification(files.next())?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (files.next(), files.next(), files.next()) else {
            return Err(refused("no standard streams attached".to_owned()));
        };
        let container = self.find(id)?;
        if !container.runs() {
            return Err(Refusal { failure: Failure::NotFound, message: format!("container {id} has ended") });
        }
        let exec = Exec::start(number, container, &setup, [stdin, stdout, stderr])?;
        let reply = Reply::Started { pid: exec.pid, started_nanos: clock::now_nanos() };
        self.execs.push(exec);
        Ok(reply)
    }
}

/// Reads the attached specification of what is to be started.
fn specification<T: serde::de::DeserializeOwned>(file: Option<OwnedFd>) -> Result<T, Refusal> {
    let file = file.ok_or_else(|| refused("no specification attached".to_owned()))?;
    let failed = |error: &dyn std::fmt::Display| refused(format!("reading the specification: {error}"));
    let mut text = Vec::new();
    let limit = u64::try_from(SPEC_MAX).unwrap_or(u64::MAX);
    File::from(file).take(limit).read_to_end(&mut text).map_err(|error| failed(&error))?;
    serde_json::from_slice(&text).map_err(|error| failed(&error))
}

fn refused(message: String) -> Refusal {
    Refusal { failure: Failure::Refused, message }
}

fn send(client: &OwnedFd, message: &ToAgent, file: Option<&OwnedFd>) -> Result<(), Errno> {
    let bytes = serde_json::to_vec(message).map_err(|_| Errno::INVAL)?;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = file.map(|file| [file.as_fd()]);
    if let Some(files) = &files {
        control.push(SendAncillaryMessage::ScmRights(files));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(client, &[std::io::IoSlice::new(&bytes)], &mut control, flags).map(drop)
}

/// Takes one packet; `None` at the end of the connection.
fn receive(client: &OwnedFd, buffer: &mut [u8]) -> Result<Option<(usize, Vec<OwnedFd>)>, Errno> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [std::io::IoSliceMut::new(buffer)];
    let received = rustix::net::recvmsg(client.as_fd(), &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(attached) = message {
            files.extend(attached);
        }
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(Errno::MSGSIZE);
    }
    Ok((received.bytes > 0).then_some((received.bytes, files)))
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::NONBLOCK, None).unwrap()
    }

    #[test]
    fn what_changes_the_list_of_clients_comes_after_the_clients() {
        let ((listener, connecting), (signals, child)) = (pair(), pair());
        let ((old, gone), (new, agent)) = (pair(), pair());
        for ready in [&connecting, &child, &agent] {
            rustix::net::send(ready, b"x", SendFlags::empty()).unwrap();
        }
        let mut server = Server::new(listener, signals, "/nowhere".into());
        server.clients = vec![old, new];
        drop(gone);
        let order = [Source::Client(1), Source::Client(0), Source::Children, Source::Listener];
        assert_eq!(server.wait().unwrap(), order);
        // The first sent no request, the second is gone: both are cut off, and no index points beyond the list.
        assert!(server.serve(1) == Flow::Continue && server.serve(0) == Flow::Continue);
        assert!(server.clients.is_empty());
    }
}

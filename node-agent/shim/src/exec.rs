//! A further program in a container that runs: within the container's bounds, with streams that the agent brings.

use std::os::fd::{AsFd, OwnedFd};

use rustix::thread::ThreadNameSpaceType;

use crate::{
    container::{self, Container},
    init::{self, Fault, Join, Step},
    plan::Refusal,
    protocol::{ExecSetup, Failure},
    sys::{self, Cloned},
};

/// A process that the shim started beside a container's first one.
pub(crate) struct Exec {
    /// The agent's name for it.
    pub(crate) number: u64,
    pub(crate) pid: u32,
    pidfd: OwnedFd,
}

impl Exec {
    /// Starts the program; returns when it is executed.
    pub(crate) fn start(
        number: u64,
        container: &Container,
        setup: &ExecSetup,
        stdio: [OwnedFd; 3],
    ) -> Result<Self, Refusal> {
        let program = container.bounds.program(&setup.args, &setup.env)?;
        let io = |error: std::io::Error| Refusal::create(format!("making a process: {error}"));
        let uid = container.bounds.identity.uid;
        match setup.terminal {
            true => rustix::fs::fchown(&stdio[0], Some(rustix::fs::Uid::from_raw(uid)), None),
            false => stdio.iter().try_for_each(|end| container::own(end, uid)),
        }
        .map_err(|error| io(error.into()))?;
        let (ends, reins) = container::reins(stdio, None).map_err(|error| io(error.into()))?;
        let group = container.placement.open().map_err(|error| io(error.into()))?;
        // A child is born into the process table that its parent chose for children; the shim itself stays in its own.
        let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())
            .map_err(|error| io(error.into()))?;
        let table = |of: &OwnedFd| {
            let moved = rustix::thread::move_into_thread_name_spaces(of.as_fd(), ThreadNameSpaceType::PROCESS_ID);
            moved.map_err(|error| Refusal::create(format!("joining the container's process table: {error}")))
        };
        table(&container.pidfd)?;
        let cloned = sys::clone3(0, group.as_ref().map(AsFd::as_fd));
        if let Ok(Cloned::Child) = cloned {
            let (container, bounds) = (container.pidfd.as_fd(), &container.bounds);
            init::join(&Join { container, bounds, program: &program, terminal: setup.terminal }, &ends)
        }
        table(&own)?;
        let Cloned::Parent { pid, pidfd } = cloned.map_err(io)? else {
            return Err(Refusal::create("a child came back"));
        };
        drop(ends);
        if let Err(refusal) = container::release(pid, &container.placement, &reins, |fault| words(fault, setup)) {
            container::kill(pid, &pidfd);
            return Err(refusal);
        }
        Ok(Self { number, pid, pidfd })
    }

    pub(crate) fn signal(&self, number: i32) -> Result<(), Refusal> {
        sys::send_signal(self.pidfd.as_fd(), number)
            .map_err(|error| Refusal { failure: Failure::NotFound, message: format!("signal {number}: {error}") })
    }
}

fn words(fault: Fault, setup: &ExecSetup) -> Refusal {
    let error = rustix::io::Errno::from_raw_os_error(fault.errno);
    match fault.step {
        Step::Exec => Refusal { failure: Failure::Run, message: container::exec_words(&setup.args[0], error) },
        step => Refusal::create(format!("joining the container: {step:?}: {}", container::text(error))),
    }
}

//! The kernel's packet filter over netlink: whole transactions to nf_tables, and the table of connections.
//!
//! Only the wire format of the few requests that are needed is written down here (`nfnetlink`, `nf_tables`, `ctnetlink`):
//! no program is started, and a change costs what it changes.

pub(crate) mod conntrack;
mod message;
pub(crate) mod nf_tables;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt};

use message::{ERROR, Message, Received};

/// A transaction is sent in one piece: so many Services as a node may have must fit.
const SEND_BYTES_MAX: usize = 64 << 20;
/// Answers of one request that wait to be read: a failed transaction has one for each message that failed.
const RECEIVE_BYTES_MAX: usize = 4 << 20;
/// The kernel's parts of an answer are smaller.
const PART_BYTES_MAX: usize = 64 << 10;

/// The generation of the header of all these messages (`NFNETLINK_V0`), and where its subsystems' numbers stand.
const SUBSYSTEM: u16 = 8;

/// A socket to the packet filter of the network namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Opens a socket in the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let kind = SockFlag::SOCK_CLOEXEC;
        let fd = socket::socket(AddressFamily::Netlink, SockType::Raw, kind, SockProtocol::NetlinkNetFilter)?;
        socket::setsockopt(&fd, sockopt::SndBufForce, &SEND_BYTES_MAX)?;
        socket::setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BYTES_MAX)?;
        socket::bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends requests as one datagram, and hands out every message of the answer. The kernel has done the work, or refused
    /// it, when sending returns.
    fn exchange(&mut self, requests: Vec<Message>, mut take: impl FnMut(Received)) -> io::Result<()> {
        let mut datagram = Vec::new();
        for request in requests {
            self.sequence = self.sequence.wrapping_add(1);
            datagram.extend(request.finish(self.sequence));
        }
        let sent = socket::send(self.fd.as_raw_fd(), &datagram, MsgFlags::empty())?;
        if sent != datagram.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "the kernel took a part of a request"));
        }
        let mut part = vec![0; PART_BYTES_MAX];
        loop {
            match socket::recv(self.fd.as_raw_fd(), &mut part, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => message::split(&part[..length]).into_iter().for_each(&mut take),
                // All of it was there when sending returned, or came with the part before.
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends requests; the first that the kernel refused is the error.
    fn request(&mut self, requests: Vec<Message>) -> io::Result<Vec<Received>> {
        let mut answers = Vec::new();
        self.exchange(requests, |answer| answers.push(answer))?;
        let refused = answers.iter().filter(|answer| answer.kind == ERROR).map(Received::error);
        match refused.into_iter().find(|errno| *errno != 0) {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(answers),
        }
    }
}

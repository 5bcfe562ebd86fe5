//! The kernel's table of connections: what it remembers of datagrams keeps their translation alive.

use std::io;
use std::net::Ipv4Addr;

use super::message::{ERROR, Message, Received, find, flags};
use super::{SUBSYSTEM, Socket};

const CONNTRACK: u16 = 1;
const IPV4: u8 = 2;
const NEW: u16 = 0;
const GET: u16 = 1;
const DELETE: u16 = 2;
/// `CTA_TUPLE_ORIG` and `CTA_TUPLE_REPLY`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
/// Deletions that are sent at a time.
const DELETIONS_MAX: usize = 256;

/// A flow of datagrams, seen from the one who began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    /// The number of the transport protocol.
    pub(crate) protocol: u8,
    /// Whom the datagrams are sent to.
    pub(crate) to: (Ipv4Addr, u16),
    /// Who answers: another one when the destination was translated.
    pub(crate) answered_by: (Ipv4Addr, u16),
}

impl Socket {
    /// Makes the kernel forget the flows that are stale, and tells how many they were.
    pub(crate) fn forget(&mut self, is_stale: impl Fn(&Flow) -> bool) -> io::Result<usize> {
        let stale = |answer: &Received| {
            let original = value(answer, ORIGINAL)?;
            let flow = flow(original, value(answer, REPLY)?)?;
            is_stale(&flow).then(|| original.to_vec())
        };
        // There may be very many flows, and few are stale: the others are not kept.
        let (mut tuples, mut refused) = (Vec::new(), 0);
        let dump = Message::new(CONNTRACK << SUBSYSTEM | GET, flags::DUMP, IPV4, 0);
        self.exchange(vec![dump], |answer| match answer.kind {
            ERROR => refused = answer.error(),
            kind if kind == CONNTRACK << SUBSYSTEM | NEW => tuples.extend(stale(&answer)),
            _ => {}
        })?;
        if refused != 0 {
            return Err(io::Error::from_raw_os_error(refused));
        }
        for some in tuples.chunks(DELETIONS_MAX) {
            let deletions = some.iter().map(|tuple| {
                let mut message = Message::new(CONNTRACK << SUBSYSTEM | DELETE, flags::ACK, IPV4, 0);
                message.nested(ORIGINAL, |message| message.append(tuple));
                message
            });
            // One that has ended by itself is forgotten, too.
            let gone = nix::errno::Errno::ENOENT as i32;
            self.exchange(deletions.collect(), |answer| {
                if answer.kind == ERROR && ![0, gone].contains(&answer.error()) {
                    refused = answer.error();
                }
            })?;
            if refused != 0 {
                return Err(io::Error::from_raw_os_error(refused));
            }
        }
        Ok(tuples.len())
    }
}

fn value(answer: &Received, kind: u16) -> Option<&[u8]> {
    answer.attributes().find(|(found, _)| *found == kind).map(|(_, value)| value)
}

fn flow(original: &[u8], reply: &[u8]) -> Option<Flow> {
    let (ip, protocol) = (find(original, 1)?, find(original, 2)?);
    let (back_ip, back_protocol) = (find(reply, 1)?, find(reply, 2)?);
    Some(Flow {
        protocol: *find(protocol, 1)?.first()?,
        to: (address(find(ip, 2)?)?, port(find(protocol, 3)?)?),
        answered_by: (address(find(back_ip, 1)?)?, port(find(back_protocol, 2)?)?),
    })
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    bytes.first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes))
}

fn port(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
}

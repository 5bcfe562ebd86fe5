//! What a rule is made of: steps that load what is known of a packet into registers, compare, look up, and decide.
//!
//! Registers are the 32-bit ones: a key of several parts stands in registers that follow each other, each part from the
//! start of one.

use super::IPV4;
use crate::network::netfilter::message::Message;

/// `NFT_GOTO`.
const GOTO: i32 = -4;

/// A 32-bit register, from 0 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register(pub(crate) u8);

impl Register {
    /// `NFT_REG32_00` and those that follow.
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// A step of a rule. One that finds nothing, or does not hold, ends the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Loads the packet's source address.
    Source(Register),
    /// Loads the packet's destination address.
    Destination(Register),
    /// Loads the number of the transport protocol.
    Protocol(Register),
    /// Loads the destination port.
    Port(Register),
    /// Loads the address the connection was made to.
    OriginalDestination(Register),
    /// Loads the port the connection was made to.
    OriginalPort(Register),
    /// Holds when the connection's destination was translated; uses the register.
    Translated(Register),
    /// Holds when the register has this value.
    Equal(Register, [u8; 4]),
    /// Loads a random number below another.
    Random(u32, Register),
    /// Holds when the set has the key.
    In(&'static str, Register),
    /// Loads the value of the key.
    Find(String, Register, Register),
    /// Goes where the map says.
    GotoBy(&'static str, Register),
    /// Goes to a chain.
    Goto(&'static str),
    /// Forgets the key's value (key, value).
    Forget(&'static str, Register, Register),
    /// Keeps the value by the key for some milliseconds from now on (key, value).
    Keep(&'static str, Register, Register, u64),
    /// Translates the destination to the address and port in these registers.
    Translate(Register, Register),
    /// Translates the source to this host's address.
    Masquerade,
    /// Answers that nobody listens, as TCP does.
    Reset,
    /// Answers that nobody listens, as IP does.
    Unreachable,
}

impl Step {
    pub(super) fn write(&self, message: &mut Message) {
        match self {
            Self::Source(to) => payload(message, 1, 12, 4, *to),
            Self::Destination(to) => payload(message, 1, 16, 4, *to),
            Self::Port(to) => payload(message, 2, 2, 2, *to),
            Self::Protocol(to) => expression(message, "meta", |message| {
                message.number(1, to.number());
                message.number(2, 16);
            }),
            Self::OriginalDestination(to) => connection(message, 20, true, *to),
            Self::OriginalPort(to) => connection(message, 12, true, *to),
            Self::Translated(by) => translated(message, *by),
            Self::Equal(register, value) => compare(message, *register, 0, *value),
            Self::Random(below, to) => expression(message, "numgen", |message| {
                message.number(1, to.number());
                message.number(2, *below);
                message.number(3, 1);
            }),
            Self::In(set, key) => lookup(message, set, *key, None),
            Self::Find(map, key, to) => lookup(message, map, *key, Some(to.number())),
            Self::GotoBy(map, key) => lookup(message, map, *key, Some(0)),
            Self::Goto(chain) => expression(message, "immediate", |message| {
                message.number(1, 0);
                message.nested(2, |message| verdict(message, chain));
            }),
            Self::Forget(map, key, value) => learn(message, map, 2, *key, *value, None),
            Self::Keep(map, key, value, milliseconds) => learn(message, map, 1, *key, *value, Some(*milliseconds)),
            Self::Translate(address, port) => expression(message, "nat", |message| {
                message.number(1, 1);
                message.number(2, u32::from(IPV4));
                message.number(3, address.number());
                message.number(5, port.number());
            }),
            Self::Masquerade => expression(message, "masq", |_| {}),
            Self::Reset => reject(message, 1, 0),
            Self::Unreachable => reject(message, 0, 3),
        }
    }
}

fn expression(message: &mut Message, name: &str, fill: impl FnOnce(&mut Message)) {
    message.nested(1, |message| {
        message.text(1, name);
        message.nested(2, fill);
    });
}

/// Bytes of the packet, from the header of the network (1) or of the transport (2).
fn payload(message: &mut Message, base: u32, offset: u32, length: u32, to: Register) {
    expression(message, "payload", |message| {
        message.number(1, to.number());
        message.number(2, base);
        message.number(3, offset);
        message.number(4, length);
    });
}

/// Something of the connection, in its original direction where it has two.
fn connection(message: &mut Message, key: u32, directed: bool, to: Register) {
    expression(message, "ct", |message| {
        message.number(1, to.number());
        message.number(2, key);
        if directed {
            message.put(3, &[0]);
        }
    });
}

/// `ct status & IPS_DST_NAT != 0`.
fn translated(message: &mut Message, by: Register) {
    const DESTINATION_NAT: u32 = 0x20;
    connection(message, 2, false, by);
    expression(message, "bitwise", |message| {
        message.number(1, by.number());
        message.number(2, by.number());
        message.number(3, 4);
        message.nested(4, |message| message.put(1, &DESTINATION_NAT.to_ne_bytes()));
        message.nested(5, |message| message.put(1, &[0; 4]));
    });
    compare(message, by, 1, [0; 4]);
}

/// Whether a register has a value (0) or another one (1).
fn compare(message: &mut Message, register: Register, operation: u32, value: [u8; 4]) {
    expression(message, "cmp", |message| {
        message.number(1, register.number());
        message.number(2, operation);
        message.nested(3, |message| message.put(1, &value));
    });
}

fn lookup(message: &mut Message, set: &str, key: Register, to: Option<u32>) {
    expression(message, "lookup", |message| {
        message.text(1, set);
        message.number(2, key.number());
        if let Some(to) = to {
            message.number(3, to);
        }
    });
}

/// Changes a map out of a rule: updates (1) or deletes (2) an element.
fn learn(message: &mut Message, map: &str, operation: u32, key: Register, value: Register, timeout: Option<u64>) {
    expression(message, "dynset", |message| {
        message.text(1, map);
        message.number(3, operation);
        message.number(4, key.number());
        message.number(5, value.number());
        if let Some(milliseconds) = timeout {
            message.put(6, &milliseconds.to_be_bytes());
        }
    });
}

fn reject(message: &mut Message, kind: u32, code: u8) {
    expression(message, "reject", |message| {
        message.number(1, kind);
        message.put(2, &[code]);
    });
}

/// The verdict to go to a chain.
pub(super) fn verdict(message: &mut Message, chain: &str) {
    message.nested(2, |message| {
        message.put(1, &GOTO.to_be_bytes());
        message.text(2, chain);
    });
}

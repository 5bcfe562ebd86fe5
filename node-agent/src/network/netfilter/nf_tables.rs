//! Transactions of nf_tables: tables, chains, rules, and sets with their elements, in the family of IPv4.
//!
//! Registers are the 32-bit ones: a key of several parts stands in registers that follow each other, each part from the
//! start of one. The names of message kinds and attributes are those of `linux/netfilter/nf_tables.h`.

use std::io;

use super::message::{Message, flags};
use super::{SUBSYSTEM, Socket};

const NF_TABLES: u16 = 10;
const IPV4: u8 = 2;
/// Opens and ends a transaction (`NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`).
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// A message's list of elements has a length of 16 bits; an element is well below 160 bytes.
const ELEMENTS_MAX: usize = 400;

const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENTS: u16 = 12;
const DELETE_ELEMENTS: u16 = 14;

/// Flags of a set: it has values, its elements expire, rules add to it.
const SET_MAP: u32 = 0x8;
const SET_TIMEOUT: u32 = 0x10;
const SET_EVAL: u32 = 0x20;
/// The type of values that are verdicts.
const VERDICT: u32 = 0xffff_ff00;
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

/// What a part of a key is; `nft list` shows it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// An address.
    Address,
    /// The number of a transport protocol.
    Protocol,
    /// A port.
    Port,
    /// A number of the machine's byte order.
    Number,
}

impl Part {
    /// `nft`'s number of the type.
    fn number(self) -> u32 {
        match self {
            Self::Number => 4,
            Self::Address => 7,
            Self::Protocol => 12,
            Self::Port => 13,
        }
    }
}

/// The type of a key of several parts, and its length in bytes.
fn concatenated(parts: &[Part]) -> (u32, u32) {
    parts.iter().fold((0, 0), |(kind, length), part| (kind << 6 | part.number(), length + 4))
}

/// What a set holds beside keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Values {
    /// Nothing.
    None,
    /// A chain to go to.
    Chains,
    /// These parts.
    Parts(&'static [Part]),
    /// These parts, put in by rules, until they expire; the set takes so many.
    Learned(&'static [Part], u32),
}

/// The value of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// None: the element of a set.
    None,
    /// The chain to go to.
    Goto(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Where a base chain is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// What comes in, before it is routed.
    Prerouting,
    /// What this host sends.
    Output,
    /// What leaves.
    Postrouting,
}

impl Hook {
    /// Its number, and the priority that goes with the translation of addresses there.
    fn place(self) -> (u32, i32) {
        match self {
            Self::Prerouting => (0, -100),
            Self::Output => (3, -100),
            Self::Postrouting => (4, 100),
        }
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

/// A transaction about one table: all of it is done at once, or nothing.
#[derive(Debug)]
pub(crate) struct Batch {
    table: String,
    messages: Vec<Message>,
    sets: u32,
}

impl Batch {
    /// An empty transaction.
    pub(crate) fn new(table: &str) -> Self {
        Self { table: table.to_owned(), messages: vec![Message::new(BATCH_BEGIN, 0, 0, NF_TABLES)], sets: 0 }
    }

    /// Empties the table, or makes it.
    pub(crate) fn renew_table(&mut self) {
        // Deleting one that is not there would fail; making one that is there does not.
        self.add(NEW_TABLE, flags::CREATE, |_| {});
        self.delete_table();
        self.add(NEW_TABLE, flags::CREATE, |_| {});
    }

    /// Removes the table.
    pub(crate) fn delete_table(&mut self) {
        self.add(DELETE_TABLE, 0, |_| {});
    }

    /// Makes a chain that the kernel calls.
    pub(crate) fn add_base_chain(&mut self, name: &str, hook: Hook) {
        let (number, priority) = hook.place();
        self.add(NEW_CHAIN, flags::CREATE, |message| {
            message.text(3, name);
            message.nested(4, |message| {
                message.number(1, number);
                message.put(2, &priority.to_be_bytes());
            });
            message.text(7, "nat");
        });
    }

    /// Makes a chain that others go to.
    pub(crate) fn add_chain(&mut self, name: &str) {
        self.add(NEW_CHAIN, flags::CREATE, |message| message.text(3, name));
    }

    /// Removes a chain with its rules.
    pub(crate) fn delete_chain(&mut self, name: &str) {
        self.add(DELETE_CHAIN, 0, |message| message.text(3, name));
    }

    /// Appends a rule to a chain.
    pub(crate) fn add_rule(&mut self, chain: &str, steps: &[Step]) {
        self.add(NEW_RULE, flags::CREATE | flags::APPEND, |message| {
            message.text(2, chain);
            message.nested(4, |message| steps.iter().for_each(|step| step.write(message)));
        });
    }

    /// Makes a set or a map.
    pub(crate) fn add_set(&mut self, name: &str, key: &[Part], values: &Values) {
        self.sets += 1;
        let id = self.sets;
        let (key_type, key_length) = concatenated(key);
        self.add(NEW_SET, flags::CREATE, |message| {
            message.text(2, name);
            message.number(3, values.flags());
            message.number(4, key_type);
            message.number(5, key_length);
            match values {
                Values::None => {}
                Values::Chains => message.number(6, VERDICT),
                Values::Parts(parts) | Values::Learned(parts, _) => {
                    let (data_type, data_length) = concatenated(parts);
                    message.number(6, data_type);
                    message.number(7, data_length);
                }
            }
            if let Values::Learned(_, size) = values {
                message.nested(9, |message| message.number(1, *size));
            }
            message.number(10, id);
        });
    }

    /// Removes a set that no rule names.
    pub(crate) fn delete_set(&mut self, name: &str) {
        self.add(DELETE_SET, 0, |message| message.text(2, name));
    }

    /// Adds elements to a set.
    pub(crate) fn add_elements(&mut self, set: &str, elements: &[(&[u8], &Value)]) {
        for some in elements.chunks(ELEMENTS_MAX) {
            self.elements(NEW_ELEMENTS, flags::CREATE, set, some.iter().copied());
        }
    }

    /// Removes elements from a set.
    pub(crate) fn delete_elements(&mut self, set: &str, keys: &[&[u8]]) {
        for some in keys.chunks(ELEMENTS_MAX) {
            self.elements(DELETE_ELEMENTS, 0, set, some.iter().map(|key| (*key, &Value::None)));
        }
    }

    fn elements<'a>(
        &mut self,
        kind: u16,
        flags: u16,
        set: &str,
        elements: impl Iterator<Item = (&'a [u8], &'a Value)>,
    ) {
        self.add(kind, flags, |message| {
            message.text(2, set);
            message.nested(3, |message| {
                for (key, value) in elements {
                    message.nested(1, |message| {
                        message.nested(1, |message| message.put(1, key));
                        match value {
                            Value::None => {}
                            Value::Goto(chain) => message.nested(2, |message| verdict(message, chain)),
                            Value::Bytes(bytes) => message.nested(2, |message| message.put(1, bytes)),
                        }
                    });
                }
            });
        });
    }

    /// A message about the table; its name is the first attribute of all of them.
    fn add(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Message)) {
        let mut message = Message::new(NF_TABLES << SUBSYSTEM | kind, flags, IPV4, 0);
        message.text(1, &self.table);
        fill(&mut message);
        self.messages.push(message);
    }
}

impl Values {
    fn flags(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::Chains | Self::Parts(_) => SET_MAP,
            Self::Learned(..) => SET_MAP | SET_TIMEOUT | SET_EVAL,
        }
    }
}

fn verdict(message: &mut Message, chain: &str) {
    message.nested(2, |message| {
        message.put(1, &GOTO.to_be_bytes());
        message.text(2, chain);
    });
}

impl Step {
    fn write(&self, message: &mut Message) {
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

impl Socket {
    /// Does a transaction, or nothing of it.
    pub(crate) fn commit(&mut self, batch: Batch) -> io::Result<()> {
        let mut messages = batch.messages;
        // An error comes by itself; that all went well only where it was asked for.
        if let Some(last) = messages.pop() {
            messages.push(last.acknowledged());
        }
        messages.push(Message::new(BATCH_END, 0, 0, NF_TABLES));
        let answers = self.request(messages)?;
        if answers.is_empty() {
            return Err(io::Error::other("the kernel says nothing to a transaction"));
        }
        Ok(())
    }

    /// Whether there is such a table.
    pub(crate) fn has_table(&mut self, name: &str) -> io::Result<bool> {
        let mut message = Message::new(NF_TABLES << SUBSYSTEM | GET_TABLE, flags::ACK, IPV4, 0);
        message.text(1, name);
        match self.request(vec![message]) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

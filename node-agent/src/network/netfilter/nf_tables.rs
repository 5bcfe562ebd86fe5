//! Transactions of nf_tables: tables, chains, rules, and sets with their elements, in the family of IPv4.
//!
//! Numbers of message kinds and attributes are those of `linux/netfilter/nf_tables.h`.

use std::io;

use super::message::{Message, flags};
use super::{SUBSYSTEM, Socket};

mod step;

use step::verdict;
pub(crate) use step::{Register, Step};

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

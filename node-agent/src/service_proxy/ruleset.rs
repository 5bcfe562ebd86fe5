//! The table that carries Services: what stands in its sets and maps, and the transaction that leads from one state to
//! the next.
//!
//! Rules do not name Services. A map leads from an address, protocol and port to the chain for as many endpoints as
//! there are; that chain picks a number, and the map of its size leads on to the endpoint:
//! ```text
//! services    10.96.0.7 . tcp . 80      -> goto endpoints-2     (-> goto refuse, when there are none)
//! endpoints-2 10.96.0.7 . tcp . 80 . 0  -> 10.244.1.2 . 8080
//!             10.96.0.7 . tcp . 80 . 1  -> 10.244.2.2 . 8080
//! ```
//! So a change of a Service is a change of a few elements, and takes the kernel as long with many Services as with few.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::frontends::{Backends, Frontend, Protocol, Proxied};
use crate::network::netfilter::nf_tables::{Batch, Hook, Part, Register, Step, Value, Values};

/// Frontends, and the chain for each.
const SERVICES: &str = "services";
/// Addresses that only Services have.
const ADDRESSES: &str = "addresses";
/// Frontends whose clients come from outside.
const MASQUERADE: &str = "masquerade";
/// Pods that may meet themselves, as source and destination.
const HAIRPIN: &str = "hairpin";
/// Endpoints that are no pods.
const OUTSIDE: &str = "outside";
/// Endpoints of frontends that keep clients: who has left is not found here.
const MEMBERS: &str = "members";
/// Which endpoint a client has.
const AFFINITY: &str = "affinity";
/// The chain that answers for nobody.
const REFUSE: &str = "refuse";
/// Clients that are remembered; more of them are spread anew each time.
const CLIENTS_MAX: u32 = 1 << 18;

const FRONTEND: &[Part] = &[Part::Address, Part::Protocol, Part::Port];
const NUMBERED: &[Part] = &[Part::Address, Part::Protocol, Part::Port, Part::Number];
const ENDPOINT: &[Part] = &[Part::Address, Part::Port];

/// A chain for frontends of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// That have so many endpoints.
    Spread(u32),
    /// That have so many, and keep their clients for so many seconds.
    Sticky(u32, u32),
}

impl Class {
    fn chain(self) -> String {
        match self {
            Self::Spread(count) => map_of(count),
            Self::Sticky(count, seconds) => format!("sticky-{count}-{seconds}"),
        }
    }
}

/// The map of the endpoints of all frontends that have so many.
fn map_of(count: u32) -> String {
    format!("endpoints-{count}")
}

/// The table's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ruleset {
    /// Sizes for which there is a map.
    sizes: BTreeSet<u32>,
    classes: BTreeSet<Class>,
    /// By the name of the set.
    elements: BTreeMap<String, BTreeMap<Vec<u8>, Value>>,
}

impl Ruleset {
    /// What these Services need, and who answers at each place.
    pub(crate) fn of<'a>(
        services: impl Iterator<Item = &'a Proxied>,
        places: &BTreeMap<Frontend, &'a Backends>,
    ) -> Self {
        let mut ruleset = Self::default();
        for service in services {
            for address in &service.addresses {
                ruleset.put(ADDRESSES, address.octets().to_vec(), Value::None);
            }
            for address in &service.near {
                ruleset.put(HAIRPIN, [address.octets(), address.octets()].concat(), Value::None);
            }
            for address in &service.outside {
                ruleset.put(OUTSIDE, address.octets().to_vec(), Value::None);
            }
        }
        for (frontend, backends) in places {
            ruleset.add(frontend, backends);
        }
        ruleset
    }

    fn add(&mut self, frontend: &Frontend, backends: &Backends) {
        let key = key(frontend);
        let count = u32::try_from(backends.endpoints.len()).unwrap_or(u32::MAX);
        let class = match backends.sticky_seconds {
            _ if count == 0 => None,
            None => Some(Class::Spread(count)),
            Some(seconds) => Some(Class::Sticky(count, seconds)),
        };
        let chain = class.map_or_else(|| REFUSE.to_owned(), Class::chain);
        self.put(SERVICES, key.clone(), Value::Goto(chain));
        if backends.masquerade {
            self.put(MASQUERADE, key.clone(), Value::None);
        }
        let Some(class) = class else { return };
        self.sizes.insert(count);
        self.classes.insert(class);
        for (number, (address, port)) in (0_u32..).zip(&backends.endpoints) {
            let endpoint = endpoint(*address, *port);
            if backends.sticky_seconds.is_some() {
                self.put(MEMBERS, [key.as_slice(), &endpoint].concat(), Value::None);
            }
            let numbered = [key.as_slice(), &number.to_ne_bytes()].concat();
            self.put(&map_of(count), numbered, Value::Bytes(endpoint));
        }
    }

    fn put(&mut self, set: &str, key: Vec<u8>, value: Value) {
        self.elements.entry(set.to_owned()).or_default().entry(key).or_insert(value);
    }

    /// The transaction that puts all of it into a new table.
    pub(crate) fn whole(&self, table: &str) -> Batch {
        let mut batch = Batch::new(table);
        batch.renew_table();
        frame(&mut batch);
        self.change(&Self::default(), &mut batch);
        batch
    }

    /// The transaction that leads here from `before`, if there is anything to do.
    pub(crate) fn after(&self, before: &Self, table: &str) -> Option<Batch> {
        if self == before {
            return None;
        }
        let mut batch = Batch::new(table);
        self.change(before, &mut batch);
        Some(batch)
    }

    fn change(&self, before: &Self, batch: &mut Batch) {
        for size in self.sizes.difference(&before.sizes) {
            batch.add_set(&map_of(*size), NUMBERED, &Values::Parts(ENDPOINT));
        }
        for class in self.classes.difference(&before.classes) {
            let chain = class.chain();
            batch.add_chain(&chain);
            rules(*class).iter().for_each(|rule| batch.add_rule(&chain, rule));
        }
        // A key may get another value: what was is taken away before what is comes in, all in one transaction.
        let nothing = BTreeMap::new();
        for (set, old) in &before.elements {
            let new = self.elements.get(set).unwrap_or(&nothing);
            let gone = old.iter().filter(|(key, value)| new.get(*key) != Some(value));
            let gone: Vec<&[u8]> = gone.map(|(key, _)| key.as_slice()).collect();
            batch.delete_elements(set, &gone);
        }
        for (set, new) in &self.elements {
            let old = before.elements.get(set).unwrap_or(&nothing);
            let fresh = new.iter().filter(|(key, value)| old.get(*key) != Some(value));
            let fresh: Vec<(&[u8], &Value)> = fresh.map(|(key, value)| (key.as_slice(), value)).collect();
            batch.add_elements(set, &fresh);
        }
        // Nothing leads to these any more.
        for class in before.classes.difference(&self.classes) {
            batch.delete_chain(&class.chain());
        }
        for size in before.sizes.difference(&self.sizes) {
            batch.delete_set(&map_of(*size));
        }
    }
}

fn key(frontend: &Frontend) -> Vec<u8> {
    [frontend.address.octets(), [frontend.protocol.0, 0, 0, 0], port(frontend.port)].concat()
}

fn endpoint(address: Ipv4Addr, number: u16) -> Vec<u8> {
    [address.octets(), port(number)].concat()
}

/// A port fills the first half of a register.
fn port(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [high, low, 0, 0]
}

/// The sets, chains and rules that are there whatever the Services are.
fn frame(batch: &mut Batch) {
    let [r0, r1, r2] = [0, 1, 2].map(Register);
    batch.add_set(SERVICES, FRONTEND, &Values::Chains);
    batch.add_set(ADDRESSES, &[Part::Address], &Values::None);
    batch.add_set(MASQUERADE, FRONTEND, &Values::None);
    batch.add_set(HAIRPIN, &[Part::Address, Part::Address], &Values::None);
    batch.add_set(OUTSIDE, &[Part::Address], &Values::None);
    batch.add_set(MEMBERS, &[FRONTEND, ENDPOINT].concat(), &Values::None);
    let client: Vec<Part> = [&[Part::Address], FRONTEND].concat();
    batch.add_set(AFFINITY, &client, &Values::Learned(ENDPOINT, CLIENTS_MAX));

    batch.add_chain(REFUSE);
    // Both answers end the packet. The kernel limits how often it says the second one, so connections get the first.
    batch.add_rule(REFUSE, &[Step::Protocol(r0), Step::Equal(r0, [Protocol::TCP.0, 0, 0, 0]), Step::Reset]);
    batch.add_rule(REFUSE, &[Step::Unreachable]);

    // These chains see the first packet of a connection alone: what is established goes on whatever changes here.
    for (chain, hook) in [("prerouting", Hook::Prerouting), ("output", Hook::Output)] {
        batch.add_base_chain(chain, hook);
        let frontend = [Step::Destination(r0), Step::Protocol(r1), Step::Port(r2), Step::GotoBy(SERVICES, r0)];
        batch.add_rule(chain, &frontend);
        batch.add_rule(chain, &[Step::Destination(r0), Step::In(ADDRESSES, r0), Step::Goto(REFUSE)]);
    }
    batch.add_base_chain("postrouting", Hook::Postrouting);
    let original =
        [Step::OriginalDestination(r0), Step::Protocol(r1), Step::OriginalPort(r2), Step::In(MASQUERADE, r0)];
    for condition in [
        original.as_slice(),
        &[Step::Source(r0), Step::Destination(r1), Step::In(HAIRPIN, r0)],
        &[Step::Destination(r0), Step::In(OUTSIDE, r0)],
    ] {
        let rule = [&[Step::Translated(r0)], condition, &[Step::Masquerade]].concat();
        batch.add_rule("postrouting", &rule);
    }
}

/// The rules of a class' chain.
fn rules(class: Class) -> Vec<Vec<Step>> {
    let [r0, r1, r2, r3, r4, r5, r6] = [0, 1, 2, 3, 4, 5, 6].map(Register);
    match class {
        Class::Spread(count) => vec![vec![
            Step::Destination(r0),
            Step::Protocol(r1),
            Step::Port(r2),
            Step::Random(count, r3),
            Step::Find(map_of(count), r0, r4),
            Step::Translate(r4, r5),
        ]],
        Class::Sticky(count, seconds) => {
            let milliseconds = u64::from(seconds) * 1000;
            let client = [Step::Source(r0), Step::Destination(r1), Step::Protocol(r2), Step::Port(r3)];
            // The registers from the destination on are frontend and endpoint: a key of the members.
            let again = [
                Step::Find(AFFINITY.to_owned(), r0, r4),
                Step::In(MEMBERS, r1),
                Step::Keep(AFFINITY, r0, r4, milliseconds),
                Step::Translate(r4, r5),
            ];
            // One whose endpoint has left is forgotten first: keeping would only make the old choice last.
            let anew = [
                Step::Random(count, r4),
                Step::Find(map_of(count), r1, r5),
                Step::Forget(AFFINITY, r0, r5),
                Step::Keep(AFFINITY, r0, r5, milliseconds),
                Step::Translate(r5, r6),
            ];
            // Nobody can be remembered any more where nothing has ended the packet before.
            let mut rules = vec![[client.as_slice(), &again].concat(), [client.as_slice(), &anew].concat()];
            rules.extend(self::rules(Class::Spread(count)));
            rules
        }
    }
}

#[cfg(test)]
mod tests;

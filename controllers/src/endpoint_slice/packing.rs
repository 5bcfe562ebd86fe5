//! Which endpoints stand in which slice: those that are there stay where they are, and new ones fill what has room.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

/// As upstream: a change of one endpoint sends this many to every node.
const ENDPOINTS_MAX: usize = 100;

/// Endpoints that serve at the same ports.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) ports: Vec<EndpointPort>,
    pub(super) endpoints: Vec<Endpoint>,
}

/// A slice as it should be, and the one that becomes it.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    pub(super) existing: Option<&'a EndpointSlice>,
    pub(super) ports: Vec<EndpointPort>,
    pub(super) endpoints: Vec<Endpoint>,
    /// Whether it lost an endpoint: it will be written in any case.
    lost: bool,
}

/// All slices of one family.
#[derive(Debug)]
pub(super) struct Packed<'a> {
    pub(super) slots: Vec<Slot<'a>>,
    /// Those that hold nothing any more.
    pub(super) unused: Vec<&'a EndpointSlice>,
}

/// Packs the groups. There is always a slice, even of nothing: it tells that the Service was looked at.
pub(super) fn pack<'a>(existing: &[&'a EndpointSlice], groups: Vec<Group>) -> Packed<'a> {
    let mut unused = existing.to_vec();
    let mut slots: Vec<Slot<'a>> = Vec::new();
    let mut homeless: Vec<Slot<'a>> = Vec::new();
    for Group { ports: at, endpoints } in groups {
        let mut new = New::of(endpoints);
        let mut own: Vec<Slot<'a>> =
            existing.iter().filter(|slice| ports(slice) == at).map(|slice| keep(slice, &mut new)).collect();
        // A slice that is written anyhow is filled first, then the fullest: so few are written, and few are there.
        own.sort_by_key(|slot| (!slot.lost, Reverse(slot.endpoints.len())));
        let mut new = new.endpoints.into_iter().flatten();
        for slot in own.iter_mut().filter(|slot| !slot.endpoints.is_empty()) {
            slot.endpoints.extend(new.by_ref().take(ENDPOINTS_MAX - slot.endpoints.len()));
        }
        loop {
            let endpoints: Vec<Endpoint> = new.by_ref().take(ENDPOINTS_MAX).collect();
            if endpoints.is_empty() {
                break;
            }
            homeless.push(Slot { existing: None, ports: at.clone(), endpoints, lost: false });
        }
        own.retain(|slot| !slot.endpoints.is_empty());
        unused.retain(|slice| own.iter().all(|slot| slot.existing.is_none_or(|kept| !std::ptr::eq(kept, *slice))));
        slots.extend(own);
    }
    if slots.is_empty() && homeless.is_empty() {
        homeless.push(Slot { existing: None, ports: Vec::new(), endpoints: Vec::new(), lost: false });
    }
    // One that has lost its purpose is better changed than deleted while another is created.
    let mut free = unused.into_iter();
    for slot in &mut homeless {
        slot.existing = free.next();
    }
    slots.extend(homeless);
    Packed { slots, unused: free.collect() }
}

/// The endpoints of a group that have no slice yet, in their order.
struct New {
    endpoints: Vec<Option<Endpoint>>,
    places: BTreeMap<Identity, usize>,
}

impl New {
    fn of(endpoints: Vec<Endpoint>) -> Self {
        let places = endpoints.iter().enumerate().map(|(at, endpoint)| (identity(endpoint), at)).collect();
        Self { endpoints: endpoints.into_iter().map(Some).collect(), places }
    }

    /// As it is now, the first time it is asked for.
    fn take(&mut self, known: &Endpoint) -> Option<Endpoint> {
        self.endpoints[*self.places.get(&identity(known))?].take()
    }
}

/// What the slice has of a group's endpoints, as they are now; the others stay in `new`.
fn keep<'a>(slice: &'a EndpointSlice, new: &mut New) -> Slot<'a> {
    let before = slice.endpoints.as_deref().unwrap_or_default();
    let endpoints: Vec<Endpoint> =
        before.iter().take(ENDPOINTS_MAX).filter_map(|endpoint| new.take(endpoint)).collect();
    let lost = endpoints.len() < before.len();
    Slot { existing: Some(slice), ports: ports(slice), endpoints, lost }
}

/// The pod behind an endpoint, if there is one, and its addresses.
type Identity = (Option<String>, Vec<String>);

fn identity(endpoint: &Endpoint) -> Identity {
    (endpoint.target_ref.as_ref().and_then(|target| target.uid.clone()), endpoint.addresses.clone())
}

/// The ports of a slice, with what the API server fills in.
pub(super) fn ports(slice: &EndpointSlice) -> Vec<EndpointPort> {
    let with_defaults = |port: &EndpointPort| EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
        ..port.clone()
    };
    slice.ports.iter().flatten().map(with_defaults).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn ports_at(number: i32) -> Vec<EndpointPort> {
        let text = |text: &str| Some(text.to_owned());
        vec![EndpointPort { name: text(""), protocol: text("TCP"), port: Some(number), app_protocol: None }]
    }

    fn endpoints(from: usize, to: usize) -> Vec<Endpoint> {
        (from..to).map(|n| Endpoint { addresses: vec![format!("a{n}")], ..Endpoint::default() }).collect()
    }

    fn slice(name: &str, port: i32, from: usize, to: usize) -> EndpointSlice {
        EndpointSlice {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            address_type: "IPv4".to_owned(),
            ports: Some(ports_at(port)),
            endpoints: Some(endpoints(from, to)),
        }
    }

    /// `name:port=first..last(count)` of each slot, then the unused.
    fn shown(packed: &Packed<'_>) -> String {
        let slot = |slot: &Slot<'_>| {
            let name = slot.existing.and_then(|slice| slice.metadata.name.as_deref()).unwrap_or("new");
            let port = slot.ports.first().and_then(|port| port.port).unwrap_or(0);
            let at = |endpoint: Option<&Endpoint>| endpoint.map_or("", |endpoint| &*endpoint.addresses[0]).to_owned();
            let (first, last) = (at(slot.endpoints.first()), at(slot.endpoints.last()));
            format!("{name}:{port}={first}..{last}({})", slot.endpoints.len())
        };
        let mut words: Vec<String> = packed.slots.iter().map(slot).collect();
        words.extend(packed.unused.iter().map(|slice| format!("-{}", slice.metadata.name.as_deref().unwrap())));
        words.join(" ")
    }

    #[test]
    fn endpoints_stay_where_they_are_and_new_ones_fill_what_has_room() {
        let group = |port: i32, from: usize, to: usize| (port, from, to);
        for (existing, groups, expected) in [
            (vec![], vec![], "new:0=..(0)"),
            (vec![slice("x", 80, 0, 3)], vec![], "x:0=..(0)"),
            (vec![slice("x", 80, 0, 3), slice("y", 80, 3, 5)], vec![], "x:0=..(0) -y"),
            (vec![], vec![group(80, 0, 250)], "new:80=a0..a99(100) new:80=a100..a199(100) new:80=a200..a249(50)"),
            (vec![slice("x", 80, 0, 3)], vec![group(80, 0, 3)], "x:80=a0..a2(3)"),
            (vec![slice("x", 80, 0, 3)], vec![group(80, 1, 5)], "x:80=a1..a4(4)"),
            (vec![slice("x", 80, 0, 3)], vec![group(81, 0, 3)], "x:81=a0..a2(3)"),
            (vec![slice("x", 80, 0, 3)], vec![group(80, 0, 2), group(81, 2, 4)], "x:80=a0..a1(2) new:81=a2..a3(2)"),
            // The fuller one has room for one more; the others go to the other.
            (
                vec![slice("few", 80, 0, 10), slice("many", 80, 10, 109)],
                vec![group(80, 0, 112)],
                "many:80=a10..a109(100) few:80=a0..a111(12)",
            ),
            // What loses an endpoint is written anyhow, and takes in the new one.
            (
                vec![slice("many", 80, 0, 60), slice("few", 80, 60, 70)],
                vec![group(80, 0, 69), group(81, 0, 0)],
                "few:80=a60..a68(9) many:80=a0..a59(60)",
            ),
            (vec![slice("x", 80, 0, 3), slice("y", 80, 3, 5)], vec![group(80, 3, 5)], "y:80=a3..a4(2) -x"),
            (vec![slice("x", 80, 0, 3)], vec![group(80, 3, 5)], "x:80=a3..a4(2)"),
        ] {
            let existing: Vec<&EndpointSlice> = existing.iter().collect();
            let groups = groups
                .into_iter()
                .map(|(port, from, to)| Group { ports: ports_at(port), endpoints: endpoints(from, to) })
                .filter(|group| !group.endpoints.is_empty())
                .collect();
            assert_eq!(shown(&pack(&existing, groups)), expected);
        }
    }
}

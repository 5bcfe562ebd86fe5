//! Amounts of what a node has and a pod asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

type Quantities = BTreeMap<String, Quantity>;

/// What a container that asks for nothing is assumed to use, when nodes are compared.
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// cpu in thousandths, all else in units; named resources beyond the three in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// `cpu`, in thousandths of a core.
    pub milli_cpu: i64,
    /// `memory`, in bytes.
    pub memory: i64,
    /// `ephemeral-storage`, in bytes.
    pub ephemeral_storage: i64,
    /// Everything else: devices, huge pages.
    pub others: Box<[(Box<str>, i64)]>,
}

impl Resources {
    /// Amounts by name. What cannot be read counts as nothing: the API server has validated it.
    pub fn of(quantities: &Quantities) -> Self {
        let mut resources = Self::default();
        let mut others = Vec::new();
        for (name, quantity) in quantities {
            let Ok(quantity) = quantity.0.parse::<api::quantity::Quantity>() else { continue };
            match name.as_str() {
                "cpu" => resources.milli_cpu = quantity.milli_value(),
                "memory" => resources.memory = quantity.value(),
                "ephemeral-storage" => resources.ephemeral_storage = quantity.value(),
                "pods" => {}
                _ => others.push((name.as_str().into(), quantity.value())),
            }
        }
        resources.others = others.into();
        resources
    }

    /// The amount of a resource beyond the three.
    pub fn other(&self, name: &str) -> i64 {
        self.others.iter().find(|(known, _)| **known == *name).map_or(0, |(_, amount)| *amount)
    }

    /// Adds another amount.
    pub fn add(&mut self, more: &Self) {
        self.combine(more, i64::saturating_add);
    }

    /// Takes an amount away.
    pub fn subtract(&mut self, less: &Self) {
        self.combine(less, i64::saturating_sub);
    }

    fn max(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        if other.others.is_empty() {
            return;
        }
        let mut others: BTreeMap<Box<str>, i64> = std::mem::take(&mut self.others).into_iter().collect();
        for (name, amount) in &other.others {
            let present = others.entry(name.clone()).or_default();
            *present = with(*present, *amount);
        }
        self.others = others.into_iter().collect();
    }
}

/// What a pod asks for: containers run together, init containers one after another before them, those that keep running
/// beside everything that comes later. Overhead comes on top.
pub fn requests(spec: &PodSpec) -> Resources {
    total(spec, Resources::of)
}

/// The same for comparing nodes, where a container that asks for nothing still uses something.
pub fn assumed_use(spec: &PodSpec) -> Resources {
    total(spec, |quantities| {
        let mut resources = Resources::of(quantities);
        if !quantities.contains_key("cpu") {
            resources.milli_cpu = DEFAULT_MILLI_CPU;
        }
        if !quantities.contains_key("memory") {
            resources.memory = DEFAULT_MEMORY;
        }
        resources
    })
}

fn total(spec: &PodSpec, measure: impl Fn(&Quantities) -> Resources) -> Resources {
    let empty = Quantities::new();
    let of = |container: &Container| {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        measure(requests.unwrap_or(&empty))
    };
    let mut total = Resources::default();
    for container in &spec.containers {
        total.add(&of(container));
    }
    let mut beside = Resources::default();
    let mut starting = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut need = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            beside.add(&need);
            starting.max(&beside);
        } else {
            need.add(&beside);
            starting.max(&need);
        }
    }
    total.add(&beside);
    total.max(&starting);
    if let Some(requests) = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()) {
        // Said for the pod as a whole: that counts instead.
        let whole = Resources::of(requests);
        if requests.contains_key("cpu") {
            total.milli_cpu = whole.milli_cpu;
        }
        if requests.contains_key("memory") {
            total.memory = whole.memory;
        }
    }
    if let Some(overhead) = &spec.overhead {
        total.add(&Resources::of(overhead));
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(spec: &str, expect: (i64, i64)) {
        let spec: PodSpec = serde_saphyr::from_str(spec).unwrap();
        let requests = requests(&spec);
        assert_eq!((requests.milli_cpu, requests.memory), expect);
    }

    #[test]
    fn init_containers_count_by_their_largest_and_sidecars_beside_everything() {
        let container = |cpu: &str| format!("{{name: c, resources: {{requests: {{cpu: {cpu}, memory: 1Mi}}}}}}");
        let sidecar =
            |cpu: &str| format!("{{name: s, restartPolicy: Always, resources: {{requests: {{cpu: {cpu}}}}}}}");
        let mebi = 1 << 20;
        let (a, b) = (container("100m"), container("1"));
        check(&format!("{{containers: [{a}, {b}]}}"), (1100, 2 * mebi));
        check(&format!("{{containers: [{a}], initContainers: [{b}]}}"), (1000, mebi));
        let s = sidecar("500m");
        check(&format!("{{containers: [{a}], initContainers: [{s}, {b}]}}"), (1500, mebi));
        check(&format!("{{containers: [{a}], initContainers: [{b}, {s}]}}"), (1000, mebi));
        check(&format!("{{containers: [{a}], overhead: {{cpu: 50m}}}}"), (150, mebi));
    }
}

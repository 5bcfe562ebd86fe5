//! Names of resources that can be asked for, limited and counted: which are known, and what may be said of them.

use crate::names;
use crate::node::{Map, Node};
use crate::quantity::{ParseError, Quantity};
use crate::validation::{Errors, Path};

/// Resources that pods ask for and are limited in.
const COMPUTE: [&str; 9] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
/// Kinds of objects that can be counted by a name without a domain.
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whether a quota can limit it, going by its name alone.
pub(super) fn is_standard_for_quota(name: &str) -> bool {
    COMPUTE.contains(&name) || COUNTED.contains(&name) || name == "requests.storage" || is_huge_pages_for_quota(name)
}

fn is_huge_pages_for_quota(name: &str) -> bool {
    name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

fn is_standard(name: &str) -> bool {
    name == "storage" || is_standard_for_quota(name)
}

/// Whether Kubernetes itself gives the name its meaning.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether more of it may be promised than there is.
pub(super) fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !name.starts_with("hugepages-")
}

/// Whether halves of it mean nothing.
fn is_integer(name: &str) -> bool {
    let extended = !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty();
    extended || COUNTED.contains(&name)
}

/// Checks the name of any resource.
pub(super) fn check_any(name: &str, path: &Path<'_>, errors: &mut Errors) {
    let problems = names::qualified_name(name);
    if problems.is_empty() && !name.contains('/') && !is_standard(name) {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
    }
    errors.invalid_each(path, name, problems);
}

/// Checks the name of a resource in a quota.
pub(super) fn check_for_quota(name: &str, path: &Path<'_>, errors: &mut Errors) {
    check_any(name, path, errors);
    if !name.contains('/') && !is_standard_for_quota(name) {
        errors.invalid(path, name, "must be a standard resource for quota");
    }
}

/// Checks an amount of a resource: never negative, and whole where the resource is.
pub(super) fn check_amount(name: &str, amount: &Node, path: &Path<'_>, errors: &mut Errors) {
    let Some(quantity) = read(amount, path, errors) else { return };
    if quantity.sign() < 0 {
        errors.invalid(path, quantity.to_string(), "must be greater than or equal to 0");
    }
    if is_integer(name) && !quantity.is_integer() {
        errors.invalid(path, quantity.to_string(), "must be an integer");
    }
}

/// Checks that there is something of it.
pub(super) fn check_positive(amount: &Node, path: &Path<'_>, errors: &mut Errors) {
    let Some(quantity) = read(amount, path, errors) else { return };
    if quantity.sign() <= 0 {
        errors.invalid(path, quantity.to_string(), "must be greater than zero");
    }
}

/// The quantity, or the reason why it is none.
pub(super) fn read(amount: &Node, path: &Path<'_>, errors: &mut Errors) -> Option<Quantity> {
    let text = amount.as_str().unwrap_or("");
    let parsed: Result<Quantity, ParseError> = text.parse();
    parsed.map_err(|error| errors.invalid(path, text, error.to_string())).ok()
}

/// The entries of a map of quantities; none where no map is.
pub(super) fn entries(map: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    map.and_then(Node::as_map).into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_where_they_mean_something() {
        for (name, any, quota, integer) in [
            ("cpu", true, true, false),
            ("storage", true, false, false),
            ("requests.storage", true, true, false),
            ("hugepages-2Mi", true, true, false),
            ("services.nodeports", true, true, true),
            ("count/deployments.apps", true, true, true),
            ("example.com/gpu", true, true, true),
            ("requests.example.com/gpu", true, true, false),
            ("gold.storageclass.storage.k8s.io/requests.storage", true, true, true),
            ("florins", false, false, false),
        ] {
            let path = Path::Root.field("hard");
            let (mut in_any, mut in_quota) = (Errors::new(), Errors::new());
            check_any(name, &path, &mut in_any);
            check_for_quota(name, &path, &mut in_quota);
            assert_eq!((in_any.is_empty(), in_quota.is_empty(), is_integer(name)), (any, quota, integer), "{name}");
        }
    }
}

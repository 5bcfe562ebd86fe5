//! Rules for resource requests and limits.

use crate::names;
use crate::node::{Map, Node};
use crate::quantity::Quantity;
use crate::validation::{Errors, Path};

/// Checks the `resources` of a container or a pod.
pub(super) fn check(resources: Option<&Node>, path: &Path<'_>, errors: &mut Errors) {
    let Some(resources) = resources else { return };
    let empty = Map::default();
    let list = |name: &str| resources.get(name).and_then(Node::as_map).unwrap_or(&empty);
    let (limits, requests) = (list("limits"), list("requests"));
    check_quantities(Some(limits), &path.field("limits"), errors);
    check_quantities(Some(requests), &path.field("requests"), errors);
    let path = path.field("requests");
    for (resource, request) in requests.iter() {
        let (Some(request), Some(limit)) = (read(request), limits.get(resource).and_then(read)) else { continue };
        let exact = !matches!(resource, "cpu" | "memory" | "ephemeral-storage");
        if exact && request != limit {
            errors.invalid(&path, request.to_string(), format!("must be equal to {resource} limit of {limit}"));
        } else if request > limit {
            let detail = format!("must be less than or equal to {resource} limit of {limit}");
            errors.invalid(&path, request.to_string(), detail);
        }
    }
}

/// Checks amounts of resources.
pub(crate) fn check_quantities(quantities: Option<&Map>, path: &Path<'_>, errors: &mut Errors) {
    for (resource, quantity) in quantities.into_iter().flat_map(Map::iter) {
        check_name(resource, &path.key(resource), errors);
        check_quantity(resource, quantity, &path.key(resource), errors);
    }
}

fn read(node: &Node) -> Option<Quantity> {
    node.as_str()?.parse().ok()
}

/// Checks the name of a resource of a container.
pub(crate) fn check_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    let problems = names::qualified_name(name);
    if !problems.is_empty() {
        errors.invalid_each(path, name, problems);
    } else if !name.contains('/')
        && !matches!(name, "cpu" | "memory" | "ephemeral-storage")
        && !name.starts_with("hugepages-")
    {
        errors.invalid(path, name, "must be a standard resource for containers");
    }
}

fn check_quantity(name: &str, node: &Node, path: &Path<'_>, errors: &mut Errors) {
    let text = node.as_str().unwrap_or("");
    let quantity = match text.parse::<Quantity>() {
        Ok(quantity) => quantity,
        Err(error) => return errors.invalid(path, text, error.to_string()),
    };
    if quantity.sign() < 0 {
        errors.invalid(path, text, "must be greater than or equal to 0");
    }
    if !quantity.is_integer() && (name.contains('/') || name.starts_with("hugepages-")) {
        errors.invalid(path, text, "must be an integer");
    }
}

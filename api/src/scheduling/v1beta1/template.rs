//! What a group of pods and the template of one have in common.

use crate::core::v1::pod_spec::check_choice;
use crate::names;
use crate::node::{Node, Struct};
use crate::validation::{Errors, Path};

const POLICIES: [&str; 2] = ["Never", "PreemptLowerPriority"];
const CONSTRAINTS_MAX: usize = 1;

/// Checks the policy and what else pods of a group share.
pub(super) fn check(group: &Struct, path: &Path<'_>, errors: &mut Errors) {
    check_policy(group, "minCount", &path.field("schedulingPolicy"), errors);
    check_rest(group, path, errors);
    for (index, claim) in group.items_at("resourceClaims").iter().enumerate() {
        let path = path.field("resourceClaims");
        let path = path.index(index);
        let name = claim.str_at("name");
        errors.invalid_each(&path.field("name"), name, names::dns1123_label(name));
        if claim.get("resourceClaimName").is_some() == claim.get("resourceClaimTemplateName").is_some() {
            let detail = "exactly one of `resourceClaimName` or `resourceClaimTemplateName` is required";
            errors.invalid(&path, crate::meta::shown(Some(claim)), detail);
        }
    }
}

/// Checks what groups of groups have as well.
pub(super) fn check_rest(group: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let topology = group.items_at("schedulingConstraints.topology");
    let list = path.field("schedulingConstraints");
    let list = list.field("topology");
    if topology.len() > CONSTRAINTS_MAX {
        errors.too_many(&list, topology.len(), CONSTRAINTS_MAX);
    }
    for (index, constraint) in topology.iter().enumerate() {
        let key = constraint.str_at("key");
        errors.invalid_each(&list.index(index).field("key"), key, names::qualified_name(key));
    }
    let class = group.str_at("priorityClassName");
    if !class.is_empty() {
        errors.invalid_each(&path.field("priorityClassName"), class, names::dns1123_subdomain(class));
    }
    if group.has("preemptionPolicy") {
        check_choice(group.str_at("preemptionPolicy"), &POLICIES, &path.field("preemptionPolicy"), errors);
    }
    let Some(mode) = group.get("disruptionMode") else { return };
    if mode.get("single").is_some() == mode.get("all").is_some() {
        let detail = "exactly one of `single` or `all` is required";
        errors.invalid(&path.field("disruptionMode"), crate::meta::shown(Some(mode)), detail);
    }
}

/// Checks that pods are scheduled either one by one or together, and then how many.
pub(super) fn check_policy(group: &Struct, count: &str, path: &Path<'_>, errors: &mut Errors) {
    let policy = group.get("schedulingPolicy");
    match (policy.and_then(|policy| policy.get("basic")), policy.and_then(|policy| policy.get("gang"))) {
        (None, None) => errors.required(path, "exactly one of `basic` or `gang` is required"),
        (Some(_), Some(_)) => errors.invalid(
            path,
            crate::meta::shown(policy),
            "exactly one of `basic` or `gang` is required, but multiple fields are set",
        ),
        (None, Some(gang)) => {
            let least = gang.i64_at(count).unwrap_or(0);
            if least <= 0 {
                errors.invalid(&path.field("gang").field(count), least, "must be greater than zero");
            }
        }
        (Some(_), None) => {}
    }
}

/// What of a group, or of a template of one, never changes: everything but how many pods have to be there at once.
pub(super) fn lasting(group: &Struct) -> Struct {
    let mut lasting = group.clone();
    if let Some(gang) = lasting.at_mut("schedulingPolicy.gang").and_then(Node::as_struct_mut) {
        gang.remove("minCount");
    }
    lasting
}

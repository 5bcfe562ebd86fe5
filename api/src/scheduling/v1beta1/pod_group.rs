//! `PodGroup`: pods that are scheduled together, or not at all.

use super::template;
use crate::kind::{Generation, Kind, READ_AND_CHANGE, Subresource};
use crate::meta::check_immutable;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    group: "scheduling.k8s.io",
    version: "v1beta1",
    plural: "podgroups",
    singular: "podgroup",
    kind: "PodGroup",
    subresources: &[Subresource { name: "status", group: "", version: "", kind: "PodGroup", verbs: READ_AND_CHANGE }],
    ty: &types::SCHEDULING_V1BETA1_POD_GROUP,
    generation: Generation::Spec,
    served_by_default: false,
    defaults: |group: &mut Struct| {
        if group.at("spec.disruptionMode").is_none() {
            group.struct_at("spec.disruptionMode.single");
        }
    },
    check,
    check_update,
    ..Kind::BASE
};

fn check(group: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let empty = Struct::new(group.body.ty());
    let spec = group.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
    template::check(spec, &path, errors);
    if let Some(origin) = spec.get("workloadRef") {
        let path = path.field("workloadRef");
        let (workload, template) = (origin.str_at("workloadName"), origin.str_at("templateName"));
        errors.invalid_each(&path.field("workloadName"), workload, names::dns1123_subdomain(workload));
        errors.invalid_each(&path.field("templateName"), template, names::dns1123_label(template));
    }
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let lasting =
        |group: &Object| group.at("spec").and_then(Node::as_struct).map(|spec| template::lasting(spec).into());
    check_immutable(lasting(new).as_ref(), lasting(old).as_ref(), &Path::Root.field("spec"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, update_errors};

    const GANG: &str = "spec: {schedulingPolicy: {gang: {minCount: 3}}, priorityClassName: high}";

    #[test]
    fn a_group_says_how_its_pods_are_scheduled() {
        let policy = "spec.schedulingPolicy";
        check_all(&[
            (&KIND, GANG, &[]),
            (&KIND, "spec: {schedulingPolicy: {basic: {}}}", &[]),
            (&KIND, "spec: {}", &[&format!("{policy}: Required value: exactly one of `basic` or `gang` is required")]),
            (
                &KIND,
                "spec: {schedulingPolicy: {gang: {}}, preemptionPolicy: Often, resourceClaims: [{name: a}], disruptionMode: {}}",
                &[
                    &format!("{policy}.gang.minCount: Invalid value: 0: must be greater than zero"),
                    "spec.preemptionPolicy: Unsupported value: \"Often\": supported values: \"Never\", \"PreemptLowerPriority\"",
                    "spec.disruptionMode: Invalid value: {}: exactly one of `single` or `all` is required",
                    "spec.resourceClaims[0]: Invalid value: {\"name\":\"a\"}: exactly one of `resourceClaimName` or `resourceClaimTemplateName` is required",
                ],
            ),
        ]);
        assert!(created(&KIND, GANG).at("spec.disruptionMode.single").is_some());
    }

    #[test]
    fn nothing_changes_but_how_many_pods_have_to_be_there() {
        assert_eq!(update_errors(&KIND, GANG, &GANG.replace('3', "5")), Vec::<String>::new());
        let told = update_errors(&KIND, GANG, &GANG.replace("high", "low"));
        assert!(told[0].starts_with("spec: Invalid value: {") && told[0].ends_with("field is immutable"), "{told:?}");
    }
}

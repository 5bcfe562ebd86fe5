//! `Workload`: templates of the groups of pods that something big consists of.

use super::template;
use crate::kind::{Generation, Kind};
use crate::meta::check_immutable;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::validation::{Errors, Path};

const TEMPLATES_MAX: usize = 8;
/// Templates of groups of pods, and of groups of such groups.
const LISTS: [&str; 2] = ["podGroupTemplates", "compositePodGroupTemplates"];

/// The kind.
pub static KIND: Kind = Kind {
    group: "scheduling.k8s.io",
    version: "v1beta1",
    plural: "workloads",
    singular: "workload",
    kind: "Workload",
    ty: &types::SCHEDULING_V1BETA1_WORKLOAD,
    generation: Generation::Spec,
    served_by_default: false,
    check,
    check_update,
    ..Kind::BASE
};

fn check(workload: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let empty = Struct::new(workload.body.ty());
    let spec = workload.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
    if let Some(owner) = spec.get("controllerRef") {
        let path = path.field("controllerRef");
        let group = owner.str_at("apiGroup");
        if !group.is_empty() {
            errors.invalid_each(&path.field("apiGroup"), group, names::dns1123_subdomain(group));
        }
        for field in ["kind", "name"] {
            names::check_required_segment(owner.str_at(field), &path.field(field), errors);
        }
    }
    match LISTS.map(|list| spec.items_at(list).is_empty()) {
        [true, true] => {
            errors.required(&path, "exactly one of `podGroupTemplates` or `compositePodGroupTemplates` is required");
        }
        [false, false] => errors.forbidden(
            &path.field(LISTS[1]),
            "exactly one of `podGroupTemplates` or `compositePodGroupTemplates` is required, but multiple fields are set",
        ),
        _ => check_templates(spec, &path, errors),
    }
}

/// Checks the templates of a workload, or of a group of groups.
fn check_templates(holder: &Struct, path: &Path<'_>, errors: &mut Errors) {
    for (list, is_composite) in LISTS.into_iter().zip([false, true]) {
        let (path, templates) = (path.field(list), holder.items_at(list));
        if templates.len() > TEMPLATES_MAX {
            errors.too_many(&path, templates.len(), TEMPLATES_MAX);
            continue;
        }
        for (index, template) in templates.iter().enumerate() {
            let (path, name) = (path.index(index), template.str_at("name"));
            if templates[..index].iter().any(|before| before.str_at("name") == name) {
                errors.duplicate(&path.field("name"), name);
            }
            errors.invalid_each(&path.field("name"), name, names::dns1123_label(name));
            let Some(template) = template.as_struct() else { continue };
            if is_composite {
                template::check_policy(template, "minGroupCount", &path.field("schedulingPolicy"), errors);
                template::check_rest(template, &path, errors);
                check_templates(template, &path, errors);
            } else {
                template::check(template, &path, errors);
            }
        }
    }
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    for field in ["controllerRef", LISTS[1]] {
        let at = format!("spec.{field}");
        check_immutable(new.at(&at), old.at(&at), &path.field(field), errors);
    }
    let lasting = |workload: &Object| -> Node {
        let templates = workload.body.items_at("spec.podGroupTemplates").iter().filter_map(Node::as_struct);
        Node::List(templates.map(|template| template::lasting(template).into()).collect())
    };
    check_immutable(Some(&lasting(new)), Some(&lasting(old)), &path.field(LISTS[0]), errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, update_errors};

    const GOOD: &str = "spec: {controllerRef: {apiGroup: batch, kind: Job, name: train}, podGroupTemplates: [{name: workers, schedulingPolicy: {gang: {minCount: 4}}}]}";

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, GOOD, &[]),
            (
                &KIND,
                "spec: {controllerRef: {kind: Job}}",
                &[
                    "spec.controllerRef.name: Required value",
                    "spec: Required value: exactly one of `podGroupTemplates` or `compositePodGroupTemplates` is required",
                ],
            ),
            (
                &KIND,
                "spec: {podGroupTemplates: [{name: a, schedulingPolicy: {basic: {}}}, {name: a}]}",
                &[
                    "spec.podGroupTemplates[1].name: Duplicate value: \"a\"",
                    "spec.podGroupTemplates[1].schedulingPolicy: Required value: exactly one of `basic` or `gang` is required",
                ],
            ),
            (
                &KIND,
                "spec: {compositePodGroupTemplates: [{name: a, schedulingPolicy: {gang: {}}, podGroupTemplates: [{name: b, schedulingPolicy: {gang: {minCount: -1}}}]}]}",
                &[
                    "spec.compositePodGroupTemplates[0].schedulingPolicy.gang.minGroupCount: Invalid value: 0: must be greater than zero",
                    "spec.compositePodGroupTemplates[0].podGroupTemplates[0].schedulingPolicy.gang.minCount: Invalid value: -1: must be greater than zero",
                ],
            ),
        ]);
    }

    #[test]
    fn templates_stay_but_for_the_size_of_their_gangs() {
        assert_eq!(update_errors(&KIND, GOOD, &GOOD.replace("minCount: 4", "minCount: 5")), Vec::<String>::new());
        for (old, new) in [("workers", "others"), ("train", "other")] {
            let told = update_errors(&KIND, GOOD, &GOOD.replace(old, new));
            assert!(told.len() == 1 && told[0].ends_with("field is immutable"), "{told:?}");
        }
    }
}

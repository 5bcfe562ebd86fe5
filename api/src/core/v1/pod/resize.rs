//! `pods/resize`: what containers that run ask for and may use of cpu and memory.

use crate::kind::copy_field;
use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::validation::{Errors, Path};

const LISTS: [&str; 2] = ["containers", "initContainers"];
const ONLY: &str = "only cpu and memory resources are mutable";

/// Nothing but the resources of containers is taken from the draft.
pub(super) fn prepare(new: &mut Object, old: &Object) {
    let draft = new.body.struct_at("spec").clone();
    let spec = new.body.struct_at("spec");
    if let Some(old) = old.at("spec").and_then(Node::as_struct) {
        spec.clone_from(old);
    }
    copy_field(spec, &draft, "resources");
    for list in LISTS {
        // Where containers came or went, validation says so.
        if draft.items_at(list).len() != spec.items_at(list).len() {
            copy_field(spec, &draft, list);
            continue;
        }
        for container in spec.get_mut(list).and_then(Node::as_list_mut).into_iter().flatten() {
            let name = container.str_at("name").to_owned();
            let wanted = draft.items_at(list).iter().find(|wanted| wanted.str_at("name") == name);
            if let (Some(container), Some(wanted)) = (container.as_struct_mut(), wanted.and_then(Node::as_struct)) {
                copy_field(container, wanted, "resources");
                copy_field(container, wanted, "resizePolicy");
            }
        }
    }
    copy_field(&mut new.body, &old.body, "status");
}

/// What may be resized, and how.
pub(super) fn check(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    if old.annotation(super::MIRROR).is_some() {
        return errors.forbidden(&Path::Root, "static pods cannot be resized");
    }
    let (Some(spec), Some(before)) = (spec_of(new), spec_of(old)) else { return };
    for list in LISTS {
        let list_path = path.field(list);
        if spec.items_at(list).len() != before.items_at(list).len() {
            return errors.forbidden(&list_path, "pod updates may not add or remove containers");
        }
        for (index, (now, then)) in spec.items_at(list).iter().zip(before.items_at(list)).enumerate() {
            let (Some(now), Some(then)) = (now.as_struct(), then.as_struct()) else { continue };
            let path = list_path.index(index);
            let runs = list == "containers" || then.str_at("restartPolicy") == "Always";
            if !runs && now.get("resources") != then.get("resources") {
                errors
                    .forbidden(&path.field("resources"), "only sidecar containers are resizable among init containers");
            }
            check_resources(now, then, &path.field("resources"), errors);
        }
    }
    let class = super::quality_of_service_class(new);
    if class != super::quality_of_service_class(old) {
        errors.invalid(&path, class, "Pod QOS Class may not change as a result of resizing");
    }
}

fn spec_of(pod: &Object) -> Option<&Struct> {
    pod.at("spec").and_then(Node::as_struct)
}

fn check_resources(now: &Struct, then: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let amounts = |container: &Struct, list: &str| -> Map {
        container.at(&format!("resources.{list}")).and_then(Node::as_map).cloned().unwrap_or_default()
    };
    for list in ["limits", "requests"] {
        let (now, then) = (amounts(now, list), amounts(then, list));
        let names = now.iter().chain(then.iter()).map(|(name, _)| name);
        if names.into_iter().any(|name| !matches!(name, "cpu" | "memory") && now.get(name) != then.get(name)) {
            errors.forbidden(path, ONLY);
        }
        if ["cpu", "memory"].iter().any(|name| then.get(name).is_some() && now.get(name).is_none()) {
            errors.forbidden(&path.field(list), format!("resource {list} cannot be removed"));
        }
    }
    if now.at("resources.claims") != then.at("resources.claims") {
        errors.forbidden(path, ONLY);
    }
}

#[cfg(test)]
mod tests {
    use crate::core::v1::pod::KIND;
    use crate::kinds::testing::defaulted;
    use crate::object::Object;

    fn pod(resources: &str) -> Object {
        let mut pod =
            defaulted(&KIND, &format!("spec: {{containers: [{{name: c, image: i, resources: {resources}}}]}}"));
        pod.set("metadata.name", "p");
        pod.set("metadata.namespace", "n");
        pod
    }

    #[test]
    fn cpu_and_memory_change_and_nothing_else() {
        let small = "{requests: {cpu: 1, memory: 1Gi}}";
        for (old, new, want) in [
            (small, "{requests: {cpu: 2, memory: 1Gi}}", vec![]),
            (small, "{requests: {cpu: 2, memory: 1Gi}, limits: {cpu: 3}}", vec![]),
            (
                small,
                "{requests: {cpu: 1}}",
                vec!["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
            ),
            (
                small,
                "{requests: {cpu: 1, memory: 1Gi, ephemeral-storage: 1Gi}}",
                vec!["spec.containers[0].resources: Forbidden: only cpu and memory resources are mutable"],
            ),
            (
                small,
                "{requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 1, memory: 1Gi}}",
                vec!["spec: Invalid value: \"Guaranteed\": Pod QOS Class may not change as a result of resizing"],
            ),
        ] {
            let (old, mut new) = (pod(old), pod(new));
            new.set("spec.containers.0.image", "other");
            KIND.prepare_for_part_update("resize", &mut new, &old);
            assert_eq!(new.str_at("spec.containers.0.image"), "i");
            let errors = KIND.validate_part_update("resize", &new, &old);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), want);
        }
    }
}

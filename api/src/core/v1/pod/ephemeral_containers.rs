//! `pods/ephemeralcontainers`: containers that join a running pod to look into it. They come, and never change or go.

use crate::node::Node;
use crate::object::Object;
use crate::validation::{Errors, Path};

const LIST: &str = "ephemeralContainers";

/// Nothing but these containers is taken from the draft.
pub(super) fn prepare(new: &mut Object, old: &Object) {
    let containers = new.body.struct_at("spec").remove_field(LIST);
    let spec = new.body.struct_at("spec");
    if let Some(old) = old.at("spec").and_then(Node::as_struct) {
        spec.clone_from(old);
    }
    match containers {
        Some(containers) => spec.set(LIST, containers),
        None => drop(spec.remove_field(LIST)),
    }
    crate::kind::copy_field(&mut new.body, &old.body, "status");
}

/// Those that are there stay as they are; a new one may look at a container that there is.
pub(super) fn check(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let list = path.field(LIST);
    if old.annotation(super::MIRROR).is_some() {
        errors.forbidden(&Path::Root, "static pods do not support ephemeral containers");
    }
    for before in old.body.items_at("spec.ephemeralContainers") {
        let name = before.str_at("name");
        let now = new.body.items_at("spec.ephemeralContainers").iter().find(|now| now.str_at("name") == name);
        match now {
            None => errors.forbidden(&list, format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(now) if now != before => {
                errors.forbidden(&list, format!("existing ephemeral containers {name:?} may not be changed\n"));
            }
            Some(_) => {}
        }
    }
    let known = |name: &str| {
        ["spec.containers", "spec.initContainers"]
            .iter()
            .flat_map(|path| new.body.items_at(path))
            .any(|container| container.str_at("name") == name)
    };
    for (index, container) in new.body.items_at("spec.ephemeralContainers").iter().enumerate() {
        let target = container.str_at("targetContainerName");
        if !target.is_empty() && !known(target) {
            errors.not_found(&list.index(index).field("targetContainerName"), target);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::core::v1::pod::KIND;
    use crate::kinds::testing::defaulted;
    use crate::object::Object;

    const MAIN: &str = "containers: [{name: c, image: i}]";

    fn pod(rest: &str) -> Object {
        let mut pod = defaulted(&KIND, &format!("spec: {{{MAIN}, {rest}}}"));
        pod.set("metadata.name", "p");
        pod.set("metadata.namespace", "n");
        pod
    }

    fn change(old: &str, new: &str) -> Vec<String> {
        let (old, mut new) = (pod(old), pod(new));
        KIND.prepare_for_part_update("ephemeralcontainers", &mut new, &old);
        let errors = KIND.validate_part_update("ephemeralcontainers", &new, &old);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ephemeral_containers_come_and_stay() {
        let one = "ephemeralContainers: [{name: d, image: i}]";
        let two = "ephemeralContainers: [{name: d, image: i}, {name: e, image: i, targetContainerName: c}]";
        let none = Vec::<String>::new();
        assert_eq!(change("", one), none);
        assert_eq!(change(one, two), none);
        assert_eq!(
            change(two, one),
            ["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n"]
        );
        assert_eq!(
            change(one, "ephemeralContainers: [{name: d, image: j}]"),
            ["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be changed\n"]
        );
        assert_eq!(
            change("", "ephemeralContainers: [{name: c, image: i}]"),
            ["spec.ephemeralContainers[0].name: Duplicate value: \"c\""]
        );
        assert_eq!(
            change("", "ephemeralContainers: [{name: d, image: i, targetContainerName: x}]"),
            ["spec.ephemeralContainers[0].targetContainerName: Not found: \"x\""]
        );
        assert_eq!(
            change("", "ephemeralContainers: [{name: d, image: i, ports: [{containerPort: 1}]}]"),
            ["spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container"]
        );
    }

    #[test]
    fn nothing_else_changes() {
        let (old, mut new) = (pod("nodeName: a"), pod("nodeName: b, ephemeralContainers: [{name: d, image: i}]"));
        KIND.prepare_for_part_update("ephemeralcontainers", &mut new, &old);
        assert_eq!(new.str_at("spec.nodeName"), "a");
        assert_eq!(new.body.items_at("spec.ephemeralContainers").len(), 1);
        assert_eq!(new.generation(), old.generation() + 1);
    }
}

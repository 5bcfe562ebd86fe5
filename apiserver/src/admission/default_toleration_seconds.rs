//! DefaultTolerationSeconds: how long a pod stays on a node that is not ready or unreachable.

use api::{Node, Object};

use super::{Change, Operation};

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) fn admit(change: &Change<'_>, pod: &mut Object) {
    if change.is("", "pods") && change.operation == Operation::Create {
        add(pod, change.config.unreachable_toleration_seconds);
    }
}

fn add(pod: &mut Object, seconds: i64) {
    let missing: Vec<&str> = TAINTS.into_iter().filter(|taint| !tolerates(pod, taint)).collect();
    for taint in missing {
        let Some(mut toleration) = pod.body.struct_at("spec").new_item("tolerations") else { return };
        toleration.set("key", taint);
        toleration.set("operator", "Exists");
        toleration.set("effect", "NoExecute");
        toleration.set("tolerationSeconds", seconds);
        pod.body.list_at("spec.tolerations").push(Node::Struct(toleration));
    }
}

/// True when the pod has its own word about the taint, or tolerates everything.
fn tolerates(pod: &Object, taint: &str) -> bool {
    pod.body.items_at("spec.tolerations").iter().any(|toleration| {
        let (key, effect) = (toleration.str_at("key"), toleration.str_at("effect"));
        (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_keeps_its_own_tolerations() {
        let mut pod = Object::of("v1", "Pod").unwrap();
        let mut own = pod.body.struct_at("spec").new_item("tolerations").unwrap();
        own.set("key", TAINTS[0]);
        own.set("operator", "Exists");
        pod.body.list_at("spec.tolerations").push(Node::Struct(own));
        add(&mut pod, 30);
        let tolerations = pod.body.items_at("spec.tolerations");
        assert_eq!(tolerations.len(), 2);
        assert_eq!((tolerations[1].str_at("key"), tolerations[1].i64_at("tolerationSeconds")), (TAINTS[1], Some(30)));
        add(&mut pod, 30);
        assert_eq!(pod.body.items_at("spec.tolerations").len(), 2);
    }
}

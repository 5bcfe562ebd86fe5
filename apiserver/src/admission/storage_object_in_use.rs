//! StorageObjectInUseProtection: a volume, a claim or a class of volume attributes begins with the finalizer that keeps it while
//! it is used. Controllers take it off.

use api::{Node, Object};

use super::{Change, Operation};

const FINALIZERS: &[(&str, &str, &str)] = &[
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

pub(super) fn admit(change: &Change<'_>, object: &mut Object) {
    if change.operation != Operation::Create {
        return;
    }
    let Some((.., finalizer)) = FINALIZERS.iter().find(|(group, plural, _)| change.is(group, plural)) else { return };
    if !object.finalizers().any(|present| present == *finalizer) {
        let all: Vec<String> = object.finalizers().chain([*finalizer]).map(str::to_owned).collect();
        object.set("metadata.finalizers", Node::from(all));
    }
}

//! DefaultStorageClass: a claim that names no class gets the default one.

use api::Object;

use super::{Change, Operation, default_class};

const CLASS: &str = "spec.storageClassName";
/// How claims named their class before there was a field for it.
const OLD: &str = "volume.beta.kubernetes.io/storage-class";
const MARKS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

pub(super) fn admit(change: &Change<'_>, claim: &mut Object) {
    if !change.is("", "persistentvolumeclaims") || change.operation != Operation::Create {
        return;
    }
    // An empty name is a word of its own: no class at all.
    if claim.at(CLASS).is_some() || claim.annotation(OLD).is_some() {
        return;
    }
    if let Some(class) = default_class::find(change, "storage.k8s.io", "storageclasses", &MARKS) {
        claim.set(CLASS, class);
    }
}

//! A class of volume attributes stays while a volume or a claim has it, gets it, or wishes for it.

use client::Key;
use serde_json::Value;

use crate::caches::resources::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTRIBUTES_CLASSES};
use crate::protection::{Protection, User, protect, used_names, wake_waiting};
use crate::runtime::{Controller, Item, Occurrence, Watch, itself};

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "vac_protection",
    component: "vac-protection-controller",
    workers: 1,
    watches: &[
        Watch { resource: Some(VOLUME_ATTRIBUTES_CLASSES), keys: itself },
        Watch { resource: Some(PERSISTENT_VOLUME_CLAIMS), keys: of_user },
        Watch { resource: Some(PERSISTENT_VOLUMES), keys: of_user },
    ],
    reconcile: |context, item| protect(&PROTECTION, context, item),
};

const PROTECTION: Protection = Protection {
    finalizer: "kubernetes.io/vac-protection",
    is_used: |_| false,
    users: &[User { resource: PERSISTENT_VOLUME_CLAIMS, uses }, User { resource: PERSISTENT_VOLUMES, uses }],
};

fn uses(user: &Value, class: &Key) -> bool {
    names(user).iter().any(|name| *name == *class.name)
}

/// The classes that a volume or a claim names.
fn names(user: &Value) -> Vec<String> {
    let named = [
        &user["spec"]["volumeAttributesClassName"],
        &user["status"]["currentVolumeAttributesClassName"],
        &user["status"]["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
    ];
    named.into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn of_user(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    for name in used_names(occurrence, names) {
        wake_waiting(occurrence.caches, VOLUME_ATTRIBUTES_CLASSES, Key::new("", name), wake);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::CONTROLLER;
    use crate::testing::check;

    fn check_class(user: &str, expect: Expect) {
        let metadata =
            "name: fast, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [kubernetes.io/vac-protection]";
        let class = format!("{{apiVersion: storage.k8s.io/v1, kind: VolumeAttributesClass, metadata: {{{metadata}}}}}");
        check(&CONTROLLER, "volumeattributesclasses fast", &format!("{class}\n---\n{user}"), expect);
    }

    #[test]
    fn a_class_goes_when_no_volume_and_no_claim_names_it() {
        let used = || {
            expect![[r#"
                nothing to do
            "#]]
        };
        let claim = "apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c, namespace: a}";
        check_class(&format!("{{{claim}, spec: {{volumeAttributesClassName: fast}}}}"), used());
        check_class(&format!("{{{claim}, status: {{currentVolumeAttributesClassName: fast}}}}"), used());
        let volume = "apiVersion: v1, kind: PersistentVolume, metadata: {name: v}";
        check_class(&format!("{{{volume}, spec: {{volumeAttributesClassName: fast}}}}"), used());
        check_class(
            &format!("{{{volume}, spec: {{volumeAttributesClassName: slow}}}}"),
            expect![[r#"
                confirm no persistentvolumeclaims use fast
                confirm no persistentvolumes use fast
                patch volumeattributesclasses.storage.k8s.io fast {"metadata":{"finalizers":[],"resourceVersion":"10"}}
            "#]],
        );
    }
}

//! A volume that is bound to a claim stays.

use crate::caches::resources::PERSISTENT_VOLUMES;
use crate::protection::{Protection, protect};
use crate::runtime::{Controller, Watch, itself};

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "pv_protection",
    component: "pv-protection-controller",
    workers: 1,
    watches: &[Watch { resource: Some(PERSISTENT_VOLUMES), keys: itself }],
    reconcile: |context, item| protect(&PROTECTION, context, item),
};

const PROTECTION: Protection = Protection {
    finalizer: "kubernetes.io/pv-protection",
    is_used: |volume| volume["status"]["phase"] == "Bound",
    users: &[],
};

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::CONTROLLER;
    use crate::testing::check;

    fn check_volume(phase: &str, expect: Expect) {
        let metadata =
            "name: disk, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [kubernetes.io/pv-protection]";
        let volume =
            format!("{{apiVersion: v1, kind: PersistentVolume, metadata: {{{metadata}}}, status: {{phase: {phase}}}}}");
        check(&CONTROLLER, "persistentvolumes disk", &volume, expect);
    }

    #[test]
    fn a_volume_goes_when_it_is_not_bound() {
        check_volume(
            "Bound",
            expect![[r#"
                nothing to do
            "#]],
        );
        check_volume(
            "Released",
            expect![[r#"
                patch persistentvolumes disk {"metadata":{"finalizers":[],"resourceVersion":"10"}}
            "#]],
        );
    }
}

//! A claim that a pod uses stays until the pod is gone, whatever the pod's phase; a pod without a node uses nothing yet.

use client::Key;
use serde_json::Value;

use crate::caches::resources::{PERSISTENT_VOLUME_CLAIMS, PODS};
use crate::protection::{Protection, User, protect, used_names, wake_waiting};
use crate::runtime::{Controller, Item, Occurrence, Watch, itself};

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "pvc_protection",
    component: "pvc-protection-controller",
    workers: 2,
    watches: &[
        Watch { resource: Some(PERSISTENT_VOLUME_CLAIMS), keys: itself },
        Watch { resource: Some(PODS), keys: of_going_pod },
    ],
    reconcile: |context, item| protect(&PROTECTION, context, item),
};

const PROTECTION: Protection = Protection {
    finalizer: "kubernetes.io/pvc-protection",
    is_used: |_| false,
    users: &[User { resource: PODS, uses }],
};

fn uses(pod: &Value, claim: &Key) -> bool {
    pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty())
        && names(pod).iter().any(|name| *name == *claim.name)
}

/// The claims that a pod names, and those that were made for its ephemeral volumes, unless it has ended for good: such a claim
/// goes with the pod, which may be waiting for the claim.
fn names(pod: &Value) -> Vec<String> {
    let metadata = &pod["metadata"];
    let has_ended = !metadata["deletionTimestamp"].is_null() && metadata["deletionGracePeriodSeconds"] == 0;
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let claim = |volume: &Value| match volume["persistentVolumeClaim"]["claimName"].as_str() {
        Some(name) => Some(name.to_owned()),
        None if volume["ephemeral"].is_null() || has_ended => None,
        None => Some(format!("{}-{}", metadata["name"].as_str()?, volume["name"].as_str()?)),
    };
    volumes.filter_map(claim).collect()
}

fn of_going_pod(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    if occurrence.after.is_some_and(|after| !after.object.header().deleting) {
        return;
    }
    for name in used_names(occurrence, names) {
        let claim = Key::new(occurrence.key.namespace.clone(), name);
        wake_waiting(occurrence.caches, PERSISTENT_VOLUME_CLAIMS, claim, wake);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::CONTROLLER;
    use crate::testing::check;

    fn check_claim(metadata: &str, pod: &str, expect: Expect) {
        let claim = format!(
            "{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: data, namespace: a, uid: u1, {metadata}}}}}"
        );
        check(&CONTROLLER, "persistentvolumeclaims a/data", &format!("{claim}\n---\n{pod}"), expect);
    }

    const GOING: &str =
        "deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [other/keeps, kubernetes.io/pvc-protection]";

    fn pod(spec: &str) -> String {
        format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: a, uid: u2}}, spec: {{{spec}}}}}")
    }

    #[test]
    fn a_claim_goes_when_no_pod_on_a_node_uses_it() {
        let unused = || {
            expect![[r#"
                confirm no pods use a/data
                patch persistentvolumeclaims a/data {"metadata":{"finalizers":["other/keeps"],"resourceVersion":"10"}}
            "#]]
        };
        let used = || {
            expect![[r#"
                nothing to do
            "#]]
        };
        let volumes = "volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]";
        check_claim(GOING, "", unused());
        check_claim(GOING, &pod(volumes), unused());
        check_claim(GOING, &pod(&format!("nodeName: n1, {volumes}")), used());
        check_claim(
            GOING,
            &pod("nodeName: n1, volumes: [{name: v, persistentVolumeClaim: {claimName: logs}}]"),
            unused(),
        );
        check_claim(GOING, &pod("nodeName: n1, volumes: [{name: data, configMap: {name: data}}]"), unused());
    }

    #[test]
    fn a_claim_that_stays_has_the_finalizer() {
        check_claim(
            "finalizers: [kubernetes.io/pvc-protection]",
            "",
            expect![[r#"
                nothing to do
            "#]],
        );
        check_claim(
            "labels: {}",
            "",
            expect![[r#"
                patch persistentvolumeclaims a/data {"metadata":{"finalizers":["kubernetes.io/pvc-protection"],"resourceVersion":"10"}}
            "#]],
        );
    }

    #[test]
    fn an_ephemeral_volume_uses_its_claim_until_the_pod_has_ended() {
        let value = |metadata: &str| {
            let text =
                format!("{{metadata: {{name: p{metadata}}}, spec: {{volumes: [{{name: v, ephemeral: {{}}}}]}}}}");
            serde_saphyr::from_str::<serde_json::Value>(&text).unwrap()
        };
        assert_eq!(super::names(&value("")), ["p-v"]);
        let ended = ", deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 0";
        assert!(super::names(&value(ended)).is_empty());
    }
}

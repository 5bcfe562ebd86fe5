//! `CSIDriver`: what a storage driver can do, and what it wants to know of pods.

use jiff::Timestamp;

use crate::kind::{Generation, Kind, Scope};
use crate::meta::check_immutable;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, boolean, column, name_column};
use crate::validation::{Errors, Path};

const SECONDS_MIN: i64 = 10 * 60;
const SECONDS_MAX: i64 = 1 << 32;
const UPDATE_PERIOD_MIN: i64 = 10;

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    plural: "csidrivers",
    singular: "csidriver",
    kind: "CSIDriver",
    scope: Scope::Cluster,
    ty: &types::STORAGE_V1_CSI_DRIVER,
    returns_deleted: true,
    columns: &[
        name_column(),
        boolean("AttachRequired", "Whether a volume is attached to a node before it is mounted."),
        boolean("PodInfoOnMount", "Whether the driver is told for which pod it mounts."),
        boolean("StorageCapacity", "Whether the scheduler heeds the driver's capacities."),
        column("TokenRequests", "Audiences of the tokens of service accounts the driver gets."),
        boolean("RequiresRepublish", "Whether volumes are published again from time to time."),
        column("Modes", "How long volumes can live: as long as a pod, or longer."),
        age_column(),
    ],
    row,
    generation: Generation::Spec,
    unconditional_update: false,
    defaults,
    check,
    check_update: |new, old, errors| {
        let path = Path::Root.field("spec");
        for field in ["attachRequired", "volumeLifecycleModes"] {
            let at = |driver: &Object| driver.at("spec").and_then(|spec| spec.get(field)).cloned();
            check_immutable(at(new).as_ref(), at(old).as_ref(), &path.field(field), errors);
        }
    },
    ..Kind::BASE
};

fn defaults(driver: &mut Struct) {
    let spec = driver.struct_at("spec");
    spec.set_default("attachRequired", true);
    for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        spec.set_default(field, false);
    }
    spec.set_default("fsGroupPolicy", "ReadWriteOnceWithFSType");
    if spec.items_at("volumeLifecycleModes").is_empty() {
        spec.set("volumeLifecycleModes", vec!["Persistent"]);
    }
}

fn row(driver: &Object, now: Timestamp) -> Row {
    let flag = |path: &str| driver.body.bool_at(path);
    let list = |items: &[Node], absent: &str, text: &dyn Fn(&Node) -> String| {
        let all: Vec<String> = items.iter().map(text).collect();
        if all.is_empty() { absent.to_owned() } else { all.join(",") }
    };
    let audiences = driver.body.items_at("spec.tokenRequests");
    let modes = driver.body.items_at("spec.volumeLifecycleModes");
    Row::of([
        driver.name().into(),
        flag("spec.attachRequired").unwrap_or(true).into(),
        flag("spec.podInfoOnMount").unwrap_or(false).into(),
        flag("spec.storageCapacity").unwrap_or(false).into(),
        list(audiences, "<unset>", &|request| request.str_at("audience").to_owned()).into(),
        flag("spec.requiresRepublish").unwrap_or(false).into(),
        list(modes, "<none>", &|mode| mode.as_str().unwrap_or("").to_owned()).into(),
        Row::age(driver, now),
    ])
}

fn check(driver: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let policy = driver.str_at("spec.fsGroupPolicy");
    let policies = ["File", "None", "ReadWriteOnceWithFSType"];
    if !policies.contains(&policy) {
        errors.not_supported(&path.field("fsGroupPolicy"), policy, &policies);
    }
    check_tokens(driver.body.items_at("spec.tokenRequests"), &path.field("tokenRequests"), errors);
    for mode in driver.body.items_at("spec.volumeLifecycleModes").iter().filter_map(Node::as_str) {
        if !matches!(mode, "Persistent" | "Ephemeral") {
            errors.not_supported(&path.field("volumeLifecycleModes"), mode, &["Persistent", "Ephemeral"]);
        }
    }
    if let Some(seconds) = driver.body.i64_at("spec.nodeAllocatableUpdatePeriodSeconds")
        && seconds < UPDATE_PERIOD_MIN
    {
        let detail = format!("must be greater than or equal to {UPDATE_PERIOD_MIN} seconds");
        errors.invalid(&path.field("nodeAllocatableUpdatePeriodSeconds"), seconds, detail);
    }
}

fn check_tokens(requests: &[Node], path: &Path<'_>, errors: &mut Errors) {
    for (index, request) in requests.iter().enumerate() {
        let path = path.index(index);
        let audience = request.str_at("audience");
        if requests[..index].iter().any(|before| before.str_at("audience") == audience) {
            errors.duplicate(&path.field("audience"), audience);
        }
        let path = path.field("expirationSeconds");
        match request.i64_at("expirationSeconds") {
            Some(seconds) if seconds < SECONDS_MIN => {
                errors.invalid(&path, seconds, "may not specify a duration less than 10 minutes");
            }
            Some(seconds) if seconds > SECONDS_MAX => {
                errors.invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, row, update_errors};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, "spec: {}", &[]),
            (
                &KIND,
                "spec: {fsGroupPolicy: Always, volumeLifecycleModes: [Short], nodeAllocatableUpdatePeriodSeconds: 1}",
                &[
                    "spec.fsGroupPolicy: Unsupported value: \"Always\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\"",
                    "spec.volumeLifecycleModes: Unsupported value: \"Short\": supported values: \"Persistent\", \"Ephemeral\"",
                    "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 1: must be greater than or equal to 10 seconds",
                ],
            ),
            (
                &KIND,
                "spec: {tokenRequests: [{audience: a}, {audience: a, expirationSeconds: 5}]}",
                &[
                    "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
                    "spec.tokenRequests[1].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
                ],
            ),
        ]);
        assert_eq!(
            update_errors(&KIND, "spec: {}", "spec: {attachRequired: false, podInfoOnMount: true}"),
            ["spec.attachRequired: Invalid value: false: field is immutable"]
        );
    }

    #[test]
    fn what_a_driver_does_not_say_is_known() {
        let driver = created(&KIND, "spec: {}");
        assert_eq!(driver.body.bool_at("spec.attachRequired"), Some(true));
        assert_eq!(driver.body.bool_at("spec.storageCapacity"), Some(false));
        assert_eq!(driver.str_at("spec.volumeLifecycleModes.0"), "Persistent");
        assert_eq!(
            row(
                &KIND,
                "spec: {podInfoOnMount: true, tokenRequests: [{audience: a}, {audience: b}], volumeLifecycleModes: [Persistent, Ephemeral]}"
            ),
            "web | true | true | false | a,b | false | Persistent,Ephemeral | <unknown>"
        );
    }
}

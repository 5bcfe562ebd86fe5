//! `LeaseCandidate`: somebody who would hold a lease, and with what version.

use jiff::Timestamp;

use crate::kind::Kind;
use crate::meta::check_immutable;
use crate::names;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

/// The strategy that looks at what candidates behave like.
const OLDEST_EMULATION: &str = "OldestEmulationVersion";

/// The kind.
pub static KIND: Kind = Kind {
    group: "coordination.k8s.io",
    version: "v1beta1",
    plural: "leasecandidates",
    singular: "leasecandidate",
    kind: "LeaseCandidate",
    ty: &types::COORDINATION_V1BETA1_LEASE_CANDIDATE,
    columns: &[
        name_column(),
        column("LeaseName", "The lease that is contended for."),
        column("BinaryVersion", "What the candidate is."),
        column("EmulationVersion", "What it behaves like."),
        age_column(),
    ],
    row,
    served_by_default: false,
    check,
    check_update,
    ..Kind::BASE
};

fn row(candidate: &Object, now: Timestamp) -> Row {
    Row::of([
        candidate.name().into(),
        candidate.str_at("spec.leaseName").into(),
        candidate.str_at("spec.binaryVersion").into(),
        candidate.str_at("spec.emulationVersion").into(),
        Row::age(candidate, now),
    ])
}

fn check(candidate: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let text = |field: &str| candidate.str_at(&format!("spec.{field}"));
    for field in ["leaseName", "binaryVersion", "strategy"] {
        if text(field).is_empty() {
            errors.required(&path.field(field), "");
        }
    }
    if text("strategy") == OLDEST_EMULATION && text("emulationVersion").is_empty() {
        errors.required(&path.field("emulationVersion"), "must be specified when strategy is 'OldestEmulationVersion'");
    }
    for field in ["binaryVersion", "emulationVersion"] {
        let version = text(field);
        if !version.is_empty() && !names::is_semantic_version(version) {
            errors.invalid(&path.field(field), version, "must be a string compatible with semver.org spec 2.0.0");
        }
    }
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let name = "spec.leaseName";
    check_immutable(new.at(name), old.at(name), &Path::Root.field("spec").field("leaseName"), errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, row, update_errors};

    const GOOD: &str =
        "spec: {leaseName: leader, binaryVersion: 1.37.0, emulationVersion: 1.36.0, strategy: OldestEmulationVersion}";

    #[test]
    fn a_candidate_says_what_it_contends_for_and_what_it_is() {
        check_all(&[
            (&KIND, GOOD, &[]),
            (
                &KIND,
                "spec: {leaseName: leader}",
                &["spec.binaryVersion: Required value", "spec.strategy: Required value"],
            ),
            (
                &KIND,
                "spec: {leaseName: leader, binaryVersion: v1.37, strategy: OldestEmulationVersion}",
                &[
                    "spec.emulationVersion: Required value: must be specified when strategy is 'OldestEmulationVersion'",
                    "spec.binaryVersion: Invalid value: \"v1.37\": must be a string compatible with semver.org spec 2.0.0",
                ],
            ),
        ]);
        let refused = ["spec.leaseName: Invalid value: \"follower\": field is immutable"];
        assert_eq!(update_errors(&KIND, GOOD, &GOOD.replace("leader", "follower")), refused);
        assert_eq!(row(&KIND, GOOD), "web | leader | 1.37.0 | 1.36.0 | <unknown>");
    }
}

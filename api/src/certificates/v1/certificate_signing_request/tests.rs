use super::*;
use crate::kinds::testing::{created, defaulted, errors, row, written};

/// Base64 of PEM of an empty sequence: a request in its outline.
fn request(rest: &str) -> String {
    use base64::Engine;
    let pem = "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n";
    let text = base64::engine::general_purpose::STANDARD.encode(pem);
    format!("spec: {{request: {text}, {rest}}}")
}

#[test]
fn mistakes_are_told_with_their_paths() {
    for (rest, want) in [
        ("signerName: example.com/serving, usages: [server auth]", &[][..]),
        (
            "signerName: example.com/serving, usages: [], expirationSeconds: 5",
            &[
                "spec.usages: Required value: usages must be provided",
                "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)",
            ],
        ),
        (
            "signerName: kubernetes.io/legacy-unknown, usages: [any, any]",
            &[
                "spec.usages[1]: Duplicate value: \"any\"",
                "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version",
            ],
        ),
        (
            "signerName: serving, usages: [any]",
            &[
                "spec.signerName: Invalid value: \"serving\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
            ],
        ),
        (
            "signerName: local/serving, usages: [any]",
            &[
                "spec.signerName: Invalid value: \"local\": should be a domain with at least two segments separated by dots",
            ],
        ),
    ] {
        assert_eq!(errors(&KIND, &request(rest)), want, "{rest}");
    }
    let unknown = errors(&KIND, &request("signerName: a.b/c, usages: [cooking]"));
    assert!(
        unknown[0]
            .starts_with("spec.usages[0]: Unsupported value: \"cooking\": supported values: \"any\", \"cert sign\"")
    );
    assert_eq!(
        errors(&KIND, "spec: {request: bm9uZQ==, signerName: a.b/c, usages: [any]}"),
        ["spec.request: Invalid value: \"bm9uZQ==\": PEM block type must be CERTIFICATE REQUEST"]
    );
}

fn with_conditions(conditions: &str) -> Object {
    let mut object = created(&KIND, &request("signerName: a.b/c, usages: [any]"));
    let status = written(&KIND, &format!("status: {{conditions: {conditions}}}"));
    crate::kind::copy_field(&mut object.body, &status.body, "status");
    object
}

fn told(errors: &Errors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn approval_decides_once_and_touches_nothing_else() {
    let old = with_conditions("[]");
    let mut new = with_conditions("[{type: Approved, status: 'True'}]");
    new.set("status.certificate", "QQ==");
    KIND.prepare_for_part_update("approval", &mut new, &old);
    assert_eq!((new.str_at("status.certificate"), new.str_at("status.conditions.0.type")), ("", "Approved"));
    assert!(KIND.validate_part_update("approval", &new, &old).is_empty());
    let both = with_conditions("[{type: Approved, status: 'True'}, {type: Denied, status: 'False'}]");
    assert_eq!(
        told(&KIND.validate_part_update("approval", &both, &new)),
        [
            "status.conditions[1].status: Unsupported value: \"False\": supported values: \"True\"",
            "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
        ]
    );
    assert_eq!(
        told(&KIND.validate_part_update("approval", &old, &new)),
        ["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""]
    );
}

#[test]
fn a_signer_signs_and_decides_nothing() {
    let approved = with_conditions("[{type: Approved, status: 'True', reason: ok}]");
    let mut new = with_conditions("[{type: Approved, status: 'True', reason: mine}, {type: Failed, status: 'True'}]");
    KIND.prepare_for_status_update(&mut new, &approved);
    assert_eq!(new.str_at("status.conditions.0.reason"), "ok");
    assert!(KIND.validate_status_update(&new, &approved).is_empty());
    let pending = with_conditions("[]");
    assert_eq!(
        told(&KIND.validate_status_update(&approved, &pending)),
        ["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""]
    );
    let mut signed = approved.clone();
    signed.set("status.certificate", "bm9uZQ==");
    assert_eq!(told(&KIND.validate_status_update(&signed, &approved)).len(), 1);
    assert_eq!(
        told(&KIND.validate_status_update(&approved, &signed)),
        ["status.certificate: Forbidden: updates may not modify existing certificate content"]
    );
}

#[test]
fn the_row_says_how_far_it_has_come() {
    let yaml = format!(
        "{}\nstatus: {{conditions: [{{type: Approved, status: 'True'}}], certificate: QQ==}}",
        request("signerName: a.b/c, username: u, expirationSeconds: 3600")
    );
    assert_eq!(row(&KIND, &yaml), "web | <unknown> | a.b/c | u | 60m | Approved,Issued");
    assert_eq!(row(&KIND, "{}"), "web | <unknown> | <none> |  | <none> | Pending");
    assert_eq!(defaulted(&KIND, "metadata: {name: 'Any:Name'}").name(), "Any:Name");
}

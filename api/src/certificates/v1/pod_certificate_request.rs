//! `PodCertificateRequest`: a node asks for a certificate for one of its pods, and a signer answers once.

use jiff::Timestamp;

use super::signer_name;
use crate::kind::{Kind, READ_AND_CHANGE, SelectableField, Subresource, field_paths};
use crate::meta::check_immutable;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

const SECONDS_MIN: i64 = 3600;
const SECONDS_MAX: i64 = 91 * 86400;
const KUBERNETES_SECONDS_MAX: i64 = 86400;
const SECONDS_DEFAULT: i64 = 86400;
const REQUEST_MAX: usize = 10 * 1024;
/// What a signer can answer.
const ANSWERS: [&str; 3] = ["Denied", "Failed", "Issued"];

const FIELDS: [SelectableField; 3] = [
    SelectableField::text("spec.nodeName"),
    SelectableField::text("spec.podName"),
    SelectableField::text("spec.signerName"),
];

/// The kind.
pub static KIND: Kind = Kind {
    group: "certificates.k8s.io",
    plural: "podcertificaterequests",
    singular: "podcertificaterequest",
    kind: "PodCertificateRequest",
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "PodCertificateRequest",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::CERTIFICATES_V1_POD_CERTIFICATE_REQUEST,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[
        name_column(),
        column("PodName", "The pod the certificate is for."),
        column("ServiceAccountName", "Who the pod is."),
        column("NodeName", "The node the pod runs on."),
        column("SignerName", "Who shall sign."),
        column("State", "What the signer answered."),
        age_column(),
    ],
    row,
    defaults: |request: &mut Struct| {
        request.set_default("spec.maxExpirationSeconds", SECONDS_DEFAULT);
    },
    check_create,
    check_update: |new, old, errors| {
        check_immutable(new.at("spec"), old.at("spec"), &Path::Root.field("spec"), errors);
    },
    check_status_update,
    ..Kind::BASE
};

fn answer(request: &Object) -> Option<&str> {
    let conditions = request.body.items_at("status.conditions").iter();
    let mut kinds = conditions.map(|condition| condition.str_at("type")).filter(|kind| ANSWERS.contains(kind));
    kinds.next()
}

fn row(request: &Object, now: Timestamp) -> Row {
    let text = |field: &str| request.at("spec").map_or("", |spec| spec.str_at(field)).into();
    Row::of([
        request.name().into(),
        text("podName"),
        text("serviceAccountName"),
        text("nodeName"),
        text("signerName"),
        answer(request).unwrap_or("Pending").into(),
        Row::age(request, now),
    ])
}

fn check_create(request: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let text = |field: &str| request.at("spec").map_or("", |spec| spec.str_at(field));
    let signer = text("signerName");
    signer_name::check(signer, &path.field("signerName"), errors);
    for field in ["podName", "serviceAccountName", "nodeName"] {
        errors.invalid_each(&path.field(field), text(field), names::dns1123_subdomain(text(field)));
    }
    for field in ["podUID", "serviceAccountUID", "nodeUID"] {
        if text(field).is_empty() {
            errors.required(&path.field(field), "must not be empty");
        } else if text(field).len() > 128 {
            errors.too_long(&path.field(field), 128);
        }
    }
    let (seconds_path, seconds) =
        (path.field("maxExpirationSeconds"), request.body.i64_at("spec.maxExpirationSeconds"));
    let max = if signer.starts_with("kubernetes.io/") { KUBERNETES_SECONDS_MAX } else { SECONDS_MAX };
    match seconds {
        None => errors.required(&seconds_path, "must be set"),
        Some(seconds) if !(SECONDS_MIN..=max).contains(&seconds) => {
            errors.invalid(&seconds_path, seconds, format!("must be in the range [{SECONDS_MIN}, {max}]"));
        }
        Some(_) => {}
    }
    let request = text("stubPKCS10Request");
    if request.is_empty() {
        errors.required(&path.field("stubPKCS10Request"), "must not be empty");
    } else if request.len() > REQUEST_MAX.div_ceil(3) * 4 {
        errors.too_long(&path.field("stubPKCS10Request"), REQUEST_MAX);
    }
}

fn check_status_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    if answer(old).is_some() {
        check_immutable(new.at("status"), old.at("status"), &path, errors);
        return;
    }
    let conditions = new.body.items_at("status.conditions");
    let list = path.field("conditions");
    for (index, condition) in conditions.iter().enumerate() {
        let path = list.index(index);
        let (kind, status) = (condition.str_at("type"), condition.str_at("status"));
        if !ANSWERS.contains(&kind) {
            errors.not_supported(&path.field("type"), kind, &ANSWERS);
        } else if status != "True" {
            errors.not_supported(&path.field("status"), status, &["True"]);
        }
        if index > 0 {
            let detail = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            errors.invalid(&path.field("type"), kind, detail);
        }
    }
    let issued = answer(new) == Some("Issued");
    for field in ["certificateChain", "notBefore", "beginRefreshAt", "notAfter"] {
        let given = new.at("status").and_then(|status| status.get(field)).and_then(Node::as_str).unwrap_or("");
        if issued && given.is_empty() {
            errors.required(&path.field(field), "must be present and consistent with the issued certificate");
        } else if !issued && !given.is_empty() {
            let detail = "must not be set unless the request is issued";
            errors.forbidden(&path.field(field), detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{created, errors, row, update_errors, written};

    const WHOLE: &str = "spec: {signerName: a.b/c, podName: p, podUID: u1, serviceAccountName: s, serviceAccountUID: u2, nodeName: n1, nodeUID: u3, stubPKCS10Request: MAA=}";

    #[test]
    fn mistakes_are_told_with_their_paths() {
        assert_eq!(errors(&KIND, WHOLE), Vec::<String>::new());
        let short = WHOLE.replace("podUID: u1", "maxExpirationSeconds: 60");
        assert_eq!(
            errors(&KIND, &short),
            [
                "spec.podUID: Required value: must not be empty",
                "spec.maxExpirationSeconds: Invalid value: 60: must be in the range [3600, 7862400]",
            ]
        );
        let told = update_errors(&KIND, WHOLE, &WHOLE.replace("podName: p", "podName: q"));
        assert!(told[0].starts_with("spec: Invalid value: {") && told[0].ends_with("field is immutable"));
    }

    #[test]
    fn a_signer_answers_once() {
        let old = created(&KIND, WHOLE);
        assert_eq!(old.body.i64_at("spec.maxExpirationSeconds"), Some(86400));
        let with = |status: &str| {
            let mut object = old.clone();
            let status = written(&KIND, &format!("status: {status}"));
            crate::kind::copy_field(&mut object.body, &status.body, "status");
            object
        };
        let told = |new: &Object, old: &Object| -> Vec<String> {
            KIND.validate_status_update(new, old).iter().map(ToString::to_string).collect()
        };
        let denied = with("{conditions: [{type: Denied, status: 'True'}]}");
        assert_eq!(told(&denied, &old), Vec::<String>::new());
        assert!(told(&old, &denied)[0].ends_with("field is immutable"));
        assert_eq!(
            told(&with("{conditions: [{type: Odd, status: 'True'}], notAfter: '2026-01-01T00:00:00Z'}"), &old),
            [
                "status.conditions[0].type: Unsupported value: \"Odd\": supported values: \"Denied\", \"Failed\", \"Issued\"",
                "status.notAfter: Forbidden: must not be set unless the request is issued",
            ]
        );
        assert_eq!(told(&with("{conditions: [{type: Issued, status: 'True'}]}"), &old).len(), 4);
        assert_eq!(row(&KIND, WHOLE), "web | p | s | n1 | a.b/c | Pending | <unknown>");
    }
}

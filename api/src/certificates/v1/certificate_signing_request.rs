//! `CertificateSigningRequest`: a certificate is asked for, somebody approves, a signer signs.
//!
//! Who asks is written down by the API server, and whether the request is signed by its own key is checked there. Each
//! part of the status has its own writer: `approval` changes `Approved` and `Denied`, `status` everything else.

use jiff::Timestamp;

use super::{pem, signer_name};
use crate::kind::{Kind, Part, READ_AND_CHANGE, Scope, SelectableField, Subresource, copy_field, field_paths};
use crate::meta::shown;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Cell, Row, age_column, column, name_column, or_none};
use crate::time;
use crate::validation::{Errors, Path};

mod conditions;

const SECONDS_MIN: i64 = 600;
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
/// All uses of a key there are, sorted.
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

const FIELDS: [SelectableField; 1] = [SelectableField::text("spec.signerName")];

const fn part(name: &'static str) -> Subresource {
    Subresource { name, group: "", version: "", kind: "CertificateSigningRequest", verbs: READ_AND_CHANGE }
}

/// The kind.
pub static KIND: Kind = Kind {
    group: "certificates.k8s.io",
    plural: "certificatesigningrequests",
    singular: "certificatesigningrequest",
    kind: "CertificateSigningRequest",
    short_names: &["csr"],
    scope: Scope::Cluster,
    subresources: &[part("approval"), part("status")],
    parts: &[Part { name: "approval", prepare: prepare_for_approval, check: conditions::check_kept }],
    ty: &types::CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[
        name_column(),
        age_column(),
        column("SignerName", "Who shall sign."),
        column("Requestor", "Who asks."),
        column("RequestedDuration", "For how long the certificate shall be valid."),
        column("Condition", "What has been decided, and whether a certificate was issued."),
    ],
    row,
    name_rule: |_| Vec::new(),
    on_update: |new, old| copy_field(&mut new.body, &old.body, "spec"),
    on_status_update: conditions::keep_decisions,
    check,
    check_status_update,
    ..Kind::BASE
};

fn row(request: &Object, now: Timestamp) -> Row {
    let duration: Cell = match request.body.i64_at("spec.expirationSeconds") {
        Some(seconds) => time::human_duration(seconds).into(),
        None => or_none(""),
    };
    Row::of([
        request.name().into(),
        Row::age(request, now),
        or_none(request.str_at("spec.signerName")),
        request.str_at("spec.username").into(),
        duration,
        conditions::summary(request).into(),
    ])
}

/// Makes of a write to `approval` what it may be: the conditions, and nothing else.
fn prepare_for_approval(new: &mut Object, old: &Object) {
    copy_field(&mut new.body, &old.body, "spec");
    crate::meta::copy(new, old, "ownerReferences");
    let given = new.at("status.conditions").cloned();
    copy_field(&mut new.body, &old.body, "status");
    match given {
        Some(given) => new.set("status.conditions", given),
        None => drop(new.body.remove("status.conditions")),
    }
}

fn check(request: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    check_request(request, &path.field("request"), errors);
    let (list, usages) = (path.field("usages"), request.body.items_at("spec.usages"));
    if usages.is_empty() {
        errors.required(&list, "usages must be provided");
    }
    for (index, usage) in usages.iter().filter_map(Node::as_str).enumerate() {
        if !USAGES.contains(&usage) {
            errors.not_supported(&list.index(index), usage, &USAGES);
        }
        if usages[..index].iter().any(|before| before.as_str() == Some(usage)) {
            errors.duplicate(&list.index(index), usage);
        }
    }
    let signer = request.str_at("spec.signerName");
    if signer == LEGACY_SIGNER {
        errors.invalid(&path.field("signerName"), signer, "the legacy signerName is not allowed via this API version");
    } else {
        signer_name::check(signer, &path.field("signerName"), errors);
    }
    if let Some(seconds) = request.body.i64_at("spec.expirationSeconds").filter(|seconds| *seconds < SECONDS_MIN) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.invalid(&path.field("expirationSeconds"), seconds, detail);
    }
    conditions::check(request, errors);
}

/// The request as PEM, from the base64 in which bytes are written.
pub fn request_pem(request: &Object) -> Option<String> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(request.str_at("spec.request")).ok()?;
    String::from_utf8(bytes).ok()
}

/// The request as DER, if there is exactly what there should be.
pub fn request_der(request: &Object) -> Option<Vec<u8>> {
    let text = request_pem(request)?;
    let block = pem::blocks(&text).into_iter().next().filter(|block| block.label == "CERTIFICATE REQUEST")?;
    block.data.filter(|der| pem::is_sequence(der))
}

fn check_request(request: &Object, path: &Path<'_>, errors: &mut Errors) {
    if request_der(request).is_none() {
        let value = shown(request.at("spec.request"));
        errors.invalid(path, value, "PEM block type must be CERTIFICATE REQUEST");
    }
}

fn check_status_update(new: &Object, old: &Object, errors: &mut Errors) {
    conditions::check(new, errors);
    conditions::check_kept(new, old, errors);
    conditions::check_decisions(new, old, errors);
    let (now, before) = (new.str_at("status.certificate"), old.str_at("status.certificate"));
    let path = Path::Root.field("status");
    let path = path.field("certificate");
    if !before.is_empty() && now != before {
        errors.forbidden(&path, "updates may not modify existing certificate content");
    } else if !now.is_empty() && !is_chain(now) {
        errors.invalid(&path, "<certificate data>", "must contain at least one CERTIFICATE PEM block");
    }
}

/// Whether base64 stands for PEM of certificates and nothing else.
fn is_chain(base64: &str) -> bool {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let blocks = pem::blocks(&text);
    let good = |block: &pem::Block<'_>| {
        block.label == "CERTIFICATE" && !block.has_headers && block.data.as_deref().is_some_and(pem::is_sequence)
    };
    !blocks.is_empty() && blocks.iter().all(good)
}

#[cfg(test)]
mod tests;

//! Certificates: a request says who makes it, and only those may approve, sign or vouch who were given the signer.
//!
//! Upstream's plugins CertificateApproval, CertificateSigning, CertificateSubjectRestriction and ClusterTrustBundleAttest.

use api::{
    Map, Node, Object,
    certificates::v1::{certificate_signing_request as request, cluster_trust_bundle as bundle},
    status::{Grouped, Status},
    validation::{Errors, Path},
};
use jiff::Timestamp;
use x509_parser::{
    certification_request::X509CertificationRequest,
    prelude::{FromDer, X509Certificate},
};

use super::{Change, Operation};
use crate::{authorization::Attributes, error::Result, user::MASTERS};

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";
const BUNDLES: &str = "clustertrustbundles";
/// The signer of certificates with which clients talk to the API server.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Writes down who asks, and when conditions were set.
pub(super) fn mutate(change: &Change<'_>, object: &mut Object) {
    if change.kind.group != GROUP || change.kind.plural != REQUESTS {
        return;
    }
    match (change.operation, change.subresource) {
        (Operation::Create, "") => note_requestor(change, object),
        (Operation::Update, "approval" | "status") => note_times(change.old, object, change.config.surroundings.now()),
        _ => {}
    }
}

fn note_requestor(change: &Change<'_>, object: &mut Object) {
    let user = change.user;
    let spec = object.body.struct_at("spec");
    for field in ["username", "uid", "groups", "extra"] {
        spec.remove(field);
    }
    let list = |values: &[String]| Node::List(values.iter().map(|value| value.as_str().into()).collect());
    spec.set("username", user.name.as_str());
    if !user.uid.is_empty() {
        spec.set("uid", user.uid.as_str());
    }
    spec.set("groups", list(&user.groups));
    if !user.extra.is_empty() {
        let extra: Map = user.extra.iter().map(|(key, values)| (key.as_str(), list(values))).collect();
        spec.set("extra", extra);
    }
}

/// A condition that says nothing else was updated now, and has been what it is since it became so.
fn note_times(old: Option<&Object>, object: &mut Object, now: Timestamp) {
    const CONDITIONS: &str = "status.conditions";
    let now = api::time::format(now);
    let before = old.map_or(&[][..], |old| old.body.items_at(CONDITIONS));
    for condition in object.body.at_mut(CONDITIONS).and_then(Node::as_list_mut).into_iter().flatten() {
        if condition.str_at("lastUpdateTime").is_empty() {
            condition.set("lastUpdateTime", now.as_str());
        }
        if condition.str_at("lastTransitionTime").is_empty() {
            let same =
                |before: &&Node| ["type", "status"].iter().all(|field| before.str_at(field) == condition.str_at(field));
            let since = before.iter().find(same).map(|before| before.str_at("lastTransitionTime").to_owned());
            let since = since.filter(|since| !since.is_empty()).unwrap_or_else(|| now.clone());
            condition.set("lastTransitionTime", since);
        }
    }
}

/// Refuses what the caller was not given, and what is no request or no authority.
pub(super) fn validate(change: &Change<'_>, object: &Object) -> Result<()> {
    if change.kind.group != GROUP {
        return Ok(());
    }
    let changed = |path: &str| change.old.is_none_or(|old| old.at(path) != object.at(path));
    match (change.kind.plural, change.operation, change.subresource) {
        (REQUESTS, Operation::Create, "") => check_request(change, object),
        (REQUESTS, Operation::Update, "approval") => require(change, object, "approve", "approve requests with"),
        (REQUESTS, Operation::Update, "status") if changed("status.certificate") || changed("status.conditions") => {
            require(change, object, "sign", "sign requests with")
        }
        (BUNDLES, Operation::Create | Operation::Update, "") => {
            check_authorities(change, object)?;
            if object.str_at("spec.signerName").is_empty() {
                return Ok(());
            }
            require(change, object, "attest", "attest for")
        }
        _ => Ok(()),
    }
}

/// Whether the caller has the verb on the signer, or on all signers of its domain.
fn require(change: &Change<'_>, object: &Object, verb: &str, deed: &str) -> Result<()> {
    let signer = object.str_at("spec.signerName");
    let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
    let allowed = [signer, &domain].into_iter().any(|name| {
        let asked =
            Attributes { verb, is_resource: true, group: GROUP, resource: "signers", name, ..Attributes::default() };
        change.authorizer.allows(change.user, &asked)
    });
    if allowed {
        return Ok(());
    }
    forbidden(change, object, &format!("user not permitted to {deed} signerName \"{signer}\""))
}

fn forbidden(change: &Change<'_>, object: &Object, why: &str) -> Result<()> {
    Err(Status::forbidden(Grouped::new(GROUP, change.kind.plural), object.name(), why).into())
}

fn invalid(change: &Change<'_>, object: &Object, errors: &Errors) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(change.kind.grouped_kind(), object.name(), errors).into())
}

/// A request is signed by the key it is for, and nobody asks to be one of the masters.
fn check_request(change: &Change<'_>, object: &Object) -> Result<()> {
    let der = request::request_der(object).unwrap_or_default();
    let mut errors = Errors::new();
    let mut refuse = |why: String| {
        let path = Path::Root.field("spec");
        errors.invalid(&path.field("request"), object.str_at("spec.request"), why);
    };
    let organizations = match X509CertificationRequest::from_der(&der) {
        Err(error) => {
            refuse(format!("asn1: structure error: {error}"));
            Vec::new()
        }
        Ok((_, parsed)) => {
            if parsed.verify_signature().is_err() {
                refuse("x509: signature does not match the key of the request".to_owned());
            }
            let subject = &parsed.certification_request_info.subject;
            let names = subject.iter_organization().filter_map(|name| name.as_str().ok());
            names.map(str::to_owned).collect()
        }
    };
    invalid(change, object, &errors)?;
    if object.str_at("spec.signerName") == CLIENT_SIGNER && organizations.iter().any(|name| name == MASTERS) {
        let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
        return forbidden(change, object, &why);
    }
    Ok(())
}

/// Every certificate of a bundle is one of an authority.
fn check_authorities(change: &Change<'_>, object: &Object) -> Result<()> {
    let mut errors = Errors::new();
    for (index, der) in bundle::certificates(object).iter().enumerate() {
        let problem = match X509Certificate::from_der(der) {
            Err(_) => "does not parse as X.509",
            Ok((_, certificate)) if !certificate.is_ca() => "does not have the CA bit set",
            Ok(_) => continue,
        };
        let path = Path::Root.field("spec");
        errors.invalid(&path.field("trustBundle"), "<value omitted>", format!("entry {index} {problem}"));
    }
    invalid(change, object, &errors)
}

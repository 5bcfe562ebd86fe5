//! CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may answer a signing request depends on
//! its signer, and nobody gets a client certificate of the administrators by asking for it.

use api::{
    Object,
    status::{Grouped, Status},
};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

use super::{Change, Operation};
use crate::{authorization::Attributes, error::Result, user::MASTERS};

const GROUP: &str = "certificates.k8s.io";
const PLURAL: &str = "certificatesigningrequests";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub(super) fn admit(change: &Change<'_>, request: &Object) -> Result<()> {
    if change.kind.group != GROUP || change.kind.plural != PLURAL {
        return Ok(());
    }
    // The signer is that of the request as it is: what a draft says of it counts for nothing.
    let signer = change.old.unwrap_or(request).str_at("spec.signerName").to_owned();
    let changed = |field: &str| change.old.is_some_and(|old| old.at(field) != request.at(field));
    match (change.operation, change.subresource) {
        (Operation::Update, "approval") => may(change, request, "approve", &signer),
        (Operation::Update, "status") if changed("status.certificate") || changed("status.conditions") => {
            may(change, request, "sign", &signer)
        }
        (Operation::Create, "") if signer == CLIENT_SIGNER && asks_for_masters(request) => {
            let why = format!("use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed");
            Err(Status::forbidden(Grouped::new(GROUP, PLURAL), request.name(), &why).into())
        }
        _ => Ok(()),
    }
}

/// Permission is for one signer, or for all of a domain.
fn may(change: &Change<'_>, request: &Object, verb: &str, signer: &str) -> Result<()> {
    let domain = signer.split_once('/').map(|(domain, _)| format!("{domain}/*")).unwrap_or_default();
    let allowed = [signer, &domain].iter().any(|name| {
        let asked =
            Attributes { verb, is_resource: true, group: GROUP, resource: "signers", name, ..Attributes::default() };
        change.authorizer.allows(change.user, &asked)
    });
    if allowed {
        return Ok(());
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(Status::forbidden(Grouped::new(GROUP, PLURAL), request.name(), &why).into())
}

/// True when the request's subject is of the administrators' group. What cannot be read is validation's matter.
fn asks_for_masters(request: &Object) -> bool {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let Ok(pem) = STANDARD.decode(request.str_at("spec.request")) else { return false };
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(&pem) else { return false };
    let Ok((_, request)) = X509CertificationRequest::from_der(&pem.contents) else { return false };
    request
        .certification_request_info
        .subject
        .iter_organization()
        .any(|organization| organization.as_str().is_ok_and(|group| group == MASTERS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn the_group_stands_in_the_subject() {
        for (group, expected) in [("system:masters", true), ("dev", false)] {
            let Some(mut request) = Object::of("certificates.k8s.io/v1", "CertificateSigningRequest") else { return };
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::OrganizationName, group);
            let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
            request.set("spec.request", STANDARD.encode(pem));
            assert_eq!(asks_for_masters(&request), expected, "{group}");
        }
    }
}

//! Client certificates: the common name is the user, the organizations are the groups.

use std::sync::Arc;

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::user::UserInfo;

/// The caller a verified certificate names; `None` when it has no common name.
pub(crate) fn identity(der: &[u8]) -> Option<Arc<UserInfo>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().find_map(|name| name.as_str().ok())?;
    let groups = subject.iter_organization().filter_map(|name| name.as_str().ok());
    (!name.is_empty()).then(|| UserInfo::new(name, groups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn common_name_and_organizations_become_user_and_groups() {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "system:node:one");
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let user = identity(certificate.der()).unwrap();
        assert_eq!(user.node_name(), Some("one"));
        assert_eq!(user.groups, ["system:nodes", "system:authenticated"]);
        assert_eq!(identity(b"no certificate"), None);
    }
}

//! Certificates: three authorities, and everything they sign.
//!
//! `store` signs masters (as Raft peers and as etcd servers) and etcd clients; `cluster` signs the API server, nodes and
//! users; `front-proxy` signs aggregation front ends. A certificate of one authority means nothing to another, so a node or
//! an API user gets nothing from the store's ports.
//!
//! A master's identity on the store's ports is the URI `kontiki://<cluster id>/member/<member id>`, both ids as 16 hex
//! digits: identity by key, never by address.

use std::{net::IpAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};

use crate::files;

/// How long an authority is valid.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 3600);
/// How long a leaf certificate is valid.
const LEAF_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Certificates are valid from this long before they were made: the clock of the one that signs may be ahead by an hour, and that
/// of the one that checks behind by as much.
const CLOCK_SKEW: Duration = Duration::from_secs(2 * 3600);

/// A certificate and its key, PEM.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Pair {
    /// The certificate, PEM.
    pub cert: String,
    /// The private key, PKCS#8 PEM.
    pub key: String,
}

impl Pair {
    /// Writes `<stem>.crt` and `<stem>.key` (0600) into `dir`, durably.
    pub fn save(&self, dir: &Path, stem: &str) -> Result<()> {
        files::write_durably(&dir.join(format!("{stem}.crt")), self.cert.as_bytes(), 0o644)?;
        files::write_durably(&dir.join(format!("{stem}.key")), self.key.as_bytes(), 0o600)
    }

    /// Reads what [`Pair::save`] wrote.
    pub fn load(dir: &Path, stem: &str) -> Result<Self> {
        let read = |ending: &str| {
            let path = dir.join(format!("{stem}.{ending}"));
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Self { cert: read("crt")?, key: read("key")? })
    }
}

/// Who a leaf certificate is for, and what it may be used for.
#[derive(Clone, Debug, Default)]
pub struct Leaf {
    /// Subject common name: the user name in the Kubernetes API.
    pub common_name: String,
    /// Subject organizations: the groups in the Kubernetes API.
    pub organizations: Vec<String>,
    /// DNS names of a server.
    pub dns_names: Vec<String>,
    /// Addresses of a server.
    pub addresses: Vec<IpAddr>,
    /// URIs that name the holder (see the module's text).
    pub uris: Vec<String>,
    /// May authenticate a server.
    pub server: bool,
    /// May authenticate a client.
    pub client: bool,
}

/// A certificate authority with its key.
pub struct Authority {
    pair: Pair,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority.
    pub fn generate(common_name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        set_validity(&mut params, AUTHORITY_LIFETIME);
        let key = KeyPair::generate()?;
        let cert = params.self_signed(&key)?.pem();
        Self::from_pair(Pair { cert, key: key.serialize_pem() })
    }

    /// An authority read back.
    pub fn from_pair(pair: Pair) -> Result<Self> {
        let key = KeyPair::from_pem(&pair.key).context("the authority's key is not a PEM private key")?;
        let issuer = Issuer::from_ca_cert_pem(&pair.cert, key).context("the authority's certificate is not PEM")?;
        Ok(Self { pair, issuer })
    }

    /// Certificate and key.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// The certificate, PEM.
    pub fn cert(&self) -> &str {
        &self.pair.cert
    }

    /// Makes a key and signs a certificate for it.
    pub fn issue(&self, leaf: &Leaf) -> Result<Pair> {
        let key = KeyPair::generate()?;
        Ok(Pair { cert: self.sign(leaf, &key)?, key: key.serialize_pem() })
    }

    /// Signs the public key of a certificate signing request. Of the request only the key counts: names and uses are
    /// `leaf`'s, as the caller decided them.
    pub fn sign_request(&self, leaf: &Leaf, request_pem: &str) -> Result<String> {
        let request = CertificateSigningRequestParams::from_pem(request_pem).context("not a PEM signing request")?;
        self.sign(leaf, &request.public_key)
    }

    fn sign(&self, leaf: &Leaf, key: &impl PublicKeyData) -> Result<String> {
        let mut params = CertificateParams::new(leaf.dns_names.clone())?;
        params.distinguished_name.push(DnType::CommonName, leaf.common_name.as_str());
        for organization in &leaf.organizations {
            params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
        }
        params.subject_alt_names.extend(leaf.addresses.iter().copied().map(SanType::IpAddress));
        for uri in &leaf.uris {
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if leaf.server {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if leaf.client {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, LEAF_LIFETIME);
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }
}

fn set_validity(params: &mut CertificateParams, lifetime: Duration) {
    let now = api::clock::system_time();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + lifetime).into();
}

/// A new key and a signing request for it, both PEM: what a joining node sends.
pub fn signing_request() -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::new(Vec::new())?.serialize_request(&key)?.pem()?;
    Ok((request, key.serialize_pem()))
}

/// The URI that names a master on the store's ports.
pub fn member_uri(cluster_id: u64, member_id: u64) -> String {
    format!("kontiki://{cluster_id:016x}/member/{member_id:016x}")
}

/// The URI that tells the members of a former cluster that this one took its place: they stop where they meet it.
pub fn successor_uri(former_id: u64, cluster_id: u64) -> String {
    format!("kontiki://{former_id:016x}/succeeded-by/{cluster_id:016x}")
}

/// The three authorities of a cluster.
pub struct Authorities {
    /// Signs masters and etcd clients.
    pub store: Authority,
    /// Signs the API server, nodes and users.
    pub cluster: Authority,
    /// Signs aggregation front ends.
    pub front_proxy: Authority,
}

/// The authorities' certificates and keys, as they travel to a joining master and lie on a master's disk.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct AuthorityPairs {
    /// See [`Authorities::store`].
    pub store: Pair,
    /// See [`Authorities::cluster`].
    pub cluster: Pair,
    /// See [`Authorities::front_proxy`].
    pub front_proxy: Pair,
}

impl Authorities {
    /// Three new authorities.
    pub fn generate(cluster_id: u64) -> Result<Self> {
        Ok(Self {
            store: Authority::generate(&format!("kontiki-store-{cluster_id:016x}"))?,
            cluster: Authority::generate(&format!("kontiki-cluster-{cluster_id:016x}"))?,
            front_proxy: Authority::generate(&format!("kontiki-front-proxy-{cluster_id:016x}"))?,
        })
    }

    /// As they travel.
    pub fn pairs(&self) -> AuthorityPairs {
        AuthorityPairs {
            store: self.store.pair().clone(),
            cluster: self.cluster.pair().clone(),
            front_proxy: self.front_proxy.pair().clone(),
        }
    }

    /// Received or read back.
    pub fn from_pairs(pairs: AuthorityPairs) -> Result<Self> {
        Ok(Self {
            store: Authority::from_pair(pairs.store)?,
            cluster: Authority::from_pair(pairs.cluster)?,
            front_proxy: Authority::from_pair(pairs.front_proxy)?,
        })
    }

    /// Writes them below `dir`, durably.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.store.pair().save(dir, "store-ca")?;
        self.cluster.pair().save(dir, "cluster-ca")?;
        self.front_proxy.pair().save(dir, "front-proxy-ca")
    }

    /// Reads what [`Authorities::save`] wrote.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::from_pairs(AuthorityPairs {
            store: Pair::load(dir, "store-ca")?,
            cluster: Pair::load(dir, "cluster-ca")?,
            front_proxy: Pair::load(dir, "front-proxy-ca")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject_and_uri(pem: &str) -> (String, Vec<String>) {
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let cert = pem.parse_x509().unwrap();
        let uris = cert.subject_alternative_name().unwrap().map_or_else(Vec::new, |names| {
            let uri = |n: &x509_parser::extensions::GeneralName<'_>| match n {
                x509_parser::extensions::GeneralName::URI(uri) => Some((*uri).to_owned()),
                _ => None,
            };
            names.value.general_names.iter().filter_map(uri).collect()
        });
        (cert.subject().to_string(), uris)
    }

    #[test]
    fn a_signing_request_gets_the_names_that_the_signer_decided() {
        let authority = Authority::generate("test").unwrap();
        let (request, _) = signing_request().unwrap();
        let leaf = Leaf {
            common_name: "system:node:w1".into(),
            organizations: vec!["system:nodes".into()],
            client: true,
            ..Leaf::default()
        };
        let cert = authority.sign_request(&leaf, &request).unwrap();
        assert_eq!(subject_and_uri(&cert).0, "CN=system:node:w1, O=system:nodes");
    }

    #[test]
    fn certificates_are_good_where_a_clock_is_behind() {
        let authority = Authority::generate("test").unwrap();
        let leaf = authority.issue(&Leaf::default()).unwrap();
        for pem in [authority.cert(), leaf.cert.as_str()] {
            let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
            let begins = pem.parse_x509().unwrap().validity().not_before.timestamp();
            let age = api::clock::now().as_second() - begins;
            assert!((2 * 3600..3 * 3600).contains(&age), "{age}");
        }
    }

    #[test]
    fn authorities_survive_a_round_trip_through_files() {
        let dir = tempfile::tempdir().unwrap();
        let made = Authorities::generate(7).unwrap();
        made.save(dir.path()).unwrap();
        let read = Authorities::load(dir.path()).unwrap();
        let leaf = Leaf { common_name: "m1".into(), uris: vec![member_uri(7, 9)], server: true, ..Leaf::default() };
        let pair = read.store.issue(&leaf).unwrap();
        let uri = "kontiki://0000000000000007/member/0000000000000009".to_owned();
        assert_eq!(subject_and_uri(&pair.cert).1, vec![uri]);
        assert_eq!(read.cluster.cert(), made.cluster.cert());
    }
}

//! Who is on the other end: identity is a key certified by the store's own authority, never an address.
//!
//! A member's certificate carries the URI `kontiki://<cluster>/member/<id>`, a client's `kontiki://<cluster>/client/<name>`,
//! numbers as 16 hexadecimal digits. A certificate of another cluster is refused although its authority may be trusted; one
//! of a cluster that took the place of this one also carries `kontiki://<this cluster>/succeeded-by/<that cluster>`.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        ResolvesClientCert, WantsClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    time_provider::TimeProvider,
};
use tokio::sync::watch;
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use crate::{config::Tls, world::Subject};

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}; give the store's own authority, certificate and key as PEM")]
pub struct TlsError {
    what: &'static str,
    why: String,
}

fn unusable(what: &'static str) -> impl Fn(&dyn fmt::Display) -> TlsError {
    move |why| TlsError { what, why: why.to_string() }
}

/// The certificate shown to others; replaced while connections go on.
struct Resolver(ArcSwap<CertifiedKey>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What time it is to this member.
#[derive(Debug)]
struct Clock(fn() -> SystemTime);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        (self.0)().duration_since(UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

/// This member's certificate and the authority it trusts.
#[derive(Debug)]
pub(crate) struct Credentials {
    cluster_id: u64,
    member_id: u64,
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    resolver: Arc<Resolver>,
    clock: Arc<Clock>,
    /// The cluster that took the place of this one, once one of its members was met.
    successor: watch::Sender<Option<u64>>,
}

impl Credentials {
    pub(crate) fn new(cluster_id: u64, member_id: u64, tls: &Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let bad_authority = unusable("the authority");
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(tls.ca_pem.as_bytes()) {
            roots.add(certificate.map_err(|why| bad_authority(&why))?).map_err(|why| bad_authority(&why))?;
        }
        if roots.is_empty() {
            return Err(bad_authority(&"no certificate in it"));
        }
        let key = certified_key(&provider, tls, cluster_id, member_id)?;
        let resolver = Arc::new(Resolver(ArcSwap::from_pointee(key)));
        let (successor, clock) = (watch::Sender::new(None), Arc::new(Clock(tls.clock)));
        Ok(Self { cluster_id, member_id, provider, roots: Arc::new(roots), resolver, clock, successor })
    }

    /// Shows another certificate from the next handshake on.
    pub(crate) fn replace(&self, tls: &Tls) -> Result<(), TlsError> {
        let key = certified_key(&self.provider, tls, self.cluster_id, self.member_id)?;
        self.resolver.0.store(Arc::new(key));
        Ok(())
    }

    /// For listeners: the other side must show a certificate of this authority.
    pub(crate) fn server(&self) -> Result<ServerConfig, TlsError> {
        let bad = unusable("the authority cannot verify clients");
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), self.provider.clone())
            .build()
            .map_err(|why| bad(&why))?;
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|why| bad(&why))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(self.resolver.clone());
        config.time_provider = self.clock.clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// For a connection to one member, and to no other.
    pub(crate) fn client(&self, member_id: u64) -> Result<ClientConfig, TlsError> {
        let verifier = MemberVerifier {
            cluster_id: self.cluster_id,
            member_id,
            provider: self.provider.clone(),
            roots: self.roots.clone(),
            successor: self.successor.clone(),
        };
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|why| unusable("the protocol")(&why))?;
        let builder: rustls::ConfigBuilder<ClientConfig, WantsClientCert> =
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = builder.with_client_cert_resolver(self.resolver.clone());
        config.time_provider = self.clock.clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// Whom a verified certificate names, if it is one of this cluster.
    pub(crate) fn subject(&self, certificate: &CertificateDer<'_>) -> Option<Subject> {
        if let Some(successor) = successor(certificate, self.cluster_id) {
            self.successor.send_replace(Some(successor));
        }
        subject(certificate, self.cluster_id)
    }

    /// Tells when this cluster turns out to have been replaced: its authority has certified a successor.
    pub(crate) fn successor(&self) -> watch::Receiver<Option<u64>> {
        self.successor.subscribe()
    }
}

fn certified_key(
    provider: &CryptoProvider,
    tls: &Tls,
    cluster_id: u64,
    member_id: u64,
) -> Result<CertifiedKey, TlsError> {
    let bad_certificate = unusable("the certificate");
    let chain = CertificateDer::pem_slice_iter(tls.cert_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| bad_certificate(&why))?;
    let key = PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes()).map_err(|why| unusable("the key")(&why))?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|why| bad_certificate(&why))?;
    if key.cert.first().and_then(|certificate| subject(certificate, cluster_id)) != Some(Subject::Member(member_id)) {
        let expected = format!("it must carry the URI {}", member_uri(cluster_id, member_id));
        return Err(unusable("the certificate is not this member's")(&expected));
    }
    Ok(key)
}

fn member_uri(cluster_id: u64, member_id: u64) -> String {
    format!("kontiki://{cluster_id:016x}/member/{member_id:016x}")
}

fn subject(certificate: &CertificateDer<'_>, cluster_id: u64) -> Option<Subject> {
    names(certificate, cluster_id, |kind, name| match kind {
        "member" => identifier(name).map(Subject::Member),
        "client" => Some(Subject::Client(name.to_owned())),
        _ => None,
    })
}

/// The cluster that took the place of this one, if the certificate is of one of its members.
fn successor(certificate: &CertificateDer<'_>, cluster_id: u64) -> Option<u64> {
    names(certificate, cluster_id, |kind, name| if kind == "succeeded-by" { identifier(name) } else { None })
}

fn identifier(text: &str) -> Option<u64> {
    if text.len() == 16 { u64::from_str_radix(text, 16).ok() } else { None }
}

/// What the certificate's URIs say about a cluster: the first that means something.
fn names<T>(
    certificate: &CertificateDer<'_>,
    cluster_id: u64,
    mut meaning: impl FnMut(&str, &str) -> Option<T>,
) -> Option<T> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    let prefix = format!("kontiki://{cluster_id:016x}/");
    names.value.general_names.iter().find_map(|name| {
        let GeneralName::URI(uri) = name else { return None };
        let (kind, name) = uri.strip_prefix(&prefix)?.split_once('/')?;
        meaning(kind, name)
    })
}

/// Accepts one member's certificate, wherever it is reached.
#[derive(Debug)]
struct MemberVerifier {
    cluster_id: u64,
    member_id: u64,
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    successor: watch::Sender<Option<u64>>,
}

impl ServerCertVerifier for MemberVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        if subject(end_entity, self.cluster_id) == Some(Subject::Member(self.member_id)) {
            return Ok(ServerCertVerified::assertion());
        }
        if let Some(successor) = successor(end_entity, self.cluster_id) {
            self.successor.send_replace(Some(successor));
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

//! TLS configurations from PEM, with `ring` named explicitly: nothing here depends on a process-wide default.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

/// Why a TLS configuration could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A PEM text could not be read.
    #[error("the {what} is not a PEM file: check that it is complete and unencrypted")]
    Pem {
        /// Which of the three texts.
        what: &'static str,
        /// The reader's reason.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The authority's file holds no certificate.
    #[error("the certificate authority file holds no certificate")]
    NoAuthority,
    /// rustls refused the material.
    #[error("the TLS material was refused")]
    Tls(#[from] rustls::Error),
}

/// Certificates are good by the clock of the process, as everything else is ([`api::clock`]).
#[derive(Debug)]
pub struct ProcessClock;

impl TimeProvider for ProcessClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(api::clock::since_epoch()))
    }
}

/// A client configuration that trusts exactly `authority_pem`, and shows `identity` (certificate chain, key) when given.
pub fn client_config(authority_pem: &[u8], identity: Option<(&[u8], &[u8])>) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority_pem, "certificate authority")? {
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        return Err(Error::NoAuthority);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate_pem, key_pem)) => {
            let key =
                PrivateKeyDer::from_pem_slice(key_pem).map_err(|source| Error::Pem { what: "client key", source })?;
            builder.with_client_auth_cert(certificates(certificate_pem, "client certificate")?, key)?
        }
    };
    config.time_provider = Arc::new(ProcessClock);
    Ok(Arc::new(config))
}

/// The same configuration speaking only `protocol` (ALPN).
pub(crate) fn speaking(config: &ClientConfig, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|source| Error::Pem { what, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_authority_is_refused_by_name() {
        assert_eq!(
            client_config(b"", None).unwrap_err().to_string(),
            "the certificate authority file holds no certificate"
        );
    }
}

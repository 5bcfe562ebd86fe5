//! The API server's side of TLS: a client certificate is optional, a false one is refused.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use crate::pki::Pair;

/// Serves `identity`, followed by `authority` itself so that a joining machine finds the hash of its token in the chain.
///
/// # Errors
/// Certificates or a key that cannot be read or do not fit together.
pub fn server_config(authority: &str, identity: &Pair) -> Result<Arc<ServerConfig>> {
    let authorities = certificates(authority).context("the cluster authority is damaged")?;
    let mut roots = RootCertStore::empty();
    for certificate in authorities.iter().cloned() {
        roots.add(certificate)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let mut chain = certificates(&identity.cert).context("the server's certificate is damaged")?;
    chain.extend(authorities);
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).context("the server's key is damaged")?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.time_provider = Arc::new(client::tls::ProcessClock);
    Ok(Arc::new(config))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?)
}

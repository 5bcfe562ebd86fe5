//! The joining side: one POST to a master that proves, by its certificate chain, to be of the token's cluster.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::TcpStream, task::JoinSet, time::Instant};

use crate::token::{Token, certificate_hash};

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// A joining machine's patience: masters may be starting.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Posts `request` to `path` on the master at `url` until a master answers. A refusal comes back at once, with the
/// master's own words; only silence is tried again.
pub(crate) async fn post<T: DeserializeOwned>(
    url: &str,
    path: &str,
    token: &Token,
    request: &impl Serialize,
) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match attempt(url, path, token, request).await {
            Ok(Answer::Admitted(response)) => return Ok(response),
            Ok(Answer::Refused(reason)) => bail!("{url} refused: {reason}"),
            Err(error) => error,
        };
        if Instant::now() > deadline {
            return Err(error);
        }
        tracing::debug!(error = format!("{error:#}"), "trying again to join");
        tokio::time::sleep(PAUSE).await;
    }
}

enum Answer<T> {
    Admitted(T),
    Refused(String),
}

async fn attempt<T: DeserializeOwned>(
    url: &str,
    path: &str,
    token: &Token,
    request: &impl Serialize,
) -> Result<Answer<T>> {
    let attempt = async {
        let (host, address) = authority(url)?;
        let tcp = TcpStream::connect(&address).await.with_context(|| format!("no master answers at {address}"))?;
        tcp.set_nodelay(true)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls(token)?));
        let name = ServerName::try_from(host.clone()).with_context(|| format!("{host} is no host name"))?;
        let stream = connector.connect(name, tcp).await.with_context(|| {
            format!("{url} is not a master of the token's cluster: check the address, and the token's second part")
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let body = Full::new(Bytes::from(serde_json::to_vec(request)?));
        let request = Request::post(path).header("host", host).header("content-type", "application/json").body(body)?;
        let answer = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, RESPONSE_BYTES_MAX).collect().await;
            anyhow::Ok((head.status, body.map_err(|e| anyhow::anyhow!(e))?.to_bytes()))
        };
        // Polled beside the request, and ended with it; its own end says nothing that the answer does not say.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let (status, body) = answer.await?;
        if status.is_client_error() {
            return Ok(Answer::Refused(String::from_utf8_lossy(&body).trim().to_owned()));
        }
        ensure!(status.is_success(), "{url} answers {status}: {}", String::from_utf8_lossy(&body).trim());
        let response =
            serde_json::from_slice(&body).context("the master's answer is not understood: is it of another version?");
        Ok(Answer::Admitted(response?))
    };
    tokio::time::timeout(ATTEMPT_TIMEOUT, attempt)
        .await
        .with_context(|| format!("{url} did not answer within {ATTEMPT_TIMEOUT:?}"))?
}

/// Host and address of an `https` URL.
fn authority(url: &str) -> Result<(String, String)> {
    let uri: http::Uri = url.parse().with_context(|| format!("{url} is no URL: it reads https://<master>:6443"))?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https"));
    let host = host.with_context(|| format!("{url} is no https URL: it reads https://<master>:6443"))?;
    Ok((host.trim_matches(['[', ']']).to_owned(), format!("{host}:{}", uri.port_u16().unwrap_or(6443))))
}

fn tls(token: &Token) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Pinned { authority_hash: token.authority_hash.clone(), provider: provider.clone() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.time_provider = Arc::new(client::tls::ProcessClock);
    Ok(config)
}

/// Accepts a chain that contains, and leads to, the authority with this hash.
#[derive(Debug)]
struct Pinned {
    authority_hash: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = chain.iter().find(|cert| certificate_hash(cert) == self.authority_hash);
        let authority = pinned.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(leaf, &[], name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_urls_name_a_master() {
        assert_eq!(authority("https://10.0.0.1:6443").unwrap(), ("10.0.0.1".into(), "10.0.0.1:6443".into()));
        assert_eq!(authority("https://m1").unwrap(), ("m1".into(), "m1:6443".into()));
        assert_eq!(authority("https://[::1]:7").unwrap(), ("::1".into(), "[::1]:7".into()));
        for url in ["http://10.0.0.1:6443", "10.0.0.1", ""] {
            assert!(authority(url).is_err(), "{url}");
        }
    }
}

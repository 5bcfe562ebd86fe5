//! Pulling from registries, by `oci-client`.

use std::{io, path::Path, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use oci_client::{
    Client, RegistryOperation,
    client::{ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    manifest::{OciDescriptor, OciImageManifest},
    secrets::RegistryAuth,
};
use tokio::io::AsyncWriteExt;

use super::{
    Credential, Error,
    config::{CONFIG_MAX, Configuration},
    digest::Digest,
    reference::Reference,
    store::{Store, chains},
};
use crate::files;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pieces of data, not for the whole.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Of one image at the same time.
const LAYERS_AT_ONCE: usize = 3;

/// One pull. The caller pins the layers once the configuration is known, so that none it finds is collected meanwhile.
pub(super) struct Puller<'a> {
    reference: &'a Reference,
    client: Client,
}

impl<'a> Puller<'a> {
    /// Finds a credential that the registry takes, and the image's manifest.
    pub(super) async fn connect(
        reference: &'a Reference,
        credentials: &[Credential],
        insecure: &[String],
    ) -> Result<(Self, OciImageManifest, String), Error> {
        let mut refusal = None;
        for auth in candidates(reference, credentials) {
            let puller = Self { reference, client: client(reference, insecure) };
            match puller.manifest(&auth).await {
                Ok((manifest, digest)) => return Ok((puller, manifest, digest)),
                // The last one, without credentials, tells least.
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        let error = refusal.unwrap_or_else(|| OciDistributionError::GenericError(None));
        Err(failed(reference, describe(&error)))
    }

    async fn manifest(&self, auth: &RegistryAuth) -> Result<(OciImageManifest, String), OciDistributionError> {
        let image = self.reference.as_oci();
        // Asked for by itself, since otherwise a refused password turns into a nameless refusal of the manifest.
        self.client.auth(image, auth, RegistryOperation::Pull).await?;
        self.client.pull_image_manifest(image, auth).await
    }

    /// The image's configuration.
    pub(super) async fn configuration(&self, manifest: &OciImageManifest) -> Result<Configuration, Error> {
        if usize::try_from(manifest.config.size).is_ok_and(|size| size <= CONFIG_MAX) {
            let mut bytes = Vec::new();
            let mut pieces = self.blob(&manifest.config).await?;
            while let Some(piece) = pieces.try_next().await.map_err(|error| self.failed(error))? {
                bytes.extend_from_slice(&piece);
                if bytes.len() > CONFIG_MAX {
                    break;
                }
            }
            if bytes.len() <= CONFIG_MAX {
                let configuration = Configuration::parse(&self.reference.to_string(), bytes)?;
                let expected = manifest.config.digest.parse::<Digest>().map_err(|error| self.failed(error))?;
                if configuration.id != expected {
                    return Err(self.failed("the configuration is not what its digest says"));
                }
                return Ok(configuration);
            }
        }
        Err(self.failed(format!("the configuration is longer than {CONFIG_MAX} bytes")))
    }

    /// Unpacks the layers that the store does not have.
    pub(super) async fn layers(
        &self,
        store: &std::sync::Arc<Store>,
        manifest: &OciImageManifest,
        configuration: &Configuration,
    ) -> Result<(), Error> {
        if manifest.layers.len() != configuration.layers.len() {
            return Err(self.failed("manifest and configuration name different numbers of layers"));
        }
        let chains = chains(&configuration.layers);
        let wanted = manifest.layers.iter().zip(&configuration.layers).zip(chains);
        let missing = wanted.filter(|(_, chain)| !store.has(chain));
        let jobs: Vec<_> = missing.map(|((packed, diff), chain)| self.layer(store, packed, diff, chain)).collect();
        stream::iter(jobs).buffer_unordered(LAYERS_AT_ONCE).try_collect::<()>().await
    }

    async fn layer(
        &self,
        store: &std::sync::Arc<Store>,
        descriptor: &OciDescriptor,
        diff: &Digest,
        chain: Digest,
    ) -> Result<(), Error> {
        let file = store.temporary();
        let result = self.download(descriptor, &file).await;
        let result = match result {
            Ok(()) => {
                let (store, diff, packed) = (std::sync::Arc::clone(store), diff.clone(), file.clone());
                let unpack = move || store.unpack(std::fs::File::open(packed)?, &diff, &chain);
                let unpacked =
                    tokio::task::spawn_blocking(unpack).await.unwrap_or_else(|error| Err(io::Error::other(error)));
                unpacked.map_err(|error| self.failed(format!("layer {}: {error}", descriptor.digest)))
            }
            Err(error) => Err(error),
        };
        files::remove_all(&file).map_err(Error::store("removing a download"))?;
        result
    }

    /// Downloads a blob; its digest is verified while it comes.
    async fn download(&self, descriptor: &OciDescriptor, to: &Path) -> Result<(), Error> {
        let limit = u64::try_from(descriptor.size).unwrap_or_default();
        let mut pieces = self.blob(descriptor).await?;
        let mut file = tokio::fs::File::create(to).await.map_err(Error::store("downloading"))?;
        let mut length = 0;
        while let Some(piece) = pieces.try_next().await.map_err(|error| self.failed(error))? {
            length += piece.len() as u64;
            if length > limit {
                return Err(self.failed(format!("{} is longer than announced", descriptor.digest)));
            }
            file.write_all(&piece).await.map_err(Error::store("downloading"))?;
        }
        file.flush().await.map_err(Error::store("downloading"))
    }

    async fn blob(
        &self,
        descriptor: &OciDescriptor,
    ) -> Result<stream::BoxStream<'static, io::Result<bytes::Bytes>>, Error> {
        // Anything but a sha256 digest could not be verified here, and its name could be anything.
        descriptor.digest.parse::<Digest>().map_err(|error| self.failed(error))?;
        let blob = self.client.pull_blob_stream(self.reference.as_oci(), descriptor).await;
        Ok(blob.map_err(|error| self.failed(describe(&error)))?.stream)
    }

    fn failed(&self, message: impl ToString) -> Error {
        failed(self.reference, message)
    }
}

fn failed(reference: &Reference, message: impl ToString) -> Error {
    Error::Pull { image: reference.to_string(), message: message.to_string() }
}

fn client(reference: &Reference, insecure: &[String]) -> Client {
    // The HTTP library panics when no provider is installed; whoever installs first wins, and all install the same.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        rustls::crypto::ring::default_provider().install_default().ok();
    }
    let registry = reference.registry();
    let plain = reference.is_loopback() || insecure.iter().any(|name| name == registry);
    Client::new(ClientConfig {
        protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: concat!("kontiki/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
}

/// The credentials for this image's registry, and none at the end.
fn candidates(reference: &Reference, credentials: &[Credential]) -> Vec<RegistryAuth> {
    let own = canonical(reference.registry());
    let matching = credentials.iter().filter(|credential| {
        let name = canonical(&credential.registry);
        name == own || reference.repository().starts_with(&format!("{name}/"))
    });
    let basic = |credential: &Credential| RegistryAuth::Basic(credential.username.clone(), credential.password.clone());
    matching.map(basic).chain([RegistryAuth::Anonymous]).collect()
}

/// The host of the many spellings in which pull secrets name registries.
fn canonical(registry: &str) -> String {
    let bare = registry.trim_start_matches("https://").trim_start_matches("http://");
    let bare = bare.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches("/v2");
    match bare {
        "index.docker.io" | "registry-1.docker.io" | "registry.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

/// The error with its causes: the outermost alone says little more than that a request failed.
fn describe(error: &OciDistributionError) -> String {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => return "not found".to_owned(),
        OciDistributionError::RegistryError { envelope, .. } => {
            let words = |error: &oci_client::errors::OciError| format!("{}: {:?}", error.message, error.code);
            return envelope.errors.iter().map(words).collect::<Vec<_>>().join("; ");
        }
        OciDistributionError::UnauthorizedError { .. } => {
            return "pull access denied: the image does not exist or needs a pull secret".to_owned();
        }
        _ => {}
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_match_their_registry_in_any_spelling() {
        let credential = |registry: &str| Credential {
            registry: registry.to_owned(),
            username: registry.to_owned(),
            password: "p".to_owned(),
        };
        let all = ["https://index.docker.io/v1/", "reg.example:5000", "http://reg.example:5000/team", "other"]
            .map(credential);
        let check = |image: &str, expect: &[&str]| {
            let reference = Reference::parse(image).unwrap();
            let found = candidates(&reference, &all);
            let names: Vec<_> = found
                .iter()
                .map(|auth| if let RegistryAuth::Basic(name, _) = auth { name.as_str() } else { "" })
                .collect();
            assert_eq!(names, expect, "{image}");
        };
        check("nginx", &["https://index.docker.io/v1/", ""]);
        check("reg.example:5000/team/app", &["reg.example:5000", "http://reg.example:5000/team", ""]);
        check("reg.example:5000/teamwork", &["reg.example:5000", ""]);
        check("quay.io/a", &[""]);
    }
}

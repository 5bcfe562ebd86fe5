//! Image archives: what `docker save` and `skopeo copy ... docker-archive:` write, and OCI layouts in a tar file; plain
//! or packed with gzip or zstd.
//!
//! The archive's files are first spread into the store's folder for work in progress, since a tar file names its
//! contents at the end and a packed one cannot be read backwards.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Error,
    config::{CONFIG_MAX, Configuration, architecture},
    digest::{Digest, DigestReader},
    reference::Reference,
    store::{Store, chains},
    unpack,
};
use crate::files;

/// Links to links to links ... end here.
const LINKS_MAX: usize = 8;
const FILES_MAX: usize = 100_000;
/// Indexes within indexes.
const DEPTH_MAX: usize = 4;
const FULL_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct OciIndex {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct OciManifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: HashMap<String, String>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

/// An image inside an archive.
struct Found {
    names: Vec<String>,
    config: Vec<u8>,
    layers: Vec<PathBuf>,
}

/// Imports all images of an archive; returns their references.
pub(super) fn import(store: &Store, path: &Path) -> Result<Vec<String>, Error> {
    let name = path.display().to_string();
    let spread = store.temporary();
    let result = Contents::spread(path, &spread)
        .map_err(|error| Error::broken(&name, format!("it cannot be read as a tar archive: {error}")))
        .and_then(|contents| {
            let images = contents.images().map_err(|message| Error::broken(&name, message))?;
            let mut references = Vec::new();
            for image in images {
                references.extend(add(store, &name, image)?);
            }
            Ok(references)
        });
    files::remove_all(&spread).map_err(Error::store(name))?;
    result
}

fn add(store: &Store, archive: &str, image: Found) -> Result<Vec<String>, Error> {
    let configuration = Configuration::parse(archive, image.config)?;
    if configuration.layers.len() != image.layers.len() {
        return Err(Error::broken(archive, "its manifest and its configuration name different numbers of layers"));
    }
    let _pins = store.pin(&configuration.layers);
    let chains = chains(&configuration.layers);
    for ((file, diff), chain) in image.layers.iter().zip(&configuration.layers).zip(&chains) {
        let packed = File::open(file).map_err(Error::store(archive))?;
        store.unpack(packed, diff, chain).map_err(|error| Error::broken(archive, format!("layer {diff}: {error}")))?;
    }
    let mut references = Vec::new();
    for name in image.names {
        let reference = Reference::parse(&name)?.to_string();
        store.commit(&reference, &configuration, None)?;
        references.push(reference);
    }
    Ok(references)
}

/// The files of an archive.
struct Contents {
    files: HashMap<PathBuf, PathBuf>,
    links: HashMap<PathBuf, PathBuf>,
}

impl Contents {
    fn spread(archive: &Path, to: &Path) -> io::Result<Self> {
        fs::create_dir_all(to)?;
        let reader = unpack::decompressed(File::open(archive)?)?;
        let mut contents = Self { files: HashMap::new(), links: HashMap::new() };
        for (number, entry) in tar::Archive::new(reader).entries()?.enumerate() {
            if number == FILES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {FILES_MAX} files")));
            }
            let mut entry = entry?;
            let path = normal(&entry.path()?);
            let kind = entry.header().entry_type();
            if kind.is_file() {
                let file = to.join(number.to_string());
                io::copy(&mut entry, &mut File::create(&file)?)?;
                contents.files.insert(path, file);
            } else if let (true, Some(target)) = (kind.is_symlink() || kind.is_hard_link(), entry.link_name()?) {
                let base = path.parent().filter(|_| kind.is_symlink()).unwrap_or(Path::new(""));
                contents.links.insert(path.clone(), normal(&base.join(target)));
            }
        }
        Ok(contents)
    }

    /// The spread file of a path in the archive.
    fn file(&self, path: &str) -> Result<&Path, String> {
        let mut at = normal(Path::new(path));
        for _ in 0..LINKS_MAX {
            match (self.files.get(&at), self.links.get(&at)) {
                (Some(file), _) => return Ok(file),
                (None, Some(target)) => at.clone_from(target),
                (None, None) => break,
            }
        }
        Err(format!("{path} is missing in it"))
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(CONFIG_MAX).unwrap_or(u64::MAX) + 1;
        let file = File::open(self.file(path)?).map_err(|error| format!("{path}: {error}"))?;
        file.take(limit).read_to_end(&mut bytes).map_err(|error| format!("{path}: {error}"))?;
        if bytes.len() > CONFIG_MAX { Err(format!("{path} is longer than {CONFIG_MAX} bytes")) } else { Ok(bytes) }
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        serde_json::from_slice(&self.bytes(path)?).map_err(|error| format!("{path}: {error}"))
    }

    fn images(&self) -> Result<Vec<Found>, String> {
        if self.file("manifest.json").is_ok() {
            return self.docker_images();
        }
        if self.file("index.json").is_ok() {
            return self.oci_images();
        }
        Err("it has neither manifest.json (docker save) nor index.json (OCI layout)".to_owned())
    }

    fn docker_images(&self) -> Result<Vec<Found>, String> {
        let list: Vec<DockerImage> = self.json("manifest.json")?;
        let found = |image: DockerImage| {
            Ok(Found {
                names: named(image.repo_tags.unwrap_or_default())?,
                config: self.bytes(&image.config)?,
                layers: image
                    .layers
                    .iter()
                    .map(|layer| Ok(self.file(layer)?.to_owned()))
                    .collect::<Result<_, String>>()?,
            })
        };
        list.into_iter().map(found).collect()
    }

    fn oci_images(&self) -> Result<Vec<Found>, String> {
        let index: OciIndex = self.json("index.json")?;
        index.manifests.iter().map(|descriptor| self.oci_image(descriptor)).collect()
    }

    fn oci_image(&self, descriptor: &Descriptor) -> Result<Found, String> {
        let full = descriptor.annotations.get(FULL_NAME);
        // The short annotation is only a tag in some tools; a tag alone names no image.
        let short = descriptor.annotations.get(REF_NAME).filter(|name| name.contains([':', '/', '@']));
        let manifest = self.manifest(descriptor.clone())?;
        let config = self.bytes(&self.blob(&manifest.config)?)?;
        let mut layers = Vec::new();
        for layer in &manifest.layers {
            layers.push(self.file(&self.blob(layer)?)?.to_owned());
        }
        Ok(Found { names: named(full.or(short).cloned().into_iter().collect())?, config, layers })
    }

    /// The manifest for this node, through indexes of platforms.
    fn manifest(&self, mut descriptor: Descriptor) -> Result<OciManifest, String> {
        for _ in 0..DEPTH_MAX {
            let path = self.blob(&descriptor)?;
            if !descriptor.media_type.contains("index") && !descriptor.media_type.contains("manifest.list") {
                return self.json(&path);
            }
            let index: OciIndex = self.json(&path)?;
            let fits = |entry: &Descriptor| {
                entry.platform.as_ref().is_none_or(|of| of.os == "linux" && of.architecture == architecture())
            };
            let none = || format!("it has no image for linux/{}", architecture());
            descriptor = index.manifests.into_iter().find(fits).ok_or_else(none)?;
        }
        Err("its indexes are nested too deeply".to_owned())
    }

    /// The path of a blob whose content is what its name says.
    fn blob(&self, descriptor: &Descriptor) -> Result<String, String> {
        let path = format!("blobs/sha256/{}", descriptor.digest.hex());
        let file = File::open(self.file(&path)?).map_err(|error| format!("{path}: {error}"))?;
        DigestReader::new(file).verify(&descriptor.digest).map_err(|error| format!("{path}: {error}"))?;
        Ok(path)
    }
}

fn named(names: Vec<String>) -> Result<Vec<String>, String> {
    if names.is_empty() {
        let fix = "save it with a name, as in \"docker save repository:tag\" or \"skopeo copy ... \
                   docker-archive:file.tar:repository:tag\"";
        return Err(format!("it contains an image without a name: {fix}"));
    }
    Ok(names)
}

/// A path as a key: without `.` and with `..` applied; it is never used on the node's file system.
fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::Normal(name) => clean.push(name),
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::RootDir | std::path::Component::CurDir | std::path::Component::Prefix(_) => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests;

//! Images: names, the store on disk, and the ways into it.
//!
//! An image is known by its reference (`docker.io/library/nginx:1.27`) and identified by the digest of its
//! configuration. [`Images`] promises that an image it hands out is complete, verified and unpacked, and stays so
//! until [`Images::collect`] is called without it: after a crash everything half-written is gone and everything
//! announced is there. It does not mount anything; the runtime stacks [`Image::layers`] itself.
//!
//! Ways in: the built-in demo image, archives in a folder (`docker save` or OCI layout; plain, gzip or zstd), and
//! registries. Layers are unpacked while they are verified and then not kept in packed form.

mod archive;
mod config;
mod demo;
mod digest;
mod error;
mod reference;
mod registry;
mod store;
mod unpack;

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::Instant};

pub use error::Error;
use reference::Reference;
use registry::Puller;
use store::{ArchiveStamp, Store};

/// An image that is ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The normalized reference it was asked for by.
    pub reference: String,
    /// Digest of its configuration (`sha256:...`).
    pub id: String,
    /// `repository@sha256:...` of its manifest, when it came from a registry.
    pub repo_digest: Option<String>,
    /// Bytes of its unpacked files.
    pub size: u64,
    /// How its author meant it to run.
    pub config: ImageConfig,
    /// Folders of its unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
}

/// The part of an image's configuration that matters at start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Program and first arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments, or program and arguments when there is no entrypoint.
    pub cmd: Vec<String>,
    /// `NAME=value` lines.
    pub env: Vec<String>,
    /// Working directory; empty is `/`.
    pub working_dir: String,
    /// `user[:group]`, names or numbers; empty is root.
    pub user: String,
    /// Signal that asks it to stop, for example `SIGQUIT`; `None` is `SIGTERM`.
    pub stop_signal: Option<String>,
}

/// When to look for an image outside the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time.
    Always,
    /// Only when the node does not have it.
    IfNotPresent,
    /// Never.
    Never,
}

/// A name and password for one registry, from a pull secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credential {
    /// Registry host, with port if any (`registry.example:5000`, `https://index.docker.io/v1/`).
    pub registry: String,
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("registry", &self.registry)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Where images are kept and come from.
#[derive(Debug, Clone)]
pub struct Config {
    /// The store's folder.
    pub dir: PathBuf,
    /// A folder with archives to import.
    pub archives: Option<PathBuf>,
    /// Registries (`host[:port]`) that are asked over plain HTTP. Registries on this node always are.
    pub insecure_registries: Vec<String>,
    /// How many images are pulled at the same time.
    pub parallel_pulls: usize,
}

/// An image that was asked for.
#[derive(Debug, Clone)]
pub struct Ensured {
    /// The image.
    pub image: Arc<Image>,
    /// How long the pull took, if there was one.
    pub pulled: Option<Duration>,
}

/// An image that was asked for so recently is not collected, as its container may not be there yet.
const MIN_AGE: Duration = Duration::from_secs(120);

type Pull = Shared<BoxFuture<'static, Result<Arc<Image>, Error>>>;

/// The images of this node; clones are the same store.
#[derive(Debug, Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    store: Arc<Store>,
    permits: Semaphore,
    /// Pulls under way: whoever wants the same image with the same credentials waits for the same one.
    pulls: Mutex<HashMap<(String, Vec<Credential>), Pull>>,
    /// When an image (by id) was last asked for.
    asked: Mutex<HashMap<String, Instant>>,
    /// One import at a time.
    imports: tokio::sync::Mutex<()>,
}

impl Images {
    /// Opens the store, removes leftovers, adds the demo image and imports archives. An archive that cannot be imported
    /// is reported in the log and left.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let dir = config.dir.clone();
        let store = blocking(move || {
            let store = Store::open(&dir)?;
            demo::add(&store)?;
            Ok(store)
        })
        .await?;
        let inner = Inner {
            permits: Semaphore::new(config.parallel_pulls.max(1)),
            store: Arc::new(store),
            pulls: Mutex::default(),
            asked: Mutex::default(),
            imports: tokio::sync::Mutex::default(),
            config,
        };
        let images = Self { inner: Arc::new(inner) };
        images.rescan().await?;
        Ok(images)
    }

    /// Gets the image onto this node as the policy says.
    pub async fn ensure(&self, name: &str, policy: PullPolicy, credentials: &[Credential]) -> Result<Ensured, Error> {
        let reference = Reference::parse(name)?;
        let local = policy != PullPolicy::Always || demo::is_demo(&reference.to_string());
        if local && let Some(image) = self.get(name).await? {
            return Ok(Ensured { image, pulled: None });
        }
        if policy == PullPolicy::Never {
            return Err(Error::NeverPull(name.to_owned()));
        }
        let begin = Instant::now();
        let image = self.pull(reference, credentials).await?;
        Ok(Ensured { image: self.asked(image), pulled: Some(begin.elapsed()) })
    }

    /// The image, if it is on this node or in the folder with archives.
    pub async fn get(&self, name: &str) -> Result<Option<Arc<Image>>, Error> {
        let reference = Reference::parse(name)?.to_string();
        if let Some(image) = self.load(&reference).await? {
            return Ok(Some(self.asked(image)));
        }
        self.rescan().await?;
        Ok(self.load(&reference).await?.map(|image| self.asked(image)))
    }

    async fn load(&self, reference: &str) -> Result<Option<Arc<Image>>, Error> {
        let (store, reference) = (Arc::clone(&self.inner.store), reference.to_owned());
        Ok(blocking(move || store.get(&reference)).await?.map(Arc::new))
    }

    fn asked(&self, image: Arc<Image>) -> Arc<Image> {
        self.inner.asked.lock().insert(image.id.clone(), Instant::now());
        image
    }

    /// All images, one per reference.
    pub fn list(&self) -> Vec<Arc<Image>> {
        let store = &self.inner.store;
        // One that is removed meanwhile, or cannot be read, is not there.
        store.references().iter().filter_map(|reference| store.get(reference).ok().flatten()).map(Arc::new).collect()
    }

    /// Imports an archive, whichever folder it lies in.
    pub async fn import(&self, archive: &Path) -> Result<Vec<Arc<Image>>, Error> {
        let _one = self.inner.imports.lock().await;
        let (store, path) = (Arc::clone(&self.inner.store), archive.to_owned());
        blocking(move || {
            let references = archive::import(&store, &path)?;
            let images = references.iter().filter_map(|reference| store.get(reference).transpose());
            images.map(|image| image.map(Arc::new)).collect()
        })
        .await
    }

    /// Imports the archives that are new.
    async fn rescan(&self) -> Result<(), Error> {
        let Some(folder) = self.inner.config.archives.clone() else { return Ok(()) };
        let _one = self.inner.imports.lock().await;
        let store = Arc::clone(&self.inner.store);
        blocking(move || {
            rescan(&store, &folder);
            Ok(())
        })
        .await
    }

    async fn pull(&self, reference: Reference, credentials: &[Credential]) -> Result<Arc<Image>, Error> {
        let key = (reference.to_string(), credentials.to_vec());
        let pull = {
            let mut pulls = self.inner.pulls.lock();
            let inner = Arc::clone(&self.inner);
            let make = || {
                let key = key.clone();
                async move {
                    let result = inner.pull(&reference, &key.1).await;
                    inner.pulls.lock().remove(&key);
                    result
                }
                .boxed()
                .shared()
            };
            pulls.entry(key.clone()).or_insert_with(make).clone()
        };
        pull.await
    }

    /// Removes images whose id is not in use, and what only they needed. Returns the bytes freed.
    pub async fn collect(&self, in_use: &HashSet<String>) -> Result<u64, Error> {
        let mut keep = in_use.clone();
        {
            let mut asked = self.inner.asked.lock();
            asked.retain(|_, at| at.elapsed() < MIN_AGE);
            keep.extend(asked.keys().cloned());
        }
        let store = Arc::clone(&self.inner.store);
        blocking(move || store.collect(|reference, id| demo::is_demo(reference) || keep.contains(id))).await
    }
}

impl Inner {
    async fn pull(&self, reference: &Reference, credentials: &[Credential]) -> Result<Arc<Image>, Error> {
        let closed = |_| Error::Store { what: reference.to_string(), message: "the store is closing".to_owned() };
        let _permit = self.permits.acquire().await.map_err(closed)?;
        let insecure = &self.config.insecure_registries;
        let (puller, manifest, digest) = Puller::connect(reference, credentials, insecure).await?;
        let configuration = puller.configuration(&manifest).await?;
        let _pins = self.store.pin(&configuration.layers);
        puller.layers(&self.store, &manifest, &configuration).await?;
        let repo_digest = format!("{}@{}", reference.repository(), reference.digest().unwrap_or(&digest));
        let (store, name) = (Arc::clone(&self.store), reference.to_string());
        let image = blocking(move || {
            store.commit(&name, &configuration, Some(repo_digest))?;
            store.get(&name)
        })
        .await?;
        image.map(Arc::new).ok_or_else(|| Error::broken(reference.to_string(), "it disappeared after the pull"))
    }
}

fn rescan(store: &Store, folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| is_archive(path)) {
        let Ok(metadata) = fs::metadata(path) else { continue };
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_nanos = i128::try_from(modified.unwrap_or_default().as_nanos()).unwrap_or(i128::MAX);
        let length = metadata.len();
        if store.knows_archive(path, length, modified_nanos) {
            continue;
        }
        let imported = archive::import(store, path).and_then(|references| {
            tracing::info!(archive = %path.display(), images = ?references, "imported");
            store.commit_archive(path, ArchiveStamp { length, modified_nanos, references })
        });
        if let Err(error) = imported {
            tracing::warn!(archive = %path.display(), %error, "not imported");
        }
    }
}

fn is_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [".tar", ".tar.gz", ".tgz", ".tar.zst"].iter().any(|end| name.ends_with(end))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let failed = |error: tokio::task::JoinError| Error::Store { what: "a task".to_owned(), message: error.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

//! The image store on disk.
//!
//! ```text
//! <dir>/index.json             which references there are, and what they consist of: the truth
//! <dir>/blobs/sha256/<hex>     image configurations
//! <dir>/snapshots/<chain>/fs   one unpacked layer, named by the chain of the layers up to it
//! <dir>/tmp/                   work in progress; emptied at start
//! ```
//! Everything is made in `tmp`, then renamed. The index is written last, after what it names is on disk; whatever it does
//! not name is removed at start. All functions here block.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{Error, Image, config::Configuration, digest::Digest, unpack};
use crate::files;

const INDEX: &str = "index.json";
const INDEX_VERSION: u32 = 1;
const SIZE_FILE: &str = "size";

/// The store.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    index: Mutex<Index>,
    /// Snapshots that an unfinished image relies on, with the number of such images.
    pinned: Mutex<BTreeMap<String, usize>>,
    serial: AtomicU64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Index {
    version: u32,
    images: BTreeMap<String, Entry>,
    archives: BTreeMap<PathBuf, ArchiveStamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    id: Digest,
    layers: Vec<Digest>,
    repo_digest: Option<String>,
}

/// An archive file that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ArchiveStamp {
    pub(super) length: u64,
    pub(super) modified_nanos: i128,
    pub(super) references: Vec<String>,
}

/// Keeps snapshots from being collected while an image is being put together.
pub(super) struct Pins<'a> {
    store: &'a Store,
    chains: Vec<Digest>,
}

impl Drop for Pins<'_> {
    fn drop(&mut self) {
        let mut pinned = self.store.pinned.lock();
        for chain in &self.chains {
            if let Some(count) = pinned.get_mut(chain.hex()) {
                *count -= 1;
                if *count == 0 {
                    pinned.remove(chain.hex());
                }
            }
        }
    }
}

impl Store {
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        let failed = |error| Error::store(dir.display().to_string())(error);
        files::remove_all(&dir.join("tmp")).map_err(failed)?;
        for folder in ["blobs/sha256", "snapshots", "tmp"] {
            fs::create_dir_all(dir.join(folder)).map_err(failed)?;
        }
        let mut index = match fs::read(dir.join(INDEX)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Index { version: INDEX_VERSION, images: BTreeMap::new(), archives: BTreeMap::new() }
            }
            Err(error) => return Err(failed(error)),
        };
        if index.version != INDEX_VERSION {
            let message = format!("version {} of the index is not known to this agent", index.version);
            return Err(Error::Store { what: dir.join(INDEX).display().to_string(), message });
        }
        let pinned = Mutex::new(BTreeMap::new());
        let store = Self { dir: dir.to_owned(), index: Mutex::new(index.clone()), pinned, serial: AtomicU64::new(0) };
        index.images.retain(|reference, entry| {
            let whole = store.is_whole(entry);
            if !whole {
                tracing::warn!(image = reference, "parts of the image are missing: forgotten");
            }
            whole
        });
        *store.index.lock() = index;
        store.sweep()?;
        Ok(store)
    }

    fn is_whole(&self, entry: &Entry) -> bool {
        self.blob(&entry.id).is_file() && chains(&entry.layers).iter().all(|chain| self.has(chain))
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    fn snapshot(&self, chain: &Digest) -> PathBuf {
        self.dir.join("snapshots").join(chain.hex())
    }

    /// Whether the layer on top of this chain is unpacked.
    pub(super) fn has(&self, chain: &Digest) -> bool {
        self.snapshot(chain).join(SIZE_FILE).is_file()
    }

    /// A name in the folder for work in progress.
    pub(super) fn temporary(&self) -> PathBuf {
        self.dir.join("tmp").join(self.serial.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Keeps the layers of a configuration until the result is dropped.
    pub(super) fn pin(&self, layers: &[Digest]) -> Pins<'_> {
        let chains = chains(layers);
        let mut pinned = self.pinned.lock();
        for chain in &chains {
            *pinned.entry(chain.hex().to_owned()).or_default() += 1;
        }
        Pins { store: self, chains }
    }

    /// Unpacks one layer under its chain, unless it is there.
    pub(super) fn unpack(&self, packed: impl io::Read, diff: &Digest, chain: &Digest) -> io::Result<()> {
        if self.has(chain) {
            return Ok(());
        }
        let work = self.temporary();
        let result = self.unpack_in(&work, packed, diff, chain);
        if result.is_err() {
            // The folder for work in progress is emptied at the next start anyway.
            files::remove_all(&work).ok();
        }
        result
    }

    fn unpack_in(&self, work: &Path, packed: impl io::Read, diff: &Digest, chain: &Digest) -> io::Result<()> {
        fs::create_dir_all(work.join("fs"))?;
        let size = unpack::layer(packed, &work.join("fs"), diff)?;
        fs::write(work.join(SIZE_FILE), size.to_string())?;
        match fs::rename(work, self.snapshot(chain)) {
            // Another image with the same layer was faster.
            Err(_) if self.has(chain) => files::remove_all(work),
            result => result,
        }
    }

    /// Makes an image known by a reference, once all its layers are unpacked.
    pub(super) fn commit(
        &self,
        reference: &str,
        configuration: &Configuration,
        repo_digest: Option<String>,
    ) -> Result<(), Error> {
        let failed = |error| Error::store(format!("adding {reference}"))(error);
        let blob = self.blob(&configuration.id);
        if !blob.is_file() {
            let work = self.temporary();
            fs::write(&work, &configuration.bytes).and_then(|()| fs::rename(&work, &blob)).map_err(failed)?;
        }
        let entry = Entry { id: configuration.id.clone(), layers: configuration.layers.clone(), repo_digest };
        if !self.is_whole(&entry) {
            return Err(Error::broken(reference, "a layer disappeared while the image was added"));
        }
        // One sync for all of the image's files is far cheaper than one per file.
        let dir = fs::File::open(&self.dir).map_err(failed)?;
        rustix::fs::syncfs(&dir).map_err(|error| failed(error.into()))?;
        self.change(|index| {
            index.images.insert(reference.to_owned(), entry);
        })
    }

    /// Remembers that an archive was imported.
    pub(super) fn commit_archive(&self, path: &Path, stamp: ArchiveStamp) -> Result<(), Error> {
        self.change(|index| {
            index.archives.insert(path.to_owned(), stamp);
        })
    }

    /// Whether this very archive was imported and what it gave is still there.
    pub(super) fn knows_archive(&self, path: &Path, length: u64, modified_nanos: i128) -> bool {
        let index = self.index.lock();
        index.archives.get(path).is_some_and(|stamp| {
            let same = stamp.length == length && stamp.modified_nanos == modified_nanos;
            same && stamp.references.iter().all(|reference| index.images.contains_key(reference))
        })
    }

    fn change(&self, change: impl FnOnce(&mut Index)) -> Result<(), Error> {
        let mut index = self.index.lock();
        let mut next = index.clone();
        change(&mut next);
        let write = || {
            let work = self.temporary();
            let mut file = fs::File::create(&work)?;
            file.write_all(&serde_json::to_vec(&next)?)?;
            file.sync_all()?;
            fs::rename(work, self.dir.join(INDEX))?;
            fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(Error::store(INDEX))?;
        *index = next;
        Ok(())
    }

    /// The image with this reference.
    pub(super) fn get(&self, reference: &str) -> Result<Option<Image>, Error> {
        let Some(entry) = self.index.lock().images.get(reference).cloned() else { return Ok(None) };
        let bytes = fs::read(self.blob(&entry.id)).map_err(Error::store(reference))?;
        let configuration = Configuration::parse(reference, bytes)?;
        let mut size = 0;
        let mut layers = Vec::new();
        for chain in chains(&entry.layers) {
            let snapshot = self.snapshot(&chain);
            size += size_of(&snapshot);
            layers.push(snapshot.join("fs"));
        }
        Ok(Some(Image {
            reference: reference.to_owned(),
            id: entry.id.to_string(),
            repo_digest: entry.repo_digest,
            size,
            config: configuration.config,
            layers,
        }))
    }

    pub(super) fn references(&self) -> Vec<String> {
        self.index.lock().images.keys().cloned().collect()
    }

    /// Forgets images that `keep` does not want (reference, id), and removes what no image needs. Returns bytes freed.
    pub(super) fn collect(&self, keep: impl Fn(&str, &str) -> bool) -> Result<u64, Error> {
        self.change(|index| index.images.retain(|reference, entry| keep(reference, &entry.id.to_string())))?;
        self.sweep()
    }

    fn sweep(&self) -> Result<u64, Error> {
        let failed = |error| Error::store("removing what is not used")(error);
        let entries: Vec<_> = self.index.lock().images.values().cloned().collect();
        let blobs: BTreeSet<_> = entries.iter().map(|entry| entry.id.hex().to_owned()).collect();
        let snapshots: BTreeSet<_> =
            entries.iter().flat_map(|entry| chains(&entry.layers)).map(|chain| chain.hex().to_owned()).collect();
        let mut freed = 0;
        for (folder, used) in [("blobs/sha256", blobs), ("snapshots", snapshots)] {
            for found in fs::read_dir(self.dir.join(folder)).map_err(failed)? {
                let found = found.map_err(failed)?;
                let name = found.file_name().to_string_lossy().into_owned();
                // Held while removing, so that nobody begins to rely on it meanwhile.
                let pinned = self.pinned.lock();
                if used.contains(&name) || pinned.contains_key(&name) {
                    continue;
                }
                freed += size_of(&found.path());
                // Out of the way first: half a snapshot must never be found under its name.
                let work = self.temporary();
                fs::rename(found.path(), &work).map_err(failed)?;
                drop(pinned);
                files::remove_all(&work).map_err(failed)?;
            }
        }
        Ok(freed)
    }
}

fn size_of(snapshot: &Path) -> u64 {
    fs::read_to_string(snapshot.join(SIZE_FILE)).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The chain at each layer, lowest first.
pub(super) fn chains(layers: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(layers.len());
    for layer in layers {
        chains.push(Digest::chain(chains.last(), layer));
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_go_and_committed_images_stay() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let layer = tar::Builder::new(Vec::new()).into_inner().unwrap();
        let diff = Digest::of(&layer);
        let bytes = format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff}"]}}}}"#).into_bytes();
        let configuration = Configuration::parse("a", bytes).unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.commit("a:1", &configuration, None).is_err(), "its layer is missing");
        let pins = store.pin(&configuration.layers);
        store.unpack(layer.as_slice(), &diff, &diff).unwrap();
        assert_eq!(store.collect(|_, _| false).unwrap(), 0);
        assert!(store.has(&diff), "pinned");
        store.commit("a:1", &configuration, None).unwrap();
        drop(pins);
        fs::create_dir_all(dir.path().join("snapshots/half")).unwrap();
        fs::write(dir.path().join("tmp/x"), "x").unwrap();
        drop(store);

        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.get("a:1").unwrap().unwrap().layers.len(), 1);
        assert!(!dir.path().join("snapshots/half").exists() && !dir.path().join("tmp/x").exists());
        store.collect(|_, _| false).unwrap();
        assert!(store.get("a:1").unwrap().is_none() && !store.has(&diff));
        assert_eq!(fs::read_dir(dir.path().join("blobs/sha256")).unwrap().count(), 0);
    }

    #[test]
    fn an_index_of_the_future_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(INDEX), r#"{"version":2,"images":{},"archives":{}}"#).unwrap();
        assert!(Store::open(dir.path()).unwrap_err().to_string().contains("version 2"));
    }
}

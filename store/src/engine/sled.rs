//! Rows in sled: one tree, no timer.
//!
//! sled's own flush writes its log without making it durable on Linux, so `sync` also syncs every file of the folder.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::engine::{Changes, Engine, EngineError};

/// Pages sled keeps in memory: checkpoints only write, and one scan reads everything.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Sled {
    db: sled::Db,
    dir: PathBuf,
}

impl Sled {
    pub(crate) fn open(dir: &Path) -> Result<Self, EngineError> {
        let config = sled::Config::new().path(dir).flush_every_ms(None).cache_capacity(CACHE_BYTES);
        Ok(Self { db: config.open()?, dir: dir.to_owned() })
    }
}

impl From<sled::Error> for EngineError {
    fn from(error: sled::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for EngineError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl Engine for Sled {
    fn write(&mut self, changes: Changes) -> Result<(), EngineError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        Ok(self.db.apply_batch(batch)?)
    }

    fn write_loosely(&mut self, mut changes: Changes) -> Result<(), EngineError> {
        // A batch of sled's is a hash map: in the order of the keys, neighbours find the same leaf.
        changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (key, value) in changes {
            match value {
                Some(value) => self.db.insert(key, value)?,
                None => self.db.remove(key)?,
            };
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), EngineError> {
        self.db.flush()?;
        Ok(sync_folder(&self.dir)?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.db.get(key)?.map(|value| value.to_vec()))
    }

    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), EngineError> {
        for row in &*self.db {
            let (key, value) = row?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn size_on_disk(&self) -> u64 {
        // It is looked at now and then: what cannot be read counts the next time.
        self.db.size_on_disk().unwrap_or_default()
    }

    fn clear(&mut self) -> Result<(), EngineError> {
        Ok(self.db.clear()?)
    }
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => sync_folder(&entry.path())?,
            kind if kind.is_file() => match File::open(entry.path()) {
                Ok(file) => file.sync_all()?,
                // sled removes old snapshot files when it likes.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
            _ => {}
        }
    }
    File::open(dir)?.sync_all()
}

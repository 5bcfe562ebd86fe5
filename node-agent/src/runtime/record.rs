//! What is kept about a pod in its directory, for an agent that starts again:
//! `<run_dir>/pods/<uid>/sandbox.json`, and below it `containers/<id>/container.json`, beside which the shim puts
//! `exit.json`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Exit, Resources, SandboxSpec,
    protocol::{CONTAINERS, EXIT_FILE, ExitRecord},
};
use crate::files;

const SANDBOX_FILE: &str = "sandbox.json";
const CONTAINER_FILE: &str = "container.json";

/// A pod.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SandboxRecord {
    pub(super) spec: SandboxSpec,
    pub(super) created_at: Timestamp,
}

/// A container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ContainerRecord {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) attempt: u32,
    pub(super) image: String,
    pub(super) image_id: String,
    pub(super) log_path: PathBuf,
    pub(super) stop_signal: i32,
    pub(super) resources: Resources,
    pub(super) labels: BTreeMap<String, String>,
}

impl SandboxRecord {
    pub(super) fn write(&self, pod_dir: &Path) -> io::Result<()> {
        write(&pod_dir.join(SANDBOX_FILE), self)
    }

    /// `None` when the pod was never complete.
    pub(super) fn read(pod_dir: &Path) -> io::Result<Option<Self>> {
        read(&pod_dir.join(SANDBOX_FILE))
    }
}

impl ContainerRecord {
    pub(super) fn write(&self, pod_dir: &Path) -> io::Result<()> {
        write(&folder(pod_dir, &self.id).join(CONTAINER_FILE), self)
    }

    /// All containers of a pod; folders without a record were never complete.
    pub(super) fn read_all(pod_dir: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(pod_dir.join(CONTAINERS)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut records = Vec::new();
        for entry in entries {
            records.extend(read(&entry?.path().join(CONTAINER_FILE))?);
        }
        Ok(records)
    }

    /// How the container ended, if the shim wrote it down.
    pub(super) fn exit(&self, pod_dir: &Path) -> Option<Exit> {
        read::<ExitRecord>(&folder(pod_dir, &self.id).join(EXIT_FILE)).ok().flatten().map(Exit::from)
    }
}

/// The folder of one container in its pod's directory.
pub(super) fn folder(pod_dir: &Path, id: &str) -> PathBuf {
    pod_dir.join(CONTAINERS).join(id)
}

impl From<ExitRecord> for Exit {
    fn from(record: ExitRecord) -> Self {
        Self {
            code: record.code,
            signal: record.signal,
            oom_killed: record.oom_killed,
            unknown: false,
            started_at: timestamp(record.started_nanos),
            finished_at: timestamp(record.finished_nanos),
        }
    }
}

/// A shim's time; 64 bits of nanoseconds are always in range.
pub(super) fn timestamp(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default()
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    files::write_atomically(path, &serde_json::to_vec(value)?, 0o600)
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

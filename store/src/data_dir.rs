//! The member's directory, and the stamp that says whose it is.
//!
//! ```text
//! <dir>/member.json   who the directory belongs to     <dir>/wal/   the log     the rest   see persistence
//! ```

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    config::{Config, Start},
    world::{Disk, DiskReader, write_durably},
};

const STAMP: &str = "member.json";
const MAGIC: &str = "kontiki store";
const FORMAT: u32 = 1;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// The file system refused.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A new member wants an empty directory.
    #[error(
        "{} is not empty: a new member needs an empty directory; to go on with the member in it, start it without creating or \
         joining a cluster", path.display()
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A restart wants one with a member in it.
    #[error("{} holds no member: create a cluster there, or join one", path.display())]
    NoMember {
        /// The directory.
        path: PathBuf,
    },
    /// Another member's directory.
    #[error(
        "{} belongs to member {member_id} of cluster {cluster_id}; start that member, or use an empty directory", path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The member it names.
        member_id: String,
        /// The cluster it names.
        cluster_id: String,
    },
    /// Written by a newer version.
    #[error("{} has format {found}, this version knows {FORMAT}; run the version that wrote it", path.display())]
    Newer {
        /// The stamp.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Not what was written once.
    #[error("{} is damaged: whose directory this is cannot be told; empty it, and let the member join again", path.display())]
    Unreadable {
        /// The stamp.
        path: PathBuf,
    },
}

/// What every format of the stamp has.
#[derive(Deserialize)]
struct Format {
    magic: String,
    format: u32,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    magic: String,
    format: u32,
    cluster_id: String,
    member_id: String,
    /// Whether the member created the cluster, so that a creation cut short can be finished.
    creates_cluster: bool,
    /// The checksum of all the others.
    crc32: String,
}

impl Stamp {
    fn new(cluster_id: u64, member_id: u64, creates_cluster: bool) -> Self {
        let mut stamp = Self {
            magic: MAGIC.to_owned(),
            format: FORMAT,
            cluster_id: format!("{cluster_id:016x}"),
            member_id: format!("{member_id:016x}"),
            creates_cluster,
            crc32: String::new(),
        };
        stamp.crc32 = stamp.checksum();
        stamp
    }

    fn checksum(&self) -> String {
        let Self { magic, format, cluster_id, member_id, creates_cluster, crc32: _ } = self;
        let text = format!("{magic} {format} {cluster_id} {member_id} {creates_cluster}");
        format!("{:08x}", crc32fast::hash(text.as_bytes()))
    }
}

/// A directory checked and stamped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Whether the cluster is to be created, should that not have happened yet.
    pub(crate) creates_cluster: bool,
}

/// Stamps a directory whose content was put there from outside: the member that starts in it goes on from that.
pub(crate) fn stamp(disk: &dyn Disk, path: &Path, cluster_id: u64, member_id: u64) -> io::Result<()> {
    let stamp = Stamp::new(cluster_id, member_id, false);
    write_durably(disk, path, STAMP, &serde_json::to_vec_pretty(&stamp)?)
}

impl DataDir {
    pub(crate) fn open(disk: &dyn Disk, config: &Config) -> Result<Self, DirError> {
        let path = config.dir.clone();
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |source| DirError::Io { path, source }
        };
        disk.create_folder(&path).map_err(at(&path))?;
        let stamp_path = path.join(STAMP);
        let expected = Stamp::new(config.cluster_id, config.member_id, config.start == Start::Init);
        if config.start == Start::Restart {
            let creates_cluster = check(disk, &path, &stamp_path, &expected)?;
            return Ok(Self { path, creates_cluster });
        }
        if !disk.list(&path).map_err(at(&path))?.is_empty() {
            return Err(DirError::NotEmpty { path });
        }
        write_durably(
            disk,
            &path,
            STAMP,
            &serde_json::to_vec_pretty(&expected).map_err(io::Error::from).map_err(at(&stamp_path))?,
        )
        .map_err(at(&stamp_path))?;
        Ok(Self { path, creates_cluster: expected.creates_cluster })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.path.join("wal")
    }
}

fn check(disk: &dyn Disk, dir: &Path, stamp_path: &Path, expected: &Stamp) -> Result<bool, DirError> {
    let bytes = match DiskReader::read_file(disk, stamp_path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DirError::NoMember { path: dir.to_path_buf() });
        }
        Err(source) => return Err(DirError::Io { path: stamp_path.to_path_buf(), source }),
    };
    let unreadable = || DirError::Unreadable { path: stamp_path.to_path_buf() };
    let Format { magic, format } = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
    if magic == MAGIC && format > FORMAT {
        return Err(DirError::Newer { path: stamp_path.to_path_buf(), found: format });
    }
    let stamp: Stamp = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
    if stamp.magic != MAGIC || stamp.crc32 != stamp.checksum() {
        return Err(unreadable());
    }
    if (&stamp.cluster_id, &stamp.member_id) != (&expected.cluster_id, &expected.member_id) {
        let Stamp { cluster_id, member_id, .. } = stamp;
        return Err(DirError::Foreign { path: dir.to_path_buf(), member_id, cluster_id });
    }
    Ok(stamp.creates_cluster)
}

//! The end of a snapshot that was saved over etcd's API: a checksum of all of it, where etcd's clients look for one.
//!
//! They take a file for whole when its last 32 bytes are a SHA-256 and what is before fills sectors of 512 bytes. The
//! store's own checksums say more; this one is checked too when it is there.

use std::{io::Read, path::Path};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{BLOCK_BYTES, Damage, DiskReader, LoadError};
use crate::world::Disk;

/// The first byte.
pub(super) const SEAL: u8 = 3;
const SECTOR: usize = 512;
const SUM: usize = 32;
/// Of a seal.
const BYTES_MAX: usize = SECTOR + SUM;

/// Makes the seal of what goes by.
#[derive(Debug, Default)]
pub(crate) struct Sealer {
    sum: Sha256,
    length: usize,
}

impl Sealer {
    /// Takes note of the next piece.
    pub(crate) fn take(&mut self, piece: &[u8]) {
        self.sum.update(piece);
        self.length += piece.len();
    }

    /// The last piece.
    pub(crate) fn seal(mut self) -> Bytes {
        let filled = (self.length + 1).next_multiple_of(SECTOR);
        let mut seal = vec![0; filled - self.length];
        seal[0] = SEAL;
        self.sum.update(&seal);
        seal.extend_from_slice(&self.sum.finalize());
        seal.into()
    }
}

/// The seal of a snapshot that is being read, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Seal(Vec<u8>);

impl Seal {
    /// Takes what comes after the snapshot.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        let first = self.0.first().or(bytes.first());
        if first.is_some_and(|first| *first != SEAL) || self.0.len() + bytes.len() > BYTES_MAX {
            return Err(Damage::new("bytes after the end"));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether there is one, once everything has come.
    pub(super) fn finish(&self) -> Result<bool, Damage> {
        let Some((_, rest)) = self.0.split_first() else { return Ok(false) };
        let zeros = rest.len().checked_sub(SUM).and_then(|zeros| rest.get(..zeros));
        if zeros.is_none_or(|zeros| zeros.iter().any(|byte| *byte != 0)) {
            return Err(Damage::new("the seal is not one"));
        }
        Ok(true)
    }
}

/// Checks the sum at the end of a sealed file.
pub(super) fn verify(disk: &dyn Disk, path: &Path) -> Result<(), LoadError> {
    let mut file = DiskReader::open(disk, path)?;
    let (mut sum, mut length, mut buffer, mut kept) = (Sha256::new(), 0, vec![0; BLOCK_BYTES], 0);
    // The last bytes read are kept back, until it is known that they are not the sum.
    loop {
        let read = file.read(&mut buffer[kept..])?;
        length += read;
        kept += read;
        if read == 0 {
            break;
        }
        let sure = kept.saturating_sub(SUM);
        sum.update(&buffer[..sure]);
        buffer.copy_within(sure..kept, 0);
        kept -= sure;
    }
    if length % SECTOR == SUM && sum.finalize()[..] == buffer[..kept] {
        Ok(())
    } else {
        Err(Damage::new("the sum at the end is not that of the file").into())
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        etcdserverpb::PutRequest,
        raftpb::{Command, command::Body},
    };

    use super::*;
    use crate::{
        rows::Owner,
        snapshot::{SnapshotSource, load},
        state_machine::StateMachine,
        world::RealDisk,
    };

    const OWNER: Owner = Owner { cluster_id: 1, member_id: 2 };

    fn sealed(keys: u64) -> (Vec<u8>, usize) {
        let state = StateMachine::new();
        for n in 1..=keys {
            let put = PutRequest { key: n.to_string().into(), ..PutRequest::default() };
            state.apply(1, n, &Command { body: Some(Body::Put(put)), ..Command::default() }).unwrap();
        }
        let (mut sealer, mut file) = (Sealer::default(), Vec::new());
        for block in SnapshotSource::new(state.view(), OWNER) {
            let block = block.unwrap();
            sealer.take(&block);
            file.extend_from_slice(&block);
        }
        let end = file.len();
        file.extend_from_slice(&sealer.seal());
        (file, end)
    }

    fn read(bytes: &[u8]) -> Result<(), LoadError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot");
        std::fs::write(&path, bytes).unwrap();
        load(&RealDisk, &path, OWNER.cluster_id).map(drop)
    }

    #[test]
    fn a_sealed_file_looks_whole_to_etcds_clients_and_is_read_back() {
        for keys in 0..40 {
            let (file, _) = sealed(keys);
            assert_eq!(file.len() % SECTOR, SUM);
            read(&file).unwrap();
        }
    }

    #[test]
    fn no_byte_of_it_changes_and_no_part_is_missing_without_notice() {
        let (file, end) = sealed(3);
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert!(read(&damaged).is_err(), "a changed byte at {at} went unnoticed");
            // Without any seal it is a whole snapshot too.
            assert_eq!(read(&file[..at]).is_ok(), at == end, "{at} of {} bytes", file.len());
        }
        assert!(read(&[&file[..], b"x"].concat()).is_err());
    }
}

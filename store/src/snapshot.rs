//! A whole state as a stream of bytes: for a member that fell behind the log, for a backup, and for a restore.
//!
//! ```text
//! header   "KONTIKI\0" | length u32 | meta (format version, owner, position, membership, revisions, hash) | crc32 u32
//! block    0x01 | raw length u32 | length u32 | crc32 u32 | zstd of at most 256 KiB of rows
//! ...
//! trailer  0x02 | rows u64 | xxh3-128 of all raw bytes | crc32 u32
//! seal     0x03 | zeros up to a multiple of 512 | sha256 of all before: when it was saved over etcd's API
//! ```
//! A row may span blocks. The source holds a view and one block; the sink takes any pieces of the stream, and gives a
//! state out only after the trailer has confirmed all of it.

pub(crate) mod seal;

use std::{
    io::{self, Read},
    path::Path,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::Xxh3;

use self::seal::Seal;
use crate::{
    rows::{Collector, Damage, Meta, Owner, RowCursor},
    state_machine::{Position, State, StateMachine, View},
    world::{Disk, DiskReader},
};

const MAGIC: &[u8; 8] = b"KONTIKI\0";
const BLOCK: u8 = 1;
const TRAILER: u8 = 2;
/// Raw bytes of a block.
const BLOCK_BYTES: usize = 256 * 1024;
/// The largest row and the largest header there can be: a request has 1.5 MiB, an answer a few of them.
const ROW_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Fast enough for a disk and a network to be the limit.
const ZSTD_LEVEL: i32 = 1;

/// A view as snapshot blocks.
#[derive(Debug)]
pub struct SnapshotSource {
    view: View,
    owner: Owner,
    cursor: RowCursor,
    raw: Vec<u8>,
    rows: u64,
    hash: ContentHash,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Blocks,
    Done,
}

/// The hash of all raw bytes.
struct ContentHash(Box<Xxh3>);

impl std::fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0.digest128())
    }
}

impl SnapshotSource {
    /// The snapshot of a view.
    pub fn new(view: View, owner: Owner) -> Self {
        let hash = ContentHash(Box::new(Xxh3::new()));
        Self { view, owner, cursor: RowCursor::default(), raw: Vec::new(), rows: 0, hash, stage: Stage::Header }
    }

    /// The last log entry it holds.
    pub fn position(&self) -> Option<Position> {
        self.view.position()
    }

    fn header(&self) -> Bytes {
        let meta = Meta::of(self.view.state(), self.owner).encode();
        let mut to = MAGIC.to_vec();
        to.put_u32(u32::try_from(meta.len()).unwrap_or(u32::MAX));
        to.extend_from_slice(&meta);
        to.put_u32(crc32fast::hash(&meta));
        to.into()
    }

    fn block(&mut self) -> io::Result<Option<Bytes>> {
        self.rows += self.cursor.fill(self.view.state(), &mut self.raw, BLOCK_BYTES);
        if self.raw.is_empty() {
            return Ok(None);
        }
        let rest = self.raw.split_off(self.raw.len().min(BLOCK_BYTES));
        let raw = std::mem::replace(&mut self.raw, rest);
        self.hash.0.update(&raw);
        let packed = zstd::bulk::compress(&raw, ZSTD_LEVEL)?;
        let mut to = Vec::with_capacity(packed.len() + 13);
        to.put_u8(BLOCK);
        to.put_u32(u32::try_from(raw.len()).unwrap_or(u32::MAX));
        to.put_u32(u32::try_from(packed.len()).unwrap_or(u32::MAX));
        to.put_u32(crc32fast::hash(&packed));
        to.extend_from_slice(&packed);
        Ok(Some(to.into()))
    }

    fn trailer(&self) -> Bytes {
        let mut to = vec![TRAILER];
        to.put_u64(self.rows);
        to.put_u128(self.hash.0.digest128());
        to.put_u32(crc32fast::hash(&to[1..]));
        to.into()
    }
}

impl Iterator for SnapshotSource {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self.stage {
            Stage::Header => {
                self.stage = Stage::Blocks;
                Some(Ok(self.header()))
            }
            Stage::Blocks => match self.block() {
                Ok(Some(block)) => Some(Ok(block)),
                Ok(None) => {
                    self.stage = Stage::Done;
                    Some(Ok(self.trailer()))
                }
                Err(error) => Some(Err(error)),
            },
            Stage::Done => None,
        }
    }
}

/// Takes a snapshot in, piece by piece.
#[derive(Debug)]
pub struct SnapshotSink {
    /// The only cluster whose snapshots are taken, unless any is.
    cluster_id: Option<u64>,
    /// Bytes of the stream that are not a whole header, block or trailer yet.
    input: BytesMut,
    meta: Option<Meta>,
    /// Raw bytes that do not make a whole row yet.
    raw: BytesMut,
    collector: Collector,
    hash: ContentHash,
    complete: bool,
    seal: Seal,
}

impl SnapshotSink {
    /// Takes snapshots of this cluster only.
    pub fn new(cluster_id: u64) -> Self {
        Self { cluster_id: Some(cluster_id), ..Self::of_any_cluster() }
    }

    /// Takes any cluster's: to look at a backup, or to restore it.
    pub fn of_any_cluster() -> Self {
        Self {
            cluster_id: None,
            input: BytesMut::new(),
            meta: None,
            raw: BytesMut::new(),
            collector: Collector::default(),
            hash: ContentHash(Box::new(Xxh3::new())),
            complete: false,
            seal: Seal::default(),
        }
    }

    /// Shares with a state at hand what both have: a member that fell behind needs memory only for what it missed.
    #[must_use]
    pub fn sharing(mut self, at_hand: &View) -> Self {
        self.collector.share(at_hand.state().mvcc.clone());
        self
    }

    /// Takes the next piece, cut anywhere.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Damage> {
        if self.complete {
            return self.seal.push(piece);
        }
        self.input.extend_from_slice(piece);
        if self.meta.is_none() && !self.take_header()? {
            return Ok(());
        }
        while !self.complete {
            let taken = match self.input.first() {
                Some(&BLOCK) => self.take_block()?,
                Some(&TRAILER) => self.take_trailer()?,
                Some(kind) => return Err(Damage(format!("a part of unknown kind {kind}"))),
                None => false,
            };
            if !taken {
                return Ok(());
            }
        }
        self.seal.push(&std::mem::take(&mut self.input))
    }

    fn take_header(&mut self) -> Result<bool, Damage> {
        let Some((fixed, rest)) = self.input.split_at_checked(12) else { return Ok(false) };
        if &fixed[..8] != MAGIC {
            return Err(Damage::new("not a snapshot of this store"));
        }
        let len = (&fixed[8..]).try_get_u32()? as usize;
        if len > ROW_BYTES_MAX {
            return Err(Damage::new("the header is too long"));
        }
        if rest.len() < len + 4 {
            return Ok(false);
        }
        let mut header = self.input.split_to(12 + len + 4).freeze();
        header.advance(12);
        let meta = header.split_to(len);
        check_crc(&meta, header.try_get_u32()?)?;
        let meta = Meta::decode(Bytes::copy_from_slice(&meta))?;
        if self.cluster_id.is_some_and(|expected| expected != meta.owner.cluster_id) {
            return Err(Damage(format!("a snapshot of another cluster, {:016x}", meta.owner.cluster_id)));
        }
        self.meta = Some(meta);
        Ok(true)
    }

    fn take_block(&mut self) -> Result<bool, Damage> {
        let Some((mut fixed, rest)) = self.input.split_at_checked(13) else { return Ok(false) };
        fixed.advance(1);
        let (raw_len, len, crc) = (fixed.try_get_u32()? as usize, fixed.try_get_u32()? as usize, fixed.try_get_u32()?);
        if raw_len > BLOCK_BYTES || len > 2 * BLOCK_BYTES {
            return Err(Damage::new("a block is too long"));
        }
        if rest.len() < len {
            return Ok(false);
        }
        let packed = &rest[..len];
        check_crc(packed, crc)?;
        let raw = zstd::bulk::decompress(packed, raw_len).map_err(|error| Damage(error.to_string()))?;
        if raw.len() != raw_len {
            return Err(Damage::new("a block has another length than it says"));
        }
        self.input.advance(13 + len);
        self.hash.0.update(&raw);
        self.raw.extend_from_slice(&raw);
        while let Some((mut fixed, rest)) = self.raw.split_at_checked(4) {
            let len = fixed.try_get_u32()? as usize;
            if len == 0 || len > ROW_BYTES_MAX {
                return Err(Damage::new("a row has an impossible length"));
            }
            if rest.len() < len {
                break;
            }
            self.raw.advance(4);
            let mut row = self.raw.split_to(len).freeze();
            let tag = row.get_u8();
            self.collector.add(tag, row)?;
        }
        Ok(true)
    }

    fn take_trailer(&mut self) -> Result<bool, Damage> {
        if self.input.len() < 29 {
            return Ok(false);
        }
        let mut trailer = self.input.split_to(29).freeze();
        trailer.advance(1);
        let body = trailer.split_to(24);
        check_crc(&body, trailer.try_get_u32()?)?;
        let mut body = body;
        let (rows, hash) = (body.try_get_u64()?, body.try_get_u128()?);
        if rows != self.collector.rows || hash != self.hash.0.digest128() || !self.raw.is_empty() {
            return Err(Damage::new("the rows are not those that were written"));
        }
        self.complete = true;
        Ok(true)
    }

    /// The state, once everything has arrived.
    pub fn finish(self) -> Result<Restored, Damage> {
        let meta = self.meta.filter(|_| self.complete).ok_or_else(|| Damage::new("the snapshot ends early"))?;
        self.seal.finish()?;
        let owner = meta.owner;
        Ok(Restored { owner, state: Box::new(self.collector.finish(meta)?) })
    }
}

fn check_crc(bytes: &[u8], crc: u32) -> Result<(), Damage> {
    if crc32fast::hash(bytes) == crc { Ok(()) } else { Err(Damage::new("a checksum does not match")) }
}

/// A verified state, ready to take the place of another.
#[derive(Debug)]
pub struct Restored {
    owner: Owner,
    state: Box<State>,
}

impl Restored {
    /// Whose state it is, and which member wrote it.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The last log entry it holds.
    pub fn position(&self) -> Option<Position> {
        self.state.position
    }

    /// The membership, as the Raft layer wrote it.
    pub fn membership(&self) -> &Bytes {
        &self.state.membership
    }
}

impl StateMachine {
    /// Replaces the whole state at once. Watches go on where the new state has their revisions.
    pub fn install(&self, restored: Restored) {
        self.replace(*restored.state);
    }
}

/// Why a snapshot file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read the snapshot file")]
    Io(#[from] io::Error),
    /// It does not hold what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Writes a snapshot file: all of it, durably, or nothing. Returns its length.
pub fn save(disk: &dyn Disk, path: &Path, view: View, owner: Owner) -> io::Result<u64> {
    let unfinished = path.with_extension("unfinished");
    match write_blocks(disk, &unfinished, view, owner) {
        Ok(len) => {
            disk.rename(&unfinished, path)?;
            if let Some(dir) = path.parent() {
                disk.flush_folder(dir)?;
            }
            Ok(len)
        }
        Err(error) => {
            // What it takes is needed, whatever else is wrong.
            drop(disk.remove(&unfinished));
            Err(error)
        }
    }
}

fn write_blocks(disk: &dyn Disk, path: &Path, view: View, owner: Owner) -> io::Result<u64> {
    let file = disk.create(path)?;
    let mut len = 0;
    for block in SnapshotSource::new(view, owner) {
        let block = block?;
        file.write_at(&block, len)?;
        len += block.len() as u64;
    }
    file.flush()?;
    Ok(len)
}

/// The last log entry that a snapshot file holds, as its header says.
pub fn peek(disk: &dyn Disk, path: &Path, cluster_id: u64) -> Result<Option<Position>, LoadError> {
    let mut file = DiskReader::open(disk, path)?;
    let mut sink = SnapshotSink::new(cluster_id);
    let mut buffer = vec![0; BLOCK_BYTES];
    while sink.meta.is_none() {
        match file.read(&mut buffer)? {
            0 => return Err(Damage::new("the snapshot ends early").into()),
            n => sink.push(&buffer[..n])?,
        }
    }
    Ok(sink.meta.and_then(|meta| meta.position))
}

/// Reads a snapshot file.
pub fn load(disk: &dyn Disk, path: &Path, cluster_id: u64) -> Result<Restored, LoadError> {
    read_into(disk, path, SnapshotSink::new(cluster_id))
}

/// Reads a snapshot file of whatever cluster.
pub fn load_any(disk: &dyn Disk, path: &Path) -> Result<Restored, LoadError> {
    read_into(disk, path, SnapshotSink::of_any_cluster())
}

fn read_into(disk: &dyn Disk, path: &Path, mut sink: SnapshotSink) -> Result<Restored, LoadError> {
    let mut file = DiskReader::open(disk, path)?;
    let mut buffer = vec![0; BLOCK_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => sink.push(&buffer[..n])?,
        }
    }
    if sink.seal.finish()? {
        seal::verify(disk, path)?;
    }
    Ok(sink.finish()?)
}

//! Layers become folders that overlayfs can stack.
//!
//! Every path is resolved by the kernel inside the layer's folder, so neither `..` nor a symbolic link leads out. What
//! an archive says about owners, modes, times, extended attributes, device nodes and hard links is kept; a whiteout
//! becomes a character device 0:0 and an opaque folder gets the attribute that overlayfs reads.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, linkat, mkdirat,
        mknodat, openat2, symlinkat, unlinkat,
    },
    io::Errno,
};
use tar::{Entry, EntryType};

use super::digest::{Digest, DigestReader};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const XATTR_RECORD: &str = "SCHILY.xattr.";

/// Unpacks a layer, plain or packed, into the empty folder `to`; returns the size of its files. The unpacked stream must
/// have the digest `expected`.
pub(crate) fn layer(packed: impl Read, to: &Path, expected: &Digest) -> io::Result<u64> {
    let mut reader = DigestReader::new(decompressed(packed)?);
    let mut layer = Layer::open(to)?;
    for entry in tar::Archive::new(&mut reader).entries()? {
        layer.add(&mut entry?)?;
    }
    layer.finish()?;
    let size = layer.size;
    reader.verify(expected)?;
    Ok(size)
}

/// The stream without its packing, which its first bytes tell.
pub(crate) fn decompressed<'a>(mut packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::with_capacity(4);
    packed.by_ref().take(4).read_to_end(&mut magic)?;
    let kind = magic.clone();
    let whole = io::Cursor::new(magic).chain(packed);
    Ok(match kind.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(whole))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

struct Layer {
    root: OwnedFd,
    /// The folder of the last entry: archives name neighbours one after the other.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Times of folders, set last, since every new entry changes them.
    folder_times: BTreeMap<PathBuf, u64>,
    size: u64,
}

impl Layer {
    fn open(root: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root, parent: None, folder_times: BTreeMap::new(), size: 0 })
    }

    fn add(&mut self, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
        let path = inside(&entry.path()?)?;
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let Some(name) = path.file_name() else {
            // The layer's own root.
            return self.metadata_of_folder(entry, Path::new("")).map_err(at);
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let parent = self.parent(folder).map_err(at)?;
        let result = match name.as_bytes() {
            OPAQUE => set_opaque(parent.as_fd()),
            bytes if bytes.starts_with(WHITEOUT) => {
                whiteout(parent.as_fd(), OsStr::from_bytes(&bytes[WHITEOUT.len()..]))
            }
            _ => self.make(entry, parent.as_fd(), name, &path),
        };
        self.parent = Some((folder.to_owned(), parent));
        result.map_err(at)
    }

    /// Opens the folder of an entry, making it if the archive did not list it.
    fn parent(&mut self, folder: &Path) -> io::Result<OwnedFd> {
        match self.parent.take() {
            Some((path, fd)) if path == folder => Ok(fd),
            _ => ensure_folder(self.root.as_fd(), folder),
        }
    }

    fn make(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
    ) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if kind == EntryType::Directory {
            match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => {}
                Err(Errno::EXIST) if is_folder(parent, name)? => {}
                Err(Errno::EXIST) => {
                    unlinkat(parent, name, AtFlags::empty())?;
                    mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
                }
                Err(error) => return Err(error.into()),
            }
            return self.metadata_of_folder(entry, path);
        }
        replace(parent, name)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut file = File::from(rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
                self.size += io::copy(entry, &mut file)?;
                return metadata_of_file(entry, &file);
            }
            EntryType::Symlink => symlinkat(link_name(entry)?, parent, name)?,
            EntryType::Link => {
                let target = inside(&link_name(entry)?)?;
                let folder = open_inside(self.root.as_fd(), target.parent().unwrap_or(Path::new("")))?;
                let target = target.file_name().ok_or(io::ErrorKind::InvalidData)?;
                // The other name has the metadata.
                return Ok(linkat(folder, target, parent, name, AtFlags::empty())?);
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => make_node(entry, parent, name, kind)?,
            // Headers that the archive reader has applied already, and types nobody makes.
            _ => return Ok(()),
        }
        metadata_of_other(entry, parent, name, kind)
    }

    fn metadata_of_folder(&mut self, entry: &mut Entry<'_, impl Read>, path: &Path) -> io::Result<()> {
        let folder = openat2(
            &self.root,
            if path.as_os_str().is_empty() { Path::new(".") } else { path },
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )?;
        owner_and_mode(entry, folder.as_fd())?;
        self.folder_times.insert(path.to_owned(), mtime(entry));
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        for (path, time) in &self.folder_times {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            // A folder that a later entry replaced has its own time.
            rustix::fs::utimensat(&self.root, path, &times(*time), AtFlags::SYMLINK_NOFOLLOW).ok();
        }
        Ok(())
    }
}

/// A path of an archive, relative and without `.` and `..`.
fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                let text = format!("{} leads out of the layer", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
    }
    Ok(clean)
}

fn open_inside(root: BorrowedFd<'_>, folder: &Path) -> Result<OwnedFd, Errno> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(root, folder, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

fn ensure_folder(root: BorrowedFd<'_>, folder: &Path) -> io::Result<OwnedFd> {
    match open_inside(root, folder) {
        Err(Errno::NOENT) => {}
        result => return Ok(result?),
    }
    let mut so_far = PathBuf::new();
    let mut at = open_inside(root, &so_far)?;
    for part in folder.components() {
        so_far.push(part);
        at = match open_inside(root, &so_far) {
            Err(Errno::NOENT) => {
                mkdirat(&at, part.as_os_str(), Mode::from_raw_mode(0o755))?;
                open_inside(root, &so_far)?
            }
            result => result?,
        };
    }
    Ok(at)
}

fn is_folder(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    let status = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(status.st_mode) == FileType::Directory)
}

/// An entry listed twice counts with its last form. A folder with something in it stays.
fn replace(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?),
        Err(error) => Err(error.into()),
    }
}

fn whiteout(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    if name.is_empty() || name == "." || name == ".." {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "whiteout of nothing"));
    }
    match mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
        // The layer has the name too, which hides the lower one just as well.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn set_opaque(folder: BorrowedFd<'_>) -> io::Result<()> {
    // Attributes cannot be set through a path descriptor.
    let folder = rustix::fs::openat(folder, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::fs::fsetxattr(folder, "trusted.overlay.opaque", b"y", XattrFlags::empty())?)
}

fn link_name(entry: &Entry<'_, impl Read>) -> io::Result<PathBuf> {
    let name = entry.link_name_bytes().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "link to nothing"))?;
    Ok(OsString::from_vec(name.into_owned()).into())
}

fn make_node(entry: &Entry<'_, impl Read>, parent: BorrowedFd<'_>, name: &OsStr, kind: EntryType) -> io::Result<()> {
    let header = entry.header();
    let number = || {
        Ok::<_, io::Error>(rustix::fs::makedev(
            header.device_major()?.unwrap_or(0),
            header.device_minor()?.unwrap_or(0),
        ))
    };
    let (kind, number) = match kind {
        EntryType::Char => (FileType::CharacterDevice, number()?),
        EntryType::Block => (FileType::BlockDevice, number()?),
        _ => (FileType::Fifo, 0),
    };
    Ok(mknodat(parent, name, kind, Mode::from_raw_mode(0o600), number)?)
}

fn times(mtime: u64) -> Timestamps {
    let time = Timespec { tv_sec: i64::try_from(mtime).unwrap_or(0), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// Fields that some tools leave blank count as zero.
fn ids(entry: &Entry<'_, impl Read>) -> io::Result<(Option<Uid>, Option<Gid>)> {
    let header = entry.header();
    let number = |field: &[u8], id: io::Result<u64>| {
        let blank = field.iter().all(|byte| matches!(byte, 0 | b' '));
        let id = if blank { 0 } else { id? };
        u32::try_from(id).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "owner out of range"))
    };
    let uid = number(&header.as_old().uid, header.uid())?;
    let gid = number(&header.as_old().gid, header.gid())?;
    Ok((Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))))
}

fn mtime(entry: &Entry<'_, impl Read>) -> u64 {
    // A time that cannot be read is no reason to refuse an image.
    entry.header().mtime().unwrap_or_default()
}

/// Owner first: changing it takes away setuid bits and file capabilities.
fn owner_and_mode(entry: &mut Entry<'_, impl Read>, file: BorrowedFd<'_>) -> io::Result<()> {
    let (uid, gid) = ids(entry)?;
    rustix::fs::fchown(file, uid, gid)?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.header().mode()? & 0o7777))?;
    for record in entry.pax_extensions()?.into_iter().flatten() {
        let record = record?;
        let Some(name) = record.key().ok().and_then(|key| key.strip_prefix(XATTR_RECORD)) else { continue };
        // Attributes of overlayfs itself would let an image play with the layers below it.
        if name.starts_with("trusted.") || name.starts_with("user.overlay.") {
            continue;
        }
        match rustix::fs::fsetxattr(file, name, record.value_bytes(), XattrFlags::empty()) {
            // Labels of security modules and file systems without attributes: the file works without.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn metadata_of_file(entry: &mut Entry<'_, impl Read>, file: &File) -> io::Result<()> {
    owner_and_mode(entry, file.as_fd())?;
    Ok(rustix::fs::futimens(file, &times(mtime(entry)))?)
}

/// Links, nodes and pipes cannot be opened, so they are changed by name; their folder is held, so the name is theirs.
fn metadata_of_other(
    entry: &mut Entry<'_, impl Read>,
    parent: BorrowedFd<'_>,
    name: &OsStr,
    kind: EntryType,
) -> io::Result<()> {
    let (uid, gid) = ids(entry)?;
    rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    if kind != EntryType::Symlink {
        let mode = Mode::from_raw_mode(entry.header().mode()? & 0o7777);
        rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
    }
    Ok(rustix::fs::utimensat(parent, name, &times(mtime(entry)), AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests;

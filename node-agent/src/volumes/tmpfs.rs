//! Memory file systems for what must not reach a disk.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};

const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Mounts a tmpfs at `target`, unless one is there. Pages are kept out of swap where the kernel can (6.4 and later).
pub(super) fn mount(target: &Path, size: Option<u64>) -> io::Result<()> {
    std::fs::create_dir_all(target)?;
    if is_mounted(target)? {
        return Ok(());
    }
    let mut options = "mode=0777".to_owned();
    if let Some(size) = size {
        options.push_str(&format!(",size={size}"));
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let try_mount = |options: &str| nix::mount::mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options));
    match try_mount(&format!("{options},noswap")) {
        Err(Errno::EINVAL) => Ok(try_mount(&options)?),
        result => Ok(result?),
    }
}

/// A state directory that is itself on tmpfs does not count, so devices are compared as well.
fn is_mounted(target: &Path) -> io::Result<bool> {
    let magic = nix::sys::statfs::statfs(target)?.filesystem_type().0;
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev());
    Ok(magic == TMPFS_MAGIC && device(target)? != device(target.parent().unwrap_or(target))?)
}

/// Unmounts everything mounted below `directory`, innermost first.
pub(crate) fn unmount_below(directory: &Path) -> io::Result<()> {
    let Ok(directory) = directory.canonicalize() else { return Ok(()) };
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|field| PathBuf::from(unescape(field)))
        .filter(|point| point.starts_with(&directory))
        .collect();
    points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    for point in points {
        match nix::mount::umount2(&point, MntFlags::MNT_DETACH) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// The mount table writes blanks and backslashes as three octal digits.
fn unescape(field: &str) -> String {
    let mut result = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        result.push_str(&rest[..at]);
        match rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                result.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                result.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_once_and_unmounts_below() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("pod/a b");
        mount(&target, Some(1 << 20)).unwrap();
        std::fs::write(target.join("file"), "secret").unwrap();
        mount(&target, None).unwrap();
        assert!(target.join("file").exists(), "a second mount would hide the first");
        unmount_below(dir.path()).unwrap();
        assert!(!target.join("file").exists());
    }

    #[test]
    fn unescapes_blanks() {
        assert_eq!(unescape(r"/a\040b\134c\zz"), r"/a b\c\zz");
    }
}

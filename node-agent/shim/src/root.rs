//! Paths inside a container's root file system.
//!
//! The image decides what its symbolic links point to, so no path is ever looked up from the node's root: the kernel
//! resolves each one inside the container's root, and what was found is then used by descriptor only. [`Target::ensure`]
//! runs between clone and exec, so it allocates nothing; [`settle`] runs before.

use std::{
    collections::VecDeque,
    ffi::{CString, OsStr, OsString},
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat, statat},
    io::{Errno, Result},
};

/// As many links as the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// A path that can be made to exist.
#[derive(Debug)]
pub(crate) struct Target {
    /// The path itself, for use and for messages.
    pub(crate) path: CString,
    /// For each part: the path up to it, its parent, its name.
    steps: Vec<(CString, CString, CString)>,
    /// Make a folder at the end, not a file.
    folder: bool,
}

impl Target {
    /// Refuses paths with `..` and paths that no C string can hold.
    pub(crate) fn new(path: &Path, folder: bool) -> std::result::Result<Self, String> {
        let bad = || format!("{} is no absolute path without \"..\"", path.display());
        let mut so_far = PathBuf::from("/");
        let mut steps = Vec::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => {
                    let parent = c_path(&so_far).ok_or_else(bad)?;
                    so_far.push(name);
                    steps.push((c_path(&so_far).ok_or_else(bad)?, parent, c_path(Path::new(name)).ok_or_else(bad)?));
                }
                Component::ParentDir | Component::Prefix(_) => return Err(bad()),
            }
        }
        Ok(Self { path: c_path(&so_far).ok_or_else(bad)?, steps, folder })
    }

    /// Opens the path, making what is missing.
    pub(crate) fn ensure(&self, root: BorrowedFd<'_>, links: Links) -> Result<OwnedFd> {
        match open(root, &self.path, OFlags::PATH, links) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        for (index, (path, parent, name)) in self.steps.iter().enumerate() {
            match open(root, path, OFlags::PATH, links) {
                Ok(_) => continue,
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
            let parent = open(root, parent, OFlags::PATH | OFlags::DIRECTORY, links)?;
            if self.folder || index + 1 < self.steps.len() {
                mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
            } else {
                let create = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat(&parent, name, create, Mode::from_raw_mode(0o644))?;
            }
        }
        open(root, &self.path, OFlags::PATH, links)
    }
}

/// Makes `path` exist where the image's symbolic links say, also where they lead to nothing yet: `/var/run` is a link to
/// a `/run` that small images do not have. Nothing else may change the root meanwhile, so before it is the container's.
pub(crate) fn settle(root: BorrowedFd<'_>, path: &Path, folder: bool) -> Result<()> {
    let mut left: VecDeque<OsString> = parts(path).collect();
    // Without links, as is the folder that it names.
    let mut so_far = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            so_far.pop();
            continue;
        }
        let parent = openat2(root, &so_far, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), INSIDE)?;
        match statat(&parent, &part, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                let target = readlinkat(&parent, &part, Vec::new())?;
                let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                if target.is_absolute() {
                    so_far = PathBuf::from("/");
                }
                for part in parts(target).rev() {
                    left.push_front(part);
                }
                continue;
            }
            Ok(_) => {}
            Err(Errno::NOENT) if folder || !left.is_empty() => mkdirat(&parent, &part, Mode::from_raw_mode(0o755))?,
            Err(Errno::NOENT) => {
                let create = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat(&parent, &part, create, Mode::from_raw_mode(0o644))?;
            }
            Err(error) => return Err(error),
        }
        so_far.push(part);
    }
    Ok(())
}

const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_SYMLINKS);

/// The names in a path, and its `..`.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Whether symbolic links of the image are followed (inside the root).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Followed.
    Follow,
    /// An error: for `/proc`, `/sys` and `/dev`, which an image must not send elsewhere.
    Refuse,
}

/// Opens `path` inside `root`.
pub(crate) fn open(root: BorrowedFd<'_>, path: &std::ffi::CStr, flags: OFlags, links: Links) -> Result<OwnedFd> {
    let links = match links {
        Links::Follow => ResolveFlags::empty(),
        Links::Refuse => ResolveFlags::NO_SYMLINKS,
    };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | links;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn c_path(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn root() -> (PathBuf, OwnedFd) {
        let path =
            std::env::temp_dir().join(format!("shim-root-{}-{:?}", std::process::id(), std::thread::current().id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        let fd = rustix::fs::open(&path, OFlags::PATH, Mode::empty()).unwrap();
        (path, fd)
    }

    #[test]
    fn missing_parts_are_made_inside_the_root() {
        let (path, fd) = root();
        std::os::unix::fs::symlink("/run", path.join("link")).unwrap();
        std::fs::create_dir(path.join("run")).unwrap();
        Target::new(Path::new("/link/secrets/token"), false).unwrap().ensure(fd.as_fd(), Links::Follow).unwrap();
        assert!(path.join("run/secrets/token").is_file(), "an absolute link stays inside");
        Target::new(Path::new("/a/b"), true).unwrap().ensure(fd.as_fd(), Links::Follow).unwrap();
        assert!(path.join("a/b").is_dir());
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn links_to_nothing_are_settled_inside_the_root() {
        let (path, fd) = root();
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, path.join(at)).unwrap();
        for folder in ["var", "etc"] {
            std::fs::create_dir(path.join(folder)).unwrap();
        }
        link("/run", "var/run");
        link("../../../run/resolve/stub", "etc/resolv.conf");
        link("loop", "loop");
        settle(fd.as_fd(), Path::new("/var/run/secrets/token"), true).unwrap();
        assert!(path.join("run/secrets/token").is_dir());
        settle(fd.as_fd(), Path::new("/etc/resolv.conf"), false).unwrap();
        assert!(path.join("run/resolve/stub").is_file(), "the parent of the root is the root");
        assert_eq!(settle(fd.as_fd(), Path::new("/loop/x"), true), Err(Errno::LOOP));
        let target = Target::new(Path::new("/etc/resolv.conf"), false).unwrap();
        target.ensure(fd.as_fd(), Links::Follow).unwrap();
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn links_where_none_may_be_and_parent_parts_are_refused() {
        let (path, fd) = root();
        std::os::unix::fs::symlink("/tmp", path.join("proc")).unwrap();
        let target = Target::new(Path::new("/proc"), true).unwrap();
        assert_eq!(target.ensure(fd.as_fd(), Links::Refuse).unwrap_err(), Errno::LOOP);
        assert!(Target::new(Path::new("/a/../b"), true).is_err());
        std::fs::remove_dir_all(path).unwrap();
    }
}

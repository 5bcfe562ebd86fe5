//! Named network namespaces: a namespace is kept alive by a bind mount of it on a file.
//!
//! Namespace switches happen on a thread of their own that ends with the switch, so no thread of the runtime ever
//! stands in a wrong namespace.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;

/// The magic number of the kernel's namespace file system (`NSFS_MAGIC`).
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// Makes a new network namespace and binds it to `path`. An existing one is kept.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    if is_namespace(path) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    File::create(path)?;
    let target = path.to_owned();
    on_own_thread(move || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET)?;
        let source = Some("/proc/thread-self/ns/net");
        nix::mount::mount(source, &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        Ok(())
    })
}

/// Takes the name of a namespace away; the namespace itself ends with its last process. A missing one is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    if is_namespace(path) {
        nix::mount::umount2(path, MntFlags::MNT_DETACH)?;
    }
    crate::files::remove_all(path)
}

/// Whether a namespace is bound to `path`, and not just a left-over file.
pub(crate) fn is_namespace(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|stat| stat.filesystem_type().0 == NSFS_MAGIC)
}

/// Runs `f` inside the namespace at `path`.
pub(crate) fn within<T, F>(path: &Path, f: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    let namespace = File::open(path)?;
    on_own_thread(move || {
        nix::sched::setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        f()
    })
}

fn on_own_thread<T, F>(f: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    let thread = std::thread::Builder::new().name("netns".to_owned()).spawn(f)?;
    thread.join().map_err(|_| io::Error::other("the namespace thread panicked"))?
}

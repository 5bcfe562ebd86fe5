//! A full disk: what gives space back goes on, what needs more is refused, and nobody has to do anything afterwards.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use chaos_tests::{
    Cluster,
    cluster::PATIENCE,
    command::{Said, run, succeed},
};
use kontiki::EtcdAccess;
use nix::sys::signal::Signal;
use proto::etcdserverpb::{DeleteRangeRequest, kv_client::KvClient};
use testing::eventually_blocking;

use crate::program;

const REFUSED: &str = "etcdserver: mvcc: database space exceeded";
/// The disk's size: a little more than a master keeps free, and some for what it writes.
const DISK: &str = "size=176m";
const MIB: usize = 1 << 20;

/// A small file system over a master's data; gone when dropped.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Puts it in place of a folder, with what that holds.
    fn over(folder: &Path) -> Self {
        let before = folder.with_extension("before");
        fs::rename(folder, &before).expect("the folder moves");
        fs::create_dir(folder).expect("a mount point");
        succeed(Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(folder));
        let disk = Self { at: folder.to_path_buf() };
        succeed(Command::new("cp").arg("-a").arg(before.join(".")).arg(folder));
        disk
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }

    /// Leaves this much free.
    fn fill_up_to(&self, free: u64) {
        let mut file = fs::File::options().create(true).append(true).open(self.filler()).expect("a file");
        let block = vec![1; MIB];
        let room =
            || nix::sys::statvfs::statvfs(&self.at).map(|s| s.blocks_available() * s.fragment_size()).unwrap_or(0);
        while room() > free {
            let part = usize::try_from(room() - free).unwrap_or(MIB).min(MIB);
            if file.write_all(&block[..part]).is_err() {
                return;
            }
        }
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).expect("the filler goes");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a master that is being killed may still hold it.
        succeed(Command::new("umount").arg("--lazy").arg(&self.at));
    }
}

fn etcdctl(cluster: &Cluster, arguments: &[&str]) -> Said {
    run(&mut cluster.etcdctl_command(arguments))
}

fn until_ok(cluster: &Cluster, arguments: &[&str]) {
    eventually_blocking(PATIENCE, || {
        let said = etcdctl(cluster, arguments);
        if said.success { Ok(()) } else { Err(said.all()) }
    });
}

fn until_refused(cluster: &Cluster) {
    eventually_blocking(PATIENCE, || {
        let said = etcdctl(cluster, &["put", "/more", "value"]);
        if !said.success && said.all().contains(REFUSED) { Ok(()) } else { Err(said.all()) }
    });
}

/// Deletes keys of a megabyte that are not there, which takes a megabyte of log each; gives how many were done.
fn large_deletions(cluster: &Cluster, count: u8) -> usize {
    rustls::crypto::ring::default_provider().install_default().ok();
    let access = EtcdAccess::load(&cluster.dir().join("etcd")).expect("the etcd certificate");
    let url = format!("https://{}:2379", cluster.masters()[0].1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut client = KvClient::new(access.channel(&url).expect("a channel"));
        let mut done = 0;
        for n in 0..count {
            let request = DeleteRangeRequest { key: vec![n + 1; MIB].into(), ..DeleteRangeRequest::default() };
            match client.delete_range(request).await {
                Ok(_) => done += 1,
                Err(_) => return done,
            }
        }
        done
    })
}

#[test]
fn a_full_disk_refuses_what_needs_room_and_nothing_else_and_recovers_by_itself() {
    let cluster = Cluster::up(program(), &["--workers", "0", "--masters", "1"]);
    until_ok(&cluster, &["put", "/kept", "before"]);
    for n in 0..20 {
        until_ok(&cluster, &["put", &format!("/goes/{n}"), "value"]);
    }
    cluster.signal("m1", "server", Signal::SIGTERM);
    let pid = cluster.pid("m1", "server");
    eventually_blocking(PATIENCE, || {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") { Ok(()) } else { Err(state) }
    });
    let disk = SmallDisk::over(&cluster.host_dir("m1", "server").join("data"));
    let mut server = cluster.start_server("m1", &[]);
    until_ok(&cluster, &["put", "/kept", "while there is room"]);

    // Little room: an alarm, and what needs room is refused.
    disk.fill_up_to(32 * MIB as u64);
    until_refused(&cluster);
    eventually_blocking(PATIENCE, || {
        let alarms = etcdctl(&cluster, &["alarm", "list"]);
        if alarms.out.contains("NOSPACE") { Ok(()) } else { Err(alarms.all()) }
    });
    let status = run(Command::new(program()).args(["store", "status", "--dir"]).arg(cluster.dir()));
    assert!(status.out.contains("NOSPACE"), "{}", status.all());
    assert_eq!(etcdctl(&cluster, &["get", "/kept"]).out, "/kept\nwhile there is room\n");
    until_ok(&cluster, &["del", "/goes/1"]);

    // No room at all: deletions go on out of the reserve, and after a kill as well.
    disk.fill_up_to(0);
    until_ok(&cluster, &["del", "/goes/2"]);
    let before = large_deletions(&cluster, 6);
    assert_eq!(before, 6, "{}", server.log());
    server.signal(Signal::SIGKILL);
    assert!(!server.ended());
    drop(server);
    let mut server = cluster.start_server("m1", &[]);
    until_ok(&cluster, &["del", "/goes/3"]);
    until_refused(&cluster);
    assert_eq!(etcdctl(&cluster, &["get", "/kept"]).out, "/kept\nwhile there is room\n");
    // More than reserve and all: the member waits, serves what it has, and does not die of it.
    let more = large_deletions(&cluster, 60);
    assert!(more < 60, "the disk was not full: {more} MiB of log were written to it");
    let read = etcdctl(&cluster, &["get", "/kept", "--consistency=s"]);
    assert_eq!(read.out, "/kept\nwhile there is room\n", "{}", read.all());
    assert!(server.runs(), "{}", server.log());

    // Room again: all goes on by itself.
    disk.empty();
    until_ok(&cluster, &["put", "/more", "after"]);
    eventually_blocking(PATIENCE, || {
        let alarms = etcdctl(&cluster, &["alarm", "list"]);
        if alarms.success && alarms.out.trim().is_empty() { Ok(()) } else { Err(alarms.all()) }
    });
    let left = etcdctl(&cluster, &["get", "/goes/", "--prefix", "--keys-only"]).out;
    assert_eq!(left.lines().filter(|line| line.starts_with("/goes/")).count(), 17, "{left}");
    eprintln!("on the full disk {} MiB of deletions were logged", before + more);
    server.signal(Signal::SIGTERM);
    assert!(server.ended(), "{}", server.log());
}

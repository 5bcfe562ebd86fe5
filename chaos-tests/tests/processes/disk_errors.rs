//! A disk that fails: its member ends itself and acknowledges nothing more, and comes back on a new disk as a new member. A disk
//! that stalls: its master says that it is not ready, the others go on, and nothing is lost when the disk goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
};

use chaos_tests::{
    Cluster,
    cluster::{PATIENCE, Server},
    command::{run, succeed},
};
use kontiki::chaos::{History, Place, Writer};
use nix::sys::signal::Signal;
use testing::eventually_blocking;

use crate::{program, recovery::until_members};

const DISK_BYTES: u64 = 256 << 20;
/// What a broken disk is left with: everything that matters is beyond it.
const BROKEN_BYTES: u64 = 64 << 10;
const WRITES: usize = 50;

/// A file system on a loop device over a folder; gone when dropped.
struct Disk {
    device: String,
    at: PathBuf,
    /// What the device is made of.
    backing: tempfile::NamedTempFile,
}

impl Disk {
    /// Puts an empty one over a folder.
    fn over(folder: PathBuf) -> Self {
        let backing = tempfile::NamedTempFile::new().expect("a file");
        backing.as_file().set_len(DISK_BYTES).expect("its size");
        succeed(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(backing.path()));
        let device = succeed(Command::new("losetup").args(["--find", "--show"]).arg(backing.path()));
        let disk = Self { device: device.trim().to_owned(), at: folder, backing };
        succeed(Command::new("mount").arg(&disk.device).arg(&disk.at));
        disk
    }

    /// The device ends before all that is written: the kernel answers with EIO.
    fn break_it(&self) {
        self.backing.as_file().set_len(BROKEN_BYTES).expect("it is cut off");
        succeed(Command::new("losetup").args(["--set-capacity", &self.device]));
    }

    /// Whoever writes waits, until the returned value is dropped.
    fn stall(&self) -> Stall<'_> {
        succeed(Command::new("fsfreeze").arg("--freeze").arg(&self.at));
        Stall(self)
    }
}

struct Stall<'a>(&'a Disk);

impl Drop for Stall<'_> {
    fn drop(&mut self) {
        succeed(Command::new("fsfreeze").arg("--unfreeze").arg(&self.0.at));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a master that is being killed may still hold it. The device goes with its last user.
        succeed(Command::new("umount").arg("--lazy").arg(&self.at));
        succeed(Command::new("losetup").args(["--detach", &self.device]));
    }
}

#[test]
fn a_member_whose_disk_fails_ends_itself_and_comes_back_on_a_new_one() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    rustls::crypto::ring::default_provider().install_default().ok();
    let (disk, mut m3) = with_m3_on_its_own_disk(&cluster);
    until_m3_leads(&cluster);
    let (through_m3, through_any) = (writer(&cluster, &["m3"]), writer(&cluster, &["m1", "m2", "m3"]));
    go_on(&[&through_m3, &through_any]);

    disk.break_it();

    assert!(!m3.ended(), "{}", m3.log());
    let log = m3.log();
    assert!(log.contains("the log cannot be written; ending the process"), "{log}");
    assert!(log.contains("Input/output error"), "{log}");
    go_on(&[&through_any]);
    let told = through_m3.acknowledged();
    let histories = [("m3", through_m3.finish()), ("m1m2m3", through_any.finish())];
    assert_eq!(histories[0].1.acknowledged.len(), told, "nobody acknowledges anything for it");
    all_there(&cluster, &["m1", "m2"], &histories);

    let folder = disk.at.clone();
    drop((m3, disk));
    let _disk = Disk::over(folder);
    let address: BTreeMap<String, String> = cluster.masters().into_iter().collect();
    let survivor = cluster.host_dir("m1", "server");
    let token = succeed(
        Command::new(program()).args(["token", "create", "--role", "master", "--uses", "1", "--dir"]).arg(&survivor),
    );
    let m3 = cluster.start_server(
        "m3",
        &[
            "--name=m3",
            &format!("--advertise-address={}", address["m3"]),
            &format!("--join=https://{}:6443", address["m1"]),
            &format!("--token={}", token.trim()),
        ],
    );
    until_members(&survivor, (3, 3));
    all_there(&cluster, &["m3"], &histories);
    drop(m3);
}

#[test]
fn a_master_whose_disk_stalls_is_not_ready_and_the_others_go_on() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    rustls::crypto::ring::default_provider().install_default().ok();
    let (disk, mut m3) = with_m3_on_its_own_disk(&cluster);
    until_m3_leads(&cluster);
    let through_others = writer(&cluster, &["m1", "m2"]);
    go_on(&[&through_others]);

    let stall = disk.stall();

    go_on(&[&through_others]);
    assert_ne!(cluster.leader(), "m3", "leadership is handed over");
    let kubectl = cluster.kubectl("kubectl").against("m3");
    let ready = || run(&mut kubectl.command("get --raw /readyz/etcd-readiness"));
    eventually_blocking(PATIENCE, || {
        let said = ready();
        if said.err.contains("the local disk stalls") { Ok(()) } else { Err(said.all()) }
    });
    assert_eq!(kubectl.ok("get --raw /livez"), "ok", "nobody is to restart it for that");

    drop(stall);

    eventually_blocking(PATIENCE, || {
        let said = ready();
        if said.success { Ok(()) } else { Err(said.all()) }
    });
    assert!(m3.runs(), "{}", m3.log());
    all_there(&cluster, &["m1", "m2", "m3"], &[("m1m2", through_others.finish())]);
    drop((m3, disk));
}

/// A master, started anew, whose folder is a file system of its own.
fn with_m3_on_its_own_disk(cluster: &Cluster) -> (Disk, Server) {
    let folder = cluster.host_dir("m3", "server");
    cluster.signal("m3", "server", Signal::SIGTERM);
    until_ended(cluster, "m3");
    let before = folder.with_extension("before");
    fs::rename(&folder, &before).expect("the folder moves");
    fs::create_dir(&folder).expect("a mount point");
    let disk = Disk::over(folder.clone());
    succeed(Command::new("cp").arg("-a").arg(before.join(".")).arg(&folder));
    (disk, cluster.start_server("m3", &[]))
}

fn until_ended(cluster: &Cluster, master: &str) {
    eventually_blocking(PATIENCE, || if cluster.runs(master, "server") { Err("it runs on") } else { Ok(()) });
}

fn until_m3_leads(cluster: &Cluster) {
    eventually_blocking(PATIENCE, || {
        if cluster.leader() == "m3" {
            return Ok(());
        }
        let list = cluster.etcdctl(&["member", "list"]);
        let row = list.lines().find(|row| row.contains(", m3, ")).ok_or("m3 is no member")?;
        let said = run(&mut cluster.etcdctl_command(&["move-leader", row.split(',').next().unwrap_or_default()]));
        Err(said.all())
    });
}

/// Writes through these masters, each under a prefix of its own.
fn writer(cluster: &Cluster, through: &[&str]) -> Writer {
    let masters =
        cluster.masters().into_iter().filter(|(name, _)| through.contains(&name.as_str())).collect::<Vec<_>>();
    let place = Place { prefix: format!("/through/{}/", through.concat()), ..Place::default() };
    Writer::through_etcd(&cluster.dir(), &masters, &place).expect("the writer starts")
}

fn go_on(writers: &[&Writer]) {
    for writer in writers {
        let goal = writer.acknowledged() + WRITES;
        eventually_blocking(PATIENCE, || {
            let now = writer.acknowledged();
            if now >= goal { Ok(()) } else { Err(format!("{now} of {goal} writes")) }
        });
    }
}

/// Every acknowledged write is in the state of each of these masters.
fn all_there(cluster: &Cluster, masters: &[&str], histories: &[(&str, History)]) {
    for (_, address) in cluster.masters().into_iter().filter(|(name, _)| masters.contains(&name.as_str())) {
        let endpoint = format!("https://{address}:2379");
        eventually_blocking(PATIENCE, || {
            let get = ["get", "/through/", "--prefix", "--keys-only", "--consistency=s"];
            let keys = run(cluster.etcdctl_command(&get).env("ETCDCTL_ENDPOINTS", &endpoint));
            let found: BTreeSet<&str> = keys.out.lines().collect();
            let written = histories.iter().flat_map(|(through, history)| {
                history.acknowledged.iter().map(move |write| format!("/through/{through}/{}", write.name))
            });
            let lost: Vec<String> = written.filter(|key| !found.contains(key.as_str())).collect();
            if lost.is_empty() { Ok(()) } else { Err(format!("{endpoint} lacks {lost:?}:\n{}", keys.err)) }
        });
    }
}

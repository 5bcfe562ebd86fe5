//! Backups: what was saved comes back, in a new cluster, and what cannot be restored is refused before anything happens.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use chaos_tests::{
    Cluster,
    cluster::PATIENCE,
    command::{Said, run, succeed},
};
use testing::eventually_blocking;

use crate::program;

/// Runs the program under test.
fn kontiki(arguments: &[&str]) -> Said {
    run(Command::new(program()).args(arguments))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// What a careful administrator copies from a master, once.
fn copy_keys(cluster: &Cluster, to: &Path) -> PathBuf {
    let (from, keys) = (cluster.host_dir("m1", "server"), to.join("keys"));
    fs::create_dir(&keys).expect("a folder for the keys");
    for name in ["master.json", "master.key", "pki"] {
        succeed(Command::new("cp").arg("-a").arg(from.join(name)).arg(&keys));
    }
    keys
}

fn revision(cluster: &Cluster) -> u64 {
    let answer = cluster.etcdctl(&["get", "/mine/key", "-w", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    answer["header"]["revision"].as_u64().expect("a revision")
}

#[test]
fn a_backup_brings_everything_back_when_the_whole_cluster_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let kubectl = cluster.kubectl("kubectl");
    kubectl.ok("create configmap greeting --from-literal=hello=world");
    kubectl.ok("create secret generic kept --from-literal=password=in-plain-sight");
    cluster.etcdctl(&["put", "/mine/key", "one"]);
    cluster.etcdctl(&["put", "/mine/key", "two"]);
    let before = revision(&cluster);
    let saved = kontiki(&["snapshot", "save", text(&file), "--dir", text(&cluster.dir())]);
    assert!(saved.success && saved.out.contains("whole and undamaged"), "{}", saved.all());
    assert!(!saved.out.contains("No quorum"), "{}", saved.out);
    cluster.etcdctl(&["put", "/late/key", "after the backup"]);
    let keys = copy_keys(&cluster, folder.path());
    let leaked = run(Command::new("grep").args(["-aE", "in-plain-sight|aW4tcGxhaW4tc2lnaHQ"]).arg(&file));
    assert!(!leaked.success, "a Secret is in the backup in the clear");
    cluster.kontiki("down", &[]);

    let verified = kontiki(&["snapshot", "verify", text(&file)]);
    assert!(verified.success && verified.out.contains("m1, m2, m3"), "{}", verified.all());
    let restored = Cluster::up(program(), &["--workers", "0", "--restore", text(&file), "--keys-from", text(&keys)]);
    let kubectl = restored.kubectl("kubectl");
    for (master, _) in restored.masters() {
        let kubectl = kubectl.against(&master);
        assert_eq!(kubectl.ok("get configmap greeting -o jsonpath={.data.hello}"), "world");
        assert_eq!(kubectl.ok("get secret kept -o jsonpath={.data.password}"), "aW4tcGxhaW4tc2lnaHQ=");
    }
    assert_eq!(restored.etcdctl(&["get", "/mine/key"]), "/mine/key\ntwo\n");
    assert_eq!(restored.etcdctl(&["get", "/late/key"]), "");
    assert!(revision(&restored) > before + 1_000_000_000 - 1, "revisions go on far above the old ones");
    // Whoever watched the old cluster learns that it must read anew.
    for revision in [before, before + 1, before + 1000] {
        let watch = run(&mut restored.etcdctl_command(&["watch", "/mine/key", "--rev", &revision.to_string()]));
        assert!(watch.all().contains("required revision has been compacted"), "{}", watch.all());
    }
    kubectl.ok("create configmap after --from-literal=restore=works");
}

#[test]
fn what_cannot_be_restored_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, dir) = (folder.path().join("backup"), folder.path().join("new"));
    let cluster = Cluster::up(program(), &["--workers", "0", "--masters", "1"]);
    let other = Cluster::up(program(), &["--workers", "0", "--masters", "1"]);
    // The key that encrypts Secrets is there with the first one.
    cluster.kubectl("kubectl").ok("create secret generic kept --from-literal=password=in-plain-sight");
    let saved = kontiki(&["snapshot", "save", text(&file), "--dir", text(&cluster.dir())]);
    assert!(saved.success, "{}", saved.all());
    let again = kontiki(&["snapshot", "save", text(&file), "--dir", text(&cluster.dir())]);
    assert!(!again.success && again.err.contains("exists: name another file"), "{}", again.all());
    let keys = copy_keys(&cluster, folder.path());
    let restore = |file: &Path, keys: &Path, dir: &Path| {
        let flags = ["--name", "m1", "--advertise-address", "10.0.0.1"];
        let arguments = ["snapshot", "restore", text(file), "--keys-from", text(keys), "--dir", text(dir)];
        kontiki(&[&arguments[..], &flags[..]].concat())
    };
    let refused = |said: Said, why: &str| assert!(!said.success && said.err.contains(why), "{why}: {}", said.all());

    refused(restore(&file, &other.host_dir("m1", "server"), &dir), "the backup is of cluster");
    refused(restore(&file, folder.path(), &dir), "a restore needs the cluster's keys");
    refused(restore(&file, &keys, &cluster.host_dir("m1", "server")), "is in use");
    let mut bytes = fs::read(&file).expect("the backup");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = folder.path().join("damaged");
    fs::write(&damaged, &bytes).expect("a damaged copy");
    refused(restore(&damaged, &keys, &dir), "damaged data");
    refused(kontiki(&["snapshot", "verify", text(&damaged)]), "damaged data");
    fs::write(&damaged, &bytes[..middle]).expect("half a copy");
    refused(kontiki(&["snapshot", "verify", text(&damaged)]), "damaged data");
    fs::write(keys.join("master.key"), [7; 32]).expect("another master key");
    refused(restore(&file, &keys, &dir), "does not open");
    fs::remove_file(keys.join("master.key")).expect("the key is removed");
    refused(restore(&file, &keys, &dir), "master.key");
    assert!(!dir.exists(), "nothing was written");
    drop(other);
    // Without any quorum, and with nobody at all.
    cluster.signal("m1", "server", nix::sys::signal::Signal::SIGKILL);
    let nobody = kontiki(&["snapshot", "save", text(&dir), "--dir", text(&cluster.dir())]);
    refused(nobody, "no master gave a snapshot");
}

#[test]
fn a_master_saves_backups_by_itself_and_keeps_the_newest() {
    let cluster = Cluster::up(program(), &["--workers", "0", "--masters", "1"]);
    cluster.signal("m1", "server", nix::sys::signal::Signal::SIGTERM);
    let folder = tempfile::tempdir().expect("a folder");
    let backups = folder.path().join("backups");
    let gone = || cluster.kontiki_said("status", &[]).out.contains("silent");
    eventually_blocking(PATIENCE, || if gone() { Ok(()) } else { Err("it stops") });
    let flags = ["--snapshot-every", "10s", "--snapshot-keep", "2", "--snapshot-dir", text(&backups)];
    let _server = cluster.start_server("m1", &flags);
    let saved = || -> Vec<PathBuf> {
        let entries = fs::read_dir(&backups).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "snapshot")).collect()
    };
    eventually_blocking(PATIENCE, || if saved().len() == 1 { Ok(()) } else { Err(format!("{:?}", saved())) });
    let first = saved().remove(0);
    eventually_blocking(PATIENCE, || {
        let now = saved();
        if now.len() == 2 && !now.contains(&first) { Ok(()) } else { Err(format!("{now:?}")) }
    });
    for file in saved() {
        let verified = kontiki(&["snapshot", "verify", text(&file)]);
        assert!(verified.success, "{}", verified.all());
    }
}

#[test]
fn the_store_shows_every_member() {
    let cluster = Cluster::up(program(), &["--workers", "0", "--masters", "2"]);
    let table = kontiki(&["store", "status", "--dir", text(&cluster.dir())]);
    assert!(table.success, "{}", table.all());
    let lines: Vec<&str> = table.out.lines().collect();
    assert!(lines[0].starts_with("ID "), "{}", table.out);
    assert_eq!(lines.iter().filter(|line| line.contains(" leader ")).count(), 1, "{}", table.out);
    assert_eq!(lines.iter().filter(|line| line.contains(" learner ")).count(), 1, "{}", table.out);
    assert_eq!(lines.iter().filter(|line| line.contains(" ms ") && line.ends_with("none")).count(), 2, "{}", table.out);
    let nobody = kontiki(&["store", "status", "--dir", "/nowhere"]);
    assert!(!nobody.success && nobody.err.contains("no cluster and no master in /nowhere"), "{}", nobody.all());
}

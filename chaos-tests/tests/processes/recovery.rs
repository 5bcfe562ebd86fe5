//! A quorum lost for good, masters that leave, and masters that come back.

use std::{fs, path::Path, process::Command};

use chaos_tests::{
    Cluster,
    cluster::PATIENCE,
    command::{Said, run, succeed},
};
use nix::sys::signal::Signal;
use testing::eventually_blocking;

use crate::program;

fn recover(dir: &Path, flags: &[&str]) -> Said {
    run(Command::new(program()).arg("recover").arg("--dir").arg(dir).args(flags))
}

fn until_silent(cluster: &Cluster, host: &str) {
    eventually_blocking(PATIENCE, || {
        let table = cluster.kontiki_said("status", &[]).out;
        let silent = |line: &str| line.starts_with(&format!("{host} ")) && line.contains("silent");
        if table.lines().any(silent) { Ok(()) } else { Err(table) }
    });
}

/// Members of the store and how many of them vote, as the master in this folder knows.
fn members(dir: &Path) -> (usize, usize) {
    let said = run(Command::new(program()).args(["store", "status", "--dir"]).arg(dir));
    let rows: Vec<&str> = said.out.lines().skip(1).filter(|row| !row.is_empty()).collect();
    let votes = |row: &&&str| row.contains(" leader ") || row.contains(" follower ");
    (rows.len(), rows.iter().filter(votes).count())
}

pub(crate) fn until_members(dir: &Path, expected: (usize, usize)) {
    eventually_blocking(PATIENCE, || {
        let found = members(dir);
        if found == expected { Ok(()) } else { Err(format!("members and voters: {found:?}, not {expected:?}")) }
    });
}

#[test]
fn one_survivor_of_three_becomes_a_new_group_and_the_old_members_are_fenced() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let kubectl = cluster.kubectl("kubectl");
    let address: std::collections::BTreeMap<String, String> = cluster.masters().into_iter().collect();
    kubectl.ok("create configmap before --from-literal=the=loss");
    let survivor = cluster.host_dir("m3", "server");

    let running = recover(&survivor, &["--yes"]);
    assert!(!running.success && running.err.contains("in use by a running master"), "{}", running.all());
    cluster.signal("m3", "server", Signal::SIGTERM);
    until_silent(&cluster, "m3");
    let quorum = recover(&survivor, &["--yes"]);
    assert!(!quorum.success && quorum.err.contains("answers with a quorum"), "{}", quorum.all());
    cluster.signal("m1", "server", Signal::SIGKILL);
    until_silent(&cluster, "m1");
    eventually_blocking(PATIENCE, || {
        let could = recover(&survivor, &["--yes"]);
        if could.err.contains("start this master instead") { Ok(()) } else { Err(could.all()) }
    });
    cluster.signal("m2", "server", Signal::SIGKILL);
    until_silent(&cluster, "m2");
    let preview = recover(&survivor, &[]);
    assert!(preview.success && preview.out.contains("Nothing was changed"), "{}", preview.all());
    assert!(!survivor.join("data.before-recovery").exists());
    let done = recover(&survivor, &["--yes"]);
    assert!(done.success && done.out.contains("Recovered."), "{}", done.all());
    let _m3 = cluster.start_server("m3", &[]);
    let kubectl = kubectl.against("m3");
    eventually_blocking(PATIENCE, || {
        let said = run(&mut kubectl.command("get configmap before -o jsonpath={.data.the}"));
        if said.out == "loss" { Ok(()) } else { Err(said.all()) }
    });
    kubectl.ok("create configmap after --from-literal=the=recovery");
    until_members(&survivor, (1, 1));

    // One that comes back as it was meets the new group, and stops.
    let mut returning = cluster.start_server("m2", &[]);
    assert!(!returning.ended(), "{}", returning.log());
    assert!(returning.log().contains("was replaced by cluster"), "{}", returning.log());
    until_members(&survivor, (1, 1));

    // With a token it sets its data aside by itself; an emptied one joins as any other.
    let token = run(Command::new(program())
        .args(["token", "create", "--role", "master", "--uses", "2", "--dir"])
        .arg(&survivor));
    assert!(token.success, "{}", token.all());
    let join = [format!("--join=https://{}:6443", address["m3"]), format!("--token={}", token.out.trim())];
    let _m2 = cluster.start_server("m2", &[&join[0], &join[1]]);
    fs::remove_dir_all(cluster.host_dir("m1", "server")).expect("the lost master's folder");
    let named = ["--name=m1".to_owned(), format!("--advertise-address={}", address["m1"])];
    let _m1 = cluster.start_server("m1", &[&join[0], &join[1], &named[0], &named[1]]);
    until_members(&survivor, (3, 3));
    assert!(cluster.host_dir("m2", "server").join("data.set-aside").exists());
    for master in ["m1", "m2"] {
        let kubectl = kubectl.against(master);
        eventually_blocking(PATIENCE, || {
            let said = run(&mut kubectl.command("get configmap after -o jsonpath={.data.the}"));
            if said.out == "recovery" { Ok(()) } else { Err(said.all()) }
        });
    }
}

#[test]
fn a_master_that_leaves_stops_by_itself_and_does_not_come_back() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let leader = cluster.leader();
    let dir = cluster.host_dir(&leader, "server");
    let other = cluster.masters().into_iter().map(|(name, _)| name).find(|name| *name != leader).expect("another");
    let pid = cluster.pid(&leader, "server");
    let left = run(Command::new(program()).args(["leave", "--dir"]).arg(&dir));
    assert!(left.success && left.out.contains("has left; 2 masters remain"), "{}", left.all());
    eventually_blocking(PATIENCE, || {
        // A process that has ended stays a zombie until its parent, which is gone, has waited for it.
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") { Ok(()) } else { Err(state) }
    });
    let log = fs::read_to_string(dir.with_file_name("server.log")).expect("its log");
    assert!(log.contains("this master has left its cluster"), "{log}");
    // Two that are left: one votes, for two could only be lost twice as easily.
    until_members(&cluster.host_dir(&other, "server"), (2, 1));
    cluster.kubectl("kubectl").against(&other).ok("create configmap goes --from-literal=on=x");
    let mut again = cluster.start_server(&leader, &[]);
    assert!(!again.ended());
    assert!(again.log().contains("has left its cluster"), "{}", again.log());
}

#[test]
fn a_master_with_damaged_data_sets_it_aside_and_comes_back_by_itself() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let kubectl = cluster.kubectl("kubectl");
    for n in 0..20 {
        cluster.etcdctl(&["put", &format!("/key/{n}"), "value"]);
    }
    let survivor = cluster.host_dir("m1", "server");
    let dir = cluster.host_dir("m3", "server");
    eventually_blocking(PATIENCE, || if dir.join("peers.json").exists() { Ok(()) } else { Err("no peers.json yet") });
    cluster.signal("m3", "server", Signal::SIGTERM);
    until_silent(&cluster, "m3");
    let segment = fs::read_dir(dir.join("data/wal")).expect("the log").flatten().map(|entry| entry.path());
    let segment = segment.filter(|path| path.extension().is_some_and(|e| e == "wal")).min().expect("a segment");
    let mut bytes = fs::read(&segment).expect("the segment");
    bytes[200] ^= 4;
    fs::write(&segment, bytes).expect("a flipped bit");
    let mut m3 = cluster.start_server("m3", &[]);
    eventually_blocking(PATIENCE, || {
        let said = run(&mut kubectl.against("m3").command("get namespaces"));
        if said.success { Ok(()) } else { Err(said.all() + &m3.log()) }
    });
    assert!(m3.runs() && m3.log().contains("rejoined as a new member"), "{}", m3.log());
    assert!(dir.join("data.set-aside").exists());
    until_members(&survivor, (3, 3));
    let endpoint = cluster.masters().into_iter().find(|(name, _)| name == "m3").expect("m3").1;
    let keys = run(cluster
        .etcdctl_command(&["get", "/key/", "--prefix", "--keys-only", "--consistency=s"])
        .env("ETCDCTL_ENDPOINTS", format!("https://{endpoint}:2379")));
    assert_eq!(keys.out.lines().filter(|line| line.starts_with("/key/")).count(), 20, "{}", keys.all());
}

/// With an empty log in place of the lost one it would vote again where it has voted; the first master would even begin a cluster.
#[test]
fn a_master_whose_data_is_gone_comes_back_as_a_new_member() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let dir = cluster.host_dir("m1", "server");
    eventually_blocking(PATIENCE, || if dir.join("peers.json").exists() { Ok(()) } else { Err("no peers.json yet") });
    let before = cluster.etcdctl(&["member", "list"]);
    cluster.etcdctl(&["put", "/kept", "value"]);
    cluster.signal("m1", "server", Signal::SIGKILL);
    eventually_blocking(PATIENCE, || if cluster.runs("m1", "server") { Err("it runs on") } else { Ok(()) });
    fs::remove_dir_all(dir.join("data")).expect("its data");
    let m1 = cluster.start_server("m1", &[]);
    eventually_blocking(
        PATIENCE,
        || {
            if m1.log().contains("rejoined as a new member") { Ok(()) } else { Err(m1.log()) }
        },
    );
    assert!(m1.log().contains("is gone"), "{}", m1.log());
    until_members(&cluster.host_dir("m2", "server"), (3, 3));
    let id = |list: &str| {
        list.lines().find(|row| row.contains(", m1, ")).and_then(|row| Some(row.split_once(',')?.0.to_owned()))
    };
    let after = cluster.etcdctl(&["member", "list"]);
    assert_ne!(id(&before), id(&after), "an id is never used again");
    assert_eq!(cluster.etcdctl(&["get", "/kept", "--print-value-only"]).trim(), "value");
}

#[test]
fn a_master_that_was_removed_while_away_comes_back_with_a_token_and_not_without() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let address: std::collections::BTreeMap<String, String> = cluster.masters().into_iter().collect();
    cluster.signal("m2", "server", Signal::SIGKILL);
    until_silent(&cluster, "m2");
    let list = cluster.etcdctl(&["member", "list"]);
    let row = list.lines().find(|row| row.contains(", m2, ")).expect("m2 is a member");
    let id = row.split(',').next().expect("an id");
    eventually_blocking(PATIENCE, || {
        let said = run(&mut cluster.etcdctl_command(&["member", "remove", id]));
        if said.success || said.all().contains("not found") { Ok(()) } else { Err(said.all()) }
    });
    let survivor = cluster.host_dir("m1", "server");
    until_members(&survivor, (2, 1));
    let mut without = cluster.start_server("m2", &[]);
    assert!(!without.ended());
    assert!(without.log().contains("was removed from its cluster"), "{}", without.log());
    let token = run(Command::new(program())
        .args(["token", "create", "--role", "master", "--uses", "1", "--dir"])
        .arg(&survivor));
    let join = [format!("--join=https://{}:6443", address["m1"]), format!("--token={}", token.out.trim())];
    let _with = cluster.start_server("m2", &[&join[0], &join[1]]);
    until_members(&survivor, (3, 3));
    assert!(cluster.host_dir("m2", "server").join("data.set-aside").exists());
}

#[test]
fn a_master_moves_to_another_address() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let old = cluster.masters().into_iter().find(|(name, _)| name == "m3").expect("m3").1;
    let new = format!("{}.77", old.rsplit_once('.').expect("four numbers").0);
    let netns = format!("kontiki-{}-m3", cluster.tag());
    cluster.signal("m3", "server", Signal::SIGTERM);
    until_silent(&cluster, "m3");
    let addresses = succeed(Command::new("ip").args(["-n", &netns, "-o", "-4", "addr"]));
    let row = addresses.lines().find(|row| row.contains(&old)).expect("its address is on an interface");
    let interface = row.split_whitespace().nth(1).expect("a name");
    succeed(Command::new("ip").args(["-n", &netns, "addr", "add", &format!("{new}/24"), "dev", interface]));
    let _m3 = cluster.start_server("m3", &[&format!("--advertise-address={new}")]);
    eventually_blocking(PATIENCE, || {
        let list = cluster.etcdctl(&["member", "list"]);
        if list.contains(&format!("https://{new}:2380")) && !list.contains(&old) { Ok(()) } else { Err(list) }
    });
    let endpoint = format!("https://{new}:2379");
    eventually_blocking(PATIENCE, || {
        let said =
            run(cluster.etcdctl_command(&["put", "/from", "the new address"]).env("ETCDCTL_ENDPOINTS", &endpoint));
        if said.success { Ok(()) } else { Err(said.all()) }
    });
    until_members(&cluster.host_dir("m1", "server"), (3, 3));
}

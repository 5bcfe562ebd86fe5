//! `kontiki up` and `kontiki down`: what they promise whoever tries Kontiki first.

use std::{os::unix::fs::PermissionsExt, process::Command};

use chaos_tests::{
    Cluster,
    cluster::PATIENCE,
    command::{run, succeed},
};
use nix::sys::signal::Signal;

use crate::{machine::traces, program};

#[test]
fn a_control_plane_alone_serves_kubectl_and_etcdctl_on_every_master_and_leaves_nothing() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let (tag, dir) = (cluster.tag(), cluster.dir());

    let kubectl = cluster.kubectl("kubectl");
    kubectl.ok("create configmap greeting --from-literal=hello=world");
    for (master, _) in cluster.masters() {
        let seen = kubectl.against(&master).ok("get configmap greeting -o jsonpath={.data.hello}");
        assert_eq!(seen, "world", "through {master}");
    }
    cluster.etcdctl(&["put", "/mine/key", "value"]);
    for (_, address) in cluster.masters() {
        let endpoint = format!("--endpoints=https://{address}:2379");
        let said =
            succeed(cluster.etcdctl_command(&["get", "/mine/key"]).env_remove("ETCDCTL_ENDPOINTS").arg(endpoint));
        assert_eq!(said, "/mine/key\nvalue\n", "through {address}");
    }

    let again = cluster.kontiki("up", &["--workers", "0"]);
    assert!(again.contains("running already"), "{again}");
    let status = cluster.kontiki("status", &[]);
    assert_eq!(status.lines().filter(|line| line.contains("leader")).count(), 1, "{status}");
    assert_eq!(status.lines().filter(|line| line.contains("follower")).count(), 2, "{status}");

    cluster.kontiki("down", &[]);
    assert_eq!(traces(&tag, &dir), Vec::<String>::new());
    let said = cluster.kontiki("down", &[]);
    assert!(said.contains("no cluster"), "{said}");
}

#[test]
fn clusters_in_different_folders_run_side_by_side_and_one_master_is_enough() {
    let one = Cluster::up(program(), &["--masters", "1", "--workers", "0"]);
    let two = Cluster::up(program(), &["--masters", "1", "--workers", "0"]);
    one.kubectl("kubectl").ok("create namespace only-here");
    two.kubectl("kubectl").fails("get namespace only-here");
    one.kontiki("down", &[]);
    two.kubectl("kubectl").ok("get namespaces");
}

#[test]
fn a_whole_cluster_that_was_killed_starts_again_with_everything_it_had() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let kubectl = cluster.kubectl("kubectl");
    kubectl.ok("create secret generic kept --from-literal=password=in-plain-sight");
    for (master, _) in cluster.masters() {
        cluster.signal(&master, "server", Signal::SIGKILL);
    }
    cluster.kontiki("up", &[]);
    let seen = kubectl.ok("get secret kept -o jsonpath={.data.password}");
    assert_eq!(seen, "aW4tcGxhaW4tc2lnaHQ=");
    // Neither log nor checkpoint may hold it in the clear.
    let found = run(Command::new("grep")
        .args(["-rlaE", "in-plain-sight|aW4tcGxhaW4tc2lnaHQ"])
        .arg(cluster.dir().join("hosts")));
    assert_eq!(found.out, "", "the secret is on disk in the clear");
}

#[test]
fn a_cluster_that_was_half_made_is_removed_by_down() {
    let cluster = Cluster::up(program(), &["--masters", "1", "--workers", "0"]);
    let (tag, dir) = (cluster.tag(), cluster.dir());
    // As after a crash in the middle: a namespace is missing, and processes have no record.
    succeed(Command::new("ip").args(["netns", "del", &format!("kontiki-{tag}-fabric")]));
    std::fs::remove_file(dir.join("hosts/m1/server.pid")).expect("the record is there");
    cluster.kontiki("down", &[]);
    assert_eq!(traces(&tag, &dir), Vec::<String>::new());
}

#[test]
fn mistakes_get_a_message_that_names_the_fix_and_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("something"), "else").expect("a file");
    let up = |flags: &[&str]| run(Command::new(program()).arg("up").arg("--dir").arg(folder.path()).args(flags));
    let said = up(&[]);
    assert!(!said.success && said.err.contains("--dir"), "{}", said.all());
    let said = up(&["--single", "--workers", "3"]);
    assert!(!said.success && said.err.contains("cannot be used with"), "{}", said.all());
    // The build may lie in a folder that only root can enter.
    let anyones =
        tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().expect("a folder");
    let copy = anyones.path().join("kontiki");
    std::fs::copy(program(), &copy).expect("a copy of the program");
    let nobody = ["--reuid=65534", "--clear-groups"];
    let said = run(Command::new("setpriv").args(nobody).arg(&copy).args(["up", "--dir=/tmp/x"]));
    assert!(!said.success && said.err.contains("sudo"), "{}", said.all());
    let said = run(Command::new(program()).args(["server", "--dir"]).arg(folder.path().join("new")));
    assert!(!said.success && said.err.contains("--init"), "{}", said.all());
    let token = "kontiki1.aaaa.bbbb.cccc";
    let join = ["agent", "--join=https://127.0.0.1:1", "--token", token, "--name=Bad_Name"];
    let said =
        run(Command::new("timeout").arg("2").arg(program()).args(join).arg("--dir").arg(folder.path().join("a")));
    assert!(!said.success, "{}", said.all());
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1, "nothing was made");
}

#[test]
fn a_machine_without_a_valid_token_is_told_why_and_gets_nothing() {
    let cluster = Cluster::up(program(), &["--masters", "1", "--workers", "0"]);
    let folder = tempfile::tempdir().expect("a folder");
    let netns = format!("--net=/run/netns/kontiki-{}-m1", cluster.tag());
    let address = &cluster.masters()[0].1;
    let good = std::fs::read_to_string(cluster.dir().join("hosts/m1/server/tokens/node")).expect("a token");
    let join = |token: &str, role: &str| {
        let mut command = Command::new("nsenter");
        command.arg(&netns).arg(program()).arg(role).arg("--dir").arg(folder.path().join(role));
        command.args([format!("--join=https://{address}:6443"), format!("--token={token}"), "--name=x".into()]);
        run(&mut command)
    };
    let mut parts: Vec<&str> = good.trim().split('.').collect();
    parts[3] = "wrong";
    let said = join(&parts.join("."), "agent");
    assert!(!said.success && said.all().contains("kontiki token create"), "{}", said.all());
    let said = join(good.trim(), "server");
    assert!(!said.success && said.all().contains("is for a Node"), "{}", said.all());
    assert!(!folder.path().join("agent").exists() && !folder.path().join("server/pki").exists());
}

#[test]
fn etcdctl_sees_leases_watches_and_transactions_survive_the_leader() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let granted = cluster.etcdctl(&["lease", "grant", "600"]);
    let lease = granted.split_whitespace().nth(1).expect("lease <id> granted").to_owned();
    cluster.etcdctl(&["put", "/leased", "1", &format!("--lease={lease}")]);
    cluster.etcdctl(&["put", "/history", "first"]);
    cluster.etcdctl(&["put", "/history", "second"]);
    let leader = cluster.leader();
    cluster.signal(&leader, "server", Signal::SIGKILL);
    let survivors: Vec<String> = cluster
        .masters()
        .into_iter()
        .filter(|(name, _)| *name != leader)
        .map(|(_, a)| format!("https://{a}:2379"))
        .collect();
    let etcdctl = |arguments: &[&str]| {
        let mut command = cluster.etcdctl_command(arguments);
        run(command.env("ETCDCTL_ENDPOINTS", survivors.join(",")))
    };
    testing::eventually_blocking(PATIENCE, || {
        let said = etcdctl(&["lease", "timetolive", &lease, "--keys"]);
        if said.success && said.out.contains("/leased") { Ok(()) } else { Err(said.all()) }
    });
    let said = etcdctl(&["watch", "/history", "--rev=1", "--", "sh", "-c", "echo $ETCD_WATCH_VALUE >&2; kill $PPID"]);
    assert!(said.all().contains("first"), "{}", said.all());
    let mut txn = cluster.etcdctl_command(&["txn"]);
    txn.env("ETCDCTL_ENDPOINTS", survivors.join(","));
    let script = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(script.path(), "value(\"/history\") = \"second\"\n\nput /won yes\n\nput /won no\n\n")
        .expect("written");
    let said = run(txn.stdin(std::fs::File::open(script.path()).expect("opens")));
    assert!(said.success && said.out.starts_with("SUCCESS"), "{}", said.all());
    let table = etcdctl(&["endpoint", "status", "-w", "table"]);
    assert!(table.success && table.out.contains("3.6."), "{}", table.all());
    let members = etcdctl(&["member", "list"]);
    assert_eq!(members.out.lines().count(), 3, "{}", members.all());
}

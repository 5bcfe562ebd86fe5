//! etcd's own client against our store and against etcd itself: both must say the same.

use serde_json::Value;
use testing::eventually;

use crate::target::{DEADLINE, Target};

/// Takes out who answered and in which term: the rest must be equal.
fn comparable(text: &str) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !["cluster_id", "member_id", "raft_term"].contains(&name.as_str()));
                fields.values_mut().for_each(strip);
            }
            Value::Array(values) => values.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(mut value) if value.is_object() => {
            strip(&mut value);
            value.to_string()
        }
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A story for both: arguments, and what is typed.
const STORY: &[(&str, &str)] = &[
    ("put a 1 -w json", ""),
    ("put a 2 --prev-kv", ""),
    ("put b", "from the input"),
    ("put --ignore-value a", ""),
    ("put --ignore-value none", ""),
    ("put --ignore-lease a 3 -w json", ""),
    ("put a 4 --lease=1234", ""),
    ("get a", ""),
    ("get a -w json", ""),
    ("get a --rev=2 -w json", ""),
    ("get a --rev=99", ""),
    ("put c/1 x", ""),
    ("put c/2 w", ""),
    ("put c/3 v", ""),
    ("get c/ --prefix", ""),
    ("get c/ --prefix --limit=2 -w json", ""),
    ("get c/ --prefix --keys-only", ""),
    ("get c/ --prefix --order=DESCEND --limit=1", ""),
    ("get c/ --prefix --sort-by=VALUE", ""),
    ("get c/ --prefix --sort-by=MODIFY --order=DESCEND -w json", ""),
    ("get c/ --prefix --count-only -w json", ""),
    ("get b --from-key --print-value-only", ""),
    ("get a c/2 -w json", ""),
    ("get none", ""),
    ("get", ""),
    ("txn -w json", "mod(\"a\") > \"1\"\nvalue(\"c/1\") = \"x\"\n\nput t yes\nget t\ndel c/3\n\nput t no\n\n"),
    ("txn", "ver(\"t\") = \"0\"\n\nput t new\n\nget t\nget c/ --prefix\n\n"),
    ("txn", "\nput d 1\nput d 2\n\n\n"),
    ("del c/2 --prev-kv", ""),
    ("del c/ --prefix -w json", ""),
    ("del none", ""),
    ("get a --rev=3 -w json", ""),
    ("compact --physical 4", ""),
    ("compact 4", ""),
    ("compact 999", ""),
    ("get a --rev=3", ""),
    ("get a --rev=5 -w json", ""),
    ("lease list", ""),
    ("lease timetolive 77", ""),
    ("lease revoke 77", ""),
    ("alarm list", ""),
    ("alarm disarm", ""),
    ("role list", ""),
    ("role get reader", ""),
    ("role delete reader", ""),
    ("role grant-permission reader read a", ""),
    ("user list", ""),
    ("user get ann", ""),
    ("user delete ann", ""),
    ("user grant-role ann reader", ""),
    ("auth disable", ""),
    ("member promote abc", ""),
    ("member remove abc", ""),
    ("move-leader abc", ""),
    ("watch a --rev=2", ""),
    ("get \"\" --prefix -w json", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_cannot_tell_us_from_etcd() {
    let (ours, etcd) = tokio::join!(Target::ours(), Target::etcd());
    for (args, input) in STORY {
        let args: Vec<&str> = args.split(' ').map(|arg| arg.trim_matches('"')).collect();
        let (said, expected) = tokio::join!(ours.run(&args, input), etcd.run(&args, input));
        assert_eq!(comparable(&said), comparable(&expected), "etcdctl {args:?}");
    }
    for (args, lines) in [
        ("watch a --rev=4", 6),
        ("watch c/ --prefix --rev=7 --prev-kv", 24),
        ("watch c/ --prefix --rev=9", 12),
        ("watch b x --rev=5", 12),
    ] {
        let args: Vec<&str> = args.split(' ').collect();
        let (said, expected) = tokio::join!(ours.lines(&args, lines), etcd.lines(&args, lines));
        assert_eq!(comparable(&said.join("\n")), comparable(&expected.join("\n")), "etcdctl {args:?}");
    }
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_live_and_end_by_etcdctl() {
    let ours = Target::ours().await;
    let granted: Value = serde_json::from_str(&ours.run(&["lease", "grant", "600", "-w", "json"], "").await).unwrap();
    let id = format!("{:016x}", granted["ID"].as_i64().unwrap());
    ours.run(&["put", "held", "1", &format!("--lease={id}")], "").await;
    let renewed = ours.run(&["lease", "keep-alive", &id, "--once"], "").await;
    assert_eq!(renewed, format!("lease {id} keepalived with TTL(600)\n"));
    let left: Value =
        serde_json::from_str(&ours.run(&["lease", "timetolive", &id, "--keys", "-w", "json"], "").await).unwrap();
    assert_eq!((&left["granted-ttl"], &left["keys"][0]), (&Value::from(600), &Value::from("aGVsZA==")), "{left}");
    let list = ours.run(&["lease", "list"], "").await;
    assert!(list.contains(&id), "{list}");
    ours.run(&["lease", "revoke", &id], "").await;
    assert_eq!(ours.run(&["get", "held"], "").await, "");
    let short: Value = serde_json::from_str(&ours.run(&["lease", "grant", "1", "-w", "json"], "").await).unwrap();
    let id = format!("{:016x}", short["ID"].as_i64().unwrap());
    ours.run(&["put", "brief", "1", &format!("--lease={id}")], "").await;
    eventually(DEADLINE, async || match ours.run(&["get", "brief"], "").await {
        gone if gone.is_empty() => Ok(()),
        still => Err(still),
    })
    .await;
    assert_eq!(ours.run(&["lock", "mutex", "echo", "held"], "").await, "held\n");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_sees_the_cluster() {
    let ours = Target::ours().await;
    assert!(ours.run(&["endpoint", "health"], "").await.contains("is healthy"));
    let status = ours.run(&["endpoint", "status", "-w", "table"], "").await;
    assert!(status.contains("| a1 |") && status.contains(" 3.6.0 |") && status.contains("true"), "{status}");
    ours.run(&["put", "a", "1"], "").await;
    let hash = ours.run(&["endpoint", "hashkv", "-w", "json"], "").await;
    assert!(hash.contains("\"hash\":"), "{hash}");
    let members = ours.run(&["member", "list"], "").await;
    assert!(members.starts_with("a1, started, one, https://127.0.0.1:"), "{members}");
    let added = ours.run(&["member", "add", "two", "--learner", "--peer-urls=https://127.0.0.1:1"], "").await;
    assert!(added.contains("added to cluster"), "{added}");
    let members = ours.run(&["member", "list"], "").await;
    assert!(members.contains(", unstarted, , https://127.0.0.1:1, , true"), "{members}");
    let id = members.lines().find(|line| line.contains("unstarted")).unwrap().split(',').next().unwrap().to_owned();
    let early = ours.run(&["member", "promote", &id], "").await;
    assert!(early.contains("can only promote a learner member which is in sync with leader"), "{early}");
    let moved = ours.run(&["member", "update", &id, "--peer-urls=https://127.0.0.1:2"], "").await;
    assert!(moved.contains("updated in cluster"), "{moved}");
    assert!(ours.run(&["member", "list"], "").await.contains("https://127.0.0.1:2,"));
    let taken = ours.run(&["move-leader", &id], "").await;
    assert!(taken.contains("bad leader transferee"), "{taken}");
    let removed = ours.run(&["member", "remove", &id], "").await;
    assert!(removed.contains("removed from cluster"), "{removed}");
    assert!(ours.run(&["defrag"], "").await.contains("Finished defragmenting"));
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_saved_by_etcdctl_can_be_restored() {
    let ours = Target::ours().await;
    for n in 0..50 {
        ours.run(&["put", &format!("k{n}"), "value"], "").await;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("saved");
    let said = ours.run(&["snapshot", "save", path.to_str().unwrap()], "").await;
    assert!(said.contains("Snapshot saved at"), "{said}");
    // What newer etcdctls look at before they call it saved.
    assert_eq!(path.metadata().unwrap().len() % 512, 32);
    let (_, contents) = store::restore::inspect(&path).unwrap();
    assert_eq!((contents.keys, contents.revision), (50, 51));
    let failed = ours.run(&["snapshot", "save", "/nonexistent/db"], "").await;
    assert!(failed.starts_with("Error"), "{failed}");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_refused_with_the_reason() {
    let ours = Target::ours().await;
    for args in [&["auth", "enable"][..], &["user", "add", "ann:secret"], &["role", "add", "reader"]] {
        let said = ours.run(args, "").await;
        assert!(said.contains("users and roles are not offered; access is given by certificates"), "{args:?}: {said}");
    }
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_elects() {
    for target in Target::both().await {
        let elected = target.lines(&["elect", "post", "ann"], 2).await;
        assert!(elected[0].starts_with("post/") && elected[1] == "ann", "{elected:?}");
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_mirrors_us_into_etcd() {
    let [ours, etcd] = Target::both().await;
    ours.run(&["put", "m/1", "before"], "").await;
    let url = etcd.url().to_owned();
    let mut mirror = ours.command(&["make-mirror", "--prefix=m/", "--dest-insecure-transport", &url]).spawn().unwrap();
    let arrived = async |key: &str, value: &str| {
        eventually(DEADLINE, async || match etcd.run(&["get", key, "--print-value-only"], "").await {
            found if found.trim_end() == value => Ok(()),
            found => Err(found),
        })
        .await;
    };
    arrived("m/1", "before").await;
    ours.run(&["put", "m/2", "after"], "").await;
    arrived("m/2", "after").await;
    ours.run(&["del", "m/1"], "").await;
    arrived("m/1", "").await;
    mirror.kill().await.unwrap();
    ours.stop().await;
}

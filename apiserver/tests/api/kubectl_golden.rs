//! What kubectl shows of one object of each kind that users meet, to the letter: get, describe, explain.
//!
//! Whatever differs from run to run is masked. `UPDATE_EXPECT=1` writes the goldens anew; `NAME.1.20.txt` is for that minor,
//! where what it shows differs from `NAME.txt`.

use std::path::{Path, PathBuf};

use regex::Regex;
use testing::kubectl::{Program, programs};

use crate::kubectl_commands::{FOLDER, each};

/// The minors whose output was looked at, since kubectl's own words change: Debian's, which every machine has, and a new one.
const RECORDED: [u32; 2] = [20, 33];

/// Kinds that are shown as a table and described.
const NAMED: [(&str, &str); 22] = [
    ("configmap", "settings"),
    ("cronjob", "nightly"),
    ("daemonset", "agent"),
    ("deployment", "web"),
    ("endpoints", "web"),
    ("endpointslice", "web-slice"),
    ("hpa", "web"),
    ("ingress", "web"),
    ("job", "once"),
    ("lease", "held"),
    ("limits", "small"),
    ("networkpolicy", "closed"),
    ("pdb", "web"),
    ("pod", "web-1"),
    ("pvc", "data"),
    ("quota", "few"),
    ("replicaset", "lone"),
    ("role", "reader"),
    ("rolebinding", "reader"),
    ("secret", "hidden"),
    ("shirt", "mine"),
    ("statefulset", "db"),
];

/// Everything else: the name of the golden, and the command.
const COMMANDS: &[(&str, &str)] = &[
    ("get-all", "get all -n world"),
    ("get-all-namespaces", "get pods,configmaps,services -A"),
    ("get-custom-columns", "get pods -n world -o custom-columns=NAME:.metadata.name,IMAGES:.spec.containers[*].image"),
    ("get-events", "get events -n world"),
    ("get-json", "get configmap settings -n world -o json"),
    ("get-jsonpath", "get pods -n world -o jsonpath={range.items[*]}{.metadata.name}={.status.phase},{end}"),
    ("get-label-columns", "get pods -n world -L app,track"),
    ("get-names", "get pods,services -n world -o name"),
    ("get-namespace", "get namespace world"),
    ("get-node-wide", "get nodes -o wide"),
    ("get-pv", "get pv,storageclass,priorityclass"),
    ("get-show-labels", "get pods -n world --show-labels"),
    ("get-sorted", "get services -n world --sort-by=.spec.clusterIP"),
    ("get-yaml", "get deployment web -n world -o yaml"),
    ("describe-namespace", "describe namespace world"),
    ("describe-node", "describe node n1"),
    ("describe-pod-waiting", "describe pod waiting -n world"),
    ("describe-pv", "describe pv disk"),
    ("describe-service", "describe service web public headless -n world"),
    ("describe-storageclass", "describe storageclass fast"),
    ("explain-configmap", "explain configmap"),
    ("explain-custom", "explain shirt.spec"),
    ("explain-deployment-strategy", "explain deployment.spec.strategy.rollingUpdate"),
    ("explain-pod-field", "explain pod.spec.restartPolicy"),
    ("explain-recursive", "explain cronjob.spec --recursive"),
];

#[test]
fn what_kubectl_shows_is_what_it_showed() {
    let recorded: Vec<Program> = programs().into_iter().filter(|one| RECORDED.contains(&one.minor)).collect();
    assert!(!recorded.is_empty(), "no kubectl of {RECORDED:?} is here (tools/bootstrap test)");
    each(&recorded, |program, seat| {
        seat.must("create -f world.yaml");
        seat.must("wait --for=condition=Established crd/shirts.example.com --timeout=60s");
        seat.must("create -f shirt.yaml");
        seat.must("replace --raw /api/v1/namespaces/world/pods/web-1/status -f web-1.json");
        seat.must("replace --raw /api/v1/nodes/n1/status -f n1.json");
        for (kind, name) in NAMED {
            check(program, &format!("get-{kind}"), seat.says(&format!("get {kind} {name} -n world -o wide")));
            check(program, &format!("describe-{kind}"), seat.says(&format!("describe {kind} {name} -n world")));
        }
        for (name, command) in COMMANDS {
            check(program, name, seat.says(command));
        }
    });
}

fn check(program: &Program, name: &str, shown: Result<String, String>) {
    // An old kubectl describes some kinds by versions that are no longer served, and says so.
    let shown = mask(&shown.unwrap_or_else(|complaint| format!("It fails: {complaint}")));
    let explains = name.starts_with("explain-") && name != "explain-custom";
    let shown = if explains { without_sentences(&shown) } else { shown };
    expect_test::expect_file![golden(program.minor, name)].assert_eq(&shown);
}

/// What is explained, with upstream's sentences left out: only that there are some. A line of a field has a tab.
fn without_sentences(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        let sentence = line.starts_with("    ") && !line.contains('\t');
        lines.push(if sentence { "    <sentences>" } else { line });
    }
    lines.dedup_by(|next, last| next == last && next.ends_with("<sentences>"));
    lines.join("\n") + "\n"
}

/// The golden for this minor.
fn golden(minor: u32, name: &str) -> PathBuf {
    let folder = Path::new(FOLDER).join("golden");
    let own = folder.join(format!("{name}.1.{minor}.txt"));
    if own.exists() { own } else { folder.join(format!("{name}.txt")) }
}

/// The text without what differs from run to run.
fn mask(text: &str) -> String {
    const MASKS: [(&str, &str); 8] = [
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uid>"),
        (r#"(?m)(resourceVersion"?:|Resource Version:) +[^,\n]+"#, "$1 <revision>"),
        (r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
        (r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} 20\d\d \d\d:\d\d:\d\d \+0000", "<time>"),
        (r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC", "<time>"),
        (r"\(\w+ ago\)", "(<age> ago)"),
        // In a column of its own; elsewhere it may be an amount. The test is over before anything is an hour old.
        (r"(?m)(^| {2,})(\d+d|\d{1,3}s|\d{1,2}m(\d{1,2}s)?)( |$)", "$1<age>$4"),
        // Columns are as wide as what is masked was.
        (r"(\S) {2,}", "$1  "),
    ];
    let mut text = text.to_owned();
    for (pattern, with) in MASKS {
        text = Regex::new(pattern).unwrap().replace_all(&text, with).into_owned();
    }
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

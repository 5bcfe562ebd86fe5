//! Two faults at once, and a Service that is asked all the time: what holds, and that it would be told if it did not.

use std::fs;

use chaos_tests::{Cluster, command::run};

use crate::{chaos_command::is_whole, program};

#[test]
fn two_faults_at_once_keep_every_promise_and_the_report_shows_them_together() {
    let cluster = Cluster::up(program(), &[]);
    let [junit, summary, report] = ["junit.xml", "summary.md", "report.html"].map(|name| cluster.dir().join(name));
    let faults = "kill-leader,partition,agent-kill,partition-worker,clock-skew,kill-all,reboot-worker";
    let said = run(cluster
        .chaos(&["run", "--seed", "11", "--at-once", "2", "--for", "40s", "--interval", "1s", "--faults", faults])
        .arg("--junit")
        .arg(&junit)
        .arg("--summary")
        .arg(&summary)
        .arg("--report")
        .arg(&report));

    eprintln!("{}", said.out);
    assert!(said.success, "{}", said.all());
    assert!(said.out.contains(" --at-once 2 "), "it can be repeated:\n{}", said.all());
    assert!(said.out.lines().last().unwrap_or_default().contains(" times two at once), all bit"), "{}", said.all());
    let [junit, summary, report] = [junit, summary, report].map(|file| fs::read_to_string(file).expect("a file"));
    assert!(junit.contains("failures=\"0\"") && junit.contains(" beside "), "{junit}");
    assert!(summary.contains(" times two at once") && summary.contains(" + "), "{summary}");
    assert!(
        summary.contains("| a Service leads to pods that live | ") && summary.contains(" connections, "),
        "{summary}"
    );
    assert!(report.contains(" beside ") && report.contains("Service from w1"), "{report}");
    is_whole(&cluster);
}

/// An endpoint that nobody is behind, as if a dead pod had not left its Service.
#[test]
fn a_service_that_leads_to_nobody_breaks_the_verdict() {
    let cluster = Cluster::up(program(), &["--workers", "1"]);
    let slice = cluster.dir().join("slice.json");
    let endpoint = serde_json::json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "of-the-dead", "labels": { "kubernetes.io/service-name": "service" } },
        "endpoints": [{ "addresses": ["10.244.250.250"], "conditions": { "ready": true } }],
        "ports": [{ "port": 8080 }],
    });
    fs::write(&slice, endpoint.to_string()).expect("a file");
    let plant = format!(
        "n=$(kubectl get namespaces -o name | grep kontiki-chaos | cut -d/ -f2) \
         && kubectl create -n $n -f {} && while sleep 0.1; do :; done",
        slice.display()
    );
    let said = run(cluster
        .chaos(&["run", "--seed", "1", "--for", "6s", "--interval", "1s", "--faults", "kill-follower"])
        .args(["--workload", &plant]));

    assert!(!said.success, "{}", said.all());
    assert!(said.out.contains("BROKEN: a Service leads to pods that live: "), "{}", said.all());
    assert!(said.out.contains(" connections failed without excuse: from w1 at "), "{}", said.all());
    assert_eq!(said.out.matches("BROKEN").count(), 1, "{}", said.all());
    is_whole(&cluster);
}

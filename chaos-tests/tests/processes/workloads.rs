//! Jobs, DaemonSets and CronJobs, by kubectl: what should end ends, what should run everywhere does, and each at its time.

use std::{collections::BTreeSet, fs};

use chaos_tests::{
    Cluster,
    cluster::{Kubectl, PATIENCE},
};
use nix::sys::signal::Signal;
use testing::eventually_blocking;

use crate::program;

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifests");

/// The user's manifest, but for images that need a registry: with the built-in one, and a program that this one has.
fn manifest(name: &str, image: &str, program: Option<(&str, &str)>) -> String {
    let text = fs::read_to_string(format!("{MANIFESTS}/{name}.yaml")).expect("the manifest");
    let (image, demo) = (format!("image: {image}\n"), "image: kontiki.io/demo:1\n");
    assert!(text.contains(&image), "{text}");
    let text = text.replace(&image, demo);
    program.map_or(text.clone(), |(before, after)| {
        assert!(text.contains(before), "{text}");
        text.replace(before, after)
    })
}

#[test]
fn jobs_end_daemons_run_on_every_worker_and_cron_jobs_begin_jobs() {
    let cluster = Cluster::up(program(), &["--masters", "1"]);
    let kubectl = cluster.kubectl("kubectl");
    a_job_runs_to_its_end(&kubectl);
    every_index_is_completed(&kubectl);
    a_job_that_fails_too_often_has_failed(&kubectl);
    a_deleted_job_takes_its_pods_with_it(&kubectl);
    daemons_run_on_every_worker_and_roll(&kubectl);
    a_cron_job_begins_jobs_unless_it_is_suspended(&kubectl);
}

/// The count of a pod takes three writes, and a leader may be gone after each of them.
#[test]
fn every_pod_of_a_job_counts_once_though_its_leaders_are_killed() {
    let cluster = Cluster::up(program(), &[]);
    let kubectl = cluster.kubectl("kubectl");
    let job = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: many}
spec:
  completions: 40
  parallelism: 8
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: "kontiki.io/demo:1", command: [/demo, exit, "0"]}]
"#;
    kubectl.with_input("apply -f -", job);
    for share in [5, 20] {
        eventually_blocking(PATIENCE, || {
            let succeeded = kubectl.ok("get job many -o jsonpath={.status.succeeded}");
            if succeeded.parse::<u32>().is_ok_and(|count| count >= share) { Ok(()) } else { Err(succeeded) }
        });
        let leader = cluster.leader();
        cluster.signal(&leader, "server", Signal::SIGKILL);
        cluster.kontiki("up", &[]);
    }
    kubectl.ok("wait --for=condition=complete job/many --timeout=120s");
    assert_eq!(kubectl.ok("get job many -o jsonpath={.status.succeeded},{.status.failed}"), "40,");
    let pods = kubectl.ok("get pods -l job-name=many -o name");
    assert_eq!(pods.lines().count(), 40, "none was made in vain");
}

fn a_job_runs_to_its_end(kubectl: &Kubectl) {
    let calculation = r#"command: ["perl", "-Mbignum=bpi", "-wle", "print bpi(2000)"]"#;
    let command = (calculation, r#"command: ["/demo", "env"]"#);
    kubectl.with_input("apply -f -", &manifest("job", "perl", Some(command)));
    kubectl.ok("wait --for=condition=complete job/pi --timeout=60s");
    let status = kubectl.ok("get job pi -o jsonpath={.status.succeeded},{.status.active},{.status.completionTime}");
    assert!(status.starts_with("1,,2"), "{status}");
    assert!(kubectl.ok("logs job/pi").contains("DEMO_VERSION=1"));
    let finalizers = kubectl.ok("get pods -l job-name=pi -o jsonpath={.items[*].metadata.finalizers}");
    assert_eq!(finalizers, "", "who is counted is let go");
    assert!(kubectl.ok("get job pi").contains("Complete   1/1"));
    assert!(kubectl.ok("describe job pi").contains("Completed"));
}

fn every_index_is_completed(kubectl: &Kubectl) {
    let job = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: parts}
spec:
  completions: 3
  parallelism: 3
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers: [{name: part, image: "kontiki.io/demo:1", command: [/demo, env]}]
"#;
    kubectl.with_input("apply -f -", job);
    kubectl.ok("wait --for=condition=complete job/parts --timeout=60s");
    assert_eq!(kubectl.ok("get job parts -o jsonpath={.status.completedIndexes}"), "0-2");
    for index in 0..3 {
        let selector = format!("job-name=parts,batch.kubernetes.io/job-completion-index={index}");
        let logs = kubectl.ok(&format!("logs -l {selector} --tail=-1"));
        assert!(logs.contains(&format!("JOB_COMPLETION_INDEX={index}")), "{logs}");
        let hostname = kubectl.ok(&format!("get pods -l {selector} -o jsonpath={{.items[*].spec.hostname}}"));
        assert_eq!(hostname, format!("parts-{index}"));
    }
}

fn a_job_that_fails_too_often_has_failed(kubectl: &Kubectl) {
    let job = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: doomed}
spec:
  backoffLimit: 0
  completions: 2
  parallelism: 2
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: "kontiki.io/demo:1", command: [/demo, exit, "3"]}]
"#;
    kubectl.with_input("apply -f -", job);
    kubectl.ok("wait --for=condition=failed job/doomed --timeout=60s");
    let status = kubectl.ok("get job doomed -o jsonpath={.status.conditions[*].reason},{.status.terminating}");
    assert_eq!(status, "BackoffLimitExceeded BackoffLimitExceeded,0");
}

fn a_deleted_job_takes_its_pods_with_it(kubectl: &Kubectl) {
    kubectl.ok("create job endless --image=kontiki.io/demo:1 -- /demo sleep 3600");
    kubectl.ok("wait --for=jsonpath={.status.ready}=1 job/endless --timeout=60s");
    kubectl.ok("delete job endless");
    eventually_blocking(PATIENCE, || {
        let left = kubectl.ok("get pods -l job-name=endless -o name");
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

fn daemons_run_on_every_worker_and_roll(kubectl: &Kubectl) {
    let within = |words: &str| kubectl.ok(&format!("-n kube-system {words}"));
    let daemons = "daemonset/fluentd-elasticsearch";
    let image = "k8s.gcr.io/fluentd-elasticsearch:1.20";
    kubectl.with_input("apply -f -", &manifest("daemonset", image, None));
    within(&format!("rollout status {daemons} --timeout=60s"));
    let of_pods = |field: &str| {
        let pods = format!("get pods -l name=fluentd-elasticsearch -o jsonpath={{.items[*].{field}}}");
        within(&pods).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let workers = BTreeSet::from(["w1".to_owned(), "w2".to_owned()]);
    let runs_everywhere = |image: &str| {
        eventually_blocking(PATIENCE, || {
            let (nodes, images) = (of_pods("spec.nodeName"), of_pods("spec.containers[0].image"));
            let everywhere = nodes.len() == 2 && nodes.iter().cloned().collect::<BTreeSet<_>>() == workers;
            if everywhere && images.iter().all(|one| one == image) {
                Ok(())
            } else {
                Err(format!("{nodes:?} {images:?}"))
            }
        });
    };
    runs_everywhere("kontiki.io/demo:1");
    within(&format!("set image {daemons} fluentd-elasticsearch=kontiki.io/demo:2"));
    within(&format!("rollout status {daemons} --timeout=60s"));
    runs_everywhere("kontiki.io/demo:2");
    let history = within(&format!("rollout history {daemons}"));
    assert!(history.contains("\n1 ") && history.contains("\n2 "), "{history}");
    within(&format!("rollout undo {daemons}"));
    within(&format!("rollout status {daemons} --timeout=60s"));
    runs_everywhere("kontiki.io/demo:1");
    let revisions = within("get controllerrevisions -o jsonpath={.items[*].revision}");
    assert_eq!(revisions.split_whitespace().collect::<BTreeSet<_>>(), BTreeSet::from(["2", "3"]));
    within(&format!("delete {daemons}"));
}

fn a_cron_job_begins_jobs_unless_it_is_suspended(kubectl: &Kubectl) {
    let cron_job = r#"
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "@every 1s"
  suspend: true
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: "kontiki.io/demo:1", command: [/demo, exit, "0"]}]
"#;
    kubectl.with_input("apply -f -", cron_job);
    kubectl.ok("create job by-hand --from=cronjob/tick");
    kubectl.ok("wait --for=condition=complete job/by-hand --timeout=60s");
    let begun = || {
        let jobs = kubectl.ok("get jobs -o jsonpath={.items[*].metadata.name}");
        jobs.split_whitespace().filter(|name| name.starts_with("tick-")).map(str::to_owned).collect::<Vec<_>>()
    };
    // By now a second has passed many times.
    assert_eq!(begun(), Vec::<String>::new());
    let patch = r#"--patch={"spec":{"suspend":false}}"#;
    kubectl.ok(&format!("patch cronjob tick --type=merge {patch}"));
    let name = eventually_blocking(PATIENCE, || begun().first().cloned().ok_or("none has begun"));
    kubectl.ok(&format!("wait --for=condition=complete job/{name} --timeout=60s"));
    eventually_blocking(PATIENCE, || {
        let status = kubectl.ok("get cronjob tick -o jsonpath={.status}");
        let told = status.contains("lastScheduleTime") && status.contains("lastSuccessfulTime");
        if told { Ok(()) } else { Err(status) }
    });
}

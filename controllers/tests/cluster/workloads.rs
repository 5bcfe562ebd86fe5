//! Jobs, DaemonSets and CronJobs, and that all of them come to rest.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use testing::eventually;

use crate::fixture::{Fixture, NODE_GRACE_LONG};

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const CRON_JOBS: &str = "/apis/batch/v1/namespaces/default/cronjobs";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const PODS: &str = "/api/v1/namespaces/default/pods";
const SOON: Duration = Duration::from_secs(60);

fn template(image: &str) -> Value {
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": image}]});
    json!({"spec": spec})
}

/// What has this condition.
async fn ended(cluster: &Fixture, path: &str, condition: &str) -> Value {
    eventually(SOON, async || {
        let object = cluster.get(path).await;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|one| one["type"] == condition) { Ok(object) } else { Err(format!("{object:#}")) }
    })
    .await
}

async fn pods(cluster: &Fixture) -> Vec<Value> {
    cluster.get(PODS).await["items"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pod_of_a_job_is_counted_once_and_then_nothing_is_written() {
    let cluster = Fixture::start(NODE_GRACE_LONG, &["n1", "n2"]).await;
    let spec = json!({"completions": 9, "parallelism": 4, "template": template("image:succeeds")});
    cluster.post(JOBS, &json!({"metadata": {"name": "many"}, "spec": spec})).await;
    let limit = json!({"backoffLimitPerIndex": 0, "completionMode": "Indexed"});
    let mut spec = json!({"completions": 3, "parallelism": 3, "template": template("image:fails")});
    spec.as_object_mut().unwrap().extend(limit.as_object().unwrap().clone());
    cluster.post(JOBS, &json!({"metadata": {"name": "indexed"}, "spec": spec})).await;
    let spec = json!({"template": template("image:1")});
    cluster.post(JOBS, &json!({"metadata": {"name": "endless"}, "spec": spec})).await;

    let status = ended(&cluster, &format!("{JOBS}/many"), "Complete").await["status"].clone();
    assert_eq!((&status["succeeded"], &status["failed"]), (&json!(9), &Value::Null), "{status:#}");
    let status = ended(&cluster, &format!("{JOBS}/indexed"), "Failed").await["status"].clone();
    assert_eq!((&status["failed"], &status["failedIndexes"]), (&json!(3), &json!("0-2")), "{status:#}");
    let pods = pods(&cluster).await;
    assert_eq!(pods.len(), 13, "none was made in vain");
    let held = pods.iter().filter(|pod| !pod["metadata"]["finalizers"].is_null());
    assert_eq!(held.count(), 1, "only the one that runs");
    cluster.quiet_for(Duration::from_secs(3)).await;

    for name in ["many", "indexed", "endless"] {
        cluster.delete(&format!("{JOBS}/{name}")).await;
    }
    cluster.none_left(PODS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_job_has_no_pods_and_begins_anew_when_it_goes_on() {
    let cluster = Fixture::start(NODE_GRACE_LONG, &["n1"]).await;
    let spec = json!({"completions": 2, "parallelism": 2, "template": template("image:1")});
    cluster.post(JOBS, &json!({"metadata": {"name": "halting"}, "spec": spec})).await;
    let path = format!("{JOBS}/halting");
    let is = async |ready: u64, active: &Value| {
        eventually(SOON, async || {
            let status = cluster.get(&path).await["status"].clone();
            if status["ready"] == ready && status["active"] == *active { Ok(()) } else { Err(format!("{status:#}")) }
        })
        .await;
    };
    is(2, &json!(2)).await;
    cluster.patch(&path, &json!({"spec": {"suspend": true}})).await;
    cluster.none_left(PODS).await;
    is(0, &Value::Null).await;
    let status = ended(&cluster, &path, "Suspended").await["status"].clone();
    assert_eq!((&status["failed"], &status["startTime"]), (&Value::Null, &Value::Null), "{status:#}");
    cluster.quiet_for(Duration::from_secs(2)).await;
    cluster.patch(&path, &json!({"spec": {"suspend": false}})).await;
    is(2, &json!(2)).await;
    assert!(cluster.get(&path).await["status"]["startTime"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_gone_some_time_after_its_end() {
    let cluster = Fixture::start(NODE_GRACE_LONG, &["n1"]).await;
    let spec = json!({"ttlSecondsAfterFinished": 1, "template": template("image:succeeds")});
    cluster.post(JOBS, &json!({"metadata": {"name": "short"}, "spec": spec})).await;
    cluster.gone(&format!("{JOBS}/short")).await;
    cluster.none_left(PODS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_run_on_every_node_roll_and_come_to_rest() {
    let cluster = Fixture::start(NODE_GRACE_LONG, &["n1", "n2", "n3"]).await;
    let labels = json!({"app": "log"});
    let template =
        |image: &str| json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}});
    let spec = json!({"selector": {"matchLabels": labels}, "template": template("image:1")});
    cluster.post(DAEMON_SETS, &json!({"metadata": {"name": "log"}, "spec": spec})).await;
    let path = format!("{DAEMON_SETS}/log");
    let runs = async |image: &str| {
        eventually(SOON, async || {
            let status = cluster.get(&path).await["status"].clone();
            let (pods, text) = (pods(&cluster).await, format!("{status:#}"));
            let on: BTreeSet<String> = pods.iter().map(|pod| pod["spec"]["nodeName"].to_string()).collect();
            let new = pods.iter().all(|pod| pod["spec"]["containers"][0]["image"] == image);
            let all = ["updatedNumberScheduled", "numberAvailable"].iter().all(|count| status[*count] == 3);
            if pods.len() == 3 && on.len() == 3 && new && all { Ok(()) } else { Err(text) }
        })
        .await;
    };
    runs("image:1").await;
    cluster.quiet_for(Duration::from_secs(2)).await;
    cluster.patch(&path, &json!({"spec": {"template": template("image:2")}})).await;
    runs("image:2").await;
    cluster.quiet_for(Duration::from_secs(2)).await;
    cluster.delete(&path).await;
    cluster.none_left(PODS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_job_begins_one_job_for_a_time() {
    let cluster = Fixture::start(NODE_GRACE_LONG, &["n1"]).await;
    let job = json!({"spec": {"template": template("image:succeeds")}});
    // Its Jobs are named by the minute.
    let spec = json!({"schedule": "@every 1s", "jobTemplate": job});
    let cron_job = |name: &str, more: Value| {
        let mut spec = spec.clone();
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"metadata": {"name": name}, "spec": spec})
    };
    cluster.post(CRON_JOBS, &cron_job("asleep", json!({"suspend": true}))).await;
    cluster.post(CRON_JOBS, &cron_job("tick", json!({}))).await;
    eventually(SOON, async || {
        let status = cluster.get(&format!("{CRON_JOBS}/tick")).await["status"].clone();
        if status["lastSuccessfulTime"].is_null() { Err(format!("{status:#}")) } else { Ok(()) }
    })
    .await;
    let jobs = cluster.get(JOBS).await["items"].as_array().cloned().unwrap_or_default();
    let names: Vec<&str> = jobs.iter().filter_map(|job| job["metadata"]["name"].as_str()).collect();
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("tick-")), "{names:?}");
    let of_one: Vec<&Value> = jobs.iter().map(|job| &job["status"]["succeeded"]).collect();
    assert!(of_one.contains(&&json!(1)), "{of_one:?}");
    cluster.delete(&format!("{CRON_JOBS}/tick")).await;
    cluster.none_left(JOBS).await;
}

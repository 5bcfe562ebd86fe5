//! The server tells how it is, in the form that probes and dashboards read.

use http::Method;
use serde_json::Value;

use crate::harness::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn checks_are_told_together_and_one_by_one() {
    let api = Fixture::start().await;
    for endpoint in ["healthz", "livez", "readyz"] {
        let whole = api.get(&format!("/{endpoint}")).await;
        assert_eq!((whole.code.as_u16(), &*whole.text()), (200, "ok"), "{endpoint}");
        let verbose = api.get(&format!("/{endpoint}?verbose")).await.text();
        assert!(verbose.starts_with("[+]ping ok\n"), "{verbose}");
        assert!(verbose.ends_with(&format!("{endpoint} check passed\n")), "{verbose}");
        for name in verbose.lines().filter_map(|line| line.strip_prefix("[+]")?.strip_suffix(" ok")) {
            let one = api.get(&format!("/{endpoint}/{name}")).await;
            assert_eq!((one.code.as_u16(), &*one.text()), (200, "ok"), "{endpoint}/{name}");
        }
    }
    let excluded = api.get("/readyz?verbose&exclude=etcd&exclude=nothing").await.text();
    assert!(excluded.contains("[+]etcd excluded: ok\n"), "{excluded}");
    assert!(
        excluded.contains("warn: some health checks cannot be excluded: no matches for \"nothing\"\n"),
        "{excluded}"
    );
    assert_eq!(api.get("/readyz/nothing").await.text(), "404 page not found\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_ends_before_anything_else_does() {
    let api = Fixture::start().await;
    api.server.begin_shutdown();
    let failing = api.send_as(None, Method::GET, "/readyz", "", "").await;
    assert_eq!(failing.code, 500);
    assert!(failing.text().contains("[-]shutdown failed: reason withheld\n"), "{}", failing.text());
    assert!(failing.text().ends_with("readyz check failed\n"));
    let one = api.get("/readyz/shutdown").await;
    assert_eq!((one.code.as_u16(), &*one.text()), (500, "internal server error: process is shutting down\n"));
    for path in ["/livez", "/healthz", "/readyz?exclude=shutdown"] {
        assert_eq!(api.get(path).await.text(), "ok", "{path}");
    }
    api.get("/api/v1/namespaces").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_names_that_dashboards_ask_for() {
    let api = Fixture::start().await;
    api.get("/api/v1/namespaces").await.expect(200);
    let _watch = api.watch("/api/v1/namespaces?watch=1").await;
    let answer = api.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    for (name, labels) in [
        ("apiserver_request_total", &["verb=\"LIST\"", "resource=\"namespaces\"", "code=\"200\"", "dry_run=\"\""][..]),
        ("apiserver_request_duration_seconds_bucket", &["verb=\"LIST\"", "scope=\"cluster\"", "le=\"0.05\""]),
        ("apiserver_longrunning_requests", &["verb=\"WATCH\"", "component=\"apiserver\""]),
        ("apiserver_current_inflight_requests", &["request_kind=\"readOnly\""]),
        ("process_resident_memory_bytes", &[]),
        ("process_start_time_seconds", &[]),
        ("kubernetes_build_info", &["git_version=\"v1.37.0+kontiki."]),
        ("apiserver_storage_objects", &["resource=\"clusterroles.rbac.authorization.k8s.io\""]),
        ("etcd_disk_wal_fsync_duration_seconds_bucket", &["le=\"0.128\""]),
        ("etcd_server_is_leader", &[]),
    ] {
        let found = text.lines().any(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
        assert!(found, "{name} {labels:?} in\n{text}");
    }
    assert!(text.contains("# TYPE apiserver_request_total counter\n"), "{text}");
    let open = api.get_with("/metrics", &[("Accept", "application/openmetrics-text")]).await;
    assert!(
        open.header("content-type").starts_with("application/openmetrics-text") && open.text().ends_with("# EOF\n")
    );
    let indicators = api.get("/metrics/slis").await.text();
    assert!(indicators.contains("kubernetes_healthcheck{name=\"etcd\",type=\"readyz\"} 1\n"), "{indicators}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_paths_and_version_are_told() {
    let api = Fixture::start().await;
    let keys: Value = api.get("/openid/v1/jwks").await.expect(200);
    assert_eq!(keys["keys"][0]["crv"], "P-256");
    let issuer = api.get("/.well-known/openid-configuration").await.expect(200);
    assert_eq!(issuer["issuer"], "https://kubernetes.default.svc");
    assert!(issuer["jwks_uri"].as_str().unwrap().ends_with("/openid/v1/jwks"));
    let root = api.get("/").await.expect(200);
    let paths: Vec<&str> = root["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert!(paths.is_sorted(), "{paths:?}");
    for path in paths {
        assert_eq!(api.get(path).await.code, 200, "{path}");
    }
    let version = api.get("/version").await.expect(200);
    assert_eq!((&version["major"], &version["minor"]), (&"1".into(), &"37".into()));
}

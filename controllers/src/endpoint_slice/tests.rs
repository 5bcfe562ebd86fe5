use expect_test::expect;

use super::CONTROLLER;
use crate::testing::check;

/// The Service `a/web` at port 80, with more in its spec.
pub(crate) fn service(spec: &str) -> String {
    let spec =
        format!("{{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}], clusterIP: 10.96.0.7, {spec}}}");
    format!("{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: a, uid: s1}}, spec: {spec}}}")
}

/// A pod of it on node `n1`.
pub(crate) fn pod(name: &str, ip: &str, ready: &str, metadata: &str) -> String {
    let metadata = format!("{{name: {name}, namespace: a, uid: {name}, labels: {{app: web}}, {metadata}}}");
    let status = format!("{{phase: Running, podIP: {ip}, conditions: [{{type: Ready, status: '{ready}'}}]}}");
    let ports = "ports: [{name: web, containerPort: 8000}, {name: web, containerPort: 53, protocol: UDP}]";
    let spec = format!("{{nodeName: n1, containers: [{{name: c, image: i, {ports}}}]}}");
    format!("\n---\n{{apiVersion: v1, kind: Pod, metadata: {metadata}, spec: {spec}, status: {status}}}")
}

/// A slice of ours.
fn slice(name: &str, rest: &str) -> String {
    let labels =
        "kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io";
    let owner = "{apiVersion: v1, kind: Service, name: web, uid: s1, controller: true, blockOwnerDeletion: true}";
    let metadata =
        format!("{{name: {name}, namespace: a, uid: {name}, labels: {{{labels}}}, ownerReferences: [{owner}]}}");
    format!(
        "\n---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {metadata}, addressType: IPv4, {rest}}}"
    )
}

const PORTS: &str = "ports: [{name: '', port: 8080, protocol: TCP}]";

fn endpoint(name: &str, ip: &str, conditions: &str) -> String {
    let target = format!("{{kind: Pod, namespace: a, name: {name}, uid: {name}}}");
    format!("{{addresses: [{ip}], conditions: {{{conditions}}}, nodeName: n1, targetRef: {target}}}")
}

#[test]
fn a_service_gets_a_slice_though_it_has_no_pods() {
    check(
        &CONTROLLER,
        "services a/web",
        &service(""),
        expect![[r#"
        create endpointslices.discovery.k8s.io a/web-4w4q7 labels={"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web"}
    "#]],
    );
    check(
        &CONTROLLER,
        "services a/web",
        &(service("") + &slice("web-x", "")),
        expect![[r#"
        nothing to do
    "#]],
    );
}

#[test]
fn a_slice_that_says_what_is_is_not_written() {
    let ready = endpoint("p", "10.0.0.2", "ready: true, serving: true, terminating: false");
    let given =
        service("") + &pod("p", "10.0.0.2", "True", "") + &slice("web-x", &format!("{PORTS}, endpoints: [{ready}]"));
    check(
        &CONTROLLER,
        "services a/web",
        &given,
        expect![[r#"
        nothing to do
    "#]],
    );
}

#[test]
fn pods_are_told_of_with_their_state() {
    let pods = pod("ready", "10.0.0.2", "True", "")
        + &pod("unready", "10.0.0.3", "False", "")
        + &pod("leaving", "10.0.0.4", "True", "deletionTimestamp: '2026-01-01T00:10:00Z'")
        + &pod("ended", "10.0.0.5", "True", "").replace("phase: Running", "phase: Succeeded")
        + &pod("without", "''", "False", "")
        + &pod("other", "10.0.0.6", "True", "").replace("app: web", "app: db");
    let node = "\n---\n{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}}}";
    let empty = slice("web-x", PORTS);
    check(
        &CONTROLLER,
        "services a/web",
        &(service("") + &pods + &empty + node),
        expect![[r#"
        patch endpointslices.discovery.k8s.io a/web-x {"endpoints":[{"addresses":["10.0.0.4"],"conditions":{"ready":false,"serving":true,"terminating":true},"nodeName":"n1","targetRef":{"kind":"Pod","name":"leaving","namespace":"a","uid":"leaving"},"zone":"z1"},{"addresses":["10.0.0.2"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"ready","namespace":"a","uid":"ready"},"zone":"z1"},{"addresses":["10.0.0.3"],"conditions":{"ready":false,"serving":false,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"unready","namespace":"a","uid":"unready"},"zone":"z1"}],"metadata":{"resourceVersion":"10"}}
    "#]],
    );
    let all = service("publishNotReadyAddresses: true") + &pod("unready", "10.0.0.3", "False", "") + &empty;
    check(
        &CONTROLLER,
        "services a/web",
        &all,
        expect![[r#"
        patch endpointslices.discovery.k8s.io a/web-x {"endpoints":[{"addresses":["10.0.0.3"],"conditions":{"ready":true,"serving":false,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"unready","namespace":"a","uid":"unready"}}],"metadata":{"resourceVersion":"10"}}
    "#]],
    );
}

#[test]
fn a_named_port_is_each_pods_own() {
    let named = service("").replace("targetPort: 8080", "name: http, targetPort: web, appProtocol: h2c");
    let other = pod("other", "10.0.0.3", "True", "").replace("containerPort: 8000", "containerPort: 9000");
    let without = pod("without", "10.0.0.4", "True", "").replace("name: web, containerPort: 8000", "containerPort: 1");
    let given = named + &pod("p", "10.0.0.2", "True", "") + &other + &without;
    let slices = slice("web-x", "") + &slice("web-y", "") + &slice("web-z", "");
    check(
        &CONTROLLER,
        "services a/web",
        &(given + &slices),
        expect![[r#"
        patch endpointslices.discovery.k8s.io a/web-x {"endpoints":[{"addresses":["10.0.0.3"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"other","namespace":"a","uid":"other"}}],"metadata":{"resourceVersion":"10"},"ports":[{"appProtocol":"h2c","name":"http","port":9000,"protocol":"TCP"}]}
        patch endpointslices.discovery.k8s.io a/web-y {"endpoints":[{"addresses":["10.0.0.2"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"p","namespace":"a","uid":"p"}}],"metadata":{"resourceVersion":"10"},"ports":[{"appProtocol":"h2c","name":"http","port":8000,"protocol":"TCP"}]}
        patch endpointslices.discovery.k8s.io a/web-z {"endpoints":[{"addresses":["10.0.0.4"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"without","namespace":"a","uid":"without"}}],"metadata":{"resourceVersion":"10"}}
    "#]],
    );
    let udp = service("").replace("targetPort: 8080", "targetPort: web, protocol: UDP");
    let given = udp + &pod("p", "10.0.0.2", "True", "") + &slice("web-x", "");
    check(
        &CONTROLLER,
        "services a/web",
        &given,
        expect![[r#"
        patch endpointslices.discovery.k8s.io a/web-x {"endpoints":[{"addresses":["10.0.0.2"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n1","targetRef":{"kind":"Pod","name":"p","namespace":"a","uid":"p"}}],"metadata":{"resourceVersion":"10"},"ports":[{"name":"","port":53,"protocol":"UDP"}]}
    "#]],
    );
}

#[test]
fn a_headless_service_needs_no_ports_and_gives_pods_their_names() {
    let headless =
        service("").replace("ports: [{port: 80, targetPort: 8080}], clusterIP: 10.96.0.7", "clusterIP: None");
    let pod = pod("p", "10.0.0.2", "True", "").replace("nodeName: n1", "nodeName: n1, hostname: zero, subdomain: web");
    check(
        &CONTROLLER,
        "services a/web",
        &(headless + &pod + &slice("web-x", "")),
        expect![[r#"
        patch endpointslices.discovery.k8s.io a/web-x {"endpoints":[{"addresses":["10.0.0.2"],"conditions":{"ready":true,"serving":true,"terminating":false},"hostname":"zero","nodeName":"n1","targetRef":{"kind":"Pod","name":"p","namespace":"a","uid":"p"}}],"metadata":{"labels":{"service.kubernetes.io/headless":""},"resourceVersion":"10"}}
    "#]],
    );
}

#[test]
fn services_that_others_look_after_are_left_alone() {
    let without = service("").replace("selector: {app: web}", "selector: {}");
    let external = service("type: ExternalName, externalName: example.com");
    for given in [without, external] {
        check(
            &CONTROLLER,
            "services a/web",
            &(given + &pod("p", "10.0.0.2", "True", "")),
            expect![[r#"
            nothing to do
        "#]],
        );
    }
}

#[test]
fn slices_of_a_family_that_is_not_wanted_go() {
    let six = service("ipFamilies: [IPv6]");
    check(
        &CONTROLLER,
        "services a/web",
        &(six + &slice("web-x", PORTS)),
        expect![[r#"
        create endpointslices.discovery.k8s.io a/web-4w4q7 labels={"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web"}
        delete endpointslices.discovery.k8s.io a/web-x
    "#]],
    );
}

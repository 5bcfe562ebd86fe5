use super::*;
use crate::kinds::testing::{check_all, created, errors, row, update_errors};

const BACKEND: &str = "{service: {name: web, port: {number: 80}}}";

fn with_path(path: &str) -> String {
    format!("spec: {{rules: [{{host: a.b, http: {{paths: [{path}]}}}}]}}")
}

#[test]
fn mistakes_are_told_with_their_paths() {
    let whole = format!("spec: {{defaultBackend: {BACKEND}, ingressClassName: nginx}}");
    check_all(&[
        (&KIND, &whole, &[]),
        (&KIND, "{}", &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        (
            &KIND,
            "spec: {defaultBackend: {}}",
            &["spec.defaultBackend: Invalid value: \"\": resource or service backend is required"],
        ),
        (
            &KIND,
            "spec: {defaultBackend: {service: {name: '', port: {}}}}",
            &[
                "spec.defaultBackend.service.name: Required value",
                "spec.defaultBackend: Required value: port name or number is required",
            ],
        ),
        (
            &KIND,
            "spec: {defaultBackend: {resource: {kind: K, name: n1}, service: {name: a}}}",
            &["spec.defaultBackend: Invalid value: \"\": cannot set both resource and service backends"],
        ),
        (
            &KIND,
            "spec: {rules: [{host: 10.0.0.1, http: {paths: []}}]}",
            &[
                "spec.rules[0].host: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
                "spec.rules[0].http.paths: Required value",
            ],
        ),
    ]);
    let wild = errors(&KIND, "spec: {rules: [{host: 'a.*.b'}], tls: [{hosts: ['*.example.com']}]}");
    assert_eq!(wild.len(), 1);
    assert!(wild[0].starts_with("spec.rules[0].host: Invalid value: \"a.*.b\": a wildcard DNS-1123 subdomain must"));
}

#[test]
fn paths_mean_one_thing_only() {
    for (path, want) in [
        (format!("{{path: /a, pathType: Prefix, backend: {BACKEND}}}"), None),
        (format!("{{pathType: ImplementationSpecific, backend: {BACKEND}}}"), None),
        (format!("{{path: /a, backend: {BACKEND}}}"), Some("pathType: Required value: pathType must be specified")),
        (
            format!("{{path: a, pathType: Exact, backend: {BACKEND}}}"),
            Some("path: Invalid value: \"a\": must be an absolute path"),
        ),
        (
            format!("{{path: /a//b, pathType: Exact, backend: {BACKEND}}}"),
            Some("path: Invalid value: \"/a//b\": must not contain '//'"),
        ),
        (
            format!("{{path: /a/.., pathType: Prefix, backend: {BACKEND}}}"),
            Some("path: Invalid value: \"/a/..\": cannot end with '/..'"),
        ),
        (
            format!("{{path: /a, pathType: Most, backend: {BACKEND}}}"),
            Some(
                "pathType: Unsupported value: \"Most\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
            ),
        ),
    ] {
        let want: Vec<String> = want.iter().map(|want| format!("spec.rules[0].http.paths[0].{want}")).collect();
        assert_eq!(errors(&KIND, &with_path(&path)), want, "{path}");
    }
}

#[test]
fn the_class_is_named_once_or_twice_alike_on_creation() {
    let both = |annotation: &str| {
        format!(
            "metadata: {{annotations: {{kubernetes.io/ingress.class: {annotation}}}}}\nspec: {{defaultBackend: {BACKEND}, ingressClassName: a}}"
        )
    };
    assert_eq!(
        errors(&KIND, &both("b")),
        [
            "annotations.kubernetes.io/ingress.class: Invalid value: \"b\": must match `ingressClassName` when both are specified"
        ]
    );
    assert_eq!(update_errors(&KIND, &both("a"), &both("b")), Vec::<String>::new());
}

#[test]
fn a_status_names_hosts_and_addresses() {
    let old = created(&KIND, &format!("spec: {{defaultBackend: {BACKEND}}}"));
    let mut new = old.clone();
    let points = new.body.struct_at("status.loadBalancer");
    let mut point = points.new_item("ingress").unwrap();
    point.set("ip", "1.2.3");
    point.set("hostname", "10.0.0.1");
    points.list_at("ingress").push(point.into());
    let told: Vec<String> = KIND.validate_status_update(&new, &old).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "status.loadBalancer.ingress[0].ip: Invalid value: \"1.2.3\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "status.loadBalancer.ingress[0].hostname: Invalid value: \"10.0.0.1\": must be a DNS name, not an IP address",
        ]
    );
}

#[test]
fn rows_are_those_of_kubectl() {
    for (yaml, want) in [
        ("spec: {}", "web | <none> | * |  | 80 | <unknown>"),
        (
            "spec: {ingressClassName: nginx, tls: [{}], rules: [{host: a}, {}, {host: b}]}\nstatus: {loadBalancer: {ingress: [{hostname: x}, {ip: 10.0.0.1}, {ip: 10.0.0.1}]}}",
            "web | nginx | a,b | 10.0.0.1,x | 80, 443 | <unknown>",
        ),
        (
            "spec: {rules: [{host: a}, {host: b}, {host: c}, {host: d}, {host: e}]}",
            "web | <none> | a,b,c + 2 more... |  | 80 | <unknown>",
        ),
    ] {
        assert_eq!(row(&KIND, yaml), want);
    }
}

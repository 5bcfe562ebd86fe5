//! The priority levels and flow schemas every cluster begins with, as upstream has them: whose requests come first when
//! there are too many.
//!
//! Lists are written as words with blanks between them.

use serde_json::{Value, json};

const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
/// A level: its name, shares, lendable percent, and queues, hand size and queue length, if requests wait at all.
type Level = (&'static str, i64, i64, Option<(i64, i64, i64)>);

const LEVELS: &[Level] = &[
    ("catch-all", 5, 0, None),
    ("global-default", 20, 50, Some((128, 6, 50))),
    ("leader-election", 10, 0, Some((16, 4, 50))),
    ("node-high", 40, 25, Some((64, 6, 50))),
    ("system", 30, 33, Some((64, 6, 50))),
    ("workload-high", 40, 50, Some((128, 6, 50))),
    ("workload-low", 100, 90, Some((128, 6, 50))),
];

/// What a schema is for.
enum Requests {
    /// Everything.
    All,
    /// These paths.
    Paths(&'static str),
    /// Verbs, and groups with their resources and namespaces; `core` is the group without a name, and `-` for
    /// namespaces means the cluster's own objects.
    Resources(&'static str, &'static [(&'static str, &'static str, &'static str)]),
}

struct Schema {
    name: &'static str,
    level: &'static str,
    precedence: i64,
    /// What tells flows apart; or empty.
    method: &'static str,
    /// `g:` groups, `u:` users, `s:` service accounts of kube-system.
    subjects: &'static str,
    requests: &'static [Requests],
}

const EVERYBODY: &str = "g:system:unauthenticated g:system:authenticated";
const LEADERS: &str = "get create update";

const SCHEMAS: &[Schema] = &[
    Schema {
        name: "exempt",
        level: "exempt",
        precedence: 1,
        method: "",
        subjects: "g:system:masters",
        requests: &[Requests::All],
    },
    Schema {
        name: "probes",
        level: "exempt",
        precedence: 2,
        method: "",
        subjects: EVERYBODY,
        requests: &[Requests::Paths("/healthz /readyz /livez")],
    },
    Schema {
        name: "system-leader-election",
        level: "leader-election",
        precedence: 100,
        method: "ByUser",
        subjects: "u:system:kube-controller-manager u:system:kube-scheduler s:*",
        requests: &[Requests::Resources(LEADERS, &[("coordination.k8s.io", "leases", "*")])],
    },
    Schema {
        name: "endpoint-controller",
        level: "workload-high",
        precedence: 150,
        method: "ByUser",
        subjects: "u:system:kube-controller-manager s:endpoint-controller s:endpointslicemirroring-controller",
        requests: &[Requests::Resources(LEADERS, &[("core", "endpoints", "*")])],
    },
    Schema {
        name: "workload-leader-election",
        level: "leader-election",
        precedence: 200,
        method: "ByUser",
        subjects: "s:*",
        requests: &[Requests::Resources(LEADERS, &[("coordination.k8s.io", "leases", "*")])],
    },
    Schema {
        name: "system-node-high",
        level: "node-high",
        precedence: 400,
        method: "ByUser",
        subjects: "g:system:nodes",
        requests: &[Requests::Resources(
            "*",
            &[("core", "nodes nodes/status", "-"), ("coordination.k8s.io", "leases", "*")],
        )],
    },
    Schema {
        name: "system-nodes",
        level: "system",
        precedence: 500,
        method: "ByUser",
        subjects: "g:system:nodes",
        requests: &[Requests::All],
    },
    Schema {
        name: "kube-controller-manager",
        level: "workload-high",
        precedence: 800,
        method: "ByNamespace",
        subjects: "u:system:kube-controller-manager",
        requests: &[Requests::All],
    },
    Schema {
        name: "kube-scheduler",
        level: "workload-high",
        precedence: 800,
        method: "ByNamespace",
        subjects: "u:system:kube-scheduler",
        requests: &[Requests::All],
    },
    Schema {
        name: "kube-system-service-accounts",
        level: "workload-high",
        precedence: 900,
        method: "ByNamespace",
        subjects: "s:*",
        requests: &[Requests::All],
    },
    Schema {
        name: "service-accounts",
        level: "workload-low",
        precedence: 9000,
        method: "ByUser",
        subjects: "g:system:serviceaccounts",
        requests: &[Requests::All],
    },
    Schema {
        name: "global-default",
        level: "global-default",
        precedence: 9900,
        method: "ByUser",
        subjects: EVERYBODY,
        requests: &[Requests::All],
    },
    Schema {
        name: "catch-all",
        level: "catch-all",
        precedence: 10000,
        method: "ByUser",
        subjects: EVERYBODY,
        requests: &[Requests::All],
    },
];

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn metadata(name: &str) -> Value {
    json!({ "name": name, "annotations": { "apf.kubernetes.io/autoupdate-spec": "true" } })
}

fn level(&(name, shares, lendable, queues): &Level) -> Value {
    let response = match queues {
        None => json!({ "type": "Reject" }),
        Some((queues, hand, length)) => json!({
            "type": "Queue", "queuing": { "queues": queues, "handSize": hand, "queueLengthLimit": length },
        }),
    };
    let limited = json!({ "nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response });
    json!({
        "apiVersion": API_VERSION, "kind": "PriorityLevelConfiguration", "metadata": metadata(name),
        "spec": { "type": "Limited", "limited": limited },
    })
}

fn subject(word: &str) -> Value {
    match word.split_once(':') {
        Some(("g", name)) => json!({ "kind": "Group", "group": { "name": name } }),
        Some(("u", name)) => json!({ "kind": "User", "user": { "name": name } }),
        _ => json!({
            "kind": "ServiceAccount",
            "serviceAccount": { "namespace": "kube-system", "name": word.trim_start_matches("s:") },
        }),
    }
}

fn schema(schema: &Schema) -> Value {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for requests in schema.requests {
        match requests {
            Requests::All => {
                resources.push(json!({
                    "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true,
                }));
                paths.push(json!({ "verbs": ["*"], "nonResourceURLs": ["*"] }));
            }
            Requests::Paths(urls) => paths.push(json!({ "verbs": ["get"], "nonResourceURLs": words(urls) })),
            Requests::Resources(verbs, of) => resources.extend(of.iter().map(|(group, names, namespaces)| {
                let mut rule = json!({ "verbs": words(verbs), "resources": words(names) });
                rule["apiGroups"] = json!([if *group == "core" { "" } else { group }]);
                match *namespaces {
                    "-" => rule["clusterScope"] = true.into(),
                    namespaces => rule["namespaces"] = words(namespaces).into(),
                }
                rule
            })),
        }
    }
    let subjects: Vec<Value> = words(schema.subjects).into_iter().map(subject).collect();
    let mut rule = json!({ "subjects": subjects });
    for (field, rules) in [("resourceRules", resources), ("nonResourceRules", paths)] {
        if !rules.is_empty() {
            rule[field] = rules.into();
        }
    }
    let mut spec = json!({
        "priorityLevelConfiguration": { "name": schema.level }, "matchingPrecedence": schema.precedence,
        "rules": [rule],
    });
    if !schema.method.is_empty() {
        spec["distinguisherMethod"] = json!({ "type": schema.method });
    }
    json!({
        "apiVersion": API_VERSION, "kind": "FlowSchema", "metadata": metadata(schema.name), "spec": spec,
        "status": { "conditions": [{
            "type": "Dangling", "status": "False", "reason": "Found",
            "message": format!("the PriorityLevelConfiguration {:?} exists", schema.level),
        }] },
    })
}

/// All levels and schemas.
pub(super) fn objects() -> Vec<Value> {
    let exempt = json!({
        "apiVersion": API_VERSION, "kind": "PriorityLevelConfiguration", "metadata": metadata("exempt"),
        "spec": { "type": "Exempt", "exempt": { "nominalConcurrencyShares": 0, "lendablePercent": 0 } },
    });
    std::iter::once(exempt).chain(LEVELS.iter().map(level)).chain(SCHEMAS.iter().map(schema)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_is_valid_and_every_schema_has_a_level() {
        for value in objects() {
            let kind = api::kind::lookup_kind("flowcontrol.apiserver.k8s.io", "v1", value["kind"].as_str().unwrap());
            let kind = kind.unwrap();
            let text = value.to_string();
            let decoded = api::json::decode(kind.ty, text.as_bytes(), api::json::Options::CHECKED).unwrap();
            assert_eq!(decoded.problems, [], "{text}");
            let mut object = decoded.object;
            kind.default(&mut object);
            kind.prepare_for_create(&mut object);
            let errors = kind.validate(&object);
            assert!(errors.is_empty(), "{text}: {errors}");
        }
        for schema in SCHEMAS {
            let known = schema.level == "exempt" || LEVELS.iter().any(|(name, ..)| *name == schema.level);
            assert!(known, "{}", schema.name);
        }
    }
}

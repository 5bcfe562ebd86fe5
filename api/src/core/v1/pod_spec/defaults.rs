//! What a pod's specification means where it says nothing.

use crate::node::{Node, Struct};

/// Read by everyone, written by the owner: the mode of files made from objects.
const FILE_MODE: i64 = 0o644;

/// Fills in the defaults that pods and templates share.
pub(crate) fn defaults(spec: &mut Struct) {
    spec.set_default("restartPolicy", "Always");
    spec.set_default("terminationGracePeriodSeconds", 30_i64);
    spec.set_default("dnsPolicy", "ClusterFirst");
    spec.set_default("schedulerName", "default-scheduler");
    spec.struct_at("securityContext");
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        each(spec, list, container);
    }
    each(spec, "volumes", volume);
}

fn each(parent: &mut Struct, list: &str, change: impl Fn(&mut Struct)) {
    let items = parent.get_mut(list).and_then(Node::as_list_mut).into_iter().flatten();
    items.filter_map(Node::as_struct_mut).for_each(change);
}

fn below(parent: &mut Struct, path: &str, change: impl Fn(&mut Struct)) {
    if let Some(child) = parent.at_mut(path).and_then(Node::as_struct_mut) {
        change(child);
    }
}

/// Whether an image is named by the moving tag `latest`, spelled out or implied.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn pull_policy(image: &str) -> &'static str {
    if is_latest(image) { "Always" } else { "IfNotPresent" }
}

fn container(container: &mut Struct) {
    let policy = pull_policy(container.str_at("image"));
    container.set_default("imagePullPolicy", policy);
    container.set_default("terminationMessagePath", "/dev/termination-log");
    container.set_default("terminationMessagePolicy", "File");
    each(container, "ports", |port| {
        port.set_default("protocol", "TCP");
    });
    each(container, "env", |variable| below(variable, "valueFrom.fieldRef", field_version));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        below(container, name, probe);
    }
    for name in ["lifecycle.postStart.httpGet", "lifecycle.preStop.httpGet"] {
        below(container, name, http_get);
    }
}

fn field_version(reference: &mut Struct) {
    reference.set_default("apiVersion", "v1");
}

fn http_get(action: &mut Struct) {
    action.set_default("path", "/");
    action.set_default("scheme", "HTTP");
}

fn probe(probe: &mut Struct) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        probe.set_default(field, i64::from(value));
    }
    below(probe, "httpGet", http_get);
    below(probe, "grpc", |action| {
        action.set_default("service", "");
    });
}

fn volume(volume: &mut Struct) {
    let has_source = volume.iter().any(|(field, _)| field.name != "name");
    if !has_source {
        volume.struct_at("emptyDir");
        return;
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        below(volume, source, |source| {
            source.set_default("defaultMode", FILE_MODE);
        });
    }
    below(volume, "downwardAPI", downward_items);
    below(volume, "projected", |projected| {
        each(projected, "sources", |source| {
            below(source, "downwardAPI", downward_items);
            below(source, "serviceAccountToken", |token| {
                token.set_default("expirationSeconds", 3600_i64);
            });
        });
    });
    below(volume, "hostPath", |path| {
        path.set_default("type", "");
    });
    below(volume, "image", |image| {
        let policy = pull_policy(image.str_at("reference"));
        image.set_default("pullPolicy", policy);
    });
}

fn downward_items(source: &mut Struct) {
    each(source, "items", |item| below(item, "fieldRef", field_version));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_tags_are_pulled_always() {
        for (image, want) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("host:5000/nginx", "Always"),
            ("host:5000/nginx:1.2", "IfNotPresent"),
            ("nginx:1.2", "IfNotPresent"),
            ("nginx@sha256:0123", "IfNotPresent"),
            ("nginx:latest@sha256:0123", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), want, "{image}");
        }
    }
}

//! Rules for containers: names, images, ports, mounts, policies.

use super::{check_choice, check_id, environment, probe, resources};
use crate::names;
use crate::node::{Node, Struct};
use crate::validation::{Errors, Path};

/// Which of a pod's lists a container stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Main,
    Init,
    Ephemeral,
}

/// What a container may refer to.
struct Pod<'a> {
    volumes: &'a [&'a str],
    on_host: bool,
}

/// Checks all containers of a pod.
pub(super) fn check_all(spec: &Struct, volumes: &[&str], path: &Path<'_>, errors: &mut Errors) {
    let pod = Pod { volumes, on_host: spec.bool_at("hostNetwork") == Some(true) };
    if spec.items_at("containers").is_empty() {
        errors.required(&path.field("containers"), "");
    }
    let mut names: Vec<&str> = Vec::new();
    for (list, role) in
        [("containers", Role::Main), ("initContainers", Role::Init), ("ephemeralContainers", Role::Ephemeral)]
    {
        let list_path = path.field(list);
        for (index, container) in spec.items_at(list).iter().enumerate() {
            let Some(container) = container.as_struct() else { continue };
            let path = list_path.index(index);
            check(container, role, &pod, &path, errors);
            let name = container.str_at("name");
            if name.is_empty() {
                errors.required(&path.field("name"), "");
            } else if names.contains(&name) {
                errors.duplicate(&path.field("name"), name);
            } else {
                errors.invalid_each(&path.field("name"), name, names::dns1123_label(name));
                names.push(name);
            }
        }
    }
}

fn check(container: &Struct, role: Role, pod: &Pod<'_>, path: &Path<'_>, errors: &mut Errors) {
    let image = container.str_at("image");
    if image.is_empty() {
        errors.required(&path.field("image"), "");
    } else if image.trim() != image {
        errors.invalid(&path.field("image"), image, "must not have leading or trailing whitespace");
    }
    check_ports(container.items_at("ports"), pod.on_host, &path.field("ports"), errors);
    environment::check(container, path, errors);
    check_mounts(container.items_at("volumeMounts"), pod.volumes, &path.field("volumeMounts"), errors);
    resources::check(container.get("resources"), &path.field("resources"), errors);
    check_choice(
        container.str_at("imagePullPolicy"),
        &["Always", "IfNotPresent", "Never"],
        &path.field("imagePullPolicy"),
        errors,
    );
    check_choice(
        container.str_at("terminationMessagePolicy"),
        &["FallbackToLogsOnError", "File"],
        &path.field("terminationMessagePolicy"),
        errors,
    );
    check_life(container, role, path, errors);
    check_security_context(container, &path.field("securityContext"), errors);
}

/// Probes and hooks make sense only where a container keeps running beside the others.
fn check_life(container: &Struct, role: Role, path: &Path<'_>, errors: &mut Errors) {
    let policy = container.str_at("restartPolicy");
    let sidecar = role == Role::Init && policy == "Always";
    if !policy.is_empty() && role == Role::Init && !sidecar {
        errors.not_supported(&path.field("restartPolicy"), policy, &["Always"]);
    }
    if role == Role::Main && !matches!(policy, "" | "Always" | "Never" | "OnFailure") {
        errors.not_supported(&path.field("restartPolicy"), policy, &["Always", "Never", "OnFailure"]);
    }
    let allowed = role == Role::Main || sidecar;
    let forbidden = match role {
        Role::Ephemeral => "cannot be set for an Ephemeral Container",
        Role::Main | Role::Init => "may not be set for init containers without restartPolicy=Always",
    };
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(value) = container.get(field).and_then(Node::as_struct) else { continue };
        let path = path.field(field);
        if !allowed {
            errors.forbidden(&path, forbidden);
        } else if field == "lifecycle" {
            probe::check_lifecycle(value, &path, errors);
        } else {
            probe::check(value, field, &path, errors);
        }
    }
    if role == Role::Ephemeral {
        for field in ["ports", "resources"] {
            if container.get(field).is_some_and(|value| !value.is_zero() && !is_empty_struct(value)) {
                errors.forbidden(&path.field(field), forbidden);
            }
        }
    }
}

fn is_empty_struct(node: &Node) -> bool {
    node.as_struct().is_some_and(Struct::is_empty)
}

fn check_ports(ports: &[Node], on_host: bool, path: &Path<'_>, errors: &mut Errors) {
    let mut port_names: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = port.str_at("name");
        if !name.is_empty() {
            let problems = names::port_name(name);
            if problems.is_empty() && port_names.contains(&name) {
                errors.duplicate(&path.field("name"), name);
            }
            errors.invalid_each(&path.field("name"), name, problems);
            port_names.push(name);
        }
        let number = port.i64_at("containerPort").unwrap_or(0);
        if number == 0 {
            errors.required(&path.field("containerPort"), "");
        } else {
            check_port(number, &path.field("containerPort"), errors);
        }
        if let Some(host) = port.i64_at("hostPort").filter(|host| *host != 0) {
            check_port(host, &path.field("hostPort"), errors);
            if on_host && host != number {
                errors.invalid(&path.field("hostPort"), host, "must match `containerPort` when `hostNetwork` is true");
            }
        }
        check_choice(port.str_at("protocol"), &["SCTP", "TCP", "UDP"], &path.field("protocol"), errors);
    }
}

/// Checks the number of a port.
pub(super) fn check_port(port: i64, path: &Path<'_>, errors: &mut Errors) {
    for problem in names::port_number(port) {
        errors.invalid(path, port, problem);
    }
}

fn check_mounts(mounts: &[Node], volumes: &[&str], path: &Path<'_>, errors: &mut Errors) {
    let mut targets: Vec<&str> = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        let path = path.index(index);
        let name = mount.str_at("name");
        if name.is_empty() {
            errors.required(&path.field("name"), "");
        } else if !volumes.contains(&name) {
            errors.not_found(&path.field("name"), name);
        }
        let target = mount.str_at("mountPath");
        if target.is_empty() {
            errors.required(&path.field("mountPath"), "");
        } else if targets.contains(&target) {
            errors.invalid(&path.field("mountPath"), target, "must be unique");
        }
        targets.push(target);
        for field in ["subPath", "subPathExpr"] {
            check_relative(mount.str_at(field), &path.field(field), errors);
        }
        if !mount.str_at("subPath").is_empty() && !mount.str_at("subPathExpr").is_empty() {
            let value = mount.str_at("subPathExpr");
            errors.invalid(&path.field("subPathExpr"), value, "subPathExpr and subPath are mutually exclusive");
        }
        let propagation = mount.str_at("mountPropagation");
        let modes = ["Bidirectional", "HostToContainer", "None"];
        if !propagation.is_empty() && !modes.contains(&propagation) {
            errors.not_supported(&path.field("mountPropagation"), propagation, &modes);
        }
    }
}

/// Checks a path that must stay below where it starts.
pub(super) fn check_relative(value: &str, path: &Path<'_>, errors: &mut Errors) {
    if value.starts_with('/') {
        errors.invalid(path, value, "must be a relative path");
    }
    check_no_parent(value, path, errors);
}

/// Checks that a path never goes up.
pub(super) fn check_no_parent(value: &str, path: &Path<'_>, errors: &mut Errors) {
    if value.split('/').any(|part| part == "..") {
        errors.invalid(path, value, "must not contain '..'");
    }
}

fn check_security_context(container: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let Some(context) = container.get("securityContext") else { return };
    for field in ["runAsUser", "runAsGroup"] {
        check_id(context.i64_at(field), &path.field(field), errors);
    }
    let mount = context.str_at("procMount");
    if !matches!(mount, "" | "Default" | "Unmasked") {
        errors.not_supported(&path.field("procMount"), mount, &["Default", "Unmasked"]);
    }
    if context.bool_at("allowPrivilegeEscalation") == Some(false) {
        let path = path.field("allowPrivilegeEscalation");
        if context.bool_at("privileged") == Some(true) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.invalid(&path, false, detail);
        }
        let added = context.items_at("capabilities.add");
        if added.iter().any(|capability| capability.as_str() == Some("CAP_SYS_ADMIN")) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.invalid(&path, false, detail);
        }
    }
}

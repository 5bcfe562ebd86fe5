//! What a pod dares: the checks of the Pod Security Standards, in their words.

use serde_json::Value;

use super::Level;

/// A check: the headline, and what in the pod violates it; nothing if nothing does.
type Check = fn(&Pod<'_>) -> Option<(&'static str, String)>;

/// What even a pod of average trust may not dare.
const BASELINE: [Check; 10] = [
    app_armor,
    capabilities,
    host_namespaces,
    host_path_volumes,
    host_ports,
    privileged,
    proc_mount,
    se_linux,
    seccomp,
    sysctls,
];
/// What a pod of no trust may not dare besides; where it says more of the same, it says it alone.
const RESTRICTED: [Check; 6] = [
    privilege_escalation,
    restricted_capabilities,
    restricted_volumes,
    run_as_non_root,
    run_as_user,
    restricted_seccomp,
];
const RESTRICTED_BASELINE: [Check; 7] =
    [app_armor, host_namespaces, host_ports, privileged, proc_mount, se_linux, sysctls];

const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];
const SAFE_VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Everything by which a pod dares more than the level allows.
pub(super) fn violations(level: Level, spec: &Value) -> Option<String> {
    let pod = Pod { spec };
    let checks: Vec<Check> = match level {
        Level::Privileged => return None,
        Level::Baseline => BASELINE.to_vec(),
        Level::Restricted => RESTRICTED_BASELINE.into_iter().chain(RESTRICTED).collect(),
    };
    let found: Vec<String> = checks
        .iter()
        .filter_map(|check| check(&pod))
        .map(
            |(headline, detail)| if detail.is_empty() { headline.to_owned() } else { format!("{headline} ({detail})") },
        )
        .collect();
    (!found.is_empty()).then(|| found.join(", "))
}

struct Pod<'a> {
    spec: &'a Value,
}

impl<'a> Pod<'a> {
    fn containers(&self) -> impl Iterator<Item = &'a Value> {
        let spec = self.spec;
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| spec[list].as_array().into_iter().flatten())
    }

    /// The names of containers for which `bad` holds, as they are told; nothing if there are none.
    fn bad(&self, bad: impl Fn(&Value) -> bool) -> Option<String> {
        let names = self.containers().filter(|container| bad(&container["securityContext"])).map(name);
        told("container", names.collect())
    }

    fn volumes(&self) -> impl Iterator<Item = &'a Value> {
        self.spec["volumes"].as_array().into_iter().flatten()
    }

    fn is_windows(&self) -> bool {
        self.spec["os"]["name"] == "windows"
    }
}

fn name(named: &Value) -> &str {
    named["name"].as_str().unwrap_or_default()
}

/// `container "a"` or `containers "a", "b"`.
fn told(what: &str, names: Vec<&str>) -> Option<String> {
    let plural = if names.len() > 1 { "s" } else { "" };
    (!names.is_empty()).then(|| format!("{what}{plural} {}", quoted(names)))
}

fn quoted<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| format!("\"{text}\"")).collect();
    texts.join(", ")
}

/// Complaints about the pod itself and about its containers, as one.
fn both(pod: Option<String>, containers: Option<String>) -> Option<String> {
    match (pod, containers) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one),
        (Some(pod), Some(containers)) => Some(format!("{pod}; {containers}")),
    }
}

fn privileged(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    let bad = pod.bad(|context| context["privileged"] == true)?;
    Some(("privileged", format!("{bad} must not set securityContext.privileged=true")))
}

fn host_namespaces(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| pod.spec[*field] == true);
    let shared: Vec<String> = shared.map(|field| format!("{field}=true")).collect();
    (!shared.is_empty()).then(|| ("host namespaces", shared.join(", ")))
}

fn host_path_volumes(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    let volumes = pod.volumes().filter(|volume| volume["hostPath"].is_object()).map(name);
    Some(("hostPath volumes", told("volume", volumes.collect())?))
}

fn host_ports(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    let mut names = Vec::new();
    let mut ports = std::collections::BTreeSet::new();
    for container in pod.containers() {
        let own = container["ports"].as_array().into_iter().flatten().filter_map(|port| port["hostPort"].as_u64());
        let own: Vec<u64> = own.filter(|port| *port > 0).collect();
        if !own.is_empty() {
            names.push(name(container));
            ports.extend(own);
        }
    }
    let (use_, plural) = (if names.len() > 1 { "use" } else { "uses" }, if ports.len() > 1 { "s" } else { "" });
    let ports: Vec<String> = ports.iter().map(u64::to_string).collect();
    Some(("hostPort", format!("{} {use_} hostPort{plural} {}", told("container", names)?, ports.join(", "))))
}

fn added<'a>(container: &'a Value, allowed: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let list = container["securityContext"]["capabilities"]["add"].as_array().into_iter().flatten();
    list.filter_map(Value::as_str).filter(|capability| !allowed.contains(capability))
}

fn forbidden_capabilities(pod: &Pod<'_>, allowed: &[&str]) -> Option<String> {
    let names = pod.containers().filter(|container| added(container, allowed).next().is_some()).map(name);
    let names = told("container", names.collect())?;
    let all: std::collections::BTreeSet<&str> =
        pod.containers().flat_map(|container| added(container, allowed)).collect();
    Some(format!("{names} must not include {} in securityContext.capabilities.add", quoted(all)))
}

fn capabilities(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    Some(("non-default capabilities", forbidden_capabilities(pod, &DEFAULT_CAPABILITIES)?))
}

fn restricted_capabilities(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    if pod.is_windows() {
        return None;
    }
    let drops_all = |context: &Value| {
        context["capabilities"]["drop"].as_array().is_some_and(|drop| drop.iter().any(|one| one == "ALL"))
    };
    let keeps = pod.bad(|context| !drops_all(context));
    let keeps = keeps.map(|names| format!("{names} must set securityContext.capabilities.drop=[\"ALL\"]"));
    Some(("unrestricted capabilities", both(keeps, forbidden_capabilities(pod, &["NET_BIND_SERVICE"]))?))
}

fn proc_mount(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    let odd = |context: &Value| context["procMount"].as_str().is_some_and(|mount| mount != "Default");
    let names = pod.bad(odd)?;
    let mounts: std::collections::BTreeSet<&str> = pod
        .containers()
        .filter(|container| odd(&container["securityContext"]))
        .filter_map(|container| container["securityContext"]["procMount"].as_str())
        .collect();
    Some(("procMount", format!("{names} must not set securityContext.procMount to {}", quoted(mounts))))
}

fn se_linux(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    const TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let text = |context: &Value, field: &str| context["seLinuxOptions"][field].as_str().unwrap_or_default().to_owned();
    let odd = |context: &Value| {
        !TYPES.contains(&&*text(context, "type"))
            || !text(context, "user").is_empty()
            || !text(context, "role").is_empty()
    };
    let own = &pod.spec["securityContext"];
    let whole = odd(own).then(|| "pod".to_owned());
    let who = match (whole, pod.bad(odd)) {
        (Some(pod), Some(containers)) => format!("{pod} and {containers}"),
        (one, other) => one.or(other)?,
    };
    let contexts: Vec<&Value> =
        std::iter::once(own).chain(pod.containers().map(|container| &container["securityContext"])).collect();
    let types: std::collections::BTreeSet<String> =
        contexts.iter().map(|context| text(context, "type")).filter(|kind| !TYPES.contains(&&**kind)).collect();
    let mut what = Vec::new();
    if !types.is_empty() {
        let plural = if types.len() > 1 { "s" } else { "" };
        what.push(format!("type{plural} {}", quoted(types.iter().map(String::as_str))));
    }
    for field in ["user", "role"] {
        if contexts.iter().any(|context| !text(context, field).is_empty()) {
            what.push(format!("{field} may not be set"));
        }
    }
    Some(("seLinuxOptions", format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; "))))
}

fn profile<'a>(context: &'a Value, field: &str) -> &'a str {
    context[field]["type"].as_str().unwrap_or_default()
}

fn unconfined(pod: &Pod<'_>, field: &str) -> Option<String> {
    let odd = |context: &Value| profile(context, field) == "Unconfined";
    let complaint = |who: String| format!("{who} must not set securityContext.{field}.type to \"Unconfined\"");
    let whole = odd(&pod.spec["securityContext"]).then(|| complaint("pod".to_owned()));
    both(whole, pod.bad(odd).map(complaint))
}

fn app_armor(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    Some(("forbidden AppArmor profile", unconfined(pod, "appArmorProfile")?))
}

fn seccomp(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    Some(("seccompProfile", unconfined(pod, "seccompProfile")?))
}

fn restricted_seccomp(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    if pod.is_windows() {
        return None;
    }
    if let Some(violation) = seccomp(pod) {
        return Some(violation);
    }
    let confined = |context: &Value| matches!(profile(context, "seccompProfile"), "RuntimeDefault" | "Localhost");
    if confined(&pod.spec["securityContext"]) {
        return None;
    }
    let names = pod.bad(|context| !confined(context))?;
    let wanted = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    Some(("seccompProfile", format!("pod or {names} {wanted}")))
}

fn sysctls(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    let set = pod.spec["securityContext"]["sysctls"].as_array().into_iter().flatten().map(name);
    let odd: Vec<&str> = set.filter(|sysctl| !SAFE_SYSCTLS.contains(sysctl)).collect();
    (!odd.is_empty()).then(|| ("forbidden sysctls", odd.join(", ")))
}

fn privilege_escalation(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    if pod.is_windows() {
        return None;
    }
    let bad = pod.bad(|context| context["allowPrivilegeEscalation"] != false)?;
    Some((
        "allowPrivilegeEscalation != false",
        format!("{bad} must set securityContext.allowPrivilegeEscalation=false"),
    ))
}

fn restricted_volumes(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    let kind = |volume: &Value| {
        let fields = volume.as_object()?;
        let odd = fields.keys().find(|field| *field != "name" && !SAFE_VOLUMES.contains(&field.as_str()));
        odd.cloned()
    };
    let names: Vec<&str> = pod.volumes().filter(|volume| kind(volume).is_some()).map(name).collect();
    let kinds: std::collections::BTreeSet<String> = pod.volumes().filter_map(kind).collect();
    let (use_, plural) = (if names.len() > 1 { "use" } else { "uses" }, if kinds.len() > 1 { "s" } else { "" });
    let names = told("volume", names)?;
    let kinds = quoted(kinds.iter().map(String::as_str));
    Some(("restricted volume types", format!("{names} {use_} restricted volume type{plural} {kinds}")))
}

fn run_as_non_root(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    const HEADLINE: &str = "runAsNonRoot != true";
    let own = &pod.spec["securityContext"]["runAsNonRoot"];
    let as_root = |context: &Value| context["runAsNonRoot"] == false;
    let whole = (*own == false).then(|| "pod must not set securityContext.runAsNonRoot=false".to_owned());
    let containers = pod.bad(as_root).map(|names| format!("{names} must not set securityContext.runAsNonRoot=false"));
    if let Some(explicit) = both(whole, containers) {
        return Some((HEADLINE, explicit));
    }
    if *own == true {
        return None;
    }
    let silent = pod.bad(|context| context["runAsNonRoot"] != true)?;
    Some((HEADLINE, format!("pod or {silent} must set securityContext.runAsNonRoot=true")))
}

fn run_as_user(pod: &Pod<'_>) -> Option<(&'static str, String)> {
    let whole = (pod.spec["securityContext"]["runAsUser"] == 0).then(|| "pod must not set runAsUser=0".to_owned());
    let containers = pod.bad(|context| context["runAsUser"] == 0);
    Some(("runAsUser=0", both(whole, containers.map(|names| format!("{names} must not set runAsUser=0")))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn violations_read_as_upstream_writes_them() {
        let plain = json!({ "containers": [{ "name": "a" }] });
        let safe = json!({
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{ "name": "a", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] },
            } }],
            "volumes": [{ "name": "v", "emptyDir": {} }],
        });
        let bold = json!({
            "hostNetwork": true, "hostPID": true,
            "securityContext": { "runAsUser": 0, "sysctls": [{ "name": "kernel.msgmax" }] },
            "containers": [
                { "name": "a", "ports": [{ "hostPort": 80 }], "securityContext": {
                    "privileged": true, "capabilities": { "add": ["SYS_ADMIN", "NET_ADMIN"] },
                } },
                { "name": "b", "securityContext": { "privileged": true, "seccompProfile": { "type": "Unconfined" } } },
            ],
            "volumes": [{ "name": "v", "hostPath": { "path": "/" } }],
        });
        assert_eq!(violations(Level::Privileged, &bold), None);
        assert_eq!(violations(Level::Baseline, &plain), None);
        assert_eq!(violations(Level::Restricted, &safe), None);
        assert_eq!(
            violations(Level::Restricted, &plain).unwrap(),
            "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false), \
             unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]), \
             runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true), \
             seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        );
        assert_eq!(
            violations(Level::Baseline, &bold).unwrap(),
            "non-default capabilities (container \"a\" must not include \"NET_ADMIN\", \"SYS_ADMIN\" in securityContext.capabilities.add), \
             host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volume \"v\"), \
             hostPort (container \"a\" uses hostPort 80), \
             privileged (containers \"a\", \"b\" must not set securityContext.privileged=true), \
             seccompProfile (container \"b\" must not set securityContext.seccompProfile.type to \"Unconfined\"), \
             forbidden sysctls (kernel.msgmax)"
        );
        let restricted = violations(Level::Restricted, &bold).unwrap();
        assert!(restricted.contains("restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")"));
        assert!(restricted.contains("runAsUser=0 (pod must not set runAsUser=0)"));
    }
}

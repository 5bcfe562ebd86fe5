//! The files a pod's containers share about who and where they are: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

const MOST_SEARCH_DOMAINS: usize = 32;
const LONGEST_SEARCH_LINE: usize = 2048;
const MOST_NAME_SERVERS: usize = 3;

/// How the cluster answers DNS.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterDns {
    pub(crate) domain: String,
    pub(crate) servers: Vec<IpAddr>,
}

/// The pod's host name: `spec.hostname`, or its name cut to what a host name may be.
pub(crate) fn hostname(pod: &Pod) -> String {
    let given = pod.spec.as_ref().and_then(|spec| spec.hostname.as_deref()).filter(|name| !name.is_empty());
    let name = given.or(pod.metadata.name.as_deref()).unwrap_or_default();
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// The pod's fully qualified name, if it has a subdomain.
pub(crate) fn fully_qualified(pod: &Pod, domain: &str) -> Option<String> {
    let subdomain = pod.spec.as_ref()?.subdomain.as_deref().filter(|name| !name.is_empty())?;
    let namespace = pod.metadata.namespace.as_deref()?;
    Some(format!("{}.{subdomain}.{namespace}.svc.{domain}", hostname(pod)))
}

/// The content of `/etc/hosts`. On the host's network the node's own file comes first.
pub(crate) fn hosts(pod: &Pod, addresses: &[IpAddr], node_file: Option<&str>, domain: &str) -> String {
    let mut file = match node_file {
        Some(content) => format!("# Kubernetes-managed hosts file (host network).\n{content}"),
        None => own_hosts(pod, addresses, domain),
    };
    let aliases = pod.spec.as_ref().and_then(|spec| spec.host_aliases.as_deref()).unwrap_or_default();
    if !aliases.is_empty() {
        file.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        file.push_str(&format!("{}\t{names}\n", alias.ip));
    }
    file
}

fn own_hosts(pod: &Pod, addresses: &[IpAddr], domain: &str) -> String {
    let mut file = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    let name = hostname(pod);
    for address in addresses {
        match fully_qualified(pod, domain) {
            Some(full) => file.push_str(&format!("{address}\t{full}\t{name}\n")),
            None => file.push_str(&format!("{address}\t{name}\n")),
        }
    }
    file
}

#[derive(Debug, Default)]
struct Resolver {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

/// The content of `/etc/resolv.conf` for the pod's DNS policy; `node_file` is the node's own.
pub(crate) fn resolv_conf(pod: &Pod, cluster: &ClusterDns, node_file: &str) -> String {
    let spec = pod.spec.as_ref();
    let host_network = spec.and_then(|spec| spec.host_network).unwrap_or(false);
    let policy = spec.and_then(|spec| spec.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let node = parse(node_file);
    let mut resolver = match policy {
        "None" => Resolver::default(),
        "Default" => node,
        "ClusterFirst" if host_network => node,
        // A cluster without a DNS service yet: the node's resolver is better than none.
        _ if cluster.servers.is_empty() => node,
        _ => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let domain = &cluster.domain;
            let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
            searches.extend(node.searches);
            Resolver {
                servers: cluster.servers.iter().map(ToString::to_string).collect(),
                searches,
                options: vec!["ndots:5".to_owned()],
            }
        }
    };
    if let Some(own) = spec.and_then(|spec| spec.dns_config.as_ref()) {
        resolver.servers.extend(own.nameservers.iter().flatten().cloned());
        resolver.searches.extend(own.searches.iter().flatten().cloned());
        for option in own.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            resolver.options.retain(|known| known.split(':').next() != Some(name));
            resolver.options.push(match &option.value {
                Some(value) => format!("{name}:{value}"),
                None => name.clone(),
            });
        }
    }
    resolver.render()
}

impl Resolver {
    fn render(mut self) -> String {
        dedup(&mut self.servers);
        dedup(&mut self.searches);
        self.servers.truncate(MOST_NAME_SERVERS);
        self.searches.truncate(MOST_SEARCH_DOMAINS);
        while self.searches.join(" ").len() > LONGEST_SEARCH_LINE {
            self.searches.pop();
        }
        let mut file = String::new();
        if !self.searches.is_empty() {
            file.push_str(&format!("search {}\n", self.searches.join(" ")));
        }
        for server in &self.servers {
            file.push_str(&format!("nameserver {server}\n"));
        }
        if !self.options.is_empty() {
            file.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        file
    }
}

fn dedup(list: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    list.retain(|item| seen.insert(item.clone()));
}

fn parse(file: &str) -> Resolver {
    let mut resolver = Resolver::default();
    for line in file.lines() {
        let mut words = line.split_whitespace();
        let keyword = words.next().unwrap_or_default();
        let rest = words.map(str::to_owned);
        match keyword {
            // A stub resolver on the node's loopback cannot be reached from a pod.
            "nameserver" => resolver.servers.extend(rest.filter(|server| !server.starts_with("127."))),
            "search" | "domain" => resolver.searches = rest.collect(),
            "options" => resolver.options.extend(rest),
            _ => {}
        }
    }
    resolver
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NODE: &str = "# node\nsearch corp.example\nnameserver 127.0.0.53\nnameserver 1.1.1.1\noptions edns0\n";

    fn pod(spec: serde_json::Value) -> Pod {
        let mut object = json!({ "metadata": { "name": "web-0", "namespace": "shop" }, "spec": { "containers": [] } });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn resolver_follows_the_policy() {
        let cluster = ClusterDns { domain: "cluster.local".into(), servers: vec!["10.96.0.10".parse().unwrap()] };
        let own = json!({ "nameservers": ["9.9.9.9"], "options": [{ "name": "ndots", "value": "2" }] });
        let from_cluster = "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\n\
                            nameserver 10.96.0.10\noptions ndots:5\n";
        let from_node = "search corp.example\nnameserver 1.1.1.1\noptions edns0\n";
        for (spec, expected) in [
            (json!({}), from_cluster),
            (json!({ "dnsPolicy": "Default" }), from_node),
            (json!({ "hostNetwork": true }), from_node),
            (json!({ "dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true }), from_cluster),
            (json!({ "dnsPolicy": "None", "dnsConfig": own }), "nameserver 9.9.9.9\noptions ndots:2\n"),
        ] {
            assert_eq!(resolv_conf(&pod(spec.clone()), &cluster, NODE), expected, "{spec}");
        }
        assert_eq!(resolv_conf(&pod(json!({})), &ClusterDns::default(), NODE), from_node);
    }

    #[test]
    fn hosts_name_the_pod_and_its_aliases() {
        let pod = pod(json!({ "subdomain": "web", "hostAliases": [{ "ip": "1.2.3.4", "hostnames": ["a", "b"] }] }));
        let file = hosts(&pod, &["10.244.0.9".parse().unwrap()], None, "cluster.local");
        assert!(file.contains("10.244.0.9\tweb-0.web.shop.svc.cluster.local\tweb-0\n"), "{file}");
        assert!(file.ends_with("1.2.3.4\ta\tb\n"), "{file}");
    }

    #[test]
    fn hostnames_are_cut() {
        let long: Pod =
            serde_json::from_value(json!({ "metadata": { "name": format!("{}-x", "a".repeat(62)) } })).unwrap();
        assert_eq!(hostname(&long), "a".repeat(62));
    }
}

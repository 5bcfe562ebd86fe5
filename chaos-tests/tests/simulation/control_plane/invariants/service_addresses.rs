//! An address of the cluster, and a node port, belong to one Service at a time.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Evidence;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for event in evidence.tale.of_kind("services/") {
        owners.retain(|_, owner| *owner != event.key);
        let Some(after) = &event.after else { continue };
        for claimed in claims(&after.json["spec"]) {
            if let Some(other) = owners.insert(claimed.clone(), &event.key) {
                return Err(format!("{} got {claimed} at {}, which {other} has", event.key, event.revision));
            }
        }
    }
    Ok(())
}

fn claims(spec: &Value) -> Vec<String> {
    let address = spec["clusterIP"].as_str().filter(|address| !matches!(*address, "" | "None")).map(str::to_owned);
    let ports = spec["ports"].as_array().into_iter().flatten();
    let node_ports = ports.filter_map(|port| Some(format!("node port {}", port["nodePort"].as_u64()?)));
    address.into_iter().chain(node_ports).collect()
}

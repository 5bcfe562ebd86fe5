//! `kontiki status`: masters, nodes and pods in one table.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};
use client::Kubeconfig;
use tokio_util::sync::CancellationToken;

use crate::{etcd, objects, proxy, up::cluster::Cluster};

/// The table, as text.
pub(crate) async fn table(dir: &Path) -> Result<String> {
    let missing = || format!("there is no cluster in {}: start one with `kontiki up`", dir.display());
    let cluster = Cluster::load(dir)?.with_context(missing)?;
    let access = etcd::Access::load(&cluster.dir.join("etcd")).with_context(missing)?;
    let mut rows = vec![["MASTER", "ROLE", "TERM", "APPLIED", "LAG", "ADDRESS"].map(str::to_owned).to_vec()];
    let statuses = futures_util::future::join_all(cluster.masters().map(|host| {
        let (access, url) = (access.clone(), format!("https://{}:2379", host.address));
        async move { (host, access.status(&url).await) }
    }))
    .await;
    let newest = statuses.iter().filter_map(|(_, s)| Some(s.as_ref().ok()?.raft_index)).max().unwrap_or(0);
    for (host, status) in &statuses {
        let address = host.address.to_string();
        rows.push(match status {
            Ok(s) => {
                let leads = s.header.as_ref().is_some_and(|header| header.member_id == s.leader);
                let role = match (leads, s.is_learner, s.leader) {
                    (true, _, _) => "leader",
                    (_, true, _) => "learner",
                    (_, _, 0) => "no leader",
                    _ => "follower",
                };
                let lag = newest.saturating_sub(s.raft_applied_index);
                let numbers = [s.raft_term, s.raft_applied_index, lag].map(|n| n.to_string());
                [vec![host.name.clone(), role.to_owned()], numbers.to_vec(), vec![address]].concat()
            }
            Err(_) => vec![host.name.clone(), "silent".into(), "-".into(), "-".into(), "-".into(), address],
        });
    }
    let mut text = align(&rows);
    if cluster.workers().next().is_some() {
        text.push('\n');
        text.push_str(&nodes(&cluster).await?);
    }
    Ok(text)
}

async fn nodes(cluster: &Cluster) -> Result<String> {
    let stop = CancellationToken::new();
    let _stop_probing = stop.clone().drop_guard();
    let kubeconfig = Kubeconfig::read(&cluster.dir.join("kubeconfig"))?;
    let balancer = client::Balancer::new(proxy::masters(&kubeconfig, stop)?);
    let kube = client::kube_client::over_balancer(balancer, "kontiki-status");
    let mut pods: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for pod in objects::pods(&kube).await? {
        let (running, all) = pods.entry(pod.node).or_default();
        *running += usize::from(pod.running);
        *all += 1;
    }
    let mut rows = vec![["NODE", "STATUS", "PODS", "POD RANGE", "ADDRESS"].map(str::to_owned).to_vec()];
    for node in objects::nodes(&kube).await? {
        let (running, all) = pods.get(&node.name).copied().unwrap_or_default();
        let status = if node.ready { "Ready" } else { "NotReady" };
        rows.push(vec![node.name, status.into(), format!("{running}/{all}"), node.pod_cidr, node.address]);
    }
    if let Some((_, waiting)) = pods.get("") {
        rows.push(vec!["(none)".into(), "-".into(), format!("0/{waiting}"), String::new(), String::new()]);
    }
    Ok(align(&rows))
}

/// Columns padded to their widest cell.
pub(crate) fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.len())).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(padded.join("   ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let rows = [vec!["A".to_owned(), "LONG".to_owned()], vec!["bb".to_owned(), "x".to_owned()]];
        assert_eq!(align(&rows), "A    LONG\nbb   x\n");
    }
}

//! What a started cluster leaves for its user: the kubeconfig, the variables for etcdctl, and what to try next.

use std::time::Duration;

use anyhow::{Context as _, Result};
use client::{Kubeconfig, kubeconfig::Parts};

use super::cluster::Cluster;
use crate::{etcd, files, pki::Pair};

/// Writes `kubeconfig`, `etcdctl.env` and the etcd client's files, from what the first master wrote for its administrator.
pub(super) fn write(cluster: &Cluster) -> Result<()> {
    let pki = cluster.host_dir(&cluster.hosts[0].name).join("server/pki");
    let read = |name: &str| {
        std::fs::read_to_string(pki.join(name)).with_context(|| format!("the first master wrote no {name}"))
    };
    let (authority, admin) = (read("cluster-ca.crt")?, Pair::load(&pki, "admin")?);
    let masters: Vec<(String, String)> =
        cluster.masters().map(|host| (host.name.clone(), format!("https://{}:6443", host.address))).collect();
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    let arguments = ["credential".to_owned(), format!("--dir={}", cluster.dir.display())];
    let kubeconfig = Kubeconfig::for_cluster(&Parts {
        name: "kontiki",
        authority_pem: authority.as_bytes(),
        certificate_pem: admin.cert.as_bytes(),
        key_pem: admin.key.as_bytes(),
        proxy_port: cluster.proxy_port,
        credential: (&program, &arguments),
        masters: &masters,
    });
    kubeconfig.write(&cluster.dir.join("kubeconfig"))?;
    let folder = cluster.dir.join("etcd");
    etcd::Access { authority: read("store-ca.crt")?, identity: Pair::load(&pki, "etcd-client")? }.save(&folder)?;
    let endpoints: Vec<String> = cluster.masters().map(|host| format!("https://{}:2379", host.address)).collect();
    let variables = format!(
        "export ETCDCTL_API=3\nexport ETCDCTL_ENDPOINTS={}\nexport ETCDCTL_CACERT={1}/ca.crt\n\
         export ETCDCTL_CERT={1}/client.crt\nexport ETCDCTL_KEY={1}/client.key\n",
        endpoints.join(","),
        folder.display(),
    );
    files::write_durably(&cluster.dir.join("etcdctl.env"), variables.as_bytes(), 0o600)
}

/// Gives the files that are for the user to whoever called `sudo`: kubectl and etcdctl need no root. The hosts' folders stay
/// root's own.
pub(super) fn hand_over(cluster: &Cluster) -> Result<()> {
    let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let (Some(user), Some(group)) = (id("SUDO_UID"), id("SUDO_GID")) else { return Ok(()) };
    let mut paths = vec![cluster.dir.clone()];
    for folder in [cluster.dir.clone(), cluster.dir.join("etcd")] {
        let entries = std::fs::read_dir(&folder)?.collect::<std::io::Result<Vec<_>>>()?;
        paths.extend(entries.into_iter().map(|entry| entry.path()).filter(|path| !path.ends_with("hosts")));
    }
    for path in paths {
        let done = std::os::unix::fs::lchown(&path, Some(user), Some(group));
        done.with_context(|| format!("cannot give {} to its user", path.display()))?;
    }
    Ok(())
}

/// How long it took, where the kubeconfig is, and three next commands.
pub(super) fn greeting(cluster: &Cluster, took: Duration) -> String {
    let kubeconfig = cluster.dir.join("kubeconfig");
    let shown = std::env::current_dir().ok().and_then(|here| Some(kubeconfig.strip_prefix(here).ok()?.to_owned()));
    let kubeconfig = shown.unwrap_or(kubeconfig);
    let next = if cluster.workers().next().is_some() {
        "  kubectl create deployment web --image=kontiki.io/demo:1 --replicas=4\n  kubectl get pods -o wide"
    } else {
        "  kubectl create configmap greeting --from-literal=hello=world\n  kubectl get configmaps"
    };
    format!(
        "Ready in {:.1} s. Next:\n\n  export KUBECONFIG={}\n{next}\n",
        took.as_secs_f64(),
        std::path::absolute(&kubeconfig).unwrap_or(kubeconfig).display()
    )
}

//! `kontiki agent`: joins once with a token, and from then on needs nothing but its folder.

use std::{collections::BTreeMap, path::Path, time::Duration};

use crate::{
    cli::AgentArgs,
    files,
    identity::Node,
    join::{self, NODE_PATH, NodeRequest, NodeResponse},
    machine, moved_clock,
    pki::{Pair, signing_request},
    shutdown,
};
use anyhow::{Context as _, Result, bail};

/// Where masters reach a node's logs.
const KUBELET_PORT: u16 = 10250;
/// As many pods as Kubernetes allows a node by default.
const PODS_MAX: u32 = 110;
/// A node says this often that it lives, and is taken for dead after the duration.
const LEASE_RENEWAL: Duration = Duration::from_secs(3);
const LEASE_DURATION: Duration = Duration::from_secs(10);

/// Runs until told to end; pods stay.
pub(crate) async fn run(args: AgentArgs) -> Result<()> {
    let _moved = moved_clock::follow(args.clock_ahead.clone());
    let stop = shutdown::on_signal();
    let node = match (Node::load(&args.dir)?, &args.join) {
        (Some(node), _) => node,
        // Whoever waits to be admitted can be told to end, too.
        (None, Some(url)) => match stop.run_until_cancelled(join(&args, url)).await {
            Some(joined) => joined?,
            None => return Ok(()),
        },
        (None, None) => bail!(
            "{} holds no node: join a cluster with --join https://<master>:6443 --token <token>",
            args.dir.display()
        ),
    };
    let pki = args.dir.join("pki");
    let authority = std::fs::read_to_string(pki.join("cluster-ca.crt")).context("the node's pki folder is damaged")?;
    let (client, serving) = (Pair::load(&pki, "client")?, Pair::load(&pki, "serving")?);
    let tls = client::tls::client_config(authority.as_bytes(), Some((client.cert.as_bytes(), client.key.as_bytes())))?;
    let addresses = node.masters.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
    let masters = client::Masters::start(addresses, tls, stop.clone());
    let kube = client::kube_client::over_balancer(client::Balancer::new(masters), "kontiki-agent");
    let config = node_agent::Config {
        node_name: node.name.clone(),
        node_ip: node.address,
        listen: (node.address, KUBELET_PORT).into(),
        dir: args.dir.join("state"),
        run_dir: args.dir.join("run"),
        log_dir: args.dir.join("log"),
        images_dir: args.images.clone().unwrap_or_else(|| args.dir.join("images")),
        cgroup_root: args.cgroup_root.clone(),
        client: kube,
        tls: node_agent::ServerTls {
            certificate: serving.cert.into_bytes(),
            key: serving.key.into_bytes(),
            client_ca: authority.into_bytes(),
        },
        cluster_domain: node.cluster_domain.clone(),
        cluster_dns: Vec::new(),
        labels: BTreeMap::new(),
        insecure_registries: Vec::new(),
        max_pods: PODS_MAX,
        lease_renewal: LEASE_RENEWAL,
        lease_duration: LEASE_DURATION,
    };
    node_agent::run(config, stop).await.context("the agent ended")
}

/// Asks until it is admitted or refused; keys never leave this machine.
async fn join(args: &AgentArgs, url: &str) -> Result<Node> {
    let token = machine::token(args.token.as_deref().unwrap_or_default())?;
    let name = machine::name(args.name.as_deref())?;
    let address = args.node_address.map_or_else(machine::address, Ok)?;
    let (client_request, client_key) = signing_request()?;
    let (serving_request, serving_key) = signing_request()?;
    let request =
        NodeRequest { token: token.to_string(), name: name.clone(), address, client_request, serving_request };
    let response: NodeResponse = join::client::post(url, NODE_PATH, &token, &request).await?;
    let pki = args.dir.join("pki");
    files::private_folder(&pki)?;
    files::write_durably(&pki.join("cluster-ca.crt"), response.cluster_authority.as_bytes(), 0o644)?;
    join::pair(response.client_cert, client_key).save(&pki, "client")?;
    join::pair(response.serving_cert, serving_key).save(&pki, "serving")?;
    let node = Node::new(name, address, response.cluster_domain, response.masters);
    // Last: a folder with this file is a whole node.
    node.save(Path::new(&args.dir))?;
    tracing::info!(name = node.name, %address, "joined");
    Ok(node)
}

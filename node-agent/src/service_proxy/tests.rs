//! The proxy on the real packet filter: a host with pods in network namespaces, and no cluster.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::network::{PodNetwork, Settings, netlink, netns};

const NODE: &str = "192.168.77.1";
const PATIENCE: Duration = Duration::from_secs(5);

/// A host in a namespace of its own, with pods that tell their names.
struct Host {
    dir: tempfile::TempDir,
}

struct Pod {
    name: &'static str,
    namespace: PathBuf,
    address: String,
}

impl Drop for Host {
    fn drop(&mut self) {
        netns::remove(&self.dir.path().join("host")).unwrap();
    }
}

/// Runs a test on a thread that stands in a new host's namespace.
fn on_a_host<F: Future<Output = ()>>(test: impl FnOnce(Settings) -> F + Send + 'static) {
    let host = Host { dir: tempfile::tempdir().unwrap() };
    let path = host.dir.path().join("host");
    netns::create(&path).unwrap();
    let settings = Settings {
        agent: host.dir.path().display().to_string(),
        run_dir: host.dir.path().join("run"),
        state_dir: host.dir.path().join("state"),
        node_ip: NODE.parse().unwrap(),
    };
    netns::within(&path, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(test(settings));
        Ok(())
    })
    .unwrap();
}

/// An uplink with a default route, as every node has one.
async fn uplink() {
    let (handle, _connection) = netlink::open().unwrap();
    handle.link().add(rtnetlink::LinkVeth::new("up0", "up1").build()).execute().await.unwrap();
    netlink::set_up(&handle, "up1").await.unwrap();
    netlink::set_up(&handle, "lo").await.unwrap();
    let index = netlink::set_up(&handle, "up0").await.unwrap();
    handle.address().add(index, NODE.parse().unwrap(), 24).execute().await.unwrap();
    let route = rtnetlink::RouteMessageBuilder::<Ipv4Addr>::new().gateway(Ipv4Addr::new(192, 168, 77, 254)).build();
    handle.route().add(route).execute().await.unwrap();
}

async fn pod(network: &PodNetwork, name: &'static str) -> Pod {
    let attached = network.attach(name).await.unwrap();
    let pod = Pod { name, namespace: attached.namespace, address: attached.addresses[0].to_string() };
    let listener = netns::within(&pod.namespace, || TcpListener::bind("0.0.0.0:8080")).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || answer(name, client));
        }
    });
    let socket = netns::within(&pod.namespace, || UdpSocket::bind("0.0.0.0:5353")).unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 16];
        while let Ok((_, client)) = socket.recv_from(&mut question) {
            drop(socket.send_to(name.as_bytes(), client));
        }
    });
    pod
}

/// Tells its name and the client's address to who asks, and ends.
fn answer(name: &str, mut client: TcpStream) {
    let peer = client.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    if client.read_exact(&mut [0]).is_ok() {
        // Who does not wait for the answer is no concern of the server's.
        drop(client.write_all(format!("{name} {peer}").as_bytes()));
    }
}

fn converse(mut connection: TcpStream) -> io::Result<String> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(b"?")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Who answered, and whom it took the client for.
fn ask(from: Option<&Pod>, target: &str) -> io::Result<(String, String)> {
    let target: SocketAddr = target.parse().unwrap();
    let ask = move || converse(TcpStream::connect_timeout(&target, PATIENCE)?);
    let answer = match from {
        Some(pod) => netns::within(&pod.namespace, ask),
        None => ask(),
    }?;
    let (name, peer) = answer.split_once(' ').unwrap();
    Ok((name.to_owned(), peer.to_owned()))
}

/// Everyone who answers within many tries.
fn answerers(from: Option<&Pod>, target: &str) -> BTreeSet<String> {
    (0..40).map(|_| ask(from, target).unwrap().0).collect()
}

fn datagram_socket(namespace: &Path, target: &'static str) -> UdpSocket {
    let connect = move || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(target)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    };
    netns::within(namespace, connect).unwrap()
}

fn ask_by_datagram(socket: &UdpSocket) -> String {
    let mut answer = [0; 16];
    socket.send(b"who?").unwrap();
    let length = socket.recv(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn refused(outcome: io::Result<(String, String)>) -> bool {
    outcome.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A proxy to which a test tells what the API would.
struct Proxy {
    known: Known,
    services: Services,
    kernel: Kernel,
}

impl Proxy {
    async fn start() -> Self {
        let place = Place { node: "n1".to_owned(), address: NODE.parse().ok(), kubelet_port: 10250 };
        let (services, kernel) = (Services::default(), Kernel::new("kontiki-services-test".to_owned()));
        let mut proxy = Self { known: Known::new(place), services, kernel };
        proxy.known.take_service(Change::Reset(Vec::new()), &proxy.services);
        proxy.known.take_slice(Change::Reset(Vec::new()));
        proxy.sync(true).await;
        proxy
    }

    async fn sync(&mut self, check: bool) {
        self.known.refresh(&self.services);
        self.kernel.sync(&self.known, check).await.unwrap();
    }

    /// The Service at 10.96.0.7 with these endpoints, at TCP port 80 and UDP port 53.
    async fn serve(&mut self, more: Value, endpoints: &[&Pod]) {
        let ports = json!([
            { "name": "web", "port": 80, "nodePort": 30080 },
            { "name": "dns", "port": 53, "protocol": "UDP" },
        ]);
        let mut spec = json!({ "clusterIP": "10.96.0.7", "ports": ports });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let service = json!({ "metadata": { "name": "web", "namespace": "a" }, "spec": spec });
        self.known.take_service(Change::Applied(serde_json::from_value(service).unwrap()), &self.services);
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|pod| {
                let target = json!({ "kind": "Pod", "name": pod.name });
                json!({ "addresses": [pod.address], "nodeName": "n1", "targetRef": target, "conditions": { "ready": true } })
            })
            .collect();
        let slice = json!({
            "metadata": { "name": "web-x", "namespace": "a", "labels": { "kubernetes.io/service-name": "web" } },
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [
                { "name": "web", "port": 8080, "protocol": "TCP" },
                { "name": "dns", "port": 5353, "protocol": "UDP" },
            ],
        });
        self.known.take_slice(Change::Applied(serde_json::from_value(slice).unwrap()));
        self.sync(false).await;
    }
}

async fn pods(settings: Settings) -> (PodNetwork, [Pod; 3]) {
    uplink().await;
    let network = PodNetwork::open(settings).await.unwrap();
    network.set_pod_cidrs(vec!["10.244.1.0/24".parse().unwrap()]).await.unwrap();
    let pods = [pod(&network, "a").await, pod(&network, "b").await, pod(&network, "c").await];
    (network, pods)
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn connections_reach_the_endpoints_of_now_and_are_refused_when_there_are_none() {
    on_a_host(|settings| async move {
        let (network, [a, b, c]) = pods(settings).await;
        let mut proxy = Proxy::start().await;
        proxy.serve(json!({}), &[&a, &b]).await;
        let service = "10.96.0.7:80";
        assert_eq!(answerers(Some(&c), service), names(&["a", "b"]));
        assert_eq!(answerers(None, service), names(&["a", "b"]), "from the node itself");
        assert_eq!(answerers(Some(&a), service), names(&["a", "b"]), "a pod reaches itself, too");
        assert_eq!(ask(Some(&c), service).unwrap().1, c.address, "the endpoint sees its client");

        let node_port = format!("{NODE}:30080");
        assert_eq!(answerers(Some(&c), &node_port), names(&["a", "b"]));
        assert_eq!(answerers(None, &node_port), names(&["a", "b"]));
        assert_ne!(ask(Some(&c), &node_port).unwrap().1, c.address, "answers come back through the node");

        let held = netns::within(&c.namespace, || TcpStream::connect("10.96.0.7:80")).unwrap();
        proxy.serve(json!({}), &[&b]).await;
        assert_eq!(answerers(Some(&c), service), names(&["b"]));
        proxy.serve(json!({}), &[]).await;
        assert!(refused(ask(Some(&c), service)) && refused(ask(None, service)) && refused(ask(Some(&c), &node_port)));
        let answer = converse(held).unwrap();
        assert!(answer.starts_with(['a', 'b']), "what is established goes on: {answer}");
        for _ in 0..10 {
            assert!(refused(ask(Some(&c), "10.96.0.7:81")), "nobody is at the other ports, and that is said at once");
        }
        network.clean_up().await.unwrap();
    });
}

#[test]
fn a_table_that_is_gone_and_an_agent_that_starts_again_are_no_loss() {
    on_a_host(|settings| async move {
        let (network, [a, b, c]) = pods(settings).await;
        let mut proxy = Proxy::start().await;
        proxy.serve(json!({}), &[&a, &b]).await;
        let mut batch = Batch::new(&proxy.kernel.table);
        batch.delete_table();
        Socket::open().unwrap().commit(batch).unwrap();
        assert!(!Socket::open().unwrap().has_table(&proxy.kernel.table).unwrap());
        proxy.sync(true).await;
        assert_eq!(answerers(Some(&c), "10.96.0.7:80"), names(&["a", "b"]));

        let mut again = Proxy::start().await;
        again.serve(json!({}), &[&b]).await;
        assert_eq!(answerers(Some(&c), "10.96.0.7:80"), names(&["b"]));
        let mut batch = Batch::new(&again.kernel.table);
        batch.delete_table();
        batch.delete_table();
        let twice = Socket::open().unwrap().commit(batch);
        assert_eq!(twice.unwrap_err().kind(), io::ErrorKind::NotFound, "a transaction is refused as a whole");
        assert!(Socket::open().unwrap().has_table(&again.kernel.table).unwrap());
        network.clean_up().await.unwrap();
    });
}

#[test]
fn a_client_keeps_its_endpoint_until_that_leaves() {
    on_a_host(|settings| async move {
        let (network, [a, b, c]) = pods(settings).await;
        let mut proxy = Proxy::start().await;
        let sticky = json!({ "sessionAffinity": "ClientIP" });
        proxy.serve(sticky.clone(), &[&a, &b, &c]).await;
        let first = answerers(None, "10.96.0.7:80");
        assert_eq!(first.len(), 1, "{first:?}");
        let others: Vec<&Pod> = [&a, &b, &c].into_iter().filter(|pod| !first.contains(pod.name)).collect();
        proxy.serve(sticky.clone(), &others).await;
        let second = answerers(None, "10.96.0.7:80");
        assert_eq!(second.len(), 1, "{second:?}");
        assert_ne!(first, second);
        // The one that it had comes back, and the client stays.
        proxy.serve(sticky, &[&a, &b, &c]).await;
        assert_eq!(answerers(None, "10.96.0.7:80"), second);
        proxy.serve(json!({}), &[&a, &b, &c]).await;
        assert_eq!(answerers(None, "10.96.0.7:80").len(), 3);
        network.clean_up().await.unwrap();
    });
}

#[test]
fn datagrams_go_to_another_endpoint_when_theirs_has_left() {
    on_a_host(|settings| async move {
        let (network, [a, b, c]) = pods(settings).await;
        let mut proxy = Proxy::start().await;
        proxy.serve(json!({}), &[&a]).await;
        // The same socket all the time: to the kernel it is one flow.
        let socket = datagram_socket(&c.namespace, "10.96.0.7:53");
        assert_eq!(ask_by_datagram(&socket), "a");
        proxy.serve(json!({}), &[&a, &b]).await;
        assert_eq!(ask_by_datagram(&socket), "a", "a flow stays while its endpoint does");
        proxy.serve(json!({}), &[&b]).await;
        assert_eq!(ask_by_datagram(&socket), "b");
        proxy.serve(json!({}), &[]).await;
        socket.send(b"who?").unwrap();
        let error = socket.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        network.clean_up().await.unwrap();
    });
}

#[test]
fn thousands_of_services_are_one_transaction() {
    on_a_host(|settings| async move {
        let (network, [a, b, c]) = pods(settings).await;
        let mut proxy = Proxy::start().await;
        for number in 0..3000_u16 {
            let [high, low] = number.to_be_bytes();
            let frontend = Frontend { address: Ipv4Addr::new(10, 97, high, low), protocol: Protocol::TCP, port: 80 };
            let endpoints = [&a, &b].map(|pod| (pod.address.parse().unwrap(), 8080)).into();
            let backends = frontends::Backends { endpoints, ..frontends::Backends::default() };
            let proxied = Proxied { frontends: BTreeMap::from([(frontend, backends)]), ..Proxied::default() };
            proxy.known.proxied.insert(("many".to_owned(), number.to_string()), proxied);
        }
        proxy.sync(false).await;
        assert_eq!(answerers(Some(&c), "10.97.11.183:80"), names(&["a", "b"]));
        // All of them stay while one changes, and when all of it is made anew.
        proxy.serve(json!({}), &[&a]).await;
        assert_eq!(answerers(Some(&c), "10.96.0.7:80"), names(&["a"]));
        proxy.kernel.present = None;
        proxy.sync(false).await;
        assert_eq!(answerers(Some(&c), "10.97.0.0:80"), names(&["a", "b"]));
        network.clean_up().await.unwrap();
    });
}

//! Real kubectl over real TLS.

use std::{path::PathBuf, process::Stdio, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{io::AsyncWriteExt, process::Command};
use tokio_util::sync::CancellationToken;

use crate::harness::{Authority, Fixture};

pub(crate) struct Cluster {
    pub(crate) api: Fixture,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) shutdown: CancellationToken,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let api = Fixture::start().await;
        let authority = Authority::new("cluster");
        let (cert, key) = authority.issue("kontiki", &[], &[]);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = verifier.allow_unauthenticated().build().unwrap();
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", api.port)).await.unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(apiserver::serve(listener, Arc::new(tls), api.server.router(), shutdown.clone()));
        let kubeconfig = api.dir.path().join("kubeconfig");
        let (cert, key) = authority.issue("admin", &["system:masters"], &[]);
        let write = |name: &str, text: &str| {
            let path = api.dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": {
                "server": format!("https://127.0.0.1:{}", api.port), "certificate-authority": write("ca.pem", &authority.pem),
            } }],
            "users": [{ "name": "c", "user": {
                "client-certificate": write("cert.pem", &cert), "client-key": write("key.pem", &key),
            } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        Self { api, kubeconfig, shutdown }
    }

    /// Runs kubectl with `input` on its standard input; its output, or its complaint.
    pub(crate) async fn run(&self, input: &str, arguments: &str) -> Result<String, String> {
        let mut child = Command::new("kubectl")
            .args(arguments.split_whitespace())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.api.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        let (out, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(out.into_owned()) } else { Err(format!("kubectl {arguments}: {complaint}")) }
    }

    pub(crate) async fn ok(&self, arguments: &str) -> String {
        self.run("", arguments).await.unwrap()
    }
}

const MANIFEST: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: story}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: one, namespace: story}
data: {a: '1'}
---
apiVersion: v1
kind: Secret
metadata: {name: hidden, namespace: story}
stringData: {k: v}
";

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_tells_its_usual_story() {
    let cluster = Cluster::start().await;
    assert!(cluster.ok("version").await.contains("v1.37"));
    assert!(cluster.ok("api-resources").await.contains("configmaps"));
    let created = cluster.run(MANIFEST, "create -f -").await.unwrap();
    assert!(created.contains("configmap/one created") && created.contains("secret/hidden created"), "{created}");
    let table = cluster.ok("get configmaps -n story").await;
    assert!(table.starts_with("NAME") && table.contains("DATA") && table.contains("one"), "{table}");
    assert_eq!(cluster.ok("get cm one -n story -o jsonpath={.data.a}").await, "1");
    assert_eq!(cluster.ok("get secret hidden -n story -o jsonpath={.data.k}").await, "dg==");

    let applied = cluster.run(&MANIFEST.replace("'1'", "'2'"), "apply -f -").await.unwrap();
    assert!(applied.contains("configmap/one configured"), "{applied}");
    let unchanged = cluster.run(&MANIFEST.replace("'1'", "'2'"), "apply -f -").await.unwrap();
    assert!(unchanged.contains("configmap/one unchanged"), "{unchanged}");
    let applied =
        cluster.run(&MANIFEST.replace("'1'", "'3'"), "apply --server-side --force-conflicts -f -").await.unwrap();
    assert!(applied.contains("configmap/one serverside-applied"), "{applied}");
    assert_eq!(cluster.ok("get cm one -n story -o jsonpath={.data.a}").await, "3");

    cluster.ok("label cm one -n story x=1").await;
    assert_eq!(cluster.ok("get cm -n story -l x=1 -o name").await, "configmap/one\n");
    cluster.ok("patch cm one -n story -p {\"data\":{\"b\":\"4\"}}").await;
    assert!(cluster.ok("describe cm one -n story").await.contains("b:\n----\n4"));
    cluster.ok("create configmap typed -n story --from-literal=a=b").await;
    assert_eq!(cluster.ok("auth can-i delete pods").await, "yes\n");
    assert!(cluster.ok("auth whoami").await.contains("admin"));
    cluster.ok("create serviceaccount bot -n story").await;
    assert_eq!(cluster.ok("create token bot -n story").await.split('.').count(), 3);
    assert!(cluster.ok("explain configmap.data").await.contains("configuration data"));

    cluster.ok("create quota few -n story --hard=pods=3").await;
    cluster.ok("create poddisruptionbudget some -n story --selector=app=web --min-available=1").await;
    cluster.ok("create cronjob daily -n story --image=i:1 --schedule=@daily").await;
    assert!(cluster.ok("get pdb,cronjob -n story").await.contains("@daily"));
    assert!(cluster.ok("describe quota few -n story").await.contains("few"));
    assert!(cluster.ok("explain statefulset.spec.serviceName").await.contains("governs this StatefulSet"));
    assert!(cluster.ok("get componentstatuses").await.contains("etcd-0"));
    cluster.ok("delete cm one typed -n story").await;
    let gone = cluster.run("", "get cm one -n story").await.unwrap_err();
    assert!(gone.contains("Error from server (NotFound): configmaps \"one\" not found"), "{gone}");
    let unknown = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\nbar: 1\n";
    let strict = cluster.run(unknown, "create -f -").await.unwrap_err();
    assert!(strict.contains("unknown field \"bar\""), "{strict}");
    cluster.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_knows_the_kinds_of_the_cluster() {
    let cluster = Cluster::start().await;
    let mut request = crate::cluster_kinds::signing_request("team", "example.com/client");
    request["apiVersion"] = "certificates.k8s.io/v1".into();
    request["kind"] = "CertificateSigningRequest".into();
    cluster.run(&request.to_string(), "create -f -").await.unwrap();
    assert!(cluster.ok("get csr").await.contains("Pending"));
    cluster.ok("certificate approve one").await;
    assert!(cluster.ok("get csr one").await.contains("Approved"));
    let denied = cluster.run("", "certificate deny one").await.unwrap_err();
    assert!(denied.contains("is already Approved"), "{denied}");

    cluster.ok("create ingress web --rule=example.com/*=web:80 --class=nginx").await;
    let ingress = cluster.ok("get ing web").await;
    assert!(ingress.contains("nginx") && ingress.contains("example.com"), "{ingress}");
    cluster.ok("create priorityclass high --value=1000 --description=high").await;
    assert!(cluster.ok("get pc high").await.contains("PreemptLowerPriority"));
    assert!(cluster.ok("describe ingress web").await.contains("example.com"));
    assert!(cluster.ok("explain ingress.spec.ingressClassName").await.contains("IngressClass"));
    assert!(cluster.ok("explain resourceclaim.spec.devices.requests").await.contains("exactly"));
    assert!(cluster.ok("get apiservices v1.networking.k8s.io").await.contains("Local"));
    cluster.shutdown.cancel();
}

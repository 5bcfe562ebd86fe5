//! Images from archives and registries.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use node_agent::image::{Credential, Error, PullPolicy};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol, Config, ImageLayer},
    manifest::OciImageManifest,
    secrets::RegistryAuth,
};

use crate::harness::{DEMO, PATIENCE, node};

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An image with the demo program and one more file: (layers, configuration).
fn image(program: &[u8], mark: &str) -> (Vec<Vec<u8>>, Vec<u8>) {
    let layers = vec![tar_of(&[("tool", program)]), tar_of(&[("mark", mark.as_bytes())])];
    let diffs: Vec<_> = layers.iter().map(|layer| format!("\"sha256:{}\"", hex(layer))).collect();
    let config = format!(
        r#"{{"os":"linux","config":{{"Entrypoint":["/tool","cat","/mark"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diffs.join(",")
    );
    (layers, config.into_bytes())
}

fn archive(program: &[u8], mark: &str, name: &str) -> Vec<u8> {
    let (layers, config) = image(program, mark);
    let manifest = format!(r#"[{{"Config":"c.json","RepoTags":["{name}"],"Layers":["0.tar","1.tar"]}}]"#);
    tar_of(&[("0.tar", &layers[0]), ("1.tar", &layers[1]), ("c.json", &config), ("manifest.json", manifest.as_bytes())])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_appears_is_found_run_and_collected() {
    let Some(node) = node().await else { return };
    let demo = node.images.get(DEMO).await.unwrap().unwrap();
    let program = fs::read(demo.layers[0].join("demo")).unwrap();
    let error = node.images.ensure("local/tool:1", PullPolicy::Never, &[]).await.unwrap_err();
    assert_eq!(error.reason(), "ErrImageNeverPull");
    let folder = node.dir.path().join("archives");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("broken.tar"), "no archive").unwrap();
    fs::write(folder.join("tool.tar"), archive(&program, "from an archive", "local/tool:1")).unwrap();
    let found = node.images.ensure("local/tool:1", PullPolicy::IfNotPresent, &[]).await.unwrap();
    assert!(found.pulled.is_none());
    node.pod("archive").await;
    let mut spec = node.spec("tool", &[]).await;
    spec.image = found.image;
    let (exit, text) = node.run("archive", &spec).await;
    assert_eq!((exit.code, text.as_str()), (0, "from an archive\n"));
    let names: Vec<_> = node.images.list().iter().map(|image| image.reference.clone()).collect();
    assert_eq!(names, ["docker.io/local/tool:1", "kontiki.io/demo:1", "kontiki.io/demo:2"]);
    node.images.collect(&HashSet::new()).await.unwrap();
    assert_eq!(node.images.list().len(), 3, "asked for a moment ago");
    node.finish().await;
}

/// Debian's registry on a free port of this node.
struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    fn start(dir: &Path) -> Option<Self> {
        let port = testing::free_address().port();
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            dir.join("registry").display()
        );
        let file = dir.join("registry.yml");
        fs::write(&file, config).unwrap();
        let command =
            Command::new("docker-registry").arg("serve").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        match command {
            Ok(child) => Some(Self { child, port }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: docker-registry is not installed");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn push(&self, name: &str, program: &[u8], mark: &str) {
        let reference: Reference = format!("127.0.0.1:{}/{name}", self.port).parse().unwrap();
        let client = Client::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() });
        let (plain, config) = image(program, mark);
        let packed = zstd::bulk::compress(&plain[1], 1).unwrap();
        let layers = [
            ImageLayer::new(plain[0].clone(), "application/vnd.oci.image.layer.v1.tar".to_owned(), None),
            ImageLayer::new(packed, "application/vnd.oci.image.layer.v1.tar+zstd".to_owned(), None),
        ];
        let config = Config::oci_v1(config, None);
        let manifest = OciImageManifest::build(&layers, &config, None);
        testing::eventually(PATIENCE, async || {
            let push =
                client.push(&reference, &layers, config.clone(), &RegistryAuth::Anonymous, Some(manifest.clone()));
            push.await.map(drop)
        })
        .await;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_come_from_a_registry_and_refusals_say_why() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let Some(node) = node().await else { return };
    let Some(registry) = Registry::start(node.dir.path()) else { return node.finish().await };
    let program = fs::read(node.images.get(DEMO).await.unwrap().unwrap().layers[0].join("demo")).unwrap();
    registry.push("team/tool:1", &program, "from a registry").await;
    let name = format!("127.0.0.1:{}/team/tool:1", registry.port);
    let credential =
        Credential { registry: format!("127.0.0.1:{}", registry.port), username: "u".into(), password: "p".into() };
    let pulls: Vec<_> =
        (0..4).map(|_| node.images.ensure(&name, PullPolicy::Always, std::slice::from_ref(&credential))).collect();
    let results = futures_util::future::join_all(pulls).await;
    let found = results[0].as_ref().unwrap();
    assert!(found.pulled.is_some() && results.iter().all(Result::is_ok));
    assert!(found.image.repo_digest.as_ref().unwrap().contains("/team/tool@sha256:"));
    assert!(node.images.ensure(&name, PullPolicy::IfNotPresent, &[]).await.unwrap().pulled.is_none());
    node.pod("pull").await;
    let mut spec = node.spec("tool", &[]).await;
    spec.image = found.image.clone();
    let (exit, text) = node.run("pull", &spec).await;
    assert_eq!((exit.code, text.as_str()), (0, "from a registry\n"));
    // A tag that moves is followed by Always.
    registry.push("team/tool:1", &program, "moved").await;
    let moved = node.images.ensure(&name, PullPolicy::Always, &[]).await.unwrap().image;
    assert_ne!(moved.id, found.image.id);
    let missing = format!("127.0.0.1:{}/team/nothing:1", registry.port);
    let error = node.images.ensure(&missing, PullPolicy::IfNotPresent, &[]).await.unwrap_err();
    assert_eq!(error.reason(), "ErrImagePull");
    assert!(error.to_string().to_lowercase().contains("unknown") || error.to_string().contains("not found"), "{error}");
    drop(registry);
    let error = node.images.ensure(&name, PullPolicy::Always, &[]).await.unwrap_err();
    assert!(matches!(&error, Error::Pull { message, .. } if message.contains("onnect")), "{error}");
    node.finish().await;
}

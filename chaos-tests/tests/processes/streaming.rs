//! Streams into containers, by every kubectl on the machine: exec, attach, cp, port-forward, and proxies.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
};

use chaos_tests::{
    Cluster,
    cluster::{Kubectl, PATIENCE},
    command::{run, succeed},
};
use serde_json::{Value, json};
use testing::{eventually_blocking, kubectl::programs};

use crate::{machine, program};

const TOOLS: &str = "local/tools:1";
const MEBIBYTE: usize = 1024 * 1024;

/// An image of programs of this machine, as an archive in `folder`.
fn tools_image(folder: &Path) {
    let work = tempfile::tempdir().expect("a temporary folder");
    let programs = ["sh", "cat", "tar", "stty", "sleep", "env", "ls", "test", "id", "tail"];
    let script = r#"
        set -e
        files=$(for name in "$@"; do type -P $name; done)
        libraries=$(ldd $files | grep -o '/[^ )]*' | grep -v ':' | sort -u)
        mkdir tmp && chmod 1777 tmp
        tar -chPf layer.tar --transform 's,^/,,' $files $libraries
        tar -rf layer.tar tmp
        digest=$(sha256sum layer.tar | cut -d' ' -f1)
        printf '{"os":"linux","config":{"Env":["PATH=/usr/bin:/bin"],"Cmd":["sh","-c","trap exit TERM; sleep 3600 & wait"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' $digest > config.json
        printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$IMAGE" > manifest.json
        mkdir -p "$FOLDER"
        tar -cf "$FOLDER/.tools.tar" layer.tar config.json manifest.json
        mv "$FOLDER/.tools.tar" "$FOLDER/tools.tar"
    "#;
    let mut command = Command::new("bash");
    command.args(["-c", script, "tools"]).args(programs).current_dir(work.path());
    succeed(command.env("IMAGE", TOOLS).env("FOLDER", folder));
}

/// A cluster with the image of tools, and a pod that waits.
pub(crate) fn cluster(flags: &[&str]) -> (Cluster, Kubectl) {
    let cluster = Cluster::up(program(), flags);
    tools_image(&cluster.dir().join("images"));
    let kubectl = cluster.kubectl("kubectl");
    let overrides = r#"--overrides={"spec":{"terminationGracePeriodSeconds":1}}"#;
    kubectl.ok(&format!("run tools --image={TOOLS} --image-pull-policy=Never {overrides}"));
    kubectl.ok("run web --image=kontiki.io/demo:1 --port=8080");
    kubectl.ok("wait --for=condition=Ready pod/tools pod/web --timeout=60s");
    (cluster, kubectl)
}

/// Bytes that do not compress and are the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn every_kubectl_runs_programs_copies_files_and_forwards_ports() {
    let (cluster, _) = cluster(&["--masters", "3", "--workers", "1"]);
    for program in programs() {
        eprintln!("with {}", program.path.display());
        let kubectl = cluster.kubectl(&program.path);
        runs_programs(&kubectl);
        passes_bytes(&kubectl);
        shows_a_terminal(&kubectl);
        copies(&kubectl);
        forwards(&kubectl);
    }
    let kubectl = cluster.kubectl("kubectl");
    let leader = cluster.leader();
    for (master, _) in cluster.masters().iter().filter(|(master, _)| *master != leader) {
        runs_programs(&kubectl.against(master));
        forwards(&kubectl.against(master));
    }
    attaches(&kubectl);
    refuses(&kubectl);
    proxies(&kubectl);
    hides_the_host(&kubectl);
    kubectl.ok("delete pod --all --now");
    eventually_blocking(PATIENCE, || {
        let left = machine::pods_on(&cluster, "w1");
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    });
}

fn runs_programs(kubectl: &Kubectl) {
    let said = run(kubectl.command("exec tools -- sh -c").arg("echo out; echo err >&2; exit 3"));
    assert_eq!(said.out, "out\n");
    assert!(said.err.contains("err\n") && said.err.contains("exit code 3"), "{}", said.err);
    let status = kubectl.command("exec tools -- sh -c").arg("exit 3").stderr(Stdio::null()).status();
    assert_eq!(status.expect("kubectl runs").code(), Some(3));
    let words = succeed(kubectl.command("exec tools -- sh -c").args(["printf '%s|' \"$@\"", "sh", "a b", "c&d=é", ""]));
    assert_eq!(words, "a b|c&d=é||");
    let missing = kubectl.fails("exec tools -- no-such-program");
    assert!(missing.contains("executable file not found in $PATH"), "{missing}");
}

fn passes_bytes(kubectl: &Kubectl) {
    let bytes = noise(MEBIBYTE);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), &bytes).expect("the input is written");
    let input = fs::File::open(file.path()).expect("the input opens");
    let output = kubectl.command("exec -i tools -- cat").stdin(input).output().expect("kubectl runs");
    assert!(output.status.success() && output.stdout == bytes, "{} bytes came back", output.stdout.len());
}

fn shows_a_terminal(kubectl: &Kubectl) {
    let mut command = Command::new("script");
    let inner = kubectl.command("exec -it tools -- sh -c");
    let environment = inner.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.envs(environment).env("TERM", "xterm");
    let words: Vec<String> = std::iter::once(inner.get_program())
        .chain(inner.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    // The terminal has a size before kubectl looks at it; the program in the container gets it a little later.
    let wait = "for i in 1 2 3 4 5 6 7 8 9 10; do [ \"$(stty size)\" = \"43 132\" ] && break; sleep 0.1; done";
    let line = format!("stty rows 43 cols 132; {} '{wait}; stty size; test -t 1 && echo terminal'", words.join(" "));
    let output = command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output().expect("script runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("43 132") && text.contains("terminal"), "{text}");
}

fn copies(kubectl: &Kubectl) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    fs::write(&there, noise(300_000)).expect("a file is written");
    kubectl.ok(&format!("cp {} tools:/tmp/copy", there.display()));
    kubectl.ok(&format!("cp tools:/tmp/copy {}", back.display()));
    assert!(fs::read(&there).expect("a file") == fs::read(&back).expect("the copy"));
}

/// A kubectl in the background; ends with it.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts `kubectl port-forward` and waits for its port.
fn forward(kubectl: &Kubectl, target: &str, port: u16) -> (Background, u16) {
    let (child, _, out) = interactive(kubectl, &format!("port-forward {target} :{port} --address 127.0.0.1"));
    let said = out.until(" -> ");
    let local = said.split("127.0.0.1:").nth(1).and_then(|rest| rest.split_once(' ')).expect("a local port");
    (child, local.0.parse().expect("a port"))
}

fn ask(port: u16, path: &str) -> String {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).expect("the forwarded port is open");
    connection.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(connection, "GET {path} HTTP/1.1\r\nHost: forwarded\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    answer
}

fn forwards(kubectl: &Kubectl) {
    let (_forward, port) = forward(kubectl, "pod/web", 8080);
    // One after the other and at the same time.
    for number in 0..3 {
        let answer = ask(port, &format!("/forwarded-{number}"));
        assert!(answer.contains(&format!("path: /forwarded-{number}")) && answer.contains("127.0.0.1\n"), "{answer}");
    }
    let many: Vec<_> = (0..8).map(|_| std::thread::spawn(move || ask(port, "/at-once"))).collect();
    for one in many {
        assert!(one.join().expect("no panic").contains("path: /at-once"));
    }
}

fn attaches(kubectl: &Kubectl) {
    let overrides = r#"--overrides={"spec":{"terminationGracePeriodSeconds":1}}"#;
    let said = succeed(
        kubectl
            .command(&format!(
                "run once -i --rm --restart=Never --image={TOOLS} --image-pull-policy=Never {overrides} --"
            ))
            .args(["sh", "-c", "read line; echo \"got $line\"; cat"])
            .stdin(text_file("first\nsecond\n")),
    );
    assert!(said.contains("got first") && said.contains("second"), "{said}");
    // One that only shows, and one with a terminal.
    create(
        kubectl,
        "clock",
        &json!({ "command": ["sh", "-c", "trap exit TERM; while :; do echo tick; sleep 0.2; done"] }),
    );
    create(kubectl, "shell", &json!({ "command": ["sh", "-i"], "stdin": true, "tty": true }));
    kubectl.ok("wait --for=condition=Ready pod/clock pod/shell --timeout=60s");
    let (_clock, _, out) = interactive(kubectl, "attach clock");
    out.until("tick\ntick\ntick\n");
    let (_shell, mut input, out) = interactive(kubectl, "attach -i shell");
    input.write_all(b"echo 4$((1 + 1)); test -t 0 && echo a terminal\n").expect("the shell is written to");
    out.until("42\r\na terminal\r\n");
}

/// Creates a pod of one container of the tools' image.
fn create(kubectl: &Kubectl, name: &str, container: &Value) {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "terminationGracePeriodSeconds": 1, "containers": [container] },
    });
    let container = &mut pod["spec"]["containers"][0];
    (container["name"], container["image"], container["imagePullPolicy"]) = (name.into(), TOOLS.into(), "Never".into());
    kubectl.with_input("create -f -", &pod.to_string());
}

/// Starts kubectl with pipes to it.
fn interactive(kubectl: &Kubectl, words: &str) -> (Background, ChildStdin, Output) {
    let mut command = kubectl.command(words);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("kubectl runs");
    let (input, mut out) = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
    let (sender, pieces) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = out.read(&mut buffer) {
            // What nobody waits for any more is read all the same: a kubectl without an output ends.
            drop(sender.send(buffer[..count].to_vec()));
        }
    });
    (Background(child), input, Output(pieces))
}

/// What a kubectl in the background says.
struct Output(mpsc::Receiver<Vec<u8>>);

impl Output {
    /// Waits until this text has come.
    fn until(&self, text: &str) -> String {
        let mut said = String::new();
        while !said.contains(text) {
            match self.0.recv_timeout(PATIENCE) {
                Ok(piece) => said.push_str(&String::from_utf8_lossy(&piece)),
                Err(error) => panic!("kubectl did not say {text:?}: {error}: {said:?}"),
            }
        }
        said
    }
}

fn text_file(text: &str) -> fs::File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("the text is written");
    std::io::Seek::rewind(&mut file).expect("the file rewinds");
    file
}

fn refuses(kubectl: &Kubectl) {
    let unknown = kubectl.fails("exec tools -c other -- ls");
    assert!(
        unknown.contains("container other is not valid for pod tools") || unknown.contains("not found"),
        "{unknown}"
    );
    let nobody = kubectl.fails("exec nobody -- ls");
    assert!(nobody.contains("pods \"nobody\" not found"), "{nobody}");
    kubectl.ok("run absent --image=127.0.0.1:1/no/such:image");
    eventually_blocking(PATIENCE, || {
        let said = kubectl.fails("exec absent -- ls");
        if said.contains("container not found (\"absent\")") { Ok(()) } else { Err(said) }
    });
    kubectl.ok("create serviceaccount stranger");
    kubectl.ok("create role reader --verb=get,list --resource=pods,pods/exec");
    kubectl.ok("create rolebinding reader --role=reader --serviceaccount=default:stranger");
    // Looking at a pod does not allow to act in it, though a WebSocket begins with a GET.
    let stranger = stranger(kubectl);
    assert!(stranger.ok("get pods").contains("tools"));
    let refused = stranger.fails("exec tools -- ls");
    let expected = "cannot create resource \"pods/exec\" in API group \"\" in the namespace \"default\"";
    assert!(refused.contains(expected), "{refused}");
}

/// kubectl as the service account `stranger`.
fn stranger(kubectl: &Kubectl) -> Kubectl {
    let token = kubectl.ok("create token stranger");
    let view =
        |path: &str| kubectl.ok(&format!("config view --raw --minify -o jsonpath={{.clusters[0].cluster.{path}}}"));
    let mut config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": {
            "server": view("server"),
            "certificate-authority-data": view("certificate-authority-data"),
        } }],
        "users": [{ "name": "u", "user": { "token": token.trim() } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    let name = view("tls-server-name");
    if !name.is_empty() {
        config["clusters"][0]["cluster"]["tls-server-name"] = name.into();
    }
    kubectl.with_config("stranger.kubeconfig", &config.to_string())
}

fn proxies(kubectl: &Kubectl) {
    let proxied = |path: &str| kubectl.ok(&format!("get --raw /api/v1/{path}"));
    let answer = proxied("namespaces/default/pods/web/proxy/by-pod?x=1");
    assert!(answer.contains("path: /by-pod?x=1"), "{answer}");
    let answer = proxied("namespaces/default/pods/web:8080/proxy/by-port");
    assert!(answer.contains("path: /by-port"), "{answer}");
    assert!(proxied("nodes/w1/proxy/metrics").contains("kubelet_running_pods"));
    // What a pod on its node's network is asked by HTTPS is the agent, whose certificate names no address.
    let probe = json!({ "httpGet": { "scheme": "HTTPS", "port": 10250, "path": "/healthz" }, "periodSeconds": 1 });
    let container = json!({ "name": "c", "image": "kontiki.io/demo:1", "readinessProbe": probe });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "on-host" },
        "spec": { "hostNetwork": true, "containers": [container], "terminationGracePeriodSeconds": 0 },
    });
    kubectl.with_input("create -f -", &pod.to_string());
    kubectl.ok("wait pod/on-host --for=condition=Ready --timeout=60s");
    assert_eq!(proxied("namespaces/default/pods/https:on-host:10250/proxy/healthz").trim(), "ok");
    let plain = kubectl.fails("get --raw /api/v1/namespaces/default/pods/http:on-host:10250/proxy/healthz");
    assert!(plain.contains("error trying to reach service"), "{plain}");
    kubectl.ok("delete pod on-host");
    // A service whose endpoints are written by hand: one that does not exist and is not ready, and the pod.
    let port = json!({ "name": "http", "port": 80, "targetPort": 8080 });
    let service =
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" }, "spec": { "ports": [port] } });
    kubectl.with_input("create -f -", &service.to_string());
    let none = kubectl.fails("get --raw /api/v1/namespaces/default/services/web/proxy/by-service");
    assert!(none.contains("no endpoints available for service \"web\""), "{none}");
    let address = kubectl.ok("get pod web -o jsonpath={.status.podIP}");
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "web-1", "labels": { "kubernetes.io/service-name": "web" } },
        "ports": [{ "name": "http", "port": 8080 }],
        "endpoints": [
            { "addresses": ["10.9.8.7"], "conditions": { "ready": false } },
            { "addresses": [address], "nodeName": "w1", "targetRef": { "kind": "Pod", "namespace": "default", "name": "web" } },
        ],
    });
    kubectl.with_input("create -f -", &slice.to_string());
    for service in ["web", "web:80", "http:web:http"] {
        let answer = proxied(&format!("namespaces/default/services/{service}/proxy/by-service"));
        assert!(answer.contains("path: /by-service"), "{service}: {answer}");
    }
}

fn hides_the_host(kubectl: &Kubectl) {
    let processes = succeed(kubectl.command("exec tools -- sh -c").arg("ls -d /proc/[0-9]*"));
    let count = processes.lines().count();
    assert!((2..8).contains(&count), "{processes}");
    let groups = kubectl.ok("exec tools -- cat /proc/self/cgroup");
    assert!(groups.lines().all(|line| line.ends_with(":/")), "its group is the root of what it sees: {groups}");
    let status = kubectl.ok("exec tools -- cat /proc/self/status");
    let own = kubectl.ok("exec tools -- cat /proc/1/status");
    for key in ["CapEff", "CapBnd", "Seccomp", "NoNewPrivs", "Uid", "Gid", "Groups"] {
        let line = |text: &str| text.lines().find(|line| line.starts_with(&format!("{key}:"))).map(str::to_owned);
        assert_eq!(line(&status), line(&own), "{key}");
    }
}

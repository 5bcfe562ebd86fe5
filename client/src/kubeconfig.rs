//! kubectl's configuration file, typed: read, write, and the shape Kontiki writes.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::masters::SERVER_NAME;

/// Why a kubeconfig could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("the kubeconfig {path} could not be {verb}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// "read" or "written".
        verb: &'static str,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The text is not a kubeconfig.
    #[error("{path} is not a kubeconfig: {reason}", path = path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The current context, or what it names, is missing.
    #[error("the kubeconfig has no {what} named {name:?}: choose one with `kubectl config use-context`")]
    Missing {
        /// "context", "cluster" or "user".
        what: &'static str,
        /// The name looked for.
        name: String,
    },
    /// A `*-data` field is not base64.
    #[error("{field} is not base64")]
    Base64 {
        /// Which field.
        field: &'static str,
    },
}

/// The file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kubeconfig {
    /// Always `v1`.
    #[serde(rename = "apiVersion", default = "v1")]
    pub api_version: String,
    /// Always `Config`.
    #[serde(default = "config")]
    pub kind: String,
    /// Where.
    #[serde(default)]
    pub clusters: Vec<NamedCluster>,
    /// Who.
    #[serde(default)]
    pub users: Vec<NamedUser>,
    /// Who where.
    #[serde(default)]
    pub contexts: Vec<NamedContext>,
    /// The context used by default.
    #[serde(default)]
    pub current_context: String,
}

fn v1() -> String {
    "v1".into()
}

fn config() -> String {
    "Config".into()
}

/// An entry of `clusters`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedCluster {
    /// What contexts call it.
    pub name: String,
    /// The cluster.
    pub cluster: Cluster,
}

/// An API server's address and authority.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cluster {
    /// `https://host:port`.
    pub server: String,
    /// The authority's certificate, base64 of PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority_data: Option<String>,
    /// The name to expect in the server's certificate instead of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
}

/// An entry of `users`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedUser {
    /// What contexts call it.
    pub name: String,
    /// The user.
    pub user: User,
}

/// An identity: inline certificate, token, or a command that gives one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct User {
    /// base64 of PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_data: Option<String>,
    /// base64 of PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key_data: Option<String>,
    /// A bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A credential command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Exec>,
}

/// A credential command, as `client.authentication.k8s.io` defines it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    /// The version of the protocol.
    pub api_version: String,
    /// The program.
    pub command: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment: objects with name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Value>,
    /// What is said when the command is not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_hint: Option<String>,
    /// `Never`: it asks nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interactive_mode: Option<String>,
}

/// An entry of `contexts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedContext {
    /// What `--context` takes.
    pub name: String,
    /// The context.
    pub context: Context,
}

/// A pair of cluster and user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// An entry of `clusters`.
    pub cluster: String,
    /// An entry of `users`.
    pub user: String,
    /// The default namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What [`Kubeconfig::for_cluster`] needs to know.
pub struct Parts<'a> {
    /// The name of the cluster: the current context.
    pub name: &'a str,
    /// The cluster authority's certificate, PEM.
    pub authority_pem: &'a [u8],
    /// The administrator's certificate, PEM.
    pub certificate_pem: &'a [u8],
    /// The administrator's key, PEM.
    pub key_pem: &'a [u8],
    /// The loopback port of `kontiki proxy`.
    pub proxy_port: u16,
    /// The program kubectl runs for a credential, with its arguments.
    pub credential: (&'a str, &'a [String]),
    /// Name and `https://address:port` of each master.
    pub masters: &'a [(String, String)],
}

/// What the current context resolves to, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `https://host:port`.
    pub server: String,
    /// The authority, PEM.
    pub authority_pem: Vec<u8>,
    /// Certificate and key, PEM, when inline.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Kubeconfig {
    /// The current context goes through the proxy on the loopback, which finds a living master; one more context per
    /// master goes straight there.
    pub fn for_cluster(parts: &Parts<'_>) -> Self {
        let base64 = |pem: &[u8]| Some(BASE64_STANDARD.encode(pem));
        let cluster = |name: String, server: String| NamedCluster {
            name,
            cluster: Cluster {
                server,
                certificate_authority_data: base64(parts.authority_pem),
                tls_server_name: Some(SERVER_NAME.to_owned()),
            },
        };
        let context = |name: String, user: &str| NamedContext {
            context: Context { cluster: name.clone(), user: user.to_owned(), namespace: None },
            name,
        };
        let (command, args) = parts.credential;
        let exec = Exec {
            api_version: "client.authentication.k8s.io/v1beta1".into(),
            command: command.to_owned(),
            args: args.to_vec(),
            interactive_mode: Some("Never".into()),
            ..Exec::default()
        };
        let admin = format!("{}-admin", parts.name);
        let inline = format!("{}-admin-certificate", parts.name);
        let identity = User {
            client_certificate_data: base64(parts.certificate_pem),
            client_key_data: base64(parts.key_pem),
            ..User::default()
        };
        let mut clusters = vec![cluster(parts.name.to_owned(), format!("https://127.0.0.1:{}", parts.proxy_port))];
        let mut contexts = vec![context(parts.name.to_owned(), &admin)];
        for (master, url) in parts.masters {
            let name = format!("{}-{master}", parts.name);
            clusters.push(cluster(name.clone(), url.clone()));
            contexts.push(context(name, &inline));
        }
        Self {
            api_version: v1(),
            kind: config(),
            clusters,
            users: vec![
                NamedUser { name: admin, user: User { exec: Some(exec), ..User::default() } },
                NamedUser { name: inline, user: identity },
            ],
            contexts,
            current_context: parts.name.to_owned(),
        }
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            verb: "read",
            source,
        })?;
        serde_saphyr::from_str(&text)
            .map_err(|error| Error::Syntax { path: path.to_owned(), reason: error.to_string() })
    }

    /// Writes a file whole or not at all, readable by its owner only: it holds a key.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = self.to_yaml().map_err(|reason| Error::Syntax { path: path.to_owned(), reason })?;
        write_private(path, text.as_bytes()).map_err(|source| Error::Io {
            path: path.to_owned(),
            verb: "written",
            source,
        })
    }

    /// The text of the file.
    pub fn to_yaml(&self) -> Result<String, String> {
        serde_saphyr::to_string(self).map_err(|error| error.to_string())
    }

    /// What a context (the current one when `None`) resolves to.
    pub fn access(&self, context: Option<&str>) -> Result<Access, Error> {
        let name = context.unwrap_or(&self.current_context);
        let missing = |what, name: &str| Error::Missing { what, name: name.to_owned() };
        let context =
            self.contexts.iter().find(|context| context.name == name).ok_or_else(|| missing("context", name))?;
        let (cluster, user) = (&context.context.cluster, &context.context.user);
        let cluster =
            self.clusters.iter().find(|entry| entry.name == *cluster).ok_or_else(|| missing("cluster", cluster))?;
        let user = self.users.iter().find(|entry| entry.name == *user).ok_or_else(|| missing("user", user))?;
        let decode = |field, data: &str| BASE64_STANDARD.decode(data.trim()).map_err(|_| Error::Base64 { field });
        let authority = cluster.cluster.certificate_authority_data.as_deref().unwrap_or_default();
        let identity = match (&user.user.client_certificate_data, &user.user.client_key_data) {
            (Some(certificate), Some(key)) => {
                Some((decode("client-certificate-data", certificate)?, decode("client-key-data", key)?))
            }
            _ => None,
        };
        Ok(Access {
            server: cluster.cluster.server.clone(),
            authority_pem: decode("certificate-authority-data", authority)?,
            identity,
        })
    }

    /// Every context with an inline certificate: the masters themselves, without the proxy.
    pub fn masters(&self) -> Vec<Access> {
        let accesses = self.contexts.iter().filter_map(|context| self.access(Some(&context.name)).ok());
        accesses.filter(|access| access.identity.is_some()).collect()
    }
}

fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Kubeconfig {
        Kubeconfig::for_cluster(&Parts {
            name: "kontiki",
            authority_pem: b"authority",
            certificate_pem: b"certificate",
            key_pem: b"key",
            proxy_port: 7443,
            credential: ("/usr/bin/kontiki", &["credential".to_owned()]),
            masters: &[("m1".to_owned(), "https://10.0.0.1:6443".to_owned())],
        })
    }

    #[test]
    fn what_is_written_is_read_back_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        example().write(&path).unwrap();
        assert_eq!(Kubeconfig::read(&path).unwrap(), example());
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_current_context_is_the_proxy_and_each_master_has_its_own() {
        let kubeconfig = example();
        let proxied = kubeconfig.access(None).unwrap();
        assert_eq!((proxied.server.as_str(), proxied.identity), ("https://127.0.0.1:7443", None));
        let masters = kubeconfig.masters();
        assert_eq!(masters.len(), 1);
        assert_eq!(masters[0].server, "https://10.0.0.1:6443");
        assert_eq!(masters[0].identity, Some((b"certificate".to_vec(), b"key".to_vec())));
    }

    #[test]
    fn a_missing_context_is_named() {
        assert_eq!(
            example().access(Some("other")).unwrap_err().to_string(),
            "the kubeconfig has no context named \"other\": choose one with `kubectl config use-context`"
        );
    }
}

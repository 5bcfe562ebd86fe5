//! The configuration of an image: how it runs, and of which layers it consists.

use serde::Deserialize;

use super::{Error, ImageConfig, digest::Digest};

/// No real configuration comes near.
pub(super) const CONFIG_MAX: usize = 8 * 1024 * 1024;

/// A parsed configuration with its bytes.
#[derive(Debug, Clone)]
pub(super) struct Configuration {
    pub(super) id: Digest,
    pub(super) bytes: Vec<u8>,
    pub(super) config: ImageConfig,
    /// Digests of the unpacked layers, lowest first.
    pub(super) layers: Vec<Digest>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    config: Option<RunConfig>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<Digest>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RunConfig {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    stop_signal: Option<String>,
}

/// This node's architecture as images name it.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl Configuration {
    pub(super) fn parse(image: &str, bytes: Vec<u8>) -> Result<Self, Error> {
        let document: Document = serde_json::from_slice(&bytes)
            .map_err(|error| Error::broken(image, format!("its configuration cannot be read: {error}")))?;
        let fits = |wanted: &str, own: &str| wanted.is_empty() || wanted == own;
        if !fits(&document.os, "linux") || !fits(&document.architecture, architecture()) {
            let (os, other) = (document.os, document.architecture);
            let text = format!("it is for {os}/{other}, this node is linux/{}", architecture());
            return Err(Error::broken(image, text));
        }
        let run = document.config.unwrap_or_default();
        let config = ImageConfig {
            entrypoint: run.entrypoint.unwrap_or_default(),
            cmd: run.cmd.unwrap_or_default(),
            env: run.env.unwrap_or_default(),
            working_dir: run.working_dir.unwrap_or_default(),
            user: run.user.unwrap_or_default(),
            stop_signal: run.stop_signal.filter(|signal| !signal.is_empty()),
        };
        let layers = document.rootfs.diff_ids.unwrap_or_default();
        if layers.is_empty() {
            return Err(Error::broken(image, "it has no layers"));
        }
        Ok(Self { id: Digest::of(&bytes), bytes, config, layers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(config: &str) -> Result<Configuration, Error> {
        let diff = Digest::of(b"x");
        let text = format!(r#"{{{config}"rootfs":{{"type":"layers","diff_ids":["{diff}"]}}}}"#);
        Configuration::parse("image", text.into_bytes())
    }

    #[test]
    fn null_and_missing_are_the_same() {
        let parsed = parse(r#""config":{"Cmd":["a"],"Entrypoint":null,"WorkingDir":"/w","StopSignal":""},"#).unwrap();
        assert_eq!((parsed.config.cmd, parsed.config.working_dir), (vec!["a".to_owned()], "/w".to_owned()));
        assert_eq!((parsed.config.entrypoint.len(), parsed.config.stop_signal), (0, None));
        assert!(parse("").is_ok());
    }

    #[test]
    fn other_platforms_are_refused_by_name() {
        let error = parse(r#""os":"windows","architecture":"amd64","#).unwrap_err();
        assert!(error.to_string().contains("windows/amd64"), "{error}");
        assert!(parse(r#""os":"linux","architecture":"s390x","#).is_err());
    }
}

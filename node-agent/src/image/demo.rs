//! The demo image, `kontiki.io/demo:1` and `:2`: one static program, there on every node without a network.

use super::{
    Error,
    config::{Configuration, architecture},
    digest::Digest,
    store::Store,
};

static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/demo"));
const VERSIONS: [&str; 2] = ["1", "2"];
const REPOSITORY: &str = "kontiki.io/demo";

/// Whether this reference is the demo image, which needs no registry and is never collected.
pub(super) fn is_demo(reference: &str) -> bool {
    VERSIONS.iter().any(|version| reference == format!("{REPOSITORY}:{version}"))
}

/// Puts the demo image into the store.
pub(super) fn add(store: &Store) -> Result<(), Error> {
    let broken = |error: std::io::Error| Error::broken(REPOSITORY, error);
    let layer = layer().map_err(broken)?;
    let diff = Digest::of(&layer);
    for version in VERSIONS {
        let reference = format!("{REPOSITORY}:{version}");
        let configuration = Configuration::parse(&reference, configuration(version, &diff))?;
        let _pins = store.pin(&configuration.layers);
        store.unpack(layer.as_slice(), &diff, &diff).map_err(broken)?;
        if store.get(&reference)?.is_none_or(|image| image.id != configuration.id.to_string()) {
            store.commit(&reference, &configuration, None)?;
        }
    }
    Ok(())
}

fn configuration(version: &str, diff: &Digest) -> Vec<u8> {
    let document = serde_json::json!({
        "os": "linux",
        "architecture": architecture(),
        "config": {
            "Entrypoint": ["/demo"],
            "Env": ["PATH=/", format!("DEMO_VERSION={version}")],
            "ExposedPorts": {"8080/tcp": {}},
            "User": "65532:65532",
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    });
    document.to_string().into_bytes()
}

/// The same bytes each time, so that the image has the same digest on every node.
fn layer() -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content)
    };
    add("etc/", tar::EntryType::Directory, 0o755, b"")?;
    add(
        "etc/passwd",
        tar::EntryType::Regular,
        0o644,
        b"root:x:0:0:root:/root:/demo\nnonroot:x:65532:65532::/tmp:/demo\n",
    )?;
    add("etc/group", tar::EntryType::Regular, 0o644, b"root:x:0:\nnonroot:x:65532:\n")?;
    add("tmp/", tar::EntryType::Directory, 0o1777, b"")?;
    add("demo", tar::EntryType::Regular, 0o755, PROGRAM)?;
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_the_same_everywhere_and_its_versions_differ() {
        let diff = Digest::of(&layer().unwrap());
        assert_eq!(diff, Digest::of(&layer().unwrap()));
        assert_ne!(configuration("1", &diff), configuration("2", &diff));
        assert!(is_demo("kontiki.io/demo:1") && !is_demo("kontiki.io/demo:3"));
    }
}

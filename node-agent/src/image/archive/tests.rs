use std::io::Write;

use super::*;

fn tar_of(files: &[(&str, &[u8])], links: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    for (path, target) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, path, target).unwrap();
    }
    builder.into_inner().unwrap()
}

fn config_of(layer: &[u8]) -> Vec<u8> {
    let diff = Digest::of(layer);
    format!(r#"{{"os":"linux","config":{{"Cmd":["/x"]}},"rootfs":{{"type":"layers","diff_ids":["{diff}"]}}}}"#)
        .into_bytes()
}

fn check(archive: &[u8]) -> Result<Vec<String>, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.tar");
    std::fs::write(&path, archive).unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let references = import(&store, &path)?;
    for reference in &references {
        let image = store.get(reference).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(image.layers[0].join("hello")).unwrap(), "world");
    }
    assert_eq!(std::fs::read_dir(dir.path().join("store/tmp")).unwrap().count(), 0, "work in progress is cleared");
    Ok(references)
}

fn docker_archive() -> Vec<u8> {
    let layer = tar_of(&[("hello", b"world")], &[]);
    let config = config_of(&layer);
    let manifest = br#"[{"Config":"c.json","RepoTags":["test/a:1","b"],"Layers":["old/layer.tar"]}]"#;
    let files: [(&str, &[u8]); 3] = [("l.tar", &layer), ("c.json", &config), ("manifest.json", manifest)];
    tar_of(&files, &[("old/layer.tar", "../l.tar")])
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn docker_archives_give_all_their_names_packed_or_not() {
    if !is_root() {
        return;
    }
    let names = ["docker.io/test/a:1", "docker.io/library/b:latest"];
    let plain = docker_archive();
    assert_eq!(check(&plain).unwrap(), names);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    assert_eq!(check(&gzip.finish().unwrap()).unwrap(), names);
    assert_eq!(check(&zstd::bulk::compress(&plain, 1).unwrap()).unwrap(), names);
}

#[test]
fn oci_layouts_give_the_image_of_this_platform() {
    if !is_root() {
        return;
    }
    let layer = tar_of(&[("hello", b"world")], &[]);
    let config = config_of(&layer);
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let (layer_digest, config_digest) = (Digest::of(&layer), Digest::of(&config));
    let manifest =
        format!(r#"{{"config":{{"digest":"{config_digest}"}},"layers":[{{"digest":"{layer_digest}"}}]}}"#).into_bytes();
    let (other, own) = (Digest::of(b"other"), Digest::of(&manifest));
    let platform = |architecture: &str| format!(r#"{{"os":"linux","architecture":"{architecture}"}}"#);
    let list = format!(
        r#"{{"manifests":[{{"digest":"{other}","platform":{}}},{{"digest":"{own}","platform":{}}}]}}"#,
        platform("s390x"),
        platform(architecture())
    )
    .into_bytes();
    let index = format!(
        r#"{{"manifests":[{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{}",
            "annotations":{{"org.opencontainers.image.ref.name":"reg.example/x:2"}}}}]}}"#,
        Digest::of(&list)
    );
    let archive = |layer_bytes: &[u8]| {
        let files: [(&str, &[u8]); 5] = [
            ("index.json", index.as_bytes()),
            (&blob(&list), &list),
            (&blob(&manifest), &manifest),
            (&blob(&config), &config),
            (&blob(&layer), layer_bytes),
        ];
        tar_of(&files, &[])
    };
    assert_eq!(check(&archive(&layer)).unwrap(), ["reg.example/x:2"]);
    assert!(check(&archive(b"changed")).unwrap_err().to_string().contains("the content is"));
}

#[test]
fn broken_archives_say_what_is_wrong() {
    let nameless = tar_of(&[("manifest.json", br#"[{"Config":"c","RepoTags":null,"Layers":[]}]"#)], &[]);
    let missing = tar_of(&[("manifest.json", br#"[{"Config":"c","RepoTags":["a"],"Layers":[]}]"#)], &[]);
    let loops =
        tar_of(&[("manifest.json", br#"[{"Config":"l","RepoTags":["a"],"Layers":[]}]"#)], &[("l", "m"), ("m", "l")]);
    for (archive, expect) in [
        (tar_of(&[("x", b"y")], &[]), "neither manifest.json"),
        (nameless, "without a name"),
        (missing, "c is missing"),
        (loops, "l is missing"),
        (vec![7; 2000], "tar archive"),
    ] {
        let error = check(&archive).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

use std::{
    fs,
    io::Write,
    os::unix::fs::{FileTypeExt, MetadataExt},
};

use super::*;

/// A layer from (path, type, mode, content or link target).
fn archive(entries: &[(&str, EntryType, u32, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, mode, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_mtime(1_000_000_000);
        header.set_uid(12);
        header.set_gid(34);
        // By hand, since the builder refuses the paths that attackers use.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.as_gnu_mut().unwrap().linkname[..content.len()].copy_from_slice(content.as_bytes());
            header.set_size(0);
        } else {
            header.set_size(content.len() as u64);
        }
        if *kind == EntryType::Char {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        let body = if header.size().unwrap() == 0 { &[] } else { content.as_bytes() };
        builder.append(&header, body).unwrap();
    }
    builder.into_inner().unwrap()
}

fn unpack(bytes: &[u8]) -> (tempfile::TempDir, io::Result<u64>) {
    let dir = tempfile::tempdir().unwrap();
    let result = layer(bytes, dir.path(), &Digest::of(bytes));
    (dir, result)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn files_keep_what_the_archive_says_of_them() {
    if !is_root() {
        return;
    }
    let (dir, size) = unpack(&archive(&[
        ("./", EntryType::Directory, 0o711, ""),
        ("./bin/", EntryType::Directory, 0o755, ""),
        ("./bin/su", EntryType::Regular, 0o4755, "abc"),
        ("./bin/su2", EntryType::Link, 0o755, "bin/su"),
        ("./lib/deep/x", EntryType::Symlink, 0o777, "/elsewhere"),
        ("./dev/null", EntryType::Char, 0o666, ""),
        ("./pipe", EntryType::Fifo, 0o600, ""),
    ]));
    assert_eq!(size.unwrap(), 3);
    let status = |path: &str| fs::symlink_metadata(dir.path().join(path)).unwrap();
    let program = status("bin/su");
    assert_eq!(
        (program.mode() & 0o7777, program.uid(), program.gid(), program.mtime()),
        (0o4755, 12, 34, 1_000_000_000)
    );
    assert_eq!(status("bin/su2").ino(), program.ino());
    assert_eq!(status("bin").mtime(), 1_000_000_000);
    assert_eq!(status("").mode() & 0o7777, 0o711);
    assert_eq!(fs::read_link(dir.path().join("lib/deep/x")).unwrap(), Path::new("/elsewhere"));
    assert!(status("dev/null").file_type().is_char_device());
    assert_eq!(status("dev/null").rdev(), rustix::fs::makedev(1, 3));
    assert!(status("pipe").file_type().is_fifo());
}

#[test]
fn whiteouts_become_what_overlayfs_reads() {
    if !is_root() {
        return;
    }
    let (dir, result) = unpack(&archive(&[
        ("etc/.wh.passwd", EntryType::Regular, 0o644, ""),
        ("var/.wh..wh..opq", EntryType::Regular, 0o644, ""),
    ]));
    result.unwrap();
    let gone = fs::symlink_metadata(dir.path().join("etc/passwd")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(dir.path().join("var"), "trusted.overlay.opaque", &mut value).unwrap();
    assert_eq!(&value[..length], b"y");
    assert!(!dir.path().join("var/.wh..wh..opq").exists());
}

#[test]
fn nothing_is_written_outside_the_layer() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let (dir, result) =
        unpack(&archive(&[("link", EntryType::Symlink, 0o777, target), ("link/file", EntryType::Regular, 0o644, "x")]));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{result:?}");
    drop(dir);
    for path in ["../x", "a/../../x"] {
        let (_dir, result) = unpack(&archive(&[(path, EntryType::Regular, 0o644, "x")]));
        assert!(result.unwrap_err().to_string().contains("leads out"), "{path}");
    }
    let (_dir, result) = unpack(&archive(&[("hard", EntryType::Link, 0o644, "../../etc/passwd")]));
    assert!(result.is_err());
}

#[test]
fn any_packing_is_understood_and_the_content_verified() {
    if !is_root() {
        return;
    }
    let plain = archive(&[("f", EntryType::Regular, 0o644, "hello")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let packed = [plain.clone(), gzip.finish().unwrap(), zstd::bulk::compress(&plain, 1).unwrap()];
    for bytes in packed {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(layer(bytes.as_slice(), dir.path(), &Digest::of(&plain)).unwrap(), 5);
        let dir = tempfile::tempdir().unwrap();
        assert!(layer(bytes.as_slice(), dir.path(), &Digest::of(b"other")).is_err());
    }
}

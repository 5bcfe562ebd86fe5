//! Content that changes all at once. Readers follow links: `key -> ..data/key`, `..data -> ..<time>`; a change writes a
//! new timestamped directory and swaps `..data` by a rename.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use super::payload::{File, Payload};

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// Brings the volume at `target` to `payload`; does nothing when it is there already. With `fs_group` the files belong
/// to that group and are readable by it.
pub(super) fn write(target: &Path, payload: &Payload, fs_group: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(target)?;
    let present = fs::read_link(target.join(DATA)).ok();
    if present.as_ref().is_some_and(|directory| is_same(&target.join(directory), payload)) {
        return Ok(());
    }
    let name = jiff::Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.%N").to_string();
    let version = target.join(&name);
    fs::create_dir(&version)?;
    set_directory(target, fs_group)?;
    set_directory(&version, fs_group)?;
    for (path, file) in payload {
        write_file(&version, path, file, fs_group)?;
    }
    crate::files::remove_all(&target.join(NEW_DATA))?;
    symlink(&name, target.join(NEW_DATA))?;
    fs::rename(target.join(NEW_DATA), target.join(DATA))?;
    link_top_level(target, payload)?;
    if let Some(old) = present {
        crate::files::remove_all(&target.join(old))?;
    }
    Ok(())
}

fn set_directory(path: &Path, fs_group: Option<u32>) -> io::Result<()> {
    let mut mode = 0o755;
    if let Some(group) = fs_group {
        chown(path, None, Some(group))?;
        mode = 0o2775;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn write_file(version: &Path, path: &str, file: &File, fs_group: Option<u32>) -> io::Result<()> {
    let full = version.join(path);
    let mut directory = version.to_owned();
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in parts {
        directory.push(part);
        if !directory.exists() {
            fs::create_dir(&directory)?;
            set_directory(&directory, fs_group)?;
        }
    }
    fs::write(&full, &file.content)?;
    let mut mode = file.mode;
    if let Some(group) = fs_group {
        chown(&full, None, Some(group))?;
        mode |= 0o440;
    }
    fs::set_permissions(&full, fs::Permissions::from_mode(mode))
}

/// Makes the links of new top-level entries and removes those of vanished ones.
fn link_top_level(target: &Path, payload: &Payload) -> io::Result<()> {
    let wanted: BTreeSet<&str> = payload.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &wanted {
        let link = target.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), link)?;
        }
    }
    for entry in fs::read_dir(target)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with("..") && !wanted.contains(name) && entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_same(version: &Path, payload: &Payload) -> bool {
    let mut files = 0;
    let mut pending = vec![version.to_owned()];
    while let Some(directory) = pending.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { return false };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { return false };
            match kind.is_dir() {
                true => pending.push(entry.path()),
                false => files += 1,
            }
        }
    }
    files == payload.len()
        && payload.iter().all(|(path, file)| fs::read(version.join(path)).is_ok_and(|content| content == file.content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |content: &str| File { content: content.as_bytes().to_vec(), mode: 0o640 };
        files.iter().map(|(path, content)| ((*path).to_owned(), file(content))).collect()
    }

    #[test]
    fn swaps_all_files_at_once_and_cleans_up() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("volume");
        write(&target, &payload(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "1");
        assert_eq!(fs::read_to_string(target.join("sub/b")).unwrap(), "2");
        assert_eq!(fs::read_link(target.join("a")).unwrap(), Path::new("..data/a"));
        assert_eq!(fs::metadata(target.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        let first = fs::read_link(target.join(DATA)).unwrap();

        write(&target, &payload(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        assert_eq!(fs::read_link(target.join(DATA)).unwrap(), first, "nothing changed, nothing is written");

        write(&target, &payload(&[("a", "3"), ("c", "4")]), None).unwrap();
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "3");
        assert_eq!(fs::read_to_string(target.join("c")).unwrap(), "4");
        assert!(fs::symlink_metadata(target.join("sub")).is_err(), "the link of a vanished entry is gone");
        assert!(!target.join(first).exists(), "the old version is gone");
    }

    #[test]
    fn the_group_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = payload(&[("a", "1")]);
        files.get_mut("a").unwrap().mode = 0o400;
        write(dir.path(), &files, Some(1234)).unwrap();
        let metadata = fs::metadata(dir.path().join("a")).unwrap();
        assert_eq!((metadata.gid(), metadata.permissions().mode() & 0o777), (1234, 0o440));
    }
}

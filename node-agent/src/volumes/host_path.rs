//! `hostPath`: a path of the node, checked against the type the pod expects.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::PathBuf;

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::VolumeError;

pub(super) fn set_up(source: &HostPathVolumeSource) -> Result<PathBuf, VolumeError> {
    let path = PathBuf::from(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    match kind {
        "DirectoryOrCreate" if !path.exists() => {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(&path).map_err(VolumeError::io(&path))?;
        }
        "FileOrCreate" if !path.exists() => {
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o644).open(&path).map_err(VolumeError::io(&path))?;
        }
        _ => {}
    }
    let Ok(metadata) = fs::metadata(&path) else {
        return Err(VolumeError::Unmet(format!("hostPath type check failed: {} does not exist", source.path)));
    };
    let found = metadata.file_type();
    let fits = match kind {
        "" => true,
        "Directory" | "DirectoryOrCreate" => found.is_dir(),
        "File" | "FileOrCreate" => found.is_file(),
        "Socket" => found.is_socket(),
        "CharDevice" => found.is_char_device(),
        "BlockDevice" => found.is_block_device(),
        other => return Err(VolumeError::Unmet(format!("unknown hostPath type {other:?}"))),
    };
    if fits {
        return Ok(path);
    }
    Err(VolumeError::Unmet(format!("hostPath type check failed: {} is not a {kind}", source.path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_and_made() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str, kind: &str| HostPathVolumeSource {
            path: dir.path().join(name).display().to_string(),
            type_: Some(kind.to_owned()),
        };
        assert!(set_up(&of("a", "Directory")).is_err());
        assert!(set_up(&of("a", "DirectoryOrCreate")).is_ok());
        assert!(set_up(&of("a", "Directory")).is_ok());
        assert!(set_up(&of("a", "File")).is_err());
        assert!(set_up(&of("f", "FileOrCreate")).is_ok());
        assert!(set_up(&of("none", "")).is_err());
        assert!(set_up(&of("a", "Socket")).is_err());
    }
}

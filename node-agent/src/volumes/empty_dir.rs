//! `emptyDir`: a directory that lives as long as the pod, on disk or in memory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::EmptyDirVolumeSource;

use super::{VolumeError, tmpfs};

pub(super) fn set_up(source: &EmptyDirVolumeSource, target: &Path, fs_group: Option<u32>) -> Result<(), VolumeError> {
    let failed = || VolumeError::io(target);
    let is_new = !target.exists();
    fs::create_dir_all(target).map_err(failed())?;
    match source.medium.as_deref().unwrap_or_default() {
        "" => {}
        "Memory" => {
            let size = source.size_limit.as_ref().and_then(|limit| limit.0.parse::<Quantity>().ok());
            let size = size.and_then(|size| u64::try_from(size.value()).ok()).filter(|size| *size > 0);
            tmpfs::mount(target, size).map_err(failed())?;
        }
        other => {
            let message = format!("emptyDir medium {other:?} is not supported on this node: use \"\" or \"Memory\"");
            return Err(VolumeError::Unmet(message));
        }
    }
    // A restart of the agent leaves what containers made of it.
    if is_new {
        let mut mode = 0o777;
        if let Some(group) = fs_group {
            std::os::unix::fs::chown(target, None, Some(group)).map_err(failed())?;
            mode |= 0o2000;
        }
        fs::set_permissions(target, fs::Permissions::from_mode(mode)).map_err(failed())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn anyone_may_write_and_the_group_is_inherited() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("scratch");
        set_up(&EmptyDirVolumeSource::default(), &target, Some(77)).unwrap();
        let metadata = fs::metadata(&target).unwrap();
        assert_eq!((metadata.gid(), metadata.permissions().mode() & 0o7777), (77, 0o2777));
        fs::write(target.join("kept"), "").unwrap();
        set_up(&EmptyDirVolumeSource::default(), &target, Some(77)).unwrap();
        assert!(target.join("kept").exists());
        let odd = EmptyDirVolumeSource { medium: Some("HugePages".into()), ..EmptyDirVolumeSource::default() };
        assert!(set_up(&odd, &target, None).is_err());
    }
}

//! Which CPUs a group may use.

use std::{fs, path::Path};

use super::{Error, Setting};
use crate::runtime::Resources;

pub(super) fn settings(resources: &Resources) -> Vec<Setting> {
    resources.cpus.as_ref().map(|cpus| ("cpuset.cpus", cpus.clone())).into_iter().collect()
}

/// A new v1 group has no CPU and no memory node, and takes no process until it has both: copy the parent's, top down.
pub(super) fn inherit(mount: &Path, group: &Path) -> Result<(), Error> {
    let mut folder = mount.to_owned();
    for part in group.components() {
        let parent = folder.clone();
        folder.push(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let own = folder.join(file);
            let value = fs::read_to_string(&own).map_err(Error::at(&own))?;
            if value.trim().is_empty() {
                let inherited = fs::read(parent.join(file)).map_err(Error::at(parent.join(file)))?;
                fs::write(&own, inherited).map_err(Error::at(own))?;
            }
        }
    }
    Ok(())
}

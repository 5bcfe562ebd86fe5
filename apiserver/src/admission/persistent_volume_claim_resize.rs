//! PersistentVolumeClaimResize: a claim grows only if its class says that volumes can.

use api::{
    Object,
    status::{Grouped, Status},
};

use super::{Change, Operation};
use crate::{amounts, error::Result};

pub(super) async fn admit(change: &Change<'_>, claim: &Object) -> Result<()> {
    let (true, Operation::Update, Some(old)) = (change.is("", "persistentvolumeclaims"), change.operation, change.old)
    else {
        return Ok(());
    };
    let size = |claim: &Object| amounts::amounts(claim.at("spec.resources.requests")).get("storage").copied();
    if size(claim) <= size(old) {
        return Ok(());
    }
    let refuse =
        |why: &str| Err(Status::forbidden(Grouped::new("", "persistentvolumeclaims"), claim.name(), why).into());
    if old.str_at("status.phase") != "Bound" {
        return refuse("Only bound persistent volume claims can be expanded");
    }
    let class = claim.str_at("spec.storageClassName");
    let grows = match class {
        "" => false,
        class if class != old.str_at("spec.storageClassName") => false,
        class => {
            let class = change.find("storage.k8s.io", "storageclasses", "", class).await?;
            class.is_some_and(|class| class["allowVolumeExpansion"] == true)
        }
    };
    if grows {
        return Ok(());
    }
    refuse(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
}

//! ServiceAccount: every pod runs as an account of its namespace, whose token and root certificate are mounted.

use api::{
    Node, Object, Struct,
    status::{Grouped, Status},
};

use super::{Change, Operation};
use crate::error::{Error, Result};

const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const TOKEN_SECONDS: i64 = 3607;
const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) async fn admit(change: &Change<'_>, pod: &mut Object) -> Result<()> {
    if !change.is("", "pods") || change.operation != Operation::Create || pod.annotation(MIRROR).is_some() {
        return Ok(());
    }
    if pod.str_at("spec.serviceAccountName").is_empty() {
        pod.set("spec.serviceAccountName", "default");
    }
    let name = pod.str_at("spec.serviceAccountName").to_owned();
    pod.set("spec.serviceAccount", name.as_str());
    let account = account(change, &name).await?;
    let wanted = pod
        .body
        .bool_at("spec.automountServiceAccountToken")
        .or_else(|| account["automountServiceAccountToken"].as_bool())
        .unwrap_or(true);
    if wanted {
        mount(pod, &format!("kube-api-access-{}", crate::random::suffix(&change.config.surroundings)));
    }
    if pod.body.items_at("spec.imagePullSecrets").is_empty() {
        for secret in account["imagePullSecrets"].as_array().into_iter().flatten() {
            let Some(mut reference) = pod.body.struct_at("spec").new_item("imagePullSecrets") else { break };
            reference.set("name", secret["name"].as_str().unwrap_or_default());
            pod.body.list_at("spec.imagePullSecrets").push(Node::Struct(reference));
        }
    }
    Ok(())
}

/// The account, as JSON; a pod may come a moment after its namespace, so absence is believed only after a barrier.
async fn account(change: &Change<'_>, name: &str) -> Result<serde_json::Value> {
    let read = || change.storage.local_json("", "serviceaccounts", change.namespace, name);
    if let Some(account) = read() {
        return Ok(account);
    }
    change.storage.barrier().await?;
    read().ok_or_else(|| {
        let place = format!("{}/{name}", change.namespace);
        let why = format!("error looking up service account {place}: serviceaccount \"{name}\" not found");
        Error::from(Status::forbidden(Grouped::new("", "pods"), change.name, &why))
    })
}

/// Mounts token, root certificate and namespace where every client library looks for them.
fn mount(pod: &mut Object, volume: &str) {
    let is_mounted =
        |container: &Node| container.items_at("volumeMounts").iter().any(|mount| mount.str_at("mountPath") == MOUNT);
    let mut used = false;
    for list in ["spec.initContainers", "spec.containers"] {
        if pod.body.items_at(list).is_empty() {
            continue;
        }
        for container in pod.body.list_at(list) {
            if is_mounted(container) {
                continue;
            }
            let Some(container) = container.as_struct_mut() else { continue };
            let Some(mut mount) = container.new_item("volumeMounts") else { continue };
            mount.set("name", volume);
            mount.set("readOnly", true);
            mount.set("mountPath", MOUNT);
            container.list_at("volumeMounts").push(Node::Struct(mount));
            used = true;
        }
    }
    if used && let Some(entry) = token_volume(pod, volume) {
        pod.body.list_at("spec.volumes").push(Node::Struct(entry));
    }
}

fn token_volume(pod: &mut Object, name: &str) -> Option<Struct> {
    let mut volume = pod.body.struct_at("spec").new_item("volumes")?;
    volume.set("name", name);
    volume.set("projected.defaultMode", 0o644_i64);
    let projected = volume.struct_at("projected");
    let mut token = projected.new_item("sources")?;
    token.set("serviceAccountToken.expirationSeconds", TOKEN_SECONDS);
    token.set("serviceAccountToken.path", "token");
    let mut root = projected.new_item("sources")?;
    root.set("configMap.name", "kube-root-ca.crt");
    let mut item = root.struct_at("configMap").new_item("items")?;
    item.set("key", "ca.crt");
    item.set("path", "ca.crt");
    root.list_at("configMap.items").push(Node::Struct(item));
    let mut namespace = projected.new_item("sources")?;
    let mut item = namespace.struct_at("downwardAPI").new_item("items")?;
    item.set("path", "namespace");
    item.set("fieldRef.apiVersion", "v1");
    item.set("fieldRef.fieldPath", "metadata.namespace");
    namespace.list_at("downwardAPI.items").push(Node::Struct(item));
    projected.list_at("sources").extend([token, root, namespace].map(Node::Struct));
    Some(volume)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Object {
        let mut pod = Object::of("v1", "Pod").unwrap();
        let mut container = pod.body.struct_at("spec").new_item("containers").unwrap();
        container.set("name", "a");
        pod.body.list_at("spec.containers").push(Node::Struct(container));
        pod
    }

    #[test]
    fn the_token_is_mounted_once_in_every_container() {
        let mut pod = pod();
        mount(&mut pod, "kube-api-access-x");
        mount(&mut pod, "kube-api-access-y");
        let mounts = pod.body.items_at("spec.containers")[0].items_at("volumeMounts");
        assert_eq!(mounts.len(), 1);
        assert_eq!((mounts[0].str_at("name"), mounts[0].str_at("mountPath")), ("kube-api-access-x", MOUNT));
        let volumes = pod.body.items_at("spec.volumes");
        assert_eq!(volumes.len(), 1);
        assert_eq!(volumes[0].items_at("projected.sources").len(), 3);
    }
}

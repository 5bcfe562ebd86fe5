//! The files of a volume as data: path to content and mode.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret};

use super::VolumeError;
use crate::pod::field_ref::{self, Facts};

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
}

/// The files of a volume by relative path.
pub(crate) type Payload = BTreeMap<String, File>;

pub(super) fn config_map(
    map: Option<&ConfigMap>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
) -> Result<Payload, VolumeError> {
    let text = map.and_then(|map| map.data.as_ref()).into_iter().flatten();
    let binary = map.and_then(|map| map.binary_data.as_ref()).into_iter().flatten();
    let mut entries: BTreeMap<&str, &[u8]> = text.map(|(key, value)| (key.as_str(), value.as_bytes())).collect();
    entries.extend(binary.map(|(key, value)| (key.as_str(), value.0.as_slice())));
    select(&entries, items, mode, optional, "configmap references non-existent config key")
}

pub(super) fn secret(
    secret: Option<&Secret>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
) -> Result<Payload, VolumeError> {
    let data = secret.and_then(|secret| secret.data.as_ref()).into_iter().flatten();
    let entries = data.map(|(key, value)| (key.as_str(), value.0.as_slice())).collect();
    select(&entries, items, mode, optional, "references non-existent secret key")
}

pub(super) fn downward_api(
    pod: &Pod,
    facts: &Facts,
    items: Option<&[DownwardAPIVolumeFile]>,
    mode: i32,
) -> Result<Payload, VolumeError> {
    let mut payload = Payload::new();
    for item in items.unwrap_or_default() {
        let value = if let Some(reference) = &item.field_ref {
            field_ref::field(pod, facts, &reference.field_path)
        } else if let Some(reference) = &item.resource_field_ref {
            let name = reference.container_name.as_deref().unwrap_or_default();
            let container = crate::pod::container(pod, name)
                .ok_or_else(|| VolumeError::Unmet(format!("resourceFieldRef names no container {name:?}")))?;
            field_ref::resource(container, facts, reference)
        } else {
            continue;
        };
        let content = value.map_err(|error| VolumeError::Unmet(error.to_string()))?.into_bytes();
        add(&mut payload, &item.path, content, item.mode.unwrap_or(mode))?;
    }
    Ok(payload)
}

fn select(
    entries: &BTreeMap<&str, &[u8]>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
    missing: &str,
) -> Result<Payload, VolumeError> {
    let mut payload = Payload::new();
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        for (key, value) in entries {
            add(&mut payload, key, value.to_vec(), mode)?;
        }
        return Ok(payload);
    };
    for item in items {
        match entries.get(item.key.as_str()) {
            Some(value) => add(&mut payload, &item.path, value.to_vec(), item.mode.unwrap_or(mode))?,
            None if optional => {}
            None => return Err(VolumeError::Unmet(format!("{missing}: {}", item.key))),
        }
    }
    Ok(payload)
}

/// Adds a file; a path that could leave the volume is refused though the API's validation did so before.
pub(super) fn add(payload: &mut Payload, path: &str, content: Vec<u8>, mode: i32) -> Result<(), VolumeError> {
    let bad = path.starts_with("..") || path.split('/').any(|part| part == ".." || part.is_empty());
    if bad {
        return Err(VolumeError::Unmet(format!("{path:?} is not a relative path below the volume")));
    }
    let mode = u32::try_from(mode).unwrap_or(0o644) & 0o777;
    payload.insert(path.to_owned(), File { content, mode });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_choose_paths_and_modes() {
        let map: ConfigMap =
            serde_json::from_value(json!({ "data": { "a": "1", "b": "2" }, "binaryData": { "c": "AAE=" } })).unwrap();
        let all = config_map(Some(&map), None, 0o644, false).unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(all["c"].content, [0, 1]);
        let items: Vec<KeyToPath> =
            serde_json::from_value(json!([{ "key": "a", "path": "dir/x", "mode": 0o400 }])).unwrap();
        let some = config_map(Some(&map), Some(&items), 0o644, false).unwrap();
        assert_eq!(some, Payload::from([("dir/x".into(), File { content: b"1".to_vec(), mode: 0o400 })]));
    }

    #[test]
    fn missing_keys_and_escaping_paths_are_refused() {
        let map = ConfigMap::default();
        let items: Vec<KeyToPath> = serde_json::from_value(json!([{ "key": "a", "path": "x" }])).unwrap();
        assert!(config_map(Some(&map), Some(&items), 0o644, false).is_err());
        assert!(config_map(Some(&map), Some(&items), 0o644, true).unwrap().is_empty());
        for path in ["", "/etc", "a/../b", "..data", "a//b"] {
            assert!(add(&mut Payload::new(), path, Vec::new(), 0o644).is_err(), "{path}");
        }
    }
}

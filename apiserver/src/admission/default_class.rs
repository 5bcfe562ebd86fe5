//! The class that objects get which name none: of the marked ones the newest, and of those the first by name.

use serde_json::Value;

use super::Change;

/// The name of the default class, where there is one. `marks` are the annotations that say so.
pub(super) fn find(change: &Change<'_>, group: &str, plural: &str, marks: &[&str]) -> Option<String> {
    let mut found: Option<(String, String)> = None;
    change.storage.visit_local(group, plural, "", |_, class| {
        let json: Value = serde_json::from_slice(class.json()).unwrap_or_default();
        let metadata = &json["metadata"];
        if marks.iter().any(|mark| metadata["annotations"][*mark] == "true") {
            let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
            let (made, name) = (text("creationTimestamp"), text("name"));
            // They come in the order of their names, so a later one has to be newer.
            if found.as_ref().is_none_or(|(best, _)| made > *best) {
                found = Some((made, name));
            }
        }
        true
    });
    found.map(|(_, name)| name)
}

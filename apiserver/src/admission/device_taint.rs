//! Device taints: one that does not say since when it is there, is there from now on.

use api::{Node, Object, Struct};

use super::Change;

const GROUP: &str = "resource.k8s.io";

pub(super) fn admit(change: &Change<'_>, object: &mut Object) {
    let now = || api::time::format(change.config.surroundings.now());
    if change.is(GROUP, "devicetaintrules") {
        of_rule(object, &now());
    } else if change.is(GROUP, "resourceslices") {
        of_devices(object, &now());
    }
}

fn of_rule(rule: &mut Object, now: &str) {
    if rule.at("spec.taint").is_some() {
        date(rule.body.struct_at("spec.taint"), now);
    }
}

fn of_devices(slice: &mut Object, now: &str) {
    if slice.body.items_at("spec.devices").iter().all(|device| device.items_at("taints").is_empty()) {
        return;
    }
    for device in slice.body.list_at("spec.devices").iter_mut().filter_map(Node::as_struct_mut) {
        if !device.items_at("taints").is_empty() {
            device.list_at("taints").iter_mut().filter_map(Node::as_struct_mut).for_each(|taint| date(taint, now));
        }
    }
}

fn date(taint: &mut Struct, now: &str) {
    taint.set_default("timeAdded", now);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(kind: &str, body: &str) -> Object {
        let ty = api::schema::object_type(GROUP, "v1", kind).unwrap();
        api::json::decode(ty, body.as_bytes(), api::json::Options::CHECKED).unwrap().object
    }

    #[test]
    fn a_taint_without_a_time_gets_one() {
        const NOW: &str = "2026-01-02T03:04:05Z";
        let mut rule = decoded("DeviceTaintRule", r#"{"spec": {"taint": {"key": "a", "effect": "NoExecute"}}}"#);
        of_rule(&mut rule, NOW);
        let text = String::from_utf8(api::json::encode(&rule)).unwrap();
        assert!(text.contains(&format!(r#""timeAdded":"{NOW}""#)), "{text}");
        of_rule(&mut rule, "2027-01-02T03:04:05Z");
        assert_eq!(String::from_utf8(api::json::encode(&rule)).unwrap(), text, "it keeps the one it has");

        let slice =
            r#"{"spec": {"devices": [{"name": "a"}, {"name": "b", "taints": [{"key": "a", "effect": "None"}]}]}}"#;
        let mut slice = decoded("ResourceSlice", slice);
        of_devices(&mut slice, NOW);
        let text = String::from_utf8(api::json::encode(&slice)).unwrap();
        assert_eq!(text.matches(NOW).count(), 1, "{text}");
    }
}

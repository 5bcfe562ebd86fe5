use super::*;
use crate::schema::types;

#[test]
fn paths_reach_structs_lists_and_maps() {
    let mut pod = Struct::new(&types::CORE_V1_POD);
    pod.set("metadata.name", "web");
    pod.struct_at("metadata").entry("labels").set("app.kubernetes.io/name", "web");
    let mut container = pod.struct_at("spec").new_item("containers").unwrap();
    container.set("name", "c");
    container.set("resources.limits", Map::from_iter([("cpu", "1")]));
    pod.list_at("spec.containers").push(container.into());

    assert_eq!(pod.str_at("metadata.name"), "web");
    assert_eq!(pod.at("metadata.labels").unwrap().get("app.kubernetes.io/name").unwrap().as_str(), Some("web"));
    assert_eq!(pod.str_at("spec.containers.0.name"), "c");
    assert_eq!(pod.str_at("spec.containers.0.resources.limits.cpu"), "1");
    assert!(pod.at("spec.containers.1").is_none() && pod.at("spec.nothing").is_none());

    pod.at_mut("spec.containers.0").unwrap().set("image", "nginx");
    assert_eq!(pod.remove("spec.containers.0.image").unwrap().as_str(), Some("nginx"));
    assert!(!pod.set_default("metadata.name", "other") && pod.set_default("metadata.namespace", "default"));
}

#[test]
fn fields_keep_the_declared_order_whatever_the_order_of_writing() {
    let mut meta = Struct::new(&types::META_V1_OBJECT_META);
    meta.set("namespace", "b");
    meta.set("name", "a");
    let names: Vec<&str> = meta.iter().map(|(field, _)| field.name).collect();
    assert_eq!(names, ["name", "namespace"]);
}

#[test]
fn quantities_are_found_wherever_they_stand() {
    let mut pod = Struct::new(&types::CORE_V1_POD);
    pod.set("spec.overhead", Map::from_iter([("cpu", "0.1")]));
    let mut container = pod.struct_at("spec").new_item("containers").unwrap();
    container.set("resources.requests", Map::from_iter([("memory", "1.5Gi")]));
    pod.list_at("spec.containers").push(container.into());
    let mut seen = vec![];
    pod.for_each_quantity(&mut |text| {
        seen.push(text.to_string());
        *text = "1".into();
    });
    seen.sort();
    assert_eq!(seen, ["0.1", "1.5Gi"]);
    assert_eq!(pod.str_at("spec.overhead.cpu"), "1");
}

#[test]
fn a_node_is_small() {
    assert!(size_of::<Node>() <= 32, "{}", size_of::<Node>());
}

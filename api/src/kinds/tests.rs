use super::KINDS;
use crate::kind::{self, Scope};
use crate::object::Object;
use crate::schema;

#[test]
fn the_table_is_sorted_and_complete() {
    let keys: Vec<_> = KINDS.iter().map(|kind| (kind.group, kind.version, kind.plural)).collect();
    assert!(keys.is_sorted_by(|a, b| a < b), "{keys:#?}");
    for kind in KINDS {
        assert!(std::ptr::eq(kind::lookup(kind.group, kind.version, kind.plural).unwrap(), *kind));
        assert!(std::ptr::eq(kind::lookup_kind(kind.group, kind.version, kind.kind).unwrap(), *kind));
    }
    // One static a file: a kind that is missing here would be found by nobody.
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    let folders = |path: std::path::PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let groups = files.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).flat_map(folders);
    let is_version =
        |path: &std::path::PathBuf| path.is_dir() && path.file_name().unwrap().as_encoded_bytes()[0] == b'v';
    let sources =
        groups.filter(is_version).flat_map(|path| std::fs::read_dir(path).unwrap()).map(|entry| entry.unwrap().path());
    let defined = sources.filter(|path| path.is_file()).filter(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        text.contains("pub static KIND: Kind")
    });
    // TokenRequest and Eviction are bodies of subresources.
    assert_eq!(defined.count(), KINDS.len() + 2);
}

#[test]
fn every_kind_agrees_with_the_schema() {
    for kind in KINDS {
        let shape = kind.shape();
        assert_eq!(Some(kind.ty), schema::object_type(shape.group, shape.version, shape.kind), "{kind:?}");
        assert!(kind.verbs.is_sorted() && kind.subresources.is_sorted_by(|a, b| a.name < b.name), "{kind:?}");
        assert_eq!(kind.verbs.contains(&"list"), kind.list_type().is_some(), "{kind:?}");
        let paths: Vec<&str> = kind.selectable.iter().map(|field| field.path).collect();
        assert_eq!(paths, kind.field_paths, "{kind:?}");
        for path in kind.field_paths {
            let mut ty = kind.storage().ty;
            for step in path.split('.') {
                let (_, field) = ty.field(step).unwrap_or_else(|| panic!("{kind:?}: no field {path}"));
                if let schema::FieldKind::Struct(inner) = field.kind {
                    ty = inner;
                }
            }
        }
        if kind.has_status() {
            assert!(kind.ty.field("status").is_some(), "{kind:?}");
        }
    }
}

#[test]
fn an_empty_object_of_every_kind_survives_every_hook() {
    for kind in KINDS {
        let mut object = Object::new(&kind.api_version(), kind.kind, kind.ty);
        object.metadata_mut();
        if kind.scope == Scope::Namespaced {
            object.set("metadata.namespace", "default");
        }
        kind.default(&mut object);
        kind.prepare_for_create(&mut object);
        let old = object.clone();
        kind.prepare_for_update(&mut object, &old);
        assert_eq!(object, old, "{kind:?}: an update that changes nothing is one");
        kind.prepare_for_status_update(&mut object, &old);
        assert_eq!(object, old, "{kind:?}: an update of the status that changes nothing is one");
        let _errors = (kind.validate(&object), kind.validate_update(&object, &old));
        let row = kind.table_row(&object, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(row.cells.len(), kind.columns.len(), "{kind:?}");
        assert_eq!(kind.grace_seconds(&object, None), 0);
    }
}

#[test]
fn versions_and_groups_are_slices_of_the_table() {
    let groups = kind::groups();
    assert_eq!(groups[0], ("", vec!["v1"]));
    assert!(groups.iter().any(|(group, versions)| *group == "apps" && *versions == ["v1", "v1beta2", "v1beta1"]));
    assert!(groups.iter().any(|(group, versions)| *group == "autoscaling" && *versions == ["v2", "v1"]));
    assert_eq!(kind::in_version("apps", "v1").len(), 5);
    assert!(kind::in_version("apps", "v2").is_empty());
}

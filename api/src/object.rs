//! A whole API object: kind and apiVersion around a [`Struct`], with the metadata every kind has.

use crate::node::{Map, Node, Struct};
use crate::schema::{self, Type, split_api_version};

/// An object with its envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// As in `apps/v1`.
    pub api_version: Box<str>,
    /// As in `Deployment`.
    pub kind: Box<str>,
    /// Everything else.
    pub body: Struct,
}

impl Object {
    /// An empty object of a type with its envelope.
    pub fn new(api_version: &str, kind: &str, ty: Type) -> Self {
        Self { api_version: api_version.into(), kind: kind.into(), body: Struct::new(ty) }
    }

    /// An empty object of a kind the tables know.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let (group, version) = split_api_version(api_version);
        Some(Self::new(api_version, kind, schema::object_type(group, version, kind)?))
    }

    /// The API group; empty for the core group.
    pub fn group(&self) -> &str {
        split_api_version(&self.api_version).0
    }

    /// The version within the group.
    pub fn version(&self) -> &str {
        split_api_version(&self.api_version).1
    }

    /// The text at a path; empty if absent.
    pub fn str_at(&self, path: &str) -> &str {
        self.body.str_at(path)
    }

    /// The value at a path.
    pub fn at(&self, path: &str) -> Option<&Node> {
        self.body.at(path)
    }

    /// Sets the value at a path. See [`Struct::set`].
    pub fn set(&mut self, path: &str, value: impl Into<Node>) {
        self.body.set(path, value);
    }

    /// The metadata.
    pub fn metadata(&self) -> Option<&Struct> {
        self.body.get("metadata").and_then(Node::as_struct)
    }

    /// The metadata, made if absent.
    pub fn metadata_mut(&mut self) -> &mut Struct {
        self.body.struct_at("metadata")
    }

    fn meta(&self, field: &str) -> Option<&Node> {
        self.metadata()?.get(field)
    }

    fn meta_str(&self, field: &str) -> &str {
        self.meta(field).and_then(Node::as_str).unwrap_or("")
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.meta_str("name")
    }

    /// `metadata.namespace`; empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.meta_str("namespace")
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.meta_str("uid")
    }

    /// `metadata.resourceVersion` as given; empty if absent.
    pub fn resource_version(&self) -> &str {
        self.meta_str("resourceVersion")
    }

    /// Sets `metadata.resourceVersion`; 0 removes it.
    pub fn set_resource_version(&mut self, revision: i64) {
        match revision {
            0 => drop(self.metadata_mut().remove_field("resourceVersion")),
            _ => self.metadata_mut().set("resourceVersion", revision.to_string()),
        }
    }

    /// `metadata.generation`; 0 if absent.
    pub fn generation(&self) -> i64 {
        self.meta("generation").and_then(Node::as_i64).unwrap_or(0)
    }

    /// Whether deletion has begun.
    pub fn is_deleting(&self) -> bool {
        self.meta("deletionTimestamp").is_some()
    }

    /// `metadata.labels`, if there are any.
    pub fn labels(&self) -> Option<&Map> {
        self.meta("labels")?.as_map()
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels()?.get(key)?.as_str()
    }

    /// `metadata.annotations`, if there are any.
    pub fn annotations(&self) -> Option<&Map> {
        self.meta("annotations")?.as_map()
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations()?.get(key)?.as_str()
    }

    /// Sets an annotation.
    pub fn set_annotation(&mut self, key: &str, value: &str) {
        self.metadata_mut().entry("annotations").set(key, value);
    }

    /// `metadata.finalizers`.
    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        self.meta("finalizers").map_or(&[][..], Node::items).iter().filter_map(Node::as_str)
    }

    /// `metadata.ownerReferences`.
    pub fn owner_references(&self) -> impl Iterator<Item = &Struct> {
        self.meta("ownerReferences").map_or(&[][..], Node::items).iter().filter_map(Node::as_struct)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_and_written_by_name() {
        let mut object = Object::of("apps/v1", "Deployment").unwrap();
        assert_eq!((object.group(), object.version(), object.name()), ("apps", "v1", ""));
        object.set("metadata.name", "web");
        object.set("metadata.finalizers", vec!["a/b"]);
        object.set_annotation("example.com/a", "1");
        object.set_resource_version(7);
        assert_eq!((object.name(), object.resource_version()), ("web", "7"));
        assert_eq!(object.finalizers().collect::<Vec<_>>(), ["a/b"]);
        assert_eq!(object.annotation("example.com/a"), Some("1"));
        object.set_resource_version(0);
        assert_eq!(object.resource_version(), "");
        assert!(Object::of("apps/v1", "Nothing").is_none());
    }
}

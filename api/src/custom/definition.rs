//! What a CustomResourceDefinition says, read field by field.

use serde_json::Value;

use crate::json;
use crate::node::{Node, Struct};
use crate::object::Object;

/// A definition.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'d>(&'d Object);

/// One version of it.
#[derive(Clone, Copy, Debug)]
pub struct Version<'d>(&'d Struct);

/// The names that were accepted.
pub(crate) struct Names<'d> {
    pub(crate) kind: &'d str,
    pub(crate) list_kind: &'d str,
    pub(crate) singular: &'d str,
    pub(crate) short_names: Vec<&'d str>,
    pub(crate) categories: Vec<&'d str>,
}

/// A column of the Table form.
pub(crate) struct ColumnDefinition<'d> {
    pub(crate) name: &'d str,
    pub(crate) ty: &'d str,
    pub(crate) format: &'d str,
    pub(crate) description: &'d str,
    pub(crate) priority: i32,
    pub(crate) path: &'d str,
}

impl<'d> Definition<'d> {
    /// Reads a CustomResourceDefinition.
    pub fn new(object: &'d Object) -> Self {
        Self(object)
    }

    /// The API group.
    pub fn group(&self) -> &'d str {
        self.0.str_at("spec.group")
    }

    /// The name in URLs.
    pub fn plural(&self) -> &'d str {
        self.0.str_at("spec.names.plural")
    }

    /// Whether objects live in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.0.str_at("spec.scope") == "Namespaced"
    }

    /// Whether the definition, and with it every object, is going.
    pub fn is_deleting(&self) -> bool {
        self.0.is_deleting()
    }

    /// Whether its objects are served.
    pub fn is_established(&self) -> bool {
        self.condition("Established")
    }

    /// Whether a condition is true.
    pub fn condition(&self, ty: &str) -> bool {
        let conditions = self.0.body.items_at("status.conditions");
        conditions.iter().any(|condition| condition.str_at("type") == ty && condition.str_at("status") == "True")
    }

    /// All versions, in their order.
    pub fn versions(&self) -> impl Iterator<Item = Version<'d>> + use<'d> {
        self.0.body.items_at("spec.versions").iter().filter_map(Node::as_struct).map(Version)
    }

    pub(crate) fn names(&self) -> Names<'d> {
        let accepted = |name: &str| self.0.str_at(&format!("status.acceptedNames.{name}"));
        let list = |name: &str| -> Vec<&'d str> {
            let items = self.0.body.items_at(&format!("status.acceptedNames.{name}"));
            items.iter().filter_map(Node::as_str).collect()
        };
        Names {
            kind: accepted("kind"),
            list_kind: accepted("listKind"),
            singular: accepted("singular"),
            short_names: list("shortNames"),
            categories: list("categories"),
        }
    }

    pub(crate) fn deprecation(&self, version: &Version<'d>) -> String {
        match (version.0.bool_at("deprecated"), version.0.str_at("deprecationWarning")) {
            (Some(true), "") => {
                format!("{}/{} {} is deprecated", self.group(), version.name(), self.names().kind)
            }
            (Some(true), warning) => warning.to_owned(),
            _ => String::new(),
        }
    }

    /// All that a kind is made of, but for the fields of its schema.
    pub(crate) fn shape(&self, version: &Version<'d>) -> String {
        let names = self.names();
        let part = |name: &str| version.0.get(name).map(meta_text).unwrap_or_default();
        format!(
            "{}\n{}\n{}\n{}\n{}\n{}\n{:?}\n{:?}\n{}\n{}\n{}\n{}\n{}\n{}\n",
            self.group(),
            version.name(),
            self.plural(),
            names.kind,
            names.list_kind,
            names.singular,
            names.short_names,
            names.categories,
            self.is_namespaced(),
            self.is_deleting(),
            part("subresources"),
            part("additionalPrinterColumns"),
            part("selectableFields"),
            self.deprecation(version),
        )
    }
}

fn meta_text(node: &Node) -> String {
    crate::meta::shown(Some(node)).to_string()
}

impl<'d> Version<'d> {
    /// Its name.
    pub fn name(&self) -> &'d str {
        self.0.str_at("name")
    }

    /// Whether it is served.
    pub fn is_served(&self) -> bool {
        self.0.bool_at("served") == Some(true)
    }

    /// Whether objects are stored in it.
    pub fn is_storage(&self) -> bool {
        self.0.bool_at("storage") == Some(true)
    }

    /// `openAPIV3Schema` as JSON; null if there is none.
    pub fn schema(&self) -> Value {
        let schema = self.0.at("schema.openAPIV3Schema").and_then(Node::as_struct);
        let parsed = schema.map(|schema| serde_json::from_slice(&json::encode_struct(schema)));
        // Our own writer made the text; the parser can only agree.
        parsed.and_then(Result::ok).unwrap_or_default()
    }

    /// Whether the status is written apart.
    pub fn has_status(&self) -> bool {
        self.0.at("subresources.status").is_some()
    }

    /// The paths of the scale, without their first dot: replicas wanted, replicas there, selector (perhaps empty).
    pub fn scale(&self) -> Option<[&'d str; 3]> {
        let scale = self.0.at("subresources.scale")?;
        Some(["specReplicasPath", "statusReplicasPath", "labelSelectorPath"].map(|name| {
            let path = scale.str_at(name);
            path.strip_prefix('.').unwrap_or(path)
        }))
    }

    /// The paths of the selectable fields, without their first dot.
    pub fn selectable(&self) -> impl Iterator<Item = &'d str> + use<'d> {
        self.0.items_at("selectableFields").iter().map(|field| {
            let path = field.str_at("jsonPath");
            path.strip_prefix('.').unwrap_or(path)
        })
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = ColumnDefinition<'d>> + use<'d> {
        self.0.items_at("additionalPrinterColumns").iter().map(|column| ColumnDefinition {
            name: column.str_at("name"),
            ty: column.str_at("type"),
            format: column.str_at("format"),
            description: column.str_at("description"),
            priority: column.i64_at("priority").and_then(|priority| i32::try_from(priority).ok()).unwrap_or(0),
            path: column.str_at("jsonPath"),
        })
    }
}

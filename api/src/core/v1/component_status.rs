//! `ComponentStatus`: whether a part of the control plane works, as it was asked before there were health paths.
//! Nothing is stored: the server says what it sees when it is asked.

use jiff::Timestamp;

use crate::kind::{Kind, Scope};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, column, name_column};

/// The kind.
pub static KIND: Kind = Kind {
    plural: "componentstatuses",
    singular: "componentstatus",
    kind: "ComponentStatus",
    short_names: &["cs"],
    scope: Scope::Cluster,
    verbs: &["get", "list"],
    ty: &types::CORE_V1_COMPONENT_STATUS,
    stored: false,
    deprecation: "v1 ComponentStatus is deprecated in v1.19+",
    columns: &[
        name_column(),
        column("Status", "Whether the component is healthy."),
        column("Message", "What the component says of itself."),
        column("Error", "Why it could not be asked."),
    ],
    row,
    ..Kind::BASE
};

fn row(component: &Object, _: Timestamp) -> Row {
    let conditions = component.body.items_at("conditions");
    let healthy = conditions.iter().find(|condition| condition.str_at("type") == "Healthy");
    let field = |name: &str| healthy.map_or("", |condition| condition.str_at(name));
    let status = match (healthy, field("status")) {
        (None, _) => "Unknown",
        (_, "True") => "Healthy",
        _ => "Unhealthy",
    };
    Row::of([component.name().into(), status.into(), field("message").into(), field("error").into()])
}

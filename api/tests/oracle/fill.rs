//! Objects with every field of the tables filled.

use api::schema::{FieldKind, Type, object_type, split_api_version};
use api::{Map, Node, Object, Struct};

/// An object with all fields but `without` (as `Type.field`); types that contain themselves are filled once.
pub(crate) fn object(api_version: &str, kind: &str, without: &[&str]) -> Object {
    let (group, version) = split_api_version(api_version);
    let ty = object_type(group, version, kind).unwrap_or_else(|| panic!("no type for {api_version} {kind}"));
    let mut object = Object::new(api_version, kind, ty);
    object.body = fill(ty, &mut Filler { stack: vec![], without });
    object
}

struct Filler<'a> {
    stack: Vec<Type>,
    without: &'a [&'a str],
}

fn fill(ty: Type, filler: &mut Filler<'_>) -> Struct {
    let mut value = Struct::new(ty);
    filler.stack.push(ty);
    for field in ty.fields {
        if filler.without.contains(&format!("{}.{}", ty.name, field.name).as_str()) {
            continue;
        }
        if let Some(node) = node(&field.kind, field.name, filler) {
            value.set(field.name, node);
        }
    }
    filler.stack.pop();
    value
}

fn node(kind: &FieldKind, name: &str, filler: &mut Filler<'_>) -> Option<Node> {
    Some(match kind {
        FieldKind::String => format!("{name}-text").into(),
        FieldKind::Bool => true.into(),
        FieldKind::Int32 => 7.into(),
        FieldKind::Int64 => Node::Int(-5_000_000_000),
        FieldKind::Float => 1.5.into(),
        FieldKind::Bytes => "aGVsbG8=".into(),
        FieldKind::Time => "2026-01-02T03:04:05Z".into(),
        FieldKind::MicroTime => "2026-01-02T03:04:05.678901Z".into(),
        FieldKind::Duration => "1h30m0s".into(),
        FieldKind::Quantity => "1500m".into(),
        FieldKind::IntOrString if name.len().is_multiple_of(2) => 8080.into(),
        FieldKind::IntOrString => "25%".into(),
        FieldKind::Raw | FieldKind::FieldsV1 => Node::Raw(r#"{"f:a":{}}"#.into()),
        FieldKind::OrBool(_) => true.into(),
        FieldKind::OrList(_) | FieldKind::Open(_) => return None,
        FieldKind::Struct(ty) if filler.stack.contains(ty) => return None,
        FieldKind::Struct(ty) => fill(ty, filler).into(),
        FieldKind::List(kind) => {
            let element = node(kind, name, filler)?;
            Node::List(vec![element.clone(), element])
        }
        FieldKind::Map(kind) => {
            let value = node(kind, name, filler)?;
            Map::from_iter([("b", value.clone()), ("a", value)]).into()
        }
    })
}

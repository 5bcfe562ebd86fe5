//! What a schema forbids, in Kubernetes' words.
//!
//! On an update, a value that did not change is not looked at again (upstream's ratcheting): a schema that became
//! stricter does not hold up changes of something else.

use super::formats;
use super::schema::{JsonType, ListType, Rules, Structural};
use crate::meta::shown;
use crate::node::{Map, Node};
use crate::validation::{ErrorType, Errors, Path, Value};

/// Finds everything that is wrong with a value, unless it is what it was before.
pub fn validate(schema: &Structural, value: &Node, old: Option<&Node>, path: &Path<'_>, errors: &mut Errors) {
    if old == Some(value) {
        return;
    }
    if *value == Node::Null && schema.nullable {
        return;
    }
    if !is_of_type(schema, value) {
        let (wanted, found) = (type_names(schema), json_type(value));
        let detail = format!("{path} in body must be of type {wanted}: \"{found}\"");
        errors.push(ErrorType::TypeInvalid, path, Some(found.into()), detail);
        return;
    }
    if let Some(rules) = &schema.rules {
        check_rules(rules, value, path, errors);
    }
    match value {
        Node::Map(map) => {
            check_embedded(schema, map, path, errors);
            let old = old.and_then(Node::as_map);
            check_members(schema, map.iter(), &|name| old?.get(name), path, errors);
        }
        Node::List(items) => check_items(schema, items, old.map_or(&[], Node::items), path, errors),
        _ => {}
    }
}

/// Finds everything that is wrong with a whole object, given its members. What every object has (metadata and the like)
/// is not among them.
pub fn validate_root<'n>(
    schema: &Structural,
    members: &[(&'n str, &'n Node)],
    old: &dyn Fn(&str) -> Option<&'n Node>,
    errors: &mut Errors,
) {
    if let Some(rules) = &schema.rules {
        let has = |name: &str| {
            matches!(name, "apiVersion" | "kind" | "metadata") || members.iter().any(|(member, _)| *member == name)
        };
        check_required(rules, &has, &Path::Root, errors);
        if rules.are_more_than_required() {
            let whole = members.iter().map(|(name, member)| (*name, (*member).clone())).collect();
            let mut found = Errors::new();
            check_rules(rules, &Node::Map(whole), &Path::Root, &mut found);
            let is_known = |error: &&crate::validation::FieldError| error.kind == ErrorType::Required;
            errors.extend(found.iter().filter(|error| !is_known(error)).cloned());
        }
    }
    check_members(schema, members.iter().copied(), old, &Path::Root, errors);
}

fn check_members<'n>(
    schema: &Structural,
    members: impl Iterator<Item = (&'n str, &'n Node)>,
    old: &dyn Fn(&str) -> Option<&'n Node>,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    for (name, member) in members {
        if let Some(inner) = schema.member(name) {
            validate(inner, member, old(name), &path.field(name), errors);
        }
    }
}

fn json_type(value: &Node) -> &'static str {
    match value {
        Node::Null => "null",
        Node::Bool(_) => "boolean",
        Node::Int(_) => "integer",
        Node::Float(_) => "number",
        Node::Str(_) => "string",
        Node::List(_) => "array",
        Node::Map(_) | Node::Struct(_) | Node::Raw(_) => "object",
    }
}

fn type_names(schema: &Structural) -> &'static str {
    match schema.ty {
        JsonType::Any if schema.int_or_string => "integer,string",
        JsonType::Any | JsonType::Unknown => "any",
        JsonType::Object => "object",
        JsonType::Array => "array",
        JsonType::String => "string",
        JsonType::Integer => "integer",
        JsonType::Number => "number",
        JsonType::Boolean => "boolean",
    }
}

fn is_of_type(schema: &Structural, value: &Node) -> bool {
    match (schema.ty, value) {
        (JsonType::Any, Node::Int(_) | Node::Str(_)) => true,
        (JsonType::Any, _) => !schema.int_or_string,
        (JsonType::Integer, Node::Float(number)) => number.fract() == 0.0,
        (JsonType::Object, Node::Map(_))
        | (JsonType::Array, Node::List(_))
        | (JsonType::String, Node::Str(_))
        | (JsonType::Integer | JsonType::Number, Node::Int(_))
        | (JsonType::Number, Node::Float(_))
        | (JsonType::Boolean, Node::Bool(_)) => true,
        _ => false,
    }
}

/// The rules that stand beside the type.
fn check_rules(rules: &Rules, value: &Node, path: &Path<'_>, errors: &mut Errors) {
    if !rules.variants.is_empty() && !rules.variants.iter().any(|variant| same(variant, value)) {
        let supported: Vec<String> = rules.variants.iter().map(|variant| shown(Some(variant)).to_string()).collect();
        let detail = format!("supported values: {}", supported.join(", "));
        errors.push(ErrorType::NotSupported, path, Some(shown(Some(value))), detail);
    }
    match value {
        Node::Str(text) => check_text(rules, text, path, errors),
        Node::Int(number) => check_number(rules, as_float(*number), value, path, errors),
        Node::Float(number) => check_number(rules, *number, value, path, errors),
        Node::List(items) => check_count(rules.items, items.len(), "items", path, errors),
        Node::Map(map) => {
            check_count(rules.properties, map.len(), "properties", path, errors);
            check_required(rules, &|name| map.get(name).is_some(), path, errors);
        }
        _ => {}
    }
    check_combinations(rules, value, path, errors);
}

/// Members that have to be there.
fn check_required(rules: &Rules, has: &dyn Fn(&str) -> bool, path: &Path<'_>, errors: &mut Errors) {
    for name in rules.required.iter().filter(|name| !has(name)) {
        errors.required(&path.field(name), "");
    }
}

#[allow(clippy::cast_precision_loss, reason = "JSON numbers are floats; upstream compares them as such")]
fn as_float(number: i64) -> f64 {
    number as f64
}

/// Whether two values are the same JSON; 1 and 1.0 are.
fn same(a: &Node, b: &Node) -> bool {
    match (a, b) {
        (Node::Int(int), Node::Float(float)) | (Node::Float(float), Node::Int(int)) => as_float(*int) == *float,
        _ => a == b,
    }
}

fn check_text(rules: &Rules, text: &str, path: &Path<'_>, errors: &mut Errors) {
    let length = text.chars().count();
    if let (Some(min), _) = rules.length
        && length < min
    {
        errors.invalid(path, text, format!("{path} in body should be at least {min} chars long"));
    }
    if let (_, Some(max)) = rules.length
        && length > max
    {
        errors.too_long(path, max);
    }
    if let Some(pattern) = &rules.pattern
        && !pattern.matches(text)
    {
        errors.invalid(path, text, format!("{path} in body should match '{}'", pattern.text));
    }
    if !formats::is_valid(&rules.format, text) {
        let format = &rules.format;
        errors.invalid(path, text, format!("{path} in body must be of type {format}: {}", shown_text(text)));
    }
}

fn shown_text(text: &str) -> String {
    crate::validation::quoted(text)
}

fn check_number(rules: &Rules, number: f64, value: &Node, path: &Path<'_>, errors: &mut Errors) {
    let mut bad = |detail: String| errors.invalid(path, shown(Some(value)), detail);
    match rules.minimum {
        Some((min, false)) if number < min => bad(format!("{path} in body should be greater than or equal to {min}")),
        Some((min, true)) if number <= min => bad(format!("{path} in body should be greater than {min}")),
        _ => {}
    }
    match rules.maximum {
        Some((max, false)) if number > max => bad(format!("{path} in body should be less than or equal to {max}")),
        Some((max, true)) if number >= max => bad(format!("{path} in body should be less than {max}")),
        _ => {}
    }
    if let Some(factor) = rules.multiple_of
        && factor > 0.0
    {
        let times = number / factor;
        if (times - times.round()).abs() > 1e-9 {
            bad(format!("{path} in body should be a multiple of {factor}"));
        }
    }
    let whole = number.fract() == 0.0;
    let range = match &*rules.format {
        "int32" => Some((f64::from(i32::MIN), f64::from(i32::MAX))),
        "int64" => Some((as_float(i64::MIN), as_float(i64::MAX))),
        _ => None,
    };
    if let Some((min, max)) = range
        && !(whole && (min..=max).contains(&number))
    {
        bad(format!("{path} in body must be of type {}: \"{}\"", rules.format, shown(Some(value))));
    }
}

fn check_count(
    (min, max): (Option<usize>, Option<usize>),
    count: usize,
    what: &str,
    path: &Path<'_>,
    errors: &mut Errors,
) {
    if let Some(min) = min
        && count < min
    {
        errors.invalid(path, count, format!("{path} in body should have at least {min} {what}"));
    }
    if let Some(max) = max
        && count > max
    {
        errors.too_many(path, count, max);
    }
}

fn check_combinations(rules: &Rules, value: &Node, path: &Path<'_>, errors: &mut Errors) {
    for schema in &rules.all_of {
        validate(schema, value, None, path, errors);
    }
    let fits = |schema: &Structural| {
        let mut errors = Errors::new();
        validate(schema, value, None, path, &mut errors);
        errors.is_empty()
    };
    let mut bad = |detail: String| errors.invalid(path, Value::from(""), detail);
    if !rules.any_of.is_empty() && !rules.any_of.iter().any(fits) {
        bad(format!("\"{path}\" must validate at least one schema (anyOf)"));
    }
    if !rules.one_of.is_empty() {
        let found = match rules.one_of.iter().filter(|schema| fits(schema)).count() {
            1 => String::new(),
            0 => "Found none valid".to_owned(),
            several => format!("Found {several} valid alternatives"),
        };
        if !found.is_empty() {
            bad(format!("\"{path}\" must validate one and only one schema (oneOf). {found}"));
        }
    }
    if rules.not.as_ref().is_some_and(fits) {
        bad(format!("\"{path}\" must not validate the schema (not)"));
    }
}

fn check_embedded(schema: &Structural, map: &Map, path: &Path<'_>, errors: &mut Errors) {
    if !schema.embedded {
        return;
    }
    for name in ["apiVersion", "kind"] {
        match map.get(name) {
            Some(Node::Str(text)) if !text.is_empty() => {}
            _ => errors.required(&path.field(name), "must not be empty"),
        }
    }
}

fn check_items(schema: &Structural, items: &[Node], old: &[Node], path: &Path<'_>, errors: &mut Errors) {
    let key = |item: &Node| -> Option<Node> {
        match schema.list_type {
            ListType::Atomic => None,
            ListType::Set => Some(item.clone()),
            ListType::Map => {
                let map = item.as_map()?;
                let keys = schema.list_map_keys.iter();
                Some(Node::Map(keys.filter_map(|key| Some((key.clone(), map.get(key)?.clone()))).collect()))
            }
        }
    };
    let keys: Vec<Option<Node>> = items.iter().map(key).collect();
    for (index, own) in keys.iter().enumerate() {
        if let Some(own) = own
            && keys[..index].iter().flatten().any(|other| other == own)
        {
            errors.duplicate(&path.index(index), shown(Some(own)));
        }
    }
    let Some(inner) = schema.element() else { return };
    // Only elements with keys can be found again in the old list.
    let keyed = schema.list_type == ListType::Map;
    for (index, (item, own)) in items.iter().zip(&keys).enumerate() {
        let before = if keyed && own.is_some() { old.iter().find(|item| key(item) == *own) } else { None };
        validate(inner, item, before, &path.index(index), errors);
    }
}

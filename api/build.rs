//! Compiles `schema/*.tsv` into the static tables of `schema.rs`.
//!
//! Each table names a package of upstream types. A row is one field: type, JSON name, kind, protobuf tag, presence,
//! list or map topology, patch strategy, default, the values that a text (or each of a list) may have. A row whose field is `-` opens a type. The output is one `static
//! TypeDef` per type with inlined structs flattened, so that nothing is resolved, allocated or parsed at run time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{env, fs, process};

#[derive(Clone)]
struct Field {
    name: String,
    kind: String,
    pointer: bool,
    tag: u32,
    inline: bool,
    omit_empty: bool,
    omit_zero: bool,
    topology: String,
    patch: String,
    default: String,
    values: Vec<String>,
}

#[derive(Default)]
struct Type {
    object: bool,
    atomic: bool,
    fields: Vec<Field>,
}

type Types = BTreeMap<String, Type>;

fn main() {
    println!("cargo::rerun-if-changed=schema");
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(problem) = generate() {
        println!("cargo::error=schema tables: {problem}");
        process::exit(1);
    }
}

fn generate() -> Result<(), String> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(|error| error.to_string())?;
    let schema = Path::new(&root).join("schema");
    let groups = read_groups(&schema)?;
    let mut types = Types::new();
    for package in groups.keys() {
        read_package(&schema, package, &mut types)?;
    }
    let mut out = String::new();
    let quantities = holding_quantities(&types);
    for (name, ty) in &types {
        write_type(&mut out, name, ty, &types, quantities.contains(name))?;
    }
    write_index(&mut out, &types, &groups);
    let target = Path::new(&env::var("OUT_DIR").map_err(|error| error.to_string())?).join("types.rs");
    fs::write(target, out).map_err(|error| error.to_string())
}

fn rows(path: &Path) -> Result<Vec<Vec<String>>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    Ok(lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

/// Package -> (group, version).
fn read_groups(schema: &Path) -> Result<BTreeMap<String, (String, String)>, String> {
    let mut groups = BTreeMap::new();
    for row in rows(&schema.join("groups.tsv"))? {
        let [package, group, version] = row.as_slice() else { return Err(format!("groups.tsv: {row:?}")) };
        groups.insert(package.clone(), (group.clone(), version.clone()));
    }
    Ok(groups)
}

fn read_package(schema: &Path, package: &str, types: &mut Types) -> Result<(), String> {
    for row in rows(&schema.join(format!("{}.tsv", package.replace('/', "."))))? {
        let column = |index: usize| row.get(index).map_or("", String::as_str);
        let name = format!("{package}.{}", column(0));
        if column(1) == "-" {
            let ty = Type { object: column(2) == "object", atomic: column(5) == "atomic", fields: vec![] };
            types.insert(name, ty);
            continue;
        }
        let (kind, pointer) = match column(2).strip_prefix('*') {
            Some(kind) => (kind, true),
            None => (column(2), false),
        };
        let presence: Vec<&str> = column(4).split(',').collect();
        let field = Field {
            name: column(1).to_owned(),
            kind: qualify(package, kind),
            pointer,
            tag: if column(3).is_empty() { 0 } else { column(3).parse().map_err(|_| format!("{name}: tag"))? },
            inline: presence.contains(&"inline"),
            omit_empty: presence.contains(&"omitempty"),
            omit_zero: presence.contains(&"omitzero"),
            topology: column(5).to_owned(),
            patch: column(6).to_owned(),
            default: column(7).to_owned(),
            values: row.get(8).map_or_else(Vec::new, |values| values.split('|').map(str::to_owned).collect()),
        };
        types.get_mut(&name).ok_or_else(|| format!("{name} has no opening row"))?.fields.push(field);
    }
    Ok(())
}

/// `[]Container` in package `core/v1` -> `[]core/v1.Container`; scalar kinds stay as they are.
fn qualify(package: &str, kind: &str) -> String {
    for prefix in ["[]", "map ", "orBool ", "orList "] {
        if let Some(rest) = kind.strip_prefix(prefix) {
            return format!("{prefix}{}", qualify(package, rest));
        }
    }
    if scalar(kind).is_some() || kind.contains('/') { kind.to_owned() } else { format!("{package}.{kind}") }
}

fn scalar(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "string" => "String",
        "bool" => "Bool",
        "int32" => "Int32",
        "int64" => "Int64",
        "float64" => "Float",
        "bytes" => "Bytes",
        "Time" => "Time",
        "MicroTime" => "MicroTime",
        "Duration" => "Duration",
        "Quantity" => "Quantity",
        "IntOrString" => "IntOrString",
        "Raw" => "Raw",
        "FieldsV1" => "FieldsV1",
        _ => return None,
    })
}

fn element(kind: &str) -> &str {
    match ["[]", "map ", "orBool ", "orList "].iter().find_map(|prefix| kind.strip_prefix(prefix)) {
        Some(inner) => element(inner),
        None => kind,
    }
}

/// The types below which a quantity can stand; the walk that makes quantities canonical skips all others.
fn holding_quantities(types: &Types) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for (name, ty) in types {
            let holds = |field: &Field| element(&field.kind) == "Quantity" || found.contains(element(&field.kind));
            if ty.fields.iter().any(holds) {
                found.insert(name.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn constant(name: &str) -> String {
    let mut out = String::new();
    let (package, short) = name.rsplit_once('.').unwrap_or(("", name));
    out.push_str(&package.replace('/', "_").to_uppercase());
    let mut previous_lower = true;
    let chars: Vec<char> = short.chars().collect();
    for (index, char) in chars.iter().enumerate() {
        let next_lower = chars.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if char.is_ascii_uppercase() && (previous_lower || next_lower) {
            out.push('_');
        }
        previous_lower = char.is_ascii_lowercase() || char.is_ascii_digit();
        out.push(char.to_ascii_uppercase());
    }
    out
}

fn kind_expression(kind: &str, types: &Types) -> Result<String, String> {
    if let Some(inner) = kind.strip_prefix("[]") {
        return Ok(format!("FieldKind::List(&{})", kind_expression(inner, types)?));
    }
    if let Some(inner) = kind.strip_prefix("map ") {
        return Ok(format!("FieldKind::Map(&{})", kind_expression(inner, types)?));
    }
    for (prefix, name) in [("orBool ", "OrBool"), ("orList ", "OrList")] {
        if let Some(inner) = kind.strip_prefix(prefix).filter(|inner| types.contains_key(*inner)) {
            return Ok(format!("FieldKind::{name}(&{})", constant(inner)));
        }
    }
    match scalar(kind) {
        Some(name) => Ok(format!("FieldKind::{name}")),
        None if types.contains_key(kind) => Ok(format!("FieldKind::Struct(&{})", constant(kind))),
        None => Err(format!("unknown kind {kind}")),
    }
}

struct Flat {
    fields: Vec<Field>,
    wire: Vec<(u32, String)>,
}

/// Inlined structs become plain fields; on the wire they stay a message of their own where they have a tag.
fn flatten(ty: &Type, types: &Types) -> Result<Flat, String> {
    let mut flat = Flat { fields: vec![], wire: vec![] };
    for field in &ty.fields {
        if !field.inline {
            if field.tag > 0 {
                flat.wire
                    .push((field.tag, format!("Wire::Field {{ tag: {}, index: {} }}", field.tag, flat.fields.len())));
            }
            flat.fields.push(field.clone());
            continue;
        }
        let inner = types.get(&field.kind).ok_or_else(|| format!("unknown inlined type {}", field.kind))?;
        let inner = flatten(inner, types)?;
        let (tag, first, ty) = (field.tag, flat.fields.len(), constant(&field.kind));
        flat.wire.push((tag, format!("Wire::Inline {{ tag: {tag}, first: {first}, ty: &{ty} }}")));
        flat.fields.extend(inner.fields);
    }
    flat.wire.sort();
    Ok(flat)
}

fn topology(field: &Field) -> String {
    match field.topology.split_once(':') {
        Some(("map", keys)) => {
            let keys: Vec<String> = keys.split(',').map(|key| format!("{key:?}")).collect();
            format!("Topology::Keyed(&[{}])", keys.join(", "))
        }
        _ => match field.topology.as_str() {
            "atomic" => "Topology::Atomic".to_owned(),
            "set" => "Topology::Set".to_owned(),
            _ => "Topology::Natural".to_owned(),
        },
    }
}

fn patch(field: &Field) -> String {
    let (strategies, key) = field.patch.split_once(':').unwrap_or((&field.patch, ""));
    let strategies: Vec<&str> = strategies.split(',').collect();
    format!(
        "PatchStrategy {{ merge: {}, retain_keys: {}, replace: {}, merge_key: {key:?} }}",
        strategies.contains(&"merge"),
        strategies.contains(&"retainKeys"),
        strategies.contains(&"replace"),
    )
}

fn write_type(out: &mut String, name: &str, ty: &Type, types: &Types, quantities: bool) -> Result<(), String> {
    let flat = flatten(ty, types)?;
    let (package, short) = name.rsplit_once('.').unwrap_or(("", name));
    let mut fields = String::new();
    for field in &flat.fields {
        let kind = kind_expression(&field.kind, types).map_err(|error| format!("{name}: {error}"))?;
        fields.push_str(&format!(
            "FieldDef {{ name: {:?}, kind: {kind}, pointer: {}, omit_empty: {}, omit_zero: {}, topology: {}, patch: {}, default: {:?}, values: &{:?} }}, ",
            field.name,
            field.pointer,
            field.omit_empty,
            field.omit_zero,
            topology(field),
            patch(field),
            field.default,
            field.values,
        ));
    }
    let mut by_name: Vec<usize> = (0..flat.fields.len()).collect();
    by_name.sort_by(|a, b| flat.fields[*a].name.cmp(&flat.fields[*b].name));
    let wire: Vec<String> = flat.wire.into_iter().map(|(_, wire)| wire).collect();
    out.push_str(&format!(
        "/// `{short}` of `{package}`.\npub static {}: TypeDef = TypeDef {{ name: {short:?}, package: {package:?}, object: {}, atomic: {}, quantities: {quantities}, fields: &[{fields}], by_name: &{by_name:?}, wire: &[{}] }};\n",
        constant(name),
        ty.object,
        ty.atomic,
        wire.join(", "),
    ));
    Ok(())
}

fn write_index(out: &mut String, types: &Types, groups: &BTreeMap<String, (String, String)>) {
    let mut rows = vec![];
    for name in types.iter().filter(|(_, ty)| ty.object).map(|(name, _)| name) {
        let Some((package, kind)) = name.rsplit_once('.') else { continue };
        let Some((group, version)) = groups.get(package) else { continue };
        rows.push(format!("({group:?}, {version:?}, {kind:?}, &{})", constant(name)));
    }
    rows.sort();
    out.push_str(&format!("pub(super) static OBJECTS: &[(&str, &str, &str, &TypeDef)] = &[{}];\n", rows.join(", ")));
    let all: Vec<String> = types.keys().map(|name| format!("({name:?}, &{})", constant(name))).collect();
    out.push_str(&format!("pub(super) static NAMED: &[(&str, &TypeDef)] = &[{}];\n", all.join(", ")));
}

//! Rules for volumes. Sources that no node can mount yet are checked only for standing alone.

use super::container::{check_no_parent, check_relative};
use super::environment;
use crate::names;
use crate::node::Node;
use crate::quantity::Quantity;
use crate::validation::{Errors, Path};

/// Checks all volumes and returns their names, to which mounts refer.
pub(super) fn check_all<'a>(volumes: &'a [Node], path: &Path<'_>, errors: &mut Errors) -> Vec<&'a str> {
    let mut known: Vec<&str> = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let name = volume.str_at("name");
        if name.is_empty() {
            errors.required(&path.field("name"), "");
        } else if known.contains(&name) {
            errors.duplicate(&path.field("name"), name);
        } else {
            errors.invalid_each(&path.field("name"), name, names::dns1123_label(name));
            known.push(name);
        }
        check_source(volume, &path, errors);
    }
    known
}

fn check_source(volume: &Node, path: &Path<'_>, errors: &mut Errors) {
    let Some(volume) = volume.as_struct() else { return };
    let mut sources = volume.iter().filter(|(field, _)| field.name != "name");
    let Some((field, source)) = sources.next() else {
        errors.required(path, "must specify a volume type");
        return;
    };
    for (field, _) in sources {
        errors.forbidden(&path.field(field.name), "may not specify more than one volume type");
    }
    check_named_source(field.name, source, &path.field(field.name), errors);
}

/// Checks a source by the name of its field.
pub(crate) fn check_named_source(name: &str, source: &Node, path: &Path<'_>, errors: &mut Errors) {
    match name {
        "emptyDir" => check_empty_dir(source, path, errors),
        "hostPath" => {
            let host = source.str_at("path");
            require(host, &path.field("path"), errors);
            check_no_parent(host, &path.field("path"), errors);
        }
        "secret" => {
            require(source.str_at("secretName"), &path.field("secretName"), errors);
            check_files(source, path, errors);
        }
        "configMap" => {
            require(source.str_at("name"), &path.field("name"), errors);
            check_files(source, path, errors);
        }
        "downwardAPI" => {
            check_mode(source.i64_at("defaultMode"), &path.field("defaultMode"), errors);
            environment::check_downward(source.items_at("items"), &path.field("items"), errors);
        }
        "projected" => check_projected(source, path, errors),
        "persistentVolumeClaim" => require(source.str_at("claimName"), &path.field("claimName"), errors),
        "nfs" => {
            require(source.str_at("server"), &path.field("server"), errors);
            require(source.str_at("path"), &path.field("path"), errors);
        }
        "csi" => require(source.str_at("driver"), &path.field("driver"), errors),
        _ => {}
    }
}

fn require(value: &str, path: &Path<'_>, errors: &mut Errors) {
    if value.is_empty() {
        errors.required(path, "");
    }
}

fn check_empty_dir(source: &Node, path: &Path<'_>, errors: &mut Errors) {
    let limit = source.str_at("sizeLimit");
    if limit.parse::<Quantity>().is_ok_and(|limit| limit.sign() < 0) {
        errors.forbidden(&path.field("sizeLimit"), "SizeLimit field must be a valid resource quantity");
    }
    let medium = source.str_at("medium");
    if !matches!(medium, "" | "Memory" | "HugePages") && !medium.starts_with("HugePages-") {
        errors.not_supported(&path.field("medium"), medium, &["", "HugePages", "Memory"]);
    }
}

fn check_mode(mode: Option<i64>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
        errors.invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

/// Modes, keys and paths of files made from an object's data.
fn check_files(source: &Node, path: &Path<'_>, errors: &mut Errors) {
    check_mode(source.i64_at("defaultMode"), &path.field("defaultMode"), errors);
    for (index, item) in source.items_at("items").iter().enumerate() {
        let path = path.field("items");
        let path = path.index(index);
        require(item.str_at("key"), &path.field("key"), errors);
        require(item.str_at("path"), &path.field("path"), errors);
        check_relative(item.str_at("path"), &path.field("path"), errors);
        check_mode(item.i64_at("mode"), &path.field("mode"), errors);
    }
}

fn check_projected(source: &Node, path: &Path<'_>, errors: &mut Errors) {
    check_mode(source.i64_at("defaultMode"), &path.field("defaultMode"), errors);
    for (index, projection) in source.items_at("sources").iter().enumerate() {
        let path = path.field("sources");
        let path = path.index(index);
        let Some(projection) = projection.as_struct() else { continue };
        for (position, (field, source)) in projection.iter().enumerate() {
            let path = path.field(field.name);
            if position > 0 {
                errors.forbidden(&path, "may not specify more than 1 volume type per source");
                continue;
            }
            match field.name {
                "secret" | "configMap" => {
                    require(source.str_at("name"), &path.field("name"), errors);
                    check_files(source, &path, errors);
                }
                "downwardAPI" => environment::check_downward(source.items_at("items"), &path.field("items"), errors),
                "serviceAccountToken" => check_token(source, &path, errors),
                _ => {}
            }
        }
    }
}

fn check_token(source: &Node, path: &Path<'_>, errors: &mut Errors) {
    let seconds = source.i64_at("expirationSeconds").unwrap_or(3600);
    if seconds < 600 {
        errors.invalid(&path.field("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
    }
    require(source.str_at("path"), &path.field("path"), errors);
    check_relative(source.str_at("path"), &path.field("path"), errors);
}

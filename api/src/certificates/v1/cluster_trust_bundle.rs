//! `ClusterTrustBundle`: authorities that pods may trust. That each is an authority, the API server checks.

use std::collections::HashSet;

use jiff::Timestamp;

use super::{pem, signer_name};
use crate::kind::{Kind, Scope, SelectableField, field_paths};
use crate::meta::check_immutable;
use crate::names;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, column, name_column, or_none};
use crate::validation::{Errors, Path};

const SIZE_MAX: usize = 1024 * 1024;

const FIELDS: [SelectableField; 1] = [SelectableField::text("spec.signerName")];

/// The kind.
pub static KIND: Kind = Kind {
    group: "certificates.k8s.io",
    plural: "clustertrustbundles",
    singular: "clustertrustbundle",
    kind: "ClusterTrustBundle",
    scope: Scope::Cluster,
    ty: &types::CERTIFICATES_V1_CLUSTER_TRUST_BUNDLE,
    selectable: &FIELDS,
    field_paths: &field_paths(&FIELDS),
    columns: &[name_column(), column("SignerName", "The signer whose certificates the bundle is for.")],
    row,
    // What the name must be follows from the signer.
    name_rule: |_| Vec::new(),
    unconditional_update: false,
    check,
    check_update: |new, old, errors| {
        let (path, field) = (Path::Root.field("spec"), "spec.signerName");
        check_immutable(new.at(field), old.at(field), &path.field("signerName"), errors);
    },
    ..Kind::BASE
};

fn row(bundle: &Object, _: Timestamp) -> Row {
    Row::of([bundle.name().into(), or_none(bundle.str_at("spec.signerName"))])
}

fn name_problems(name: &str, signer: &str) -> Vec<String> {
    if signer.is_empty() {
        if name.contains(':') {
            return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()];
        }
        return names::dns1123_subdomain(name);
    }
    let prefix = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&prefix) {
        Some(rest) => names::dns1123_subdomain(rest),
        None => vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")],
    }
}

fn check(bundle: &Object, errors: &mut Errors) {
    let root = Path::Root;
    let (name, signer) = (bundle.name(), bundle.str_at("spec.signerName"));
    if !name.is_empty() {
        errors.invalid_each(&root.field("metadata").field("name"), name, name_problems(name, signer));
    }
    let path = root.field("spec");
    if !signer.is_empty() {
        signer_name::check(signer, &path.field("signerName"), errors);
    }
    check_bundle(bundle.str_at("spec.trustBundle"), &path.field("trustBundle"), errors);
}

fn check_bundle(text: &str, path: &Path<'_>, errors: &mut Errors) {
    if text.len() > SIZE_MAX {
        errors.too_long(path, SIZE_MAX);
        return;
    }
    let blocks = pem::blocks(text);
    if blocks.is_empty() {
        errors.invalid(path, "<value omitted>", "at least one trust anchor must be provided");
    }
    let mut seen = HashSet::new();
    for (index, block) in blocks.iter().enumerate() {
        let problem = match (block.label, &block.data) {
            ("CERTIFICATE", _) if block.has_headers => format!("entry {index} has PEM block headers"),
            ("CERTIFICATE", Some(der)) if pem::is_sequence(der) => {
                if seen.insert(der) {
                    continue;
                }
                format!("entry {index} is the same as an earlier one")
            }
            ("CERTIFICATE", _) => format!("entry {index} does not parse as X.509"),
            (label, _) => format!("entry {index} has bad block type: {label}"),
        };
        errors.invalid(path, "<value omitted>", problem);
    }
}

/// The certificates of a bundle, as DER.
pub fn certificates(bundle: &Object) -> Vec<Vec<u8>> {
    pem::blocks(bundle.str_at("spec.trustBundle")).into_iter().filter_map(|block| block.data).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{errors, row, update_errors};

    const ANCHOR: &str = "-----BEGIN CERTIFICATE-----\\nMAA=\\n-----END CERTIFICATE-----\\n";

    fn bundle(name: &str, signer: &str, text: &str) -> String {
        format!("{{metadata: {{name: '{name}'}}, spec: {{signerName: '{signer}', trustBundle: \"{text}\"}}}}")
    }

    #[test]
    fn the_name_follows_from_the_signer() {
        for (name, signer, want) in [
            ("roots", "", None),
            ("example.com:serving:roots", "example.com/serving", None),
            ("a:b", "", Some("ClusterTrustBundle without signer name must not have \":\" in its name")),
            (
                "roots",
                "example.com/serving",
                Some(
                    "ClusterTrustBundle for signerName example.com/serving must be named with prefix example.com:serving:",
                ),
            ),
        ] {
            let want: Vec<String> =
                want.iter().map(|want| format!("metadata.name: Invalid value: \"{name}\": {want}")).collect();
            assert_eq!(errors(&KIND, &bundle(name, signer, ANCHOR)), want);
        }
    }

    #[test]
    fn a_bundle_is_certificates_and_nothing_else() {
        for (text, want) in [
            (String::new(), "at least one trust anchor must be provided"),
            (ANCHOR.replace("CERTIFICATE", "KEY"), "entry 0 has bad block type: KEY"),
            (ANCHOR.replace("MAA=", "a: b\\nMAA="), "entry 0 has PEM block headers"),
            (ANCHOR.replace("MAA=", "AAA="), "entry 0 does not parse as X.509"),
            (ANCHOR.repeat(2), "entry 1 is the same as an earlier one"),
        ] {
            let want = format!("spec.trustBundle: Invalid value: \"<value omitted>\": {want}");
            assert_eq!(errors(&KIND, &bundle("roots", "", &text)), [want]);
        }
        let told = update_errors(&KIND, &bundle("a.b:c:d", "a.b/c", ANCHOR), &bundle("a.b:c:d", "a.b/x", ANCHOR));
        assert!(told.iter().any(|told| told == "spec.signerName: Invalid value: \"a.b/x\": field is immutable"));
        assert_eq!(row(&KIND, &bundle("roots", "", ANCHOR)), "roots | <none>");
    }
}

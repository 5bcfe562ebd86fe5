//! The forms of names: labels, subdomains, qualified names, keys, ports, and the suffix of `generateName`.
//!
//! Every check answers with the list of things that are wrong, in the words of apimachinery's `util/validation`; an
//! empty list means the name is good. The regular expressions appear in messages only: the checks read bytes.

use std::net::IpAddr;

use crate::validation::{Errors, Path};

/// The longest DNS label.
pub const LABEL_MAX: usize = 63;
/// The longest DNS subdomain.
pub const SUBDOMAIN_MAX: usize = 253;
const GENERATED_SUFFIX: usize = 5;
/// No vowels and no look-alikes, so that a suffix is never a word.
const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const WILDCARD: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const HTTP_PATH: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
const C_IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn is_alphanumeric_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label_shaped(name: &[u8]) -> bool {
    matches!((name.first(), name.last()), (Some(&a), Some(&z)) if is_alphanumeric_lower(a) && is_alphanumeric_lower(z))
        && name.iter().all(|&byte| is_alphanumeric_lower(byte) || byte == b'-')
}

fn is_qualified_shaped(name: &[u8]) -> bool {
    matches!((name.first(), name.last()), (Some(a), Some(z)) if a.is_ascii_alphanumeric() && z.is_ascii_alphanumeric())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn check(name: &str, max: usize, shaped: bool, message: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > max {
        problems.push(too_long(max));
    }
    if !shaped {
        problems.push(message.to_owned());
    }
    problems
}

/// A DNS-1123 subdomain: names of most objects.
pub fn dns1123_subdomain(name: &str) -> Vec<String> {
    check(name, SUBDOMAIN_MAX, name.split('.').all(|part| is_label_shaped(part.as_bytes())), SUBDOMAIN)
}

/// A DNS-1123 subdomain with `*` for its first label: hosts of an Ingress.
pub fn wildcard_dns1123_subdomain(name: &str) -> Vec<String> {
    let shaped =
        name.strip_prefix("*.").is_some_and(|rest| rest.split('.').all(|part| is_label_shaped(part.as_bytes())));
    check(name, SUBDOMAIN_MAX, shaped, WILDCARD)
}

/// A DNS-1123 label: namespaces, containers.
pub fn dns1123_label(name: &str) -> Vec<String> {
    check(name, LABEL_MAX, is_label_shaped(name.as_bytes()), LABEL)
}

/// A DNS-1035 label: what older Services had to be called.
pub fn dns1035_label(name: &str) -> Vec<String> {
    let shaped = is_label_shaped(name.as_bytes()) && !name.starts_with(|c: char| c.is_ascii_digit());
    check(name, LABEL_MAX, shaped, LABEL_1035)
}

/// A name that is safe as one segment of a URL path: RBAC objects.
pub fn path_segment(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"].iter().filter(|bad| name.contains(*bad)).map(|bad| format!("may not contain '{bad}'")).collect()
}

/// A qualified name, `[prefix/]name`: label keys, annotation keys, resource names, finalizers.
pub fn qualified_name(name: &str) -> Vec<String> {
    let mut parts = name.split('/');
    let (prefix, local) = match (parts.next(), parts.next(), parts.next()) {
        (Some(local), None, _) => (None, local),
        (Some(prefix), Some(local), None) => (Some(prefix), local),
        _ => {
            return vec![format!(
                "a qualified name {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    let mut problems = Vec::new();
    match prefix {
        Some("") => problems.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            problems.extend(dns1123_subdomain(prefix).iter().map(|problem| format!("prefix part {problem}")))
        }
        None => {}
    }
    if local.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if local.len() > LABEL_MAX {
        problems.push(format!("name part {}", too_long(LABEL_MAX)));
    }
    if !is_qualified_shaped(local.as_bytes()) {
        problems.push(format!("name part {QUALIFIED}"));
    }
    problems
}

/// The value of a label.
pub fn label_value(value: &str) -> Vec<String> {
    check(value, LABEL_MAX, value.is_empty() || is_qualified_shaped(value.as_bytes()), LABEL_VALUE)
}

/// A key of a ConfigMap or a Secret.
pub fn config_map_key(key: &str) -> Vec<String> {
    let shaped =
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let mut problems = check(key, SUBDOMAIN_MAX, shaped, CONFIG_KEY);
    match key {
        "." | ".." => problems.push(format!("must not be '{key}'")),
        key if key.starts_with("..") => problems.push("must not start with '..'".to_owned()),
        _ => {}
    }
    problems
}

/// The name of an environment variable: anything printable but `=`.
pub fn environment_variable(name: &str) -> Vec<String> {
    if !name.is_empty() && name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}

/// The name of a port (IANA_SVC_NAME).
pub fn port_name(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > 15 {
        problems.push(too_long(15));
    }
    if name.is_empty() || !name.bytes().all(|byte| is_alphanumeric_lower(byte) || byte == b'-') {
        problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)".to_owned());
    }
    if name.contains("--") {
        problems.push("must not contain consecutive hyphens".to_owned());
    }
    if name.starts_with('-') || name.ends_with('-') {
        problems.push("must not begin or end with a hyphen".to_owned());
    }
    problems
}

/// The number of a port.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) {
        return Vec::new();
    }
    vec!["must be between 1 and 65535, inclusive".to_owned()]
}

/// An IP address of either family, without leading zeros.
pub fn ip(address: &str) -> Vec<String> {
    if address.parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
}

/// Checks a name that has to be there and is safe as one segment of a URL path.
pub fn check_required_segment(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
    }
    errors.invalid_each(path, name, path_segment(name));
}

/// Checks a path with a domain before it, such as `example.com/controller`.
pub fn check_domain_prefixed_path(value: &str, path: &Path<'_>, errors: &mut Errors) {
    if value.is_empty() {
        errors.required(path, "");
        return;
    }
    match value.split_once('/') {
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
            errors.invalid_each(path, domain, dns1123_subdomain(domain));
            if !rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte)) {
                errors.invalid(path, rest, format!("Invalid path (regex used for validation is '{HTTP_PATH}')"));
            }
        }
        _ => errors.invalid(path, value, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
}

/// Checks the name of a webhook: a domain of at least three segments.
pub fn check_fully_qualified_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
        return;
    }
    let problems = dns1123_subdomain(name);
    if !problems.is_empty() {
        errors.invalid(path, name, problems.join(","));
    } else if name.split('.').count() < 3 {
        errors.invalid(path, name, "should be a domain with at least three segments separated by dots");
    }
}

/// An identifier as in C: attributes of devices.
pub fn c_identifier(name: &str) -> Vec<String> {
    let shaped = !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
    check(name, usize::MAX, shaped && !name.is_empty(), C_IDENTIFIER)
}

/// Checks the name of a storage or device driver: a DNS-1123 subdomain, in either case, no longer than a label.
pub fn check_csi_driver_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
        return;
    }
    if name.len() > LABEL_MAX {
        errors.too_long(path, LABEL_MAX);
    }
    errors.invalid_each(path, name, dns1123_subdomain(&name.to_lowercase()));
}

/// A percentage such as `25%`.
pub fn percent(value: &str) -> Vec<String> {
    if value.strip_suffix('%').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())) {
        return Vec::new();
    }
    vec![
        "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
            .to_owned(),
    ]
}

/// `base` with a random suffix, cut so that the result is a valid DNS label.
///
/// `random` is one draw from the caller's generator; all 27^5 suffixes are equally likely but for a bias below 2^-40.
pub fn generate(base: &str, mut random: u64) -> String {
    let mut end = base.len().min(LABEL_MAX - GENERATED_SUFFIX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_owned();
    for _ in 0..GENERATED_SUFFIX {
        let letters = SUFFIX_ALPHABET.len() as u64;
        name.push(char::from(SUFFIX_ALPHABET[usize::try_from(random % letters).unwrap_or(0)]));
        random /= letters;
    }
    name
}

/// Whether a text is a version in the words of semver.org: `1.2.3-alpha.1+build`.
pub fn is_semantic_version(text: &str) -> bool {
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(core, pre)| (core, Some(pre)));
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|pre| pre.split('.').all(|part| word(part) && (!digits(part) || number(part))))
        && build.is_none_or(|build| build.split('.').all(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_bad_names() {
        type Check = fn(&str) -> Vec<String>;
        let table: &[(Check, &[&str], &[&str])] = &[
            (dns1123_subdomain, &["a", "a.b", "0-a.example.com"], &["", "A", "a_b", "-a", "a-", "a..b", ".a", "a."]),
            (dns1123_label, &["a", "123-abc"], &["", "a.b", "A", "a-", "é"]),
            (dns1035_label, &["a", "a1"], &["", "1a", "a.b"]),
            (path_segment, &["system:node", "a.b", "A_b"], &[".", "..", "a/b", "a%b"]),
            (qualified_name, &["a", "example.com/A_b.c"], &["", "a/b/c", "/a", "A.com/", "a b", "-a"]),
            (label_value, &["", "A_b.c-1"], &["a b", "-a", "a/b"]),
            (config_map_key, &["a", ".a", "A_b-c.d"], &["", ".", "..", "..a", "a/b"]),
            (environment_variable, &["A", "a.b-c", "1 2"], &["", "A=B", "Ä"]),
            (port_name, &["http", "h-2"], &["", "-a", "a--b", "80", "Http", "0123456789abcdef"]),
            (percent, &["0%", "100%"], &["", "%", "1", "-1%", "a%"]),
            (ip, &["10.0.0.1", "2001:db8::1"], &["", "10.0.0", "010.0.0.1", "::g"]),
        ];
        for (check, good, bad) in table {
            for name in *good {
                assert_eq!(check(name), Vec::<String>::new(), "{name:?} is good");
            }
            for name in *bad {
                assert_ne!(check(name), Vec::<String>::new(), "{name:?} is bad");
            }
        }
    }

    #[test]
    fn generated_names_are_labels_with_the_given_base() {
        let long = "x".repeat(80);
        for (base, random) in [("web-", 0), ("web-", u64::MAX), (long.as_str(), 12345), ("", 7)] {
            let name = generate(base, random);
            assert_eq!(dns1123_label(&name), Vec::<String>::new());
            assert!(name.starts_with(&base[..base.len().min(58)]) && name.len() <= LABEL_MAX);
        }
        assert_ne!(generate("web-", 1), generate("web-", 2));
    }

    #[test]
    fn versions_are_those_of_the_specification() {
        for good in ["0.0.0", "1.2.3", "1.2.3-alpha.1", "1.0.0-0a.b-c+build.01"] {
            assert!(is_semantic_version(good), "{good}");
        }
        for bad in ["", "1", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "v1.2.3", "1.2.3.4"] {
            assert!(!is_semantic_version(bad), "{bad}");
        }
    }
}

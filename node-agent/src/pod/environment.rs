//! A container's environment, command and arguments: literals, references and `$(VAR)`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};

use super::ConfigError;
use super::field_ref::{self, Facts};

/// The objects a container's environment refers to, by name; the caller has fetched them.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) config_maps: BTreeMap<String, ConfigMap>,
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// The names of the ConfigMaps and Secrets that `container` refers to.
pub(crate) fn references(container: &Container) -> (Vec<String>, Vec<String>) {
    let mut config_maps = Vec::new();
    let mut secrets = Vec::new();
    for from in container.env_from.iter().flatten() {
        config_maps.extend(from.config_map_ref.iter().map(|reference| reference.name.clone()));
        secrets.extend(from.secret_ref.iter().map(|reference| reference.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        config_maps.extend(source.config_map_key_ref.iter().map(|reference| reference.name.clone()));
        secrets.extend(source.secret_key_ref.iter().map(|reference| reference.name.clone()));
    }
    (config_maps, secrets)
}

/// The container's variables. `services` are those that describe Services; any other variable wins over them.
pub(crate) fn variables(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    services: &BTreeMap<String, String>,
    facts: &Facts,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let entries = imported(pod, from, sources)?;
        own.extend(entries.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => {
                Some(expand(value, |name| own.get(name).or_else(|| services.get(name))))
            }
            (_, Some(source)) => referred(pod, container, source, sources, facts)?,
            (_, None) => Some(String::new()),
        };
        if let Some(value) = value {
            own.insert(variable.name.clone(), value);
        }
    }
    let mut all = services.clone();
    all.extend(own);
    Ok(all.into_iter().collect())
}

/// Command or arguments with `$(VAR)` replaced.
pub(crate) fn words(words: Option<&Vec<String>>, variables: &[(String, String)]) -> Vec<String> {
    let lookup = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    words.into_iter().flatten().map(|word| expand(word, lookup)).collect()
}

/// Replaces `$(NAME)`; `$$` stands for `$`, and an unknown name stays as it is written.
pub(crate) fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            result.push('$');
            rest = escaped;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|reference| reference.split_once(')')) {
            match lookup(name) {
                Some(value) => result.push_str(value),
                None => result.push_str(&rest[at..rest.len() - tail.len()]),
            }
            rest = tail;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result.push_str(rest);
    result
}

type EnvFrom = k8s_openapi::api::core::v1::EnvFromSource;

fn imported(pod: &Pod, from: &EnvFrom, sources: &Sources) -> Result<BTreeMap<String, String>, ConfigError> {
    if let Some(reference) = &from.config_map_ref {
        return match sources.config_maps.get(&reference.name) {
            Some(map) => Ok(map.data.clone().unwrap_or_default()),
            None if reference.optional == Some(true) => Ok(BTreeMap::new()),
            None => Err(missing("configmap", &reference.name)),
        };
    }
    let Some(reference) = &from.secret_ref else { return Ok(BTreeMap::new()) };
    match sources.secrets.get(&reference.name) {
        Some(secret) => {
            let entries = secret.data.iter().flatten();
            entries.map(|(key, value)| Ok((key.clone(), utf8(pod, &reference.name, key, &value.0)?))).collect()
        }
        None if reference.optional == Some(true) => Ok(BTreeMap::new()),
        None => Err(missing("secret", &reference.name)),
    }
}

/// `None` is an optional reference to what does not exist: the variable is left out.
fn referred(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    sources: &Sources,
    facts: &Facts,
) -> Result<Option<String>, ConfigError> {
    if let Some(reference) = &source.field_ref {
        return field_ref::field(pod, facts, &reference.field_path).map(Some);
    }
    if let Some(reference) = &source.resource_field_ref {
        let named = reference.container_name.as_deref().filter(|name| !name.is_empty());
        let of = named.and_then(|name| super::container(pod, name)).unwrap_or(container);
        return field_ref::resource(of, facts, reference).map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let Some(map) = sources.config_maps.get(&reference.name) else {
            return if optional { Ok(None) } else { Err(missing("configmap", &reference.name)) };
        };
        let value = map.data.as_ref().and_then(|data| data.get(&reference.key)).cloned();
        return if value.is_none() && !optional {
            Err(no_key(pod, "ConfigMap", &reference.name, &reference.key))
        } else {
            Ok(value)
        };
    }
    let Some(reference) = &source.secret_key_ref else {
        return Err(ConfigError("a variable's valueFrom names no source this node knows".to_owned()));
    };
    let optional = reference.optional == Some(true);
    let Some(secret) = sources.secrets.get(&reference.name) else {
        return if optional { Ok(None) } else { Err(missing("secret", &reference.name)) };
    };
    match secret.data.as_ref().and_then(|data| data.get(&reference.key)) {
        Some(value) => utf8(pod, &reference.name, &reference.key, &value.0).map(Some),
        None if optional => Ok(None),
        None => Err(no_key(pod, "Secret", &reference.name, &reference.key)),
    }
}

fn missing(kind: &str, name: &str) -> ConfigError {
    ConfigError(format!("{kind} \"{name}\" not found"))
}

fn no_key(pod: &Pod, kind: &str, name: &str, key: &str) -> ConfigError {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    ConfigError(format!("couldn't find key {key} in {kind} {namespace}/{name}"))
}

fn utf8(pod: &Pod, name: &str, key: &str, value: &[u8]) -> Result<String, ConfigError> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    String::from_utf8(value.to_vec())
        .map_err(|_| ConfigError(format!("key {key} of Secret {namespace}/{name} is not text: mount it as a file")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(container: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "web", "namespace": "shop" }, "spec": { "containers": [container] }
        }))
        .unwrap()
    }

    fn sources() -> Sources {
        let map: ConfigMap = serde_json::from_value(json!({ "data": { "color": "blue" } })).unwrap();
        let secret: Secret = serde_json::from_value(json!({ "data": { "key": "c2VjcmV0" } })).unwrap();
        Sources {
            config_maps: BTreeMap::from([("settings".to_owned(), map)]),
            secrets: BTreeMap::from([("keys".to_owned(), secret)]),
        }
    }

    fn evaluate(container: serde_json::Value) -> Result<BTreeMap<String, String>, ConfigError> {
        let pod = pod(container);
        let services = BTreeMap::from([("KUBERNETES_SERVICE_HOST".to_owned(), "10.96.0.1".to_owned())]);
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let found = variables(&pod, container, &sources(), &services, &Facts::default())?;
        Ok(found.into_iter().collect())
    }

    #[test]
    fn expands_known_names_only() {
        let known = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in [
            ("x$(A)y", "x1y"),
            ("$$(A)", "$(A)"),
            ("$(B)", "$(B)"),
            ("$(A", "$(A"),
            ("$A $", "$A $"),
            ("$$$(A)", "$1"),
            ("$(A)$(A)", "11"),
        ] {
            assert_eq!(expand(text, |name| known.get(name)), expected, "{text}");
        }
    }

    #[test]
    fn variables_come_from_everywhere_and_later_ones_win() {
        let found = evaluate(json!({ "name": "a",
            "envFrom": [{ "prefix": "CFG_", "configMapRef": { "name": "settings" } }, { "secretRef": { "name": "keys" } }],
            "env": [
                { "name": "NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                { "name": "URL", "value": "http://$(KUBERNETES_SERVICE_HOST)/$(NAME)/$(CFG_color)" },
                { "name": "SECRET", "valueFrom": { "secretKeyRef": { "name": "keys", "key": "key" } } },
                { "name": "OPTIONAL", "valueFrom": { "secretKeyRef": { "name": "none", "key": "k", "optional": true } } },
                { "name": "EMPTY" },
            ] }))
        .unwrap();
        assert_eq!(found["URL"], "http://10.96.0.1/web/blue");
        assert_eq!(found["SECRET"], "secret");
        assert_eq!(found["key"], "secret");
        assert_eq!(found["EMPTY"], "");
        assert!(!found.contains_key("OPTIONAL"));
    }

    #[test]
    fn missing_references_say_what_is_missing() {
        for (source, message) in [
            (json!({ "configMapKeyRef": { "name": "none", "key": "k" } }), "configmap \"none\" not found"),
            (
                json!({ "configMapKeyRef": { "name": "settings", "key": "k" } }),
                "couldn't find key k in ConfigMap shop/settings",
            ),
            (json!({ "secretKeyRef": { "name": "none", "key": "k" } }), "secret \"none\" not found"),
            (json!({ "secretKeyRef": { "name": "keys", "key": "k" } }), "couldn't find key k in Secret shop/keys"),
        ] {
            let error = evaluate(json!({ "name": "a", "env": [{ "name": "X", "valueFrom": source }] })).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}

//! Image references: `nginx`, `registry.example:5000/team/app:1.2`, `docker.io/library/nginx@sha256:...`.

use std::fmt;

use super::Error;

/// A normalized reference: with a registry, and with a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference(oci_client::Reference);

impl Reference {
    pub(crate) fn parse(name: &str) -> Result<Self, Error> {
        let invalid = |message: String| Error::InvalidName { name: name.to_owned(), message };
        if name.len() > 1024 {
            return Err(invalid("longer than 1024 characters".to_owned()));
        }
        name.parse().map(Self).map_err(|error: oci_client::ParseError| invalid(error.to_string()))
    }

    /// `host[:port]`.
    pub(crate) fn registry(&self) -> &str {
        self.0.registry()
    }

    /// Name with registry, without tag and digest.
    pub(crate) fn repository(&self) -> String {
        format!("{}/{}", self.0.registry(), self.0.repository())
    }

    pub(crate) fn digest(&self) -> Option<&str> {
        self.0.digest()
    }

    pub(crate) fn as_oci(&self) -> &oci_client::Reference {
        &self.0
    }

    /// Whether the registry is on this node, where plain HTTP is safe.
    pub(crate) fn is_loopback(&self) -> bool {
        let registry = self.registry();
        let host = match registry.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => registry.split(':').next().unwrap_or_default(),
        };
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository())?;
        match (self.0.digest(), self.0.tag()) {
            (Some(digest), _) => write!(f, "@{digest}"),
            (None, Some(tag)) => write!(f, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_everywhere() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (given, expect) in [
            ("nginx", "docker.io/library/nginx:latest".to_owned()),
            ("nginx:1.27", "docker.io/library/nginx:1.27".to_owned()),
            ("team/app", "docker.io/team/app:latest".to_owned()),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c".to_owned()),
            ("kontiki.io/demo:1", "kontiki.io/demo:1".to_owned()),
            (&format!("nginx@{digest}"), format!("docker.io/library/nginx@{digest}")),
            (&format!("nginx:1@{digest}"), format!("docker.io/library/nginx@{digest}")),
        ] {
            assert_eq!(Reference::parse(given).unwrap().to_string(), expect, "{given}");
        }
    }

    #[test]
    fn bad_names_are_refused() {
        for name in ["", "UPPER", "a b", "a:", "-/x:?", &"a".repeat(2000)] {
            assert_eq!(Reference::parse(name).unwrap_err().reason(), "InvalidImageName", "{name}");
        }
    }

    #[test]
    fn registries_on_this_node_are_known() {
        for (name, expect) in
            [("localhost:5000/a", true), ("127.0.0.1:1/a", true), ("localhost.example/a", false), ("nginx", false)]
        {
            assert_eq!(Reference::parse(name).unwrap().is_loopback(), expect, "{name}");
        }
    }
}

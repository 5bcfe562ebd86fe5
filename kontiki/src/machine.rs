//! What a machine knows of itself when nobody said it: its name and its address; and how many files it lets a process open.

use std::net::{IpAddr, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The given name, or else the host's in lower case, as Kubernetes wants a node's.
pub(crate) fn name(given: Option<&str>) -> Result<String> {
    let name = match given {
        Some(name) => name.to_owned(),
        None => {
            let name = nix::unistd::gethostname().context("this machine has no host name: give one with --name")?;
            name.to_string_lossy().to_lowercase()
        }
    };
    check_name(&name)?;
    Ok(name)
}

/// A machine's name becomes a Node's name and a part of certificates: a DNS-1123 subdomain.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let label = |l: &str| !l.is_empty() && !l.starts_with('-') && !l.ends_with('-');
    let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
    ensure!(
        letters && name.len() <= 253 && name.split('.').all(label),
        "{name:?} is no host name: use lower-case letters, digits, '-' and '.', at most 253 (--name)"
    );
    Ok(())
}

/// The address that packets to elsewhere would carry. No packet is sent: the kernel only looks at its routes.
pub(crate) fn address() -> Result<IpAddr> {
    let hint = "this machine has no route to elsewhere: say its address with --advertise-address or --node-address";
    let socket = UdpSocket::bind(("0.0.0.0", 0)).context(hint)?;
    // An address for documentation (RFC 5737) stands for "elsewhere".
    socket.connect(("192.0.2.1", 9)).context(hint)?;
    let address = socket.local_addr()?.ip();
    ensure!(!address.is_unspecified() && !address.is_loopback(), hint);
    Ok(address)
}

/// Lets this process open as many files as it may at all. A master has thousands of connections, and what it gets unasked is mostly
/// 1024; a log that finds no descriptor for its next file waits.
pub(crate) fn use_all_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, limit = current, "the limit of open files stays as it is");
    }
}

/// A token given as text, or as `@FILE`.
pub(crate) fn token(given: &str) -> Result<crate::token::Token> {
    match given.strip_prefix('@') {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read the token file {path}"))?.parse()
        }
        None => given.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_raised_as_far_as_it_may_be() {
        use_all_descriptors();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }

    #[test]
    fn names_that_cannot_be_a_node_are_refused() {
        for name in ["w1", "a.b-c.d", "0"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "W1", "a..b", "-a", "a-", "a/b", "a b", &"x".repeat(254)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}

//! What a machine knows of itself when nobody said it: its name and its address.

use std::net::{IpAddr, UdpSocket};

use anyhow::{Context as _, Result, ensure};

/// The host's name in lower case, as Kubernetes wants a node's.
pub(crate) fn name() -> Result<String> {
    let name = nix::unistd::gethostname().context("this machine has no host name: give one with --name")?;
    let name = name.to_string_lossy().to_lowercase();
    ensure!(!name.is_empty(), "this machine's host name is empty: give one with --name");
    Ok(name)
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

/// A token given as text, or as `@FILE`.
pub(crate) fn token(given: &str) -> Result<crate::token::Token> {
    match given.strip_prefix('@') {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read the token file {path}"))?.parse()
        }
        None => given.parse(),
    }
}

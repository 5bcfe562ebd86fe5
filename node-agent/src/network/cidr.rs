//! An address range in CIDR notation. Only what the pod network needs: parse, membership, enumeration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network address and prefix length; host bits are always zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is not a CIDR.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a CIDR: write it like 10.244.1.0/24, with no bit set beyond the prefix")]
pub struct ParseCidrError {
    text: String,
}

impl Cidr {
    /// The first address of the range.
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// The prefix length in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `address` lies in the range; never true across address families.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => mask_v4(address, self.prefix) == network,
            (IpAddr::V6(network), IpAddr::V6(address)) => mask_v6(address, self.prefix) == network,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The number of addresses, capped at 2^32.
    pub fn size(&self) -> u64 {
        let bits = match self.network {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        1u64 << (bits - u32::from(self.prefix)).min(32)
    }

    /// The address `offset` steps after the network address, if it is still inside.
    pub fn nth(&self, offset: u64) -> Option<IpAddr> {
        if offset >= self.size() {
            return None;
        }
        match self.network {
            IpAddr::V4(network) => {
                let offset = u32::try_from(offset).ok()?;
                u32::from(network).checked_add(offset).map(|bits| IpAddr::V4(Ipv4Addr::from(bits)))
            }
            IpAddr::V6(network) => {
                u128::from(network).checked_add(u128::from(offset)).map(|bits| IpAddr::V6(Ipv6Addr::from(bits)))
            }
        }
    }
}

fn mask_v4(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    Ipv4Addr::from(u32::from(address) & mask)
}

fn mask_v6(address: Ipv6Addr, prefix: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    Ipv6Addr::from(u128::from(address) & mask)
}

impl FromStr for Cidr {
    type Err = ParseCidrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || ParseCidrError { text: text.to_owned() };
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let network: IpAddr = address.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().map_err(|_| invalid())?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        if prefix > width {
            return Err(invalid());
        }
        let cidr = Self { network, prefix };
        if cidr.contains(network) { Ok(cidr) } else { Err(invalid()) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_refuses() {
        for (text, ok) in [
            ("10.244.1.0/24", true),
            ("10.244.1.1/24", false),
            ("10.244.1.1/32", true),
            ("0.0.0.0/0", true),
            ("10.244.1.0/33", false),
            ("10.244.1.0", false),
            ("fd00::/64", true),
            ("fd00::1/64", false),
        ] {
            assert_eq!(text.parse::<Cidr>().is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn enumerates_inside_only() {
        let cidr: Cidr = "10.244.1.0/30".parse().unwrap();
        assert_eq!(cidr.size(), 4);
        assert_eq!(cidr.nth(3), Some("10.244.1.3".parse().unwrap()));
        assert_eq!(cidr.nth(4), None);
        assert!(cidr.contains("10.244.1.2".parse().unwrap()));
        assert!(!cidr.contains("10.244.1.4".parse().unwrap()));
        assert!(!cidr.contains("fd00::".parse().unwrap()));
    }
}

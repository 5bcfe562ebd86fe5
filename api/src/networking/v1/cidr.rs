//! Ranges of addresses.

use std::fmt;
use std::net::IpAddr;

use crate::validation::{Errors, Path};

/// An address and how many of its first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Reads `10.9.8.0/24`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        if prefix.is_empty()
            || !prefix.bytes().all(|byte| byte.is_ascii_digit())
            || prefix.len() > 1 && prefix.starts_with('0')
        {
            return None;
        }
        let cidr = Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
        (cidr.prefix <= cidr.width()).then_some(cidr)
    }

    pub(super) fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    fn width(self) -> u8 {
        if self.is_ipv4() { 32 } else { 128 }
    }

    /// The address as a number whose highest bits are the first ones.
    fn bits(self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        }
    }

    fn mask(self) -> u128 {
        if self.prefix == 0 { 0 } else { u128::MAX << (128 - u32::from(self.prefix)) }
    }

    /// The range written with its first address.
    pub(super) fn network(self) -> Self {
        let bits = self.bits() & self.mask();
        let address = match self.address {
            IpAddr::V4(_) => IpAddr::V4(u32::try_from(bits >> 96).unwrap_or(0).into()),
            IpAddr::V6(_) => IpAddr::V6(bits.into()),
        };
        Self { address, ..self }
    }

    /// Whether `other` is a part of this range, and not all of it.
    pub(super) fn strictly_contains(self, other: Self) -> bool {
        self.is_ipv4() == other.is_ipv4()
            && self.prefix < other.prefix
            && self.bits() & self.mask() == other.bits() & self.mask()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Reads a range, and reports one that cannot be read.
pub(super) fn check(text: &str, path: &Path<'_>, errors: &mut Errors) -> Option<Cidr> {
    let cidr = Cidr::parse(text);
    if cidr.is_none() {
        errors.invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
    cidr
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_compared() {
        for bad in
            ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0/8", "::/129", "a/8", "10.0.0.0/+8"]
        {
            assert!(Cidr::parse(bad).is_none(), "{bad}");
        }
        let cidr = |text| Cidr::parse(text).unwrap();
        assert_eq!(cidr("10.1.2.3/8").network().to_string(), "10.0.0.0/8");
        assert_eq!(cidr("2001:0db8::1/32").network().to_string(), "2001:db8::/32");
        for (outer, inner, want) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.0.0.0/8", false),
            ("10.0.0.0/8", "11.0.0.0/16", false),
            ("0.0.0.0/0", "10.0.0.0/8", true),
            ("::/0", "10.0.0.0/8", false),
        ] {
            assert_eq!(cidr(outer).strictly_contains(cidr(inner)), want, "{outer} {inner}");
        }
    }
}

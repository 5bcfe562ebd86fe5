//! SHA-256 digests as images write them: `sha256:<hex>`.

use std::{
    fmt,
    io::{self, Read},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// A SHA-256 digest. Its hexadecimal form is safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Digest(String);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::finished(ring::digest::digest(&ring::digest::SHA256, bytes))
    }

    fn finished(hash: ring::digest::Digest) -> Self {
        Self(hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The 64 hexadecimal digits.
    pub(crate) fn hex(&self) -> &str {
        &self.0
    }

    /// The identity of a stack of layers: of the lower stack's identity and the layer on top.
    pub(crate) fn chain(lower: Option<&Self>, layer: &Self) -> Self {
        lower.map_or_else(|| layer.clone(), |lower| Self::of(format!("{lower} {layer}").as_bytes()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() == 64 && hex.bytes().all(digits) {
            Ok(Self(hex.to_owned()))
        } else {
            Err(format!("{text:?} is no sha256 digest"))
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Computes the digest of what is read through it.
pub(crate) struct DigestReader<R> {
    reader: R,
    hash: ring::digest::Context,
}

impl<R: Read> DigestReader<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, hash: ring::digest::Context::new(&ring::digest::SHA256) }
    }

    /// Reads what is left, and compares.
    pub(crate) fn verify(mut self, expected: &Digest) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink())?;
        let found = Digest::finished(self.hash.finish());
        if found == *expected {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("the content is {found}, not {expected}")))
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_round_trip_and_bad_ones_are_refused() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(b""));
        for text in ["", "sha256:", "sha512:00", "sha256:../../x", &EMPTY.to_uppercase()] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn readers_verify_all_of_the_content() {
        assert!(DigestReader::new(&b"abc"[..]).verify(&Digest::of(b"abc")).is_ok());
        assert!(DigestReader::new(&b"abd"[..]).verify(&Digest::of(b"abc")).is_err());
    }
}

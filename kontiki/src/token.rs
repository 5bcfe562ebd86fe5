//! Join tokens: `kontiki1.<hash of the cluster authority>.<id>.<secret>`.
//!
//! The hash lets a joining machine know the cluster before it trusts any answer; the id finds the record in the store; the
//! secret is never stored, only its hash. A token has a role, an expiry and a number of uses.

use std::{fmt, str::FromStr};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};

/// Prefix and version of the format.
const PREFIX: &str = "kontiki1";

/// What a token lets its holder join as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// A master: receives the authorities' keys.
    Master,
    /// A node: receives a certificate for `system:node:<name>`.
    Node,
}

/// A token as its holder has it. Its text is a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// SHA-256 of the cluster authority's certificate (DER), base64url.
    pub(crate) authority_hash: String,
    /// Names the record.
    pub(crate) id: String,
    secret: String,
}

/// A token as the store keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// SHA-256 of the secret, base64url.
    pub(crate) secret_hash: String,
    /// What it is good for.
    pub(crate) role: Role,
    /// Unix seconds after which it is refused.
    pub(crate) expires: u64,
    /// How many more machines may join with it.
    pub(crate) uses_left: u32,
}

impl Token {
    /// A new token for the cluster with this authority, and its record.
    pub(crate) fn generate(authority_pem: &str, role: Role, expires: u64, uses: u32) -> Result<(Self, Record)> {
        let token =
            Self { authority_hash: authority_hash(authority_pem)?, id: random_text(6)?, secret: random_text(24)? };
        let record = Record { secret_hash: hash(token.secret.as_bytes()), role, expires, uses_left: uses };
        Ok((token, record))
    }

    /// Whether this token is the record's, at this time and for this role; the error is what the joining machine is told.
    pub(crate) fn check(&self, record: &Record, role: Role, now: u64) -> Result<()> {
        // Hashes are compared, so how long it takes tells nothing about the secret.
        let same = hash(self.secret.as_bytes()) == record.secret_hash;
        ensure!(same, "the token is not known here: make a new one with `kontiki token create` on a master");
        ensure!(record.role == role, "the token is for a {:?}, not for a {role:?}", record.role);
        ensure!(now < record.expires, "the token has expired: make a new one with `kontiki token create` on a master");
        ensure!(record.uses_left > 0, "the token is used up: make a new one with `kontiki token create` on a master");
        Ok(())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.{}.{}", self.authority_hash, self.id, self.secret)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.{}.<secret>", self.authority_hash, self.id)
    }
}

impl FromStr for Token {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let [PREFIX, authority_hash, id, secret] = parts[..] else {
            anyhow::bail!(
                "not a join token: it reads {PREFIX}.<hash>.<id>.<secret>, as `kontiki token create` prints it"
            );
        };
        let well_formed =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        ensure!(
            [authority_hash, id, secret].iter().all(|p| well_formed(p)),
            "the join token is damaged: copy it again, whole"
        );
        Ok(Self { authority_hash: authority_hash.into(), id: id.into(), secret: secret.into() })
    }
}

/// SHA-256 of an authority's certificate (DER), base64url.
pub(crate) fn authority_hash(authority_pem: &str) -> Result<String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(authority_pem.as_bytes()).context("the authority is not PEM")?;
    Ok(certificate_hash(&pem.contents))
}

/// SHA-256 of a certificate (DER), base64url.
pub(crate) fn certificate_hash(der: &[u8]) -> String {
    hash(der)
}

fn hash(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

fn random_text(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    SystemRandom::new().fill(&mut random).map_err(|_| anyhow::anyhow!("the system's random source failed"))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;

    #[test]
    fn a_token_is_good_for_its_role_its_time_and_its_uses() {
        let authority = Authority::generate("test").unwrap();
        let (token, mut record) = Token::generate(authority.cert(), Role::Node, 100, 1).unwrap();
        let read: Token = token.to_string().parse().unwrap();
        assert_eq!(read, token);
        assert!(read.check(&record, Role::Node, 99).is_ok());
        assert!(read.check(&record, Role::Master, 99).is_err());
        assert!(read.check(&record, Role::Node, 100).is_err());
        let (other, _) = Token::generate(authority.cert(), Role::Node, 100, 1).unwrap();
        assert!(other.check(&record, Role::Node, 99).is_err());
        record.uses_left = 0;
        assert!(read.check(&record, Role::Node, 99).is_err());
    }

    #[test]
    fn damaged_tokens_are_refused_and_debug_hides_the_secret() {
        for text in ["", "kontiki1.a.b", "kontiki2.a.b.c", "kontiki1.a..c", "kontiki1.a.b.c d"] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
        let token: Token = "kontiki1.hash.id.topsecret".parse().unwrap();
        assert!(!format!("{token:?}").contains("topsecret"));
    }
}

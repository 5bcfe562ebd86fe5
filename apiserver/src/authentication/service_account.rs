//! Service account tokens: JSON Web Tokens signed with ES256 by this cluster's own keys.
//!
//! Only what Kubernetes needs of RFC 7519 is here: compact form, one algorithm, a key chosen by its id. A token names
//! any other algorithm in vain, so confusion between algorithms is impossible.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use serde::{Deserialize, Serialize};

/// A token of a master whose clock is ahead is taken where the clock is behind: when it begins to be valid protects nobody. When
/// it ends does, and is not stretched.
const CLOCK_SKEW_SECONDS: i64 = 3600;

/// Why a token was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// It is no token of this cluster.
    #[error("token is malformed or was not issued by this cluster")]
    Foreign,
    /// The signature does not fit.
    #[error("token signature is invalid")]
    Signature,
    /// The token is outside the time it is valid for.
    #[error("token has expired or is not valid yet")]
    Expired,
    /// The token is meant for others.
    #[error("token audiences do not include any of {0:?}")]
    Audience(Vec<String>),
    /// What the token is bound to is gone.
    #[error("token is bound to {0}, which no longer exists")]
    Unbound(String),
}

/// A reference to the object a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    /// Its name.
    pub name: String,
    /// Its identity.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// The `kubernetes.io` claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Private {
    /// The account's namespace.
    pub namespace: String,
    /// The node the bound pod runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    /// The pod the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// The secret the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The account.
    pub serviceaccount: Reference,
}

/// What a service account token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Audiences.
    pub aud: Vec<String>,
    /// Expiry, in seconds since 1970.
    pub exp: i64,
    /// Issue time.
    pub iat: i64,
    /// Issuer.
    pub iss: String,
    /// The token's own id.
    pub jti: String,
    /// What Kubernetes adds.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Private,
    /// Not valid before.
    pub nbf: i64,
    /// The account's user name.
    pub sub: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

/// Signs tokens with the first key and accepts those of every key.
pub(crate) struct TokenKeys {
    issuer: String,
    keys: Vec<Key>,
}

impl std::fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        f.debug_struct("TokenKeys").field("issuer", &self.issuer).field("keys", &ids).finish()
    }
}

/// A signing key could not be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("no service account key given: at least one ECDSA P-256 key in PKCS#8 is needed")]
    Missing,
    /// It is of another kind.
    #[error("service account key {0} is not an ECDSA P-256 key in PKCS#8 DER")]
    Unreadable(usize),
}

impl TokenKeys {
    /// Reads PKCS#8 DER keys; the first one signs.
    pub(crate) fn new(issuer: impl Into<String>, pkcs8: &[Vec<u8>]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let read = |(at, der): (usize, &Vec<u8>)| {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
                .map_err(|_| KeyError::Unreadable(at))?;
            let digest = ring::digest::digest(&ring::digest::SHA256, pair.public_key().as_ref());
            Ok(Key { id: URL_SAFE_NO_PAD.encode(digest), pair })
        };
        let keys: Vec<Key> = pkcs8.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeyError::Missing) } else { Ok(Self { issuer: issuer.into(), keys }) }
    }

    /// Who issues the tokens.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Signs what `claims` say.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let key = &self.keys[0];
        let header = Header { alg: "ES256".to_owned(), kid: key.id.clone() };
        let encode = |json: serde_json::Result<Vec<u8>>| json.map(|json| URL_SAFE_NO_PAD.encode(json));
        let header = encode(serde_json::to_vec(&header)).map_err(|_| TokenError::Foreign)?;
        let payload = encode(serde_json::to_vec(claims)).map_err(|_| TokenError::Foreign)?;
        let message = format!("{header}.{payload}");
        let signature = key.pair.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| TokenError::Signature)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Checks signature, issuer and time (seconds since 1970); the audience is the caller's to check.
    pub(crate) fn verify(&self, token: &str, now: i64) -> Result<Claims, TokenError> {
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Foreign)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Foreign)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Foreign);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Foreign)?;
        let key = self.keys.iter().find(|key| key.id == header.kid && header.alg == "ES256");
        let key = key.ok_or(TokenError::Foreign)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key().as_ref())
            .verify(message.as_bytes(), &decode(signature)?)
            .map_err(|_| TokenError::Signature)?;
        let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| TokenError::Foreign)?;
        if claims.iss != self.issuer {
            return Err(TokenError::Foreign);
        }
        if now >= claims.exp || now < claims.nbf.saturating_sub(CLOCK_SKEW_SECONDS) {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    /// The public keys, as RFC 7517 publishes them.
    pub(crate) fn jwks(&self) -> serde_json::Value {
        let key = |key: &Key| {
            // An uncompressed point: 4, then x and y of 32 bytes each.
            let point = key.pair.public_key().as_ref();
            let half = |range| point.get(range).map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).unwrap_or_default();
            serde_json::json!({
                "use": "sig", "kty": "EC", "kid": key.id, "crv": "P-256", "alg": "ES256", "x": half(1..33), "y": half(33..65),
            })
        };
        let keys: Vec<serde_json::Value> = self.keys.iter().map(key).collect();
        serde_json::json!({ "keys": keys })
    }

    /// The OpenID Connect discovery document.
    pub(crate) fn discovery(&self, jwks_uri: &str) -> serde_json::Value {
        serde_json::json!({
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> TokenKeys {
        let pair = rcgen::KeyPair::generate().unwrap();
        TokenKeys::new("https://issuer", &[pair.serialize_der()]).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            aud: vec!["https://issuer".into()],
            exp: 200,
            iat: 100,
            iss: "https://issuer".into(),
            jti: "id".into(),
            kubernetes: Private {
                namespace: "ns".into(),
                node: None,
                pod: None,
                secret: None,
                serviceaccount: Reference { name: "sa".into(), uid: "uid".into() },
            },
            nbf: 100,
            sub: "system:serviceaccount:ns:sa".into(),
        }
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_expires() {
        let keys = keys();
        let token = keys.sign(&claims()).unwrap();
        assert_eq!(keys.verify(&token, 150), Ok(claims()));
        assert_eq!(keys.verify(&token, 200), Err(TokenError::Expired));
        assert_eq!(
            keys.verify(&token, 100 - CLOCK_SKEW_SECONDS),
            Ok(claims()),
            "signed by a master whose clock is ahead"
        );
        assert_eq!(keys.verify(&token, 99 - CLOCK_SKEW_SECONDS), Err(TokenError::Expired));
    }

    #[test]
    fn changed_and_foreign_tokens_are_refused() {
        let keys = keys();
        let token = keys.sign(&claims()).unwrap();
        let mut changed: Vec<&str> = token.split('.').collect();
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Claims { exp: 999, ..claims() }).unwrap());
        changed[1] = &payload;
        assert_eq!(keys.verify(&changed.join("."), 150), Err(TokenError::Signature));
        let other = self::keys();
        assert_eq!(other.verify(&token, 150), Err(TokenError::Foreign));
        let none = URL_SAFE_NO_PAD.encode(br#"{"alg":"none","kid":""}"#);
        assert_eq!(keys.verify(&format!("{none}.{payload}."), 150), Err(TokenError::Foreign));
        for text in ["", ".", "..", "a.b.c"] {
            assert_eq!(keys.verify(text, 150), Err(TokenError::Foreign), "{text}");
        }
    }
}

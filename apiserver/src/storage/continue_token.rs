//! The token that continues a list: base64url JSON with upstream's field names, so that tools that look inside see
//! what they expect.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Serialize};

const VERSION: &str = "meta.k8s.io/v1";
/// Pads neither way, as upstream's encoder does, and reads both.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where and at which revision a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContinueToken {
    /// The revision of the first page; `None` continues at the latest one.
    pub revision: Option<i64>,
    /// The first key of the next page, relative to the list's prefix.
    pub start: String,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    v: String,
    rv: i64,
    start: String,
}

impl ContinueToken {
    /// The token's text.
    pub(crate) fn encode(&self) -> String {
        let wire = Wire { v: VERSION.to_owned(), rv: self.revision.unwrap_or(-1), start: self.start.clone() };
        ENGINE.encode(serde_json::to_vec(&wire).unwrap_or_default())
    }

    /// Reads a token, or says what is wrong with it.
    pub(crate) fn decode(text: &str) -> Result<Self, String> {
        let bytes = ENGINE.decode(text).map_err(|error| format!("continue key is not valid: {error}"))?;
        let wire: Wire =
            serde_json::from_slice(&bytes).map_err(|error| format!("continue key is not valid: {error}"))?;
        if wire.v != VERSION {
            return Err(format!(
                "continue key is not valid: server does not recognize this encoded version \"{}\"",
                wire.v
            ));
        }
        if wire.rv == 0 {
            return Err(
                "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)".into()
            );
        }
        // A start that leaves the prefix would list what the caller was not authorized for.
        if wire.start.split('/').any(|part| matches!(part.trim_end_matches('\0'), "." | ".."))
            || wire.start.starts_with('/')
        {
            return Err(format!("continue key is not valid: {}", wire.start));
        }
        Ok(Self { revision: (wire.rv > 0).then_some(wire.rv), start: wire.start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_return_what_they_were_made_of() {
        for revision in [Some(7), None] {
            let token = ContinueToken { revision, start: "ns/name\0".into() };
            assert_eq!(ContinueToken::decode(&token.encode()), Ok(token));
        }
    }

    #[test]
    fn bad_tokens_say_why() {
        for text in ["%%%", "e30", &ContinueToken { revision: Some(1), start: "../secrets/x".into() }.encode()] {
            assert!(ContinueToken::decode(text).is_err_and(|error| error.starts_with("continue key is not valid")));
        }
    }
}

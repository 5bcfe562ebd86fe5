//! Which form a body has and which form the answer takes: media types, `as=Table`, pretty printing.

use http::{HeaderMap, header};

/// How an object stands in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum MediaType {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

impl MediaType {
    /// The header value for a whole body.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    /// The header value for a stream of watch events.
    pub(crate) fn stream_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            Self::Json | Self::Yaml => "application/json",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        match name {
            "*/*" | "application/*" | "application/json" => Some(Self::Json),
            "application/yaml" => Some(Self::Yaml),
            "application/vnd.kubernetes.protobuf" => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// What an object is turned into before it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The object itself.
    Object,
    /// A table for people, in this version of meta.k8s.io.
    Table(&'static str),
    /// The object's metadata alone.
    PartialMetadata,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Encoding {
    /// The codec.
    pub media: MediaType,
    /// What is encoded.
    pub target: Target,
    /// Indented JSON, for people.
    pub pretty: bool,
}

impl Encoding {
    /// JSON of the object itself: the form that needs no decoding.
    pub(crate) const JSON: Self = Self { media: MediaType::Json, target: Target::Object, pretty: false };

    /// Chooses the answer's form. `None` means that nothing the client accepts can be produced.
    ///
    /// Objects that have no `protobuf` form still have metadata that has one.
    pub(crate) fn choose(headers: &HeaderMap, query: &str, watch: bool, protobuf: bool) -> Option<Self> {
        let pretty = wants_pretty(headers, query);
        let accept = header_text(headers, header::ACCEPT);
        if accept.trim().is_empty() {
            return Some(Self { pretty, ..Self::JSON });
        }
        let mut clauses: Vec<(f32, &str)> = accept.split(',').map(|clause| (quality(clause), clause)).collect();
        clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
        clauses.into_iter().find_map(|(_, clause)| {
            let found = acceptable(clause, watch)?;
            let (media, target) = if protobuf { found } else { without_protobuf(found)? };
            Some(Self { media, target, pretty: pretty && media == MediaType::Json && !watch })
        })
    }
}

/// The media type of a request's body, without parameters; a missing header reads as JSON.
pub(crate) fn body_type(headers: &HeaderMap) -> String {
    let text = header_text(headers, header::CONTENT_TYPE);
    let name = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if name.is_empty() { "application/json".to_owned() } else { name }
}

/// The codec of a request's body, when there is one.
pub(crate) fn body_media(headers: &HeaderMap) -> Option<MediaType> {
    match body_type(headers).as_str() {
        "*/*" | "application/*" => None,
        name => MediaType::parse(name),
    }
}

/// True when the answer may be compressed.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = header_text(headers, header::ACCEPT_ENCODING);
    accepted.split(',').any(|coding| coding.split(';').next().is_some_and(|name| name.trim() == "gzip"))
}

fn acceptable(clause: &str, watch: bool) -> Option<(MediaType, Target)> {
    let mut parts = clause.split(';').map(str::trim);
    let media = MediaType::parse(&parts.next()?.to_ascii_lowercase())?;
    let (mut kind, mut group, mut version, mut stream) = ("", "", "", "");
    for part in parts {
        match part.split_once('=') {
            Some(("as", value)) => kind = value,
            Some(("g", value)) => group = value,
            Some(("v", value)) => version = value,
            Some(("stream", value)) => stream = value,
            _ => {}
        }
    }
    if !(stream.is_empty() || (watch && stream == "watch")) || (watch && media == MediaType::Yaml) {
        return None;
    }
    let target = match (kind, group, version) {
        ("", _, _) => Target::Object,
        // Tables have no protobuf form.
        ("Table", "meta.k8s.io", "v1") if media != MediaType::Protobuf => Target::Table("v1"),
        ("Table", "meta.k8s.io", "v1beta1") if media != MediaType::Protobuf => Target::Table("v1beta1"),
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => Target::PartialMetadata,
        _ => return None,
    };
    Some((media, target))
}

fn without_protobuf((media, target): (MediaType, Target)) -> Option<(MediaType, Target)> {
    (media != MediaType::Protobuf || target == Target::PartialMetadata).then_some((media, target))
}

fn quality(clause: &str) -> f32 {
    let value = clause.split(';').skip(1).find_map(|part| part.trim().strip_prefix("q="));
    value.and_then(|text| text.parse().ok()).unwrap_or(1.0)
}

/// `?pretty=` decides; otherwise people's tools get indented JSON.
fn wants_pretty(headers: &HeaderMap, query: &str) -> bool {
    let asked = query.split('&').find_map(|pair| match pair.split_once('=').unwrap_or((pair, "true")) {
        ("pretty", value) => Some(!matches!(value, "false" | "0")),
        _ => None,
    });
    asked.unwrap_or_else(|| {
        let agent = header_text(headers, header::USER_AGENT);
        ["curl", "Wget", "Mozilla/5.0"].iter().any(|prefix| agent.starts_with(prefix))
    })
}

/// A header's text; several lines of the same header count as one list.
fn header_text(headers: &HeaderMap, name: header::HeaderName) -> String {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    lines.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn choose(accept: &str, watch: bool) -> Option<(MediaType, Target)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        Encoding::choose(&headers, "", watch, true).map(|chosen| (chosen.media, chosen.target))
    }

    #[test]
    fn the_first_clause_that_can_be_served_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        let cases = [
            ("", false, Some((MediaType::Json, Target::Object))),
            ("*/*", false, Some((MediaType::Json, Target::Object))),
            (table, false, Some((MediaType::Json, Target::Table("v1")))),
            (table, true, Some((MediaType::Json, Target::Table("v1")))),
            ("application/vnd.kubernetes.protobuf,application/json", false, {
                Some((MediaType::Protobuf, Target::Object))
            }),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json", false, {
                Some((MediaType::Json, Target::Object))
            }),
            ("application/json;q=0.5,application/yaml", false, Some((MediaType::Yaml, Target::Object))),
            ("application/json;stream=watch", true, Some((MediaType::Json, Target::Object))),
            ("text/html", false, None),
        ];
        let accept = "application/vnd.kubernetes.protobuf, application/json";
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        let chosen = Encoding::choose(&headers, "", false, false);
        assert_eq!(chosen.map(|chosen| chosen.media), Some(MediaType::Json), "custom resources have no protobuf form");
        for (accept, watch, expected) in cases {
            assert_eq!(choose(accept, watch), expected, "{accept}");
        }
    }

    #[test]
    fn curl_gets_indented_json() {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("curl/8.0"));
        assert!(Encoding::choose(&headers, "", false, true).is_some_and(|chosen| chosen.pretty));
        assert!(Encoding::choose(&headers, "pretty=false", false, true).is_some_and(|chosen| !chosen.pretty));
    }
}

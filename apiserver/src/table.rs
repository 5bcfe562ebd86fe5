//! The Table form of objects: what `kubectl get` prints.

use api::{
    Object,
    kind::Kind,
    table::{Cell, RowCondition},
};

use crate::encode::{Include, Show, partial};

/// The list metadata of a table.
pub(crate) struct Head<'a> {
    /// The version of meta.k8s.io the client asked for.
    pub version: &'static str,
    /// The revision.
    pub revision: &'a str,
    /// Where the list goes on.
    pub next: &'a str,
    /// How many objects follow.
    pub remaining: Option<usize>,
}

/// A table of these objects as JSON.
pub(crate) fn table(kind: &Kind, head: &Head<'_>, objects: impl IntoIterator<Item = Object>, show: Show) -> Vec<u8> {
    let now = api::clock::now();
    let mut metadata = serde_json::json!({ "resourceVersion": head.revision });
    if !head.next.is_empty() {
        metadata["continue"] = head.next.into();
    }
    if let Some(remaining) = head.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    let mut out =
        format!("{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/{}\",\"metadata\":{metadata}", head.version)
            .into_bytes();
    out.extend_from_slice(b",\"columnDefinitions\":");
    if show.columns_known {
        out.extend_from_slice(b"null");
    } else {
        out.extend(serde_json::to_vec(kind.columns).unwrap_or_default());
    }
    out.extend_from_slice(b",\"rows\":[");
    for (at, object) in objects.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let row = kind.table_row(&object, now);
        write_row(&mut out, &row.cells, &row.conditions, object, show.include);
    }
    out.extend_from_slice(b"]}");
    out
}

fn write_row(out: &mut Vec<u8>, cells: &[Cell], conditions: &[RowCondition], object: Object, include: Include) {
    out.extend_from_slice(b"{\"cells\":");
    out.extend(serde_json::to_vec(cells).unwrap_or_default());
    if !conditions.is_empty() {
        out.extend_from_slice(b",\"conditions\":");
        out.extend(serde_json::to_vec(conditions).unwrap_or_default());
    }
    out.extend_from_slice(b",\"object\":");
    match include {
        Include::None => out.extend_from_slice(b"null"),
        Include::Metadata => api::json::write_object(out, &partial(object)),
        Include::Object => api::json::write_object(out, &object),
    }
    out.push(b'}');
}

//! `ServiceAccount`: who a pod is.

use jiff::Timestamp;

use crate::kind::{Kind, Subresource};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};

/// The kind.
pub static KIND: Kind = Kind {
    plural: "serviceaccounts",
    singular: "serviceaccount",
    kind: "ServiceAccount",
    short_names: &["sa"],
    subresources: &[Subresource {
        name: "token",
        group: "authentication.k8s.io",
        version: "v1",
        kind: "TokenRequest",
        verbs: &["create"],
    }],
    ty: &types::CORE_V1_SERVICE_ACCOUNT,
    returns_deleted: true,
    columns: &[name_column(), column("Secrets", "How many secrets pods of the account may mount."), age_column()],
    row,
    ..Kind::BASE
};

fn row(account: &Object, now: Timestamp) -> Row {
    let secrets = i64::try_from(account.body.items_at("secrets").len()).unwrap_or(i64::MAX);
    Row::of([account.name().into(), secrets.into(), Row::age(account, now)])
}

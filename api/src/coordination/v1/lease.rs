//! `Lease`: a claim that its holder renews as long as it lives.

use jiff::Timestamp;

use crate::kind::Kind;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    group: "coordination.k8s.io",
    plural: "leases",
    singular: "lease",
    kind: "Lease",
    ty: &types::COORDINATION_V1_LEASE,
    columns: &[name_column(), column("Holder", "Who holds the lease."), age_column()],
    row,
    create_on_update: true,
    unconditional_update: false,
    check,
    ..Kind::BASE
};

fn row(lease: &Object, now: Timestamp) -> Row {
    Row::of([lease.name().into(), lease.str_at("spec.holderIdentity").into(), Row::age(lease, now)])
}

fn check(lease: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    if let Some(seconds) = lease.body.i64_at("spec.leaseDurationSeconds")
        && seconds <= 0
    {
        errors.invalid(&path.field("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    if let Some(count) = lease.body.i64_at("spec.leaseTransitions")
        && count < 0
    {
        errors.invalid(&path.field("leaseTransitions"), count, "must be greater than or equal to 0");
    }
}

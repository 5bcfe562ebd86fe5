//! The place of a schema: it stays where it is while the schema in it is replaced.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::Structural;

/// The place of the schema of one version of a custom resource. A place is made once for each group, version and plural
/// name and is never given back; what stands in it is.
pub struct Slot(ArcSwap<Structural>);

impl Slot {
    /// A place with a schema that has nothing.
    pub fn new() -> Self {
        Self(ArcSwap::from_pointee(Structural::default()))
    }

    /// The present schema. Never waits.
    pub fn load(&self) -> Guard<Arc<Structural>> {
        self.0.load()
    }

    /// Replaces the schema. Who is looking at the former one may go on.
    pub fn store(&self, schema: Structural) {
        self.0.store(Arc::new(schema));
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Slot")
    }
}

/// A property at the root of a custom resource, whose shape stands in a [`Slot`].
#[derive(Debug)]
pub struct Property {
    slot: &'static Slot,
    name: &'static str,
}

impl Property {
    /// The property `name` of the schema in `slot`; with an empty name all that the schema does not name.
    pub fn new(slot: &'static Slot, name: &'static str) -> Self {
        Self { slot, name }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The present schema of the whole object.
    pub fn schema(&self) -> Guard<Arc<Structural>> {
        self.slot.load()
    }
}

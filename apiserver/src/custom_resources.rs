//! Kinds that users define: from the CustomResourceDefinitions in the store to what this server serves.
//!
//! Every master reads them from its own replica ([`follow`]) and serves what is established, a moment after the write
//! has reached it. The acting leader decides on names and sees to it that objects go before their definition
//! ([`keeper`]); everything else about a custom resource is the one path that all resources take.

use std::collections::BTreeMap;
use std::sync::{Arc, atomic::Ordering};

use api::apiextensions::v1::custom_resource_definition::KIND;
use api::custom::{Compiler, Definition};
use api::{Object, kind::Kind, stored::StoredObject};
use arc_swap::ArcSwap;
use futures_util::StreamExt;
use tokio::sync::watch;

use crate::{
    catalog::{BY_DEFAULT, Catalog, Custom},
    server::ApiServer,
    watch::source::SourceEvent,
};

pub(crate) mod keeper;

/// What users defined, as this master's replica has it.
pub(crate) struct CustomResources {
    catalog: ArcSwap<Catalog>,
    definitions: ArcSwap<BTreeMap<String, Arc<Object>>>,
    changes: watch::Sender<u64>,
}

impl CustomResources {
    /// None yet, beside these kinds that are built in.
    pub(crate) fn new(built_in: &Arc<[&'static Kind]>) -> Self {
        let catalog = ArcSwap::from_pointee(Catalog::new(built_in.clone(), Vec::new(), Some(&BY_DEFAULT)));
        Self { catalog, definitions: ArcSwap::default(), changes: watch::Sender::new(0) }
    }

    /// What is served, for documents.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// All definitions by name.
    fn definitions(&self) -> Arc<BTreeMap<String, Arc<Object>>> {
        self.definitions.load_full()
    }
}

/// The definitions with what was made of them. Only the task that follows the store has it.
#[derive(Default)]
struct Registry {
    compiler: Compiler,
    definitions: BTreeMap<String, Arc<Object>>,
    served: BTreeMap<String, Vec<Custom>>,
}

impl Registry {
    fn apply(&mut self, stored: &StoredObject) {
        let name = stored.header().name.to_string();
        let object = match stored.to_object(KIND.ty) {
            Ok(object) => Arc::new(object),
            Err(error) => return tracing::error!(%error, name, "a CustomResourceDefinition cannot be read"),
        };
        let definition = Definition::new(&object);
        let same = self.definitions.get(&name).is_some_and(|old| {
            old.at("spec") == object.at("spec")
                && old.at("status") == object.at("status")
                && old.is_deleting() == object.is_deleting()
        });
        if !same {
            let served = if definition.is_established() { self.compile(&definition) } else { Vec::new() };
            self.served.insert(name.clone(), served);
        }
        self.definitions.insert(name, object);
    }

    fn compile(&mut self, definition: &Definition<'_>) -> Vec<Custom> {
        let kinds = self.compiler.kinds(definition);
        let schema = |kind: &api::kind::Kind| {
            let version = definition.versions().find(|version| version.name() == kind.version);
            version.map(|version| version.schema().to_string()).unwrap_or_default().into()
        };
        kinds.into_iter().map(|kind| Custom { kind, schema: schema(kind) }).collect()
    }

    fn delete(&mut self, name: &str) {
        self.served.remove(name);
        if let Some(object) = self.definitions.remove(name) {
            self.compiler.forget(&Definition::new(&object));
        }
    }

    fn reset(&mut self, objects: &[Arc<StoredObject>]) {
        let gone = |name: &&String| !objects.iter().any(|object| *object.header().name == ***name);
        let gone: Vec<String> = self.definitions.keys().filter(gone).cloned().collect();
        gone.iter().for_each(|name| self.delete(name));
        objects.iter().for_each(|object| self.apply(object));
    }

    /// Serves what there is now.
    fn publish(&self, server: &ApiServer) {
        let server = &server.0;
        let all: Vec<Custom> = self.served.values().flatten().cloned().collect();
        let kinds: Vec<_> = all.iter().map(|custom| custom.kind).collect();
        let former = server.custom.catalog();
        // The documents are made before anything changes, and change first: whoever finds a resource served
        // (or gone) finds it told (or gone) in every document.
        server.custom.catalog.store(Arc::new(former.with(all)));
        server.storage.resources().set_custom(kinds);
        server.custom.definitions.store(Arc::new(self.definitions.clone()));
        server.custom.changes.send_modify(|count| *count += 1);
    }
}

/// Keeps what is served as the local replica is, until shutdown.
pub(crate) async fn follow(server: ApiServer) {
    let Some(events) = server.local_source(KIND.group, KIND.version, KIND.plural) else { return };
    let mut events = std::pin::pin!(events.ready_chunks(128));
    let mut registry = Registry::default();
    loop {
        let batch = tokio::select! {
            () = server.0.shutdown.cancelled() => return,
            batch = events.next() => batch,
        };
        let Some(batch) = batch else { return };
        for event in batch {
            match event {
                SourceEvent::Applied(object) => registry.apply(&object),
                SourceEvent::Deleted(object, _) => registry.delete(&object.header().name),
                SourceEvent::Reset(objects, _) => registry.reset(&objects),
            }
        }
        registry.publish(&server);
        server.0.readiness.definitions.store(true, Ordering::Release);
    }
}

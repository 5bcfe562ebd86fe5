//! What people read about a pod: Events with the kubelet's reasons.

use client::EventRecorder;
use client::event_recorder::{Note, Severity};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};

/// Notes things about one pod.
#[derive(Clone)]
pub(crate) struct PodEvents {
    recorder: EventRecorder,
    about: ObjectReference,
}

impl PodEvents {
    pub(crate) fn new(recorder: EventRecorder, pod: &Pod) -> Self {
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        Self { recorder, about }
    }

    /// Something about the pod as a whole.
    pub(crate) fn warn(&self, reason: &str, message: String) {
        self.note(self.about.clone(), Severity::Warning, reason, message);
    }

    /// Something about one container, as it should be.
    pub(crate) fn tell_of(&self, container: &str, reason: &str, message: String) {
        self.note(self.of(container), Severity::Normal, reason, message);
    }

    /// Something about one container that someone should look at.
    pub(crate) fn warn_of(&self, container: &str, reason: &str, message: String) {
        self.note(self.of(container), Severity::Warning, reason, message);
    }

    fn of(&self, container: &str) -> ObjectReference {
        let field_path = Some(format!("spec.containers{{{container}}}"));
        ObjectReference { field_path, ..self.about.clone() }
    }

    fn note(&self, about: ObjectReference, severity: Severity, reason: &str, message: String) {
        self.recorder.record(Note { about, severity, reason: reason.to_owned(), message });
    }
}

//! Sets, revisions and pods as YAML.

pub(super) const OWNER: &str = "ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: s1, controller: true, \
    blockOwnerDeletion: true}]";

/// A set `web` in namespace `a`, with the image `v1`.
pub(super) struct Sts {
    replicas: u32,
    image: &'static str,
    spec: String,
    status: String,
}

impl Sts {
    pub(super) fn new(replicas: u32) -> Self {
        Self { replicas, image: "v1", spec: String::new(), status: String::new() }
    }

    pub(super) fn image(self, image: &'static str) -> Self {
        Self { image, ..self }
    }

    /// More fields of the specification.
    pub(super) fn spec(self, spec: &str) -> Self {
        Self { spec: format!("{}, {spec}", self.spec), ..self }
    }

    pub(super) fn status(self, status: &str) -> Self {
        Self { status: status.to_owned(), ..self }
    }

    /// With the status of a set all of whose pods run.
    pub(super) fn settled(self) -> Self {
        let count = self.replicas;
        let status = format!(
            "replicas: {count}, readyReplicas: {count}, availableReplicas: {count}, currentReplicas: {count}, \
            updatedReplicas: {count}, currentRevision: web-v1, updateRevision: web-v1, observedGeneration: 1, \
            collisionCount: 0"
        );
        self.status(&status)
    }

    pub(super) fn build(&self) -> String {
        let metadata = "metadata: {name: web, namespace: a, uid: s1, generation: 1}";
        let spec = format!(
            "replicas: {}, serviceName: db, selector: {{matchLabels: {{app: web}}}}, template: {}{}",
            self.replicas,
            template(self.image),
            self.spec
        );
        format!("{{apiVersion: apps/v1, kind: StatefulSet, {metadata}, spec: {{{spec}}}, status: {{{}}}}}", self.status)
    }
}

fn template(image: &str) -> String {
    format!("{{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}")
}

/// The revision of an image, called after it.
pub(super) fn revision(number: u32, image: &str) -> String {
    let metadata = format!("{{name: web-{image}, namespace: a, uid: r-{image}, labels: {{app: web}}, {OWNER}}}");
    let template = template(image).replacen('{', "{$patch: replace, ", 1);
    format!(
        "\n---\n{{apiVersion: apps/v1, kind: ControllerRevision, metadata: {metadata}, revision: {number}, \
        data: {{spec: {{template: {template}}}}}}}"
    )
}

/// A pod of its own.
pub(super) fn pod(ordinal: u32, image: &str, rest: &str) -> String {
    let labels = format!(
        "{{app: web, statefulset.kubernetes.io/pod-name: web-{ordinal}, apps.kubernetes.io/pod-index: '{ordinal}', \
        controller-revision-hash: web-{image}}}"
    );
    let metadata = format!("{{name: web-{ordinal}, namespace: a, uid: web-{ordinal}, labels: {labels}, {OWNER}}}");
    format!("\n---\n{{apiVersion: v1, kind: Pod, metadata: {metadata}, {rest}}}")
}

fn with_condition(ordinal: u32, image: &str, status: &str) -> String {
    let condition = format!("{{type: Ready, status: '{status}', lastTransitionTime: '2026-01-01T00:00:05Z'}}");
    pod(ordinal, image, &format!("spec: {{nodeName: n1}}, status: {{phase: Running, conditions: [{condition}]}}"))
}

/// A pod that has been ready for ten minutes.
pub(super) fn running(ordinal: u32, image: &str) -> String {
    with_condition(ordinal, image, "True")
}

/// A pod that runs and is not ready.
pub(super) fn unready(ordinal: u32, image: &str) -> String {
    with_condition(ordinal, image, "False")
}

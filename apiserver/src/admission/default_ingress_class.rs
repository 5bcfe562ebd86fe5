//! DefaultIngressClass: an Ingress that names no class gets the default one.

use api::Object;

use super::{Change, Operation, default_class};

const GROUP: &str = "networking.k8s.io";
const CLASS: &str = "spec.ingressClassName";
/// How Ingresses named their class before there was a field for it.
const OLD: &str = "kubernetes.io/ingress.class";
const MARK: &str = "ingressclass.kubernetes.io/is-default-class";

pub(super) fn admit(change: &Change<'_>, ingress: &mut Object) {
    if !change.is(GROUP, "ingresses") || change.operation != Operation::Create {
        return;
    }
    if ingress.at(CLASS).is_some() || ingress.annotation(OLD).is_some() {
        return;
    }
    if let Some(class) = default_class::find(change, GROUP, "ingressclasses", &[MARK]) {
        ingress.set(CLASS, class);
    }
}

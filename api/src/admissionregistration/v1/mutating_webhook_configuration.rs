//! `MutatingWebhookConfiguration`: programs that may change or refuse what is written.

use super::webhook;
use crate::kind::Kind;
use crate::node::{Node, Struct};
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    plural: "mutatingwebhookconfigurations",
    singular: "mutatingwebhookconfiguration",
    kind: "MutatingWebhookConfiguration",
    ty: &types::ADMISSIONREGISTRATION_V1_MUTATING_WEBHOOK_CONFIGURATION,
    defaults,
    ..webhook::BASE
};

fn defaults(configuration: &mut Struct) {
    webhook::defaults(configuration);
    for webhook in configuration.get_mut("webhooks").and_then(Node::as_list_mut).into_iter().flatten() {
        if webhook.get("reinvocationPolicy").is_none() {
            webhook.set("reinvocationPolicy", "Never");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{created, errors};

    #[test]
    fn a_webhook_is_asked_once_unless_it_says_otherwise() {
        let webhook = |rest: &str| {
            format!(
                "webhooks: [{{name: a.b.c, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {{url: 'https://a'}}{rest}}}]"
            )
        };
        assert_eq!(created(&KIND, &webhook("")).str_at("webhooks.0.reinvocationPolicy"), "Never");
        assert_eq!(
            errors(&KIND, &webhook(", reinvocationPolicy: Often")),
            ["webhooks[0].reinvocationPolicy: Unsupported value: \"Often\": supported values: \"IfNeeded\", \"Never\""]
        );
    }
}

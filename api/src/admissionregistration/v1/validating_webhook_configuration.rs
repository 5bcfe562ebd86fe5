//! `ValidatingWebhookConfiguration`: programs that may refuse what is written.

use super::webhook;
use crate::kind::Kind;
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    plural: "validatingwebhookconfigurations",
    singular: "validatingwebhookconfiguration",
    kind: "ValidatingWebhookConfiguration",
    ty: &types::ADMISSIONREGISTRATION_V1_VALIDATING_WEBHOOK_CONFIGURATION,
    ..webhook::BASE
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, row};

    fn webhook(rest: &str) -> String {
        format!("webhooks: [{{name: a.b.c, sideEffects: None, admissionReviewVersions: [v1], {rest}}}]")
    }

    #[test]
    fn mistakes_are_told_with_their_paths() {
        let service = "clientConfig: {service: {name: s, namespace: n1}}";
        check_all(&[
            (&KIND, "{}", &[]),
            (&KIND, &webhook("clientConfig: {url: 'https://a/b'}"), &[]),
            (
                &KIND,
                "webhooks: [{name: a.b}]",
                &[
                    "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
                    "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
                    "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
                    "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
                ],
            ),
            (
                &KIND,
                &webhook("clientConfig: {url: 'http://u:p@h/p?q#f'}, timeoutSeconds: 31, failurePolicy: Maybe"),
                &[
                    "webhooks[0].failurePolicy: Unsupported value: \"Maybe\": supported values: \"Fail\", \"Ignore\"",
                    "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
                    "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                    "webhooks[0].clientConfig.url: Invalid value: \"u:p\": user information is not permitted in the URL",
                    "webhooks[0].clientConfig.url: Invalid value: \"f\": fragments are not permitted in the URL",
                    "webhooks[0].clientConfig.url: Invalid value: \"q\": query parameters are not permitted in the URL",
                ],
            ),
            (
                &KIND,
                &webhook("clientConfig: {service: {name: s, path: //, port: 70000}}"),
                &[
                    "webhooks[0].clientConfig.service.namespace: Required value: service namespace is required",
                    "webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
                    "webhooks[0].clientConfig.service.path: Invalid value: \"//\": segment[0] may not be empty",
                ],
            ),
            (
                &KIND,
                &webhook(&format!(
                    "{service}, matchConditions: [{{name: a, expression: ' '}}, {{name: a, expression: 'true'}}]"
                )),
                &[
                    "webhooks[0].matchConditions[0].expression: Required value",
                    "webhooks[0].matchConditions[1].name: Duplicate value: \"a\"",
                ],
            ),
        ]);
    }

    #[test]
    fn rules_say_what_they_mean_once() {
        let rules = |rule: &str| webhook(&format!("clientConfig: {{url: 'https://a'}}, rules: [{{{rule}}}]"));
        check_all(&[
            (
                &KIND,
                &rules("operations: ['*'], apiGroups: [''], apiVersions: [v1], resources: [pods, pods/status]"),
                &[],
            ),
            (
                &KIND,
                &rules(
                    "operations: ['*', READ], apiVersions: [''], resources: ['*', pods, 'pods/*', pods/log], scope: World",
                ),
                &[
                    "webhooks[0].rules[0].operations: Invalid value: [\"*\",\"READ\"]: if '*' is present, must not specify other operations",
                    "webhooks[0].rules[0].operations[1]: Unsupported value: \"READ\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
                    "webhooks[0].rules[0].apiGroups: Required value",
                    "webhooks[0].rules[0].apiVersions[0]: Required value",
                    "webhooks[0].rules[0].resources[3]: Invalid value: \"pods/log\": if 'pods/*' is present, must not specify pods/log",
                    "webhooks[0].rules[0].resources: Invalid value: [\"*\",\"pods\",\"pods/*\",\"pods/log\"]: if '*' is present, must not specify other resources without subresources",
                    "webhooks[0].rules[0].scope: Unsupported value: \"World\": supported values: \"*\", \"Cluster\", \"Namespaced\"",
                ],
            ),
        ]);
    }

    #[test]
    fn what_a_webhook_leaves_out_is_known() {
        let made =
            created(&KIND, &webhook("clientConfig: {service: {name: s, namespace: n1}}, rules: [{operations: ['*']}]"));
        for (path, want) in [("failurePolicy", "Fail"), ("matchPolicy", "Equivalent"), ("rules.0.scope", "*")] {
            assert_eq!(made.str_at(&format!("webhooks.0.{path}")), want);
        }
        assert_eq!(made.body.i64_at("webhooks.0.clientConfig.service.port"), Some(443));
        assert_eq!(made.body.i64_at("webhooks.0.timeoutSeconds"), Some(10));
        assert!(made.at("webhooks.0.namespaceSelector").is_some());
        let mut changed = made.clone();
        changed.set("webhooks.0.timeoutSeconds", 5_i64);
        KIND.prepare_for_update(&mut changed, &made);
        assert_eq!((made.generation(), changed.generation()), (1, 2));
        assert_eq!(row(&KIND, "webhooks: [{name: a}, {name: b}]"), "web | 2 | <unknown>");
    }
}

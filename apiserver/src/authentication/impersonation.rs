//! Acting as somebody else: the headers by which a caller who may `impersonate` makes a request in another's name.

use std::{collections::BTreeMap, sync::Arc};

use api::status::{Grouped, Status};
use http::HeaderMap;

use super::{ANONYMOUS, UNAUTHENTICATED};
use crate::{
    authorization::{Attributes, Authorizer},
    error::{Error, Result},
    request_info::decode,
    user::{AUTHENTICATED, SERVICE_ACCOUNT_PREFIX, UserInfo},
};

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Whom the headers name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// The caller a request is served as: the one that `user` asks to be, if it may, or `user` itself.
pub(crate) fn impersonate(authorizer: &Authorizer, user: Arc<UserInfo>, headers: &HeaderMap) -> Result<Arc<UserInfo>> {
    let Some(wanted) = wanted(headers)? else { return Ok(user) };
    for asked in wanted.questions() {
        if !authorizer.allows(&user, &asked) {
            let resource = Grouped::new(asked.group, asked.resource);
            return Err(Status::forbidden(resource, asked.name, &asked.refusal(&user)).into());
        }
    }
    tracing::debug!(user = user.name, acting_as = wanted.name, "impersonation");
    Ok(Arc::new(wanted.user()))
}

fn wanted(headers: &HeaderMap) -> Result<Option<Wanted>> {
    let texts = |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned);
    let mut wanted = Wanted {
        name: texts(USER).next().unwrap_or_default(),
        uid: texts(UID).next().unwrap_or_default(),
        groups: texts(GROUP).collect(),
        extra: BTreeMap::new(),
    };
    for name in headers.keys() {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            wanted.extra.insert(decode(key).to_lowercase(), texts(name.as_str()).collect());
        }
    }
    if wanted == Wanted::default() {
        return Ok(None);
    }
    if wanted.name.is_empty() {
        return Err(Error::from(Status::internal("requested groups, extra or uid without impersonating a user")));
    }
    Ok(Some(wanted))
}

impl Wanted {
    fn account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')
    }

    /// Everything the caller must be allowed to impersonate.
    fn questions(&self) -> Vec<Attributes<'_>> {
        let ask = |group, namespace, resource, subresource, name| Attributes {
            verb: "impersonate",
            is_resource: true,
            group,
            namespace,
            resource,
            subresource,
            name,
            ..Attributes::default()
        };
        let mut questions = vec![match self.account() {
            Some((namespace, name)) => ask("", namespace, "serviceaccounts", "", name),
            None => ask("", "", "users", "", &*self.name),
        }];
        if !self.uid.is_empty() {
            questions.push(ask(AUTHENTICATION, "", "uids", "", &*self.uid));
        }
        questions.extend(self.groups.iter().map(|group| ask("", "", "groups", "", &**group)));
        for (key, values) in &self.extra {
            questions.extend(values.iter().map(|value| ask(AUTHENTICATION, "", "userextras", &**key, &**value)));
        }
        questions
    }

    fn user(self) -> UserInfo {
        let mut groups = self.groups.clone();
        if let (true, Some((namespace, _))) = (groups.is_empty(), self.account()) {
            groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        }
        // Who names one of the two groups that everybody is in one of has decided.
        if !groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
            groups.push(if self.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED }.to_owned());
        }
        UserInfo { name: self.name, uid: self.uid, groups, extra: self.extra }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Wanted>> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        wanted(&headers)
    }

    #[test]
    fn headers_name_whom_to_act_as() {
        assert_eq!(read(&[("Accept", "*/*")]).unwrap(), None);
        assert!(read(&[("Impersonate-Group", "a")]).is_err());
        let wanted = read(&[
            ("Impersonate-User", "jane"),
            ("Impersonate-Uid", "7"),
            ("Impersonate-Group", "a"),
            ("Impersonate-Group", "b"),
            ("Impersonate-Extra-Example.com%2fScopes", "view"),
        ]);
        let wanted = wanted.unwrap().unwrap();
        let asked =
            wanted.questions().into_iter().map(|asked| [asked.resource, asked.subresource, asked.name].join("/"));
        assert_eq!(
            Vec::from_iter(asked),
            ["users//jane", "uids//7", "groups//a", "groups//b", { "userextras/example.com/scopes/view" }]
        );
        assert_eq!(wanted.user().groups, ["a", "b", AUTHENTICATED]);
    }

    #[test]
    fn groups_follow_from_the_name() {
        for (name, groups, expected) in [
            ("jane", vec![], vec![AUTHENTICATED]),
            (ANONYMOUS, vec![], vec![UNAUTHENTICATED]),
            ("jane", vec![UNAUTHENTICATED], vec![UNAUTHENTICATED]),
            ("system:serviceaccount:ns:bot", vec![], {
                vec!["system:serviceaccounts", "system:serviceaccounts:ns", AUTHENTICATED]
            }),
            ("system:serviceaccount:ns:bot", vec!["own"], vec!["own", AUTHENTICATED]),
        ] {
            let groups = groups.into_iter().map(str::to_owned).collect();
            let wanted = Wanted { name: name.to_owned(), groups, ..Wanted::default() };
            assert_eq!(wanted.user().groups, expected, "{name}");
        }
    }
}

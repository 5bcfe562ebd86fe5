//! Reads by revision: which view answers a get or a list, and the pages of a list.

use std::time::Duration;

use api::{
    kind::FieldFilter,
    selector::{FieldSelector, LabelSelector},
    status::Status,
    stored::StoredObject,
};
use store::{View, mvccpb::KeyValue};
use tokio::time::{Instant, sleep};

use super::{Storage, continue_token::ContinueToken};
use crate::{
    error::{Error, Result},
    options::{ListOptions, VersionMatch},
    resource::Resource,
};

/// How long a read waits for a revision that is not there yet.
const FUTURE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);

/// Which objects of a collection are meant.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
    filter: FieldFilter,
    text: String,
}

impl Selection {
    /// Reads the selectors of a request.
    pub(crate) fn parse(resource: &Resource, options: &ListOptions) -> Result<Self> {
        let bad = |error: api::selector::SelectorError| Error::from(Status::bad_request(error.to_string()));
        let labels = LabelSelector::parse(&options.label_selector).map_err(bad)?;
        let fields = FieldSelector::parse(&options.field_selector).map_err(bad)?;
        let filter = FieldFilter::new(resource.kind, &fields).map_err(bad)?;
        let text = if options.label_selector.is_empty() && options.field_selector.is_empty() {
            String::new()
        } else {
            format!("{}\n{}", options.label_selector, options.field_selector)
        };
        Ok(Self { labels, fields, filter, text })
    }

    /// The selectors as they were written; empty for everything.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// True when nothing is left out.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// The one name that is meant, if only one is.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields.required("metadata.name")
    }

    /// True when the object is meant.
    pub(crate) fn matches(&self, object: &StoredObject) -> bool {
        let header = object.header();
        self.labels.matches(|key| header.label(key)) && self.filter.matches(header)
    }
}

/// What is to be said of a part of a collection.
pub(crate) struct About {
    /// The revision the collection has.
    pub revision: i64,
    /// Where the next part begins; empty when this is the last one.
    pub next: String,
    /// How many objects follow, when nothing is left out by selectors.
    pub remaining: Option<usize>,
}

/// A part of a collection.
pub(crate) struct Page {
    /// What is to be said of it.
    pub about: About,
    /// The objects that are meant, in the order of their keys.
    pub objects: Vec<StoredObject>,
}

/// A part of a collection as it is stored.
pub(crate) struct Rows {
    /// What is to be said of it.
    pub about: About,
    /// The rows, in the order of their keys.
    pub rows: Vec<KeyValue>,
}

impl Storage {
    /// A view no older than `revision`: the latest if none is given, whatever is at hand for 0.
    pub(crate) async fn view_at_least(&self, revision: Option<i64>) -> Result<View> {
        let Some(revision) = revision else {
            self.barrier().await?;
            return Ok(self.view());
        };
        let deadline = Instant::now() + FUTURE;
        loop {
            let view = self.view();
            if view.revision() >= revision {
                return Ok(view);
            }
            let current = self.barrier().await?;
            if current >= revision {
                continue;
            }
            if Instant::now() >= deadline {
                return Err(Status::resource_version_too_large(revision, current).into());
            }
            sleep(POLL).await;
        }
    }

    /// An object in a view.
    pub(crate) fn get_in(
        &self,
        view: &View,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<StoredObject>> {
        match view.get(resource.key(namespace, name).as_bytes()) {
            Some(row) => self.decode(resource, &row).map(Some),
            None => Ok(None),
        }
    }

    /// A part of a collection, as the options want it.
    pub(crate) async fn list(
        &self,
        resource: &Resource,
        namespace: &str,
        options: &ListOptions,
        selection: &Selection,
    ) -> Result<Page> {
        let prefix = resource.prefix(namespace);
        let (view, revision, start) = self.begin(options, &prefix).await?;
        if let (Some(name), true) = (selection.name(), start.is_empty()) {
            // One name is one read, not a walk through the collection.
            if !namespace.is_empty() || !resource.kind.is_namespaced() {
                return self.list_one(resource, &view, revision, &resource.key(namespace, name), selection);
            }
        }
        let list = Listing { storage: self, resource, prefix: &prefix, selection, limit: options.limit };
        list.page(&view, revision, start).map_err(|error| expired(error, options))
    }

    /// The same as rows that nobody has looked at, with nothing left out.
    pub(crate) async fn rows(&self, resource: &Resource, namespace: &str, options: &ListOptions) -> Result<Rows> {
        let prefix = resource.prefix(namespace);
        let (view, revision, start) = self.begin(options, &prefix).await?;
        let limit = if options.limit == 0 { usize::MAX } else { options.limit };
        let page = view.prefix(prefix.as_bytes(), start.as_bytes(), limit, revision);
        let page = page.map_err(|error| expired(error.into(), options))?;
        let mut about = About { revision, next: String::new(), remaining: None };
        if let (Some(last), true) = (page.kvs.last(), page.remaining > 0) {
            let start = format!("{}\0", relative(&prefix, last));
            about.next = ContinueToken { revision: Some(revision), start }.encode();
            about.remaining = Some(page.remaining);
        }
        Ok(Rows { about, rows: page.kvs })
    }

    /// Reads rows as objects.
    pub(crate) fn read(&self, resource: &Resource, rows: Rows) -> Result<Page> {
        let objects = rows.rows.iter().map(|row| self.decode(resource, row)).collect::<Result<_>>()?;
        Ok(Page { about: rows.about, objects })
    }

    /// The view, the revision in it and the first key of a list.
    async fn begin(&self, options: &ListOptions, prefix: &str) -> Result<(View, i64, String)> {
        let asked = options.revision()?;
        if options.continue_token.is_empty() {
            self.first_page(asked, options).await
        } else {
            self.next_page(asked, options, prefix).await
        }
    }

    /// The same of a list that begins.
    async fn first_page(&self, asked: Option<i64>, options: &ListOptions) -> Result<(View, i64, String)> {
        let view = self.view_at_least(asked).await?;
        let exact = match options.version_match {
            VersionMatch::Exact => true,
            VersionMatch::NotOlderThan => false,
            // Upstream's older meaning of a limited list at a revision.
            VersionMatch::Unset => options.limit > 0,
        };
        let revision = match asked {
            Some(revision) if exact && revision > 0 => revision,
            _ => view.revision(),
        };
        Ok((view, revision, String::new()))
    }

    /// The same of a list that goes on.
    async fn next_page(&self, asked: Option<i64>, options: &ListOptions, prefix: &str) -> Result<(View, i64, String)> {
        let token = ContinueToken::decode(&options.continue_token)
            .map_err(|error| Status::bad_request(format!("invalid continue token: {error}")))?;
        if asked.is_some_and(|revision| revision > 0) {
            let message = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(message).into());
        }
        let view = self.view_at_least(token.revision).await?;
        let revision = token.revision.unwrap_or_else(|| view.revision());
        if revision < view.compacted() {
            let token = ContinueToken { revision: None, start: token.start };
            return Err(Status::list_expired(token.encode()).into());
        }
        Ok((view, revision, format!("{prefix}{}", token.start)))
    }

    fn list_one(
        &self,
        resource: &Resource,
        view: &View,
        revision: i64,
        key: &str,
        selection: &Selection,
    ) -> Result<Page> {
        let row = view.get_at(key.as_bytes(), revision)?;
        let object = row.map(|row| self.decode(resource, &row)).transpose()?;
        let objects = object.filter(|object| selection.matches(object)).into_iter().collect();
        Ok(Page { about: About { revision, next: String::new(), remaining: None }, objects })
    }
}

/// One walk through a collection at a fixed revision.
struct Listing<'a> {
    storage: &'a Storage,
    resource: &'a Resource,
    prefix: &'a str,
    selection: &'a Selection,
    limit: usize,
}

impl Listing<'_> {
    fn page(&self, view: &View, revision: i64, mut start: String) -> Result<Page> {
        let about = About { revision, next: String::new(), remaining: None };
        let mut page = Page { about, objects: Vec::new() };
        loop {
            let wanted = match self.limit {
                0 => usize::MAX,
                limit => limit - page.objects.len(),
            };
            // Selectors leave out an unknown share: read more at a time than is still wanted.
            let chunk = if self.selection.is_everything() { wanted } else { wanted.max(500) };
            let rows = view.prefix(self.prefix.as_bytes(), start.as_bytes(), chunk, revision)?;
            let last = rows.kvs.len();
            for (at, row) in rows.kvs.iter().enumerate() {
                let object = self.storage.decode(self.resource, row)?;
                if self.selection.matches(&object) {
                    page.objects.push(object);
                }
                let more = at + 1 < last || rows.remaining > 0;
                if self.limit > 0 && page.objects.len() == self.limit && more {
                    let start = format!("{}\0", relative(self.prefix, row));
                    page.about.next = ContinueToken { revision: Some(revision), start }.encode();
                    page.about.remaining = self.selection.is_everything().then_some(rows.remaining);
                    return Ok(page);
                }
            }
            match rows.kvs.last() {
                Some(row) if rows.remaining > 0 => start = format!("{}{}\0", self.prefix, relative(self.prefix, row)),
                _ => return Ok(page),
            }
        }
    }
}

/// A row's key without what all keys of the collection begin with.
fn relative(prefix: &str, row: &KeyValue) -> String {
    String::from_utf8_lossy(row.key.get(prefix.len()..).unwrap_or_default()).into_owned()
}

/// A list that goes on at a compacted revision is told how to go on regardless.
fn expired(error: Error, options: &ListOptions) -> Error {
    let expired = error.0.reason == Some(api::status::Reason::Expired);
    match ContinueToken::decode(&options.continue_token) {
        Ok(token) if expired => Status::list_expired(ContinueToken { revision: None, ..token }.encode()).into(),
        _ => error,
    }
}

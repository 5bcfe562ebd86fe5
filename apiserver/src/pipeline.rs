//! The path of every request, in this order: authentication, authorization, decode, mutating admission, field
//! ownership, validation, validating admission, compare-and-swap, encode. Verbs say what is wanted; only this file says
//! in which order it happens. No verb names a kind.

use std::sync::Arc;

use api::{
    Object,
    kind::Subresource,
    status::Status,
    surroundings::{Planted, Surroundings},
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header, request::Parts};
use tokio::time::{Instant, timeout};

use crate::{
    admission::{self, Change, Operation, resource_quota},
    answer,
    authentication::{self, impersonation},
    authorization::Attributes,
    claims, deadline,
    encode::{self, Raw, Show},
    error::{Error, Result},
    negotiation::{self, Encoding},
    options::WriteOptions,
    ownership, prepare,
    request_info::RequestInfo,
    resource::{Resource, Resources},
    route,
    server::Server,
    storage::{Commit, Committed, Expected},
    user::{Fence, MASTERS, UserInfo},
    verbs,
    warnings::Warnings,
};

/// How often a write starts again because another one came first.
const ATTEMPTS: u32 = 6;
const REPRESENTATIONS: [&str; 5] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

/// A request on its way.
pub(crate) struct Call {
    pub(crate) server: Arc<Server>,
    pub(crate) info: RequestInfo,
    pub(crate) parts: Parts,
    pub(crate) user: Arc<UserInfo>,
    pub(crate) resource: Arc<Resource>,
    pub(crate) subresource: Option<&'static Subresource>,
    pub(crate) encoding: Encoding,
    pub(crate) warnings: Warnings,
}

impl Call {
    /// The query's text.
    pub(crate) fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// The namespace of the objects; empty for cluster-scoped ones, whatever the URL says.
    pub(crate) fn namespace(&self) -> &str {
        if self.resource.kind.is_namespaced() { &self.info.namespace } else { "" }
    }

    /// Tells the client something beside the answer.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.warnings.add(text);
    }

    pub(crate) fn not_found(&self) -> Error {
        Status::not_found(self.resource.kind.resource(), &self.info.name).into()
    }

    /// The object's present state; the latest one when `fresh`.
    pub(crate) async fn load(&self, name: &str, fresh: bool) -> Result<Option<Live>> {
        self.load_in(self.namespace(), name, fresh).await
    }

    /// The same of an object in another namespace.
    pub(crate) async fn load_in(&self, namespace: &str, name: &str, fresh: bool) -> Result<Option<Live>> {
        let storage = &self.server.storage;
        if fresh {
            storage.barrier().await?;
        }
        let Some(stored) = storage.get_in(&storage.view(), &self.resource, namespace, name)? else {
            return Ok(None);
        };
        let object = encode::decode(&self.resource, &stored)?;
        Ok(Some(Live { object, revision: stored.revision(), json: stored.json().clone() }))
    }

    /// An object as the answer.
    pub(crate) fn answer(&self, code: StatusCode, object: Object) -> Response {
        let body = encode::object_as(&self.resource, object, self.encoding, Show::default());
        answer::whole(code, self.encoding, body, &self.parts.headers)
    }

    /// What a write left as the answer: the very bytes that are stored, where that is the form that was asked for.
    pub(crate) fn answer_written(&self, code: StatusCode, written: Written) -> Response {
        match written.raw.filter(|_| encode::is_copied(&self.resource, self.encoding)) {
            Some(raw) => answer::whole(code, self.encoding, raw.object(), &self.parts.headers),
            None => self.answer(code, written.object),
        }
    }

    /// The circumstances of a change, for admission.
    pub(crate) fn change<'a>(&'a self, name: &'a str, operation: Operation, old: Option<&'a Object>) -> Change<'a> {
        Change {
            storage: &self.server.storage,
            config: &self.server.config,
            authorizer: &self.server.authorizer,
            user: &self.user,
            kind: self.resource.kind,
            subresource: &self.info.subresource,
            namespace: self.namespace(),
            name,
            operation,
            old,
            warnings: &self.warnings,
        }
    }

    /// Refuses a caller who may do what the method says, but not this.
    pub(crate) fn authorize_also(&self, verb: &str) -> Result<()> {
        let attributes = Attributes { verb, ..Attributes::from(&self.info) };
        if self.server.authorizer.allows(&self.user, &attributes) {
            return Ok(());
        }
        Err(forbidden(&self.user, &self.info, &attributes))
    }

    /// The time of day and chance.
    pub(crate) fn surroundings(&self) -> &Surroundings {
        &self.server.config.surroundings
    }

    pub(crate) fn fence(&self) -> Option<Fence> {
        let fence = self.parts.extensions.get::<Fence>().copied();
        fence.filter(|_| !self.surroundings().has(Planted::ActUnfenced))
    }
}

/// An object as it is in the store.
pub(crate) struct Live {
    pub(crate) object: Object,
    pub(crate) revision: i64,
    pub(crate) json: Bytes,
}

/// Answers a request.
pub(crate) async fn handle(server: Arc<Server>, request: Request<Body>) -> Response {
    let begin = Instant::now();
    let (parts, body) = request.into_parts();
    let mut info = RequestInfo::new(&parts.method, &parts.uri);
    info.applies = negotiation::body_type(&parts.headers) == verbs::patch::APPLY;
    let known = server.storage.resources().served(&info.group, &info.version, &info.resource).is_some();
    let wishes = answer::Wishes::new(&parts, &server.config.surroundings);
    let result = if info.is_long_running() {
        serve(&server, info.clone(), parts, body).await
    } else {
        match deadline::of(parts.uri.query().unwrap_or_default()) {
            Ok(time) => timeout(time, serve(&server, info.clone(), parts, body))
                .await
                .unwrap_or_else(|_| Err(deadline::exceeded())),
            Err(error) => Err(error),
        }
    };
    let response = wishes.fulfil(result.unwrap_or_else(IntoResponse::into_response));
    server.metrics.finished(&info, known || !info.is_resource, response.status().as_u16(), begin.elapsed());
    response
}

async fn serve(server: &Arc<Server>, info: RequestInfo, parts: Parts, body: Body) -> Result<Response> {
    let user = server.authenticator.authenticate(&parts, &info)?;
    let user = impersonation::impersonate(&server.authorizer, user, &parts.headers)?;
    let exempt = info.is_long_running() || user.in_group(MASTERS);
    let place = if exempt { None } else { Some(server.limits.enter(info.verb)) };
    if matches!(place, Some(None)) {
        return Err(Status::too_many_requests("Too many requests, please try again later.", 1).into());
    }
    authorize(server, &user, &info)?;
    if !info.is_resource {
        return Ok(verbs::path(server, &info, &parts, &user).await);
    }
    let resources = server.storage.resources();
    // The control plane's own writes, which alone are fenced, reach what is switched off for everybody else.
    let own = parts.extensions.get::<Fence>().is_some();
    let find = if own { Resources::known } else { Resources::served };
    let Some(resource) = find(resources, &info.group, &info.version, &info.resource) else {
        let group_known = resources.has_version(&info.group, &info.version);
        return if group_known { Err(Status::no_such_resource().into()) } else { Ok(verbs::page_not_found()) };
    };
    route::check(&info, resource.kind)?;
    let subresource = resource.kind.subresource(&info.subresource);
    if !info.subresource.is_empty() && subresource.is_none() {
        return Err(Status::no_such_resource().into());
    }
    let query = parts.uri.query().unwrap_or_default();
    let protobuf = resource.kind.custom.is_none() || !info.subresource.is_empty() && info.subresource != "status";
    let encoding = Encoding::choose(&parts.headers, query, info.verb == "watch", protobuf)
        .ok_or_else(|| Status::not_acceptable(&REPRESENTATIONS))?;
    let server = server.clone();
    let call = Call { server, info, parts, user, resource, subresource, encoding, warnings: Warnings::default() };
    if !call.resource.kind.deprecation.is_empty() {
        call.warn(call.resource.kind.deprecation);
    }
    let mut response = verbs::serve(&call, body).await.unwrap_or_else(IntoResponse::into_response);
    call.warnings.write(response.headers_mut());
    Ok(response)
}

fn authorize(server: &Server, user: &UserInfo, info: &RequestInfo) -> Result<()> {
    let attributes = Attributes::from(info);
    if authentication::is_health(info) || server.authorizer.allows(user, &attributes) {
        return Ok(());
    }
    Err(forbidden(user, info, &attributes))
}

/// The refusal of a caller who may not do this.
fn forbidden(user: &UserInfo, info: &RequestInfo, attributes: &Attributes<'_>) -> Error {
    let resource = api::status::Grouped::new(&info.group, &info.resource);
    let name = if info.is_resource { info.name.as_str() } else { "" };
    Status::forbidden(resource, name, &attributes.refusal(user)).into()
}

/// A body with its media type.
pub(crate) fn respond(code: StatusCode, encoding: Encoding, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let content_type = HeaderValue::from_static(encoding.media.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// What a verb wants an object to become.
pub(crate) struct Draft {
    /// The object as the client would have it, defaults included.
    pub(crate) object: Object,
    /// True when field ownership is settled already, as server-side apply does.
    pub(crate) owned: bool,
    /// The revision the client saw; `None` when it did not say.
    pub(crate) revision: Option<i64>,
}

/// Makes a draft from the present state; called again when another write came first.
pub(crate) type Drafter<'a> = &'a (dyn Fn(Option<&Live>) -> Result<Draft> + Sync);

/// Whether the object has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It must not.
    Absent,
    /// It must.
    Present,
    /// Either way.
    Either,
}

/// A write that was made.
pub(crate) struct Written {
    pub(crate) object: Object,
    pub(crate) created: bool,
    /// The object as it is stored, with its revision.
    raw: Option<Raw>,
}

/// How one attempt to write ended.
pub(crate) enum Attempt<T> {
    Done(T),
    /// Another write came first.
    Overtaken(Error),
    /// The store gave an error, and may have written all the same: what is tried again now could be refused for what it has done
    /// itself, or, under a name made for it, be there twice.
    Unknown(Error),
}

/// Writes what `draft` makes of the present state. Starts from what the local replica has; whatever that leads to, be it
/// a conflict, a refusal or nothing to do, is believed only after a barrier.
pub(crate) async fn write(
    call: &Call,
    name: &str,
    presence: Presence,
    options: &WriteOptions,
    draft: Drafter<'_>,
) -> Result<Written> {
    let mut fresh = false;
    for round in 1.. {
        let live = match presence {
            Presence::Absent if fresh => call.server.storage.barrier().await.map(|_| None)?,
            Presence::Absent => None,
            Presence::Present | Presence::Either => call.load(name, fresh).await?,
        };
        let attempt = match (&live, presence) {
            (None, Presence::Present) => Err(call.not_found()),
            _ => attempt(call, name, live, options, draft, fresh).await,
        };
        match attempt {
            Ok(Attempt::Done(written)) if !written.created && call.surroundings().has(Planted::RefuseWhatIsDone) => {
                return Err(Status::modified(call.resource.kind.resource(), name).into());
            }
            Ok(Attempt::Done(written)) => return Ok(written),
            // A name that is taken stays taken. An address that was picked and is taken by now is picked anew.
            Ok(Attempt::Overtaken(error))
                if round >= ATTEMPTS || (presence == Presence::Absent && is_taken(&error)) =>
            {
                return Err(error);
            }
            Ok(Attempt::Overtaken(_)) => fresh = true,
            Ok(Attempt::Unknown(error)) => return Err(error),
            Err(error) if fresh => return Err(error),
            Err(_) => fresh = true,
        }
    }
    Err(Status::internal("a write did not end").into())
}

fn is_taken(error: &Error) -> bool {
    error.0.reason == Some(api::status::Reason::AlreadyExists)
}

async fn attempt(
    call: &Call,
    name: &str,
    live: Option<Live>,
    options: &WriteOptions,
    draft: Drafter<'_>,
    fresh: bool,
) -> Result<Attempt<Written>> {
    let kind = call.resource.kind;
    if live.is_none() && !kind.verbs.contains(&"create") {
        return Err(Status::method_not_allowed().into());
    }
    let Draft { mut object, owned, revision } = draft(live.as_ref())?;
    let modified = || Error::from(Status::modified(kind.resource(), name));
    let overwrites = call.surroundings().has(Planted::OverwriteOthers);
    if live.as_ref().is_some_and(|live| revision.is_some_and(|revision| revision != live.revision)) && !overwrites {
        return Err(modified());
    }
    prepare::distinct_owners(call, &mut object, "");
    // Ownership counts what the client sent, before the server adds anything of its own.
    if !owned {
        ownership::update(call, live.as_ref(), &mut object, options);
    }
    let old = live.as_ref().map(|live| &live.object);
    let operation = if old.is_some() { Operation::Update } else { Operation::Create };
    let change = call.change(name, operation, old);
    admission::mutate(&change, &mut object).await?;
    prepare::distinct_owners(call, &mut object, " after mutating admission happens");
    match old {
        None => prepare::create(call, name, &mut object),
        Some(old) => prepare::update(call, &mut object, old),
    }
    prepare::validate(call, &object, old)?;
    if call.info.subresource.is_empty() {
        (kind.warnings)(&object).into_iter().for_each(|warning| call.warn(warning));
    }
    admission::validate(&change, &object).await?;
    let charges = resource_quota::charge(&change, &call.server.turns, &object).await?;
    let stored = encode::value(kind, &mut object);
    let json = stored.slice(1..);
    if let Some(live) = &live
        && live.json == json
    {
        // Nothing changes: nothing is written. A replica that lags must not say so.
        if !fresh {
            return Ok(Attempt::Overtaken(modified()));
        }
        object.set_resource_version(live.revision);
        return Ok(Attempt::Done(Written { object, created: false, raw: Raw::of(&stored, live.revision) }));
    }
    let gone = old.is_some() && prepare::is_released(call, &object);
    let (claim, release) = claims::difference(kind, old, (!gone).then_some(&object));
    let key = call.resource.key(call.namespace(), name);
    let commit = Commit {
        resource: &call.resource,
        key: &key,
        expected: live.as_ref().map_or(Expected::Absent, |live| Expected::Revision(live.revision)),
        value: (!gone).then_some(&stored),
        claim: &claim,
        release: &release,
        also: &charges.sums,
        fence: call.fence(),
    };
    match call.server.storage.commit_or_rehearse(commit, options.dry_run).await {
        Ok(Committed::Done(revision)) => {
            object.set_resource_version(revision);
            Ok(Attempt::Done(Written { object, created: live.is_none(), raw: Raw::of(&stored, revision) }))
        }
        Ok(Committed::Claimed) => Ok(Attempt::Overtaken(claims::taken(kind, &object, &claim, &call.server.storage))),
        // Whose turn comes next sees what this one has booked.
        Ok(Committed::Outdated) => Ok(Attempt::Overtaken(modified())),
        Ok(Committed::Changed) if live.is_none() => {
            Ok(Attempt::Overtaken(Status::already_exists(kind.resource(), name).into()))
        }
        Ok(Committed::Changed) => Ok(Attempt::Overtaken(modified())),
        Err(error) => Ok(Attempt::Unknown(error)),
    }
}

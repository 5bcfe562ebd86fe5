//! ResourceQuota: nobody uses more of a namespace than its quotas allow. See [`crate::quota`].

use api::{
    Object,
    status::{Grouped, Status},
};

use super::{Change, Operation};
use crate::{
    amounts::{self, Amounts},
    error::{Error, Result},
    quota::{self, Quota, Turn, Turns, scope, usage},
    storage::Also,
};

/// What has to be written together with the object; the turn lasts until it is.
#[derive(Default)]
pub(crate) struct Charges {
    /// The new sums.
    pub(crate) sums: Vec<Also>,
    _turn: Option<Turn>,
}

/// Refuses an object that uses too much, or books what it uses.
pub(crate) async fn charge(change: &Change<'_>, turns: &Turns, object: &Object) -> Result<Charges> {
    let part = change.subresource.is_empty() || change.is_part("pods", "resize");
    if change.namespace.is_empty() || !part || !quota::counts(change.kind) {
        return Ok(Charges::default());
    }
    if !has_quotas(change) {
        return Ok(Charges::default());
    }
    let turn = turns.take(change.namespace).await;
    let view = change.storage.view();
    let mut sums = Vec::new();
    for quota in quota::all(change.storage, &view, change.namespace)? {
        let hard = quota.hard();
        let more = increase(change, object, &quota, &hard);
        if more.is_empty() {
            continue;
        }
        let booked = match quota.booked() {
            Some(booked) => booked,
            None => quota::count(change.storage, &view, change.namespace, &quota)?,
        };
        let mut used = booked.clone();
        amounts::add(&mut used, &more);
        let exceeded = |name: &String| more.contains_key(name) && used.get(name) > hard.get(name);
        if used.keys().any(exceeded) {
            let of = |all: &Amounts| {
                amounts::text(
                    &all.iter()
                        .filter(|(name, _)| exceeded(name))
                        .map(|(name, amount)| (name.clone(), *amount))
                        .collect(),
                )
            };
            let (name, requested, used, limited) = (&quota.name, of(&more), of(&booked), of(&hard));
            let why = format!("exceeded quota: {name}, requested: {requested}, used: {used}, limited: {limited}");
            return Err(refuse(change, object, &why));
        }
        if let Some(value) = quota.with(&used, change.config.surroundings.now()) {
            sums.push(Also { key: quota.key, revision: quota.revision, value });
        }
    }
    Ok(Charges { sums, _turn: Some(turn) })
}

fn has_quotas(change: &Change<'_>) -> bool {
    let quotas = change.storage.resources().get("", "resourcequotas");
    quotas.is_some_and(|quotas| change.storage.view().count(quotas.prefix(change.namespace).as_bytes()) > 0)
}

/// What the change uses more of what a quota limits.
fn increase(change: &Change<'_>, object: &Object, quota: &Quota, hard: &Amounts) -> Amounts {
    let is_pod = change.kind.group.is_empty() && change.kind.plural == "pods";
    let used = |object: Option<&Object>| {
        let counted = object.filter(|object| scope::matches(&quota.spec, object, is_pod));
        counted.map(|object| quota::only(&usage::of(change.kind, object), hard)).unwrap_or_default()
    };
    let before = used(change.old);
    let mut more = used(Some(object));
    for (name, amount) in &mut more {
        *amount = *amount - before.get(name).copied().unwrap_or_else(amounts::nothing);
    }
    more.retain(|_, amount| amount.sign() > 0);
    more
}

/// Refuses a pod that does not say how much it needs of what a quota limits.
pub(super) fn constraints(change: &Change<'_>, object: &Object) -> Result<()> {
    if !change.is("", "pods") || change.operation != Operation::Create || !has_quotas(change) {
        return Ok(());
    }
    for quota in quota::all(change.storage, &change.storage.view(), change.namespace)? {
        let hard = quota.hard();
        let limited: Vec<&str> = hard.keys().map(String::as_str).collect();
        if scope::matches(&quota.spec, object, true)
            && let Some(unsaid) = usage::unsaid(object, &limited)
        {
            return Err(refuse(change, object, &format!("failed quota: {}: {unsaid}", quota.name)));
        }
    }
    Ok(())
}

fn refuse(change: &Change<'_>, object: &Object, why: &str) -> Error {
    Status::forbidden(Grouped::new(change.kind.group, change.kind.plural), object.name(), why).into()
}

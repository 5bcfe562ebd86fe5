//! What disruption budgets say to an eviction: a disruption is taken from the budget before the pod is deleted, so that
//! two evictions never take the same one. The disruption controller gives it back if the pod stays.

use api::{
    Object,
    kind::Kind,
    selector::LabelSelector,
    status::{Cause, Reason, Status},
};
use jiff::Timestamp;

use crate::{
    encode,
    error::{Error, Result},
    pipeline::Call,
    storage::{Commit, Committed, Expected},
};

const ATTEMPTS: u32 = 6;
/// How many evicted pods a budget may still wait for.
const MAX_DISRUPTED: usize = 2000;
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
const AMBIGUOUS: &str =
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
const CONDITION: &str = "DisruptionAllowed";

/// Whether budgets count the pod at all: one that does not run, or is going anyway, is nobody's loss.
pub(super) fn protects(pod: &Object) -> bool {
    !pod.is_deleting() && !matches!(pod.str_at("status.phase"), "Pending" | "Succeeded" | "Failed")
}

/// Takes a disruption from the budget of a pod, if it has one; refuses if there is none left.
pub(super) async fn spend(call: &Call, pod: &Object, dry_run: bool) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let mut budgets = budgets_of(call, pod)?;
        let Some((mut budget, revision)) = budgets.pop() else { return Ok(()) };
        if !budgets.is_empty() {
            return Err(Status::failure(Reason::InternalError, AMBIGUOUS).into());
        }
        if is_free(pod, &budget) {
            return Ok(());
        }
        take(&mut budget, pod.name(), call.surroundings().now())?;
        if dry_run || write(call, budget, revision).await? {
            return Ok(());
        }
        call.server.storage.barrier().await?;
    }
    Err(Status::too_many_requests(REFUSED, 1).into())
}

/// The budgets that select a pod, each with its revision.
fn budgets_of(call: &Call, pod: &Object) -> Result<Vec<(Object, i64)>> {
    let mut found = Vec::new();
    call.server.storage.visit_local("policy", "poddisruptionbudgets", call.namespace(), |resource, stored| {
        found.push(encode::decode(resource, stored).map(|budget| (budget, stored.revision())));
        true
    });
    let budgets: Vec<(Object, i64)> = found.into_iter().collect::<Result<_>>()?;
    Ok(budgets.into_iter().filter(|(budget, _)| selects(budget, pod)).collect())
}

/// No selector selects nothing, an empty one everything.
fn selects(budget: &Object, pod: &Object) -> bool {
    let selector = budget.at("spec.selector").and_then(LabelSelector::from_object);
    selector.is_some_and(|selector| selector.matches(|key| pod.label(key)))
}

/// Whether the pod, which is not ready, is none of those that keep the budget.
fn is_free(pod: &Object, budget: &Object) -> bool {
    let conditions = pod.body.items_at("status.conditions");
    let ready =
        conditions.iter().any(|condition| condition.str_at("type") == "Ready" && condition.str_at("status") == "True");
    let count = |field: &str| budget.body.i64_at(&format!("status.{field}")).unwrap_or(0);
    let enough = count("desiredHealthy") > 0 && count("currentHealthy") >= count("desiredHealthy");
    !ready && (enough || budget.str_at("spec.unhealthyPodEvictionPolicy") == "AlwaysAllow")
}

fn refused(retry_after: u32, why: String) -> Error {
    let mut status = Status::too_many_requests(REFUSED, retry_after);
    let cause = Cause { reason: "DisruptionBudget".to_owned(), message: why, field: String::new() };
    status.details.get_or_insert_default().causes.push(cause);
    status.into()
}

/// Takes one disruption for a pod, or says why there is none.
fn take(budget: &mut Object, pod: &str, now: Timestamp) -> Result<()> {
    let name = budget.name().to_owned();
    let count = |field: &str| budget.body.i64_at(&format!("status.{field}")).unwrap_or(0);
    let forbidden = |why: &str| {
        Error::from(Status::forbidden(api::status::Grouped::new("policy", "poddisruptionbudget"), &name, why))
    };
    if count("observedGeneration") < budget.generation() {
        return Err(refused(10, format!("The disruption budget {name} is still being processed by the server.")));
    }
    let (allowed, healthy, desired) = (count("disruptionsAllowed"), count("currentHealthy"), count("desiredHealthy"));
    let waiting = budget.at("status.disruptedPods").and_then(api::Node::as_map).map_or(0, api::Map::len);
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    if waiting > MAX_DISRUPTED {
        return Err(forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller"));
    }
    if allowed == 0 {
        let conditions = budget.body.items_at("status.conditions");
        let failed = conditions.iter().find(|condition| {
            condition.str_at("type") == CONDITION
                && condition.str_at("status") == "False"
                && condition.str_at("reason") == "SyncFailed"
        });
        let why = match failed {
            Some(condition) => format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
                condition.str_at("message")
            ),
            None => format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"),
        };
        return Err(refused(0, why));
    }
    budget.set("status.disruptionsAllowed", allowed - 1);
    budget.body.struct_at("status").entry("disruptedPods").set(pod, api::time::format(now));
    if allowed == 1 {
        note_exhaustion(budget, now);
    }
    Ok(())
}

fn note_exhaustion(budget: &mut Object, now: Timestamp) {
    let observed = budget.body.i64_at("status.observedGeneration").unwrap_or(0);
    let status = budget.body.struct_at("status");
    let Some(mut condition) = status.new_item("conditions") else { return };
    condition.set("type", CONDITION);
    condition.set("status", "False");
    condition.set("observedGeneration", observed);
    condition.set("lastTransitionTime", api::time::format(now));
    condition.set("reason", "InsufficientPods");
    let conditions = status.list_at("conditions");
    conditions.retain(|known| known.str_at("type") != CONDITION);
    conditions.push(condition.into());
}

/// Writes a budget as it was read at `revision`; false if somebody else changed it meanwhile.
async fn write(call: &Call, mut budget: Object, revision: i64) -> Result<bool> {
    let storage = &call.server.storage;
    let missing = || Status::internal("disruption budgets are not served");
    let resource = storage.resources().get("policy", "poddisruptionbudgets").ok_or_else(missing)?;
    let kind: &'static Kind = resource.kind;
    let value = encode::value(kind, &mut budget);
    let key = resource.key(call.namespace(), budget.name());
    let commit = Commit {
        key: &key,
        expected: Expected::Revision(revision),
        value: Some(&value),
        fence: call.fence(),
        ..Commit::of(&resource)
    };
    Ok(matches!(storage.commit_or_rehearse(commit, false).await?, Committed::Done(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(allowed: i64, healthy: i64, desired: i64) -> Object {
        let mut budget = Object::of("policy/v1", "PodDisruptionBudget").unwrap();
        budget.set("metadata.name", "web");
        for (field, value) in
            [("disruptionsAllowed", allowed), ("currentHealthy", healthy), ("desiredHealthy", desired)]
        {
            budget.set(&format!("status.{field}"), value);
        }
        budget
    }

    #[test]
    fn the_last_disruption_is_taken_once() {
        let mut budget = budget(1, 3, 2);
        take(&mut budget, "web-0", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(budget.body.i64_at("status.disruptionsAllowed"), Some(0));
        assert_eq!(budget.str_at("status.disruptedPods.web-0"), "1970-01-01T00:00:00Z");
        assert_eq!(budget.str_at("status.conditions.0.reason"), "InsufficientPods");
        let status = take(&mut budget, "web-1", Timestamp::UNIX_EPOCH).unwrap_err().0;
        let details = status.details.as_ref().unwrap();
        assert_eq!((status.code, &*status.message, &*details.causes[0].reason), (429, REFUSED, "DisruptionBudget"));
        assert_eq!(details.causes[0].message, "The disruption budget web needs 2 healthy pods and has 3 currently");
    }

    #[test]
    fn a_budget_that_nobody_looked_at_yet_refuses_for_a_while() {
        let mut budget = budget(1, 0, 0);
        budget.set("metadata.generation", 2_i64);
        let status = take(&mut budget, "web-0", Timestamp::UNIX_EPOCH).unwrap_err().0;
        assert_eq!((status.code, status.retry_after()), (429, Some(10)));
    }

    #[test]
    fn pods_that_are_not_ready_are_free_if_enough_others_are() {
        let mut pod = Object::of("v1", "Pod").unwrap();
        pod.set("status.phase", "Running");
        assert!(protects(&pod));
        assert!(
            is_free(&pod, &budget(0, 2, 2)) && !is_free(&pod, &budget(0, 1, 2)) && !is_free(&pod, &budget(0, 0, 0))
        );
        let mut lenient = budget(0, 1, 2);
        lenient.set("spec.unhealthyPodEvictionPolicy", "AlwaysAllow");
        assert!(is_free(&pod, &lenient));
        pod.set("status.phase", "Succeeded");
        assert!(!protects(&pod));
    }
}

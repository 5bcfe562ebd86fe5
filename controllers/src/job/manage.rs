//! How many pods run: which are too many, which are missing.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::facts::{Facts, Indexed, size};
use super::failure_policy::counts;
use super::labels::{COMPLETION_INDEX, INDEX_FAILURE_COUNT, INDEX_IGNORED_FAILURE_COUNT, TRACKING};
use super::pods::{JobPod, replaces_only_failed};
use super::{backoff, owner};
use crate::meta::Names;
use crate::plan::Act;
use crate::replica_set::ranking::first_to_go;

/// As upstream: more than this at a time starves other Jobs.
const BURST: usize = 500;
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// What the letters of a generated name leave of a label's length.
const BASE_MAX: usize = 58;

/// What is to be done.
#[derive(Default)]
pub(super) struct Moves<'a> {
    /// Pods of a Job that ended: they stay tracked and are counted.
    pub(super) abort: Vec<&'a JobPod<'a>>,
    /// Pods that are too many: nobody counts them.
    pub(super) delete: Vec<&'a JobPod<'a>>,
    /// A pod each, of this index if the Job has indexes.
    pub(super) create: Vec<Option<i32>>,
    /// Before more are created.
    pub(super) wait: Option<Duration>,
}

/// Either deletes or creates.
pub(super) fn moves<'a>(facts: &Facts<'a>) -> Moves<'a> {
    let active = size(facts.active.len());
    let wanted = if facts.is_suspended() { 0 } else { wanted(facts, active) };
    let mut delete = surplus(facts, usize::try_from(active - wanted).unwrap_or(0).min(BURST));
    if !delete.is_empty() {
        delete.truncate(BURST);
        return Moves { delete, ..Moves::default() };
    }
    let terminating = if replaces_only_failed(facts.job) { size(facts.terminating()) } else { 0 };
    let missing = usize::try_from(wanted - active - terminating).unwrap_or(0).min(BURST);
    if missing == 0 {
        return Moves::default();
    }
    if !facts.has_limit_per_index()
        && let Some(wait) = backoff::of_job(facts.job, &facts.pods, facts.now)
    {
        return Moves { wait: Some(wait), ..Moves::default() };
    }
    let Some(indexed) = &facts.indexed else {
        return Moves { create: vec![None; missing], ..Moves::default() };
    };
    let (mut create, mut wait) = (Vec::new(), None::<Duration>);
    for index in pending(facts, indexed, missing) {
        match indexed.replaced.get(&index).and_then(|last| backoff::of_index(last, facts.now)) {
            None => create.push(Some(index)),
            Some(left) => wait = Some(wait.map_or(left, |wait| wait.min(left))),
        }
    }
    Moves { create, wait, ..Moves::default() }
}

/// How many pods should be active.
fn wanted(facts: &Facts<'_>, active: i32) -> i32 {
    let parallelism = facts.spec.parallelism.unwrap_or(1);
    match facts.spec.completions {
        Some(completions) => (completions - facts.succeeded).min(parallelism).max(0),
        // After the first success no more are begun, and those that run may end.
        None if facts.succeeded > 0 => active,
        None => parallelism,
    }
}

/// Pods without an index that the Job has, all but one of each index, and `at_least` as many as are too many.
fn surplus<'a>(facts: &Facts<'a>, at_least: usize) -> Vec<&'a JobPod<'a>> {
    let rank = |pods: &[&'a JobPod<'a>], count: usize| -> Vec<&'a JobPod<'a>> {
        let views: Vec<_> = pods.iter().map(|pod| pod.view).collect();
        let first = first_to_go(&views, &[], facts.now, count);
        let find = |uid: &str| pods.iter().copied().find(|pod| pod.uid() == uid);
        first.iter().filter_map(|view| find(&view.object.header().uid)).collect()
    };
    let Some(indexed) = &facts.indexed else { return rank(&facts.active, at_least) };
    let mut rest = Vec::new();
    let mut surplus = Vec::new();
    for same in facts.active.chunk_by(|a, b| a.index() == b.index()) {
        let valid = same[0].index().is_some_and(|index| index < indexed.completions);
        let going = rank(same, if valid { same.len() - 1 } else { same.len() });
        rest.extend(same.iter().copied().filter(|pod| going.iter().all(|gone| gone.uid() != pod.uid())));
        surplus.extend(going);
    }
    surplus.extend(rank(&rest, at_least.saturating_sub(surplus.len())));
    surplus
}

/// The first indexes that nobody works at.
fn pending(facts: &Facts<'_>, indexed: &Indexed<'_>, count: usize) -> Vec<i32> {
    let waits = replaces_only_failed(facts.job);
    let taken = facts.pods.iter().filter(|pod| pod.is_active() || (waits && pod.is_terminating()));
    let taken: BTreeSet<i32> = taken.filter_map(|pod| pod.index()).collect();
    let failed = indexed.failed.clone().unwrap_or_default();
    indexed.succeeded.or(&failed).with(taken).first_missing(count, indexed.completions)
}

/// The pods that are missing.
pub(super) fn creations(facts: &Facts<'_>, moves: &Moves<'_>) -> Vec<Act> {
    let mut names = Names::new(facts.seed);
    let owner = owner(facts.job);
    moves.create.iter().map(|index| owner.create(&pod(facts, *index, &mut names))).collect()
}

fn pod(facts: &Facts<'_>, index: Option<i32>, names: &mut Names) -> Pod {
    let job_name = facts.job.metadata.name.as_deref().unwrap_or_default();
    let mut template = facts.spec.template.clone();
    let metadata = template.metadata.get_or_insert_default();
    let finalizers = metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|finalizer| finalizer == TRACKING) {
        finalizers.push(TRACKING.to_owned());
    }
    let Some(index) = index else {
        let base = format!("{job_name}-");
        let name = names.generate(&base);
        return owner(facts.job).pod(template, base, name);
    };
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(COMPLETION_INDEX.to_owned(), index.to_string());
    if facts.has_limit_per_index() {
        let (failures, ignored) = failures(facts, index);
        annotations.insert(INDEX_FAILURE_COUNT.to_owned(), failures.to_string());
        if ignored > 0 {
            annotations.insert(INDEX_IGNORED_FAILURE_COUNT.to_owned(), ignored.to_string());
        }
    }
    metadata.labels.get_or_insert_default().insert(COMPLETION_INDEX.to_owned(), index.to_string());
    let spec = template.spec.get_or_insert_default();
    spec.hostname = Some(format!("{job_name}-{index}"));
    spec.init_containers.iter_mut().flatten().chain(&mut spec.containers).for_each(tell_index);
    let base = indexed_base(job_name, index);
    let name = names.generate(&base);
    owner(facts.job).pod(template, base, name)
}

/// The name up to its random letters. The index stays whole, however long the Job's name is.
fn indexed_base(job_name: &str, index: i32) -> String {
    let suffix = format!("-{index}-");
    let end = job_name.len().min(BASE_MAX - suffix.len());
    format!("{}{suffix}", &job_name[..end])
}

/// How often an index has failed, and how often in ways that do not count.
fn failures(facts: &Facts<'_>, index: i32) -> (i32, i32) {
    let replaced = facts.indexed.as_ref().and_then(|indexed| indexed.replaced.get(&index));
    replaced.map_or((0, 0), |last| {
        let counted = counts(facts.job, last);
        let (failures, ignored) = (last.failures_of_index(), last.ignored_failures_of_index());
        (failures.saturating_add(i32::from(counted)), ignored.saturating_add(i32::from(!counted)))
    })
}

fn tell_index(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|variable| variable.name == INDEX_VARIABLE) {
        return;
    }
    let field_path = format!("metadata.labels['{COMPLETION_INDEX}']");
    let field = ObjectFieldSelector { field_path, ..ObjectFieldSelector::default() };
    variables.push(EnvVar {
        name: INDEX_VARIABLE.to_owned(),
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
        ..EnvVar::default()
    });
}

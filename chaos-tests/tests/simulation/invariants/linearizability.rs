//! There is one order of the operations of a key in which each takes effect between its beginning and its end.
//!
//! The search of Wing and Gong with Lowe's memory of what was tried (Testing for linearizability, 2016). It looks at values
//! only, so it holds even if the store's revisions were wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;

use super::Evidence;
use crate::history::{Ask, Operation, Told};

/// What an operation does to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Effect {
    Write(Option<Bytes>),
    Read(Option<Bytes>),
}

#[derive(Clone, Debug)]
struct Step {
    effect: Effect,
    began: Duration,
    /// Never, when the outcome is unknown: it may happen at any time, or not at all.
    ended: Option<Duration>,
}

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let mut keys: BTreeMap<Bytes, Vec<Step>> = BTreeMap::new();
    for operation in &evidence.operations {
        for (key, step) in steps(operation) {
            keys.entry(key).or_default().push(step);
        }
    }
    for (key, mut steps) in keys {
        let seen: BTreeSet<Bytes> = steps
            .iter()
            .filter_map(|step| match &step.effect {
                Effect::Read(value) => value.clone(),
                Effect::Write(_) => None,
            })
            .collect();
        // A write of unknown outcome whose value nobody saw need not have happened.
        steps.retain(|step| match &step.effect {
            Effect::Write(Some(value)) => step.ended.is_some() || seen.contains(value),
            _ => true,
        });
        steps.sort_by_key(|step| step.began);
        if !is_linearizable(&steps) {
            return Err(format!("no order of its {} operations explains what was read of {key:?}", steps.len()));
        }
    }
    Ok(())
}

fn steps(operation: &Operation) -> Vec<(Bytes, Step)> {
    let Operation { began, .. } = *operation;
    let ended = Some(operation.ended);
    let write = |key: &Bytes, value: Option<&Bytes>, ended| {
        (key.clone(), Step { effect: Effect::Write(value.cloned()), began, ended })
    };
    let read = |key: &Bytes, found: &[store::mvccpb::KeyValue]| {
        let value = found.iter().find(|kv| kv.key == *key).map(|kv| kv.value.clone());
        (key.clone(), Step { effect: Effect::Read(value), began, ended })
    };
    match (&operation.ask, &operation.told) {
        (Ask::Put { key, value } | Ask::Swap { key, value, .. }, Told::Written { .. }) => {
            vec![write(key, Some(value), ended)]
        }
        (Ask::Put { key, value } | Ask::Swap { key, value, .. }, Told::Unknown) => vec![write(key, Some(value), None)],
        (Ask::Delete { key }, Told::Written { .. }) => vec![write(key, None, ended)],
        (Ask::Delete { key }, Told::Unknown) => vec![write(key, None, None)],
        (Ask::Delete { key } | Ask::Swap { key, .. }, Told::NotWritten { found, .. }) => vec![read(key, found)],
        (Ask::Get { key }, Told::Read { found, .. }) => vec![read(key, found)],
        _ => Vec::new(),
    }
}

/// Whether some order explains what was read; the key is missing at first.
fn is_linearizable(steps: &[Step]) -> bool {
    search(steps, 0, &BTreeSet::new(), &None, &mut BTreeSet::new())
}

/// Depth first over the orders that time allows, never from the same place twice. Done is everything before `first`, and
/// `done`.
fn search(
    steps: &[Step],
    mut first: usize,
    done: &BTreeSet<usize>,
    value: &Option<Bytes>,
    tried: &mut BTreeSet<(usize, Vec<usize>, Option<Bytes>)>,
) -> bool {
    let mut done = done.clone();
    while done.remove(&first) {
        first += 1;
    }
    let open = |at: &usize| !done.contains(at);
    // Nothing may come before an operation that has to have ended by then.
    let must_end = (first..steps.len()).filter(open).filter_map(|at| steps[at].ended).min();
    let Some(must_end) = must_end else { return true };
    if !tried.insert((first, done.iter().copied().collect(), value.clone())) {
        return false;
    }
    let candidates = (first..steps.len()).take_while(|at| steps[*at].began <= must_end).filter(open);
    for at in candidates.collect::<Vec<_>>() {
        let after = match &steps[at].effect {
            Effect::Read(read) if read != value => continue,
            Effect::Read(_) => value,
            Effect::Write(written) => written,
        };
        let mut with = done.clone();
        with.insert(at);
        if search(steps, first, &with, after, tried) {
            return true;
        }
    }
    false
}

#[test]
fn the_search_tells_right_from_wrong() {
    let at = Duration::from_millis;
    let step = |effect, began, ended: u64| Step { effect, began: at(began), ended: (ended > 0).then(|| at(ended)) };
    let (a, b) = (Some(Bytes::from("a")), Some(Bytes::from("b")));
    let write = |value: &Option<Bytes>| Effect::Write(value.clone());
    let read = |value: &Option<Bytes>| Effect::Read(value.clone());
    for (is_right, steps) in [
        (true, vec![step(write(&a), 0, 2), step(read(&a), 3, 4)]),
        (false, vec![step(write(&a), 0, 2), step(read(&None), 3, 4)]),
        (true, vec![step(write(&a), 0, 5), step(read(&None), 1, 2), step(read(&a), 3, 4)]),
        (false, vec![step(write(&a), 0, 5), step(read(&a), 1, 2), step(read(&None), 3, 4)]),
        (true, vec![step(write(&a), 0, 1), step(write(&b), 2, 0), step(read(&a), 5, 6), step(read(&b), 7, 8)]),
        (false, vec![step(write(&a), 0, 1), step(write(&b), 2, 0), step(read(&b), 5, 6), step(read(&a), 7, 8)]),
    ] {
        assert_eq!(is_linearizable(&steps), is_right, "{steps:?}");
    }
}

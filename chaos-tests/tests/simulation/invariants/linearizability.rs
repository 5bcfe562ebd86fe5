//! There is one order of the operations of a key in which each takes effect between its beginning and its end.
//!
//! It looks at values only, so it holds even if the store's revisions were wrong.

use std::collections::BTreeMap;

use bytes::Bytes;
use kontiki::chaos::linearizability::{self, Effect, Verdict};

use super::Evidence;
use crate::history::{Ask, Operation, Told};

type Step = linearizability::Step<Bytes>;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let mut keys: BTreeMap<Bytes, Vec<Step>> = BTreeMap::new();
    for operation in &evidence.operations {
        for (key, step) in steps(operation) {
            keys.entry(key).or_default().push(step);
        }
    }
    for (key, steps) in keys {
        let operations = steps.len();
        if linearizability::check(steps) != Verdict::Linearizable {
            return Err(format!("no order of its {operations} operations explains what was read of {key:?}"));
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

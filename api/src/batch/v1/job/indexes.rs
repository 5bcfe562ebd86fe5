//! Sets of indexes as Jobs write them: `1,3-5,7`.

use crate::validation::quoted;

/// How many indexes there are; or why they are none.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    let (mut total, mut last) = (0, None);
    for (low, high) in intervals(text, completions)? {
        if let Some(last) = last.filter(|last| *last >= low) {
            return Err(not_increasing(last, low));
        }
        total += high - low + 1;
        last = Some(high);
    }
    Ok(total)
}

/// An index that is in both sets.
pub(super) fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let (one, other) = (intervals(one, completions).ok()?, intervals(other, completions).ok()?);
    let meet = |a: &(i64, i64), b: &(i64, i64)| (a.0 <= b.1 && b.0 <= a.1).then_some(a.0.max(b.0));
    one.iter().flat_map(|a| other.iter().filter_map(move |b| meet(a, b))).min()
}

fn intervals(text: &str, completions: i64) -> Result<Vec<(i64, i64)>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|part| interval(part, completions)).collect()
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let number = |text: &str| {
        let number: i64 =
            text.parse().map_err(|_| format!("cannot convert string to integer for index: {}", quoted(text)))?;
        if number < completions { Ok(number) } else { Err(format!("too large index: {}", quoted(text))) }
    };
    let ends: Vec<&str> = text.split('-').collect();
    match ends.as_slice() {
        [one] => number(one).map(|number| (number, number)),
        [low, high] => match (number(low)?, number(high)?) {
            (low, high) if low >= high => Err(not_increasing(low, high)),
            ends => Ok(ends),
        },
        _ => Err(format!(
            "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
            quoted(text)
        )),
    }
}

fn not_increasing(previous: i64, current: i64) -> String {
    format!("non-increasing order, previous: {previous}, current: {current}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_counted_or_refused() {
        for (text, want) in [
            ("", Ok(0)),
            ("0,2-4", Ok(4)),
            ("3,1", Err("non-increasing order, previous: 3, current: 1")),
            ("2-2", Err("non-increasing order, previous: 2, current: 2")),
            ("a", Err("cannot convert string to integer for index: \"a\"")),
            ("9", Err("too large index: \"9\"")),
            (
                "1-2-3",
                Err(
                    "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'",
                ),
            ),
        ] {
            assert_eq!(count(text, 5), want.map_err(str::to_owned), "{text}");
        }
        assert_eq!((overlap("1-3", "0,3-4", 5), overlap("1,2", "3", 5)), (Some(3), None));
    }
}

//! Sets of completion indexes, as a Job's status and its success policy write them: `1,3-5,7`.

use std::fmt;

/// Disjoint intervals, ends included, in order and with gaps between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Reads a set; what is not below `completions` is not in it, and what is no number is passed over.
    pub(super) fn parse(text: &str, completions: i32) -> Self {
        let interval = |part: &str| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let (low, high): (i32, i32) = (low.parse().ok()?, high.parse().ok()?);
            let high = high.min(completions.saturating_sub(1));
            (0 <= low && low <= high).then_some((low, high))
        };
        Self::of(text.split(',').filter_map(interval).collect())
    }

    fn of(mut intervals: Vec<(i32, i32)>) -> Self {
        intervals.sort_unstable();
        let mut merged: Vec<(i32, i32)> = Vec::new();
        for (low, high) in intervals {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Self(merged)
    }

    /// The set with more indexes.
    pub(super) fn with(&self, more: impl IntoIterator<Item = i32>) -> Self {
        let mut intervals = self.0.clone();
        intervals.extend(more.into_iter().map(|index| (index, index)));
        Self::of(intervals)
    }

    /// What is in either set.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self::of([self.0.as_slice(), other.0.as_slice()].concat())
    }

    pub(super) fn has(&self, index: i32) -> bool {
        let after = self.0.partition_point(|(_, high)| *high < index);
        self.0.get(after).is_some_and(|(low, _)| *low <= index)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub(super) fn count(&self) -> i32 {
        self.0.iter().map(|(low, high)| high - low + 1).sum()
    }

    /// How many are in both sets.
    pub(super) fn common(&self, other: &Self) -> i32 {
        let overlap = |a: &(i32, i32), b: &(i32, i32)| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
        self.0.iter().map(|a| other.0.iter().map(|b| overlap(a, b)).sum::<i32>()).sum()
    }

    /// The first `count` indexes below `completions` that are not in the set.
    pub(super) fn first_missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let ends = self.0.iter().map(|(low, high)| (*low, *high + 1)).chain([(completions, completions)]);
        let gaps = ends.scan(0, |from, (low, next)| {
            let gap = *from..low.min(completions);
            *from = next;
            Some(gap)
        });
        gaps.flatten().take(count).collect()
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (low, high)) in self.0.iter().enumerate() {
            if position > 0 {
                formatter.write_str(",")?;
            }
            match high - low {
                0 => write!(formatter, "{low}")?,
                1 => write!(formatter, "{low},{high}")?,
                _ => write!(formatter, "{low}-{high}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_and_written_as_intervals() {
        for (text, want, count) in [
            ("", "", 0),
            ("0", "0", 1),
            ("0,1", "0,1", 2),
            ("0,1,2", "0-2", 3),
            ("3,0-1,2", "0-3", 4),
            ("1,3-5,7", "1,3-5,7", 5),
            ("8-20", "8,9", 2),
            ("12,x,4", "4", 1),
        ] {
            let indexes = Indexes::parse(text, 10);
            assert_eq!((indexes.to_string().as_str(), indexes.count()), (want, count), "{text}");
        }
    }

    #[test]
    fn what_is_missing_comes_in_order() {
        for (text, count, want) in [
            ("", 3, vec![0, 1, 2]),
            ("0-2", 9, vec![3, 4]),
            ("1,3", 2, vec![0, 2]),
            ("0-4", 1, vec![]),
            ("2-9", 9, vec![0, 1]),
        ] {
            assert_eq!(Indexes::parse(text, 20).first_missing(count, 5), want, "{text}");
        }
    }

    #[test]
    fn sets_grow_and_are_compared() {
        let some = Indexes::parse("1,3-5", 10).with([2, 9, 9]);
        assert_eq!(some.to_string(), "1-5,9");
        assert!(some.has(3) && some.has(9) && !some.has(0) && !some.has(6));
        assert_eq!(some.or(&Indexes::parse("0,7", 10)).to_string(), "0-5,7,9");
        assert_eq!(some.common(&Indexes::parse("0-1,5-8,9", 10)), 3);
        assert!(Indexes::default().is_empty());
    }
}

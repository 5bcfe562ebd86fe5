//! Whether one order of a register's operations explains all answers, each operation taking effect at one moment between
//! its beginning and its end.
//!
//! The search of Wing and Gong (Testing and verifying concurrent objects, 1993) with Lowe's memory of configurations that
//! were tried (Testing for linearizability, 2017). It looks at values only, so it holds even if revisions were wrong. An
//! operation of unknown outcome has no end: it may take effect at any later time, or never.

use std::{collections::HashSet, hash::Hash, time::Duration};

/// Configurations looked at before the search gives up: a history that is right takes about one for each operation.
const CONFIGURATIONS_MAX: usize = 1_000_000;

/// What an operation does to the register. `None` is a register that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<V> {
    /// It saw this value.
    Read(Option<V>),
    /// It set this value.
    Write(Option<V>),
    /// It saw the first value and set the second.
    Swap(Option<V>, Option<V>),
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Step<V> {
    /// What it did, or may have done.
    pub effect: Effect<V>,
    /// When it was asked for.
    pub began: Duration,
    /// When it was answered; never, when its outcome is unknown.
    pub ended: Option<Duration>,
}

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none.
    NotLinearizable,
    /// The search was given up: it proves nothing.
    Undecided,
}

/// Searches for an order; the register begins without a value, and no two writes set the same one.
pub fn check<V: Clone + Eq + Hash>(mut steps: Vec<Step<V>>) -> Verdict {
    drop_unseen(&mut steps);
    steps.sort_by_key(|step| step.began);
    Search::new(&steps).run()
}

/// Leaves out what an unknown outcome may have done without anybody seeing it: it need not have happened. Seen is what an
/// answer showed, and what a swap replaced that was seen itself.
fn drop_unseen<V: Clone + Eq + Hash>(steps: &mut Vec<Step<V>>) {
    let (mut kept, mut unknown): (Vec<_>, Vec<_>) = steps.drain(..).partition(|step| step.ended.is_some());
    let mut seen: HashSet<Option<V>> = kept.iter().filter_map(|step| step.effect.sees().cloned()).collect();
    loop {
        let (new, rest): (Vec<_>, Vec<_>) = unknown.into_iter().partition(|step| match &step.effect {
            Effect::Read(_) => false,
            Effect::Write(set) | Effect::Swap(_, set) => seen.contains(set),
        });
        unknown = rest;
        if new.is_empty() {
            break;
        }
        seen.extend(new.iter().filter_map(|step| step.effect.sees().cloned()));
        kept.extend(new);
    }
    *steps = kept;
}

impl<V> Effect<V> {
    /// The value that has to be there for it.
    fn sees(&self) -> Option<&Option<V>> {
        match self {
            Self::Read(value) | Self::Swap(value, _) => Some(value),
            Self::Write(_) => None,
        }
    }
}

struct Search<'a, V> {
    steps: &'a [Step<V>],
    /// The steps that are part of the order so far, a bit each.
    done: Vec<u64>,
    /// All steps before this one are done.
    first: usize,
    value: Option<V>,
    tried: HashSet<(usize, Vec<u64>, Option<V>, bool)>,
    /// The order: each step with the value that was there before it.
    order: Vec<(usize, Option<V>)>,
}

impl<'a, V: Clone + Eq + Hash> Search<'a, V> {
    fn new(steps: &'a [Step<V>]) -> Self {
        let done = vec![0; steps.len().div_ceil(64)];
        Self { steps, done, first: 0, value: None, tried: HashSet::new(), order: Vec::new() }
    }

    fn is_done(&self, at: usize) -> bool {
        self.done[at / 64] >> (at % 64) & 1 == 1
    }

    /// Depth first over the orders that time allows, never from the same configuration twice.
    fn run(mut self) -> Verdict {
        let mut from = 0;
        loop {
            while self.first < self.steps.len() && self.is_done(self.first) {
                self.first += 1;
            }
            let Some(must_end) = self.must_end() else { return Verdict::Linearizable };
            if let Some((at, after)) = self.next(from.max(self.first), must_end) {
                self.take(at, after);
                if self.tried.len() > CONFIGURATIONS_MAX {
                    return Verdict::Undecided;
                }
                if self.remember() {
                    from = 0;
                    continue;
                }
            }
            match self.undo() {
                Some(last) => from = last + 1,
                None => return Verdict::NotLinearizable,
            }
        }
    }

    /// When the first of the open steps ends: whatever begins later comes after it.
    fn must_end(&self) -> Option<Duration> {
        let mut earliest: Option<Duration> = None;
        for at in (self.first..self.steps.len()).filter(|at| !self.is_done(*at)) {
            if earliest.is_some_and(|earliest| self.steps[at].began > earliest) {
                break;
            }
            earliest = earliest.into_iter().chain(self.steps[at].ended).min();
        }
        earliest
    }

    /// The next step at or after `from` that may come now, with the value it leaves. Nothing may come before a step that has
    /// to have ended by then.
    fn next(&self, from: usize, must_end: Duration) -> Option<(usize, Option<V>)> {
        let must_see = self.must_see();
        let timely = (from..self.steps.len()).take_while(|at| self.steps[*at].began <= must_end);
        let mut open = timely.filter(|at| !self.is_done(*at));
        open.find_map(|at| match &self.steps[at].effect {
            Effect::Read(seen) => (*seen == self.value).then(|| (at, self.value.clone())),
            Effect::Write(set) => (!must_see).then(|| (at, set.clone())),
            Effect::Swap(seen, set) => (*seen == self.value).then(|| (at, set.clone())),
        })
    }

    /// After a step of unknown outcome comes one that sees what it did: otherwise it may as well not have happened. This is
    /// what keeps the search short where many outcomes are unknown.
    fn must_see(&self) -> bool {
        self.order.last().is_some_and(|(at, _)| self.steps[*at].ended.is_none())
    }

    fn take(&mut self, at: usize, after: Option<V>) {
        self.done[at / 64] |= 1 << (at % 64);
        self.order.push((at, std::mem::replace(&mut self.value, after)));
    }

    fn undo(&mut self) -> Option<usize> {
        let (at, before) = self.order.pop()?;
        self.done[at / 64] &= !(1 << (at % 64));
        self.first = self.first.min(at);
        self.value = before;
        Some(at)
    }

    /// False when this configuration was tried before.
    fn remember(&mut self) -> bool {
        let mut first = self.first;
        while first < self.steps.len() && self.is_done(first) {
            first += 1;
        }
        let done = &self.done[first / 64..];
        let used = done.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        self.tried.insert((first, done[..used].to_vec(), self.value.clone(), self.must_see()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps as words: `r=a@3-4` saw a, `w=a@0-2` set a, `s=a:b@0-` swapped a for b with an unknown outcome; `-` is no value.
    fn step(word: &str) -> Step<String> {
        let (what, when) = word.split_once('@').unwrap();
        let (kind, value) = what.split_once('=').unwrap();
        let some = |text: &str| (text != "-").then(|| text.to_owned());
        let effect = match kind {
            "r" => Effect::Read(some(value)),
            "w" => Effect::Write(some(value)),
            _ => {
                let (seen, set) = value.split_once(':').unwrap();
                Effect::Swap(some(seen), some(set))
            }
        };
        let (began, ended) = when.split_once('-').unwrap();
        let at = |text: &str| text.parse().ok().map(Duration::from_millis);
        Step { effect, began: at(began).unwrap(), ended: at(ended) }
    }

    #[test]
    fn right_histories_are_told_from_wrong_ones() {
        for (is_right, words) in [
            (true, "w=a@0-2 r=a@3-4"),
            (false, "w=a@0-2 r=-@3-4"),
            // While a write is under way, both may be read, but not the old value after the new one.
            (true, "w=a@0-5 r=-@1-2 r=a@3-4"),
            (false, "w=a@0-5 r=a@1-2 r=-@3-4"),
            // An unknown write may take effect late, and only once.
            (true, "w=a@0-1 w=b@2- r=a@5-6 r=b@7-8"),
            (false, "w=a@0-1 w=b@2- r=b@5-6 r=a@7-8"),
            (true, "w=a@0-1 w=b@2- r=a@5-6 r=a@7-8"),
            // A swap sees what it replaces; two cannot replace the same value.
            (true, "w=a@0-1 s=a:b@2-3 r=b@4-5"),
            (false, "w=a@0-1 s=a:b@2-3 s=a:c@4-5"),
            (true, "w=a@0-1 s=a:b@2- s=a:c@4-5 r=c@6-7"),
            (false, "w=a@0-1 s=a:b@2- s=a:c@4-5 r=b@6-7"),
            // A chain of unknown swaps that only its end shows.
            (true, "w=a@0-1 s=a:b@2- s=b:c@3- r=c@8-9"),
            (false, "w=a@0-1 s=a:b@2- s=b:c@10- r=c@8-9"),
            // A lost update: both answered, the first is gone.
            (false, "w=a@0-1 s=a:b@2-3 r=a@4-5"),
            // A value that nobody wrote.
            (false, "w=a@0-1 r=z@2-3"),
            // Stale reads of one that was deleted.
            (false, "w=a@0-1 w=-@2-3 r=a@4-5"),
        ] {
            let steps = words.split(' ').map(step).collect();
            let expected = if is_right { Verdict::Linearizable } else { Verdict::NotLinearizable };
            assert_eq!(check(steps), expected, "{words}");
        }
    }

    #[test]
    fn many_unknown_outcomes_are_decided_too() {
        // Three in four writes are unanswered; each is seen later by one read, in the order of their values.
        let mut steps = Vec::new();
        for number in 0..400_u64 {
            let began = Duration::from_millis(10 * number);
            let ended = (number % 4 == 0).then(|| began + Duration::from_millis(9));
            steps.push(Step { effect: Effect::Write(Some(number)), began, ended });
            let asked = Duration::from_millis(5000 + 10 * number);
            let answered = Some(asked + Duration::from_millis(5));
            if number % 4 != 0 {
                steps.push(Step { effect: Effect::Read(Some(number)), began: asked, ended: answered });
            }
        }
        assert_eq!(check(steps.clone()), Verdict::Linearizable);
        // Seen, replaced, and seen again: no order explains that.
        let again = Step {
            effect: Effect::Read(Some(1)),
            began: Duration::from_secs(60),
            ended: Some(Duration::from_secs(61)),
        };
        steps.push(again);
        assert_eq!(check(steps), Verdict::NotLinearizable);
    }

    #[test]
    fn a_long_history_of_many_clients_is_decided_and_one_stale_read_in_it_is_found() {
        let mut steps = Vec::new();
        for number in 0..5000_u64 {
            let value = Some(number);
            let began = Duration::from_millis(10 * number);
            let ended = |millis| Some(began + Duration::from_millis(millis));
            steps.push(Step { effect: Effect::Write(value), began, ended: ended(9) });
            // Overlapping reads of the value before and of this one, and a write that nobody heard of again.
            steps.push(Step { effect: Effect::Read(number.checked_sub(1)), began, ended: ended(5) });
            steps.push(Step { effect: Effect::Read(value), began, ended: ended(12) });
            steps.push(Step { effect: Effect::Write(Some(1_000_000 + number)), began, ended: None });
        }
        assert_eq!(check(steps.clone()), Verdict::Linearizable);
        steps[4 * 4000 + 1].effect = Effect::Read(Some(3900));
        assert_eq!(check(steps), Verdict::NotLinearizable);
    }
}

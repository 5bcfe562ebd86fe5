//! What all runs of the control plane together came to.

use std::{fmt, time::Duration};

use super::{
    Report,
    trouble::{ABOVE, Injected},
};
use crate::{
    faults,
    network::Traversed,
    table::{self, Row, row},
};

/// Sums over runs.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    runs: u64,
    simulated: f64,
    calls: u64,
    acknowledged: u64,
    unknown: u64,
    refused: u64,
    revisions: u64,
    pods: u64,
    successions: u64,
    routed: (u64, u64),
    terms: u64,
    restarts: u64,
    resumed: u64,
    slowest: Duration,
    fewest_calls: Option<u64>,
    injected: Injected,
    overlaps: u64,
    traversed: Traversed,
}

impl Totals {
    pub(crate) fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.simulated += report.simulated.as_secs_f64();
        self.calls += report.calls;
        self.acknowledged += report.acknowledged;
        self.unknown += report.unknown;
        self.refused += report.refused;
        self.revisions += report.revisions;
        self.pods += report.pods;
        self.successions += report.successions;
        self.routed.0 += report.routed.0;
        self.routed.1 += report.routed.1;
        self.terms += report.terms;
        self.restarts += report.restarts;
        self.resumed += report.resumed;
        self.slowest = self.slowest.max(report.recovered);
        self.fewest_calls = Some(self.fewest_calls.map_or(report.calls, |fewest| fewest.min(report.calls)));
        for (trouble, times) in &report.injected {
            *self.injected.entry(*trouble).or_default() += times;
        }
        self.overlaps += report.overlaps;
        self.traversed.add(report.traversed);
    }

    /// Writes the tables of what happened.
    pub(crate) fn keep(&self, took: Duration) {
        let Traversed { messages, held_by_a_cut, connections_broken, connections_refused, calls_repeated } =
            self.traversed;
        let rows: [Row; 9] = [
            table::extent(self.runs, self.simulated, took),
            row(
                "requests of users; acknowledged; refused; outcomes unknown",
                [self.calls, self.acknowledged, self.refused, self.unknown],
            ),
            row("fewest requests of a run", [self.fewest_calls.unwrap_or(0)]),
            row(
                "troubles; of them while a store or the network still suffered",
                [self.injected.values().sum(), self.overlaps],
            ),
            row(
                "revisions; pods made; terms; restarts; watches begun",
                [self.revisions, self.pods, self.terms, self.restarts, self.resumed],
            ),
            row("times that a node's proxy led elsewhere; with nothing wrong any more", [self.routed.0, self.routed.1]),
            row("messages; held by a cut", [messages, held_by_a_cut]),
            row(
                "connections broken; refused; calls that came twice",
                [connections_broken, connections_refused, calls_repeated],
            ),
            (
                "the end state was reached after everything healed, at the latest within".to_owned(),
                format!("{:.1} s", self.slowest.as_secs_f64()),
            ),
        ];
        table::keep("control-plane", ["what", "count"], rows);
        table::keep("control-plane-troubles", ["trouble", "made"], table::kinds(&self.injected));
    }

    /// Every kind of trouble was made, and what recovery consists of came to pass.
    pub(crate) fn assert_everything_happened(&self) {
        for trouble in ABOVE.into_iter().chain(faults::ALL.iter().map(|fault| super::trouble::Trouble::Store(*fault))) {
            assert!(self.injected.contains_key(&trouble), "{trouble:?} was never injected");
        }
        for (what, times) in [
            ("a leader followed another", self.terms - self.runs),
            ("a master came back", self.restarts),
            ("a watch was resumed", self.resumed),
            ("an outcome stayed unknown", self.unknown),
            ("a request was refused", self.refused),
            ("a pod was made", self.pods),
            ("a pod followed another of its name", self.successions),
            ("a Service led elsewhere with nothing wrong", self.routed.1),
            ("trouble came upon other trouble", self.overlaps),
            ("a message was held by a cut", self.traversed.held_by_a_cut),
            ("a connection broke", self.traversed.connections_broken),
        ] {
            assert!(times > 0, "it never happened that {what}");
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, simulated, calls, acknowledged, unknown, refused, revisions, pods, .. } = self;
        write!(
            f,
            "{runs} runs of the control plane, {simulated:.0} simulated seconds, {calls} requests of users ({acknowledged} \
             acknowledged, {refused} refused, {unknown} of unknown outcome), at least {} a run, {revisions} revisions, {pods} pods \
             made, {} terms, {} restarts, {} watches begun, the end state reached within {:.1} s, {:?}, trouble {:?}",
            self.fewest_calls.unwrap_or(0),
            self.terms,
            self.restarts,
            self.resumed,
            self.slowest.as_secs_f64(),
            self.traversed,
            self.injected,
        )
    }
}

//! What all runs together came to.

use std::{fmt, time::Duration};

use crate::{
    disk::Wear,
    faults::{self, Injected},
    network::Traversed,
    run::Report,
    table::{self, Row, row},
};

/// Sums over runs.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    runs: u64,
    simulated: f64,
    /// Of runs of three members: simulated seconds, and seconds of a core.
    of_three: (f64, f64),
    operations: u64,
    acknowledged: u64,
    unknown: u64,
    terms: u64,
    restarts: u64,
    resumed: u64,
    fewest_operations: Option<u64>,
    fewest_faults: Option<u64>,
    injected: Injected,
    overlaps: u64,
    traversed: Traversed,
    wear: Wear,
    joined: u64,
    left: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.simulated += report.simulated.as_secs_f64();
        if report.members == 3 {
            self.of_three.0 += report.simulated.as_secs_f64();
            self.of_three.1 += report.core.as_secs_f64();
        }
        self.operations += report.operations;
        self.acknowledged += report.acknowledged;
        self.unknown += report.unknown;
        self.terms += report.terms;
        self.restarts += report.restarts;
        self.resumed += report.resumed;
        let least = |least: Option<u64>, now: u64| Some(least.map_or(now, |least| least.min(now)));
        self.fewest_operations = least(self.fewest_operations, report.operations);
        self.fewest_faults = least(self.fewest_faults, report.injected.values().sum());
        for (fault, times) in &report.injected {
            *self.injected.entry(*fault).or_default() += times;
        }
        self.overlaps += report.overlaps;
        self.traversed.add(report.traversed);
        self.wear.add(report.wear);
        self.joined += report.changes.0;
        self.left += report.changes.1;
    }

    /// Writes the tables of what happened.
    pub(crate) fn keep(&self, took: Duration) {
        let Traversed { messages, held_by_a_cut, connections_broken, connections_refused, calls_repeated } =
            self.traversed;
        let Wear {
            flushes,
            failed_flushes,
            slow_flushes,
            writes_lost,
            writes_torn,
            names_lost,
            errors,
            full,
            rotten_bits,
        } = self.wear;
        let rows: [Row; 12] = [
            table::extent(self.runs, self.simulated, took),
            (
                "three members: simulated seconds in a second of one core".to_owned(),
                format!("{:.0}", self.of_three.0 / self.of_three.1),
            ),
            row(
                "operations checked; writes acknowledged; outcomes unknown",
                [self.operations, self.acknowledged, self.unknown],
            ),
            row(
                "fewest operations and faults of a run",
                [self.fewest_operations.unwrap_or(0), self.fewest_faults.unwrap_or(0)],
            ),
            row("faults; of them while another one lasted", [self.injected.values().sum(), self.overlaps]),
            row("terms; restarts; watch streams begun", [self.terms, self.restarts, self.resumed]),
            row("members joined; left", [self.joined, self.left]),
            row("messages; held by a cut", [messages, held_by_a_cut]),
            row(
                "connections broken; refused; calls that came twice",
                [connections_broken, connections_refused, calls_repeated],
            ),
            row("flushes; failed; slow", [flushes, failed_flushes, slow_flushes]),
            row("unflushed writes lost; torn; names lost", [writes_lost, writes_torn, names_lost]),
            row("disk errors; full disks met; bits changed at rest", [errors, full, rotten_bits]),
        ];
        table::keep("store", ["what", "count"], rows);
        table::keep("store-faults", ["fault", "injected"], table::kinds(&self.injected));
    }

    /// Every kind of fault was injected and had an effect, and what recovery consists of came to pass.
    pub(crate) fn assert_everything_happened(&self) {
        for fault in faults::ALL {
            assert!(self.injected.contains_key(fault), "{fault:?} was never injected");
        }
        let Traversed { held_by_a_cut, connections_broken, connections_refused, calls_repeated, .. } = self.traversed;
        let Wear {
            writes_lost, writes_torn, names_lost, errors, failed_flushes, full, rotten_bits, slow_flushes, ..
        } = self.wear;
        for (what, times) in [
            ("a message was held by a cut", held_by_a_cut),
            ("a connection broke", connections_broken),
            ("a connection was refused", connections_refused),
            ("an unflushed write was lost", writes_lost),
            ("a write was torn", writes_torn),
            ("an unflushed name was lost", names_lost),
            ("a disk failed", errors),
            ("a flush failed", failed_flushes),
            ("a disk was full", full),
            ("a bit changed at rest", rotten_bits),
            ("a flush was slow", slow_flushes),
            ("a call came twice", calls_repeated),
            ("a member joined", self.joined),
            ("a member left", self.left),
            ("a leader followed another", self.terms - self.runs),
            ("a member came back", self.restarts),
            ("a watch was resumed", self.resumed),
            ("an outcome stayed unknown", self.unknown),
            ("a fault came upon another", self.overlaps),
        ] {
            assert!(times > 0, "it never happened that {what}");
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, simulated, operations, acknowledged, unknown, terms, restarts, resumed, .. } = self;
        write!(
            f,
            "{runs} runs, {simulated:.0} simulated seconds ({:.0} in a second of a core with three members), {operations} operations \
             ({acknowledged} writes acknowledged, {unknown} \
             outcomes unknown), at least {} operations and {} faults a run, {terms} terms, {restarts} restarts, {resumed} watches \
             begun, {} members joined, {} left, {:?}, {:?}, faults {:?}",
            self.of_three.0 / self.of_three.1,
            self.fewest_operations.unwrap_or(0),
            self.fewest_faults.unwrap_or(0),
            self.joined,
            self.left,
            self.traversed,
            self.wear,
            self.injected,
        )
    }
}

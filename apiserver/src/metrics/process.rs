//! What the process uses, under the names Prometheus' own clients give it; read from `/proc` when somebody looks.

use std::{fs, sync::atomic::AtomicU64};

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

/// Ticks in a second, as `/proc` counts them on every architecture Linux runs on today.
const TICKS: f64 = 100.0;
const PAGE: f64 = 4096.0;

type Number = Gauge<f64, AtomicU64>;

/// Gauges of the process.
#[derive(Clone, Default)]
pub(super) struct Process {
    cpu: Number,
    resident: Number,
    virtual_size: Number,
    started: Number,
    descriptors: Number,
}

impl Process {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            ("process_cpu_seconds_total", "Seconds the process has computed", &self.cpu),
            ("process_resident_memory_bytes", "Bytes of the process in memory", &self.resident),
            ("process_virtual_memory_bytes", "Bytes the process has mapped", &self.virtual_size),
            ("process_start_time_seconds", "When the process began, in seconds since 1970", &self.started),
            ("process_open_fds", "Open file descriptors", &self.descriptors),
        ] {
            registry.register(name, help, gauge.clone());
        }
    }

    /// Takes down how it is now; what cannot be read stays as it was.
    pub(super) fn look(&self) {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        if let (Some(usage), Some(boot)) = (Usage::parse(&stat), boot) {
            self.cpu.set(usage.ticks / TICKS);
            self.resident.set(usage.pages * PAGE);
            self.virtual_size.set(usage.bytes);
            self.started.set((boot + usage.started / TICKS).floor());
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            self.descriptors.set(f64::from(u32::try_from(open.count()).unwrap_or(u32::MAX)));
        }
    }
}

/// What `/proc/self/stat` says.
#[derive(Debug, PartialEq)]
struct Usage {
    ticks: f64,
    started: f64,
    bytes: f64,
    pages: f64,
}

impl Usage {
    /// The name of the process, in parentheses, may hold anything: the numbers stand behind the last one.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some(Self { ticks: number(11)? + number(12)?, started: number(19)?, bytes: number(20)?, pages: number(21)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_behind_the_name() {
        let stat =
            "7 (a b) c) S 1 7 7 0 -1 4194560 900 0 1 0 150 50 0 0 20 0 9 0 12345 2048000 300 18446744073709551615";
        let usage = Usage { ticks: 200.0, started: 12345.0, bytes: 2_048_000.0, pages: 300.0 };
        assert_eq!(Usage::parse(stat), Some(usage));
        assert_eq!(Usage::parse("nothing"), None);
    }
}

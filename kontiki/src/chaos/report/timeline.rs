//! Faults over who leads, over what writers, watches and probes saw: one picture of the whole run.

use std::{collections::BTreeMap, time::Duration};

use super::{
    chart::{Chart, END, GUTTER, Scale, height},
    quantile, shown,
};
use crate::chaos::{
    evidence::{Evidence, Written},
    probes::Probed,
};

/// Parts of the time that are drawn each as one point.
const PARTS: usize = 300;
/// A gap as long as this is marked.
const GAP_SHOWN: Duration = Duration::from_millis(300);
/// More numbers than these would hide the curve.
const LABELS_MAX: usize = 8;
const WRITER_HEIGHT: f64 = 84.0;
const PROBE_HEIGHT: f64 = 50.0;
const PAD: f64 = 18.0;
/// How far below the bar of the first of two faults that of the second is.
const SECOND: f64 = 15.0;
/// About how wide a letter of a label is.
const LETTER: f64 = 6.1;

/// The picture.
pub(super) fn svg(evidence: &Evidence) -> String {
    let scale = Scale::new(evidence.length.as_secs_f64());
    let mut lanes = Chart::new(6.0);
    faults(&mut lanes, evidence, scale);
    let top = lanes.height;
    leaders(&mut lanes, evidence, scale);
    for writer in &evidence.writers {
        writes(&mut lanes, evidence, writer, scale);
    }
    watches(&mut lanes, evidence, scale);
    for client in evidence.service.iter().flat_map(|asked| &asked.clients) {
        looks(&mut lanes, evidence, client, &format!("Service from {}", client.name), scale);
    }
    for probe in &evidence.probes {
        looks(&mut lanes, evidence, probe, &format!("Probe {}", probe.name), scale);
    }
    axis(&mut lanes, scale, top);
    for one in &evidence.injected {
        let (from, to) = (evidence.seconds(one.began), evidence.seconds(one.healed));
        lanes.band(scale.x(from), scale.x(to) - scale.x(from), (top, lanes.height - 22.0));
    }
    lanes.svg("Faults over leader, latency and availability")
}

/// The colour of the n-th host.
fn host_colour(number: usize) -> String {
    format!("var(--h{})", number % 5 + 1)
}

fn faults(lanes: &mut Chart, evidence: &Evidence, scale: Scale) {
    let y = lanes.height;
    lanes.text((12.0, y + 14.0), "start", "lane", "Faults");
    lanes.text((12.0, y + 30.0), "start", "soft", "bar: until healed,");
    lanes.text((12.0, y + 44.0), "start", "soft", "pale: until whole");
    let deeper = if evidence.injected.iter().any(|one| one.planned.beside) { SECOND } else { 0.0 };
    // Labels move down a row until they have room; of two faults at once, so does the bar of the second.
    let mut rows: Vec<f64> = Vec::new();
    for one in &evidence.injected {
        let bar = y + 2.0 + if one.planned.beside { SECOND } else { 0.0 };
        let x = scale.x(evidence.seconds(one.began));
        let healed = scale.x(evidence.seconds(one.healed));
        let whole = one.recovered.map_or(healed, |at| scale.x(evidence.seconds(at)));
        let proof = one.proof.as_ref().map_or_else(|why| format!("DID NOT BITE: {why}"), Clone::clone);
        let title = format!("{} of {}: {proof}", one.planned.fault.name, one.hosts.join(", "));
        lanes.bar((x, bar, whole - x, 12.0), "var(--fault-soft)", &title);
        let colour = if one.proof.is_ok() { "var(--fault)" } else { "var(--bad)" };
        lanes.bar((x, bar, healed - x, 12.0), colour, &title);
        let label = format!("{} {}", one.planned.fault.name, one.hosts.join(" "));
        let width = label.len() as f64 * LETTER;
        let left = x.min(END + 40.0 - width);
        let row = rows.iter().position(|end| *end < left).unwrap_or_else(|| {
            rows.push(0.0);
            rows.len() - 1
        });
        rows[row] = left + width + 8.0;
        let class = if one.proof.is_ok() { "" } else { "badtext" };
        lanes.text((left, y + deeper + 28.0 + 14.0 * row as f64), "start", class, &label);
    }
    lanes.height = y + deeper + 24.0 + 14.0 * rows.len().max(2) as f64 + PAD / 2.0;
}

fn leaders(lanes: &mut Chart, evidence: &Evidence, scale: Scale) {
    let y = lanes.height;
    lanes.text((12.0, y + 13.0), "start", "lane", "Leader");
    let mut hosts: BTreeMap<&str, usize> = BTreeMap::new();
    let names = evidence.claims.values().flatten().map(String::as_str);
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        hosts.insert(name, hosts.len());
    }
    let ends = evidence.leaders.iter().skip(1).map(|look| evidence.seconds(look.at));
    let ends = ends.chain([evidence.length.as_secs_f64()]);
    for (look, end) in evidence.leaders.iter().zip(ends) {
        let (from, to) = (scale.x(evidence.seconds(look.at)), scale.x(end));
        if to - from < 0.3 {
            continue;
        }
        match &look.leader {
            Some(leader) => {
                let colour = host_colour(hosts.get(leader.as_str()).copied().unwrap_or_default());
                lanes.bar((from, y, to - from, 18.0), &colour, &format!("{leader} leads term {}", look.term));
                let label = format!("{leader} · term {}", look.term);
                let short = if label.len() as f64 * LETTER < to - from { label } else { leader.clone() };
                if short.len() as f64 * LETTER < to - from - 4.0 {
                    lanes.text(((from + to) / 2.0, y + 13.0), "middle", "onbar", &short);
                }
            }
            None => lanes.bar((from, y + 7.0, to - from, 4.0), "var(--bad)", "no master says that it leads"),
        }
    }
    lanes.height = y + 18.0 + PAD;
}

fn writes(lanes: &mut Chart, evidence: &Evidence, writer: &Written, scale: Scale) {
    let (y, bottom) = (lanes.height, lanes.height + WRITER_HEIGHT);
    let colour = if writer.name.starts_with("etcd") { "var(--etcd)" } else { "var(--api)" };
    lanes.text((12.0, y + 14.0), "start", "lane", writer.name);
    lanes.text((12.0, y + 30.0), "start", "soft", "latency of writes:");
    lanes.text((12.0, y + 44.0), "start", "soft", "median, and worst");
    grid(lanes, y, bottom);
    let samples = writer
        .history
        .acknowledged
        .iter()
        .map(|write| (evidence.seconds(write.ended), write.ended.duration_since(write.began)));
    latency(lanes, samples, evidence.length, (y, bottom), scale, colour);
    gaps(lanes, evidence, writer, bottom, scale);
    lanes.height = bottom + PAD;
}

/// Bars where no write was acknowledged; the longest have their numbers.
fn gaps(lanes: &mut Chart, evidence: &Evidence, writer: &Written, bottom: f64, scale: Scale) {
    let times = writer.history.acknowledged.iter().map(|write| write.ended).filter(|time| *time <= evidence.end());
    let marks: Vec<_> = [evidence.epoch].into_iter().chain(times).chain([evidence.end()]).collect();
    let gaps = marks.windows(2).map(|pair| (pair[0], pair[1].saturating_duration_since(pair[0])));
    let mut gaps: Vec<_> = gaps.filter(|(_, gap)| *gap >= GAP_SHOWN).collect();
    gaps.sort_by_key(|(_, gap)| std::cmp::Reverse(*gap));
    let mut labels: Vec<f64> = Vec::new();
    for (at, gap) in gaps {
        let (from, to) = (scale.x(evidence.seconds(at)), scale.x(evidence.seconds(at + gap)));
        lanes.bar((from, bottom - 5.0, to - from, 5.0), "var(--bad)", &format!("no write for {}", shown(gap)));
        let middle = ((from + to) / 2.0).max(GUTTER + 14.0);
        if labels.len() < LABELS_MAX && labels.iter().all(|label| (label - middle).abs() > 44.0) {
            lanes.text((middle, bottom - 9.0), "middle", "badtext", &shown(gap));
            labels.push(middle);
        }
    }
}

/// Lines at 1 ms, 10 ms, 100 ms and 1 s.
fn grid(lanes: &mut Chart, y: f64, bottom: f64) {
    for (label, seconds) in [("1 ms", 0.001), ("10 ms", 0.01), ("100 ms", 0.1), ("1 s", 1.0)] {
        let at = bottom - height(seconds) * (bottom - y);
        lanes.line((GUTTER, at), (END, at), "grid");
        lanes.text((END + 6.0, at + 4.0), "start", "soft", label);
    }
}

/// The worst of each part as a thin bar, and the median as a line.
fn latency(
    lanes: &mut Chart,
    samples: impl Iterator<Item = (f64, Duration)>,
    length: Duration,
    (y, bottom): (f64, f64),
    scale: Scale,
    colour: &str,
) {
    let mut parts: Vec<Vec<Duration>> = vec![Vec::new(); PARTS];
    let width = length.as_secs_f64() / PARTS as f64;
    for (at, took) in samples {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part's number, within bounds")]
        let part = (at / width) as usize;
        if let Some(part) = parts.get_mut(part) {
            part.push(took);
        }
    }
    let mut medians = Vec::with_capacity(PARTS);
    for (number, part) in parts.iter_mut().enumerate() {
        part.sort_unstable();
        let x = scale.x((number as f64 + 0.5) * width);
        let rises = |time: Duration| bottom - height(time.as_secs_f64()) * (bottom - y);
        let (Some(worst), median) = (part.last().copied(), quantile(part, 0.5)) else {
            medians.push(None);
            continue;
        };
        let top = rises(worst);
        let bar = (x - 1.1, top, 2.2, bottom - top);
        lanes.bar(bar, &format!("color-mix(in srgb, {colour} 26%, transparent)"), &format!("worst {}", shown(worst)));
        medians.push(Some((x, rises(median))));
    }
    lanes.curve(&medians, colour);
}

fn watches(lanes: &mut Chart, evidence: &Evidence, scale: Scale) {
    let y = lanes.height;
    lanes.text((12.0, y + 11.0), "start", "lane", "Watches");
    lanes.text((12.0, y + 26.0), "start", "soft", "a mark: resumed");
    lanes.line((GUTTER, y + 16.0), (END, y + 16.0), "grid");
    for heard in &evidence.heard {
        let colour = if heard.name.starts_with("etcd") { "var(--etcd)" } else { "var(--api)" };
        let dy = if heard.name.starts_with("etcd") { 4.0 } else { 17.0 };
        for at in heard.resumed.iter().filter(|at| **at <= evidence.end()) {
            let x = scale.x(evidence.seconds(*at));
            lanes.bar((x - 1.0, y + dy, 2.0, 11.0), colour, &format!("{} resumed", heard.name));
        }
    }
    lanes.height = y + 28.0 + PAD;
}

fn looks(lanes: &mut Chart, evidence: &Evidence, probe: &Probed, name: &str, scale: Scale) {
    let (y, bottom) = (lanes.height, lanes.height + PROBE_HEIGHT);
    lanes.text((12.0, y + 14.0), "start", "lane", name);
    let failed = probe.samples.iter().filter(|sample| sample.failure.is_some()).count();
    lanes.text((12.0, y + 30.0), "start", "soft", &format!("{failed} of {} failed", probe.samples.len()));
    let good = probe.samples.iter().filter(|sample| sample.failure.is_none());
    let samples = good.map(|sample| (evidence.seconds(sample.began), sample.took));
    latency(lanes, samples, evidence.length, (y, bottom - 12.0), scale, "var(--probe)");
    lanes.bar((scale.x(0.0), bottom - 9.0, END - GUTTER, 8.0), "var(--probe)", "available");
    for outage in probe.outages() {
        let from = scale.x(evidence.seconds(outage.from));
        let to = scale.x(evidence.seconds(outage.from + outage.lasted));
        let title = format!("out for {}: {}", shown(outage.lasted), outage.reason);
        lanes.bar((from, bottom - 11.0, (to - from).max(2.5), 12.0), "var(--bad)", &title);
        lanes.text(((from + to) / 2.0, bottom - 16.0), "middle", "badtext", &shown(outage.lasted));
    }
    lanes.height = bottom + PAD;
}

fn axis(lanes: &mut Chart, scale: Scale, top: f64) {
    let y = lanes.height - PAD / 2.0;
    for mark in scale.marks() {
        lanes.line((scale.x(mark), top), (scale.x(mark), y), "grid");
        lanes.text((scale.x(mark), y + 14.0), "middle", "soft", &format!("{mark} s"));
    }
    lanes.height = y + 22.0;
}

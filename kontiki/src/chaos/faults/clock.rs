//! Faults of a host's clock: its processes take another time of day than the machine's, as [`crate::moved_clock`] lets them.
//!
//! What was done to a clock is asked of the process itself: what time a master would write into an object that it makes, and what
//! time an agent wrote into its node's lease.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use client::Kubeconfig;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    chaos::api::{self, Api},
    files, objects,
    up::cluster::{Cluster, Host},
};

/// How a clock is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Ahead by up to an hour, and in the middle of the fault behind by as much.
    Jumps,
    /// To and fro each half second.
    Strobes,
    /// Each host's by another distance, to either side.
    Apart,
}

/// A clock that differs by less was not moved: objects bear whole seconds, and a lease may be some old.
const MOVED_MIN: SignedDuration = SignedDuration::from_mins(5);
/// Certificates and tokens are made for clocks that differ by an hour, not for more.
const FARTHEST_MINS: u64 = 60;
const NEAREST_MINS: u64 = 10;
/// How long a process may take to say what time it is.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a master is asked to make, and to forget.
const OBJECT: &str = "/api/v1/namespaces/default/configmaps?dryRun=All";
const BODY: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kontiki-chaos-clock"}}"#;

/// How far ahead each host was seen to be since a moment: the least and the most.
pub(crate) struct Seen {
    since: Timestamp,
    hosts: BTreeMap<String, (SignedDuration, SignedDuration)>,
}

/// How far ahead the `number`-th host is to be; `turn` counts how often its clock was moved before.
pub(crate) fn ahead(moved: Moved, number: usize, turn: u64, pick: u64) -> SignedDuration {
    let number = u64::try_from(number).unwrap_or(0);
    let (range, is_ahead) = match moved {
        Moved::Jumps | Moved::Strobes => (NEAREST_MINS * 3..FARTHEST_MINS + 1, turn.is_multiple_of(2)),
        // Any two differ by an hour at most.
        Moved::Apart => (NEAREST_MINS..FARTHEST_MINS / 2 + 1, (pick + number).is_multiple_of(2)),
    };
    let minutes = range.start + (pick / (number + 1)) % (range.end - range.start);
    let far = SignedDuration::from_mins(minutes.cast_signed());
    if is_ahead { far } else { -far }
}

/// Moves the clock of a host's processes.
pub(crate) fn set(cluster: &Cluster, host: &str, ahead: SignedDuration) -> Result<()> {
    let path = cluster.clock_file(host);
    files::write_durably(&path, ahead.as_millis().to_string().as_bytes(), 0o600)
}

/// Lets them take the machine's time again.
pub(crate) fn reset(cluster: &Cluster, host: &str) -> Result<()> {
    let path = cluster.clock_file(host);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

impl Seen {
    /// Nothing was seen yet.
    pub(crate) fn from_now() -> Self {
        Self { since: Timestamp::now(), hosts: BTreeMap::new() }
    }

    /// Asks a host's processes what time it is. One that does not answer now is asked again later.
    pub(crate) async fn look(&mut self, cluster: &Cluster, kube: &kube::Client, host: &Host) {
        let ask = async { if host.master { of_master(cluster, host).await } else { of_worker(kube, host).await } };
        if let Ok(Ok(time)) = timeout(PATIENCE, ask).await {
            self.note(&host.name, time, Timestamp::now());
        }
    }

    /// What time a host says that it is. What it wrote before anybody looked says nothing: beside another fault, a lease may not be
    /// renewed for a while.
    fn note(&mut self, host: &str, time: Timestamp, now: Timestamp) {
        if time < self.since && self.since.duration_since(time) < MOVED_MIN {
            return;
        }
        let ahead = time.duration_since(now);
        let (least, most) = self.hosts.entry(host.to_owned()).or_insert((ahead, ahead));
        (*least, *most) = ((*least).min(ahead), (*most).max(ahead));
    }

    /// What shows that the clocks of these hosts were moved. Of several, another fault may keep one from saying its time.
    pub(crate) fn proof(&self, hosts: &[String]) -> Result<String> {
        let heard: Vec<_> = hosts.iter().filter_map(|host| Some((host, self.hosts.get(host)?))).collect();
        ensure!(!heard.is_empty(), "{} did not say what time it is", hosts.join(", "));
        let told = heard.into_iter().map(|(host, (least, most))| {
            let sides = [(*most, "ahead"), (*least, "behind")];
            let moved = sides.into_iter().filter(|(by, side)| (*by > SignedDuration::ZERO) == (*side == "ahead"));
            let moved = moved.filter(|(by, _)| by.abs() >= MOVED_MIN);
            let moved: Vec<String> = moved.map(|(by, side)| format!("{} min {side}", by.abs().as_mins())).collect();
            ensure!(!moved.is_empty(), "the clock of {host} did not move");
            Ok(format!("{host} was {}", moved.join(", then ")))
        });
        Ok(told.collect::<Result<Vec<_>>>()?.join("; "))
    }
}

async fn of_master(cluster: &Cluster, host: &Host) -> Result<Timestamp> {
    let kubeconfig = Kubeconfig::read(&cluster.dir.join("kubeconfig"))?;
    let mut api = Api::new((host.address, 6443).into(), api::certificate(&kubeconfig)?);
    let (status, answer) = api.ask(Method::POST, OBJECT, BODY.into()).await?;
    ensure!(status.is_success(), "{} answers {status}", host.name);
    let object: Value = serde_json::from_slice(&answer)?;
    Ok(object["metadata"]["creationTimestamp"].as_str().unwrap_or_default().parse()?)
}

async fn of_worker(kube: &kube::Client, host: &Host) -> Result<Timestamp> {
    let renewals = objects::renewals(kube).await?;
    Ok(renewals.get(&host.name).context("the node has no lease")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_moved_by_what_certificates_bear() {
        let hour = SignedDuration::from_hours(1);
        for pick in 0..500_u64 {
            for moved in [Moved::Jumps, Moved::Strobes] {
                let (first, second) = (ahead(moved, 0, 0, pick), ahead(moved, 0, 1, pick));
                assert!(first >= MOVED_MIN && first <= hour && second == -first, "{moved:?} {pick}");
            }
            let apart: Vec<SignedDuration> = (0..5).map(|number| ahead(Moved::Apart, number, 0, pick)).collect();
            let (least, most) = (apart.iter().min().unwrap(), apart.iter().max().unwrap());
            assert!(*most - *least <= hour && *most > *least, "{pick}: {apart:?}");
            assert!(apart.iter().all(|by| by.abs() >= MOVED_MIN), "{pick}: {apart:?}");
        }
    }

    #[test]
    fn a_clock_that_was_moved_is_told_by_its_own_times() {
        let (since, mins) = (Timestamp::UNIX_EPOCH, SignedDuration::from_mins);
        let mut seen = Seen { since, hosts: BTreeMap::new() };
        let now = since + SignedDuration::from_secs(4);
        for (host, time) in [
            ("m1", now + mins(41)),
            ("m1", now - mins(40)),
            ("w1", now),
            // It has not been heard of since the fault began.
            ("m2", since - SignedDuration::from_secs(3)),
        ] {
            seen.note(host, time, now);
        }
        assert_eq!(seen.proof(&["m1".into()]).unwrap(), "m1 was 41 min ahead, then 40 min behind");
        assert_eq!(seen.proof(&["w1".into()]).unwrap_err().to_string(), "the clock of w1 did not move");
        assert_eq!(seen.proof(&["m1".into(), "m2".into()]).unwrap(), "m1 was 41 min ahead, then 40 min behind");
        assert!(seen.proof(&["m2".into()]).unwrap_err().to_string().contains("did not say"));
    }
}

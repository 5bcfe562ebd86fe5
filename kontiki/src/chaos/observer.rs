//! Who leads, asked of every master all the time through its own etcd port.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use proto::etcdserverpb::{StatusRequest, StatusResponse, maintenance_client::MaintenanceClient};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{etcd::Access, up::cluster::Cluster};

const PERIOD: Duration = Duration::from_millis(50);
/// A healthy master answers within a millisecond, on a crowded machine within some hundred.
const TIMEOUT: Duration = Duration::from_millis(400);
/// An answer older than this says nothing of now.
const FRESH: Duration = Duration::from_millis(1000);

/// A change of who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) at: std::time::Instant,
    pub(crate) term: u64,
    /// Nobody, when no master says of itself that it leads.
    pub(crate) leader: Option<String>,
}

/// The observation of a cluster; it ends when dropped.
pub(crate) struct Observer {
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    /// Each master's last answer.
    answers: BTreeMap<String, (Instant, StatusResponse)>,
    names: BTreeMap<u64, String>,
    looks: Vec<Look>,
    /// By term, the members that anybody called its leader.
    claims: BTreeMap<u64, BTreeSet<u64>>,
}

impl Observer {
    /// Begins to ask.
    pub(crate) fn start(cluster: &Cluster, access: &Access) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut tasks = JoinSet::new();
        for host in cluster.masters() {
            let url = format!("https://{}:2379", host.address);
            tasks.spawn(ask(host.name.clone(), url, access.clone(), seen.clone()));
        }
        Self { seen, _tasks: tasks }
    }

    /// Who leads now, and in which term.
    pub(crate) fn leader(&self) -> Option<(String, u64)> {
        self.seen.lock().leader()
    }

    /// Nothing, when all these masters answer and follow one leader; else who does not.
    pub(crate) fn trouble(&self, masters: &[String]) -> Option<String> {
        self.seen.lock().trouble(masters)
    }

    /// Whether this master has answered since then.
    pub(crate) fn has_answered_since(&self, master: &str, then: Instant) -> bool {
        self.seen.lock().answers.get(master).is_some_and(|(at, _)| *at > then)
    }

    /// Everything that was seen so far: changes of the leader, and who was called leader of each term.
    pub(crate) fn story(&self) -> (Vec<Look>, BTreeMap<u64, BTreeSet<String>>) {
        let seen = self.seen.lock();
        (seen.looks.clone(), seen.named_claims())
    }
}

async fn ask(host: String, url: String, access: Access, seen: Arc<Mutex<Seen>>) {
    let mut pace = interval(PERIOD);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut client = None;
    loop {
        pace.tick().await;
        if client.is_none() {
            client = access.channel(&url).ok().map(MaintenanceClient::new);
        }
        let Some(open) = &mut client else { continue };
        match timeout(TIMEOUT, open.status(StatusRequest {})).await {
            Ok(Ok(answer)) => seen.lock().hear(&host, answer.into_inner()),
            // After a cut, a new connection is there sooner than the old one recovers.
            Ok(Err(_)) | Err(_) => {
                client = None;
                seen.lock().miss(&host);
            }
        }
    }
}

impl Seen {
    fn hear(&mut self, host: &str, answer: StatusResponse) {
        let own = answer.header.as_ref().map_or(0, |header| header.member_id);
        self.names.insert(own, host.to_owned());
        if answer.leader != 0 {
            self.claims.entry(answer.raft_term).or_default().insert(answer.leader);
        }
        self.answers.insert(host.to_owned(), (Instant::now(), answer));
        self.look();
    }

    fn miss(&mut self, host: &str) {
        self.answers.remove(host);
        self.look();
    }

    fn look(&mut self) {
        let (leader, term) = match self.leader() {
            Some((leader, term)) => (Some(leader), term),
            None => (None, self.looks.last().map_or(0, |look| look.term)),
        };
        if self.looks.last().is_none_or(|last| last.leader != leader || last.term != term) {
            self.looks.push(Look { at: std::time::Instant::now(), term, leader });
        }
    }

    /// The master that says of itself that it leads, in the highest term.
    fn leader(&self) -> Option<(String, u64)> {
        let leads = |answer: &StatusResponse| {
            answer.header.as_ref().is_some_and(|header| header.member_id == answer.leader && answer.leader != 0)
        };
        let fresh = self.answers.iter().filter(|(_, (at, answer))| at.elapsed() < FRESH && leads(answer));
        fresh.map(|(host, (_, answer))| (host.clone(), answer.raft_term)).max_by_key(|(_, term)| *term)
    }

    /// A member that never answered itself is shown by its id.
    fn named_claims(&self) -> BTreeMap<u64, BTreeSet<String>> {
        let name = |id: &u64| self.names.get(id).cloned().unwrap_or_else(|| format!("{id:016x}"));
        self.claims.iter().map(|(term, ids)| (*term, ids.iter().map(name).collect())).collect()
    }

    fn trouble(&self, masters: &[String]) -> Option<String> {
        let Some((leader, term)) = self.leader() else { return Some("no master leads".into()) };
        for master in masters {
            match self.answers.get(master) {
                Some((at, answer)) if at.elapsed() < FRESH => {
                    if answer.raft_term != term || self.names.get(&answer.leader) != Some(&leader) {
                        return Some(format!("{master} does not follow {leader} (term {term})"));
                    }
                }
                _ => return Some(format!("{master} does not answer")),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::ResponseHeader;

    use super::*;

    fn answer(member_id: u64, leader: u64, raft_term: u64) -> StatusResponse {
        let header = Some(ResponseHeader { member_id, ..ResponseHeader::default() });
        StatusResponse { header, leader, raft_term, ..StatusResponse::default() }
    }

    #[tokio::test]
    async fn the_leader_is_who_says_so_itself_in_the_highest_term() {
        let mut seen = Seen::default();
        seen.hear("m1", answer(1, 1, 4));
        seen.hear("m2", answer(2, 1, 4));
        assert_eq!(seen.leader(), Some(("m1".into(), 4)));
        assert_eq!(seen.trouble(&["m1".into(), "m2".into()]), None);
        // m1 was cut off and does not know yet.
        seen.hear("m2", answer(2, 2, 5));
        assert_eq!(seen.leader(), Some(("m2".into(), 5)));
        assert_eq!(seen.trouble(&["m1".into()]), Some("m1 does not follow m2 (term 5)".into()));
        seen.miss("m1");
        assert_eq!(seen.trouble(&["m1".into()]), Some("m1 does not answer".into()));
        let leaders: Vec<_> = seen.looks.iter().filter_map(|look| look.leader.clone()).collect();
        assert_eq!(leaders, ["m1", "m2"]);
        let named = |term| seen.named_claims()[&term].iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!((named(4), named(5)), ("m1".into(), "m2".into()));
    }
}

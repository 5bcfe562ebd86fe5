//! A client that watches all keys from the beginning, and goes on at another member when its stream breaks.

use std::time::Duration;

use proto::etcdserverpb::{WatchCreateRequest, WatchRequest, watch_client::WatchClient, watch_request::RequestUnion};
use store::mvccpb::Event;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{chance::Chance, cluster::Cluster, network::Place, record::Record, workload::all_keys};

/// What a watcher heard, in its order.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Events(Vec<Event>),
    /// Everything up to this revision was told.
    Progress(i64),
    /// The stream began anew, asking for everything from this revision on.
    Resumed(i64),
    /// The revision asked for was compacted; everything from this one on can be had.
    Compacted(i64),
}

/// Everything that one watcher heard.
pub(crate) type Log = Record<Heard>;

impl Log {
    /// The last revision of which everything was heard.
    pub(crate) fn reached(&self) -> i64 {
        self.highest(reached)
    }
}

fn reached(heard: &Heard) -> i64 {
    match heard {
        Heard::Events(events) => {
            events.iter().filter_map(|event| Some(event.kv.as_ref()?.mod_revision)).max().unwrap_or(0)
        }
        Heard::Progress(revision) => *revision,
        Heard::Compacted(revision) => revision - 1,
        Heard::Resumed(_) => 0,
    }
}

/// Watches until told to stop.
pub(crate) async fn watch(cluster: Cluster, chance: Chance, place: Place, log: Log, stop: CancellationToken) {
    let mut next = 1;
    loop {
        let member = *chance.pick(&cluster.places());
        let stream = follow(&cluster, place, member, &mut next, &log);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // Why the stream ended does not matter: it is begun anew.
            _ended = stream => {}
        }
        tokio::time::sleep(chance.millis(20..200)).await;
    }
}

async fn follow(cluster: &Cluster, place: Place, member: Place, next: &mut i64, log: &Log) -> Result<(), Status> {
    let mut client = WatchClient::new(cluster.net.client(place, member));
    let all = all_keys();
    let create = WatchCreateRequest {
        key: all.key,
        range_end: all.range_end,
        start_revision: *next,
        progress_notify: true,
        prev_kv: true,
        ..WatchCreateRequest::default()
    };
    let (requests, queue) = tokio::sync::mpsc::channel(4);
    let ask = |union| WatchRequest { request_union: Some(union) };
    // The receiver is the stream below: it is there.
    drop(requests.send(ask(RequestUnion::CreateRequest(create))).await);
    let mut answers = client.watch(ReceiverStream::new(queue)).await?.into_inner();
    log.add(Heard::Resumed(*next));
    let mut asks = tokio::time::interval(Duration::from_secs(1));
    asks.tick().await;
    loop {
        let answer = tokio::select! {
            biased;
            answer = answers.next() => answer,
            _ = asks.tick() => {
                drop(requests.try_send(ask(RequestUnion::ProgressRequest(Default::default()))));
                continue;
            }
        };
        let Some(answer) = answer.transpose()? else { return Ok(()) };
        if answer.compact_revision > 0 {
            *next = answer.compact_revision;
            log.add(Heard::Compacted(*next));
            return Ok(());
        }
        let revision = answer.header.map_or(0, |header| header.revision);
        if answer.created || answer.canceled {
            continue;
        }
        let heard = if answer.events.is_empty() { Heard::Progress(revision) } else { Heard::Events(answer.events) };
        *next = (*next).max(reached(&heard) + 1);
        log.add(heard);
    }
}

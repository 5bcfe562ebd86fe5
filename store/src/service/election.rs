//! etcd's Election service: of all who stand for a name, the one that came first leads, until its key or lease ends.

use std::{collections::VecDeque, pin::Pin};

use futures_util::{Stream, stream};
use proto::{
    etcdserverpb::{ResponseHeader, TxnResponse},
    mvccpb::KeyValue,
    v3electionpb::{
        CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse,
        ResignRequest, ResignResponse, election_server::Election,
    },
};
use tonic::{Request, Response, Status};

use super::{
    Service,
    queue::{self, Queue},
};
use crate::{Error, Event, WatchItem, WatchRange, WatchStream};

fn not_leader() -> Status {
    Status::unknown("election: not leader")
}

fn missing_leader() -> Status {
    Status::unknown(r#""leader" field must be provided"#)
}

#[tonic::async_trait]
impl Election for Service {
    /// Waits to be elected. A client that goes away meanwhile does not stand any more.
    async fn campaign(&self, request: Request<CampaignRequest>) -> Result<Response<CampaignResponse>, Status> {
        let CampaignRequest { name, lease, value } = request.into_inner();
        let queue = Queue::new(&self.store, &name);
        let mut place = queue.enter(lease, value.clone()).await?;
        if place.found.as_ref().is_some_and(|kv| kv.value != value) {
            let changed = queue::change(&self.store, place.key.clone(), place.revision, place.lease, value).await?;
            place.header = succeeded(changed)?;
        }
        if !queue.wait(&mut place).await? {
            return Err(not_leader());
        }
        place.keep();
        let mut header = place.header;
        self.store.sign(&mut header);
        let leader = LeaderKey { name, key: place.key.clone(), rev: place.revision, lease: place.lease };
        Ok(Response::new(CampaignResponse { header, leader: Some(leader) }))
    }

    async fn proclaim(&self, request: Request<ProclaimRequest>) -> Result<Response<ProclaimResponse>, Status> {
        let ProclaimRequest { leader, value } = request.into_inner();
        let LeaderKey { key, rev, lease, .. } = leader.ok_or_else(missing_leader)?;
        let header = succeeded(queue::change(&self.store, key, rev, lease, value).await?)?;
        Ok(Response::new(ProclaimResponse { header }))
    }

    async fn leader(&self, request: Request<LeaderRequest>) -> Result<Response<LeaderResponse>, Status> {
        let queue = Queue::new(&self.store, &request.into_inner().name);
        let mut response = self.store.range(queue.first()).await?;
        let kv = response.kvs.pop().ok_or_else(|| Status::unknown("election: no leader"))?;
        Ok(Response::new(LeaderResponse { header: response.header, kv: Some(kv) }))
    }

    type ObserveStream = Pin<Box<dyn Stream<Item = Result<LeaderResponse, Status>> + Send>>;

    async fn observe(&self, request: Request<LeaderRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        let queue = Queue::new(&self.store, &request.into_inner().name);
        let observer = Observer { service: self.clone(), queue, leader: None, news: VecDeque::new() };
        let news = stream::unfold(Some(observer), |observer| async {
            let mut observer = observer?;
            match observer.next().await {
                Ok(response) => Some((Ok(response), Some(observer))),
                Err(error) => Some((Err(error.into()), None)),
            }
        });
        Ok(Response::new(Box::pin(news)))
    }

    async fn resign(&self, request: Request<ResignRequest>) -> Result<Response<ResignResponse>, Status> {
        let LeaderKey { key, rev, .. } = request.into_inner().leader.ok_or_else(missing_leader)?;
        let header = queue::leave(&self.store, key, rev).await?.header;
        Ok(Response::new(ResignResponse { header }))
    }
}

fn succeeded(response: TxnResponse) -> Result<Option<ResponseHeader>, Status> {
    if response.succeeded { Ok(response.header) } else { Err(not_leader()) }
}

/// Follows who leads, and what each leader proclaims.
struct Observer {
    service: Service,
    queue: Queue,
    /// The key of the present leader, watched.
    leader: Option<WatchStream>,
    news: VecDeque<LeaderResponse>,
}

impl Observer {
    async fn next(&mut self) -> Result<LeaderResponse, Error> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Ok(news);
            }
            match &mut self.leader {
                None => self.find().await?,
                Some(leader) => match leader.next().await {
                    Ok(WatchItem::Events(batch)) => {
                        let gone = batch.events.iter().position(Event::is_delete);
                        let proclaimed = &batch.events[..gone.unwrap_or(batch.events.len())];
                        let news = proclaimed.iter().map(|event| self.service.news(event.record.kv.clone()));
                        self.news.extend(news);
                        if gone.is_some() {
                            self.leader = None;
                        }
                    }
                    Ok(WatchItem::Progress(_)) => {}
                    // Too slow for the history: go on with what there is.
                    Err(Error::Compacted { .. }) => self.leader = None,
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// The leader there is, or the first one to come.
    async fn find(&mut self) -> Result<(), Error> {
        let store = &self.service.store;
        let mut response = store.range(self.queue.first()).await?;
        let seen = response.header.map_or(0, |header| header.revision);
        let Some(kv) = response.kvs.pop() else {
            let everybody = self.queue.first();
            let mut anybody = store.watch(WatchRange {
                key: everybody.key,
                range_end: everybody.range_end,
                start_revision: seen + 1,
                no_delete: true,
                ..WatchRange::default()
            });
            // Whoever it is may be gone again by now: the next look tells.
            return match anybody.next().await {
                Ok(_) | Err(Error::Compacted { .. }) => Ok(()),
                Err(error) => Err(error),
            };
        };
        self.leader =
            Some(store.watch(WatchRange { key: kv.key.clone(), start_revision: seen + 1, ..WatchRange::default() }));
        self.news.push_back(LeaderResponse { header: response.header, kv: Some(kv) });
        Ok(())
    }
}

impl Service {
    fn news(&self, kv: KeyValue) -> LeaderResponse {
        LeaderResponse { header: Some(self.header_at(kv.mod_revision)), kv: Some(kv) }
    }
}

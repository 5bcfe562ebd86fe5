//! Calls to other members on behalf of openraft.
//!
//! A follower gets one bidirectional stream: many append requests are on their way at once, answers come back in their order.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use openraft::{
    AnyError, RaftNetworkFactory, RaftNetworkV2,
    alias::{SnapshotOf, VoteOf},
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{Backoff, RPCOption},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use proto::raftpb::{Frame, SnapshotChunk, raft_client::RaftClient};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

use super::{
    codec,
    snapshot::{SnapshotSource, blocks},
    state_machine::SnapshotData,
    type_config::{MemberInfo, SnapshotMeta, Types, Vote},
};
use crate::{
    peers::Peers,
    world::{PeerChannel, Threads, Traffic},
};

/// A stream on which no answer comes for this long while requests are outstanding is given up.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between attempts to reach a member that is not there.
const BACKOFF_MS: [u64; 5] = [10, 20, 50, 100, 200];

/// What a frame of `Call` holds. The numbers are on the wire: keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum CallKind {
    Vote = 1,
    PreVote = 2,
    TransferLeader = 3,
    Append = 4,
    /// Answered at once, by nothing: it makes a connection, so that later calls find one.
    Hello = 5,
    /// An append without entries on a stream: it tells how far the log is committed, and is answered only when refused.
    Commit = 6,
}

impl CallKind {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        [Self::Vote, Self::PreVote, Self::TransferLeader, Self::Append, Self::Hello, Self::Commit]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }
}

/// The first chunk of a snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotHeader {
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMeta,
}

fn unreachable(error: &(impl std::error::Error + 'static)) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(error))
}

fn broken(error: &(impl std::error::Error + 'static)) -> RPCError<Types> {
    RPCError::Network(NetworkError::new(error))
}

/// Makes the connections openraft asks for.
pub(crate) struct Network {
    peers: Peers,
    threads: Threads,
}

/// A stream on which one request at a time is answered: opening one for each heartbeat would cost more than the heartbeat.
struct Exchange {
    requests: mpsc::Sender<Frame>,
    answers: Streaming<Frame>,
}

impl Exchange {
    async fn open(mut client: RaftClient<PeerChannel>) -> Result<Self, RPCError<Types>> {
        let (requests, queue) = mpsc::channel(1);
        let opened = client.append(ReceiverStream::new(queue)).await.map_err(|status| unreachable(&status))?;
        Ok(Self { requests, answers: opened.into_inner() })
    }

    async fn ask(
        &mut self,
        request: &AppendEntriesRequest<Types>,
    ) -> Result<StreamAppendResult<Types>, RPCError<Types>> {
        let body = codec::encode_append(request).map_err(|error| broken(&error))?;
        let frame = Frame { kind: CallKind::Append as u32, body };
        self.requests.send(frame).await.map_err(|closed| broken(&closed))?;
        let answer = self.answers.message().await.map_err(|status| unreachable(&status))?;
        let ended = || broken(&io::Error::new(io::ErrorKind::UnexpectedEof, "a stream of heartbeats ended"));
        codec::decode_answer(answer.ok_or_else(ended)?.body).map_err(|error| broken(&error))
    }
}

impl Network {
    pub(crate) fn new(peers: Peers, threads: Threads) -> Self {
        Self { peers, threads }
    }

    fn peer(&self, id: u64, info: &MemberInfo, traffic: Traffic) -> Peer {
        self.peers.learn(id, info);
        Peer { id, traffic, peers: self.peers.clone(), threads: self.threads, heartbeats: None }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, id: u64, info: &MemberInfo) -> Peer {
        self.peer(id, info, Traffic::Bulk)
    }

    async fn new_heartbeat_client(&mut self, id: u64, info: &MemberInfo) -> Peer {
        self.peer(id, info, Traffic::Control)
    }
}

/// One member, as openraft calls it.
pub(crate) struct Peer {
    id: u64,
    traffic: Traffic,
    /// Asked for every call: a member's address may change.
    peers: Peers,
    threads: Threads,
    heartbeats: Option<Exchange>,
}

impl Peer {
    fn client(&self) -> Result<RaftClient<PeerChannel>, RPCError<Types>> {
        self.peers.client(self.id, self.traffic).map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))
    }

    async fn call(&self, kind: CallKind, body: Bytes, option: &RPCOption) -> Result<Bytes, RPCError<Types>> {
        let mut request = Request::new(Frame { kind: kind as u32, body });
        request.set_timeout(option.hard_ttl());
        let answer = self.client()?.call(request).await.map_err(|status| unreachable(&status))?;
        Ok(answer.into_inner().body)
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        kind: CallKind,
        question: &Q,
        option: &RPCOption,
    ) -> Result<A, RPCError<Types>> {
        let body = serde_json::to_vec(question).map_err(|error| broken(&error))?;
        let answer = self.call(kind, body.into(), option).await?;
        serde_json::from_slice(&answer).map_err(|error| broken(&error))
    }

    /// openraft hands in one heartbeat at a time, each as a stream of its own.
    async fn heartbeat<'s, S>(
        &'s mut self,
        mut input: S,
    ) -> Result<BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        let Some(request) = input.next().await else { return Ok(Box::pin(stream::empty())) };
        // Taken out: one that is given up on the way, or fails, is not used again, since its next answer would be to this.
        let mut exchange = match self.heartbeats.take() {
            Some(exchange) => exchange,
            None => Exchange::open(self.client()?).await?,
        };
        let answer = exchange.ask(&request).await?;
        if answer.is_ok() {
            self.heartbeats = Some(exchange);
        }
        Ok(Box::pin(stream::once(std::future::ready(Ok(answer)))))
    }

    async fn send_snapshot(
        &self,
        header: SnapshotHeader,
        source: SnapshotSource,
    ) -> Result<SnapshotResponse<Types>, RPCError<Types>> {
        let header = serde_json::to_vec(&header).map_err(|error| broken(&error))?;
        let (failure, failed) = tokio::sync::oneshot::channel();
        let mut failure = Some(failure);
        let blocks = blocks(source, self.threads).scan((), move |(), block| {
            // A block that cannot be produced ends the stream early; the receiver misses the trailer and discards it all.
            let block = block.map(|data| SnapshotChunk { data });
            std::future::ready(block.map_err(|error| failure.take().map(|failure| failure.send(error))).ok())
        });
        let chunks = stream::once(std::future::ready(SnapshotChunk { data: header.into() })).chain(blocks);
        let answer = self.client()?.install_snapshot(chunks).await;
        if let Some(Ok(error)) = failed.now_or_never() {
            return Err(broken(&error));
        }
        let answer = answer.map_err(|status| unreachable(&status))?.into_inner();
        serde_json::from_slice(&answer.body).map_err(|error| broken(&error))
    }
}

/// The answers of one stream, until the first that ends it. `sent` counts the requests that get one.
fn answers(
    stream: Streaming<Frame>,
    sent: Arc<AtomicU64>,
) -> impl Stream<Item = Result<StreamAppendResult<Types>, RPCError<Types>>> {
    stream::unfold(Some((stream, 0)), move |state| {
        let sent = sent.clone();
        async move {
            let (mut stream, answered) = state?;
            let answer = loop {
                match tokio::time::timeout(IDLE_TIMEOUT, stream.message()).await {
                    Ok(Ok(None)) => return None,
                    Ok(Ok(Some(frame))) => break codec::decode_answer(frame.body).map_err(|error| broken(&error)),
                    Ok(Err(status)) => break Err(unreachable(&status)),
                    Err(elapsed) if sent.load(Ordering::Relaxed) > answered => break Err(broken(&elapsed)),
                    // Nothing was asked, so nothing is missing.
                    Err(_) => {}
                }
            };
            let goes_on = matches!(answer, Ok(Ok(_)));
            Some((answer, goes_on.then_some((stream, answered + 1))))
        }
    })
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let body = codec::encode_append(&request).map_err(|error| broken(&error))?;
        let answer = self.call(CallKind::Append, body, &option).await?;
        serde_json::from_slice(&answer).map_err(|error| broken(&error))
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        if self.traffic == Traffic::Control {
            return Box::pin(self.heartbeat(input));
        }
        Box::pin(async move {
            let id = self.id;
            let sent = Arc::new(AtomicU64::new(0));
            let count = sent.clone();
            // The pause after a failure is in the input: it must be asked before the call, or a dead peer is dialled all the time.
            let mut input = input.peekable();
            if Pin::new(&mut input).peek().await.is_none() {
                return Ok(Box::pin(stream::empty()) as BoxStream<'s, _>);
            }
            let frames = input.enumerate().scan((), move |(), (at, request)| {
                // The first request of a stream may be its only one, and then openraft waits for the answer.
                let kind = if at > 0 && request.entries.is_empty() { CallKind::Commit } else { CallKind::Append };
                if kind == CallKind::Append {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                let frame = codec::encode_append(&request).map(|body| Frame { kind: kind as u32, body });
                let frame = frame.inspect_err(|error| tracing::error!(member = id, %error, "cannot encode entries"));
                std::future::ready(frame.ok())
            });
            let mut client = self.client()?;
            let opened = tokio::time::timeout(IDLE_TIMEOUT, client.append(frames)).await;
            let stream = opened.map_err(|elapsed| unreachable(&elapsed))?.map_err(|status| unreachable(&status))?;
            Ok(Box::pin(answers(stream.into_inner(), sent)) as BoxStream<'s, _>)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(CallKind::Vote, &request, &option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask(CallKind::PreVote, &request, &option).await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        self.ask(CallKind::TransferLeader, &request, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let SnapshotData::Source(source) = snapshot.snapshot else {
            let error = io::Error::other("a received snapshot is not sent on");
            return Err(StreamingError::Network(NetworkError::new(&error)));
        };
        let header = SnapshotHeader { vote, meta: snapshot.meta };
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(header, source) => sent.map_err(|error| match error {
                RPCError::Unreachable(error) => StreamingError::Unreachable(error),
                error => StreamingError::Network(NetworkError::new(&AnyError::error(error))),
            }),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        let last = BACKOFF_MS[BACKOFF_MS.len() - 1];
        Some(Backoff::new(BACKOFF_MS.into_iter().chain(std::iter::repeat(last)).map(Duration::from_millis)))
    }
}

//! What other members may ask of this one.

use std::{collections::VecDeque, io, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest};
use parking_lot::Mutex;
use proto::raftpb::{
    ForwardRequest, ForwardResponse, Frame, KeepAliveRequest, KeepAliveResponse, ReadIndexRequest, ReadIndexResponse,
    SnapshotChunk, raft_server,
};
use serde::{Serialize, de::DeserializeOwned};
use tonic::{Request, Response, Status, Streaming};

use super::{
    codec,
    network::{CallKind, SnapshotHeader},
    state_machine::SnapshotData,
    type_config::{Types, Vote},
};
use crate::{inner::Inner, world::Subject};

/// Messages with one member's proposals under way at once; more wait in the stream.
const FORWARDED_MAX: usize = 256;

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service of one member.
pub(crate) struct Server {
    pub(crate) store: Arc<Inner>,
}

/// The member a request comes from, as its certificate says.
fn sender<T>(request: &Request<T>) -> Result<u64, Status> {
    match request.extensions().get::<Subject>() {
        Some(Subject::Member(id)) => Ok(*id),
        _ => Err(Status::permission_denied("only members may ask this")),
    }
}

/// A member speaks for itself alone.
fn check_speaker(vote: &Vote, sender: u64) -> Result<(), Status> {
    if vote.leader_id.voted_for == sender {
        return Ok(());
    }
    Err(Status::permission_denied(format!("member {sender:016x} speaks for {:016x}", vote.leader_id.voted_for)))
}

fn unavailable(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(body).map_err(invalid)
}

fn encode<T: Serialize>(answer: &T) -> Result<Bytes, Status> {
    serde_json::to_vec(answer).map(Bytes::from).map_err(|error| Status::internal(error.to_string()))
}

fn decode_append(frame: Result<Frame, Status>, sender: u64) -> Result<AppendEntriesRequest<Types>, Status> {
    let request = codec::decode_append(frame?.body).map_err(invalid)?;
    check_speaker(&request.vote, sender)?;
    Ok(request)
}

#[tonic::async_trait]
impl raft_server::Raft for Server {
    type AppendStream = Out<Frame>;
    type ForwardStream = Out<ForwardResponse>;

    async fn append(&self, request: Request<Streaming<Frame>>) -> Result<Response<Out<Frame>>, Status> {
        let sender = sender(&request)?;
        let election = self.store.election.clone();
        // Of the requests under way, in their order: whether the sender waits to hear that they were accepted.
        let waited_for = Arc::<Mutex<VecDeque<bool>>>::default();
        let asked = waited_for.clone();
        // A broken frame ends the input; what came before it is answered.
        let input = request.into_inner().scan((), move |(), frame| {
            let kind = frame.as_ref().map_or(0, |frame| frame.kind);
            let request = decode_append(frame, sender).inspect(|request| {
                election.heard(request.vote);
                asked.lock().push_back(kind != CallKind::Commit as u32);
            });
            future::ready(request.inspect_err(|status| tracing::debug!(%status, "a stream of entries ended")).ok())
        });
        let answers = self.store.raft.stream_append(input).filter_map(move |answer| {
            let is_waited_for = waited_for.lock().pop_front().unwrap_or(true);
            future::ready(match answer {
                Ok(Ok(_)) if !is_waited_for => None,
                Ok(answer) => Some(Ok(Frame { kind: CallKind::Append as u32, body: codec::encode_answer(&answer) })),
                Err(fatal) => Some(Err(unavailable(fatal))),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn call(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        let sender = sender(&request)?;
        let Frame { kind, body } = request.into_inner();
        let raft = &self.store.raft;
        let answer = match CallKind::from_number(kind) {
            Some(CallKind::Vote) => {
                let question: VoteRequest<Types> = decode(&body)?;
                check_speaker(&question.vote, sender)?;
                let answer = raft.vote(question).await.map_err(unavailable)?;
                if answer.vote_granted {
                    self.store.election.voted();
                }
                encode(&answer)?
            }
            Some(CallKind::PreVote) => {
                let question: VoteRequest<Types> = decode(&body)?;
                check_speaker(&question.vote, sender)?;
                encode(&raft.pre_vote(question).await.map_err(unavailable)?)?
            }
            Some(CallKind::TransferLeader) => {
                let question: TransferLeaderRequest<Types> = decode(&body)?;
                check_speaker(question.from_leader(), sender)?;
                if *question.to_node_id() == self.store.id() {
                    self.store.accepts_leadership()?;
                }
                encode(&raft.handle_transfer_leader(question).await.map_err(unavailable)?)?
            }
            Some(CallKind::Append) => {
                let question = decode_append(Ok(Frame { kind, body }), sender)?;
                let answer: AppendEntriesResponse<Types> = raft.append_entries(question).await.map_err(unavailable)?;
                encode(&answer)?
            }
            Some(CallKind::Hello) => Bytes::new(),
            Some(CallKind::Commit) | None => {
                return Err(Status::unimplemented(format!("this member does not know calls of kind {kind}")));
            }
        };
        Ok(Response::new(Frame { kind, body: answer }))
    }

    async fn install_snapshot(&self, request: Request<Streaming<SnapshotChunk>>) -> Result<Response<Frame>, Status> {
        let sender = sender(&request)?;
        let mut chunks = request.into_inner();
        let Some(first) = chunks.message().await? else { return Err(invalid("a snapshot without a header")) };
        let header: SnapshotHeader = decode(&first.data)?;
        check_speaker(&header.vote, sender)?;
        let blocks = chunks.map(|chunk| chunk.map(|chunk| chunk.data).map_err(io::Error::other));
        let view = self.store.state.view();
        let received = self.store.persistence.receive(Box::pin(blocks), &view).await.map_err(|error| {
            tracing::warn!(%error, "a snapshot was not received whole");
            Status::data_loss(error.to_string())
        })?;
        let snapshot = openraft::Snapshot { meta: header.meta, snapshot: SnapshotData::Received(received) };
        let answer = self.store.raft.install_full_snapshot(header.vote, snapshot).await.map_err(unavailable)?;
        Ok(Response::new(Frame { kind: 0, body: encode(&answer)? }))
    }

    async fn forward(
        &self,
        request: Request<Streaming<ForwardRequest>>,
    ) -> Result<Response<Out<ForwardResponse>>, Status> {
        sender(&request)?;
        let store = self.store.clone();
        let answers = request
            .into_inner()
            .map(move |request| {
                let store = store.clone();
                async move { store.propose_forwarded(request?).await }
            })
            .buffered(FORWARDED_MAX);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn read_index(&self, request: Request<ReadIndexRequest>) -> Result<Response<ReadIndexResponse>, Status> {
        sender(&request)?;
        Ok(Response::new(self.store.leader_read_index().await?))
    }

    async fn keep_alive(&self, request: Request<KeepAliveRequest>) -> Result<Response<KeepAliveResponse>, Status> {
        sender(&request)?;
        Ok(Response::new(self.store.leader_keep_alive(request.into_inner().id).await?))
    }

    async fn manage(&self, request: Request<Frame>) -> Result<Response<Frame>, Status> {
        sender(&request)?;
        let Frame { kind, body } = request.into_inner();
        let answer = self.store.leader_manage(decode(&body)?).await;
        Ok(Response::new(Frame { kind, body: encode(&answer)? }))
    }
}

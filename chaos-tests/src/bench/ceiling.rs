//! A server of etcd's KV service that answers without work: what is left is TLS, HTTP/2 and protobuf.

use std::{net::SocketAddr, path::Path, sync::LazyLock};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use kontiki::pki::Pair;
use proto::{
    etcdserverpb::{
        CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
        RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse,
        kv_server::{Kv, KvServer},
    },
    mvccpb::KeyValue,
};
use tonic::{
    Request, Response, Status,
    transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use super::FILL_BYTES;

struct Idle;

fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 1, member_id: 1, revision: 1, raft_term: 1 })
}

/// What every list is answered with.
static VALUE: LazyLock<Bytes> = LazyLock::new(|| vec![b'x'; FILL_BYTES].into());

#[tonic::async_trait]
impl Kv for Idle {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let kv = |number: i64| KeyValue {
            key: Bytes::from(format!("{number:08}")),
            value: VALUE.clone(),
            ..KeyValue::default()
        };
        let kvs: Vec<_> = (0..request.into_inner().limit).map(kv).collect();
        Ok(Response::new(RangeResponse { header: header(), kvs, ..RangeResponse::default() }))
    }
    async fn put(&self, _: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        Ok(Response::new(PutResponse { header: header(), prev_kv: None }))
    }
    async fn delete_range(&self, _: Request<DeleteRangeRequest>) -> Result<Response<DeleteRangeResponse>, Status> {
        Ok(Response::new(DeleteRangeResponse { header: header(), ..DeleteRangeResponse::default() }))
    }
    async fn txn(&self, _: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        Ok(Response::new(TxnResponse { header: header(), succeeded: true, ..TxnResponse::default() }))
    }
    async fn compact(&self, _: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        Ok(Response::new(CompactionResponse { header: header() }))
    }

    type RangeStreamStream = tokio_stream::Empty<Result<proto::etcdserverpb::RangeStreamResponse, Status>>;

    async fn range_stream(&self, _: Request<RangeRequest>) -> Result<Response<Self::RangeStreamStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }
}

/// Serves until the process is ended. `folder` holds `ca.crt` and `server.{crt,key}`.
///
/// # Errors
/// When the address is taken or a certificate cannot be read.
pub async fn serve(address: SocketAddr, folder: &Path) -> Result<()> {
    let authority = std::fs::read_to_string(folder.join("ca.crt")).context("ca.crt")?;
    let server = Pair::load(folder, "server")?;
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(server.cert, server.key))
        .client_ca_root(Certificate::from_pem(authority));
    let incoming = TcpIncoming::bind(address)?.with_nodelay(Some(true));
    Ok(Server::builder().tls_config(tls)?.add_service(KvServer::new(Idle)).serve_with_incoming(incoming).await?)
}

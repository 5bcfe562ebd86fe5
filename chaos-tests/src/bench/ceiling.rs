//! A server of etcd's KV service that answers without work: what is left is TLS, HTTP/2 and protobuf.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, Result};
use kontiki::{EtcdAccess, pki::Pair};
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse,
    kv_server::{Kv, KvServer},
};
use tonic::{
    Request, Response, Status,
    transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

struct Idle;

fn header() -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 1, member_id: 1, revision: 1, raft_term: 1 })
}

#[tonic::async_trait]
impl Kv for Idle {
    async fn range(&self, _: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        Ok(Response::new(RangeResponse { header: header(), ..RangeResponse::default() }))
    }
    async fn put(&self, _: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        Ok(Response::new(PutResponse { header: header(), prev_kv: None }))
    }
    async fn delete_range(&self, _: Request<DeleteRangeRequest>) -> Result<Response<DeleteRangeResponse>, Status> {
        Ok(Response::new(DeleteRangeResponse { header: header(), ..DeleteRangeResponse::default() }))
    }
    async fn txn(&self, _: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        Ok(Response::new(TxnResponse { header: header(), ..TxnResponse::default() }))
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

/// What a client of the servers of this bench shows and trusts.
///
/// # Errors
/// When a file is missing.
pub fn access(folder: &Path) -> Result<EtcdAccess> {
    EtcdAccess::load(folder)
}

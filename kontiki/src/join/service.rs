//! The admitting side: checks a token against its record in the store, uses it up, and answers with what the role needs.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde::{Deserialize, de::DeserializeOwned};
use store::{
    Member, Proposal, Store,
    etcdserverpb::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, compare, request_op},
};

use super::{MASTER_PATH, MasterRequest, MasterResponse, NODE_PATH, NodeRequest, NodeResponse};
use crate::{
    identity::Settings,
    machine,
    pki::{Authorities, Leaf},
    token::{Record, Role, Token},
};

/// The largest request that is read.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// How often a use of a token is tried again when another machine used it at the same moment.
const RACES_MAX: usize = 32;
/// The folder of the token records in the store.
const RECORDS: &str = "/kontiki/tokens/";
/// The folder of the masters' API addresses in the store.
const MASTERS: &str = "/kontiki/masters/";

/// Of what a master says about itself in the store, the part that nodes need.
#[derive(Deserialize)]
struct MasterRecord {
    address: IpAddr,
    port: u16,
}

/// What a master admits others with.
pub(crate) struct JoinService {
    pub(crate) store: Store,
    /// Where this master's API server is reached.
    pub(crate) api_address: SocketAddr,
    pub(crate) authorities: Authorities,
    pub(crate) settings: Settings,
    pub(crate) service_account_key: String,
    pub(crate) master_key: [u8; 32],
}

/// The routes that a machine without a certificate may use.
pub(crate) fn routes(service: Arc<JoinService>) -> Router {
    Router::new()
        .route(MASTER_PATH, post(master))
        .route(NODE_PATH, post(node))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(service)
}

/// Stores a token's record.
pub(crate) async fn save_record(store: &Store, token: &Token, record: &Record) -> Result<()> {
    let put = put_record(token, record)?;
    store.put(put, Proposal::default()).await.map(drop).context("the token could not be stored")
}

/// The request that stores a token's record.
pub(crate) fn put_record(token: &Token, record: &Record) -> Result<PutRequest> {
    let key = format!("{RECORDS}{}", token.id).into();
    Ok(PutRequest { key, value: serde_json::to_vec(record)?.into(), ..PutRequest::default() })
}

async fn master(State(service): State<Arc<JoinService>>, body: axum::body::Bytes) -> Response {
    answer(service.admit_master(&body).await)
}

async fn node(State(service): State<Arc<JoinService>>, body: axum::body::Bytes) -> Response {
    answer(service.admit_node(&body).await)
}

fn answer<T: serde::Serialize>(result: Result<T>) -> Response {
    match result {
        Ok(response) => Json(response).into_response(),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "a machine was not admitted");
            (StatusCode::FORBIDDEN, format!("{error:#}\n")).into_response()
        }
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body)
        .context("the request is not understood: use the same version of kontiki on both machines")
}

impl JoinService {
    async fn admit_master(&self, body: &[u8]) -> Result<MasterResponse> {
        let request: MasterRequest = decode(body)?;
        machine::check_name(&request.name)?;
        self.use_token(&request.token, Role::Master).await?;
        // Whoever comes with a token from where a silent member was takes that one's place.
        let members = self.store.members();
        let namesake = members.iter().find(|member| member.peer_urls.contains(&request.peer_url));
        let replaces = request.replaces.or(namesake.map(|member| member.id));
        let member = Member {
            id: request.member_id,
            name: request.name.clone(),
            peer_urls: vec![request.peer_url],
            client_urls: vec![request.client_url],
            learner: true,
        };
        let others = members.into_iter().filter(|member| Some(member.id) != replaces);
        let others = others.filter_map(|member| Some((member.id, member.peer_urls.into_iter().next()?))).collect();
        let added = self.store.member_join(member, replaces).await;
        added.context("the store did not take the new member")?;
        tracing::info!(name = request.name, member = format!("{:016x}", request.member_id), "master admitted");
        Ok(MasterResponse {
            settings: self.settings.clone(),
            authorities: self.authorities.pairs(),
            service_account_key: self.service_account_key.clone(),
            master_key: self.master_key,
            members: others,
        })
    }

    async fn admit_node(&self, body: &[u8]) -> Result<NodeResponse> {
        let request: NodeRequest = decode(body)?;
        machine::check_name(&request.name)?;
        self.use_token(&request.token, Role::Node).await?;
        let client = Leaf {
            common_name: format!("system:node:{}", request.name),
            organizations: vec!["system:nodes".into()],
            client: true,
            ..Leaf::default()
        };
        let serving = Leaf {
            dns_names: vec![request.name.clone()],
            addresses: vec![request.address],
            server: true,
            client: false,
            ..client.clone()
        };
        let authority = &self.authorities.cluster;
        tracing::info!(name = request.name, address = %request.address, "node admitted");
        Ok(NodeResponse {
            cluster_authority: authority.cert().to_owned(),
            client_cert: authority.sign_request(&client, &request.client_request)?,
            serving_cert: authority.sign_request(&serving, &request.serving_request)?,
            cluster_domain: self.settings.cluster_domain.clone(),
            masters: self.masters().await?,
        })
    }

    /// The API addresses of all masters that say where they are, and of this one.
    pub(crate) async fn masters(&self) -> Result<Vec<String>> {
        let range =
            RangeRequest { key: MASTERS.into(), range_end: prefix_end(MASTERS).into(), ..RangeRequest::default() };
        let found = self.store.range(range).await?;
        let parse =
            |value: &[u8]| serde_json::from_slice::<MasterRecord>(value).context("a master's record is damaged");
        let mut masters = BTreeSet::from([self.api_address]);
        for kv in &found.kvs {
            let record = parse(&kv.value)?;
            masters.insert((record.address, record.port).into());
        }
        Ok(masters.iter().map(SocketAddr::to_string).collect())
    }

    /// Takes one use from a token: compare-and-swap, so that two machines never share one.
    async fn use_token(&self, text: &str, role: Role) -> Result<()> {
        let token: Token = text.parse()?;
        let key = format!("{RECORDS}{}", token.id);
        for _ in 0..RACES_MAX {
            let found = self.store.range(RangeRequest { key: key.clone().into(), ..RangeRequest::default() }).await?;
            let unknown = "the token is not known here: make a new one with `kontiki token create` on a master";
            let kv = found.kvs.into_iter().next().context(unknown)?;
            let mut record: Record = serde_json::from_slice(&kv.value).context("the token's record is damaged")?;
            let now = api::clock::since_epoch().as_secs();
            token.check(&record, role, now)?;
            record.uses_left -= 1;
            let txn = TxnRequest {
                compare: vec![Compare {
                    result: compare::CompareResult::Equal.into(),
                    target: compare::CompareTarget::Mod.into(),
                    key: kv.key.clone(),
                    target_union: Some(compare::TargetUnion::ModRevision(kv.mod_revision)),
                    ..Compare::default()
                }],
                success: vec![RequestOp {
                    request: Some(request_op::Request::RequestPut(PutRequest {
                        key: kv.key,
                        value: serde_json::to_vec(&record)?.into(),
                        ..PutRequest::default()
                    })),
                }],
                failure: Vec::new(),
            };
            if self.store.txn(txn, Proposal::default()).await?.succeeded {
                return Ok(());
            }
        }
        anyhow::bail!("many machines join with this token at once: try again")
    }
}

/// The first key after all keys with this prefix.
fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

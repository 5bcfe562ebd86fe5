//! etcd's Cluster service.

use proto::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
    cluster_server::Cluster,
};
use tonic::{Request, Response, Status};

use super::Service;
use crate::Error;

impl Service {
    fn members(&self) -> Vec<Member> {
        let member = |member: crate::Member| Member {
            id: member.id,
            name: member.name,
            peer_urls: member.peer_urls,
            client_urls: member.client_urls,
            is_learner: member.learner,
        };
        self.store.members().into_iter().map(member).collect()
    }
}

#[tonic::async_trait]
impl Cluster for Service {
    /// Adds a learner. It gets its vote when it has caught up, whatever the request says.
    async fn member_add(&self, request: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        let peer_urls = request.into_inner().peer_urls;
        check_urls(&peer_urls)?;
        let id = self.store.inner.world.identifier();
        self.store.member_add(id, String::new(), peer_urls, Vec::new()).await?;
        let members = self.members();
        let member = members.iter().find(|member| member.id == id).cloned();
        Ok(Response::new(MemberAddResponse { header: Some(self.store.header()), member, members }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        self.store.member_remove(request.into_inner().id).await?;
        Ok(Response::new(MemberRemoveResponse { header: Some(self.store.header()), members: self.members() }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        let MemberUpdateRequest { id, peer_urls } = request.into_inner();
        check_urls(&peer_urls)?;
        let others = self.store.members().into_iter().filter(|member| member.id != id);
        if others.flat_map(|member| member.peer_urls).any(|url| peer_urls.contains(&url)) {
            return Err(Error::PeerUrlExists.into());
        }
        self.store.member_update(id, peer_urls, Vec::new()).await?;
        Ok(Response::new(MemberUpdateResponse { header: Some(self.store.header()), members: self.members() }))
    }

    async fn member_list(&self, request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        if request.into_inner().linearizable {
            self.store.read_index().await?;
        }
        Ok(Response::new(MemberListResponse { header: Some(self.store.header()), members: self.members() }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        self.store.member_promote(request.into_inner().id).await?;
        Ok(Response::new(MemberPromoteResponse { header: Some(self.store.header()), members: self.members() }))
    }
}

/// A member is reached at an address, over TLS, and nothing below it.
fn check_urls(urls: &[String]) -> Result<(), Error> {
    let is_url = |url: &String| {
        let address = url.trim().strip_prefix("https://").and_then(|address| address.rsplit_once(':'));
        address.is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok())
    };
    if !urls.is_empty() && urls.iter().all(is_url) { Ok(()) } else { Err(Error::BadMemberUrls) }
}

//! etcd's Cluster service.

use proto::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
    cluster_server::Cluster,
};
use tonic::{Request, Response, Status};

use super::Service;

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
        let id = rand::random();
        self.store.member_add(id, String::new(), request.into_inner().peer_urls, Vec::new()).await?;
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

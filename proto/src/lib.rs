//! gRPC contracts only: generated code, no logic.
//!
//! `mvccpb`, `authpb`, `etcdserverpb`, `v3lockpb` and `v3electionpb` are etcd's v3 API with its packages and field numbers,
//! so that every etcd client speaks it; `raftpb` is what stands in our log and what masters say to each other.

/// etcd's key-value records and events.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// etcd's v3 API.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// What etcd's Auth service speaks of.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod authpb {
    tonic::include_proto!("authpb");
}

/// etcd's Lock service.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod v3lockpb {
    tonic::include_proto!("v3lockpb");
}

/// etcd's Election service.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod v3electionpb {
    tonic::include_proto!("v3electionpb");
}

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
mod kontiki {
    pub mod raft {
        tonic::include_proto!("kontiki.raft");
    }
}

/// Log entries, and the calls between masters.
pub use kontiki::raft as raftpb;

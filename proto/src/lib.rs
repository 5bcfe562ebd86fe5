//! gRPC contracts only: generated code, no logic.
//!
//! `mvccpb` and `etcdserverpb` are etcd's v3 API with its packages and field numbers, so that every etcd client speaks it;
//! `raftpb` is what stands in our log and what masters say to each other.

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

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
mod kontiki {
    pub mod raft {
        tonic::include_proto!("kontiki.raft");
    }
}

/// Log entries, and the calls between masters.
pub use kontiki::raft as raftpb;

//! Everything the store may refuse, in etcd's own words.
//!
//! Go clients recognise an etcd error by its text alone, so every text that starts with `etcdserver:` is part of the
//! protocol. The numbers travel between masters in `CommandError` and must stay what they are.

use proto::raftpb::CommandError;
use tonic::{Code, Status};

/// Why a request was refused. `Display` is the text that goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the text of each variant says it")]
pub enum Error {
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    #[error("etcdserver: key not found")]
    KeyNotFound,
    #[error("etcdserver: value is provided")]
    ValueProvided,
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted { compact_revision: i64 },
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    #[error("etcdserver: watch canceled")]
    WatchCanceled,
    #[error("etcdserver: member ID already exist")]
    MemberExists,
    #[error("etcdserver: Peer URLs already exists")]
    PeerUrlExists,
    #[error("etcdserver: re-configuration failed due to not enough started members")]
    NotEnoughStartedMembers,
    #[error("etcdserver: given member URLs are invalid")]
    BadMemberUrls,
    #[error("etcdserver: member not found")]
    MemberNotFound,
    #[error("etcdserver: can only promote a learner member")]
    MemberNotLearner,
    #[error("etcdserver: can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    #[error("etcdserver: too many learner members in cluster")]
    TooManyLearners,
    #[error("etcdserver: no leader")]
    NoLeader,
    #[error("etcdserver: not leader")]
    NotLeader,
    #[error("etcdserver: leader changed")]
    LeaderChanged,
    #[error("etcdserver: bad leader transferee")]
    BadLeaderTransferee,
    #[error("etcdserver: server stopped")]
    Stopped,
    /// The command may or may not have been applied, and may still be.
    #[error("etcdserver: request timed out")]
    Timeout,
    #[error("etcdserver: unhealthy cluster")]
    Unhealthy,
    #[error("etcdserver: corrupt cluster")]
    Corrupt,
    #[error("etcdserver: rpc not supported for learner")]
    NotSupportedForLearner,
    /// The entry's term is not the writer's: a deposed leader's component wrote it, and nothing was changed.
    #[error("kontiki: the term of the writer is over, the term is {term}")]
    Fenced { term: u64 },
    /// The command was applied before, and its answer is no longer kept.
    #[error("kontiki: the request was answered before and its answer is forgotten")]
    AnswerForgotten,
    #[error("kontiki: {0}")]
    Invalid(String),
    #[error("kontiki: {0}")]
    Internal(String),
}

impl Error {
    /// The stable number of the kind, and the gRPC code its clients expect.
    fn kind(&self) -> (u32, Code) {
        match self {
            Self::EmptyKey => (1, Code::InvalidArgument),
            Self::KeyNotFound => (2, Code::InvalidArgument),
            Self::ValueProvided => (3, Code::InvalidArgument),
            Self::LeaseProvided => (4, Code::InvalidArgument),
            Self::TooManyOps => (5, Code::InvalidArgument),
            Self::DuplicateKey => (6, Code::InvalidArgument),
            Self::InvalidSortOption => (7, Code::InvalidArgument),
            Self::RequestTooLarge => (8, Code::InvalidArgument),
            Self::TooManyRequests => (9, Code::ResourceExhausted),
            Self::Compacted { .. } => (10, Code::OutOfRange),
            Self::FutureRevision => (11, Code::OutOfRange),
            Self::NoSpace => (12, Code::ResourceExhausted),
            Self::LeaseNotFound => (13, Code::NotFound),
            Self::LeaseExists => (14, Code::FailedPrecondition),
            Self::LeaseTtlTooLarge => (15, Code::OutOfRange),
            Self::WatchCanceled => (16, Code::Cancelled),
            Self::MemberExists => (17, Code::FailedPrecondition),
            Self::PeerUrlExists => (18, Code::FailedPrecondition),
            Self::NotEnoughStartedMembers => (19, Code::FailedPrecondition),
            Self::BadMemberUrls => (20, Code::InvalidArgument),
            Self::MemberNotFound => (21, Code::NotFound),
            Self::MemberNotLearner => (22, Code::FailedPrecondition),
            Self::LearnerNotReady => (23, Code::FailedPrecondition),
            Self::TooManyLearners => (24, Code::FailedPrecondition),
            Self::NoLeader => (25, Code::Unavailable),
            Self::NotLeader => (26, Code::FailedPrecondition),
            Self::LeaderChanged => (27, Code::Unavailable),
            Self::BadLeaderTransferee => (28, Code::FailedPrecondition),
            Self::Stopped => (29, Code::Unavailable),
            Self::Timeout => (30, Code::Unavailable),
            Self::Unhealthy => (31, Code::Unavailable),
            Self::Corrupt => (32, Code::DataLoss),
            Self::NotSupportedForLearner => (33, Code::FailedPrecondition),
            Self::Fenced { .. } => (34, Code::FailedPrecondition),
            Self::AnswerForgotten => (35, Code::Unavailable),
            Self::Invalid(_) => (36, Code::InvalidArgument),
            Self::Internal(_) => (37, Code::Internal),
        }
    }

    /// The gRPC code a client of the etcd API sees.
    pub fn code(&self) -> Code {
        self.kind().1
    }
}

/// One of each kind that carries nothing, in the order of their numbers.
const PLAIN: &[Error] = &[
    Error::EmptyKey,
    Error::KeyNotFound,
    Error::ValueProvided,
    Error::LeaseProvided,
    Error::TooManyOps,
    Error::DuplicateKey,
    Error::InvalidSortOption,
    Error::RequestTooLarge,
    Error::TooManyRequests,
    Error::FutureRevision,
    Error::NoSpace,
    Error::LeaseNotFound,
    Error::LeaseExists,
    Error::LeaseTtlTooLarge,
    Error::WatchCanceled,
    Error::MemberExists,
    Error::PeerUrlExists,
    Error::NotEnoughStartedMembers,
    Error::BadMemberUrls,
    Error::MemberNotFound,
    Error::MemberNotLearner,
    Error::LearnerNotReady,
    Error::TooManyLearners,
    Error::NoLeader,
    Error::NotLeader,
    Error::LeaderChanged,
    Error::BadLeaderTransferee,
    Error::Stopped,
    Error::Timeout,
    Error::Unhealthy,
    Error::Corrupt,
    Error::NotSupportedForLearner,
    Error::AnswerForgotten,
];

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<&Error> for CommandError {
    fn from(error: &Error) -> Self {
        let detail = match error {
            Error::Compacted { compact_revision } => *compact_revision,
            Error::Fenced { term } => term.cast_signed(),
            _ => 0,
        };
        let message = match error {
            Error::Invalid(text) | Error::Internal(text) => text.clone(),
            // The number says it all: the receiver has the text.
            _ => String::new(),
        };
        Self { kind: error.kind().0, message, detail }
    }
}

impl From<CommandError> for Error {
    fn from(error: CommandError) -> Self {
        match error.kind {
            10 => Self::Compacted { compact_revision: error.detail },
            34 => Self::Fenced { term: error.detail.cast_unsigned() },
            36 => Self::Invalid(error.message),
            37 => Self::Internal(error.message),
            kind => PLAIN
                .iter()
                .find(|plain| plain.kind().0 == kind)
                .cloned()
                .unwrap_or_else(|| Self::Internal(format!("a newer member's error {kind}: {}", error.message))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_way_to_another_member() {
        let carrying = [
            Error::Compacted { compact_revision: 7 },
            Error::Fenced { term: u64::MAX },
            Error::Invalid("a".into()),
            Error::Internal("b".into()),
        ];
        for error in PLAIN.iter().chain(&carrying) {
            assert_eq!(&Error::from(CommandError::from(error)), error);
        }
        assert_eq!(PLAIN.len() + carrying.len(), 37);
    }

    #[test]
    fn an_unknown_kind_keeps_its_text() {
        let error = Error::from(CommandError { kind: 99, message: "new".into(), detail: 0 });
        assert_eq!(error.to_string(), "kontiki: a newer member's error 99: new");
    }
}

//! Bugs on purpose: a checker that finds none of these finds nothing.
//!
//! They exist only with the feature `planted-bugs`, which no build for users has.

/// A bug that a member can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planted {
    /// The log says that entries are durable before they are flushed (etcd #14370).
    AcknowledgeBeforeFlush,
    /// A restarted member does not know whom it voted for.
    ForgetVote,
    /// A leader answers reads without asking whether it still leads (etcd #20418).
    ReadWithoutQuorum,
    /// A linearizable read is answered from what this member happens to have.
    ReadWhatIsThere,
    /// A proposal whose outcome is unknown is proposed again as a new one (etcd #14890).
    ProposeAnew,
    /// A watch that starts in the past misses the first event (etcd #18089, #19179).
    ResumeTooLate,
    /// Commands that become ready together are applied in another order.
    ApplyOutOfOrder,
    /// Progress is told before the events it covers (etcd #15220).
    ProgressAheadOfEvents,
}

impl Planted {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::AcknowledgeBeforeFlush,
        Self::ForgetVote,
        Self::ReadWithoutQuorum,
        Self::ReadWhatIsThere,
        Self::ProposeAnew,
        Self::ResumeTooLate,
        Self::ApplyOutOfOrder,
        Self::ProgressAheadOfEvents,
    ];
}

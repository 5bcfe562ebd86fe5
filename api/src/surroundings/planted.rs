//! Bugs on purpose: a checker that finds none of these finds nothing.
//!
//! They exist only with the feature `planted-bugs`, which no build for users has.

/// A bug that API server, controllers and scheduler can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planted {
    /// What a leader's components write is not bound to the leader's term.
    ActUnfenced,
    /// A controller looks again before it sees what it wrote.
    ForgetOwnWrites,
    /// A watch that goes on at a revision misses the first event after it.
    ResumeTooLate,
    /// A bookmark tells of a revision whose events were not told yet.
    BookmarkAhead,
    /// An update takes effect although the object is another by now than the one it was made from.
    OverwriteOthers,
    /// A new leader's controllers act by what they had heard, and not by what the last one did.
    ActByOldCaches,
    /// An update is refused, and done.
    RefuseWhatIsDone,
    /// A rolling update takes every pod that was asked for as one that serves.
    BelieveInPods,
    /// The scheduler places a pod again as long as it does not see where it went, and the later of two bindings counts.
    BindAgain,
    /// A pod of a StatefulSet on a node that is silent is taken for dead.
    GiveUpNamedPods,
    /// The endpoints of a Service never become fewer.
    KeepPodsThatWent,
    /// The endpoints of a Service stay as they are while its pods are the same, whatever addresses these have.
    MissNewAddresses,
}

impl Planted {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::ActUnfenced,
        Self::ForgetOwnWrites,
        Self::ResumeTooLate,
        Self::BookmarkAhead,
        Self::OverwriteOthers,
        Self::ActByOldCaches,
        Self::RefuseWhatIsDone,
        Self::BelieveInPods,
        Self::BindAgain,
        Self::GiveUpNamedPods,
        Self::KeepPodsThatWent,
        Self::MissNewAddresses,
    ];
}

//! Compacting for good: waiting until what was compacted is gone.
//!
//! Old versions go with the commands that follow a compaction. Who wants to see them gone sends such commands.

use futures_util::future::try_join_all;
use proto::raftpb::{SessionEnd, command::Body};

use crate::{Error, Proposal, inner::Inner};

/// Commands under way at once.
const COMMANDS: usize = 32;

impl Inner {
    /// Returns when no version is left that was compacted before this call.
    pub(crate) async fn forget_compacted(&self) -> Result<(), Error> {
        let compacted = self.state.view().compacted();
        while self.state.view().state().mvcc.history_start() < compacted {
            // The end of a session that there never was changes nothing itself.
            let nothing = || self.propose(Body::SessionEnd(SessionEnd { session: 0 }), Proposal::default());
            try_join_all((0..COMMANDS).map(|_| nothing())).await?;
        }
        Ok(())
    }
}

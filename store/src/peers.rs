//! Connections to the other members.
//!
//! Each member is reached over two connections, so that a heartbeat never waits behind a megabyte of entries. A connection is
//! made when first used and again when it is lost.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use proto::raftpb::raft_client::RaftClient;

use crate::{
    raft::type_config::MemberInfo,
    world::{BoxError, Network, PeerChannel, Traffic},
};

/// One message: the largest is a batch of entries.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;

struct Connection {
    url: String,
    channel: PeerChannel,
}

#[derive(Default)]
struct State {
    addresses: BTreeMap<u64, MemberInfo>,
    connections: BTreeMap<(u64, Traffic), Connection>,
}

/// The connections of one member; clones share them.
#[derive(Clone)]
pub(crate) struct Peers {
    network: Arc<dyn Network>,
    /// Who was named to this member when it joined.
    introduced: Arc<BTreeMap<u64, String>>,
    state: Arc<Mutex<State>>,
}

impl Peers {
    pub(crate) fn new(network: Arc<dyn Network>, introduced: BTreeMap<u64, String>) -> Self {
        Self { network, introduced: Arc::new(introduced), state: Arc::default() }
    }

    /// Who was named to this member when it joined.
    pub(crate) fn introduced(&self) -> impl Iterator<Item = u64> + '_ {
        self.introduced.keys().copied()
    }

    /// Where a member is, unless that is known already.
    pub(crate) fn learn(&self, id: u64, info: &MemberInfo) {
        self.state.lock().addresses.entry(id).or_insert_with(|| info.clone());
    }

    /// Where the members are, as the membership has it. Connections to others are forgotten.
    pub(crate) fn set_addresses(&self, addresses: BTreeMap<u64, MemberInfo>) {
        let mut state = self.state.lock();
        state.connections.retain(|(id, _), _| addresses.contains_key(id));
        state.addresses = addresses;
    }

    /// A client of the member, connected when it is first used.
    pub(crate) fn client(&self, id: u64, traffic: Traffic) -> Result<RaftClient<PeerChannel>, PeerError> {
        let mut state = self.state.lock();
        let known = state.addresses.get(&id).and_then(|info| info.peer_urls.first());
        let url = known.or_else(|| self.introduced.get(&id)).ok_or(PeerError::NoAddress(id))?.clone();
        let channel = match state.connections.get(&(id, traffic)).filter(|connection| connection.url == url) {
            Some(connection) => connection.channel.clone(),
            None => {
                let channel = self.network.channel(id, &url, traffic).map_err(PeerError::Unusable)?;
                state.connections.insert((id, traffic), Connection { url, channel: channel.clone() });
                channel
            }
        };
        Ok(RaftClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }
}

/// Why a member cannot be dialled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("member {0:016x} has no known peer URL")]
    NoAddress(u64),
    #[error(transparent)]
    Unusable(BoxError),
}

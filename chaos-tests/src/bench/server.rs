//! What the bench asks of every server that it measures.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kontiki::EtcdAccess;
use nix::sys::signal::Signal;
use proto::etcdserverpb::{StatusRequest, maintenance_client::MaintenanceClient};
use tonic::transport::Channel;

use crate::load::{self, Load, Operation};

/// How long servers may take to answer, for the first time or after a fault.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at a server that is starting.
const LOOK: Duration = Duration::from_millis(5);

/// Members of one store, each a process.
pub trait Members: Send {
    /// What a client shows and trusts.
    fn access(&self) -> &EtcdAccess;
    /// Client URLs, by member.
    fn urls(&self) -> &[String];
    /// The member's process.
    ///
    /// # Errors
    /// When it is not known.
    fn pid(&self, member: usize) -> Result<i32>;
    /// Sends a signal to the member's process, and waits for its end if that is what it asks for.
    ///
    /// # Errors
    /// When there is no such process.
    fn end(&mut self, member: usize, signal: Signal) -> Result<()>;
    /// Starts members that have ended. May return before they serve.
    ///
    /// # Errors
    /// When they do not start.
    fn start(&mut self) -> Result<()>;
}

/// Processes of all members.
pub fn pids(members: &dyn Members) -> Vec<i32> {
    (0..members.urls().len()).filter_map(|member| members.pid(member).ok()).collect()
}

/// Connections, the first to the leader: a single client asks the leader, as etcd's own figures do.
///
/// # Errors
/// When nobody leads.
pub async fn channels(members: &dyn Members, count: usize) -> Result<Vec<Channel>> {
    let first = leader(members).await?;
    let urls = members.urls();
    (0..count).map(|n| members.access().channel(&urls[(first + n) % urls.len()])).collect()
}

/// The member that leads. One alone does.
///
/// # Errors
/// When nobody does in time.
pub async fn leader(members: &dyn Members) -> Result<usize> {
    let start = Instant::now();
    while members.urls().len() > 1 {
        for (member, url) in members.urls().iter().enumerate() {
            let mut client = MaintenanceClient::new(members.access().channel(url)?);
            // A member that does not answer does not lead.
            if let Ok(status) = client.status(StatusRequest {}).await.map(tonic::Response::into_inner)
                && status.header.is_some_and(|header| header.member_id == status.leader)
            {
                return Ok(member);
            }
        }
        anyhow::ensure!(start.elapsed() < START_TIMEOUT, "nobody leads");
        tokio::time::sleep(LOOK).await;
    }
    Ok(0)
}

/// Returns once every member has answered a linearizable get.
///
/// # Errors
/// When one does not in time.
pub async fn all_serve(members: &dyn Members) -> Result<()> {
    for member in 0..members.urls().len() {
        serves(members, member).await?;
    }
    Ok(())
}

/// Returns once the member has answered a linearizable get.
///
/// # Errors
/// When it does not in time.
pub async fn serves(members: &dyn Members, member: usize) -> Result<()> {
    let (start, url) = (Instant::now(), &members.urls()[member]);
    loop {
        let probe = Load { operation: Operation::Get, clients: 1, duration: Duration::from_micros(100) };
        match load::run(probe, &[members.access().channel(url)?]).await {
            Ok(_) => return Ok(()),
            Err(error) if start.elapsed() > START_TIMEOUT => {
                return Err(error).context(format!("{url} does not serve"));
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

//! `kontiki store status`: every member of the store in one table.

use anyhow::Result;
use futures_util::future::join_all;
use proto::etcdserverpb::{Member, StatusResponse};

use crate::{cli::TargetArgs, status::align, target::Target};

/// The table, as text.
pub(crate) async fn table(args: &TargetArgs) -> Result<String> {
    let target = Target::find(args)?;
    let members = target.all_members().await?;
    let statuses = join_all(members.iter().map(|member| status(&target, member))).await;
    let newest = statuses.iter().flatten().map(|(status, ..)| status.raft_index).max().unwrap_or(0);
    let heads =
        ["ID", "NAME", "VERSION", "ROLE", "TERM", "INDEX", "APPLIED", "LAG", "SIZE", "ON DISK", "FSYNC P99", "ALARMS"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for (member, status) in members.iter().zip(&statuses) {
        let mut row = vec![format!("{:016x}", member.id), member.name.clone()];
        match status {
            Some((status, version, flush)) => row.extend(cells(member, status, newest, version, *flush)),
            None => row.extend(["-", "silent", "-", "-", "-", "-", "-", "-", "-", "-"].map(str::to_owned)),
        }
        rows.push(row);
    }
    Ok(align(&rows))
}

fn cells(member: &Member, status: &StatusResponse, newest: u64, version: &str, flush: Option<f64>) -> [String; 10] {
    let role = match status.leader {
        0 => "no leader",
        leader if leader == member.id => "leader",
        _ if status.is_learner => "learner",
        _ => "follower",
    };
    let alarms = if status.errors.is_empty() { "none".to_owned() } else { status.errors.join("; ") };
    [
        version.to_owned(),
        role.to_owned(),
        status.raft_term.to_string(),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        newest.saturating_sub(status.raft_applied_index).to_string(),
        size(status.db_size_in_use),
        size(status.db_size),
        flush.map_or_else(|| "-".to_owned(), |micros| format!("{:.2} ms", micros / 1000.0)),
        alarms,
    ]
}

/// A member's own answer, its version, and how many microseconds its disk takes to flush.
async fn status(target: &Target, member: &Member) -> Option<(StatusResponse, String, Option<f64>)> {
    target.access.status_in_full(member.client_urls.first()?).await.ok()
}

#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
fn size(bytes: i64) -> String {
    match bytes {
        ..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_shown_by_its_role_lag_and_alarms() {
        let member = Member { id: 7, ..Member::default() };
        let status = StatusResponse {
            leader: 9,
            is_learner: true,
            raft_term: 2,
            raft_index: 90,
            raft_applied_index: 80,
            db_size: 40_960,
            db_size_in_use: 20_480,
            errors: vec!["NOSPACE".into()],
            ..StatusResponse::default()
        };
        let shown = cells(&member, &status, 100, "0.1.0", Some(120.0));
        assert_eq!(shown.join(" "), "0.1.0 learner 2 90 80 20 20.0 KiB 40.0 KiB 0.12 ms NOSPACE");
        let leads = StatusResponse { leader: 7, is_learner: false, errors: Vec::new(), ..status.clone() };
        assert_eq!(cells(&member, &leads, 100, "-", None)[1], "leader");
        assert_eq!(cells(&member, &StatusResponse { leader: 0, ..status }, 100, "-", None)[1], "no leader");
    }
}

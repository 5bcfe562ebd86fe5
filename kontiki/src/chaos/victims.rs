//! Whom a fault hits, now that this master leads.

use std::collections::BTreeSet;

use super::faults::Target;
use crate::up::cluster::{Cluster, Host};

/// The hosts, in the order in which they are hit; `pick` chooses where one of several is. None, while nobody leads whom that
/// takes, or while another fault has those that it would be.
pub(crate) fn victims(
    cluster: &Cluster,
    target: Target,
    leader: Option<&str>,
    pick: u64,
    taken: &BTreeSet<String>,
) -> Option<Vec<String>> {
    let names = |hosts: Vec<&Host>| hosts.into_iter().map(|host| host.name.clone()).collect();
    let masters: Vec<String> = names(cluster.masters().collect());
    let followers: Vec<String> = masters.iter().filter(|name| Some(name.as_str()) != leader).cloned().collect();
    let one = |mut among: Vec<String>| {
        among.retain(|name| !taken.contains(name));
        let picked = usize::try_from(pick % among.len().max(1) as u64).unwrap_or(0);
        among.into_iter().nth(picked).into_iter().collect::<Vec<_>>()
    };
    let victims = match target {
        Target::Leader => one(vec![leader?.to_owned()]),
        Target::Follower => {
            leader?;
            one(followers)
        }
        Target::Master => one(masters),
        Target::Majority => {
            let others = masters.len() / 2;
            std::iter::once(leader?.to_owned()).chain(followers.into_iter().take(others)).collect()
        }
        Target::Masters => masters,
        Target::Worker => one(names(cluster.workers().collect())),
        Target::Each => {
            let mut each = followers;
            each.push(leader?.to_owned());
            each.extend(names(cluster.workers().filter(|host| !host.master).collect()));
            each
        }
        Target::Every => names(cluster.hosts.iter().collect()),
    };
    (!victims.is_empty()).then_some(victims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn victims_are_who_the_target_says() {
        let cluster = Cluster::plan("/tmp/a".into(), 7, 40_000, 3, 2, false);
        let of = |target, leader, pick, taken: &[&str]| {
            let taken = taken.iter().map(|name| (*name).to_owned()).collect();
            victims(&cluster, target, leader, pick, &taken).map(|victims| victims.join(" "))
        };
        let victims = |target, pick| of(target, Some("m2"), pick, &[]).unwrap();
        assert_eq!(victims(Target::Leader, 5), "m2");
        assert_eq!(victims(Target::Follower, 0), "m1");
        assert_eq!(victims(Target::Follower, 1), "m3");
        assert_eq!(victims(Target::Master, 4), "m2");
        assert_eq!(victims(Target::Majority, 0), "m2 m1");
        assert_eq!(victims(Target::Masters, 9), "m1 m2 m3");
        assert_eq!(victims(Target::Worker, 3), "w2");
        assert_eq!(victims(Target::Each, 3), "m1 m3 m2 w1 w2");
        assert_eq!(victims(Target::Every, 3), "m1 m2 m3 w1 w2");
        // Beside another fault, and while nobody leads.
        assert_eq!(of(Target::Master, Some("m2"), 0, &["m1"]).as_deref(), Some("m2"));
        assert_eq!(of(Target::Leader, Some("m2"), 0, &["m2"]), None);
        assert_eq!(of(Target::Leader, None, 0, &[]), None);
        assert_eq!(of(Target::Worker, None, 1, &["w2"]).as_deref(), Some("w1"));
    }
}

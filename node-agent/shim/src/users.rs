//! Who runs a container: names are looked up in the image's own account files, never in the node's.

use crate::protocol::UserSetup;

/// The numbers a process runs with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// User.
    pub(crate) uid: u32,
    /// Primary group.
    pub(crate) gid: u32,
    /// Additional groups, sorted.
    pub(crate) groups: Vec<u32>,
    /// Home directory.
    pub(crate) home: String,
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let home = fields.nth(1).unwrap_or("/");
        Some(Account { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    })
}

fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name, gid.parse().ok()?, fields.next().unwrap_or("")))
    })
}

/// Finds the numbers for `wanted`, given the contents of the image's `/etc/passwd` and `/etc/group`.
pub(crate) fn resolve(wanted: &UserSetup, passwd: &str, group: &str) -> Result<Identity, String> {
    let (user, group_name) = match wanted.name.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted.name.as_str(), None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = user.parse::<u32>().ok();
    let account = accounts(passwd).find(|account| number.map_or(account.name == user, |uid| account.uid == uid));
    let uid = match (&account, number) {
        (Some(account), _) => account.uid,
        (None, Some(uid)) => uid,
        (None, None) => {
            return Err(format!("unable to find user {user}: no matching entries in the image's passwd file"));
        }
    };
    if wanted.non_root && uid == 0 {
        return Err("container has runAsNonRoot and image will run as root".to_owned());
    }
    let gid = match (wanted.gid, group_name) {
        (Some(gid), _) => gid,
        (None, Some(name)) => match (groups(group).find(|entry| entry.0 == name), name.parse()) {
            (Some((_, gid, _)), _) | (None, Ok(gid)) => gid,
            (None, Err(_)) => {
                return Err(format!("unable to find group {name}: no matching entries in the image's group file"));
            }
        },
        (None, None) => account.as_ref().map_or(0, |account| account.gid),
    };
    let mut all = wanted.groups.clone();
    if let Some(account) = &account
        && !wanted.strict_groups
        && group_name.is_none()
    {
        let member = |members: &str| members.split(',').any(|member| member == account.name);
        all.extend(groups(group).filter(|(_, _, members)| member(members)).map(|(_, gid, _)| gid));
    }
    all.sort_unstable();
    all.dedup();
    let home = account.map(|account| account.home).filter(|home| !home.is_empty()).unwrap_or("/");
    Ok(Identity { uid, gid, groups: all, home: home.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/false\nbroken line\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:4:syslog,web\n";

    fn wanted(name: &str) -> UserSetup {
        UserSetup { name: name.to_owned(), gid: None, non_root: false, groups: Vec::new(), strict_groups: false }
    }

    fn check(wanted: &UserSetup, uid: u32, gid: u32, groups: &[u32], home: &str) {
        let found = resolve(wanted, PASSWD, GROUP).unwrap();
        assert_eq!(found, Identity { uid, gid, groups: groups.to_vec(), home: home.to_owned() }, "{wanted:?}");
    }

    #[test]
    fn names_and_numbers_are_found_in_the_images_files() {
        check(&wanted(""), 0, 0, &[], "/root");
        check(&wanted("web"), 33, 34, &[4], "/var/www");
        check(&wanted("33"), 33, 34, &[4], "/var/www");
        check(&wanted("web:logs"), 33, 4, &[], "/var/www");
        check(&wanted("1000"), 1000, 0, &[], "/");
        check(&wanted("1000:1001"), 1000, 1001, &[], "/");
        check(&UserSetup { gid: Some(7), groups: vec![9, 2], ..wanted("web") }, 33, 7, &[2, 4, 9], "/var/www");
        check(&UserSetup { strict_groups: true, ..wanted("web") }, 33, 34, &[], "/var/www");
    }

    #[test]
    fn unknown_names_and_root_are_refused() {
        assert!(resolve(&wanted("nobody"), PASSWD, GROUP).unwrap_err().contains("nobody"));
        assert!(resolve(&wanted("web:none"), PASSWD, GROUP).unwrap_err().contains("none"));
        let root = resolve(&UserSetup { non_root: true, ..wanted("root") }, PASSWD, GROUP);
        assert_eq!(root.unwrap_err(), "container has runAsNonRoot and image will run as root");
    }
}

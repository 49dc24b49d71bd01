//! Users and groups, as `/etc/passwd` and `/etc/group` have them, and what permission bits let them do.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use rustix::process::{getegid, geteuid, getgroups};

/// Bits as they stand in a mode, for one class.
pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
/// For a folder: to go through it.
pub(super) const SEARCH: u32 = 1;

/// Somebody, as far as permission bits tell people apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) groups: Vec<u32>,
}

impl Person {
    /// Who this process runs as.
    pub(super) fn own() -> Person {
        let uid = geteuid().as_raw();
        let mut groups = vec![getegid().as_raw()];
        groups.extend(getgroups().unwrap_or_default().iter().map(|group| group.as_raw()));
        Person { name: user_name(uid), uid, groups }
    }

    /// A user of this machine, by name or number.
    pub(super) fn find(name: &str) -> Option<Person> {
        Person::find_in(name, &read("/etc/passwd"), &read("/etc/group"))
    }

    fn find_in(name: &str, passwd: &str, group: &str) -> Option<Person> {
        let fields = rows(passwd).find(|row| row[0] == name || row.get(2) == Some(&name))?;
        let (name, uid, gid) = (fields[0], fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        let is_member = |row: &Vec<&str>| row.get(3).is_some_and(|members| members.split(',').any(|one| one == name));
        let mut groups = vec![gid];
        groups.extend(rows(group).filter(is_member).filter_map(|row| row.get(2)?.parse::<u32>().ok()));
        Some(Person { name: name.into(), uid, groups })
    }

    /// Whether permission bits let them do that. Root may do everything.
    pub(super) fn may(&self, bits: u32, metadata: &Metadata) -> bool {
        self.may_with(bits, metadata.mode(), metadata.uid(), metadata.gid())
    }

    /// The same of something that is not there yet.
    pub(super) fn may_with(&self, bits: u32, mode: u32, owner: u32, group: u32) -> bool {
        let granted = if self.uid == 0 {
            7
        } else if self.uid == owner {
            mode >> 6
        } else if self.groups.contains(&group) {
            mode >> 3
        } else {
            mode
        };
        granted & bits == bits
    }

    /// What makes them a member of the group that a service's files have. Root's is for nobody to join.
    pub(super) fn joins(&self, gid: u32) -> String {
        let (group, name) = (group_name(gid), &self.name);
        if gid == 0 {
            return format!(
                "run tintype as a user of its own (User=tintype in the unit); then usermod -aG tintype {name}"
            );
        }
        format!("usermod -aG {group} {name}, and restart what runs as it")
    }

    pub(super) fn shown(&self) -> String {
        format!("{} ({})", self.name, self.uid)
    }
}

/// The name of a user, or the number where there is none.
pub(super) fn user_name(uid: u32) -> String {
    name_in(&read("/etc/passwd"), uid)
}

/// The name of a group, or the number where there is none.
pub(super) fn group_name(gid: u32) -> String {
    name_in(&read("/etc/group"), gid)
}

fn name_in(table: &str, number: u32) -> String {
    let number = number.to_string();
    let name = rows(table).find(|row| row.get(2) == Some(&number.as_str())).map(|row| row[0].to_owned());
    name.unwrap_or(number)
}

/// The lines of such a table; each has a first field.
fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(':').collect())
}

fn read(path: &str) -> String {
    // minimal containers have none
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\n# a comment\nbroken\n";
    const GROUP: &str = "www-data:x:33:\ntintype:x:990:www-data,other\nadmins:x:5:www-data-2\n";

    #[test]
    fn people_and_their_groups() {
        let nginx = Person { name: "www-data".into(), uid: 33, groups: vec![33, 990] };
        assert_eq!(Person::find_in("www-data", PASSWD, GROUP), Some(nginx.clone()));
        assert_eq!(Person::find_in("33", PASSWD, GROUP), Some(nginx));
        assert_eq!(Person::find_in("nobody", PASSWD, GROUP), None);
        assert_eq!(Person::find_in("broken", PASSWD, GROUP), None);
        assert_eq!((name_in(GROUP, 990), name_in(GROUP, 991)), ("tintype".into(), "991".into()));
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let nginx = Person { name: "nginx".into(), uid: 33, groups: vec![33, 990] };
        let check = |bits, mode, owner, group, expected| {
            assert_eq!(nginx.may_with(bits, mode, owner, group), expected, "{bits} {mode:o} {owner} {group}");
        };
        check(READ, 0o640, 1, 990, true);
        check(READ, 0o640, 1, 1, false);
        check(READ | WRITE, 0o666, 1, 1, true);
        // an owner is not helped by what others may
        check(READ, 0o077, 33, 33, false);
        check(READ, 0o604, 1, 33, false);
        let root = Person { name: "root".into(), uid: 0, groups: vec![0] };
        assert!(root.may_with(WRITE, 0, 1, 1));
    }
}

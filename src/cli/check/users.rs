//! Users and groups as the system knows them (getpwnam(3), getgrouplist(3)), so those of LDAP and systemd as well; and
//! their access by permission bits.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use rustix::process::{getegid, geteuid, getgroups};

/// Permission bits of one class (owner, group or others), as they stand in a mode.
pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
/// Of a folder.
pub(super) const SEARCH: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnixUser {
    pub(super) name: String,
    pub(super) uid: u32,
    /// The primary group first.
    pub(super) groups: Vec<u32>,
}

impl UnixUser {
    /// The effective user and groups of this process.
    pub(super) fn current() -> UnixUser {
        let uid = geteuid().as_raw();
        let mut groups = vec![getegid().as_raw()];
        groups.extend(getgroups().unwrap_or_default().iter().map(|group| group.as_raw()));
        UnixUser { name: user_name(uid), uid, groups }
    }

    /// Looks up a user by name or number.
    pub(super) fn find(name: &str) -> Option<UnixUser> {
        let by_number = || uzers::get_user_by_uid(name.parse().ok()?);
        let user = uzers::get_user_by_name(name).or_else(by_number)?;
        let mut groups = vec![user.primary_group_id()];
        let all = uzers::get_user_groups(user.name(), user.primary_group_id()).unwrap_or_default();
        groups.extend(all.iter().map(uzers::Group::gid));
        groups.dedup();
        Some(UnixUser { name: user.name().to_string_lossy().into_owned(), uid: user.uid(), groups })
    }

    /// Whether permission bits allow access; root may always. ACLs are not read.
    pub(super) fn can_access(&self, bits: u32, metadata: &Metadata) -> bool {
        self.can_access_mode(bits, metadata.mode(), metadata.uid(), metadata.gid())
    }

    /// The same for a file that does not exist yet.
    pub(super) fn can_access_mode(&self, bits: u32, mode: u32, owner: u32, group: u32) -> bool {
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

    /// The command that gives the user access through the group of a service's files. Root's group is not suggested.
    pub(super) fn suggest_group(&self, gid: u32) -> String {
        let (group, name) = (group_name(gid), &self.name);
        if gid == 0 {
            return format!(
                "run tintype as a user of its own (User=tintype in the unit); then usermod -aG tintype {name}"
            );
        }
        format!("usermod -aG {group} {name}, and restart the processes of {name}")
    }
}

/// `www-data (33)`
impl std::fmt::Display for UnixUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.uid)
    }
}

/// The name of a user, or the number if there is none.
pub(super) fn user_name(uid: u32) -> String {
    uzers::get_user_by_uid(uid).map_or(uid.to_string(), |user| user.name().to_string_lossy().into_owned())
}

/// The name of a group, or the number if there is none.
pub(super) fn group_name(gid: u32) -> String {
    uzers::get_group_by_gid(gid).map_or(gid.to_string(), |group| group.name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_found_by_name_and_number() {
        let root = UnixUser::find("root").expect("every system has root");
        assert_eq!((root.uid, root.groups.first()), (0, Some(&0)));
        assert_eq!(root.to_string(), "root (0)");
        assert_eq!(UnixUser::find("0"), Some(root));
        for unknown in ["no such user", "4294967294", "", "-1"] {
            assert_eq!(UnixUser::find(unknown), None, "{unknown}");
        }
        assert_eq!((user_name(0), group_name(0)), ("root".into(), "root".into()));
        assert_eq!((user_name(4_294_967_294), group_name(4_294_967_294)), ("4294967294".into(), "4294967294".into()));
    }

    #[test]
    fn access_is_decided_by_the_first_class_that_matches() {
        let nginx = UnixUser { name: "nginx".into(), uid: 33, groups: vec![33, 990] };
        let check = |bits, mode, owner, group, expected| {
            assert_eq!(nginx.can_access_mode(bits, mode, owner, group), expected, "{bits} {mode:o} {owner} {group}");
        };
        check(READ, 0o640, 1, 990, true);
        check(READ, 0o640, 1, 1, false);
        check(READ | WRITE, 0o666, 1, 1, true);
        // the bits of others do not apply to the owner
        check(READ, 0o077, 33, 33, false);
        check(READ, 0o604, 1, 33, false);
        let root = UnixUser { name: "root".into(), uid: 0, groups: vec![0] };
        assert!(root.can_access_mode(WRITE, 0, 1, 1));
    }
}

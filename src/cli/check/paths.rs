//! Why a path cannot be reached, read or written: the first thing on the way that forbids it, and what would mend that.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::mounts::Mounts;
use super::people::{Person, READ, SEARCH, WRITE, group_name, user_name};

/// Cause and mend.
pub(super) type Why = (String, String);

/// The first thing that keeps somebody from going through to a path and doing there what those bits say; `None` where
/// permission bits forbid nothing.
pub(super) fn barrier(person: &Person, path: &Path, bits: u32) -> Option<Why> {
    // by its names, and by where links on it lead
    let by_name = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut ways = vec![by_name.clone()];
    ways.extend(by_name.canonicalize().ok().filter(|real| *real != by_name));
    ways.iter().find_map(|way| barrier_on(person, way, bits))
}

fn barrier_on(person: &Person, way: &Path, bits: u32) -> Option<Why> {
    let above: Vec<&Path> = way.ancestors().skip(1).collect();
    for folder in above.into_iter().rev() {
        match std::fs::metadata(folder) {
            Ok(metadata) if !metadata.is_dir() => {
                return Some((
                    format!("{} is a file where a folder should be", folder.display()),
                    format!("remove or rename {}, or name another path", folder.display()),
                ));
            }
            Ok(metadata) if !person.may(SEARCH, &metadata) => return Some(closed(person, folder, SEARCH, &metadata)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Some(missing(folder)),
            Err(error) => return Some(unknown(folder, &error)),
        }
    }
    match std::fs::metadata(way) {
        Ok(metadata) if !person.may(bits, &metadata) => Some(closed(person, way, bits, &metadata)),
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::NotFound => Some(missing(way)),
        Err(error) => Some(unknown(way, &error)),
    }
}

fn missing(path: &Path) -> Why {
    let path = path.display();
    (format!("{path} is not there"), format!("mkdir -p {path}, or name another path"))
}

fn unknown(path: &Path, error: &std::io::Error) -> Why {
    (format!("{} cannot be looked at: {error}", path.display()), "run this check as root, who can look at it".into())
}

/// Why bits keep somebody out, and the smallest change that lets them in.
fn closed(person: &Person, path: &Path, bits: u32, metadata: &Metadata) -> Why {
    let (mode, owner, group) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    let mut cause =
        format!("{} cannot be {} by {}: {}", path.display(), verbs(bits, metadata), person.shown(), facts(metadata));
    if has_acl(path) {
        cause.push_str("; it has an ACL, which was not read and may say otherwise");
    }
    let (path, letters) = (path.display(), letters(bits));
    let mend = if person.uid == owner {
        format!("chmod u+{letters} {path}")
    } else if person.groups.contains(&group) {
        format!("chmod g+{letters} {path}")
    } else if (mode >> 3) & bits == bits && group != 0 {
        person.joins(group)
    } else if bits & WRITE != 0 {
        format!("chown {}: {path}", person.name)
    } else {
        format!("chmod o+{letters} {path}, or setfacl -m u:{}:{letters} {path}", person.name)
    };
    (cause, mend)
}

/// Owner, group and mode, as a person would ask for them.
pub(super) fn facts(metadata: &Metadata) -> String {
    let (mode, owner, group) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    format!("it belongs to {} ({owner}) and group {} ({group}), mode {mode:04o}", user_name(owner), group_name(group))
}

fn verbs(bits: u32, metadata: &Metadata) -> &'static str {
    match (bits & WRITE != 0, bits & READ != 0) {
        (true, _) => "written",
        (false, true) => "read",
        (false, false) if metadata.is_dir() => "searched",
        (false, false) => "used",
    }
}

fn letters(bits: u32) -> String {
    [(READ, 'r'), (WRITE, 'w'), (SEARCH, 'x')]
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, letter)| letter)
        .collect()
}

/// Whether a path has an access control list beside its mode (acl(5)).
pub(super) fn has_acl(path: &Path) -> bool {
    let mut value = [0_u8; 4096];
    rustix::fs::getxattr(path, "system.posix_acl_access", &mut value).is_ok_and(|length| length > 0)
}

/// Why a folder cannot be written, after an attempt that failed so.
pub(super) fn why_not_written(own: &Person, mounts: &Mounts, path: &Path, error: &std::io::Error) -> Why {
    let (there, shown) = (nearest(path), path.display());
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => read_only(mounts, &there),
        ErrorKind::StorageFull => no_room(&there),
        ErrorKind::QuotaExceeded => (
            format!("{shown}: the disk quota of {} is used up", own.shown()),
            format!("quota -u {}; raise it, or take another file system", own.name),
        ),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            let file = there.display();
            (
                format!("{file} is a file where a folder should be"),
                format!("remove or rename {file}, or name another path"),
            )
        }
        // whoever cannot go through a folder cannot write in it, and is helped by less
        ErrorKind::PermissionDenied => barrier(own, &there, SEARCH)
            .or_else(|| barrier(own, &there, READ | WRITE | SEARCH))
            .unwrap_or_else(|| forbidden(&there)),
        _ => (format!("{shown}: {error}"), "look into the log of the system (dmesg, journalctl -k)".into()),
    }
}

/// What of a path is there.
pub(super) fn nearest(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find(|path| path.symlink_metadata().is_ok());
    there.unwrap_or(Path::new("/")).to_owned()
}

fn read_only(mounts: &Mounts, path: &Path) -> Why {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let shown = real.display();
    match mounts.of(&real) {
        Some(mount) if !mount.is_system_read_only => (
            format!(
                "{shown} is mounted read-only here ({}), though its file system is not, as ProtectSystem= in a unit, a \
                 read-only volume of a container or a bind mount does",
                mount.point.display()
            ),
            format!(
                "CacheDirectory=tintype or ReadWritePaths={shown} in the unit; a volume without :ro in a container"
            ),
        ),
        Some(mount) => {
            let point = mount.point.display();
            (
                format!("the file system of {shown} ({} at {point}) is read-only", mount.kind),
                format!("mount -o remount,rw {point}; if it became so by itself, the disk has errors: dmesg"),
            )
        }
        None => (format!("the file system of {shown} is read-only"), "remount it with rw".into()),
    }
}

fn no_room(path: &Path) -> Why {
    let shown = path.display();
    match rustix::fs::statvfs(path) {
        Ok(system) if system.f_files > 0 && system.f_favail == 0 => (
            format!("the file system of {shown} has no inodes left ({} files)", system.f_files),
            format!("df -i {shown}; remove files there, or take a file system with more inodes"),
        ),
        _ => (
            format!("the file system of {shown} is full"),
            format!("df -h {shown}; remove files there, or take a larger file system"),
        ),
    }
}

/// The bits allow it and the kernel does not.
fn forbidden(path: &Path) -> Why {
    let shown = path.display();
    (
        format!(
            "{shown} cannot be written though its mode allows it: an ACL, SELinux, AppArmor, a user namespace or \
                chattr +i forbids it"
        ),
        format!("getfacl {shown}; lsattr -d {shown}; journalctl -k | grep -i denied"),
    )
}

/// The place for a cache that most systems have.
pub(super) fn usual_cache() -> &'static str {
    "/var/cache/tintype"
}

//! The first obstacle that keeps a path from being reached, read or written, and its fix.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::mounts::Mounts;
use super::users::{READ, SEARCH, UnixUser, WRITE, group_name, user_name};

/// Cause and fix.
pub(super) type Problem = (String, String);

/// The first obstacle that keeps a user from access to a path with these permission bits; `None` if permissions allow it.
pub(super) fn barrier(user: &UnixUser, path: &Path, bits: u32) -> Option<Problem> {
    // both the path as it is written and the one behind symbolic links
    let by_name = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut ways = vec![by_name.clone()];
    ways.extend(by_name.canonicalize().ok().filter(|real| *real != by_name));
    ways.iter().find_map(|way| barrier_on(user, way, bits))
}

fn barrier_on(user: &UnixUser, way: &Path, bits: u32) -> Option<Problem> {
    let above: Vec<&Path> = way.ancestors().skip(1).collect();
    for folder in above.into_iter().rev() {
        match std::fs::metadata(folder) {
            Ok(metadata) if !metadata.is_dir() => {
                return Some((
                    format!("{} is not a folder", folder.display()),
                    format!("remove or rename {}, or use another path", folder.display()),
                ));
            }
            Ok(metadata) if !user.can_access(SEARCH, &metadata) => {
                return Some(closed(user, folder, SEARCH, &metadata));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Some(missing(folder)),
            Err(error) => return Some(unknown(folder, &error)),
        }
    }
    match std::fs::metadata(way) {
        Ok(metadata) if !user.can_access(bits, &metadata) => Some(closed(user, way, bits, &metadata)),
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::NotFound => Some(missing(way)),
        Err(error) => Some(unknown(way, &error)),
    }
}

fn missing(path: &Path) -> Problem {
    let path = path.display();
    (format!("{path} does not exist"), format!("mkdir -p {path}, or use another path"))
}

fn unknown(path: &Path, error: &std::io::Error) -> Problem {
    (format!("{} cannot be examined: {error}", path.display()), "run this check as root".into())
}

/// The permission bits that deny access, and the smallest change that allows it.
fn closed(user: &UnixUser, path: &Path, bits: u32, metadata: &Metadata) -> Problem {
    let (mode, owner, group) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    let mut cause = format!("{} is not {} by {user}: {}", path.display(), access(bits, metadata), facts(metadata));
    if has_acl(path) {
        cause.push_str("; it has an ACL, which is not evaluated here and may allow it");
    }
    let (path, letters) = (path.display(), letters(bits));
    let fix = if user.uid == owner {
        format!("chmod u+{letters} {path}")
    } else if user.groups.contains(&group) {
        format!("chmod g+{letters} {path}")
    } else if (mode >> 3) & bits == bits && group != 0 {
        user.suggest_group(group)
    } else if bits & WRITE != 0 {
        format!("chown {}: {path}", user.name)
    } else {
        format!("chmod o+{letters} {path}, or setfacl -m u:{}:{letters} {path}", user.name)
    };
    (cause, fix)
}

/// Owner, group and mode.
pub(super) fn facts(metadata: &Metadata) -> String {
    let (mode, owner, group) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    format!("owner {} ({owner}), group {} ({group}), mode {mode:04o}", user_name(owner), group_name(group))
}

fn access(bits: u32, metadata: &Metadata) -> &'static str {
    match (bits & WRITE != 0, bits & READ != 0) {
        (true, _) => "writable",
        (false, true) => "readable",
        (false, false) if metadata.is_dir() => "searchable",
        (false, false) => "executable",
    }
}

fn letters(bits: u32) -> String {
    [(READ, 'r'), (WRITE, 'w'), (SEARCH, 'x')]
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|(_, letter)| letter)
        .collect()
}

/// Whether a path has an access control list besides its mode (acl(5)).
pub(super) fn has_acl(path: &Path) -> bool {
    let mut value = [0_u8; 4096];
    rustix::fs::getxattr(path, "system.posix_acl_access", &mut value).is_ok_and(|length| length > 0)
}

/// The cause of a folder not being writable, after an attempt that failed with `error`.
pub(super) fn why_not_written(own: &UnixUser, mounts: &Mounts, path: &Path, error: &std::io::Error) -> Problem {
    let (there, shown) = (existing_part(path), path.display());
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => read_only(mounts, &there),
        ErrorKind::StorageFull => no_room(&there),
        ErrorKind::QuotaExceeded => (
            format!("{shown}: the disk quota of {own} is exceeded"),
            format!("quota -u {}; raise the quota, or use another file system", own.name),
        ),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            let file = there.display();
            (format!("{file} is not a folder"), format!("remove or rename {file}, or use another path"))
        }
        // a missing search permission alone has a smaller fix
        ErrorKind::PermissionDenied => barrier(own, &there, SEARCH)
            .or_else(|| barrier(own, &there, READ | WRITE | SEARCH))
            .unwrap_or_else(|| forbidden(&there)),
        _ => (format!("{shown}: {error}"), "see the kernel's log: dmesg, or journalctl -k".into()),
    }
}

/// The longest part of a path that exists.
pub(super) fn existing_part(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find(|path| path.symlink_metadata().is_ok());
    there.unwrap_or(Path::new("/")).to_owned()
}

fn read_only(mounts: &Mounts, path: &Path) -> Problem {
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
                format!("mount -o remount,rw {point}; if it became read-only by itself, the disk has errors: dmesg"),
            )
        }
        None => (format!("the file system of {shown} is read-only"), "mount it with the option rw".into()),
    }
}

fn no_room(path: &Path) -> Problem {
    let shown = path.display();
    match rustix::fs::statvfs(path) {
        Ok(system) if system.f_files > 0 && system.f_favail == 0 => (
            format!("the file system of {shown} has no inodes left ({} files)", system.f_files),
            format!("df -i {shown}; remove files there, or use a file system with more inodes"),
        ),
        _ => (
            format!("the file system of {shown} is full"),
            format!("df -h {shown}; remove files there, or use a larger file system"),
        ),
    }
}

/// Permission bits allow it, and the kernel denies it.
fn forbidden(path: &Path) -> Problem {
    let shown = path.display();
    (
        format!(
            "permission denied on {shown}, although its mode allows writing: an ACL, SELinux, AppArmor, a user \
                namespace or chattr +i denies it"
        ),
        format!("getfacl {shown}; lsattr -d {shown}; journalctl -k | grep -i denied"),
    )
}

/// The usual place for the cache.
pub(super) fn usual_cache() -> &'static str {
    "/var/cache/tintype"
}

//! Checks the cache folder: whether it is writable, safe from other users, persistent, and on a file system with enough
//! space.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;

use super::Subject;
use super::paths::{self, existing_part, facts, usual_cache, why_not_written};
use super::report::Report;
use super::users::user_name;
use crate::cache::preflight::{self, Obstacle, PermissionIssue, Step};

const ABOUT: &str = "cache.dir";

pub(super) fn check(subject: &Subject, report: &mut Report) {
    let Some(dir) = subject.config.fixed.cache.folder().map(absolute) else {
        memory_only(subject, report);
        return;
    };
    let shown = dir.display();
    place(subject, &dir, report);
    let is_safe = safe(subject, &dir, report);
    if let Some((from, to)) = other_file_system(&dir) {
        report.error(
            ABOUT,
            format!(
                "{} is on another file system than {}: files cannot be renamed between them (EXDEV)",
                from.display(),
                to.display()
            ),
            format!("umount {}, or mount the file system on {shown} itself", from.display()),
        );
        return;
    }
    if let Some(holder) = preflight::holder(&dir) {
        let who = holder.pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
        report.info(
            ABOUT,
            format!(
                "a running tintype{who} uses {shown}; a second one would answer requests without storing results there \
                until the first one ends"
            ),
        );
    }
    match preflight::probe(&dir) {
        Ok(()) if is_safe => {
            let missing = if dir.exists() { "" } else { "; it does not exist yet and can be created" };
            report.ok(ABOUT, format!("{shown} is writable by {}{missing}", subject.own));
            bounds(subject, &dir, report);
        }
        Ok(()) => {}
        Err(obstacle) => {
            let (cause, fix) = explain(subject, &dir, &obstacle);
            report.error(ABOUT, cause, fix);
        }
    }
}

pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The findings where there is no cache folder.
fn memory_only(subject: &Subject, report: &mut Report) {
    let config = subject.config;
    let memory = HumanBytes(config.fixed.cache.memory.0);
    report.ok(ABOUT, format!("none: results are kept in memory only, up to {memory} (cache.memory)"));
    if !config.fixed.server.x_accel.is_empty() {
        report.warning(
            "server.x_accel",
            "it has no effect: without a cache folder nginx has no files to send",
            "cache.dir = a folder, or server.x_accel = \"\"",
        );
    }
}

/// Whether the location is persistent and cannot be replaced by others.
fn place(subject: &Subject, dir: &Path, report: &mut Report) {
    let shown = dir.display();
    let fix = format!("cache.dir = {:?}; systemd creates it with CacheDirectory=tintype", usual_cache());
    if let Some(tmp) = subject.mounts.private_tmp(dir) {
        report.warning(
            ABOUT,
            format!(
                "{shown} is in a private {} (PrivateTmp=): other processes such as nginx do not see it, and it is \
                deleted when the unit stops",
                tmp.display()
            ),
            fix,
        );
    } else if ["/tmp", "/var/tmp"].iter().any(|tmp| dir.starts_with(tmp)) {
        report.warning(
            ABOUT,
            format!(
                "{shown} is in a folder for temporary files: systemd-tmpfiles deletes old files, a reboot may delete \
                all, and a unit with PrivateTmp= sees a different folder of that name"
            ),
            fix,
        );
    } else if subject
        .mounts
        .of(&existing_part(dir))
        .is_some_and(|mount| matches!(mount.kind.as_str(), "tmpfs" | "ramfs"))
    {
        report.warning(
            ABOUT,
            format!("{shown} is in memory (tmpfs): it takes memory from renders, and is empty after a reboot"),
            fix,
        );
    }
    // write permission on the parent folder allows replacing the cache folder
    if let Some(metadata) = dir.parent().and_then(|above| std::fs::metadata(above).ok())
        && metadata.mode() & 0o1002 == 0o002
        && let Some(above) = dir.parent()
    {
        let above = above.display();
        report.warning(
            ABOUT,
            format!(
                "{above} is world-writable (mode {:04o}): any user can replace {shown} by another folder",
                metadata.mode() & 0o7777
            ),
            format!("chmod o-w {above}"),
        );
    }
}

/// Whether other users could change its files.
fn safe(subject: &Subject, dir: &Path, report: &mut Report) -> bool {
    let own = &subject.own;
    match preflight::permission_issue(dir) {
        Ok(None) => true,
        Ok(Some((path, PermissionIssue::WorldWritable { mode }))) => {
            let is_empty = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
            let is_own = std::fs::metadata(&path).is_ok_and(|metadata| metadata.uid() == own.uid);
            let shown = path.display();
            let cause = format!("{shown} is world-writable (mode {mode:04o}): any user could plant images");
            if is_empty && is_own {
                report.warning(
                    ABOUT,
                    format!("{cause}; it is empty, and serve will remove the permission"),
                    format!("chmod o-w {shown}"),
                );
                return true;
            }
            report.error(
                ABOUT,
                format!("{cause}; serve refuses to use it"),
                format!("chmod o-w {shown}, and remove files of other users from it; or use a subfolder of it"),
            );
            false
        }
        Ok(Some((path, PermissionIssue::ForeignOwner { owner, .. }))) => {
            let (shown, owner, runs) = (path.display(), user_name(owner), own);
            let is_sticky = path.parent().and_then(|above| std::fs::metadata(above).ok());
            let sticky = match is_sticky.filter(|above| above.mode() & 0o1000 != 0) {
                Some(_) => "; its parent folder is sticky, so that only the owner can remove or rename it",
                None => "",
            };
            let run_as = match own.uid {
                0 => format!("run it as {owner} (runuser -u {owner} -- tintype check), or "),
                _ => String::new(),
            };
            report.error(
                ABOUT,
                format!(
                    "{shown} is owned by {owner}, and this process runs as {runs}; serve refuses a folder that another \
                    user can change{sticky}"
                ),
                format!("{run_as}chown -R {}: {shown} (as root)", own.name),
            );
            false
        }
        // the attempt to use it tells why
        Err(_) => true,
    }
}

/// A folder of the cache that is on another file system, and the one that it belongs to.
fn other_file_system(dir: &Path) -> Option<(PathBuf, PathBuf)> {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.dev());
    let layout = preflight::layout_in(dir);
    let own = device(&layout)?;
    let folders = std::fs::read_dir(&layout).ok()?.flatten().map(|entry| entry.path());
    let other = folders.filter(|path| path.is_dir()).find(|path| device(path).is_some_and(|device| device != own))?;
    Some((other, layout))
}

/// The cause and the fix of a failed attempt to use the folder.
fn explain(subject: &Subject, dir: &Path, Obstacle { step, path, error }: &Obstacle) -> (String, String) {
    let shown = dir.display();
    let (cause, fix) = match (step, error.kind()) {
        (Step::Versions, ErrorKind::Unsupported) => {
            (error.to_string(), format!("cache.dir = another folder, or rm -r {shown}/v*"))
        }
        (Step::Rename, ErrorKind::CrossesDevices) => (
            format!("{} is on another file system than the staging folder (EXDEV)", path.display()),
            format!("mount one file system on {shown} itself"),
        ),
        _ => why_not_written(&subject.own, &subject.mounts, path, error),
    };
    let is_missing = dir.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if *step == Step::Make && error.kind() == ErrorKind::PermissionDenied && is_missing {
        return (
            format!("{shown} does not exist and cannot be created: {cause}"),
            format!("install -d -o {} -m 0750 {shown} (as root)", subject.own.name),
        );
    }
    let failure = match step {
        Step::Make => "cannot be created",
        Step::Open => "cannot be opened",
        Step::Versions => "cannot be used",
        Step::Stage | Step::Rename => "is not writable",
    };
    (format!("{shown} {failure}: {cause}"), fix)
}

/// Whether the file system has the space that the settings allow.
fn bounds(subject: &Subject, dir: &Path, report: &mut Report) {
    let cache = &subject.config.fixed.cache;
    let existing = existing_part(dir);
    let Ok(system) = rustix::fs::statvfs(&existing) else { return };
    let size = system.f_blocks.saturating_mul(system.f_frsize);
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let (wanted, left) = (cache.max_bytes.0, cache.min_free.0);
    let numbers = format!("the file system has {}, of which {} are free", HumanBytes(size), HumanBytes(free));
    if free < left {
        report.warning(
            "cache.min_free",
            format!("no space to store results: {} are reserved, and {numbers}", HumanBytes(left)),
            format!("df -h {}; free some space, or cache.min_free = \"{}\"", existing.display(), round(size / 20)),
        );
    } else if wanted.saturating_add(left) > size {
        report.warning(
            "cache.max_bytes",
            format!(
                "{} and the {} of cache.min_free exceed the file system: {numbers}",
                HumanBytes(wanted),
                HumanBytes(left)
            ),
            format!("cache.max_bytes = \"{}\"", round(size.saturating_sub(left) / 10 * 9)),
        );
    } else {
        report.ok("cache.max_bytes", format!("{} fit: {numbers}", HumanBytes(wanted)));
    }
    if system.f_files > 0 && system.f_files < cache.max_files {
        report.info(
            "cache.max_files",
            format!(
                "the file system has {} inodes, fewer than {}: results are evicted earlier",
                system.f_files, cache.max_files
            ),
        );
    }
    if let Ok(metadata) = std::fs::metadata(dir)
        && paths::has_acl(dir)
    {
        report.info(ABOUT, format!("{} has an ACL besides its mode: {}", dir.display(), facts(&metadata)));
    }
}

/// A size in the format of settings.
fn round(bytes: u64) -> String {
    let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter().find(|(_, shift)| bytes >> shift >= 2);
    unit.map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

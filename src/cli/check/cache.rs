//! The cache folder: whether it can be written and, where not, what exactly forbids it; whether it is safe, will last,
//! and has room for what the settings promise.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;

use super::Subject;
use super::paths::{self, facts, nearest, usual_cache, why_not_written};
use super::people::user_name;
use super::report::Report;
use crate::cache::preflight::{self, Doubt, Obstacle, Tried};

const ABOUT: &str = "cache.dir";

pub(super) fn check(subject: &Subject, report: &mut Report) {
    let Some(dir) = subject.config.fixed.cache.folder().map(absolute) else {
        none(subject, report);
        return;
    };
    let shown = dir.display();
    place(subject, &dir, report);
    let is_safe = safe(subject, &dir, report);
    if let Some((from, to)) = apart(&dir) {
        report.error(
            ABOUT,
            format!(
                "{} is on another file system than {}: a file cannot be renamed from one to the other",
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
                "a tintype{who} serves from {shown} at present; a second one would answer every request and keep \
                nothing there until that one ends"
            ),
        );
    }
    match preflight::try_out(&dir) {
        Ok(()) if is_safe => {
            let there = if dir.exists() { "" } else { "; it is not there yet, and can be made" };
            report.ok(ABOUT, format!("{shown} can be written by {}{there}", subject.own.shown()));
            bounds(subject, &dir, report);
        }
        Ok(()) => {}
        Err(obstacle) => {
            let (cause, mend) = stopped(subject, &dir, &obstacle);
            report.error(ABOUT, cause, mend);
        }
    }
}

pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The findings where results are kept in memory alone.
fn none(subject: &Subject, report: &mut Report) {
    let config = subject.config;
    let memory = HumanBytes(config.fixed.cache.memory.0);
    report.ok(ABOUT, format!("none: results are kept in memory alone, {memory} of them (cache.memory)"));
    if !config.fixed.server.x_accel.is_empty() {
        report.warning(
            "server.x_accel",
            "there is no cache folder that nginx could send files from: it does nothing",
            "cache.dir = a folder, or server.x_accel = \"\"",
        );
    }
}

/// What is wrong with where it is.
fn place(subject: &Subject, dir: &Path, report: &mut Report) {
    let shown = dir.display();
    let mend = format!("cache.dir = {:?}; with systemd, CacheDirectory=tintype makes it", usual_cache());
    if let Some(tmp) = subject.mounts.private_tmp(dir) {
        report.warning(
            ABOUT,
            format!(
                "{shown} lies below a private {} (PrivateTmp=): nobody else sees it, nginx neither, and it is \
                deleted when the unit stops",
                tmp.display()
            ),
            mend,
        );
    } else if ["/tmp", "/var/tmp"].iter().any(|tmp| dir.starts_with(tmp)) {
        report.warning(
            ABOUT,
            format!(
                "{shown} lies in a place for temporary files: systemd-tmpfiles deletes what is old there, a \
                restart perhaps everything, and a unit with PrivateTmp= sees another folder of that name"
            ),
            mend,
        );
    } else if subject.mounts.of(&nearest(dir)).is_some_and(|mount| matches!(mount.kind.as_str(), "tmpfs" | "ramfs")) {
        report.warning(
            ABOUT,
            format!("{shown} is in memory (tmpfs): it takes memory from renders, and is empty after a restart"),
            mend,
        );
    }
    // whoever may rename the folder above may put another one in its place
    if let Some(metadata) = dir.parent().and_then(|above| std::fs::metadata(above).ok())
        && metadata.mode() & 0o1002 == 0o002
        && let Some(above) = dir.parent()
    {
        let above = above.display();
        report.warning(
            ABOUT,
            format!(
                "everyone may write in {above} (mode {:04o}), and so put another folder in the place of {shown}",
                metadata.mode() & 0o7777
            ),
            format!("chmod o-w {above}"),
        );
    }
}

/// Whether `serve` would trust it.
fn safe(subject: &Subject, dir: &Path, report: &mut Report) -> bool {
    let own = &subject.own;
    match preflight::doubt(dir) {
        Ok(None) => true,
        Ok(Some((path, Doubt::Open { mode }))) => {
            let is_empty = std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
            let is_own = std::fs::metadata(&path).is_ok_and(|metadata| metadata.uid() == own.uid);
            let shown = path.display();
            let cause = format!(
                "{shown} may be written by everyone (mode {mode:04o}), who could have pictures of their own sent"
            );
            if is_empty && is_own {
                report.warning(
                    ABOUT,
                    format!("{cause}; serve will close it to others, since nothing is in it"),
                    format!("chmod o-w {shown}"),
                );
                return true;
            }
            report.error(
                ABOUT,
                format!("{cause}; serve refuses it"),
                format!("chmod o-w {shown}, and remove what is not yours in it; or take a folder below it"),
            );
            false
        }
        Ok(Some((path, Doubt::Foreign { owner, .. }))) => {
            let (shown, owner, runs) = (path.display(), user_name(owner), own.shown());
            let is_sticky = path.parent().and_then(|above| std::fs::metadata(above).ok());
            let sticky = match is_sticky.filter(|above| above.mode() & 0o1000 != 0) {
                Some(_) => "; what it lies in is sticky, so that only its owner may remove or rename it",
                None => "",
            };
            let run_as = match own.uid {
                0 => format!("run it as {owner} (runuser -u {owner} -- tintype check), or "),
                _ => String::new(),
            };
            report.error(
                ABOUT,
                format!(
                    "{shown} belongs to {owner}, and this runs as {runs}; serve refuses a folder that another user \
                    could change{sticky}"
                ),
                format!("{run_as}chown -R {}: {shown} (as root)", own.name),
            );
            false
        }
        // trying it out says why
        Err(_) => true,
    }
}

/// Two of its folders that are on different file systems.
fn apart(dir: &Path) -> Option<(PathBuf, PathBuf)> {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.dev());
    let layout = preflight::layout_in(dir);
    let own = device(&layout)?;
    let folders = std::fs::read_dir(&layout).ok()?.flatten().map(|entry| entry.path());
    let other = folders.filter(|path| path.is_dir()).find(|path| device(path).is_some_and(|device| device != own))?;
    Some((other, layout))
}

fn stopped(subject: &Subject, dir: &Path, Obstacle { tried, path, error }: &Obstacle) -> (String, String) {
    let shown = dir.display();
    let (cause, mend) = match (tried, error.kind()) {
        (Tried::Versions, ErrorKind::Unsupported) => {
            (error.to_string(), format!("cache.dir = another folder, or rm -r {shown}/v*"))
        }
        (Tried::Rename, ErrorKind::CrossesDevices) => (
            format!("{} is on another file system than the folder that files are staged in", path.display()),
            format!("mount one file system on {shown} itself"),
        ),
        _ => why_not_written(&subject.own, &subject.mounts, path, error),
    };
    let is_missing = dir.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if *tried == Tried::Make && error.kind() == ErrorKind::PermissionDenied && is_missing {
        return (
            format!("{shown} is not there and cannot be made: {cause}"),
            format!("install -d -o {} -m 0750 {shown} (as root)", subject.own.name),
        );
    }
    let what = match tried {
        Tried::Make => "cannot be made",
        Tried::Open => "cannot be opened",
        Tried::Versions => "cannot be used",
        Tried::Stage | Tried::Rename => "cannot be written",
    };
    (format!("{shown} {what}: {cause}"), mend)
}

/// Whether there is as much room as the settings say.
fn bounds(subject: &Subject, dir: &Path, report: &mut Report) {
    let cache = &subject.config.fixed.cache;
    let there = nearest(dir);
    let Ok(system) = rustix::fs::statvfs(&there) else { return };
    let size = system.f_blocks.saturating_mul(system.f_frsize);
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let (wanted, left) = (cache.max_bytes.0, cache.min_free.0);
    let numbers = format!("its file system has {}, of which {} are free", HumanBytes(size), HumanBytes(free));
    if free < left {
        report.warning(
            "cache.min_free",
            format!("nothing more can be kept: {} are to be left free, and {numbers}", HumanBytes(left)),
            format!("df -h {}; make room, or cache.min_free = \"{}\"", there.display(), round(size / 20)),
        );
    } else if wanted.saturating_add(left) > size {
        report.warning(
            "cache.max_bytes",
            format!(
                "{} and the {} that are left to others are more than there is: {numbers}",
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
                "its file system holds {} files at most, fewer than {}: what was used least goes earlier",
                system.f_files, cache.max_files
            ),
        );
    }
    if let Ok(metadata) = std::fs::metadata(dir)
        && paths::has_acl(dir)
    {
        report.info(ABOUT, format!("{} has an ACL beside its mode: {}", dir.display(), facts(&metadata)));
    }
}

/// A size as one would write it into settings.
fn round(bytes: u64) -> String {
    let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter().find(|(_, shift)| bytes >> shift >= 2);
    unit.map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

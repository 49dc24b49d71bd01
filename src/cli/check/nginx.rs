//! Checks the permissions of another user, nginx's, on the socket, the originals and the cache, and on all folders above
//! them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Subject;
use super::cache::absolute;
use super::listen;
use super::paths::{barrier, existing_part, facts};
use super::report::Report;
use super::users::{READ, SEARCH, UnixUser, group_name};
use crate::cache::preflight;
use crate::cli::build;

const ABOUT: &str = "nginx";

pub(super) fn check(subject: &Subject, name: &str, report: &mut Report) {
    let Some(user) = UnixUser::find(name) else {
        report.error(
            ABOUT,
            format!("there is no user {name}"),
            "ps -o user= -C nginx shows the user of its workers, usually www-data or nginx",
        );
        return;
    };
    match subject.config.fixed.server.listen.strip_prefix("unix:") {
        Some(path) => {
            listen::reachable(subject, &user, Path::new(path), report);
            if ["/tmp", "/var/tmp"].iter().any(|tmp| Path::new(path).starts_with(tmp)) {
                report.warning(
                    ABOUT,
                    format!(
                        "{path} is in a folder for temporary files: nginx does not see it if either unit has \
                        PrivateTmp="
                    ),
                    "server.listen = \"unix:/run/tintype/tintype.sock\", with RuntimeDirectory=tintype in the unit",
                );
            }
        }
        None => report.info(ABOUT, "tintype listens on TCP, which needs no permissions"),
    }
    originals(subject, &user, report);
    cache(subject, &user, report);
}

/// nginx opens the files that it sends as its own user.
const NEEDED: &str = "needed to send them itself (try_files, X-Accel-Redirect)";

fn originals(subject: &Subject, user: &UnixUser, report: &mut Report) {
    if build::is_remote(&subject.config.fixed) {
        return;
    }
    let root = absolute(&subject.config.fixed.source.root);
    let barred = barrier(user, &root, SEARCH).or_else(|| barrier(user, &first_file(&root)?, READ));
    add(user, "originals", barred, false, report);
}

fn cache(subject: &Subject, user: &UnixUser, report: &mut Report) {
    let Some(dir) = subject.config.fixed.cache.folder().map(absolute) else { return };
    let layout = preflight::layout_in(&dir);
    let above = existing_part(dir.parent().unwrap_or(&dir));
    let barred = barrier(user, &above, SEARCH).or_else(|| match layout.exists() {
        true => existing(user, &dir, &layout),
        false => future(subject, user, &layout),
    });
    let must = !subject.config.fixed.server.x_accel.is_empty();
    add(user, "renditions in the cache", barred, must, report);
    if let Some(tmp) = subject.mounts.private_tmp(&dir) {
        report.error(
            ABOUT,
            format!(
                "{} does not see {}: {} is private to this unit (PrivateTmp=)",
                user.name,
                dir.display(),
                tmp.display()
            ),
            "cache.dir = \"/var/cache/tintype\", with CacheDirectory=tintype in the unit",
        );
    }
}

/// `must` is whether the settings depend on it.
fn add(user: &UnixUser, what: &str, barred: Option<(String, String)>, must: bool, report: &mut Report) {
    match barred {
        None => report.ok(ABOUT, format!("{} can read {what}", user.name)),
        Some((cause, fix)) if must => {
            let name = &user.name;
            report.error(ABOUT, format!("{name} cannot read {what}, as server.x_accel requires: {cause}"), fix);
        }
        Some((cause, fix)) => {
            report.warning(ABOUT, format!("{} cannot read {what}, {NEEDED}: {cause}", user.name), fix);
        }
    }
}

/// The first obstacle in an existing cache. Its files are the service's, so the fix is membership in their group.
fn existing(user: &UnixUser, dir: &Path, layout: &Path) -> Option<(String, String)> {
    let rendition = first_rendition(layout);
    let folders = [Some(dir), Some(layout), rendition.as_deref().and_then(Path::parent)];
    let wanted =
        folders.into_iter().flatten().map(|path| (path, SEARCH)).chain(rendition.as_deref().map(|path| (path, READ)));
    wanted.into_iter().find_map(|(path, bits)| {
        let metadata = std::fs::metadata(path).ok()?;
        let is_closed = !user.can_access(bits, &metadata);
        is_closed.then(|| (format!("{}: {}", path.display(), facts(&metadata)), user.suggest_group(metadata.gid())))
    })
}

/// The obstacle in a cache that `serve` has yet to create, readable by owner and group.
fn future(subject: &Subject, user: &UnixUser, layout: &Path) -> Option<(String, String)> {
    let group = subject.own.groups.first().copied().unwrap_or_default();
    if user.can_access_mode(SEARCH, 0o750, subject.own.uid, group) {
        return None;
    }
    let (layout, own) = (layout.display(), &subject.own);
    let cause = format!("serve will create {layout} with owner {own}, group {}, mode 0750", group_name(group));
    Some((cause, user.suggest_group(group)))
}

/// A file below a folder, at most two levels down.
fn first_file(folder: &Path) -> Option<PathBuf> {
    let list =
        |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().take(100).map(|entry| entry.path());
    let here: Vec<PathBuf> = list(folder).collect();
    let below = || here.iter().filter(|path| path.is_dir()).flat_map(|path| list(path)).find(|path| path.is_file());
    here.iter().find(|path| path.is_file()).cloned().or_else(below)
}

/// A rendition in the cache. Only renditions are in a folder of two digits and have an extension.
fn first_rendition(layout: &Path) -> Option<PathBuf> {
    let folders = std::fs::read_dir(layout).ok()?.flatten().map(|entry| entry.path());
    let numbered = folders.filter(|path| path.file_name().is_some_and(|name| name.len() == 2));
    numbered
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some())
}

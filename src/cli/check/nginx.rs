//! What another user, nginx's, would see of the socket, the originals and the cache: by permission bits, along every
//! folder on the way.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Subject;
use super::cache::absolute;
use super::listen;
use super::paths::{barrier, facts, nearest};
use super::people::{Person, READ, SEARCH, group_name};
use super::report::Report;
use crate::cache::preflight;

const ABOUT: &str = "nginx";

pub(super) fn check(subject: &Subject, name: &str, report: &mut Report) {
    let Some(person) = Person::find(name) else {
        report.error(
            ABOUT,
            format!("there is no user {name} in /etc/passwd"),
            "ps -o user= -C nginx shows who its workers run as; www-data or nginx is usual",
        );
        return;
    };
    match subject.config.fixed.server.listen.strip_prefix("unix:") {
        Some(path) => {
            listen::reachable(subject, &person, Path::new(path), report);
            if ["/tmp", "/var/tmp"].iter().any(|tmp| Path::new(path).starts_with(tmp)) {
                report.warning(
                    ABOUT,
                    format!(
                        "{path} lies in a place for temporary files: with PrivateTmp= in either unit nginx does \
                        not see it"
                    ),
                    "server.listen = \"unix:/run/tintype/tintype.sock\", with RuntimeDirectory=tintype in the unit",
                );
            }
        }
        None => report.info(ABOUT, "tintype listens on TCP, for which no permissions are needed"),
    }
    originals(subject, &person, report);
    cache(subject, &person, report);
}

/// Where nginx sends files by itself, it opens them as itself.
const NEEDED: &str = "where it is to send them itself (try_files, X-Accel-Redirect)";

fn originals(subject: &Subject, person: &Person, report: &mut Report) {
    let root = absolute(&subject.config.fixed.source.root);
    let barred = barrier(person, &root, SEARCH).or_else(|| barrier(person, &first_file(&root)?, READ));
    tell(person, "originals", barred, false, report);
}

fn cache(subject: &Subject, person: &Person, report: &mut Report) {
    let Some(dir) = subject.config.fixed.cache.folder().map(absolute) else { return };
    let layout = preflight::layout_in(&dir);
    let above = nearest(dir.parent().unwrap_or(&dir));
    let barred = barrier(person, &above, SEARCH).or_else(|| match layout.exists() {
        true => closed(person, &dir, &layout),
        false => to_come(subject, person, &layout),
    });
    let must = !subject.config.fixed.server.x_accel.is_empty();
    tell(person, "renditions in the cache", barred, must, report);
    if let Some(tmp) = subject.mounts.private_tmp(&dir) {
        report.error(
            ABOUT,
            format!(
                "{} does not see {}: {} is private to this unit (PrivateTmp=)",
                person.name,
                dir.display(),
                tmp.display()
            ),
            "cache.dir = \"/var/cache/tintype\", with CacheDirectory=tintype in the unit",
        );
    }
}

/// `must` says that the settings have nginx read them.
fn tell(person: &Person, what: &str, barred: Option<(String, String)>, must: bool, report: &mut Report) {
    match barred {
        None => report.ok(ABOUT, format!("{} may read {what}", person.name)),
        Some((cause, mend)) if must => {
            let name = &person.name;
            report.error(ABOUT, format!("{name} cannot read {what}, which server.x_accel has it send: {cause}"), mend);
        }
        Some((cause, mend)) => {
            report.warning(
                ABOUT,
                format!("{} cannot read {what}, which it has to {NEEDED}: {cause}", person.name),
                mend,
            );
        }
    }
}

/// Its folders and files are the service's: what lets others read them is their group.
fn closed(person: &Person, dir: &Path, layout: &Path) -> Option<(String, String)> {
    let rendition = first_rendition(layout);
    let folders = [Some(dir), Some(layout), rendition.as_deref().and_then(Path::parent)];
    let wanted =
        folders.into_iter().flatten().map(|path| (path, SEARCH)).chain(rendition.as_deref().map(|path| (path, READ)));
    wanted.into_iter().find_map(|(path, bits)| {
        let metadata = std::fs::metadata(path).ok()?;
        let is_closed = !person.may(bits, &metadata);
        is_closed.then(|| (format!("{}: {}", path.display(), facts(&metadata)), person.joins(metadata.gid())))
    })
}

/// The cache makes its folders for its owner and, to be read, its group.
fn to_come(subject: &Subject, person: &Person, layout: &Path) -> Option<(String, String)> {
    let group = subject.own.groups.first().copied().unwrap_or_default();
    if person.may_with(SEARCH, 0o750, subject.own.uid, group) {
        return None;
    }
    let (layout, own) = (layout.display(), subject.own.shown());
    let cause = format!("serve will make {layout} for {own} and the group {}, mode 0750", group_name(group));
    Some((cause, person.joins(group)))
}

/// Some file below a folder, two levels down at most.
fn first_file(folder: &Path) -> Option<PathBuf> {
    let list =
        |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().take(100).map(|entry| entry.path());
    let here: Vec<PathBuf> = list(folder).collect();
    let below = || here.iter().filter(|path| path.is_dir()).flat_map(|path| list(path)).find(|path| path.is_file());
    here.iter().find(|path| path.is_file()).cloned().or_else(below)
}

/// A rendition: of what is in the cache, those alone lie in a numbered folder and have an extension.
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

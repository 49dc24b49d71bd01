//! The folder with originals, and a look at the first ones in it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::Subject;
use super::paths::{self, barrier};
use super::people::{READ, SEARCH};
use super::report::Report;
use crate::cli::build;
use crate::source::STAGING;

const ABOUT: &str = "source.root";

/// How many entries are looked at, and for how long: a folder may have millions.
const MOST: usize = 2000;
const LONGEST: Duration = Duration::from_secs(2);

pub(super) fn check(subject: &Subject, report: &mut Report) {
    let root = &subject.config.fixed.source.root;
    let shown = root.display();
    if let Err(error) = std::fs::read_dir(root) {
        let barred = match error.kind() {
            ErrorKind::NotADirectory => Some((
                format!("{shown} is a file where a folder should be"),
                "name the folder that the originals are in".into(),
            )),
            _ => barrier(&subject.own, root, READ | SEARCH),
        };
        let (cause, mend) = barred.unwrap_or_else(|| {
            (format!("{shown}: {error}"), format!("ls -ld {shown}; name a folder that can be read"))
        });
        report.error(ABOUT, format!("originals cannot be read: {cause}"), format!("{mend} (source.root)"));
        return;
    }
    let sample = Sample::take(root);
    report.ok(
        ABOUT,
        format!(
            "{} can be read{}",
            std::path::absolute(root).unwrap_or_else(|_| root.clone()).display(),
            sample.shown()
        ),
    );
    if let Some((path, error)) = sample.closed.first() {
        let (cause, mend) = barrier(&subject.own, path, READ)
            .unwrap_or_else(|| (format!("{}: {error}", path.display()), format!("ls -l {}", path.display())));
        let count = sample.closed.len();
        report.warning(
            ABOUT,
            format!("{count} of the originals looked at cannot be read, the first since {cause}"),
            mend,
        );
    }
    links(subject, &sample, report);
    clock(&sample, report);
    if subject.config.fixed.security.upload {
        uploads(subject, root, report);
    }
}

/// Links that lead out of the root, and folders that they may lead to.
fn links(subject: &Subject, sample: &Sample, report: &mut Report) {
    let source = &subject.config.fixed.source;
    let mut allowed = Vec::new();
    for folder in &source.links {
        let shown = folder.display();
        match folder.canonicalize() {
            Ok(real) if std::fs::read_dir(&real).is_ok() => allowed.push(real),
            _ => {
                let barred = barrier(&subject.own, folder, READ | SEARCH);
                let (cause, mend) = barred
                    .unwrap_or_else(|| (format!("{shown} is no folder that can be read"), format!("ls -ld {shown}")));
                report.warning("source.links", format!("links cannot lead there: {cause}"), mend);
            }
        }
    }
    let Ok(root) = source.root.canonicalize() else { return };
    let leads_out = |link: &&PathBuf| {
        let target = link.canonicalize().ok();
        target.is_some_and(|target| {
            !target.starts_with(&root) && !allowed.iter().any(|folder| target.starts_with(folder))
        })
    };
    let out: Vec<&PathBuf> = sample.links.iter().filter(leads_out).collect();
    if let Some((first, target)) = out.first().and_then(|link| Some((link, link.canonicalize().ok()?))) {
        let folder = if target.is_dir() { &target } else { target.parent().unwrap_or(&target) };
        report.warning(
            "source.links",
            format!(
                "{} of the links looked at lead out of source.root and are a 404, the first {} to {}",
                out.len(),
                first.display(),
                target.display()
            ),
            format!(
                "source.links = [{folder:?}], the folders that links may lead to, if what is in them is for everyone"
            ),
        );
    }
}

/// Whether originals can be taken in.
fn uploads(subject: &Subject, root: &Path, report: &mut Report) {
    let staging = root.join(STAGING);
    for folder in [root, &staging].into_iter().filter(|folder| folder.exists()) {
        let may = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        if let Err(error) = rustix::fs::accessat(rustix::fs::CWD, folder, may, rustix::fs::AtFlags::EACCESS) {
            let (cause, mend) = paths::why_not_written(&subject.own, &subject.mounts, folder, &error.into());
            // nobody else has a use for it: it was left behind by another user
            let own = format!("chown -R {}: {}", subject.own.name, staging.display());
            let mend = if folder == staging { own } else { mend };
            report.error("security.upload", format!("nothing can be uploaded: {cause}"), mend);
            return;
        }
    }
    report.ok("security.upload", format!("{} can be written", root.display()));
}

/// What originals say of the clock, and it of them.
fn clock(sample: &Sample, report: &mut Report) {
    // when tintype was not there yet
    const LONG_AGO: Duration = Duration::from_secs(1_704_067_200);
    let now = SystemTime::now();
    let mend = "timedatectl set-ntp true, or whatever sets the clock of this machine";
    if now.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since < LONG_AGO) {
        let date = httpdate::fmt_http_date(now);
        report.warning(
            "clock",
            format!(
                "it is {date} by the clock of this machine, which cannot be: dates, ages and \
            signatures that expire are wrong"
            ),
            mend,
        );
    } else if let Some((path, time)) = &sample.newest
        && time.duration_since(now).is_ok_and(|ahead| ahead > Duration::from_secs(60))
    {
        let (path, date) = (path.display(), httpdate::fmt_http_date(*time));
        report.warning(
            "clock",
            format!(
                "{path} was changed at {date}, which is in the future: the clock of this machine is slow, or was \
                fast when it was written"
            ),
            format!("{mend}; or touch {path}"),
        );
    } else {
        report.ok("clock", httpdate::fmt_http_date(now));
    }
}

/// The first originals.
#[derive(Default)]
struct Sample {
    files: usize,
    closed: Vec<(PathBuf, std::io::Error)>,
    newest: Option<(PathBuf, SystemTime)>,
    links: Vec<PathBuf>,
    is_all: bool,
}

impl Sample {
    fn take(root: &Path) -> Sample {
        let (began, mut seen) = (Instant::now(), 0);
        let mut sample = Sample { is_all: true, ..Sample::default() };
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    sample.closed.push((folder, error));
                    continue;
                }
            };
            for entry in entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')) {
                seen += 1;
                if seen > MOST || began.elapsed() > LONGEST {
                    sample.is_all = false;
                    return sample;
                }
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(kind) if kind.is_file() => sample.look_at(entry.path()),
                    Ok(kind) if kind.is_symlink() => sample.links.push(entry.path()),
                    _ => {}
                }
            }
        }
        sample
    }

    fn look_at(&mut self, path: PathBuf) {
        self.files += 1;
        let opened = std::fs::File::open(&path).and_then(|file| file.metadata()?.modified());
        match opened {
            Err(error) => self.closed.push((path, error)),
            Ok(time) if self.newest.as_ref().is_none_or(|(_, newest)| time > *newest) => {
                self.newest = Some((path, time))
            }
            Ok(_) => {}
        }
    }

    fn shown(&self) -> String {
        match (self.files, self.is_all) {
            (0, true) => ", and nothing is in it".into(),
            (count, true) => format!(" ({count} files)"),
            (count, false) => format!(" (the first {count} files were looked at)"),
        }
    }
}

/// Whether the cache lies among the originals, or they in it.
pub(super) fn overlap(subject: &Subject, report: &mut Report) {
    match build::overlap(subject.config) {
        Ok(None) => {}
        Ok(Some((cache, root))) => report.error(
            "cache.dir",
            format!(
                "the cache folder {} and the originals in {} lie within each other; serve refuses that",
                cache.display(),
                root.display()
            ),
            format!("cache.dir = {:?}, or another place of its own", paths::usual_cache()),
        ),
        // that the root is not there has been said
        Err(_) => {}
    }
}

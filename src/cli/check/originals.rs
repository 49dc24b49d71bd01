//! Checks the folder of originals and a sample of its files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::Subject;
use super::paths::{self, barrier};
use super::remote;
use super::report::Report;
use super::users::{READ, SEARCH};
use crate::cli::build;
use crate::source::STAGING;

const ABOUT: &str = "source.root";

/// The limits of the sample: a folder may have millions of entries.
const SAMPLE_ENTRIES: usize = 2000;
const SAMPLE_TIME: Duration = Duration::from_secs(2);

pub(super) fn check(subject: &Subject, report: &mut Report) {
    let fixed = &subject.config.fixed;
    if let Ok(Some(origin)) = fixed.origin() {
        return remote::check(subject, origin, report);
    }
    if build::is_remote(fixed) {
        // buckets are checked by themselves
        return;
    }
    let root = &fixed.source.root;
    let shown = root.display();
    if let Err(error) = std::fs::read_dir(root) {
        let barred = match error.kind() {
            ErrorKind::NotADirectory => {
                Some((format!("{shown} is not a folder"), "use the folder that contains the originals".into()))
            }
            _ => barrier(&subject.own, root, READ | SEARCH),
        };
        let (cause, fix) =
            barred.unwrap_or_else(|| (format!("{shown}: {error}"), format!("ls -ld {shown}; use a readable folder")));
        report.error(ABOUT, format!("originals are not readable: {cause}"), format!("{fix} (source.root)"));
        return;
    }
    let sample = Sample::of(root);
    report.ok(
        ABOUT,
        format!(
            "{} is readable{}",
            std::path::absolute(root).unwrap_or_else(|_| root.clone()).display(),
            sample.shown()
        ),
    );
    if let Some((path, error)) = sample.unreadable.first() {
        let (cause, fix) = barrier(&subject.own, path, READ)
            .unwrap_or_else(|| (format!("{}: {error}", path.display()), format!("ls -l {}", path.display())));
        let count = sample.unreadable.len();
        report.warning(ABOUT, format!("{count} of the sampled originals are not readable; the first: {cause}"), fix);
    }
    links(subject, &sample, report);
    clock(&sample, report);
    if subject.config.fixed.security.upload {
        uploads(subject, root, report);
    }
}

/// Checks symbolic links that lead out of the root, and the folders of `source.links`.
fn links(subject: &Subject, sample: &Sample, report: &mut Report) {
    let source = &subject.config.fixed.source;
    let mut allowed = Vec::new();
    for folder in &source.links {
        let shown = folder.display();
        match folder.canonicalize() {
            Ok(real) if std::fs::read_dir(&real).is_ok() => allowed.push(real),
            _ => {
                let barred = barrier(&subject.own, folder, READ | SEARCH);
                let (cause, fix) =
                    barred.unwrap_or_else(|| (format!("{shown} is not a readable folder"), format!("ls -ld {shown}")));
                report.warning("source.links", format!("links to this folder do not work: {cause}"), fix);
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
                "{} of the sampled symbolic links lead out of source.root and are a 404; the first: {} -> {}",
                out.len(),
                first.display(),
                target.display()
            ),
            format!("source.links = [{folder:?}] allows links to folders whose files are public"),
        );
    }
}

/// Whether uploads can be written.
fn uploads(subject: &Subject, root: &Path, report: &mut Report) {
    let staging = root.join(STAGING);
    for folder in [root, &staging].into_iter().filter(|folder| folder.exists()) {
        let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        if let Err(error) = rustix::fs::accessat(rustix::fs::CWD, folder, access, rustix::fs::AtFlags::EACCESS) {
            let (cause, fix) = paths::why_not_written(&subject.own, &subject.mounts, folder, &error.into());
            // only tintype uses it: another user's process has created it
            let own = format!("chown -R {}: {}", subject.own.name, staging.display());
            let fix = if folder == staging { own } else { fix };
            report.error("security.upload", format!("uploads are disabled: {cause}"), fix);
            return;
        }
    }
    report.ok("security.upload", format!("{} is writable", root.display()));
}

/// Compares the clock with a plausible date and with the modification times of originals.
fn clock(sample: &Sample, report: &mut Report) {
    // 2024-01-01, before the first release
    const EARLIEST: Duration = Duration::from_secs(1_704_067_200);
    let now = SystemTime::now();
    let fix = "timedatectl set-ntp true, or what else sets the clock of this machine";
    if now.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since < EARLIEST) {
        let date = httpdate::fmt_http_date(now);
        report.warning(
            "clock",
            format!(
                "the system clock is wrong ({date}): dates, cache lifetimes and expiring signatures are wrong \
                as well"
            ),
            fix,
        );
    } else if let Some((path, time)) = &sample.newest
        && time.duration_since(now).is_ok_and(|ahead| ahead > Duration::from_secs(60))
    {
        let (path, date) = (path.display(), httpdate::fmt_http_date(*time));
        report.warning(
            "clock",
            format!(
                "{path} was modified at {date}, in the future: the system clock is slow, or was fast when the file \
                was written"
            ),
            format!("{fix}; or touch {path}"),
        );
    } else {
        report.ok("clock", httpdate::fmt_http_date(now));
    }
}

/// The first entries below the root.
#[derive(Default)]
struct Sample {
    files: usize,
    unreadable: Vec<(PathBuf, std::io::Error)>,
    newest: Option<(PathBuf, SystemTime)>,
    links: Vec<PathBuf>,
    is_all: bool,
}

impl Sample {
    fn of(root: &Path) -> Sample {
        let (began, mut seen) = (Instant::now(), 0);
        let mut sample = Sample { is_all: true, ..Sample::default() };
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    sample.unreadable.push((folder, error));
                    continue;
                }
            };
            for entry in entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')) {
                seen += 1;
                if seen > SAMPLE_ENTRIES || began.elapsed() > SAMPLE_TIME {
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
            Err(error) => self.unreadable.push((path, error)),
            Ok(time) if self.newest.as_ref().is_none_or(|(_, newest)| time > *newest) => {
                self.newest = Some((path, time))
            }
            Ok(_) => {}
        }
    }

    fn shown(&self) -> String {
        match (self.files, self.is_all) {
            (0, true) => " and empty".into(),
            (count, true) => format!(" ({count} files)"),
            (count, false) => format!(" (a sample of {count} files)"),
        }
    }
}

/// Whether the cache lies within the originals, or they within the cache.
pub(super) fn overlap(subject: &Subject, report: &mut Report) {
    match build::overlap(subject.config) {
        Ok(None) => {}
        Ok(Some((cache, root))) => report.error(
            "cache.dir",
            format!(
                "the cache folder {} and the originals in {} lie within each other; serve refuses to start",
                cache.display(),
                root.display()
            ),
            format!("cache.dir = {:?}, or another separate folder", paths::usual_cache()),
        ),
        // a missing root is reported above
        Err(_) => {}
    }
}

//! Checks the machine or container against the settings: memory, cores, file descriptors; and lists the codecs and SIMD
//! of this build.

use std::path::Path;

use indicatif::HumanBytes;
use procfs::Current;

use super::Subject;
use super::report::Report;
use crate::cli::build;
use crate::config::fixed::Isolation;
use crate::http::server;
use crate::render;
use crate::render::BACKENDS;
use crate::render::fonts::FontFiles;

/// Memory besides what settings bound: the program with its threads, and renditions waiting to be written.
const OVERHEAD: u64 = (32 + 64) << 20;

/// A proxy alone may keep this many connections open.
const FEW_CONNECTIONS: usize = 128;

pub(super) fn check(subject: &Subject, report: &mut Report) {
    memory(subject, report);
    cores(subject, report);
    files(report);
    isolation(subject, report);
    report.info("backends", format!("{}; {}", BACKENDS.join(", "), simd()));
    formats(subject, report);
    fonts(subject, report);
}

/// Memory to render an original of 4 megapixels; less is enough for icons only.
const SMALL_PHOTOGRAPH: u64 = render::FIXED_MEMORY + (32 << 20);

fn memory(subject: &Subject, report: &mut Report) {
    let (limits, cache) = (&subject.config.fixed.limits, &subject.config.fixed.cache);
    let fix = "limits.memory = \"512MiB\", or as much as is available";
    if limits.memory.0 <= render::FIXED_MEMORY {
        report.warning(
            "limits.memory",
            format!(
                "{} is less than any render needs ({} and its pixels): every rendition fails with 422",
                limits.memory,
                HumanBytes(render::FIXED_MEMORY)
            ),
            fix,
        );
    } else if limits.memory.0 < SMALL_PHOTOGRAPH {
        report.warning(
            "limits.memory",
            format!("{} is less than photographs need: all but small images fail with 422", limits.memory),
            fix,
        );
    }
    let sum = [limits.memory.0, limits.decode_cache.0, cache.memory.0, OVERHEAD]
        .iter()
        .fold(0_u64, |sum, part| sum.saturating_add(*part));
    let parts = format!(
        "{} (limits.memory {}, limits.decode_cache {}, cache.memory {}, {} for the rest)",
        HumanBytes(sum),
        limits.memory,
        limits.decode_cache,
        cache.memory,
        HumanBytes(OVERHEAD)
    );
    let cgroups = read("/proc/self/cgroup");
    let bounds = [
        (
            "the memory limit of the cgroup",
            cgroup(&cgroups, "memory", &["memory.max", "memory.limit_in_bytes"]).and_then(|text| bytes(&text)),
        ),
        ("the memory of the machine", procfs::Meminfo::current().ok().map(|memory| memory.mem_total)),
    ];
    let known = bounds.iter().filter_map(|(what, bytes)| Some((what, (*bytes)?)));
    match known.min_by_key(|(_, bytes)| *bytes) {
        None => report.info("limits.memory", format!("the settings allow {parts}; the available memory is unknown")),
        Some((what, most)) if sum > most => report.warning(
            "limits.memory",
            format!(
                "the settings allow {parts}, and {what} is {}: the OOM killer would end the process",
                HumanBytes(most)
            ),
            format!(
                "limits.memory = \"{}MiB\", or MemoryMax= (docker run -m) above {}",
                (most.saturating_sub(sum - limits.memory.0) >> 20).max(32),
                HumanBytes(sum)
            ),
        ),
        Some((what, most)) => {
            report.ok("limits.memory", format!("the settings allow {parts}, and {what} is {}", HumanBytes(most)))
        }
    }
}

fn cores(subject: &Subject, report: &mut Report) {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if subject.config.fixed.limits.workers == 0 { all } else { subject.config.fixed.limits.workers };
    let quota =
        cgroup(&read("/proc/self/cgroup"), "cpu", &["cpu.max", "cpu.cfs_quota_us"]).and_then(|text| quota(&text));
    match quota {
        Some(quota) if workers as f64 > quota.ceil() => report.warning(
            "limits.workers",
            format!(
                "{workers} workers share the CPU quota of {quota} cores: each render takes longer, and all are \
                throttled when the quota is used up"
            ),
            format!("limits.workers = {} (0 sets it automatically)", quota.ceil().max(1.0)),
        ),
        _ if workers > all => report.warning(
            "limits.workers",
            format!("{workers} workers share {all} cores: each render takes longer and holds its memory longer"),
            "limits.workers = 0, one for each core",
        ),
        _ => report.ok("limits.workers", format!("{workers} workers on {all} cores")),
    }
}

fn files(report: &mut Report) {
    let connections = server::max_connections();
    let text = format!("file descriptors for {connections} connections at a time");
    if connections < FEW_CONNECTIONS {
        report.warning(
            "files",
            format!("{text}; further connections wait"),
            "LimitNOFILE=65536 in the unit, or ulimit -Hn 65536",
        );
    } else {
        report.ok("files", text);
    }
}

/// Starts a worker process and asks what holds in it.
fn isolation(subject: &Subject, report: &mut Report) {
    const ABOUT: &str = "security.isolation";
    let fixed = &subject.config.fixed;
    if fixed.security.isolation == Isolation::Off {
        let cause = "off: a memory error in a codec would concern the whole service and the files that it may read";
        return report.info(ABOUT, cause);
    }
    let fix = "a kernel with Landlock (5.13) or seccomp; landlock_* and seccomp in SystemCallFilter= of the unit, or in the \
        profile of the container; or security.isolation = \"off\"";
    match build::isolated(fixed) {
        Ok(isolated) => report.ok(ABOUT, format!("renders run in processes under {}", isolated.report())),
        Err(error) if fixed.security.isolation == Isolation::Auto => {
            report.warning(ABOUT, format!("renders run in the process of the service: {error:#}"), fix);
        }
        Err(error) => report.error(ABOUT, format!("the service will not start: {error:#}"), fix),
    }
}

/// The fonts that text in SVGs is drawn with.
fn fonts(subject: &Subject, report: &mut Report) {
    const ABOUT: &str = "source.fonts";
    if !subject.config.render().draws_svg() {
        return;
    }
    let folders = &subject.config.fixed.source.fonts;
    let shown = folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" and ");
    match FontFiles::find(folders).number() {
        0 => report.warning(
            ABOUT,
            format!("no fonts in {shown}: text in SVG originals is missing where they are rasterised"),
            "install fonts (fonts-dejavu-core), or source.svg = \"pass\"",
        ),
        number => report.ok(ABOUT, format!("{number} files of fonts in {shown}")),
    }
}

/// The instruction sets that encoders and resizers use, by whether the processor has them.
fn simd() -> String {
    #[cfg(target_arch = "x86_64")]
    let found = [
        ("SSE4.1", std::is_x86_feature_detected!("sse4.1")),
        ("AVX2", std::is_x86_feature_detected!("avx2")),
        ("AVX-512BW", std::is_x86_feature_detected!("avx512bw")),
    ];
    #[cfg(target_arch = "aarch64")]
    let found = [
        ("NEON", std::arch::is_aarch64_feature_detected!("neon")),
        ("SVE", std::arch::is_aarch64_feature_detected!("sve")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let found: [(&str, bool); 0] = [];
    let named =
        |has: bool| found.iter().filter(|(_, is_there)| *is_there == has).map(|(name, _)| *name).collect::<Vec<_>>();
    let (has, lacks) = (named(true), named(false));
    let list = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!("SIMD of this processor: {}; without: {}", list(has), list(lacks))
}

fn formats(subject: &Subject, report: &mut Report) {
    let chosen = &subject.config.live.output.formats;
    if chosen.is_empty() {
        report.info("output.formats", "format=auto keeps the original's format: output.formats is empty");
    } else {
        report.info(
            "output.formats",
            format!("format=auto prefers {}, in this order, to the original's format", chosen.join(", ")),
        );
    }
    if let Some(format) = chosen.first().filter(|first| *first == "avif" && !cfg!(feature = "native")) {
        report.info("output.formats", format!("{format} is encoded by rav1e in this build, which is slow"));
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The lowest limit of this process's cgroup and those above it. Version 2 has one hierarchy, version 1 one for each
/// controller.
fn cgroup(groups: &str, controller: &str, files: &[&str]) -> Option<String> {
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let hierarchy = match controllers {
            "" => Path::new("/sys/fs/cgroup").to_owned(),
            several if several.split(',').any(|one| one == controller) => Path::new("/sys/fs/cgroup").join(controller),
            _ => return None,
        };
        let own = hierarchy.join(path.trim_start_matches('/'));
        let levels = own.ancestors().take_while(|level| level.starts_with(&hierarchy));
        let limits = levels.flat_map(|level| files.iter().filter_map(|file| read_limit(&level.join(file))));
        limits.min_by_key(|text| bytes(text.split(' ').next().unwrap_or_default()).unwrap_or(u64::MAX))
    })
}

fn read_limit(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?.trim().to_owned();
    if !file.ends_with("cpu.cfs_quota_us") {
        return Some(text);
    }
    let period = std::fs::read_to_string(file.with_file_name("cpu.cfs_period_us")).ok()?;
    Some(format!("{text} {}", period.trim()))
}

/// A limit in bytes. Version 1 writes a huge number for no limit.
fn bytes(text: &str) -> Option<u64> {
    text.parse().ok().filter(|bytes| *bytes < 1 << 60)
}

/// CPU quota and period in microseconds: `200000 100000` is two cores; `max` and -1 are no limit.
fn quota(text: &str) -> Option<f64> {
    let (quota, period) = text.split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_limits_are_parsed() {
        assert_eq!((quota("200000 100000"), quota("max 100000"), quota("-1 100000")), (Some(2.0), None, None));
        assert_eq!((bytes("400"), bytes("max"), bytes("9223372036854771712")), (Some(400), None, None));
        assert_eq!(cgroup("", "memory", &["memory.max"]), None);
        assert_eq!(cgroup("0::/not/there\n", "memory", &["no.such.file"]), None);
    }
}

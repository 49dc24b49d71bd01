//! `tintype cache`: statistics of the cache folder, and its verification. Safe while the service runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use super::{Common, UsageError};
use crate::cache::{self, FolderStats};
use crate::config::Config;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the number of entries, their size against the limits, their age, and the originals with the largest share
    Stats {
        /// Number of originals to show
        #[arg(long, value_name = "N", default_value_t = 10)]
        top: usize,
        #[command(flatten)]
        folder: Folder,
    },
    /// Read every file and compare its digest with its name; exit code 1 if one is damaged
    Verify {
        #[command(flatten)]
        folder: Folder,
    },
}

#[derive(Args, Debug)]
struct Folder {
    /// The cache folder [default: cache.dir]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

impl Folder {
    /// The settings and the path.
    fn load(&self) -> Result<(Config, PathBuf), UsageError> {
        let mut config = self.common.load(&[])?.config;
        if let Some(dir) = &self.cache_dir {
            config.fixed.cache.dir.clone_from(dir);
        }
        match config.fixed.cache.folder().map(Path::to_owned) {
            Some(dir) => Ok((config, dir)),
            None => {
                Err(UsageError("there is no cache folder (cache.dir is \"none\"); name one with --cache-dir".into()))
            }
        }
    }
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.action {
        Action::Stats { top, folder } => {
            let (config, dir) = folder.load()?;
            let stats = cache::folder_stats(&dir).with_context(|| cannot_read(&dir))?;
            print!("{}", report(&config, &stats, top));
            Ok(())
        }
        Action::Verify { folder } => verify(&folder.load()?.1),
    }
}

fn cannot_read(dir: &Path) -> String {
    format!("cannot read the cache folder {}", dir.display())
}

fn report(config: &Config, stats: &FolderStats, top: usize) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    // writing to a String does not fail
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "{label:<12} {value}");
    };
    let share = |part: u64, all: u64| format!("{:.1} %", 100.0 * part as f64 / all.max(1) as f64);
    let (cache, count) = (&config.fixed.cache, |n| HumanCount(n).to_string());
    line("folder", cache.dir.display().to_string());
    line(
        "entries",
        format!(
            "{} of at most {} files ({})",
            count(stats.entries),
            count(cache.max_files),
            share(stats.entries, cache.max_files)
        ),
    );
    line(
        "on disk",
        format!(
            "{} of at most {} ({})",
            HumanBytes(stats.bytes),
            HumanBytes(cache.max_bytes.0),
            share(stats.bytes, cache.max_bytes.0)
        ),
    );
    line("bodies", HumanBytes(stats.length).to_string());
    if stats.shared > 0 {
        let (shared, sharing) = (count(stats.shared), count(stats.sharing));
        line("shared", format!("{shared} bodies are shared by {sharing} entries; each is counted once"));
    }
    if let Some((oldest, newest)) = stats.ages {
        let ago = |age: Duration| HumanDuration(age).to_string();
        line("last used", format!("between {} and {} ago", ago(oldest), ago(newest)));
    }
    line("staged", count(stats.staged));
    line("foreign", count(stats.foreign));
    line("originals", count(stats.originals.len() as u64));
    for original in stats.originals.iter().take(top) {
        let name = original.path.as_deref().unwrap_or("(unknown path)");
        line("", format!("{:>10} {:>7}  {name}", HumanBytes(original.bytes).to_string(), count(original.entries)));
    }
    text
}

fn verify(dir: &Path) -> anyhow::Result<()> {
    // drawn on standard error, and only where that is a terminal
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len}, {eta} left");
    bar.set_style(style.context("the progress bar's template")?);
    let result = cache::verify(dir, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let (sound, damaged) = result.with_context(|| cannot_read(dir))?;
    for entry in &damaged {
        println!("{}: {}", entry.path, entry.reason);
    }
    println!("{} sound, {} damaged", HumanCount(sound), HumanCount(damaged.len() as u64));
    anyhow::ensure!(
        damaged.is_empty(),
        "damaged entries are never served; the service removes each when it is requested"
    );
    Ok(())
}

//! What renders really take beside what was reckoned from the header: each file in a process of its own, so that nothing
//! is hidden by memory that an earlier one left behind. The test pictures always, and the corpus where it is there: every
//! eighth of its files, or all of them with `TINTYPE_MEMORY=all`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::common::{corpus, testdata};
use tintype::render::geometry::{Resize, Wish};
use tintype::render::recipe::{Output, Quality};
use tintype::render::{self, Format, Recipe, Settings};

/// The file that a process of this test is to render, and to what.
const FILE: &str = "TINTYPE_MEMORY_FILE";
const FORMAT: &str = "TINTYPE_MEMORY_FORMAT";

/// Kibibytes that the kernel says of this process.
fn kibibytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Renders one file and prints what was reckoned and what it took, in kibibytes. Does nothing as a test of its own.
#[test]
fn one_file() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let format = Format::from_name(&std::env::var(FORMAT).expect("a format")).expect("a format");
    let original = std::fs::read(path).expect("a file");
    let settings = Settings::default();
    let wish = Wish { width: 640, height: 0, enlarge: false };
    let recipe = Recipe { resize: Resize::Contain(wish), ..Recipe::new(Output::Exactly(format), Quality::default()) };
    let length = original.len() as u64;
    // what cannot be reckoned is not decoded: that must take next to nothing
    let reckoned = match render::head(&original, &settings) {
        Ok(Some(info)) => render::estimate(&info, length, &recipe, &settings).map(|estimate| estimate.memory),
        Ok(None) => Ok(length + render::FIXED_MEMORY),
        Err(error) => Err(error),
    };
    let reckoned = reckoned.unwrap_or(length + render::FIXED_MEMORY);
    let before = kibibytes("RssAnon:");
    let result = render::render(&original, &recipe, &settings, &mut |_| true);
    // code that was read in is nobody's memory
    let peak = kibibytes("VmHWM:").saturating_sub(kibibytes("RssFile:"));
    let took = peak.saturating_sub(before) + length / 1024;
    println!("took {took} of {} {}", reckoned / 1024, result.map_or_else(|error| error.to_string(), |_| "good".into()));
}

/// Whether that file took more than was reckoned, in words.
fn excess(path: &Path, format: &str) -> Option<String> {
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["memory::one_file", "--exact", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .env(FORMAT, format)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    let at =
        |line: &str| line.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).take(2).collect::<Vec<_>>();
    let line = said.lines().find_map(|line| line.find("took ").map(|at| &line[at..]));
    let shown = path.display();
    match line.map(|line| (at(line), line)) {
        Some((numbers, line)) => (numbers[0] > numbers[1]).then(|| format!("{shown} to {format}: {line}")),
        None => Some(format!("{shown} to {format}: ended with {} and no figures: {said}", child.status)),
    }
}

#[test]
fn no_render_takes_more_than_was_reckoned() {
    let mut files: Vec<PathBuf> = ["photos", "generated"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(testdata().join(folder)).expect("test pictures"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .collect();
    if let Some(corpus) = corpus() {
        let manifest = std::fs::read_to_string(corpus.join("MANIFEST.tsv")).expect("the manifest");
        let step = if std::env::var("TINTYPE_MEMORY").is_ok_and(|what| what == "all") { 1 } else { 8 };
        let listed = manifest.lines().skip(1).step_by(step).filter_map(|line| line.split('\t').next());
        files.extend(listed.map(|name| corpus.join(name)).filter(|path| path.is_file()));
    }
    let formats = ["webp", "avif", "jpeg", "png"];
    let next = Mutex::new(files.iter().enumerate());
    let excesses = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().expect("no panic").next();
                    let Some((number, path)) = taken else { break };
                    excesses.lock().expect("no panic").extend(excess(path, formats[number % formats.len()]));
                }
            });
        }
    });
    let excesses = excesses.into_inner().expect("no panic");
    assert!(excesses.is_empty(), "{} of {}: {excesses:#?}", excesses.len(), files.len());
}

//! The memory that renders take beside the estimate from the header. Each file is rendered in a process of its own, so that
//! memory which an earlier one left behind hides nothing. `TINTYPE_MEMORY=all` renders every file of the corpus, not every
//! eighth.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::common::need::needs;
use crate::common::{corpus, testdata};
use tintype::render::geometry::{Resize, TargetSize};
use tintype::render::recipe::{Output, Quality};
use tintype::render::{self, Effort, Format, Recipe, Settings};

/// The test that renders one file where these name it and its format.
const MEASURES: &str = "memory::renders_of_test_pictures_take_no_more_than_estimated";
const FILE: &str = "TINTYPE_MEMORY_FILE";
const FORMAT: &str = "TINTYPE_MEMORY_FORMAT";
/// Set to a quality, it has the picture encoded at its own size and the dense effort.
const DENSE: &str = "TINTYPE_MEMORY_DENSE";
/// Set, it has the picture stretched to one column of 8192 pixels.
const STRETCHED: &str = "TINTYPE_MEMORY_STRETCHED";
/// Set, it has borders cut off, and the rest enlarged to 2000 columns.
const TRIMMED: &str = "TINTYPE_MEMORY_TRIMMED";

/// A value of `/proc/self/status`, in KiB.
fn kibibytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// Renders one file and prints the memory that it took and the estimate, in KiB.
fn measure(path: &Path) {
    let format = Format::from_name(&std::env::var(FORMAT).expect("a format")).expect("a format");
    let original = std::fs::read(path).expect("a file");
    let mut settings = Settings::default();
    let resized = |resize| Recipe::new(Output::Exactly(format), Quality::default()).with_resize(resize);
    let recipe = if let Ok(quality) = std::env::var(DENSE) {
        settings.encoding.effort = Effort::Dense;
        settings.smallest_wins = false;
        let quality = quality.parse().ok().and_then(Quality::new);
        Recipe::new(Output::Exactly(format), quality.expect("a quality"))
    } else if std::env::var_os(STRETCHED).is_some() {
        resized(Resize::Fill(TargetSize { width: 1, height: 8192, enlarge: true }))
    } else if std::env::var_os(TRIMMED).is_some() {
        let mut recipe = resized(Resize::Contain(TargetSize { width: 2000, height: 0, enlarge: true }));
        recipe.geometry.trim = Some(10);
        recipe
    } else {
        resized(Resize::Contain(TargetSize { width: 640, height: 0, enlarge: false }))
    };
    let length = original.len() as u64;
    // without an estimate nothing is decoded: that must take next to nothing
    let estimated = match render::head(&original, &settings) {
        Ok(Some(info)) => render::estimate(&info, length, &recipe, &settings).map(|estimate| estimate.memory),
        Ok(None) => Ok(length + render::FIXED_MEMORY),
        Err(error) => Err(error),
    };
    let estimated = estimated.unwrap_or(length + render::FIXED_MEMORY);
    let before = kibibytes("RssAnon:");
    let result = render::render(&original, &recipe, &settings, &mut |_| true);
    // pages of code are shared
    let peak = kibibytes("VmHWM:").saturating_sub(kibibytes("RssFile:"));
    let took = peak.saturating_sub(before) + length / 1024;
    println!(
        "took {took} of {} {}",
        estimated / 1024,
        result.map_or_else(|error| error.to_string(), |_| "good".into())
    );
}

/// A sentence about a file that took more than estimated. `mode` is a variable of the environment that names another recipe.
fn excess(path: &Path, format: &str, mode: Option<(&str, &str)>) -> Option<String> {
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args([MEASURES, "--exact", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .env(FORMAT, format)
        .envs(mode)
        .output()
        .expect("it starts");
    let stdout = String::from_utf8_lossy(&child.stdout).into_owned();
    let at =
        |line: &str| line.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).take(2).collect::<Vec<_>>();
    let line = stdout.lines().find_map(|line| line.find("took ").map(|at| &line[at..]));
    let shown = path.display();
    match line.map(|line| (at(line), line)) {
        Some((numbers, line)) => (numbers[0] > numbers[1]).then(|| format!("{shown} to {format}: {line}")),
        None => Some(format!("{shown} to {format}: ended with {} and no figures: {stdout}", child.status)),
    }
}

#[test]
fn renders_of_test_pictures_take_no_more_than_estimated() {
    if let Some(path) = std::env::var_os(FILE) {
        return measure(path.as_ref());
    }
    let folders = ["photos", "generated", "avif", "jxl", "hdr", "svg"]
        .map(|folder| std::fs::read_dir(testdata().join(folder)).expect("test pictures"));
    let files = folders.into_iter().flatten().map(|entry| entry.expect("an entry").path());
    none_exceeds(&files.filter(|path| path.is_file()).collect::<Vec<_>>());
}

#[test]
fn renders_of_the_corpus_take_no_more_than_estimated() {
    needs!(Corpus);
    let corpus = corpus().expect("the test needs it");
    let manifest = std::fs::read_to_string(corpus.join("MANIFEST.tsv")).expect("the manifest");
    let step = if std::env::var("TINTYPE_MEMORY").is_ok_and(|what| what == "all") { 1 } else { 8 };
    let listed = manifest.lines().skip(1).step_by(step).filter_map(|line| line.split('\t').next());
    let files = listed.map(|name| corpus.join(name));
    none_exceeds(&files.filter(|path| path.is_file()).collect::<Vec<_>>());
}

/// The results are large, so that pixels outweigh buffers of a fixed size.
#[test]
fn dense_jpeg_takes_no_more_than_estimated() {
    // halved chroma, and that of full resolution
    for quality in ["75", "90"] {
        for file in ["large-12mp.jpg", "astronaut.png"] {
            assert_eq!(excess(&testdata().join("photos").join(file), "jpeg", Some((DENSE, quality))), None);
        }
    }
}

/// Between the passes of a resize there were as many columns as in the original, and as many rows as in the result: 1.5 GB here.
#[test]
fn stretched_picture_takes_no_more_than_estimated() {
    let place = tempfile::tempdir().expect("a folder");
    let wide = place.path().join("wide.png");
    std::fs::write(&wide, png(60_000, 2, |x, _| x as u8)).expect("a file");
    assert_eq!(excess(&wide, "png", Some((STRETCHED, "1"))), None);
    // planes of luma and chroma
    let wide = place.path().join("wide.jpg");
    let (mut jpeg, pixels) = (Vec::new(), vec![90; 65_500 * 16 * 3]);
    let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 80);
    encoder.encode(&pixels, 65_500, 16, jpeg_encoder::ColorType::Rgb).expect("a JPEG");
    std::fs::write(&wide, jpeg).expect("a file");
    for format in ["jpeg", "png"] {
        assert_eq!(excess(&wide, format, Some((STRETCHED, "1"))), None);
    }
}

/// Trimming may leave a square of a strip, of which the result has fifty times as many pixels.
#[test]
fn enlarged_rest_of_a_trimmed_picture_takes_no_more_than_estimated() {
    let place = tempfile::tempdir().expect("a folder");
    let strip = place.path().join("strip.png");
    let square = |x: u32, y: u32| if (980..1020).contains(&x) { (x * 5 + y * 3) as u8 / 2 } else { 255 };
    std::fs::write(&strip, png(2000, 40, square)).expect("a file");
    for format in ["webp", "jpeg"] {
        assert_eq!(excess(&strip, format, Some((TRIMMED, "1"))), None);
    }
}

/// A grey picture as a PNG of 8-bit RGB.
fn png(width: u32, height: u32, level: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    let level = &level;
    let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| [level(x, y); 3])).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels).expect("pixels");
    writer.finish().expect("an end");
    bytes
}

fn none_exceeds(files: &[PathBuf]) {
    let formats = ["webp", "avif", "jpeg", "png"];
    let next = Mutex::new(files.iter().enumerate());
    let excesses = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().expect("no panic").next();
                    let Some((number, path)) = taken else { break };
                    excesses.lock().expect("no panic").extend(excess(path, formats[number % formats.len()], None));
                }
            });
        }
    });
    let excesses = excesses.into_inner().expect("no panic");
    assert!(excesses.is_empty(), "{} of {}: {excesses:#?}", excesses.len(), files.len());
}

//! Measures the resize alone, by SSIMULACRA2 against two references in floating point: pixels averaged as they are coded
//! (sRGB) and as light (linear). Prints, for tintype in both ways and after a full and a scaled decode, the mean score
//! against each reference, and what linear light costs.
//!
//! `cargo bench --bench resize` takes the photographs of testdata; `TINTYPE_QUALITY_SET` names a folder with others, and
//! `TINTYPE_RIVAL` one with another program's PNGs of the same names at the same width.

use std::path::{Path, PathBuf};
use std::time::Instant;

use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
use image::RgbImage;
use tintype::render::geometry::{Resize, TargetSize};
use tintype::render::recipe::{Output, Quality};
use tintype::render::{Encoding, Format, PictureKind, Recipe, Settings, encode_at, render};

fn main() {
    // run as a test it only has to compile
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let paths = paths();
    println!("{} photographs, {} columns", paths.len(), columns());
    println!("mean SSIMULACRA2                      against sRGB   against linear");
    for (name, divisor, as_jpeg) in [("full decode", 0, false), ("scaled decode, a fifth", 5, true)] {
        for linear in [false, true] {
            let (mut coded, mut light) = (Vec::new(), Vec::new());
            for path in &paths {
                let picture = image::open(path).expect("a PNG").into_rgb8();
                let width = picture.width().checked_div(divisor).unwrap_or(columns());
                let original = if as_jpeg { jpeg(&picture) } else { std::fs::read(path).expect("a file") };
                let source = if as_jpeg { decoded(&original) } else { picture };
                let made = make(&original, width, Format::Png, linear);
                let made = image::load_from_memory(&made).expect("a PNG").into_rgb8();
                coded.push(score(&reference(&source, made.width(), made.height(), false), &made));
                light.push(score(&reference(&source, made.width(), made.height(), true), &made));
            }
            let way = if linear { "linear" } else { "sRGB" };
            println!("{name:<26} {way:<8} {:>12.2} {:>16.2}", mean(&coded), mean(&light));
        }
    }
    if let Some(rival) = std::env::var_os("TINTYPE_RIVAL") {
        let (mut coded, mut light) = (Vec::new(), Vec::new());
        for path in &paths {
            let made = Path::new(&rival).join(path.file_name().expect("a name"));
            let made = image::open(made).expect("the rival's PNG").into_rgb8();
            let source = image::open(path).expect("a PNG").into_rgb8();
            coded.push(score(&reference(&source, made.width(), made.height(), false), &made));
            light.push(score(&reference(&source, made.width(), made.height(), true), &made));
        }
        println!("{:<35} {:>12.2} {:>16.2}", "the rival", mean(&coded), mean(&light));
    }
    cost(&paths);
}

/// Time of whole renders to WebP at as many columns, linear to sRGB, in turn.
fn cost(paths: &[PathBuf]) {
    for as_jpeg in [false, true] {
        let originals: Vec<Vec<u8>> = paths
            .iter()
            .map(|path| {
                if as_jpeg {
                    jpeg(&image::open(path).expect("a PNG").into_rgb8())
                } else {
                    std::fs::read(path).expect("a file")
                }
            })
            .collect();
        let mut ratios = Vec::new();
        for _ in 0..5 {
            let time = |linear| {
                let started = Instant::now();
                for original in &originals {
                    make(original, columns(), Format::WebP, linear);
                }
                started.elapsed().as_secs_f64()
            };
            ratios.push(time(true) / time(false));
        }
        ratios.sort_by(f64::total_cmp);
        let from = if as_jpeg { "JPEG" } else { "PNG" };
        println!("{from} to WebP: linear light takes {:.2} times the time of sRGB (median of 5)", ratios[2]);
    }
}

fn make(original: &[u8], width: u32, format: Format, linear: bool) -> Vec<u8> {
    let wish = TargetSize { width, height: 0, enlarge: true };
    let recipe = Recipe::new(Output::Exactly(format), Quality::default()).with_resize(Resize::Contain(wish));
    let settings = Settings { linear, smallest_wins: false, ..Settings::default() };
    render(original, &recipe, &settings, &mut |_| true).expect("rendered").bytes
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let size = tintype::render::Size::new(picture.width(), picture.height());
    let pixels = tintype::render::Pixels { size, channels: 3, data: picture.as_raw().clone() };
    encode_at(pixels, Format::Jpeg, 95.0, Encoding::default(), PictureKind::Photo).expect("encoded")
}

/// The JPEG as it is when it is decoded whole.
fn decoded(jpeg: &[u8]) -> RgbImage {
    let recipe = Recipe::new(Output::Exactly(Format::Png), Quality::default());
    let settings = Settings { smallest_wins: false, ..Settings::default() };
    let png = render(jpeg, &recipe, &settings, &mut |_| true).expect("decoded").bytes;
    image::load_from_memory(&png).expect("a PNG").into_rgb8()
}

fn score(a: &RgbImage, b: &RgbImage) -> f64 {
    let slice = |rgb: &RgbImage| -> Vec<u8> { rgb.as_raw().clone() };
    let (left, right) = (slice(a), slice(b));
    let view = |rgb| {
        let stride = a.width() as usize * 3;
        PixelSlice::new(rgb, a.width(), a.height(), stride, PixelDescriptor::RGB8_SRGB).expect("whole rows")
    };
    compute_ssimulacra2(&view(&left), &view(&right)).expect("large enough")
}

/// Separable Lanczos3 in floating point, over light or over its code.
fn reference(source: &RgbImage, width: u32, height: u32, linear: bool) -> RgbImage {
    let into = |sample: u8| {
        let v = f64::from(sample) / 255.0;
        // IEC 61966-2-1
        if !linear {
            v
        } else if v <= 0.04045 {
            v / 12.92
        } else {
            ((v + 0.055) / 1.055).powf(2.4)
        }
    };
    let back = |v: f64| {
        let v = v.clamp(0.0, 1.0);
        let v = if !linear {
            v
        } else if v <= 0.003_130_8 {
            v * 12.92
        } else {
            1.055 * v.powf(1.0 / 2.4) - 0.055
        };
        (v * 255.0).round() as u8
    };
    let (columns, rows) = (weights(source.width(), width), weights(source.height(), height));
    let stride = source.width() as usize * 3;
    let samples: Vec<f64> = source.as_raw().iter().map(|&sample| into(sample)).collect();
    let mut low = Vec::with_capacity(stride * height as usize);
    for taps in &rows {
        for x in 0..stride {
            low.push(taps.iter().map(|&(y, weight)| samples[y * stride + x] * weight).sum::<f64>());
        }
    }
    let mut out = Vec::with_capacity((width * height) as usize * 3);
    for row in low.chunks_exact(stride) {
        for taps in &columns {
            for channel in 0..3 {
                out.push(back(taps.iter().map(|&(x, weight)| row[x * 3 + channel] * weight).sum()));
            }
        }
    }
    RgbImage::from_raw(width, height, out).expect("as many samples")
}

fn weights(from: u32, to: u32) -> Vec<Vec<(usize, f64)>> {
    let scale = f64::from(from) / f64::from(to);
    let stretch = scale.max(1.0);
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
    let kernel = |x: f64| if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 };
    (0..to)
        .map(|at| {
            let center = (f64::from(at) + 0.5) * scale;
            let first = (center - 3.0 * stretch).floor().max(0.0) as usize;
            let last = ((center + 3.0 * stretch).ceil() as usize).min(from as usize);
            let taps: Vec<(usize, f64)> =
                (first..last).map(|index| (index, kernel((index as f64 + 0.5 - center) / stretch))).collect();
            let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
            taps.into_iter().map(|(index, weight)| (index, weight / sum)).collect()
        })
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// How many columns results have: those of testdata are small.
fn columns() -> u32 {
    if std::env::var_os("TINTYPE_QUALITY_SET").is_some() { 640 } else { 240 }
}

fn paths() -> Vec<PathBuf> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/photos");
    let folder = std::env::var_os("TINTYPE_QUALITY_SET").map_or(testdata, PathBuf::from);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "png"));
    // enlarged pictures are no measure of reducing
    paths.retain(|path| image::image_dimensions(path).is_ok_and(|(width, _)| width > columns()));
    paths.sort();
    paths
}

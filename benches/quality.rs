//! Measures the quality scale: which of an encoder's own numbers looks like JPEG of Annex K's tables at a given number, by
//! SSIMULACRA2 over photographs at 640 columns. Prints the tables of `crates/render/src/quality.rs`, and how well they fit.
//!
//! `cargo bench --bench quality` takes the photographs of testdata; `TINTYPE_QUALITY_SET` names a folder with others.

use std::path::{Path, PathBuf};

use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
#[cfg(feature = "ravif")]
use tintype::render::AvifEncoder;
use tintype::render::Pixels;
use tintype::render::Size;
use tintype::render::{Effort, Encoding, Format, encode_at};

/// The points of the common scale at which the tables are made.
const TARGETS: &[f32] = &[10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0];

/// The encoder's own numbers that are tried; between them the score is taken to be straight.
const OWN: &[f32] =
    &[1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0, 100.0];

fn main() {
    // run as a test it only has to compile
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let originals = originals();
    println!("{} photographs at 640 columns", originals.len());
    let jpeg: Vec<Vec<(f32, f64, f64)>> =
        originals.iter().map(|picture| curve(picture, Format::Jpeg, TARGETS, Encoding::default())).collect();
    println!("jpeg: mean score at each target");
    for (index, target) in TARGETS.iter().enumerate() {
        let scores: Vec<f64> = jpeg.iter().map(|curve| curve[index].1).collect();
        println!("  {target:>5}  {:6.2}", mean(&scores));
    }
    let own = Encoding::default();
    let others = [Effort::Fast, Effort::Dense].map(|effort| Encoding { effort, ..own });
    #[cfg(feature = "ravif")]
    let ravif = others.map(|encoding| Encoding { avif: AvifEncoder::Ravif, ..encoding }).to_vec();
    #[cfg(not(feature = "ravif"))]
    let ravif: Vec<Encoding> = Vec::new();
    let webp = others.map(|encoding| (Format::WebP, encoding));
    let avif = others.into_iter().chain(ravif).map(|encoding| (Format::Avif, encoding));
    for (format, encoding) in webp.into_iter().chain(avif) {
        let curves: Vec<Vec<(f32, f64, f64)>> =
            originals.iter().map(|picture| curve(picture, format, OWN, encoding)).collect();
        println!(
            "{format} {encoding:?}: target, own number (median over the photographs), spread of the score, bytes to JPEG's"
        );
        for (index, target) in TARGETS.iter().enumerate() {
            let wanted: Vec<f64> = jpeg.iter().map(|curve| curve[index].1).collect();
            let mut own: Vec<f32> = curves.iter().zip(&wanted).map(|(curve, &score)| own_for(curve, score)).collect();
            own.sort_by(f32::total_cmp);
            let median = own[own.len() / 2];
            let got: Vec<(f64, f64)> = curves.iter().map(|curve| at(curve, median)).collect();
            let off: Vec<f64> = got.iter().zip(&wanted).map(|((score, _), wanted)| score - wanted).collect();
            let bytes: Vec<f64> =
                got.iter().zip(&jpeg).map(|((_, bytes), curve)| (bytes / curve[index].2).ln()).collect();
            let spread = off.iter().map(|off| off * off).sum::<f64>() / off.len() as f64;
            println!(
                "  ({target:.1}, {median:.1}),  // score off by {:+.1} on average, rms {:.1}; bytes x {:.2}",
                mean(&off),
                spread.sqrt(),
                mean(&bytes).exp()
            );
        }
    }
}

/// For each of the encoder's own numbers: the score and the bytes.
fn curve(picture: &Pixels, format: Format, own: &[f32], encoding: Encoding) -> Vec<(f32, f64, f64)> {
    let measure = |&quality: &f32| {
        let encoded = encode_at(picture.clone(), format, quality, encoding).expect("encoded");
        let png = tintype::render::render(&encoded, &as_png(), &settings(), &mut |_| true).expect("decoded").bytes;
        let decoded = image::load_from_memory(&png).expect("a PNG").into_rgb8().into_raw();
        let score = compute_ssimulacra2(&slice(&picture.data, picture.size), &slice(&decoded, picture.size));
        (quality, score.expect("large enough"), encoded.len() as f64)
    };
    own.iter().map(measure).collect()
}

fn as_png() -> tintype::render::Recipe {
    use tintype::render::recipe::{Output, Quality};
    tintype::render::Recipe::new(Output::Exactly(Format::Png), Quality::default())
}

fn settings() -> tintype::render::Settings {
    tintype::render::Settings { smallest_wins: false, ..Default::default() }
}

fn slice(rgb: &[u8], size: Size) -> PixelSlice<'_> {
    let stride = size.width as usize * 3;
    PixelSlice::new(rgb, size.width, size.height, stride, PixelDescriptor::RGB8_SRGB).expect("whole rows")
}

/// The own number at which a curve reaches a score.
fn own_for(curve: &[(f32, f64, f64)], score: f64) -> f32 {
    for pair in curve.windows(2) {
        let ((a, low, _), (b, high, _)) = (pair[0], pair[1]);
        if score <= high {
            let part = if high > low { ((score - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
            return a + (b - a) * part as f32;
        }
    }
    100.0
}

/// Score and bytes of a curve at an own number.
fn at(curve: &[(f32, f64, f64)], own: f32) -> (f64, f64) {
    for pair in curve.windows(2) {
        let ((a, low, small), (b, high, large)) = (pair[0], pair[1]);
        if own <= b {
            let part = f64::from(((own - a) / (b - a)).clamp(0.0, 1.0));
            return (low + (high - low) * part, small + (large - small) * part);
        }
    }
    let &(_, score, bytes) = curve.last().expect("not empty");
    (score, bytes)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The lossless photographs, made 640 columns wide.
fn originals() -> Vec<Pixels> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/photos");
    let folder = std::env::var_os("TINTYPE_QUALITY_SET").map_or(testdata, PathBuf::from);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "png"))
        .map(|path| {
            let picture = image::open(path).expect("a PNG").into_rgb8();
            let height = (u64::from(picture.height()) * 640 / u64::from(picture.width())).max(1) as u32;
            let resized = image::imageops::resize(&picture, 640, height, image::imageops::FilterType::Lanczos3);
            Pixels { size: Size::new(640, height), channels: 3, data: resized.into_raw() }
        })
        .collect()
}

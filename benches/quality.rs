//! Measures the quality scale: which of an encoder's own numbers looks like JPEG with the tables of T.81 Annex K at a given number,
//! by SSIMULACRA2. Prints the tables of `crates/render/src/quality.rs`, and how well they fit.
//!
//! `cargo bench --bench quality` takes the photographs of testdata; `TINTYPE_QUALITY_SET` names a folder of others (PNG, made at
//! most 640 columns wide) and `TINTYPE_QUALITY_DRAWINGS` one of drawings (PNG, as they are). A drawing is meant to have the
//! score that photographs have on average, since JPEG's halved chroma spoils the score of coloured text at every number.
//! Words select encoders: `cargo bench --bench quality -- "avif fast" webp`. 35 photographs and all encoders of a native build
//! take about a quarter of an hour of CPU.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fast_ssim2::{PixelDescriptor, PixelSlice, Ssimulacra2Reference};
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};
use tintype::render::recipe::{Output, Quality};
use tintype::render::{Effort, Encoding, Format, PictureKind, Pixels, Recipe, Settings, Size, encode_at, render};

/// The points of the common scale at which the tables are made. The ends are 1 and 100.
const TARGETS: [f32; 13] = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0];

/// The encoder's own numbers that are tried; the score is interpolated between them.
const OWN: [f32; 15] = [1.0, 8.0, 15.0, 25.0, 35.0, 45.0, 53.0, 60.0, 67.0, 74.0, 80.0, 86.0, 91.0, 95.5, 100.0];

/// The points of the common scale at which the finished table is tried.
const CHECKED: [f32; 5] = [50.0, 65.0, 75.0, 80.0, 90.0];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // run as a test it only has to compile
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/photos");
    let photographs = pictures(&std::env::var_os("TINTYPE_QUALITY_SET").map_or(testdata, PathBuf::from), Some(640));
    let drawings = std::env::var_os("TINTYPE_QUALITY_DRAWINGS");
    let drawings = drawings.map(|folder| pictures(Path::new(&folder), None)).unwrap_or_default();
    println!("{} photographs, {} drawings", photographs.len(), drawings.len());

    let annex_k = each(&photographs, |picture| {
        TARGETS.map(|target| Point::of(picture, target, &annex_k(&picture.pixels, target))).to_vec()
    });
    println!("reference: JPEG with the tables of Annex K, 4:2:0");
    for (index, target) in TARGETS.iter().enumerate() {
        let scores: Vec<f64> = annex_k.iter().map(|curve| curve[index].score).collect();
        println!("  {target:>5}  score {}", Spread::of(&scores));
    }
    let average = average(&annex_k);
    for encoder in encoders() {
        if !words.is_empty() && !words.iter().any(|word| encoder.name().contains(*word)) {
            continue;
        }
        match encoder.kind {
            PictureKind::Photo => encoder.report(&photographs, &annex_k),
            PictureKind::Drawing if drawings.is_empty() => {}
            PictureKind::Drawing => encoder.report(&drawings, &vec![average.clone(); drawings.len()]),
        }
    }
}

/// An encoder whose table is measured.
struct Measured {
    format: Format,
    encoding: Encoding,
    kind: PictureKind,
}

fn encoders() -> Vec<Measured> {
    const EFFORTS: [Effort; 3] = [Effort::Fast, Effort::Balanced, Effort::Dense];
    let mut all = Vec::new();
    for kind in [PictureKind::Photo, PictureKind::Drawing] {
        for format in [Format::Jpeg, Format::WebP, Format::Avif] {
            for effort in EFFORTS {
                all.push(Measured { format, encoding: Encoding { effort, ..Encoding::default() }, kind });
            }
        }
    }
    #[cfg(all(feature = "ravif", feature = "native"))]
    for effort in EFFORTS {
        let encoding = Encoding { effort, avif: tintype::render::AvifEncoder::Ravif };
        all.push(Measured { format: Format::Avif, encoding, kind: PictureKind::Photo });
    }
    all
}

impl Measured {
    fn name(&self) -> String {
        let Encoding { effort, avif } = self.encoding;
        let avif = if self.format == Format::Avif { format!(" {avif:?}") } else { String::new() };
        format!("{}{avif} {effort:?} {}", self.format, self.kind.name()).to_lowercase()
    }

    fn encode(&self, picture: &Picture, own: f32) -> Point {
        let file = encode_at(picture.pixels.clone(), self.format, own, self.encoding, self.kind).expect("encoded");
        Point::of(picture, own, &file)
    }

    /// Prints the table, and what it gives.
    fn report(&self, pictures: &[Picture], wanted: &[Curve]) {
        println!("\n/// {}", self.name());
        let curves = each(pictures, |picture| monotonic(OWN.map(|own| self.encode(picture, own)).to_vec()));
        let mut least = 1.0;
        let mut table = vec![(1.0, 1.0)];
        for (index, &target) in TARGETS.iter().enumerate() {
            let own = curves.iter().zip(wanted).map(|(curve, wanted)| own_for(curve, wanted[index].score));
            least = median(own.collect()).max(least);
            table.push((target, least));
        }
        table.push((100.0, 100.0));
        println!("const NAME: [(f32, f32); {}] = [", table.len());
        table.iter().for_each(|(target, own)| println!("    ({target:.1}, {own:.1}),"));
        println!("];");
        for target in CHECKED {
            let row = |(at, _): &(f32, f32)| *at == target;
            let index = TARGETS.iter().position(|at| *at == target);
            let (Some((_, own)), Some(index)) = (table.iter().find(|entry| row(entry)), index) else { continue };
            // as it stands in the table
            let own = (own * 10.0).round() / 10.0;
            let made: Vec<Point> = each(pictures, |picture| self.encode(picture, own));
            let scores: Vec<f64> = made.iter().map(|point| point.score).collect();
            let off = made.iter().zip(wanted).map(|(point, wanted)| (point.score - wanted[index].score).powi(2));
            let rms = (off.sum::<f64>() / made.len() as f64).sqrt();
            print!("// at {target}: score {}; off by {rms:.1} (rms)", Spread::of(&scores));
            match self.kind {
                PictureKind::Photo => {
                    let bytes = made.iter().zip(wanted).map(|(point, wanted)| (point.bytes / wanted[index].bytes).ln());
                    println!("; bytes x {:.3}", (bytes.sum::<f64>() / made.len() as f64).exp());
                }
                PictureKind::Drawing => println!(),
            }
        }
    }
}

/// A picture, and what it is compared by.
struct Picture {
    pixels: Pixels,
    reference: Ssimulacra2Reference,
}

impl Picture {
    fn new(pixels: Pixels) -> Picture {
        let reference = Ssimulacra2Reference::new(&slice(&pixels.data, pixels.size)).expect("large enough");
        Picture { pixels, reference }
    }
}

/// A file of a picture.
#[derive(Clone, Copy)]
struct Point {
    /// The number that it was encoded at.
    own: f32,
    /// Its SSIMULACRA2.
    score: f64,
    bytes: f64,
}

/// Files of one picture by rising number.
type Curve = Vec<Point>;

impl Point {
    fn of(picture: &Picture, own: f32, file: &[u8]) -> Point {
        let mut recipe = Recipe::new(Output::Exactly(Format::Png), Quality::default());
        // a drawing would have a palette otherwise
        recipe.encode.lossless = true;
        let settings = Settings { smallest_wins: false, ..Settings::default() };
        let png = render(file, &recipe, &settings, &mut |_| true).expect("decoded").bytes;
        let decoded = image::load_from_memory(&png).expect("a PNG").into_rgb8().into_raw();
        let score = picture.reference.compare(&slice(&decoded, picture.pixels.size)).expect("the same size");
        Point { own, score, bytes: file.len() as f64 }
    }
}

fn annex_k(pixels: &Pixels, quality: f32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality as u8);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    // as libjpeg does; the default takes one pixel of four
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder.set_optimized_huffman_tables(true);
    let side = |length| u16::try_from(length).expect("a short side");
    let Size { width, height } = pixels.size;
    encoder.encode(&pixels.data, side(width), side(height), ColorType::Rgb).expect("encoded");
    file
}

fn slice(rgb: &[u8], size: Size) -> PixelSlice<'_> {
    let stride = size.width as usize * 3;
    PixelSlice::new(rgb, size.width, size.height, stride, PixelDescriptor::RGB8_SRGB).expect("whole rows")
}

/// A curve with the mean scores.
fn average(curves: &[Curve]) -> Curve {
    let mean = |index: usize| {
        let scores: Vec<f64> = curves.iter().map(|curve| curve[index].score).collect();
        Point { score: Spread::of(&scores).mean, ..curves[0][index] }
    };
    (0..TARGETS.len()).map(mean).collect()
}

/// With scores that never fall: small files vary by chance.
fn monotonic(mut curve: Curve) -> Curve {
    for index in 1..curve.len() {
        curve[index].score = curve[index].score.max(curve[index - 1].score);
    }
    curve
}

/// The own number at which a curve reaches a score.
fn own_for(curve: &Curve, score: f64) -> f32 {
    for pair in curve.windows(2) {
        let (low, high) = (pair[0], pair[1]);
        if score <= high.score {
            let rise = high.score - low.score;
            let part = if rise > 0.0 { ((score - low.score) / rise).clamp(0.0, 1.0) } else { 0.0 };
            return low.own + (high.own - low.own) * part as f32;
        }
    }
    100.0
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

/// How scores differ between pictures.
struct Spread {
    mean: f64,
    deviation: f64,
    worst: f64,
}

impl Spread {
    fn of(scores: &[f64]) -> Spread {
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
        let deviation = (squares / (scores.len() as f64 - 1.0).max(1.0)).sqrt();
        Spread { mean, deviation, worst: scores.iter().copied().fold(f64::INFINITY, f64::min) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} on average, sd {:.1}, worst {:.1}", self.mean, self.deviation, self.worst)
    }
}

/// The results for all pictures, in their order, made on all cores.
fn each<T: Send>(pictures: &[Picture], make: impl Fn(&Picture) -> T + Sync) -> Vec<T> {
    let next = Mutex::new(pictures.iter().enumerate());
    let made = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().expect("no panic").next();
                    let Some((index, picture)) = taken else { break };
                    let result = make(picture);
                    made.lock().expect("no panic").push((index, result));
                }
            });
        }
    });
    let mut made = made.into_inner().expect("no panic");
    made.sort_by_key(|(index, _)| *index);
    made.into_iter().map(|(_, result)| result).collect()
}

/// The PNGs of a folder, at most so wide.
fn pictures(folder: &Path, columns: Option<u32>) -> Vec<Picture> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let is_png = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "png");
    let picture = |path: PathBuf| {
        let mut picture = image::open(path).expect("a PNG").into_rgb8();
        if let Some(columns) = columns.filter(|&columns| picture.width() > columns) {
            let height = (u64::from(picture.height()) * u64::from(columns) / u64::from(picture.width())).max(1) as u32;
            picture = image::imageops::resize(&picture, columns, height, image::imageops::FilterType::Lanczos3);
        }
        let size = Size::new(picture.width(), picture.height());
        Picture::new(Pixels { size, channels: 3, data: picture.into_raw() })
    };
    paths.into_iter().filter(is_png).map(picture).collect()
}

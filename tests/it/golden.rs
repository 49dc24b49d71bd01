//! Renders of testdata against tables of colours and golden pictures.
//!
//! Golden pictures are compared by perceptual distance, since encoders may change a bit or two. `TINTYPE_BLESS=1` writes
//! them anew; look at what you bless.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::quarters::Quarters;
use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};
use tintype::dialect::{Config, Policy};
use tintype::render::recipe::Quality;
use tintype::render::{Format, OverlayFile, Settings, render};

pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

pub(crate) fn policy() -> Policy {
    Policy::new(Config {
        quality: Quality::default(),
        target: Default::default(),
        formats: vec![Format::Avif, Format::WebP],
        client_hints: false,
        save_data_quality: None,
        max_dimension: 8192,
        widths: Vec::new(),
        snap: tintype::dialect::Snap::Off,
        reject_unknown: true,
        presets: [].into(),
        overlays: [("alpha".to_owned(), overlay().id())].into(),
        overlay: String::new(),
        keys: tintype::dialect::signature::Keys::default(),
        require_signature: false,
        mounts: tintype::dialect::Mounts::default(),
    })
    .expect("no presets")
}

pub(crate) fn make(original: &str, query: &str) -> Vec<u8> {
    make_of(&std::fs::read(testdata().join(original)).expect("a file of testdata"), original, query)
}

/// The overlay of golden pictures, which is partly transparent.
fn overlay() -> Arc<OverlayFile> {
    let bytes = std::fs::read(testdata().join("generated/alpha.png")).expect("a file of testdata");
    Arc::new(OverlayFile::new(bytes, [1; 32]).expect("a picture"))
}

/// The same of bytes; `name` is for messages.
pub(crate) fn make_of(bytes: &[u8], name: &str, query: &str) -> Vec<u8> {
    let target = policy().target("/a", Some(query), "", 0).expect("a good query");
    let recipe = target.recipe.expect("a rendition is asked for");
    let settings = Settings { overlays: [overlay()].into_iter().collect(), ..Settings::default() };
    let made = render(bytes, &recipe, &settings, &mut |_| true);
    made.unwrap_or_else(|error| panic!("{name}?{query}: {error}")).bytes
}

/// A picture laid over white, 8-bit RGB.
pub(crate) struct Picture {
    width: u32,
    height: u32,
    pub(crate) rgb: Vec<u8>,
}

pub(crate) fn decode(bytes: &[u8]) -> Picture {
    // tintype converts any format to a PNG over white, which the crate `image` reads
    let target = policy()
        .target("/a", Some("format=png&lossless=true&background=fff&animated=false"), "", 0)
        .expect("a good query");
    let settings = Settings { smallest_wins: false, ..Settings::default() };
    let png = render(bytes, &target.recipe.expect("a recipe"), &settings, &mut |_| true).expect("a picture").bytes;
    let picture = image::load_from_memory(&png).expect("a PNG").into_rgb8();
    Picture { width: picture.width(), height: picture.height(), rgb: picture.into_raw() }
}

pub(crate) fn score(a: &Picture, b: &Picture) -> f64 {
    assert_eq!((a.width, a.height), (b.width, b.height));
    compute_ssimulacra2(&slice(a), &slice(b)).expect("large enough")
}

fn slice(picture: &Picture) -> PixelSlice<'_> {
    let Picture { width, height, rgb } = picture;
    PixelSlice::new(rgb, *width, *height, *width as usize * 3, PixelDescriptor::RGB8_SRGB).expect("whole rows")
}

#[test]
fn decoded_colours_match_the_table() {
    let table = std::fs::read_to_string(testdata().join("expected.tsv")).expect("the table");
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[path, width, height, frames, colours] = fields.as_slice() else { panic!("{line}") };
        let picture = decode(&make(path, "format=png"));
        assert_eq!((picture.width.to_string(), picture.height.to_string()), (width.into(), height.into()), "{path}");
        let original = std::fs::read(testdata().join(path)).expect("a file of testdata");
        let info = tintype::render::probe(&original).expect("an image");
        assert_eq!(info.frames.to_string(), frames, "{path}");
        let got = Quarters::of(&picture.rgb, 3, picture.width as usize, picture.height as usize);
        let expected = Quarters::parse(colours).expect("four colours");
        assert!(got.is_near(&expected, 3), "{path}: {got}, not {expected}");
    }
}

/// Original, query, and name of the golden picture.
const GOLDEN: &[(&str, &str, &str)] = &[
    ("photos/astronaut.png", "w=160&f=png", "contain"),
    ("photos/astronaut.png", "w=160&h=90&fit=cover&f=png", "cover"),
    ("photos/astronaut.png", "w=160&h=90&fit=cover&g=smart&f=png", "smart"),
    ("photos/coffee.png", "w=160&h=160&fit=pad&bg=336699&f=png", "pad"),
    ("photos/coffee.png", "w=160&h=60&fit=fill&f=png", "fill"),
    ("photos/coffee.png", "rect=150,50,200,200&w=120&f=png", "rect"),
    ("photos/chelsea.png", "w=160&rotate=90&flip=h&f=png", "turned"),
    ("photos/chelsea.png", "w=160&blur=3&f=png", "blur"),
    ("photos/chelsea.png", "w=160&sharpen=5&f=png", "sharpen"),
    ("photos/rocket.jpg", "w=160&f=jpeg&q=80", "jpeg"),
    ("photos/rocket.jpg", "w=160&f=webp&q=80", "webp"),
    ("photos/rocket.jpg", "w=160&f=avif&q=80", "avif"),
    ("photos/large-12mp.jpg", "w=200&f=png", "scaled-decode"),
    ("photos/astronaut-progressive.jpg", "w=160&f=png", "progressive"),
    ("generated/zone-plate.png", "w=200&f=png", "zone-plate"),
    ("generated/thin-lines.png", "w=150&f=png", "thin-lines"),
    ("generated/alpha.png", "w=60&bg=8000ff&f=png", "background"),
    ("generated/thin-lines.png", "trim&w=150&f=png", "trim"),
    ("photos/coffee.png", "w=120&padding=10,20,30,40&canvas=336699&blur=2&f=png", "padding"),
    ("photos/coffee.png", "w=120&h=120&fit=pad&position=top&offset=0,5&bg=336699&f=png", "offset-pad"),
    ("photos/astronaut.png", "w=120&h=160&fit=cover&position=left&offset=20,0&f=png", "offset-crop"),
    ("photos/coffee.png", "window=0.4x0.5@top-right%2B20%2B10&w=120&f=png", "window"),
    ("generated/orient-6.jpg", "orient=1&f=png", "orient"),
    ("photos/coffee.png", "w=120&greyscale&f=png", "greyscale"),
    ("photos/rocket.jpg", "w=120&greyscale&f=jpeg", "greyscale-jpeg"),
    ("photos/coffee.png", "w=120&pixelate=8&f=png", "pixelate"),
    ("photos/coffee.png", "w=120&tint=0050ff&f=png", "tint"),
    ("photos/coffee.png", "w=120&overlay=alpha&overlay_offset=6,4&overlay_scale=0.3&f=png", "overlay"),
    (
        "photos/coffee.png",
        "w=120&overlay=alpha&overlay_position=repeat&overlay_offset=9,9&overlay_opacity=40&overlay_scale=0.15&f=png",
        "overlay-repeat",
    ),
    ("photos/chelsea.png", "w=120&f=lqip", "lqip"),
    ("photos/coffee.png", "w=120&brightness=1.3&contrast=1.2&saturation=1.5&gamma=0.8&f=png", "adjusted"),
    ("photos/coffee.png", "w=800&h=120&fit=cover&limit=sides&f=png&rect=0,0,160,160", "limit-sides"),
    ("photos/coffee.png", "w=800&h=400&fit=pad&limit=box&canvas=336699&f=png&rect=0,0,160,160", "limit-box"),
    ("svg/shapes.svg", "f=png", "svg-shapes"),
    ("svg/shapes.svg", "w=300&h=300&fit=fill&rect=0,0,100,100&rotate=90&f=png", "svg-stretched"),
    ("svg/effects.svg", "w=300&bg=fff&f=png", "svg-effects"),
    ("svg/effects.svg", "w=60&h=60&fit=pad&bg=336699&blur=1&f=png", "svg-pad"),
    ("svg/effects.svg", "trim=1&w=200&f=png", "svg-trim"),
];

#[test]
fn renders_match_the_golden_pictures() {
    let bless = std::env::var_os("TINTYPE_BLESS").is_some();
    let mut wrong = Vec::new();
    for (original, query, name) in GOLDEN {
        let picture = decode(&make(original, query));
        let path = testdata().join(format!("golden/{name}.png"));
        if bless {
            image::save_buffer(&path, &picture.rgb, picture.width, picture.height, image::ColorType::Rgb8)
                .expect("saved");
        }
        let golden = decode(&std::fs::read(&path).expect("a golden picture; TINTYPE_BLESS=1 makes them"));
        if (golden.width, golden.height) != (picture.width, picture.height) {
            wrong.push(format!("{name}: {}x{}", picture.width, picture.height));
            continue;
        }
        let score = score(&golden, &picture);
        // 90 is visually lossless by the metric's authors; golden pictures of lossy formats come from the native encoders
        let is_others =
            cfg!(not(feature = "native")) && ["jpeg", "webp", "avif", "greyscale-jpeg", "lqip"].contains(name);
        if score < if is_others { 45.0 } else { 90.0 } {
            wrong.push(format!("{name} ({original}?{query}): SSIMULACRA2 {score:.1}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn greyscale_files_have_one_channel() {
    let png = make("photos/coffee.png", "w=120&greyscale&background=red&f=png");
    assert_eq!(png[25], 0, "the colour type of IHDR");
    // decoded to planes, and kept as planes
    let jpeg = make("photos/rocket.jpg", "w=120&greyscale&f=jpeg");
    let frame = jpeg.windows(2).position(|marker| matches!(marker, [0xFF, 0xC0 | 0xC2])).expect("a frame header");
    assert_eq!(jpeg[frame + 9], 1, "the components of the frame");
}

/// Bytes must not change while their key stays. Where a change is intended, raise
/// `render::settings::EPOCH` and bless.
// other encoders write other bytes, under keys of their own
#[cfg(feature = "native")]
#[test]
fn digests_change_only_with_the_epoch() {
    let mut text = format!("epoch {}\n", tintype::render::settings::EPOCH);
    // without AVIF, whose encoder may differ by processor
    for (original, query, name) in GOLDEN.iter().filter(|(_, query, _)| !query.contains("avif")) {
        text.push_str(&format!("{name} {}\n", &blake3::hash(&make(original, query)).to_hex()[..16]));
    }
    let path = testdata().join("golden/digests.txt");
    if std::env::var_os("TINTYPE_BLESS").is_some() {
        std::fs::write(&path, &text).expect("written");
    }
    assert_eq!(std::fs::read_to_string(&path).expect("the digests"), text);
}

#[test]
fn head_of_a_beginning_equals_that_of_the_file() {
    let mut found = 0;
    for folder in ["photos", "generated"] {
        for entry in std::fs::read_dir(testdata().join(folder)).expect("a folder") {
            let file = std::fs::read(entry.expect("an entry").path()).expect("a file");
            let whole = tintype::render::head(&file, &Settings::default()).ok().flatten();
            let last = [file[file.len() - 2], file[file.len() - 1]];
            for length in [100, 600, 4000, 65_536, file.len()] {
                let beginning = &file[..length.min(file.len())];
                let Some(info) = tintype::render::head_of_beginning(beginning, last, &Settings::default()) else {
                    continue;
                };
                assert_eq!(format!("{:?}", Some(info)), format!("{whole:?}"));
                found += 1;
            }
        }
    }
    assert!(found > 30, "{found} beginnings were enough");
}

#[test]
fn scaled_decoding_looks_like_full_decoding() {
    // 4031 and 3023 are odd on purpose: an eighth of them is no whole number of pixels
    let original = make("photos/large-12mp.jpg", "rect=0,0,4031,3023&f=jpeg&q=95");
    for width in [200, 333, 641, 1009] {
        let query = format!("w={width}&f=png");
        let target = policy().target("/a", Some(&query), "", 0).expect("a good query");
        let scaled = render(&original, &target.recipe.expect("a recipe"), &Settings::default(), &mut |_| true);
        let scaled = decode(&scaled.expect("a picture").bytes);
        // a PNG is always decoded in full
        let full = policy().target("/a", Some("f=png"), "", 0).expect("a good query").recipe.expect("a recipe");
        let png = render(&original, &full, &Settings::default(), &mut |_| true).expect("a picture").bytes;
        let target = policy().target("/a", Some(&query), "", 0).expect("a good query");
        let whole = render(&png, &target.recipe.expect("a recipe"), &Settings::default(), &mut |_| true);
        let score = score(&decode(&whole.expect("a picture").bytes), &scaled);
        assert!(score >= 85.0, "at {width}: SSIMULACRA2 {score:.1}");
    }
}

#[test]
fn resize_equals_lanczos3_in_floating_point() {
    // against a sum in floating point, at sizes that divide evenly and that do not
    for (original, width) in
        [("photos/chelsea.png", 451u32 / 3), ("generated/zone-plate.png", 200), ("photos/coffee.png", 333)]
    {
        let source = decode(&std::fs::read(testdata().join(original)).expect("a file"));
        let made = decode(&make(original, &format!("w={width}&f=png")));
        let expected = lanczos(&source, made.width, made.height);
        let worst =
            made.rgb.iter().zip(&expected).map(|(&got, want)| (f64::from(got) - want).abs()).fold(0.0, f64::max);
        assert!(worst <= 2.0, "{original} at {width}: off by {worst:.2} levels");
    }
}

/// Separable Lanczos3 with clamped edges, pixel centres at half integers (Turkowski, "Filters for Common Resampling
/// Tasks", 1990).
fn lanczos(source: &Picture, width: u32, height: u32) -> Vec<f64> {
    let weights = |from: u32, to: u32| -> Vec<Vec<(usize, f64)>> {
        let scale = f64::from(from) / f64::from(to);
        let support = 3.0 * scale.max(1.0);
        let kernel = |x: f64| {
            let x = x / scale.max(1.0);
            let sinc =
                |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
            if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 }
        };
        (0..to)
            .map(|at| {
                let center = (f64::from(at) + 0.5) * scale;
                let first = (center - support).floor().max(0.0) as usize;
                let last = ((center + support).ceil() as usize).min(from as usize);
                let taps: Vec<(usize, f64)> = (first..last).map(|i| (i, kernel(i as f64 + 0.5 - center))).collect();
                let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
                taps.into_iter().map(|(i, weight)| (i, weight / sum)).collect()
            })
            .collect()
    };
    let (columns, rows) = (weights(source.width, width), weights(source.height, height));
    let stride = source.width as usize * 3;
    let mut low = Vec::with_capacity(stride * height as usize);
    for taps in &rows {
        for x in 0..stride {
            // the resizer's vertical pass comes first, and rounds to 8 bits
            let sum: f64 = taps.iter().map(|(y, weight)| f64::from(source.rgb[y * stride + x]) * weight).sum();
            low.push(sum.round().clamp(0.0, 255.0));
        }
    }
    let mut out = Vec::with_capacity((width * height) as usize * 3);
    for row in low.chunks_exact(stride) {
        for taps in &columns {
            for channel in 0..3 {
                let sum: f64 = taps.iter().map(|(x, weight)| row[x * 3 + channel] * weight).sum();
                out.push(sum.clamp(0.0, 255.0));
            }
        }
    }
    out
}

#[test]
fn json_describes_the_original() {
    let describe =
        |path: &str| -> serde_json::Value { serde_json::from_slice(&make(path, "format=json")).expect("JSON") };
    let photo = describe("photos/rocket.jpg");
    assert_eq!((photo["format"].as_str(), photo["frames"].as_u64()), (Some("jpeg"), Some(1)));
    assert_eq!((photo["width"].as_u64(), photo["height"].as_u64()), (Some(640), Some(427)));
    assert!(photo["profile"].as_str().is_some_and(|name| name.contains("Adobe RGB")), "{photo}");
    assert!(
        photo["placeholder"].as_str().is_some_and(|uri| uri.starts_with("data:image/png;base64,") && uri.len() < 2000)
    );
    assert!(photo["blurhash"].as_str().is_some_and(|hash| hash.len() == 28), "{photo}");
    let turned = describe("generated/orient-6.jpg");
    assert_eq!((turned["orientation"].as_u64(), turned["width"].as_u64()), (Some(6), Some(120)));
    assert_eq!(describe("generated/animated.gif")["frames"], 5);
    assert_eq!(describe("generated/alpha.png")["has_alpha"], true);
    let svg = describe("generated/svg.svg");
    assert_eq!(svg["format"], "svg");
    assert!(svg["width"].is_u64(), "{svg}");
}

#[test]
fn metadata_is_removed_or_kept_by_parameter() {
    let exif = |bytes: &[u8]| tintype::render::probe(bytes).expect("an image").exif;
    for format in ["jpeg", "png", "webp"] {
        let query = |metadata: &str| format!("w=40&f={format}&metadata={metadata}");
        assert_eq!(exif(&make("generated/orient-6.jpg", &query("none"))), None);
        let kept = make("generated/orient-6.jpg", &query("keep"));
        assert!(exif(&kept).is_some(), "{format}");
        let info = tintype::render::probe(&kept).expect("an image");
        assert_eq!(info.orientation.to_exif(), 1, "{format}: the pixels are upright now");
    }
    // every format's EXIF reads back
    let jpeg = make("generated/orient-6.jpg", "w=40&f=jpeg&metadata=keep");
    let avif = make_of(&jpeg, "a JPEG", "f=avif&metadata=keep");
    let again = make_of(&avif, "an AVIF", "f=jpeg&metadata=keep");
    assert_eq!((exif(&avif), exif(&again)), (exif(&jpeg), exif(&jpeg)));
}

#[test]
fn grey_jpeg_has_one_component() {
    // the frame header: marker, length, precision, rows, columns, components (ITU-T T.81 §B.2.2)
    let components = |jpeg: &[u8]| {
        let at = jpeg.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0 | 0xC2])).expect("a frame header");
        jpeg[at + 9]
    };
    let packed = make("generated/grey.png", "w=60&f=jpeg");
    // from luma alone to luma alone
    let again = make_of(&packed, "a grey JPEG", "w=30&f=jpeg");
    assert_eq!((components(&packed), components(&again)), (1, 1));
    assert!(score(&decode(&again), &decode(&make("generated/grey.png", "w=30&f=png"))) > 70.0);
    assert_eq!(components(&make("photos/coffee.png", "w=50&f=jpeg")), 3);
}

//! HDR originals beside Chromium's rendering of them, gain maps, and wide gamut that results keep.

use crate::golden::{Picture, decode, make, make_of, testdata};

/// L*, a* and b* of a pixel in sRGB (CIE 15, D65).
fn lab(rgb: &[u8]) -> [f64; 3] {
    let light = [rgb[0], rgb[1], rgb[2]].map(|level| {
        let level = f64::from(level) / 255.0;
        if level <= 0.04045 { level / 12.92 } else { ((level + 0.055) / 1.055).powf(2.4) }
    });
    let sum = |weights: [f64; 3]| light.iter().zip(weights).map(|(light, weight)| light * weight).sum::<f64>();
    let root = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    let x = root(sum([0.412_456, 0.357_576, 0.180_437]) / 0.950_47);
    let y = root(sum([0.212_673, 0.715_152, 0.072_175]));
    let z = root(sum([0.019_334, 0.119_192, 0.950_304]) / 1.088_83);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The difference of two colours by CIEDE2000 (CIE 142, with all factors 1).
fn difference(one: [f64; 3], other: [f64; 3]) -> f64 {
    let mean_chroma = (one[1].hypot(one[2]) + other[1].hypot(other[2])) / 2.0;
    let power = |chroma: f64| (chroma.powi(7) / (chroma.powi(7) + 25_f64.powi(7))).sqrt();
    let stretch = 1.5 - 0.5 * power(mean_chroma);
    let polar = |[_, a, b]: [f64; 3]| ((a * stretch).hypot(b), b.atan2(a * stretch).to_degrees().rem_euclid(360.0));
    let ((c1, h1), (c2, h2)) = (polar(one), polar(other));
    let is_grey = c1 * c2 < 1e-9;
    let turn = if is_grey { 0.0 } else { (h2 - h1 + 180.0).rem_euclid(360.0) - 180.0 };
    let hue = if is_grey { h1 + h2 } else { h1 + turn / 2.0 };
    let (light, chroma) = ((one[0] + other[0]) / 2.0, (c1 + c2) / 2.0);
    let cosine = |degrees: f64| degrees.to_radians().cos();
    let t = 1.0 - 0.17 * cosine(hue - 30.0) + 0.24 * cosine(2.0 * hue) + 0.32 * cosine(3.0 * hue + 6.0)
        - 0.2 * cosine(4.0 * hue - 63.0);
    let offset = (light - 50.0).powi(2);
    let dl = (other[0] - one[0]) / (1.0 + 0.015 * offset / (20.0 + offset).sqrt());
    let dc = (c2 - c1) / (1.0 + 0.045 * chroma);
    let dh = 2.0 * (c1 * c2).sqrt() * (turn / 2.0).to_radians().sin() / (1.0 + 0.015 * chroma * t);
    let angle = 60.0 * (-((hue.rem_euclid(360.0) - 275.0) / 25.0).powi(2)).exp();
    let rotation = -2.0 * power(chroma) * angle.to_radians().sin();
    (dl * dl + dc * dc + dh * dh + rotation * dc * dh).max(0.0).sqrt()
}

fn mean_difference(one: &Picture, other: &Picture) -> f64 {
    assert_eq!(one.rgb.len(), other.rgb.len());
    let pixels = one.rgb.chunks_exact(3).zip(other.rgb.chunks_exact(3));
    let sum: f64 = pixels.map(|(one, other)| difference(lab(one), lab(other))).sum();
    sum / (one.rgb.len() / 3) as f64
}

#[test]
fn difference_has_published_values() {
    // Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", 2005, pairs 1, 7, 17 and 25
    for (one, other, wanted) in [
        ([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485], 2.0425),
        ([50.0, 0.0, 0.0], [50.0, -1.0, 2.0], 2.3669),
        ([50.0, 2.5, 0.0], [73.0, 25.0, -18.0], 27.1492),
        ([60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644),
    ] {
        let got = difference(one, other);
        assert!((got - wanted).abs() < 1e-3, "{one:?} and {other:?}: {got}, not {wanted}");
    }
}

#[test]
fn hdr_charts_look_as_in_chromium() {
    let folder = testdata().join("hdr");
    let mut count = 0;
    for entry in std::fs::read_dir(folder.join("chromium")).expect("screenshots") {
        let screenshot = entry.expect("an entry").path();
        let name = screenshot.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let wanted = decode(&std::fs::read(&screenshot).expect("a screenshot"));
        let got = decode(&make(&format!("hdr/{name}"), "format=png"));
        let mean = mean_difference(&got, &wanted);
        assert!(mean < 1.0, "{name}: CIEDE2000 of {mean:.2}");
        count += 1;
    }
    assert_eq!(count, 12);
}

/// A JPEG with a gain map as Ultra HDR has it: XMP, a multi-picture index, and a second JPEG behind the first.
fn ultra_hdr() -> Vec<u8> {
    let base = std::fs::read(testdata().join("photos/rocket.jpg")).expect("a photograph");
    let segment =
        |marker: u8, body: &[u8]| [&[0xff, marker], &(body.len() as u16 + 2).to_be_bytes()[..], body].concat();
    let xmp =
        segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description hdrgm:Version=\"1.0\"/></x:xmpmeta>");
    let iso = segment(0xe2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0");
    let index = segment(0xe2, b"MPF\0MM\0*\0\0\0\x08\0\0");
    let map = [&base[..2], &xmp, &iso, &base[2..]].concat();
    [&base[..2], &xmp, &iso, &index, &base[2..], &map].concat()
}

#[test]
fn gain_map_is_not_in_results() {
    let original = ultra_hdr();
    let base = std::fs::read(testdata().join("photos/rocket.jpg")).expect("a photograph");
    for format in ["jpeg", "webp", "avif", "png"] {
        for metadata in ["none", "copyright", "keep"] {
            let query = format!("width=200&format={format}&metadata={metadata}");
            let made = make_of(&original, "Ultra HDR", &query);
            for trace in [&b"hdrgm"[..], b"MPF\0", b"21496", b"xap/1.0"] {
                let is_there = made.windows(trace.len()).any(|bytes| bytes == trace);
                assert!(!is_there, "{query}: {}", trace.escape_ascii());
            }
            let mean = mean_difference(&decode(&made), &decode(&make_of(&base, "the base picture", &query)));
            assert!(mean < 0.5, "{query}: {mean:.2}");
        }
    }
}

/// The ICC profile of a result, by the name of its `colr` box.
fn has_profile(avif: &[u8]) -> bool {
    avif.windows(8).any(|bytes| bytes == b"colrprof")
}

#[test]
fn avif_keeps_wide_gamut_on_request() {
    for name in ["generated/p3.jpg", "generated/p3.png"] {
        let exact = decode(&make(name, "format=png"));
        for quality in [60, 100] {
            let kept = make(name, &format!("format=avif&metadata=keep&quality={quality}"));
            assert!(has_profile(&kept), "{name}");
            // converted back, it shows the same colours
            let mean = mean_difference(&decode(&kept), &exact);
            assert!(mean < 2.0, "{name} at {quality}: {mean:.2}");
            // AVIF to AVIF
            let again = make_of(&kept, name, "width=60&format=avif&metadata=keep");
            assert!(has_profile(&again), "{name}");
        }
        let plain = make(name, "format=avif");
        assert!(!has_profile(&plain), "{name}");
    }
}

#[test]
fn colours_stated_by_code_points_get_a_profile() {
    for format in ["webp", "jpeg", "avif"] {
        // the chart has 16 bits, which become 8 bits of sRGB in PNG only
        let kept = make_of(&p3_by_code_points(), "P3", &format!("format={format}&metadata=keep&quality=95"));
        assert!(tintype::render::probe(&kept).expect("an image").has_profile, "{format}");
        let mean = mean_difference(&decode(&kept), &decode(&make_of(&p3_by_code_points(), "P3", "format=png")));
        assert!(mean < 2.0, "{format}: {mean:.2}");
        assert_eq!(kept, make_of(&p3_by_code_points(), "P3", &format!("format={format}&metadata=keep&quality=95")));
    }
}

/// A PNG of 8 bits whose cICP chunk says Display P3.
fn p3_by_code_points() -> Vec<u8> {
    let size = (64, 48);
    let pixels: Vec<u8> =
        (0..size.0 * size.1).flat_map(|at: u32| [(at % 64 * 4) as u8, (at / 64 * 5) as u8, 90]).collect();
    let mut png = Vec::new();
    image::ImageEncoder::write_image(
        image::codecs::png::PngEncoder::new(&mut png),
        &pixels,
        size.0,
        size.1,
        image::ExtendedColorType::Rgb8,
    )
    .expect("encoded");
    let chunk = [&b"cICP"[..], &[12, 13, 0, 1]].concat();
    let crc = crc32(&chunk).to_be_bytes();
    // behind the signature and IHDR
    let chunk = [&4_u32.to_be_bytes()[..], &chunk, &crc].concat();
    png.splice(33..33, chunk);
    png
}

/// CRC-32 (PNG, annex D).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

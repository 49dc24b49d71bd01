//! Compares each decoder of this project with the library that it replaces, on the same bytes. Throughput is in pixels of the original.
//!
//! `cargo bench -p tintype-codecs --bench decoders -- jpeg` runs the benchmarks of a format. Both sides decode into interleaved
//! pixels, except for `*-scaled`: planes at 1/8, as for a thumbnail.

use std::hint::black_box;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tintype_codecs::Codec;
use tintype_pixels::{DctScale, DecodeOptions, Format, Limits, PixelLayout};

const LIMITS: Limits = Limits { max_pixels: 100_000_000, max_frames: 1000, max_memory: 1 << 30 };

/// Decodes all frames with the codec of this project; the number of frames.
fn own(format: Format, file: &[u8], options: &DecodeOptions) -> u32 {
    let codec = tintype_codecs::of(format);
    let info = codec.probe(file).expect("an undamaged file");
    let admitted = LIMITS
        .admit(&info, info.frames, "decoding", info.decoding_bytes(DctScale::FULL, info.frames))
        .expect("within the limits");
    let mut frames = 0;
    let decoded = codec.decode(file, &admitted, options, &mut |decoded| {
        black_box(decoded);
        frames += 1;
        Ok(())
    });
    decoded.expect("an undamaged file");
    frames
}

fn testdata(path: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    std::fs::read(root.join(path)).expect("a file of testdata")
}

/// Width, height and interleaved RGB of a photograph.
fn photograph() -> (u32, u32, Vec<u8>) {
    let picture = png(&testdata("photos/coffee.png"));
    (600, 400, picture)
}

fn png(file: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(Cursor::new(file)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
    reader.next_frame(&mut pixels).expect("a picture");
    pixels
}

fn gif(file: &[u8]) -> usize {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(Cursor::new(file)).expect("a GIF");
    let mut frames = 0;
    while let Some(frame) = decoder.read_next_frame().expect("a frame") {
        black_box(frame);
        frames += 1;
    }
    frames
}

#[cfg(feature = "native")]
fn turbojpeg_planes(file: &[u8]) -> Vec<u8> {
    let mut decompressor = turbojpeg::Decompressor::new().expect("a decompressor");
    decompressor.set_scaling_factor(turbojpeg::ScalingFactor::ONE_EIGHTH).expect("a factor");
    let scaled = decompressor.read_header(file).expect("a JPEG").scaled(turbojpeg::ScalingFactor::ONE_EIGHTH);
    let length = turbojpeg::yuv_pixels_len(scaled.width, 1, scaled.height, scaled.subsamp).expect("it fits");
    let mut image = turbojpeg::YuvImage {
        pixels: vec![0; length],
        width: scaled.width,
        align: 1,
        height: scaled.height,
        subsamp: scaled.subsamp,
    };
    decompressor.decompress_to_yuv(file, image.as_deref_mut()).expect("a picture");
    image.pixels
}

/// Benchmarks `own` and the library, under its name, in one group.
fn compare(criterion: &mut Criterion, group: &str, pixels: u64, own: impl Fn(), (library, theirs): (&str, impl Fn())) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(pixels)).sample_size(20);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    group.bench_function("own", |bencher| bencher.iter(&own));
    group.bench_function(library, |bencher| bencher.iter(&theirs));
    group.finish();
}

#[cfg(feature = "native")]
fn jpeg(criterion: &mut Criterion) {
    let progressive = testdata("photos/astronaut-progressive.jpg");
    let sequential = testdata("photos/large-12mp.jpg");
    let scaled = DecodeOptions { scale: DctScale::new(1), layout: PixelLayout::YCbCr, ..DecodeOptions::FULL };
    for (name, file, pixels) in
        [("jpeg-progressive-scaled", &progressive, 512 * 512), ("jpeg-sequential-scaled", &sequential, 4032 * 3024)]
    {
        let own = || {
            black_box(own(Format::Jpeg, file, &scaled));
        };
        compare(
            criterion,
            name,
            pixels,
            own,
            ("turbojpeg", || {
                black_box(turbojpeg_planes(file));
            }),
        );
    }
    let own = || {
        black_box(own(Format::Jpeg, &progressive, &DecodeOptions::FULL));
    };
    let theirs = || {
        black_box(turbojpeg::decompress(&progressive, turbojpeg::PixelFormat::RGB).expect("a picture"));
    };
    compare(criterion, "jpeg-progressive", 512 * 512, own, ("turbojpeg", theirs));
}

#[cfg(not(feature = "native"))]
fn jpeg(_: &mut Criterion) {}

fn webp(criterion: &mut Criterion) {
    let (width, height, pixels) = photograph();
    let file = webp::Encoder::from_rgb(&pixels, width, height).encode(80.0).to_vec();
    let own = || {
        black_box(own(Format::WebP, &file, &DecodeOptions::FULL));
    };
    let theirs = || {
        black_box(webp::Decoder::new(&file).decode().expect("a picture"));
    };
    compare(criterion, "webp-lossy", u64::from(width * height), own, ("libwebp", theirs));
}

fn lossless(criterion: &mut Criterion) {
    let file = testdata("photos/coffee.png");
    let own_png = || {
        black_box(own(Format::Png, &file, &DecodeOptions::FULL));
    };
    compare(
        criterion,
        "png",
        600 * 400,
        own_png,
        ("png", || {
            black_box(png(&file));
        }),
    );

    let (width, height, pixels) = photograph();
    let mut file = Vec::new();
    let frame = gif::Frame::from_rgb_speed(width as u16, height as u16, &pixels, 10);
    let mut encoder = gif::Encoder::new(&mut file, width as u16, height as u16, &[]).expect("a header");
    encoder.write_frame(&frame).expect("a frame");
    drop(encoder);
    let own_gif = || {
        black_box(own(Format::Gif, &file, &DecodeOptions::FULL));
    };
    compare(
        criterion,
        "gif",
        600 * 400,
        own_gif,
        ("gif", || {
            black_box(gif(&file));
        }),
    );
}

criterion_group!(benches, jpeg, webp, lossless);
criterion_main!(benches);

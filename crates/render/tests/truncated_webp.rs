//! A truncated WebP is shown as far as its rows came, at every scale at which it is decoded.

use tintype_codec_sys::libwebp;
use tintype_render::geometry::{Resize, TargetSize};
use tintype_render::recipe::{Output, Quality};
use tintype_render::{Format, Pixels, Recipe, Settings, Size, Stage, render};

#[test]
fn truncated_webp_made_smaller_shows_the_rows_that_came() {
    // large enough to be made smaller while it is decoded
    let size = Size::new(640, 480);
    for has_alpha in [false, true] {
        let file = truncated(size, has_alpha);
        for width in [640, 500, 320, 160, 70] {
            let target = TargetSize { width, height: 0, enlarge: false };
            let recipe = Recipe::new(Output::Exactly(Format::Png), Quality::default());
            let recipe = recipe.with_resize(Resize::Contain(target));
            let made = render(&file, &recipe, &Settings::default(), &mut |_: Stage| true).expect("rows");
            let pixels = decoded(&made.bytes);
            let row = |y: u32| pixels.data[(y * pixels.stride() as u32 + 40) as usize..][..4].to_vec();
            let (top, bottom) = (row(1), row(pixels.size.height - 1));
            assert!(top[2] > 180 && top[3].abs_diff(if has_alpha { 100 } else { 255 }) < 3, "{width}: {top:?}");
            let is_missing = if has_alpha { bottom[3] == 0 } else { bottom == [0, 0, 0, 255] };
            assert!(is_missing, "{width}, {has_alpha}: {bottom:?}");
        }
    }
}

/// A lossy file without the second half of its `VP8 ` chunk, which is the last.
fn truncated(size: Size, has_alpha: bool) -> Vec<u8> {
    let pixel = |at: u32| [(at % 640 / 3) as u8, (at / 640 / 2) as u8, 200, if has_alpha { 100 } else { 255 }];
    let pixels = Pixels { size, channels: 4, data: (0..size.pixels() as u32).flat_map(pixel).collect() };
    let config = webp::WebPConfig::new().expect("a configuration");
    let mut file = libwebp::encode(&libwebp::Input::Packed(&pixels), &config, &mut || true).unwrap_or_default();
    let frame = file.windows(4).position(|window| window == b"VP8 ").expect("a frame") + 8;
    file.truncate(file.len() - (file.len() - frame) / 2);
    file
}

fn decoded(png: &[u8]) -> Pixels {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().expect("a PNG");
    let mut data = vec![0; reader.output_buffer_size().expect("a small picture")];
    let info = reader.next_frame(&mut data).expect("a picture");
    let pixels = Pixels { size: Size::new(info.width, info.height), channels: info.color_type.samples(), data };
    pixels.with_alpha()
}

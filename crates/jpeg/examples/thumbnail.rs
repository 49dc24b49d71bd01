//! Decodes a JPEG file at n/8 of its size to a PPM, or to a PGM where it is grey:
//!
//! ```sh
//! cargo run --release --example thumbnail -- photo.jpg 2 thumbnail.ppm
//! ```

use std::process::ExitCode;

use tintype_pixels::geometry::DctScale;
use tintype_pixels::{Planes, ycbcr};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, input, eighths, output] = &arguments[..] else {
        eprintln!("usage: thumbnail INPUT.jpg 1|2|3|4|6|8 OUTPUT.ppm");
        return ExitCode::from(2);
    };
    match thumbnail(input, eighths)
        .and_then(|image| std::fs::write(output, image).map_err(|e| format!("{output}: {e}")))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The PPM or PGM of a file at that many eighths of its size.
fn thumbnail(input: &str, eighths: &str) -> Result<Vec<u8>, String> {
    let scale = eighths.parse().ok().map(|n| tintype_jpeg::SCALES.into_iter().find(|scale| scale.eighths() == n));
    let scale: DctScale = scale.flatten().ok_or("the scale is 1, 2, 3, 4, 6 or 8 eighths")?;
    let file = std::fs::read(input).map_err(|error| format!("{input}: {error}"))?;
    let planes = tintype_jpeg::decode(&file, scale);
    planes.as_ref().map(to_pnm).ok_or_else(|| format!("{input}: damaged, or not supported"))
}

/// The binary form of PPM (P6), or of PGM (P5) for luma alone.
fn to_pnm(planes: &Planes) -> Vec<u8> {
    let [y, cb, cr] = planes.all();
    let (width, height) = (planes.size.width as usize, planes.size.height as usize);
    let kind = if planes.subsampling.is_some() { 6 } else { 5 };
    let mut out = format!("P{kind}\n{width} {height}\n255\n").into_bytes();
    let mut rgb = vec![0; 3 * width];
    for row in 0..height {
        let luma = &y.data[row * y.stride..][..width];
        let Some(subsampling) = planes.subsampling else {
            out.extend(luma);
            continue;
        };
        let (across, down) = (subsampling.across as usize, subsampling.down as usize);
        let chroma = [cb, cr].map(|plane| {
            let samples = &plane.data[row / down * plane.stride..];
            (0..width).map(|x| samples[x / across]).collect::<Vec<u8>>()
        });
        ycbcr::write_rgb(&mut rgb, luma, &chroma[0], &chroma[1]);
        out.extend(&rgb);
    }
    out
}

//! Decodes a lossy WebP file at n/8 of its size to a PPM; alpha is ignored:
//!
//! ```sh
//! cargo run --release --example webp-thumbnail -- photo.webp 2 thumbnail.ppm
//! ```

use std::process::ExitCode;

use tintype_pixels::geometry::DctScale;
use tintype_pixels::ycbcr;
use tintype_vp8::Frame;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, input, eighths, output] = &arguments[..] else {
        eprintln!("usage: webp-thumbnail INPUT.webp 1|2|4|8 OUTPUT.ppm");
        return ExitCode::from(2);
    };
    let written = thumbnail(input, eighths)
        .and_then(|image| std::fs::write(output, image).map_err(|error| format!("{output}: {error}")));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The PPM of a file at that many eighths of its size.
fn thumbnail(input: &str, eighths: &str) -> Result<Vec<u8>, String> {
    let scale = match eighths.parse() {
        Ok(eighths @ (1 | 2 | 4 | 8)) => DctScale::new(eighths),
        _ => return Err("the scale is 1, 2, 4 or 8 eighths".into()),
    };
    let file = std::fs::read(input).map_err(|error| format!("{input}: {error}"))?;
    let chunk = vp8_chunk(&file).ok_or_else(|| format!("{input}: no lossy still WebP file"))?;
    let frame = tintype_vp8::decode(chunk, scale).ok_or_else(|| format!("{input}: damaged"))?;
    Ok(to_ppm(&frame))
}

/// The body of the `VP8 ` chunk of a still WebP file (RFC 9649 §2.5).
fn vp8_chunk(file: &[u8]) -> Option<&[u8]> {
    let mut rest = file.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WEBP")?;
    loop {
        let (header, body) = rest.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if header.starts_with(b"VP8 ") {
            return body.get(..length);
        }
        rest = body.get(length.next_multiple_of(2)..)?;
    }
}

/// The binary form of PPM (P6).
fn to_ppm(frame: &Frame) -> Vec<u8> {
    let (width, height) = (frame.size.width as usize, frame.size.height as usize);
    let mut out = format!("P6\n{width} {height}\n255\n").into_bytes();
    let mut rgb = vec![0; 3 * width];
    // from WebP's range to the full one
    let luma = |sample: u8| ((i32::from(sample) - 16) * 255 / 219).clamp(0, 255) as u8;
    let chroma = |sample: u8| ((i32::from(sample) - 128) * 255 / 224 + 128).clamp(0, 255) as u8;
    for row in 0..height {
        let [y, cb, cr] = &frame.planes;
        let y: Vec<u8> = y[row * frame.stride()..][..width].iter().map(|&sample| luma(sample)).collect();
        let [cb, cr] = [cb, cr].map(|plane| {
            let samples = &plane[row / 2 * (frame.stride() / 2)..];
            (0..width).map(|x| chroma(samples[x / 2])).collect::<Vec<u8>>()
        });
        ycbcr::write_rgb(&mut rgb, &y, &cb, &cr);
        out.extend(&rgb);
    }
    out
}

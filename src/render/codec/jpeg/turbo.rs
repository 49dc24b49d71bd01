//! JPEG through libjpeg-turbo (crate `turbojpeg`), which scales down by 2, 4 or 8 while it decodes, and gives and takes
//! luma and chroma apart: a large photograph costs a third of the time and a tenth of the memory that way. What
//! [`sequential`] reads, it reads for less.
//!
//! The library says what it met as one text: the first warning, or the error. Some warnings stand for a picture that
//! is whole, others for one with grey where the data ended; [`is_harmless`] tells them apart.

use std::borrow::Cow;

use turbojpeg::{
    Colorspace, Compressor, DecompressHeader, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp, YuvImage,
    YuvPlanesImage,
};

use super::header::{Header, segments};
use super::views::Pictures;
use super::{FORMAT, progressive, sequential};
use crate::render::codec::{Decoded, Info, Integrity, Picture, Shown};
use crate::render::error::{Error, Result};
use crate::render::geometry::Size;
use crate::render::ops::colour::{self, Profile};
use crate::render::pixels::{Pixels, Plane, Planes, Samples, Sharing};
use crate::render::plan::Plan;

/// A progressive file may hold thousands of scans, each of which touches every coefficient; cameras and encoders use
/// about ten.
const MAX_SCANS: u32 = 100;

/// Decodes a picture scaled down as planned, as planes where those are wished for and can be had.
pub(super) fn decode(original: &[u8], header: &Header, info: &Info, plan: &Plan<'_>) -> Result<Decoded> {
    let mut decoded = decode_several(original, header, info, plan, &[])?;
    decoded.pop().ok_or_else(|| Error::malformed(FORMAT, "it holds no picture"))
}

/// The same, and behind it such of the others as come of the same reading, each with how many eighths of its size it has.
pub(super) fn decode_several(
    original: &[u8], header: &Header, info: &Info, plan: &Plan<'_>, others: &[u32],
) -> Result<Vec<Decoded>> {
    let profile = header.profile.as_deref().and_then(Profile::from_icc);
    let mut decoder = Decompressor::new().map_err(|error| Error::malformed(FORMAT, error))?;
    decoder.set_scan_limit(MAX_SCANS).map_err(|error| Error::malformed(FORMAT, error))?;
    // its own transforms to other sizes take longer than decoding more and resizing it
    let eighths = plan.eighths.next_power_of_two();
    let scale = ScalingFactor::new(eighths as usize, 8);
    decoder.set_scaling_factor(scale).map_err(|error| Error::malformed(FORMAT, error))?;
    let (found, original) = open(&mut decoder, original, header.components)?;
    if (found.width, found.height) != (info.size.width as usize, info.size.height as usize) {
        return Err(Error::malformed(FORMAT, "it states two different sizes"));
    }
    if let Some(sharing) = planes_of(&found).filter(|_| plan.wants_planes) {
        let part = plan.part.filter(|_| plan.decodes_part);
        let ours = |eighths: &[u32]| {
            let wanted = Pictures { eighths, shown: part, size: info.size, sharing };
            match header.progressive {
                true => progressive::planes(&original, &wanted),
                // at full size the library is faster
                false if plan.eighths == 8 && part.is_none() => None,
                false => sequential::planes(&original, &wanted),
            }
        };
        let decoded = |(eighths, planes, origin)| Decoded {
            samples: Samples::Planes(planes),
            profile: profile.clone(),
            eighths,
            origin,
            delay: 0,
            integrity: Integrity::Whole,
        };
        let all: Vec<u32> = [plan.eighths].into_iter().chain(others.iter().copied()).collect();
        // damage that does not show in one may be in the way of others; a sequential file is read alike for all
        let apart = header.progressive && all.len() > 1;
        let planes = ours(&all).or_else(|| if apart { ours(&all[..1]) } else { None });
        return Ok(match planes {
            Some(planes) => {
                let origin = part.map_or((0, 0), |part| (part.x, part.y));
                planes.into_iter().map(|(eighths, planes)| decoded((eighths, planes, origin))).collect()
            }
            None => {
                let planes = to_planes(&mut decoder, &original, &found, scale, sharing)?;
                vec![decoded((eighths, planes, (0, 0)))]
            }
        });
    }
    let inks = matches!(found.colorspace, Colorspace::CMYK | Colorspace::YCCK);
    let layout = if inks { PixelFormat::CMYK } else { PixelFormat::RGB };
    let (width, height) = (scale.scale(found.width), scale.scale(found.height));
    let pitch = width * layout.size();
    let mut samples = vec![0; pitch * height];
    let image = Image { pixels: &mut samples[..], width, pitch, height, format: layout };
    whole(decoder.decompress(&original, image))?;

    let size = Size::new(width as u32, height as u32);
    let (pixels, profile) = if inks {
        // Adobe writes inks inverted, 255 being none (Adobe TN 5116), and everybody follows, with its marker or without
        let rgb = colour::cmyk_to_rgb(&samples, true, header.profile.as_deref());
        (Pixels::new(FORMAT, size, 3, rgb)?, None)
    } else {
        (Pixels::new(FORMAT, size, 3, samples)?, profile)
    };
    let (samples, integrity) = (Samples::Packed(pixels), Integrity::Whole);
    Ok(vec![Decoded { samples, profile, eighths, origin: (0, 0), delay: 0, integrity }])
}

/// Encodes with chroma halved both ways, or without where there is no colour.
pub(super) fn encode(picture: &Picture) -> Result<Vec<u8>> {
    let is_grey = picture.is_grey();
    let encoded = (|| {
        let mut encoder = Compressor::new()?;
        encoder.set_quality(picture.quality.round() as i32)?;
        encoder.set_subsamp(if is_grey { Subsamp::Gray } else { Subsamp::Sub2x2 })?;
        // better Huffman tables: 3 to 5 percent fewer bytes for less than a millisecond
        encoder.set_optimize(true)?;
        match &picture.shown {
            Shown::Planes(planes) if is_grey => {
                let (Plane { data, stride }, _) = planes.luma();
                encoder.compress_to_vec(image(data, planes.size, stride, PixelFormat::GRAY))
            }
            Shown::Planes(planes) => encoder.compress_yuv_planes_to_vec(&borrowed(planes)),
            Shown::Frames(frames) => encoder.compress_to_vec(packed(&frames[0].pixels)),
        }
    })();
    encoded.map_err(|error: turbojpeg::Error| Error::Encode { format: FORMAT, reason: error.to_string() })
}

fn packed(pixels: &Pixels) -> Image<&[u8]> {
    let format = if pixels.has_alpha() { PixelFormat::RGBX } else { PixelFormat::RGB };
    image(&pixels.data, pixels.size, pixels.stride(), format)
}

fn image(pixels: &[u8], size: Size, pitch: usize, format: PixelFormat) -> Image<&[u8]> {
    Image { pixels, width: size.width as usize, pitch, height: size.height as usize, format }
}

fn borrowed(planes: &Planes) -> YuvPlanesImage<&[u8]> {
    let [y, u, v] = planes.all();
    YuvPlanesImage {
        y_plane: y.data,
        u_plane: u.data,
        v_plane: v.data,
        width: planes.size.width as usize,
        height: planes.size.height as usize,
        y_stride: y.stride,
        u_stride: u.stride,
        v_stride: v.stride,
        subsamp: Subsamp::Sub2x2,
    }
}

/// How a picture shares its chroma, if its planes can be had as they are: `Some(None)` for one without colour.
fn planes_of(found: &DecompressHeader) -> Option<Option<Sharing>> {
    let sharing = |across, down| Some(Some(Sharing { across, down }));
    match (found.colorspace, found.subsamp) {
        (Colorspace::Gray, Subsamp::Gray) => Some(None),
        (Colorspace::YCbCr, Subsamp::None) => sharing(1, 1),
        (Colorspace::YCbCr, Subsamp::Sub2x1) => sharing(2, 1),
        (Colorspace::YCbCr, Subsamp::Sub1x2) => sharing(1, 2),
        (Colorspace::YCbCr, Subsamp::Sub2x2) => sharing(2, 2),
        // four to one, and what has no name, are rare enough to be made RGB
        _ => None,
    }
}

fn to_planes(
    decoder: &mut Decompressor, original: &[u8], found: &DecompressHeader, scale: ScalingFactor,
    sharing: Option<Sharing>,
) -> Result<Planes> {
    let (width, height) = (scale.scale(found.width), scale.scale(found.height));
    let size = Size::new(width as u32, height as u32);
    let mut samples = vec![0; Planes::bytes(size, sharing)];
    let image = YuvImage { pixels: &mut samples[..], width, align: 1, height, subsamp: found.subsamp };
    whole(decoder.decompress_to_yuv(original, image))?;
    // what it puts behind the last column and row is not always the picture's
    Ok(Planes::new(size, sharing, samples).edges_repeated())
}

/// A decoder's result, in which a warning after the picture was decoded whole is none.
fn whole(result: turbojpeg::Result<()>) -> Result<()> {
    match result {
        Err(turbojpeg::Error::TurboJpegError(text)) if is_harmless(&text) => Ok(()),
        result => result.map_err(|error| Error::malformed(FORMAT, error)),
    }
}

/// Reads the header with the library, which refuses a file over any warning; one about something that does not touch
/// the picture is got round by leaving that out.
fn open<'a>(
    decoder: &mut Decompressor, original: &'a [u8], components: u8,
) -> Result<(DecompressHeader, Cow<'a, [u8]>)> {
    match decoder.read_header(original) {
        Ok(header) => Ok((header, Cow::Borrowed(original))),
        Err(turbojpeg::Error::TurboJpegError(text)) if is_harmless(&text) => {
            let clean = without_oddities(original, components);
            let header = decoder.read_header(&clean).map_err(|error| Error::malformed(FORMAT, error))?;
            Ok((header, Cow::Owned(clean)))
        }
        Err(error) => Err(Error::malformed(FORMAT, error)),
    }
}

/// The file without what stands between its segments, and without application segments but Adobe's, which says what
/// the colours are.
fn without_oddities(original: &[u8], components: u8) -> Vec<u8> {
    let mut out = vec![0xFF, 0xD8];
    let mut scan = 2;
    for segment in segments(original) {
        scan = segment.end;
        if matches!(segment.marker, 0xE0..=0xED | 0xEF | 0xFE) {
            continue;
        }
        out.extend([0xFF, segment.marker]);
        out.extend((segment.body.len() as u16 + 2).to_be_bytes());
        let start = out.len();
        out.extend(segment.body);
        // a transform that does not exist is taken as the usual one for so many components, as the library would
        if segment.marker == 0xEE && segment.body.get(11).is_some_and(|&transform| transform > 2) {
            out[start + 11] = if components == 4 { 2 } else { 1 };
        }
    }
    let rest = &original[scan.min(original.len())..];
    out.extend(&rest[rest.iter().position(|&b| b == 0xFF).unwrap_or(rest.len())..]);
    out
}

/// Whether a warning leaves the picture whole (the texts are those of libjpeg's `jerror.h`).
fn is_harmless(text: &str) -> bool {
    let harmless =
        ["extraneous bytes before marker", "unknown JFIF revision", "Unknown Adobe color transform", "bad ICC marker"];
    harmless.iter().any(|known| text.contains(known))
}

/// What the library alone makes of a file that has planes: the size it says, how it shares chroma, and its planes at that
/// scale.
#[cfg(test)]
pub(super) fn planes_alone(original: &[u8], eighths: u32) -> Option<(Size, Option<Sharing>, Result<Planes>)> {
    let mut decoder = Decompressor::new().expect("memory");
    let scale = ScalingFactor::new(eighths as usize, 8);
    decoder.set_scaling_factor(scale).expect("a scale it has");
    let (found, original) = open(&mut decoder, original, 3).ok()?;
    let size = Size::new(found.width as u32, found.height as u32);
    let sharing = planes_of(&found)?;
    Some((size, sharing, to_planes(&mut decoder, &original, &found, scale, sharing)))
}

//! JPEG through libjpeg-turbo (crate `turbojpeg`), which scales down by 2, 4 or 8 while it decodes, and gives and takes
//! luma and chroma apart: a large photograph costs a third of the time and a tenth of the memory that way. What
//! [`sequential`] reads, it reads for less.
//!
//! The library says what it met as one text: the first warning, or the error. After a warning all rows are there, with grey
//! where data is missing; what it means for the picture is found out by [`super::repair`]. Whatever has one is decoded by the
//! library at every scale, so that a damaged file is one picture however it is asked for.

use std::borrow::Cow;

use turbojpeg::{
    Colorspace, Compressor, DecompressHeader, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp, YuvImage,
    YuvPlanesImage,
};

use super::FORMAT;
use crate::{EncodeInput, PictureData};
use tintype_jpeg::DecodeRequest;
use tintype_jpeg::header::Header;
use tintype_jpeg::integrity::{integrity, is_warning};
use tintype_jpeg::repair::{before_refused_marker, repair, without_extraneous_data};
use tintype_jpeg::{progressive, sequential};
use tintype_pixels::colour::{self, Profile};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::{DctScale, Size};
use tintype_pixels::{Admitted, DecodeOptions, PixelLayout};
use tintype_pixels::{ChromaSubsampling, Pixels, Plane, Planes, Samples};
use tintype_pixels::{Decoded, Integrity};

/// A progressive file may hold thousands of scans, each of which touches every coefficient; cameras and encoders use
/// about ten.
const MAX_SCANS: u32 = 100;

/// Decodes a picture scaled down as planned, as planes where those are wished for and can be had.
pub(super) fn decode(
    original: &[u8], header: &Header, admitted: &Admitted<'_>, options: &DecodeOptions,
) -> Result<Decoded> {
    let mut decoded = decode_several(original, header, admitted, options, &[])?;
    decoded.pop().ok_or_else(|| Error::malformed(FORMAT, "it holds no picture"))
}

/// The same, and behind it such of the others as come of the same reading, each with its scale.
pub(super) fn decode_several(
    original: &[u8], header: &Header, admitted: &Admitted<'_>, options: &DecodeOptions, others: &[DctScale],
) -> Result<Vec<Decoded>> {
    let repaired = repair(original, header);
    match decode_repaired(&repaired.bytes, repaired.has_end, header, admitted, options, others) {
        // what it gave up at may be behind all image data, or what is before it can be shown
        Err(error @ (Error::Malformed { .. } | Error::Unsupported { .. })) => {
            match before_refused_marker(&repaired.bytes) {
                Some(before) => decode_repaired(&before, false, header, admitted, options, others),
                None => Err(error),
            }
        }
        result => result,
    }
}

fn decode_repaired(
    original: &[u8], has_end: bool, header: &Header, admitted: &Admitted<'_>, options: &DecodeOptions,
    others: &[DctScale],
) -> Result<Vec<Decoded>> {
    let profile = header.profile.as_deref().and_then(Profile::from_icc);
    let mut decoder = Decompressor::new().map_err(|error| Error::malformed(FORMAT, error))?;
    decoder.set_scan_limit(MAX_SCANS).map_err(|error| Error::malformed(FORMAT, error))?;
    // its own transforms to other sizes take longer than decoding more and resizing it
    let scale = options.scale.next_power_of_two();
    let factor = ScalingFactor::new(scale.eighths() as usize, 8);
    decoder.set_scaling_factor(factor).map_err(|error| Error::malformed(FORMAT, error))?;
    let (found, original) = open(&mut decoder, original)?;
    if (found.width, found.height) != (admitted.info().size.width as usize, admitted.info().size.height as usize) {
        return Err(Error::malformed(FORMAT, "it states two different sizes"));
    }
    if let Some(subsampling) = planes_of(&found).filter(|_| options.layout == PixelLayout::YCbCr) {
        let part = options.region;
        // ours does not read scans that do not show, so that it would not find out where the last one ends too early
        let is_cut_off = header.progressive && !has_end && integrity(&original, false, None)?.is_damaged();
        let ours = |scales: &[DctScale]| {
            let request = DecodeRequest { scales, region: part, size: admitted.info().size, subsampling };
            match header.progressive {
                _ if is_cut_off => None,
                true => progressive::planes(&original, &request),
                // at full size the library is faster
                false if options.scale == DctScale::FULL && part.is_none() => None,
                false => sequential::planes(&original, &request),
            }
        };
        let decoded = |(scale, planes, origin), integrity| Decoded {
            samples: Samples::Planes(planes),
            profile: profile.clone(),
            scale,
            origin,
            delay: 0,
            integrity,
        };
        let all: Vec<DctScale> = [options.scale].into_iter().chain(others.iter().copied()).collect();
        // damage that does not show in one may be in the way of others; a sequential file is read alike for all
        let apart = header.progressive && all.len() > 1;
        let planes = ours(&all).or_else(|| if apart { ours(&all[..1]) } else { None });
        let was_tried = header.progressive || options.scale < DctScale::FULL || part.is_some();
        return Ok(match planes {
            Some(planes) => {
                let origin = part.map_or((0, 0), |part| (part.x, part.y));
                // ours read nothing but what is whole
                let whole = |(scale, planes)| decoded((scale, planes, origin), Integrity::Whole);
                planes.into_iter().map(whole).collect()
            }
            None => {
                let (planes, warning) = to_planes(&mut decoder, &original, &found, factor, subsampling)?;
                // ours are stricter: the library passes over codes that do not exist without a word where it is in a hurry
                let integrity = checked(&original, has_end, was_tried, warning)?;
                vec![decoded((scale, planes, (0, 0)), integrity)]
            }
        });
    }
    let inks = matches!(found.colorspace, Colorspace::CMYK | Colorspace::YCCK);
    let layout = if inks { PixelFormat::CMYK } else { PixelFormat::RGB };
    let (width, height) = (factor.scale(found.width), factor.scale(found.height));
    let pitch = width * layout.size();
    let mut samples = vec![0; pitch * height];
    let image = Image { pixels: &mut samples[..], width, pitch, height, format: layout };
    let warning = warning(decoder.decompress(&original, image))?;
    let integrity = checked(&original, has_end, false, warning)?;

    let size = Size::new(width as u32, height as u32);
    let (pixels, profile) = if inks {
        // Adobe writes inks inverted, 255 being none (Adobe TN 5116), and everybody follows, with its marker or without
        let rgb = colour::cmyk_to_rgb(&samples, true, header.profile.as_deref());
        (Pixels::new(FORMAT, size, 3, rgb)?, None)
    } else {
        (Pixels::new(FORMAT, size, 3, samples)?, profile)
    };
    Ok(vec![Decoded { samples: Samples::Packed(pixels), profile, scale, origin: (0, 0), delay: 0, integrity }])
}

/// Encodes with chroma halved both ways, or without where there is no colour.
pub(super) fn encode(picture: &EncodeInput) -> Result<Vec<u8>> {
    let is_grey = picture.is_grey();
    let encoded = (|| {
        let mut encoder = Compressor::new()?;
        encoder.set_quality(picture.quality.round() as i32)?;
        encoder.set_subsamp(if is_grey { Subsamp::Gray } else { Subsamp::Sub2x2 })?;
        // better Huffman tables: 3 to 5 percent fewer bytes for less than a millisecond
        encoder.set_optimize(true)?;
        match &picture.data {
            PictureData::Planes(planes) if is_grey => {
                let (Plane { data, stride }, _) = planes.luma();
                encoder.compress_to_vec(image(data, planes.size, stride, PixelFormat::GRAY))
            }
            PictureData::Planes(planes) => encoder.compress_yuv_planes_to_vec(&borrowed(planes)),
            PictureData::Frames(frames) => encoder.compress_to_vec(packed(&frames[0].pixels)),
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
fn planes_of(found: &DecompressHeader) -> Option<Option<ChromaSubsampling>> {
    let subsampling = |across, down| Some(Some(ChromaSubsampling { across, down }));
    match (found.colorspace, found.subsamp) {
        (Colorspace::Gray, Subsamp::Gray) => Some(None),
        (Colorspace::YCbCr, Subsamp::None) => subsampling(1, 1),
        (Colorspace::YCbCr, Subsamp::Sub2x1) => subsampling(2, 1),
        (Colorspace::YCbCr, Subsamp::Sub1x2) => subsampling(1, 2),
        (Colorspace::YCbCr, Subsamp::Sub2x2) => subsampling(2, 2),
        // four to one, and what has no name, are rare enough to be made RGB
        _ => None,
    }
}

fn to_planes(
    decoder: &mut Decompressor, original: &[u8], found: &DecompressHeader, factor: ScalingFactor,
    subsampling: Option<ChromaSubsampling>,
) -> Result<(Planes, Option<String>)> {
    let (width, height) = (factor.scale(found.width), factor.scale(found.height));
    let size = Size::new(width as u32, height as u32);
    let mut samples = vec![0; Planes::bytes(size, subsampling)];
    let image = YuvImage { pixels: &mut samples[..], width, align: 1, height, subsamp: found.subsamp };
    let warning = warning(decoder.decompress_to_yuv(original, image))?;
    // what it puts behind the last column and row is not always the picture's
    Ok((Planes::new(size, subsampling, samples).edges_repeated(), warning))
}

/// The warning that a decoder gave, if it gave out a picture.
fn warning(result: turbojpeg::Result<()>) -> Result<Option<String>> {
    match result {
        Ok(()) => Ok(None),
        Err(turbojpeg::Error::TurboJpegError(text)) if is_warning(&text) => Ok(Some(text)),
        Err(error) => Err(failed(error)),
    }
}

/// Whether a picture is whole that was decoded with such a warning, or without; whether `is_odd`, so that ours do not read it.
/// Where the library says nothing, and ours had no say, there is all that must be but for an end.
fn checked(original: &[u8], has_end: bool, is_odd: bool, warning: Option<String>) -> Result<Integrity> {
    match warning {
        None if has_end && !is_odd => Ok(Integrity::Whole),
        warning => integrity(original, has_end, warning.as_deref()),
    }
}

/// An error of the library: an unsupported feature, or damage.
fn failed(error: turbojpeg::Error) -> Error {
    const NOT_DONE: [&str; 8] = [
        "Unsupported JPEG process",
        "Unsupported JPEG data precision",
        "Unsupported color conversion",
        "Could not determine colorspace",
        "Could not determine subsampling",
        "not implemented",
        "omitted at compile time",
        "lossless JPEG image cannot be scaled",
    ];
    let text = error.to_string();
    let text = text.trim_start_matches("TurboJPEG error: ");
    if text.contains("Progressive JPEG image has more than") {
        return Error::Limit(format!("it has more than {MAX_SCANS} scans"));
    }
    match NOT_DONE.iter().any(|known| text.contains(known)) {
        true => Error::unsupported(FORMAT, text),
        false => Error::malformed(FORMAT, text),
    }
}

/// Reads the header with the library, which refuses a file over any warning; one about something that does not touch
/// the picture is got round by leaving that out.
fn open<'a>(decoder: &mut Decompressor, original: &'a [u8]) -> Result<(DecompressHeader, Cow<'a, [u8]>)> {
    match decoder.read_header(original) {
        Ok(header) => Ok((header, Cow::Borrowed(original))),
        Err(turbojpeg::Error::TurboJpegError(text)) if is_warning(&text) => {
            let clean = without_extraneous_data(original);
            let header = decoder.read_header(&clean).map_err(failed)?;
            Ok((header, Cow::Owned(clean)))
        }
        Err(error) => Err(failed(error)),
    }
}

//! Decoding JPEG by libjpeg-turbo (crate `turbojpeg`), which scales down by 2, 4 or 8 while it decodes, and decodes to Y'CbCr
//! planes: a large photograph costs a third of the time and a tenth of the memory that way. [`sequential`] and [`progressive`]
//! are faster for the files and scales that they support.
//!
//! The library reports one text: its first warning, or the error. After a warning all rows are present, grey where data are
//! missing; [`integrity`] finds out what the warning means for the picture. A file with a warning is decoded by the library at
//! every scale, so that a damaged file looks the same at each of them.

use std::borrow::Cow;

use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp, YuvImage};

use super::FORMAT;
use tintype_jpeg::DecodeRequest;
use tintype_jpeg::header::Header;
use tintype_jpeg::integrity::{integrity, is_warning};
use tintype_jpeg::repair::{before_refused_marker, repair, without_extraneous_data};
use tintype_jpeg::{progressive, sequential};
use tintype_pixels::colour::{self, Profile};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::{DctScale, Size};
use tintype_pixels::{Admitted, DecodeOptions, PixelLayout};
use tintype_pixels::{ChromaSubsampling, Pixels, Planes, Samples};
use tintype_pixels::{Decoded, Integrity};

/// The most scans of a file. A malicious progressive file may hold thousands, each of which touches every coefficient; cameras
/// and encoders write about ten.
const MAX_SCANS: u32 = 100;

/// Decodes at the requested scale; to planes if they are requested and the file stores Y'CbCr or grey.
pub(super) fn decode(
    original: &[u8], header: &Header, admitted: &Admitted<'_>, options: &DecodeOptions,
) -> Result<Decoded> {
    let mut decoded = decode_several(original, header, admitted, options, &[])?;
    decoded.pop().ok_or_else(|| Error::malformed(FORMAT, "it holds no picture"))
}

/// Decodes at the requested scale, and at those of `others` that the same pass over the file yields; each result states its scale.
pub(super) fn decode_several(
    original: &[u8], header: &Header, admitted: &Admitted<'_>, options: &DecodeOptions, others: &[DctScale],
) -> Result<Vec<Decoded>> {
    let repaired = repair(original, header);
    match decode_repaired(&repaired.bytes, repaired.has_end, header, admitted, options, others) {
        // the refused marker may be behind all image data, or the data before it may be enough for a picture
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
    let file = OpenFile::new(original, has_end, header, options.scale)?;
    let size = admitted.info().size;
    if (file.found.width, file.found.height) != (size.width as usize, size.height as usize) {
        return Err(Error::malformed(FORMAT, "it states two different sizes"));
    }
    match plane_subsampling(&file.found).filter(|_| options.layout == PixelLayout::YCbCr) {
        Some(subsampling) => file.planes(size, options, others, subsampling),
        None => Ok(vec![file.packed()?]),
    }
}

/// A file whose header the library has read.
struct OpenFile<'a> {
    decoder: Decompressor,
    original: Cow<'a, [u8]>,
    has_end: bool,
    header: &'a Header,
    found: DecompressHeader,
    /// The scale of the library, which is not below the requested one.
    scale: DctScale,
    factor: ScalingFactor,
    profile: Option<Profile>,
}

impl<'a> OpenFile<'a> {
    fn new(original: &'a [u8], has_end: bool, header: &'a Header, scale: DctScale) -> Result<OpenFile<'a>> {
        let profile = header.profile.as_deref().and_then(Profile::from_icc);
        let mut decoder = Decompressor::new().map_err(|error| Error::malformed(FORMAT, error))?;
        decoder.set_scan_limit(MAX_SCANS).map_err(|error| Error::malformed(FORMAT, error))?;
        // the library's inverse DCTs of other sizes take longer than decoding at the next power of two and resizing
        let scale = scale.next_power_of_two();
        let factor = ScalingFactor::new(scale.eighths() as usize, 8);
        decoder.set_scaling_factor(factor).map_err(|error| Error::malformed(FORMAT, error))?;
        let (found, original) = open(&mut decoder, original)?;
        Ok(OpenFile { decoder, original, has_end, header, found, scale, factor, profile })
    }

    /// Planes at the requested scale and, where our decoders read the file, at `others`.
    fn planes(
        mut self, size: Size, options: &DecodeOptions, others: &[DctScale], subsampling: Option<ChromaSubsampling>,
    ) -> Result<Vec<Decoded>> {
        let is_progressive = self.header.progressive;
        let (original, part) = (&self.original, options.region);
        // our decoder skips scans that the scale does not need, and so would miss a truncated last scan
        let is_cut_off = is_progressive && !self.has_end && integrity(original, false, None)?.is_damaged();
        let decode_own = |scales: &[DctScale]| {
            let request = DecodeRequest { scales, region: part, size, subsampling };
            match is_progressive {
                _ if is_cut_off => None,
                true => progressive::planes(original, &request),
                // the library is faster at full size
                false if options.scale == DctScale::FULL && part.is_none() => None,
                false => sequential::planes(original, &request),
            }
        };
        let all: Vec<DctScale> = [options.scale].into_iter().chain(others.iter().copied()).collect();
        // damage that one scale does not need may stop others; a sequential file is read alike for all
        let retry_alone = is_progressive && all.len() > 1;
        if let Some(planes) = decode_own(&all).or_else(|| if retry_alone { decode_own(&all[..1]) } else { None }) {
            let origin = part.map_or((0, 0), |part| (part.x, part.y));
            // our decoders return undamaged files only
            let whole = |(scale, planes)| self.decoded(scale, planes, origin, Integrity::Whole);
            return Ok(planes.into_iter().map(whole).collect());
        }
        let was_refused = is_progressive || options.scale < DctScale::FULL || part.is_some();
        let (planes, warning) = to_planes(&mut self.decoder, original, &self.found, self.factor, subsampling)?;
        // our decoders are stricter: the library's fast path ignores invalid Huffman codes without a warning
        let integrity = checked(original, self.has_end, was_refused, warning)?;
        Ok(vec![self.decoded(self.scale, planes, (0, 0), integrity)])
    }

    fn decoded(&self, scale: DctScale, planes: Planes, origin: (u32, u32), integrity: Integrity) -> Decoded {
        let (samples, profile) = (Samples::Planes(planes), self.profile.clone());
        Decoded { samples, profile, scale, origin, delay: 0, integrity }
    }

    /// RGB, from CMYK as well.
    fn packed(mut self) -> Result<Decoded> {
        let is_cmyk = matches!(self.found.colorspace, Colorspace::CMYK | Colorspace::YCCK);
        let layout = if is_cmyk { PixelFormat::CMYK } else { PixelFormat::RGB };
        let (width, height) = (self.factor.scale(self.found.width), self.factor.scale(self.found.height));
        let pitch = width * layout.size();
        let mut samples = vec![0; pitch * height];
        let image = Image { pixels: &mut samples[..], width, pitch, height, format: layout };
        let warning = warning(self.decoder.decompress(&self.original, image))?;
        let integrity = checked(&self.original, self.has_end, false, warning)?;

        let size = Size::new(width as u32, height as u32);
        let (pixels, profile) = if is_cmyk {
            // Adobe stores CMYK inverted, 255 being no ink (Adobe TN 5116); other encoders do too, with the Adobe marker or
            // without
            let rgb = colour::cmyk_to_rgb(samples, true, self.header.profile.as_deref());
            (Pixels::new(FORMAT, size, 3, rgb)?, None)
        } else {
            (Pixels::new(FORMAT, size, 3, samples)?, self.profile)
        };
        let samples = Samples::Packed(pixels);
        Ok(Decoded { samples, profile, scale: self.scale, origin: (0, 0), delay: 0, integrity })
    }
}

/// The chroma subsampling of a file that is decoded to planes, `Some(None)` for a grey one; `None` if it is decoded to RGB or CMYK.
fn plane_subsampling(found: &DecompressHeader) -> Option<Option<ChromaSubsampling>> {
    let subsampling = |across, down| Some(Some(ChromaSubsampling { across, down }));
    match (found.colorspace, found.subsamp) {
        (Colorspace::Gray, Subsamp::Gray) => Some(None),
        (Colorspace::YCbCr, Subsamp::None) => subsampling(1, 1),
        (Colorspace::YCbCr, Subsamp::Sub2x1) => subsampling(2, 1),
        (Colorspace::YCbCr, Subsamp::Sub1x2) => subsampling(1, 2),
        (Colorspace::YCbCr, Subsamp::Sub2x2) => subsampling(2, 2),
        // 4:1:1, 4:4:1 and unnamed subsamplings are rare: they are converted to RGB
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
    // the library's padding behind the last column and row is not always a copy of them
    Ok((Planes::new(size, subsampling, samples).edges_repeated(), warning))
}

/// The warning of a decoder that returned a picture nevertheless.
fn warning(result: turbojpeg::Result<()>) -> Result<Option<String>> {
    match result {
        Ok(()) => Ok(None),
        Err(turbojpeg::Error::TurboJpegError(text)) if is_warning(&text) => Ok(Some(text)),
        Err(error) => Err(failed(error)),
    }
}

/// The integrity of a picture that the library decoded. `was_refused` tells that our decoders refused the file. Without a
/// warning, a refusal and a missing EOI the picture is complete; else the entropy-coded data are checked.
fn checked(original: &[u8], has_end: bool, was_refused: bool, warning: Option<String>) -> Result<Integrity> {
    match warning {
        None if has_end && !was_refused => Ok(Integrity::Whole),
        warning => integrity(original, has_end, warning.as_deref()),
    }
}

/// An error of the library: an unsupported feature, or damage.
fn failed(error: turbojpeg::Error) -> Error {
    const UNSUPPORTED: [&str; 8] = [
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
    match UNSUPPORTED.iter().any(|known| text.contains(known)) {
        true => Error::unsupported(FORMAT, text),
        false => Error::malformed(FORMAT, text),
    }
}

/// Reads the header with the library, which refuses a file on any warning. Extraneous bytes between segments are removed then,
/// since they do not affect the picture.
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

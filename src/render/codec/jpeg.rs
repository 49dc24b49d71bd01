//! JPEG, through libjpeg-turbo (crate `turbojpeg`), which scales down by 2, 4 or 8 while it decodes: a large
//! photograph costs a third of the time and a sixth of the memory that way.
//!
//! The library says what it met as one text: the first warning, or the error. Some warnings stand for a picture that
//! is whole, others for one with grey where the data ended; [`is_harmless`] tells them apart.

use std::borrow::Cow;

use turbojpeg::{Colorspace, Compressor, DecompressHeader, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp};

use super::{Codec, Cost, Decoded, Info, Picture, Plan, Sink};
use crate::render::error::{Error, Result};
use crate::render::format::Format;
use crate::render::geometry::Size;
use crate::render::ops::colour::{self, Profile};
use crate::render::pixels::Pixels;

/// Reads and writes JPEG.
pub(crate) struct Jpeg;

const FORMAT: Format = Format::Jpeg;

/// A progressive file may hold thousands of scans, each of which touches every coefficient; cameras and encoders use
/// about ten.
const MAX_SCANS: u32 = 100;

/// The longest run of ICC segments that is put together: print profiles have about 2 MB.
const MAX_PROFILE: usize = 8 << 20;

impl Codec for Jpeg {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let header = Header::read(original)?;
        let profile = header.profile.as_deref().and_then(Profile::from_icc);
        let mut info = Info::new(FORMAT, header.size).with_exif(header.exif).with_profile(profile.as_ref());
        info.has_metadata |= header.has_other_metadata;
        // CMYK has no profile-free meaning that a browser would show alike
        info.has_profile |= header.components == 4;
        info.can_shrink = !header.lossless;
        let samples = f64::from(header.components.max(3));
        info.cost = Cost {
            // a progressive picture keeps all its coefficients, 16 bits each, until the last scan
            per_stored_pixel: if header.progressive { 2.0 * header.samples_per_pixel + 0.1 } else { 0.1 },
            per_decoded_pixel: samples + if header.components == 4 { 3.0 } else { 0.5 },
        };
        Ok(info)
    }

    fn decode(&self, original: &[u8], info: &Info, plan: &Plan<'_>, sink: Sink<'_>) -> Result<()> {
        let header = Header::read(original)?;
        let profile = header.profile.as_deref().and_then(Profile::from_icc);
        let mut decoder = Decompressor::new().map_err(|error| Error::malformed(FORMAT, error))?;
        decoder.set_scan_limit(MAX_SCANS).map_err(|error| Error::malformed(FORMAT, error))?;
        let scale = ScalingFactor::new(1, plan.shrink as usize);
        decoder.set_scaling_factor(scale).map_err(|error| Error::malformed(FORMAT, error))?;
        let (found, original) = open(&mut decoder, original, header.components)?;
        if (found.width, found.height) != (info.size.width as usize, info.size.height as usize) {
            return Err(Error::malformed(FORMAT, "it states two different sizes"));
        }
        let inks = matches!(found.colorspace, Colorspace::CMYK | Colorspace::YCCK);
        let layout = if inks { PixelFormat::CMYK } else { PixelFormat::RGB };
        let (width, height) = (scale.scale(found.width), scale.scale(found.height));
        let pitch = width * layout.size();
        let mut samples = vec![0; pitch * height];
        let image = Image { pixels: &mut samples[..], width, pitch, height, format: layout };
        match decoder.decompress(&original, image) {
            // the picture was decoded whole before the warning was told
            Err(turbojpeg::Error::TurboJpegError(text)) if is_harmless(&text) => {}
            result => result.map_err(|error| Error::malformed(FORMAT, error))?,
        }

        let size = Size::new(width as u32, height as u32);
        let (pixels, profile) = if inks {
            // Adobe writes inks inverted, 255 being none (Adobe TN 5116), and everybody follows, with its marker or without
            let rgb = colour::cmyk_to_rgb(&samples, true, header.profile.as_deref());
            (Pixels::new(FORMAT, size, 3, rgb)?, None)
        } else {
            (Pixels::new(FORMAT, size, 3, samples)?, profile)
        };
        sink(Decoded { pixels, profile, shrink: plan.shrink, delay: 0 })
    }

    fn encode(&self, picture: &Picture) -> Result<Vec<u8>> {
        let pixels = picture.first();
        let image = Image {
            pixels: &pixels.data[..],
            width: pixels.size.width as usize,
            pitch: pixels.stride(),
            height: pixels.size.height as usize,
            format: if pixels.has_alpha() { PixelFormat::RGBX } else { PixelFormat::RGB },
        };
        let encoded = (|| {
            let mut encoder = Compressor::new()?;
            encoder.set_quality(picture.quality.round() as i32)?;
            encoder.set_subsamp(Subsamp::Sub2x2)?;
            // better Huffman tables: 3 to 5 percent fewer bytes for less than a millisecond
            encoder.set_optimize(true)?;
            encoder.compress_to_vec(image)
        })();
        let bytes =
            encoded.map_err(|error: turbojpeg::Error| Error::Encode { format: FORMAT, reason: error.to_string() })?;
        Ok(with_metadata(bytes, picture.exif.as_deref(), picture.profile.as_deref()))
    }
}

/// Puts an EXIF block (EXIF 2.32 §4.7.2) and a profile in numbered pieces (ICC.1 Annex B.4) behind the start marker,
/// where readers look for them.
fn with_metadata(jpeg: Vec<u8>, exif: Option<&[u8]>, profile: Option<&[u8]>) -> Vec<u8> {
    const LONGEST: usize = 65_533;
    let mut segments = Vec::new();
    let mut put = |marker: u8, parts: &[&[u8]]| {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        segments.extend([0xFF, marker]);
        segments.extend((length as u16 + 2).to_be_bytes());
        parts.iter().for_each(|part| segments.extend(*part));
    };
    if let Some(exif) = exif.filter(|exif| exif.len() + 6 <= LONGEST) {
        put(0xE1, &[b"Exif\0\0", exif]);
    }
    let pieces: Vec<&[u8]> = profile.map(|profile| profile.chunks(LONGEST - 14).collect()).unwrap_or_default();
    if let Ok(count) = u8::try_from(pieces.len()) {
        for (number, piece) in (1..=count).zip(pieces) {
            put(0xE2, &[b"ICC_PROFILE\0", &[number, count], piece]);
        }
    }
    if segments.is_empty() { jpeg } else { [&jpeg[..2], &segments, &jpeg[2..]].concat() }
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

/// What the segments before the first scan say (T.81 Annex B, JFIF 1.02, ICC.1 Annex B.4).
struct Header {
    size: Size,
    components: u8,
    /// Samples of all components together for each pixel: 1.5 for 4:2:0, 3 for 4:4:4.
    samples_per_pixel: f64,
    progressive: bool,
    lossless: bool,
    exif: Option<Vec<u8>>,
    profile: Option<Vec<u8>>,
    has_other_metadata: bool,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Header> {
        let mut frame = None;
        let mut exif = None;
        let mut has_other_metadata = false;
        let mut chunks: Vec<(u8, &[u8])> = Vec::new();
        for Segment { marker, body, .. } in segments(bytes) {
            match marker {
                // all the SOFn; C4 is DHT, C8 reserved, CC is DAC
                0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => frame = frame.or(Some((marker, body))),
                0xE1 if body.starts_with(b"Exif\0\0") => exif = exif.or(Some(body[6..].to_vec())),
                0xE2 if body.starts_with(b"ICC_PROFILE\0") && body.len() > 14 => chunks.push((body[12], &body[14..])),
                // JFIF and Adobe say what the samples are; everything else is somebody's
                0xE0 if body.starts_with(b"JFIF\0") => {}
                0xEE if body.starts_with(b"Adobe") => {}
                0xE0..=0xEF | 0xFE => has_other_metadata = true,
                _ => {}
            }
        }
        // whatever stands behind the end marker: a second picture, a movie, a note
        has_other_metadata |= !bytes.ends_with(&[0xFF, 0xD9]);
        let (marker, body) = frame.ok_or_else(|| Error::malformed(FORMAT, "it has no frame header"))?;
        let &[precision, h1, h0, w1, w0, components, ref table @ ..] = body else {
            return Err(Error::malformed(FORMAT, "its frame header is cut off"));
        };
        if precision != 8 {
            return Err(Error::unsupported(FORMAT, format!("it has {precision} bits a sample, only 8 are read")));
        }
        let size = Size::new(u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
        if size.width == 0 || size.height == 0 {
            return Err(Error::malformed(FORMAT, format!("its header says {size} pixels")));
        }
        Ok(Header {
            size,
            components,
            samples_per_pixel: samples_per_pixel(table),
            progressive: matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE),
            lossless: matches!(marker, 0xC3 | 0xC7 | 0xCB | 0xCF),
            exif,
            profile: assemble(chunks),
            has_other_metadata,
        })
    }
}

/// From the sampling factors of the components, 3 bytes each: identifier, horizontal and vertical factor, table.
fn samples_per_pixel(table: &[u8]) -> f64 {
    let factors = || table.chunks_exact(3).map(|component| (component[1] >> 4, component[1] & 15));
    let widest = factors().map(|(h, _)| h).max().unwrap_or(1).max(1);
    let tallest = factors().map(|(_, v)| v).max().unwrap_or(1).max(1);
    let all: u32 = factors().map(|(h, v)| u32::from(h) * u32::from(v)).sum();
    f64::from(all) / (f64::from(widest) * f64::from(tallest))
}

/// One marker segment.
struct Segment<'a> {
    marker: u8,
    /// Without the length.
    body: &'a [u8],
    /// Where in the file it ends.
    end: usize,
}

/// The segments up to the first scan.
fn segments(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = 2;
    std::iter::from_fn(move || {
        loop {
            // anything before the next 0xFF is garbage that decoders skip; fill bytes are 0xFF themselves (B.1.1.2)
            at += bytes.get(at..)?.iter().position(|&b| b == 0xFF)?;
            at += bytes[at..].iter().position(|&b| b != 0xFF)?;
            let marker = bytes[at];
            at += 1;
            match marker {
                // stuffed zero, TEM and RSTn stand alone; a second SOI is met in files glued together
                0x00 | 0x01 | 0xD0..=0xD8 => continue,
                // EOI and SOS end the headers
                0xD9 | 0xDA => return None,
                _ => {}
            }
            let length = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
            let body = bytes.get(at + 2..at + length)?;
            at += length;
            return Some(Segment { marker, body, end: at });
        }
    })
}

/// Puts the numbered pieces of a profile in order.
fn assemble(mut chunks: Vec<(u8, &[u8])>) -> Option<Vec<u8>> {
    if chunks.is_empty() {
        return None;
    }
    chunks.sort_by_key(|(number, _)| *number);
    chunks.dedup_by_key(|(number, _)| *number);
    let length: usize = chunks.iter().map(|(_, piece)| piece.len()).sum();
    (length <= MAX_PROFILE).then(|| chunks.iter().flat_map(|(_, piece)| piece.iter().copied()).collect())
}

//! Header ([`probe`]) and frames ([`Picture`]) of a JPEG XL, by `jxl-oxide`.
//!
//! Frames are as shown: layers of no duration are blended into the frame behind them (ISO/IEC 18181-1, F.2).
//!
//! `jxl-oxide` applies the codestream's orientation itself, so sizes and pixels
//! are as displayed; Exif must not be applied on top (ISO/IEC 18181-2, 9.5).
//! The codestream is extracted from its container here: `jxl-oxide` would also
//! decompress `brob` metadata boxes, without a bound on their size.

use std::borrow::Cow;

use jxl_oxide::color::{ColourEncoding, Primaries, TransferFunction, WhitePoint};
use jxl_oxide::image::BitDepth;
use jxl_oxide::{
    AllocTracker, EnumColourEncoding, ExtraChannelType, FrameBufferSample, HdrType, InitializeResult, JxlImage, Render,
    RenderingIntent,
};

use crate::boxes::{BoxRef, Boxes, Reader, children};
use crate::samples::{Decoded, Samples};
use tintype_pixels::pixels::grey_to_rgb;
use tintype_pixels::{Error, Format, Loops, exif};

type Result<T> = std::result::Result<T, String>;

/// The start of a bare codestream (18181-1, annex D).
const CODESTREAM_SIGNATURE: &[u8] = &[0xff, 0x0a];

/// The start of a container (18181-2, 9.1).
const CONTAINER_SIGNATURE: &[u8] = b"\0\0\0\x0cJXL \r\n\x87\n";

/// Bytes fed to the decoder between checks of the limits.
const CHUNK: usize = 4096;

/// The most frames that are read.
const MAX_FRAMES: usize = 4096;

/// The most pixels of all layers, as a multiple of the pixels of the frames that they are blended to.
const LAYER_AREA: u64 = 8;

/// Frames that a frame can refer to (`save_as_reference`, 18181-1, F.2).
const REFERENCE_SLOTS: u64 = 4;

/// Bytes that the decoder may allocate besides the admitted memory.
const BASE_MEMORY: usize = 64 << 20;

/// The start of the message of `jxl-oxide` for an allocation beyond the limit. Its errors are boxed, and their types private.
const OUT_OF_MEMORY: &str = "failed to allocate";

/// Properties of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// In pixels, after orientation.
    pub(crate) width: u32,
    /// In pixels, after orientation.
    pub(crate) height: u32,
    /// Whether there is an alpha channel.
    pub(crate) has_alpha: bool,
    /// Bits a sample of the original; 32 for floating point.
    pub(crate) depth: u8,
    /// The profile of the pixels that [`Picture::frame`] returns; `None` is sRGB.
    pub(crate) icc: Option<Vec<u8>>,
    /// Whether the picture is grey. Its pixels are RGB all the same, but
    /// `icc`, if there is one, is then a profile of one channel.
    pub(crate) is_grey: bool,
    /// The colour primaries of an HDR picture, and its transfer characteristics, 16 (PQ) or 18 (HLG) (ITU-T H.273).
    pub(crate) hdr: Option<(u8, u8)>,
    /// Frames of the animation; 1 for a still.
    pub(crate) frames: u32,
    /// How often the animation plays.
    pub(crate) loops: Loops,
    /// Samples of a pixel that the decoder has, extra channels among them.
    pub(crate) samples_per_pixel: u32,
    /// Pixels that the decoder keeps besides those of the frames that are shown: of layers, and of frames that others refer to.
    pub(crate) extra_pixels: u64,
}

/// The error of a picture that the reader refused with that message.
pub(crate) fn failed(reason: String) -> Error {
    if reason.contains(OUT_OF_MEMORY) {
        return Error::Limit(format!("decoding it takes more memory than was estimated: {reason}"));
    }
    Error::malformed(Format::Jxl, reason)
}

/// Reads the header without decoding pixels.
///
/// # Errors
///
/// A message for the log where the file is not JPEG XL, is damaged or cut, or
/// is CMYK.
pub(crate) fn probe(bytes: &[u8]) -> Result<Header> {
    let image = load(&codestream(bytes)?, &AllocTracker::with_limit(BASE_MEMORY))?;
    read_header(&image)
}

/// A picture whose first frames can be decoded. The decoder keeps all that were.
pub(crate) struct Picture<'a> {
    image: JxlImage,
    header: &'a Header,
}

impl<'a> Picture<'a> {
    /// Opens a picture to decode its first `frames` frames in so many bytes of memory.
    ///
    /// `header` is what [`probe`] returned for the same bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`] where its layers have many times the pixels of its frames; [`Error::Malformed`] where it is damaged.
    pub(crate) fn open(bytes: &[u8], header: &'a Header, frames: u32, memory: u64) -> std::result::Result<Self, Error> {
        let tracker = AllocTracker::with_limit(BASE_MEMORY);
        let image = codestream(bytes).and_then(|codestream| load(&codestream, &tracker));
        let mut image = image.map_err(failed)?;
        if read_header(&image).map_err(failed)? != *header {
            return Err(failed("the header belongs to another file".into()));
        }
        let pixels = u64::from(header.width) * u64::from(header.height) * u64::from(frames);
        let area = layer_area(&image, frames);
        if area > pixels.saturating_mul(LAYER_AREA) {
            return Err(Error::Limit(format!("its layers have {area} pixels together, its frames {pixels}")));
        }
        tracker.expand_limit(usize::try_from(memory).unwrap_or(usize::MAX / 2));
        if let Some(encoding) = output_encoding(&image) {
            image.request_color_encoding(encoding);
        }
        Ok(Self { image, header })
    }

    /// Decodes a frame, oriented. Files of up to 8 bits give 8-bit samples, deeper ones 16-bit samples. Runs on the calling thread.
    ///
    /// # Errors
    ///
    /// A message for [`failed`] where the frame takes more memory than there is, or is damaged.
    pub(crate) fn frame(&self, number: u32) -> Result<Decoded> {
        let Self { image, header } = self;
        let render = image.render_frame(number as usize).map_err(|error| error.to_string())?;
        let samples = if header.depth > 8 {
            interleave::<u16>(&render, header).map(Samples::Sixteen)
        } else {
            interleave::<u8>(&render, header).map(Samples::Eight)
        };
        Ok(Decoded {
            width: header.width,
            height: header.height,
            channels: if header.has_alpha { 4 } else { 3 },
            premultiplied: header.has_alpha && is_premultiplied(image),
            samples: samples?,
        })
    }

    /// Milliseconds from the first frame to the end of frame `number`, to the nearest.
    pub(crate) fn end(&self, number: u32) -> u64 {
        let Some(animation) = &self.image.image_header().metadata.animation else { return 0 };
        let headers = (0..=number as usize).filter_map(|number| self.image.frame_header(number));
        let ticks = headers.map(|header| u64::from(header.duration)).sum();
        milliseconds(ticks, animation.tps_numerator, animation.tps_denominator)
    }
}

/// Milliseconds of so many ticks, to the nearest; a second has `numerator / denominator` ticks (18181-1, D.3.3).
fn milliseconds(ticks: u64, numerator: u32, denominator: u32) -> u64 {
    let per_second = u128::from(numerator);
    let milliseconds = u128::from(ticks) * u128::from(denominator) * 1000 + per_second / 2;
    u64::try_from(milliseconds.checked_div(per_second).unwrap_or(0)).unwrap_or(u64::MAX)
}

/// The codestream: the whole file, or the `jxlc` box or `jxlp` boxes of the container (18181-2, 9.8 and 9.9).
fn codestream(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    if bytes.starts_with(CODESTREAM_SIGNATURE) {
        return Ok(Cow::Borrowed(bytes));
    }
    let boxes = bytes.strip_prefix(CONTAINER_SIGNATURE).ok_or("not a JPEG XL file")?;
    let mut joined = Vec::new();
    for item in Boxes::new(Reader::new(boxes)) {
        let BoxRef { kind, mut body } = item.map_err(|_| "the JPEG XL container is truncated")?;
        match &kind {
            b"jxlc" => return Ok(Cow::Borrowed(body.0)),
            b"jxlp" => {
                let index = body.u32()?;
                joined.extend_from_slice(body.0);
                let is_last = index >> 31 == 1;
                if is_last {
                    return Ok(Cow::Owned(joined));
                }
            }
            _ => {}
        }
    }
    Err("no complete codestream".into())
}

/// The EXIF block of the first `Exif` box; `brob` boxes are not read.
pub(crate) fn exif(bytes: &[u8]) -> Option<&[u8]> {
    let boxes = Reader::new(bytes.strip_prefix(CONTAINER_SIGNATURE)?);
    exif::behind_offset(children(boxes, b"Exif").next()?.0)
}

/// Reads headers and stores frames, all of them, without decoding pixels.
fn load(codestream: &[u8], tracker: &AllocTracker) -> Result<JxlImage> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| error.to_string();
    let mut loading = JxlImage::builder().alloc_tracker(tracker.clone()).build_uninit();
    let mut position = 0;
    let mut chunk = CHUNK;
    let mut image = loop {
        let end = codestream.len().min(position + chunk);
        let consumed = loading.feed_bytes(&codestream[position..end]).map_err(failed)?;
        position += consumed;
        match loading.try_init().map_err(failed)? {
            InitializeResult::Initialized(image) => break image,
            InitializeResult::NeedMoreData(_) if position == codestream.len() || consumed == 0 => {
                return Err("the JPEG XL header is truncated".into());
            }
            InitializeResult::NeedMoreData(more) => loading = more,
        }
        // each try starts over, so the steps grow: ICC profiles can be long
        chunk *= 2;
    };
    while !image.is_loading_done() && image.num_loaded_frames() < MAX_FRAMES {
        let end = codestream.len().min(position + CHUNK);
        let consumed = image.feed_bytes(&codestream[position..end]).map_err(failed)?;
        if consumed == 0 {
            return Err("the JPEG XL data are truncated".into());
        }
        position += consumed;
    }
    if image.num_loaded_keyframes() == 0 {
        return Err("no JPEG XL frame".into());
    }
    if !image.is_loading_done() && image.num_loaded_keyframes() > 1 {
        return Err(format!("more than {MAX_FRAMES} JPEG XL frames"));
    }
    Ok(image)
}

fn read_header(image: &JxlImage) -> Result<Header> {
    let metadata = &image.image_header().metadata;
    if metadata.colour_encoding.want_icc() && image.original_icc().is_none() {
        // jxl-oxide would panic on it
        return Err("empty ICC profile".into());
    }
    let channels = &metadata.ec_info;
    let is_black = |ty: &ExtraChannelType| matches!(ty, ExtraChannelType::Black);
    if image.pixel_format().has_black() || channels.iter().any(|channel| is_black(&channel.ty)) {
        return Err("CMYK is not supported".into());
    }
    let depth = match metadata.bit_depth {
        // PQ and HLG need more than 8 bits, whatever the samples were before they became XYB
        _ if hdr_type(image).is_some() => 16,
        BitDepth::IntegerSample { bits_per_sample } => bits_per_sample.min(32) as u8,
        BitDepth::FloatSample { .. } => 32,
    };
    let icc = match output_encoding(image) {
        Some(_) => None,
        None => image.original_icc().map(<[u8]>::to_vec),
    };
    Ok(Header {
        width: image.width(),
        height: image.height(),
        has_alpha: image.pixel_format().has_alpha(),
        depth,
        icc,
        is_grey: metadata.grayscale(),
        hdr: hdr_type(image).map(|hdr| (hdr_encoding(image, hdr).1, if hdr == HdrType::Pq { 16 } else { 18 })),
        frames: image.num_loaded_keyframes() as u32,
        loops: match metadata.animation.as_ref().map_or(0, |animation| animation.num_loops) {
            0 => Loops::Forever,
            plays => Loops::Times(plays.try_into().unwrap_or(u16::MAX)),
        },
        samples_per_pixel: samples_per_pixel(image),
        extra_pixels: extra_pixels(image),
    })
}

/// The HDR transfer function of the original, unless it is converted by its embedded profile.
fn hdr_type(image: &JxlImage) -> Option<HdrType> {
    let metadata = &image.image_header().metadata;
    let is_by_profile = metadata.colour_encoding.want_icc() && !metadata.xyb_encoded;
    image.hdr_type().filter(|_| !is_by_profile)
}

/// The encoding to render an HDR picture in, and its primaries (ITU-T H.273, table 2): the original's own, or those of sRGB, to which
/// XYB is decoded. `jxl-oxide` would clip the colours to one set of primaries on the way to another.
fn hdr_encoding(image: &JxlImage, hdr: HdrType) -> (EnumColourEncoding, u8) {
    let metadata = &image.image_header().metadata;
    let intent = RenderingIntent::Relative;
    if let ColourEncoding::Enum(own) = &metadata.colour_encoding
        && !metadata.xyb_encoded
    {
        match (own.white_point, own.primaries) {
            (WhitePoint::D65, Primaries::Bt2100) => return (own.clone(), 9),
            (WhitePoint::D65, Primaries::P3) => return (own.clone(), 12),
            _ => {}
        }
    }
    let tf = if hdr == HdrType::Pq { TransferFunction::Pq } else { TransferFunction::Hlg };
    let (grey, colour) = (EnumColourEncoding::gray_srgb(intent), EnumColourEncoding::srgb(intent));
    (EnumColourEncoding { tf, ..if metadata.grayscale() { grey } else { colour } }, 1)
}

/// The encoding to render in: sRGB, that of HDR, or `None` where the samples are in the
/// space of an embedded profile, which takes a colour management system.
fn output_encoding(image: &JxlImage) -> Option<EnumColourEncoding> {
    let metadata = &image.image_header().metadata;
    if metadata.colour_encoding.want_icc() && !metadata.xyb_encoded {
        return None;
    }
    let intent = RenderingIntent::Relative;
    Some(match hdr_type(image) {
        Some(hdr) => hdr_encoding(image, hdr).0,
        None if metadata.grayscale() => EnumColourEncoding::gray_srgb(intent),
        None => EnumColourEncoding::srgb(intent),
    })
}

fn samples_per_pixel(image: &JxlImage) -> u32 {
    // alpha is counted in any case: pictures without extra channels take as much
    3 + image.image_header().metadata.ec_info.len().max(1) as u32
}

/// Pixels that the decoder keeps besides those of the frames that are shown. A layer that was blended is as large as the picture,
/// and is kept until another one takes its reference slot.
fn extra_pixels(image: &JxlImage) -> u64 {
    let canvas = u64::from(image.width()) * u64::from(image.height());
    let (mut others, mut layers, mut most_layers) = (0_u64, 0_u64, 0_u64);
    for frame in (0..image.num_loaded_frames()).filter_map(|index| image.frame(index)) {
        let header = frame.header();
        if header.is_keyframe() {
            layers = 0;
        } else if header.frame_type.is_normal_frame() {
            layers += 1;
            most_layers = most_layers.max(layers);
        } else {
            let (width, height) = (header.sample_width(1), header.sample_height(1));
            others = others.saturating_add(u64::from(width) * u64::from(height));
        }
    }
    others.saturating_add(canvas.saturating_mul(most_layers.min(REFERENCE_SLOTS)))
}

/// Whether the first alpha channel is associated (18181-1, C.6).
fn is_premultiplied(image: &JxlImage) -> bool {
    image
        .image_header()
        .metadata
        .ec_info
        .iter()
        .find_map(|channel| match channel.ty {
            ExtraChannelType::Alpha { alpha_associated } => Some(alpha_associated),
            _ => None,
        })
        .unwrap_or(false)
}

/// Pixels of all layers that the first `frames` frames are blended from.
fn layer_area(image: &JxlImage, frames: u32) -> u64 {
    let last = image.frame_by_keyframe(frames.saturating_sub(1) as usize).map_or(0, |frame| frame.index());
    (0..=last)
        .filter_map(|index| image.frame(index))
        .map(|frame| u64::from(frame.header().width) * u64::from(frame.header().height))
        .fold(0, u64::saturating_add)
}

/// The frame as RGB or RGBA samples; grey is repeated.
fn interleave<S>(render: &Render, header: &Header) -> Result<Vec<S>>
where
    S: FrameBufferSample + Copy + Default,
{
    let mut stream = render.stream();
    if (stream.width(), stream.height()) != (header.width, header.height) {
        return Err("frame is not of the picture's size".into());
    }
    let coded = stream.channels() as usize;
    let pixels = header.width as usize * header.height as usize;
    let mut samples = vec![S::default(); pixels * coded];
    stream.write_to_buffer(&mut samples);
    match (coded, header.has_alpha) {
        (3, false) | (4, true) => Ok(samples),
        (1, false) | (2, true) => Ok(grey_to_rgb(&samples, coded)),
        (channels, _) => Err(format!("frame of {channels} channels")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may fail
mod tests {
    use super::*;

    #[test]
    fn codestream_is_found_in_its_container() {
        let part = |index: u32, bytes: &[u8]| {
            let size = (12 + bytes.len() as u32).to_be_bytes();
            [&size[..], b"jxlp", &index.to_be_bytes(), bytes].concat()
        };
        let file = [CONTAINER_SIGNATURE, &part(0, b"ab"), &part(1 << 31 | 1, b"cd")].concat();
        assert_eq!(codestream(&file).unwrap(), &b"abcd"[..]);
        let cut = [CONTAINER_SIGNATURE, &part(0, b"ab")].concat();
        assert!(codestream(&cut).is_err());
    }

    #[test]
    fn allocation_beyond_the_limit_is_no_damage() {
        let refused = AllocTracker::with_limit(9).alloc::<u8>(10).unwrap_err();
        assert!(matches!(failed(format!("frame error: {refused}")), Error::Limit(_)));
        assert!(matches!(failed("invalid Rct transform parameters".into()), Error::Malformed { .. }));
    }

    #[test]
    fn ticks_are_rounded_to_milliseconds() {
        let table = [
            ((0, 1000, 1), 0),
            ((7, 1000, 1), 7),
            ((1, 30, 1), 33),
            ((2, 30, 1), 67),
            ((1, 2000, 1), 1),
            ((1, 30_000, 1001), 33),
            ((9, 0, 1), 0),
            ((u64::MAX, 1, u32::MAX), u64::MAX),
        ];
        for ((ticks, numerator, denominator), expected) in table {
            assert_eq!(milliseconds(ticks, numerator, denominator), expected, "{ticks} {numerator}/{denominator}");
        }
    }

    #[test]
    fn exif_is_found_in_its_box() {
        let exif_box = |body: &[u8]| [&(8 + body.len() as u32).to_be_bytes()[..], b"Exif", body].concat();
        let other = b"\0\0\0\x09free!";
        let file = [CONTAINER_SIGNATURE, other, &exif_box(b"\0\0\0\x01!MM"), &exif_box(b"\0\0\0\0II")].concat();
        assert_eq!(exif(&file), Some(&b"MM"[..]));
        assert_eq!(exif(&[CONTAINER_SIGNATURE, other].concat()), None);
        assert_eq!(exif(b"II"), None);
    }

    #[test]
    fn noise_is_an_error() {
        for bytes in [&b""[..], b"\xff\x0a", &[0xff; 64], CONTAINER_SIGNATURE] {
            assert!(probe(bytes).is_err());
        }
    }
}

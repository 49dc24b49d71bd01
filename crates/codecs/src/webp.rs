//! WebP: read through the crate `image-webp`, which is Rust all through, written through libwebp (crate `webp`). Pictures
//! that are coded with loss are read by `tintype-vp8` where they are opaque or made smaller, which takes half of that crate's time, and
//! less. Files are taken apart by `container.rs`, and of pictures that are damaged the rows that came are read by `tintype-vp8` and
//! `vp8l.rs`.

mod alpha;
#[cfg(test)]
mod cases;
mod container;
mod moving;
mod vp8l;

use std::borrow::Cow;

use ::webp::WebPConfig;
use image_webp::WebPDecoder;
use image_webp::vp8::Vp8Decoder;

use container::{Container, Image};
use tintype_codec_sys::libwebp;
use tintype_vp8::{self as vp8, ScaledPlanes};

use super::canvas::Area;
use crate::codec::{Codec, KeepGoing, Sink};
use crate::encoding::{Effort, Encoding};
use crate::picture::{Picture, Shown};
use tintype_pixels::colour::{ColourModel, Profile};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::{DctScale, Size};
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity, Loops, PixelLayout};
use tintype_pixels::{ChromaSubsampling, Pixels, Planes, Samples};

/// Reads and writes WebP.
pub(crate) struct WebP;

const FORMAT: Format = Format::WebP;

/// The scales at which lossy pictures are decoded: by box means, of two, four or eight pixels a side.
const SCALES: [DctScale; 4] = [DctScale::new(1), DctScale::new(2), DctScale::new(4), DctScale::FULL];

/// libwebp's method, 0 to 6. At equal SSIMULACRA2, 2 takes 0.4 of the work of 4, which is libwebp's default, for 5 to 7
/// percent more bytes; 6 takes twice that of 4 for 2 to 4 percent fewer. Its other knobs are best left as they are at
/// method 2: fewer segments, weaker or stronger filters and noise shaping all cost bytes.
fn method(effort: Effort) -> i32 {
    match effort {
        Effort::Fast => 2,
        Effort::Dense => 6,
    }
}

/// What the decoder may allocate besides the pixels: profiles and metadata.
const HEADROOM: usize = 16 << 20;

fn failed(error: image_webp::DecodingError) -> Error {
    Error::malformed(FORMAT, error)
}

impl Codec for WebP {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let container = Container::read(original)?;
        let mut info = Info::new(FORMAT, container.size).with_exif(container.exif.map(<[u8]>::to_vec));
        info = info.with_profile(profile(&container).as_ref());
        info.has_metadata |= container.has_others;
        match container.shown {
            container::Shown::Moving { frames, plays } => {
                info.frames = frames;
                info.loops = if plays == 0 { Loops::Forever } else { Loops::Times(plays) };
                // frames need not cover the canvas
                info.has_alpha = true;
                info.caps.memory = DecodeMemory { per_stored_pixel: 3.0, per_decoded_pixel: 20.0 };
            }
            container::Shown::Still(image) => {
                info.has_alpha = image.has_alpha();
                info.caps.memory = DecodeMemory { per_stored_pixel: 3.0, per_decoded_pixel: 8.0 };
                if let Image::Lossy { alpha, .. } = image {
                    info.caps.scales = &SCALES;
                    (info.caps.scale_margin, info.caps.has_loop_filter) = (1.25, true);
                    // the planes of the library, where it has to read the picture, and an alpha that is coded as a colour
                    let per_stored_pixel = if alpha.is_some() { 6.6 } else { 1.6 };
                    info.caps.memory = DecodeMemory { per_stored_pixel, per_decoded_pixel: 9.4 };
                }
            }
        }
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        let container = Container::read(original)?;
        let profile = profile(&container);
        let (scale, memory) = (options.scale, admitted.memory() as usize);
        let image = match container.shown {
            container::Shown::Still(image) => image,
            // where one frame is asked for it need not cover the canvas, either
            container::Shown::Moving { .. } => {
                return moving::frames(&container, admitted.frames(), memory, &mut |pixels, delay| {
                    sink(Decoded { delay, ..Decoded::still(pixels, profile.clone()) })
                });
            }
        };
        match image {
            Image::Lossy { frame, alpha: None } if options.layout == PixelLayout::YCbCr => {
                let (planes, integrity) = planes(frame, info.size, scale, !options.skip_loop_filter)?;
                let samples = Samples::Planes(planes);
                let kept = integrity.clone();
                sink(Decoded { samples, profile, scale, origin: (0, 0), delay: 0, integrity: kept })?;
                Ok(integrity)
            }
            Image::Lossy { frame, alpha: Some(alpha) } if options.skip_loop_filter => {
                let (pixels, integrity) = alpha::reduced(frame, alpha, info.size, scale, memory)?;
                sink(Decoded { scale, ..Decoded::still(pixels, profile) })?;
                Ok(integrity)
            }
            image => {
                let (pixels, integrity) = whole(&image, info.size, memory)?;
                sink(Decoded::still(pixels, profile))?;
                Ok(integrity)
            }
        }
    }

    fn accepts_ycbcr(&self, size: Size, _encoding: Encoding) -> bool {
        size.pixels() > TRY_BOTH
    }

    fn has_end(&self, original: &[u8]) -> bool {
        container::riff_length(original).is_some_and(|length| original.len() as u64 >= length)
    }

    fn encode(&self, picture: &Picture, keep_going: KeepGoing<'_>) -> Result<Vec<u8>> {
        let config = config(picture)?;
        let (has_alpha, webp) = match &picture.shown {
            Shown::Planes(planes) => (false, encode(&libwebp::Input::Planes(&narrowed(planes)), &config, keep_going)?),
            Shown::Frames(frames) => match &frames[..] {
                [one] => (one.pixels.has_alpha(), still(&one.pixels, &config, keep_going)?),
                _ => return animated(picture, &config, keep_going),
            },
        };
        if picture.exif.is_none() && picture.profile.is_none() {
            return Ok(webp);
        }
        Ok(extended(picture, has_alpha, None, bitstream(&webp)))
    }
}

/// Up to so many pixels, both ways of coding are tried: icons and thumbnails of few colours are often smaller without
/// loss, and lossy coding halves the resolution of their colours.
const TRY_BOTH: u64 = 64 * 64;

/// So many bytes more are worth having every pixel right; they all go in one packet.
const WORTH: usize = 256;

fn still(pixels: &Pixels, config: &WebPConfig, keep_going: KeepGoing<'_>) -> Result<Vec<u8>> {
    let asked = encode(&libwebp::Input::Packed(pixels), config, keep_going)?;
    if config.lossless == 1 || pixels.size.pixels() > TRY_BOTH {
        return Ok(asked);
    }
    let mut lossless = *config;
    set_lossless(&mut lossless);
    let exact = encode(&libwebp::Input::Packed(pixels), &lossless, keep_going)?;
    Ok(if exact.len() <= asked.len() + WORTH { exact } else { asked })
}

fn encode(shown: &libwebp::Input<'_>, config: &WebPConfig, keep_going: KeepGoing<'_>) -> Result<Vec<u8>> {
    libwebp::encode(shown, config, keep_going).map_err(|failure| match failure {
        libwebp::EncodeError::Cancelled => Error::Cancelled,
        libwebp::EncodeError::Library(reason) => Error::Encode { format: FORMAT, reason },
    })
}

/// The profile that counts: one of another kind of pixels does not.
fn profile(container: &Container<'_>) -> Option<Profile> {
    container.icc.filter(|icc| ColourModel::Rgb.is_of(icc)).and_then(Profile::from_icc)
}

/// A picture of that size at its full size, or the rows of it that came.
fn whole(image: &Image<'_>, size: Size, memory: usize) -> Result<(Pixels, Integrity)> {
    let failed = match by_library(image, size, memory) {
        Ok(pixels) => return Ok((pixels, Integrity::Whole)),
        Err(error) => error,
    };
    let (pixels, rows) = match *image {
        Image::Lossy { frame, alpha } => alpha::rows(frame, alpha, size, memory)?,
        Image::Lossless(data) => vp8l::rows(data, size)?,
    }
    .ok_or(failed)?;
    Ok((pixels, integrity(rows, size)))
}

/// Whether all is there of a picture of which so many rows came.
fn integrity(rows: u32, size: Size) -> Integrity {
    if rows >= size.height {
        return Integrity::Whole;
    }
    Integrity::Damaged(Cow::Owned(format!("the image data end or are damaged: {rows} of {} rows came", size.height)))
}

/// The picture as the library decodes it.
fn by_library(image: &Image<'_>, size: Size, memory: usize) -> Result<Pixels> {
    let mut decoder = WebPDecoder::new(image.file(size)).map_err(failed)?;
    decoder.set_memory_limit(memory + HEADROOM);
    if image.size()? != size || decoder.dimensions() != (size.width, size.height) {
        return Err(Error::malformed(FORMAT, "it states two different sizes"));
    }
    let length = decoder.output_buffer_size().ok_or_else(|| Error::malformed(FORMAT, "it is too large"))?;
    let mut samples = vec![0; length];
    decoder.read_image(&mut samples).map_err(failed)?;
    Pixels::new(FORMAT, size, if decoder.has_alpha() { 4 } else { 3 }, samples)
}

/// The planes in full range of a frame of that size, at that scale; at full size the edges between blocks
/// may be smoothed.
fn planes(frame: &[u8], size: Size, scale: DctScale, smooths: bool) -> Result<(Planes, Integrity)> {
    let (planes, rows) = if scale == DctScale::FULL {
        whole_planes(frame, size, smooths)?
    } else {
        let (kept, rows) = reduced_planes(frame, size, smooths, ScaledPlanes::new(size, scale))?;
        (kept.planes, rows)
    };
    let integrity = integrity(rows, size);
    // rows are of whole macroblocks of 16 by 16 pixels (RFC 6386 §2)
    let stored = (size.width.next_multiple_of(16) / 8 * scale.eighths()) as usize;
    let size = size.scaled(scale);
    let (luma, chroma) = Planes::stored(size, Some(ChromaSubsampling::S420));
    let mut data = Vec::with_capacity(Planes::bytes(size, Some(ChromaSubsampling::S420)));
    let kinds = [(stored, luma, &LUMA), (stored / 2, chroma, &CHROMA), (stored / 2, chroma, &CHROMA)];
    for (plane, (stored, size, widened)) in planes.iter().zip(kinds) {
        for row in plane.chunks_exact(stored).take(size.height as usize) {
            data.extend(row[..size.width as usize].iter().map(|&level| widened[usize::from(level)]));
        }
    }
    Ok((Planes::new(size, Some(ChromaSubsampling::S420), data).edges_repeated(), integrity))
}

/// Y, Cb and Cr of a frame with rows of whole macroblocks, and how many rows of the picture came: by its own decoder, or else by
/// the library, or else as far as they go.
fn whole_planes(frame: &[u8], size: Size, smooths: bool) -> Result<([Vec<u8>; 3], u32)> {
    if let Some(planes) = vp8::decode_planes(frame, size, smooths) {
        return Ok((planes, size.height));
    }
    check_size(frame, size)?;
    match Vp8Decoder::decode_frame(frame) {
        Ok(frame) => Ok(([frame.ybuf, frame.ubuf, frame.vbuf], size.height)),
        Err(error) => vp8::decode_partial(frame, size, smooths).ok_or_else(|| failed(error)),
    }
}

/// The same made smaller.
fn reduced_planes(frame: &[u8], size: Size, smooths: bool, to: ScaledPlanes) -> Result<(ScaledPlanes, u32)> {
    let mut to = match vp8::decode_scaled(frame, to) {
        Ok(kept) => return Ok((kept, size.height)),
        Err(to) => to,
    };
    let (planes, rows) = whole_planes(frame, size, smooths)?;
    to.hide_below(rows);
    for (number, plane) in planes.iter().enumerate() {
        let side = vp8::macroblock_side(number);
        let row = size.width.div_ceil(16) as usize * side * side;
        plane.chunks_exact(row).enumerate().for_each(|(y, rows)| to.add_row(number, y, rows));
    }
    Ok((to, rows))
}

/// A frame larger than the container says would take memory that was not reckoned with.
fn check_size(frame: &[u8], size: Size) -> Result<()> {
    match (Image::Lossy { frame, alpha: None }).size() {
        Ok(stated) if stated != size => Err(Error::malformed(FORMAT, "it states two different sizes")),
        stated => stated.map(|_| ()),
    }
}

/// What levels of luma and of chroma are in full range: [`narrowed`] the other way round, to nearest, what lies outside
/// cut off.
const LUMA: [u8; 256] = widened(16, 219);
const CHROMA: [u8; 256] = widened(128, 224);

/// `middle` stays where it stays in [`narrowed`], and `steps` become 255.
const fn widened(middle: i32, steps: i32) -> [u8; 256] {
    let mut levels = [0; 256];
    let mut level = 0;
    while level < 256 {
        let from_middle = (level - middle) * 255;
        let half = if from_middle < 0 { -steps } else { steps };
        let kept = if middle == 16 { 0 } else { middle };
        let wide = (2 * from_middle + half) / (2 * steps) + kept;
        levels[level as usize] = if wide < 0 {
            0
        } else if wide > 255 {
            255
        } else {
            wide as u8
        };
        level += 1;
    }
    levels
}

/// The planes in the range that WebP has them in: 16 to 235 for luma and 16 to 240 for chroma (RFC 6386 §9.2, BT.601).
fn narrowed(planes: &Planes) -> Planes {
    let mut narrow = planes.clone();
    let (luma, chroma) = narrow.samples_mut();
    luma.iter_mut().for_each(|y| *y = narrow_luma(*y));
    chroma.iter_mut().for_each(|c| *c = narrow_chroma(*c));
    narrow
}

/// 219/255 in steps of 1/65536, and a half to round to nearest.
fn narrow_luma(y: u8) -> u8 {
    (((u32::from(y) * 56_284 + (1 << 15)) >> 16) + 16) as u8
}

/// 224/255 around the middle, which stays where it is.
fn narrow_chroma(c: u8) -> u8 {
    (((i32::from(c) - 128) * 57_569 + (128 << 16) + (1 << 15)) >> 16) as u8
}

fn config(picture: &Picture) -> Result<WebPConfig> {
    let mut config = WebPConfig::new()
        .map_err(|()| Error::Encode { format: FORMAT, reason: "libwebp has another version than its header".into() })?;
    config.method = method(picture.encoding.effort);
    if picture.lossless {
        set_lossless(&mut config);
    } else {
        config.quality = picture.quality;
        config.alpha_quality = 90;
    }
    Ok(config)
}

fn set_lossless(config: &mut WebPConfig) {
    config.lossless = 1;
    // here it is the effort, not the look
    config.quality = 75.0;
    // the colour under transparent pixels is part of what must survive
    config.exact = 1;
}

/// Every frame as a frame of its own, of which only the part that changed is stored.
///
/// libwebp's own assembler drops frames that look like the one before, and with them the count that a script may rely
/// on; its container is simple enough to write (RFC 9649 §2.7.1.1).
fn animated(picture: &Picture, config: &WebPConfig, keep_going: KeepGoing<'_>) -> Result<Vec<u8>> {
    let size = picture.first().size;
    let loops = match picture.loops {
        Loops::Forever => 0,
        Loops::Times(times) => times,
    };
    let mut body = Vec::new();
    let mut has_alpha = false;
    let mut before: Option<&Pixels> = None;
    for frame in picture.frames() {
        let area = before.map_or_else(|| Area { left: 0, top: 0, size }, |before| changed(before, &frame.pixels));
        let part = frame.pixels.cut(area.left, area.top, area.size).without_opaque_alpha();
        has_alpha |= part.has_alpha();
        let webp = still(&part, config, keep_going)?;
        let data = bitstream(&webp);
        // replaces what was there rather than being blended with it, and stays
        const REPLACE: u8 = 0x02;
        body.extend(b"ANMF");
        body.extend((data.len() as u32 + 16).to_le_bytes());
        for number in
            [area.left / 2, area.top / 2, area.size.width - 1, area.size.height - 1, frame.delay.min(0xFF_FFFF)]
        {
            body.extend(&number.to_le_bytes()[..3]);
        }
        body.push(REPLACE);
        body.extend(data);
        before = Some(&frame.pixels);
    }
    Ok(extended(picture, has_alpha, Some(loops), &body))
}

/// The part of a frame that differs from the one before, from even coordinates on as the container wants it; a single
/// pixel where nothing does.
fn changed(before: &Pixels, after: &Pixels) -> Area {
    let (mut left, mut right, mut top, mut bottom) = (u32::MAX, 0, u32::MAX, 0);
    for (y, (old, new)) in (0..).zip(before.rows().zip(after.rows())) {
        let differs = |x: &usize| !same_pixel(old, before.channels, new, after.channels, *x);
        let columns = after.size.width as usize;
        let Some(first) = (0..columns).find(differs) else { continue };
        let last = (0..columns).rev().find(differs).unwrap_or(first);
        left = left.min(first as u32);
        right = right.max(last as u32);
        top = top.min(y);
        bottom = y;
    }
    if top == u32::MAX {
        return Area { left: 0, top: 0, size: Size::new(1, 1) };
    }
    let (left, top) = (left & !1, top & !1);
    Area { left, top, size: Size::new(right + 1 - left, bottom + 1 - top) }
}

fn same_pixel(old: &[u8], old_channels: usize, new: &[u8], new_channels: usize, x: usize) -> bool {
    let alpha = |row: &[u8], channels: usize| if channels == 4 { row[x * 4 + 3] } else { 255 };
    old[x * old_channels..][..3] == new[x * new_channels..][..3] && alpha(old, old_channels) == alpha(new, new_channels)
}

/// The chunks of a still WebP that hold the picture: `VP8 ` or `VP8L`, and `ALPH` before the former.
fn bitstream(webp: &[u8]) -> &[u8] {
    let chunks = webp.get(12..).unwrap_or_default();
    // the header of the extended layout has 10 bytes behind its name and length
    if chunks.starts_with(b"VP8X") { chunks.get(18..).unwrap_or_default() } else { chunks }
}

/// A file in the extended layout: canvas, profile, animation parameters, the picture's chunks, EXIF (RFC 9649 §2.7).
fn extended(picture: &Picture, has_alpha: bool, loops: Option<u16>, chunks: &[u8]) -> Vec<u8> {
    let size = picture.size();
    let (profile, exif) = (picture.profile.as_deref(), picture.exif.as_deref());
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let mut out = Vec::new();
    let shown = flag(loops.is_some(), 0x02) | flag(has_alpha, ALPHA);
    let flags = shown | flag(exif.is_some(), 0x08) | flag(profile.is_some(), 0x20);
    put_chunk(&mut out, b"VP8X", &canvas_header(size, flags));
    if let Some(profile) = profile {
        put_chunk(&mut out, b"ICCP", profile);
    }
    if let Some(loops) = loops {
        out.extend(b"ANIM");
        out.extend(6u32.to_le_bytes());
        // a transparent background, which viewers ignore anyhow
        out.extend([0; 4]);
        out.extend(loops.to_le_bytes());
    }
    out.extend(chunks);
    if let Some(exif) = exif {
        put_chunk(&mut out, b"EXIF", exif);
    }
    riff(&out)
}

/// The flag that says that a picture has alpha.
const ALPHA: u8 = 0x10;

/// What is in the header of the extended layout.
fn canvas_header(size: Size, flags: u8) -> [u8; 10] {
    let [[a, b, c, _], [d, e, f, _]] = [size.width, size.height].map(|side| (side - 1).to_le_bytes());
    [flags, 0, 0, 0, a, b, c, d, e, f]
}

/// A file of those chunks.
fn riff(chunks: &[u8]) -> Vec<u8> {
    let mut file = b"RIFF".to_vec();
    file.extend((chunks.len() as u32 + 4).to_le_bytes());
    file.extend(b"WEBP");
    file.extend(chunks);
    file
}

/// Chunks have even lengths; the byte that makes up for an odd one is not counted.
fn put_chunk(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    out.extend(name);
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out.extend(std::iter::repeat_n(0, data.len() % 2));
}

#[cfg(test)]
mod testing {
    use super::container::{Container, Image, Shown};

    /// The chunks of a still picture that is coded with loss: its frame, and its alpha.
    pub(super) fn lossy(file: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        match Container::read(file).ok()?.shown {
            Shown::Still(Image::Lossy { frame, alpha }) => Some((frame, alpha)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image_webp::LoopCount;

    use super::*;
    use tintype_pixels::Frame;

    fn dot(x: usize) -> Pixels {
        let mut pixels = Pixels::filled(Size::new(20, 10), &[10, 200, 30]);
        pixels.data[(3 * 20 + x) * 3..][..3].copy_from_slice(&[250, 0, 0]);
        pixels
    }

    #[test]
    fn levels_are_widened_as_they_were_narrowed() {
        for level in 0..=255_u8 {
            assert!(LUMA[usize::from(narrow_luma(level))].abs_diff(level) <= 1, "{level}");
            assert!(CHROMA[usize::from(narrow_chroma(level))].abs_diff(level) <= 1, "{level}");
        }
        for level in 16..=235_u8 {
            assert_eq!(narrow_luma(LUMA[usize::from(level)]), level);
        }
        for level in 16..=240_u8 {
            assert_eq!(narrow_chroma(CHROMA[usize::from(level)]), level);
        }
        assert_eq!((LUMA[0], LUMA[16], LUMA[235], LUMA[255]), (0, 0, 255, 255));
        assert_eq!((CHROMA[0], CHROMA[16], CHROMA[128], CHROMA[240], CHROMA[255]), (0, 0, 128, 255, 255));
    }

    #[test]
    fn planes_are_of_the_colours_that_the_library_shows() {
        for (width, height) in [(1, 1), (2, 3), (16, 16), (17, 33), (63, 48), (130, 95)] {
            let size = Size::new(width, height);
            let sample = |at: u32| {
                let (x, y) = (at / 3 % width, at / 3 / width);
                (40 + [x, y, (x + y) / 2][at as usize % 3]) as u8
            };
            let pixels = Pixels { size, channels: 3, data: (0..width * height * 3).map(sample).collect() };
            let picture = Picture {
                shown: Shown::Frames(vec![Frame { pixels, delay: 0 }]),
                loops: Loops::Forever,
                quality: 90.0,
                lossless: false,
                encoding: Encoding::default(),
                exif: None,
                profile: None,
            };
            let config = config(&picture).expect("a configuration");
            let webp = encode(&libwebp::Input::Packed(picture.first()), &config, &mut || true).expect("encoded");
            let (frame, _) = testing::lossy(&webp).expect("coded with loss");
            let (planes, _) = planes(frame, size, DctScale::FULL, true).expect("planes");
            let (luma, stored) = planes.luma();
            let ([cb, cr], _) = planes.chroma();
            let mut decoder = WebPDecoder::new(Cursor::new(&webp)).expect("a WebP");
            let mut rgb = vec![0; decoder.output_buffer_size().expect("it fits")];
            decoder.read_image(&mut rgb).expect("a picture");
            let (mut off, mut worst) = (0, 0);
            for (at, theirs) in rgb.chunks_exact(3).enumerate() {
                let (x, y) = (at % width as usize, at / width as usize);
                let (luma, shared) = (luma.data[y * stored.width as usize + x], y / 2 * cb.stride + x / 2);
                let ours = tintype_pixels::ycbcr::to_rgb(&[luma], &[cb.data[shared]], &[cr.data[shared]]);
                for (a, b) in ours.iter().zip(theirs) {
                    off += u32::from(a.abs_diff(*b));
                    worst = worst.max(a.abs_diff(*b));
                }
            }
            // they put chroma between its samples
            assert!(f64::from(off) / rgb.len() as f64 <= 1.0 && worst <= 4, "{size}: {off} of {}, {worst}", rgb.len());
        }
    }

    #[test]
    fn frames_keep_their_number_delay_and_pixels() {
        let delays = [50, 100, 150, 70];
        let shown = [dot(5), dot(5), dot(17), Pixels::filled(Size::new(20, 10), &[0, 0, 0, 0])];
        let frames = shown.iter().zip(delays).map(|(pixels, delay)| Frame { pixels: pixels.clone(), delay }).collect();
        let picture = Picture {
            shown: Shown::Frames(frames),
            loops: Loops::Times(3),
            quality: 80.0,
            lossless: true,
            encoding: Encoding::default(),
            exif: None,
            profile: None,
        };
        let webp = WebP.encode(&picture, &mut || true).expect("encoded");
        let mut decoder = WebPDecoder::new(Cursor::new(&webp)).expect("a WebP");
        assert_eq!((decoder.num_frames(), decoder.dimensions()), (4, (20, 10)));
        assert_eq!(decoder.loop_count(), LoopCount::Times(3.try_into().expect("not 0")));
        let mut canvas = vec![0; decoder.output_buffer_size().expect("it fits")];
        for (frame, delay) in shown.iter().zip(delays) {
            assert_eq!(decoder.read_frame(&mut canvas).expect("a frame"), delay);
            let alpha = if frame.has_alpha() { 0 } else { 255 };
            assert!(canvas.chunks_exact(4).all(|pixel| pixel[3] == alpha));
            if alpha == 255 {
                let same = canvas.chunks_exact(4).zip(frame.data.chunks_exact(3)).all(|(a, b)| a[..3] == *b);
                assert!(same, "frame of {delay} ms");
            }
        }
    }

    #[test]
    fn ranges_are_narrowed_to_the_nearest_level() {
        for level in 0..=255_u8 {
            let exact = f64::from(level) * 219.0 / 255.0 + 16.0;
            assert_eq!(f64::from(narrow_luma(level)), exact.round(), "luma {level}");
            let exact = (f64::from(level) - 128.0) * 224.0 / 255.0 + 128.0;
            assert!((f64::from(narrow_chroma(level)) - exact).abs() <= 0.501, "chroma {level}");
        }
    }

    #[test]
    fn an_encoder_can_be_stopped() {
        let pixels = Pixels::filled(Size::new(300, 300), &[1, 2, 3]);
        let shown = Shown::Frames(vec![Frame { pixels, delay: 0 }]);
        let picture = Picture {
            shown,
            loops: Loops::Forever,
            quality: 80.0,
            lossless: false,
            encoding: Encoding::default(),
            exif: None,
            profile: None,
        };
        let mut asked = 0;
        let result = WebP.encode(&picture, &mut || {
            asked += 1;
            asked < 3
        });
        assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
        assert_eq!(asked, 3);
    }

    #[test]
    fn only_what_changed_is_stored() {
        let area = changed(&dot(5), &dot(17));
        assert_eq!((area.left, area.top, area.size), (4, 2, Size::new(14, 2)));
        assert_eq!(changed(&dot(5), &dot(5)).size, Size::new(1, 1));
    }
}

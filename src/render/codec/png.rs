//! PNG and APNG, through the crate `png`.
//!
//! Which of the chunks that state colours counts is fixed (PNG, third edition, §4.3): cICP over iCCP over sRGB over gAMA
//! with cHRM.
//!
//! Pictures of the most common kind are read by [`scanlines`].

mod scanlines;
mod unfilter;
mod write;

use std::borrow::Cow;
use std::io::{BufRead, Cursor, Seek};

use ::png::{BitDepth, BlendOp, ColorType, DisposeOp, Limits, Reader, Transformations};

use self::scanlines::Scanlines;
use super::canvas::{Area, Blend, Canvas, Dispose};
use super::{Codec, Cost, Decoded, GoOn, Info, Integrity, Loops, Picture, Plan, RowSink, Sink, Streamed};
use crate::render::error::{Error, Result};
use crate::render::format::Format;
use crate::render::geometry::Size;
use crate::render::ops::Rows;
use crate::render::ops::colour::{Narrowing, Profile};
use crate::render::pixels::{Pixels, grey_to_rgb};

/// Reads and writes PNG and APNG.
pub(crate) struct Png;

const FORMAT: Format = Format::Png;

/// Bytes before the first chunk.
const SIGNATURE: usize = 8;

/// What the decoder may allocate for chunks: profiles and metadata.
const CHUNKS: usize = 4 << 20;

/// What it holds of the data while it inflates them, beside a few rows.
const BUFFERED: usize = 1 << 20;

fn failed(error: ::png::DecodingError) -> Error {
    match error {
        ::png::DecodingError::LimitsExceeded => Error::Limit("its chunks take more memory than is allowed".into()),
        error => Error::malformed(FORMAT, error),
    }
}

fn open(original: &[u8], bytes: usize) -> Result<Reader<Cursor<Cow<'_, [u8]>>>> {
    let mut decoder = ::png::Decoder::new_with_limits(Cursor::new(header_first(original)), Limits { bytes });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.read_info().map_err(failed)
}

/// The file with its header where it belongs: some carry a comment before it, which every other decoder puts up with.
fn header_first(original: &[u8]) -> Cow<'_, [u8]> {
    let mut at = SIGNATURE;
    // length, type, data, checksum (PNG, third edition, §5.3); a lower-case letter marks what may be left out
    while let Some(&[a, b, c, d, kind, ..]) = original.get(at..at + 8) {
        if kind.is_ascii_uppercase() {
            break;
        }
        at = at.saturating_add(12).saturating_add(u32::from_be_bytes([a, b, c, d]) as usize);
    }
    match original.get(at..at + 8) {
        Some([.., b'I', b'H', b'D', b'R']) if at > SIGNATURE => {
            Cow::Owned([&original[..SIGNATURE], &original[at..]].concat())
        }
        _ => Cow::Borrowed(original),
    }
}

impl Codec for Png {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let reader = open(original, CHUNKS)?;
        let header = reader.info();
        let exif = header.exif_metadata.as_ref().map(|exif| exif.to_vec());
        let size = Size::new(header.width, header.height);
        let mut info = Info::new(FORMAT, size).with_exif(exif).with_profile(profile(header).as_ref());
        info.has_metadata |= has_other_chunks(original);
        let (kind, depth) = reader.output_color_type();
        info.has_alpha = matches!(kind, ColorType::Rgba | ColorType::GrayscaleAlpha);
        if let Some(animation) = header.animation_control {
            info.frames = animation.num_frames.max(1);
            info.loops = match animation.num_plays {
                0 => Loops::Forever,
                plays => Loops::Times(plays.min(u16::MAX.into()) as u16),
            };
        }
        info.streamed = streamed(&reader);
        let wide = if depth == BitDepth::Sixteen { 2.0 } else { 1.0 };
        let canvas = if info.frames > 1 { 20.0 } else { 0.0 };
        info.cost = Cost { per_stored_pixel: 0.1, per_decoded_pixel: 4.0 + 8.0 * wide + canvas };
        Ok(info)
    }

    fn decode(&self, original: &[u8], info: &Info, plan: &Plan<'_>, sink: Sink<'_>) -> Result<Integrity> {
        let mut reader = open(original, CHUNKS + plan.memory() as usize)?;
        let profile = profile(reader.info());
        if let Some(channels) = scanlines::channels(reader.info()) {
            let mut lines = Scanlines::new(header_first(original), reader.info())?;
            let mut samples = vec![0; lines.stride() * info.size.height as usize];
            lines.read(&mut samples)?;
            lines.finish()?;
            let (channels, samples) = if channels == 1 { (3, grey_to_rgb(&samples, 1)) } else { (channels, samples) };
            sink(Decoded::still(Pixels::new(FORMAT, info.size, channels, samples)?, profile))?;
            return Ok(Integrity::Whole);
        }
        let length = reader.output_buffer_size().ok_or_else(|| Error::malformed(FORMAT, "it is too large"))?;
        let mut samples = vec![0; length];
        // a picture that stands still is the one for viewers that know no animation
        if plan.frames == 1 {
            let shown = reader.next_frame(&mut samples).map_err(failed)?;
            samples.truncate(shown.buffer_size());
            let kind = Kind::of(shown.color_type, shown.bit_depth, profile);
            let (channels, data, profile) = (kind.channels, kind.to_rgb(samples), kind.left());
            sink(Decoded::still(Pixels::new(FORMAT, info.size, channels, data)?, profile))?;
            return Ok(Integrity::Whole);
        }
        let mut canvas = Canvas::new(info.size);
        // a default image without a frame control of its own is for viewers that do not know animation
        if reader.info().frame_control.is_none() {
            reader.next_frame(&mut samples).map_err(failed)?;
        }
        for _ in 0..plan.frames {
            let shown = reader.next_frame(&mut samples).map_err(failed)?;
            let control =
                *reader.info().frame_control().ok_or_else(|| Error::malformed(FORMAT, "a frame has no control"))?;
            let frame = samples[..shown.buffer_size()].to_vec();
            let kind = Kind::of(shown.color_type, shown.bit_depth, profile.clone());
            let size = Size::new(shown.width, shown.height);
            let rgba = Pixels::new(FORMAT, size, kind.channels, kind.to_rgb(frame))?.with_alpha().data;
            let left = kind.left();
            let area = Area { left: control.x_offset, top: control.y_offset, size };
            let blend = if control.blend_op == BlendOp::Source { Blend::Replace } else { Blend::Over };
            let dispose = match control.dispose_op {
                DisposeOp::None => Dispose::Keep,
                DisposeOp::Background => Dispose::Clear,
                DisposeOp::Previous => Dispose::Restore,
            };
            canvas.draw(area, &rgba, blend, dispose);
            // a denominator of 0 stands for 100 (§11.3.6.2)
            let per_second = if control.delay_den == 0 { 100 } else { u32::from(control.delay_den) };
            let delay = (u32::from(control.delay_num) * 1000 + per_second / 2) / per_second;
            sink(Decoded { delay, ..Decoded::still(canvas.shown(), left) })?;
        }
        Ok(Integrity::Whole)
    }

    fn stream(&self, original: &[u8], info: &Info, sink: RowSink<'_>) -> Result<Integrity> {
        let mut reader = open(original, CHUNKS + BUFFERED)?;
        let header = reader.info();
        let profile = profile(header);
        if scanlines::channels(header).is_some() {
            let mut lines = Scanlines::new(header_first(original), header)?;
            sink(&mut lines, profile)?;
            lines.finish()?;
            return Ok(Integrity::Whole);
        }
        let (colours, depth) = reader.output_color_type();
        let kind = Kind::of(colours, depth, profile);
        let left = kind.left();
        sink(&mut ByLibrary { reader: &mut reader, kind, size: info.size }, left)?;
        // what is left, and the end of the data
        while reader.next_row().map_err(failed)?.is_some() {}
        Ok(Integrity::Whole)
    }

    fn encode(&self, picture: &Picture, _go_on: GoOn<'_>) -> Result<Vec<u8>> {
        write::encode(picture)
    }
}

/// Rows of any kind, by the crate `png`.
struct ByLibrary<'a, R: BufRead + Seek> {
    reader: &'a mut Reader<R>,
    kind: Kind,
    size: Size,
}

impl<R: BufRead + Seek> Rows for ByLibrary<'_, R> {
    fn size(&self) -> Size {
        self.size
    }

    fn channels(&self) -> usize {
        self.kind.channels
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        for row in out.chunks_exact_mut(self.size.width as usize * self.kind.channels) {
            let next = self.reader.next_row().map_err(failed)?;
            let next = next.ok_or_else(|| Error::malformed(FORMAT, "it has fewer rows than its header says"))?;
            row.copy_from_slice(&self.kind.to_rgb(next.data().to_vec()));
        }
        Ok(())
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        for _ in 0..rows {
            self.reader.next_row().map_err(failed)?;
        }
        Ok(())
    }
}

/// How a still picture's rows come, if they come from the top.
fn streamed<R: BufRead + Seek>(reader: &Reader<R>) -> Option<Streamed> {
    let header = reader.info();
    if let Some(channels) = scanlines::channels(header) {
        let stride = header.width as usize * channels;
        // grey held whole is red, green and blue
        return Some(Streamed { channels: channels.max(3), held: (CHUNKS + scanlines::held(stride)) as u64 });
    }
    let (colours, _) = reader.output_color_type();
    let stride = reader.output_line_size(header.width)?;
    let fits = !header.interlaced && header.animation_control.is_none() && stride <= scanlines::LONGEST;
    // as it comes, in wide samples, converted, and narrowed
    let held = CHUNKS + BUFFERED + 24 * header.width as usize + 4 * stride;
    fits.then(|| Streamed { channels: Kind::channels_of(colours), held: held as u64 })
}

/// Whether there is anything in the file that is not the picture: texts, times, private chunks, bytes behind the end.
fn has_other_chunks(original: &[u8]) -> bool {
    const OF_THE_PICTURE: [&[u8; 4]; 17] = [
        b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD",
        b"pHYs", b"hIST", b"acTL", b"fcTL", b"fdAT",
    ];
    let mut at = 8;
    while let Some(&[a, b, c, d, ref kind @ ..]) = original.get(at..at + 8) {
        if !OF_THE_PICTURE.iter().any(|known| kind == known.as_slice()) {
            return true;
        }
        at = at.saturating_add(12).saturating_add(u32::from_be_bytes([a, b, c, d]) as usize);
    }
    at != original.len()
}

/// The colours that the chunks state, `None` for sRGB.
fn profile(header: &::png::Info<'_>) -> Option<Profile> {
    if let Some(cicp) = &header.coding_independent_code_points {
        return Profile::from_cicp(cicp.color_primaries, cicp.transfer_function);
    }
    if let Some(profile) = header.icc_profile.as_deref().and_then(Profile::from_icc) {
        return Some(profile);
    }
    if header.srgb.is_some() {
        return None;
    }
    // a gamma without primaries is half a statement, mostly left behind by old programs; image libraries ignore it
    let (gamma, points) = (header.gama_chunk?.into_value(), header.chrm_chunk?);
    let chromaticities =
        [points.white, points.red, points.green, points.blue].map(|(x, y)| (x.into_value(), y.into_value()));
    // 0.45455 with the primaries of sRGB is how files from before the sRGB chunk say sRGB
    if (gamma - 0.45455).abs() < 0.002 && is_srgb(chromaticities) {
        return None;
    }
    Profile::from_gamma(gamma, chromaticities)
}

fn is_srgb(points: [(f32, f32); 4]) -> bool {
    const SRGB: [(f32, f32); 4] = [(0.3127, 0.329), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06)];
    points.iter().zip(SRGB).all(|(a, b)| (a.0 - b.0).abs() < 0.002 && (a.1 - b.1).abs() < 0.002)
}

/// A layout of samples, and what makes 8-bit RGB or RGBA of it.
struct Kind {
    channels: usize,
    has_colour: bool,
    /// Of samples of 16 bits, which are converted to sRGB at their full precision.
    narrowing: Option<Narrowing>,
    profile: Option<Profile>,
}

impl Kind {
    fn of(colours: ColorType, depth: BitDepth, profile: Option<Profile>) -> Kind {
        let channels = Kind::channels_of(colours);
        let narrowing = (depth == BitDepth::Sixteen).then(|| Narrowing::new(channels, profile.as_ref()));
        Kind { channels, has_colour: matches!(colours, ColorType::Rgb | ColorType::Rgba), narrowing, profile }
    }

    fn channels_of(colours: ColorType) -> usize {
        if matches!(colours, ColorType::Rgba | ColorType::GrayscaleAlpha) { 4 } else { 3 }
    }

    /// The samples of whole pixels, big-endian where they are wide.
    fn to_rgb(&self, samples: Vec<u8>) -> Vec<u8> {
        let alpha = self.channels - 3;
        if let Some(narrowing) = &self.narrowing {
            let (pairs, _) = samples.as_chunks::<2>();
            let wide: Vec<u16> = pairs.iter().map(|&pair| u16::from_be_bytes(pair)).collect();
            return narrowing.apply(&if self.has_colour { wide } else { grey_to_rgb(&wide, alpha + 1) });
        }
        if self.has_colour { samples } else { grey_to_rgb(&samples, alpha + 1) }
    }

    /// The profile that the pixels are in after that.
    fn left(&self) -> Option<Profile> {
        self.profile.clone().filter(|_| self.narrowing.is_none())
    }
}

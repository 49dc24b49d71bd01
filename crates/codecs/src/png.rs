//! PNG and APNG. Decoded by the modules here, which are more lenient than the crate `png`, as browsers are (`header.rs` lists the
//! cases), and decode by rows; written by the crate `png`.

mod apng;
mod chunk;
mod header;
mod inflate;
mod interlace;
mod layout;
mod samples;
mod scanlines;
#[cfg(test)]
mod tests;
mod unfilter;
mod write;

use std::borrow::Cow;

use self::apng::{Frame, Frames};
use self::chunk::{Chunk, chunk};
use self::header::Header;
use self::samples::Samples;
use self::scanlines::Scanlines;
use super::canvas::Canvas;
use crate::codec::{Codec, RowSink, ShouldContinue, Sink};
use crate::encode_input::EncodeInput;
use tintype_pixels::Rows;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::Size;
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity, Loops, RowDecoding};
use tintype_pixels::{Pixels, pixels::grey_to_rgb};

/// Reads and writes PNG and APNG.
pub(crate) struct Png;

const FORMAT: Format = Format::Png;

impl Codec for Png {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let header = Header::read(original)?;
        let mut info = Info::new(FORMAT, header.size).with_exif(header.exif.clone());
        info = info.with_profile(header.profile.as_ref());
        info.has_metadata |= header.has_metadata;
        info.has_alpha = header.has_alpha();
        info.is_indexed = header.colour_type == ::png::ColorType::Indexed;
        if let Some(animation) = header.animation {
            info.frames = animation.frames;
            info.loops = match animation.plays {
                0 => Loops::Forever,
                plays => Loops::Times(plays.min(u16::MAX.into()) as u16),
            };
        }
        info.caps.rows = row_decoding(&header);
        let wide = if header.depth == 16 { 2.0 } else { 1.0 };
        let canvas = if info.frames > 1 { 20.0 } else { 0.0 };
        let stride = header.stride(header.size.width);
        // long scanlines are buffered one at a time, as stored and unfiltered
        let rows = if stride > scanlines::MAX_GROUPED { 5.0 * header.bits_per_pixel() as f64 / 8.0 } else { 0.0 };
        info.caps.memory = DecodeMemory { per_stored_pixel: 0.1, per_decoded_pixel: 4.0 + 8.0 * wide + canvas + rows };
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, _options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        let header = Header::read(original)?;
        // the static image need not be a frame of the animation
        if admitted.frames() > 1 {
            return decode_frames(original, &header, admitted.frames(), sink);
        }
        let samples = Samples::of(&header);
        let first = first_idat(original, &header)?;
        let (pixels, integrity) = decode_image(original, &first, &header, &samples, info.size)?;
        sink(Decoded::still(pixels, samples.profile()))?;
        Ok(integrity.and(check_truncation(original, &header)))
    }

    fn stream(&self, original: &[u8], admitted: &Admitted<'_>, sink: RowSink<'_>) -> Result<Integrity> {
        let info = admitted.info();
        let header = Header::read(original)?;
        let first = first_idat(original, &header)?;
        let (stride, samples) = (header.stride(info.size.width), Samples::of(&header));
        let bytes = (stride as u64 + 1) * u64::from(info.size.height);
        let lines = Scanlines::new(original, &first, &header, bytes, stride);
        let plain = plain_channels(&header);
        let mut rows = ImageRows { lines, samples: &samples, plain, size: info.size, position: 0, decoded: 0 };
        sink(&mut rows, samples.profile())?;
        // damage behind the requested rows is reported, too
        rows.skip(info.size.height - rows.position)?;
        let decoded = rows.decoded;
        integrity(rows.lines, decoded, info.size.height)
    }

    fn has_end(&self, original: &[u8]) -> bool {
        memchr::memmem::rfind(original, b"IEND").is_some()
    }

    fn encode(&self, picture: &EncodeInput, _should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
        write::encode(picture)
    }
}

fn first_idat(original: &[u8], header: &Header) -> Result<Chunk> {
    chunk(original, header.first_idat).ok_or_else(|| Error::malformed(FORMAT, "it ends before its first IDAT chunk"))
}

/// Samples of a pixel where unfiltered scanlines need no conversion but of grey to RGB.
fn plain_channels(header: &Header) -> Option<usize> {
    use ::png::ColorType;
    match header.colour_type {
        _ if header.depth != 8 || header.transparency.is_some() => None,
        ColorType::Grayscale => Some(1),
        ColorType::Rgb => Some(3),
        ColorType::Rgba => Some(4),
        _ => None,
    }
}

/// Decodes an image or frame of that size, as far as it is undamaged. Missing rows are black, or transparent where there is alpha.
fn decode_image(
    original: &[u8], first: &Chunk, header: &Header, samples: &Samples<'_>, size: Size,
) -> Result<(Pixels, Integrity)> {
    let (width, height) = (size.width as usize, size.height as usize);
    let stride = header.stride(size.width);
    if header.interlaced {
        let mut lines = Scanlines::new(original, first, header, interlace::bytes(header, size), stride);
        let mut data = vec![0; width * height * samples.channels];
        let any_row = interlace::read(&mut lines, header, samples, size, &mut data);
        let integrity = lines.finish();
        return match any_row {
            true => Ok((Pixels::new(FORMAT, size, samples.channels, data)?, integrity)),
            false => Err(no_rows(&integrity)),
        };
    }
    let bytes = (stride as u64 + 1) * u64::from(size.height);
    let mut lines = Scanlines::new(original, first, header, bytes, stride);
    let (data, decoded) = match plain_channels(header) {
        Some(channels) => {
            let mut data = vec![0; width * height * channels];
            let decoded = lines.read(&mut data);
            (if channels == 1 { grey_to_rgb(&data, 1) } else { data }, decoded)
        }
        None => {
            let mut data = Vec::with_capacity(width * height * samples.channels);
            let mut rows = vec![0; stride * ROWS_AT_ONCE.min(height)];
            let mut decoded = 0;
            while decoded < height {
                let wanted = ROWS_AT_ONCE.min(height - decoded);
                let read = lines.read(&mut rows[..wanted * stride]);
                let read_rows = rows.chunks_exact(stride).take(read);
                read_rows.for_each(|row| data.extend(samples.to_rgb(row, width)));
                decoded += read;
                if read < wanted {
                    break;
                }
            }
            data.resize(width * height * samples.channels, 0);
            (data, decoded)
        }
    };
    let integrity = integrity(lines, decoded as u32, size.height)?;
    Ok((Pixels::new(FORMAT, size, samples.channels, data)?, integrity))
}

/// Scanlines that are unfiltered together.
const ROWS_AT_ONCE: usize = 4;

/// The integrity of a picture of which `decoded` of `height` rows were decoded.
fn integrity(lines: Scanlines<'_>, decoded: u32, height: u32) -> Result<Integrity> {
    match lines.finish() {
        integrity if decoded == 0 => Err(no_rows(&integrity)),
        Integrity::Damaged(reason) if decoded < height => {
            Ok(Integrity::Damaged(Cow::Owned(format!("{reason}: {decoded} of {height} rows decoded"))))
        }
        integrity => Ok(integrity),
    }
}

/// The error for a picture without a decodable row.
fn no_rows(integrity: &Integrity) -> Error {
    match integrity {
        Integrity::Damaged(reason) => Error::malformed(FORMAT, format!("{reason}, and no row can be decoded")),
        Integrity::Whole => Error::malformed(FORMAT, "no row can be decoded"),
    }
}

/// Damage where the file ends before the last frame of the animation.
fn check_truncation(original: &[u8], header: &Header) -> Integrity {
    match header.animation.filter(|animation| animation.is_truncated(original)) {
        Some(animation) => {
            let (frames, stated) = (animation.frames, animation.stated);
            Integrity::Damaged(Cow::Owned(format!("it ends in or behind frame {frames} of {stated}")))
        }
        None => Integrity::Whole,
    }
}

/// Passes the first `count` frames, composed on the canvas, to the sink, up to the first damaged one. A damaged first frame is passed
/// as far as it was decoded.
fn decode_frames(original: &[u8], header: &Header, count: u32, sink: Sink<'_>) -> Result<Integrity> {
    let samples = Samples::of(header);
    let mut canvas = Canvas::new(header.size);
    let mut frames = Frames::of(original, header.size);
    for number in 0..count {
        let out_of_order = || Error::malformed(FORMAT, "its fcTL and fdAT chunks are out of order");
        let Frame { area, blend, disposal, delay, data } =
            frames.next().map_err(|_| out_of_order())?.ok_or_else(out_of_order)?;
        let decoded = decode_image(original, &data, header, &samples, area.size);
        let (pixels, integrity) = match decoded {
            Ok((_, Integrity::Damaged(reason))) if number > 0 => return Ok(Integrity::Damaged(reason)),
            Err(Error::Malformed { reason, .. }) if number > 0 => return Ok(Integrity::Damaged(Cow::Owned(reason))),
            decoded => decoded?,
        };
        canvas.draw(area, &pixels.with_alpha().data, blend, disposal);
        sink(Decoded { delay, ..Decoded::still(canvas.snapshot(), samples.profile()) })?;
        if integrity.is_damaged() {
            return Ok(integrity);
        }
    }
    Ok(check_truncation(original, header))
}

/// The rows of a still picture; missing ones are black, or transparent where there is alpha.
struct ImageRows<'a> {
    lines: Scanlines<'a>,
    samples: &'a Samples<'a>,
    /// As [`plain_channels`].
    plain: Option<usize>,
    size: Size,
    /// The next row.
    position: u32,
    /// Rows that were decoded.
    decoded: u32,
}

impl Rows for ImageRows<'_> {
    fn size(&self) -> Size {
        self.size
    }

    fn channels(&self) -> usize {
        self.plain.unwrap_or(self.samples.channels)
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        let (width, line) = (self.size.width as usize, self.size.width as usize * self.channels());
        let wanted = out.len() / line;
        let decoded = match self.plain {
            Some(_) => self.lines.read(out),
            None => {
                let stride = self.lines.stride();
                let mut rows = vec![0; stride * ROWS_AT_ONCE.min(wanted)];
                let mut decoded = 0;
                for to in out.chunks_mut(ROWS_AT_ONCE * line) {
                    let wanted = to.len() / line;
                    let read = self.lines.read(&mut rows[..wanted * stride]);
                    let pairs = to.chunks_exact_mut(line).zip(rows.chunks_exact(stride)).take(read);
                    pairs.for_each(|(to, row)| to.copy_from_slice(&self.samples.to_rgb(row, width)));
                    decoded += read;
                    if read < wanted {
                        break;
                    }
                }
                decoded
            }
        };
        out[decoded * line..].fill(0);
        self.position += wanted as u32;
        self.decoded += decoded as u32;
        Ok(())
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        let stride = self.lines.stride();
        let mut discarded = vec![0; stride * ROWS_AT_ONCE.min(rows as usize)];
        for at in (0..rows as usize).step_by(ROWS_AT_ONCE) {
            let count = ROWS_AT_ONCE.min(rows as usize - at);
            self.decoded += self.lines.read(&mut discarded[..count * stride]) as u32;
        }
        self.position += rows;
        Ok(())
    }
}

/// Row decoding is offered for still, non-interlaced pictures without huge scanlines.
fn row_decoding(header: &Header) -> Option<RowDecoding> {
    let stride = header.stride(header.size.width);
    let fits = !header.interlaced && header.animation.is_none() && stride <= scanlines::MAX_GROUPED;
    let channels = samples::channels(header);
    // the stored rows; one of them as 16-bit samples, converted, and as 8-bit samples
    let buffers = 24 * header.size.width as usize + (3 + ROWS_AT_ONCE) * stride;
    let converting = if plain_channels(header).is_some() { 0 } else { buffers };
    let memory = header::MAX_METADATA + scanlines::memory(stride) + converting;
    fits.then_some(RowDecoding { channels, memory: memory as u64 })
}

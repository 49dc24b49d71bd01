//! PNG and APNG: read by modules of its own, and written through the crate `png`.
//!
//! Files are read as leniently as browsers read them; `header.rs` lists what is an error and what is not.

mod animation;
#[cfg(test)]
mod cases;
mod header;
mod interlaced;
mod samples;
mod scanlines;
mod unfilter;
mod write;

use std::borrow::Cow;

use self::animation::{Frame, Frames};
use self::header::{Chunk, Header, chunk};
use self::samples::Samples;
use self::scanlines::Scanlines;
use super::canvas::Canvas;
use crate::codec::{Codec, KeepGoing, RowSink, Sink};
use crate::picture::Picture;
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
        info.has_metadata |= header.has_others;
        info.has_alpha = header.has_alpha();
        if let Some(animation) = header.animation {
            info.frames = animation.frames;
            info.loops = match animation.plays {
                0 => Loops::Forever,
                plays => Loops::Times(plays.min(u16::MAX.into()) as u16),
            };
        }
        info.caps.rows = streamed(&header);
        let wide = if header.depth == 16 { 2.0 } else { 1.0 };
        let canvas = if info.frames > 1 { 20.0 } else { 0.0 };
        let stride = header.stride(header.size.width);
        // a few rows are held as they are stored
        let rows = if stride > scanlines::LONGEST { 5.0 * header.bits() as f64 / 8.0 } else { 0.0 };
        info.caps.memory = DecodeMemory { per_stored_pixel: 0.1, per_decoded_pixel: 4.0 + 8.0 * wide + canvas + rows };
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, _options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        let header = Header::read(original)?;
        // a picture that stands still is the one for viewers that know no animation
        if admitted.frames() > 1 {
            return decode_frames(original, &header, admitted.frames(), sink);
        }
        let samples = Samples::of(&header);
        let (pixels, integrity) = picture(original, &first(original, &header)?, &header, &samples, info.size)?;
        sink(Decoded::still(pixels, samples.profile()))?;
        Ok(integrity.and(lost_frames(original, &header)))
    }

    fn stream(&self, original: &[u8], admitted: &Admitted<'_>, sink: RowSink<'_>) -> Result<Integrity> {
        let info = admitted.info();
        let header = Header::read(original)?;
        let first = first(original, &header)?;
        let (stride, samples) = (header.stride(info.size.width), Samples::of(&header));
        let bytes = (stride as u64 + 1) * u64::from(info.size.height);
        let lines = Scanlines::new(original, &first, &header, bytes, stride);
        let mut lines = Lines { lines, samples: &samples, plain: plain(&header), size: info.size, given: 0, came: 0 };
        sink(&mut lines, samples.profile())?;
        // damage behind the rows that were needed is found, too
        lines.skip(info.size.height - lines.given)?;
        let came = lines.came;
        integrity(lines.lines, came, info.size.height)
    }

    fn has_end(&self, original: &[u8]) -> bool {
        memchr::memmem::rfind(original, b"IEND").is_some()
    }

    fn encode(&self, picture: &Picture, _go_on: KeepGoing<'_>) -> Result<Vec<u8>> {
        write::encode(picture)
    }
}

/// The first chunk of image data.
fn first(original: &[u8], header: &Header) -> Result<Chunk> {
    chunk(original, header.data).ok_or_else(|| Error::malformed(FORMAT, "it ends before its image data"))
}

/// Samples of a pixel where rows are pixels as they are stored.
fn plain(header: &Header) -> Option<usize> {
    use ::png::ColorType;
    match header.colours {
        _ if header.depth != 8 || header.transparency.is_some() => None,
        ColorType::Grayscale => Some(1),
        ColorType::Rgb => Some(3),
        ColorType::Rgba => Some(4),
        _ => None,
    }
}

/// A picture of that size, as far as it comes; what does not is black, or transparent where pixels may be.
fn picture(
    original: &[u8], first: &Chunk, header: &Header, samples: &Samples<'_>, size: Size,
) -> Result<(Pixels, Integrity)> {
    let (width, height) = (size.width as usize, size.height as usize);
    let stride = header.stride(size.width);
    if header.interlaced {
        let mut lines = Scanlines::new(original, first, header, interlaced::bytes(header, size), stride);
        let mut data = vec![0; width * height * samples.channels];
        let any = interlaced::read(&mut lines, header, samples, size, &mut data);
        let integrity = lines.finish();
        // what came of the first pass is spread over the picture
        return match any {
            true => Ok((Pixels::new(FORMAT, size, samples.channels, data)?, integrity)),
            false => Err(nothing(&integrity)),
        };
    }
    let bytes = (stride as u64 + 1) * u64::from(size.height);
    let mut lines = Scanlines::new(original, first, header, bytes, stride);
    let (data, came) = match plain(header) {
        Some(channels) => {
            let mut data = vec![0; width * height * channels];
            let came = lines.read(&mut data);
            (if channels == 1 { grey_to_rgb(&data, 1) } else { data }, came)
        }
        None => {
            let mut data = Vec::with_capacity(width * height * samples.channels);
            let mut rows = vec![0; stride * AT_ONCE.min(height)];
            let mut came = 0;
            while came < height {
                let wanted = AT_ONCE.min(height - came);
                let read = lines.read(&mut rows[..wanted * stride]);
                let read_rows = rows.chunks_exact(stride).take(read);
                read_rows.for_each(|row| data.extend(samples.to_rgb(row, width)));
                came += read;
                if read < wanted {
                    break;
                }
            }
            data.resize(width * height * samples.channels, 0);
            (data, came)
        }
    };
    let integrity = integrity(lines, came as u32, size.height)?;
    Ok((Pixels::new(FORMAT, size, samples.channels, data)?, integrity))
}

/// Rows that are read together before they are converted.
const AT_ONCE: usize = 4;

/// Whether all is there, where so many rows of so many came.
fn integrity(lines: Scanlines<'_>, came: u32, height: u32) -> Result<Integrity> {
    match lines.finish() {
        integrity if came == 0 => Err(nothing(&integrity)),
        Integrity::Damaged(reason) if came < height => {
            Ok(Integrity::Damaged(Cow::Owned(format!("{reason}: {came} of {height} rows came"))))
        }
        integrity => Ok(integrity),
    }
}

/// The error of a picture of which no row came.
fn nothing(integrity: &Integrity) -> Error {
    match integrity {
        Integrity::Damaged(reason) => Error::malformed(FORMAT, format!("{reason}, and no row of it came")),
        Integrity::Whole => Error::malformed(FORMAT, "no row of it came"),
    }
}

/// Whether a file ends before its last frame.
fn lost_frames(original: &[u8], header: &Header) -> Integrity {
    match header.animation.filter(|animation| animation.is_cut_off(original)) {
        Some(animation) => {
            let (frames, stated) = (animation.frames, animation.stated);
            Integrity::Damaged(Cow::Owned(format!("it ends in or behind frame {frames} of {stated}")))
        }
        None => Integrity::Whole,
    }
}

/// Shows so many frames one after the other, up to the first that is damaged; of the first one what came.
fn decode_frames(original: &[u8], header: &Header, count: u32, sink: Sink<'_>) -> Result<Integrity> {
    let samples = Samples::of(header);
    let mut canvas = Canvas::new(header.size);
    let mut frames = Frames::of(original, header.size);
    for number in 0..count {
        let out_of_order = || Error::malformed(FORMAT, "its frames are out of order");
        let Frame { area, blend, dispose, delay, data } =
            frames.next().map_err(|_| out_of_order())?.ok_or_else(out_of_order)?;
        let decoded = picture(original, &data, header, &samples, area.size);
        let (pixels, integrity) = match decoded {
            Ok((_, Integrity::Damaged(reason))) if number > 0 => return Ok(Integrity::Damaged(reason)),
            Err(Error::Malformed { reason, .. }) if number > 0 => return Ok(Integrity::Damaged(Cow::Owned(reason))),
            decoded => decoded?,
        };
        canvas.draw(area, &pixels.with_alpha().data, blend, dispose);
        sink(Decoded { delay, ..Decoded::still(canvas.shown(), samples.profile()) })?;
        if integrity.is_damaged() {
            return Ok(integrity);
        }
    }
    Ok(lost_frames(original, header))
}

/// Rows of a still picture as they come, and black or transparent ones for those that do not.
struct Lines<'a> {
    lines: Scanlines<'a>,
    samples: &'a Samples<'a>,
    /// Samples of a pixel where rows are pixels as they are stored.
    plain: Option<usize>,
    size: Size,
    given: u32,
    came: u32,
}

impl Rows for Lines<'_> {
    fn size(&self) -> Size {
        self.size
    }

    fn channels(&self) -> usize {
        self.plain.unwrap_or(self.samples.channels)
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        let (width, line) = (self.size.width as usize, self.size.width as usize * self.channels());
        let wanted = out.len() / line;
        let came = match self.plain {
            Some(_) => self.lines.read(out),
            None => {
                let mut row = vec![0; self.lines.stride()];
                let mut rows = out.chunks_exact_mut(line);
                let mut came = 0;
                while let Some(to) = rows.next()
                    && self.lines.read(&mut row) == 1
                {
                    to.copy_from_slice(&self.samples.to_rgb(&row, width));
                    came += 1;
                }
                came
            }
        };
        out[came * line..].fill(0);
        self.given += wanted as u32;
        self.came += came as u32;
        Ok(())
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        let stride = self.lines.stride();
        // whole groups are read fastest
        let mut unseen = vec![0; stride * AT_ONCE.min(rows as usize)];
        for at in (0..rows as usize).step_by(AT_ONCE) {
            let count = AT_ONCE.min(rows as usize - at);
            self.came += self.lines.read(&mut unseen[..count * stride]) as u32;
        }
        self.given += rows;
        Ok(())
    }
}

/// How a still picture's rows come, if they come from the top.
fn streamed(header: &Header) -> Option<RowDecoding> {
    let stride = header.stride(header.size.width);
    let fits = !header.interlaced && header.animation.is_none() && stride <= scanlines::LONGEST;
    let channels = samples::channels(header);
    // as it comes, in wide samples, converted, and narrowed
    let converting = if plain(header).is_some() { 0 } else { 24 * header.size.width as usize + 4 * stride };
    let held = header::MOST + scanlines::held(stride) + converting;
    // grey held whole is red, green and blue
    fits.then_some(RowDecoding { channels, memory: held as u64 })
}

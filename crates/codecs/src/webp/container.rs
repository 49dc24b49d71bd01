//! The container of WebP: RIFF chunks (RFC 9649 §2.3 to §2.7).
//!
//! Files are read by the chunks that they have, whatever their order and the flags of `VP8X`, as browsers do:
//!
//! - the RIFF size is ignored where chunks with pixels end elsewhere;
//! - a chunk that a flag announces may be missing, and a chunk needs no flag, except `ALPH` of a lossy still picture, which is
//!   ignored without its flag;
//! - unknown chunks are skipped wherever they are, and so are FourCCs of optional chunks in lower case; those of chunks with
//!   pixels match in either case;
//! - the padding byte of an odd size may be missing;
//! - the canvas of a still picture is the size of its bitstream, whatever `VP8X` says.

use std::borrow::Cow;
use std::io::{self, BufRead, Read, Seek, SeekFrom};

use super::FORMAT;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::Size;

/// Bytes before the first chunk: `RIFF`, the length, and `WEBP`.
pub(super) const HEAD: usize = 12;

/// The length of a file by its RIFF header, in bytes, including the 8 bytes of that header.
pub(super) fn riff_length(original: &[u8]) -> Option<u64> {
    let length = original.get(4..8)?.try_into().ok()?;
    Some(u64::from(u32::from_le_bytes(length)) + 8)
}

/// A chunk (RFC 9649 §2.3).
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    name: [u8; 4],
    /// The payload, as far as it is in the file.
    pub(super) data: &'a [u8],
    /// Whether the file ends before the chunk does.
    is_cut: bool,
}

/// An iterator over chunks.
#[derive(Clone, Copy)]
pub(super) struct Chunks<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let (&[a, b, c, d, e, f, g, h], rest) = self.0.split_first_chunk()?;
        let length = u32::from_le_bytes([e, f, g, h]) as usize;
        let (data, behind) = rest.split_at(length.min(rest.len()));
        // the padding is missing where a FourCC follows at once, and none one byte later
        let follows_unpadded = starts_with_name(behind) && !behind.get(1..).is_some_and(starts_with_name);
        let is_padded = length % 2 == 1 && !follows_unpadded;
        self.0 = behind.get(usize::from(is_padded)..).unwrap_or_default();
        Some(Chunk { name: [a, b, c, d], data, is_cut: data.len() < length })
    }
}

/// Whether the bytes start with a known FourCC.
fn starts_with_name(bytes: &[u8]) -> bool {
    const NAMES: [&[u8; 4]; 9] = [b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "];
    bytes.get(..4).is_some_and(|name| NAMES.iter().any(|known| name.eq_ignore_ascii_case(*known)))
}

/// A bitstream: `VP8 ` with an optional `ALPH`, or `VP8L`.
#[derive(Clone, Copy)]
pub(super) enum Image<'a> {
    Lossy { frame: &'a [u8], alpha: Option<&'a [u8]> },
    Lossless(&'a [u8]),
}

impl<'a> Image<'a> {
    /// The first bitstream in these chunks.
    pub(super) fn of(chunks: Chunks<'a>) -> Option<Image<'a>> {
        let picture = chunks.into_iter().find(|chunk| chunk.is(b"VP8 ") || chunk.is(b"VP8L"))?;
        if picture.is(b"VP8L") {
            return Some(Image::Lossless(picture.data));
        }
        let alpha = chunks.into_iter().find(|chunk| chunk.name == *b"ALPH").map(|chunk| chunk.data);
        Some(Image::Lossy { frame: picture.data, alpha })
    }

    /// The size by the header of the bitstream.
    pub(super) fn size(&self) -> Result<Size> {
        match *self {
            Image::Lossy { frame: &[a, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..], .. } if a & 1 == 0 => {
                let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
                let size = Size::new(side(w0, w1), side(h0, h1));
                if size.width == 0 || size.height == 0 {
                    return Err(Error::malformed(FORMAT, format!("its VP8 frame header says {size} pixels")));
                }
                Ok(size)
            }
            Image::Lossless(&[0x2F, a, b, c, d, ..]) => {
                let header = u32::from_le_bytes([a, b, c, d]);
                Ok(Size::new((header & 0x3FFF) + 1, (header >> 14 & 0x3FFF) + 1))
            }
            _ => Err(Error::malformed(FORMAT, "its bitstream has no header")),
        }
    }

    /// Whether any pixel may be transparent; of a lossless picture by its own header (`alpha_is_used`).
    pub(super) fn has_alpha(&self) -> bool {
        match self {
            Image::Lossy { alpha, .. } => alpha.is_some(),
            Image::Lossless(data) => data.get(4).is_some_and(|byte| byte & 0x10 != 0),
        }
    }

    /// A file with this bitstream alone, for `image-webp`.
    pub(super) fn file(&self, size: Size) -> ConcatReader<'a> {
        let head = |name: &[u8; 4], data: &[u8]| [&name[..], &(data.len() as u32).to_le_bytes()].concat();
        let padding = |data: &[u8]| Cow::Borrowed(&[0][..data.len() % 2]);
        let mut parts: Vec<Cow<'a, [u8]>> = Vec::new();
        let (name, data) = match *self {
            Image::Lossy { frame, alpha } => {
                if let Some(alpha) = alpha {
                    parts.push(head(b"VP8X", &[0; 10]).into());
                    parts.push(super::mux::vp8x_payload(size, super::mux::ALPHA).to_vec().into());
                    parts.extend([head(b"ALPH", alpha).into(), alpha.into(), padding(alpha)]);
                }
                (b"VP8 ", frame)
            }
            Image::Lossless(data) => (b"VP8L", data),
        };
        parts.extend([head(name, data).into(), data.into(), padding(data)]);
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let riff = [&b"RIFF"[..], &(length as u32 + 4).to_le_bytes(), b"WEBP"].concat();
        parts.insert(0, riff.into());
        ConcatReader { parts, part: 0, at: 0 }
    }
}

/// A reader of several slices as one file.
pub(super) struct ConcatReader<'a> {
    parts: Vec<Cow<'a, [u8]>>,
    /// The part that is read, and the position in it.
    part: usize,
    at: usize,
}

impl Read for ConcatReader<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let count = from.len().min(to.len());
        to[..count].copy_from_slice(&from[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for ConcatReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.parts.get(self.part).is_some_and(|part| self.at >= part.len()) {
            self.part += 1;
            self.at = 0;
        }
        Ok(self.parts.get(self.part).map_or(&[], |part| &part[self.at..]))
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Seek for ConcatReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let before: usize = self.parts[..self.part].iter().map(|part| part.len()).sum();
        let all: usize = self.parts.iter().map(|part| part.len()).sum();
        let to = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::Current(by) => ((before + self.at) as u64).checked_add_signed(by),
            SeekFrom::End(by) => (all as u64).checked_add_signed(by),
        };
        let to = to.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut left = usize::try_from(to).unwrap_or(usize::MAX).min(all);
        self.part = 0;
        while let Some(part) = self.parts.get(self.part).filter(|part| part.len() < left) {
            left -= part.len();
            self.part += 1;
        }
        self.at = left;
        Ok(to)
    }
}

impl Chunk<'_> {
    /// Whether it has this FourCC, in either case.
    fn is(&self, name: &[u8; 4]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The pixels of a file.
pub(super) enum Content<'a> {
    Still(Image<'a>),
    Animation {
        frames: u32,
        /// Loop count of `ANIM`; 0 is forever.
        plays: u16,
    },
}

/// A parsed file.
pub(super) struct Container<'a> {
    pub(super) chunks: Chunks<'a>,
    pub(super) size: Size,
    pub(super) content: Content<'a>,
    pub(super) icc: Option<&'a [u8]>,
    pub(super) exif: Option<&'a [u8]>,
    /// Whether there are metadata, unknown chunks or bytes behind the end.
    pub(super) has_others: bool,
    /// Whether frames may be missing at the end of an animation.
    pub(super) is_cut: bool,
}

/// The least bytes of a frame: two chunk headers and the header of `ANMF`.
const MIN_FRAME: usize = 8 + 16 + 8;

impl<'a> Container<'a> {
    /// # Errors
    /// [`Error::Malformed`] for a file without a picture.
    pub(super) fn read(file: &'a [u8]) -> Result<Container<'a>> {
        let no_picture = || Error::malformed(FORMAT, "it has no VP8, VP8L or ANMF chunk");
        let stated =
            file.get(4..8).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        let all = file.get(HEAD..).ok_or_else(no_picture)?;
        // bytes behind the stated end are not part of the file, unless chunks with pixels reach there
        let within = all.get(..stated.saturating_sub(4)).map(Chunks);
        let chunks = within.filter(|within| within.has_all_pixels()).unwrap_or(Chunks(all));
        let is = |name: &'static [u8; 4]| move |chunk: &Chunk<'_>| chunk.is(name);
        let header = chunks.into_iter().find(is(b"VP8X")).map(|chunk| chunk.data);
        let flags = header.and_then(|header| header.first()).copied();
        let frames = chunks.into_iter().filter(is(b"ANMF")).count();
        let still = Image::of(chunks);
        let is_animated =
            frames > 0 && (still.is_none() || flags.is_some_and(|flags| flags & super::mux::ANIMATION != 0));
        let (size, content) = match still.filter(|_| !is_animated) {
            Some(Image::Lossy { frame, .. }) if flags.is_some_and(|flags| flags & super::mux::ALPHA == 0) => {
                let image = Image::Lossy { frame, alpha: None };
                (image.size()?, Content::Still(image))
            }
            Some(image) => (image.size()?, Content::Still(image)),
            None if is_animated => {
                let &[_, _, _, _, a, b, c, d, e, f] =
                    header.and_then(<[u8]>::first_chunk::<10>).ok_or_else(no_picture)?;
                let side = |low, middle, high| u32::from_le_bytes([low, middle, high, 0]) + 1;
                let parameters = chunks.into_iter().find(is(b"ANIM")).and_then(|chunk| chunk.data.get(4..6));
                let plays = parameters.map_or(0, |plays| u16::from_le_bytes([plays[0], plays[1]]));
                let frames = u32::try_from(frames).unwrap_or(u32::MAX);
                (Size::new(side(a, b, c), side(d, e, f)), Content::Animation { frames, plays })
            }
            None => return Err(no_picture()),
        };
        let named = |name: &[u8; 4]| {
            let mut all = chunks.into_iter().filter(|chunk| chunk.name == *name && !chunk.is_cut);
            all.next().map(|chunk| chunk.data).filter(|data| data.len() <= MAX_METADATA)
        };
        Ok(Container {
            chunks,
            size,
            content,
            icc: named(b"ICCP"),
            exif: named(b"EXIF"),
            has_others: has_others(all),
            is_cut: is_animated && (stated.saturating_sub(file.len() - 8) >= MIN_FRAME || !chunks.has_all_pixels()),
        })
    }
}

/// The most bytes of an ICC profile or EXIF block that are read.
const MAX_METADATA: usize = 8 << 20;

impl Chunks<'_> {
    /// Whether there are chunks with pixels, and all of them are complete.
    fn has_all_pixels(self) -> bool {
        let mut pixels = self.filter(|chunk| chunk.is(b"VP8 ") || chunk.is(b"VP8L") || chunk.is(b"ANMF")).peekable();
        pixels.peek().is_some() && pixels.all(|chunk| !chunk.is_cut)
    }
}

/// Whether there are metadata, unknown chunks or bytes behind the end.
fn has_others(all: &[u8]) -> bool {
    const KNOWN: [&[u8; 4]; 7] = [b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"];
    let mut chunks = Chunks(all);
    chunks.any(|chunk| !KNOWN.contains(&&chunk.name)) || !chunks.0.is_empty()
}

/// An `ANMF` chunk (RFC 9649 §2.7.1.1).
pub(super) struct Frame<'a> {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) size: Size,
    pub(super) flags: u8,
    /// In milliseconds.
    pub(super) delay: u32,
    pub(super) image: Option<Image<'a>>,
}

/// The `ANMF` chunks; `None` for one without a complete header.
pub(super) fn frames<'a>(chunks: Chunks<'a>) -> impl Iterator<Item = Option<Frame<'a>>> {
    chunks.filter(|chunk| chunk.is(b"ANMF")).map(|chunk| {
        let (header, chunks) = chunk.data.split_first_chunk::<16>()?;
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], 0]);
        Some(Frame {
            left: number(0) * 2,
            top: number(3) * 2,
            size: Size::new(number(6) + 1, number(9) + 1),
            flags: header[15],
            delay: number(12),
            image: Image::of(Chunks(chunks)),
        })
    })
}

//! The container of WebP: RIFF, chunks with a name and a length (RFC 9649 §2.3 to §2.7).
//!
//! Files are taken by the chunks that they have, whatever their flags promise and in whatever order they stand:
//!
//! - the length of the whole file counts for nothing where its chunks go on or end before it;
//! - a chunk that a flag promises may be missing, and one may be there without its flag, but for the alpha of a lossy still
//!   picture, which browsers leave out where the flag does not announce it;
//! - unknown chunks are passed over wherever they stand, and so are names of optional chunks in lower case, as browsers do;
//!   the names of those that have the pixels count in either case;
//! - the byte that makes up for an odd length may be left out;
//! - the canvas of a still picture is the picture's own size, whatever the header says.

use std::borrow::Cow;
use std::io::{self, BufRead, Read, Seek, SeekFrom};

use super::FORMAT;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::Size;

/// Bytes before the first chunk: `RIFF`, the length, and `WEBP`.
pub(super) const HEAD: usize = 12;

/// The length of a RIFF file by its header, a chunk header of 8 bytes included.
pub(super) fn riff_length(original: &[u8]) -> Option<u64> {
    let length = original.get(4..8)?.try_into().ok()?;
    Some(u64::from(u32::from_le_bytes(length)) + 8)
}

/// A chunk.
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    name: [u8; 4],
    /// As far as they are there.
    pub(super) data: &'a [u8],
    /// Whether the file ends before the chunk does.
    is_cut: bool,
}

/// Chunks one after the other.
#[derive(Clone, Copy)]
pub(super) struct Chunks<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let (&[a, b, c, d, e, f, g, h], rest) = self.0.split_first_chunk()?;
        let length = u32::from_le_bytes([e, f, g, h]) as usize;
        let (data, behind) = rest.split_at(length.min(rest.len()));
        // the padding is missing where a name follows at once, and none behind another byte
        let follows_at_once = starts_with_name(behind) && !behind.get(1..).is_some_and(starts_with_name);
        let is_padded = length % 2 == 1 && !follows_at_once;
        self.0 = behind.get(usize::from(is_padded)..).unwrap_or_default();
        Some(Chunk { name: [a, b, c, d], data, is_cut: data.len() < length })
    }
}

/// Whether these are chunks of a name that is known.
fn starts_with_name(bytes: &[u8]) -> bool {
    const NAMES: [&[u8; 4]; 9] = [b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "];
    bytes.get(..4).is_some_and(|name| NAMES.iter().any(|known| name.eq_ignore_ascii_case(*known)))
}

/// A picture: what it is coded in, and its alpha where that is apart.
#[derive(Clone, Copy)]
pub(super) enum Image<'a> {
    Lossy { frame: &'a [u8], alpha: Option<&'a [u8]> },
    Lossless(&'a [u8]),
}

impl<'a> Image<'a> {
    /// The first picture of these chunks.
    pub(super) fn of(chunks: Chunks<'a>) -> Option<Image<'a>> {
        let picture = chunks.into_iter().find(|chunk| chunk.is(b"VP8 ") || chunk.is(b"VP8L"))?;
        if picture.is(b"VP8L") {
            return Some(Image::Lossless(picture.data));
        }
        let alpha = chunks.into_iter().find(|chunk| chunk.name == *b"ALPH").map(|chunk| chunk.data);
        Some(Image::Lossy { frame: picture.data, alpha })
    }

    /// The size that it says it has.
    pub(super) fn size(&self) -> Result<Size> {
        match *self {
            Image::Lossy { frame: &[a, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..], .. } if a & 1 == 0 => {
                let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
                let size = Size::new(side(w0, w1), side(h0, h1));
                if size.width == 0 || size.height == 0 {
                    return Err(Error::malformed(FORMAT, format!("its header says {size} pixels")));
                }
                Ok(size)
            }
            Image::Lossless(&[0x2F, a, b, c, d, ..]) => {
                let header = u32::from_le_bytes([a, b, c, d]);
                Ok(Size::new((header & 0x3FFF) + 1, (header >> 14 & 0x3FFF) + 1))
            }
            _ => Err(Error::malformed(FORMAT, "its picture has no header")),
        }
    }

    /// Whether any pixel may be transparent. What a picture coded without loss says itself counts.
    pub(super) fn has_alpha(&self) -> bool {
        match self {
            Image::Lossy { alpha, .. } => alpha.is_some(),
            Image::Lossless(data) => data.get(4).is_some_and(|byte| byte & 0x10 != 0),
        }
    }

    /// A file of nothing else, for the library.
    pub(super) fn file(&self, size: Size) -> Joined<'a> {
        let head = |name: &[u8; 4], data: &[u8]| [&name[..], &(data.len() as u32).to_le_bytes()].concat();
        let padding = |data: &[u8]| Cow::Borrowed(&[0][..data.len() % 2]);
        let mut parts: Vec<Cow<'a, [u8]>> = Vec::new();
        let (name, data) = match *self {
            Image::Lossy { frame, alpha } => {
                if let Some(alpha) = alpha {
                    parts.push(head(b"VP8X", &[0; 10]).into());
                    parts.push(super::canvas_header(size, super::ALPHA).to_vec().into());
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
        Joined { parts, part: 0, at: 0 }
    }
}

/// Parts of a file that are read as if they were one.
pub(super) struct Joined<'a> {
    parts: Vec<Cow<'a, [u8]>>,
    /// Which is being read, and how much of it was.
    part: usize,
    at: usize,
}

impl Read for Joined<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let count = from.len().min(to.len());
        to[..count].copy_from_slice(&from[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Joined<'_> {
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

impl Seek for Joined<'_> {
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
    /// Whether it is of that name, in whatever case.
    fn is(&self, name: &[u8; 4]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The picture of a file.
pub(super) enum Shown<'a> {
    Still(Image<'a>),
    Moving {
        frames: u32,
        /// How often it plays in all, 0 for ever.
        plays: u16,
    },
}

/// A file.
pub(super) struct Container<'a> {
    pub(super) chunks: Chunks<'a>,
    pub(super) size: Size,
    pub(super) shown: Shown<'a>,
    pub(super) icc: Option<&'a [u8]>,
    pub(super) exif: Option<&'a [u8]>,
    /// Whether there is anything in the file that is not the picture.
    pub(super) has_others: bool,
    /// Whether frames may be missing at the end.
    pub(super) is_cut: bool,
}

/// Fewer bytes than these hold no frame: two heads of chunks, and the frame's own header.
const LEAST_FRAME: usize = 8 + 16 + 8;

impl<'a> Container<'a> {
    /// # Errors
    /// [`Error::Malformed`] for a file without a picture.
    pub(super) fn read(file: &'a [u8]) -> Result<Container<'a>> {
        let no_picture = || Error::malformed(FORMAT, "it holds no picture");
        let stated =
            file.get(4..8).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        let all = file.get(HEAD..).ok_or_else(no_picture)?;
        // what is behind the stated end is not part of the file, unless the picture goes on there
        let within = all.get(..stated.saturating_sub(4)).map(Chunks);
        let chunks = within.filter(|within| within.has_all()).unwrap_or(Chunks(all));
        let is = |name: &'static [u8; 4]| move |chunk: &Chunk<'_>| chunk.is(name);
        let header = chunks.into_iter().find(is(b"VP8X")).map(|chunk| chunk.data);
        let flags = header.and_then(|header| header.first()).copied();
        let frames = chunks.into_iter().filter(is(b"ANMF")).count();
        let still = Image::of(chunks);
        let moves = frames > 0 && (still.is_none() || flags.is_some_and(|flags| flags & ANIMATION != 0));
        let (size, shown) = match still.filter(|_| !moves) {
            Some(Image::Lossy { frame, .. }) if flags.is_some_and(|flags| flags & super::ALPHA == 0) => {
                let image = Image::Lossy { frame, alpha: None };
                (image.size()?, Shown::Still(image))
            }
            Some(image) => (image.size()?, Shown::Still(image)),
            None if moves => {
                let &[_, _, _, _, a, b, c, d, e, f] =
                    header.and_then(<[u8]>::first_chunk::<10>).ok_or_else(no_picture)?;
                let side = |low, middle, high| u32::from_le_bytes([low, middle, high, 0]) + 1;
                let parameters = chunks.into_iter().find(is(b"ANIM")).and_then(|chunk| chunk.data.get(4..6));
                let plays = parameters.map_or(0, |plays| u16::from_le_bytes([plays[0], plays[1]]));
                let frames = u32::try_from(frames).unwrap_or(u32::MAX);
                (Size::new(side(a, b, c), side(d, e, f)), Shown::Moving { frames, plays })
            }
            None => return Err(no_picture()),
        };
        let named = |name: &[u8; 4]| {
            let mut all = chunks.into_iter().filter(|chunk| chunk.name == *name && !chunk.is_cut);
            all.next().map(|chunk| chunk.data).filter(|data| data.len() <= MOST)
        };
        Ok(Container {
            chunks,
            size,
            shown,
            icc: named(b"ICCP"),
            exif: named(b"EXIF"),
            has_others: has_others(all),
            is_cut: moves && (stated.saturating_sub(file.len() - 8) >= LEAST_FRAME || !chunks.has_all()),
        })
    }
}

/// The flag of an animation.
const ANIMATION: u8 = 0x02;

/// The most bytes of a profile or of metadata that are kept.
const MOST: usize = 8 << 20;

impl Chunks<'_> {
    /// Whether the chunks with pixels end where these bytes do, or before.
    fn has_all(self) -> bool {
        let mut pixels = self.filter(|chunk| chunk.is(b"VP8 ") || chunk.is(b"VP8L") || chunk.is(b"ANMF")).peekable();
        pixels.peek().is_some() && pixels.all(|chunk| !chunk.is_cut)
    }
}

/// Whether there is anything that is not the picture: texts, unknown chunks, bytes behind the end.
fn has_others(all: &[u8]) -> bool {
    const OF_THE_PICTURE: [&[u8; 4]; 7] = [b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"];
    let mut chunks = Chunks(all);
    chunks.any(|chunk| !OF_THE_PICTURE.contains(&&chunk.name)) || !chunks.0.is_empty()
}

/// A frame of an animation: its header (RFC 9649 §2.7.1.1), and its picture.
pub(super) struct Frame<'a> {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) size: Size,
    pub(super) flags: u8,
    /// How long it is shown, in milliseconds.
    pub(super) delay: u32,
    pub(super) image: Option<Image<'a>>,
}

/// The frames of an animation; `None` for one without a header.
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

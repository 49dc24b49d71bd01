//! The chunks of a PNG before its image data (PNG, third edition, §5 and §11), read as leniently as libpng reads them.
//!
//! libpng tells errors, which end decoding, from warnings, after which the picture is shown. What each means here:
//!
//! | in the file | libpng | here |
//! |---|---|---|
//! | signature or IHDR missing, of a wrong checksum, with impossible values | error | refused |
//! | unknown critical chunk before the image data | error | refused as not supported |
//! | PLTE missing, of a wrong checksum or without a colour, where pixels are places in it | error | refused |
//! | the same in a picture of colours, for which PLTE is a suggestion | error or warning | ignored |
//! | PLTE with more colours than places, or a length that is no multiple of three | error or warning | what fits is used |
//! | ancillary chunk with a wrong checksum, a wrong length, values out of range, in a wrong place, or there twice | warning | ignored; of two the first counts |
//! | iCCP that does not inflate, does not parse, or is of another kind than the picture | warning | ignored |
//! | tRNS in a picture with alpha, before the palette, or longer than it | warning | ignored |
//! | other chunks between those of the image data | warning | passed over |
//! | wrong checksum of image data, or of zlib's | error | shown as far as the data inflate, and damaged |
//! | image data that end early or do not inflate, an unknown filter | error | shown up to there, and damaged |
//! | more image data than the picture has, or zlib's checksum missing | warning | whole |
//! | IEND missing, of a wrong checksum or length; anything behind it | warning | whole |
//! | animation chunks out of order or out of range | error, the still picture is shown | the still picture, whole |
//! | animation data that end early | error, the frames before are shown | the frames before, and damaged |

use std::ops::Range;

use ::png::ColorType;

use super::FORMAT;
use super::animation::{self, Animation};
use tintype_pixels::colour::{ColourModel, Profile};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::Size;

/// Bytes before the first chunk.
const SIGNATURE: usize = 8;

/// Bytes of a chunk before its data: how many those are, and of what kind.
const HEAD: usize = 8;

/// Bytes of a chunk behind its data.
pub(super) const CHECKSUM: usize = 4;

/// The most bytes of a profile or of metadata that are kept.
pub(super) const MOST: usize = 4 << 20;

/// A chunk as it lies in a file.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) kind: [u8; 4],
    /// Where its data lie, as far as they are there.
    pub(super) data: Range<usize>,
    /// Whether the file ends before its data do.
    pub(super) is_cut: bool,
}

impl Chunk {
    /// Where the next chunk begins.
    pub(super) fn end(&self) -> usize {
        self.data.end.saturating_add(CHECKSUM)
    }

    /// Whether its checksum is there and is right; it is of the chunk's kind, too.
    pub(super) fn is_sound(&self, file: &[u8]) -> bool {
        let stated = file.get(self.data.end..self.data.end + CHECKSUM);
        !self.is_cut && stated == Some(&crc32fast::hash(&file[self.data.start - 4..self.data.end]).to_be_bytes())
    }

    fn is_critical(&self) -> bool {
        // the bit that tells lower from upper case (§5.4)
        self.kind[0] & 0x20 == 0
    }
}

/// The chunk that begins at `at`, whatever its name; `None` at the end of the file.
pub(super) fn chunk(file: &[u8], at: usize) -> Option<Chunk> {
    let &[a, b, c, d, ref kind @ ..] = file.get(at..at.checked_add(HEAD)?)?.first_chunk::<HEAD>()?;
    let start = at + HEAD;
    let stated = u32::from_be_bytes([a, b, c, d]) as usize;
    let length = stated.min(file.len() - start);
    Some(Chunk { kind: *kind, data: start..start + length, is_cut: length < stated })
}

/// The chunks of a file, up to the first that is cut off.
pub(super) fn chunks(file: &[u8]) -> impl Iterator<Item = Chunk> {
    let mut at = SIGNATURE;
    std::iter::from_fn(move || {
        let chunk = chunk(file, at)?;
        at = chunk.end();
        Some(chunk)
    })
}

/// Which pixels are transparent, where they have no alpha of their own.
#[derive(Clone, Debug)]
pub(super) enum Transparency {
    /// Those of that grey, or of that red, green and blue.
    Colour([u16; 3]),
    /// The alpha of places in the palette, of the first ones.
    Places(Vec<u8>),
}

/// The fields of the chunks before the image data.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) size: Size,
    /// Bits of a sample.
    pub(super) depth: u8,
    pub(super) colours: ColorType,
    pub(super) interlaced: bool,
    pub(super) palette: Vec<[u8; 3]>,
    pub(super) transparency: Option<Transparency>,
    pub(super) profile: Option<Profile>,
    pub(super) exif: Option<Vec<u8>>,
    pub(super) animation: Option<Animation>,
    /// Where the first chunk of image data begins.
    pub(super) data: usize,
    /// Whether anything in the file is not the picture: texts, times, private chunks, bytes behind the end.
    pub(super) has_others: bool,
}

/// The chunks that state colours, of which the first of a kind counts.
#[derive(Default)]
struct Colours {
    cicp: Option<(u8, u8)>,
    icc: Option<Profile>,
    srgb: bool,
    gamma: Option<f32>,
    points: Option<[(f32, f32); 4]>,
}

impl Colours {
    /// The one that counts (§4.3): cICP over iCCP over sRGB over gAMA with cHRM.
    fn profile(self) -> Option<Profile> {
        if let Some((primaries, transfer)) = self.cicp {
            return Profile::from_cicp(primaries, transfer);
        }
        if self.icc.is_some() || self.srgb {
            return self.icc;
        }
        // a gamma without primaries is half a statement, mostly left behind by old programs; image libraries ignore it
        let (gamma, points) = (self.gamma?, self.points?);
        // 0.45455 with the primaries of sRGB is how files from before the sRGB chunk say sRGB
        if (gamma - 0.45455).abs() < 0.002 && is_srgb(points) {
            return None;
        }
        Profile::from_gamma(gamma, points)
    }
}

fn is_srgb(points: [(f32, f32); 4]) -> bool {
    const SRGB: [(f32, f32); 4] = [(0.3127, 0.329), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06)];
    points.iter().zip(SRGB).all(|(a, b)| (a.0 - b.0).abs() < 0.002 && (a.1 - b.1).abs() < 0.002)
}

impl Header {
    /// # Errors
    /// [`Error::Malformed`] for a file without a picture, [`Error::Unsupported`] for one with unknown critical chunks.
    pub(super) fn read(file: &[u8]) -> Result<Header> {
        // some files carry a comment before the header, which every other decoder puts up with
        let mut all = chunks(file).skip_while(|chunk| !chunk.is_critical());
        let first = all.next().filter(|chunk| chunk.kind == *b"IHDR");
        let first = first.ok_or_else(|| Error::malformed(FORMAT, "it has no header"))?;
        if !first.is_sound(file) {
            return Err(Error::malformed(FORMAT, "the checksum of its header is wrong"));
        }
        let mut header = Header::from_ihdr(&file[first.data.clone()])?;
        let mut colours = Colours::default();
        for chunk in all {
            if chunk.kind == *b"IDAT" {
                header.data = chunk.data.start - HEAD;
                break;
            }
            header.take(file, &chunk, &mut colours)?;
        }
        if header.data == 0 {
            return Err(Error::malformed(FORMAT, "it ends before its image data"));
        }
        if header.colours == ColorType::Indexed && header.palette.is_empty() {
            return Err(Error::malformed(FORMAT, "it has no palette"));
        }
        header.profile = colours.profile();
        header.animation = header.animation.and_then(|stated| animation::checked(file, stated, header.size));
        header.has_others = has_other_chunks(file);
        Ok(header)
    }

    fn from_ihdr(data: &[u8]) -> Result<Header> {
        let damaged = |what: &str| Error::malformed(FORMAT, format!("its header has {what}"));
        let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, colours, compression, filter, interlacing] = data else {
            return Err(damaged("another length"));
        };
        let size = Size::new(u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
        const LONGEST: u32 = i32::MAX as u32;
        if size.width == 0 || size.height == 0 || size.width > LONGEST || size.height > LONGEST {
            return Err(damaged("an impossible size"));
        }
        let colours = match (colours, depth) {
            (0, 1 | 2 | 4 | 8 | 16) => ColorType::Grayscale,
            (2, 8 | 16) => ColorType::Rgb,
            (3, 1 | 2 | 4 | 8) => ColorType::Indexed,
            (4, 8 | 16) => ColorType::GrayscaleAlpha,
            (6, 8 | 16) => ColorType::Rgba,
            _ => return Err(damaged("an impossible kind of pixels")),
        };
        if compression != 0 || filter != 0 || interlacing > 1 {
            return Err(Error::unsupported(FORMAT, "it is compressed, filtered or interlaced by an unknown method"));
        }
        Ok(Header {
            size,
            depth,
            colours,
            interlaced: interlacing == 1,
            palette: Vec::new(),
            transparency: None,
            profile: None,
            exif: None,
            animation: None,
            data: 0,
            has_others: false,
        })
    }

    /// Takes in a chunk between the header and the image data.
    fn take(&mut self, file: &[u8], chunk: &Chunk, colours: &mut Colours) -> Result<()> {
        let data = &file[chunk.data.clone()];
        let name = || String::from_utf8_lossy(&chunk.kind).into_owned();
        match &chunk.kind {
            b"PLTE" => return self.take_palette(data, chunk.is_sound(file)),
            b"IEND" | b"IHDR" => {
                return Err(Error::malformed(FORMAT, format!("it has {} before its image data", name())));
            }
            _ if chunk.is_critical() => {
                return Err(Error::unsupported(FORMAT, format!("its critical chunk {} is unknown", name())));
            }
            b"tRNS" | b"cICP" | b"iCCP" | b"sRGB" | b"gAMA" | b"cHRM" | b"eXIf" | b"acTL" => {}
            _ => return Ok(()),
        }
        if !chunk.is_sound(file) || data.len() > MOST {
            return Ok(());
        }
        let number = |at: usize| data.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        match &chunk.kind {
            b"tRNS" if self.transparency.is_none() => self.transparency = self.transparency_of(data),
            b"cICP" if self.palette.is_empty() => {
                // samples of red, green and blue in their full or in video's range (§11.3.2.6)
                if let &[primaries, transfer, 0, 0 | 1] = data {
                    colours.cicp = colours.cicp.or(Some((primaries, transfer)));
                }
            }
            b"iCCP" if colours.icc.is_none() => colours.icc = inflated(data).and_then(|icc| self.profile_of(&icc)),
            b"sRGB" => colours.srgb |= matches!(data, [0..=3]),
            b"gAMA" => {
                let gamma = number(0).filter(|&gamma| gamma > 0 && data.len() == 4);
                colours.gamma = colours.gamma.or(gamma.map(|gamma| gamma as f32 / 100_000.0));
            }
            b"cHRM" if data.len() == 32 => {
                let side = |at: usize| number(at).unwrap_or(0) as f32 / 100_000.0;
                let points = std::array::from_fn(|at| (side(8 * at), side(8 * at + 4)));
                colours.points = colours.points.or(Some(points));
            }
            b"eXIf" => self.exif = self.exif.take().or_else(|| Some(data.to_vec())),
            b"acTL" if self.animation.is_none() => {
                self.animation = number(0).zip(number(4)).map(|(stated, plays)| Animation { frames: 0, stated, plays });
            }
            _ => {}
        }
        Ok(())
    }

    fn take_palette(&mut self, data: &[u8], is_sound: bool) -> Result<()> {
        if self.colours != ColorType::Indexed || !self.palette.is_empty() {
            return Ok(());
        }
        if !is_sound {
            return Err(Error::malformed(FORMAT, "the checksum of its palette is wrong"));
        }
        self.palette = data.as_chunks::<3>().0.iter().take(256).copied().collect();
        Ok(())
    }

    fn transparency_of(&self, data: &[u8]) -> Option<Transparency> {
        let short = |at: usize| {
            let value = data.get(2 * at..2 * at + 2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))?;
            // of narrow samples only the bits that they have count
            Some(if self.depth == 16 { value } else { value & 0xFF })
        };
        match self.colours {
            ColorType::Grayscale => short(0).map(|grey| Transparency::Colour([grey; 3])),
            ColorType::Rgb => Some(Transparency::Colour([short(0)?, short(1)?, short(2)?])),
            // only behind a palette, and of no more places than that has
            ColorType::Indexed if (1..=self.palette.len()).contains(&data.len()) => {
                Some(Transparency::Places(data.to_vec()))
            }
            _ => None,
        }
    }

    fn profile_of(&self, icc: &[u8]) -> Option<Profile> {
        let model = if self.is_grey() { ColourModel::Grey } else { ColourModel::Rgb };
        if model.is_of(icc) { Profile::from_icc(icc) } else { None }
    }

    /// Whether its pixels have no colour.
    pub(super) fn is_grey(&self) -> bool {
        matches!(self.colours, ColorType::Grayscale | ColorType::GrayscaleAlpha)
    }

    /// Whether any pixel may be transparent.
    pub(super) fn has_alpha(&self) -> bool {
        self.transparency.is_some() || matches!(self.colours, ColorType::Rgba | ColorType::GrayscaleAlpha)
    }

    /// Bits of a pixel as it is stored.
    pub(super) fn bits(&self) -> usize {
        self.colours.samples() * usize::from(self.depth)
    }

    /// Bytes of a row of so many pixels, as it is stored.
    pub(super) fn stride(&self, width: u32) -> usize {
        (width as usize * self.bits()).div_ceil(8)
    }
}

/// The profile of an iCCP chunk: a name, a zero, the method of compression, and what is compressed (§11.3.2.3).
fn inflated(data: &[u8]) -> Option<Vec<u8>> {
    let name = data.iter().take(80).position(|&byte| byte == 0).filter(|&length| length > 0)?;
    match data.get(name + 1..)? {
        [0, compressed @ ..] => fdeflate::decompress_to_vec_bounded(compressed, MOST).ok(),
        _ => None,
    }
}

fn has_other_chunks(file: &[u8]) -> bool {
    const OF_THE_PICTURE: [&[u8; 4]; 17] = [
        b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD",
        b"pHYs", b"hIST", b"acTL", b"fcTL", b"fdAT",
    ];
    let mut end = SIGNATURE;
    for chunk in chunks(file) {
        if !OF_THE_PICTURE.contains(&&chunk.kind) {
            return true;
        }
        end = chunk.end();
    }
    end < file.len()
}

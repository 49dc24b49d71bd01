//! The chunks before IDAT (PNG, third edition, §5 and §11), read as leniently as by libpng.
//!
//! libpng has errors, which end decoding, and warnings, after which it goes on. The equivalents here:
//!
//! | in the file | libpng | here |
//! |---|---|---|
//! | signature or IHDR missing, wrong CRC of IHDR, values out of range | error | refused |
//! | unknown critical chunk before the image data | error | refused as not supported |
//! | PLTE of an indexed picture missing, empty or with a wrong CRC | error | refused |
//! | the same in a truecolour picture, where PLTE is a suggestion | error or warning | ignored |
//! | PLTE with more than 256 colours, or a length that is no multiple of 3 | error or warning | the complete colours up to 256 are used |
//! | ancillary chunk with a wrong CRC or length, values out of range, misplaced or repeated | warning | ignored; the first of two counts |
//! | iCCP that does not inflate, does not parse, or is of another colour model | warning | ignored |
//! | tRNS in a picture with alpha, before the palette, or longer than it | warning | ignored |
//! | other chunks between IDATs | warning | skipped |
//! | wrong CRC of IDAT, or Adler-32 of zlib | error | decoded as far as the data inflate, and damaged |
//! | image data truncated or corrupt, unknown filter type | error | decoded up to there, and damaged |
//! | excess image data, or Adler-32 missing | warning | whole |
//! | IEND missing, of a wrong CRC or length; bytes behind it | warning | whole |
//! | APNG chunks out of order or out of range | error, the static image is shown | the static image, whole |
//! | truncated APNG frames | error, the frames before are shown | the frames before, and damaged |

use ::png::ColorType;

use super::FORMAT;
use super::apng::{self, Animation};
use super::chunk::{Chunk, HEAD, SIGNATURE, chunks};
use tintype_pixels::colour::{ColourModel, Profile};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::Size;

/// The most bytes of an ICC profile or of metadata that are read.
pub(super) const MAX_METADATA: usize = 4 << 20;

/// The contents of tRNS (§11.3.1.1).
#[derive(Clone, Debug)]
pub(super) enum Transparency {
    /// Pixels of this grey level or RGB colour are transparent.
    Colour([u16; 3]),
    /// Alpha of the first palette entries.
    Palette(Vec<u8>),
}

/// The contents of the chunks before IDAT.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) size: Size,
    /// Bits of a sample.
    pub(super) depth: u8,
    pub(super) colour_type: ColorType,
    pub(super) interlaced: bool,
    pub(super) palette: Vec<[u8; 3]>,
    pub(super) transparency: Option<Transparency>,
    pub(super) profile: Option<Profile>,
    pub(super) exif: Option<Vec<u8>>,
    pub(super) animation: Option<Animation>,
    /// The position of the first IDAT chunk.
    pub(super) first_idat: usize,
    /// Whether there are texts, times, private chunks or bytes behind IEND.
    pub(super) has_metadata: bool,
}

/// The chunks that state the colour space; the first of each type counts.
#[derive(Default)]
struct ColourChunks {
    cicp: Option<(u8, u8)>,
    /// MaxCLL of cLLI in 0.0001 cd/m².
    content_peak: Option<u32>,
    /// The maximum luminance of mDCV in 0.0001 cd/m².
    display_peak: Option<u32>,
    /// Whether there was an iCCP chunk, whatever it held: each may inflate to [`MAX_METADATA`].
    has_icc: bool,
    icc: Option<Profile>,
    srgb: bool,
    gamma: Option<f32>,
    points: Option<[(f32, f32); 4]>,
}

impl ColourChunks {
    /// The colour space by precedence (§4.3): cICP over iCCP over sRGB over gAMA with cHRM.
    fn profile(self) -> Option<Profile> {
        if let Some((primaries, transfer)) = self.cicp {
            let peak = self.content_peak.or(self.display_peak).unwrap_or(0);
            return Profile::from_cicp(primaries, transfer, peak);
        }
        if self.icc.is_some() || self.srgb {
            return self.icc;
        }
        // gAMA without cHRM is ignored, as by other image libraries
        let (gamma, points) = (self.gamma?, self.points?);
        // files older than the sRGB chunk state sRGB by gamma 0.45455 and its primaries
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
        // ancillary chunks before IHDR are tolerated, as by every other decoder
        let mut remaining = chunks(file).skip_while(|chunk| !chunk.is_critical());
        let first = remaining.next().filter(|chunk| chunk.kind == *b"IHDR");
        let first = first.ok_or_else(|| Error::malformed(FORMAT, "it has no IHDR chunk"))?;
        if !first.has_valid_crc(file) {
            return Err(Error::malformed(FORMAT, "the CRC of IHDR is wrong"));
        }
        let mut header = Header::from_ihdr(&file[first.data.clone()])?;
        let mut colour_chunks = ColourChunks::default();
        for chunk in remaining {
            if chunk.kind == *b"IDAT" {
                header.first_idat = chunk.data.start - HEAD;
                break;
            }
            header.read_chunk(file, &chunk, &mut colour_chunks)?;
        }
        if header.first_idat == 0 {
            return Err(Error::malformed(FORMAT, "it ends before its first IDAT chunk"));
        }
        if header.colour_type == ColorType::Indexed && header.palette.is_empty() {
            return Err(Error::malformed(FORMAT, "it has no PLTE chunk"));
        }
        header.profile = colour_chunks.profile();
        header.animation = header.animation.and_then(|stated| apng::validate(file, stated, header.size));
        header.has_metadata = has_metadata(file);
        Ok(header)
    }

    fn from_ihdr(data: &[u8]) -> Result<Header> {
        let damaged = |what: &str| Error::malformed(FORMAT, format!("IHDR has {what}"));
        let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, colour_type, compression, filter, interlace] = data else {
            return Err(damaged("a wrong length"));
        };
        let size = Size::new(u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
        const MAX_SIDE: u32 = i32::MAX as u32;
        if size.width == 0 || size.height == 0 || size.width > MAX_SIDE || size.height > MAX_SIDE {
            return Err(damaged("a size out of range"));
        }
        let colour_type = match (colour_type, depth) {
            (0, 1 | 2 | 4 | 8 | 16) => ColorType::Grayscale,
            (2, 8 | 16) => ColorType::Rgb,
            (3, 1 | 2 | 4 | 8) => ColorType::Indexed,
            (4, 8 | 16) => ColorType::GrayscaleAlpha,
            (6, 8 | 16) => ColorType::Rgba,
            _ => return Err(damaged("an invalid colour type or bit depth")),
        };
        if compression != 0 || filter != 0 || interlace > 1 {
            return Err(Error::unsupported(FORMAT, "its compression, filter or interlace method is unknown"));
        }
        Ok(Header {
            size,
            depth,
            colour_type,
            interlaced: interlace == 1,
            palette: Vec::new(),
            transparency: None,
            profile: None,
            exif: None,
            animation: None,
            first_idat: 0,
            has_metadata: false,
        })
    }

    /// Reads a chunk between IHDR and the first IDAT.
    fn read_chunk(&mut self, file: &[u8], chunk: &Chunk, colours: &mut ColourChunks) -> Result<()> {
        let data = &file[chunk.data.clone()];
        let name = || String::from_utf8_lossy(&chunk.kind).into_owned();
        match &chunk.kind {
            b"PLTE" => return self.read_palette(data, chunk.has_valid_crc(file)),
            b"IEND" | b"IHDR" => {
                return Err(Error::malformed(FORMAT, format!("it has {} before IDAT", name())));
            }
            _ if chunk.is_critical() => {
                return Err(Error::unsupported(FORMAT, format!("its critical chunk {} is unknown", name())));
            }
            b"tRNS" | b"cICP" | b"cLLI" | b"mDCV" | b"iCCP" | b"sRGB" | b"gAMA" | b"cHRM" | b"eXIf" | b"acTL" => {}
            _ => return Ok(()),
        }
        if !chunk.has_valid_crc(file) || data.len() > MAX_METADATA {
            return Ok(());
        }
        let number = |at: usize| data.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        match &chunk.kind {
            b"tRNS" if self.transparency.is_none() => self.transparency = self.read_transparency(data),
            b"cICP" if self.palette.is_empty() => {
                // RGB in full or narrow range (§11.3.2.6)
                if let &[primaries, transfer, 0, 0 | 1] = data {
                    colours.cicp = colours.cicp.or(Some((primaries, transfer)));
                }
            }
            // MaxCLL and MaxFALL (§11.3.2.8); 0 is unknown
            b"cLLI" if data.len() == 8 => {
                colours.content_peak = colours.content_peak.or(number(0).filter(|&peak| peak > 0));
            }
            // chromaticities, the maximum and the minimum (§11.3.2.7)
            b"mDCV" if data.len() == 24 => {
                colours.display_peak = colours.display_peak.or(number(16).filter(|&peak| peak > 0));
            }
            b"iCCP" if !colours.has_icc => {
                colours.has_icc = true;
                colours.icc = inflate_profile(data).and_then(|icc| self.parse_profile(&icc));
            }
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

    fn read_palette(&mut self, data: &[u8], has_valid_crc: bool) -> Result<()> {
        if self.colour_type != ColorType::Indexed || !self.palette.is_empty() {
            return Ok(());
        }
        if !has_valid_crc {
            return Err(Error::malformed(FORMAT, "the CRC of PLTE is wrong"));
        }
        self.palette = data.as_chunks::<3>().0.iter().take(256).copied().collect();
        Ok(())
    }

    fn read_transparency(&self, data: &[u8]) -> Option<Transparency> {
        let short = |at: usize| {
            let value = data.get(2 * at..2 * at + 2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))?;
            // only the bits of the depth count
            Some(value & (u16::MAX >> (16 - self.depth)))
        };
        match self.colour_type {
            ColorType::Grayscale => short(0).map(|grey| Transparency::Colour([grey; 3])),
            ColorType::Rgb => Some(Transparency::Colour([short(0)?, short(1)?, short(2)?])),
            // it must come behind PLTE and have no more entries
            ColorType::Indexed if (1..=self.palette.len()).contains(&data.len()) => {
                Some(Transparency::Palette(data.to_vec()))
            }
            _ => None,
        }
    }

    fn parse_profile(&self, icc: &[u8]) -> Option<Profile> {
        let model = if self.is_grey() { ColourModel::Grey } else { ColourModel::Rgb };
        if model.is_of(icc) { Profile::from_icc(icc) } else { None }
    }

    /// Whether the colour type is greyscale.
    pub(super) fn is_grey(&self) -> bool {
        matches!(self.colour_type, ColorType::Grayscale | ColorType::GrayscaleAlpha)
    }

    /// Whether any pixel may be transparent.
    pub(super) fn has_alpha(&self) -> bool {
        self.transparency.is_some() || matches!(self.colour_type, ColorType::Rgba | ColorType::GrayscaleAlpha)
    }

    /// Bits of a stored pixel.
    pub(super) fn bits_per_pixel(&self) -> usize {
        self.colour_type.samples() * usize::from(self.depth)
    }

    /// Bytes of a stored scanline without its filter byte.
    pub(super) fn stride(&self, width: u32) -> usize {
        (width as usize * self.bits_per_pixel()).div_ceil(8)
    }
}

/// The ICC profile of an iCCP chunk: name, zero, compression method, compressed profile (§11.3.2.3).
fn inflate_profile(data: &[u8]) -> Option<Vec<u8>> {
    let name = data.iter().take(80).position(|&byte| byte == 0).filter(|&length| length > 0)?;
    match data.get(name + 1..)? {
        [0, compressed @ ..] => fdeflate::decompress_to_vec_bounded(compressed, MAX_METADATA).ok(),
        _ => None,
    }
}

fn has_metadata(file: &[u8]) -> bool {
    const KNOWN: [&[u8; 4]; 17] = [
        b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD",
        b"pHYs", b"hIST", b"acTL", b"fcTL", b"fdAT",
    ];
    let mut end = SIGNATURE;
    for chunk in chunks(file) {
        if !KNOWN.contains(&&chunk.kind) {
            return true;
        }
        end = chunk.end();
    }
    end < file.len()
}

//! What the directory says of the first page: how its samples look, and where its strips or tiles are.
//!
//! All of it is checked here, so that the decoders can trust it. Writers get much of it wrong, RowsPerStrip and the
//! byte counts above all; what libtiff reads all the same is read here too.

use std::cell::Cell;

use super::Failure;
use super::ifd::{Directory, Field, File};

/// TIFF 6.0 §8, Compression, and the registered additions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    /// Modified Huffman: rows begin at a byte, or at a 16 bit word.
    FaxRle {
        words: bool,
    },
    FaxGroup3 {
        two_dimensional: bool,
    },
    FaxGroup4,
    Lzw,
    OldJpeg,
    Jpeg,
    Deflate,
    PackBits,
}

impl Compression {
    fn read(directory: &Directory<'_>) -> Result<Compression, Failure> {
        let refuse = |name: &str| Err(Failure::unsupported(format!("its compression is {name}")));
        Ok(match directory.number(259)?.unwrap_or(1) {
            1 => Compression::None,
            2 => Compression::FaxRle { words: false },
            32771 => Compression::FaxRle { words: true },
            3 => {
                // T4Options (§11): bit 0 two-dimensional, bit 1 uncompressed mode, bit 2 fill bits before EOL
                let options = directory.optional(292).and_then(|field| field.get(0)).unwrap_or(0);
                Compression::FaxGroup3 { two_dimensional: options & 1 == 1 }
            }
            4 => Compression::FaxGroup4,
            5 => Compression::Lzw,
            6 => Compression::OldJpeg,
            7 => Compression::Jpeg,
            8 | 32946 => Compression::Deflate,
            32773 => Compression::PackBits,
            32809 => return refuse("ThunderScan"),
            34676 | 34677 => return refuse("SGI LogLuv"),
            34712 => return refuse("JPEG 2000"),
            34925 => return refuse("LZMA"),
            50000 => return refuse("Zstandard"),
            50001 => return refuse("WebP"),
            50002 => return refuse("JPEG XL"),
            other => return refuse(&format!("number {other}")),
        })
    }

    pub(super) fn is_fax(self) -> bool {
        matches!(self, Compression::FaxRle { .. } | Compression::FaxGroup3 { .. } | Compression::FaxGroup4)
    }

    pub(super) fn is_jpeg(self) -> bool {
        matches!(self, Compression::Jpeg | Compression::OldJpeg)
    }
}

/// TIFF 6.0 §8, PhotometricInterpretation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Photometric {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
    /// §23: a* and b* are signed.
    CieLab,
    /// Photoshop TIFF technical notes 2002: a* and b* have an offset.
    IccLab,
}

impl Photometric {
    fn read(directory: &Directory<'_>, compression: Compression, samples: u16) -> Result<Photometric, Failure> {
        let refuse = |name: &str| Err(Failure::unsupported(format!("its colour space is {name}")));
        Ok(match directory.number(262)? {
            Some(0) => Photometric::WhiteIsZero,
            Some(1) => Photometric::BlackIsZero,
            Some(2) => Photometric::Rgb,
            Some(3) => Photometric::Palette,
            // a mask is a bilevel picture like any other
            Some(4) => Photometric::BlackIsZero,
            Some(5) => Photometric::Cmyk,
            Some(6) => Photometric::YCbCr,
            Some(8) => Photometric::CieLab,
            Some(9) => Photometric::IccLab,
            Some(10) => return refuse("ITU L*a*b*"),
            Some(32803) => return refuse("a colour filter array"),
            Some(32844 | 32845) => return refuse("LogLuv"),
            Some(other) => return refuse(&format!("number {other}")),
            // required, but libtiff guesses alike
            None if compression.is_fax() => Photometric::WhiteIsZero,
            None if samples >= 3 => Photometric::Rgb,
            None => Photometric::BlackIsZero,
        })
    }

    /// How many samples hold the colour.
    pub(super) fn colours(self) -> u16 {
        match self {
            Photometric::WhiteIsZero | Photometric::BlackIsZero | Photometric::Palette => 1,
            Photometric::Rgb | Photometric::YCbCr | Photometric::CieLab | Photometric::IccLab => 3,
            Photometric::Cmyk => 4,
        }
    }
}

/// TIFF 6.0 §19, SampleFormat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Unsigned,
    Signed,
    Float,
}

/// TIFF 6.0 §14, Predictor, and Photoshop TIFF technical note 3 for floating point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    Horizontal,
    Float,
}

/// One of the extra samples as alpha (TIFF 6.0 §18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alpha {
    /// Which sample of a pixel it is.
    pub(super) index: u16,
    /// The colours were multiplied with it.
    pub(super) associated: bool,
}

/// The strips or tiles of one plane. A strip counts as a tile of the picture's width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) tiled: bool,
    pub(super) width: u32,
    /// The last strip may have fewer.
    pub(super) rows: u32,
    pub(super) across: u32,
    pub(super) down: u32,
}

/// What turns YCbCr to RGB (TIFF 6.0 §20 and §21).
#[derive(Clone, Copy, Debug)]
pub(super) struct YCbCr {
    /// The part of red, green and blue in the luma.
    pub(super) luma: [f32; 3],
    /// Codes of black and white, of Y, Cb and Cr.
    pub(super) reference: [f32; 6],
    /// Width and height in pixels of the area that shares one Cb and Cr.
    pub(super) subsampling: (u32, u32),
}

/// Fields that only old-style JPEG has (TIFF 6.0 §22).
#[derive(Clone, Copy)]
pub(super) struct OldJpeg<'a> {
    /// A whole JPEG file inside of this one.
    pub(super) interchange: Option<&'a [u8]>,
    /// Offsets of the tables for quantization, and of the Huffman tables for DC and AC, for each component.
    pub(super) tables: [Option<Field<'a>>; 3],
}

/// The first page.
pub(crate) struct Page<'a> {
    pub(super) file: File<'a>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) orientation: u8,
    pub(super) bits: u16,
    pub(super) format: Format,
    pub(super) samples: u16,
    pub(super) photometric: Photometric,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    /// Each sample has strips of its own (PlanarConfiguration 2).
    pub(super) planar: bool,
    /// The first pixel is in the low bit of a byte (FillOrder 2).
    pub(super) low_bit_first: bool,
    pub(super) alpha: Option<Alpha>,
    pub(super) grid: Grid,
    pub(super) ycbcr: YCbCr,
    pub(super) color_map: Option<Field<'a>>,
    pub(super) jpeg_tables: Option<&'a [u8]>,
    pub(super) old_jpeg: OldJpeg<'a>,
    offsets: Option<Field<'a>>,
    counts: Option<Field<'a>>,
    /// Compressed bytes that may still be read.
    input_left: Cell<u64>,
}

impl<'a> Page<'a> {
    /// Reads and checks the fields.
    pub(super) fn read(file: File<'a>, directory: &Directory<'a>) -> Result<Page<'a>, Failure> {
        let width = dimension(directory, 256, "ImageWidth")?;
        let height = dimension(directory, 257, "ImageLength")?;
        let compression = Compression::read(directory)?;
        let samples = samples_per_pixel(directory)?;
        let photometric = Photometric::read(directory, compression, samples)?;
        let planar = directory.number(284)?.unwrap_or(1) == 2 && samples > 1;
        let old_jpeg = old_jpeg(file, directory, compression);
        let offsets = first_of(directory, [324, 273])?;
        let grid = grid(directory, (width, height), offsets.as_ref(), &old_jpeg)?;
        let ycbcr = YCbCr::read(directory)?;
        let page = Page {
            file,
            width,
            height,
            orientation: orientation(directory),
            bits: bits_per_sample(directory, samples)?,
            format: sample_format(directory, photometric)?,
            samples,
            photometric,
            compression,
            predictor: predictor(directory, compression)?,
            planar,
            low_bit_first: directory.optional(266).and_then(|field| field.get(0)) == Some(2),
            alpha: alpha(directory, photometric, samples),
            grid,
            ycbcr,
            color_map: directory.field(320)?,
            jpeg_tables: directory.optional(347).map(|field| field.data),
            old_jpeg,
            offsets,
            // a broken count can be done without
            counts: first_of(directory, [325, 279]).unwrap_or(None),
            input_left: Cell::new(0),
        };
        page.check()?;
        page.input_left.set(page.input_allowed());
        Ok(page)
    }

    /// Checks fields against each other.
    fn check(&self) -> Result<(), Failure> {
        let Page { bits, samples, photometric, .. } = *self;
        if samples < photometric.colours() {
            return Err(Failure::malformed(format!("{photometric:?} with {samples} samples a pixel")));
        }
        let bits_are_read = match self.format {
            Format::Float => matches!(bits, 16 | 24 | 32 | 64),
            _ if photometric == Photometric::Palette => (1..=16).contains(&bits),
            Format::Unsigned | Format::Signed => (1..=32).contains(&bits) || bits == 64,
        };
        if !bits_are_read {
            return Err(Failure::unsupported(format!("{bits} bits a sample as {:?} {photometric:?}", self.format)));
        }
        if self.compression.is_fax() && (bits, samples) != (1, 1) {
            return Err(Failure::malformed("fax compression of more than one bit a pixel"));
        }
        if self.compression.is_jpeg() && bits != 8 {
            return Err(Failure::unsupported(format!("JPEG compression with {bits} bits a sample")));
        }
        self.check_colours()?;
        self.check_predictor()
    }

    fn check_colours(&self) -> Result<(), Failure> {
        match self.photometric {
            Photometric::Palette => {
                let entries = self.color_map.map_or(0, |map| map.len());
                if entries < 3 << self.bits {
                    return Err(Failure::malformed(format!("its colour map has only {entries} values")));
                }
            }
            Photometric::YCbCr if !self.compression.is_jpeg() => {
                if self.bits != 8 || self.format != Format::Unsigned {
                    return Err(Failure::unsupported(format!("YCbCr with {} bits a sample", self.bits)));
                }
                if self.is_subsampled() && (self.planar || self.samples != 3) {
                    return Err(Failure::unsupported("subsampled YCbCr in planes or with extra samples"));
                }
            }
            Photometric::CieLab | Photometric::IccLab if !matches!(self.bits, 8 | 16) => {
                return Err(Failure::unsupported(format!("L*a*b* with {} bits a sample", self.bits)));
            }
            _ => {}
        }
        Ok(())
    }

    fn check_predictor(&self) -> Result<(), Failure> {
        let fits = match self.predictor {
            Predictor::None => true,
            Predictor::Horizontal => matches!(self.bits, 8 | 16 | 32 | 64) && !self.is_subsampled(),
            Predictor::Float => self.format == Format::Float,
        };
        let refusal = || format!("the predictor {:?} with {} bits a sample", self.predictor, self.bits);
        if fits { Ok(()) } else { Err(Failure::unsupported(refusal())) }
    }

    pub(super) fn has_alpha(&self) -> bool {
        self.alpha.is_some() && !self.is_cmyk()
    }

    pub(super) fn is_cmyk(&self) -> bool {
        self.photometric == Photometric::Cmyk
    }

    pub(super) fn is_grey(&self) -> bool {
        matches!(self.photometric, Photometric::WhiteIsZero | Photometric::BlackIsZero)
    }

    /// Samples of a pixel of the decoded picture.
    pub(super) fn channels(&self) -> usize {
        if self.is_cmyk() || self.has_alpha() { 4 } else { 3 }
    }

    /// Whether several pixels of uncompressed or losslessly compressed YCbCr share their chroma.
    pub(super) fn is_subsampled(&self) -> bool {
        self.photometric == Photometric::YCbCr && !self.compression.is_jpeg() && self.ycbcr.subsampling != (1, 1)
    }

    /// Whether the decoded picture needs 16 bits a sample.
    pub(super) fn is_deep(&self) -> bool {
        (self.bits > 8 || self.format == Format::Float) && self.photometric != Photometric::Palette
    }

    /// The samples that the picture is made of: of a plane each, or those of a pixel's that are together.
    pub(super) fn planes(&self) -> Vec<u16> {
        if !self.planar {
            return vec![0];
        }
        let alpha = self.alpha.filter(|_| self.has_alpha()).map(|alpha| alpha.index);
        (0..self.photometric.colours()).chain(alpha).collect()
    }

    /// Samples of a pixel within one strip or tile.
    pub(super) fn samples_together(&self) -> usize {
        if self.planar { 1 } else { self.samples.into() }
    }

    /// Rows of the strips or tiles at a place down the picture.
    pub(super) fn rows_at(&self, down: u32) -> u32 {
        let Grid { tiled, rows, .. } = self.grid;
        if tiled { rows } else { rows.min(self.height - down * rows) }
    }

    /// Bytes of a row of a strip or tile, decompressed; of subsampled YCbCr, those of a row of data units (§21).
    pub(super) fn stride(&self) -> u64 {
        let width = u64::from(self.grid.width);
        if self.is_subsampled() {
            let (across, down) = self.ycbcr.subsampling;
            return width.div_ceil(across.into()) * u64::from(across * down + 2);
        }
        (width * u64::from(self.bits)).saturating_mul(self.samples_together() as u64).div_ceil(8)
    }

    /// Bytes of a strip or tile with so many rows, decompressed.
    pub(super) fn segment_bytes(&self, rows: u32) -> u64 {
        let rows = if self.is_subsampled() { rows.div_ceil(self.ycbcr.subsampling.1) } else { rows };
        self.stride().saturating_mul(rows.into())
    }

    /// An upper bound of what decoding takes.
    pub(super) fn decoded_bytes(&self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let picture = pixels.saturating_mul(self.channels() as u64 * if self.is_deep() { 2 } else { 1 });
        picture.saturating_add(self.held_bytes())
    }

    /// The same without the picture.
    pub(super) fn held_bytes(&self) -> u64 {
        let beside = self.planes().len() as u64 * u64::from(self.grid.across);
        let segment = self.segment_bytes(self.grid.rows).saturating_mul(beside);
        let segment = match self.compression {
            // read where it is
            Compression::None if !self.low_bit_first => 0,
            // two rows as lists of at most two changes a pixel, which grow by doubling
            _ if self.compression.is_fax() => segment.saturating_add(32 * u64::from(self.grid.width)),
            // a progressive picture keeps its coefficients, 16 bits each
            Compression::Jpeg | Compression::OldJpeg => segment.saturating_mul(3),
            _ => segment,
        };
        let row = u64::from(self.width).saturating_mul(2 * u64::from(self.samples));
        // JPEG streams are put together, bits are turned round in a copy
        let input = if self.compression == Compression::None { 0 } else { self.file.bytes.len() as u64 };
        segment.saturating_add(row).saturating_add(input).saturating_add(1 << 20)
    }

    /// Every strip or tile must begin in the file; all of it must be there where nothing is compressed. Asked before
    /// anything is allocated.
    pub(super) fn check_segments(&self) -> Result<(), Failure> {
        if self.old_jpeg.interchange.is_some() {
            return Ok(());
        }
        for plane in self.planes() {
            for down in 0..self.grid.down {
                for across in 0..self.grid.across {
                    self.segment_range(plane, down, across)?;
                }
            }
        }
        Ok(())
    }

    /// The compressed bytes of a strip or tile.
    pub(super) fn segment(&self, plane: u16, down: u32, across: u32) -> Result<&'a [u8], Failure> {
        let range = self.segment_range(plane, down, across)?;
        let left = self.input_left.get().checked_sub(range.len() as u64);
        self.input_left.set(left.ok_or_else(|| Failure::Limit("its strips overlap too much".into()))?);
        Ok(&self.file.bytes[range])
    }

    /// More than this no true file has: strips do not overlap but where small ones of one colour are shared.
    fn input_allowed(&self) -> u64 {
        let Grid { across, down, .. } = self.grid;
        let segments = (u64::from(across) * u64::from(down)).saturating_mul(self.planes().len() as u64);
        let raw = segments.saturating_mul(self.segment_bytes(self.grid.rows));
        (2 * self.file.bytes.len() as u64).saturating_add(raw.saturating_mul(8)).saturating_add(1 << 20)
    }

    fn segment_range(&self, plane: u16, down: u32, across: u32) -> Result<std::ops::Range<usize>, Failure> {
        let grid = self.grid;
        let before = usize::from(plane).saturating_mul(grid.down as usize).saturating_add(down as usize);
        let index = before.saturating_mul(grid.across as usize).saturating_add(across as usize);
        let outside = || Failure::malformed(format!("its strip or tile {index} lies outside of the file"));
        let length = self.file.bytes.len();
        let start = self.offsets.and_then(|offsets| offsets.get(index)).ok_or_else(outside)?;
        let start = usize::try_from(start).ok().filter(|&start| 0 < start && start < length).ok_or_else(outside)?;
        let needed = usize::try_from(self.segment_bytes(self.rows_at(down))).unwrap_or(usize::MAX);
        if self.compression == Compression::None {
            // the count says nothing that is not known, and often is wrong
            let end = start.checked_add(needed).filter(|&end| end <= length).ok_or_else(outside)?;
            return Ok(start..end);
        }
        let counted = self.counts.and_then(|counts| counts.get(index)).filter(|&count| count > 0);
        let counted = counted.map_or(length - start, |count| usize::try_from(count).unwrap_or(usize::MAX));
        if counted > length - start {
            return Err(outside());
        }
        // no compression makes much more of anything; JPEG brings its tables, and profiles maybe
        let slack = if self.compression.is_jpeg() { 4 << 20 } else { 64 << 10 };
        let most = counted.min(needed.saturating_mul(8).saturating_add(slack));
        Ok(start..start + most)
    }
}

impl YCbCr {
    fn read(directory: &Directory<'_>) -> Result<YCbCr, Failure> {
        let reals = |tag, default: &[f32], out: &mut [f32]| {
            let field = directory.optional(tag);
            for (index, value) in out.iter_mut().enumerate() {
                let read = field.and_then(|field| field.real(index)).map(|value| value as f32);
                *value = read.unwrap_or(default[index]);
            }
        };
        // §21: the defaults are those of CCIR 601
        let (mut luma, mut reference) = ([0.0; 3], [0.0; 6]);
        reals(529, &[0.299, 0.587, 0.114], &mut luma);
        reals(532, &[0.0, 255.0, 128.0, 255.0, 128.0, 255.0], &mut reference);
        if luma[1] == 0.0 || reference.as_chunks::<2>().0.iter().any(|[black, white]| black == white) {
            return Err(Failure::malformed("its YCbCr coefficients make no sense"));
        }
        let factor = |index| directory.optional(530).and_then(|field| field.get(index)).unwrap_or(2) as u32;
        let subsampling = (factor(0), factor(1));
        if ![subsampling.0, subsampling.1].iter().all(|factor| matches!(factor, 1 | 2 | 4)) {
            return Err(Failure::malformed(format!("its YCbCr subsampling is {subsampling:?}")));
        }
        Ok(YCbCr { luma, reference, subsampling })
    }
}

fn dimension(directory: &Directory<'_>, tag: u16, name: &str) -> Result<u32, Failure> {
    let field = directory.field(tag)?.ok_or_else(|| Failure::malformed(format!("it has no {name}")))?;
    let value = field.get(0).filter(|&value| field.len() == 1 && 0 < value && value <= i32::MAX as u64);
    value.map(|value| value as u32).ok_or_else(|| Failure::malformed(format!("its {name} makes no sense")))
}

/// The first of the fields that is there: writers mix up those of strips and those of tiles.
fn first_of<'a>(directory: &Directory<'a>, tags: [u16; 2]) -> Result<Option<Field<'a>>, Failure> {
    Ok(directory.field(tags[0])?.or(directory.field(tags[1])?))
}

fn samples_per_pixel(directory: &Directory<'_>) -> Result<u16, Failure> {
    let stated = match directory.number(277)? {
        Some(samples) => samples,
        // required of colour pictures, but some only say it by the number of depths
        None => directory.field(258)?.map_or(1, |bits| bits.len() as u64),
    };
    let samples = u16::try_from(stated).ok().filter(|&samples| samples > 0);
    samples.ok_or_else(|| Failure::malformed(format!("{stated} samples a pixel")))
}

/// The depth of all samples; depths that are missing or too many do not matter.
fn bits_per_sample(directory: &Directory<'_>, samples: u16) -> Result<u16, Failure> {
    let Some(field) = directory.field(258)? else { return Ok(1) };
    let mut depths = (0..field.len().min(samples.into())).map(|index| field.get(index));
    let first = depths.next().flatten().unwrap_or(0);
    if depths.any(|depth| depth != Some(first)) {
        return Err(Failure::unsupported("its samples differ in their bits"));
    }
    Ok(first.min(u16::MAX.into()) as u16)
}

fn sample_format(directory: &Directory<'_>, photometric: Photometric) -> Result<Format, Failure> {
    match directory.number(339)? {
        // the colour space itself says what the numbers are
        _ if matches!(photometric, Photometric::CieLab | Photometric::IccLab | Photometric::Palette) => {
            Ok(Format::Unsigned)
        }
        // 4 is "undefined", and 0 is met
        None | Some(0 | 1 | 4) => Ok(Format::Unsigned),
        Some(2) => Ok(Format::Signed),
        Some(3) => Ok(Format::Float),
        Some(other) => Err(Failure::unsupported(format!("its samples are of format {other}"))),
    }
}

/// Only the general compressions have predictors; elsewhere libtiff does not look at the tag.
fn predictor(directory: &Directory<'_>, compression: Compression) -> Result<Predictor, Failure> {
    if !matches!(compression, Compression::Lzw | Compression::Deflate) {
        return Ok(Predictor::None);
    }
    match directory.number(317)? {
        None | Some(0 | 1) => Ok(Predictor::None),
        Some(2) => Ok(Predictor::Horizontal),
        Some(3) => Ok(Predictor::Float),
        Some(other) => Err(Failure::unsupported(format!("its predictor is number {other}"))),
    }
}

fn orientation(directory: &Directory<'_>) -> u8 {
    let stated = directory.optional(274).and_then(|field| field.get(0));
    stated.filter(|orientation| (1..=8).contains(orientation)).unwrap_or(1) as u8
}

/// The first extra sample that is alpha (§18). A fourth sample that RGB does not explain is taken for alpha, as by
/// Pillow, and so is the number 999 that Corel wrote.
fn alpha(directory: &Directory<'_>, photometric: Photometric, samples: u16) -> Option<Alpha> {
    let colours = photometric.colours();
    let extras = samples.checked_sub(colours)?;
    let Some(field) = directory.optional(338) else {
        let unexplained = photometric == Photometric::Rgb && extras == 1;
        return unexplained.then_some(Alpha { index: colours, associated: false });
    };
    (0..extras).find_map(|extra| match field.get(extra.into()) {
        Some(1) => Some(Alpha { index: colours + extra, associated: true }),
        Some(2 | 999) => Some(Alpha { index: colours + extra, associated: false }),
        _ => None,
    })
}

/// How the picture is cut up: §15 for tiles, §8 RowsPerStrip for strips.
fn grid(
    directory: &Directory<'_>, (width, height): (u32, u32), offsets: Option<&Field<'_>>, old: &OldJpeg<'_>,
) -> Result<Grid, Failure> {
    let whole = Grid { tiled: false, width, rows: height, across: 1, down: 1 };
    if old.interchange.is_some() {
        return Ok(whole);
    }
    if directory.field(322)?.is_some() {
        let (tile_width, rows) = (dimension(directory, 322, "TileWidth")?, dimension(directory, 323, "TileLength")?);
        let (across, down) = (width.div_ceil(tile_width), height.div_ceil(rows));
        return Ok(Grid { tiled: true, width: tile_width, rows, across, down });
    }
    let rows = directory.optional(278).and_then(|field| field.get(0)).unwrap_or(u64::MAX).min(height.into()) as u32;
    if rows == 0 || offsets.is_some_and(|offsets| offsets.len() == 1) {
        // whatever it says, a single strip has all the rows
        return Ok(whole);
    }
    Ok(Grid { rows, down: height.div_ceil(rows), ..whole })
}

fn old_jpeg<'a>(file: File<'a>, directory: &Directory<'a>, compression: Compression) -> OldJpeg<'a> {
    if compression != Compression::OldJpeg {
        return OldJpeg { interchange: None, tables: [None; 3] };
    }
    let number = |tag| directory.optional(tag).and_then(|field| field.get(0));
    let length = file.bytes.len() as u64;
    let interchange = number(513).filter(|&at| at > 0).and_then(|at| {
        // the length often is that of the headers alone, or missing; the picture ends itself
        file.slice(at, length.checked_sub(at)?)
    });
    let interchange = interchange.filter(|bytes| bytes.starts_with(&[0xFF, 0xD8]));
    OldJpeg { interchange, tables: [519, 520, 521].map(|tag| directory.optional(tag)) }
}

#[cfg(test)]
mod tests {
    use super::super::made::{LONG, Made};
    use super::*;

    fn page<T>(made: &Made, look: impl FnOnce(Page<'_>) -> T) -> Result<T, Failure> {
        let bytes = made.build();
        let (file, first) = File::open(&bytes)?;
        Page::read(file, &file.directory(first)?).map(look)
    }

    #[test]
    fn grids() {
        let made = Made::new((100, 50), &[8], 1, &[0]);
        let tiles = made.clone().with(322, &[64]).with(323, &[16]);
        for (name, made, wanted) in [
            ("nothing said", made.clone(), (100, 50, 1, 1)),
            ("the number for one strip", made.clone().with_kind(278, LONG, &[u32::MAX.into()]), (100, 50, 1, 1)),
            ("several strips", made.clone().with(278, &[8]).strips(&[&[0][..]; 7]), (100, 8, 1, 7)),
            ("too many", made.clone().with(278, &[8]).strips(&[&[0][..]; 9]), (100, 8, 1, 7)),
            ("no rows in a strip", made.with(278, &[0]).strips(&[&[0][..]; 7]), (100, 50, 1, 1)),
            ("tiles", tiles, (64, 16, 2, 4)),
        ] {
            let found = page(&made, |page| (page.grid.width, page.grid.rows, page.grid.across, page.grid.down));
            assert_eq!(found, Ok(wanted), "{name}");
        }
    }

    #[test]
    fn missing_fields_are_guessed() {
        let mut grey = Made::new((1, 1), &[8], 1, &[0]);
        grey.without(262);
        let mut fax = Made::new((1, 1), &[1], 0, &[0]).with(259, &[4]);
        fax.without(262);
        let mut rgb = Made::new((1, 1), &[8; 3], 2, &[0]);
        rgb.without(262);
        rgb.without(277);
        let mut bilevel = Made::new((1, 1), &[1], 0, &[0]);
        bilevel.without(258);
        bilevel.without(277);
        for (made, wanted) in [
            (grey, (Photometric::BlackIsZero, 1, 8)),
            (fax, (Photometric::WhiteIsZero, 1, 1)),
            (rgb, (Photometric::Rgb, 3, 8)),
            (bilevel, (Photometric::WhiteIsZero, 1, 1)),
        ] {
            assert_eq!(page(&made, |page| (page.photometric, page.samples, page.bits)), Ok(wanted));
        }
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let most = u64::from(i32::MAX as u32);
        let made = Made::new((1, 1), &[64], 1, &[0]).with_kind(256, LONG, &[most]).with_kind(257, LONG, &[most]);
        let made = made.with(277, &[65535]);
        let tiles = made.clone().with(322, &[1]).with(323, &[1]).with(284, &[2]).with(338, &[0; 40000]);
        for made in [made, tiles] {
            let found = page(&made, |page| (page.decoded_bytes() > 1 << 60, page.check_segments().is_err()));
            assert_eq!(found, Ok((true, true)));
        }
    }

    #[test]
    fn strips_may_not_overlap_without_end() {
        let mut made = Made::new((1, 400), &[8], 1, &[0; 60_000]).with(259, &[32773]).with(278, &[1]);
        made = made.with_kind(273, LONG, &[8; 400]).with_kind(279, LONG, &[60_000; 400]);
        let read = page(&made, |page| (0..400).map(|down| page.segment(0, down, 0)).find_map(Result::err));
        assert!(matches!(read, Ok(Some(Failure::Limit(_)))), "{read:?}");
    }
}

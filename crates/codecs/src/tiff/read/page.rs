//! The first page by the fields of its IFD.
//!
//! All fields are validated here, so that the decoders can rely on them. Many writers get some of them wrong, RowsPerStrip and the byte
//! counts above all; files that libtiff reads nevertheless are read here, too.

use std::cell::Cell;

use super::Failure;
use super::grid::{Grid, OldJpeg, dimension, read_grid};
use super::ifd::{Directory, Field, File};
use super::tags::{Compression, Photometric, Predictor, SampleFormat, YCbCr, predictor, sample_format};

/// The extra sample that is alpha (TIFF 6.0 §18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alpha {
    /// Its index among the samples of a pixel.
    pub(super) index: u16,
    /// Whether the colours are premultiplied.
    pub(super) associated: bool,
}

/// The first page.
pub(crate) struct Page<'a> {
    pub(super) file: File<'a>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) orientation: u8,
    /// BitsPerSample, equal for all samples.
    pub(super) bits: u16,
    pub(super) format: SampleFormat,
    /// SamplesPerPixel.
    pub(super) samples: u16,
    pub(super) photometric: Photometric,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    /// Whether each sample has strips of its own (PlanarConfiguration 2).
    pub(super) planar: bool,
    /// Whether the first pixel is in the low bit of a byte (FillOrder 2).
    pub(super) lsb_first: bool,
    pub(super) alpha: Option<Alpha>,
    pub(super) grid: Grid,
    pub(super) ycbcr: YCbCr,
    pub(super) color_map: Option<Field<'a>>,
    pub(super) jpeg_tables: Option<&'a [u8]>,
    pub(super) old_jpeg: OldJpeg<'a>,
    pub(super) offsets: Option<Field<'a>>,
    pub(super) counts: Option<Field<'a>>,
    /// Compressed bytes that may still be read.
    pub(super) input_left: Cell<u64>,
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
        let grid = read_grid(directory, (width, height), offsets.as_ref(), &old_jpeg)?;
        // the tags occur in files of other colours, too; old-style JPEG without headers is subsampled as they say
        let has_ycbcr = photometric == Photometric::YCbCr || compression == Compression::OldJpeg;
        let ycbcr = if has_ycbcr { YCbCr::read(directory)? } else { YCbCr::DEFAULT };
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
            lsb_first: directory.optional(266).and_then(|field| field.get(0)) == Some(2),
            alpha: alpha(directory, photometric, samples),
            grid,
            ycbcr,
            color_map: directory.field(320)?,
            jpeg_tables: directory.optional(347).map(|field| field.data),
            old_jpeg,
            offsets,
            // invalid byte counts are ignored
            counts: first_of(directory, [325, 279]).unwrap_or(None),
            input_left: Cell::new(0),
        };
        page.check()?;
        page.input_left.set(page.max_input());
        Ok(page)
    }

    /// Checks fields against each other.
    fn check(&self) -> Result<(), Failure> {
        let Page { bits, samples, photometric, .. } = *self;
        if samples < photometric.colour_samples() {
            return Err(Failure::malformed(format!("{photometric:?} with {samples} samples a pixel")));
        }
        let is_supported = match self.format {
            SampleFormat::Float => matches!(bits, 16 | 24 | 32 | 64),
            _ if photometric == Photometric::Palette => (1..=16).contains(&bits),
            SampleFormat::Unsigned | SampleFormat::Signed => (1..=32).contains(&bits) || bits == 64,
        };
        if !is_supported {
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
                    return Err(Failure::malformed(format!("its ColorMap has only {entries} values")));
                }
            }
            Photometric::YCbCr if !self.compression.is_jpeg() => {
                if self.bits != 8 || self.format != SampleFormat::Unsigned {
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
            Predictor::Float => self.format == SampleFormat::Float,
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

    /// Samples of a decoded pixel.
    pub(super) fn channels(&self) -> usize {
        if self.is_cmyk() || self.has_alpha() { 4 } else { 3 }
    }

    /// Whether YCbCr, other than in JPEG, is subsampled.
    pub(super) fn is_subsampled(&self) -> bool {
        self.photometric == Photometric::YCbCr && !self.compression.is_jpeg() && self.ycbcr.subsampling != (1, 1)
    }

    /// Whether the decoded picture has 16 bits a sample.
    pub(super) fn is_deep(&self) -> bool {
        (self.bits > 8 || self.format == SampleFormat::Float) && self.photometric != Photometric::Palette
    }

    /// The planes to decode: the index of each sample, or 0 for interleaved samples.
    pub(super) fn planes(&self) -> Vec<u16> {
        if !self.planar {
            return vec![0];
        }
        let alpha = self.alpha.filter(|_| self.has_alpha()).map(|alpha| alpha.index);
        (0..self.photometric.colour_samples()).chain(alpha).collect()
    }

    /// Samples of a pixel in one strip or tile.
    pub(super) fn interleaved_samples(&self) -> usize {
        if self.planar { 1 } else { self.samples.into() }
    }
}

/// The first field that exists: writers mix up those of strips and of tiles.
fn first_of<'a>(directory: &Directory<'a>, tags: [u16; 2]) -> Result<Option<Field<'a>>, Failure> {
    Ok(directory.field(tags[0])?.or(directory.field(tags[1])?))
}

fn samples_per_pixel(directory: &Directory<'_>) -> Result<u16, Failure> {
    let stated = match directory.number(277)? {
        Some(samples) => samples,
        // the tag is required of colour pictures, but some files only imply it by BitsPerSample
        None => directory.field(258)?.map_or(1, |bits| bits.len() as u64),
    };
    let samples = u16::try_from(stated).ok().filter(|&samples| samples > 0);
    samples.ok_or_else(|| Failure::malformed(format!("{stated} samples a pixel")))
}

/// The depth of all samples; missing and excess values are ignored.
fn bits_per_sample(directory: &Directory<'_>, samples: u16) -> Result<u16, Failure> {
    let Some(field) = directory.field(258)? else { return Ok(1) };
    let mut depths = (0..field.len().min(samples.into())).map(|index| field.get(index));
    let first = depths.next().flatten().unwrap_or(0);
    if depths.any(|depth| depth != Some(first)) {
        return Err(Failure::unsupported("its samples differ in depth"));
    }
    Ok(first.min(u16::MAX.into()) as u16)
}

fn orientation(directory: &Directory<'_>) -> u8 {
    let stated = directory.optional(274).and_then(|field| field.get(0));
    stated.filter(|orientation| (1..=8).contains(orientation)).unwrap_or(1) as u8
}

/// The first extra sample that is alpha (§18). A fourth sample of RGB without ExtraSamples is alpha, as in Pillow, and so is type 999,
/// which Corel wrote.
fn alpha(directory: &Directory<'_>, photometric: Photometric, samples: u16) -> Option<Alpha> {
    let colours = photometric.colour_samples();
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

fn old_jpeg<'a>(file: File<'a>, directory: &Directory<'a>, compression: Compression) -> OldJpeg<'a> {
    if compression != Compression::OldJpeg {
        return OldJpeg { interchange: None, tables: [None; 3] };
    }
    let number = |tag| directory.optional(tag).and_then(|field| field.get(0));
    let length = file.bytes.len() as u64;
    let interchange = number(513).filter(|&at| at > 0).and_then(|at| {
        // the stated length is often that of the headers, or missing; the stream has its own end
        file.slice(at, length.checked_sub(at)?)
    });
    let interchange = interchange.filter(|bytes| bytes.starts_with(&[0xFF, 0xD8]));
    OldJpeg { interchange, tables: [519, 520, 521].map(|tag| directory.optional(tag)) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{LONG, TestFile};
    use super::*;

    fn page<T>(made: &TestFile, look: impl FnOnce(Page<'_>) -> T) -> Result<T, Failure> {
        let bytes = made.build();
        let (file, first) = File::open(&bytes)?;
        Page::read(file, &file.directory(first)?).map(look)
    }

    #[test]
    fn grid_follows_strip_and_tile_tags() {
        let made = TestFile::new((100, 50), &[8], 1, &[0]);
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
    fn missing_tags_are_guessed_as_by_libtiff() {
        let mut grey = TestFile::new((1, 1), &[8], 1, &[0]);
        grey.without(262);
        let mut fax = TestFile::new((1, 1), &[1], 0, &[0]).with(259, &[4]);
        fax.without(262);
        let mut rgb = TestFile::new((1, 1), &[8; 3], 2, &[0]);
        rgb.without(262);
        rgb.without(277);
        let mut bilevel = TestFile::new((1, 1), &[1], 0, &[0]);
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
        let made = TestFile::new((1, 1), &[64], 1, &[0]).with_kind(256, LONG, &[most]).with_kind(257, LONG, &[most]);
        let made = made.with(277, &[65535]);
        let tiles = made.clone().with(322, &[1]).with(323, &[1]).with(284, &[2]).with(338, &[0; 40000]);
        for made in [made, tiles] {
            let found = page(&made, |page| (page.decoded_bytes() > 1 << 60, page.check_segments().is_err()));
            assert_eq!(found, Ok((true, true)));
        }
    }

    #[test]
    fn overlapping_strips_are_limited() {
        let of_length = |length: u64| {
            let made = TestFile::new((1, 400), &[8], 1, &[0; 60_000]).with(278, &[1]);
            made.with_kind(273, LONG, &[8; 400]).with_kind(279, LONG, &[length; 400])
        };
        let tables = of_length(40).with_kind(347, 7, &[0; 60_000]);
        for (name, made, is_limited) in [
            ("long strips", of_length(60_000).with(259, &[32773]), true),
            ("short strips", of_length(40).with(259, &[32773]), false),
            ("long tables of JPEG", tables.clone().with(259, &[7]), true),
            ("tables that are not used", tables.with(259, &[32773]), false),
        ] {
            let read = page(&made, |page| (0..400).map(|down| page.segment(0, down, 0)).find_map(Result::err));
            assert_eq!(matches!(read, Ok(Some(Failure::Limit(_)))), is_limited, "{name}: {read:?}");
        }
    }

    #[test]
    fn memory_of_jpeg_tiles_is_that_of_full_mcus() {
        let made = TestFile::new((1000, 1), &[8], 1, &[0]).with(259, &[7]).with(322, &[1]).with(323, &[1]);
        let bytes = page(&made, |page| page.working_bytes());
        assert!(bytes.as_ref().is_ok_and(|&bytes| bytes >= 1000 * 32 * 32 * 3), "{bytes:?}");
    }
}

//! TIFF (TIFF 6.0 with its supplements, and BigTIFF): the first page, in 8 or 16 bits a sample.
//!
//! A TIFF can have samples of 1 to 64 bits, in 9 colour spaces and as many compressions, and most combinations occur; unsupported
//! ones are refused by name. A truncated strip is an error here, where libtiff leaves it grey.

mod compression;
mod convert;
mod exif;
mod fax;
mod grid;
mod ifd;
mod jpeg;
mod page;
mod pixels;
mod samples;
mod segments;
mod tags;
#[cfg(test)]
mod testing;

pub(crate) use page::Page;
pub(crate) use pixels::PageRows;

use crate::samples::{Decoded, Samples};

/// Properties of the first page.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// As stored, before the orientation is applied.
    pub(crate) width: u32,
    /// As stored, before the orientation is applied.
    pub(crate) height: u32,
    /// As in EXIF, 1 to 8 (TIFF 6.0 §8, Orientation).
    pub(crate) orientation: u8,
    /// Whether the decoded picture has a fourth sample, alpha.
    pub(crate) has_alpha: bool,
    /// The ICC profile, where there is one of a sensible size.
    pub(crate) icc: Option<Vec<u8>>,
    /// Descriptive fields as an EXIF block.
    pub(crate) exif: Option<Vec<u8>>,
    /// Whether the decoded picture is CMYK; 0 is no ink.
    pub(crate) is_cmyk: bool,
    /// Whether the picture is greyscale.
    pub(crate) is_grey: bool,
    /// Peak memory of decoding in bytes, the picture included.
    pub(crate) decoded_bytes: u64,
    /// The same without the picture, where it can be decoded by rows of 8 bits a sample.
    pub(crate) row_bytes: Option<u64>,
}

/// Why a file gives no picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It may well be a good file, of a kind that is not read here.
    Unsupported(String),
    /// It is broken.
    Malformed(String),
    /// It needs more memory or work than it may have.
    Limit(String),
}

impl Failure {
    fn malformed(text: impl Into<String>) -> Failure {
        Failure::Malformed(text.into())
    }

    fn unsupported(text: impl Into<String>) -> Failure {
        Failure::Unsupported(text.into())
    }
}

/// The most bytes of an ICC profile; those for printing have up to 4 MB.
const MAX_PROFILE: usize = 8 << 20;

/// Reads the IFD of the first page.
pub(crate) fn probe(bytes: &[u8]) -> Result<Header, Failure> {
    let (file, first) = ifd::File::open(bytes)?;
    let directory = file.directory(first)?;
    let page = Page::read(file, &directory)?;
    // tag 34675, ICC.1 Annex B.4
    let icc = directory.optional(34675).map(|field| field.data).filter(|data| data.len() <= MAX_PROFILE);
    Ok(Header {
        width: page.width,
        height: page.height,
        orientation: page.orientation,
        has_alpha: page.has_alpha(),
        icc: icc.map(<[u8]>::to_vec),
        exif: exif::from_fields(file, &directory),
        is_cmyk: page.is_cmyk(),
        is_grey: page.is_grey(),
        decoded_bytes: page.decoded_bytes(),
        row_bytes: (!page.is_deep() && !page.is_cmyk()).then(|| page.working_bytes()),
    })
}

/// Opens the first page.
pub(crate) fn page(bytes: &[u8]) -> Result<Page<'_>, Failure> {
    let (file, first) = ifd::File::open(bytes)?;
    Page::read(file, &file.directory(first)?)
}

/// Decodes the first page of the file that `header` was read from.
pub(crate) fn decode(bytes: &[u8], header: &Header, max_bytes: u64) -> Result<Decoded, Failure> {
    let page = page(bytes)?;
    if (page.width, page.height) != (header.width, header.height) {
        return Err(Failure::malformed("the header belongs to another file"));
    }
    let needed = page.decoded_bytes();
    if needed > max_bytes {
        return Err(Failure::Limit(format!("it takes {needed} bytes to decode, {max_bytes} are allowed")));
    }
    let samples = pixels::decode(&page)?;
    Ok(Decoded {
        width: page.width,
        height: page.height,
        channels: page.channels() as u8,
        // the converter has divided by associated alpha
        premultiplied: false,
        samples,
    })
}

#[cfg(test)]
mod tests {
    use super::testing::{LONG, TestFile};
    use super::*;

    const RGB: [u64; 3] = [8, 8, 8];
    const BLACK_IS_ZERO: u64 = 1;

    fn read(made: &TestFile) -> Result<Decoded, Failure> {
        let bytes = made.build();
        let header = probe(&bytes)?;
        decode(&bytes, &header, 16 << 20)
    }

    fn eight(made: &TestFile) -> Vec<u8> {
        match read(made).map(|decoded| decoded.samples) {
            Ok(Samples::Eight(samples)) => samples,
            other => panic!("{other:?}"),
        }
    }

    fn sixteen(made: &TestFile) -> Vec<u16> {
        match read(made).map(|decoded| decoded.samples) {
            Ok(Samples::Sixteen(samples)) => samples,
            other => panic!("{other:?}"),
        }
    }

    fn grey(samples: &[u8]) -> Vec<u8> {
        samples.iter().flat_map(|&sample| [sample; 3]).collect()
    }

    #[test]
    fn every_photometric_interpretation_is_converted() {
        let map: Vec<u64> = [0x1200, 0x3400, 0x5600, 0x7800, 0x9A00, 0xBC00].into();
        let short_map: Vec<u64> = [1, 2, 3, 4, 5, 6].into();
        let table: Vec<(&str, TestFile, Vec<u8>)> = vec![
            ("black is zero", TestFile::new((2, 1), &[8], 1, &[0, 200]), grey(&[0, 200])),
            ("white is zero", TestFile::new((2, 1), &[8], 0, &[0, 200]), grey(&[255, 55])),
            ("one bit", TestFile::new((3, 1), &[1], 1, &[0b1010_0000]), grey(&[255, 0, 255])),
            ("two bits", TestFile::new((4, 1), &[2], 1, &[0b0001_1011]), grey(&[0, 85, 170, 255])),
            ("four bits, white is zero", TestFile::new((2, 1), &[4], 0, &[0x0F]), grey(&[255, 0])),
            ("low bit first", TestFile::new((3, 1), &[1], 1, &[0b0000_0101]).with(266, &[2]), grey(&[255, 0, 255])),
            ("signed", TestFile::new((3, 1), &[8], 1, &[0x80, 0, 0x7F]).with(339, &[2]), grey(&[0, 128, 255])),
            ("rgb", TestFile::new((1, 1), &RGB, 2, &[1, 2, 3]), vec![1, 2, 3]),
            (
                "rgb with invalid tags of ycbcr",
                TestFile::new((1, 1), &RGB, 2, &[1, 2, 3]).with(530, &[3, 1]).with(532, &[0; 6]),
                vec![1, 2, 3],
            ),
            (
                "palette",
                TestFile::new((2, 1), &[1], 3, &[0x40]).with(320, &map),
                vec![0x12, 0x56, 0x9A, 0x34, 0x78, 0xBC],
            ),
            (
                "a palette of bytes",
                TestFile::new((2, 1), &[1], 3, &[0x40]).with(320, &short_map),
                vec![1, 3, 5, 2, 4, 6],
            ),
            ("inks", TestFile::new((1, 1), &[8; 4], 5, &[1, 2, 3, 4]), vec![1, 2, 3, 4]),
            ("ycbcr, red", TestFile::new((1, 1), &RGB, 6, &[76, 85, 255]).with(530, &[1, 1]), vec![254, 0, 0]),
            ("lab, white", TestFile::new((1, 1), &RGB, 8, &[255, 0, 0]), vec![255, 255, 255]),
            ("lab with an offset, black", TestFile::new((1, 1), &RGB, 9, &[0, 128, 128]), vec![0, 0, 0]),
        ];
        for (name, made, wanted) in table {
            assert_eq!(eight(&made), wanted, "{name}");
        }
    }

    #[test]
    fn subsampled_chroma_is_repeated() {
        // two units of 2x2 pixels for a picture of 3x2
        let units = [10, 20, 30, 40, 128, 128, 50, 0, 60, 0, 128, 128];
        let made = TestFile::new((3, 2), &RGB, 6, &units).with(530, &[2, 2]);
        assert_eq!(eight(&made), grey(&[10, 20, 50, 30, 40, 60]));
    }

    #[test]
    fn deep_samples_are_scaled_to_16_bits() {
        let one = 1f32.to_bits().to_le_bytes();
        let half = 0.5f64.to_bits().to_be_bytes();
        let table: Vec<(&str, TestFile, u16)> = vec![
            ("16 bits", TestFile::new((1, 1), &[16], 1, &[0x34, 0x12]), 0x1234),
            ("16 bits, big-endian", TestFile::new((1, 1), &[16], 1, &[0x12, 0x34]).big_endian(), 0x1234),
            ("32 bits", TestFile::new((1, 1), &[32], 1, &[0x78, 0x56, 0x34, 0x12]), 0x1234),
            ("12 bits", TestFile::new((1, 1), &[12], 1, &[0xFF, 0xF0]), 0xFFFF),
            ("float", TestFile::new((1, 1), &[32], 1, &one).with(339, &[3]), 0xFFFF),
            ("half float", TestFile::new((1, 1), &[16], 1, &[0, 0x38]).with(339, &[3]), 0x8000),
            ("float of 24 bits", TestFile::new((1, 1), &[24], 1, &[0, 0, 0x3E]).with(339, &[3]), 0x8000),
            ("double", TestFile::new((1, 1), &[64], 1, &half).with(339, &[3]).big_endian(), 0x8000),
            ("not a number", TestFile::new((1, 1), &[32], 1, &[0xFF; 4]).with(339, &[3]), 0),
        ];
        for (name, made, wanted) in table {
            assert_eq!(sixteen(&made), [wanted; 3], "{name}");
        }
    }

    #[test]
    fn alpha_is_found_among_extra_samples() {
        let rgba = TestFile::new((1, 1), &[8; 4], 2, &[50, 100, 25, 128]);
        let table: Vec<(&str, TestFile, &[u8])> = vec![
            ("straight", rgba.clone().with(338, &[2]), &[50, 100, 25, 128]),
            ("premultiplied", rgba.clone().with(338, &[1]), &[99, 199, 49, 128]),
            ("unspecified", rgba.clone().with(338, &[0]), &[50, 100, 25]),
            ("unexplained", rgba, &[50, 100, 25, 128]),
            ("second extra", TestFile::new((1, 1), &[8; 3], 1, &[9, 1, 2]).with(338, &[0, 2]), &[9, 9, 9, 2]),
            ("inks drop it", TestFile::new((1, 1), &[8; 5], 5, &[1, 2, 3, 4, 5]).with(338, &[2]), &[1, 2, 3, 4]),
        ];
        for (name, made, wanted) in table {
            assert_eq!(eight(&made), wanted, "{name}");
        }
    }

    #[test]
    fn strips_tiles_and_planes_are_assembled() {
        let column = TestFile::new((1, 3), &[8], BLACK_IS_ZERO, &[]);
        let tiled = TestFile::new((3, 1), &[8], BLACK_IS_ZERO, &[]).with(322, &[2]).with(323, &[2]);
        let planes = TestFile::new((2, 1), &[8; 4], 2, &[]).with(284, &[2]).with(338, &[2]);
        let table: Vec<(&str, TestFile, Vec<u8>)> = vec![
            ("strips", column.clone().with(278, &[2]).strips(&[&[1, 2], &[3]]), grey(&[1, 2, 3])),
            ("a strip with too much", column.clone().with(278, &[2]).strips(&[&[1, 2, 9], &[3]]), grey(&[1, 2, 3])),
            ("one strip, rows wrong", column.clone().with(278, &[1]).strips(&[&[1, 2, 3]]), grey(&[1, 2, 3])),
            ("rows of a full strip", column.clone().with(278, &[99]).strips(&[&[1, 2, 3]]), grey(&[1, 2, 3])),
            ("counts of nothing", column.with(279, &[0]).strips(&[&[1, 2, 3]]), grey(&[1, 2, 3])),
            ("tiles", tiled.strips(&[&[1, 2, 0, 0], &[3, 0, 0, 0]]), grey(&[1, 2, 3])),
            ("planes", planes.strips(&[&[1, 2], &[3, 4], &[5, 6], &[7, 8]]), vec![1, 3, 5, 7, 2, 4, 6, 8]),
        ];
        for (name, made, wanted) in table {
            assert_eq!(eight(&made), wanted, "{name}");
            assert_eq!(eight(&made.clone().big_endian()), wanted, "{name}, big-endian");
            assert_eq!(eight(&made.wide()), wanted, "{name}, BigTIFF");
        }
    }

    #[test]
    fn header_has_size_orientation_and_profile() {
        let made = TestFile::new((3, 2), &[16; 4], 5, &[0; 48]).with(274, &[6]).with_kind(34675, 7, &[1, 2, 3]);
        let header = probe(&made.build()).expect("a good header");
        assert_eq!((header.width, header.height, header.orientation), (3, 2, 6));
        assert_eq!((header.has_alpha, header.is_cmyk), (false, true));
        assert_eq!(header.icc.as_deref(), Some(&[1, 2, 3][..]));
    }

    #[test]
    fn invalid_and_unsupported_files_are_refused() {
        let whole = TestFile::new((4, 4), &[8], BLACK_IS_ZERO, &[0; 16]);
        let malformed = |failure: &Failure| matches!(failure, Failure::Malformed(_));
        let unsupported = |failure: &Failure| matches!(failure, Failure::Unsupported(_));
        let limit = |failure: &Failure| matches!(failure, Failure::Limit(_));
        type Check = fn(&Failure) -> bool;
        let table: Vec<(&str, TestFile, Check)> = vec![
            ("a short strip", whole.clone().with(273, &[250]), malformed),
            ("no strips", whole.clone().strips(&[]), malformed),
            ("no width", whole.clone().with(256, &[0]), malformed),
            ("a strip outside", whole.clone().with_kind(273, LONG, &[1 << 30]), malformed),
            ("packed bits that end", whole.clone().with(259, &[32773]).strips(&[&[0xF1]]), malformed),
            ("deflate that ends", whole.clone().with(259, &[8]).strips(&[&[0x78, 0x9C, 1]]), malformed),
            ("invalid subsampling", TestFile::new((1, 1), &RGB, 6, &[0; 3]).with(530, &[3, 1]), malformed),
            ("too few samples", whole.clone().with(262, &[2]), malformed),
            ("a colour map too short", whole.clone().with(262, &[3]).with(320, &[1, 2, 3]), malformed),
            ("LZMA", whole.clone().with(259, &[34925]), unsupported),
            ("bits that differ", TestFile::new((1, 1), &[8, 8, 4], 2, &[0; 3]), unsupported),
            ("complex numbers", whole.clone().with(339, &[6]), unsupported),
            ("a bomb", TestFile::new((60_000, 60_000), &[8], 1, &[0; 16]), limit),
        ];
        for (name, made, is_right) in table {
            let failure = read(&made).expect_err(name);
            assert!(is_right(&failure), "{name}: {failure:?}");
        }
    }

    #[test]
    fn truncated_file_is_refused_wherever_it_ends() {
        let bytes = TestFile::new((4, 4), &[8], BLACK_IS_ZERO, &[7; 16]).with(259, &[32773]).build();
        // the last four bytes are the offset of a second IFD
        for length in 0..bytes.len() - 4 {
            let cut = &bytes[..length];
            assert!(probe(cut).and_then(|header| decode(cut, &header, 1 << 20)).is_err(), "{length}");
        }
    }
}

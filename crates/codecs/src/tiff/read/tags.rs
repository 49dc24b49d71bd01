//! Tags with a closed set of values (TIFF 6.0 and its supplements), and the YCbCr parameters.

use super::Failure;
use super::ifd::Directory;

/// TIFF 6.0 §8, Compression, and the registered additions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    /// Modified Huffman; rows are aligned to bytes or 16-bit words.
    FaxRle {
        word_aligned: bool,
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
    pub(super) fn read(directory: &Directory<'_>) -> Result<Compression, Failure> {
        let refuse = |name: &str| Err(Failure::unsupported(format!("its compression is {name}")));
        Ok(match directory.number(259)?.unwrap_or(1) {
            1 => Compression::None,
            2 => Compression::FaxRle { word_aligned: false },
            32771 => Compression::FaxRle { word_aligned: true },
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
    pub(super) fn read(
        directory: &Directory<'_>, compression: Compression, samples: u16,
    ) -> Result<Photometric, Failure> {
        let refuse = |name: &str| Err(Failure::unsupported(format!("its colour space is {name}")));
        Ok(match directory.number(262)? {
            Some(0) => Photometric::WhiteIsZero,
            Some(1) => Photometric::BlackIsZero,
            Some(2) => Photometric::Rgb,
            Some(3) => Photometric::Palette,
            // a transparency mask is decoded as a bilevel picture
            Some(4) => Photometric::BlackIsZero,
            Some(5) => Photometric::Cmyk,
            Some(6) => Photometric::YCbCr,
            Some(8) => Photometric::CieLab,
            Some(9) => Photometric::IccLab,
            Some(10) => return refuse("ITU L*a*b*"),
            Some(32803) => return refuse("a colour filter array"),
            Some(32844 | 32845) => return refuse("LogLuv"),
            Some(other) => return refuse(&format!("number {other}")),
            // the tag is required; libtiff guesses in the same way
            None if compression.is_fax() => Photometric::WhiteIsZero,
            None if samples >= 3 => Photometric::Rgb,
            None => Photometric::BlackIsZero,
        })
    }

    /// The number of colour samples.
    pub(super) fn colour_samples(self) -> u16 {
        match self {
            Photometric::WhiteIsZero | Photometric::BlackIsZero | Photometric::Palette => 1,
            Photometric::Rgb | Photometric::YCbCr | Photometric::CieLab | Photometric::IccLab => 3,
            Photometric::Cmyk => 4,
        }
    }
}

/// TIFF 6.0 §19, SampleFormat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SampleFormat {
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

/// Parameters of the conversion from YCbCr to RGB (TIFF 6.0 §20 and §21).
#[derive(Clone, Copy, Debug)]
pub(super) struct YCbCr {
    /// The weights of red, green and blue in luma (YCbCrCoefficients).
    pub(super) coefficients: [f32; 3],
    /// Black and white codes of Y, Cb and Cr (ReferenceBlackWhite).
    pub(super) reference: [f32; 6],
    /// Width and height in pixels of the area that shares Cb and Cr (YCbCrSubSampling).
    pub(super) subsampling: (u32, u32),
}

impl YCbCr {
    /// §21: the defaults are those of CCIR 601.
    pub(super) const DEFAULT: YCbCr = YCbCr {
        coefficients: [0.299, 0.587, 0.114],
        reference: [0.0, 255.0, 128.0, 255.0, 128.0, 255.0],
        subsampling: (2, 2),
    };

    pub(super) fn read(directory: &Directory<'_>) -> Result<YCbCr, Failure> {
        let reals = |tag, out: &mut [f32]| {
            let field = directory.optional(tag);
            for (index, value) in out.iter_mut().enumerate() {
                if let Some(read) = field.and_then(|field| field.real(index)) {
                    *value = read as f32;
                }
            }
        };
        let YCbCr { mut coefficients, mut reference, subsampling: default } = YCbCr::DEFAULT;
        reals(529, &mut coefficients);
        reals(532, &mut reference);
        if coefficients[1] == 0.0 || reference.as_chunks::<2>().0.iter().any(|[black, white]| black == white) {
            return Err(Failure::malformed("its YCbCrCoefficients or ReferenceBlackWhite are invalid"));
        }
        let factor = |index| directory.optional(530).and_then(|field| field.get(index)).map(|factor| factor as u32);
        let subsampling = (factor(0).unwrap_or(default.0), factor(1).unwrap_or(default.1));
        if ![subsampling.0, subsampling.1].iter().all(|factor| matches!(factor, 1 | 2 | 4)) {
            return Err(Failure::malformed(format!("its YCbCrSubSampling is {subsampling:?}")));
        }
        Ok(YCbCr { coefficients, reference, subsampling })
    }
}

pub(super) fn sample_format(directory: &Directory<'_>, photometric: Photometric) -> Result<SampleFormat, Failure> {
    match directory.number(339)? {
        // the colour space defines the format
        _ if matches!(photometric, Photometric::CieLab | Photometric::IccLab | Photometric::Palette) => {
            Ok(SampleFormat::Unsigned)
        }
        // 4 is "undefined", and 0 occurs
        None | Some(0 | 1 | 4) => Ok(SampleFormat::Unsigned),
        Some(2) => Ok(SampleFormat::Signed),
        Some(3) => Ok(SampleFormat::Float),
        Some(other) => Err(Failure::unsupported(format!("its samples are of format {other}"))),
    }
}

/// The predictor of LZW and Deflate; libtiff ignores the tag with other compressions.
pub(super) fn predictor(directory: &Directory<'_>, compression: Compression) -> Result<Predictor, Failure> {
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

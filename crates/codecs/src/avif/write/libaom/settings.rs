//! libaom's settings by effort, kind of picture and quality, with the measurements that decided them: bytes and CPU at equal
//! SSIMULACRA2, as geometric means, on photographs of 640 columns and on screenshots, charts, maps and text of 800.

use std::ffi::CStr;

use tintype_codec_sys::libaom::EncoderOptions;

use crate::EncodeInput;
use crate::encoding::{Effort, PictureKind};
use tintype_pixels::ChromaSubsampling;

/// How the streams of a picture are encoded.
pub(super) struct Settings {
    /// Whether samples have 10 bits, not 8.
    pub(super) is_10_bit: bool,
    /// The chroma of pictures that do not come as planes.
    pub(super) subsampling: ChromaSubsampling,
    /// For luma and chroma.
    pub(super) colour: EncoderOptions,
    /// For alpha.
    pub(super) alpha: EncoderOptions,
}

/// Names and values of libaom's options.
type Options = &'static [(&'static CStr, &'static CStr)];

impl Settings {
    pub(super) fn of(input: &EncodeInput) -> Settings {
        let EncodeInput { quality, kind, threads, .. } = *input;
        let effort = input.encoding.effort;
        let is_exact = is_exact(quality);
        let is_photo = kind == PictureKind::Photo;
        let quantiser = quantiser(quality);
        let (speed, options) = if is_photo { photo(effort) } else { drawing(effort) };
        let matrices = (is_photo && !is_exact).then(|| matrices(effort, quantiser));
        let subsampling = if is_photo && !is_exact { ChromaSubsampling::S420 } else { ChromaSubsampling::S444 };
        Settings {
            is_10_bit: is_photo || is_exact,
            subsampling,
            colour: EncoderOptions { speed, quantiser, matrices, threads, options },
            alpha: alpha(effort, kind, quality, threads),
        }
    }
}

/// The speed and options for photographs, in 10 bits, which save 1 to 5 percent of the bytes for a quarter more CPU. To speed 9 in 8 bits
/// with matrices 2 to 10: fast 0.97 of the bytes for 1.2 of the CPU, balanced 0.92 for 7, dense 0.87 for 46. At speed 9 no option saves
/// anything; with the search of the others `tune=ssim` saves 8 percent, sharpness and no CDEF 2. Speed 8 needs 1.3 to 1.8 of the
/// bytes.
fn photo(effort: Effort) -> (u8, Options) {
    const WITH_SEARCH: Options = &[(c"tune", c"ssim"), (c"sharpness", c"7"), (c"enable-cdef", c"0"), NO_COPIES];
    match effort {
        Effort::Fast => (9, &[]),
        Effort::Balanced => (7, WITH_SEARCH),
        Effort::Dense => (5, WITH_SEARCH),
    }
}

/// No search for copies of blocks, which libaom makes where it takes a picture for a drawing, too. It saves 15 to 20 percent of the bytes,
/// most of it where text repeats, but triples the CPU, and its hashes take 65 to 130 bytes a pixel.
const NO_COPIES: (&CStr, &CStr) = (c"enable-intrabc", c"0");

/// The level of the quantisation matrices for photographs. Without search, flatter ones are better for fine quantisers: level 3 saves 7
/// percent at a score of 55 and 2 at 75, level 9 saves 6 at 85. The levels between keep the steps of quality even. No matrices cost
/// 11 percent. With search, level 8 is the best for all.
fn matrices(effort: Effort, quantiser: u8) -> u8 {
    match effort {
        Effort::Fast => 20_u8.saturating_sub(quantiser).clamp(3, 9),
        Effort::Balanced | Effort::Dense => 8,
    }
}

/// The speed and options for drawings, in 4:4:4, without which coloured text stays below a score of 30 at any size. To speed 8: fast 0.87
/// of the bytes for 1.35 of the CPU, balanced 0.83 for 3, dense 0.79 for 8. `tune=ssim` saves 3 percent; matrices, CDEF, sharpness
/// and 10 bits save nothing. Without `tune-content` half of the drawings are taken for photographs.
fn drawing(effort: Effort) -> (u8, Options) {
    const SCREEN: Options = &[(c"tune-content", c"screen"), (c"tune", c"ssim"), NO_COPIES];
    match effort {
        Effort::Fast => (7, SCREEN),
        Effort::Balanced => (6, SCREEN),
        Effort::Dense => (5, SCREEN),
    }
}

/// The least quality of alpha, 0 to 100: artefacts on edges of alpha are conspicuous.
const MIN_ALPHA_QUALITY: f32 = 50.0;

/// For alpha, without matrices, which cost a fifth of its bytes at equal error. To speed 9: speed 7 needs half of the bytes for five times
/// the CPU, which is about that of a photograph's colours at speed 9. Speed 8 needs more than speed 9 where alpha is no mask but a
/// picture, and palettes save nothing.
fn alpha(effort: Effort, kind: PictureKind, quality: f32, threads: u32) -> EncoderOptions {
    const NO_PALETTES_OR_COPIES: Options = &[(c"enable-palette", c"0"), NO_COPIES];
    let is_fast = effort == Effort::Fast && kind == PictureKind::Photo;
    let (speed, options): (u8, Options) = if is_fast { (9, &[]) } else { (7, NO_PALETTES_OR_COPIES) };
    EncoderOptions { speed, quantiser: quantiser(quality.max(MIN_ALPHA_QUALITY)), matrices: None, threads, options }
}

/// The quantiser of libaom, 0 to 63 and less is better, for a quality of 0 to 100. Only 100 is 0, which is lossless.
fn quantiser(quality: f32) -> u8 {
    let least = if is_exact(quality) { 0.0 } else { 1.0 };
    ((100.0 - quality.clamp(0.0, 100.0)) * 0.63).round().max(least) as u8
}

/// Whether every pixel is kept: in 10 bits the conversion to Y'CbCr and back is exact, and quantiser 0 is lossless.
pub(super) fn is_exact(quality: f32) -> bool {
    quality >= 100.0
}

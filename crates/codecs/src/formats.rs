//! The table of codecs by format. Every call is guarded: a panic in a codec becomes [`Error::Malformed`], in an encoder as in a
//! decoder, since the original's pixels led to it.

use std::panic::AssertUnwindSafe;

use tintype_pixels::DctScale;
use tintype_pixels::{Admitted, DecodeOptions, Decoded, Error, Format, Info, Integrity, Pixels, Region, Result, Size};

use crate::codec::{Codec, RowSink, ShouldContinue, Sink};
use crate::encode_input::EncodeInput;
use crate::encoding::Encoding;
#[cfg(feature = "svg")]
use crate::svg;
use crate::unsupported::Unsupported;
use crate::{avif, bmp, gif, ico, jpeg, jxl, png, pnm, qoi, tiff, webp};

/// The libraries of this build, for display.
pub const BACKENDS: &[&str] = &[
    jpeg::BACKEND,
    "webp: libwebp (encoding), image-webp (decoding); tintype-vp8 for lossy pictures that are opaque or reduced",
    avif::BACKEND,
    "jxl: jxl-oxide (decoding)",
    #[cfg(feature = "svg")]
    "svg: resvg (drawing)",
    "resize: fast_image_resize",
];

/// The codec of a format.
pub fn of(format: Format) -> Guarded {
    Guarded(
        format,
        match format {
            Format::Jpeg => &jpeg::Jpeg,
            Format::Png => &png::Png,
            Format::Gif => &gif::Gif,
            Format::WebP => &webp::WebP,
            Format::Avif => &avif::Avif,
            Format::Bmp => &bmp::Bmp,
            Format::Tiff => &tiff::Tiff,
            Format::Ico => &ico::Ico,
            Format::Pnm => &pnm::Pnm,
            Format::Qoi => &qoi::Qoi,
            Format::Jxl => &jxl::Jxl,
            Format::Heic => &Unsupported(Format::Heic, "HEVC decoders are not free of patents"),
            #[cfg(feature = "svg")]
            Format::Svg => &svg::Svg,
            #[cfg(not(feature = "svg"))]
            Format::Svg => &Unsupported(Format::Svg, "SVG is passed through untouched by this build"),
        },
    )
}

/// A codec whose panics are contained.
#[derive(Clone, Copy)]
pub struct Guarded(Format, &'static dyn Codec);

impl Codec for Guarded {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        self.decoding(|| self.1.probe(original))
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        self.decoding(|| self.1.decode(original, admitted, options, sink))
    }

    fn decode_several(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, others: &[DctScale],
    ) -> Result<Vec<Decoded>> {
        self.decoding(|| self.1.decode_several(original, admitted, options, others))
    }

    fn stream(&self, original: &[u8], admitted: &Admitted<'_>, sink: RowSink<'_>) -> Result<Integrity> {
        self.decoding(|| self.1.stream(original, admitted, sink))
    }

    fn draw(&self, original: &[u8], admitted: &Admitted<'_>, region: Region, size: Size) -> Result<Pixels> {
        self.decoding(|| self.1.draw(original, admitted, region, size))
    }

    fn accepts_ycbcr(&self, size: Size, encoding: Encoding, quality: f32) -> bool {
        self.1.accepts_ycbcr(size, encoding, quality)
    }

    fn has_end(&self, original: &[u8]) -> bool {
        self.1.has_end(original)
    }

    fn encode(&self, input: &EncodeInput, should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
        guarded(self.0, "encoder", || self.1.encode(input, should_continue))
    }
}

impl Guarded {
    fn decoding<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        guarded(self.0, "decoder", work)
    }
}

/// Calls the decoder or the encoder of a format.
fn guarded<T>(format: Format, part: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // unwind safe: all state of the codec is dropped here, nothing outlives the call
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Error::malformed(format, format!("its {part} panicked ({text})")))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tintype_pixels::{ChromaSubsampling, Frame, Pixels, Planes, Size};

    use super::*;
    use crate::encode_input::{EncodeInput, PictureData};
    use crate::encoding::{AvifEncoder, Effort, Encoding, PictureKind};

    const EFFORTS: [Effort; 3] = [Effort::Fast, Effort::Balanced, Effort::Dense];
    const KINDS: [PictureKind; 2] = [PictureKind::Photo, PictureKind::Drawing];

    /// Pseudo-random samples.
    fn samples(length: usize, seed: u32) -> Vec<u8> {
        (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8).collect()
    }

    /// A codec with nothing but bugs.
    struct Panics;

    impl Codec for Panics {
        fn probe(&self, _original: &[u8]) -> Result<Info> {
            panic!("in a header")
        }

        fn decode(
            &self, _original: &[u8], _admitted: &Admitted<'_>, _options: &DecodeOptions, _sink: Sink<'_>,
        ) -> Result<Integrity> {
            panic!("in a picture")
        }

        fn encode(&self, _input: &EncodeInput, _should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
            panic!("in an encoder")
        }
    }

    #[test]
    fn panic_of_a_codec_is_an_error_of_its_file() {
        let codec = Guarded(Format::WebP, &Panics);
        let error = codec.probe(b"").expect_err("a panic");
        assert!(matches!(&error, Error::Malformed { .. }) && error.to_string().contains("in a header"), "{error}");
        let pixels = Pixels::filled(Size::new(1, 1), &[0, 0, 0]);
        let input = EncodeInput::new(PictureData::Frames(vec![Frame { pixels, delay: 0 }]), 80.0);
        let error = codec.encode(&input, &mut || true).expect_err("a panic");
        assert!(
            matches!(&error, Error::Malformed { .. }) && error.to_string().contains("encoder panicked (in an encoder)"),
            "{error}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        // exercises the bindings to C with all sizes, odd ones above all
        #[test]
        fn encoded_size_and_alpha_round_trip(
            width in 1_u32..70, height in 1_u32..70, seed: u32, quality in 0.0_f32..100.0, channels in 3_usize..5,
            effort in 0_usize..3, kind in 0_usize..2,
        ) {
            let size = Size::new(width, height);
            let data = samples(size.pixels() as usize * channels, seed);
            let planes = samples(Planes::bytes(size, Some(ChromaSubsampling::S420)), seed);
            let encoding = Encoding { effort: EFFORTS[effort], avif: AvifEncoder::default() };
            let input = |data| EncodeInput { encoding, kind: KINDS[kind], ..EncodeInput::new(data, quality.max(1.0)) };
            for format in [Format::WebP, Format::Avif, Format::Jpeg] {
                let pixels = Pixels { size, channels, data: data.clone() };
                let frames = PictureData::Frames(vec![Frame { pixels, delay: 0 }]);
                let packed = of(format).encode(&input(frames), &mut || true);
                let probed = of(format).probe(&packed.expect("encoded")).expect("an encoded file");
                prop_assert_eq!(probed.size, size);
                prop_assert_eq!(probed.has_alpha, channels == 4 && format.supports_alpha() && data.chunks(4).any(|p| p[3] < 255));
                if of(format).accepts_ycbcr(size, encoding, quality) {
                    let planes = Planes::new(size, Some(ChromaSubsampling::S420), planes.clone());
                    let encoded = of(format).encode(&input(PictureData::Planes(planes)), &mut || true);
                    prop_assert_eq!(of(format).probe(&encoded.expect("encoded")).expect("an encoded file").size, size);
                }
            }
        }
    }
}

//! TIFF: the first page of a file.

mod read;

use super::samples::Samples;
use crate::codec::{Codec, RowSink, Sink};
use tintype_pixels::Pixels;
use tintype_pixels::Rows;
use tintype_pixels::colour::{self, ColourModel, Profile};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::{Orientation, Size};
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity, RowDecoding};

/// Decodes TIFF.
pub(crate) struct Tiff;

const FORMAT: Format = Format::Tiff;

/// Bytes that decoding may allocate besides the admitted memory.
const HEADROOM: u64 = 4 << 20;

/// The embedded profile of a picture that is not CMYK, unless it is one of another colour model.
fn profile(header: &read::Header) -> Option<Profile> {
    let model = ColourModel::of(if header.is_grey { 1 } else { 3 });
    header.icc.as_deref().filter(|icc| model.is_of(icc)).and_then(Profile::from_icc)
}

impl Codec for Tiff {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let header = read::probe(original).map_err(failed)?;
        let size = Size::new(header.width, header.height);
        let profile = profile(&header);
        let mut info = Info::new(FORMAT, size).with_exif(header.exif).with_profile(profile.as_ref());
        info.orientation = Orientation::from_exif(header.orientation.into());
        info.has_alpha = header.has_alpha;
        info.has_profile |= header.is_cmyk;
        // the memory of the reader, and the 8-bit picture
        let per_pixel = header.decoded_bytes as f64 / size.pixels().max(1) as f64;
        info.caps.memory = DecodeMemory { per_stored_pixel: per_pixel, per_decoded_pixel: 8.0 };
        let channels = if header.has_alpha { 4 } else { 3 };
        info.caps.rows = header.row_bytes.map(|memory| RowDecoding { channels, memory });
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        let header = read::probe(original).map_err(failed)?;
        let decoded = read::decode(original, &header, admitted.memory() + HEADROOM).map_err(failed)?;
        if header.is_cmyk {
            let cmyk: Vec<u8> = match decoded.samples {
                Samples::Eight(cmyk) => cmyk,
                Samples::Sixteen(wide) => wide.into_iter().map(colour::narrow).collect(),
            };
            let rgb = colour::cmyk_to_rgb(cmyk, false, header.icc.as_deref());
            sink(Decoded::still(Pixels::new(FORMAT, info.size, 3, rgb)?, None))?;
            return Ok(Integrity::Whole);
        }
        let profile = profile(&header);
        let (pixels, profile) = decoded.into_pixels(FORMAT, profile, options.keeps_profile)?;
        sink(Decoded::still(pixels, profile))?;
        Ok(Integrity::Whole)
    }

    fn stream(&self, original: &[u8], _admitted: &Admitted<'_>, sink: RowSink<'_>) -> Result<Integrity> {
        let header = read::probe(original).map_err(failed)?;
        let profile = profile(&header);
        let page = read::page(original).map_err(failed)?;
        let mut rows = read::PageRows::new(&page).map_err(failed)?;
        sink(&mut rows, profile)?;
        rows.finish().map_err(failed)?;
        Ok(Integrity::Whole)
    }
}

impl Rows for read::PageRows<'_, '_> {
    fn size(&self) -> Size {
        let (width, height) = self.size();
        Size::new(width, height)
    }

    fn channels(&self) -> usize {
        self.channels()
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        self.read_rows(out).map_err(failed)
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        self.skip_rows(rows).map_err(failed)
    }
}

fn failed(failure: read::Failure) -> Error {
    match failure {
        read::Failure::Unsupported(reason) => Error::unsupported(FORMAT, reason),
        read::Failure::Malformed(reason) => Error::malformed(FORMAT, reason),
        read::Failure::Limit(reason) => Error::Limit(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{LIMITS, decode, originals, packed};

    #[test]
    fn rows_equal_the_decoded_picture() {
        let mut streamed = 0;
        for (path, bytes) in originals(|bytes| matches!(bytes.get(..2), Some(b"II" | b"MM"))) {
            let Ok(info) = Tiff.probe(&bytes) else { continue };
            let Some(RowDecoding { channels, .. }) = info.caps.rows else { continue };
            let Ok(admitted) = LIMITS.admit(&info, 1, "decoding", info.decoded_bytes(tintype_pixels::DctScale::FULL))
            else {
                continue;
            };
            let decoded = decode(&Tiff, &bytes, false);
            let stride = info.size.width as usize * channels;
            let mut rows = vec![0; stride * info.size.height as usize];
            let mut read = |lines: &mut dyn Rows, _: Option<Profile>| {
                rows.chunks_mut(7 * stride).try_for_each(|rows| lines.read(rows))
            };
            let result = Tiff.stream(&bytes, &admitted, &mut read);
            assert_eq!(result.is_ok(), decoded.is_ok(), "{}: {result:?}, {decoded:?}", path.display());
            // skipped rows are checked, too
            let skipped = Tiff.stream(&bytes, &admitted, &mut |lines, _| lines.skip(1));
            assert_eq!(skipped.is_ok(), decoded.is_ok(), "{}", path.display());
            if let Ok((mut frames, _)) = decoded {
                assert!(packed(frames.remove(0)).data == rows, "{}", path.display());
                streamed += 1;
            }
        }
        assert!(streamed >= 4, "{streamed}");
    }
}

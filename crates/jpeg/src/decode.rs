//! The entry for callers that want one image of a file.

use crate::frame::FrameHeader;
use crate::header::segments;
use crate::marker::{SOF0, SOF1, SOF2};
use crate::request::DecodeRequest;
use crate::{progressive, sequential};
use tintype_pixels::{ChromaSubsampling, DctScale, Planes};

/// Decodes a file at one of [`SCALES`](crate::SCALES) into planes of full-range Y′CbCr (ITU-R BT.601, as JFIF prescribes), or of luma
/// alone. Chroma keeps its subsampling. EXIF orientation and ICC profiles are ignored; see [`Header`](crate::header::Header).
///
/// Memory is not limited: check [`Header::size`](crate::header::Header::size) of files that you do not trust.
///
/// `None` for any other scale, and for files that are damaged or not supported: arithmetic coding, lossless modes, other than 8 bits a
/// sample, two or four components, sequential files of several scans, chroma planes of different sizes.
pub fn decode(file: &[u8], scale: DctScale) -> Option<Planes> {
    let frame = segments(file).find(|segment| matches!(segment.marker, SOF0 | SOF1 | SOF2))?;
    let header = FrameHeader::read(frame.body).filter(|header| header.size.pixels() > 0)?;
    let subsampling = subsampling(&header)?;
    let request = DecodeRequest { scales: &[scale], region: None, size: header.size, subsampling };
    let planes = match frame.marker {
        SOF2 => progressive::planes(file, &request),
        _ => sequential::planes(file, &request),
    };
    planes?.pop().map(|(_, planes)| planes)
}

/// The subsampling that a frame header describes; `None` where chroma has larger sampling factors than luma, or Cb others than Cr.
fn subsampling(header: &FrameHeader) -> Option<Option<ChromaSubsampling>> {
    let [luma, chroma @ ..] = &header.components[..] else { return None };
    let Some(cb) = chroma.first() else { return Some(None) };
    let (across, down) = (luma.h.checked_div(cb.h)?, luma.v.checked_div(cb.v)?);
    let subsampling = ChromaSubsampling { across: across as u32, down: down as u32 };
    (across > 0 && down > 0 && header.has_subsampling(Some(subsampling))).then_some(Some(subsampling))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SCALES;
    use crate::reference::decode_reference;
    use crate::testing::{SAMPLINGS, difference, encode, is_close, to_progressive};

    #[test]
    fn kept_inputs_of_the_fuzz_target_decode_as_by_libjpeg_turbo() {
        let mut compared = 0;
        for file in tintype_testing::fuzz_inputs("jpeg-planes") {
            let is_progressive = segments(&file).any(|segment| segment.marker == SOF2);
            for scale in SCALES {
                let Some(planes) = decode(&file, scale) else { continue };
                let Some((size, _, expected)) = decode_reference(&file, scale) else { continue };
                // progressive files may be damaged in scans that are skipped
                if is_progressive && expected.is_err() {
                    continue;
                }
                let expected = expected.expect("accepted, too");
                let difference = difference(&planes, &expected);
                assert!(scale != DctScale::new(1) || is_close(scale, size, difference), "{difference:?}");
                compared += 1;
            }
        }
        // those written by hand, at each scale
        assert!(compared >= 4 * SCALES.len(), "{compared}");
    }

    #[test]
    fn decode_finds_size_and_subsampling_itself() {
        for sampling in SAMPLINGS {
            let sequential = encode(70, 45, sampling, 0, 90);
            let progressive = to_progressive(&sequential);
            for scale in SCALES {
                let (size, subsampling, expected) = decode_reference(&sequential, scale).expect("planes");
                let planes = decode(&sequential, scale).expect("an undamaged file");
                assert_eq!(planes.subsampling, subsampling, "{sampling:?}");
                let difference = difference(&planes, &expected.expect("an undamaged file"));
                assert!(is_close(scale, size, difference), "{sampling:?} at {scale}");
                assert!(decode(&progressive, scale).is_some(), "{sampling:?} at {scale}");
            }
            assert!(decode(&sequential, DctScale::new(5)).is_none());
            assert!(decode(&sequential[..sequential.len() / 2], DctScale::FULL).is_none());
        }
    }
}

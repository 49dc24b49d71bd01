//! Writing RIFF chunks of WebP (RFC 9649 §2.3 to §2.7).

use crate::EncodeInput;
use tintype_pixels::geometry::Size;

/// The image chunks of a still WebP: `VP8L`, or `VP8 ` with `ALPH` before it.
pub(super) fn bitstream(webp: &[u8]) -> &[u8] {
    let chunks = webp.get(12..).unwrap_or_default();
    // VP8X is 8 bytes of chunk header and 10 of payload
    if chunks.starts_with(b"VP8X") { chunks.get(18..).unwrap_or_default() } else { chunks }
}

/// A file in the extended format (RFC 9649 §2.7): `VP8X`, `ICCP`, `ANIM`, the image chunks, `EXIF`. `loops` is `None` for a still picture.
pub(super) fn extended(input: &EncodeInput, has_alpha: bool, loops: Option<u16>, chunks: &[u8]) -> Vec<u8> {
    let size = input.size();
    let (profile, exif) = (input.profile.as_deref(), input.exif.as_deref());
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let mut out = Vec::new();
    let flags = flag(loops.is_some(), ANIMATION) | flag(has_alpha, ALPHA);
    let flags = flags | flag(exif.is_some(), 0x08) | flag(profile.is_some(), 0x20);
    put_chunk(&mut out, b"VP8X", &vp8x_payload(size, flags));
    if let Some(profile) = profile {
        put_chunk(&mut out, b"ICCP", profile);
    }
    if let Some(loops) = loops {
        out.extend(b"ANIM");
        out.extend(6u32.to_le_bytes());
        // a transparent background colour, which viewers ignore
        out.extend([0; 4]);
        out.extend(loops.to_le_bytes());
    }
    out.extend(chunks);
    if let Some(exif) = exif {
        put_chunk(&mut out, b"EXIF", exif);
    }
    riff(&out)
}

/// Flags of `VP8X`.
pub(super) const ANIMATION: u8 = 0x02;
pub(super) const ALPHA: u8 = 0x10;

pub(super) fn vp8x_payload(size: Size, flags: u8) -> [u8; 10] {
    let [[a, b, c, _], [d, e, f, _]] = [size.width, size.height].map(|side| (side - 1).to_le_bytes());
    [flags, 0, 0, 0, a, b, c, d, e, f]
}

/// A file of these chunks.
pub(super) fn riff(chunks: &[u8]) -> Vec<u8> {
    let mut file = b"RIFF".to_vec();
    file.extend((chunks.len() as u32 + 4).to_le_bytes());
    file.extend(b"WEBP");
    file.extend(chunks);
    file
}

/// Appends a chunk, padded to an even length; the size field does not count the padding.
pub(super) fn put_chunk(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    out.extend(name);
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out.extend(std::iter::repeat_n(0, data.len() % 2));
}

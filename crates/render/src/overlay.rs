//! The files of overlays. They belong to the settings, are decoded for each render that has one, and travel to worker processes with
//! such a render alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use tintype_codecs::Codec;
use tintype_pixels::{DctScale, DecodeOptions, Decoded, Error, Format, Info, Limits, PixelLayout, Result};

use crate::recipe::OverlayId;

/// Bytes of an overlay's file at most.
pub const MAX_OVERLAY_BYTES: u64 = 4 << 20;

/// The bounds of an overlay's picture: of an animation, only the first frame is decoded.
const LIMITS: Limits = Limits { max_pixels: 4_000_000, max_frames: 1, max_memory: 256 << 20 };

/// Bytes of memory for each pixel of an overlay while it is decoded, by the largest of the codecs, and turned upright.
pub(crate) const DECODE_MEMORY: u64 = 16;

/// The file of an overlay.
#[derive(Clone, Eq)]
pub struct OverlayFile {
    id: OverlayId,
    bytes: Vec<u8>,
}

impl OverlayFile {
    /// Validates a file, whose BLAKE3 is `digest`, by decoding it.
    ///
    /// # Errors
    /// [`Error::Limit`] beyond 4,000,000 pixels or [`MAX_OVERLAY_BYTES`], and the errors of its decoder; damage is refused.
    pub fn new(bytes: Vec<u8>, digest: [u8; 32]) -> Result<OverlayFile> {
        if bytes.len() as u64 > MAX_OVERLAY_BYTES {
            let (length, allowed) = (bytes.len(), MAX_OVERLAY_BYTES);
            return Err(Error::Limit(format!("it has {length} bytes; {allowed} are allowed")));
        }
        let (info, decoded) = decode(&bytes)?;
        decoded.integrity.require_whole(info.format)?;
        // a cut that leaves all rows shows in the end marker alone
        if !tintype_codecs::of(info.format).has_end(&bytes) {
            return Err(Error::malformed(info.format, "its end marker is missing; it may have been cut off"));
        }
        let size = info.displayed();
        Ok(OverlayFile { id: OverlayId { digest, width: size.width, height: size.height }, bytes })
    }

    /// A file that was validated before, in another process.
    pub fn validated(id: OverlayId, bytes: Vec<u8>) -> OverlayFile {
        OverlayFile { id, bytes }
    }

    /// Its digest and its size.
    pub fn id(&self) -> OverlayId {
        self.id
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its picture, of an animation the first frame, with its header.
    pub(crate) fn decode(&self) -> Result<(Info, Decoded)> {
        decode(&self.bytes)
    }
}

/// Two files of one digest are one file.
impl PartialEq for OverlayFile {
    fn eq(&self, other: &OverlayFile) -> bool {
        self.id == other.id
    }
}

impl std::fmt::Debug for OverlayFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OverlayFile({}, {} bytes)", self.id.size(), self.bytes.len())
    }
}

fn decode(bytes: &[u8]) -> Result<(Info, Decoded)> {
    let format = Format::sniff(bytes).ok_or(Error::UnknownFormat)?;
    let codec = tintype_codecs::of(format);
    let info = codec.probe(bytes)?;
    let admitted = LIMITS.admit(&info, 1, "decoding", info.decoded_bytes(DctScale::FULL))?;
    let options = DecodeOptions { layout: PixelLayout::Rgb, ..DecodeOptions::FULL };
    let mut first = None;
    codec.decode(bytes, &admitted, &options, &mut |decoded| {
        first.get_or_insert(decoded);
        Ok(())
    })?;
    let decoded = first.ok_or_else(|| Error::malformed(format, "it holds no picture"))?;
    Ok((info, decoded))
}

/// The files of overlays that renders may use. Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlays(Arc<BTreeMap<OverlayId, Arc<OverlayFile>>>);

impl Overlays {
    /// The file of an overlay.
    ///
    /// # Errors
    /// [`Error::Impossible`] where there is none: the settings have another one by now.
    pub fn get(&self, id: OverlayId) -> Result<&OverlayFile> {
        self.0.get(&id).map(Arc::as_ref).ok_or_else(|| Error::Impossible("its overlay is not loaded".into()))
    }
}

impl FromIterator<Arc<OverlayFile>> for Overlays {
    fn from_iter<T: IntoIterator<Item = Arc<OverlayFile>>>(files: T) -> Overlays {
        Overlays(Arc::new(files.into_iter().map(|file| (file.id, file)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_is_no_whole_picture_is_refused() {
        let read = |bytes: Vec<u8>| OverlayFile::new(bytes, [1; 32]);
        let whole = tintype_testing::testdata("generated/alpha.png");
        assert!(matches!(read(whole[..whole.len() / 2].to_vec()), Err(Error::Malformed { .. })));
        assert!(matches!(read(b"no picture".to_vec()), Err(Error::UnknownFormat)));
        assert!(matches!(read(vec![0; MAX_OVERLAY_BYTES as usize + 1]), Err(Error::Limit(_))));
        let file = read(whole).expect("a picture");
        assert!(file.id().width > 0 && file.id().digest == [1; 32]);
    }

    #[test]
    fn animation_is_its_first_frame() {
        let file = OverlayFile::new(tintype_testing::testdata("generated/animated.gif"), [0; 32]).expect("a picture");
        let (info, decoded) = file.decode().expect("decodes");
        assert!(info.frames > 1);
        assert_eq!(decoded.samples.size(), file.id().size());
    }
}

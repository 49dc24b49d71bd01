//! Decoded pictures that several renditions of one original share.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use tintype_pixels::DctScale;
use tintype_pixels::{DecodeOptions, Decoded, Error, Format, Info, PixelLayout, Result, Samples, Size};

use crate::plan::{DecodeMode, Plan};
use crate::recipe::Recipe;
use crate::settings::Settings;

/// Decoded pictures of one original, for renditions that are made of it at about the same time.
pub trait SharedDecodes {
    /// The picture of that key, from here or else from `decode`, which makes the same pictures whenever it is called. It is told for
    /// which keys others wait, and may make some of those in the same pass.
    ///
    /// # Errors
    /// The errors of `decode`.
    fn get_or_decode(&self, info: &Info, key: DecodeKey, decode: Decode<'_>) -> Result<Arc<Decoded>>;

    /// Says that the rendition is made without such a picture, so that none is decoded for it.
    fn decline(&self);

    /// Whether others need the picture, too, so that it is worth being held whole.
    fn is_shared(&self) -> bool;
}

/// Makes the picture that is asked for, and behind it those of the others that come of the same pass.
pub type Decode<'a> = &'a mut dyn FnMut(&[DecodeKey]) -> Result<Vec<(DecodeKey, Decoded)>>;

/// Which of the pictures that a decoder can make of an original.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DecodeKey {
    pub(crate) scale: DctScale,
    pub(crate) layout: PixelLayout,
    pub(crate) skip_loop_filter: bool,
    pub(crate) keeps_profile: bool,
}

impl DecodeKey {
    pub(crate) fn of(plan: &Plan<'_>) -> DecodeKey {
        let options = plan.shown_options();
        let DecodeOptions { scale, skip_loop_filter, layout, keeps_profile, region: _ } = *options;
        DecodeKey { scale, layout, skip_loop_filter, keeps_profile }
    }

    /// Whether the decoder can make it in the same pass as others.
    pub fn is_shared_scale(self, info: &Info) -> bool {
        let is_ycbcr = self.layout == PixelLayout::YCbCr;
        is_ycbcr && !self.skip_loop_filter && info.caps.shared_scales.contains(&self.scale)
    }

    /// Whether a decoded picture can be the one of this key: all of the original at some scale, in that layout. A decoder that scales
    /// otherwise than asked, or has no planes, is free to.
    pub fn fits(self, info: &Info, decoded: &Decoded) -> bool {
        let is_layout = self.layout == PixelLayout::YCbCr || matches!(decoded.samples, Samples::Packed(_));
        is_layout && decoded.origin == (0, 0) && decoded.samples.size() == info.size.scaled(decoded.scale)
    }

    /// The key that a rendition will ask [`SharedDecodes`] for if the original is shared, and the most bytes of that image at the scale
    /// of the key; `None` if it will not ask. Damaged and unusual files are decoded at a larger scale.
    pub fn wanted(info: &Info, recipe: &Recipe, settings: &Settings) -> Option<(DecodeKey, u64)> {
        let plan = Plan::new(info, recipe, settings).ok().filter(|plan| plan.mode(true) == DecodeMode::SharedWhole)?;
        let key = DecodeKey::of(&plan);
        let size = info.size.scaled(key.scale);
        let padded = Size::new(size.width.saturating_add(4), size.height.saturating_add(4));
        let bytes = match key.layout {
            // planes may be padded, up to a whole group of chroma; other decoders return pixels, of which some have alpha
            PixelLayout::YCbCr if info.format == Format::Jpeg => padded.pixels() * 3,
            PixelLayout::YCbCr => padded.pixels() * 4,
            PixelLayout::Rgb => size.pixels() * 4,
        };
        Some((key, bytes))
    }
}

/// The picture of one key, which was decoded in another process.
pub struct GivenDecode {
    key: DecodeKey,
    decoded: Arc<Decoded>,
}

impl GivenDecode {
    /// The picture of `key`, for the one render that asks for it.
    pub fn new(key: DecodeKey, decoded: Decoded) -> GivenDecode {
        GivenDecode { key, decoded: Arc::new(decoded) }
    }
}

impl SharedDecodes for GivenDecode {
    fn get_or_decode(&self, info: &Info, key: DecodeKey, _decode: Decode<'_>) -> Result<Arc<Decoded>> {
        let is_asked = key == self.key && key.fits(info, &self.decoded);
        is_asked.then(|| Arc::clone(&self.decoded)).ok_or_else(|| Error::Impossible("it was decoded otherwise".into()))
    }

    fn decline(&self) {}

    fn is_shared(&self) -> bool {
        true
    }
}

/// Keeps nothing.
pub struct Unshared;

impl SharedDecodes for Unshared {
    fn get_or_decode(&self, _info: &Info, _key: DecodeKey, decode: Decode<'_>) -> Result<Arc<Decoded>> {
        let decoded = decode(&[])?.into_iter().next().ok_or_else(|| Error::Impossible("it was not decoded".into()))?;
        Ok(Arc::new(decoded.1))
    }

    fn decline(&self) {}

    fn is_shared(&self) -> bool {
        false
    }
}

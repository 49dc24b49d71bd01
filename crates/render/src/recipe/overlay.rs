//! The overlay of a result: which picture of the operator is put on it, and where.

use serde::{Deserialize, Serialize};

use tintype_pixels::Size;

use crate::geometry::Offset;

/// The picture of an overlay: the digest of its file, and its size in pixels as it is displayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OverlayId {
    /// BLAKE3 of the file's bytes, so that a changed file gives other renditions.
    pub digest: [u8; 32],
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
}

impl OverlayId {
    /// The size in pixels.
    pub fn size(self) -> Size {
        Size::new(self.width, self.height)
    }
}

/// An overlay as a rendition has it: on the picture itself, after its effects, and never on the canvas or the padding around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Which picture.
    pub id: OverlayId,
    /// Where it is put.
    pub place: OverlayPlace,
    /// From the edges that the place names inward, or between tiles.
    pub offset: Offset,
    /// How much of it is seen, 1 to 100 percent.
    pub opacity: u8,
    /// The size that it has; `None` is its own, or all of the picture's where that is smaller.
    pub scale: Option<OverlayScale>,
}

/// The place of an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OverlayPlace {
    /// Aligned in 1/10000 of the free width and height: 0 is the near edge, 5000 the middle, 10000 the far edge.
    At(u16, u16),
    /// Everywhere: tiles around one in the middle, with the offset between them.
    Repeat,
}

/// The box that an overlay fits, enlarged if need be, in 1/10000 of the sides of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OverlayScale {
    /// Of the width.
    pub width: u16,
    /// Of the height.
    pub height: u16,
}

impl OverlayScale {
    /// A whole side.
    pub const WHOLE: u16 = 10_000;
}

impl Overlay {
    /// The size that it has on a picture of that size, within the picture and at least one pixel a side.
    pub fn size_on(&self, picture: Size) -> Size {
        let own = self.id.size();
        let share = |side: u32, share: u16| f64::from(side) * f64::from(share) / f64::from(OverlayScale::WHOLE);
        let (width, height, largest) = match self.scale {
            Some(scale) => (share(picture.width, scale.width), share(picture.height, scale.height), f64::INFINITY),
            None => (f64::from(picture.width), f64::from(picture.height), 1.0),
        };
        let factor = (width / f64::from(own.width)).min(height / f64::from(own.height)).min(largest);
        let side = |own: u32, all: u32| ((f64::from(own) * factor).round() as u32).clamp(1, all.max(1));
        Size::new(side(own.width, picture.width), side(own.height, picture.height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(width: u32, height: u32, scale: Option<(u16, u16)>) -> Overlay {
        let scale = scale.map(|(width, height)| OverlayScale { width, height });
        let id = OverlayId { digest: [0; 32], width, height };
        Overlay { id, place: OverlayPlace::At(10_000, 10_000), offset: Offset::NONE, opacity: 100, scale }
    }

    #[test]
    fn size_is_a_share_of_the_picture_or_its_own() {
        let check = |own: (u32, u32), scale: Option<(u16, u16)>, picture: (u32, u32), expected: (u32, u32)| {
            let size = overlay(own.0, own.1, scale).size_on(Size::new(picture.0, picture.1));
            assert_eq!((size.width, size.height), expected, "{own:?} at {scale:?} on {picture:?}");
        };
        check((100, 50), None, (400, 300), (100, 50));
        check((100, 50), None, (80, 300), (80, 40));
        check((100, 50), None, (800, 10), (20, 10));
        check((100, 50), Some((2500, 10_000)), (800, 600), (200, 100));
        check((100, 50), Some((10_000, 10_000)), (800, 100), (200, 100));
        check((100, 50), Some((5000, 1000)), (800, 600), (120, 60));
        check((1000, 10), Some((100, 10_000)), (20, 20), (1, 1));
    }
}

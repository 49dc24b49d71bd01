//! The parameters of one URL as it states them, and their defaults.

use crate::render::Format;
use crate::render::geometry::{Area, Gravity, Length, Limit, Offset, Padding, Ratio};
use crate::render::recipe::{Metadata, OverlayPlace, OverlayScale, Quality, Rgba, Target};

/// The parameters of a URL; `None` where it leaves one out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// In pixels, before `dpr`.
    pub width: Option<u32>,
    /// Whether the width is that of the client hints (`width=auto`), where none is stated.
    pub auto_width: bool,
    /// In pixels, before `dpr`.
    pub height: Option<u32>,
    /// Width to height of the result.
    pub aspect_ratio: Option<Ratio>,
    /// Factor for width and height, in hundredths.
    pub dpr: Option<u16>,
    /// How the original fits the requested box.
    pub fit: Option<Fit>,
    /// How a box that would enlarge the original is reduced.
    pub limit: Option<Limit>,
    /// The part that cropping keeps.
    pub position: Option<Gravity>,
    /// The distance of a crop or a padded picture from its position.
    pub offset: Option<Offset>,
    /// The EXIF orientation that the original is taken to have, 1 to 8.
    pub orient: Option<u8>,
    /// Crop before any other operation: left, top, width and height in the upright original.
    pub rect: Option<[Length; 4]>,
    /// The same by a size and a position; always [`Area::Window`].
    pub window: Option<Area>,
    /// The same by the distance from each edge.
    pub inset: Option<Padding>,
    /// The format of the result.
    pub format: Option<RequestedFormat>,
    /// Properties that the server chooses.
    pub auto: Option<Auto>,
    /// On one perceptual scale for all formats.
    pub quality: Option<RequestedQuality>,
    /// The score that the result must reach.
    pub target: Option<Target>,
    /// Whether every pixel must survive.
    pub lossless: Option<bool>,
    /// Whether the result may be larger than the original.
    pub enlarge: Option<bool>,
    /// The colour behind transparent pixels.
    pub background: Option<Rgba>,
    /// The colour of the canvas and of the padding.
    pub canvas: Option<Rgba>,
    /// Pixels around the result, before `dpr`.
    pub padding: Option<Padding>,
    /// Clockwise, in degrees: 0, 90, 180 or 270.
    pub rotate: Option<u16>,
    /// Mirroring, after `rotate`.
    pub flip: Option<Flip>,
    /// Sigma in hundredths of a pixel.
    pub blur: Option<u16>,
    /// Amount in hundredths.
    pub sharpen: Option<u16>,
    /// The side of blocks of one colour in pixels; 1 is off.
    pub pixelate: Option<u16>,
    /// A factor in hundredths.
    pub brightness: Option<u16>,
    /// A factor in hundredths.
    pub contrast: Option<u16>,
    /// A factor in hundredths.
    pub saturation: Option<u16>,
    /// In hundredths; above 100 the result is lighter.
    pub gamma: Option<u16>,
    /// Whether colours are replaced by their luma.
    pub greyscale: Option<bool>,
    /// The colour whose shades the result has: red, green and blue.
    pub tint: Option<[u8; 3]>,
    /// The name of an overlay in the settings, or [`NO_OVERLAY`].
    pub overlay: Option<String>,
    /// Where the overlay is.
    pub overlay_position: Option<OverlayPlace>,
    /// The distance of the overlay from its position, or between tiles.
    pub overlay_offset: Option<Offset>,
    /// In percent, 1 to 100.
    pub overlay_opacity: Option<u8>,
    /// The size of the overlay by that of the picture.
    pub overlay_scale: Option<OverlayScale>,
    /// Tolerance in percent; 0 is off.
    pub trim: Option<u8>,
    /// Whether the result of an animated original is animated.
    pub animated: Option<bool>,
    /// The metadata of the original that the result keeps.
    pub metadata: Option<Metadata>,
    /// The name of a set of parameters in the settings.
    pub preset: Option<String>,
    /// The file name of a `Content-Disposition: attachment`.
    pub download: Option<String>,
    /// A version of the page's own, which makes the answer immutable.
    pub v: Option<String>,
    /// Unix seconds after which the URL is refused.
    pub expires: Option<u64>,
    /// The signature.
    pub s: Option<String>,
}

/// The value of `overlay` for no overlay.
pub const NO_OVERLAY: &str = "none";

/// The value of each parameter that a URL leaves out. [`PARAMETERS`](super::table::PARAMETERS) prints them and `policy` applies them; the default of
/// `quality` is the setting `output.quality`, and that of `fit` depends on `aspect_ratio`.
pub mod defaults {
    use super::{Fit, Gravity, Limit, Metadata, Offset, OverlayPlace, Padding};

    /// In hundredths.
    pub const DPR: u16 = 100;
    /// Without an `aspect_ratio`.
    pub const FIT: Fit = Fit::Contain;
    /// With one, since a ratio is there to be filled.
    pub const FIT_OF_RATIO: Fit = Fit::Cover;
    /// Each mode has its own.
    pub const LIMIT: Limit = Limit::Ratio;
    /// No distance.
    pub const OFFSET: Offset = Offset::NONE;
    /// No pixels.
    pub const PADDING: Padding = Padding::NONE;
    /// The centre.
    pub const POSITION: Gravity = Gravity::CENTER;
    /// WebP and PNG may be lossy.
    pub const LOSSLESS: bool = false;
    /// No result is larger than its original.
    pub const ENLARGE: bool = false;
    /// No edge is cut off.
    pub const INSET: Padding = Padding::NONE;
    /// In degrees.
    pub const ROTATE: u16 = 0;
    /// In hundredths: off.
    pub const SHARPEN: u16 = 0;
    /// In pixels: off.
    pub const PIXELATE: u16 = 1;
    /// Of brightness, contrast, saturation and gamma, in hundredths: no change.
    pub const FACTOR: u16 = 100;
    /// Colours stay.
    pub const GREYSCALE: bool = false;
    /// Bottom right.
    pub const OVERLAY_POSITION: OverlayPlace = OverlayPlace::At(10_000, 10_000);
    /// In percent.
    pub const OVERLAY_OPACITY: u8 = 100;
    /// In percent: off.
    pub const TRIM: u8 = 0;
    /// Animated originals give animated results.
    pub const ANIMATED: bool = true;
    /// None is kept.
    pub const METADATA: Metadata = Metadata::None;
}

/// How the original fits the requested box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Inside the box.
    Contain,
    /// Covering the box, the rest cropped.
    Cover,
    /// Stretched to the box.
    Fill,
    /// Covering the box, nothing cropped.
    Outside,
    /// Inside the box, on a canvas of its size.
    Pad,
    /// Cover where original and box are alike in orientation, otherwise contain.
    Auto,
}

/// The format that a URL asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedFormat {
    /// Negotiated with the client.
    Auto,
    /// The original's own.
    Original,
    /// A description instead of an image.
    Json,
    /// One pixel of the dominant colour.
    Dominant,
    /// A small blurred picture.
    Lqip,
    /// One by name.
    Exactly(Format),
}

/// The value of `quality`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestedQuality {
    /// A number of the common scale.
    Number(Quality),
    /// The number at which the target of the settings is reached.
    Auto,
}

/// The value of `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auto {
    /// The same as `format=auto`.
    pub format: bool,
}

/// Mirroring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flip {
    /// Left and right change places.
    pub horizontal: bool,
    /// Top and bottom change places.
    pub vertical: bool,
}

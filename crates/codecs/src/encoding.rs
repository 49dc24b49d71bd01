//! The choice of encoder and effort.

use serde::{Deserialize, Serialize};

/// The effort of encoders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Effort {
    /// For renditions that a client waits for.
    #[default]
    Fast,
    /// Fewer bytes at the same quality, for a few times the time.
    Balanced,
    /// The fewest bytes at the same quality, for many times the time.
    Dense,
}

/// The kind of a picture: encoders have other settings for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PictureKind {
    /// A photograph, a gradient, or a picture that was not classified.
    #[default]
    Photo,
    /// A screenshot, a chart, a logo, text: areas of one colour with sharp edges.
    Drawing,
}

impl PictureKind {
    /// The name in descriptions, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            PictureKind::Photo => "photo",
            PictureKind::Drawing => "drawing",
        }
    }
}

/// Which encoder writes AVIF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AvifEncoder {
    /// libaom, in builds with native codecs.
    #[cfg(feature = "native")]
    Libaom,
    /// ravif, in pure Rust.
    #[cfg(feature = "ravif")]
    Ravif,
}

impl Default for AvifEncoder {
    /// libaom in native builds: it takes a tenth of ravif's time for the same quality and size.
    fn default() -> Self {
        #[cfg(feature = "native")]
        return AvifEncoder::Libaom;
        #[cfg(not(feature = "native"))]
        return AvifEncoder::Ravif;
    }
}

/// The encoder and its effort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Encoding {
    /// The effort of the encoder.
    pub effort: Effort,
    /// Which encoder writes AVIF.
    pub avif: AvifEncoder,
}

impl Encoding {
    /// Whether AVIF is written by libaom.
    pub fn has_libaom(self) -> bool {
        match self.avif {
            #[cfg(feature = "native")]
            AvifEncoder::Libaom => true,
            #[cfg(feature = "ravif")]
            AvifEncoder::Ravif => false,
        }
    }

    /// Whether AVIF is written in about the time of WebP: by libaom at the fast effort.
    pub fn is_fast_avif(self) -> bool {
        self.has_libaom() && self.effort == Effort::Fast
    }
}

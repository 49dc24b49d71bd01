//! How results are encoded: by which encoder, and with how much effort.

/// How hard encoders try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Effort {
    /// Somebody waits for it.
    #[default]
    Fast,
    /// Fewer bytes for the same look, for many times the work.
    Dense,
}

/// Which encoder writes AVIF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AvifEncoder {
    /// libaom, in builds with native codecs.
    #[cfg(feature = "native")]
    Libaom,
    /// ravif, which is Rust all through.
    Ravif,
}

impl Default for AvifEncoder {
    /// libaom where it is there: it takes a tenth of the work for the same look in as many bytes.
    fn default() -> Self {
        #[cfg(feature = "native")]
        return AvifEncoder::Libaom;
        #[cfg(not(feature = "native"))]
        return AvifEncoder::Ravif;
    }
}

/// How results are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoding {
    /// How hard encoders try.
    pub effort: Effort,
    /// Which encoder writes AVIF.
    pub avif: AvifEncoder,
}

//! The trait of codecs.

use tintype_pixels::DctScale;
use tintype_pixels::{Admitted, DecodeOptions, Decoded, Error, Info, Integrity, Profile, Result, Rows, Size};

use crate::encoding::Encoding;
use crate::picture::Picture;

/// Receives each decoded frame in turn.
pub type Sink<'a> = &'a mut dyn FnMut(Decoded) -> Result<()>;

/// Receives the rows of a picture, and the profile that their samples are in.
pub type RowSink<'a> = &'a mut dyn FnMut(&mut dyn Rows, Option<Profile>) -> Result<()>;

/// Asked now and then by encoders that can be stopped half-way; `false` ends them with [`Error::Cancelled`].
pub type KeepGoing<'a> = &'a mut dyn FnMut() -> bool;

/// The reader and writer of one format.
///
/// Of a damaged file a decoder returns what browsers show: the still picture with its missing parts as decoders leave them, or
/// the whole frames of an animation, at least one, and [`Integrity::Damaged`].
pub trait Codec: Sync {
    /// Reads the header only: no pixels are allocated, and it takes well under a millisecond.
    ///
    /// # Errors
    /// [`Error::Malformed`]; [`Error::Unsupported`] for features that the codec lacks.
    fn probe(&self, original: &[u8]) -> Result<Info>;

    /// Decodes as many frames as were admitted, in order.
    ///
    /// # Errors
    /// As [`Codec::probe`], [`Error::Limit`] where the file turns out larger than its header said, and those of the sink.
    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity>;

    /// Decodes a still picture as asked for, and behind it the same picture at such `others` of the scales as come of
    /// the same pass. Each is to the bit what it is when it is decoded alone.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    fn decode_several(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, _others: &[DctScale],
    ) -> Result<Vec<Decoded>> {
        let mut found = None;
        let integrity = self.decode(original, admitted, options, &mut |decoded| {
            found = Some(decoded);
            Ok(())
        })?;
        let found = found.map(|decoded| vec![Decoded { integrity, ..decoded }]);
        found.ok_or_else(|| Error::malformed(admitted.info().format, "it holds no picture"))
    }

    /// Passes the rows of a still picture to the sink, where [`DecoderCaps::rows`](tintype_pixels::DecoderCaps::rows) says that the
    /// decoder can. Damage behind the rows that the sink reads is found, too. The rows of a damaged picture are those that decoding
    /// it whole returns.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    fn stream(&self, _original: &[u8], admitted: &Admitted<'_>, _sink: RowSink<'_>) -> Result<Integrity> {
        Err(Error::malformed(admitted.info().format, "it is not read by rows"))
    }

    /// Whether a lossy picture of that size is better handed to the encoder as planes of luma and chroma.
    fn accepts_ycbcr(&self, _size: Size, _encoding: Encoding) -> bool {
        false
    }

    /// Whether a file has the end that its format prescribes; true for formats that prescribe none.
    fn has_end(&self, _original: &[u8]) -> bool {
        true
    }

    /// Writes a picture.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::Cancelled`], and [`Error::Impossible`] for a format that is only read.
    fn encode(&self, _picture: &Picture, _keep_going: KeepGoing<'_>) -> Result<Vec<u8>> {
        Err(Error::Impossible("this format is read but not written".into()))
    }
}

//! The frames of an image sequence (ISO/IEC 23008-12, 7). One decoder each for colour and alpha takes the samples in their order.

use re_rav1d::dav1d::Decoder;

use super::OpenFile;
use super::container::Container;
use super::convert::Canvas;
use super::failure::Result;
use super::plane::{Plane, Role};
use super::samples::Samples;
use super::track::Track;
use crate::samples::Decoded;

/// The frames of an image sequence. It holds one frame of the picture's size, and those that the decoders keep.
pub(crate) struct Animation<'a> {
    picture: OpenFile<'a>,
    colour: TrackDecoder<'a>,
    alpha: Option<TrackDecoder<'a>>,
}

impl<'a> Animation<'a> {
    /// Opens a sequence, in which [`super::probe`] found more than one frame.
    ///
    /// # Errors
    /// As [`super::probe`]; [`super::Failure::Damaged`] for a still picture.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self> {
        let picture = OpenFile::open(bytes)?;
        let track = picture.container.picture_track().filter(|_| picture.header.frames > 1);
        let colour = TrackDecoder::new(track.ok_or("it has no image sequence")?, &picture.colour)?;
        let alpha = picture.container.alpha_track().zip(picture.alpha.as_ref());
        let alpha = alpha.map(|(track, plane)| TrackDecoder::new(track, plane)).transpose()?;
        Ok(Self { picture, colour, alpha })
    }

    /// The next frame, before its transforms, and the milliseconds that it is shown. Not to be called again after an error.
    ///
    /// # Errors
    /// [`super::Failure`] where the data of the frame is damaged, and behind the last frame.
    pub(crate) fn next(&mut self) -> Result<(Decoded, u32)> {
        let Self { picture, colour, alpha } = self;
        let mut canvas = picture.canvas();
        let delay = colour.paint(&picture.container, &picture.colour, &mut canvas, picture.colour_role())?;
        if let Some((alpha, plane)) = alpha.as_mut().zip(picture.alpha.as_ref()) {
            alpha.paint(&picture.container, plane, &mut canvas, Role::Alpha)?;
        }
        Ok((picture.decoded(canvas), delay))
    }
}

/// The samples of a track, and their decoder.
struct TrackDecoder<'a> {
    samples: Samples<'a>,
    decoder: Decoder,
}

impl<'a> TrackDecoder<'a> {
    /// `plane` is the first sample of the track.
    fn new(track: &Track<'a>, plane: &Plane<'_>) -> Result<Self> {
        Ok(Self { samples: track.samples.iter(), decoder: plane.decoder()? })
    }

    /// Decodes the next sample into the canvas, and returns how many milliseconds it is shown.
    fn paint(&mut self, container: &Container<'_>, plane: &Plane<'_>, canvas: &mut Canvas, role: Role) -> Result<u32> {
        let ((offset, length), delay) = self.samples.next().ok_or("the sequence has no further frame")??;
        plane.paint_sample(&mut self.decoder, container.bytes(offset, length)?, canvas, role)?;
        Ok(delay)
    }
}

#[cfg(test)]
mod tests;

//! The frames of an image sequence (ISO/IEC 23008-12, 7). One decoder each for colour and alpha takes the samples in their order.

use re_rav1d::dav1d::Decoder;

use super::OpenFile;
use super::container::Container;
use super::failure::Result;
use super::plane::{DataBudget, Plane, Role};
use super::samples::Samples;
use super::track::Track;
use crate::samples::Decoded;

/// The frames of an image sequence. It holds one frame of the picture's size, and those that the decoders keep.
pub(crate) struct Animation<'a> {
    picture: OpenFile<'a>,
    colour: TrackDecoder<'a>,
    alpha: Option<TrackDecoder<'a>>,
    /// For the samples of both tracks.
    budget: DataBudget,
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
        Ok(Self { picture, colour, alpha, budget: DataBudget::new(bytes.len()) })
    }

    /// The next frame, before its transforms, and the milliseconds that it is shown. Not to be called again after an error.
    ///
    /// # Errors
    /// [`super::Failure`] where the data of the frame is damaged, and behind the last frame.
    pub(crate) fn next(&mut self) -> Result<(Decoded, u32)> {
        let Self { picture, colour, alpha, budget } = self;
        let mut canvas = picture.canvas();
        let (data, delay) = colour.next(&picture.container, budget)?;
        picture.colour.paint_sample(&mut colour.decoder, data, &mut canvas, picture.colour_role())?;
        if let Some((alpha, plane)) = alpha.as_mut().zip(picture.alpha.as_ref()) {
            let (data, _) = alpha.next(&picture.container, budget)?;
            plane.paint_sample(&mut alpha.decoder, data, &mut canvas, Role::Alpha)?;
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

    /// The data of the next sample, and how many milliseconds it is shown.
    fn next(&mut self, container: &Container<'a>, budget: &mut DataBudget) -> Result<(&'a [u8], u32)> {
        let ((offset, length), delay) = self.samples.next().ok_or("the sequence has no further frame")??;
        let data = container.bytes(offset, length)?;
        budget.take(data.len())?;
        Ok((data, delay))
    }
}

#[cfg(test)]
mod tests;

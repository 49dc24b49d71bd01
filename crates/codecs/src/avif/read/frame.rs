//! Decoding an AV1 item or sample to a frame, by `re_rav1d`.

use re_rav1d::dav1d as av1;

use super::failure::Result;
use super::sequence::{Bitstream, Selection};

/// Decodes the selected frame on the calling thread.
///
/// `bitstream` was read from `data`.
pub(super) fn decode_frame(data: &[u8], bitstream: &Bitstream, selection: Selection) -> Result<av1::Picture> {
    let mut decoder = decoder(bitstream, selection)?;
    let data = data.get(..bitstream.length).ok_or("the AV1 data are truncated")?.to_vec();
    let mut sent = decoder.send_data(data, None, None, None);
    let mut last = None;
    // each round receives a frame or sends more data; the last one drains the decoder
    loop {
        let has_more = is_pending(sent)?;
        match decoder.get_picture().or_else(|_| decoder.get_picture()) {
            Ok(frame) if selection.layer.is_none() => return Ok(frame),
            Ok(frame) => last = Some(frame),
            Err(error) if error.is_again() && has_more => {}
            Err(error) if error.is_again() => return last.ok_or_else(|| failed(error).into()),
            Err(error) => return Err(failed(error).into()),
        }
        sent = decoder.send_pending_data();
    }
}

/// Decodes the frame of the next sample of a track. A sample has one shown frame (AV1-ISOBMFF, 2.4); further ones are dropped.
pub(super) fn next_frame(decoder: &mut av1::Decoder, data: &[u8]) -> Result<av1::Picture> {
    let mut sent = decoder.send_data(data.to_vec(), None, None, None);
    let mut shown = None;
    // all data is sent, since later frames may be predicted from any of it
    loop {
        let has_more = is_pending(sent)?;
        match decoder.get_picture().or_else(|_| decoder.get_picture()) {
            Ok(frame) => shown = shown.or(Some(frame)),
            Err(error) if error.is_again() && has_more => {}
            Err(error) if error.is_again() => return shown.ok_or_else(|| failed(error).into()),
            Err(error) => return Err(failed(error).into()),
        }
        sent = decoder.send_pending_data();
    }
}

/// A decoder on the calling thread. Frames of more pixels than the sequence header of `bitstream` states are refused before
/// they are allocated.
pub(super) fn decoder(bitstream: &Bitstream, selection: Selection) -> Result<av1::Decoder> {
    let header = &bitstream.header;
    let limit = header.max_width.checked_mul(header.max_height).ok_or("the AV1 frame is too large")?;
    let mut settings = av1::Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_frame_size_limit(limit);
    settings.set_operating_point(selection.operating_point.into());
    // the data ends with the selected layer, which therefore comes last
    settings.set_all_layers(selection.layer.is_some());
    Ok(av1::Decoder::with_settings(&settings).map_err(failed)?)
}

/// Whether data remains to be sent.
fn is_pending(sent: std::result::Result<(), av1::Error>) -> Result<bool> {
    match sent {
        Ok(()) => Ok(false),
        Err(error) if error.is_again() => Ok(true),
        Err(error) => Err(failed(error).into()),
    }
}

fn failed(error: av1::Error) -> String {
    format!("AV1: {error}")
}

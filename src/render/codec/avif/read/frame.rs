//! One AV1 item to one frame, by `re_rav1d`.

use re_rav1d::dav1d as av1;

type Result<T> = std::result::Result<T, String>;

/// Decodes the shown frame of an item's temporal unit, on this thread.
///
/// Frames of more pixels than `size` are refused before they are allocated.
pub(super) fn decode_frame(data: Vec<u8>, size: (u32, u32), operating_point: u8) -> Result<av1::Picture> {
    let limit = size.0.checked_mul(size.1).ok_or("frame is too large")?;
    let mut settings = av1::Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_frame_size_limit(limit);
    settings.set_operating_point(operating_point.into());
    // of a layered item only the last layer
    settings.set_all_layers(false);
    let failed = |error: av1::Error| format!("AV1: {error}");
    let mut decoder = av1::Decoder::with_settings(&settings).map_err(failed)?;
    let mut sent = decoder.send_data(data, None, None, None);
    // each round takes a frame or sends more; the last drains the decoder
    loop {
        let has_more = match sent {
            Ok(()) => false,
            Err(error) if error.is_again() => true,
            Err(error) => return Err(failed(error)),
        };
        match decoder.get_picture().or_else(|_| decoder.get_picture()) {
            Ok(frame) if (frame.width(), frame.height()) == size => return Ok(frame),
            Ok(frame) => return Err(format!("AV1 frame of {}x{}", frame.width(), frame.height())),
            Err(error) if error.is_again() && has_more => {}
            Err(error) => return Err(failed(error)),
        }
        sent = decoder.send_pending_data();
    }
}

//! libwebp's encoder through its own interface, which takes planes of luma and chroma as they are and can be cancelled. The
//! crate `webp` brings the library and its settings; its safe interface offers neither.
//!
//! The `unsafe` blocks rely on this:
//! - `libwebp-sys` is the library that `webp` links, at the same version; its own layout tests check its structs against the
//!   C headers.
//! - Every pointer that is passed leads into a slice that is borrowed until `WebPEncode` has returned, and whose length was
//!   checked against size and stride before.
//! - libwebp owns what it allocates itself; `Drop` calls `WebPPictureFree` and `WebPMemoryWriterClear` on every way out.

use std::any::Any;
use std::ffi::c_int;
use std::panic::{self, AssertUnwindSafe};

use libwebp_sys as sys;

use tintype_pixels::{Pixels, Planes};

/// The image to encode.
pub enum Input<'a> {
    /// RGB, or RGBA with straight alpha.
    Packed(&'a Pixels),
    /// Y′CbCr in WebP's range (16 to 235 and 16 to 240), 4:2:0.
    Planes(&'a Planes),
}

/// Why an image was not encoded.
#[derive(Debug)]
pub enum EncodeError {
    /// [`KeepGoing`] returned false.
    Cancelled,
    /// libwebp failed; its reason.
    Library(String),
}

/// Called during encoding; returns false to cancel.
pub type KeepGoing<'a> = &'a mut dyn FnMut() -> bool;

/// Encodes an image to a WebP file. `keep_going` is called every few percent of the way.
///
/// # Errors
/// [`EncodeError`].
///
/// # Panics
/// If the rows of `input` are shorter than its size says, and where `keep_going` panics.
pub fn encode(input: &Input<'_>, config: &sys::WebPConfig, keep_going: KeepGoing<'_>) -> Result<Vec<u8>, EncodeError> {
    let mut picture = Picture::new()?;
    let mut out = Writer::new();
    picture.0.writer = Some(sys::WebPMemoryWrite);
    picture.0.custom_ptr = (&raw mut out.0).cast();
    picture.0.progress_hook = Some(call_keep_going);
    let mut hook = Hook { keep_going, panic: None };
    picture.0.user_data = (&raw mut hook).cast();
    match input {
        Input::Packed(pixels) => picture.import(pixels)?,
        Input::Planes(planes) => picture.borrow(planes)?,
    }
    // SAFETY: the config and the picture are initialised, the picture's planes, writer and user data live in this frame
    // or are borrowed by it, and nothing keeps them after the call
    let is_done = unsafe { sys::WebPValidateConfig(config) != 0 && sys::WebPEncode(config, &raw mut picture.0) != 0 };
    if let Some(panic) = hook.panic {
        panic::resume_unwind(panic);
    }
    match picture.0.error_code {
        _ if is_done => Ok(out.bytes().to_vec()),
        sys::WebPEncodingError::VP8_ENC_ERROR_USER_ABORT => Err(EncodeError::Cancelled),
        error => Err(EncodeError::Library(format!("{error:?}"))),
    }
}

/// The user data of [`call_keep_going`].
struct Hook<'a> {
    keep_going: KeepGoing<'a>,
    panic: Option<Box<dyn Any + Send>>,
}

/// libwebp's progress hook.
unsafe extern "C" fn call_keep_going(_percent: c_int, picture: *const sys::WebPPicture) -> c_int {
    // SAFETY: libwebp hands back the picture that `encode` gave it, whose user data is a `Hook` of that
    // frame, which nothing else uses during the call
    let hook = unsafe { &mut *(*picture).user_data.cast::<Hook<'_>>() };
    // a panic must not unwind through C
    match panic::catch_unwind(AssertUnwindSafe(|| (hook.keep_going)())) {
        Ok(keeps_going) => c_int::from(keeps_going),
        Err(panic) => {
            hook.panic = Some(panic);
            0
        }
    }
}

/// libwebp's picture, freed on drop.
struct Picture(sys::WebPPicture);

impl Picture {
    fn new() -> Result<Picture, EncodeError> {
        let made = sys::WebPPicture::new();
        made.map(Picture).map_err(|()| EncodeError::Library("libwebp has another version than its header".into()))
    }

    fn set_size(&mut self, width: u32, height: u32) -> Result<(), EncodeError> {
        let side = |length| c_int::try_from(length).map_err(|_| EncodeError::Library("a side is too long".into()));
        (self.0.width, self.0.height) = (side(width)?, side(height)?);
        Ok(())
    }

    /// Copies pixels into memory of libwebp.
    fn import(&mut self, pixels: &Pixels) -> Result<(), EncodeError> {
        self.set_size(pixels.size.width, pixels.size.height)?;
        assert_eq!(pixels.data.len(), pixels.stride() * pixels.size.height as usize, "whole rows");
        self.0.use_argb = 1;
        let stride = c_int::try_from(pixels.stride()).map_err(|_| EncodeError::Library("a row is too long".into()))?;
        // SAFETY: the samples are height rows of stride bytes, three or four to a pixel as the call says
        let is_done = unsafe {
            if pixels.has_alpha() {
                sys::WebPPictureImportRGBA(&raw mut self.0, pixels.data.as_ptr(), stride)
            } else {
                sys::WebPPictureImportRGB(&raw mut self.0, pixels.data.as_ptr(), stride)
            }
        };
        if is_done != 0 { Ok(()) } else { Err(EncodeError::Library(format!("{:?}", self.0.error_code))) }
    }

    /// Lends planes to libwebp, which only reads them: it writes into planes under transparent pixels alone, and there is no plane
    /// of alpha.
    fn borrow(&mut self, planes: &Planes) -> Result<(), EncodeError> {
        self.set_size(planes.size.width, planes.size.height)?;
        let [y, u, v] = planes.all();
        let (width, height) = (planes.size.width as usize, planes.size.height as usize);
        let (columns, rows) = (width.div_ceil(2), height.div_ceil(2));
        assert!(y.stride >= width && y.data.len() >= y.stride * (height - 1) + width, "whole rows of luma");
        for chroma in [u, v] {
            assert!(chroma.stride >= columns, "whole rows of chroma");
            assert!(chroma.data.len() >= chroma.stride * (rows - 1) + columns, "all rows of chroma");
        }
        assert_eq!(u.stride, v.stride, "libwebp has one stride for both");
        let stride = |stride| c_int::try_from(stride).map_err(|_| EncodeError::Library("a row is too long".into()));
        self.0.use_argb = 0;
        self.0.colorspace = sys::WebPEncCSP::WEBP_YUV420;
        (self.0.y, self.0.y_stride) = (y.data.as_ptr().cast_mut(), stride(y.stride)?);
        (self.0.u, self.0.v) = (u.data.as_ptr().cast_mut(), v.data.as_ptr().cast_mut());
        self.0.uv_stride = stride(u.stride)?;
        Ok(())
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`; this frees what libwebp allocated, which borrowed planes are not
        unsafe { sys::WebPPictureFree(&raw mut self.0) }
    }
}

/// The output of libwebp, freed on drop.
struct Writer(sys::WebPMemoryWriter);

impl Writer {
    fn new() -> Writer {
        let mut writer = std::mem::MaybeUninit::<sys::WebPMemoryWriter>::zeroed();
        // SAFETY: all fields are numbers and pointers, for which zeros are values; the call sets them
        unsafe {
            sys::WebPMemoryWriterInit(writer.as_mut_ptr());
            Writer(writer.assume_init())
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.0.mem.is_null() {
            return &[];
        }
        // SAFETY: libwebp has written that many bytes there, and they stay until `Drop`
        unsafe { std::slice::from_raw_parts(self.0.mem, self.0.size) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`
        unsafe { sys::WebPMemoryWriterClear(&raw mut self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pixels::Size;

    #[test]
    #[should_panic(expected = "on the way")]
    fn panic_of_keep_going_is_passed_on() {
        let pixels = Pixels { size: Size::new(64, 64), channels: 3, data: vec![128; 64 * 64 * 3] };
        let config = sys::WebPConfig::new().expect("a configuration");
        let _ = encode(&Input::Packed(&pixels), &config, &mut || panic!("on the way"));
    }
}

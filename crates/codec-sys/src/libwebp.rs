//! libwebp's encoder by its own interface, which takes planes of luma and chroma as they are and can be stopped half-way.
//! The crate `webp` brings the library and its settings; its safe interface offers neither.
//!
//! One of the three places with `unsafe` in tintype (see `Cargo.toml`). What is relied on:
//! - `libwebp-sys` is the very library that `webp` links, at the same version; its structs are checked against the C
//!   headers by its own layout tests.
//! - Every pointer handed over leads into a slice that is borrowed until `WebPEncode` has returned, and whose length was
//!   checked against the stated sizes and strides before ([`Planes`] and [`Pixels`] are made of whole rows; `run` checks
//!   again).
//! - libwebp owns what it allocates itself; `WebPPictureFree` and `WebPMemoryWriterClear` are called on every way out,
//!   by `Drop`.

use std::ffi::c_int;

use libwebp_sys as sys;

use tintype_pixels::{Pixels, Planes};

/// What is encoded.
pub enum Shown<'a> {
    /// RGB, or RGBA with straight alpha.
    Packed(&'a Pixels),
    /// Luma and chroma in WebP's own range, with a sample of chroma for two by two of luma.
    Planes(&'a Planes),
}

/// Why there is no result.
pub enum Failure {
    /// It was told to stop.
    Stopped,
    /// libwebp's reason.
    Library(String),
}

/// Tells the encoder whether to go on.
pub type GoOn<'a> = &'a mut dyn FnMut() -> bool;

/// Encodes a picture. `go_on` is asked every few percent of the way.
pub fn encode(shown: &Shown<'_>, config: &sys::WebPConfig, mut go_on: GoOn<'_>) -> Result<Vec<u8>, Failure> {
    let mut picture = Picture::new()?;
    let mut out = Writer::new();
    picture.0.writer = Some(sys::WebPMemoryWrite);
    picture.0.custom_ptr = (&raw mut out.0).cast();
    picture.0.progress_hook = Some(ask);
    picture.0.user_data = (&raw mut go_on).cast();
    match shown {
        Shown::Packed(pixels) => picture.import(pixels)?,
        Shown::Planes(planes) => picture.borrow(planes)?,
    }
    // SAFETY: the config and the picture are initialised, the picture's planes, writer and user data live in this frame
    // or are borrowed by it, and nothing keeps them after the call
    let is_done = unsafe { sys::WebPValidateConfig(config) != 0 && sys::WebPEncode(config, &raw mut picture.0) != 0 };
    match picture.0.error_code {
        _ if is_done => Ok(out.bytes().to_vec()),
        sys::WebPEncodingError::VP8_ENC_ERROR_USER_ABORT => Err(Failure::Stopped),
        error => Err(Failure::Library(format!("{error:?}"))),
    }
}

/// libwebp's question whether to go on.
unsafe extern "C" fn ask(_percent: c_int, picture: *const sys::WebPPicture) -> c_int {
    // SAFETY: libwebp hands back the picture that `encode` gave it, whose user data is a `GoOn` of that frame, which
    // nobody else uses during the call
    let go_on = unsafe { &mut *(*picture).user_data.cast::<GoOn<'_>>() };
    c_int::from(go_on())
}

/// libwebp's picture, freed when it goes.
struct Picture(sys::WebPPicture);

impl Picture {
    fn new() -> Result<Picture, Failure> {
        let made = sys::WebPPicture::new();
        made.map(Picture).map_err(|()| Failure::Library("libwebp has another version than its header".into()))
    }

    fn set_size(&mut self, width: u32, height: u32) -> Result<(), Failure> {
        let side = |length| c_int::try_from(length).map_err(|_| Failure::Library("a side is too long".into()));
        (self.0.width, self.0.height) = (side(width)?, side(height)?);
        Ok(())
    }

    /// Has libwebp make its own copy.
    fn import(&mut self, pixels: &Pixels) -> Result<(), Failure> {
        self.set_size(pixels.size.width, pixels.size.height)?;
        assert_eq!(pixels.data.len(), pixels.stride() * pixels.size.height as usize, "whole rows");
        self.0.use_argb = 1;
        let stride = c_int::try_from(pixels.stride()).map_err(|_| Failure::Library("a row is too long".into()))?;
        // SAFETY: the samples are height rows of stride bytes, three or four to a pixel as the call says
        let is_done = unsafe {
            if pixels.has_alpha() {
                sys::WebPPictureImportRGBA(&raw mut self.0, pixels.data.as_ptr(), stride)
            } else {
                sys::WebPPictureImportRGB(&raw mut self.0, pixels.data.as_ptr(), stride)
            }
        };
        if is_done != 0 { Ok(()) } else { Err(Failure::Library(format!("{:?}", self.0.error_code))) }
    }

    /// Lets libwebp read planes where they are. It only reads them: it writes into a picture's planes to tidy up under
    /// transparent pixels, which needs a plane of alpha, and there is none.
    fn borrow(&mut self, planes: &Planes) -> Result<(), Failure> {
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
        let stride = |stride| c_int::try_from(stride).map_err(|_| Failure::Library("a row is too long".into()));
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

/// Where libwebp writes to, freed when it goes.
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
        // SAFETY: libwebp says that it wrote that many bytes there, and they stay until `Drop`
        unsafe { std::slice::from_raw_parts(self.0.mem, self.0.size) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`
        unsafe { sys::WebPMemoryWriterClear(&raw mut self.0) }
    }
}

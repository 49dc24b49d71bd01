//! libaom's encoder for one still image: an AV1 key frame from planes.
//!
//! The `unsafe` blocks rely on this:
//! - `libaom-sys` builds the library from the headers that its bindings were generated from, and the library checks the version
//!   of its caller.
//! - The library allocates the image with its own strides; rows are copied into it, each within the stride and the number of
//!   rows of the allocation.
//! - A packet is only read before the next call to the encoder, as its documentation requires.
//! - `Drop` destroys encoder and image on every way out.

use std::ffi::{CStr, c_int, c_uint};
use std::mem::MaybeUninit;
use std::ptr;

use libaom_sys as sys;

use tintype_pixels::Plane;

/// The image to encode: full-range Y′CbCr (BT.601), 8 bits a sample.
pub struct Input<'a> {
    /// Columns of luma.
    pub width: u32,
    /// Rows of luma.
    pub height: u32,
    /// Y′.
    pub luma: Plane<'a>,
    /// `None` for a monochrome image.
    pub chroma: Option<Chroma<'a>>,
}

/// The chroma planes of an image.
pub struct Chroma<'a> {
    /// Cb and Cr.
    pub planes: [Plane<'a>; 2],
    /// Whether they are 4:2:0, half as wide and high as luma, rounded up; else they are 4:4:4.
    pub is_420: bool,
}

/// How an image is encoded.
#[derive(Clone, Copy, Debug)]
pub struct EncoderOptions {
    /// libaom's `cpu-used`: 0, slowest, to 9, fastest.
    pub speed: u8,
    /// libaom's quantiser: 0, best, to 63, smallest.
    pub quantiser: u8,
    /// Names and values of further options, as `aomenc` takes them.
    pub options: &'static [(&'static CStr, &'static CStr)],
}

/// Encodes an image to an AV1 temporal unit without its delimiter, as AVIF stores it (AV1 in ISOBMFF §2.4).
///
/// # Errors
/// libaom's reason.
///
/// # Panics
/// If a plane has fewer samples than the size says.
pub fn encode(input: &Input<'_>, options: EncoderOptions) -> Result<Vec<u8>, String> {
    let image = Image::new(input)?;
    let mut encoder = Encoder::new(input, options)?;
    encoder.encode(&image)
}

/// An image in memory of the library, freed on drop.
struct Image(*mut sys::aom_image_t);

impl Image {
    fn new(input: &Input<'_>) -> Result<Image, String> {
        let is_444 = input.chroma.as_ref().is_some_and(|chroma| !chroma.is_420);
        let format = if is_444 { sys::AOM_IMG_FMT_I444 } else { sys::AOM_IMG_FMT_I420 };
        // SAFETY: no descriptor is passed, so the library allocates one, or returns a null pointer
        let image = unsafe { sys::aom_img_alloc(ptr::null_mut(), format, input.width, input.height, 32) };
        if image.is_null() {
            return Err("there is no memory for the image".into());
        }
        let mut image = Image(image);
        let (width, height) = (input.width as usize, input.height as usize);
        image.fill(0, input.luma, width, height);
        match &input.chroma {
            Some(chroma) => {
                let side = |length: usize| if chroma.is_420 { length.div_ceil(2) } else { length };
                for (number, plane) in (1..).zip(chroma.planes) {
                    image.fill(number, plane, side(width), side(height));
                }
            }
            None => {
                // chroma of a monochrome image is not read, but initialised so that results do not vary
                const GREY: [u8; 1] = [128];
                let grey = Plane { data: &GREY, stride: 0 };
                image.fill(1, grey, width.div_ceil(2), height.div_ceil(2));
                image.fill(2, grey, width.div_ceil(2), height.div_ceil(2));
            }
        }
        // SAFETY: allocated above, and there is no other reference
        let descriptor = unsafe { &mut *image.0 };
        descriptor.range = sys::AOM_CR_FULL_RANGE;
        descriptor.monochrome = c_int::from(input.chroma.is_none());
        Ok(image)
    }

    /// Copies `height` rows of `width` samples; a plane without stride repeats its first sample.
    fn fill(&mut self, number: usize, plane: Plane<'_>, width: usize, height: usize) {
        // SAFETY: allocated by `new`
        let descriptor = unsafe { &*self.0 };
        let stride = usize::try_from(descriptor.stride[number]).expect("the library's strides are positive");
        assert!(stride >= width && !descriptor.planes[number].is_null(), "a plane of that size was allocated");
        for row in 0..height {
            // SAFETY: the plane was allocated with at least `height` rows of `stride` bytes each, and width <= stride
            let to = unsafe { std::slice::from_raw_parts_mut(descriptor.planes[number].add(row * stride), width) };
            if plane.stride == 0 {
                to.fill(plane.data[0]);
            } else {
                to.copy_from_slice(&plane.data[row * plane.stride..][..width]);
            }
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed once
        unsafe { sys::aom_img_free(self.0) }
    }
}

struct Encoder(sys::aom_codec_ctx_t);

impl Encoder {
    fn new(input: &Input<'_>, options: EncoderOptions) -> Result<Encoder, String> {
        let mut config = MaybeUninit::<sys::aom_codec_enc_cfg_t>::zeroed();
        // SAFETY: the interface is a static of the library; the call fills the struct, for which zeros are valid
        let (interface, mut config) = unsafe {
            let interface = sys::aom_codec_av1_cx();
            let code = sys::aom_codec_enc_config_default(interface, config.as_mut_ptr(), sys::AOM_USAGE_ALL_INTRA);
            if code != sys::AOM_CODEC_OK {
                return Err(format!("libaom has no defaults (code {code})"));
            }
            (interface, config.assume_init())
        };
        (config.g_w, config.g_h) = (input.width, input.height);
        // profile 1 has chroma at the resolution of luma (AV1 §6.4.1)
        config.g_profile = c_uint::from(input.chroma.as_ref().is_some_and(|chroma| !chroma.is_420));
        config.monochrome = c_uint::from(input.chroma.is_none());
        config.g_limit = 1;
        config.g_lag_in_frames = 0;
        // renders are limited to the number of cores; more threads would take cores from others
        config.g_threads = 1;
        config.rc_end_usage = sys::AOM_Q;
        let quantiser = c_uint::from(options.quantiser.min(63));
        (config.rc_min_quantizer, config.rc_max_quantizer) = (quantiser, quantiser);
        let mut context = MaybeUninit::<sys::aom_codec_ctx_t>::zeroed();
        let version = c_int::try_from(sys::AOM_ENCODER_ABI_VERSION).expect("a small number");
        // SAFETY: interface and config are the library's own, and the context is written by the call
        let (code, context) = unsafe {
            let code = sys::aom_codec_enc_init_ver(context.as_mut_ptr(), interface, &raw const config, 0, version);
            (code, context.assume_init())
        };
        if code != sys::AOM_CODEC_OK {
            return Err(format!("libaom does not take the picture (code {code})"));
        }
        let mut encoder = Encoder(context);
        encoder.control(sys::AOME_SET_CPUUSED, options.speed.min(9).into())?;
        encoder.control(sys::AOME_SET_CQ_LEVEL, quantiser as c_int)?;
        encoder.control(sys::AV1E_SET_COLOR_RANGE, sys::AOM_CR_FULL_RANGE as c_int)?;
        encoder.control(sys::AV1E_SET_COLOR_PRIMARIES, sys::AOM_CICP_CP_BT_709 as c_int)?;
        encoder.control(sys::AV1E_SET_TRANSFER_CHARACTERISTICS, sys::AOM_CICP_TC_SRGB as c_int)?;
        encoder.control(sys::AV1E_SET_MATRIX_COEFFICIENTS, sys::AOM_CICP_MC_BT_601 as c_int)?;
        for (name, value) in options.options {
            // SAFETY: the context is initialised, the texts end with a zero
            let code = unsafe { sys::aom_codec_set_option(&raw mut encoder.0, name.as_ptr(), value.as_ptr()) };
            encoder.check(code, "an option")?;
        }
        Ok(encoder)
    }

    /// Sets one of the controls that take an `int` or an `unsigned int`.
    fn control(&mut self, control: sys::aome_enc_control_id, value: c_int) -> Result<(), String> {
        // SAFETY: the context is initialised; each control that is used here takes one integer of that width
        let code = unsafe { sys::aom_codec_control(&raw mut self.0, control as c_int, value) };
        self.check(code, "a control")
    }

    fn encode(&mut self, image: &Image) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        // the image, then a flush
        for picture in [image.0.cast_const(), ptr::null()] {
            // SAFETY: context and image are initialised and of the size in the config
            let code = unsafe { sys::aom_codec_encode(&raw mut self.0, picture, 0, 1, 0) };
            self.check(code, "the picture")?;
            let mut iterator = ptr::null();
            // SAFETY: packets stay valid until the next call to the encoder other than this one
            while let Some(packet) = unsafe { sys::aom_codec_get_cx_data(&raw mut self.0, &raw mut iterator).as_ref() }
            {
                if packet.kind == sys::AOM_CODEC_CX_FRAME_PKT {
                    // SAFETY: the kind says which member of the union is set
                    let frame = unsafe { packet.data.frame };
                    // SAFETY: as many bytes as the packet says
                    bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz) });
                }
            }
        }
        // a temporal delimiter is always these two bytes (AV1 §5.6)
        let bytes = bytes.strip_prefix(&[0x12, 0x00]).map(<[u8]>::to_vec).unwrap_or(bytes);
        if bytes.is_empty() { Err("libaom returned no data".into()) } else { Ok(bytes) }
    }

    fn check(&self, code: sys::aom_codec_err_t, what: &str) -> Result<(), String> {
        if code == sys::AOM_CODEC_OK {
            return Ok(());
        }
        // SAFETY: the context is initialised; the text belongs to it and is copied at once
        let detail = unsafe {
            let detail = sys::aom_codec_error_detail(&raw const self.0);
            if detail.is_null() { String::new() } else { CStr::from_ptr(detail).to_string_lossy().into_owned() }
        };
        Err(format!("libaom does not take {what} (code {code}) {detail}").trim_end().to_owned())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: initialised by `new`, destroyed once; it can only fail for a context that was not
        unsafe { sys::aom_codec_destroy(&raw mut self.0) };
    }
}

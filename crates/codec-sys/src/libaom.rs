//! libaom's encoder for one still image: an AV1 key frame from planes.
//!
//! The `unsafe` blocks rely on this:
//! - `libaom-sys` builds the library from the headers that its bindings were generated from, and the library checks the version
//!   of its caller.
//! - The planes are borrowed until the encoder has returned, and their lengths are checked against size and stride before. The
//!   encoder copies the image before it does anything else with it, and never writes to it.
//! - A packet is only read before the next call to the encoder, as its documentation requires.
//! - `Drop` destroys the encoder on every way out.

use std::ffi::{CStr, c_int, c_uint};
use std::mem::MaybeUninit;
use std::ptr;

use libaom_sys as sys;

use tintype_pixels::Plane;
use tintype_pixels::ycbcr::Sample;

/// The image to encode: full-range Y′CbCr (BT.601), in as many bits a sample as the type of the samples has.
pub struct Input<'a, S> {
    /// Columns of luma.
    pub width: u32,
    /// Rows of luma.
    pub height: u32,
    /// Y′.
    pub luma: Plane<'a, S>,
    /// `None` for a monochrome image.
    pub chroma: Option<Chroma<'a, S>>,
}

/// The chroma planes of an image.
pub struct Chroma<'a, S> {
    /// Cb and Cr.
    pub planes: [Plane<'a, S>; 2],
    /// Whether they are 4:2:0, half as wide and high as luma, rounded up; else they are 4:4:4.
    pub is_420: bool,
}

/// How an image is encoded.
#[derive(Clone, Copy, Debug)]
pub struct EncoderOptions {
    /// libaom's `cpu-used`: 0, slowest, to 9, fastest.
    pub speed: u8,
    /// libaom's quantiser: 0, lossless, to 63, smallest.
    pub quantiser: u8,
    /// The level of the quantisation matrices: 0, steepest, to 15, nearly flat; `None` for no matrices.
    pub matrices: Option<u8>,
    /// Threads to encode with, at least 1; the bytes are the same for any number.
    pub threads: u32,
    /// Names and values of further options, as `aomenc` takes them.
    pub options: &'static [(&'static CStr, &'static CStr)],
}

/// The frequency at which the costs of modes are updated: never.
const COSTS_STAY: c_int = 3;

/// More threads than libaom has rows of superblocks for only wait.
const MAX_THREADS: u32 = 16;

/// Encodes an image to an AV1 temporal unit without its delimiter, as AVIF stores it (AV1 in ISOBMFF §2.4).
///
/// # Errors
/// libaom's reason.
///
/// # Panics
/// If a plane has fewer samples than the size says.
pub fn encode<S: Sample>(input: &Input<'_, S>, options: EncoderOptions) -> Result<Vec<u8>, String> {
    let image = describe(input)?;
    Encoder::new(input, options)?.encode(&image)
}

/// The library's description of an image, which points to the planes of `input`.
fn describe<S: Sample>(input: &Input<'_, S>) -> Result<sys::aom_image_t, String> {
    assert_eq!(size_of::<S>(), if S::BITS > 8 { 2 } else { 1 }, "samples as libaom reads them");
    let is_444 = input.chroma.as_ref().is_some_and(|chroma| !chroma.is_420);
    let format = match (S::BITS > 8, is_444) {
        (false, false) => sys::AOM_IMG_FMT_I420,
        (false, true) => sys::AOM_IMG_FMT_I444,
        (true, false) => sys::AOM_IMG_FMT_I42016,
        (true, true) => sys::AOM_IMG_FMT_I44416,
    };
    let mut image = MaybeUninit::<sys::aom_image_t>::zeroed();
    let data = input.luma.data.as_ptr().cast::<u8>().cast_mut();
    // SAFETY: the call fills the struct, for which zeros are valid, too; of the samples it only stores the address
    let (is_done, mut image) = unsafe {
        let described = sys::aom_img_wrap(image.as_mut_ptr(), format, input.width, input.height, 1, data);
        (!described.is_null(), image.assume_init())
    };
    if !is_done {
        return Err("libaom does not take that size".into());
    }
    let (width, height) = (input.width as usize, input.height as usize);
    let (columns, rows) = if is_444 { (width, height) } else { (width.div_ceil(2), height.div_ceil(2)) };
    // chroma of a monochrome image is not read; luma stands in for it
    let chroma = input.chroma.as_ref().map_or([input.luma; 2], |chroma| chroma.planes);
    let planes = [(input.luma, width, height), (chroma[0], columns, rows), (chroma[1], columns, rows)];
    for (number, (plane, columns, rows)) in planes.into_iter().enumerate() {
        assert!(plane.stride >= columns && plane.data.len() >= plane.stride * (rows - 1) + columns, "whole rows");
        image.planes[number] = plane.data.as_ptr().cast::<u8>().cast_mut();
        let stride = plane.stride * size_of::<S>();
        image.stride[number] = c_int::try_from(stride).map_err(|_| "a row is too long for libaom")?;
    }
    image.range = sys::AOM_CR_FULL_RANGE;
    image.monochrome = c_int::from(input.chroma.is_none());
    Ok(image)
}

struct Encoder(sys::aom_codec_ctx_t);

impl Encoder {
    fn new<S: Sample>(input: &Input<'_, S>, options: EncoderOptions) -> Result<Encoder, String> {
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
        config.g_bit_depth = S::BITS as sys::aom_bit_depth;
        config.g_input_bit_depth = S::BITS;
        let flags = if S::BITS > 8 { sys::AOM_CODEC_USE_HIGHBITDEPTH.into() } else { 0 };
        config.g_limit = 1;
        config.g_lag_in_frames = 0;
        config.g_threads = options.threads.clamp(1, MAX_THREADS);
        config.rc_end_usage = sys::AOM_Q;
        let quantiser = c_uint::from(options.quantiser.min(63));
        (config.rc_min_quantizer, config.rc_max_quantizer) = (quantiser, quantiser);
        let mut context = MaybeUninit::<sys::aom_codec_ctx_t>::zeroed();
        let version = c_int::try_from(sys::AOM_ENCODER_ABI_VERSION).expect("a small number");
        // SAFETY: interface and config are the library's own, and the context is written by the call
        let (code, context) = unsafe {
            let code = sys::aom_codec_enc_init_ver(context.as_mut_ptr(), interface, &raw const config, flags, version);
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
        // the bits of a mode follow the standard's probabilities, so that no thread depends on another's superblocks; that is
        // also 0.4 percent fewer bytes of photographs at speed 7
        for costs in
            [sys::AV1E_SET_COEFF_COST_UPD_FREQ, sys::AV1E_SET_MODE_COST_UPD_FREQ, sys::AV1E_SET_DV_COST_UPD_FREQ]
        {
            encoder.control(costs, COSTS_STAY)?;
        }
        if let Some(level) = options.matrices {
            encoder.control(sys::AV1E_SET_ENABLE_QM, 1)?;
            encoder.control(sys::AV1E_SET_QM_MIN, level.into())?;
            encoder.control(sys::AV1E_SET_QM_MAX, level.into())?;
        }
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

    fn encode(&mut self, image: &sys::aom_image_t) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        // the image, then a flush
        for picture in [ptr::from_ref(image), ptr::null()] {
            // SAFETY: context and image are initialised and of the size in the config, and the image's planes are borrowed by the caller
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

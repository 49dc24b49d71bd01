//! libjpeg-turbo's encoder with quantisation tables, subsampling and scans of the caller's choice, which its TurboJPEG interface
//! does not offer.
//!
//! The calls to the library are in `c/libjpeg.c`. The `unsafe` blocks rely on this:
//! - `Job` has the layout of `struct tintype_jpeg_job` there, of which a test compares the size and the last offset.
//! - Every pointer in a job leads into a slice that is borrowed until the call has returned, and whose length was checked
//!   against size and stride before. The C code reads `width` samples (or pixels) of `height` rows, no more.
//! - The C code frees what the library allocated on every way out.

use std::any::Any;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{self, AssertUnwindSafe};
use std::{ptr, slice};

// links the library
use turbojpeg_sys as _;

use tintype_pixels::{ChromaSubsampling, Pixels, Plane, Planes, Size};

/// The image to encode.
pub enum Input<'a> {
    /// RGB, or RGBA, whose alpha is ignored.
    Packed(&'a Pixels),
    /// Full-range Y′CbCr (JFIF), 4:2:0, or luma alone.
    Planes(&'a Planes),
}

/// How an image is encoded. Huffman tables are always those that suit the image best.
#[derive(Clone, Debug)]
pub struct EncoderOptions {
    /// The quantisation tables of luma and of chroma, in natural order, 1 to 255 each.
    pub tables: [[u16; 64]; 2],
    /// Whether the output has luma alone.
    pub is_grey: bool,
    /// Whether chroma has half the resolution in both directions; planes with chroma always are.
    pub is_420: bool,
    /// Whether coefficients are sent in several scans: five, or three for luma alone.
    pub is_progressive: bool,
}

/// Encodes an image to a JPEG file (JFIF).
///
/// # Errors
/// The library's reason.
///
/// # Panics
/// If the rows of `input` are shorter than its size says, or planes have chroma of another subsampling than 4:2:0.
pub fn encode(input: &Input<'_>, options: &EncoderOptions) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let source = Source::new(input, options.is_grey);
    let mut job = Job {
        layout: source.layout as u32,
        is_grey: (options.is_grey || source.layout == Layout::Grey).into(),
        is_420: (options.is_420 || source.layout == Layout::YCbCr420).into(),
        planes: source.planes.map(|Plane { data, stride }| PlanePointer { data: data.as_ptr(), stride }),
        ..Job::new(source.size, options, &mut out)
    };
    // SAFETY: the job is complete; `Source` has checked that its planes are as long as its size says; they are borrowed by
    // `input`, and `out` is only used by `append` until the call returns
    let is_done = unsafe { tintype_jpeg_encode(&raw mut job) } != 0;
    if is_done { Ok(out) } else { Err(message(&job.message)) }
}

/// Writes a row of blocks of quantised coefficients, each in natural order: called with the number of the component, the number of
/// the row of blocks, and the row. Returns false to cancel.
pub type Fill<'a> = &'a mut dyn FnMut(usize, usize, &mut [[i16; 64]]) -> bool;

/// Why coefficients were not encoded.
#[derive(Debug)]
pub enum EncodeError {
    /// [`Fill`] returned false.
    Cancelled,
    /// The library failed; its reason.
    Library(String),
}

/// Encodes coefficients, quantised with the tables of `options`, to a JPEG file (JFIF). `fill` is called once for each row of blocks
/// that holds samples of a component, with as many blocks as do.
///
/// # Errors
/// [`EncodeError`].
///
/// # Panics
/// If `fill` does.
pub fn encode_coefficients(size: Size, options: &EncoderOptions, fill: Fill<'_>) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    let mut source = CoefficientSource { fill, is_cancelled: false, panic: None };
    let mut job = Job {
        layout: Layout::Coefficients as u32,
        fill: call_fill,
        source: (&raw mut source).cast(),
        ..Job::new(size, options, &mut out)
    };
    // SAFETY: the job is complete; `source` is only used by `call_fill`, and `out` by `append`, until the call returns
    let is_done = unsafe { tintype_jpeg_encode(&raw mut job) } != 0;
    match source {
        _ if is_done => Ok(out),
        CoefficientSource { panic: Some(panic), .. } => panic::resume_unwind(panic),
        CoefficientSource { is_cancelled: true, .. } => Err(EncodeError::Cancelled),
        _ => Err(EncodeError::Library(message(&job.message))),
    }
}

/// A [`Fill`], and why it ended the encoding.
struct CoefficientSource<'a> {
    fill: Fill<'a>,
    is_cancelled: bool,
    panic: Option<Box<dyn Any + Send>>,
}

/// The arrangement of samples, numbered as in libjpeg.c.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Grey = 0,
    YCbCr420 = 1,
    Rgb = 2,
    Rgbx = 3,
    Coefficients = 4,
}

/// Planes whose lengths were checked; packed pixels are the first.
struct Source<'a> {
    size: Size,
    layout: Layout,
    planes: [Plane<'a>; 3],
}

impl<'a> Source<'a> {
    fn new(input: &Input<'a>, is_grey: bool) -> Source<'a> {
        const NONE: Plane<'static> = Plane { data: &[], stride: 0 };
        let source = match *input {
            Input::Packed(pixels) => Source {
                size: pixels.size,
                layout: if pixels.channels == 4 { Layout::Rgbx } else { Layout::Rgb },
                planes: [Plane { data: &pixels.data, stride: pixels.stride() }, NONE, NONE],
            },
            Input::Planes(planes) if is_grey || planes.subsampling.is_none() => {
                Source { size: planes.size, layout: Layout::Grey, planes: [planes.luma().0, NONE, NONE] }
            }
            Input::Planes(planes) => {
                assert_eq!(planes.subsampling, Some(ChromaSubsampling::S420), "planes of 4:2:0");
                Source { size: planes.size, layout: Layout::YCbCr420, planes: planes.all() }
            }
        };
        source.check();
        source
    }

    fn check(&self) {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        assert!(width > 0 && height > 0, "at least a pixel");
        let check = |plane: &Plane<'_>, row: usize, rows: usize| {
            let is_long = plane.stride >= row && plane.data.len() >= plane.stride * (rows - 1) + row;
            assert!(is_long, "{rows} rows of {row} bytes");
        };
        let [first, others @ ..] = &self.planes;
        match self.layout {
            Layout::Coefficients => {}
            Layout::Grey => check(first, width, height),
            Layout::Rgb => check(first, width * 3, height),
            Layout::Rgbx => check(first, width * 4, height),
            Layout::YCbCr420 => {
                check(first, width, height);
                others.iter().for_each(|plane| check(plane, width.div_ceil(2), height.div_ceil(2)));
            }
        }
    }
}

#[repr(C)]
struct PlanePointer {
    data: *const u8,
    stride: usize,
}

/// `struct tintype_jpeg_job` of libjpeg.c.
#[repr(C)]
struct Job {
    width: u32,
    height: u32,
    layout: u32,
    is_grey: u32,
    is_420: u32,
    is_progressive: u32,
    planes: [PlanePointer; 3],
    tables: [[u16; 64]; 2],
    write: unsafe extern "C" fn(sink: *mut c_void, bytes: *const u8, length: usize),
    sink: *mut c_void,
    fill: unsafe extern "C" fn(
        source: *mut c_void,
        component: u32,
        row: u32,
        blocks: *mut [i16; 64],
        count: usize,
    ) -> c_int,
    source: *mut c_void,
    message: [c_char; 200],
}

impl Job {
    /// A job of that size and those options, without input.
    fn new(size: Size, options: &EncoderOptions, out: &mut Vec<u8>) -> Job {
        Job {
            width: size.width,
            height: size.height,
            layout: Layout::Coefficients as u32,
            is_grey: options.is_grey.into(),
            is_420: options.is_420.into(),
            is_progressive: options.is_progressive.into(),
            planes: [const { PlanePointer { data: ptr::null(), stride: 0 } }; 3],
            tables: options.tables,
            write: append,
            sink: (&raw mut *out).cast(),
            fill: fill_nothing,
            source: ptr::null_mut(),
            message: [0; 200],
        }
    }
}

unsafe extern "C" {
    fn tintype_jpeg_encode(job: *mut Job) -> c_int;
    #[cfg(test)]
    fn tintype_jpeg_job_size() -> usize;
    #[cfg(test)]
    fn tintype_jpeg_message_offset() -> usize;
}

/// Receives the next bytes of the output.
unsafe extern "C" fn append(sink: *mut c_void, bytes: *const u8, length: usize) {
    // SAFETY: the C code hands back the sink of `encode`, which nothing else uses during the call, and that many bytes of its
    // own buffer
    let (out, bytes) = unsafe { (&mut *sink.cast::<Vec<u8>>(), slice::from_raw_parts(bytes, length)) };
    out.extend_from_slice(bytes);
}

/// Requests a row of blocks from a [`Fill`]; returns 0 if there is none.
unsafe extern "C" fn call_fill(
    source: *mut c_void, component: u32, row: u32, blocks: *mut [i16; 64], count: usize,
) -> c_int {
    // SAFETY: the C code hands back the source of `encode_coefficients`, which nothing else uses during the call, and that many
    // initialised blocks of the library
    let (source, blocks) =
        unsafe { (&mut *source.cast::<CoefficientSource<'_>>(), slice::from_raw_parts_mut(blocks, count)) };
    let fill = &mut source.fill;
    // a panic must not unwind through C
    match panic::catch_unwind(AssertUnwindSafe(|| fill(component as usize, row as usize, blocks))) {
        Ok(is_filled) => source.is_cancelled = !is_filled,
        Err(panic) => source.panic = Some(panic),
    }
    c_int::from(!source.is_cancelled && source.panic.is_none())
}

/// The `fill` of jobs with samples, for which it is not called.
unsafe extern "C" fn fill_nothing(
    _source: *mut c_void, _component: u32, _row: u32, _blocks: *mut [i16; 64], _count: usize,
) -> c_int {
    0
}

fn message(text: &[c_char; 200]) -> String {
    let bytes = text.map(|char| char as u8);
    CStr::from_bytes_until_nul(&bytes).map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use turbojpeg::{Compressor, Image, PixelFormat, Subsamp, YuvPlanesImage};

    use super::*;

    /// The tables of Annex K at quality 50, where libjpeg's formula leaves them as they are.
    #[rustfmt::skip]
    const ANNEX_K: [[u16; 64]; 2] = [
        [
            16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
            14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
            49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
        ],
        [
            17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
            47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
            99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        ],
    ];

    /// Even and odd sides, below, at and above a block and an MCU.
    const SIZES: [(u32, u32); 7] = [(1, 1), (7, 9), (8, 8), (16, 16), (17, 33), (150, 31), (301, 211)];

    fn options(is_grey: bool, is_420: bool, is_progressive: bool) -> EncoderOptions {
        EncoderOptions { tables: ANNEX_K, is_grey, is_420, is_progressive }
    }

    /// Gradients with pseudo-random noise.
    fn samples(length: usize) -> Vec<u8> {
        (0..length as u32).map(|at| (at / 7 + (at.wrapping_mul(2_654_435_761) >> 28)) as u8).collect()
    }

    fn image(data: &[u8], size: Size, pitch: usize, format: PixelFormat) -> Image<&[u8]> {
        Image { pixels: data, width: size.width as usize, pitch, height: size.height as usize, format }
    }

    fn peer(subsampling: Subsamp) -> Compressor {
        let mut peer = Compressor::new().expect("a compressor");
        peer.set_quality(50).expect("a quality");
        peer.set_subsamp(subsampling).expect("a subsampling");
        peer.set_optimize(true).expect("a flag");
        peer
    }

    #[test]
    fn packed_pixels_give_bytes_of_turbojpeg() {
        for (width, height) in SIZES {
            for (channels, format) in [(3, PixelFormat::RGB), (4, PixelFormat::RGBX)] {
                let size = Size::new(width, height);
                let pixels = Pixels { size, channels, data: samples(size.pixels() as usize * channels) };
                let image = image(&pixels.data, size, pixels.stride(), format);
                for (subsampling, is_grey, is_420) in [
                    (Subsamp::Sub2x2, false, true),
                    (Subsamp::None, false, false),
                    (Subsamp::Gray, true, false),
                    (Subsamp::Gray, true, true),
                ] {
                    let own = encode(&Input::Packed(&pixels), &options(is_grey, is_420, false)).expect("encoded");
                    let expected = peer(subsampling).compress_to_vec(image).expect("encoded");
                    assert!(own == expected, "{size}, {format:?}, {subsampling:?}");
                }
            }
        }
    }

    #[test]
    fn planes_give_bytes_of_turbojpeg() {
        for (width, height) in SIZES {
            let size = Size::new(width, height);
            let data = samples(Planes::bytes(size, Some(ChromaSubsampling::S420)));
            let planes = Planes::new(size, Some(ChromaSubsampling::S420), data).edges_repeated();
            let [y, u, v] = planes.all();
            let borrowed = YuvPlanesImage {
                y_plane: y.data,
                u_plane: u.data,
                v_plane: v.data,
                width: width as usize,
                height: height as usize,
                y_stride: y.stride,
                u_stride: u.stride,
                v_stride: v.stride,
                subsamp: Subsamp::Sub2x2,
            };
            let own = encode(&Input::Planes(&planes), &options(false, true, false)).expect("encoded");
            let expected = peer(Subsamp::Sub2x2).compress_yuv_planes_to_vec(&borrowed).expect("encoded");
            assert!(own == expected, "{size} in colour");

            let luma = image(y.data, size, y.stride, PixelFormat::GRAY);
            let own = encode(&Input::Planes(&planes), &options(true, true, false)).expect("encoded");
            assert!(own == peer(Subsamp::Gray).compress_to_vec(luma).expect("encoded"), "{size} in grey");
        }
    }

    #[test]
    fn progressive_file_has_the_same_coefficients() {
        let size = Size::new(150, 31);
        let pixels = Pixels { size, channels: 3, data: samples(size.pixels() as usize * 3) };
        for is_grey in [false, true] {
            let decoded = [false, true].map(|is_progressive| {
                let file = encode(&Input::Packed(&pixels), &options(is_grey, true, is_progressive)).expect("encoded");
                // SOF0 or SOF2, and the length of the segment (T.81 B.2.2)
                let start = [0xFF, if is_progressive { 0xC2 } else { 0xC0 }, 0, if is_grey { 11 } else { 17 }];
                assert!(file.windows(4).any(|bytes| bytes == start), "{start:?}");
                turbojpeg::decompress(&file, PixelFormat::RGB).expect("decoded").pixels
            });
            assert!(decoded[0] == decoded[1]);
        }
    }

    /// Row `row` of component `component` of coefficients that differ from block to block.
    fn fill(component: usize, row: usize, blocks: &mut [[i16; 64]]) -> bool {
        for (column, block) in blocks.iter_mut().enumerate() {
            block[0] = ((component * 40 + row * 7 + column * 3) % 64) as i16 - 32;
            block[1 + (row + column) % 63] = 3 - component as i16 * 2;
        }
        true
    }

    #[test]
    fn coefficients_are_written_for_every_size_and_layout() {
        for (width, height) in SIZES {
            for (is_grey, is_420) in [(true, false), (false, true), (false, false)] {
                let mut rows = [0; 3];
                let decoded = [false, true].map(|is_progressive| {
                    rows = [0; 3];
                    let options = options(is_grey, is_420, is_progressive);
                    let file =
                        encode_coefficients(Size::new(width, height), &options, &mut |component, row, blocks| {
                            let factor = if is_420 && component > 0 { 16 } else { 8 };
                            assert_eq!(blocks.len(), (width as usize).div_ceil(factor));
                            assert_eq!(row, rows[component], "in order");
                            rows[component] += 1;
                            fill(component, row, blocks)
                        });
                    let file = file.expect("encoded");
                    turbojpeg::decompress(&file, PixelFormat::RGB).expect("decoded").pixels
                });
                let factor = if is_420 { 16 } else { 8 };
                let (luma, chroma) = ((height as usize).div_ceil(8), (height as usize).div_ceil(factor));
                assert_eq!(rows, if is_grey { [luma, 0, 0] } else { [luma, chroma, chroma] });
                assert!(decoded[0] == decoded[1], "{width} x {height}, {is_grey}, {is_420}");
            }
        }
    }

    #[test]
    fn dc_coefficients_give_flat_blocks() {
        let file = encode_coefficients(Size::new(20, 9), &options(true, false, false), &mut |_, row, blocks| {
            for (column, block) in blocks.iter_mut().enumerate() {
                block[0] = (row * 10 + column) as i16;
            }
            true
        });
        let decoded = turbojpeg::decompress(&file.expect("encoded"), PixelFormat::GRAY).expect("decoded").pixels;
        // a step of DC is 16, which is 2 levels of all samples
        let expected = (0..9).flat_map(|y| (0..20).map(move |x| 128 + (y / 8 * 10 + x / 8) * 2));
        assert_eq!(decoded, expected.collect::<Vec<u8>>());
    }

    #[test]
    fn coefficients_are_cancelled_and_errors_returned() {
        let size = Size::new(64, 64);
        let mut calls = 0;
        let cancelled = encode_coefficients(size, &options(false, true, true), &mut |_, _, _| {
            calls += 1;
            calls < 3
        });
        assert!(matches!(cancelled, Err(EncodeError::Cancelled)) && calls == 3, "{cancelled:?} after {calls}");
        let wide = encode_coefficients(Size::new(65_501, 1), &options(true, false, false), &mut fill);
        assert!(matches!(&wide, Err(EncodeError::Library(text)) if text.contains("65500")), "{wide:?}");
        // 11 bits are refused by the entropy coder, after all rows were filled
        let large = encode_coefficients(size, &options(true, false, false), &mut |_, _, blocks| {
            blocks[0][1] = 1024;
            true
        });
        assert!(matches!(&large, Err(EncodeError::Library(text)) if !text.is_empty()), "{large:?}");
    }

    #[test]
    #[should_panic(expected = "in the middle")]
    fn panic_of_fill_is_passed_on() {
        let mut fill = |_: usize, row: usize, _: &mut [[i16; 64]]| if row > 1 { panic!("in the middle") } else { true };
        let _ = encode_coefficients(Size::new(64, 64), &options(true, false, false), &mut fill);
    }

    #[test]
    fn library_error_is_returned() {
        // JPEG has sides of 16 bits, the library up to 65,500
        let pixels = Pixels::filled(Size::new(65_501, 1), &[1, 2, 3]);
        let error = encode(&Input::Packed(&pixels), &options(false, true, false)).expect_err("too wide");
        assert!(error.contains("65500"), "{error}");
    }

    #[test]
    #[should_panic(expected = "3 rows of 12 bytes")]
    fn short_pixels_are_refused() {
        let pixels = Pixels { size: Size::new(4, 3), channels: 3, data: vec![0; 35] };
        let _ = encode(&Input::Packed(&pixels), &options(false, true, false));
    }

    #[test]
    fn job_has_the_layout_of_c() {
        // SAFETY: it takes nothing and returns a number
        let (size, message) = unsafe { (tintype_jpeg_job_size(), tintype_jpeg_message_offset()) };
        assert_eq!((size, message), (size_of::<Job>(), std::mem::offset_of!(Job, message)));
    }
}

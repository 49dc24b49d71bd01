//! libjpeg-turbo's encoder with quantisation tables, subsampling and scans of the caller's choice, which its TurboJPEG interface
//! does not offer.
//!
//! The calls to the library are in `c/libjpeg.c`. The `unsafe` blocks rely on this:
//! - `Job` has the layout of `struct tintype_jpeg_job` there, of which a test compares the size and the last offset.
//! - Every pointer in a job leads into a slice that is borrowed until the call has returned, and whose length was checked
//!   against size and stride before. The C code reads `width` samples (or pixels) of `height` rows, no more.
//! - The C code frees what the library allocated on every way out.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::slice;

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
        width: source.size.width,
        height: source.size.height,
        layout: source.layout as u32,
        is_grey: (options.is_grey || source.layout == Layout::Grey).into(),
        is_420: (options.is_420 || source.layout == Layout::YCbCr420).into(),
        is_progressive: options.is_progressive.into(),
        planes: source.planes.map(|Plane { data, stride }| PlanePointer { data: data.as_ptr(), stride }),
        tables: options.tables,
        write: append,
        sink: (&raw mut out).cast(),
        message: [0; 200],
    };
    // SAFETY: the job is complete; `Source` has checked that its planes are as long as its size says; they are borrowed by
    // `input`, and `out` is only used by `append` until the call returns
    let is_done = unsafe { tintype_jpeg_encode(&raw mut job) } != 0;
    if is_done { Ok(out) } else { Err(message(&job.message)) }
}

/// The arrangement of samples, numbered as in libjpeg.c.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Grey = 0,
    YCbCr420 = 1,
    Rgb = 2,
    Rgbx = 3,
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
    message: [c_char; 200],
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

//! JPEG in TIFF: technical note 2 (compression 7), and old-style JPEG of TIFF 6.0 §22 (compression 6) as far as its streams can be
//! assembled.
//!
//! The TIFF states the colour space. JPEG libraries would guess it, so an Adobe marker is inserted, and the stream's own application
//! markers are removed.

#[cfg(not(feature = "native"))]
mod pure;
#[cfg(feature = "native")]
mod turbo;

#[cfg(not(feature = "native"))]
use pure::Library;
#[cfg(feature = "native")]
use turbo::Library;

use super::Failure;
use super::page::Page;
use super::tags::{Compression, Photometric};

pub(super) struct DecodedStream {
    pub(super) samples: Vec<u8>,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Decodes streams by the JPEG library.
pub(super) struct Reader(Library);

impl Reader {
    pub(super) fn new() -> Result<Reader, Failure> {
        Library::new().map(Reader)
    }

    /// Decodes a strip or tile of `rows` rows.
    pub(super) fn decode(&mut self, page: &Page<'_>, input: &[u8], rows: u32) -> Result<DecodedStream, Failure> {
        let stream = match page.compression {
            Compression::OldJpeg if !input.starts_with(&[0xFF, 0xD8]) => from_tables(page, input, rows)?,
            _ => Stream::read(page, input)?,
        };
        let Frame { width, height, components, .. } = stream.frame;
        if usize::from(components) != page.interleaved_samples() {
            return Err(Failure::malformed(format!("a JPEG stream has {components} components")));
        }
        let (most_columns, most_rows) = page.max_stream_size();
        if width == 0 || height == 0 || u32::from(width) > most_columns || u32::from(height) > most_rows {
            return Err(Failure::malformed(format!("a JPEG stream has {width}x{height} pixels")));
        }
        if !matches!(components, 1 | 3 | 4) {
            return Err(Failure::unsupported(format!("a JPEG stream of {components} components")));
        }
        let samples = self.0.decode(&stream.bytes, width, height, components)?;
        Ok(DecodedStream { samples, width: width.into(), height: height.into() })
    }
}

/// A frame header (T.81 §B.2.2).
#[derive(Clone, Copy)]
struct Frame {
    width: u16,
    height: u16,
    components: u8,
    /// Whether components differ in their sampling factors.
    subsampled: bool,
    /// Whether the frame is sequential.
    sequential: bool,
}

impl Frame {
    fn read(marker: u8, body: &[u8]) -> Result<Frame, Failure> {
        let &[precision, h1, h0, w1, w0, components, ref table @ ..] = body else {
            return Err(Failure::malformed("a JPEG frame header is truncated"));
        };
        if precision != 8 {
            return Err(Failure::unsupported(format!("a JPEG stream with {precision} bits a sample")));
        }
        let factors = table.as_chunks::<3>().0.iter().map(|component| component[1]);
        let subsampled = factors.clone().any(|other| factors.clone().next() != Some(other));
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        Ok(Frame { width, height, components, subsampled, sequential: matches!(marker, 0xC0 | 0xC1) })
    }
}

/// A complete JPEG stream.
struct Stream {
    bytes: Vec<u8>,
    frame: Frame,
}

impl Stream {
    /// Assembles an abbreviated stream and the JPEGTables of the page (technical note 2).
    fn read(page: &Page<'_>, input: &[u8]) -> Result<Stream, Failure> {
        let mut headers = Vec::new();
        if let Some(tables) = page.jpeg_tables {
            copy_headers(tables, &mut headers)?;
        }
        let (frame, scan) = copy_headers(input, &mut headers)?;
        let frame = frame.ok_or_else(|| Failure::malformed("a JPEG stream has no frame header"))?;
        if scan.is_empty() && page.compression == Compression::OldJpeg {
            return Err(Failure::unsupported("old-style JPEG with headers and scan in different places"));
        }
        let mut bytes = start(page, frame);
        bytes.extend(headers);
        bytes.extend(scan);
        if page.compression == Compression::OldJpeg && frame.sequential {
            let at = bytes.len() - scan.len();
            correct_scan(&mut bytes[at..]);
        }
        Ok(Stream { bytes, frame })
    }
}

/// Sets Ss, Se, Ah and Al of a sequential scan header, where some old writers left zeros (T.81 §B.2.3).
fn correct_scan(scan: &mut [u8]) {
    let length = scan.get(2..).and_then(|scan| scan.first_chunk()).map_or(0, |&bytes| u16::from_be_bytes(bytes));
    let end = usize::from(length) + 2;
    if let Some(range) = end.checked_sub(3).and_then(|start| scan.get_mut(start..end)) {
        range.copy_from_slice(&[0, 63, 0]);
    }
}

/// SOI, and the Adobe marker (APP14) with the colour transform (Adobe TN 5116).
fn start(page: &Page<'_>, frame: Frame) -> Vec<u8> {
    let is_ycbcr = match page.photometric {
        // old-style files have ReferenceBlackWhite, which the library does not apply
        _ if page.compression == Compression::OldJpeg => false,
        Photometric::YCbCr => true,
        // RGB is never subsampled; where it seems so, the photometric interpretation is wrong
        Photometric::Rgb => frame.subsampled,
        _ => false,
    };
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xEE, 0, 14];
    bytes.extend(b"Adobe\0\x64\0\0\0\0");
    bytes.push(u8::from(is_ycbcr && frame.components == 3));
    bytes
}

/// Copies the marker segments before the first scan, except APPn and COM; the frame header, and the bytes from the first SOS on.
fn copy_headers<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> Result<(Option<Frame>, &'a [u8]), Failure> {
    let mut frame = None;
    let mut rest = bytes;
    loop {
        // bytes before the next marker are skipped, as by decoders; fill bytes are 0xFF (T.81 §B.1.1.2)
        let Some(at) = rest.windows(2).position(|pair| pair[0] == 0xFF && pair[1] != 0xFF) else {
            return Ok((frame, &[]));
        };
        let marker = rest[at + 1];
        let behind = &rest[at + 2..];
        match marker {
            // stuffed zeros, TEM, RSTn, SOI and EOI have no length; EOI ends a stream of tables
            0x00 | 0x01 | 0xD0..=0xD9 => {
                rest = behind;
                continue;
            }
            0xDA => return Ok((frame, &rest[at..])),
            _ => {}
        }
        let length = behind.first_chunk().map_or(0, |&length| usize::from(u16::from_be_bytes(length)));
        let body = behind.get(2..length).ok_or_else(|| Failure::malformed("a JPEG marker segment is truncated"))?;
        // SOFn; C4 is DHT, C8 reserved, CC DAC
        if matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC) {
            frame = Some(Frame::read(marker, body)?);
        }
        if !matches!(marker, 0xE0..=0xEF | 0xFE) {
            out.extend([0xFF, marker]);
            out.extend(&behind[..length]);
        }
        rest = &behind[length..];
    }
}

/// Assembles the headers of an old-style stream without any from the fields (TIFF 6.0 §22).
fn from_tables(page: &Page<'_>, scan: &[u8], rows: u32) -> Result<Stream, Failure> {
    let components = page.interleaved_samples();
    let too_large = || Failure::malformed("its strips exceed the dimensions of JPEG");
    let (width, height) = (u16::try_from(page.grid.width), u16::try_from(rows));
    let (width, height) = (width.map_err(|_| too_large())?, height.map_err(|_| too_large())?);
    if !matches!(components, 1 | 3) {
        return Err(Failure::unsupported(format!("old-style JPEG of {components} components")));
    }
    let frame = Frame { width, height, components: components as u8, subsampled: false, sequential: true };
    let mut bytes = start(page, frame);
    let (mut frame_table, mut scan_table) = (Vec::new(), Vec::new());
    for index in 0..components as u8 {
        let (across, down) = if index == 0 && components == 3 { page.ycbcr.subsampling } else { (1, 1) };
        frame_table.extend([index + 1, (across << 4 | down) as u8, index]);
        scan_table.extend([index + 1, index << 4 | index]);
        push_tables(page, index, &mut bytes)?;
    }
    let mut body = vec![8];
    body.extend([height, width].map(u16::to_be_bytes).as_flattened());
    body.push(frame.components);
    body.extend(frame_table);
    push_segment(&mut bytes, 0xC0, &body);
    let scan_header = [&[frame.components][..], &scan_table, &[0, 63, 0]].concat();
    push_segment(&mut bytes, 0xDA, &scan_header);
    bytes.extend(scan);
    bytes.extend([0xFF, 0xD9]);
    Ok(Stream { bytes, frame })
}

/// Appends DQT and DHT of a component. The fields point to 64 quantisation values, and to 16 code counts followed by the values.
fn push_tables(page: &Page<'_>, index: u8, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    let missing = || Failure::malformed("old-style JPEG without its tables");
    let [quantization, dc, ac] = page.old_jpeg.tables.map(|field| field.and_then(|field| field.get(index.into())));
    let table = quantization.and_then(|at| page.file.slice(at, 64)).ok_or_else(missing)?;
    push_segment(bytes, 0xDB, &[&[index][..], table].concat());
    for (class, at) in [(0, dc), (1, ac)] {
        let at = at.ok_or_else(missing)?;
        let counts = page.file.slice(at, 16).ok_or_else(missing)?;
        let values = counts.iter().map(|&count| u64::from(count)).sum::<u64>();
        let table = page.file.slice(at, 16 + values).ok_or_else(missing)?;
        push_segment(bytes, 0xC4, &[&[class << 4 | index][..], table].concat());
    }
    Ok(())
}

fn push_segment(bytes: &mut Vec<u8>, marker: u8, body: &[u8]) {
    bytes.extend([0xFF, marker]);
    bytes.extend((body.len() as u16 + 2).to_be_bytes());
    bytes.extend(body);
}

// the tests encode by libjpeg-turbo
#[cfg(all(test, feature = "native"))]
mod tests {
    use jpeg_encoder::{ColorType, Encoder};
    use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

    use super::super::testing::{LONG, TestFile};
    use super::super::{Samples, decode, probe};
    use super::*;

    const SIZE: usize = 16;

    /// A JPEG file of one colour; three components are YCbCr.
    fn jpeg(colour: &[u8], subsampling: Subsamp) -> Vec<u8> {
        square(SIZE, colour, subsampling)
    }

    /// The same with so many columns and rows.
    fn square(side: usize, colour: &[u8], subsampling: Subsamp) -> Vec<u8> {
        let pixels = colour.repeat(side * side);
        let format = match colour.len() {
            1 => PixelFormat::GRAY,
            3 => PixelFormat::RGB,
            _ => PixelFormat::CMYK,
        };
        let image = Image { pixels: &pixels[..], width: side, pitch: side * colour.len(), height: side, format };
        let mut library = Compressor::new().expect("the library");
        library.set_quality(100).and_then(|()| library.set_subsamp(subsampling)).expect("settings");
        library.compress_to_vec(image).expect("a stream")
    }

    /// A stream in two: the tables with their own start and end, and the rest.
    fn split(stream: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut tables, mut rest) = (vec![0xFF, 0xD8], vec![0xFF, 0xD8]);
        let mut at = 2;
        while stream[at + 1] != 0xDA {
            let end = at + 2 + usize::from(u16::from_be_bytes([stream[at + 2], stream[at + 3]]));
            let to = if matches!(stream[at + 1], 0xDB | 0xC4) { &mut tables } else { &mut rest };
            to.extend(&stream[at..end]);
            at = end;
        }
        rest.extend(&stream[at..]);
        tables.extend([0xFF, 0xD9]);
        (tables, rest)
    }

    fn made(photometric: u64, components: usize, strip: &[u8]) -> TestFile {
        let size = (SIZE as u64, SIZE as u64);
        TestFile::new(size, &vec![8; components], photometric, strip).with(259, &[7])
    }

    /// A file of one grey pixel.
    fn small(strip: &[u8]) -> TestFile {
        made(1, 1, strip).with(256, &[1]).with(257, &[1])
    }

    /// The first decoded pixel.
    fn colour(made: &TestFile) -> Result<Vec<u8>, Failure> {
        let bytes = made.build();
        let header = probe(&bytes)?;
        let decoded = decode(&bytes, &header, 1 << 24)?;
        let Samples::Eight(samples) = decoded.samples else { return Err(Failure::malformed("deep")) };
        Ok(samples[..decoded.channels.into()].to_vec())
    }

    fn is_near(found: Result<Vec<u8>, Failure>, wanted: &[u8]) -> bool {
        found.is_ok_and(|found| found.iter().zip(wanted).all(|(&a, &b)| a.abs_diff(b) <= 3))
    }

    #[test]
    fn colour_space_follows_the_page() {
        let red = jpeg(&[250, 10, 20], Subsamp::None);
        let shared = jpeg(&[250, 10, 20], Subsamp::Sub2x2);
        let grey = jpeg(&[90], Subsamp::Gray);
        let inks = jpeg(&[10, 20, 30, 40], Subsamp::None);
        // the red as Y'CbCr and the CMYK as YCCK (JFIF 1.02)
        let ycbcr = [83, 93, 247];
        let ycck = [237, 121, 134, 40];
        for (name, made, wanted) in [
            ("ycbcr", made(6, 3, &red), &[250, 10, 20][..]),
            ("ycbcr, subsampled", made(6, 3, &shared), &[250, 10, 20]),
            ("rgb, whatever the stream says", made(2, 3, &red), &ycbcr),
            ("rgb that cannot be", made(2, 3, &shared), &[250, 10, 20]),
            ("grey", made(1, 1, &grey), &[90, 90, 90]),
            ("a pixel of full MCUs", small(&square(32, &[90], Subsamp::Gray)), &[90, 90, 90]),
            ("inks, whatever the stream says", made(5, 4, &inks), &ycck),
            ("planes", made(2, 3, &[]).with(284, &[2]).strips(&[&grey, &grey, &grey]), &[90, 90, 90]),
        ] {
            assert!(is_near(colour(&made), wanted), "{name}: {:?}", colour(&made));
        }
    }

    #[test]
    fn jpeg_tables_of_the_page_are_used() {
        let (tables, rest) = split(&jpeg(&[250, 10, 20], Subsamp::Sub2x1));
        let tables: Vec<u64> = tables.iter().map(|&byte| byte.into()).collect();
        let whole = made(6, 3, &rest).with_kind(347, 7, &tables);
        assert!(is_near(colour(&whole), &[250, 10, 20]), "{:?}", colour(&whole));
        assert!(colour(&made(6, 3, &rest)).is_err());
    }

    #[test]
    fn old_style_streams_are_assembled() {
        let stream = jpeg(&[250, 10, 20], Subsamp::None);
        let interchange = made(6, 3, &stream).with(259, &[6]).with_kind(513, LONG, &[8]);
        assert!(is_near(colour(&interchange), &[250, 10, 20]), "{:?}", colour(&interchange));
        assert!(is_near(colour(&made(6, 3, &stream).with(259, &[6])), &[250, 10, 20]));
        let no_tables = made(6, 3, &[1, 2, 3]).with(259, &[6]);
        assert!(matches!(colour(&no_tables), Err(Failure::Malformed(_))));
    }

    #[test]
    fn invalid_streams_are_refused() {
        let grey = jpeg(&[90], Subsamp::Gray);
        for (name, made) in [
            ("too few components", made(6, 3, &grey)),
            ("a truncated stream", made(1, 1, &grey[..grey.len() - 12])),
            ("a stream too small", made(1, 1, &grey).with(257, &[17])),
            ("a stream too large", small(&huge(&grey))),
            ("a stream of more than the last MCUs", small(&square(40, &[90], Subsamp::Gray))),
            ("no stream", made(1, 1, &[0; 40])),
        ] {
            assert!(matches!(colour(&made), Err(Failure::Malformed(_))), "{name}: {:?}", colour(&made));
        }
    }

    #[test]
    fn truncated_stream_is_refused_whatever_the_first_warning() {
        let mut stream = Vec::new();
        let mut encoder = Encoder::new(&mut stream, 100);
        encoder.set_restart_interval(1);
        encoder.encode(&[90; SIZE * SIZE], SIZE as u16, SIZE as u16, ColorType::Luma).expect("a stream");
        let marker = |code: u8| stream.windows(2).position(|pair| pair == [0xFF, code]).expect("a marker");
        let (end, stray) = (&stream[stream.len() - 2..], &b"20 unexpected bytes."[..]);
        let behind = [&stream[..stream.len() - 2], stray, end].concat();
        assert!(is_near(colour(&made(1, 1, &behind)), &[90; 3]), "{:?}", colour(&made(1, 1, &behind)));
        // libjpeg warns of the bytes before the first restart, and so not of the missing second one
        let (first, second) = (marker(0xD0), marker(0xD1));
        let cut = [&stream[..first], stray, &stream[first..second], end].concat();
        assert!(matches!(colour(&made(1, 1, &cut)), Err(Failure::Malformed(_))));
    }

    /// The same stream, with 65535 rows and columns in its header.
    fn huge(stream: &[u8]) -> Vec<u8> {
        let at = stream.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame header");
        let mut stream = stream.to_vec();
        stream[at + 5..at + 9].fill(0xFF);
        stream
    }
}

//! The format of a file by its signature.
//!
//! The format is detected from the first bytes and never from the name, since files are renamed.

use crate::format::Format;

impl Format {
    /// The format that a file's first bytes show, or `None` where they show no image that tintype knows.
    pub fn sniff(bytes: &[u8]) -> Option<Format> {
        let starts = |signature: &[u8]| bytes.starts_with(signature);
        if starts(&[0xFF, 0xD8, 0xFF]) {
            Some(Format::Jpeg)
        } else if starts(b"\x89PNG\r\n\x1a\n") {
            Some(Format::Png)
        } else if starts(b"GIF87a") || starts(b"GIF89a") {
            Some(Format::Gif)
        } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(Format::WebP)
        } else if starts(&[0xFF, 0x0A]) || starts(b"\0\0\0\x0cJXL \r\n\x87\n") {
            Some(Format::Jxl)
        } else if bytes.get(4..8) == Some(b"ftyp") {
            sniff_heif(bytes)
        } else if is_tiff(bytes) {
            Some(Format::Tiff)
        } else if starts(b"qoif") {
            Some(Format::Qoi)
        } else if is_ico(bytes) {
            Some(Format::Ico)
        } else if is_bmp(bytes) {
            Some(Format::Bmp)
        } else if is_pnm(bytes) {
            Some(Format::Pnm)
        } else if is_svg(bytes) {
            Some(Format::Svg)
        } else {
            None
        }
    }
}

/// ISO/IEC 14496-12 §4.3: `ftyp` is size, type, major brand, minor version, then compatible brands of four bytes each.
fn sniff_heif(bytes: &[u8]) -> Option<Format> {
    let size = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let end = size.min(bytes.len()).min(1024);
    let brands = || {
        let compatible = bytes.get(16..end).unwrap_or_default().chunks_exact(4);
        bytes.get(8..12).into_iter().chain(compatible)
    };
    if brands().any(|brand| matches!(brand, b"avif" | b"avis")) {
        return Some(Format::Avif);
    }
    let heif = |brand: &[u8]| {
        matches!(brand, b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" | b"mif2")
    };
    brands().any(heif).then_some(Format::Heic)
}

fn is_tiff(bytes: &[u8]) -> bool {
    // 42 is TIFF, 43 is BigTIFF
    matches!(bytes.get(..4), Some(b"II\x2a\0" | b"MM\0\x2a" | b"II\x2b\0" | b"MM\0\x2b"))
}

fn is_ico(bytes: &[u8]) -> bool {
    // type 1 is an icon, 2 a cursor; the signature is weak, so there must be an entry
    matches!(bytes.get(..4), Some([0, 0, 1 | 2, 0])) && bytes.len() >= 22 && bytes[4..6] != [0, 0]
}

fn is_bmp(bytes: &[u8]) -> bool {
    // the size of the second header tells a bitmap from any text that begins with "BM"
    let Some(size) = bytes.get(14..18) else { return false };
    bytes.starts_with(b"BM") && matches!(u32::from_le_bytes([size[0], size[1], size[2], size[3]]), 12..=256)
}

fn is_pnm(bytes: &[u8]) -> bool {
    matches!(bytes.get(..3), Some([b'P', b'1'..=b'7', b' ' | b'\t' | b'\n' | b'\r' | b'#']))
}

/// An SVG has no signature: it is text whose first element is `svg`, after any declaration, doctype and comments.
fn is_svg(bytes: &[u8]) -> bool {
    svg_attributes(&bytes[..bytes.len().min(64 * 1024)]).is_some()
}

/// The attributes of the outermost element of an SVG and all that follows; `None` where that is no `svg`.
pub fn svg_attributes(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b"<?") {
            rest = after_marker(after, b"?>");
        } else if let Some(after) = rest.strip_prefix(b"<!--") {
            rest = after_marker(after, b"-->");
        } else if rest.len() > 9 && rest[..9].eq_ignore_ascii_case(b"<!doctype") {
            rest = after_doctype(rest);
        } else {
            return behind_svg(rest);
        }
    }
}

fn behind_svg(rest: &[u8]) -> Option<&[u8]> {
    let tag = rest.strip_prefix(b"<")?;
    let end = tag.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'))?;
    let (name, behind) = tag.split_at(end);
    // a prefix bound to the SVG namespace is legal XML: <svg:svg>
    (name == b"svg" || name.ends_with(b":svg")).then_some(behind)
}

fn after_marker<'a>(bytes: &'a [u8], marker: &[u8]) -> &'a [u8] {
    match bytes.windows(marker.len()).position(|window| window == marker) {
        Some(at) => &bytes[at + marker.len()..],
        None => &[],
    }
}

/// Past a doctype, whose internal subset in brackets may hold `>` of its own.
fn after_doctype(bytes: &[u8]) -> &[u8] {
    let mut depth = 0usize;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'>' if depth == 0 => return &bytes[at + 1..],
            _ => {}
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures() {
        let check = |bytes: &[u8], expected: Option<Format>| assert_eq!(Format::sniff(bytes), expected, "{bytes:?}");
        check(b"", None);
        check(b"\xFF\xD8\xFF\xE0", Some(Format::Jpeg));
        check(b"\x89PNG\r\n\x1a\n", Some(Format::Png));
        check(b"\x89PNG\n\x1a\n", None);
        check(b"GIF89a", Some(Format::Gif));
        check(b"RIFF\0\0\0\0WEBPVP8 ", Some(Format::WebP));
        check(b"RIFF\0\0\0\0WAVE", None);
        check(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", Some(Format::Avif));
        check(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Some(Format::Heic));
        check(b"\0\0\0\x18ftypisom\0\0\0\0mp41isom", None);
        check(b"II\x2a\0\x08\0\0\0", Some(Format::Tiff));
        check(b"MM\0\x2a\0\0\0\x08", Some(Format::Tiff));
        check(b"P6\n2 2\n255\n", Some(Format::Pnm));
        check(b"P9\n", None);
        check(b"BM is how some sentences begin.", None);
        let bmp = |header: u32| [b"BM".as_slice(), &[0; 12], &header.to_le_bytes()].concat();
        for (header, expected) in [(11, None), (12, Some(Format::Bmp)), (256, Some(Format::Bmp)), (257, None)] {
            check(&bmp(header), expected);
        }
        let ico = |kind: u8, count: u8, rest: usize| [[0, 0, kind, 0, count, 0].as_slice(), &vec![0; rest]].concat();
        check(&ico(1, 1, 16), Some(Format::Ico));
        check(&ico(2, 3, 16), Some(Format::Ico));
        check(&ico(3, 1, 16), None);
        check(&ico(1, 0, 16), None);
        check(&ico(1, 1, 15), None);
        check(b"qoif\0\0\0\x01", Some(Format::Qoi));
        check(&[0xFF, 0x0A, 0xFA], Some(Format::Jxl));
        check(b"\0\0\0\x0cJXL \r\n\x87\n", Some(Format::Jxl));
        check(b"II\x2b\0\x08\0\0\0", Some(Format::Tiff));
        check(b"MM\0\x2b\0\x08\0\0", Some(Format::Tiff));
        check(b"<svg xmlns='http://www.w3.org/2000/svg'/>", Some(Format::Svg));
        check(
            b"\xEF\xBB\xBF<?xml version='1.0'?>\n<!-- a --><!DOCTYPE svg [<!ENTITY a 'b>'>]>\n<svg >",
            Some(Format::Svg),
        );
        check(b"<!doctype html><html><svg></svg></html>", None);
        check(b"<svgfoo>", None);
        check(b"<html>", None);
    }
}

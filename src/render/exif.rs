//! The few EXIF fields that matter here: the orientation, the artist and the copyright.
//!
//! EXIF is a TIFF file without a picture (EXIF 2.32 §4.6); only the entries of its first directory are looked at, and
//! nothing in it is trusted: every offset is checked, and whatever does not fit is as if it were absent.

use super::codec::Info;
use super::geometry::Orientation;
use super::recipe::Metadata;

const ORIENTATION: u16 = 0x0112;
const ARTIST: u16 = 0x013B;
const COPYRIGHT: u16 = 0x8298;
const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// More text than this is no name and no notice.
const LONGEST_TEXT: usize = 2000;

/// The orientation that an EXIF block states; upright where it states none.
pub(crate) fn orientation(exif: &[u8]) -> Orientation {
    let Some(block) = Block::parse(exif) else { return Orientation::UPRIGHT };
    let value = block.entry(ORIENTATION).and_then(|entry| block.number(entry)).unwrap_or(1);
    Orientation::from_exif(value)
}

/// The EXIF block that goes into a rendition under that wish, if any.
pub(crate) fn kept(metadata: Metadata, info: &Info) -> Option<Vec<u8>> {
    let exif = info.exif.as_deref()?;
    match metadata {
        Metadata::None => None,
        Metadata::Copyright => copyright(exif),
        Metadata::Keep => upright(exif),
    }
}

/// A new block with only the artist and the copyright of another; `None` where it has neither.
fn copyright(exif: &[u8]) -> Option<Vec<u8>> {
    let block = Block::parse(exif)?;
    let text = |tag| Some((tag, block.text(block.entry(tag)?)?));
    let fields: Vec<(u16, &[u8])> = [text(ARTIST), text(COPYRIGHT)].into_iter().flatten().collect();
    if fields.is_empty() {
        return None;
    }
    let mut out = b"MM\0\x2a\0\0\0\x08".to_vec();
    out.extend((fields.len() as u16).to_be_bytes());
    // texts stand behind the directory: 8 of header, 2 of count, 12 an entry, 4 of "no next directory"
    let mut at = 8 + 2 + 12 * fields.len() + 4;
    for (tag, text) in &fields {
        let length = text.len() + 1;
        out.extend(tag.to_be_bytes());
        out.extend(ASCII.to_be_bytes());
        out.extend((length as u32).to_be_bytes());
        if length <= 4 {
            let mut inline = [0; 4];
            inline[..text.len()].copy_from_slice(text);
            out.extend(inline);
        } else {
            out.extend((at as u32).to_be_bytes());
            at += length;
        }
    }
    out.extend([0; 4]);
    for (_, text) in fields.iter().filter(|(_, text)| text.len() + 1 > 4) {
        out.extend(*text);
        out.push(0);
    }
    Some(out)
}

/// The block with its orientation set to upright, since the pixels now are.
fn upright(exif: &[u8]) -> Option<Vec<u8>> {
    let block = Block::parse(exif)?;
    let mut out = block.bytes.to_vec();
    if let Some(entry) = block.entry(ORIENTATION) {
        let one: [u8; 4] = match (block.short(entry + 2)?, block.big_endian) {
            (SHORT, true) => [0, 1, 0, 0],
            (_, true) => [0, 0, 0, 1],
            (_, false) => [1, 0, 0, 0],
        };
        out[entry + 8..entry + 12].copy_from_slice(&one);
    }
    Some(out)
}

/// A TIFF structure whose first directory lies within it.
struct Block<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// Where the first directory's entries begin, and how many there are.
    entries: usize,
    count: usize,
}

impl<'a> Block<'a> {
    fn parse(exif: &'a [u8]) -> Option<Block<'a>> {
        // JPEG's APP1 has this before the TIFF header, and some writers of PNG and WebP put it there too
        let bytes = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
        let big_endian = match bytes.get(..4)? {
            b"MM\0\x2a" => true,
            b"II\x2a\0" => false,
            _ => return None,
        };
        let mut block = Block { bytes, big_endian, entries: 0, count: 0 };
        let directory = block.long(4)? as usize;
        let count = usize::from(block.short(directory)?);
        block.entries = directory + 2;
        block.count = count.min(bytes.len().saturating_sub(block.entries) / 12);
        Some(block)
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// Where the entry of that tag begins: tag, type, count, value, of 2, 2, 4 and 4 bytes.
    fn entry(&self, tag: u16) -> Option<usize> {
        (0..self.count).map(|index| self.entries + 12 * index).find(|&at| self.short(at) == Some(tag))
    }

    fn number(&self, entry: usize) -> Option<u32> {
        match self.short(entry + 2)? {
            SHORT => self.short(entry + 8).map(u32::from),
            LONG => self.long(entry + 8),
            _ => None,
        }
    }

    /// The text of an entry, without the zero that ends it.
    fn text(&self, entry: usize) -> Option<&'a [u8]> {
        if self.short(entry + 2)? != ASCII {
            return None;
        }
        let length = self.long(entry + 4)? as usize;
        let start = if length <= 4 { entry + 8 } else { self.long(entry + 8)? as usize };
        let text = self.bytes.get(start..start.checked_add(length.min(LONGEST_TEXT))?)?;
        let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
        (end > 0).then(|| &text[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(tag: u16, kind: u16, value: [u8; 4]) -> Vec<u8> {
        let mut bytes = b"II\x2a\0\x08\0\0\0\x01\0".to_vec();
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(value);
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn orientations() {
        let check = |exif: &[u8], expected: u8| assert_eq!(orientation(exif).to_exif(), expected, "{exif:?}");
        check(&block(ORIENTATION, SHORT, [6, 0, 0, 0]), 6);
        check(&block(ORIENTATION, LONG, [8, 0, 0, 0]), 8);
        check(&block(ORIENTATION, SHORT, [9, 0, 0, 0]), 1);
        check(&block(ORIENTATION, ASCII, [6, 0, 0, 0]), 1);
        check(&block(ARTIST, SHORT, [6, 0, 0, 0]), 1);
        check(b"", 1);
        check(b"II\x2a\0\xff\xff\xff\xff", 1);
        check(&[b"Exif\0\0", &block(ORIENTATION, SHORT, [3, 0, 0, 0])[..]].concat(), 3);
    }

    #[test]
    fn keeping_sets_the_orientation_upright() {
        let kept = upright(&block(ORIENTATION, SHORT, [6, 0, 0, 0])).expect("a block");
        assert_eq!(orientation(&kept), Orientation::UPRIGHT);
    }

    #[test]
    fn copyright_alone_survives() {
        let mut exif = block(COPYRIGHT, ASCII, [26, 0, 0, 0]);
        exif[14] = 6;
        exif.extend(b"(c) me");
        let kept = copyright(&exif).expect("a block");
        let block = Block::parse(&kept).expect("well-formed");
        let entry = block.entry(COPYRIGHT).expect("kept");
        assert_eq!(block.text(entry), Some(&b"(c) me"[..]));
        assert_eq!(copyright(&self::block(ORIENTATION, SHORT, [6, 0, 0, 0])), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_in_a_block_can_hurt(mut bytes: Vec<u8>, little: bool) {
            if bytes.len() >= 4 {
                bytes[..4].copy_from_slice(if little { b"II\x2a\0" } else { b"MM\0\x2a" });
            }
            orientation(&bytes);
            copyright(&bytes);
            upright(&bytes);
        }
    }
}

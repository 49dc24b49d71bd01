//! The few EXIF fields that matter here: the orientation, the artist and the copyright.
//!
//! EXIF is a TIFF file without a picture (EXIF 2.32 §4.6); only the entries of its first directory are looked at, and
//! nothing in it is trusted: every offset is checked, and an entry that does not fit counts as absent. Blocks are also
//! written here, for originals that have the same fields elsewhere.

use crate::geometry::Orientation;

const ORIENTATION: u16 = 0x0112;
const ARTIST: u16 = 0x013B;
const COPYRIGHT: u16 = 0x8298;
/// The tag of the Exif IFD pointer (EXIF 2.32 §4.6.3).
pub const EXIF_IFD: u16 = 0x8769;
/// The tag of the GPS IFD pointer (EXIF 2.32 §4.6.3).
pub const GPS_IFD: u16 = 0x8825;
const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// A longer block is none: JPEG, which they are made for, holds no more than 64 KiB.
pub const LONGEST: usize = 1 << 20;

/// More text than this is no name and no notice.
const LONGEST_TEXT: usize = 2000;

/// The orientation that an EXIF block states; upright where it states none.
pub fn orientation(exif: &[u8]) -> Orientation {
    let Some(block) = Block::parse(exif) else { return Orientation::UPRIGHT };
    let value = block.entry(ORIENTATION).and_then(|entry| block.number(entry)).unwrap_or(1);
    Orientation::from_exif(value)
}

/// A new block with only the artist and the copyright of another; `None` where it has neither.
pub fn copyright(exif: &[u8]) -> Option<Vec<u8>> {
    let block = Block::parse(exif)?;
    let text = |tag| {
        let text = block.text(block.entry(tag)?)?;
        Some(Field { tag, kind: ASCII, values: [text, b"\0"].concat() })
    };
    let fields: Vec<Field> = [text(ARTIST), text(COPYRIGHT)].into_iter().flatten().collect();
    (!fields.is_empty()).then(|| write(true, [fields, Vec::new(), Vec::new()]))
}

/// One field of an IFD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The tag (EXIF 2.32 §4.6).
    pub tag: u16,
    /// The type of its values (EXIF 2.32 §4.6.2).
    pub kind: u16,
    /// All its values, in the block's byte order.
    pub values: Vec<u8>,
}

/// Bytes of a value of a type that EXIF knows; `None` for others.
pub fn size_of(kind: u16) -> Option<usize> {
    match kind {
        1 | ASCII | 6 | 7 => Some(1),
        SHORT | 8 => Some(2),
        LONG | 9 | 11 => Some(4),
        5 | 10 | 12 => Some(8),
        _ => None,
    }
}

/// A block of three directories, of which the first points to the others: what any image says, what cameras say, and where
/// it was taken. Empty ones are left out; so are fields of other types than EXIF's. Fields stand by rising tags.
pub fn write(big_endian: bool, [mut first, camera, place]: [Vec<Field>; 3]) -> Vec<u8> {
    let mut out = if big_endian { b"MM\0\x2a".to_vec() } else { b"II\x2a\0".to_vec() };
    out.extend([0; 4]);
    for (tag, fields) in [(EXIF_IFD, camera), (GPS_IFD, place)] {
        if !fields.is_empty() {
            let at = write_directory(&mut out, big_endian, fields);
            first.push(Field { tag, kind: LONG, values: long(at, big_endian).to_vec() });
        }
    }
    let at = write_directory(&mut out, big_endian, first);
    out[4..8].copy_from_slice(&long(at, big_endian));
    out
}

/// Adds a directory, its longer values behind it, and says where it begins.
fn write_directory(out: &mut Vec<u8>, big_endian: bool, mut fields: Vec<Field>) -> usize {
    fields.retain(|field| size_of(field.kind).is_some());
    fields.sort_by_key(|field| field.tag);
    // everything begins at an even place (TIFF 6.0 §2)
    out.resize(out.len().next_multiple_of(2), 0);
    let start = out.len();
    // 2 of count, 12 an entry, 4 of "no next directory"
    let behind = start + 2 + 12 * fields.len() + 4;
    let mut longer = Vec::new();
    out.extend(short(fields.len() as u16, big_endian));
    for Field { tag, kind, values } in &fields {
        let count = values.len() / size_of(*kind).unwrap_or(1);
        out.extend(short(*tag, big_endian));
        out.extend(short(*kind, big_endian));
        out.extend(long(count, big_endian));
        if values.len() <= 4 {
            out.extend(values);
            out.resize(out.len() + 4 - values.len(), 0);
        } else {
            out.extend(long(behind + longer.len(), big_endian));
            longer.extend(values);
            longer.resize(longer.len().next_multiple_of(2), 0);
        }
    }
    out.extend([0; 4]);
    out.extend(longer);
    start
}

fn short(value: u16, big_endian: bool) -> [u8; 2] {
    if big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
}

/// Blocks are far shorter than what 32 bits count.
fn long(value: usize, big_endian: bool) -> [u8; 4] {
    if big_endian { (value as u32).to_be_bytes() } else { (value as u32).to_le_bytes() }
}

/// The block in an item or a box that says in four bytes in front how much else stands before it (ISO/IEC 23008-12 §A.2.1,
/// ISO/IEC 18181-2 §9.5); `None` where it is too long to be one.
pub fn behind_offset(item: &[u8]) -> Option<&[u8]> {
    let (offset, rest) = item.split_first_chunk()?;
    let block = rest.get(u32::from_be_bytes(*offset) as usize..)?;
    (block.len() <= LONGEST).then_some(block)
}

/// The block with its orientation set to upright, since the pixels now are.
pub fn upright(exif: &[u8]) -> Option<Vec<u8>> {
    let block = Block::parse(exif)?;
    let mut out = block.bytes.to_vec();
    // all of them, and whatever is odd about them: another reader might believe another
    for entry in block.all().filter(|&entry| block.short(entry) == Some(ORIENTATION)) {
        let kind_and_count = [&short(SHORT, block.big_endian)[..], &long(1, block.big_endian)].concat();
        out[entry + 2..entry + 8].copy_from_slice(&kind_and_count);
        out[entry + 8..entry + 12].copy_from_slice(&[&short(1, block.big_endian)[..], &[0, 0]].concat());
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

    /// Where the entries begin.
    fn all(&self) -> impl Iterator<Item = usize> + use<'_, 'a> {
        (0..self.count).map(|index| self.entries + 12 * index)
    }

    /// Where the entry of that tag begins: tag, type, count, value, of 2, 2, 4 and 4 bytes.
    fn entry(&self, tag: u16) -> Option<usize> {
        self.all().find(|&at| self.short(at) == Some(tag))
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
    fn odd_orientation_entry_is_removed() {
        let field = |kind, value: [u8; 4]| block(ORIENTATION, kind, value)[10..22].to_vec();
        for entries in [
            vec![field(SHORT, [6, 0, 0, 0]), field(SHORT, [8, 0, 0, 0])],
            vec![[&field(SHORT, [0; 4])[..4], &[0; 8]].concat(), field(SHORT, [6, 0, 0, 0])],
            vec![[&field(SHORT, [0; 4])[..4], &[3, 0, 0, 0, 26, 0, 0, 0]].concat()],
            vec![field(ASCII, [6, 0, 0, 0])],
        ] {
            let count = (entries.len() as u16).to_le_bytes();
            let bytes = [&b"II\x2a\0\x08\0\0\0"[..], &count, &entries.concat(), &[0; 4]].concat();
            let kept = upright(&bytes).expect("a block");
            let expected = field(SHORT, [1, 0, 0, 0]);
            assert!(kept[10..10 + 12 * entries.len()].chunks(12).all(|entry| entry == expected), "{kept:?}");
        }
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

    #[test]
    fn written_block_is_read_back() {
        let field = |tag, kind, values: &[u8]| Field { tag, kind, values: values.to_vec() };
        for big_endian in [false, true] {
            let first =
                vec![field(COPYRIGHT, ASCII, b"(c) me\0"), field(ARTIST, ASCII, b"me\0"), field(1, 16, &[0; 8])];
            let camera = vec![field(0x9003, ASCII, b"2026:11:28 06:00:00\0")];
            let written = write(big_endian, [first, camera, Vec::new()]);
            let mut block = Block::parse(&written).expect("a block");
            assert_eq!((block.big_endian, block.count), (big_endian, 3));
            let text = |block: &Block<'_>, tag| block.text(block.entry(tag)?).map(<[u8]>::to_vec);
            assert_eq!(text(&block, ARTIST).as_deref(), Some(&b"me"[..]));
            assert_eq!(text(&block, COPYRIGHT).as_deref(), Some(&b"(c) me"[..]));
            assert_eq!(block.entry(GPS_IFD), None);
            let camera = block.entry(EXIF_IFD).and_then(|entry| block.number(entry)).expect("a place") as usize;
            (block.entries, block.count) = (camera + 2, 1);
            assert_eq!(text(&block, 0x9003).as_deref(), Some(&b"2026:11:28 06:00:00"[..]));
        }
    }

    #[test]
    fn items_say_what_stands_before_the_block() {
        assert_eq!(behind_offset(b"\0\0\0\0MM"), Some(&b"MM"[..]));
        assert_eq!(behind_offset(b"\0\0\0\x06Exif\0\0MM"), Some(&b"MM"[..]));
        assert_eq!(behind_offset(b"\0\0\0\x03MM"), None);
        assert_eq!(behind_offset(b"\0\0\0"), None);
        assert_eq!(behind_offset(&vec![0; LONGEST + 5]), None);
    }

    proptest::proptest! {
        #[test]
        fn random_block_does_not_panic(mut bytes: Vec<u8>, little: bool) {
            if bytes.len() >= 4 {
                bytes[..4].copy_from_slice(if little { b"II\x2a\0" } else { b"MM\0\x2a" });
            }
            orientation(&bytes);
            copyright(&bytes);
            upright(&bytes);
        }
    }
}

//! Descriptive fields of a TIFF as an EXIF block. EXIF has the structure of a TIFF without an image; a TIFF has the same fields next
//! to those of the image.

use super::ifd::{Directory, File};
use tintype_pixels::exif::{EXIF_IFD, Field, GPS_IFD, LONGEST, write};

/// Fields of the first IFD that are copied: ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, Rating,
/// RatingPercent, Copyright, and XPTitle, XPComment, XPAuthor, XPKeywords and XPSubject of Windows.
const DESCRIPTIVE: [u16; 15] =
    [270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095];

/// MakerNote and InteroperabilityIFD are not copied: they hold file offsets (EXIF 2.32 §4.6.5, §4.6.3).
const WITH_OFFSETS: [u16; 2] = [0x927C, 0xA005];

/// The EXIF block of an IFD; `None` where it has no descriptive fields, or too many bytes of them.
pub(super) fn from_fields(file: File<'_>, directory: &Directory<'_>) -> Option<Vec<u8>> {
    let other = |tag| {
        let at = directory.optional(tag)?.get(0)?;
        file.directory(at).ok().map(|directory| fields(&directory, |tag| !WITH_OFFSETS.contains(&tag)))
    };
    let first = fields(directory, |tag| DESCRIPTIVE.contains(&tag));
    let all = [first, other(EXIF_IFD).unwrap_or_default(), other(GPS_IFD).unwrap_or_default()];
    let bytes: usize = all.iter().flatten().map(|field| field.values.len() + 12).sum();
    (1..=LONGEST).contains(&bytes).then(|| write(file.big_endian, all))
}

/// The wanted fields of an IFD, the first of each tag. Entries may share their values, so their total length is limited.
fn fields(directory: &Directory<'_>, is_wanted: impl Fn(u16) -> bool) -> Vec<Field> {
    let mut left = LONGEST;
    let mut fields: Vec<Field> = Vec::new();
    for (tag, field) in directory.fields() {
        let is_new = fields.iter().all(|field| field.tag != tag);
        if is_new && is_wanted(tag) && field.data.len() <= left {
            left -= field.data.len();
            fields.push(Field { tag, kind: field.kind, values: field.data.to_vec() });
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::super::probe;
    use super::super::testing::{BYTE, TestFile};

    const ASCII: u16 = 2;

    #[test]
    fn descriptive_fields_become_exif() {
        let text = |text: &[u8]| -> Vec<u64> { text.iter().map(|&byte| byte.into()).collect() };
        for (big_endian, wide) in [(false, false), (true, false), (true, true)] {
            let made = TestFile { big_endian, wide, ..TestFile::new((1, 1), &[8], 1, &[0]) };
            let bare = probe(&made.build()).expect("a good file");
            assert_eq!(bare.exif, None);
            let made = made.with_kind(33432, ASCII, &text(b"(c) me\0")).with_kind(700, BYTE, &[1, 2, 3]);
            let exif = probe(&made.build()).expect("a good file").exif.expect("a block");
            let expected = tintype_pixels::exif::write(
                big_endian,
                [
                    vec![tintype_pixels::exif::Field { tag: 33432, kind: ASCII, values: b"(c) me\0".to_vec() }],
                    Vec::new(),
                    Vec::new(),
                ],
            );
            assert_eq!(exif, expected);
        }
    }
}

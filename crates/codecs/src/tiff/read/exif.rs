//! What a TIFF says of itself beside its pixels, as the EXIF block that other formats have for it: EXIF is a TIFF without a
//! picture, and a TIFF with a picture has the same fields among those that describe its pixels.

use super::ifd::{Directory, File};
use tintype_pixels::exif::{EXIF_IFD, Field, GPS_IFD, LONGEST, write};

/// Of the first directory: what is shown, the maker, the model, the program, the date, the artist, the computer, two ratings,
/// the copyright, and title, comment, author, keywords and subject as Windows writes them. The others describe how the pixels
/// are stored.
const DESCRIPTIVE: [u16; 15] =
    [270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095];

/// What a maker of cameras keeps there points into the file by places that nobody else knows, and the directory of
/// interoperability by one that would have to be moved along (EXIF 2.32 §4.6.5, §4.6.3).
const NOT_MOVABLE: [u16; 2] = [0x927C, 0xA005];

/// The block of the page of that directory; `None` where there is nothing to say, or too much.
pub(super) fn of(file: File<'_>, directory: &Directory<'_>) -> Option<Vec<u8>> {
    let other = |tag| {
        let at = directory.optional(tag)?.get(0)?;
        file.directory(at).ok().map(|directory| fields(&directory, |tag| !NOT_MOVABLE.contains(&tag)))
    };
    let first = fields(directory, |tag| DESCRIPTIVE.contains(&tag));
    let all = [first, other(EXIF_IFD).unwrap_or_default(), other(GPS_IFD).unwrap_or_default()];
    let bytes: usize = all.iter().flatten().map(|field| field.values.len() + 12).sum();
    (1..=LONGEST).contains(&bytes).then(|| write(file.big_endian, all))
}

/// The fields of a directory as far as they are wanted, each once. Entries may share their values, so a file can name more
/// than it holds.
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
    use super::super::made::{BYTE, Made};
    use super::super::probe;

    const ASCII: u16 = 2;

    #[test]
    fn what_describes_the_picture_becomes_a_block() {
        let text = |text: &[u8]| -> Vec<u64> { text.iter().map(|&byte| byte.into()).collect() };
        for (big_endian, wide) in [(false, false), (true, false), (true, true)] {
            let made = Made { big_endian, wide, ..Made::new((1, 1), &[8], 1, &[0]) };
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

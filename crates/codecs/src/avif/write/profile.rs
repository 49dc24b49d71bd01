//! The ICC profile of an AVIF: `avif-serialize` writes code points only, so the property is added to the file that it wrote.

use std::ops::Range;

/// Bytes of a box ahead of its body, and of a box with version and flags.
const BOX: usize = 8;
const FULL_BOX: usize = 12;

/// Adds a `colr` property of type `prof` (ISO/IEC 14496-12, 12.1.5) to the first item that has properties, which is the picture.
/// `None` for a file whose boxes are not those of `avif-serialize`: `meta` ahead of `mdat`, and `iprp` the last box in it.
pub(super) fn embed(mut file: Vec<u8>, icc: &[u8]) -> Option<Vec<u8>> {
    let property = property(icc)?;
    let meta = find(&file, 0..file.len(), b"meta")?;
    let in_meta = meta.start + FULL_BOX..meta.end;
    let locations = find(&file, in_meta.clone(), b"iloc")?;
    let properties = find(&file, in_meta, b"iprp")?;
    let in_properties = properties.start + BOX..properties.end;
    let container = find(&file, in_properties.clone(), b"ipco")?;
    let associations = find(&file, in_properties, b"ipma")?;
    // number of entries, the first one's item, and the number of its properties (23008-12, 9.3.1)
    let count = associations.start + FULL_BOX + 4 + 2;
    let last = count + 1 + usize::from(*file.get(count)?);
    if container.end != associations.start || properties.end != meta.end || last > associations.end {
        return None;
    }
    let index = u8::try_from(boxes(&file, container.start + BOX..container.end).count() + 1).ok()?;
    let added = property.len() + 1;
    move_extents(&mut file, &locations, added)?;
    for (range, bytes) in [(&meta, added), (&properties, added), (&container, property.len()), (&associations, 1)] {
        grow(&mut file, range.start, bytes)?;
    }
    file[count] = file[count].checked_add(1)?;
    file.insert(last, index);
    file.splice(container.end..container.end, property);
    Some(file)
}

/// A `colr` box with a profile.
fn property(icc: &[u8]) -> Option<Vec<u8>> {
    let size = u32::try_from(BOX + 4 + icc.len()).ok()?;
    Some([&size.to_be_bytes()[..], b"colr", b"prof", icc].concat())
}

/// Types and ranges of the boxes of a range of a file.
fn boxes(file: &[u8], within: Range<usize>) -> impl Iterator<Item = ([u8; 4], Range<usize>)> {
    let mut start = within.start;
    std::iter::from_fn(move || {
        let header = file.get(start..within.end)?;
        let (size, rest) = header.split_first_chunk()?;
        let size = u32::from_be_bytes(*size) as usize;
        let range = start..start.checked_add(size).filter(|&end| size >= BOX && end <= within.end)?;
        start = range.end;
        Some((*rest.first_chunk()?, range))
    })
}

fn find(file: &[u8], within: Range<usize>, kind: &[u8; 4]) -> Option<Range<usize>> {
    boxes(file, within).find(|(found, _)| found == kind).map(|(_, range)| range)
}

/// Adds to a big-endian number of 32 bits.
fn grow(file: &mut [u8], at: usize, by: usize) -> Option<()> {
    let number = file.get_mut(at..)?.first_chunk_mut::<4>()?;
    *number = u32::from_be_bytes(*number).checked_add(u32::try_from(by).ok()?)?.to_be_bytes();
    Some(())
}

/// Moves the extents of all items in `mdat`, which follows `meta`. `iloc` has version 0, and offsets and lengths of 4 bytes.
fn move_extents(file: &mut [u8], locations: &Range<usize>, by: usize) -> Option<()> {
    let short = |file: &[u8], at: usize| file.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
    let sizes = locations.start + FULL_BOX;
    if file.get(sizes..sizes + 2)? != [0x44, 0] || file.get(locations.start + BOX)? != &0 {
        return None;
    }
    let mut at = sizes + 4;
    for _ in 0..short(file, sizes + 2)? {
        let extents = usize::from(short(file, at + 4)?);
        at += 6;
        for _ in 0..extents {
            grow(file, at, by)?;
            at += 8;
        }
    }
    (at == locations.end).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_left_alone() {
        for file in [&b""[..], b"\0\0\0\x0cmeta\0\0\0\0", &[0xff; 99]] {
            assert_eq!(embed(file.to_vec(), &[1]), None);
        }
    }
}

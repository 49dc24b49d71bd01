//! Run lengths of BMP (`BI_RLE8` and `BI_RLE4` of its BITMAPINFOHEADER), expanded.
//!
//! Writers let runs of nibbles go beyond the end of a row of odd width, which every program shows but the crate `image`.

use crate::render::error::{Error, Result};
use crate::render::format::Format;
use crate::render::geometry::Size;

/// Where the fields of a BITMAPINFOHEADER are, from the beginning of the file.
const DATA: usize = 10;
const HEADER: usize = 14;
const HEIGHT: usize = 22;
const DEPTH: usize = 28;
const COMPRESSION: usize = 30;
const LENGTH: usize = 34;
const COLOURS: usize = 46;
const END: usize = 54;

/// The file with a byte for each pixel, where it is one of run lengths; pixels that none covers are of the first colour.
pub(super) fn expanded(file: &[u8], size: Size) -> Result<Option<Vec<u8>>> {
    let Some(header) = file.get(..END) else { return Ok(None) };
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let nibbles = match (header[DEPTH], number(COMPRESSION)) {
        (8, 1) => false,
        (4, 2) => true,
        _ => return Ok(None),
    };
    let damaged = |reason: &str| Error::malformed(Format::Bmp, reason);
    if number(HEADER) < 40 || number(HEIGHT).cast_signed() < 0 {
        return Ok(None);
    }
    let start = number(DATA) as usize;
    let before = file.get(..start).filter(|before| before.len() >= END);
    let (before, data) = (before.ok_or_else(|| damaged("its pixels begin nowhere"))?, &file[start.min(file.len())..]);
    let (width, height) = (size.width as usize, size.height as usize);
    let stride = width.next_multiple_of(4);
    let mut out = before.to_vec();
    out[DEPTH] = 8;
    out[COMPRESSION..COMPRESSION + 4].fill(0);
    out[LENGTH..LENGTH + 4].fill(0);
    // as many as there may be where it says nothing
    let colours = number(COLOURS);
    let colours = if colours == 0 { if nibbles { 16 } else { 256 } } else { colours };
    out[COLOURS..COLOURS + 4].copy_from_slice(&colours.to_le_bytes());
    out.resize(start + stride * height, 0);
    let (_, rows) = out.split_at_mut(start);
    let is_whole = expand(data, nibbles, width, stride, rows).is_some();
    if is_whole { Ok(Some(out)) } else { Err(damaged("it ends before its last row")) }
}

/// Expands runs into rows from the bottom up; `None` where they end too early.
fn expand(mut data: &[u8], nibbles: bool, width: usize, stride: usize, rows: &mut [u8]) -> Option<()> {
    let height = rows.len() / stride;
    let (mut x, mut y) = (0, 0);
    let mut put = |x: &mut usize, y: usize, index: u8| {
        if *x < width && y < height {
            rows[y * stride + *x] = index;
        }
        *x += 1;
    };
    while y < height {
        // some leave out what says that they end
        let Some((&[count, value], rest)) = data.split_first_chunk() else {
            return (y + 1 == height && x >= width).then_some(());
        };
        data = rest;
        match (count, value) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => return Some(()),
            (0, 2) => {
                let (&[right, up], rest) = data.split_first_chunk()?;
                data = rest;
                (x, y) = (x + usize::from(right), y + usize::from(up));
            }
            (0, count) => {
                let count = usize::from(count);
                let bytes = if nibbles { count.div_ceil(2) } else { count };
                // of an even number
                let (pixels, rest) = data.split_at_checked(bytes)?;
                data = rest.get(bytes % 2..)?;
                for at in 0..count {
                    let index = match nibbles {
                        true if at % 2 == 0 => pixels[at / 2] >> 4,
                        true => pixels[at / 2] & 15,
                        false => pixels[at],
                    };
                    put(&mut x, y, index);
                }
            }
            (count, value) => {
                let pair = if nibbles { [value >> 4, value & 15] } else { [value; 2] };
                (0..usize::from(count)).for_each(|at| put(&mut x, y, pair[at % 2]));
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_become_rows() {
        let expanded = |data: &[u8], nibbles: bool| {
            let mut rows = vec![0; 8];
            expand(data, nibbles, 3, 4, &mut rows).map(|()| rows)
        };
        let bytes = [3, 7, 0, 0, 1, 5, 0, 3, 6, 8, 9, 0, 0, 1];
        assert_eq!(expanded(&bytes, false), Some(vec![7, 7, 7, 0, 5, 6, 8, 0]), "what goes beyond the row is left out");
        let nibbles = [4, 0x12, 0, 0, 0, 3, 0x45, 0x60, 0, 1];
        assert_eq!(expanded(&nibbles, true), Some(vec![1, 2, 1, 0, 4, 5, 6, 0]));
        assert_eq!(expanded(&[0, 2, 1, 1, 1, 9, 0, 1], false), Some(vec![0, 0, 0, 0, 0, 9, 0, 0]), "a step");
        assert_eq!(expanded(&[3, 7, 0, 0, 3, 7], false), Some(vec![7, 7, 7, 0, 7, 7, 7, 0]), "without an end");
        for cut in [&[3, 7, 0, 0, 1][..], &[3, 7], &[0, 3, 1], &[0, 2, 1], &[]] {
            assert_eq!(expanded(cut, false), None, "{cut:?}");
        }
    }
}

//! The layout of strips and tiles, by the tags.

use super::Failure;
use super::ifd::{Directory, Field};

/// The layout of the strips or tiles of one plane. A strip is a tile of the picture's width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) tiled: bool,
    /// Pixels of a tile.
    pub(super) width: u32,
    /// Rows of a tile or strip; the last strip may have fewer.
    pub(super) rows: u32,
    pub(super) across: u32,
    pub(super) down: u32,
}

/// Fields that only old-style JPEG has (TIFF 6.0 §22).
#[derive(Clone, Copy)]
pub(super) struct OldJpeg<'a> {
    /// An embedded JPEG file (JPEGInterchangeFormat).
    pub(super) interchange: Option<&'a [u8]>,
    /// Offsets of the quantisation, DC and AC tables of each component (JPEGQTables, JPEGDCTables, JPEGACTables).
    pub(super) tables: [Option<Field<'a>>; 3],
}

/// The layout by the tags: §15 for tiles, §8 RowsPerStrip for strips.
pub(super) fn read_grid(
    directory: &Directory<'_>, (width, height): (u32, u32), offsets: Option<&Field<'_>>, old: &OldJpeg<'_>,
) -> Result<Grid, Failure> {
    let whole = Grid { tiled: false, width, rows: height, across: 1, down: 1 };
    if old.interchange.is_some() {
        return Ok(whole);
    }
    if directory.field(322)?.is_some() {
        let (tile_width, rows) = (dimension(directory, 322, "TileWidth")?, dimension(directory, 323, "TileLength")?);
        let (across, down) = (width.div_ceil(tile_width), height.div_ceil(rows));
        return Ok(Grid { tiled: true, width: tile_width, rows, across, down });
    }
    let rows = directory.optional(278).and_then(|field| field.get(0)).unwrap_or(u64::MAX).min(height.into()) as u32;
    if rows == 0 || offsets.is_some_and(|offsets| offsets.len() == 1) {
        // a single strip has all rows, whatever RowsPerStrip is
        return Ok(whole);
    }
    Ok(Grid { rows, down: height.div_ceil(rows), ..whole })
}

pub(super) fn dimension(directory: &Directory<'_>, tag: u16, name: &str) -> Result<u32, Failure> {
    let field = directory.field(tag)?.ok_or_else(|| Failure::malformed(format!("it has no {name}")))?;
    let value = field.get(0).filter(|&value| field.len() == 1 && 0 < value && value <= i32::MAX as u64);
    value.map(|value| value as u32).ok_or_else(|| Failure::malformed(format!("its {name} is invalid")))
}

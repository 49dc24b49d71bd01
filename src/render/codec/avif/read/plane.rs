//! A plane of the picture, colour or alpha: one coded image or a grid of them
//! (ISO/IEC 23008-12, 6.6.2.3).

use re_rav1d::dav1d as av1;

use super::boxes::{FourCc, Reader};
use super::container::{Container, Item};
use super::convert::{self, Canvas};
use super::frame::decode_frame;
use super::property::{Nclx, Property};
use super::sequence::{self, SequenceHeader};
use super::transform::Transforms;
use super::{as_operating_point, as_size, find};

type Result<T> = std::result::Result<T, String>;

/// Auxiliary types that mark an alpha plane (AV1-AVIF, 4.1; 23008-12, 6.5.8).
const ALPHA_URNS: [&[u8]; 2] = [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"];

/// Most tiles of a grid; phones write some 50.
const MAX_TILES: usize = 1024;

/// How often tiles may share data: the AV1 data of all tiles together may be
/// this many times as long as the file.
pub(super) const MAX_DATA_REUSE: usize = 8;

/// The alpha item of an item, if it has one.
pub(super) fn find_alpha(container: &Container<'_>, id: u32) -> Result<Option<u32>> {
    for auxiliary in container.references_to(b"auxl", id) {
        let item = container.item(auxiliary)?;
        let is_alpha = |property: &Property<'_>| match property {
            Property::AuxiliaryType(urn) => ALPHA_URNS.contains(urn),
            _ => false,
        };
        if container.properties(item)?.iter().any(is_alpha) {
            return Ok(Some(auxiliary));
        }
    }
    Ok(None)
}

/// What a plane is painted as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Colour,
    Alpha,
}

/// A coded image or a grid of them, colour or alpha.
pub(super) struct Plane {
    /// Size in pixels of the whole.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) transforms: Transforms,
    /// Item ids, row by row; one for a picture without grid.
    pub(super) tiles: Vec<u32>,
    columns: usize,
    pub(super) tile_width: u32,
    pub(super) tile_height: u32,
}

impl Plane {
    pub(super) fn open(container: &Container<'_>, id: u32) -> Result<Self> {
        let item = container.item(id)?;
        let properties = container.properties(item)?;
        let (width, height) = find(&properties, as_size).ok_or("no ispe property")?;
        if width == 0 || height == 0 {
            return Err("empty picture".into());
        }
        let transforms = Transforms::new(&properties)?;
        match &item.kind {
            b"av01" => {
                check_coded_item(container, item, (width, height))?;
                let (tile_width, tile_height) = (width, height);
                Ok(Self { width, height, transforms, tiles: vec![id], columns: 1, tile_width, tile_height })
            }
            b"grid" => Self::open_grid(container, id, (width, height), transforms),
            kind => Err(format!("item of type {}", kind.escape_ascii())),
        }
    }

    /// A grid derived image (23008-12, 6.6.2.3).
    fn open_grid(
        container: &Container<'_>, id: u32, (width, height): (u32, u32), transforms: Transforms,
    ) -> Result<Self> {
        let data = container.data(container.item(id)?)?;
        let grid = Grid::parse(&data)?;
        if (grid.width, grid.height) != (width, height) {
            return Err("grid and ispe differ in size".into());
        }
        let tiles = container.references_from(b"dimg", id).collect::<Vec<_>>();
        if tiles.len() != grid.columns * grid.rows || tiles.len() > MAX_TILES {
            return Err(format!("{} tiles in a {}x{} grid", tiles.len(), grid.columns, grid.rows));
        }
        let (tile_width, tile_height) = size_of(container, tiles[0])?;
        for &tile in &tiles {
            let item = container.item(tile)?;
            if size_of(container, tile)? != (tile_width, tile_height) {
                return Err("grid tiles differ in size".into());
            }
            check_coded_item(container, item, (tile_width, tile_height))?;
        }
        let covers = covers_tightly(tile_width, grid.columns, width) && covers_tightly(tile_height, grid.rows, height);
        if !covers {
            return Err("grid tiles do not fit the grid".into());
        }
        let columns = grid.columns;
        Ok(Self { width, height, transforms, tiles, columns, tile_width, tile_height })
    }

    /// Alpha of a grid whose tiles have an alpha item each; none where a tile
    /// is without.
    pub(super) fn alpha_of_tiles(&self, container: &Container<'_>) -> Result<Option<Self>> {
        if self.tiles == [container.primary] {
            return Ok(None);
        }
        let mut tiles = Vec::with_capacity(self.tiles.len());
        for &tile in &self.tiles {
            let Some(alpha) = find_alpha(container, tile)? else {
                return Ok(None);
            };
            check_coded_item(container, container.item(alpha)?, (self.tile_width, self.tile_height))?;
            tiles.push(alpha);
        }
        Ok(Some(Self { tiles, transforms: Transforms::default(), ..*self }))
    }

    /// An alpha plane has the size of the colour, and is either left as stored
    /// or transformed the same way.
    pub(super) fn check_matches(&self, colour: &Self) -> Result<()> {
        if (self.width, self.height) != (colour.width, colour.height) {
            return Err("alpha and colour differ in size".into());
        }
        if self.transforms != Transforms::default() && self.transforms != colour.transforms {
            return Err("alpha and colour are transformed differently".into());
        }
        Ok(())
    }

    /// Decodes the tiles one by one into the canvas. `budget` is how many
    /// bytes of AV1 data may still be decoded.
    pub(super) fn paint(
        &self, container: &Container<'_>, canvas: &mut Canvas, role: Role, nclx: Option<Nclx>, budget: &mut usize,
    ) -> Result<()> {
        for (index, &tile) in self.tiles.iter().enumerate() {
            let item = container.item(tile)?;
            let data = container.data(item)?;
            *budget = budget.checked_sub(data.len()).ok_or("tiles share too much data")?;
            let operating_point = find(&container.properties(item)?, as_operating_point).unwrap_or(0);
            let sequence = sequence::inspect(&data)?;
            let size = (self.tile_width, self.tile_height);
            let frame = decode_frame(data.into_owned(), size, operating_point)?;
            let (column, row) = (index % self.columns, index / self.columns);
            let corner = (column * self.tile_width as usize, row * self.tile_height as usize);
            put_frame(canvas, &frame, corner, role, nclx, &sequence)?;
        }
        Ok(())
    }
}

fn put_frame(
    canvas: &mut Canvas, frame: &av1::Picture, corner: (usize, usize), role: Role, nclx: Option<Nclx>,
    sequence: &SequenceHeader,
) -> Result<()> {
    match role {
        Role::Colour => {
            let colour = nclx.unwrap_or(sequence.colour);
            convert::put_colour(canvas, frame, corner, colour, sequence.chroma_position)
        }
        Role::Alpha => convert::put_grey(canvas, frame, corner, sequence.colour.full_range, 3..4),
    }
}

/// Whether `count` tiles cover `whole` pixels, and the last one is needed.
fn covers_tightly(tile: u32, count: usize, whole: u32) -> bool {
    let (tile, count, whole) = (u64::from(tile), count as u64, u64::from(whole));
    tile * count >= whole && tile * (count - 1) < whole
}

fn size_of(container: &Container<'_>, id: u32) -> Result<(u32, u32)> {
    let properties = container.properties(container.item(id)?)?;
    find(&properties, as_size).ok_or_else(|| "no ispe property".into())
}

/// Checks an `av01` item as far as that goes without decoding: its type, that
/// its data is all there, and that the AV1 sequence is of the declared size.
fn check_coded_item(container: &Container<'_>, item: &Item, size: (u32, u32)) -> Result<()> {
    const AV01: FourCc = *b"av01";
    if item.kind != AV01 {
        return Err(format!("item of type {}", item.kind.escape_ascii()));
    }
    let selects_layer =
        |property: &Property<'_>| matches!(property, Property::LayerSelector(layer) if *layer != u16::MAX);
    if container.properties(item)?.iter().any(selects_layer) {
        return Err("layer selection is not supported".into());
    }
    let sequence = sequence::inspect(&container.data(item)?)?;
    if (sequence.max_width, sequence.max_height) != size {
        let SequenceHeader { max_width, max_height, .. } = sequence;
        return Err(format!("ispe says {}x{}, AV1 {max_width}x{max_height}", size.0, size.1));
    }
    Ok(())
}

/// The description of a grid (23008-12, 6.6.2.3.2).
struct Grid {
    rows: usize,
    columns: usize,
    width: u32,
    height: u32,
}

impl Grid {
    fn parse(data: &[u8]) -> Result<Self> {
        let mut data = Reader::new(data);
        let (version, flags) = (data.u8()?, data.u8()?);
        if version != 0 {
            return Err(format!("grid version {version}"));
        }
        let (rows, columns) = (usize::from(data.u8()?) + 1, usize::from(data.u8()?) + 1);
        let (width, height) =
            if flags & 1 == 1 { (data.u32()?, data.u32()?) } else { (data.u16()?.into(), data.u16()?.into()) };
        Ok(Self { rows, columns, width, height })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_no_needless_tiles() {
        assert!(covers_tightly(64, 2, 65));
        assert!(covers_tightly(64, 2, 128));
        assert!(!covers_tightly(64, 2, 64));
        assert!(!covers_tightly(64, 2, 129));
    }
}

//! Colour or alpha: a coded image, a grid of tiles
//! (ISO/IEC 23008-12, 6.6.2.3), or the first sample of a track.

use std::borrow::Cow;

use re_rav1d::dav1d::{Decoder, Picture};

use super::ALPHA_URNS;
use super::container::Container;
use super::convert::{self, Canvas, TileRect};
use super::failure::{Failure, Result};
use super::frame::{self, decode_frame};
use super::location::truncated;
use super::property::{Nclx, as_auxiliary_type, as_layer, as_operating_point, as_size, find};
use super::samples::SampleTable;
use super::sequence::{self, Bitstream, Selection};
use super::track::Track;
use super::transform::Transforms;
use crate::boxes::Reader;

/// The most tiles of a grid; phones write some 50.
const MAX_TILES: usize = 1024;

/// The most AV1 data of all tiles or samples together, as a multiple of the length of the file: they may
/// share data.
const MAX_DATA_REUSE: usize = 8;

/// The most pixels of all coded frames, as a multiple of the pixels of the picture, which are those that the limits count: four
/// layers, in tiles of which the grid cuts half off.
const MAX_CODED_AREA: u64 = 8;

/// Pixels that the frames may have in excess of that, so that small pictures may be of any coded size.
const MAX_EXCESS: u64 = 1 << 20;

/// The bytes of AV1 data that further tiles or samples may have.
pub(super) struct DataBudget(usize);

impl DataBudget {
    pub(super) fn new(file_length: usize) -> Self {
        Self(file_length.saturating_mul(MAX_DATA_REUSE))
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<()> {
        self.0 = self.0.checked_sub(bytes).ok_or("tiles or samples share too much data")?;
        Ok(())
    }
}

/// The auxiliary alpha item of an item. As in libavif, one that cannot be
/// decoded counts as missing.
pub(super) fn find_alpha(container: &Container<'_>, id: u32) -> Option<u32> {
    container.references_to(b"auxl", id).find(|&auxiliary| {
        let item = container.item(auxiliary).ok().filter(|item| matches!(&item.kind, b"av01" | b"grid"));
        let properties = item.filter(|item| item.is_located()).and_then(|item| container.properties(item).ok());
        let urn = properties.and_then(|properties| find(&properties, as_auxiliary_type));
        urn.is_some_and(|urn| ALPHA_URNS.contains(&urn))
    })
}

/// The role of a plane.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Colour(Nclx),
    Alpha,
}

/// A coded image or a grid of them, colour or alpha.
pub(super) struct Plane<'a> {
    /// In pixels.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) transforms: Transforms,
    /// Row by row; one without a grid.
    tiles: Vec<Tile<'a>>,
    columns: usize,
    /// Size in pixels of a tile, to which its frame is scaled.
    tile_width: u32,
    tile_height: u32,
}

/// A coded image.
struct Tile<'a> {
    source: Source<'a>,
    selection: Selection,
    bitstream: Bitstream,
}

/// The source of the AV1 data of a tile.
enum Source<'a> {
    Item(u32),
    Sample(&'a [u8]),
}

impl<'a> Plane<'a> {
    /// Opens the plane of an item. Its size is that of `ispe`, or else `stated`, or else that of the sequence header.
    pub(super) fn open(
        container: &Container<'a>, id: u32, stated: Option<(u32, u32)>, budget: &mut DataBudget,
    ) -> Result<Self> {
        let item = container.item(id)?;
        let properties = container.properties(item)?;
        let size = find(&properties, as_size).or(stated);
        let plane = match &item.kind {
            b"av01" => Self::single(Tile::of_item(container, id, budget)?, size),
            b"grid" => Self::open_grid(container, id, budget)?,
            kind => return Err(Failure::unsupported(format_args!("an item of type {}", kind.escape_ascii()))),
        };
        if plane.width == 0 || plane.height == 0 {
            return Err("the picture is empty".into());
        }
        Ok(Self { transforms: Transforms::new(&properties), ..plane })
    }

    /// Opens the first sample of a track. As in libavif, all samples must be in the file.
    pub(super) fn of_track(container: &Container<'a>, track: &Track<'_>, budget: &mut DataBudget) -> Result<Self> {
        let SampleTable { first: (offset, length), end, .. } = track.samples;
        if end > container.file_length() as u64 {
            return Err(truncated());
        }
        let data = container.bytes(offset, length)?;
        let selection = Selection::default();
        let tile = Tile::new(Source::Sample(data), data, selection, budget)?;
        let size = (track.width > 0 && track.height > 0).then_some((track.width, track.height));
        Ok(Self { transforms: Transforms::new(&track.properties), ..Self::single(tile, size) })
    }

    fn single(tile: Tile<'a>, size: Option<(u32, u32)>) -> Self {
        let (width, height) = size.unwrap_or_else(|| tile.coded_size());
        let transforms = Transforms::default();
        Self { width, height, transforms, tiles: vec![tile], columns: 1, tile_width: width, tile_height: height }
    }

    /// Opens a grid derived image (23008-12, 6.6.2.3). As in libavif, its own size takes precedence over `ispe`.
    fn open_grid(container: &Container<'a>, id: u32, budget: &mut DataBudget) -> Result<Self> {
        let data = container.data(container.item(id)?)?;
        let Grid { rows, columns, width, height } = Grid::parse(&data)?;
        let ids = container.references_from(b"dimg", id).collect::<Vec<_>>();
        if ids.len() != columns * rows || ids.len() > MAX_TILES {
            return Err(format!("{} tiles in a {columns}x{rows} grid", ids.len()).into());
        }
        let tiles = ids.iter().map(|&id| Tile::of_item(container, id, budget)).collect::<Result<Vec<_>>>()?;
        let mut sizes = ids.iter().zip(&tiles).map(|(&id, tile)| tile.size(container, id));
        let (tile_width, tile_height) = sizes.next().ok_or("the grid has no tiles")??;
        for size in sizes {
            if size? != (tile_width, tile_height) {
                return Err("the grid tiles differ in size".into());
            }
        }
        if !covers_tightly(tile_width, columns, width) || !covers_tightly(tile_height, rows, height) {
            return Err("the grid tiles do not fit the grid".into());
        }
        Ok(Self { width, height, transforms: Transforms::default(), tiles, columns, tile_width, tile_height })
    }

    /// Alpha of a grid whose tiles have an alpha item each; `None` where a tile
    /// has none.
    pub(super) fn alpha_of_tiles(
        &self, container: &Container<'a>, id: u32, budget: &mut DataBudget,
    ) -> Result<Option<Self>> {
        let ids = self.items().filter(|&tile| tile != id);
        let Some(alphas) = ids.map(|tile| find_alpha(container, tile)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        if alphas.is_empty() {
            return Ok(None);
        }
        let tiles = alphas.into_iter().map(|alpha| Tile::of_item(container, alpha, budget)).collect::<Result<_>>()?;
        Ok(Some(Self { tiles, transforms: Transforms::default(), ..*self }))
    }

    /// Fits an alpha plane to the colour: it is scaled to the same size (23008-12, 6.9.1), and either left as stored or
    /// transformed the same way.
    pub(super) fn fitted_to(self, colour: &Self) -> Result<Self> {
        if self.transforms != Transforms::default() && self.transforms != colour.transforms {
            return Err(Failure::unsupported("alpha that is transformed otherwise than the colour"));
        }
        let (width, height) = (colour.width, colour.height);
        match self.tiles.len() {
            _ if (self.width, self.height) == (width, height) => Ok(self),
            1 => Ok(Self { width, height, tile_width: width, tile_height: height, ..self }),
            _ => Err(Failure::unsupported("a grid of alpha of another size than the colour")),
        }
    }

    /// Checks that the coded pixels are in proportion to the picture, which is the first of `samples` of a sequence, or the only
    /// one.
    pub(super) fn check_coded_area(&self, samples: u32) -> Result<()> {
        let of_tile = |tile: &Tile<'_>| tile.pixels().saturating_mul(tile.bitstream.frames as u64);
        let coded = self.tiles.iter().map(of_tile).fold(0, u64::saturating_add);
        let shown = u64::from(self.width) * u64::from(self.height);
        let [all_coded, all_shown] = [coded, shown].map(|pixels| pixels.saturating_mul(samples.into()));
        if all_coded > all_shown.saturating_mul(MAX_CODED_AREA).saturating_add(MAX_EXCESS) {
            return Err(format!("{coded} pixels are coded for a picture of {shown}").into());
        }
        Ok(())
    }

    /// The items that hold AV1 data.
    pub(super) fn items(&self) -> impl Iterator<Item = u32> {
        self.tiles.iter().filter_map(|tile| match tile.source {
            Source::Item(id) => Some(id),
            Source::Sample(_) => None,
        })
    }

    /// The bitstream of the first tile, whose properties hold for the whole.
    pub(super) fn first(&self) -> &Bitstream {
        // a plane has at least one tile
        &self.tiles[0].bitstream
    }

    /// The pixels of the largest frame, and of the other frames that the decoder holds: at most eight reference frames
    /// (AV1 specification, 7.20).
    pub(super) fn decoded_pixels(&self) -> (u64, u64) {
        let frames = |tile: &Tile<'_>| tile.bitstream.frames.min(9) as u64;
        let of_tile = |tile: &Tile<'_>| (tile.pixels(), tile.pixels() * (frames(tile) - 1));
        self.tiles.iter().map(of_tile).fold((0, 0), |most, tile| (most.0.max(tile.0), most.1.max(tile.1)))
    }

    /// Bytes of a frame that a decoder keeps as a reference.
    pub(super) fn frame_bytes(&self) -> u64 {
        let (header, pixels) = (&self.first().header, self.decoded_pixels().0);
        let samples = match () {
            () if header.monochrome => pixels,
            () if header.halves_chroma => pixels * 3 / 2,
            () => pixels * 3,
        };
        samples * if header.depth > 8 { 2 } else { 1 }
    }

    /// Decodes all tiles into the canvas.
    pub(super) fn paint(&self, container: &Container<'_>, canvas: &mut Canvas, role: Role) -> Result<()> {
        for (index, tile) in self.tiles.iter().enumerate() {
            let data = tile.data(container)?;
            let frame = decode_frame(&data, &tile.bitstream, tile.selection)?;
            self.put(index, &frame, canvas, role)?;
        }
        Ok(())
    }

    /// Writes the decoded frame of a tile into the canvas.
    fn put(&self, index: usize, frame: &Picture, canvas: &mut Canvas, role: Role) -> Result<()> {
        let (width, height) = (self.tile_width as usize, self.tile_height as usize);
        let (column, row) = (index % self.columns, index / self.columns);
        let place = TileRect { left: column * width, top: row * height, width, height };
        let header = &self.tiles[index].bitstream.header;
        match role {
            Role::Colour(nclx) => convert::put_colour(canvas, frame, place, nclx, header.chroma_position),
            Role::Alpha => convert::put_alpha(canvas, frame, place, header.colour.full_range),
        }
    }

    /// A decoder of all samples of the track that the plane is the first one of.
    pub(super) fn decoder(&self) -> Result<Decoder> {
        let tile = &self.tiles[0];
        frame::decoder(&tile.bitstream, tile.selection)
    }

    /// Decodes the next sample of the track into the canvas.
    pub(super) fn paint_sample(
        &self, decoder: &mut Decoder, data: &[u8], canvas: &mut Canvas, role: Role,
    ) -> Result<()> {
        sequence::check_frames(data)?;
        self.put(0, &frame::next_frame(decoder, data)?, canvas, role)
    }
}

impl<'a> Tile<'a> {
    /// Opens an `av01` item and checks it without decoding.
    fn of_item(container: &Container<'a>, id: u32, budget: &mut DataBudget) -> Result<Self> {
        let item = container.item(id)?;
        if item.kind != *b"av01" {
            return Err(Failure::unsupported(format_args!("a tile of type {}", item.kind.escape_ascii())));
        }
        let properties = container.properties(item)?;
        let operating_point = find(&properties, as_operating_point).unwrap_or(0);
        let layer = find(&properties, as_layer);
        let layer =
            layer.map(|layer| u8::try_from(layer).map_err(|_| format!("no layer {layer} in AV1"))).transpose()?;
        Self::new(Source::Item(id), &container.data(item)?, Selection { operating_point, layer }, budget)
    }

    fn new(source: Source<'a>, data: &[u8], selection: Selection, budget: &mut DataBudget) -> Result<Self> {
        budget.take(data.len())?;
        let bitstream = sequence::inspect(data, selection)?;
        Ok(Self { source, selection, bitstream })
    }

    fn data(&self, container: &Container<'a>) -> Result<Cow<'a, [u8]>> {
        match self.source {
            Source::Item(id) => container.data(container.item(id)?),
            Source::Sample(data) => Ok(Cow::Borrowed(data)),
        }
    }

    fn coded_size(&self) -> (u32, u32) {
        (self.bitstream.header.max_width, self.bitstream.header.max_height)
    }

    /// The most pixels of a frame.
    fn pixels(&self) -> u64 {
        let (width, height) = self.coded_size();
        u64::from(width) * u64::from(height)
    }

    /// The size by `ispe` or the sequence header.
    fn size(&self, container: &Container<'_>, id: u32) -> Result<(u32, u32)> {
        let properties = container.properties(container.item(id)?)?;
        Ok(find(&properties, as_size).unwrap_or_else(|| self.coded_size()))
    }
}

/// Whether `count` tiles cover `whole` pixels, and fewer would not.
fn covers_tightly(tile: u32, count: usize, whole: u32) -> bool {
    let (tile, count, whole) = (u64::from(tile), count as u64, u64::from(whole));
    tile * count >= whole && tile * (count - 1) < whole
}

/// `ImageGrid` (23008-12, 6.6.2.3.2).
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
            return Err(Failure::unsupported(format_args!("grid version {version}")));
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
    fn grid_without_needless_tiles_covers_tightly() {
        assert!(covers_tightly(64, 2, 65));
        assert!(covers_tightly(64, 2, 128));
        assert!(!covers_tightly(64, 2, 64));
        assert!(!covers_tightly(64, 2, 129));
    }
}
